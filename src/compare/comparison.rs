//! All that is known once both recorders have been read.

use super::cause::{Captured, LogCause, Surroundings, WireCause};
use super::clock::{Clock, Pair};
use super::counterpart::{counterpart, sides};
use super::flow::{self, FlowCompared, FlowCounts};
use super::log::Log;
use super::matching::{Fate, Matches, MergeKind, Sides, matches};
use super::segment::{Direction, Tuple};
use super::serials::Gap;
use super::wire::Wire;
use std::collections::{BTreeMap, HashSet};

/// What was counted in one direction.
///
/// `log` is `matched` and `merged_records` and `only_log`; `wire` is `matched`
/// and `merged_segments` and `only_wire`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// IN or OUT records with a TCP header.
    pub log: u64,
    /// Segments of the capture.
    pub wire: u64,
    /// One record is one segment.
    pub matched: u64,
    /// Records that are other pieces of the same bytes as…
    pub merged_records: u64,
    /// …these segments.
    pub merged_segments: u64,
    pub only_log: u64,
    pub only_wire: u64,
    /// Matched segments whose bytes begin where others began before.
    pub again: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.log += other.log;
        self.wire += other.wire;
        self.matched += other.matched;
        self.merged_records += other.merged_records;
        self.merged_segments += other.merged_segments;
        self.only_log += other.only_log;
        self.only_wire += other.only_wire;
        self.again += other.again;
    }
}

/// A gap in the serial numbers, and what the wire has there.
#[derive(Clone, Copy, Debug)]
pub struct Lost {
    pub gap: Gap,
    /// Segments on the wire: `[in, out]`.
    pub segments: [u64; 2],
}

/// One connection of the log.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Index in [`Log::runs`].
    pub run: u32,
    /// Index in [`Log::ends`], and of [`Comparison::matches`].
    pub ends: usize,
    /// Index in [`Wire::connections`].
    pub wire: Option<usize>,
    /// `[in, out]`
    pub counts: [Counts; 2],
    /// Indices of [`Matches::merged`].
    pub merged: Vec<u32>,
    /// Segments of the log's ends that the capture does not have.
    pub only_log: Vec<(u32, LogCause)>,
    /// Segments on the wire that the log does not have.
    pub only_wire: Vec<(u32, WireCause)>,
    /// In order of serial numbers.
    pub lost: Vec<Lost>,
    pub clock: Option<Clock>,
}

impl Compared {
    /// Both have something of it.
    pub fn is_common(&self) -> bool {
        let mut counts = self.counts.iter();
        counts.any(|counts| counts.matched + counts.merged_records > 0)
    }

    /// Merged segments by kind: how many records, how many segments, and how
    /// many are not complete.
    pub fn kinds(&self, matches: &Matches) -> BTreeMap<(Direction, MergeKind), [u64; 3]> {
        let mut kinds = BTreeMap::new();
        for at in &self.merged {
            if let Some(merged) = matches.merged.get(*at as usize) {
                let sums: &mut [u64; 3] =
                    kinds.entry((merged.direction, merged.kind())).or_default();
                sums[0] += merged.log.len() as u64;
                sums[1] += merged.wire.len() as u64;
                sums[2] += u64::from(merged.missing > 0);
            }
        }
        kinds
    }
}

/// The outcome.
pub struct Comparison<'a> {
    pub log: &'a Log,
    pub wire: &'a Wire,
    /// For each of [`Log::ends`].
    pub matches: Vec<Matches>,
    /// For each of [`Log::ends`]: the connection of the wire, and whether its
    /// directions are turned.
    pub wires: Vec<Option<(usize, bool)>>,
    /// Connections of which something was asked for, in the log's order.
    pub compared: Vec<Compared>,
    /// Of all connections that have a wall clock; without any, of all.
    pub clock: Option<Clock>,
    /// It is one of those.
    clock_is_wall: bool,
    /// Segments between ends that the log has, of connections that it does not
    /// have: before or after those between the same ends.
    pub unlogged: u64,
    /// Flows of the zero-copy sniffer's logs.
    pub flows: Vec<FlowCompared<'a>>,
}

