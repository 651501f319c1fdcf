//! What limited the sender: a share of time for each limit.
//!
//! After each record the sender's state is known: `flight` is what it sent and
//! the peer did not acknowledge (`snd_max - snd_una`), `waiting` what else is
//! in its send buffer (`txbuf.acc - flight`), both brought to after the record,
//! for OUT shows the state before the send and IN that before the
//! acknowledgement. The time until the next record that tells (IN, OUT,
//! USERSEND, JUSTRET, timers) belongs to the first of these that holds:
//!
//! 1. recovery: something is in flight, and the connection is in fast recovery
//!    or a retransmission timeout is not repaired.
//! 2. RACK and BBR said in JUSTRET why they did not send: congestion window,
//!    peer's window (persist too), application, proportional rate reduction
//!    (recovery).
//! 3. application: nothing is waiting. (A send buffer that is too small shows
//!    as this, too.)
//! 4. a window: what fits into it beside what is in flight is less than is
//!    waiting, of a stack that paces less than one segment too (the largest
//!    sent, 1460 bytes at most); the smaller of both windows, if they are equal
//!    the congestion window.
//! 5. Nagle's algorithm: less than a segment is waiting behind data in flight.
//! 6. pacing: the pacer of RACK or BBR runs (TIMERSTAR with the output bit).
//! 7. other: it could send, as in the moment before it does.
//!
//! If the application had nothing waiting at one record, and the next is an IN
//! that shows data behind a full window, that window had the time between: the
//! data came in the meantime and could not go. Across missing records nothing
//! is known. Only time in which there can be something to send counts:
//! ESTABLISHED, CLOSE_WAIT, and until all is acknowledged FIN_WAIT_1, CLOSING
//! and LAST_ACK.

use super::recovery::just_return;
use super::sequence::{after, at_or_after};
use crate::bblog::Record;
use crate::bblog::tcp::{ACK, FIN, SYN};
use crate::format::{EventId, Stack};

/// What kept the sender from sending more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Cwnd,
    PeerWindow,
    Application,
    Nagle,
    Pacing,
    Recovery,
    Other,
    Unknown,
}

impl Limit {
    pub const ALL: [Limit; 8] = [
        Limit::Cwnd,
        Limit::PeerWindow,
        Limit::Application,
        Limit::Nagle,
        Limit::Pacing,
        Limit::Recovery,
        Limit::Other,
        Limit::Unknown,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Cwnd => "congestion window",
            Limit::PeerWindow => "peer's window",
            Limit::Application => "application",
            Limit::Nagle => "Nagle",
            Limit::Pacing => "pacing",
            Limit::Recovery => "recovery",
            Limit::Other => "other",
            Limit::Unknown => "unknown",
        }
    }
}

/// The output bit of the pacer's timer mask, flex3 of TIMERSTAR.
const PACED_OUTPUT: u64 = 0x40;
const FLEX3: (usize, usize) = (68, 4);

/// The largest segment that is believed to be one on the wire.
const ETHERNET_SEGMENT: u32 = 1460;

/// Time per limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    spent_us: [u64; Limit::ALL.len()],
    now: Option<Limit>,
    /// Since the last record that told.
    pending_us: u64,
    segment: u32,
    is_paced: bool,
}

/// The sender at a moment.
#[derive(Clone, Copy)]
struct Sender {
    flight: u32,
    waiting: u32,
    cwnd: u32,
    window: u32,
}

impl Sender {
    /// As the record shows it.
    fn of(record: &Record<'_>, acc: u32) -> Sender {
        let flight = record.snd_max().wrapping_sub(record.snd_una());
        Sender {
            flight,
            waiting: acc.saturating_sub(flight),
            cwnd: record.snd_cwnd(),
            window: record.snd_wnd(),
        }
    }

