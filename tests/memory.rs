//! Memory is read right through every container: against the lists that were
//! found in the genuine dumps by other means, and by the same pages in
//! containers of every kind.

mod support;

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use support::memory::{self, Made, Pages};
use support::stored;
use tcplog::memory::{
    AddressSpace, Container, Image, Machine, MemoryError, OpenOptions, Owner, PhysicalRange, open,
    open_parts,
};

fn read_image(path: &Path) -> Image {
    open(path, &OpenOptions::default()).unwrap()
}

fn stored_core(name: &str) -> PathBuf {
    support::testdata(&format!("cores/{name}.zst"))
}

fn truth(name: &str) -> Value {
    serde_json::from_slice(&stored(&format!("cores/{name}.truth.json.zst"))).unwrap()
}

/// One of `log.entries`: a tcp_log_mem that was found by walking lists.
struct Entry {
    address: u64,
    sn: u32,
    event: u8,
    /// In the minidump, where it is told.
    offset: Option<u64>,
}

/// Every `log.entries` below a value.
fn entries(value: &Value, found: &mut Vec<Entry>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if key != "entries" {
                    entries(value, found);
                    continue;
                }
                for entry in value.as_array().unwrap() {
                    found.push(Entry {
                        address: hexadecimal(&entry[0]),
                        sn: entry[1].as_u64().unwrap() as u32,
                        event: entry[3].as_u64().unwrap() as u8,
                        offset: entry[8].as_u64(),
                    });
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| entries(value, found)),
        _ => {}
    }
}

/// Reads the record of each entry back and compares serial number and event.
fn check_entries(image: &Image, truth: &Value) -> usize {
    let mut found = Vec::new();
    entries(truth, &mut found);
    for entry in &found {
        let address = entry.address;
        let mut record = [0; 408];
        let there = image.read_virtual(address, &mut record);
        assert_eq!(there, record.len(), "{address:#x}");
        assert_eq!(record[28..32], entry.sn.to_le_bytes(), "{address:#x}");
        assert_eq!(record[33], entry.event, "{address:#x}");
        let (offset, _) = image.find_virtual(address).unwrap();
        assert_eq!(image.virtual_of(offset), Some(address), "{address:#x}");
    }
    found.len()
}

#[test]
fn genuine_minidump() {
    let image = read_image(&stored_core("kernel-vmcore"));
    assert_eq!(image.container, Container::Minidump { version: 3 });
    assert_eq!(image.machine, Some(Machine::Amd64));
    assert_eq!((image.owner, image.page_size), (Owner::Kernel, 4096));
    assert_eq!(image.layers, ["zstd"]);
    assert_eq!(image.notes, Vec::<String>::new());
    let bytes: u64 = image.extents().iter().map(|extent| extent.len).sum();
    assert_eq!(bytes, 12_120 * 4096);
    let truth = truth("kernel-vmcore");
    assert_eq!(check_entries(&image, &truth), 630 + 120 + 351);
    let mut found = Vec::new();
    entries(&truth, &mut found);
    for entry in found {
        let offset = image.find_virtual(entry.address).map(|(offset, _)| offset);
        // Told are offsets of the record behind the link, in the dump as it was
        // before 1602 pages with code were left out.
        let left_out = [0, 1602 * memory::PAGE];
        assert!(
            left_out
                .iter()
                .any(|bytes| offset.map(|at| at + 8 + bytes) == entry.offset)
        );
    }
    let mut scratch = Vec::new();
    let msgbuf = image.msgbuf.clone().unwrap();
    let text = image.raw_bytes(msgbuf.start, 98_232, &mut scratch);
    let text = String::from_utf8_lossy(text);
    assert!(text.contains("FreeBSD 13.2-RELEASE"), "{text}");
}

