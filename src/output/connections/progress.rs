//! Goodput: how far the sequence numbers of both directions came, and in what
//! time.
//!
//! Sent: bytes that the peer newly acknowledged, by the acknowledgements of IN
//! records and by `snd_una` of every record. Received: bytes that came in order,
//! by `rcv_nxt` of every record and the segments of IN records that begin
//! there. The time of a direction is that from its first data segment to its
//! last such progress, or from its first progress where that comes first, as
//! in a log that begins in mid-connection. SYN and FIN take a sequence number
//! and are no bytes.

use super::sequence::{after, at_or_after};
use crate::bblog::Record;
use crate::bblog::tcp::{ACK, FIN, RST, SYN};
use crate::format::EventId;

/// One direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// All before it is acknowledged (received in order).
    edge: Option<u32>,
    pub bytes: u64,
    /// First data segment or progress, and last progress, µs of uptime.
    first_us: Option<i64>,
    last_us: Option<i64>,
    /// The sequence number of a FIN.
    fin: Option<u32>,
}

impl Progress {
    /// Takes over where a direction is, if that is known, when its numbers are
    /// not of the same connection as before.
    fn restart(&mut self, edge: Option<u32>) {
        self.edge = edge;
        self.fin = None;
    }

    /// A data segment starts the clock.
    fn data(&mut self, now_us: i64) {
        self.first_us.get_or_insert(now_us);
    }

    /// True if it moved on.
    #[inline]
    fn reach(&mut self, to: u32, now_us: i64) -> bool {
        let edge = *self.edge.get_or_insert(to);
        if !after(to, edge) {
            return false;
        }
        let mut bytes = to.wrapping_sub(edge);
        if self
            .fin
            .is_some_and(|fin| at_or_after(fin, edge) && after(to, fin))
        {
            bytes -= 1;
        }
        self.edge = Some(to);
        self.bytes += u64::from(bytes);
        if bytes > 0 {
            self.first_us.get_or_insert(now_us);
            self.last_us = Some(now_us);
        }
        true
    }

    /// From the first data segment, or progress, to the last progress.
    pub fn took_us(&self) -> Option<u64> {
        u64::try_from(self.last_us?.saturating_sub(self.first_us?)).ok()
    }

    pub fn bytes_per_s(&self) -> Option<u64> {
        let took = u128::from(self.took_us().filter(|us| *us > 0)?);
        u64::try_from(u128::from(self.bytes) * 1_000_000 / took).ok()
    }
}

/// Both directions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Goodput {
    pub sent: Progress,
    pub received: Progress,
    iss: u32,
}

impl Goodput {
    /// Takes in a record; true if the peer acknowledged something.
    #[inline]
    pub fn record(&mut self, record: &Record<'_>, now_us: i64) -> bool {
        // Before, the numbers are not set.
        if record.state() < 2 || record.iss() == 0 {
            return false;
        }
        if self.iss != record.iss() {
            self.iss = record.iss();
            self.received.restart(None);
            // The SYN takes the first number.
            let una = record.snd_una();
            let edge = if una == self.iss {
                una.wrapping_add(1)
            } else {
                una
            };
            self.sent.restart(Some(edge));
        }
        // In SYN_SENT the peer's numbers are not known yet.
        if record.state() > 2 && record.rcv_nxt() != 0 {
            self.received.reach(record.rcv_nxt(), now_us);
        }
        let moved = self.sent.reach(record.snd_una(), now_us);
        moved | self.segment(record, now_us)
    }

    fn segment(&mut self, record: &Record<'_>, now_us: i64) -> bool {
        let Some(tcp) = record.tcp() else {
            return false;
        };
        let (flags, len) = (tcp.flags(), record.payload_len());
        let end = tcp.seq().wrapping_add(len);
        match record.event() {
            EventId::OUT if flags & RST == 0 => {
                if len > 0 {
                    self.sent.data(now_us);
                }
                if flags & FIN != 0 {
                    self.sent.fin = Some(end);
                }
                false
            }
            EventId::IN if flags & (RST | SYN) == 0 => {
                if len > 0 {
                    self.received.data(now_us);
                }
                if flags & FIN != 0 {
                    self.received.fin = Some(end);
                }
                if len > 0 && record.state() > 2 && tcp.seq() == record.rcv_nxt() {
                    self.received.reach(end, now_us);
                }
                // What was never sent is not acknowledged.
                flags & ACK != 0
                    && at_or_after(record.snd_max(), tcp.ack())
                    && self.sent.reach(tcp.ack(), now_us)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{SEGMENT, Sample, v9};

    /// The goodput of records that come 100 µs after each other, each with
    /// its event, `snd_una` and `iss`; the segment has sequence number 1000,
    /// acknowledges 2000, and carries `len` bytes.
    fn goodput(records: &[(u8, u64, u64, u64)]) -> Goodput {
        let mut sample = Sample::new(v9());
        for (at, (event, una, iss, len)) in records.iter().enumerate() {
            let fields = [
                ("tlb_eventflags", 4),
                ("tlb_state", 4),
                ("tlb_iss", *iss),
                ("tlb_snd_una", *una),
                ("tlb_snd_max", 90_000),
                ("tlb_rcv_nxt", 50_000),
                ("tlb_len", *len),
            ];
            sample.record(*event, at as u32, &fields).segment(SEGMENT);
        }
        let mut goodput = Goodput::default();
        for (at, record) in sample.message().records().enumerate() {
            goodput.record(&record, 100 * at as i64);
        }
        goodput
    }

    #[test]
    fn bytes_and_their_time_count_together() {
        // The log begins in mid-connection: acknowledgements come before the
        // first data segment is sent.
        let sent = goodput(&[
            (31, 10_000, 7, 0),
            (31, 20_000, 7, 0),
            (31, 30_000, 7, 0),
            (2, 30_000, 7, 100),
            (31, 40_000, 7, 0),
        ])
        .sent;
        assert_eq!((sent.bytes, sent.took_us()), (30_000, Some(300)));
        assert_eq!(sent.bytes_per_s(), Some(100_000_000));
        // A data segment that is sent first starts the clock.
        let sent = goodput(&[(2, 10_000, 7, 100), (31, 20_000, 7, 0)]).sent;
        assert_eq!((sent.bytes, sent.took_us()), (10_000, Some(100)));
    }

    #[test]
    fn another_connection_has_no_fin_of_the_one_before() {
        let mut goodput = goodput(&[(31, 10_000, 7, 0)]);
        goodput.received.fin = Some(60_000);
        let mut sample = Sample::new(v9());
        for (sn, rcv_nxt) in [(0, 50_000), (1, 70_000)] {
            let fields = [
                ("tlb_state", 4),
                ("tlb_iss", 8),
                ("tlb_snd_una", 5),
                ("tlb_rcv_nxt", rcv_nxt),
            ];
            sample.record(31, sn, &fields);
        }
        for record in sample.message().records() {
            goodput.record(&record, 0);
        }
        assert_eq!(goodput.received.bytes, 20_000);
    }
}
