//! An address space over any image of memory.
//!
//! `open` gives an image, whatever the container: a raw image, an ELF
//! core of a process, a kernel or a virtual machine, a FreeBSD minidump, a dump
//! device, LiME, compressed or not, or the live memory of this machine. All of
//! them are an [`AddressSpace`]: stretches of bytes that lie at offsets of the
//! (decompressed) image and may have a physical or a virtual address.
//!
//! From the outside in: `files` turns paths into a `source` of bytes, `open`
//! takes off compression (`unpack`) and dump headers (`dump_device`) until one
//! of `minidump`, `elf`, `lime` and `raw` says where memory lies in it, and
//! `image` answers by `settle`d extents and a `translate` of addresses.

mod address_map;
mod bits;
mod device;
mod dump_device;
mod elf;
mod files;
mod image;
mod lime;
mod minidump;
mod open;
mod raw;
mod settle;
mod source;
mod tables;
#[cfg(test)]
mod tests;
mod translate;
mod unpack;

pub use image::{Container, Image};
pub use open::{OpenOptions, PhysicalRange, open, open_parts};
pub use source::ReadAt;

use std::io;

/// Bytes of an image that follow each other at once in the image and in each
/// address space in which they have a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where they stand in the decompressed image, bytes.
    pub offset: u64,
    pub len: u64,
    /// Physical address of the first byte, where the container says so.
    pub physical: Option<u64>,
    /// Virtual address of the first byte, where the container says so: of a
    /// kernel, that in its direct map.
    pub virtual_: Option<u64>,
}

/// The machine that the memory was of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Machine {
    Amd64,
    Arm64,
    Riscv64,
    I386,
    Arm,
    Powerpc64,
}

impl Machine {
    /// As FreeBSD's MACHINE_ARCH calls it.
    pub fn name(self) -> &'static str {
        match self {
            Machine::Amd64 => "amd64",
            Machine::Arm64 => "aarch64",
            Machine::Riscv64 => "riscv64",
            Machine::I386 => "i386",
            Machine::Arm => "arm",
            Machine::Powerpc64 => "powerpc64",
        }
    }
}

/// What the memory was of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A FreeBSD kernel: pages of 4096 or 16384 bytes, direct map.
    Kernel,
    /// A process that may hold a TCP stack.
    Process,
    Unknown,
}

/// Memory that can be read by its place in the image and by its addresses.
///
/// Nothing here fails: what is not there is shorter.
pub trait AddressSpace: Sync {
    /// What is there, by ascending offset. Extents do not overlap in the image;
    /// their addresses may.
    fn extents(&self) -> &[Extent];

    /// Bytes from an offset on, of one extent, at most `len`: borrowed where
    /// the image is mapped, else read into `scratch`. Shorter at the end of the
    /// extent, at the end of a truncated image, and where a device refuses;
    /// empty where nothing is.
    fn bytes<'a>(&'a self, offset: u64, len: usize, scratch: &'a mut Vec<u8>) -> &'a [u8];

    /// Where the byte at a virtual address stands in the image, and how many
    /// bytes follow at once.
    fn find_virtual(&self, address: u64) -> Option<(u64, u64)>;

    /// As [`AddressSpace::find_virtual`], of a physical address.
    fn find_physical(&self, address: u64) -> Option<(u64, u64)>;

    /// The virtual address of a byte of the image.
    fn virtual_of(&self, offset: u64) -> Option<u64>;

    /// The physical address of a byte of the image.
    fn physical_of(&self, offset: u64) -> Option<u64>;

    /// Reads from a virtual address on, over pages that lie apart in the
    /// image. Returns how many bytes there were.
    fn read_virtual(&self, address: u64, buffer: &mut [u8]) -> usize {
        read(self, address, buffer, AddressSpace::find_virtual)
    }

    /// As [`AddressSpace::read_virtual`], from a physical address.
    fn read_physical(&self, address: u64, buffer: &mut [u8]) -> usize {
        read(self, address, buffer, AddressSpace::find_physical)
    }

    /// Whether the bytes at an offset still are what was read there: live
    /// memory is read again, other memory does not change.
    fn is_stable(&self, _offset: u64, _read: &[u8]) -> bool {
        true
    }
}

fn read<S: AddressSpace + ?Sized>(
    space: &S,
    address: u64,
    buffer: &mut [u8],
    find: impl Fn(&S, u64) -> Option<(u64, u64)>,
) -> usize {
    let mut scratch = Vec::new();
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let Some((offset, there)) = address
            .checked_add(done as u64)
            .and_then(|address| find(space, address))
        else {
            break;
        };
        let len = rest.len().min(usize::try_from(there).unwrap_or(usize::MAX));
        let bytes = space.bytes(offset, len, &mut scratch);
        if bytes.is_empty() {
            break;
        }
        rest[..bytes.len()].copy_from_slice(bytes);
        done += bytes.len();
    }
    done
}

/// Why an image cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error("{name}: {cause}")]
    Open { name: String, cause: io::Error },
    #[error("{name}: read failed at byte {offset}: {cause}")]
    Read {
        name: String,
        offset: u64,
        cause: io::Error,
    },
    /// The container holds no memory that can be read, and what to do about it.
    #[error("{name}: {why}")]
    Refused { name: String, why: String },
}
