//! The sender's data and windows at a record.

use super::limits::Limit;
use super::sequence::{after, at_or_after};
use crate::bblog::Record;
use crate::bblog::tcp::{ACK, FIN, SYN};
use crate::format::EventId;

/// The sender at a moment.
#[derive(Clone, Copy)]
pub struct Sender {
    pub flight: u32,
    pub waiting: u32,
    pub cwnd: u32,
    pub window: u32,
}

impl Sender {
    /// As the record shows it.
    pub fn of(record: &Record<'_>, acc: u32) -> Sender {
        let flight = record.snd_max().wrapping_sub(record.snd_una());
        Sender {
            flight,
            waiting: acc.saturating_sub(flight),
            cwnd: record.snd_cwnd(),
            window: record.snd_wnd(),
        }
    }

    /// As the record leaves it.
    pub fn after(record: &Record<'_>, acc: u32) -> Sender {
        let mut sender = Sender::of(record, acc);
        let Some(tcp) = record.tcp() else {
            return sender;
        };
        let (una, max, flags) = (record.snd_una(), record.snd_max(), tcp.flags());
        match record.event() {
            EventId::OUT => {
                let takes = u32::from(flags & (SYN | FIN) != 0);
                let end = tcp
                    .seq()
                    .wrapping_add(record.payload_len())
                    .wrapping_add(takes);
                if after(end, max) {
                    sender.flight = end.wrapping_sub(una);
                }
                sender.waiting = acc.saturating_sub(sender.flight);
            }
            EventId::IN
                if flags & (ACK | SYN) == ACK
                    && at_or_after(tcp.ack(), una)
                    && at_or_after(max, tcp.ack()) =>
            {
                // `waiting` stays: what leaves the buffer leaves the flight.
                sender.flight = max.wrapping_sub(tcp.ack());
                let (shift, _) = record.scales();
                sender.window = u32::from(tcp.window()) << shift.min(14);
            }
            _ => {}
        }
        sender
    }

    /// The window that keeps it from sending what is waiting.
    pub fn window_limit(&self, enough: u32) -> Option<Limit> {
        let room = self.cwnd.min(self.window).saturating_sub(self.flight);
        (self.waiting > 0 && room < enough.min(self.waiting)).then_some(
            if self.window < self.cwnd {
                Limit::PeerWindow
            } else {
                Limit::Cwnd
            },
        )
    }
}
