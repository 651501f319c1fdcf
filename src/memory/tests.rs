//! What needs a reader that files cannot play: devices with holes and memory
//! that changes; and machines of which no whole dump is made elsewhere.

use super::files::Kind;
use super::open::open_reader;
use super::*;
use std::sync::atomic::{AtomicU8, Ordering};

/// A device of eight pages, each full of its number; those listed refuse.
struct Device {
    refuses: Vec<u64>,
    /// Added to every byte that is read, and counted up if it is not zero.
    changes: AtomicU8,
    /// A read over several pages refuses as a whole.
    is_strict: bool,
    /// Offset of the first page.
    base: u64,
}

impl Device {
    fn new(refuses: &[u64]) -> Device {
        Device {
            refuses: refuses.to_vec(),
            changes: AtomicU8::new(0),
            is_strict: false,
            base: 0,
        }
    }
}

impl ReadAt for Device {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let fault = || io::Error::from_raw_os_error(14);
        let offset = offset.checked_sub(self.base).ok_or_else(fault)?;
        assert_eq!(offset % 4096, 0, "disks are read by sectors");
        let change = self.changes.load(Ordering::Relaxed);
        if change > 0 {
            self.changes
                .store(change.wrapping_add(1).max(1), Ordering::Relaxed);
        }
        let mut done = 0;
        for (number, page) in (offset / 4096..8).zip(buffer.chunks_mut(4096)) {
            if self.refuses.contains(&number) {
                if done == 0 || self.is_strict {
                    return Err(fault());
                }
                break;
            }
            page.fill(number as u8 + change);
            done += page.len();
        }
        Ok(done)
    }
}

fn device(device: Device, kind: Kind, map: &[(u64, u64, u64)]) -> Image {
    let options = OpenOptions {
        physical_map: map
            .iter()
            .map(|(offset, physical, len)| PhysicalRange {
                offset: *offset,
                physical: *physical,
                len: *len,
            })
            .collect(),
        machine: Some(Machine::Amd64),
        ..OpenOptions::default()
    };
    open_reader("device", Box::new(device), u64::MAX, kind, &options).unwrap()
}

#[test]
fn physical_device_is_read_around_what_refuses() {
    for is_strict in [false, true] {
        let memory = Device {
            is_strict,
            ..Device::new(&[0, 3, 4])
        };
        let image = device(memory, Kind::Physical, &[(0, 0, 0x8000)]);
        assert!(image.is_live);
        assert_eq!(image.container, Container::PhysicalDevice);
        let mut scratch = Vec::new();
        assert!(image.bytes(0, 100, &mut scratch).is_empty());
        assert_eq!(image.next_readable(0), Some(0x1000));
        assert_eq!(image.bytes(0x1ff0, 0x4000, &mut scratch), {
            let mut expected = vec![1; 0x10];
            expected.extend([2; 0x1000]);
            expected
        });
        assert_eq!(image.next_readable(0x3000), Some(0x5000));
        assert_eq!(image.bytes(0x7ff0, 0x100, &mut scratch), [7; 0x10]);
        assert_eq!(image.next_readable(0x8000), None);
        let mut buffer = [0; 16];
        assert_eq!(image.read_virtual(0xffff_f800_0000_5ff8, &mut buffer), 16);
        assert_eq!(buffer, [5, 5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6]);
        assert_eq!(image.read_virtual(0xffff_f800_0000_2ff8, &mut buffer), 8);
        assert_eq!(image.find_virtual(0xffff_fe00_0000_0000), None);
        assert!(image.stable(0x1000, 8192));
        assert!(!image.stable(0x2000, 8192));
    }
}

#[test]
fn virtual_device_has_every_kernel_address() {
    let base = 0xffff_f800_0000_0000;
    let memory = Device {
        base,
        ..Device::new(&[0, 3])
    };
    let image = device(memory, Kind::Virtual, &[(0, 0, 0x8000)]);
    assert_eq!(image.extents().len(), 1);
    assert_eq!(image.extents()[0].virtual_, Some(base));
    assert_eq!(image.next_readable(0), Some(base + 0x1000));
    assert_eq!(image.physical_of(base + 0x1234), Some(0x1234));
    let mut buffer = [0; 0x2800];
    assert_eq!(image.read_virtual(base + 0x1800, &mut buffer), 0x1800);
    assert_eq!(image.find_physical(0x5678), Some((base + 0x5678, 0x2988)));
    assert_eq!(image.find_virtual(0x7f00_0000_0000), None);
    assert_eq!(image.find_virtual(u64::MAX), None);
    assert_eq!(image.find_virtual(u64::MAX - 9), Some((u64::MAX - 9, 9)));
    assert_eq!(image.read_virtual(u64::MAX - 9, &mut buffer), 0);
}

#[test]
fn memory_that_changes_is_not_stable() {
    let memory = Device::new(&[]);
    memory.changes.store(1, Ordering::Relaxed);
    let image = device(memory, Kind::Physical, &[(0, 0, 0x8000)]);
    assert!(!image.stable(0x1000, 16));
    assert!(!image.confirm(0x1000, &[2; 16]));
    let image = device(Device::new(&[]), Kind::Physical, &[(0, 0, 0x8000)]);
    assert!(image.confirm(0x1000, &[1; 16]));
    assert!(!image.confirm(0x1000, &[2; 16]));
}

