//! Walking the records of one message.

use super::{NEED, Window};
use crate::bblog::{Header, Known, Record, Records};
use crate::format::{Dialect, EventId};
use crate::input::batch::{Batch, Piece};
use crate::input::detect::{HeaderCheck, check_header, plausible_record};
use crate::input::logbuf::made_header;
use std::ops::Range;
use std::sync::Arc;

/// A message whose records are being walked.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub dialect: Arc<Dialect>,
    pub header: Vec<u8>,
    /// Where the header stands in the input.
    pub offset: u64,
    /// Bytes of records that the header still claims; `None`: not to be
    /// trusted, the message ends where the next one begins.
    pub claimed: Option<u64>,
    /// What is wrong with the claimed length.
    pub lie: Option<&'static str>,
    pub previous_sn: Option<u32>,
    /// `tlb_iss`, which never changes once it is not zero: it tells the
    /// records of this connection from others.
    pub iss: Option<u32>,
    /// Only one record, which may be damaged, stands for `iss` so far.
    pub iss_is_fresh: bool,
    /// Whether sizes lead exactly to the claimed end, once it was asked. Then
    /// records are taken as they are, however odd they look.
    tiles: Option<bool>,
    /// Uptimes of the first record and of the last one seen.
    times_us: Option<(i64, i64)>,
    pub kept: u64,
    pub handed_out: bool,
    /// What of the header is known; nothing of one that had to be made.
    pub known: Known,
}

/// How the walk of a window ended.
pub(super) enum Walk {
    /// Up to here everything is consumed; more input is needed.
    More,
    /// The message ends here.
    Ended,
    /// What stands here is no record.
    Broken,
}

/// The record that was walked last, and what held before it.
pub(super) struct Last {
    pub at: usize,
    claimed: Option<u64>,
    previous_sn: Option<u32>,
}

/// What of a record decides whether it is one.
#[derive(Clone, Copy)]
struct Signs {
    len: usize,
    sn: u32,
    iss: u32,
    state_in_range: bool,
    flags_in_range: bool,
}

/// Messages are looked through to their end only up to this length; those of
/// a kernel with default limits have at most 2 MB.
const MAX_LOOK_AHEAD: u64 = 8 * 1024 * 1024;

/// A serial number that jumps further than this is taken for damaged.
const MAX_JUMP: u32 = 1 << 20;

impl Open {
    /// A message whose header stands at the start of `here`.
    pub fn new(dialect: Arc<Dialect>, here: &[u8], offset: u64) -> Open {
        let size = dialect.header.size;
        let length = dialect.header_slots.length.read(here, dialect.order);
        let claimed = length.checked_sub(size as u64);
        Open {
            header: here.get(..size).unwrap_or(here).to_vec(),
            offset,
            claimed,
            lie: claimed.is_none().then_some("below that of its own header"),
            previous_sn: None,
            iss: None,
            iss_is_fresh: false,
            tiles: None,
            times_us: None,
            kept: 0,
            handed_out: false,
            known: Known::ALL,
            dialect,
        }
    }

    /// Records at the start of `here` whose header is lost.
    pub fn orphans(dialect: Arc<Dialect>, here: &[u8], offset: u64) -> Open {
        let (header, known) = made_header(&dialect, here);
        Open {
            claimed: None,
            lie: None,
            known,
            ..Open::new(dialect, &header, offset)
        }
    }

    /// The same message once more, for records behind its claimed end.
    pub fn reopened(&self) -> Open {
        Open {
            claimed: None,
            lie: None,
            tiles: None,
            kept: 0,
            handed_out: false,
            ..self.clone()
        }
    }

