//! Page tables: from a kernel's virtual address to a physical one.
//!
//! A minidump carries, in place of the upper levels, one array that covers
//! the kernel map from its first address on: of page directory entries (amd64
//! since version 2) or of page table entries. A full dump has the tables of
//! the machine, if their root is found. No walk has more steps than the
//! machine has levels, so tables that point at each other end it.

use super::bits::Endian;

/// What an entry of the array looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// 8 bytes; valid bit 0, frame in bits 12..51.
    Amd64,
    /// 8 bytes; a page when the low bits are 3, frame up to bit 49.
    Arm64,
    /// 8 bytes; valid bit 0 and one of bits 1..3, frame number from bit 10.
    Riscv,
    /// 4 bytes; valid bit 0, frame in bits 12..31.
    I386,
    /// 4 bytes: small pages (bit 1) and large ones of 64 KiB (type 1).
    Arm,
}

impl Entry {
    fn size(self) -> u64 {
        match self {
            Entry::I386 | Entry::Arm => 4,
            _ => 8,
        }
    }

    /// The page's physical address.
    fn frame(self, entry: u64, address: u64, page: u64) -> Option<u64> {
        let low = page.checked_sub(1)?;
        match self {
            Entry::Amd64 => (entry & VALID != 0).then_some(entry & FRAME),
            Entry::Arm64 => (entry & 3 == 3).then_some(entry & 0x0003_ffff_ffff_ffff & !low),
            Entry::Riscv => {
                (entry & VALID != 0 && entry & 0xe != 0).then_some((entry >> 10 << 12) & RISCV)
            }
            Entry::I386 => (entry & VALID != 0).then_some(entry & 0xffff_f000),
            Entry::Arm if entry & 2 != 0 => Some(entry & 0xffff_f000),
            Entry::Arm if entry & 3 == 1 => Some(entry & 0xffff_0000 | address & 0xf000),
            Entry::Arm => None,
        }
    }
}

const VALID: u64 = 1;
const FRAME: u64 = 0x000f_ffff_ffff_f000;
const LARGE: u64 = 0x80;
/// 44 bits of frame number.
const RISCV: u64 = 0x00ff_ffff_ffff_f000;

/// An array of entries within the image that covers addresses from `base` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Array {
    pub base: u64,
    /// Of the first address that it cannot cover: the end of the address
    /// space of the machine.
    pub end: u64,
    pub offset: u64,
    pub len: u64,
    pub endian: Endian,
}

impl Array {
    fn entry(&self, index: u64, size: u64, memory: &dyn Words) -> Option<u64> {
        let at = index.checked_mul(size)?;
        if at.checked_add(size)? > self.len {
            return None;
        }
        let bytes = memory.at_offset(self.offset.checked_add(at)?)?;
        match size {
            4 => self.endian.u32(&bytes, 0).map(u64::from),
            _ => self.endian.u64(&bytes, 0),
        }
    }
}

/// Where a walk reads its entries.
pub(super) trait Words {
    /// Eight bytes of the image; zeros follow where it ends.
    fn at_offset(&self, offset: u64) -> Option<[u8; 8]>;

    /// Eight bytes at a physical address.
    fn at_physical(&self, address: u64) -> Option<[u8; 8]>;
}

/// What leads from virtual to physical addresses, besides a direct map.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tables {
    None,
    /// Page directory entries of amd64, each for 2 MiB.
    Directory(Array),
    Pages {
        array: Array,
        entry: Entry,
        page: u64,
    },
    /// The physical address of amd64's top level.
    Root(u64),
}

impl Tables {
    /// The physical address of a virtual one, and how many bytes of the page
    /// are left from there on.
    pub(super) fn find(&self, address: u64, memory: &dyn Words) -> Option<(u64, u64)> {
        match self {
            Tables::None => None,
            Tables::Directory(array) => {
                let within = covered(array, address)?;
                let directory = array.entry(within >> 21, 8, memory)?;
                from_directory(directory, address, memory)
            }
            Tables::Pages { array, entry, page } => {
                let within = covered(array, address)?;
                let index = within.checked_div(*page)?;
                let value = array.entry(index, entry.size(), memory)?;
                let in_page = within % page;
                let frame = entry.frame(value, address, *page)?;
                Some((frame.checked_add(in_page)?, page - in_page))
            }
            Tables::Root(root) => {
                let top = next(*root, address >> 39, memory)?;
                let upper = next(top & FRAME, address >> 30, memory)?;
                if upper & LARGE != 0 {
                    return Some(inside(upper, address, 30));
                }
                let directory = next(upper & FRAME, address >> 21, memory)?;
                from_directory(directory, address, memory)
            }
        }
    }
}

fn covered(array: &Array, address: u64) -> Option<u64> {
    if address >= array.end {
        return None;
    }
    address.checked_sub(array.base)
}

