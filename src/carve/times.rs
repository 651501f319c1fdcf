//! Times for packets that have none: those of the records of the same segments.

use super::join::Carved;
use super::packet::{Direction, Packet};
use super::pool::Pool;
use super::run::When;
use crate::bblog::Record;
use crate::format::EventId;
use std::collections::BTreeMap;

/// Sequence numbers further apart than this are no neighbours.
const FAR: u32 = 1 << 24;

/// A segment that a record tells of.
#[derive(Clone, Copy, Debug)]
struct Segment {
    ack: u32,
    len: u32,
    /// Number of the record in its message.
    record: usize,
    uptime_us: i64,
    sn: u32,
}

/// The segments of all messages.
pub struct Segments {
    /// By message, direction and sequence number.
    by_seq: BTreeMap<(usize, bool, u32), Vec<Segment>>,
}

impl Segments {
    pub fn of(messages: &[Carved], pool: &Pool<'_>) -> Segments {
        let mut by_seq: BTreeMap<_, Vec<Segment>> = BTreeMap::new();
        let mut bytes = Vec::new();
        for (number, message) in messages.iter().enumerate() {
            for (at, (record, _)) in message.records.iter().enumerate() {
                let Some(found) = pool.found.get(*record as usize) else {
                    continue;
                };
                // Only segments have ports.
                if found.ports.is_none() || !pool.read(found, &mut bytes) {
                    continue;
                }
                let Some(record) = Record::new(&bytes, &message.dialect) else {
                    continue;
                };
                let Some(tcp) = record.tcp() else { continue };
                let inbound = record.event() == EventId::IN;
                let segment = Segment {
                    ack: tcp.ack(),
                    len: record.payload_len(),
                    record: at,
                    uptime_us: found.uptime_us,
                    sn: found.sn,
                };
                by_seq
                    .entry((number, inbound, tcp.seq()))
                    .or_default()
                    .push(segment);
            }
        }
        Segments { by_seq }
    }

    /// The place in a message and the time of a packet, from the record of the
    /// same segment or else the nearest one before it by sequence number, then by
    /// acknowledgement.
    pub fn nearest(&self, packet: &Packet, messages: &[usize]) -> Option<((usize, usize), When)> {
        let inbound = packet.direction? == Direction::In;
        // Of all of it, captured or not.
        let len = packet.length.saturating_sub(packet.payload.start as u32);
        let mut best: Option<((bool, u32, u32), usize, Segment)> = None;
        for message in messages {
            let from = packet.seq.saturating_sub(FAR);
            let range = (*message, inbound, from)..=(*message, inbound, packet.seq);
            let Some(((_, _, seq), segments)) = self.by_seq.range(range).next_back() else {
                continue;
            };
            let away = packet.seq - seq;
            for segment in segments {
                let is_same = (away, segment.ack, segment.len) == (0, packet.ack, len);
                let later = packet.ack.wrapping_sub(segment.ack);
                let score = (!is_same, away, later.min(later.wrapping_neg()));
                if best.as_ref().is_none_or(|(top, ..)| score < *top) {
                    best = Some((score, *message, *segment));
                }
            }
        }
        let ((differs, ..), message, segment) = best?;
        let (uptime_us, sn) = (segment.uptime_us, segment.sn);
        let time = match differs {
            false => When::Record { uptime_us, sn },
            true => When::Near { uptime_us, sn },
        };
        Some(((message, segment.record + 1), time))
    }
}
