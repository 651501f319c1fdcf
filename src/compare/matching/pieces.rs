//! The same bytes in different pieces: LRO, TSO, and captures that merge.

use super::lane::{Lane, MOST_BETWEEN, MOST_PIECES};
use super::{Matches, Merged, Sides};
use crate::bblog::tcp::PSH;
use crate::compare::clock::Clock;
use crate::compare::segment::{Direction, Segment};

/// Looks at segments, at most, for each segment there is: data that is made to
/// look alike must not cost more than that.
const LOOKS: u64 = 64;

/// Pieces of a whole that is not complete are at most this far from when it
/// is expected, ns.
const NEAR: u64 = 250_000_000;

/// Matches what is left by the bytes it covers.
pub fn merge(sides: Sides<'_>, matches: &mut Matches, clock: Option<&Clock>) {
    let has_payload = |at: u32| sides.log.get(at as usize).is_some_and(|s| s.len > 0);
    if !(0..sides.log.len() as u32).any(|at| matches.log_is_alone(at) && has_payload(at)) {
        return;
    }
    let mut looks = (sides.log.len() + sides.wire.len()) as u64 * LOOKS;
    for direction in Direction::BOTH {
        let mut log = Lane::new(sides.log, &matches.log, |s| s.direction == direction);
        let mut wire = Lane::new(sides.wire, &matches.wire, |s| {
            sides.wire_direction(s) == direction
        });
        whole(direction, &mut log, &mut wire, matches, clock, &mut looks);
        incomplete(direction, &mut log, &mut wire, matches, clock, &mut looks);
    }
}

/// What both sides have all bytes of.
fn whole(
    direction: Direction,
    log: &mut Lane<'_>,
    wire: &mut Lane<'_>,
    matches: &mut Matches,
    clock: Option<&Clock>,
    looks: &mut u64,
) {
    for position in 0..log.order.len() as u32 {
        let Some(segment) = log.get(position) else {
            continue;
        };
        if !log.is_free(position) || segment.len == 0 {
            continue;
        }
        let mut nearest: Option<(u64, Vec<u32>, Vec<u32>)> = None;
        for start in wire.starting(segment.seq()) {
            let Some((logs, wires)) = joined(log, position, wire, start, looks) else {
                continue;
            };
            let apart = apart(segment, wire.get(start), direction, clock);
            if nearest.as_ref().is_none_or(|(least, ..)| apart < *least) {
                nearest = Some((apart, logs, wires));
            }
        }
        if let Some((_, logs, wires)) = nearest {
            matches.merge(Merged {
                direction,
                log: log.take(&logs),
                wire: wire.take(&wires),
                missing: 0,
            });
        }
    }
}

/// Nanoseconds from when a segment of the log is expected on the wire to when
/// `there` was there; 0 where that is not known.
fn apart(
    segment: &Segment,
    there: Option<&Segment>,
    direction: Direction,
    clock: Option<&Clock>,
) -> u64 {
    let expected = clock.and_then(|clock| Some(clock.expected(segment.time?, direction)));
    let there = there.and_then(|there| there.time);
    match (expected, there) {
        (Some(expected), Some(there)) => there.abs_diff(expected),
        _ => 0,
    }
}

/// Adds pieces to the shorter side until both cover the same bytes.
fn joined(
    log: &Lane<'_>,
    of_log: u32,
    wire: &Lane<'_>,
    of_wire: u32,
    looks: &mut u64,
) -> Option<(Vec<u32>, Vec<u32>)> {
    let seq = log.get(of_log)?.seq();
    let (mut logs, mut wires) = (vec![of_log], vec![of_wire]);
    let mut log_len = log.get(of_log)?.len;
    let mut wire_len = wire.get(of_wire)?.len;
    while log_len != wire_len {
        let log_is_short = log_len < wire_len;
        let (lane, pieces, len) = if log_is_short {
            (log, &mut logs, &mut log_len)
        } else {
            (wire, &mut wires, &mut wire_len)
        };
        let next = lane.next(*pieces.last()?, seq.wrapping_add(*len), true, looks)?;
        *len = len.checked_add(lane.get(next)?.len)?;
        pieces.push(next);
        if pieces.len() > MOST_PIECES {
            return None;
        }
    }
    // LRO puts acknowledgements without payload in as well.
    let acked = |lane: &Lane<'_>, pieces: &[u32]| {
        let last = lane.get(*pieces.last()?)?;
        last.tcp.map(|tcp| tcp.ack)
    };
    let wanted = acked(log, &logs);
    if logs.len() == 1 && acked(wire, &wires) != wanted {
        let end = seq.wrapping_add(wire_len);
        let mut more = wires.clone();
        while acked(wire, &more) != wanted && more.len() < wires.len() + MOST_BETWEEN {
            let Some(next) = wire.next(*more.last()?, end, false, looks) else {
                break;
            };
            more.push(next);
        }
        if acked(wire, &more) == wanted {
            wires = more;
        }
    }
    let several = logs.len() + wires.len() > 2;
    (several && agree(log, &logs, wire, &wires)).then_some((logs, wires))
}

