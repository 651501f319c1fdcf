//! Which connection of the wire is that of a log.

use super::log::Ends;
use super::matching::Sides;
use super::segment::{Direction, Segment, Tuple};
use super::wire::Wire;
use std::collections::HashSet;

/// Both sides of the ends of a log, by what [`counterpart`] found.
pub fn sides<'a>(ends: &'a Ends, wire: &'a Wire, found: Option<(usize, bool)>) -> Sides<'a> {
    let connection = found.and_then(|(at, _)| wire.connections.get(at));
    Sides {
        log: &ends.segments,
        wire: connection.map_or(&[], |connection| &connection.segments),
        flipped: found.is_some_and(|(_, flipped)| flipped),
    }
}

/// The connection of the wire between the ends of a log, and whether the local
/// end is the higher one.
pub fn counterpart(ends: &Ends, wire: &Wire) -> Option<(usize, bool)> {
    if let Some((local, foreign)) = ends.sockets() {
        let (tuple, flipped) = Tuple::of(local, foreign);
        return Some((wire.find(tuple)?, flipped));
    }
    // Without addresses the sequence numbers tell it among those with the same
    // ports.
    let (ports, local) = (ends.ports()?, ends.local_port?);
    let mut candidates = Vec::new();
    for (at, connection) in wire.connections.iter().enumerate() {
        if connection.tuple.ports() == ports {
            if connection.tuple.low.port() == local {
                candidates.push((at, false));
            }
            if connection.tuple.high.port() == local {
                candidates.push((at, true));
            }
        }
    }
    let starts = |segment: &Segment, direction: Direction| {
        let tcp = segment.tcp?;
        Some((direction, tcp.seq, tcp.ack, segment.len))
    };
    let of_log = ends.segments.iter();
    let of_log: HashSet<_> = of_log.filter_map(|s| starts(s, s.direction)).collect();
    let score = |(at, flipped): &(usize, bool)| {
        let segments = wire.connections.get(*at).map_or(&[][..], |c| &c.segments);
        let these = segments.iter();
        these
            .filter_map(|s| starts(s, s.direction.flipped(*flipped)))
            .filter(|start| of_log.contains(start))
            .count()
    };
    let scored = candidates.into_iter().map(|found| (score(&found), found));
    let best = scored.rev().max_by_key(|(score, _)| *score)?;
    (best.0 > 0).then_some(best.1)
}