impl<'a> Comparison<'a> {
    /// Compares what was read.
    pub fn new(log: &'a Log, wire: &'a Wire) -> Comparison<'a> {
        let mut comparison = Comparison {
            log,
            wire,
            matches: Vec::with_capacity(log.ends.len()),
            wires: Vec::with_capacity(log.ends.len()),
            compared: Vec::new(),
            clock: None,
            clock_is_wall: false,
            unlogged: 0,
            flows: (log.sniffed.as_ref().zip(wire.passed.as_ref()))
                .map_or(Vec::new(), |(log, wire)| flow::compared(log, wire)),
        };
        let mut pairs: [Vec<Pair>; 2] = Default::default();
        for ends in &log.ends {
            let found = counterpart(ends, wire);
            let matched = matches(sides(ends, wire, found));
            let of_runs = sides(ends, wire, found).pairs(&matched);
            for (run, pair) in of_runs {
                let run = log.runs.get(run as usize);
                let is_wall = run.is_some_and(|run| run.wall_clock);
                pairs[usize::from(is_wall)].push(pair);
            }
            comparison.wires.push(found);
            comparison.matches.push(matched);
        }
        // Uptimes are of another clock, or of many.
        let [uptimes, walls] = &pairs;
        comparison.clock_is_wall = !walls.is_empty();
        comparison.clock = Clock::estimate(walls).or_else(|| Clock::estimate(uptimes));
        for at in 0..log.ends.len() {
            comparison.connections(at);
        }
        comparison.compared.sort_by_key(|compared| compared.run);
        comparison
    }

    /// The clocks of a connection: its own, else those of the others.
    pub fn clock_of<'c>(&'c self, compared: &'c Compared) -> Option<&'c Clock> {
        let run = self.log.runs.get(compared.run as usize);
        let is_wall = run.is_some_and(|run| run.wall_clock);
        let others = self.clock.as_ref();
        let others = others.filter(|_| is_wall == self.clock_is_wall);
        compared.clock.as_ref().or(others)
    }

    /// Both sides of ends of the log.
    pub fn sides(&self, ends: usize) -> Sides<'a> {
        match self.log.ends.get(ends) {
            Some(of_log) => sides(of_log, self.wire, self.wires.get(ends).copied().flatten()),
            None => Sides {
                log: &[],
                wire: &[],
                flipped: false,
            },
        }
    }

    /// Sums up the connections between two ends.
    fn connections(&mut self, at: usize) {
        let sides = self.sides(at);
        let Some(matches) = self.matches.get(at) else {
            return;
        };
        let runs = self.log.ends.get(at).map_or(&[][..], |ends| &ends.runs);
        let known = runs.iter();
        let known = known.filter_map(|run| Some((*run, self.log.runs.get(*run as usize)?)));
        let around = Surroundings::new(sides, matches, known);
        let mut places: BTreeMap<u32, usize> = BTreeMap::new();
        let mut compared: Vec<Compared> = Vec::new();
        for run in runs.iter().copied() {
            if !(self.log.runs.get(run as usize)).is_some_and(|run| run.selected) {
                continue;
            }
            places.insert(run, compared.len());
            let lost = around.gaps(run).iter().map(|gap| Lost {
                gap: *gap,
                segments: [0; 2],
            });
            compared.push(Compared {
                run,
                ends: at,
                wire: self.wires.get(at).copied().flatten().map(|(wire, _)| wire),
                counts: [Counts::default(); 2],
                merged: Vec::new(),
                only_log: Vec::new(),
                only_wire: Vec::new(),
                lost: lost.collect(),
                clock: None,
            });
        }
        let mut pairs: BTreeMap<u32, Vec<Pair>> = BTreeMap::new();
        for (run, pair) in sides.pairs(matches) {
            pairs.entry(run).or_default().push(pair);
        }
        for compared in &mut compared {
            let pairs = pairs.get(&compared.run);
            compared.clock = pairs.and_then(|pairs| Clock::estimate(pairs));
        }
        of_log(sides, matches, &places, &mut compared);
        for (number, merged) in (0_u32..).zip(&matches.merged) {
            let records = merged.log.iter();
            let record = records.filter_map(|at| sides.log.get(*at as usize));
            let Some(one) = record.clone().next() else {
                continue;
            };
            let run = places.get(&one.connection);
            let selected = record.clone().any(|segment| segment.selected);
            if let Some(compared) = run.and_then(|run| compared.get_mut(*run))
                && selected
            {
                let counts = &mut compared.counts[merged.direction.index()];
                let selected = record.filter(|segment| segment.selected).count() as u64;
                counts.log += selected;
                counts.merged_records += selected;
                counts.wire += merged.wire.len() as u64;
                counts.merged_segments += merged.wire.len() as u64;
                compared.merged.push(number);
            }
        }
        for (number, (segment, fate)) in (0_u32..).zip(sides.wire.iter().zip(&matches.wire)) {
            if *fate != Fate::Alone {
                continue;
            }
            let Some(run) = around.run(number as usize) else {
                self.unlogged += 1;
                continue;
            };
            let place = places.get(&run).copied();
            let Some(compared) = place.and_then(|place| compared.get_mut(place)) else {
                continue;
            };
            if !around.is_selected(number as usize, run) {
                continue;
            }
            let direction = sides.wire_direction(segment).index();
            let cause = around.cause(number as usize, run);
            compared.counts[direction].wire += 1;
            compared.counts[direction].only_wire += 1;
            compared.only_wire.push((number, cause));
            if let WireCause::SerialGap(gap) = cause
                && let Some(lost) = compared.lost.get_mut(gap)
            {
                lost.segments[direction] += 1;
            }
        }
        let captured = Captured::new(sides, self.wire.times);
        for compared in &mut compared {
            let clock = self.clock_of(compared).copied();
            for (at, cause) in &mut compared.only_log {
                if let Some(segment) = sides.log.get(*at as usize) {
                    *cause = captured.cause(segment, clock.as_ref());
                }
            }
        }
        self.compared.append(&mut compared);
    }

    /// The sums of all connections: `[in, out]`.
    pub fn total(&self) -> [Counts; 2] {
        let mut total = [Counts::default(); 2];
        for compared in &self.compared {
            for (sum, counts) in total.iter_mut().zip(&compared.counts) {
                sum.add(counts);
            }
        }
        total
    }

    /// True if some connection is in both.
    pub fn has_common(&self) -> bool {
        self.compared.iter().any(Compared::is_common)
    }

    /// The sums of all flows.
    pub fn total_of_flows(&self) -> FlowCounts {
        let mut total = FlowCounts::default();
        for flow in &self.flows {
            total.add(&flow.counts);
        }
        total
    }

    /// True if some flow is in both.
    pub fn has_common_flow(&self) -> bool {
        self.flows.iter().any(|flow| flow.counts.matched > 0)
    }

    /// Segments of connections that the log does not have.
    pub fn segments_not_in_log(&self) -> u64 {
        let known = self.wire.strangers.values().sum::<u64>();
        known + self.wire.more_strangers + self.unlogged
    }

    /// Connections of the capture that the log does not have, those with the
    /// most segments first.
    pub fn strangers(&self) -> Vec<(Tuple, u64)> {
        let all = self.wire.strangers.iter();
        let mut all: Vec<(Tuple, u64)> = all.map(|(tuple, count)| (*tuple, *count)).collect();
        all.sort_by_key(|(tuple, count)| (std::cmp::Reverse(*count), *tuple));
        all
    }
}

/// Counts what the log has of each connection.
fn of_log(
    sides: Sides<'_>,
    matches: &Matches,
    places: &BTreeMap<u32, usize>,
    compared: &mut [Compared],
) {
    let mut begun: HashSet<(u32, Direction, u32)> = HashSet::new();
    for (number, (segment, fate)) in (0_u32..).zip(sides.log.iter().zip(&matches.log)) {
        let place = places.get(&segment.connection).copied();
        let Some(compared) = place.and_then(|place| compared.get_mut(place)) else {
            continue;
        };
        let start = (segment.connection, segment.direction, segment.seq());
        let again = segment.len > 0 && !begun.insert(start);
        if !segment.selected {
            continue;
        }
        let counts = &mut compared.counts[segment.direction.index()];
        match fate {
            Fate::Alone => {
                counts.log += 1;
                counts.only_log += 1;
                compared.only_log.push((number, LogCause::NotSeen));
            }
            Fate::Is(_) => {
                counts.log += 1;
                counts.wire += 1;
                counts.matched += 1;
                counts.again += u64::from(again);
            }
            // Counted with what it is merged with.
            Fate::Part(_) => {}
        }
    }
}
