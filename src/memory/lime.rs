//! LiME: ranges of physical memory, each behind a header of 32 bytes (magic,
//! version 1, first and last physical address, 8 reserved bytes; little
//! endian).

use super::Extent;
use super::bits::Endian;
use super::image::{Container, Contents};
use super::source::Source;

pub(super) const MAGIC: &[u8] = b"EMiL";

const HEADER: u64 = 32;

/// Ranges that are read; machines have a few dozen.
const MAX_RANGES: usize = 1 << 16;

/// Reads ranges that fill the image from `start` to `end`.
pub(super) fn read(source: &Source, start: u64, end: u64, name: &str) -> Contents {
    let mut contents = Contents::new(Container::Lime);
    let mut scratch = Vec::new();
    let mut at = start;
    while at < end {
        let head = source.bytes(at, HEADER as usize, &mut scratch);
        let range = range(head).filter(|_| contents.extents.len() < MAX_RANGES);
        let Some((first, len)) = range else {
            contents.notes.push(format!(
                "{name}: at byte {at}: this is no header of a LiME range; the {} bytes from here on \
                 have no addresses",
                end - at
            ));
            contents.extents.push(Extent {
                offset: at,
                len: end - at,
                physical: None,
                virtual_: None,
            });
            break;
        };
        let offset = at + HEADER;
        contents.extents.push(Extent {
            offset,
            len,
            physical: Some(first),
            virtual_: None,
        });
        at = offset.saturating_add(len);
    }
    contents
}

/// First address and length.
fn range(head: &[u8]) -> Option<(u64, u64)> {
    let endian = Endian::Little;
    if !head.starts_with(MAGIC) || endian.u32(head, 4)? != 1 {
        return None;
    }
    let (first, last) = (endian.u64(head, 8)?, endian.u64(head, 16)?);
    // A header that is cut is none.
    endian.u64(head, 24)?;
    Some((first, last.checked_sub(first)?.checked_add(1)?))
}
