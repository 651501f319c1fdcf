//! Messages that stand in memory whole, as a reader of the device gets them.
//!
//! The kernel expands an entry of its queue into a header and the records back
//! to back when the first reader comes. The first record of such a message lies
//! right behind a header; from there on the message is read as in a file.

use super::candidate::is_record;
use super::lists::{Words, find_pairs};
use super::pointers;
use super::pool::{Pool, read_at};
use crate::bblog::{Header, Record};
use crate::format::Dialect;
use crate::input::detect::{HeaderCheck, check_header};
use std::collections::HashMap;

/// Longer messages are not believed: 5 million records.
const MOST_BYTES: u64 = 2 << 30;

/// A message in memory.
#[derive(Clone, Debug)]
pub struct Block {
    /// Where the header stands in the image.
    pub offset: u64,
    pub header: Vec<u8>,
    /// Number of its dialect among the kinds.
    pub dialect: usize,
    /// Numbers of its records that are there, in order.
    pub records: Vec<u32>,
    /// Every record it says it has is there.
    pub is_whole: bool,
    /// An entry of the device's queue holds it.
    pub is_live: bool,
}

/// The kernel's allocator takes larger ones from the kernel map.
const LARGE: usize = 64 * 1024;

impl Block {
    /// Whether the kernel keeps it where the direct map does not lead.
    pub fn is_large(&self) -> bool {
        // Records are shorter than this in no version.
        self.records.len() * 312 > LARGE
    }
}

/// Finds the messages; records in them that the sieve did not take are added.
pub fn find(pool: &mut Pool<'_>) -> Vec<Block> {
    let by_offset = by_offset(pool);
    let mut blocks = Vec::new();
    // A message ends before the next one begins, so no record is read twice.
    let mut end = 0;
    for at in 0..pool.found.len() {
        let Some(found) = pool.found.get(at).copied() else {
            break;
        };
        if found.offset < end {
            continue;
        }
        let kinds = pool.kinds;
        let block = kinds
            .with(found.fits)
            .filter_map(|(number, dialect)| begin(pool, found.offset, number, dialect))
            .max_by_key(|block| block.dialect);
        if let Some(mut block) = block {
            let start = block.offset + block.header.len() as u64;
            let base = pool.space.virtual_of(start);
            end = walk(pool, &mut block, &by_offset, base);
            blocks.push(block);
        }
    }
    blocks
}

/// Finds out which messages the device's queue still holds: an entry has the
/// message's address, then those of two functions, then the number of readers
/// to come. False if told to stop.
pub fn find_live(
    pool: &Pool<'_>,
    blocks: &mut [Block],
    threads: usize,
    progress: &(dyn Fn(u64) -> bool + Sync),
) -> bool {
    let space = pool.space;
    let headers = blocks
        .iter()
        .filter_map(|block| space.virtual_of(block.offset));
    let headers = Words::new(headers);
    if headers.is_empty() {
        return true;
    }
    let is_header = |word| headers.has(word);
    let Some(places) = find_pairs(pool, threads, progress, &is_header, &|word| word != 0) else {
        return false;
    };
    let by_address: HashMap<u64, usize> = blocks
        .iter()
        .enumerate()
        .filter_map(|(at, block)| Some((space.virtual_of(block.offset)?, at)))
        .collect();
    let Some(dialect) = pool.kinds.dialects.first() else {
        return true;
    };
    let (size, order) = (dialect.abi.long(), dialect.order);
    let mut bytes = Vec::new();
    for place in places {
        read_at(space, place, 3 * size + 4, &mut bytes);
        let word = |at: usize| order.read(&bytes, at * size, size);
        let readers = order.read(&bytes, 3 * size, 4);
        let is_entry = word(1)
            .zip(word(2))
            .is_some_and(|(xform, dtor)| xform != 0 && dtor != 0)
            && readers.is_some_and(|readers| (1..MOST_READERS).contains(&readers));
        let block = word(0).and_then(|address| by_address.get(&address));
        if let Some(block) = block.and_then(|at| blocks.get_mut(*at)) {
            block.is_live |= is_entry;
        }
    }
    true
}

/// Addresses by which a message that breaks off is walked again, at most.
const MOST_TRIES: u32 = 4;

/// More programs than read the device at once.
const MOST_READERS: u64 = 10_000;

fn by_offset(pool: &Pool<'_>) -> HashMap<u64, u32> {
    (0u32..)
        .zip(&pool.found)
        .map(|(at, found)| (found.offset, at))
        .collect()
}

