//! Lists of records that something in the image holds.
//!
//! A connection, the node of a closed one and an entry of the device's queue
//! each hold their records in an `STAILQ`: the address of the first item, then
//! that of the last one's link, which is the address of the last item. Two
//! neighbouring words that are addresses of items, the second of which the
//! links reach from the first, are such a head; nothing needs to be known of
//! the structure around it.

use super::candidate::LINK;
use super::pool::{Pool, read_at};
use super::scan::in_shares;
use crate::format::Order;
use crate::memory::AddressSpace;

/// Links to follow altogether, besides some for each record that was found:
/// links that lead in circles, or many heads of one list, have no end.
const MOST_LINKS: usize = 1 << 24;
const LINKS_PER_RECORD: usize = 64;

/// A head and what it holds.
#[derive(Clone, Debug)]
pub struct List {
    /// Where the head stands in the image.
    pub offset: u64,
    /// Numbers of the records, in list order.
    pub records: Vec<u32>,
}

/// A set of words that answers quickly what it has not.
pub struct Words {
    low: u64,
    span: u64,
    bits: Vec<u64>,
    sorted: Vec<u64>,
}

/// Bits of the quick answer, a power of two.
const BITS: u64 = 1 << 22;

impl Words {
    pub fn new(words: impl Iterator<Item = u64>) -> Words {
        let mut sorted: Vec<u64> = words.collect();
        sorted.sort_unstable();
        sorted.dedup();
        let low = sorted.first().copied().unwrap_or(0);
        let span = sorted.last().map_or(0, |last| last - low);
        let mut bits = vec![0; (BITS / 64) as usize];
        for word in &sorted {
            let (at, bit) = place(*word);
            if let Some(bits) = bits.get_mut(at) {
                *bits |= bit;
            }
        }
        Words {
            low,
            span,
            bits,
            sorted,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    #[inline]
    pub fn has(&self, word: u64) -> bool {
        if word.wrapping_sub(self.low) > self.span {
            return false;
        }
        let (at, bit) = place(word);
        self.bits.get(at).is_some_and(|bits| bits & bit != 0)
            && self.sorted.binary_search(&word).is_ok()
    }
}

#[inline]
fn place(word: u64) -> (usize, u64) {
    // Items lie 8 bytes apart or more; pages are mixed in.
    let hash = (word >> 3) ^ (word >> 15);
    let at = hash & (BITS - 1);
    ((at / 64) as usize, 1 << (at % 64))
}

/// Offsets of aligned words that `first` asks for and whose neighbour `second`
/// asks for, in the order of the image; `None` if told to stop.
pub fn find_pairs(
    pool: &Pool<'_>,
    threads: usize,
    progress: &(dyn Fn(u64) -> bool + Sync),
    first: &(impl Fn(u64) -> bool + Sync),
    second: &(impl Fn(u64) -> bool + Sync),
) -> Option<Vec<u64>> {
    let space = pool.space;
    let Some(dialect) = pool.kinds.dialects.first() else {
        return Some(Vec::new());
    };
    let (size, order) = (dialect.abi.long(), dialect.order);
    let heads = in_shares(space, threads, progress, |windows, found: &mut Vec<u64>| {
        windows.each(0, size, |window| {
            let start = aligned(space, window.offset, size);
            let body = window.body();
            let words = window.bytes.get(start..).unwrap_or(&[]);
            let mut hit = |index: usize| {
                let at = start + index * size;
                if body.contains(&at) {
                    found.push(window.offset + at as u64);
                }
            };
            // One loop for each size and order: the words are many.
            match (size, order) {
                (8, Order::Little) => pairs(words, u64::from_le_bytes, first, second, &mut hit),
                (8, Order::Big) => pairs(words, u64::from_be_bytes, first, second, &mut hit),
                (_, Order::Little) => {
                    let read = |word| u64::from(u32::from_le_bytes(word));
                    pairs(words, read, first, second, &mut hit);
                }
                (_, Order::Big) => {
                    let read = |word| u64::from(u32::from_be_bytes(word));
                    pairs(words, read, first, second, &mut hit);
                }
            }
        });
    });
    heads.map(|heads| {
        let mut heads = heads.concat();
        heads.sort_unstable();
        heads.dedup();
        heads
    })
}

/// Calls `hit` with the number of each word that is not 0, that `first` asks
/// for and whose neighbour `second` asks for.
#[inline]
fn pairs<const SIZE: usize>(
    bytes: &[u8],
    read: impl Fn([u8; SIZE]) -> u64,
    first: &impl Fn(u64) -> bool,
    second: &impl Fn(u64) -> bool,
    hit: &mut impl FnMut(usize),
) {
    let mut before = 0;
    for (at, word) in bytes.as_chunks::<SIZE>().0.iter().enumerate() {
        let word = read(*word);
        if before != 0 && second(word) && first(before) {
            hit(at - 1);
        }
        before = word;
    }
}

/// Bytes from an offset to the first address that is a multiple of `size`.
pub(super) fn aligned(space: &dyn AddressSpace, offset: u64, size: usize) -> usize {
    let address = space.virtual_of(offset).unwrap_or(offset);
    let over = (address % size as u64) as usize;
    (size - over) % size
}

/// Finds every list of known records. Items that the sieve did not take for
/// records, but which a list holds between others, are added to the pool.
pub fn find(
    pool: &mut Pool<'_>,
    threads: usize,
    progress: &(dyn Fn(u64) -> bool + Sync),
) -> Option<Vec<List>> {
    let words = Words::new(pool.items());
    if words.is_empty() {
        return Some(Vec::new());
    }
    let has = |word| words.has(word);
    let heads = find_pairs(pool, threads, progress, &has, &has)?;
    let mut lists = Vec::new();
    let mut left = MOST_LINKS + LINKS_PER_RECORD.saturating_mul(pool.found.len());
    for offset in heads {
        if let Some(records) = follow(pool, offset, &mut left) {
            lists.push(List { offset, records });
        }
    }
    Some(lists)
}

/// The records from the first to the last item of a head; `None` if the links
/// do not lead there. `left` is how many links may still be followed.
fn follow(pool: &mut Pool<'_>, head: u64, left: &mut usize) -> Option<Vec<u32>> {
    let dialect = pool.kinds.dialects.first()?;
    let (size, order) = (dialect.abi.long(), dialect.order);
    let mut bytes = Vec::new();
    read_at(pool.space, head, 2 * size, &mut bytes);
    let [first, last] = [0, size].map(|at| order.read(&bytes, at, size));
    let (mut item, last) = (first?, last?);
    let mut records = Vec::new();
    // A list has no record twice.
    while records.len() < pool.found.len() {
        *left = left.checked_sub(1)?;
        let at = pool.at_item(item).or_else(|| adopt(pool, item))?;
        records.push(at as u32);
        let next = pool.found.get(at)?.next;
        if item == last {
            // The list's own end; a freed item keeps an old link.
            return (next == 0).then_some(records);
        }
        item = next;
    }
    None
}

/// Takes in the item at an address as a record, because a list says so: its
/// time may be garbage, as that of some events is.
pub(super) fn adopt(pool: &mut Pool<'_>, item: u64) -> Option<usize> {
    let (offset, _) = pool.space.find_virtual(item.checked_add(LINK as u64)?)?;
    let (link, _) = pool.space.find_virtual(item)?;
    let dialect = pool.kinds.dialects.first()?;
    let mut bytes = Vec::new();
    read_at(pool.space, link, LINK, &mut bytes);
    let next = dialect.order.read(&bytes, 0, dialect.abi.long())?;
    read_at(pool.space, offset, super::scan::REACH, &mut bytes);
    let found = pool.kinds.lenient(offset, next, &bytes)?;
    Some(pool.add(found))
}
