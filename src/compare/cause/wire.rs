//! Why the log does not have a segment that was on the wire.

use crate::bblog::tcp::{ACK, RST, SYN};
use crate::compare::log::Run;
use crate::compare::matching::{Fate, Matches, Sides};
use crate::compare::segment::{Direction, Segment};
use crate::compare::serials::Gap;
use std::collections::HashMap;

/// Why the log does not have a segment that was on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WireCause {
    /// Before the first record: logging was not on yet.
    BeforeLog,
    /// Serial numbers are missing there: the record was lost.
    SerialGap(usize),
    /// No serial number is missing, and the segment is a probe of window or
    /// peer, which stacks send without logging it.
    Probe,
    /// No serial number is missing: the stack did not log it.
    NotLogged,
    /// After the last record.
    AfterLog,
}

impl WireCause {
    pub fn name(self) -> &'static str {
        match self {
            WireCause::BeforeLog => "before_log",
            WireCause::SerialGap(_) => "log_loss",
            WireCause::Probe => "probe",
            WireCause::NotLogged => "not_logged",
            WireCause::AfterLog => "after_log",
        }
    }
}

/// A record that stands next to a segment of the wire.
#[derive(Clone, Copy, Debug)]
struct Neighbour {
    /// Index of its run in [`crate::compare::log::Log::runs`].
    run: u32,
    /// Its serial number.
    place: i64,
    /// It was asked for.
    selected: bool,
}

/// The nearest records before and after a segment of the wire.
#[derive(Clone, Copy, Debug, Default)]
struct Near {
    /// Of its own direction: serial numbers of one direction are in the order
    /// of the wire.
    same: [Option<Neighbour>; 2],
    /// The runs of those of either direction.
    any: [Option<u32>; 2],
    /// How many connections began between these ends up to here.
    incarnation: u32,
}

/// What is known of a run of the log between two ends.
#[derive(Clone, Debug, Default)]
pub struct Span {
    pub gaps: Vec<Gap>,
    /// First and last serial number.
    serials: (i64, i64),
    /// First and last position on the wire that is matched to it.
    matched: Option<(usize, usize)>,
}

/// What surrounds the segments of the wire between two ends.
pub struct Surroundings<'a> {
    sides: Sides<'a>,
    near: Vec<Near>,
    spans: HashMap<u32, Span>,
}

/// The record that stands for a segment of the wire.
fn record<'a>(sides: Sides<'a>, matches: &Matches, at: usize, last: bool) -> Option<&'a Segment> {
    let at = match matches.wire.get(at)? {
        Fate::Alone => return None,
        Fate::Is(log) => *log,
        Fate::Part(merged) => {
            let merged = matches.merged.get(*merged as usize)?;
            let end = if last {
                merged.log.last()
            } else {
                merged.log.first()
            };
            *end?
        }
    };
    sides.log.get(at as usize)
}

