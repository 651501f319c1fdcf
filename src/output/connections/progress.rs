//! Goodput: how far the sequence numbers of both directions came, and in what
//! time.
//!
//! Sent: bytes that the peer newly acknowledged, by the acknowledgements of IN
//! records and by `snd_una` of every record; the time is that from the first
//! data segment sent to the last such progress. Received: bytes that came in
//! order, by `rcv_nxt` of every record and the segments of IN records that
//! begin there; the time is that from the first data segment received to the
//! last such progress. SYN and FIN take a sequence number and are no bytes.

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
    /// First data segment and last progress, µs of uptime.
    first_us: Option<i64>,
    last_us: Option<i64>,
    /// The sequence number of a FIN.
    fin: Option<u32>,
}

impl Progress {
    /// Takes over where a direction is when its numbers are not of the same
    /// connection as before.
    fn restart(&mut self, edge: u32) {
        self.edge = Some(edge);
        self.fin = None;
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
        if bytes > 0 && self.first_us.is_some() {
            self.last_us = Some(now_us);
        }
        true
    }

    /// From the first data segment to the last progress.
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
            self.received.edge = None;
            // The SYN takes the first number.
            let una = record.snd_una();
            let edge = if una == self.iss {
                una.wrapping_add(1)
            } else {
                una
            };
            self.sent.restart(edge);
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
                    self.sent.first_us.get_or_insert(now_us);
                }
                if flags & FIN != 0 {
                    self.sent.fin = Some(end);
                }
                false
            }
            EventId::IN if flags & (RST | SYN) == 0 => {
                if len > 0 {
                    self.received.first_us.get_or_insert(now_us);
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
