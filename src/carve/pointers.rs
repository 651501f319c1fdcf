//! Addresses that something in the image has besides that of the direct map.
//!
//! What is larger than a page lies in the kernel map, where the next page is
//! another one than in the direct map. Its address there is where something
//! points to it from: a word in memory that leads to the same bytes.

use super::lists::aligned;
use super::pool::Pool;
use super::scan::in_shares;
use std::collections::HashSet;

/// Pages of all machines are multiples of it.
const PAGE: u64 = 4096;
/// More addresses than this are noise.
const MOST: usize = 1 << 16;
/// Fields that are tried, bits of a word.
const MOST_FIELDS: usize = 64;

/// Addresses of the bytes at `offsets` by which words in memory point to them,
/// or to a structure of which they are one of `fields` (bytes from its start):
/// offset and address, sorted. `None` if told to stop.
pub fn find(
    pool: &Pool<'_>,
    offsets: impl Iterator<Item = u64>,
    fields: impl Iterator<Item = u64>,
    threads: usize,
    progress: &(dyn Fn(u64) -> bool + Sync),
) -> Option<Vec<(u64, u64)>> {
    let space = pool.space;
    // Without physical addresses there is no direct map.
    let places: HashSet<u64> = offsets
        .filter(|offset| space.physical_of(*offset).is_some())
        .collect();
    let mut fields: Vec<u64> = fields.collect();
    fields.sort_unstable();
    fields.dedup();
    fields.truncate(MOST_FIELDS);
    let dialect = pool.kinds.dialects.first();
    let (Some(dialect), false) = (dialect, places.is_empty() || fields.is_empty()) else {
        return Some(Vec::new());
    };
    // By the lower bits of a word: which fields of what it points to may be
    // one of the places.
    let mut near = vec![0u64; PAGE as usize];
    // Of the highest bits the two halves of the address space are told.
    let mut half = 0;
    for address in places.iter().filter_map(|offset| space.virtual_of(*offset)) {
        half = address >> 47;
        for (bit, field) in fields.iter().enumerate() {
            let inside = address.wrapping_sub(*field) % PAGE;
            if let Some(near) = near.get_mut(inside as usize) {
                *near |= 1 << bit;
            }
        }
    }
    let (size, order) = (dialect.abi.long(), dialect.order);
    let look = |word: u64, found: &mut HashSet<(u64, u64)>| {
        let near = near.get((word % PAGE) as usize).copied().unwrap_or(0);
        if near == 0 || word == 0 || word >> 47 != half || found.len() >= MOST {
            return;
        }
        let fields = fields.iter().enumerate();
        for (_, field) in fields.filter(|(bit, _)| near & (1 << bit) != 0) {
            if let Some(address) = word.checked_add(*field)
                && let Some((offset, _)) = space.find_virtual(address)
                && places.contains(&offset)
                && space.virtual_of(offset) != Some(address)
            {
                found.insert((offset, address));
            }
        }
    };
    let found = in_shares(space, threads, progress, |windows, found| {
        windows.each(0, size, |window| {
            let body = window.body();
            let start = window.offset + body.start as u64;
            let bytes = window.bytes.get(body).unwrap_or(&[]);
            let bytes = bytes.get(aligned(space, start, size)..).unwrap_or(&[]);
            for word in bytes.chunks_exact(size) {
                look(order.read(word, 0, size).unwrap_or(0), found);
            }
        });
    })?;
    let mut found: Vec<(u64, u64)> = found.into_iter().flatten().collect();
    found.sort_unstable();
    found.dedup();
    Some(found)
}
