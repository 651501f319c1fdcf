//! pcap files: microseconds or nanoseconds, either byte order.

use super::window::Window;
use super::{Found, MAX_PACKET, Step};
use crate::format::Order;
use pcap_file::Endianness;
use pcap_file::pcap::{PcapHeader, PcapTsResolution};
use std::io;

/// Bytes in front of each packet.
const HEAD: usize = 16;

/// Bytes to look at for the next packet after damage.
const SEARCH: usize = 1024 * 1024;

/// Times this far apart, in seconds, are not of one capture.
const APART: u64 = 366 * 86_400;

pub struct Pcap {
    order: Order,
    /// Nanoseconds in a unit of the fraction.
    unit: i64,
    link: u16,
    /// Second of the last packet.
    last: Option<u64>,
}

/// What stands in front of a packet.
struct Head {
    seconds: u64,
    fraction: u64,
    captured: u64,
    length: u64,
}

impl Pcap {
    pub fn new(header: &PcapHeader) -> Pcap {
        Pcap {
            order: match header.endianness {
                Endianness::Big => Order::Big,
                Endianness::Little => Order::Little,
            },
            unit: match header.ts_resolution {
                PcapTsResolution::MicroSecond => 1000,
                PcapTsResolution::NanoSecond => 1,
            },
            // The upper half says how long the frame check sequence is.
            link: u32::from(header.datalink) as u16,
            last: None,
        }
    }

    fn head(&self, bytes: &[u8]) -> Option<Head> {
        let word = |at| self.order.read(bytes, at, 4);
        Some(Head {
            seconds: word(0)?,
            fraction: word(4)?,
            captured: word(8)?,
            length: word(12)?,
        })
    }

    /// What is wrong with a head, if anything is.
    fn wrong(&self, head: &Head) -> Option<String> {
        let most = 1_000_000_000 / self.unit.unsigned_abs();
        if head.captured > MAX_PACKET as u64 {
            Some(format!("packet of {} bytes", head.captured))
        } else if head.fraction >= most {
            Some(format!("time with a fraction of {}", head.fraction))
        } else if head.captured > head.length {
            Some(format!(
                "packet of {} bytes, of which {} are captured",
                head.length, head.captured
            ))
        } else {
            None
        }
    }

    pub fn step(&mut self, window: &mut Window) -> io::Result<Step> {
        if !window.fill(HEAD)? {
            return Ok(match window.bytes() {
                [] => Step::End,
                _ => Step::Damaged("the capture ends inside a packet".to_owned()),
            });
        }
        let Some(head) = self.head(window.bytes()) else {
            return Ok(Step::End);
        };
        if let Some(what) = self.wrong(&head) {
            return Ok(Step::Damaged(what));
        }
        let captured = head.captured as usize;
        if !window.fill(HEAD + captured)? {
            return Ok(Step::Damaged("the capture ends inside a packet".to_owned()));
        }
        self.last = Some(head.seconds);
        let fraction = (head.fraction as i64).saturating_mul(self.unit);
        let time = (head.seconds as i64).saturating_mul(1_000_000_000);
        Ok(Step::Packet(Found {
            time: Some(time.saturating_add(fraction)),
            link: self.link,
            length: head.length as u32,
            at: HEAD,
            captured,
            takes: HEAD + captured,
        }))
    }

    /// Bytes to the next place where two packets follow each other, or one
    /// ends the file.
    pub fn resync(&self, window: &mut Window) -> Option<usize> {
        // If reading fails, the next step says so.
        let more = window.fill(SEARCH).unwrap_or(false);
        let bytes = window.bytes();
        let plausible = |at: usize| {
            let head = self.head(bytes.get(at..)?)?;
            let near = self
                .last
                .is_none_or(|last| last.abs_diff(head.seconds) < APART);
            let is_packet = near && head.captured >= 20 && self.wrong(&head).is_none();
            is_packet.then_some(at + HEAD + head.captured as usize)
        };
        (1..bytes.len().saturating_sub(HEAD)).find(|at| {
            plausible(*at)
                .is_some_and(|next| next == bytes.len() && !more || plausible(next).is_some())
        })
    }
}