fn from_directory(directory: u64, address: u64, memory: &dyn Words) -> Option<(u64, u64)> {
    if directory & VALID == 0 {
        return None;
    }
    if directory & LARGE != 0 {
        return Some(inside(directory, address, 21));
    }
    let page = next(directory & FRAME, address >> 12, memory)?;
    Some(inside(page, address, 12))
}

/// The valid entry of a table of 512 that an index chooses.
fn next(table: u64, index: u64, memory: &dyn Words) -> Option<u64> {
    let bytes = memory.at_physical(table.checked_add((index & 511) * 8)?)?;
    Some(u64::from_le_bytes(bytes)).filter(|entry| entry & VALID != 0)
}

/// The place within a page of `1 << shift` bytes.
fn inside(entry: u64, address: u64, shift: u32) -> (u64, u64) {
    let low = (1u64 << shift) - 1;
    let within = address & low;
    ((entry & FRAME & !low) + within, low + 1 - within)
}

/// True if a page that lies at a physical address is a top level of amd64 in
/// which a kernel is mapped: FreeBSD's has itself as entry 256, its direct map
/// from entry 496 on, its kernel map from 508 and its text under 511. Those of
/// processes do as well, they have the same entries.
pub(super) fn is_root(page: &[u8], physical: u64) -> bool {
    let entry = |index: usize| Endian::Little.u64(page, index * 8).unwrap_or(0);
    let valid = |index: usize| entry(index) & VALID != 0;
    physical != 0
        && entry(256) & FRAME == physical
        && [256, 496, 508, 511].into_iter().all(valid)
        && [496, 508, 511]
            .into_iter()
            .all(|index| entry(index) & FRAME != physical)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ram(Vec<u8>);

    impl Words for Ram {
        fn at_offset(&self, offset: u64) -> Option<[u8; 8]> {
            self.0.get(offset as usize..)?.first_chunk().copied()
        }

        fn at_physical(&self, address: u64) -> Option<[u8; 8]> {
            self.at_offset(address)
        }
    }

    fn put(ram: &mut Ram, at: usize, entry: u64) {
        ram.0[at..at + 8].copy_from_slice(&entry.to_le_bytes());
    }

    #[test]
    fn walks_four_levels_and_large_pages() {
        let mut ram = Ram(vec![0; 0x6000]);
        put(&mut ram, 0x1000 + 508 * 8, 0x2003);
        put(&mut ram, 0x2000, 0x3003);
        put(&mut ram, 0x2008, 0x4000_0083 | 1 << 63);
        put(&mut ram, 0x3000, 0x4003);
        put(&mut ram, 0x3008, 0x60_0083);
        put(&mut ram, 0x4000 + 5 * 8, 0x5003);
        let root = Tables::Root(0x1000);
        let base = 0xffff_fe00_0000_0000;
        assert_eq!(root.find(base + 0x5010, &ram), Some((0x5010, 0xff0)));
        assert_eq!(root.find(base + 0x6010, &ram), None);
        let large = Some((0x60_1234, 0x20_0000 - 0x1234));
        assert_eq!(root.find(base + 0x20_1234, &ram), large);
        let huge = Some((0x4000_0010, 0x4000_0000 - 0x10));
        assert_eq!(root.find(base + 0x4000_0010, &ram), huge);
        assert_eq!(root.find(0xffff_f800_0000_0000, &ram), None);
    }

    #[test]
    fn tables_that_point_at_themselves_end() {
        let mut ram = Ram(vec![0; 0x2000]);
        for index in 0..512 {
            put(&mut ram, 0x1000 + index * 8, 0x1003);
        }
        let found = Tables::Root(0x1000).find(0xffff_fe00_1234_5678, &ram);
        assert_eq!(found, Some((0x1678, 0x988)));
    }

    #[test]
    fn entries_of_each_machine() {
        let page = 4096;
        assert_eq!(
            Entry::Arm64.frame(0x0060_0000_4567_8703, 0, page),
            Some(0x4567_8000)
        );
        assert_eq!(Entry::Arm64.frame(0x4567_8703, 0, 16384), Some(0x4567_8000));
        assert_eq!(Entry::Arm64.frame(0x4567_b701, 0, page), None);
        assert_eq!(
            Entry::Riscv.frame(0x8_0000 << 10 | 7, 0, page),
            Some(0x8000_0000)
        );
        assert_eq!(Entry::Riscv.frame(0x8_0000 << 10 | 1, 0, page), None);
        assert_eq!(Entry::I386.frame(0x1234_5063, 0, page), Some(0x1234_5000));
        assert_eq!(
            Entry::Arm.frame(0x1234_0001, 0xc000_3123, page),
            Some(0x1234_3000)
        );
    }
}
