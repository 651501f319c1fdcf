//! Finding the place behind damage from which a stream can be read again.

use super::walk::{Open, are_neighbours, is_strong};
use crate::bblog::Record;
use crate::format::{Formats, Order};
use crate::input::detect::{HeaderCheck, check_header, version_and_order};
use aho_corasick::AhoCorasick;
use std::ops::Range;

/// Searches for headers and records.
pub(super) struct Resync<'f> {
    formats: &'f Formats,
    /// Built when damage is first met.
    headers: Option<AhoCorasick>,
}

/// Where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A message begins after this many bytes.
    Header(usize),
    /// A record of the same message stands after this many bytes.
    Record(usize),
}

impl Found {
    pub fn skip(self) -> usize {
        match self {
            Found::Header(skip) | Found::Record(skip) => skip,
        }
    }
}

impl<'f> Resync<'f> {
    pub fn new(formats: &'f Formats) -> Resync<'f> {
        Resync {
            formats,
            headers: None,
        }
    }

    /// The next plausible header, or record of `open`, at `from` or later.
    pub fn find(
        &mut self,
        here: &[u8],
        from: usize,
        open: Option<&Open>,
        eof: bool,
    ) -> Option<Found> {
        let header = self.find_header(here, from, eof);
        let before = header.unwrap_or(here.len());
        let record = open.and_then(|open| self.find_record(here, from..before, open, eof));
        record.map(Found::Record).or(header.map(Found::Header))
    }

    fn find_header(&mut self, here: &[u8], from: usize, eof: bool) -> Option<usize> {
        let formats = self.formats;
        let finder = self.headers.get_or_insert_with(|| header_finder(formats));
        finder
            .find_overlapping_iter(here.get(from..)?)
            .map(|found| from + found.start())
            .find(|at| {
                let there = here.get(*at..).unwrap_or(&[]);
                formats
                    .dialects
                    .iter()
                    .any(|dialect| match check_header(there, dialect) {
                        HeaderCheck::Good => true,
                        HeaderCheck::Cut => !eof,
                        _ => false,
                    })
            })
    }

    /// The first record of `open` that begins in `range`.
    fn find_record(
        &self,
        here: &[u8],
        range: Range<usize>,
        open: &Open,
        eof: bool,
    ) -> Option<usize> {
        let by_iss = open
            .iss
            .and_then(|iss| find_by_iss(here, range.clone(), open, iss));
        if by_iss.is_some() || (open.iss.is_some() && !open.iss_is_fresh) {
            return by_iss;
        }
        // Nothing is known to tell the records by but that several of them
        // stand in a row, and whose ports they carry; without ports they are
        // believed only where the message should still be.
        let claimed = open.claimed.map_or(usize::MAX, |left| left as usize);
        range.into_iter().find(|at| {
            let there = here.get(*at..).unwrap_or(&[]);
            self.is_chain(there, open, eof)
                && open
                    .owns(there)
                    .unwrap_or_else(|| *at < claimed && open.may_reach(there, *at))
        })
    }

    /// True if plausible records of one connection stand at `here`: two in a
    /// row, or one that is followed by a header or by the end.
    pub fn is_chain(&self, here: &[u8], open: &Open, eof: bool) -> bool {
        let dialect = &open.dialect;
        let Some(first) = Record::new(here, dialect).filter(is_strong) else {
            return false;
        };
        let next = here.get(first.bytes().len()..).unwrap_or(&[]);
        if next.is_empty() {
            return eof;
        }
        if version_and_order(next).is_some() && check_header(next, dialect) == HeaderCheck::Good {
            return true;
        }
        Record::new(next, dialect).is_some_and(|second| are_neighbours(&first, &second))
    }
}

/// The first record in `range` that has this `tlb_iss` and continues `open`.
fn find_by_iss(here: &[u8], range: Range<usize>, open: &Open, iss: u32) -> Option<usize> {
    let mut pattern = [0; 4];
    let order = open.dialect.order;
    order.write(&mut pattern, 0, 4, u64::from(iss));
    let lead = usize::from(open.dialect.record_slots.iss.offset);
    let searched = here.get(range.start.checked_add(lead)?..)?;
    memchr::memmem::find_iter(searched, &pattern)
        .map(|found| range.start + found)
        .take_while(|at| *at < range.end)
        .find(|at| open.is_continued_by(here.get(*at..).unwrap_or(&[])))
}

/// Finds version and type of every known version in both byte orders.
fn header_finder(formats: &Formats) -> AhoCorasick {
    let mut patterns: Vec<[u8; 8]> = Vec::new();
    for version in &formats.versions {
        for order in Order::ALL {
            let mut pattern = [0; 8];
            order.write(&mut pattern, 0, 4, u64::from(version.number));
            order.write(&mut pattern, 4, 4, 1);
            patterns.push(pattern);
        }
    }
    AhoCorasick::new(patterns).expect("a few short patterns always build")
}
