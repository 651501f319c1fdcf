//! Flows of the sniffer's log beside those of the captures.

use super::{Flow, Passed, Sniffed};
use std::cmp::Reverse;

/// Packets of a flow, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCounts {
    /// Entries of the log with a packet.
    pub log: u64,
    /// Packets of the captures.
    pub wire: u64,
    /// As many as both have.
    pub matched: u64,
}

impl FlowCounts {
    pub fn new(log: u64, wire: u64) -> FlowCounts {
        FlowCounts {
            log,
            wire,
            matched: log.min(wire),
        }
    }

    pub fn only_log(&self) -> u64 {
        self.log - self.matched
    }

    pub fn only_wire(&self) -> u64 {
        self.wire - self.matched
    }

    pub fn add(&mut self, other: &FlowCounts) {
        self.log += other.log;
        self.wire += other.wire;
        self.matched += other.matched;
    }
}

/// One flow of the log.
#[derive(Clone, Copy, Debug)]
pub struct FlowCompared<'a> {
    pub flow: Flow,
    pub counts: FlowCounts,
    /// Times of the captures, which alone know some: nanoseconds since the Unix
    /// epoch, in their order.
    pub times: &'a [i64],
}

impl FlowCompared<'_> {
    /// First and last time of the captures.
    pub fn span(&self) -> Option<(i64, i64)> {
        self.times
            .iter()
            .copied()
            .min()
            .zip(self.times.iter().copied().max())
    }
}

/// Flows of the log, those with the most entries first.
pub fn compared<'a>(log: &Sniffed, wire: &'a Passed) -> Vec<FlowCompared<'a>> {
    let mut flows: Vec<FlowCompared<'a>> = log
        .flows
        .iter()
        .map(|(flow, packets)| {
            let passed = wire.find(flow);
            FlowCompared {
                flow: *flow,
                counts: FlowCounts::new(*packets, passed.map_or(0, |passed| passed.packets)),
                times: passed.map_or(&[], |passed| &passed.times),
            }
        })
        .collect();
    // Equal ones keep the order of the log.
    flows.sort_by_key(|flow| Reverse(flow.counts.log));
    flows
}