/// tcpcbs are in the kernel map: their addresses go through page tables.
#[test]
fn kernel_map_of_the_genuine_minidump() {
    let image = read_image(&stored_core("kernel-vmcore"));
    let truth = truth("kernel-vmcore");
    let layouts: Value = serde_json::from_slice(&stored("cores/kernel.layouts.json.zst")).unwrap();
    let fields = layouts["structs"]["tcpcb"]["fields"].as_array().unwrap();
    let offset_of = |name: &str| {
        let field = fields.iter().find(|field| field["name"] == name).unwrap();
        field["offset"].as_u64().unwrap()
    };
    let (number, iss) = (offset_of("t_lognum"), offset_of("iss"));
    let mut outside = 0;
    for pcb in truth["pcbs"].as_array().unwrap() {
        let address = hexadecimal(&pcb["tp"]);
        if !pcb["iss"].is_u64() {
            continue;
        }
        outside += usize::from(address >= memory::KERNEL_MAP);
        for (offset, name) in [(number, "t_lognum"), (iss, "iss")] {
            let mut value = [0; 4];
            assert_eq!(image.read_virtual(address + offset, &mut value), 4);
            let value = u64::from(u32::from_le_bytes(value));
            assert_eq!(Some(value), pcb[name].as_u64(), "{name} of {address:#x}");
        }
    }
    assert_eq!(outside, 16);
    // The kernel's data is in large pages.
    let version = hexadecimal(&layouts["symbols"]["version"]);
    let mut text = [0; 20];
    assert_eq!(image.read_virtual(version, &mut text), 20);
    assert_eq!(&text, b"FreeBSD 13.2-RELEASE");
}

fn hexadecimal(value: &Value) -> u64 {
    let digits = value.as_str().unwrap().trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap()
}

#[test]
fn genuine_process_cores() {
    for (name, count) in [("live", 1611 + 87 + 115), ("idle", 1863 + 87), ("nolog", 0)] {
        let image = read_image(&stored_core(&format!("{name}.elf")));
        assert_eq!(image.container, Container::ProcessCore);
        assert_eq!(
            (image.machine, image.owner),
            (Some(Machine::Amd64), Owner::Process)
        );
        assert_eq!(image.notes, Vec::<String>::new(), "{name}");
        assert_eq!(check_entries(&image, &truth(name)), count, "{name}");
    }
}

/// The pages of the genuine dump in which records are, with some neighbours.
fn slabs() -> (Image, Pages) {
    let image = read_image(&stored_core("kernel-vmcore"));
    let mut found = Vec::new();
    entries(&truth("kernel-vmcore"), &mut found);
    let mut pages = Pages::new();
    for entry in found {
        let first = (entry.address - memory::DIRECT_MAP) / memory::PAGE * memory::PAGE;
        for physical in [first, first + memory::PAGE] {
            let mut page = vec![0; memory::PAGE as usize];
            if image.read_physical(physical, &mut page) == page.len() {
                pages.insert(physical, page);
            }
        }
    }
    assert!(pages.len() > 60, "{}", pages.len());
    (image, pages)
}

fn options(made: &Made) -> OpenOptions {
    let ranges = made.physical_map.iter();
    OpenOptions {
        physical_map: ranges
            .map(|(offset, physical, len)| PhysicalRange {
                offset: *offset,
                physical: *physical,
                len: *len,
            })
            .collect(),
        ..OpenOptions::default()
    }
}

/// Opens bytes as a file.
fn open_bytes(bytes: &[u8], options: &OpenOptions) -> Result<Image, MemoryError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    open(file.path(), options)
}

/// Every page by every address that it has, and back.
fn check_pages(image: &Image, made: &Made, pages: &Pages) {
    let name = &made.name;
    let mut buffer = vec![0; memory::PAGE as usize];
    let mut scratch = Vec::new();
    for (index, (address, page)) in pages.iter().enumerate() {
        let physical = address + made.moved;
        assert_eq!(
            image.read_physical(physical, &mut buffer),
            4096,
            "{name} {physical:#x}"
        );
        assert!(buffer == *page, "{name} {physical:#x}");
        let (offset, there) = image.find_physical(physical + 8).unwrap();
        assert!(there >= 4088, "{name}");
        assert_eq!(
            image.bytes(offset, 4088, &mut scratch),
            &page[8..],
            "{name}"
        );
        assert_eq!(image.physical_of(offset), Some(physical + 8), "{name}");
        if let Some(base) = made.direct_map {
            let address = base.wrapping_add(physical);
            assert_eq!(image.virtual_of(offset), Some(address + 8), "{name}");
            assert_eq!(
                image.find_virtual(address + 8),
                Some((offset, there)),
                "{name}"
            );
        }
        if let Some(base) = made.kernel_map {
            let address = base + index as u64 * memory::PAGE + 8;
            assert_eq!(image.find_virtual(address), Some((offset, 4088)), "{name}");
        }
    }
    if let Some(base) = made.kernel_map {
        let beyond = base + pages.len() as u64 * memory::PAGE;
        assert_eq!(image.find_virtual(beyond), None, "{name}");
    }
}

