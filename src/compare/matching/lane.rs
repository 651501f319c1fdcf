//! The segments of one direction that one recorder has, by where their bytes
//! begin.

use super::Fate;
use crate::compare::segment::Segment;
use std::collections::{HashMap, VecDeque};

/// Places where the bytes of a segment may begin on the other side that are
/// tried, at most.
const MOST_STARTS: usize = 8;

/// Segments that may stand between two pieces.
pub const MOST_BETWEEN: usize = 64;

/// Pieces of one whole, at most.
pub const MOST_PIECES: usize = 2048;

/// One recorder's segments of one direction, in its order.
pub struct Lane<'a> {
    segments: &'a [Segment],
    /// Index of each segment of the direction.
    pub order: Vec<u32>,
    taken: Vec<bool>,
    /// Positions in `order` by sequence number.
    starts: HashMap<u32, VecDeque<u32>>,
    /// Sequence number and position of all with payload, sorted.
    sorted: Vec<(u32, u32)>,
}

impl<'a> Lane<'a> {
    pub fn new(
        segments: &'a [Segment],
        fates: &[Fate],
        wanted: impl Fn(&Segment) -> bool,
    ) -> Lane<'a> {
        let mut lane = Lane {
            segments,
            order: Vec::new(),
            taken: Vec::new(),
            starts: HashMap::new(),
            sorted: Vec::new(),
        };
        for ((at, segment), fate) in (0_u32..).zip(segments).zip(fates) {
            if segment.tcp.is_none() || !wanted(segment) {
                continue;
            }
            let position = lane.order.len() as u32;
            let is_free = *fate == Fate::Alone;
            lane.order.push(at);
            lane.taken.push(!is_free);
            if is_free && segment.len > 0 {
                let same = lane.starts.entry(segment.seq()).or_default();
                same.push_back(position);
                lane.sorted.push((segment.seq(), position));
            }
        }
        lane.sorted.sort_unstable();
        lane
    }

    pub fn get(&self, position: u32) -> Option<&'a Segment> {
        let at = self.order.get(position as usize)?;
        self.segments.get(*at as usize)
    }

    pub fn is_free(&self, position: u32) -> bool {
        self.taken.get(position as usize) == Some(&false)
    }

    /// Free positions whose bytes begin at `seq`.
    pub fn starting(&mut self, seq: u32) -> Vec<u32> {
        let Some(same) = self.starts.get_mut(&seq) else {
            return Vec::new();
        };
        let taken = &self.taken;
        let is_free = |at: &u32| taken.get(*at as usize) == Some(&false);
        while same.front().is_some_and(|at| !is_free(at)) {
            same.pop_front();
        }
        let free = same.iter().take(MOST_BETWEEN).copied();
        free.filter(is_free).take(MOST_STARTS).collect()
    }

    /// The next free segment behind `position` whose bytes begin at `seq`.
    pub fn next(&self, position: u32, seq: u32, has_payload: bool, looks: &mut u64) -> Option<u32> {
        let behind = position.checked_add(1)?..self.order.len() as u32;
        for at in behind.take(MOST_BETWEEN) {
            *looks = looks.checked_sub(1)?;
            let segment = self.get(at)?;
            if self.is_free(at) && segment.seq() == seq && (segment.len > 0) == has_payload {
                return Some(at);
            }
        }
        None
    }

    /// Free segments that lie within `len` bytes from `seq` on.
    pub fn within(&self, seq: u32, len: u32, looks: &mut u64) -> Vec<u32> {
        let from = self.sorted.partition_point(|(start, _)| *start < seq);
        let (before, after) = self.sorted.split_at_checked(from).unwrap_or_default();
        // Sequence numbers go round.
        let all = after.iter().chain(before);
        let mut found = Vec::new();
        for (start, position) in all.take_while(|(start, _)| start.wrapping_sub(seq) < len) {
            let Some(rest) = looks.checked_sub(1) else {
                break;
            };
            *looks = rest;
            let inside = self.get(*position).is_some_and(|segment| {
                let end = u64::from(start.wrapping_sub(seq)) + u64::from(segment.len);
                end <= u64::from(len)
            });
            if inside && self.is_free(*position) && found.len() < MOST_PIECES {
                found.push(*position);
            }
        }
        found
    }

    pub fn take(&mut self, positions: &[u32]) -> Vec<u32> {
        for position in positions {
            if let Some(taken) = self.taken.get_mut(*position as usize) {
                *taken = true;
            }
        }
        let indices = positions.iter();
        indices
            .filter_map(|position| self.order.get(*position as usize).copied())
            .collect()
    }
}
