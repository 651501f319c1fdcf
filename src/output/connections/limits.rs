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
//!    waiting, of a stack that paces less than one segment too; the smaller of
//!    both windows, if they are equal the congestion window. A segment is the
//!    largest sent, at most the peer's MSS, or 1460 bytes if its SYN is not in
//!    the log and the peer is another host.
//! 5. a tail: less than a segment is waiting behind data in flight, TCP_NODELAY
//!    is not set, and no FIN waits to go along, which would send it. Nagle's
//!    algorithm holds it, but whether that, too, is what limits shows only when
//!    the wait ends. It was Nagle's algorithm if the tail goes out and nothing
//!    was written meanwhile: the sender had it, and it left late. It was the
//!    application if that writes more (`snd_una + txbuf.acc` grows) or closes
//!    while the tail waits: had it done so before, more would have left before.
//!    If the log does not show the end of the wait, it is not known.
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
use super::sender::Sender;
use super::sequence::after;
use crate::bblog::Record;
use crate::bblog::stackinfo::cell;
use crate::bblog::tcp::SYN;
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

/// `t_flags`: the application turned Nagle's algorithm off.
const TF_NODELAY: u32 = 0x0000_0004;

/// The largest segment that is believed to be one on the wire, where the log
/// does not have the peer's SYN.
const ETHERNET_SEGMENT: u32 = 1460;

/// Time per limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    spent_us: [u64; Limit::ALL.len()],
    now: Option<Limit>,
    /// Since the last record that told.
    pending_us: u64,
    /// While this is so, `now` can be [`Limit::Nagle`].
    tail: Option<Tail>,
    segment: u32,
    /// What the peer allows, of its SYN; or no segment is split.
    mss: Option<u32>,
    is_paced: bool,
}

/// Less than a segment that waits behind data in flight.
#[derive(Clone, Copy, Debug)]
struct Tail {
    /// The sequence number behind all that the application wrote.
    written: u32,
    /// How long nothing else limited.
    us: u64,
}

/// The option MSS, where it stands as in all SYNs: first.
fn mss(options: &[u8]) -> Option<u32> {
    match options {
        [2, 4, high, low, ..] => Some(u16::from_be_bytes([*high, *low]).into()),
        _ => None,
    }
}