    /// Walks records from `at` as far as they go.
    pub fn walk(&mut self, window: Window<'_>, at: &mut usize, live: bool) -> (Walk, Option<Last>) {
        let data = window.data;
        let mut last: Option<Last> = None;
        let end = loop {
            if self.claimed == Some(0) {
                // What follows the last record must be seen before that record
                // is let go.
                if data.len() - *at < NEED && !window.eof && !live {
                    self.step_back(&mut last, at);
                    break Walk::More;
                }
                break Walk::Ended;
            }
            let Some(signs) = self.signs(window.rest(*at)) else {
                break if window.eof { Walk::Broken } else { Walk::More };
            };
            let in_order = self.in_order(signs.sn);
            let fits = self.claimed.is_none_or(|left| left >= signs.len as u64);
            let ours = match self.iss {
                Some(iss) => iss == signs.iss,
                // Nothing tells this connection yet, so the record must speak
                // for itself.
                None => Record::new(window.rest(*at), &self.dialect).is_some_and(|r| is_strong(&r)),
            };
            let sound = signs.state_in_range && signs.flags_in_range && in_order && fits && ours;
            let sn = if sound {
                signs.sn
            } else {
                if self.tiles.is_none() {
                    self.tiles = self.leads_to_its_end(window, *at, live);
                    if self.tiles.is_none() {
                        self.step_back(&mut last, at);
                        break Walk::More;
                    }
                }
                let all_the_same = self.record_all_the_same(window, *at, signs);
                match all_the_same.or_else(|| self.odd_but_possible(window, *at, signs)) {
                    Some(sn) => sn,
                    None => break Walk::Broken,
                }
            };
            last = Some(Last {
                at: *at,
                claimed: self.claimed,
                previous_sn: self.previous_sn,
            });
            self.pass(signs, sn);
            *at += signs.len;
        };
        if let Some(last) = &last
            && let Some(record) = Record::new(window.rest(last.at), &self.dialect)
        {
            let now = record.uptime_us();
            self.times_us = Some((self.times_us.map_or(now, |(first, _)| first), now));
        }
        (end, last)
    }

    /// Leaves the last record to the next window, where it can be judged
    /// together with what follows.
    fn step_back(&mut self, last: &mut Option<Last>, at: &mut usize) {
        if let Some(before) = last.take() {
            *at = before.at;
            self.take_back(before);
        }
    }

    fn in_order(&self, sn: u32) -> bool {
        let step = self.previous_sn.map_or(1, |old| sn.wrapping_sub(old));
        step.wrapping_sub(1) < MAX_JUMP
    }

    /// Counts a record as one of this message; `sn` is the serial number from
    /// which the next one is judged.
    #[inline]
    fn pass(&mut self, signs: Signs, sn: u32) {
        self.previous_sn = Some(sn);
        if self.iss.is_none() {
            if signs.iss != 0 {
                self.iss = Some(signs.iss);
                self.iss_is_fresh = true;
            }
        } else if self.iss == Some(signs.iss) {
            self.iss_is_fresh = false;
        }
        self.kept += 1;
        if let Some(left) = self.claimed {
            self.claimed = left.checked_sub(signs.len as u64);
            if self.claimed.is_none() {
                self.lie = Some("that ends inside a record");
            }
        }
    }

    /// As if the record that was walked last had not been met.
    pub fn take_back(&mut self, last: Last) {
        self.claimed = last.claimed;
        self.previous_sn = last.previous_sn;
        self.kept = self.kept.saturating_sub(1);
        if self.kept == 0 {
            self.iss = None;
        }
    }

    /// `None` if not all of the record at `here` is at hand.
    #[inline]
    fn signs(&self, here: &[u8]) -> Option<Signs> {
        let (slots, order) = (&self.dialect.record_slots, self.dialect.order);
        let plain = here.get(..self.dialect.record.size)?;
        let flags = slots.eventflags.read(plain, order) as u16;
        let len = self.dialect.record_len(flags);
        if here.len() < len {
            return None;
        }
        let state = slots.state.read_signed(plain, order) as i32;
        let (lowest, highest) = self.dialect.states;
        Some(Signs {
            len,
            sn: slots.sn.read(plain, order) as u32,
            iss: slots.iss.read(plain, order) as u32,
            state_in_range: (lowest..=highest).contains(&state),
            flags_in_range: flags & !self.dialect.known_flags == 0,
        })
    }

