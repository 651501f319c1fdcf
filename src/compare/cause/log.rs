//! Why the capture does not have a segment that the log has.

use crate::compare::clock::Clock;
use crate::compare::matching::Sides;
use crate::compare::segment::{Direction, Segment};
use std::collections::HashMap;

/// Why the capture does not have a segment that the log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogCause {
    /// Before the first packet of the capture.
    BeforeCapture,
    /// It was on the wire: the host received it, or its bytes were
    /// acknowledged and no other packet has them.
    CaptureLoss,
    /// The capture lost it, or it never left the host.
    NotSeen,
    /// The stack's own record says that it could not be sent.
    SendFailed,
    /// The capture has nothing of this connection.
    NotCaptured,
    /// After the last packet of the capture.
    AfterCapture,
}

impl LogCause {
    pub fn name(self) -> &'static str {
        match self {
            LogCause::BeforeCapture => "before_capture",
            LogCause::CaptureLoss => "capture_loss",
            LogCause::NotSeen => "not_seen",
            LogCause::SendFailed => "send_failed",
            LogCause::NotCaptured => "not_captured",
            LogCause::AfterCapture => "after_capture",
        }
    }
}

/// What tells why the capture does not have segments of one connection.
pub struct Captured<'a> {
    sides: Sides<'a>,
    /// First and last time of the capture.
    times: Option<(i64, i64)>,
    /// Farthest acknowledgement of what went out, by run.
    acked: HashMap<u32, u32>,
    /// Where bytes that went out begin on the wire, and how many; sorted.
    sent: Vec<(u32, u32)>,
}

/// What a clock may be off besides what is seen of it, ns.
const SLACK: i64 = 1_000_000;

impl<'a> Captured<'a> {
    pub fn new(sides: Sides<'a>, times: Option<(i64, i64)>) -> Captured<'a> {
        let mut acked = HashMap::new();
        for segment in sides.log.iter().filter(|s| s.direction == Direction::In) {
            if let Some(tcp) = segment.tcp {
                let farthest = acked.entry(segment.connection).or_insert(tcp.ack);
                if ahead(tcp.ack, *farthest) {
                    *farthest = tcp.ack;
                }
            }
        }
        let mut sent: Vec<(u32, u32)> = sides
            .wire
            .iter()
            .filter(|s| sides.wire_direction(s) == Direction::Out && s.len > 0)
            .map(|s| (s.seq(), s.len))
            .collect();
        sent.sort_unstable();
        Captured {
            sides,
            times,
            acked,
            sent,
        }
    }

    /// Why the capture does not have a segment of the log.
    pub fn cause(&self, segment: &Segment, clock: Option<&Clock>) -> LogCause {
        if segment.failed {
            return LogCause::SendFailed;
        }
        if let (Some(clock), Some((first, last)), Some(time)) = (clock, self.times, segment.time) {
            let spread = clock.spread.1.saturating_sub(clock.spread.0);
            let slack = spread.saturating_mul(2).saturating_add(SLACK);
            let expected = clock.expected(time, segment.direction);
            if expected < first.saturating_sub(slack) {
                return LogCause::BeforeCapture;
            }
            if expected > last.saturating_add(slack) {
                return LogCause::AfterCapture;
            }
        }
        if self.sides.wire.is_empty() {
            return LogCause::NotCaptured;
        }
        if segment.direction == Direction::In || self.was_received(segment) {
            LogCause::CaptureLoss
        } else {
            LogCause::NotSeen
        }
    }

    /// True if the peer acknowledged bytes that no packet of the capture
    /// has.
    fn was_received(&self, segment: &Segment) -> bool {
        let end = segment.seq().wrapping_add(segment.len);
        let acked = self.acked.get(&segment.connection);
        let is_acked = acked.is_some_and(|acked| *acked == end || ahead(*acked, end));
        // What begins there, and what begins before and goes on to there.
        let at = self.sent.partition_point(|(seq, _)| *seq < segment.seq());
        let there = self
            .sent
            .get(at)
            .is_some_and(|(seq, _)| *seq == segment.seq());
        let before = at.checked_sub(1).and_then(|at| self.sent.get(at));
        let reaches = before.is_some_and(|(seq, len)| segment.seq().wrapping_sub(*seq) < *len);
        let is_there = there || reaches;
        segment.len > 0 && is_acked && !is_there
    }
}

/// True if `one` is ahead of `other`.
fn ahead(one: u32, other: u32) -> bool {
    (1..1 << 31).contains(&one.wrapping_sub(other))
}
