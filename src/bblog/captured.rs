//! A packet that the kernel kept whole: TCPPCAP's.

use super::message::Origin;

/// A packet without a record.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// Which way it went; `None` where that is not known.
    pub inbound: Option<bool>,
    /// From the IP header on, in network order, as far as it was kept.
    pub bytes: &'a [u8],
    /// How long it was, bytes.
    pub length: u32,
    /// Uptime in microseconds, where `time_from` says from.
    pub uptime_us: Option<i64>,
    /// Where the time is from, in words: the packet has none itself.
    pub time_from: &'a str,
    /// What was repaired, in words; empty if it is as it lay there.
    pub repaired: &'a [&'static str],
    /// Why it ends before its length, in words.
    pub cut: Option<&'static str>,
    pub origin: Origin,
}
