//! Framing of device streams: messages back to back, as `/dev/tcp_log` hands
//! them out.
//!
//! Records are walked one by one inside a window of the input, so that memory
//! is bounded whatever length a message claims. Where a walk meets something
//! that is no record, it goes on at the next plausible header, or at the next
//! record of the same connection, and the range between is reported.

use super::batch::{Batch, Piece};
use super::damage::Damage;
use super::detect::{
    HeaderCheck, check_header, check_header_body, message_dialect, plausible_record, plausible_run,
};
use crate::bblog::{Header, Known, Record};
use crate::format::{Dialect, Formats, Order};
use aho_corasick::AhoCorasick;
use std::sync::Arc;

/// Frames one stream, window by window.
pub struct Framer<'f> {
    formats: &'f Formats,
    /// Dialect of the last message: what the next one most likely is.
    likely: Option<Arc<Dialect>>,
    open: Option<Open>,
    /// The message that ended last; records may go on behind a wrong length.
    closed: Option<Open>,
    /// Built when damage is first met.
    finder: Option<AhoCorasick>,
    /// Messages seen.
    pub messages: u64,
}

/// A message whose records are being walked.
#[derive(Clone, Debug)]
struct Open {
    dialect: Arc<Dialect>,
    header: Vec<u8>,
    /// Where the header stands in the input.
    offset: u64,
    /// Bytes of records that the header still claims; `None`: it lied.
    claimed: Option<u64>,
    previous_sn: Option<u32>,
    /// `tlb_starttime` and `tlb_iss` of the last record: constant over a
    /// connection, so they tell its records in damaged input.
    identity: Option<[u8; 8]>,
    kept: u64,
    handed_out: bool,
    /// A record reached beyond the claimed end.
    overran: bool,
}

/// How the walk of a window ended.
enum Walk {
    /// Up to here everything is consumed; more input is needed.
    More,
    /// The message ends here.
    Ended,
    /// What stands here is no record.
    Broken,
}

/// A record is refused if its serial number jumps further than this in
/// damaged surroundings.
const MAX_JUMP: u32 = 1 << 20;

/// Bytes that have to be seen before a place is judged: the largest header
/// and two verbose records.
const NEED: usize = 1024;

