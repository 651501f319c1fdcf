//! Images for these tests: a small reader of its own, so that a fault of the
//! library's cannot hide.

use std::fs::File;
use std::io::Read;
use tcplog::memory::{AddressSpace, Extent};

pub struct Image {
    data: Vec<u8>,
    extents: Vec<Extent>,
}

fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(data[at..at + 4].try_into().unwrap())
}

pub fn u64_at(data: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(data[at..at + 8].try_into().unwrap())
}

pub fn decompressed(name: &str) -> Vec<u8> {
    let path = format!("{}/testdata/cores/{name}.zst", env!("CARGO_MANIFEST_DIR"));
    let mut decoder = zstd::Decoder::new(File::open(path).unwrap()).unwrap();
    decoder.window_log_max(27).unwrap();
    let mut data = Vec::new();
    decoder.read_to_end(&mut data).unwrap();
    data
}

impl Image {
    pub fn genuine(name: &str) -> Image {
        let data = decompressed(name);
        match data.starts_with(b"\x7fELF") {
            true => Image::elf(data),
            false => Image::minidump(data),
        }
    }

    /// An image at one virtual address, or at none.
    pub fn flat(data: Vec<u8>, address: Option<u64>) -> Image {
        let len = data.len() as u64;
        let extent = Extent {
            offset: 0,
            len,
            physical: None,
            virtual_: address,
        };
        Image {
            data,
            extents: vec![extent],
        }
    }

    /// Without any address.
    pub fn blind(mut self) -> Image {
        for extent in &mut self.extents {
            extent.virtual_ = None;
        }
        self
    }

    fn elf(data: Vec<u8>) -> Image {
        let (headers, size) = (u64_at(&data, 32) as usize, 56);
        let count = usize::from(u16::from_le_bytes([data[56], data[57]]));
        let mut extents = Vec::new();
        for at in (0..count).map(|index| headers + index * size) {
            let len = u64_at(&data, at + 32);
            if u32_at(&data, at) == 1 && len > 0 {
                let offset = u64_at(&data, at + 8);
                let virtual_ = Some(u64_at(&data, at + 16));
                extents.push(Extent {
                    offset,
                    len,
                    physical: None,
                    virtual_,
                });
            }
        }
        extents.sort_by_key(|extent| extent.offset);
        Image { data, extents }
    }

    /// amd64, version 3: the direct map only.
    fn minidump(data: Vec<u8>) -> Image {
        assert!(data.starts_with(b"minidump FreeBSD/amd64"));
        let round = |len: u32| (len as usize).next_multiple_of(4096);
        let avail = 4096 + round(u32_at(&data, 28));
        let bitmap = avail + round(u32_at(&data, 64));
        let pages = bitmap + round(u32_at(&data, 32)) + round(u32_at(&data, 36));
        let direct = u64_at(&data, 48);
        let (mut extents, mut offset, mut bit) = (Vec::<Extent>::new(), pages as u64, 0);
        for pair in (avail..).step_by(16) {
            let (start, end) = (u64_at(&data, pair), u64_at(&data, pair + 8));
            if end == 0 {
                break;
            }
            for page in (start..end).step_by(4096) {
                if data[bitmap + bit / 8] >> (bit % 8) & 1 == 1 {
                    let address = direct + page;
                    match extents.last_mut() {
                        Some(last) if last.virtual_ == Some(address - last.len) => last.len += 4096,
                        _ => extents.push(Extent {
                            offset,
                            len: 4096,
                            physical: Some(page),
                            virtual_: Some(address),
                        }),
                    }
                    offset += 4096;
                }
                bit += 1;
            }
        }
        assert_eq!(offset, data.len() as u64);
        Image { data, extents }
    }

    fn holding(&self, offset: u64) -> Option<&Extent> {
        let at = self
            .extents
            .partition_point(|extent| extent.offset <= offset);
        let extent = self.extents.get(at.checked_sub(1)?)?;
        (offset - extent.offset < extent.len).then_some(extent)
    }
}

impl AddressSpace for Image {
    fn extents(&self) -> &[Extent] {
        &self.extents
    }

    fn bytes<'a>(&'a self, offset: u64, len: usize, _: &'a mut Vec<u8>) -> &'a [u8] {
        let Some(extent) = self.holding(offset) else {
            return &[];
        };
        let there = (extent.offset + extent.len - offset).min(len as u64);
        &self.data[offset as usize..(offset + there) as usize]
    }

    fn find_virtual(&self, address: u64) -> Option<(u64, u64)> {
        self.extents.iter().find_map(|extent| {
            let within = address.checked_sub(extent.virtual_?)?;
            (within < extent.len).then(|| (extent.offset + within, extent.len - within))
        })
    }

    fn find_physical(&self, _: u64) -> Option<(u64, u64)> {
        None
    }

    fn virtual_of(&self, offset: u64) -> Option<u64> {
        let extent = self.holding(offset)?;
        Some(extent.virtual_? + (offset - extent.offset))
    }

    fn physical_of(&self, _: u64) -> Option<u64> {
        None
    }
}