    /// In a message whose sizes lead exactly to its end, a record is taken as
    /// it is, however odd, unless it or the next one cannot be one at all:
    /// event 0 does not exist, and serial numbers increase.
    fn odd_but_possible(&self, window: Window<'_>, at: usize, signs: Signs) -> Option<u32> {
        let possible = |record: &Record<'_>, old: Option<u32>| {
            let step = old.map_or(1, |old| record.sn().wrapping_sub(old));
            record.event() != EventId(0) && (1..1 << 31).contains(&step)
        };
        let record = Record::new(window.rest(at), &self.dialect)?;
        let ends = self.claimed == Some(signs.len as u64);
        let next = Record::new(window.rest(at + signs.len), &self.dialect);
        let fine = self.tiles == Some(true)
            && possible(&record, self.previous_sn)
            && (ends || next.is_none_or(|next| possible(&next, Some(signs.sn))));
        fine.then_some(signs.sn)
    }

    /// True if records from `at` on fill the claimed length exactly, and what
    /// follows is a header or the end; `None` if more must be seen.
    fn leads_to_its_end(&self, window: Window<'_>, at: usize, live: bool) -> Option<bool> {
        let Some(left) = self.claimed.filter(|left| *left <= MAX_LOOK_AHEAD) else {
            return Some(false);
        };
        let here = window.rest(at);
        let Some(body) = here.get(..left as usize) else {
            return window.eof.then_some(false);
        };
        let mut rest = body;
        while let Some(signs) = self.signs(rest) {
            rest = rest.get(signs.len..).unwrap_or(&[]);
        }
        if !rest.is_empty() {
            return Some(false);
        }
        let next = here.get(left as usize..).unwrap_or(&[]);
        if next.len() < NEED && !window.eof && !live {
            return None;
        }
        let known = next.is_empty() || check_header(next, &self.dialect) == HeaderCheck::Good;
        Some(known)
    }

    /// A record in which one thing is off is kept if what follows it is sound:
    /// a flipped bit in a field must not cost the record, and never its
    /// neighbours.
    ///
    /// Returns the serial number from which the next record is to be judged.
    fn record_all_the_same(&mut self, window: Window<'_>, at: usize, signs: Signs) -> Option<u32> {
        let here = window.rest(at);
        let next = window.rest(at + signs.len);
        let record = Record::new(here, &self.dialect)?;
        let fits = self.claimed.is_none_or(|left| left >= signs.len as u64);
        let ours = self.iss.is_none_or(|iss| iss == signs.iss);
        let in_order = self.in_order(signs.sn);
        let fine = [
            signs.state_in_range,
            signs.flags_in_range,
            is_in_range(&record),
            in_order,
            ours,
            fits,
        ];
        if fine.iter().filter(|fine| !**fine).count() > 1
            || check_header(here, &self.dialect) >= HeaderCheck::Damaged
        {
            return None;
        }
        let old = self.previous_sn.unwrap_or(signs.sn.wrapping_sub(1));
        let counted = if in_order {
            signs.sn
        } else {
            old.wrapping_add(1)
        };
        if next.is_empty() || check_header(next, &self.dialect) == HeaderCheck::Good {
            return Some(counted);
        }
        let Some(after) = Record::new(next, &self.dialect) else {
            // Cut by the end of the window or of the input.
            return (self.claimed != Some(signs.len as u64)).then_some(counted);
        };
        if !is_strong(&after) {
            return None;
        }
        // Which of three serial numbers is off shows by the other two.
        let follows = |old: u32| (1..MAX_JUMP).contains(&after.sn().wrapping_sub(old));
        let sn = if follows(signs.sn) && (in_order || !follows(old)) {
            signs.sn
        } else if follows(old) {
            counted
        } else {
            return None;
        };
        match self.iss {
            Some(iss) if iss == after.iss() => Some(sn),
            // The one record that stood for the other number was damaged.
            Some(_) if self.iss_is_fresh && are_neighbours(&record, &after) => {
                self.iss = Some(after.iss());
                Some(sn)
            }
            Some(_) => None,
            None => Some(sn),
        }
    }

    /// True if the record at `here` is surely one of this connection.
    pub fn is_continued_by(&self, here: &[u8]) -> bool {
        let Some(record) = Record::new(here, &self.dialect) else {
            return false;
        };
        // The last serial number may itself be damaged, so order is no
        // condition, only nearness.
        let near = self.previous_sn.is_none_or(|old| {
            let step = record.sn().wrapping_sub(old);
            step != 0 && step.wrapping_add(MAX_JUMP) < 2 * MAX_JUMP
        });
        let then = self.times_us.is_none_or(|(first, last)| {
            let now = record.uptime_us();
            record.event() == EventId::ACCOUNTING || is_near(first, now) || is_near(last, now)
        });
        self.iss == Some(record.iss()) && near && then && is_strong(&record)
    }

    /// True if records of this connection stand at `here`, as far as the ports
    /// in their TCP headers say; `None` if none of the next few has one.
    pub fn owns(&self, here: &[u8]) -> Option<bool> {
        let ends = Header::new(&self.header, &self.dialect)?.endpoints();
        let mut previous: Option<Record<'_>> = None;
        let tcp = Records::new(here, &self.dialect)
            .take_while(|record| {
                let goes_on = previous.is_none_or(|before| are_neighbours(&before, record));
                previous = Some(*record);
                goes_on
            })
            .find_map(|record| record.tcp())?;
        let (local, foreign) = (ends.local.port(), ends.foreign.port());
        let ports = (tcp.src_port(), tcp.dst_port());
        Some(ports == (local, foreign) || ports == (foreign, local))
    }

    /// True if the record at `here` can be the next one after `lost` bytes of
    /// damage, which cannot have held more records than fit into them.
    pub fn may_reach(&self, here: &[u8], lost: usize) -> bool {
        let Some(old) = self.previous_sn else {
            return true;
        };
        let most = lost / self.dialect.record.size + 2;
        Record::new(here, &self.dialect)
            .is_some_and(|record| (1..=most as u32).contains(&record.sn().wrapping_sub(old)))
    }

    /// True if fewer bytes are at `here` than the record there needs.
    pub fn is_cut_record(&self, here: &[u8]) -> bool {
        self.signs(here).is_none()
    }

    /// Hands out `records`, a range of the batch's data.
    pub fn hand_out(&mut self, batch: &mut Batch, records: Range<usize>, last: bool) {
        let start = batch.headers.len();
        batch.headers.extend_from_slice(&self.header);
        batch.pieces.push(Piece {
            dialect: Arc::clone(&self.dialect),
            header_apart: true,
            header: start..batch.headers.len(),
            records,
            known: self.known,
            first: !self.handed_out,
            last,
            offset: self.offset,
            stack_name: None,
        });
        self.handed_out = true;
    }
}