impl<'f> Framer<'f> {
    pub fn new(formats: &'f Formats) -> Framer<'f> {
        Framer {
            formats,
            likely: None,
            open: None,
            closed: None,
            finder: None,
            messages: 0,
        }
    }

    /// Frames `batch.data`, which begins at byte `base` of the input; `eof`
    /// says that nothing follows. Returns how many bytes are dealt with; the
    /// rest is to be given again with more behind it.
    pub fn frame(&mut self, batch: &mut Batch, base: u64, eof: bool) -> usize {
        let buffer = std::mem::take(&mut batch.data);
        let data = buffer.get(..batch.filled).unwrap_or(&[]);
        let mut at = 0;
        loop {
            let before = (at, self.open.is_some());
            let more = if self.open.is_some() {
                self.walk_message(batch, data, &mut at, base, eof)
            } else {
                self.begin_message(batch, data, &mut at, base, eof)
            };
            if !more || (at, self.open.is_some()) == before {
                break;
            }
        }
        if eof {
            self.end_of_input(batch, base + at as u64);
        }
        batch.data = buffer;
        at
    }

    /// True if a plausible header stands anywhere in `head`.
    pub fn has_message(&mut self, head: &[u8]) -> bool {
        self.find(head, 0, None, false).is_some()
    }

    fn end_of_input(&mut self, batch: &mut Batch, end: u64) {
        let Some(open) = self.open.take() else { return };
        if open.claimed.is_some_and(|left| left > 0) {
            batch.damage.push(Damage {
                offset: end,
                lost: 0,
                what: format!(
                    "the input ends inside the message at byte {}, {} bytes short; {} records kept",
                    open.offset,
                    open.claimed.unwrap_or(0),
                    open.kept
                ),
            });
        }
        self.finish_message(batch, open);
    }

    /// A message that hands out no records is handed out all the same.
    fn finish_message(&mut self, batch: &mut Batch, mut open: Open) {
        if open.overran {
            batch.damage.push(Damage {
                offset: open.offset,
                lost: 0,
                what: format!(
                    "this message claims a length that ends inside a record; {} records kept",
                    open.kept
                ),
            });
        }
        match batch.pieces.last_mut() {
            Some(piece) if open.handed_out && piece.offset == open.offset => piece.last = true,
            _ => open.hand_out(batch, 0..0, true),
        }
        self.likely = Some(Arc::clone(&open.dialect));
        self.closed = Some(open);
    }

    /// At a place where a header should stand. False: more input is needed.
    fn begin_message(
        &mut self,
        batch: &mut Batch,
        data: &[u8],
        at: &mut usize,
        base: u64,
        eof: bool,
    ) -> bool {
        let here = &data[*at..];
        if here.is_empty() || (here.len() < 16 && !eof) {
            return false;
        }
        let found = message_dialect(here, self.formats, self.likely.as_ref())
            .map(|(dialect, check)| (Arc::clone(dialect), check));
        match found {
            Some((_, HeaderCheck::Cut)) if !eof => return false,
            Some((dialect, HeaderCheck::Good)) => {
                self.open_message(here, dialect, base + *at as u64, at);
                return true;
            }
            _ => {}
        }
        let cut = |d: &Arc<Dialect>| check_header(here, d) == HeaderCheck::Cut;
        if eof && (here.len() < 16 || self.formats.dialects.iter().any(cut)) {
            batch.damage.push(Damage {
                offset: base + *at as u64,
                lost: here.len() as u64,
                what: "the input ends inside a message header".to_owned(),
            });
            *at = data.len();
            return true;
        }
        // Whatever stands here, enough of it must be seen to judge it. Only a
        // live input waits for nothing, and a device does not send garbage.
        if here.len() < NEED && !eof {
            return false;
        }
        if let Some(reopened) = self.records_go_on(here) {
            batch.damage.push(Damage {
                offset: base + *at as u64,
                lost: 0,
                what: format!(
                    "the message at byte {} claims to end here, but its records go on; they are \
                     kept as a message with the same header",
                    reopened.offset
                ),
            });
            self.open = Some(reopened);
            return true;
        }
        if let Some((dialect, _)) = found
            && self.is_usable(here, &dialect)
        {
            batch.damage.push(Damage {
                offset: base + *at as u64,
                lost: 0,
                what: "this message header is damaged; its records are good and kept".to_owned(),
            });
            self.open_message(here, dialect, base + *at as u64, at);
            return true;
        }
        if let Some((header, dialect)) = self.repaired(here) {
            batch.damage.push(Damage {
                offset: base + *at as u64,
                lost: 0,
                what: "version and type of this message header are damaged; taken as those of \
                       the message before"
                    .to_owned(),
            });
            let offset = base + *at as u64;
            self.open_message(here, dialect, offset, at);
            if let Some(open) = &mut self.open {
                open.header = header;
            }
            return true;
        }
        self.skip_damage(batch, data, at, base, eof, "no message header here")
    }

    fn open_message(&mut self, here: &[u8], dialect: Arc<Dialect>, offset: u64, at: &mut usize) {
        let size = dialect.header.size;
        let length = dialect.header_slots.length.read(here, dialect.order);
        self.messages += 1;
        self.open = Some(Open {
            header: here.get(..size).unwrap_or(here).to_vec(),
            offset,
            claimed: length.checked_sub(size as u64),
            previous_sn: None,
            identity: None,
            kept: 0,
            handed_out: false,
            overran: false,
            dialect,
        });
        *at += size;
    }

    /// The message before, if `here` is a record that continues it.
    fn records_go_on(&self, here: &[u8]) -> Option<Open> {
        let closed = self.closed.as_ref()?;
        let record = Record::new(here, &closed.dialect)?;
        closed.continues(&record, true).then(|| Open {
            claimed: None,
            kept: 0,
            handed_out: false,
            overran: false,
            ..closed.clone()
        })
    }

    /// True if a header that has something wrong with it is followed by
    /// records.
    fn is_usable(&self, here: &[u8], dialect: &Dialect) -> bool {
        let body = here.get(dialect.header.size..).unwrap_or(&[]);
        plausible_run(body, dialect, 2).0 > 0
    }

    /// The header at `here` with version and type put right, if everything
    /// else in it is as it should be.
    fn repaired(&self, here: &[u8]) -> Option<(Vec<u8>, Arc<Dialect>)> {
        let dialect = self.likely.as_ref()?;
        if check_header_body(here, dialect) != HeaderCheck::Good || !self.is_usable(here, dialect) {
            return None;
        }
        let header = Header::new(here, dialect)?;
        if header.id().is_empty() {
            return None;
        }
        let mut header = header.bytes().to_vec();
        dialect
            .order
            .write(&mut header, 0, 4, u64::from(dialect.version));
        dialect.order.write(&mut header, 4, 4, 1);
        Some((header, Arc::clone(dialect)))
    }

    /// Inside a message. False: more input is needed.
    fn walk_message(
        &mut self,
        batch: &mut Batch,
        data: &[u8],
        at: &mut usize,
        base: u64,
        eof: bool,
    ) -> bool {
        let Some(mut open) = self.open.take() else {
            return true;
        };
        let start = *at;
        let walk = open.walk(data, at, eof);
        let ended = matches!(walk, Walk::Ended);
        if *at > start {
            open.hand_out(batch, start..*at, ended);
        }
        match walk {
            Walk::Ended => {
                self.finish_message(batch, open);
                true
            }
            Walk::More => {
                self.open = Some(open);
                false
            }
            Walk::Broken => self.broken(batch, data, at, base, eof, open),
        }
    }

    /// What stands at `at` is not a record of the open message.
    fn broken(
        &mut self,
        batch: &mut Batch,
        data: &[u8],
        at: &mut usize,
        base: u64,
        eof: bool,
        mut open: Open,
    ) -> bool {
        let here = &data[*at..];
        let offset = base + *at as u64;
        if here.is_empty() {
            // Only at the end of the input; end_of_input reports it.
            self.open = Some(open);
            return false;
        }
        let header = self.header_at(here);
        if header == HeaderCheck::Good {
            if let Some(left) = open.claimed.filter(|left| *left > 0) {
                batch.damage.push(Damage {
                    offset,
                    lost: 0,
                    what: format!(
                        "the next message begins here, {left} bytes before the end that the \
                         message at byte {} claims; {} records kept",
                        open.offset, open.kept
                    ),
                });
            } else if open.claimed.is_none() && open.kept == 0 {
                // A length below the header's own size, and no records.
                batch.damage.push(Damage {
                    offset: open.offset,
                    lost: 0,
                    what: "this message claims a length below its header's size".to_owned(),
                });
            }
            self.finish_message(batch, open);
            return true;
        }
        if eof && header == HeaderCheck::No && Record::new(here, &open.dialect).is_none() {
            let find = self.find(here, 1, Some(&open), true);
            if find.is_none() {
                batch.damage.push(Damage {
                    offset,
                    lost: here.len() as u64,
                    what: format!(
                        "the input ends inside a record of the message at byte {}; {} records \
                         kept",
                        open.offset, open.kept
                    ),
                });
                open.claimed = None;
                *at = data.len();
                self.open = Some(open);
                return true;
            }
        }
        // The claimed end is passed or the claim is worthless now.
        open.claimed = None;
        let what = format!(
            "damaged record in the message at byte {}, after {} good ones",
            open.offset, open.kept
        );
        self.open = Some(open);
        self.skip_damage(batch, data, at, base, eof, &what)
    }

    fn header_at(&self, here: &[u8]) -> HeaderCheck {
        match message_dialect(here, self.formats, self.likely.as_ref()) {
            Some((_, check)) => check,
            None => HeaderCheck::No,
        }
    }

    /// Goes on at the next plausible header or record. False: more is needed.
    fn skip_damage(
        &mut self,
        batch: &mut Batch,
        data: &[u8],
        at: &mut usize,
        base: u64,
        eof: bool,
        what: &str,
    ) -> bool {
        let here = &data[*at..];
        let open = self.open.take().or_else(|| self.closed.take());
        let found = self.find(here, 1, open.as_ref(), eof);
        let (skip, enough) = match found {
            Some((skip, _)) => (skip, true),
            None if eof => (here.len(), true),
            // The last bytes may be the start of something.
            None => (here.len().saturating_sub(NEED), false),
        };
        if skip > 0 {
            report(batch, base + *at as u64, skip as u64, what);
            *at += skip;
        }
        match (found, open) {
            (Some((_, true)), Some(open)) => {
                self.open = Some(Open {
                    previous_sn: open.previous_sn,
                    claimed: None,
                    ..open
                });
            }
            (Some((_, false)), Some(open)) if open.handed_out || open.kept > 0 => {
                self.closed = Some(open);
            }
            (Some(_), _) => {}
            // Keep looking with the same message in mind.
            (None, open) => {
                if let Some(open) = open {
                    if eof {
                        self.open = None;
                        self.closed = Some(open);
                    } else {
                        self.open = Some(open);
                    }
                }
            }
        }
        enough || skip > 0
    }

    /// The next plausible header, or record that continues `open`, at `from`
    /// or later; the second value is true for a record.
    fn find(
        &mut self,
        here: &[u8],
        from: usize,
        open: Option<&Open>,
        eof: bool,
    ) -> Option<(usize, bool)> {
        let record = open.and_then(|open| open.find_record(here, from));
        let formats = self.formats;
        let finder = self.finder.get_or_insert_with(|| header_finder(formats));
        let searched = here.get(from..)?;
        let header = finder
            .find_overlapping_iter(searched)
            .map(|found| from + found.start())
            .take_while(|at| record.is_none_or(|record| *at < record))
            .find(|at| {
                let there = &here[*at..];
                formats
                    .dialects
                    .iter()
                    .any(|d| match check_header(there, d) {
                        HeaderCheck::Good => true,
                        HeaderCheck::Cut => !eof,
                        _ => false,
                    })
            });
        header.map(|at| (at, false)).or(record.map(|at| (at, true)))
    }
}

/// Adds to the damage that ends where this one begins, if it is the same.
fn report(batch: &mut Batch, offset: u64, lost: u64, what: &str) {
    if let Some(last) = batch.damage.last_mut()
        && last.lost > 0
        && last.offset + last.lost == offset
        && (last.what == what || what == "no message header here")
    {
        last.lost += lost;
        return;
    }
    batch.damage.push(Damage {
        offset,
        lost,
        what: what.to_owned(),
    });
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

impl Open {
    /// Walks records from `at` as far as they go.
    fn walk(&mut self, data: &[u8], at: &mut usize, eof: bool) -> Walk {
        let slots = &self.dialect.record_slots;
        let order = self.dialect.order;
        let plain = self.dialect.record.size;
        let verbose = plain + self.dialect.verbose.size;
        let first = *at;
        let mut last_record = None;
        let result = loop {
            if self.claimed == Some(0) {
                break Walk::Ended;
            }
            let Some(bytes) = data.get(*at..*at + plain) else {
                break if eof { Walk::Broken } else { Walk::More };
            };
            let flags = slots.eventflags.read(bytes, order) as u16;
            let len = if flags & crate::format::VERBOSE != 0 {
                verbose
            } else {
                plain
            };
            if data.len() - *at < len {
                break if eof { Walk::Broken } else { Walk::More };
            }
            let sn = slots.sn.read(bytes, order) as u32;
            let state = slots.state.read(bytes, order) as u32;
            let step = self.previous_sn.map_or(1, |old| sn.wrapping_sub(old));
            let fits = self.claimed.is_none_or(|left| left >= len as u64);
            let sound = state <= 10 && step != 0 && step < 1 << 31 && flags & !0x1f == 0 && fits;
            if !sound && !self.is_record_all_the_same(data, *at, len, eof) {
                break Walk::Broken;
            }
            self.previous_sn = Some(sn);
            last_record = Some(*at);
            *at += len;
            self.kept += 1;
            match &mut self.claimed {
                Some(left) if *left >= len as u64 => *left -= len as u64,
                Some(_) => {
                    self.claimed = None;
                    self.overran = true;
                }
                None => {}
            }
        };
        if let Some(start) = last_record
            && *at > first
        {
            self.identity = identity(&data[start..], &self.dialect);
        }
        result
    }

    /// A record that looks odd is kept if what follows it is sound: a flipped
    /// bit in a field must not cost the record, and never its neighbours.
    fn is_record_all_the_same(&self, data: &[u8], at: usize, len: usize, eof: bool) -> bool {
        let Some(record) = Record::new(&data[at..], &self.dialect) else {
            return false;
        };
        if self.claimed.is_none() && !plausible_record(&record) {
            return false;
        }
        if check_header(&data[at..], &self.dialect) >= HeaderCheck::Damaged {
            return false;
        }
        let next = &data[at + len..];
        if self.claimed == Some(len as u64) {
            return true;
        }
        if next.is_empty() {
            return eof && plausible_record(&record);
        }
        if self.claimed.is_some_and(|left| left < len as u64) && !plausible_record(&record) {
            return false;
        }
        check_header(next, &self.dialect) == HeaderCheck::Good
            || Record::new(next, &self.dialect).is_some_and(|next| {
                let step = next.sn().wrapping_sub(record.sn());
                let over = self
                    .previous_sn
                    .is_some_and(|old| next.sn().wrapping_sub(old) < MAX_JUMP);
                plausible_record(&next) && (over || (step != 0 && step < MAX_JUMP))
            })
    }

    /// True if `record` can stand behind the last one.
    fn continues(&self, record: &Record<'_>, same_connection: bool) -> bool {
        let step = self
            .previous_sn
            .map_or(1, |old| record.sn().wrapping_sub(old));
        let same = match (self.identity, identity(record.bytes(), &self.dialect)) {
            (Some(old), Some(new)) => old == new,
            _ => !same_connection,
        };
        plausible_record(record) && (1..MAX_JUMP).contains(&step) && (same || !same_connection)
    }

    /// The next record of the same connection, at `from` or later.
    fn find_record(&self, here: &[u8], from: usize) -> Option<usize> {
        let identity = self.identity.filter(|id| id.iter().any(|b| *b != 0))?;
        let lead = usize::from(self.dialect.record_slots.starttime.offset);
        let searched = here.get(from.checked_add(lead)?..)?;
        memchr::memmem::find_iter(searched, &identity)
            .map(|found| from + found)
            .find(|at| {
                Record::new(&here[*at..], &self.dialect)
                    .is_some_and(|record| self.continues(&record, true))
            })
    }

    fn hand_out(&mut self, batch: &mut Batch, records: std::ops::Range<usize>, last: bool) {
        let start = batch.headers.len();
        batch.headers.extend_from_slice(&self.header);
        batch.pieces.push(Piece {
            dialect: Arc::clone(&self.dialect),
            header_apart: true,
            header: start..batch.headers.len(),
            records,
            known: Known::ALL,
            first: !self.handed_out,
            last,
            offset: self.offset,
            stack_name: None,
        });
        self.handed_out = true;
    }
}

/// `tlb_starttime` and `tlb_iss`, which stand side by side.
fn identity(record: &[u8], dialect: &Dialect) -> Option<[u8; 8]> {
    let start = usize::from(dialect.record_slots.starttime.offset);
    record.get(start..start + 8)?.try_into().ok()
}
