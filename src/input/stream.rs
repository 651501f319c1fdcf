//! Framing of device streams: messages back to back, as `/dev/tcp_log` hands
//! them out.
//!
//! Records are walked one by one inside a window of the input, so that memory
//! is bounded whatever length a message claims. Where a walk meets something
//! that is no record, it goes on at the next plausible header, or at the next
//! record of the same connection, and the range between is reported.

mod resync;
mod walk;

use super::batch::Batch;
use super::damage::report;
use super::detect::{
    HeaderCheck, body_fits, check_header, check_header_body, message_dialect, version_and_order,
};
use crate::bblog::Header;
use crate::format::{Dialect, Formats};
use resync::{Found, Resync, find_orphans, is_chain};
use std::sync::Arc;
use walk::{Open, Walk};

/// Frames one stream, window by window.
pub struct Framer<'f> {
    formats: &'f Formats,
    /// Data may arrive late: never wait for more than a message needs.
    live: bool,
    /// Dialect of the last message: what the next one most likely is.
    likely: Option<Arc<Dialect>>,
    open: Option<Open>,
    /// The message that ended last; records may go on behind a wrong length.
    closed: Option<Open>,
    resync: Resync<'f>,
}

/// What of the input is at hand.
#[derive(Clone, Copy)]
struct Window<'a> {
    data: &'a [u8],
    /// Offset of `data` in the input.
    base: u64,
    /// Nothing follows.
    eof: bool,
}

impl<'a> Window<'a> {
    fn rest(&self, at: usize) -> &'a [u8] {
        self.data.get(at..).unwrap_or(&[])
    }

    fn offset(&self, at: usize) -> u64 {
        self.base + at as u64
    }
}

/// Whether framing can go on in this window.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    NeedMore,
}

/// How often framing may stand at one place before it is moved on by force.
const MAX_LOOKS: u32 = 8;

/// Bytes of a message that are handed out together, or all it has: who explains
/// records looks at the first ones of a message before (its `LOOK_AHEAD` of the
/// largest records fit).
const TOGETHER: u64 = 64 * 1024;

/// Bytes that have to be seen before a place is judged: the largest header
/// and two verbose records.
const NEED: usize = 2048;

