//! Any bytes as memory, with and without addresses: nothing may panic or hang.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tcplog::carve::join::Wanted;
use tcplog::carve::run::{Settings, carve};
use tcplog::format::Formats;
use tcplog::memory::{AddressSpace, Extent};

/// Where the bytes lie, if anywhere: in a kernel's direct map.
const BASE: u64 = 0xffff_f800_0000_0000;

struct Memory<'b> {
    bytes: &'b [u8],
    extents: [Extent; 1],
}

impl AddressSpace for Memory<'_> {
    fn extents(&self) -> &[Extent] {
        &self.extents
    }

    fn bytes<'a>(&'a self, offset: u64, len: usize, _: &'a mut Vec<u8>) -> &'a [u8] {
        let rest = self.bytes.get(offset as usize..).unwrap_or(&[]);
        &rest[..len.min(rest.len())]
    }

    fn find_virtual(&self, address: u64) -> Option<(u64, u64)> {
        let offset = address.checked_sub(self.extents[0].virtual_?)?;
        let left = self.extents[0].len.checked_sub(offset)?;
        (left > 0).then_some((offset, left))
    }

    fn find_physical(&self, _: u64) -> Option<(u64, u64)> {
        None
    }

    fn virtual_of(&self, offset: u64) -> Option<u64> {
        let base = self.extents[0].virtual_?;
        (offset < self.extents[0].len).then_some(base + offset)
    }

    fn physical_of(&self, _: u64) -> Option<u64> {
        None
    }
}

fuzz_target!(|bytes: &[u8]| {
    for base in [None, Some(BASE)] {
        let memory = Memory {
            bytes,
            extents: [Extent {
                offset: 0,
                len: bytes.len() as u64,
                physical: None,
                virtual_: base,
            }],
        };
        let settings = Settings {
            threads: 1,
            wanted: Wanted::default(),
            machine: None,
            is_complete: base.is_some(),
        };
        let formats = Formats::builtin();
        carve(
            &memory,
            formats,
            formats.structures(),
            &settings,
            &|_, _| true,
            |outcome| {
                for message in &outcome.messages {
                    assert!(!message.records.is_empty());
                }
            },
        );
    }
});
