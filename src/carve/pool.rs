//! All records that were found, and where each is by its address.

use super::candidate::{Found, LINK};
use super::scan::Kinds;
use crate::bblog::Record;
use crate::format::{Dialect, EventId};
use crate::memory::AddressSpace;
use std::collections::HashMap;

/// Records in the order of the image.
pub struct Pool<'s> {
    pub space: &'s dyn AddressSpace,
    pub kinds: &'s Kinds,
    pub found: Vec<Found>,
    /// The dialect of those records that fit several.
    usual: usize,
    /// By the address of the item: of the link in front of the record.
    by_item: HashMap<u64, u32>,
    /// Addresses of records, by their offset, that go on elsewhere than the
    /// direct map does.
    apart: HashMap<u64, u64>,
}

impl<'s> Pool<'s> {
    /// `found` is in the order of the image.
    pub fn new(space: &'s dyn AddressSpace, kinds: &'s Kinds, found: Vec<Found>) -> Pool<'s> {
        let mut pool = Pool {
            space,
            kinds,
            usual: usual(kinds, &found),
            found: Vec::new(),
            by_item: HashMap::with_capacity(found.len()),
            apart: HashMap::new(),
        };
        let mut bytes = Vec::new();
        for mut found in found {
            pool.settle(&mut found, &mut bytes);
            pool.add(found);
        }
        pool
    }

    /// Where the TCP header stands depends on the dialect, which only all
    /// records together tell.
    fn settle(&self, found: &mut Found, bytes: &mut Vec<u8>) {
        if found.fits.count_ones() > 1
            && self.read(found, bytes)
            && let Some(dialect) = self.dialect(found)
        {
            found.ports = Record::new(bytes, dialect).and_then(|record| segment_ports(&record));
        }
    }

    /// Adds a record; the order of the image is that of the numbers only until
    /// the first one that is added later.
    pub fn add(&mut self, found: Found) -> usize {
        let at = self.found.len();
        if let Some(item) = self.item_address(&found) {
            self.by_item.insert(item, at as u32);
        }
        self.found.push(found);
        at
    }

    /// Tells that a record goes on at another place than the bytes behind it,
    /// by its address.
    pub fn set_apart(&mut self, offset: u64, address: u64) {
        self.apart.insert(offset, address);
    }

    /// Where the item of a record lies in virtual memory.
    pub fn item_address(&self, found: &Found) -> Option<u64> {
        let address = self.space.virtual_of(found.offset)?;
        address.checked_sub(LINK as u64)
    }

    /// The record whose item is at this address.
    pub fn at_item(&self, address: u64) -> Option<usize> {
        self.by_item.get(&address).map(|at| *at as usize)
    }

    /// Addresses of all items.
    pub fn items(&self) -> impl Iterator<Item = u64> {
        self.by_item.keys().copied()
    }

    /// Number of a record's dialect among the [`Kinds`].
    pub fn dialect_number(&self, found: &Found) -> usize {
        if found.fits & (1 << self.usual) != 0 {
            return self.usual;
        }
        // The newest one it fits.
        (31u32.saturating_sub(found.fits.leading_zeros())) as usize
    }

    pub fn dialect(&self, found: &Found) -> Option<&'s Dialect> {
        let dialect = self.kinds.dialects.get(self.dialect_number(found))?;
        Some(dialect)
    }

    /// Reads a record into `bytes`, also where its pages lie apart; false if
    /// it is not all there.
    pub fn read(&self, found: &Found, bytes: &mut Vec<u8>) -> bool {
        let Some(dialect) = self.dialect(found) else {
            return false;
        };
        let whole = dialect.record.size + dialect.verbose.size;
        match self.apart.get(&found.offset) {
            Some(address) => {
                bytes.clear();
                bytes.resize(whole, 0);
                let there = self.space.read_virtual(*address, bytes);
                bytes.truncate(there);
            }
            None => read_at(self.space, found.offset, whole, bytes),
        }
        match Record::new(bytes, dialect).map(|record| record.bytes().len()) {
            Some(len) => {
                bytes.truncate(len);
                true
            }
            None => false,
        }
    }
}

/// Local and foreign port of a segment; of other events the header may be of
/// either direction.
pub fn segment_ports(record: &Record<'_>) -> Option<(u16, u16)> {
    let is_segment = matches!(record.event(), EventId::IN | EventId::OUT);
    record.ports().filter(|_| is_segment)
}

/// Reads up to `len` bytes from an offset on; beyond the end of its extent the
/// virtual address goes on, if there is one.
pub fn read_at(space: &dyn AddressSpace, offset: u64, len: usize, bytes: &mut Vec<u8>) {
    let mut scratch = Vec::new();
    bytes.clear();
    bytes.extend_from_slice(space.bytes(offset, len, &mut scratch));
    let done = bytes.len();
    if done < len
        && done > 0
        && let Some(address) = space.virtual_of(offset)
    {
        bytes.resize(len, 0);
        let more = bytes.get_mut(done..).unwrap_or(&mut []);
        let read = space.read_virtual(address.saturating_add(done as u64), more);
        bytes.truncate(done + read);
    }
}

/// The dialect that most records fit, the newest of several.
fn usual(kinds: &Kinds, found: &[Found]) -> usize {
    let count = |at: &usize| found.iter().filter(|f| f.fits & (1 << at) != 0).count();
    (0..kinds.dialects.len())
        .max_by_key(|at| (count(at), *at))
        .unwrap_or(0)
}