impl Limits {
    /// `is_one_host`: of a connection with itself, where the loopback takes
    /// each OUT record's data as one segment.
    pub fn new(is_one_host: bool) -> Limits {
        Limits {
            mss: is_one_host.then_some(u16::MAX.into()),
            ..Limits::default()
        }
    }

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
                let mask = record.stackinfo().map_or(0, |info| info.named(cell::FLEX3));
                self.is_paced = mask & PACED_OUTPUT != 0 && family != Some(Stack::Base);
            }
            EventId::CONNEND => {
                self.settle();
                self.end_tail(Limit::Unknown);
                self.now = None;
                return;
            }
            _ => return,
        }
        let Some(buffer) = record.txbuf() else { return };
        match (event, record.tcp()) {
            (EventId::OUT, _) => {
                let most = self.mss.unwrap_or(ETHERNET_SEGMENT);
                self.segment = self.segment.max(record.payload_len().min(most));
            }
            (EventId::IN, Some(tcp)) if tcp.flags() & SYN != 0 => {
                self.mss = mss(tcp.options()).or(self.mss);
            }
            _ => {}
        }
        let paces = matches!(family, Some(Stack::Rack | Stack::Bbr));
        let enough = if paces { self.segment.max(1) } else { u32::MAX };
        let written = record.snd_una().wrapping_add(buffer.acc);
        if self.tail.is_some_and(|tail| after(written, tail.written)) {
            self.end_tail(Limit::Application);
        }
        if event == EventId::IN
            && self.now == Some(Limit::Application)
            && let Some(limit) = Sender::of(record, buffer.acc).window_limit(enough)
        {
            self.now = Some(limit);
        }
        self.settle();
        let sender = Sender::after(record, buffer.acc);
        // Closed by the application: the FIN goes with the last bytes.
        let is_closing = (6..=8).contains(&record.state());
        let delays = record.flags() & TF_NODELAY == 0 && !is_closing;
        let is_active = match record.state() {
            4 | 5 => true,
            _ => is_closing && (sender.flight > 0 || sender.waiting > 0),
        };
        if is_closing || !is_active {
            self.end_tail(Limit::Application);
        } else if sender.waiting == 0 {
            self.end_tail(Limit::Nagle);
        }
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
                None if delays && sender.flight > 0 && sender.waiting < self.segment => {
                    Limit::Nagle
                }
                None if paces && self.is_paced => Limit::Pacing,
                None => Limit::Other,
            }
        });
        if self.now == Some(Limit::Nagle) {
            self.tail.get_or_insert(Tail { written, us: 0 });
        }
    }

    /// A tail waits no more; `limit` had its time.
    fn end_tail(&mut self, limit: Limit) {
        if let Some(tail) = self.tail.take() {
            self.add(limit, tail.us);
            if self.now == Some(Limit::Nagle) {
                self.now = Some(limit);
            }
        }
    }

    /// Records are missing: what happens until the next one is not known.
    pub fn gap(&mut self) {
        self.settle();
        self.end_tail(Limit::Unknown);
        self.now = self.now.and(Some(Limit::Unknown));
    }

    fn settle(&mut self) {
        let us = std::mem::take(&mut self.pending_us);
        match (self.now, &mut self.tail) {
            (Some(Limit::Nagle), Some(tail)) => tail.us = tail.us.saturating_add(us),
            (Some(limit), _) => self.add(limit, us),
            (None, _) => {}
        }
    }

    fn add(&mut self, limit: Limit, us: u64) {
        if let Some(spent) = self.spent_us.get_mut(limit as usize) {
            *spent = spent.saturating_add(us);
        }
    }

    /// Microseconds of each limit that had any.
    pub fn spent_us(&self) -> Vec<(Limit, u64)> {
        let mut settled = *self;
        settled.settle();
        settled.end_tail(Limit::Unknown);
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
            sample.records[info + cell::FLEX3.0..][..4].copy_from_slice(&[0x44, 0, 0, 0]);
            sample.records[info + cell::FLEX4.0..][..4].copy_from_slice(&[reason, 0, 0, 0]);
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

    /// A tail of 400 bytes behind 1000 in flight.
    const TAIL: &[(&str, u64)] = &[("tlb_txbuf.acc", 1400), SENT_1000];
    const IN: u8 = 1;
    const USERSEND: u8 = 31;

    /// The segment begins at 1000 and acknowledges 2000.
    fn behind_1000(acc: u64) -> [(&'static str, u64); 2] {
        [("tlb_snd_max", 2000), ("tlb_txbuf.acc", acc)]
    }

    #[test]
    fn a_tail_that_an_acknowledgement_lets_go_was_held_by_nagle() {
        // All in flight is acknowledged; then the tail is sent, by a segment
        // that begins at 1000 in these tests and so has 1400 bytes.
        let acked = behind_1000(1400);
        let rest = [("tlb_txbuf.acc", 1400), ("tlb_len", 1400)];
        let got = base(&[(OUT, TAIL), (IN, &acked), (OUT, &rest)]);
        // After the IN nothing keeps it from going, and at last none waits.
        assert_eq!(got, [Limit::Application, Limit::Nagle, Limit::Other]);
    }

    #[test]
    fn a_tail_to_which_the_application_adds_waited_for_the_application() {
        let more = behind_1000(6400);
        let got = base(&[(OUT, TAIL), (USERSEND, &more)]);
        assert_eq!(got, [Limit::Application, Limit::Other]);
        // Still less than a segment, and then the log ends.
        let more = behind_1000(1500);
        let got = base(&[(OUT, TAIL), (USERSEND, &more)]);
        assert_eq!(got, [Limit::Application, Limit::Unknown]);
        // Closed instead.
        let closed = [&behind_1000(1400)[..], &[("tlb_state", 6)]].concat();
        let got = base(&[(OUT, TAIL), (USERSEND, &closed)]);
        assert_eq!(got, [Limit::Application, Limit::Other]);
    }

    #[test]
    fn a_wait_whose_end_is_not_seen_is_not_judged() {
        assert_eq!(base(&[(OUT, TAIL)]), [Limit::Unknown]);
        // The application wrote nothing yet.
        let same = behind_1000(1400);
        let got = base(&[(OUT, TAIL), (USERSEND, &same)]);
        assert_eq!(got, [Limit::Unknown]);
        let mut limits = Limits {
            now: Some(Limit::Nagle),
            tail: Some(Tail { written: 0, us: 5 }),
            pending_us: 3,
            ..Limits::default()
        };
        limits.gap();
        assert_eq!(limits.spent_us(), [(Limit::Unknown, 8)]);
    }

    #[test]
    fn nagle_does_not_hold_what_may_go_at_once() {
        let waits = ("tlb_txbuf.acc", 1400);
        let nodelay = ("tlb_flags", u64::from(TF_NODELAY));
        let got = base(&[(OUT, &[waits, SENT_1000, nodelay])]);
        assert_eq!(got, [Limit::Other]);
        // FIN_WAIT_1, CLOSING, LAST_ACK; the peer's FIN alone changes nothing.
        for state in 6..=8 {
            let got = base(&[(OUT, &[waits, SENT_1000, ("tlb_state", state)])]);
            assert_eq!(got, [Limit::Other], "{state}");
        }
        let got = base(&[(OUT, &[waits, SENT_1000, ("tlb_state", 5)])]);
        assert_eq!(got, [Limit::Unknown]);
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
    fn the_peers_syn_says_how_long_a_segment_can_be() {
        assert_eq!(mss(&[2, 4, 0x3f, 0xd8, 1, 3, 3, 7]), Some(16_344));
        assert_eq!(mss(&[1, 1, 8, 10]), None);
        let mut sample = Sample::new(v9());
        let mut syn = SEGMENT[..20].to_vec();
        (syn[12], syn[13]) = (0x60, 0x12);
        syn.extend([2, 4, 0x3f, 0xd8]);
        let fields = [
            ("tlb_eventflags", 7),
            ("tlb_state", 2),
            ("tlb_txbuf.acc", 0),
        ];
        sample.record(1, 0, &fields).segment(&syn);
        let sent = [
            ("tlb_eventflags", 7),
            ("tlb_state", 4),
            ("tlb_txbuf.acc", 9000),
            ("tlb_len", 9000),
        ];
        sample.record(OUT, 1, &sent).segment(SEGMENT);
        let mut limits = Limits::default();
        for record in sample.message().records() {
            limits.record(&record, Some(Stack::Base), false, 0);
        }
        assert_eq!(limits.segment, 9000);
        // Without a SYN the path decides.
        for (mut limits, expected) in [(Limits::new(true), 9000), (Limits::new(false), 1460)] {
            for record in sample.message().records().skip(1) {
                limits.record(&record, Some(Stack::Base), false, 0);
            }
            assert_eq!(limits.segment, expected);
        }
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
