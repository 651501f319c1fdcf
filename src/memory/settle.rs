//! From what a header says to extents that are there.

use super::Extent;

/// How many pieces of a kind are told one by one before a count tells all.
const TOLD: usize = 4;

/// Clips extents to the image, puts them in order, cuts what overlaps in the
/// image, and joins neighbours. What was wrong is told in `notes`.
pub(super) fn settle(
    mut extents: Vec<Extent>,
    size: u64,
    name: &str,
    notes: &mut Vec<String>,
) -> Vec<Extent> {
    let mut missing: u64 = 0;
    let (mut cut, mut overlapping) = (0, 0);
    for extent in &mut extents {
        let there = size.saturating_sub(extent.offset).min(extent.len);
        if there < extent.len {
            cut += 1;
            missing = missing.saturating_add(extent.len - there);
            if cut <= TOLD {
                notes.push(format!(
                    "{name}: at byte {}: the image ends {} bytes before a segment of {} bytes does",
                    extent.offset,
                    extent.len - there,
                    extent.len
                ));
            }
        }
        extent.len = there;
        // Addresses that would go round are none.
        let whole = |address: &u64| address.checked_add(there).is_some();
        extent.physical = extent.physical.filter(whole);
        extent.virtual_ = extent.virtual_.filter(whole);
    }
    if cut > TOLD {
        notes.push(format!(
            "{name}: {cut} segments are cut by the end of the image, {missing} bytes in all"
        ));
    }
    extents.sort_by_key(|extent| extent.offset);
    let mut settled: Vec<Extent> = Vec::with_capacity(extents.len());
    let mut free = 0;
    for mut extent in extents {
        if extent.len == 0 {
            continue;
        }
        let over = extent.len.min(free.max(extent.offset) - extent.offset);
        if over > 0 {
            overlapping += 1;
            if overlapping <= TOLD {
                notes.push(format!(
                    "{name}: at byte {}: {over} bytes are in two segments",
                    extent.offset
                ));
            }
            extent = skip(extent, over);
        }
        if extent.len == 0 {
            continue;
        }
        free = extent.offset + extent.len;
        match settled.last_mut() {
            Some(last) if follows(last, &extent) => last.len += extent.len,
            _ => settled.push(extent),
        }
    }
    if overlapping > TOLD {
        notes.push(format!("{name}: {overlapping} segments overlap others"));
    }
    settled
}

/// The extent without its first bytes.
pub(super) fn skip(extent: Extent, bytes: u64) -> Extent {
    Extent {
        offset: extent.offset + bytes,
        len: extent.len - bytes,
        physical: extent.physical.map(|address| address + bytes),
        virtual_: extent.virtual_.map(|address| address + bytes),
    }
}

/// True if `next` continues `last` in the image and in every address space.
pub(super) fn follows(last: &Extent, next: &Extent) -> bool {
    let behind = |address: u64| address.checked_add(last.len);
    let same = |last: Option<u64>, next: Option<u64>| match (last, next) {
        (Some(last), Some(next)) => behind(last) == Some(next),
        (None, None) => true,
        _ => false,
    };
    last.offset + last.len == next.offset
        && same(last.physical, next.physical)
        && same(last.virtual_, next.virtual_)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(offset: u64, len: u64, physical: u64) -> Extent {
        Extent {
            offset,
            len,
            physical: Some(physical),
            virtual_: None,
        }
    }

    #[test]
    fn joins_cuts_and_clips() {
        let mut notes = Vec::new();
        let extents = vec![
            extent(0x3000, 0x1000, 0x9000),
            extent(0x1000, 0x1000, 0x4000),
            extent(0x2000, 0x1000, 0x5000),
            extent(0x3800, 0x1000, 0x20000),
            extent(0x4800, 0x1000, 0x50000),
            extent(u64::MAX, u64::MAX, u64::MAX),
        ];
        let settled = settle(extents, 0x5000, "image", &mut notes);
        let expected = [
            extent(0x1000, 0x2000, 0x4000),
            extent(0x3000, 0x1000, 0x9000),
            extent(0x4000, 0x800, 0x20800),
            extent(0x4800, 0x800, 0x50000),
        ];
        assert_eq!(settled, expected);
        assert_eq!(notes.len(), 3, "{notes:?}");
    }
}
