//! Minidumps: header, ranges, bitmap and page tables around given pages.

use super::{DIRECT_MAP, KERNEL_MAP, Made, PAGE, Pages, directory, long_table, moved, pad, put};

/// The bit of a physical address: `ranges` are those of dump_avail.
fn bit(address: u64, ranges: &[(u64, u64)], page: u64) -> u64 {
    let mut before = 0;
    for (start, end) in ranges {
        if (*start..*end).contains(&address) {
            return before + address / page - start / page;
        }
        before += end.div_ceil(page) - start / page;
    }
    panic!("{address:#x} is outside {ranges:x?}");
}

/// The part of a minidump behind its header page, which has room for it.
struct Sections {
    msgbuf: Vec<u8>,
    dump_avail: Vec<u8>,
    bitmap: Vec<u8>,
    tables: Vec<u8>,
}

impl Sections {
    fn new(pages: &Pages, ranges: Option<&[(u64, u64)]>, page: u64, tables: Vec<u8>) -> Sections {
        let whole = [(0, u64::MAX)];
        let bits = pages
            .keys()
            .map(|address| bit(*address, ranges.unwrap_or(&whole), page));
        let mut bitmap = Vec::new();
        for bit in bits {
            let byte = bit as usize / 8;
            if bitmap.len() <= byte {
                bitmap.resize(byte + 1, 0);
            }
            bitmap[byte] |= 1 << (bit % 8);
        }
        pad(&mut bitmap, page);
        let ranges = ranges.unwrap_or(&[]);
        let mut dump_avail = long_table(ranges.iter().flat_map(|(start, end)| [*start, *end]));
        if !dump_avail.is_empty() {
            dump_avail.extend([0; 16]);
            pad(&mut dump_avail, page);
        }
        Sections {
            msgbuf: b"FreeBSD 13.2-RELEASE\n".repeat(250),
            dump_avail,
            bitmap,
            tables,
        }
    }

    fn file(&self, mut header: Vec<u8>, pages: &Pages, page: u64) -> Vec<u8> {
        pad(&mut header, page);
        for section in [&self.msgbuf, &self.dump_avail, &self.bitmap, &self.tables] {
            header.extend(section);
            pad(&mut header, page);
        }
        for page in pages.values() {
            header.extend(page);
        }
        header
    }

    /// What all little endian headers have at the same places.
    fn header(&self, machine: &str, version: u32) -> Vec<u8> {
        let mut header = vec![0; 128];
        put(&mut header, 0, b"minidump FreeBSD/");
        put(&mut header, 17, machine.as_bytes());
        put(&mut header, 24, &version.to_le_bytes());
        for (at, section) in [(28, &self.msgbuf), (32, &self.bitmap), (36, &self.tables)] {
            put(&mut header, at, &(section.len() as u32).to_le_bytes());
        }
        header
    }
}

/// Ranges around the pages, the first not from zero on, one not of whole
/// pages, cut in the largest gap.
fn ranges(pages: &Pages, page: u64) -> Vec<(u64, u64)> {
    let addresses: Vec<u64> = pages.keys().copied().collect();
    let gap = (1..addresses.len())
        .max_by_key(|index| addresses[*index] - addresses[*index - 1])
        .unwrap();
    let last = addresses[addresses.len() - 1];
    vec![
        (0x3000, 0x9fc00),
        (addresses[0], addresses[gap - 1] + page),
        (addresses[gap] - page, last + 3 * page),
    ]
}

/// amd64, versions 1 to 3.
pub fn minidump_amd64(pages: &Pages, version: u32) -> Made {
    let mut all = pages.clone();
    let tables = match version {
        1 => long_table(pages.keys().map(|address| address | 3)),
        _ => long_table(directory(&mut all)),
    };
    let ranges = ranges(&all, PAGE);
    let sections = Sections::new(&all, (version > 2).then_some(&ranges[..]), PAGE, tables);
    let mut header = sections.header("amd64", version);
    put(&mut header, 40, &KERNEL_MAP.to_le_bytes());
    put(&mut header, 48, &DIRECT_MAP.to_le_bytes());
    put(&mut header, 56, &(DIRECT_MAP + (1 << 42)).to_le_bytes());
    put(
        &mut header,
        64,
        &(sections.dump_avail.len() as u32).to_le_bytes(),
    );
    Made {
        kernel_map: Some(KERNEL_MAP),
        ..Made::new(
            &format!("minidump amd64 {version}"),
            sections.file(header, &all, PAGE),
        )
    }
}