/// True if the headers of both sides can be of the same bytes: one end of the
/// pieces must have the same acknowledgement and options, and all of them
/// together the same flags. PSH may get lost.
fn agree(log: &Lane<'_>, logs: &[u32], wire: &Lane<'_>, wires: &[u32]) -> bool {
    let header = |lane: &Lane<'_>, at: Option<&u32>| lane.get(*at?)?.tcp;
    let ends = |a: Option<&u32>, b: Option<&u32>| {
        let (one, other) = (header(log, a), header(wire, b));
        one.zip(other)
            .is_some_and(|(one, other)| one.ack == other.ack && one.options.may_be(other.options))
    };
    let flags = |lane: &Lane<'_>, pieces: &[u32]| {
        let each = pieces.iter().filter_map(|at| lane.get(*at));
        each.fold(0, |all, segment| all | segment.flags())
    };
    (ends(logs.last(), wires.last()) || ends(logs.first(), wires.first()))
        && (flags(log, logs) ^ flags(wire, wires)) & !PSH == 0
}

/// What one side has in pieces of which some are missing.
fn incomplete(
    direction: Direction,
    log: &mut Lane<'_>,
    wire: &mut Lane<'_>,
    matches: &mut Matches,
    clock: Option<&Clock>,
    looks: &mut u64,
) {
    for position in 0..log.order.len() as u32 {
        let Some(segment) = log.get(position).filter(|_| log.is_free(position)) else {
            continue;
        };
        if let Some((pieces, missing)) = pieces(segment, wire, looks, |piece| {
            apart(segment, Some(piece), direction, clock) <= NEAR
        }) {
            matches.merge(Merged {
                direction,
                log: log.take(&[position]),
                wire: wire.take(&pieces),
                missing,
            });
        }
    }
    for position in 0..wire.order.len() as u32 {
        let Some(segment) = wire.get(position).filter(|_| wire.is_free(position)) else {
            continue;
        };
        if let Some((pieces, missing)) = pieces(segment, log, looks, |piece| {
            apart(piece, Some(segment), direction, clock) <= NEAR
        }) {
            matches.merge(Merged {
                direction,
                log: log.take(&pieces),
                wire: wire.take(&[position]),
                missing,
            });
        }
    }
}

/// The pieces of `whole` that are there, if they are most of it, and how many
/// bytes are missing.
fn pieces(
    whole: &Segment,
    lane: &Lane<'_>,
    looks: &mut u64,
    is_near: impl Fn(&Segment) -> bool,
) -> Option<(Vec<u32>, u32)> {
    let tcp = whole.tcp.filter(|_| whole.len > 0)?;
    let mut found = Vec::new();
    let (mut covered, mut agrees, mut flags) = (0_u32, false, 0);
    for position in lane.within(tcp.seq, whole.len, looks) {
        let Some((piece, header)) = lane.get(position).and_then(|s| Some((s, s.tcp?))) else {
            continue;
        };
        // They stand in order; what overlaps was sent again.
        let overlaps = header.seq.wrapping_sub(tcp.seq) < covered_to(&found, lane, tcp.seq);
        if overlaps || !is_near(piece) {
            continue;
        }
        covered = covered.saturating_add(piece.len);
        flags |= header.flags & !PSH;
        agrees |= header.ack == tcp.ack && header.options.may_be(tcp.options);
        found.push(position);
    }
    let missing = whole.len.checked_sub(covered)?;
    // Pieces that are missing may have had the other flags.
    let wanted = tcp.flags & !PSH;
    let flags_fit = flags & !wanted == 0 && (missing > 0 || flags == wanted);
    let is_one = found.len() == 1 && missing == 0;
    let is_most = covered >= whole.len.div_ceil(2);
    (agrees && flags_fit && !is_one && is_most).then_some((found, missing))
}

/// Bytes from `seq` to the end of the last piece.
fn covered_to(found: &[u32], lane: &Lane<'_>, seq: u32) -> u32 {
    let last = found.last().and_then(|at| lane.get(*at));
    last.map_or(0, |last| {
        last.seq().wrapping_sub(seq).saturating_add(last.len)
    })
}
