//! FreeBSD minidumps: the pages that a kernel uses, in the order of a bitmap.
//!
//! One page of header, then message buffer, `dump_avail`, bitmap and page
//! tables, each padded to whole pages, then one page for each bit that is set.
//! Source: `sys/ARCH/include/minidump.h` and `minidump_machdep.c`.

mod header;

use super::bits::{Endian, round_up};
use super::image::{Container, Contents};
use super::source::Source;
use super::tables::{Array, Tables};
use super::{Extent, Machine, Owner};
use header::Header;
use std::ops::Range;

/// What every such file begins with.
pub(super) const MAGIC: &[u8] = b"minidump FreeBSD/";

/// Pairs of `dump_avail` that are read; kernels have room for 128 at most.
const MAX_RANGES: usize = 4096;

/// Where the sections of a minidump are.
struct Places {
    msgbuf: Range<u64>,
    dump_avail: Range<u64>,
    bitmap: Range<u64>,
    tables: Range<u64>,
    /// The first page of memory.
    pages: u64,
}

fn places(header: &Header, start: u64) -> Option<Places> {
    let mut at = start.checked_add(header.page)?;
    let mut section = |len: u64| {
        let from = at;
        at = at.checked_add(round_up(len, header.page)?)?;
        Some(from..from.checked_add(len)?)
    };
    Some(Places {
        msgbuf: section(header.msgbuf)?,
        dump_avail: section(header.dump_avail)?,
        bitmap: section(header.bitmap)?,
        tables: section(header.tables)?,
        pages: at,
    })
}

/// Reads a minidump that fills the image from `start` to `end`. `Err` says
/// why its kind cannot be read.
pub(super) fn read(source: &Source, start: u64, end: u64, name: &str) -> Result<Contents, String> {
    let mut scratch = Vec::new();
    let head = source.bytes(start, 4096, &mut scratch);
    let header = match header::header(head) {
        Ok(header) => header,
        Err(machine) if head.len() < 256 => {
            let mut contents = Contents::new(Container::Raw);
            contents.notes.push(format!(
                "{name}: at byte {start}: the header of a minidump of {machine:?} is cut"
            ));
            return Ok(contents);
        }
        Err(machine) => {
            return Err(format!(
                "a minidump of {machine:?}; known are amd64, arm64, riscv, i386, arm and powerpc64"
            ));
        }
    };
    let mut contents = Contents::new(Container::Minidump {
        version: header.version,
    });
    contents.machine = Some(header.machine);
    contents.owner = Owner::Kernel;
    contents.page_size = header.page;
    contents.direct = header.direct;
    if header.version == 0 || header.version > header.newest {
        contents.notes.push(format!(
            "{name}: at byte {}: minidump version {} is not known, read as {}",
            start + 24,
            header.version,
            header.newest
        ));
    }
    let Some(places) = places(&header, start).filter(|places| places.pages <= end) else {
        contents.notes.push(format!(
            "{name}: at byte {start}: the sections that the minidump's header tells of go beyond \
             the end of the image; its pages have no addresses"
        ));
        contents
            .extents
            .push(unknown(start.saturating_add(header.page), end));
        return Ok(contents);
    };
    contents.tables = tables(&header, &places);
    contents.msgbuf = Some(places.msgbuf.clone());
    let ranges = ranges(source, &header, &places, &mut scratch);
    pages(source, &header, &places, &ranges, end, name, &mut contents);
    Ok(contents)
}

/// Bytes of which nothing is known.
fn unknown(start: u64, end: u64) -> Extent {
    Extent {
        offset: start,
        len: end.saturating_sub(start),
        physical: None,
        virtual_: None,
    }
}

fn tables(header: &Header, places: &Places) -> Tables {
    let array = Array {
        base: header.kernbase,
        end: match header.machine {
            Machine::I386 | Machine::Arm => 1 << 32,
            _ => u64::MAX,
        },
        offset: places.tables.start,
        len: places.tables.end - places.tables.start,
        endian: header.endian,
    };
    match (header.machine, header.version, header.entry) {
        // Version 1 had the entries of all pages.
        (Machine::Amd64, 2.., _) => Tables::Directory(array),
        (_, _, Some(entry)) => Tables::Pages {
            array,
            entry,
            page: header.page,
        },
        (_, _, None) => Tables::None,
    }
}

