//! Objects of a kernel in an image of its memory.

use super::KernelFile;
use crate::format::structures::{Place, Structures};
use crate::memory::AddressSpace;

/// Reads integers and structures the way the kernel wrote them.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub space: &'a dyn AddressSpace,
    pub structures: &'a Structures,
    pointer: usize,
    big_endian: bool,
}

/// One object: the bytes of a structure that were there.
pub(super) struct Object<'a> {
    view: View<'a>,
    structure: &'static str,
    pub address: u64,
    bytes: Vec<u8>,
}

impl<'a> View<'a> {
    pub fn new(
        space: &'a dyn AddressSpace,
        kernel: &KernelFile,
        structures: &'a Structures,
    ) -> View<'a> {
        View {
            space,
            structures,
            pointer: usize::from(kernel.pointer.clamp(4, 8)),
            big_endian: kernel.big_endian,
        }
    }

    pub fn bytes(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        (self.space.read_virtual(address, &mut bytes) == len).then_some(bytes)
    }

    pub fn pointer(&self, address: u64) -> Option<u64> {
        self.integer(address, self.pointer)
    }

    pub fn integer(&self, address: u64, size: usize) -> Option<u64> {
        let mut bytes = [0; 8];
        let bytes = bytes.get_mut(..size)?;
        (self.space.read_virtual(address, bytes) == size).then(|| self.number(bytes))
    }

    /// Text of at most `len` bytes, up to its NUL.
    pub fn text(&self, address: u64, len: usize) -> Option<String> {
        let mut bytes = vec![0; len];
        let there = self.space.read_virtual(address, &mut bytes);
        bytes.truncate(there);
        text(&bytes)
    }

    /// The structure at an address. A page that is missing costs the fields
    /// that lie on it.
    pub fn object(&self, structure: &'static str, address: u64) -> Option<Object<'a>> {
        // The sizes of all structures are bounded where they are loaded.
        let size = usize::try_from(self.structures.size(structure)?).ok()?;
        let mut bytes = vec![0; size];
        let there = self.space.read_virtual(address, &mut bytes);
        bytes.truncate(there);
        (there > 0).then_some(Object {
            view: *self,
            structure,
            address,
            bytes,
        })
    }

    pub fn place(&self, structure: &str, field: &str) -> Option<Place> {
        self.structures.place(structure, field)
    }

    /// Where a field of the structure at `address` lies; whether anything is
    /// there is seen when it is read.
    pub fn address(&self, structure: &str, address: u64, field: &str) -> Option<u64> {
        let place = self.place(structure, field)?;
        Some(address.wrapping_add(place.offset.into()))
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        match self.big_endian {
            true => bytes.iter().fold(0, add),
            false => bytes.iter().rev().fold(0, add),
        }
    }
}

impl Object<'_> {
    pub fn bytes(&self, field: &str) -> Option<&[u8]> {
        self.view.place(self.structure, field)?.of(&self.bytes)
    }

    /// An unsigned integer, a pointer or a bit field.
    pub fn get(&self, field: &str) -> Option<u64> {
        let place = self.view.place(self.structure, field)?;
        let bytes = place.of(&self.bytes).filter(|bytes| bytes.len() <= 8)?;
        let value = self.view.number(bytes);
        let Some((low, width)) = place.bits else {
            return Some(value);
        };
        let mask = u64::MAX.checked_shr(64u32.checked_sub(width.into())?)?;
        Some(value.checked_shr(low.into())? & mask)
    }

    /// A field of four bytes or fewer.
    pub fn get32(&self, field: &str) -> Option<u32> {
        self.get(field).and_then(|value| u32::try_from(value).ok())
    }

    /// The pointer in the first word of a field: the next of a list entry,
    /// the first of a list head.
    pub fn first_word(&self, field: &str) -> Option<u64> {
        let place = self.view.place(self.structure, field)?;
        self.word(place, 0)
    }

    /// The pointer in word `at` of a field.
    pub fn word(&self, place: Place, at: usize) -> Option<u64> {
        let start = at.checked_mul(self.view.pointer)?;
        let bytes = place.of(&self.bytes)?;
        let bytes = bytes.get(start..start.checked_add(self.view.pointer)?)?;
        Some(self.view.number(bytes))
    }

    pub fn text(&self, field: &str) -> Option<String> {
        text(self.bytes(field)?)
    }

    /// Where a field of this object lies.
    pub fn address_of(&self, field: &str) -> Option<u64> {
        self.view.address(self.structure, self.address, field)
    }
}

/// Text up to its NUL; `None` if it holds what would steer a terminal.
fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
    (!text.chars().any(char::is_control)).then_some(text)
}