/// arm64 and riscv, whose memory begins at 1 GiB or 2 GiB.
pub fn minidump_direct(pages: &Pages, machine: &str, version: u32, page: u64) -> Made {
    let start = if machine == "arm64" { 1 << 30 } else { 1 << 31 };
    let small = moved(pages, start);
    // Larger pages have what lies around.
    let mut all = Pages::new();
    for (address, bytes) in &small {
        let whole = address - address % page;
        let large = all.entry(whole).or_insert_with(|| vec![0; page as usize]);
        put(large, (address - whole) as usize, bytes);
    }
    let entries = all.keys().map(|address| match machine {
        "arm64" => address | 0x0060_0000_0000_0703,
        _ => address >> 12 << 10 | 0xcf,
    });
    let tables = long_table(entries);
    let ranges = ranges(&all, page);
    let sections = Sections::new(&all, (version > 1).then_some(&ranges[..]), page, tables);
    let mut header = sections.header(machine, version);
    let (kernel, direct): (u64, u64) = match machine {
        "arm64" => (0xffff_0000_0000_0000, 0xffff_a000_0000_0000),
        _ => (0xffff_ffc0_0000_0000, 0xffff_ffd0_0000_0000),
    };
    put(&mut header, 40, &kernel.to_le_bytes());
    put(&mut header, 48, &start.to_le_bytes());
    put(&mut header, 56, &direct.to_le_bytes());
    put(&mut header, 64, &(direct + (1 << 35)).to_le_bytes());
    put(
        &mut header,
        72,
        &(sections.dump_avail.len() as u32).to_le_bytes(),
    );
    put(&mut header, 76, &u32::from(page == 16384).to_le_bytes());
    Made {
        moved: start,
        direct_map: Some(direct - start),
        kernel_map: (page == PAGE).then_some(kernel),
        ..Made::new(
            &format!("minidump {machine} {version} {page}"),
            sections.file(header, &all, page),
        )
    }
}

/// i386, which has no direct map.
pub fn minidump_i386(pages: &Pages, version: u32, pae: bool) -> Made {
    let entries = pages.keys().map(|address| address | 3);
    let tables = match pae {
        true => long_table(entries),
        false => entries
            .flat_map(|entry| (entry as u32).to_le_bytes())
            .collect(),
    };
    let ranges = ranges(pages, PAGE);
    let sections = Sections::new(pages, (version > 1).then_some(&ranges[..]), PAGE, tables);
    let mut header = sections.header("i386", version);
    put(&mut header, 40, &0xc000_0000u32.to_le_bytes());
    put(&mut header, 44, &u32::from(pae).to_le_bytes());
    put(
        &mut header,
        48,
        &(sections.dump_avail.len() as u32).to_le_bytes(),
    );
    Made {
        direct_map: None,
        kernel_map: Some(0xc000_0000),
        ..Made::new(
            &format!("minidump i386 {version} pae {pae}"),
            sections.file(header, pages, PAGE),
        )
    }
}

/// A genuine dump of amd64, version 3, as one of version 2, whose bitmap counts
/// from address zero on, or as one of version 3 with ranges of our own. Pages
/// and page tables stay as they are.
pub fn minidump_again(dump: &[u8], version: u32) -> Vec<u8> {
    let word = |at: usize| u32::from_le_bytes(dump[at..at + 4].try_into().unwrap());
    let long = |bytes: &[u8]| u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let round = |len: u32| u64::from(len).next_multiple_of(PAGE) as usize;
    let mut at = PAGE as usize;
    let mut section = |len: u32| {
        let start = at;
        at += round(len);
        &dump[start..at]
    };
    let (msgbuf, ranges, bitmap) = (section(word(28)), section(word(64)), section(word(32)));
    let (tables, sparse) = (section(word(36)), &dump[at..]);
    // Addresses of the pages, in their order.
    let mut addresses = Vec::new();
    let mut before = 0;
    for pair in ranges.chunks_exact(16) {
        let (start, end) = (long(pair), long(&pair[8..]));
        if end == 0 {
            break;
        }
        for address in (start / PAGE * PAGE..end).step_by(PAGE as usize) {
            let bit = before + address / PAGE - start / PAGE;
            if bitmap[bit as usize / 8] & 1 << (bit % 8) != 0 {
                addresses.push(address);
            }
        }
        before += end.div_ceil(PAGE) - start / PAGE;
    }
    let pages: Pages = addresses
        .iter()
        .copied()
        .zip(sparse.chunks_exact(PAGE as usize).map(<[u8]>::to_vec))
        .collect();
    assert_eq!(pages.len(), sparse.len() / PAGE as usize);
    let ranges = self::ranges(&pages, PAGE);
    let mut sections = Sections::new(
        &pages,
        (version > 2).then_some(&ranges[..]),
        PAGE,
        tables.to_vec(),
    );
    sections.msgbuf = msgbuf.to_vec();
    let mut header = dump[..PAGE as usize].to_vec();
    put(&mut header, 0, &sections.header("amd64", version)[..40]);
    put(
        &mut header,
        64,
        &(sections.dump_avail.len() as u32).to_le_bytes(),
    );
    sections.file(header, &pages, PAGE)
}