impl<'a> Surroundings<'a> {
    /// `runs`: those of the log between these ends, with their numbers.
    pub fn new<'r>(
        sides: Sides<'a>,
        matches: &Matches,
        runs: impl Iterator<Item = (u32, &'r Run)>,
    ) -> Surroundings<'a> {
        let span = |run: &Run| Span {
            gaps: run.serials.gaps(),
            serials: (
                run.serials.first().unwrap_or(0),
                run.serials.last().unwrap_or(0),
            ),
            matched: None,
        };
        let mut spans: HashMap<u32, Span> = runs.map(|(at, run)| (at, span(run))).collect();
        let mut near = vec![Near::default(); sides.wire.len()];
        let neighbour = |at: usize, last: bool| {
            let record = record(sides, matches, at, last)?;
            Some(Neighbour {
                run: record.connection,
                place: record.place,
                selected: record.selected,
            })
        };
        let (mut same, mut any) = ([None; 2], None);
        let mut starts = Starts::default();
        for (at, (segment, near)) in sides.wire.iter().zip(&mut near).enumerate() {
            let way = sides.wire_direction(segment).index();
            if let Some(found) = neighbour(at, true) {
                same[way] = Some(found);
                any = Some(found.run);
                if let Some(span) = spans.get_mut(&found.run) {
                    span.matched = Some((span.matched.map_or(at, |(first, _)| first), at));
                }
            }
            near.same[0] = same[way];
            near.any[0] = any;
            near.incarnation = starts.pass(segment);
        }
        let (mut same, mut any) = ([None; 2], None);
        for (at, (segment, near)) in sides.wire.iter().zip(&mut near).enumerate().rev() {
            let way = sides.wire_direction(segment).index();
            if let Some(found) = neighbour(at, false) {
                same[way] = Some(found);
                any = Some(found.run);
            }
            near.same[1] = same[way];
            near.any[1] = any;
        }
        Surroundings { sides, near, spans }
    }

    /// The gaps in the serial numbers of a run.
    pub fn gaps(&self, run: u32) -> &[Gap] {
        self.spans.get(&run).map_or(&[], |span| &span.gaps)
    }

    /// The run to which a segment belongs that only the wire has; `None` for
    /// one of another connection between the same ends.
    pub fn run(&self, at: usize) -> Option<u32> {
        let near = self.near.get(at)?;
        let incarnation = |at: Option<usize>| Some(self.near.get(at?)?.incarnation);
        let matched = |run: u32| self.spans.get(&run).and_then(|span| span.matched);
        let last_of = |run| incarnation(matched(run).map(|(_, last)| last));
        let first_of = |run| incarnation(matched(run).map(|(first, _)| first));
        let here = Some(near.incarnation);
        match near.any {
            // Nothing of these ends is matched: all is of the first run.
            [None, None] => self.spans.keys().min().copied(),
            [Some(before), Some(after)] if before == after => Some(before),
            [Some(before), None] => (last_of(before) == here).then_some(before),
            [None, Some(after)] => (first_of(after) == here).then_some(after),
            [Some(_), Some(after)] if first_of(after) == here => Some(after),
            [Some(before), Some(_)] => (last_of(before) == here).then_some(before),
        }
    }

    /// True if a segment that only the wire has lies among records of `run`
    /// that were asked for.
    pub fn is_selected(&self, at: usize, run: u32) -> bool {
        let near = self.near.get(at).copied().unwrap_or_default();
        let mut around = near.same.into_iter().flatten();
        around.all(|record| record.run != run || record.selected)
    }

    /// Why the log's run does not have the segment at `at` on the wire.
    pub fn cause(&self, at: usize, run: u32) -> WireCause {
        let (Some(segment), Some(near), Some(span)) = (
            self.sides.wire.get(at),
            self.near.get(at),
            self.spans.get(&run),
        ) else {
            return WireCause::NotLogged;
        };
        let (first, last) = span.serials;
        let Some((first_matched, last_matched)) = span.matched else {
            return WireCause::NotLogged;
        };
        if at < first_matched {
            // A passive open logs nothing of its handshake.
            let lost = gap(&span.gaps, -1, first).filter(|_| !self.is_handshake(at, segment));
            return lost.map_or(WireCause::BeforeLog, WireCause::SerialGap);
        }
        let place = |record: Option<Neighbour>| {
            let record = record.filter(|record| record.run == run)?;
            Some(record.place)
        };
        let [before, after] = near.same.map(place);
        if let Some(gap) = gap(&span.gaps, before.unwrap_or(first), after.unwrap_or(last)) {
            return WireCause::SerialGap(gap);
        }
        if at > last_matched {
            return WireCause::AfterLog;
        }
        if self.is_probe(at, segment) {
            WireCause::Probe
        } else {
            WireCause::NotLogged
        }
    }

    /// A SYN, or what has no payload and comes right behind one.
    fn is_handshake(&self, at: usize, segment: &Segment) -> bool {
        let is_syn = |segment: &Segment| segment.flags() & SYN != 0;
        let before = at.checked_sub(1).and_then(|at| self.sides.wire.get(at));
        is_syn(segment) || segment.len == 0 && before.is_some_and(is_syn)
    }

    /// A probe of this host has at most one byte, which lies right before what
    /// was acknowledged: a keepalive. A byte right behind it is a probe of the
    /// window only if that is closed; else it is data, as of a terminal. What
    /// comes in is logged, whatever it is.
    fn is_probe(&self, at: usize, segment: &Segment) -> bool {
        let Some(tcp) = segment.tcp else {
            return false;
        };
        let is_out = self.sides.wire_direction(segment) == Direction::Out;
        if !is_out || segment.len > 1 || tcp.flags & (SYN | RST) != 0 {
            return false;
        }
        let way = segment.direction;
        let earlier = self.sides.wire.get(..at).unwrap_or(&[]);
        let mut earlier = earlier.iter().rev().take(256);
        earlier
            .find(|other| other.direction != way && other.tcp.is_some())
            .and_then(|other| other.tcp)
            .is_some_and(|other| {
                let before = tcp.seq == other.ack.wrapping_sub(1);
                before || segment.len == 1 && tcp.seq == other.ack && other.is_closed
            })
    }
}

/// The first gap between two serial numbers.
fn gap(gaps: &[Gap], before: i64, after: i64) -> Option<usize> {
    let at = gaps.partition_point(|gap| gap.last < before);
    let gap = gaps.get(at)?;
    (gap.first < after).then_some(at)
}

/// Counts the connections that begin between two ends.
#[derive(Default)]
struct Starts {
    count: u32,
    /// Sequence number of the last SYN of either direction.
    syn: [Option<u32>; 2],
    /// Something came from that direction.
    begun: [bool; 2],
}

impl Starts {
    /// Passes a segment; gives the number of its connection.
    fn pass(&mut self, segment: &Segment) -> u32 {
        let way = segment.direction.index();
        let is_open = segment.flags() & (SYN | ACK) == SYN;
        let same = self.syn[way] == Some(segment.seq());
        if is_open && !same && self.begun[way] {
            self.count += 1;
            self.begun = [false; 2];
            self.syn = [None; 2];
        }
        if is_open {
            self.syn[way] = Some(segment.seq());
        }
        self.begun[way] = true;
        self.count
    }
}