    /// As the record leaves it.
    fn after(record: &Record<'_>, acc: u32) -> Sender {
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
    fn window_limit(&self, enough: u32) -> Option<Limit> {
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

impl Limits {
    /// Takes in a record, so long after the one before.
    #[inline]
    pub fn record(
        &mut self,
        record: &Record<'_>,
        family: Option<Stack>,
        is_recovering: bool,
        took_us: u64,
    ) {
        self.pending_us = self.pending_us.saturating_add(took_us);
        let event = record.event();
        match event {
            EventId::IN
            | EventId::OUT
            | EventId::USERSEND
            | EventId::JUSTRET
            | EventId::RTO
            | EventId::STACK_RTO => {}
            EventId::TIMERSTAR => {
                let mask = record.stackinfo().map_or(0, |i| i.cell(FLEX3.0, FLEX3.1));
                self.is_paced = mask & PACED_OUTPUT != 0 && family != Some(Stack::Base);
            }
            EventId::CONNEND => {
                self.settle();
                self.now = None;
                return;
            }
            _ => return,
        }
        let Some(buffer) = record.txbuf() else { return };
        if event == EventId::OUT {
            self.segment = self.segment.max(record.payload_len().min(ETHERNET_SEGMENT));
        }
        let paces = matches!(family, Some(Stack::Rack | Stack::Bbr));
        let enough = if paces { self.segment.max(1) } else { u32::MAX };
        if event == EventId::IN
            && self.now == Some(Limit::Application)
            && let Some(limit) = Sender::of(record, buffer.acc).window_limit(enough)
        {
            self.now = Some(limit);
        }
        self.settle();
        let sender = Sender::after(record, buffer.acc);
        let is_active = match record.state() {
            4 | 5 => true,
            6..=8 => sender.flight > 0 || sender.waiting > 0,
            _ => false,
        };
        self.now = is_active.then(|| {
            if is_recovering && sender.flight > 0 {
                return Limit::Recovery;
            }
            if event == EventId::JUSTRET
                && paces
                && let Some(info) = record.stackinfo()
            {
                match just_return::reason(&info) {
                    just_return::CWND => return Limit::Cwnd,
                    just_return::PEER_WINDOW | just_return::PERSIST => return Limit::PeerWindow,
                    just_return::APPLICATION => return Limit::Application,
                    just_return::PRR => return Limit::Recovery,
                    _ => {}
                }
            }
            match sender.window_limit(enough) {
                _ if sender.waiting == 0 => Limit::Application,
                Some(limit) => limit,
                None if sender.flight > 0 && sender.waiting < self.segment => Limit::Nagle,
                None if paces && self.is_paced => Limit::Pacing,
                None => Limit::Other,
            }
        });
    }

    /// Records are missing: what happens until the next one is not known.
    pub fn gap(&mut self) {
        self.settle();
        self.now = self.now.and(Some(Limit::Unknown));
    }

    fn settle(&mut self) {
        let us = std::mem::take(&mut self.pending_us);
        if let Some(limit) = self.now
            && let Some(spent) = self.spent_us.get_mut(limit as usize)
        {
            *spent = spent.saturating_add(us);
        }
    }

    /// Microseconds of each limit that had any.
    pub fn spent_us(&self) -> Vec<(Limit, u64)> {
        let mut settled = *self;
        settled.settle();
        let spent = Limit::ALL.into_iter().zip(settled.spent_us);
        spent.filter(|(_, us)| *us > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{SEGMENT, Sample, v9};

    const OUT: u8 = 2;

    /// The limits that some records find; each lasts 10 µs.
    fn spent(records: &[(u8, &[(&str, u64)])], family: Stack, recovers: bool) -> Vec<Limit> {
        let mut sample = Sample::new(v9());
        for (at, (event, fields)) in records.iter().enumerate() {
            let mut all = vec![
                ("tlb_eventflags", 0x17),
                ("tlb_state", 4),
                ("tlb_snd_una", 1000),
                ("tlb_snd_max", 1000),
                ("tlb_snd_cwnd", 100_000),
                ("tlb_snd_wnd", 100_000),
                ("tlb_txbuf.acc", 0),
                ("tlb_len", 0),
            ];
            for (name, value) in *fields {
                all.retain(|(known, _)| known != name);
                all.push((name, *value));
            }
            sample.record(*event, at as u32, &all);
            sample.segment(SEGMENT);
            // The pacer runs; and why RACK did not send: the cell's own number.
            let info = sample.records.len() - 328 + 160;
            let reason = [0, 1, 2, 3, 0, 5, 6][at % 7];
            sample.records[info + FLEX3.0..][..4].copy_from_slice(&[0x44, 0, 0, 0]);
            sample.records[info + 72..][..4].copy_from_slice(&[reason, 0, 0, 0]);
        }
        let mut limits = Limits::default();
        let message = sample.message();
        for record in message.records() {
            limits.record(&record, Some(family), recovers, 10);
        }
        // The first ten were before anything was known.
        limits.pending_us = 10;
        limits.spent_us().iter().map(|(limit, _)| *limit).collect()
    }

    fn base(records: &[(u8, &[(&str, u64)])]) -> Vec<Limit> {
        spent(records, Stack::Base, false)
    }

    const SENT_1000: (&str, u64) = ("tlb_len", 1000);

    #[test]
    fn nothing_waiting_is_the_application() {
        // 1000 bytes in the buffer, which this record sends.
        let got = base(&[(OUT, &[("tlb_txbuf.acc", 1000), SENT_1000])]);
        assert_eq!(got, [Limit::Application]);
    }

    #[test]
    fn the_smaller_window_limits() {
        let waits = ("tlb_txbuf.acc", 50_000);
        let cwnd = ("tlb_snd_cwnd", 1900);
        assert_eq!(base(&[(OUT, &[waits, SENT_1000, cwnd])]), [Limit::Cwnd]);
        let wnd = ("tlb_snd_wnd", 1800);
        let got = base(&[(OUT, &[waits, SENT_1000, cwnd, wnd])]);
        assert_eq!(got, [Limit::PeerWindow]);
        assert_eq!(base(&[(OUT, &[waits, SENT_1000])]), [Limit::Other]);
    }

    #[test]
    fn less_than_a_segment_behind_data_is_nagle() {
        let got = base(&[(OUT, &[("tlb_txbuf.acc", 1400), SENT_1000])]);
        assert_eq!(got, [Limit::Nagle]);
    }

    #[test]
    fn data_that_came_meanwhile_belongs_to_the_window() {
        let shut = ("tlb_snd_cwnd", 1000);
        let sent = [("tlb_txbuf.acc", 1000), SENT_1000, shut];
        let acked = [("tlb_txbuf.acc", 9000), ("tlb_snd_max", 2000), shut];
        // Then the segment's own window of 500 bytes is the smaller one.
        let got = base(&[(OUT, &sent), (1, &acked)]);
        assert_eq!(got, [Limit::Cwnd, Limit::PeerWindow]);
    }

    #[test]
    fn recovery_goes_first_and_needs_data_in_flight() {
        let waits = [("tlb_txbuf.acc", 50_000), SENT_1000, ("tlb_snd_cwnd", 1900)];
        assert_eq!(
            spent(&[(OUT, &waits)], Stack::Base, true),
            [Limit::Recovery]
        );
        assert_eq!(spent(&[(31, &[])], Stack::Base, true), [Limit::Application]);
    }

    #[test]
    fn a_running_pacer_limits_stacks_that_pace() {
        let waits = [("tlb_txbuf.acc", 50_000), SENT_1000];
        let timer = [("tlb_txbuf.acc", 50_000), ("tlb_snd_max", 2000)];
        let pacing = [(OUT, &waits[..]), (13, &timer[..])];
        assert_eq!(
            spent(&pacing, Stack::Rack, false),
            [Limit::Pacing, Limit::Other]
        );
        assert_eq!(spent(&pacing, Stack::Base, false), [Limit::Other]);
    }

    #[test]
    fn rack_says_why_it_did_not_send() {
        let waits = [("tlb_txbuf.acc", 50_000), ("tlb_snd_max", 2000)];
        let got = spent(&[(21, &waits[..]); 8], Stack::Rack, false);
        // Reasons 1 to 6; 0 and 4 say nothing.
        let said = [
            Limit::Cwnd,
            Limit::PeerWindow,
            Limit::Application,
            Limit::Recovery,
            Limit::Other,
        ];
        assert_eq!(got, said);
        assert_eq!(
            spent(&[(21, &waits[..]); 8], Stack::Base, false),
            [Limit::Other]
        );
    }

    #[test]
    fn closed_connections_and_gaps() {
        assert_eq!(base(&[(OUT, &[("tlb_state", 9)])]), []);
        let mut limits = Limits {
            now: Some(Limit::Cwnd),
            pending_us: 3,
            ..Limits::default()
        };
        limits.gap();
        limits.pending_us = 4;
        assert_eq!(limits.spent_us(), [(Limit::Cwnd, 3), (Limit::Unknown, 4)]);
    }
}