#[test]
fn every_container_reads_back_equal() {
    let (_, pages) = slabs();
    for made in memory::all(&pages) {
        let image = open_bytes(&made.bytes, &options(&made)).unwrap();
        check_pages(&image, &made, &pages);
        assert!(image.notes.is_empty(), "{}: {:?}", made.name, image.notes);
        // Containers without page tables have them said to be assumed.
        let assumed = usize::from(["LiME", "raw"].contains(&made.name.as_str()));
        let said = &image.remarks;
        assert_eq!(said.len(), assumed, "{}: {said:?}", made.name);
        if made.direct_map == Some(memory::DIRECT_MAP) {
            check_entries(&image, &truth("kernel-vmcore"));
        }
    }
}

#[test]
fn every_container_reads_back_equal_when_it_is_packed() {
    let (_, pages) = slabs();
    for made in memory::all(&pages) {
        for (name, pack) in [
            ("gzip", memory::gzip as fn(&[u8]) -> Vec<u8>),
            ("zstd", memory::zstd),
            ("xz", memory::xz),
        ] {
            let image = open_bytes(&pack(&made.bytes), &options(&made)).unwrap();
            assert_eq!(image.layers[0], name);
            check_pages(&image, &made, &pages);
        }
    }
}

#[test]
fn dump_devices_tell_of_the_dump() {
    let (_, pages) = slabs();
    for version in [1, 4] {
        let made = memory::dump_device(memory::lime(&pages), version, 512, false);
        let image = open_bytes(&made.bytes, &OpenOptions::default()).unwrap();
        assert_eq!(image.layers, ["dump device"]);
        assert_eq!(image.container, Container::Lime);
        assert_eq!(image.machine, Some(Machine::Amd64));
        assert_eq!(image.dump_time_us, Some(1_700_000_000_000_000));
        assert_eq!(image.hostname.as_deref(), Some("host.example"));
        assert_eq!(
            image.version_string.as_deref(),
            Some("FreeBSD 13.2-RELEASE GENERIC")
        );
        assert_eq!(
            image.panic_string.as_deref(),
            Some("sysctl debug.kdb.panic")
        );
    }
    // The same without what lies before the first header.
    let made = memory::dump_device(memory::minidump_amd64(&pages, 3), 4, 4096, true);
    let image = open_bytes(&made.bytes[64 << 10..], &options(&made)).unwrap();
    assert_eq!(image.layers, ["dump device", "zstd"]);
    check_pages(&image, &made, &pages);
    // Savecore's mark and an overwritten first header are told.
    let mut cleared = made.bytes.clone();
    let last = cleared.len() - 4096;
    cleared[last..last + 20].copy_from_slice(b"Cleared Kernel Dump\0");
    let image = open_bytes(&cleared, &options(&made)).unwrap();
    check_pages(&image, &made, &pages);
    assert_eq!(image.notes.len(), 2, "{:?}", image.notes);
    // A header whose parity is wrong is not believed.
    let mut wrong = made.bytes.clone();
    wrong[last + 41] ^= 1;
    let image = open_bytes(&wrong, &options(&made)).unwrap();
    assert_eq!(image.container, Container::Raw);
    assert!(image.notes[0].contains("parity"), "{:?}", image.notes);
}

