//! Losses and what the stack did about them: timeouts, probes, recoveries.
//!
//! * Retransmission timeouts: event 3 before 14; from 14 on event 3 that says
//!   that the retransmission timer fires; of RACK and BBR event 26 of kind 1.
//! * Tail loss probes and RACK timeouts: event 26 of kinds 2 and 3.
//! * Fast recoveries: how often the connection went into recovery, by the flag
//!   `TF_FASTRECOVERY` of any record, or the events 15 and 16 of BBR.
//! * Persist: how often the connection began to probe a closed window, by the
//!   field of RACK and BBR that says so, event 24, or from 14 on the start of
//!   the persist timer.
//! * ENOBUFS: OUT records that failed so, and ENOBUF_JMP records without one.

use super::sequence::at_or_after;
use crate::bblog::stackinfo::cell;
use crate::bblog::{Record, StackInfo};
use crate::format::EventId;

const TF_FASTRECOVERY: u32 = 0x0010_0000;
/// FreeBSD's number.
const ENOBUFS: i32 = 55;

/// Why RACK and BBR returned without sending: flex4 of JUSTRET.
pub mod just_return {
    pub const CWND: u64 = 1;
    pub const PEER_WINDOW: u64 = 2;
    pub const APPLICATION: u64 = 3;
    pub const PERSIST: u64 = 5;
    pub const PRR: u64 = 6;

    /// The reason, of a JUSTRET record.
    pub fn reason(info: &super::StackInfo<'_>) -> u64 {
        info.named(super::cell::FLEX4)
    }
}

/// Counters, and the state that they are counted by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovery {
    pub rtos: u64,
    pub tlps: u64,
    pub rack_timeouts: u64,
    pub fast_recoveries: u64,
    pub persists: u64,
    pub persist_timeouts: u64,
    pub keepalive_timeouts: u64,
    pub enobufs: u64,
    /// How often the peer's window was found closed.
    pub zero_windows: u64,
    /// Timeouts since the peer last acknowledged something.
    pub rtos_in_a_row: u64,
    /// What was sent when a retransmission timer fired: until that is
    /// acknowledged the timeout is being repaired.
    timeout_until: Option<u32>,
    in_bbr_recovery: bool,
    in_recovery: bool,
    in_persist: bool,
    is_window_closed: bool,
    has_failed: bool,
}

impl Recovery {
    /// `old_rto`: event 3 is of before 14, `moved`: the peer acknowledged
    /// something with this record.
    #[inline]
    pub fn record(&mut self, record: &Record<'_>, old_rto: bool, moved: bool) {
        if moved {
            self.rtos_in_a_row = 0;
        }
        if let Some(until) = self.timeout_until
            && at_or_after(record.snd_una(), until)
        {
            self.timeout_until = None;
        }
        let flex8 = record.stackinfo().map(|info| info.named(cell::FLEX8));
        match record.event() {
            EventId::RTO => self.timer(record, old_rto),
            EventId::STACK_RTO => match flex8 {
                Some(1) => self.timed_out(record),
                Some(2) => self.tlps += 1,
                Some(3) => self.rack_timeouts += 1,
                Some(4) => self.keepalive_timeouts += 1,
                Some(5) => self.persist_timeouts += 1,
                _ => {}
            },
            EventId::ENTREC if flex8.is_some() => self.in_bbr_recovery = true,
            EventId::EXITREC => self.in_bbr_recovery = false,
            EventId::PERSIST | EventId::BBRSND | EventId::JUSTRET | EventId::DOSEG_DONE => {
                if let Some(persists) = flex8 {
                    self.persist(persists != 0);
                }
            }
            EventId::OUT => {
                self.has_failed = record.errno() == ENOBUFS;
                self.enobufs += u64::from(self.has_failed);
            }
            EventId::ENOBUF_JMP => {
                self.enobufs += u64::from(!self.has_failed);
                self.has_failed = false;
            }
            _ => {}
        }
        let is_in_recovery = record.flags() & TF_FASTRECOVERY != 0 || self.in_bbr_recovery;
        self.fast_recoveries += u64::from(is_in_recovery && !self.in_recovery);
        self.in_recovery = is_in_recovery;
        // ESTABLISHED and later, until the end.
        let is_closed = record.snd_wnd() == 0 && (4..=9).contains(&record.state());
        self.zero_windows += u64::from(is_closed && !self.is_window_closed);
        self.is_window_closed = is_closed;
    }

    /// Another stack takes over, which does not say when what another one
    /// began is over.
    pub fn new_stack(&mut self) {
        self.in_bbr_recovery = false;
        self.in_persist = false;
    }

    /// Losses are being repaired.
    pub fn is_on(&self) -> bool {
        self.in_recovery || self.timeout_until.is_some()
    }

    fn persist(&mut self, is_on: bool) {
        self.persists += u64::from(is_on && !self.in_persist);
        self.in_persist = is_on;
    }

    fn timed_out(&mut self, record: &Record<'_>) {
        self.rtos += 1;
        self.rtos_in_a_row += 1;
        self.timeout_until = Some(record.snd_max());
    }

    fn timer(&mut self, record: &Record<'_>, old: bool) {
        // Action and timer: fires, is started, is stopped.
        match (record.flex1() >> 8, record.flex1() & 0xff) {
            _ if old => self.timed_out(record),
            (0, 0) => self.timed_out(record),
            (0, 1) => self.persist_timeouts += 1,
            (0, 2) => self.keepalive_timeouts += 1,
            (2, 1) => self.persist(true),
            (3, 1) => self.persist(false),
            _ => {}
        }
    }
}
