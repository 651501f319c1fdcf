//! Makes containers of memory of every kind out of pages of the genuine dump.
//!
//! Written from the formats' descriptions and not from the library's reader:
//! what both understand wrongly would have to be wrong twice.

mod minidump;

// Each test uses a part of it.
#[allow(unused_imports)]
pub use minidump::{minidump_again, minidump_amd64, minidump_direct, minidump_i386};
use std::collections::BTreeMap;
use std::io::Write;

/// Pages of 4096 bytes by physical address.
pub type Pages = BTreeMap<u64, Vec<u8>>;

pub const PAGE: u64 = 4096;

/// Where the synthetic containers map their pages one after the other, from
/// the first address of the kernel map on.
pub const KERNEL_MAP: u64 = 0xffff_fe00_0000_0000;

/// The direct map of amd64.
pub const DIRECT_MAP: u64 = 0xffff_f800_0000_0000;

/// A synthetic image and what is true of it.
pub struct Made {
    pub name: String,
    pub bytes: Vec<u8>,
    /// By which physical addresses are moved against the genuine ones.
    pub moved: u64,
    /// Virtual address of physical address zero.
    pub direct_map: Option<u64>,
    /// Virtual address of the first page, the others behind it.
    pub kernel_map: Option<u64>,
    /// Offset, physical address and length, for images that do not say it.
    pub physical_map: Vec<(u64, u64, u64)>,
}

impl Made {
    fn new(name: &str, bytes: Vec<u8>) -> Made {
        Made {
            name: name.to_owned(),
            bytes,
            moved: 0,
            direct_map: Some(DIRECT_MAP),
            kernel_map: None,
            physical_map: Vec::new(),
        }
    }
}

