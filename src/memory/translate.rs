//! Addresses of an image, by whatever the container has to translate them.

use super::address_map::AddressMap;
use super::source::Source;
use super::tables::{Tables, Words, is_root};
use std::sync::OnceLock;

/// A kernel's map of all physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DirectMap {
    /// Virtual address of the first byte.
    pub base: u64,
    /// Virtual address behind the last byte.
    pub end: u64,
    /// Physical address of the first byte.
    pub physical: u64,
}

impl DirectMap {
    /// amd64 with four levels of page tables.
    pub(super) const AMD64: DirectMap = DirectMap {
        base: 0xffff_f800_0000_0000,
        end: 0xffff_fc00_0000_0000,
        physical: 0,
    };

    /// arm64 since FreeBSD 13, whose map begins at the GiB in which the
    /// lowest physical address lies.
    pub(super) fn arm64(lowest: u64) -> DirectMap {
        DirectMap {
            base: 0xffff_a000_0000_0000,
            end: 0xffff_ff00_0000_0000,
            physical: lowest & !((1 << 30) - 1),
        }
    }

    /// riscv with three levels of page tables, which begins in the same way.
    pub(super) fn riscv(lowest: u64) -> DirectMap {
        DirectMap {
            base: 0xffff_ffd0_0000_0000,
            end: 0xffff_fff0_0000_0000,
            physical: lowest & !((1 << 30) - 1),
        }
    }

    /// The physical address, and how much of the map follows.
    fn find(&self, address: u64) -> Option<(u64, u64)> {
        let rest = self.end.checked_sub(address).filter(|rest| *rest > 0)?;
        let physical = address.checked_sub(self.base)?.checked_add(self.physical)?;
        Some((physical, rest))
    }

    /// The virtual address of a stretch of physical memory.
    pub(super) fn virtual_of(&self, physical: u64, len: u64) -> Option<u64> {
        let address = physical
            .checked_sub(self.physical)?
            .checked_add(self.base)?;
        (address.checked_add(len)? <= self.end).then_some(address)
    }
}

/// All translations of an image.
pub(super) struct Translation {
    pub physical: AddressMap,
    /// Addresses that the container itself gives.
    pub virtual_: AddressMap,
    pub direct: Option<DirectMap>,
    pub tables: Tables,
    /// Search for the root of amd64's page tables when one is needed.
    pub search_root: bool,
    /// The root that was found.
    pub root: OnceLock<Tables>,
    /// Offsets are virtual addresses: `/dev/kmem`.
    pub identity: bool,
}

impl Translation {
    pub(super) fn find_virtual(&self, address: u64, source: &Source) -> Option<(u64, u64)> {
        if self.identity {
            // The upper half only: with five levels it begins here. The very
            // last byte has none behind it to count.
            let rest = (4096 - address % 4096).min(u64::MAX - address);
            return (address >= 0xff00_0000_0000_0000 && rest > 0).then_some((address, rest));
        }
        if let Some(found) = self.virtual_.find(address) {
            return Some(found);
        }
        let (physical, rest) = match self.direct.and_then(|direct| direct.find(address)) {
            Some(found) => found,
            None => self.walk(address, source)?,
        };
        let (offset, there) = self.physical.find(physical)?;
        Some((offset, there.min(rest)))
    }

    fn walk(&self, address: u64, source: &Source) -> Option<(u64, u64)> {
        let memory = Memory {
            physical: &self.physical,
            source,
        };
        if self.search_root {
            // Kernel addresses only: there is no use for a process's.
            if address < 0xffff_8000_0000_0000 {
                return None;
            }
            let tables = self.root.get_or_init(|| self.search(source));
            return tables.find(address, &memory);
        }
        self.tables.find(address, &memory)
    }

    /// Looks at one entry of every page. That is done once, and only when an
    /// address outside the direct map is asked for.
    fn search(&self, source: &Source) -> Tables {
        let mut scratch = Vec::new();
        for run in self.physical.runs() {
            let Some(first) = run.address.checked_next_multiple_of(4096) else {
                continue;
            };
            let mut at = first - run.address;
            while let Some(rest) = run.len.checked_sub(at).filter(|rest| *rest >= 4096) {
                let physical = run.address + at;
                let offset = run.offset + at;
                let own = source.bytes(offset + 2048, 8, &mut scratch);
                // The address of this very page in entry 256.
                let entry = super::bits::Endian::Little.u64(own, 0).unwrap_or(0);
                if entry & 0x000f_ffff_ffff_f001 == physical | 1
                    && is_root(source.bytes(offset, 4096, &mut scratch), physical)
                {
                    return Tables::Root(physical);
                }
                if rest < 8192 {
                    break;
                }
                at += 4096;
            }
        }
        Tables::None
    }
}

struct Memory<'a> {
    physical: &'a AddressMap,
    source: &'a Source,
}

impl Words for Memory<'_> {
    fn at_offset(&self, offset: u64) -> Option<[u8; 8]> {
        // Grows only where the image is not mapped.
        let mut scratch = Vec::new();
        let bytes = self.source.bytes(offset, 8, &mut scratch);
        let mut word = [0; 8];
        word.get_mut(..bytes.len())?.copy_from_slice(bytes);
        (!bytes.is_empty()).then_some(word)
    }

    fn at_physical(&self, address: u64) -> Option<[u8; 8]> {
        let (offset, there) = self.physical.find(address)?;
        if there < 8 {
            return None;
        }
        self.at_offset(offset)
    }
}