/// A file that cannot be mapped is read as well, without being live memory.
#[test]
fn reader_that_is_no_memory_gives_any_container() {
    struct Bytes(Vec<u8>);
    impl ReadAt for Bytes {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let rest = self.0.get(offset as usize..).unwrap_or(&[]);
            // Short, as some devices are.
            let len = rest.len().min(buffer.len()).min(512);
            buffer[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        }
    }
    let mut lime = Vec::new();
    for (first, byte) in [(0x1000u64, 1), (0x8000, 2)] {
        lime.extend(b"EMiL\x01\0\0\0");
        lime.extend(first.to_le_bytes());
        lime.extend((first + 0xfff).to_le_bytes());
        lime.extend([0; 8]);
        lime.extend([byte; 0x1000]);
    }
    lime.extend(b"EMiL and no more");
    let size = lime.len() as u64;
    let options = OpenOptions::default();
    let image = open_reader("lime", Box::new(Bytes(lime)), size, Kind::File, &options).unwrap();
    assert_eq!(image.container, Container::Lime);
    assert_eq!(image.extents().len(), 3);
    let mut buffer = [0; 0x1001];
    assert_eq!(image.read_physical(0x1000, &mut buffer), 0x1000);
    assert_eq!(buffer[..0x1000], [1; 0x1000]);
    assert_eq!(image.read_physical(0x8ff0, &mut buffer), 0x10);
    assert_eq!(image.physical_of(0x1000 + 32 + 32), Some(0x8000));
    assert_eq!(image.notes.len(), 1, "{:?}", image.notes);
    assert_eq!(image.remarks.len(), 1, "{:?}", image.remarks);
}

/// powerpc64 is big endian in header, ranges and bitmap.
#[test]
fn minidump_of_powerpc64() {
    let mut file = vec![0; 5 * 4096];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"minidump FreeBSD/powerpc64");
    put(32, b"mmu_g5");
    for (at, value) in [(64, 2u32), (68, 0), (72, 8), (76, 0), (112, 1), (136, 32)] {
        put(at, &value.to_be_bytes());
    }
    for (at, value) in [(96, 0xc000_0000_0000_0000u64), (104, 0xc000_0001_0000_0000)] {
        put(at, &value.to_be_bytes());
    }
    put(4096, &0x10_0000u64.to_be_bytes());
    put(4104, &0x20_0000u64.to_be_bytes());
    // Pages 1 and 40 of the range.
    put(8192, &(1u64 << 1 | 1 << 40).to_be_bytes());
    put(12288, &[1; 4096]);
    put(16384, &[2; 4096]);
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), &file).unwrap();
    let image = open(path.path(), &OpenOptions::default()).unwrap();
    assert_eq!(image.machine, Some(Machine::Powerpc64));
    assert_eq!(image.find_physical(0x10_1000), Some((12288, 4096)));
    assert_eq!(
        image.find_virtual(0xc000_0000_0012_8010),
        Some((16384 + 16, 4080))
    );
    assert_eq!(image.notes, Vec::<String>::new());
}

/// 32-bit kernels write `dump_avail` in 64 bits, and some in 32.
#[test]
fn minidump_of_arm_with_narrow_ranges() {
    for is_narrow in [true, false] {
        let mut file = vec![0; 5 * 4096];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"minidump FreeBSD/arm\0");
        for (at, value) in [
            (24, 2u32),
            (32, 4096),
            (36, 8),
            (40, 0xc000_0000),
            (48, 2),
            (52, 32),
        ] {
            put(at, &value.to_le_bytes());
        }
        for (index, value) in [0x1000_0000u32, 0x1010_0000].into_iter().enumerate() {
            match is_narrow {
                true => put(4096 + 4 * index, &value.to_le_bytes()),
                false => put(4096 + 8 * index, &u64::from(value).to_le_bytes()),
            }
        }
        put(8192, &[0b100]);
        put(12288 + 4, &(0x1000_2000u32 | 0x453).to_le_bytes());
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), &file).unwrap();
        let image = open(path.path(), &OpenOptions::default()).unwrap();
        assert_eq!(image.physical_of(16384), Some(0x1000_2000));
        assert_eq!(image.find_virtual(0xc000_1004), Some((16384 + 4, 4092)));
        assert_eq!(image.find_virtual(0xc000_0004), None);
        assert_eq!(image.notes, Vec::<String>::new());
    }
}

#[test]
fn endless_devices_are_refused() {
    let error = open(std::path::Path::new("/dev/zero"), &OpenOptions::default());
    assert!(matches!(error, Err(MemoryError::Refused { .. })));
}

#[test]
fn unpacking_is_limited_and_sparse() {
    use std::io::Write;
    let mut zeros = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    for _ in 0..64 {
        zeros.write_all(&[0; 1 << 20]).unwrap();
    }
    zeros.write_all(b"end").unwrap();
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), zeros.finish().unwrap()).unwrap();
    let image = open(path.path(), &OpenOptions::default()).unwrap();
    assert_eq!(image.size, (64 << 20) + 3);
    let mut scratch = Vec::new();
    assert_eq!(image.bytes(64 << 20, 100, &mut scratch), b"end");
    let options = OpenOptions {
        max_unpacked: Some(5000),
        ..OpenOptions::default()
    };
    let image = open(path.path(), &options).unwrap();
    assert_eq!((image.size, image.notes.len()), (5000, 1));
}