fn pad(bytes: &mut Vec<u8>, unit: u64) {
    bytes.resize(bytes.len().next_multiple_of(unit as usize), 0);
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Runs of pages that follow each other: first address and bytes.
pub fn runs(pages: &Pages) -> Vec<(u64, Vec<u8>)> {
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    for (address, page) in pages {
        match runs.last_mut() {
            Some((start, bytes)) if *start + bytes.len() as u64 == *address => bytes.extend(page),
            _ => runs.push((*address, page.clone())),
        }
    }
    runs
}

/// The same pages elsewhere.
pub fn moved(pages: &Pages, by: u64) -> Pages {
    let shifted = pages
        .iter()
        .map(|(address, page)| (address + by, page.clone()));
    shifted.collect()
}

/// A place for pages of the generator's own, behind all others.
fn behind(pages: &Pages) -> u64 {
    (pages.keys().last().unwrap() + PAGE).next_multiple_of(1 << 21)
}

/// Eight bytes a number.
fn long_table(entries: impl IntoIterator<Item = u64>) -> Vec<u8> {
    entries.into_iter().flat_map(u64::to_le_bytes).collect()
}

fn page_table(entries: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut table = long_table(entries);
    table.resize(PAGE as usize, 0);
    table
}

/// Adds a page table of amd64 for each 512 of `pages` and gives the entries of
/// the directory above.
fn directory(pages: &mut Pages) -> Vec<u64> {
    let mut next = behind(pages);
    let entries: Vec<u64> = pages.keys().map(|address| address | 3 | 1 << 63).collect();
    let mut directory = Vec::new();
    for table in entries.chunks(512) {
        pages.insert(next, page_table(table.iter().copied()));
        directory.push(next | 0x67);
        next += PAGE;
    }
    directory
}

/// All physical memory as an ELF core, with the page tables of the machine.
pub fn full_dump(pages: &Pages) -> Made {
    let mut all = pages.clone();
    let lower = directory(&mut all);
    let next = all.keys().last().unwrap() + PAGE;
    let (low, upper, top) = (next, next + PAGE, next + 2 * PAGE);
    all.insert(low, page_table(lower));
    all.insert(upper, page_table([low | 0x67]));
    let mut entries = [0; 512];
    entries[256] = top | 0x63;
    for index in [496, 508, 511] {
        entries[index] = upper | 0x67;
    }
    all.insert(top, page_table(entries));
    Made {
        kernel_map: Some(KERNEL_MAP),
        ..Made::new("full dump", elf_core(&runs(&all), 255, 62, 0))
    }
}

/// arm64's and riscv's: the direct map begins at the GiB of the lowest address.
pub fn full_dump_direct(pages: &Pages, machine: &str) -> Made {
    let (start, direct_map, number) = match machine {
        "arm64" => (1 << 30, 0xffff_a000_0000_0000u64, 183),
        _ => (1 << 31, 0xffff_ffd0_0000_0000, 243),
    };
    Made {
        moved: start,
        direct_map: Some(direct_map - start),
        ..Made::new(
            &format!("full dump {machine}"),
            elf_core(&runs(&moved(pages, start)), 255, number, 0),
        )
    }
}

/// As QEMU's dump-guest-memory writes: physical addresses only, after notes.
pub fn guest_core(pages: &Pages) -> Made {
    Made::new("guest core", elf_core(&runs(pages), 0, 62, 1))
}

/// An ELF core of runs by physical address.
pub fn elf_core(runs: &[(u64, Vec<u8>)], os_abi: u8, machine: u16, notes: u16) -> Vec<u8> {
    let mut note = Vec::new();
    for owner in ["CORE\0", "QEMU\0"].iter().take(2 * usize::from(notes)) {
        note.extend(5u32.to_le_bytes());
        note.extend(8u32.to_le_bytes());
        note.extend(1u32.to_le_bytes());
        note.extend(owner.as_bytes());
        note.extend([0; 3 + 8]);
    }
    let count = runs.len() as u16 + notes;
    let mut file = vec![0; 64];
    put(&mut file, 0, b"\x7fELF\x02\x01\x01");
    file[7] = os_abi;
    put(&mut file, 16, &4u16.to_le_bytes());
    put(&mut file, 18, &machine.to_le_bytes());
    put(&mut file, 20, &1u32.to_le_bytes());
    put(&mut file, 32, &64u64.to_le_bytes());
    put(&mut file, 52, &64u16.to_le_bytes());
    put(&mut file, 54, &56u16.to_le_bytes());
    put(&mut file, 56, &count.to_le_bytes());
    let mut at = 64 + 56 * u64::from(count);
    let mut segment = |kind: u32, address: u64, len: u64| {
        file.extend(kind.to_le_bytes());
        file.extend(4u32.to_le_bytes());
        // QEMU writes no virtual address, FreeBSD the physical one.
        let virtual_ = if os_abi == 255 { address } else { 0 };
        for value in [at, virtual_, address, len, len, 0] {
            file.extend(value.to_le_bytes());
        }
        at += len;
    };
    if notes > 0 {
        segment(4, 0, note.len() as u64);
    }
    for (address, bytes) in runs {
        segment(1, *address, bytes.len() as u64);
    }
    file.extend(note);
    for (_, bytes) in runs {
        file.extend(bytes);
    }
    file
}

pub fn lime(pages: &Pages) -> Made {
    let mut file = Vec::new();
    for (address, bytes) in runs(pages) {
        file.extend(b"EMiL");
        file.extend(1u32.to_le_bytes());
        file.extend(address.to_le_bytes());
        file.extend((address + bytes.len() as u64 - 1).to_le_bytes());
        file.extend([0; 8]);
        file.extend(bytes);
    }
    Made::new("LiME", file)
}

/// Memory without a header, whose map the user has to give.
pub fn raw(pages: &Pages) -> Made {
    let mut file = vec![0x5a; 100];
    let mut physical_map = Vec::new();
    for (address, bytes) in runs(pages) {
        physical_map.push((file.len() as u64, address, bytes.len() as u64));
        file.extend(bytes);
    }
    Made {
        physical_map,
        ..Made::new("raw", file)
    }
}

/// struct kerneldumpheader of version 4, or 1 as FreeBSD 11 wrote it.
pub fn dump_header(version: u32, dump: u64, extent: u64, block: u32, key: u32) -> Vec<u8> {
    let mut header = vec![0; 512];
    put(&mut header, 0, b"FreeBSD Kernel Dump");
    put(&mut header, 20, b"amd64");
    put(&mut header, 32, &version.to_be_bytes());
    put(&mut header, 36, &2u32.to_be_bytes());
    put(&mut header, 40, &dump.to_be_bytes());
    put(&mut header, 48, &1_700_000_000u64.to_be_bytes());
    let texts = if version == 1 {
        put(&mut header, 56, &block.to_be_bytes());
        [60, 124, 316]
    } else {
        put(&mut header, 56, &key.to_be_bytes());
        put(&mut header, 60, &block.to_be_bytes());
        put(&mut header, 496, &extent.to_be_bytes());
        [64, 128, 320]
    };
    put(&mut header, texts[0], b"host.example");
    put(&mut header, texts[1], b"FreeBSD 13.2-RELEASE GENERIC\n");
    put(&mut header, texts[2], b"sysctl debug.kdb.panic");
    mend_parity(&mut header);
    header
}

/// Makes the words of a header xor to zero.
pub fn mend_parity(header: &mut [u8]) {
    put(header, 508, &[0; 4]);
    let mut parity = [0; 4];
    for word in header[..512].chunks(4) {
        for (sum, byte) in parity.iter_mut().zip(word) {
            *sum ^= byte;
        }
    }
    put(header, 508, &parity);
}

/// The same dump as a kernel leaves it at the end of a partition.
pub fn dump_device(inner: Made, version: u32, block: u32, packed: bool) -> Made {
    let mut dump = inner.bytes;
    if packed {
        dump = zstd(&dump);
    }
    let len = dump.len() as u64;
    pad(&mut dump, u64::from(block));
    // As much as was set aside: the header of version 1 knows no other length.
    if packed {
        dump.extend(vec![0; 16 * block as usize]);
    }
    let mut header = dump_header(version, len, dump.len() as u64, block, 0);
    pad(&mut header, u64::from(block));
    let mut device = vec![0xa5; 64 << 10];
    device.extend(&header);
    device.extend(dump);
    device.extend(&header);
    Made {
        name: format!("device {version} {block} {packed}: {}", inner.name),
        bytes: device,
        ..inner
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::fast();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// With a window that decoders refuse by default.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(30).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One of each kind.
pub fn all(pages: &Pages) -> Vec<Made> {
    vec![
        minidump_amd64(pages, 1),
        minidump_amd64(pages, 2),
        minidump_amd64(pages, 3),
        minidump_direct(pages, "arm64", 1, PAGE),
        minidump_direct(pages, "arm64", 2, PAGE),
        minidump_direct(pages, "arm64", 3, PAGE),
        minidump_direct(pages, "arm64", 3, 16384),
        minidump_direct(pages, "riscv", 1, PAGE),
        minidump_direct(pages, "riscv", 2, PAGE),
        minidump_i386(pages, 1, false),
        minidump_i386(pages, 2, true),
        full_dump(pages),
        full_dump_direct(pages, "arm64"),
        full_dump_direct(pages, "riscv"),
        guest_core(pages),
        lime(pages),
        raw(pages),
        dump_device(minidump_amd64(pages, 3), 4, 512, false),
        dump_device(minidump_amd64(pages, 3), 4, 4096, true),
        dump_device(minidump_amd64(pages, 2), 1, 512, false),
        dump_device(full_dump(pages), 4, 4096, false),
    ]
}