/// The ranges of physical memory that bits stand for, first page and number of
/// pages each.
fn ranges(
    source: &Source,
    header: &Header,
    places: &Places,
    scratch: &mut Vec<u8>,
) -> Vec<(u64, u64)> {
    let section = &places.dump_avail;
    if section.is_empty() {
        // One range from zero on, as long as the bitmap.
        return vec![(0, u64::MAX)];
    }
    let len = (section.end - section.start).min(16 * MAX_RANGES as u64);
    let bytes = source.bytes(section.start, len as usize, scratch);
    let wide = pairs(bytes, 8, header.endian);
    let narrow = matches!(header.machine, Machine::I386 | Machine::Arm);
    // 32-bit kernels of most releases widen what they write.
    let sensible = !wide.is_empty()
        && wide
            .iter()
            .all(|(start, end)| start < end && *end < 1 << 40);
    let pairs = match narrow && !sensible {
        true => pairs(bytes, 4, header.endian),
        false => wide,
    };
    pairs
        .into_iter()
        .map(|(start, end)| {
            let first = start / header.page;
            (first, end.div_ceil(header.page).saturating_sub(first))
        })
        .collect()
}

/// Pairs of addresses up to one that ends at zero.
fn pairs(bytes: &[u8], size: usize, endian: Endian) -> Vec<(u64, u64)> {
    let address = |at| match size {
        4 => endian.u32(bytes, at).map(u64::from),
        _ => endian.u64(bytes, at),
    };
    (0..bytes.len())
        .step_by(2 * size)
        .take(MAX_RANGES)
        .map_while(|at| Some((address(at)?, address(at + size)?)))
        .take_while(|(_, end)| *end != 0)
        .collect()
}

/// Gives the pages of the bitmap their addresses.
fn pages(
    source: &Source,
    header: &Header,
    places: &Places,
    ranges: &[(u64, u64)],
    end: u64,
    name: &str,
    contents: &mut Contents,
) {
    let mut scratch = Vec::new();
    let mut range = ranges.iter().copied();
    // The range of the current bit, and the bit of its first page.
    let (mut current, mut first_bit) = (range.next(), 0u64);
    let mut offset = places.pages;
    let (mut missing, mut homeless) = (0u64, 0u64);
    let mut at = places.bitmap.start;
    let mut bit = 0u64;
    while at < places.bitmap.end {
        let len = (places.bitmap.end - at).min(1 << 16) as usize;
        let words = source.bytes(at, len, &mut scratch);
        if words.is_empty() {
            break;
        }
        at += words.len() as u64;
        for word in words.chunks(8) {
            let mut padded = [0; 8];
            for (to, from) in padded.iter_mut().zip(word) {
                *to = *from;
            }
            let mut set = header.endian.u64(&padded, 0).unwrap_or(0);
            while set != 0 {
                let index = bit + u64::from(set.trailing_zeros());
                set &= set - 1;
                if end.saturating_sub(offset) < header.page {
                    missing += 1;
                    continue;
                }
                while let Some((_, count)) = current.filter(|(_, n)| index - first_bit >= *n) {
                    first_bit += count;
                    current = range.next();
                }
                let physical = current
                    .and_then(|(page, _)| page.checked_add(index - first_bit))
                    .and_then(|page| page.checked_mul(header.page));
                homeless += u64::from(physical.is_none());
                push(contents, offset, header.page, physical);
                offset += header.page;
            }
            bit += 64;
        }
    }
    if homeless > 0 {
        contents.notes.push(format!(
            "{name}: at byte {}: {homeless} pages are outside the ranges of dump_avail and have no \
             address",
            places.dump_avail.start
        ));
    }
    if missing > 0 {
        contents.notes.push(format!(
            "{name}: at byte {offset}: the dump ends here; {missing} pages that its bitmap tells of \
             are missing"
        ));
    }
    if offset < end {
        contents.notes.push(format!(
            "{name}: at byte {offset}: {} bytes behind the last page of the bitmap have no address",
            end - offset
        ));
        contents.extents.push(unknown(offset, end));
    }
}

/// Adds a page, to the last extent where it continues it.
fn push(contents: &mut Contents, offset: u64, len: u64, physical: Option<u64>) {
    if let Some(last) = contents.extents.last_mut()
        && last.offset + last.len == offset
        && last.physical.and_then(|from| from.checked_add(last.len)) == physical
        && physical.is_some() == last.physical.is_some()
    {
        last.len += len;
        return;
    }
    contents.extents.push(Extent {
        offset,
        len,
        physical,
        virtual_: None,
    });
}