impl<'f> Framer<'f> {
    pub fn new(formats: &'f Formats, live: bool) -> Framer<'f> {
        Framer {
            formats,
            live,
            likely: None,
            open: None,
            closed: None,
            resync: Resync::new(formats),
        }
    }

    /// Frames `batch.data`, which begins at byte `base` of the input; `eof`
    /// says that nothing follows. Returns how many bytes are dealt with; the
    /// rest is to be given again with more behind it.
    pub fn frame(&mut self, batch: &mut Batch, base: u64, eof: bool) -> usize {
        let buffer = std::mem::take(&mut batch.data);
        let data = buffer.get(..batch.filled).unwrap_or(&[]);
        let window = Window { data, base, eof };
        let (mut at, mut reached, mut looks) = (0, 0, 0);
        loop {
            let next = match self.open.take() {
                Some(open) => self.walk(batch, window, &mut at, open),
                None => self.begin(batch, window, &mut at),
            };
            // One place may be looked at as the end of a message, as its
            // continuation, and as a header; more often means going in circles.
            if at > reached {
                (reached, looks) = (at, 0);
            }
            looks += 1;
            if looks > MAX_LOOKS {
                if let Some(open) = self.open.take() {
                    self.finish(batch, open);
                }
                self.closed = None;
                let what = "this place can be read in more ways than one".to_owned();
                report(batch, window.offset(at), 1, what);
                at = (at + 1).min(data.len());
                looks = 0;
            }
            if next == Next::NeedMore {
                break;
            }
        }
        if eof {
            self.end_of_input(batch, window.offset(at));
        }
        batch.data = buffer;
        at
    }

    /// True if a plausible header stands anywhere in `head`.
    pub fn has_message(&mut self, head: &[u8]) -> bool {
        self.resync.find(head, 0, None, false).is_some()
    }

    fn end_of_input(&mut self, batch: &mut Batch, end: u64) {
        let Some(open) = self.open.take() else { return };
        if let Some(left) = open.claimed.filter(|left| *left > 0) {
            report(
                batch,
                end,
                0,
                format!(
                    "the input ends inside the message at byte {}, {left} bytes short; {} records \
                     kept",
                    open.offset, open.kept
                ),
            );
        }
        self.finish(batch, open);
    }

    /// A message without records is handed out all the same.
    fn finish(&mut self, batch: &mut Batch, mut open: Open) {
        if let Some(lie) = open.lie {
            report(
                batch,
                open.offset,
                0,
                format!(
                    "this message claims a length {lie}; {} records kept",
                    open.kept
                ),
            );
        }
        match batch.pieces.last_mut() {
            Some(piece) if open.handed_out && piece.offset == open.offset => piece.last = true,
            _ => open.hand_out(batch, 0..0, true),
        }
        self.likely = Some(Arc::clone(&open.dialect));
        self.closed = Some(open);
    }

    /// At a place where a header should stand.
    fn begin(&mut self, batch: &mut Batch, window: Window<'_>, at: &mut usize) -> Next {
        let here = window.rest(*at);
        let offset = window.offset(*at);
        if here.is_empty() || (here.len() < 16 && !window.eof) {
            return Next::NeedMore;
        }
        let found = message_dialect(here, self.formats, self.likely.as_ref())
            .map(|(dialect, check)| (Arc::clone(dialect), check));
        match found {
            Some((_, HeaderCheck::Cut)) if !window.eof => return Next::NeedMore,
            Some((dialect, HeaderCheck::Good)) if fits(here, &dialect) => {
                if !window.eof && here.len() < together(here, &dialect) {
                    return Next::NeedMore;
                }
                *at += dialect.header.size;
                self.open = Some(Open::new(dialect, here, offset));
                return Next::GoOn;
            }
            _ => {}
        }
        let cut = |d: &Arc<Dialect>| check_header(here, d) == HeaderCheck::Cut;
        if window.eof && (here.len() < 16 || self.formats.dialects.iter().any(cut)) {
            let what = "the input ends inside a message header".to_owned();
            report(batch, offset, here.len() as u64, what);
            *at = window.data.len();
            return Next::GoOn;
        }
        // Whatever stands here, enough of it must be seen to judge it. Only a
        // live input waits for nothing, and a device does not send garbage.
        if here.len() < NEED && !window.eof {
            return Next::NeedMore;
        }
        let is_header = matches!(found, Some((_, HeaderCheck::Good)));
        if let Some(reopened) = self.records_go_on(here, window.eof).filter(|_| !is_header) {
            let what = format!(
                "the message at byte {} claims to end here, but its records go on; they are kept \
                 as a message with the same header",
                reopened.offset
            );
            report(batch, offset, 0, what);
            self.open = Some(reopened);
            return Next::GoOn;
        }
        if let Some((header, dialect)) = self.repaired(here) {
            let what = format!(
                "version or type of this message header is damaged; taken as version {}",
                dialect.version
            );
            report(batch, offset, 0, what);
            *at += dialect.header.size;
            self.open = Some(Open::new(dialect, &header, offset));
            return Next::GoOn;
        }
        match found {
            // A good header before damaged records.
            Some((dialect, HeaderCheck::Good)) => {
                *at += dialect.header.size;
                self.open = Some(Open::new(dialect, here, offset));
                return Next::GoOn;
            }
            Some((dialect, HeaderCheck::Damaged)) if has_records(here, &dialect) => {
                let what = "this message header is damaged; its records are good and kept";
                report(batch, offset, 0, what.to_owned());
                *at += dialect.header.size;
                self.open = Some(Open::new(dialect, here, offset));
                return Next::GoOn;
            }
            _ => {}
        }
        self.skip(batch, window, at, "no message header here".to_owned())
    }

    /// The message before, if records that continue it stand at `here`.
    fn records_go_on(&self, here: &[u8], eof: bool) -> Option<Open> {
        let closed = self.closed.as_ref()?;
        let goes_on = match closed.iss {
            Some(_) => closed.is_continued_by(here),
            None => is_chain(here, &closed.dialect, eof) && closed.may_reach(here, 0),
        };
        goes_on.then(|| closed.reopened())
    }

    /// The header at `here` with version and type put right, if everything
    /// else in it is as it should be and records of that version follow.
    fn repaired(&self, here: &[u8]) -> Option<(Vec<u8>, Arc<Dialect>)> {
        let claimed = version_and_order(here);
        let as_it_stands = self
            .formats
            .dialects
            .iter()
            .filter(|d| claimed == Some((d.version, d.order)))
            .map(|d| records_behind(here, d))
            .max()
            .unwrap_or(0);
        let (dialect, _) = self
            .likely
            .iter()
            .chain(self.formats.dialects.iter().rev())
            .filter(|d| claimed != Some((d.version, d.order)))
            .filter(|d| check_header_body(here, d) == HeaderCheck::Good)
            .filter(|d| Header::new(here, d).is_some_and(|h| !h.id().is_empty()))
            .map(|d| (d, body_fits(here, d)))
            .filter(|(d, (records, clean))| {
                let likely = self.likely.as_ref().is_some_and(|l| Arc::ptr_eq(l, d));
                *records > as_it_stands && (*clean || likely)
            })
            // The first of those with most records: the likely one, if equal.
            .reduce(|best, next| if next.1.0 > best.1.0 { next } else { best })?;
        let mut header = here.get(..dialect.header.size)?.to_vec();
        let version = u64::from(dialect.version);
        dialect.order.write(&mut header, 0, 4, version);
        dialect.order.write(&mut header, 4, 4, 1);
        Some((header, Arc::clone(dialect)))
    }

    /// Inside a message.
    fn walk(
        &mut self,
        batch: &mut Batch,
        window: Window<'_>,
        at: &mut usize,
        mut open: Open,
    ) -> Next {
        let start = *at;
        let (walk, last) = open.walk(window, at, self.live);
        // A record that lost bytes, or whose flags lie about its size, reaches
        // into what follows; the walk notices only behind it.
        let suspicious = match walk {
            Walk::Broken => true,
            Walk::Ended => !self.stands_header(window.rest(*at)),
            Walk::More => false,
        };
        if let Some(last) = last.filter(|_| suspicious) {
            let from = last.at;
            let overlapped = self
                .resync
                .find(window.rest(from), 1, Some(&open), window.eof)
                .filter(|found| from + found.skip() < *at);
            if let Some(found) = overlapped {
                open.take_back(last);
                if from > start {
                    open.hand_out(batch, start..from, false);
                }
                let what = format!(
                    "damaged record in the message at byte {}, after {} good ones",
                    open.offset, open.kept
                );
                report(batch, window.offset(from), found.skip() as u64, what);
                *at = from + found.skip();
                return self.resume(batch, open, found);
            }
        }
        let ended = matches!(walk, Walk::Ended);
        if *at > start {
            open.hand_out(batch, start..*at, ended);
        }
        match walk {
            Walk::Ended => {
                self.finish(batch, open);
                Next::GoOn
            }
            Walk::More => {
                self.open = Some(open);
                Next::NeedMore
            }
            Walk::Broken => self.broken(batch, window, at, open),
        }
    }

    /// True if nothing, or a good header, stands at `here`.
    fn stands_header(&self, here: &[u8]) -> bool {
        here.is_empty()
            || (here.len() < 16 && self.live)
            || matches!(
                message_dialect(here, self.formats, self.likely.as_ref()),
                Some((_, HeaderCheck::Good | HeaderCheck::Cut))
            )
    }

    /// What stands at `at` is not a record of the open message.
    fn broken(
        &mut self,
        batch: &mut Batch,
        window: Window<'_>,
        at: &mut usize,
        open: Open,
    ) -> Next {
        let here = window.rest(*at);
        let offset = window.offset(*at);
        if here.is_empty() {
            // Only at the end of the input, which reports it.
            self.open = Some(open);
            return Next::NeedMore;
        }
        let check = message_dialect(here, self.formats, self.likely.as_ref());
        if matches!(check, Some((_, HeaderCheck::Good))) {
            if let Some(left) = open.claimed.filter(|left| *left > 0) {
                let what = format!(
                    "the next message begins here, {left} bytes before the end that the message \
                     at byte {} claims; {} records kept",
                    open.offset, open.kept
                );
                report(batch, offset, 0, what);
            }
            self.finish(batch, open);
            return Next::GoOn;
        }
        let what = if window.eof && open.is_cut_record(here) {
            format!(
                "the input ends inside a record of the message at byte {}; {} records kept",
                open.offset, open.kept
            )
        } else {
            format!(
                "damaged record in the message at byte {}, after {} good ones",
                open.offset, open.kept
            )
        };
        self.open = Some(open);
        self.skip(batch, window, at, what)
    }

    /// Goes on at the next plausible header or record.
    fn skip(
        &mut self,
        batch: &mut Batch,
        window: Window<'_>,
        at: &mut usize,
        what: String,
    ) -> Next {
        let here = window.rest(*at);
        let open = self.open.take();
        // A message that has ended is taken up again only by records that are
        // surely its own.
        let ended = self.closed.as_ref().filter(|closed| closed.iss.is_some());
        let known = open.as_ref().or(ended);
        let mut found = self.resync.find(here, 1, known, window.eof);
        let mut skip = match found {
            Some(found) => found.skip(),
            None if window.eof => here.len(),
            // The last bytes may be the start of something.
            None => here.len().saturating_sub(NEED),
        };
        // Among what would be skipped there may be records whose own header is
        // lost. They come out, as records of nobody.
        let dialect = open.as_ref().map(|open| &open.dialect);
        let dialect = dialect.or(self.likely.as_ref());
        let dialect = Arc::clone(dialect.unwrap_or(Formats::canonical()));
        if !matches!(found, Some(Found::Record(_))) {
            let end = (skip + NEED).min(here.len());
            let among = here.get(..end).unwrap_or(here);
            let orphans = find_orphans(among, skip, &dialect, window.eof && end == here.len());
            if let Some(at) = orphans {
                (found, skip) = (Some(Found::Orphans(at)), at);
            }
        }
        if skip > 0 {
            report(batch, window.offset(*at), skip as u64, what);
            *at += skip;
        }
        let open = open.map(|mut open| {
            open.claimed = open.claimed.map(|left| left.saturating_sub(skip as u64));
            open
        });
        match (found, open) {
            (Some(Found::Orphans(_)), Some(mut open))
                if open.owns(window.rest(*at)) == Some(true) =>
            {
                // Its ports say whose they are; what else was believed of the
                // connection came from a damaged record.
                open.iss = None;
                self.resume(batch, open, Found::Record(0))
            }
            (Some(Found::Orphans(_)), open) => {
                if let Some(open) = open {
                    self.finish(batch, open);
                }
                let offset = window.offset(*at);
                let what = "the message header of the records from here on is lost; they are kept \
                            without log ID and addresses";
                report(batch, offset, 0, what.to_owned());
                self.open = Some(Open::orphans(dialect, window.rest(*at), offset));
                Next::GoOn
            }
            (Some(found), Some(open)) => self.resume(batch, open, found),
            (Some(Found::Record(_)), None) => {
                self.open = self.closed.as_ref().map(Open::reopened);
                Next::GoOn
            }
            (Some(Found::Header(_)), None) => Next::GoOn,
            // The message stays open: its records may yet come.
            (None, mut open) => {
                if let Some(open) = open.as_mut().filter(|_| window.eof) {
                    // That the rest is missing has been said.
                    open.claimed = None;
                }
                self.open = open;
                if skip > 0 { Next::GoOn } else { Next::NeedMore }
            }
        }
    }

    /// Goes on with what was found behind damage in an open message.
    fn resume(&mut self, batch: &mut Batch, mut open: Open, found: Found) -> Next {
        open.claimed = None;
        match found {
            Found::Record(_) => self.open = Some(open),
            Found::Header(_) | Found::Orphans(_) => self.finish(batch, open),
        }
        Next::GoOn
    }
}

/// How many plausible records follow the header at `here`, of the first few.
fn records_behind(here: &[u8], dialect: &Dialect) -> usize {
    body_fits(here, dialect).0
}

fn has_records(here: &[u8], dialect: &Dialect) -> bool {
    records_behind(here, dialect) > 0
}

/// True if only plausible records follow the good header at `here`.
fn fits(here: &[u8], dialect: &Dialect) -> bool {
    body_fits(here, dialect).1
}

/// How much of the message that begins here is to be handed out together.
fn together(here: &[u8], dialect: &Dialect) -> usize {
    let length = Header::new(here, dialect).map_or(0, |header| header.length());
    // At most 64 KiB, so it fits.
    length.min(TOGETHER) as usize
}
