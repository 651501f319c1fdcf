//! A path of an association, and its congestion window over time.

use super::event::Event;
use super::field::Field;
use super::probes::ProbeId;

/// A destination address of an association, as the kernel's `struct sctp_nets`
/// stands for it.
#[derive(Clone, Debug)]
pub struct Path {
    /// Its number within the association, from 1.
    pub number: u32,
    /// Address in the kernel.
    pub net: u64,
    /// The window as of the last event.
    known: Option<i64>,
    /// The window as far as its events were wanted.
    pub cwnd: Window,
}

/// The congestion window of a path, in bytes.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// As of the last event.
    pub last: Option<i64>,
    pub first: Option<i64>,
    pub min: Option<i64>,
    pub max: Option<i64>,
    /// Changes that a probe reported, by probe.
    pub changes: Vec<(ProbeId, u64)>,
    /// Times that a probe found another window than the one before had left:
    /// a change that no probe reported.
    pub unseen: u64,
    /// Sum of window times nanoseconds, and those nanoseconds.
    weighted: i128,
    weighed_ns: i64,
    since_ns: Option<i64>,
}

impl Path {
    pub(super) fn new(number: u32, net: u64) -> Path {
        Path {
            number,
            net,
            known: None,
            cwnd: Window::default(),
        }
    }

    /// Follows the window, whether or not the event is wanted. Gives how much
    /// it had changed unseen.
    pub(super) fn follow(&mut self, event: &Event) -> Option<i64> {
        let now = cwnd_of(event)?;
        let before = self.known.replace(now)?;
        let found = match event.name() {
            // What was before is not known there.
            "init" => return None,
            _ => event.values.signed(Field::OldCwnd).unwrap_or(now),
        };
        Some(found.saturating_sub(before)).filter(|n| *n != 0)
    }
}

impl Window {
    /// Adds an event up.
    pub(super) fn add(&mut self, event: &Event, unseen: Option<i64>) {
        self.unseen += u64::from(unseen.is_some());
        if event.values.get(Field::NewCwnd).is_some() {
            match self.changes.iter_mut().find(|(id, _)| *id == event.probe) {
                Some((_, count)) => *count += 1,
                None => self.changes.push((event.probe, 1)),
            }
        }
        if let Some(cwnd) = cwnd_of(event) {
            self.set(event, cwnd);
        }
    }

    fn set(&mut self, event: &Event, cwnd: i64) {
        if let Some(now) = event.instant_ns() {
            if let (Some(since), Some(last)) = (self.since_ns, self.last) {
                // Clocks of several CPUs may step back a little.
                let lasted = now.saturating_sub(since).max(0);
                let product = i128::from(last) * i128::from(lasted);
                self.weighted = self.weighted.saturating_add(product);
                self.weighed_ns = self.weighed_ns.saturating_add(lasted);
            }
            self.since_ns = Some(now);
        }
        self.first.get_or_insert(cwnd);
        self.last = Some(cwnd);
        self.min = Some(self.min.map_or(cwnd, |n| n.min(cwnd)));
        self.max = Some(self.max.map_or(cwnd, |n| n.max(cwnd)));
    }

    /// The mean over time, up to the last event.
    pub fn mean(&self) -> Option<i64> {
        if self.weighed_ns == 0 {
            return None;
        }
        i64::try_from(self.weighted / i128::from(self.weighed_ns)).ok()
    }
}

/// The window that an event tells: after a change, or as it was found.
pub fn cwnd_of(event: &Event) -> Option<i64> {
    let changed = event.values.signed(Field::NewCwnd);
    changed.or_else(|| event.values.signed(Field::Cwnd))
}
