//! Finding the place behind damage from which a stream can be read again.

use super::walk::{Open, are_neighbours, is_strong};
use crate::bblog::Record;
use crate::format::{Dialect, Formats, Order};
use crate::input::detect::{HeaderCheck, check_header, version_and_order};
use aho_corasick::AhoCorasick;
use std::ops::Range;

/// Bytes behind a place that must be seen to judge it as a header.
const HEAD_ROOM: usize = 256;

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
    /// Records whose header is lost stand after this many bytes.
    Orphans(usize),
}

impl Found {
    pub fn skip(self) -> usize {
        match self {
            Found::Header(skip) | Found::Record(skip) | Found::Orphans(skip) => skip,
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
        // A record of a known connection is found quickly and bounds the search
        // for a header, so that many small damages stay cheap.
        let by_iss = open.and_then(|open| find_by_iss(here, from..here.len(), open, open.iss?));
        let before = by_iss.map_or(here.len(), |at| (at + HEAD_ROOM).min(here.len()));
        let header = self
            .find_header(here.get(..before)?, from, eof && before == here.len())
            .filter(|at| by_iss.is_none_or(|record| *at < record));
        let bound = header.unwrap_or(here.len());
        let record = match (by_iss, open) {
            (Some(at), _) => Some(at).filter(|at| *at < bound),
            (None, Some(open)) => self.find_unknown(here, from..bound, open, eof),
            (None, None) => None,
        };
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

    /// The first record in `range` that may be one of `open`, of which
    /// nothing certain is known.
    fn find_unknown(
        &self,
        here: &[u8],
        range: Range<usize>,
        open: &Open,
        eof: bool,
    ) -> Option<usize> {
        if open.iss.is_some() && !open.iss_is_fresh {
            return None;
        }
        // Nothing is known to tell the records by but that several of them
        // stand in a row, and whose ports they carry; without ports they are
        // believed only where the message should still be.
        let claimed = open.claimed.map_or(usize::MAX, |left| left as usize);
        range.into_iter().find(|at| {
            let there = here.get(*at..).unwrap_or(&[]);
            is_chain(there, &open.dialect, eof)
                && open
                    .owns(there)
                    .unwrap_or_else(|| *at < claimed && open.may_reach(there, *at))
        })
    }
}

/// True if plausible records of one connection stand at `here`: two in a
/// row, or one that is followed by a header or by the end.
pub(super) fn is_chain(here: &[u8], dialect: &Dialect, eof: bool) -> bool {
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

/// Where in the first `most` bytes of `here` records of an unknown connection
/// begin.
pub(super) fn find_orphans(
    here: &[u8],
    most: usize,
    dialect: &Dialect,
    eof: bool,
) -> Option<usize> {
    (0..most).find(|at| is_chain(here.get(*at..).unwrap_or(&[]), dialect, eof))
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