#[test]
fn what_holds_no_memory_is_refused_with_advice() {
    let mut text = memory::dump_header(4, 512, 512, 512, 0);
    text[..20].copy_from_slice(b"FreeBSD Text Dump\0\0\0");
    memory::mend_parity(&mut text);
    let mut tar = vec![0; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    let locked = memory::dump_header(4, 512, 512, 512, 512);
    for (bytes, advice) in [
        (text, "no memory"),
        (tar, "no memory"),
        (locked, "decryptcore"),
        (b"KDUMP   \x06\0\0\0".to_vec(), "makedumpfile"),
        (b"makedumpfile\0\0\0\0".to_vec(), "makedumpfile"),
        (b"AVML\x02\0\0\0".to_vec(), "avml-convert"),
        (b"minidump FreeBSD/mips\0".repeat(20), "mips"),
    ] {
        for bytes in [memory::gzip(&bytes), bytes] {
            let error = open_bytes(&bytes, &OpenOptions::default()).err().unwrap();
            assert!(matches!(error, MemoryError::Refused { .. }), "{error}");
            assert!(error.to_string().contains(advice), "{error}");
        }
    }
    let mut deep = b"deep".to_vec();
    for _ in 0..3 {
        deep = memory::gzip(&deep);
    }
    assert_eq!(open_bytes(&deep, &OpenOptions::default()).unwrap().size, 4);
    let deeper = open_bytes(&memory::gzip(&deep), &OpenOptions::default());
    assert!(matches!(deeper, Err(MemoryError::Refused { .. })));
}

#[test]
fn parts_are_one_image() {
    let (_, pages) = slabs();
    let directory = tempfile::tempdir().unwrap();
    for made in [memory::minidump_amd64(&pages, 3), memory::raw(&pages)] {
        let mut paths = Vec::new();
        // Not whole pages, so that pages are cut.
        for (index, part) in made.bytes.chunks(made.bytes.len() / 5 + 77).enumerate() {
            let path = directory.path().join(format!("part{index}"));
            fs::write(&path, part).unwrap();
            paths.push(path);
        }
        let image = open_parts(&paths, &options(&made)).unwrap();
        check_pages(&image, &made, &pages);
        let at = made.bytes.len() as u64 / 5 + 77;
        let first = paths[0].display().to_string();
        let second = paths[1].display().to_string();
        assert_eq!(image.part_of(at - 1), Some((first.as_str(), at - 1)));
        assert_eq!(image.part_of(at + 3), Some((second.as_str(), 3)));
        assert_eq!(image.part_of(made.bytes.len() as u64), None);
        let mut scratch = Vec::new();
        let across = image.raw_bytes(at - 10, 20, &mut scratch);
        assert_eq!(across, &made.bytes[at as usize - 10..at as usize + 10]);
    }
}

/// Uses everything that an image offers, and reads all of it.
fn exercise(image: &Image) {
    let mut scratch = Vec::new();
    let mut last = 0;
    for extent in image.extents() {
        assert!(extent.offset >= last && extent.len > 0);
        last = extent.offset.checked_add(extent.len).unwrap();
        assert!(last <= image.size);
        assert!(
            extent
                .physical
                .is_none_or(|at| at.checked_add(extent.len).is_some())
        );
        assert!(
            extent
                .virtual_
                .is_none_or(|at| at.checked_add(extent.len).is_some())
        );
        let bytes = image.bytes(extent.offset, usize::MAX, &mut scratch);
        assert_eq!(bytes.len() as u64, extent.len);
    }
    let mut buffer = [0; 5000];
    for shift in 0..64 {
        for address in [
            u64::MAX << shift,
            (1 << shift) - 1,
            memory::KERNEL_MAP.wrapping_add(1 << shift),
        ] {
            image.read_virtual(address, &mut buffer);
            image.read_physical(address, &mut buffer);
            for found in [image.find_virtual(address), image.find_physical(address)] {
                assert!(found.is_none_or(|(at, len)| len > 0 && at + len <= image.size));
            }
            image.virtual_of(address);
            image.physical_of(address);
            image.next_readable(address);
        }
    }
}

#[test]
fn truncated_anywhere() {
    let (_, pages) = slabs();
    let pages: Pages = pages.into_iter().take(40).collect();
    for made in memory::all(&pages) {
        let packed = memory::zstd(&made.bytes);
        for bytes in [&made.bytes, &packed, &memory::gzip(&made.bytes)] {
            for part in 0..37 {
                let cut = bytes.len() * part / 37;
                if let Ok(image) = open_bytes(&bytes[..cut], &options(&made)) {
                    exercise(&image);
                    // The header behind a dump is what tells of a dump device.
                    let told = made.name.starts_with("device") || !image.notes.is_empty();
                    assert!(told, "{} at {cut}", made.name);
                }
            }
        }
        for cut in 0..80 {
            if let Ok(image) = open_bytes(&made.bytes[..cut], &options(&made)) {
                exercise(&image);
            }
        }
    }
}

#[test]
fn headers_that_lie() {
    let (_, pages) = slabs();
    let pages: Pages = pages.into_iter().take(10).collect();
    for made in memory::all(&pages) {
        for at in (16..300).step_by(4).chain([500, 504, 4100, 8200]) {
            for value in [0u32, 1, 0x7fff_ffff, 0x8000_0001, 0xffff_ffff, 0xffff_f000] {
                let mut bytes = made.bytes.clone();
                for place in [at, bytes.len().saturating_sub(512) + at % 512] {
                    if let Some(place) = bytes.get_mut(place..place + 4) {
                        place.copy_from_slice(&value.to_le_bytes());
                    }
                }
                if let Ok(image) = open_bytes(&bytes, &options(&made)) {
                    exercise(&image);
                }
            }
        }
    }
}

/// Page tables that are garbage or lead to themselves.
#[test]
fn page_tables_that_lie() {
    let (_, pages) = slabs();
    let pages: Pages = pages.into_iter().take(10).collect();
    let address = *pages.keys().next().unwrap();
    for made in memory::all(&pages) {
        let mut all = pages.clone();
        let cyclic = (address | 3).to_le_bytes().repeat(512);
        all.insert(address, cyclic.clone());
        let made = memory::all(&all)
            .into_iter()
            .find(|one| one.name == made.name)
            .unwrap();
        let mut bytes = made.bytes.clone();
        // Whatever tables there are: all entries become the cyclic one.
        let places: Vec<usize> = bytes
            .chunks(8)
            .enumerate()
            .filter(|(_, word)| word.len() == 8 && word[0] == 0x67 && word[3..] == [0; 5])
            .map(|(index, _)| index * 8)
            .collect();
        for place in places {
            bytes[place..place + 8].copy_from_slice(&cyclic[..8]);
        }
        if let Ok(image) = open_bytes(&bytes, &options(&made)) {
            exercise(&image);
        }
    }
}

#[test]
fn segments_over_each_other() {
    let page = |byte: u8| vec![byte; 4096];
    let runs = [
        (0x1000, page(1)),
        (0x1800, page(2)),
        (u64::MAX - 0xfff, page(3)),
    ];
    let mut bytes = memory::elf_core(&runs, 255, 62, 0);
    let image = open_bytes(&bytes, &OpenOptions::default()).unwrap();
    exercise(&image);
    let mut buffer = [0; 0x1800];
    assert_eq!(image.read_physical(0x1000, &mut buffer), 0x1800);
    assert_eq!((buffer[0xfff], buffer[0x1000]), (1, 2));
    assert_eq!(image.notes.len(), 1, "{:?}", image.notes);
    // The second segment at the place of the first, too long for the file.
    let (first, second) = (64, 64 + 56);
    bytes.copy_within(first + 8..first + 16, second + 8);
    bytes[second + 32..second + 40].copy_from_slice(&u64::MAX.to_le_bytes());
    let image = open_bytes(&bytes, &OpenOptions::default()).unwrap();
    exercise(&image);
    assert!(image.notes.len() >= 2, "{:?}", image.notes);
}

/// A pipe is read to its end and then is as a file.
#[test]
fn pipes_are_spooled() {
    let (_, pages) = slabs();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let made = memory::lime(&pages);
    for bytes in [made.bytes.clone(), memory::gzip(&made.bytes)] {
        let to = path.clone();
        let writer = std::thread::spawn(move || fs::write(to, bytes).unwrap());
        let image = open(&path, &OpenOptions::default()).unwrap();
        writer.join().unwrap();
        check_pages(&image, &made, &pages);
    }
}

#[test]
fn elf_that_is_no_core_is_raw() {
    let mut bytes = memory::elf_core(&[(0x1000, vec![7; 4096])], 0, 62, 0);
    bytes[16] = 2;
    let image = open_bytes(&bytes, &OpenOptions::default()).unwrap();
    assert_eq!(image.container, Container::Raw);
    assert_eq!(image.extents().len(), 1);
    assert_eq!(image.extents()[0].len, bytes.len() as u64);
    assert!(image.notes[0].contains("no core"), "{:?}", image.notes);
}