/// Walks messages that break off once more, by the addresses in the kernel map
/// that entries of the queue have of them. `None` if told to stop.
pub fn complete(
    pool: &mut Pool<'_>,
    blocks: &mut [Block],
    threads: usize,
    progress: &(dyn Fn(u64) -> bool + Sync),
) -> Option<()> {
    let broken = blocks.iter().filter(|block| !block.is_whole);
    let offsets: Vec<u64> = broken.map(|block| block.offset).collect();
    let found = pointers::find(
        pool,
        offsets.into_iter(),
        std::iter::once(0),
        threads,
        progress,
    )?;
    let by_offset = by_offset(pool);
    let places: HashMap<u64, usize> = blocks
        .iter()
        .enumerate()
        .map(|(at, block)| (block.offset, at))
        .collect();
    let mut tries: HashMap<u64, u32> = HashMap::new();
    for (offset, address) in found {
        let tries = tries.entry(offset).or_insert(0);
        *tries += 1;
        if *tries > MOST_TRIES {
            continue;
        }
        let known = places.get(&offset).and_then(|at| blocks.get_mut(*at));
        let Some(known) = known.filter(|block| !block.is_whole) else {
            continue;
        };
        let mut again = Block {
            records: Vec::new(),
            ..known.clone()
        };
        let base = address.checked_add(again.header.len() as u64);
        walk(pool, &mut again, &by_offset, base);
        if again.records.len() > known.records.len() {
            *known = again;
        }
    }
    Some(())
}

/// The header in front of a record.
fn begin(pool: &Pool<'_>, record: u64, number: usize, dialect: &Dialect) -> Option<Block> {
    let offset = record.checked_sub(dialect.header.size as u64)?;
    let mut header = Vec::new();
    read_at(pool.space, offset, dialect.header.size, &mut header);
    let claimed = Header::new(&header, dialect)?.length();
    let least = (dialect.header.size + dialect.record.size) as u64;
    let kind = dialect.header_slots.kind.read(&header, dialect.order);
    (check_header(&header, dialect) == HeaderCheck::Good
        && kind == 1
        && (least..=MOST_BYTES).contains(&claimed))
    .then_some(Block {
        offset,
        header,
        dialect: number,
        records: Vec::new(),
        is_whole: false,
        is_live: false,
    })
}

/// Walks the records of a message, the first of which is at the address `base`;
/// returns where they end in the image.
fn walk(
    pool: &mut Pool<'_>,
    block: &mut Block,
    by_offset: &HashMap<u64, u32>,
    base: Option<u64>,
) -> u64 {
    let kinds = pool.kinds;
    let Some(dialect) = kinds.dialects.get(block.dialect) else {
        return 0;
    };
    let Some(length) = Header::new(&block.header, dialect).map(|header| header.length()) else {
        return 0;
    };
    let start = block.offset + block.header.len() as u64;
    let mut left = length.saturating_sub(block.header.len() as u64);
    let (mut done, mut end) = (0, start);
    let mut bytes = Vec::new();
    let is_apart = base.is_some() && base != pool.space.virtual_of(start);
    while left > 0 {
        // Pages of a large message lie apart, but for their addresses.
        let address = base.and_then(|base| base.checked_add(done));
        let place = match address {
            Some(address) => pool.space.find_virtual(address),
            None => start.checked_add(done).map(|offset| (offset, u64::MAX)),
        };
        let Some((offset, there)) = place else { break };
        match address.filter(|_| is_apart) {
            Some(address) => {
                bytes.clear();
                bytes.resize(super::scan::REACH, 0);
                let read = pool.space.read_virtual(address, &mut bytes);
                bytes.truncate(read);
            }
            None => read_at(pool.space, offset, super::scan::REACH, &mut bytes),
        }
        let known = by_offset.get(&offset).copied();
        let len = match known {
            Some(_) => Record::new(&bytes, dialect),
            None => is_record(&bytes, dialect).or_else(|| {
                Record::new(&bytes, dialect).filter(crate::input::detect::plausible_record)
            }),
        }
        .map(|record| record.bytes().len() as u64);
        let Some(len) = len.filter(|len| *len <= left) else {
            break;
        };
        let is_cut = is_apart && there < len;
        let found = match known {
            Some(_) if !is_cut => None,
            _ => match kinds.lenient(offset, 0, &bytes) {
                Some(found) => Some(found),
                None => break,
            },
        };
        if let Some(address) = address.filter(|_| is_cut) {
            pool.set_apart(offset, address);
        }
        let record = match (known, found) {
            (Some(known), None) => known,
            (Some(known), Some(found)) => {
                // Its other half was another's.
                if let Some(slot) = pool.found.get_mut(known as usize) {
                    *slot = found;
                }
                known
            }
            (None, Some(found)) => pool.add(found) as u32,
            (None, None) => break,
        };
        if let Some(found) = pool.found.get_mut(record as usize) {
            // What stands in front is no link.
            found.next = 0;
            found.fits = 1 << block.dialect;
        }
        block.records.push(record);
        done += len;
        left -= len;
        end = end.max(offset + len);
    }
    block.is_whole = left == 0;
    end
}
