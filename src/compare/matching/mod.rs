//! Which segment of the log is which segment on the wire.
//!
//! Segments are the same if direction, sequence number, acknowledgement,
//! flags, length and options are. Several that are the same, as are repeated
//! acknowledgements, are matched one to one in the order of time. What is left
//! is matched by the bytes it covers: one recorder may have cut into pieces
//! what is one segment for the other.
//!
//! Work is O(n log n); memory some 30 bytes for each segment.

mod alike;
mod lane;
mod pieces;
#[cfg(test)]
mod tests;

use super::clock::{Clock, Pair};
use super::segment::{Direction, Segment};

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The other recorder does not have it.
    Alone,
    /// It is that segment of the other recorder.
    Is(u32),
    /// It is part of one of [`Matches::merged`].
    Part(u32),
}

/// Segments of both recorders that are the same bytes in different pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    pub direction: Direction,
    /// In the order of their sequence numbers.
    pub log: Vec<u32>,
    /// In the order of their sequence numbers.
    pub wire: Vec<u32>,
    /// Bytes for which the recorder with more pieces has none.
    pub missing: u32,
}

/// Why segments are in different pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MergeKind {
    /// Large receive offload: one record stands for several segments.
    Lro,
    /// TCP segmentation offload: the network card divided what was one.
    Tso,
    /// The capture has as one what were several records.
    CaptureMerged,
    /// Several for several.
    Regrouped,
}

impl MergeKind {
    pub const ALL: [MergeKind; 4] = [
        MergeKind::Lro,
        MergeKind::Tso,
        MergeKind::CaptureMerged,
        MergeKind::Regrouped,
    ];

    pub fn name(self) -> &'static str {
        match self {
            MergeKind::Lro => "lro",
            MergeKind::Tso => "tso",
            MergeKind::CaptureMerged => "capture_merged",
            MergeKind::Regrouped => "regrouped",
        }
    }
}

impl Merged {
    pub fn kind(&self) -> MergeKind {
        match (self.log.len(), self.wire.len(), self.direction) {
            (1, _, Direction::In) => MergeKind::Lro,
            (1, _, Direction::Out) => MergeKind::Tso,
            (_, 1, _) => MergeKind::CaptureMerged,
            _ => MergeKind::Regrouped,
        }
    }
}

/// The outcome for the segments between two ends.
#[derive(Clone, Debug, Default)]
pub struct Matches {
    /// For each segment of the log.
    pub log: Vec<Fate>,
    /// For each segment on the wire.
    pub wire: Vec<Fate>,
    pub merged: Vec<Merged>,
    /// Matched without looking at options, because the capture cut them off.
    pub without_options: u64,
}

/// The segments between two ends, as both recorders have them.
#[derive(Clone, Copy)]
pub struct Sides<'a> {
    pub log: &'a [Segment],
    pub wire: &'a [Segment],
    /// The local end is the higher one, so the wire's directions are turned.
    pub flipped: bool,
}

impl Sides<'_> {
    /// Direction of a segment on the wire, seen from the local end.
    pub fn wire_direction(&self, segment: &Segment) -> Direction {
        segment.direction.flipped(self.flipped)
    }

    /// The clocks of both, by what is matched so far.
    fn clock(&self, matches: &Matches) -> Option<Clock> {
        let pairs = self.pairs(matches).into_iter();
        let pairs: Vec<Pair> = pairs.map(|(_, pair)| pair).collect();
        Clock::estimate(&pairs)
    }

    /// Times of what is matched one to one, with the connection of the log.
    pub fn pairs(&self, matches: &Matches) -> Vec<(u32, Pair)> {
        let all = self.log.iter().zip(&matches.log);
        let pairs = all.filter_map(|(segment, fate)| {
            let Fate::Is(wire) = fate else { return None };
            let pair = Pair {
                log: segment.time?,
                wire: self.wire.get(*wire as usize)?.time?,
                direction: segment.direction,
            };
            Some((segment.connection, pair))
        });
        pairs.collect()
    }
}

/// Matches the segments between two ends.
pub fn matches(sides: Sides<'_>) -> Matches {
    let mut matches = Matches {
        log: vec![Fate::Alone; sides.log.len()],
        wire: vec![Fate::Alone; sides.wire.len()],
        ..Matches::default()
    };
    let clock = alike::pair(sides, &mut matches);
    pieces::merge(sides, &mut matches, clock.as_ref());
    matches
}

impl Matches {
    fn join(&mut self, log: u32, wire: u32) {
        if let Some(fate) = self.log.get_mut(log as usize) {
            *fate = Fate::Is(wire);
        }
        if let Some(fate) = self.wire.get_mut(wire as usize) {
            *fate = Fate::Is(log);
        }
    }

    fn merge(&mut self, merged: Merged) {
        let number = Fate::Part(self.merged.len() as u32);
        for at in &merged.log {
            if let Some(fate) = self.log.get_mut(*at as usize) {
                *fate = number;
            }
        }
        for at in &merged.wire {
            if let Some(fate) = self.wire.get_mut(*at as usize) {
                *fate = number;
            }
        }
        self.merged.push(merged);
    }

    fn log_is_alone(&self, at: u32) -> bool {
        self.log.get(at as usize) == Some(&Fate::Alone)
    }

    fn wire_is_alone(&self, at: u32) -> bool {
        self.wire.get(at as usize) == Some(&Fate::Alone)
    }
}
