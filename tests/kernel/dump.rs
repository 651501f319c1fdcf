//! A second reader of the stored crash dump (minidump of amd64, version 3)
//! that knows nothing of the library's, with memory that a test may change.

use std::collections::BTreeMap;
use tcplog::memory::{AddressSpace, Extent};

const PAGE: u64 = 4096;

pub struct Dump {
    bytes: Vec<u8>,
    /// Offsets of the pages, by physical address.
    pages: BTreeMap<u64, u64>,
    pmap: u64,
    kernbase: u64,
    dmap: (u64, u64),
    /// Bytes that stand instead, by virtual address.
    pub patches: BTreeMap<u64, u8>,
}

impl Dump {
    pub fn new(bytes: Vec<u8>) -> Dump {
        let u32_at =
            |at: usize| u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()));
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        assert!(bytes.starts_with(b"minidump FreeBSD/amd64\0"));
        assert_eq!(u32_at(24), 3);
        let up = |len: u64| len.next_multiple_of(PAGE);
        let available = PAGE + up(u32_at(28));
        let bitmap = available + up(u32_at(64));
        let pmap = bitmap + up(u32_at(32));
        let mut sparse = pmap + up(u32_at(36));
        let mut pages = BTreeMap::new();
        let (mut at, mut bit) = (available as usize, 0u64);
        while u64_at(at + 8) != 0 {
            let (mut page, end) = (u64_at(at) & !(PAGE - 1), up(u64_at(at + 8)));
            while page < end {
                if bytes[(bitmap + bit / 8) as usize] >> (bit % 8) & 1 == 1 {
                    pages.insert(page, sparse);
                    sparse += PAGE;
                }
                (page, bit) = (page + PAGE, bit + 1);
            }
            at += 16;
        }
        assert_eq!(sparse, bytes.len() as u64);
        Dump {
            kernbase: u64_at(40),
            dmap: (u64_at(48), u64_at(56)),
            bytes,
            pages,
            pmap,
            patches: BTreeMap::new(),
        }
    }

    fn entry(&self, at: u64) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let entry = u64::from_le_bytes(self.bytes.get(at..at + 8)?.try_into().ok()?);
        (entry & 1 == 1).then_some(entry)
    }

    fn physical(&self, address: u64) -> Option<u64> {
        if (self.dmap.0..self.dmap.1).contains(&address) {
            return Some(address - self.dmap.0);
        }
        let upper = self.entry(self.pmap + (address.checked_sub(self.kernbase)? >> 21) * 8)?;
        if upper & 0x80 != 0 {
            return Some((upper & 0x000f_ffff_ffe0_0000) + (address & 0x1f_ffff));
        }
        let table = self.pages.get(&(upper & 0x000f_ffff_ffff_f000))?;
        let entry = self.entry(table + (address >> 12 & 511) * 8)?;
        Some((entry & 0x000f_ffff_ffff_f000) + (address & 0xfff))
    }

    pub fn u64_at(&self, address: u64) -> u64 {
        let mut bytes = [0; 8];
        assert_eq!(self.read_virtual(address, &mut bytes), 8, "{address:#x}");
        u64::from_le_bytes(bytes)
    }

    pub fn patch(&mut self, address: u64, value: u64) {
        let bytes = (address..).zip(value.to_le_bytes());
        self.patches.extend(bytes);
    }
}

impl AddressSpace for Dump {
    fn extents(&self) -> &[Extent] {
        &[]
    }

    fn bytes<'a>(&'a self, offset: u64, len: usize, _: &'a mut Vec<u8>) -> &'a [u8] {
        let offset = offset as usize;
        &self.bytes[offset..(offset + len).min(self.bytes.len())]
    }

    fn find_virtual(&self, address: u64) -> Option<(u64, u64)> {
        self.find_physical(self.physical(address)?)
    }

    fn find_physical(&self, address: u64) -> Option<(u64, u64)> {
        let page = self.pages.get(&(address & !(PAGE - 1)))?;
        let inside = address % PAGE;
        Some((page + inside, PAGE - inside))
    }

    fn virtual_of(&self, _: u64) -> Option<u64> {
        None
    }

    fn physical_of(&self, _: u64) -> Option<u64> {
        None
    }

    fn read_virtual(&self, address: u64, buffer: &mut [u8]) -> usize {
        let mut done = 0;
        for (at, byte) in (address..).zip(buffer.iter_mut()) {
            let Some((offset, _)) = self.find_virtual(at) else {
                break;
            };
            *byte = self.bytes[offset as usize];
            if let Some(patch) = self.patches.get(&at) {
                *byte = *patch;
            }
            done += 1;
        }
        done
    }
}