/// True if two records can only be taken for neighbours of one connection:
/// told without knowing anything else of it.
pub(super) fn are_neighbours(first: &Record<'_>, second: &Record<'_>) -> bool {
    const NEAR: u32 = 64;
    is_strong(first)
        && is_strong(second)
        && (1..NEAR).contains(&second.sn().wrapping_sub(first.sn()))
        && (first.iss() == second.iss() || first.iss() == 0)
        && (first.starttime() == second.starttime() || first.starttime() == 0)
        && is_near(first.uptime_us(), second.uptime_us())
}

/// True if two uptimes are within a day of each other.
fn is_near(one_us: i64, other_us: i64) -> bool {
    const DAY: i64 = 86_400_000_000;
    (-DAY..DAY).contains(&other_us.saturating_sub(one_us))
}

/// A plausible record that is not plausible only for being full of zeros.
pub(super) fn is_strong(record: &Record<'_>) -> bool {
    plausible_record(record)
        && (record.uptime_us() > 0 || record.event() == EventId::ACCOUNTING)
        && record.ticks() != 0
}

fn is_in_range(record: &Record<'_>) -> bool {
    let (snd, rcv) = record.scales();
    let time = (0..1_000_000).contains(&record.tv_usec()) || record.event() == EventId::ACCOUNTING;
    time && snd <= 14 && rcv <= 14
}
