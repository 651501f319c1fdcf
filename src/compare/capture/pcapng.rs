//! pcapng files: sections, interfaces with their clocks, packets.

use super::window::Window;
use super::{Found, MAX_PACKET, Step};
use crate::format::Order;
use crate::input::detect::PCAPNG_MAGIC;
use byteorder::{BigEndian, LittleEndian};
use pcap_file::pcapng::RawBlock;
use std::collections::HashMap;
use std::io;

const SHB: u32 = 0x0a0d_0d0a;
const IDB: u32 = 1;
/// Packet Block, obsolete.
const PB: u32 = 2;
/// Simple Packet Block: it has no time.
const SPB: u32 = 3;
/// Interface Statistics Block.
const ISB: u32 = 5;
const EPB: u32 = 6;

/// Types that blocks commonly have, section headers apart.
const KINDS: [u64; 9] = [1, 2, 3, 4, 5, 6, 10, 0xbad, 0x4000_0bad];

/// Bytes to look at for the next block after damage.
const SEARCH: usize = 1024 * 1024;

/// An interface of a section.
struct Interface {
    link: u16,
    snap_len: u32,
    /// `if_tsresol`.
    resolution: u8,
    /// `if_tsoffset`, seconds.
    offset: i64,
}

pub struct Pcapng {
    order: Order,
    section: u32,
    interfaces: Vec<Interface>,
    /// Packets lost, by section and interface: the last word counts.
    dropped: HashMap<(u32, u32), u64>,
}

/// The byte order of the section whose header `bytes` begin with.
fn order_of(bytes: &[u8]) -> Option<Order> {
    let magic = bytes.strip_prefix(&PCAPNG_MAGIC)?.get(4..8)?;
    if magic == 0x1a2b_3c4d_u32.to_le_bytes() {
        Some(Order::Little)
    } else if magic == 0x1a2b_3c4d_u32.to_be_bytes() {
        Some(Order::Big)
    } else {
        None
    }
}

impl Pcapng {
    /// Reads from here if this is how a pcapng file begins.
    pub fn begins(head: &[u8]) -> Option<Pcapng> {
        Some(Pcapng {
            order: order_of(head)?,
            section: 0,
            interfaces: Vec::new(),
            dropped: HashMap::new(),
        })
    }

    pub fn dropped(&self) -> Option<u64> {
        let sum = |all: u64, lost: &u64| all.saturating_add(*lost);
        (!self.dropped.is_empty()).then(|| self.dropped.values().fold(0, sum))
    }

    pub fn step(&mut self, window: &mut Window) -> io::Result<Step> {
        let cut = || Step::Damaged("the capture ends inside a block".to_owned());
        if !window.fill(12)? {
            return Ok(match window.bytes() {
                [] => Step::End,
                _ => cut(),
            });
        }
        let is_section = window.bytes().starts_with(&PCAPNG_MAGIC);
        if is_section {
            match order_of(window.bytes()) {
                Some(order) => self.order = order,
                None => {
                    let what = "section header without byte-order magic";
                    return Ok(Step::Damaged(what.to_owned()));
                }
            }
        }
        let len = self.order.read(window.bytes(), 4, 4).unwrap_or(0) as usize;
        if len < 12 || !len.is_multiple_of(4) || len > MAX_PACKET {
            let what = format!("block with an impossible length of {len}");
            return Ok(Step::Damaged(what));
        }
        if !window.fill(len)? {
            return Ok(cut());
        }
        let parsed = match self.order {
            Order::Little => RawBlock::from_slice::<LittleEndian>(window.bytes()),
            Order::Big => RawBlock::from_slice::<BigEndian>(window.bytes()),
        };
        let block = match parsed {
            Ok((_, block)) => block,
            Err(e) => return Ok(Step::Damaged(format!("damaged block: {e}"))),
        };
        let body = &block.body;
        Ok(match block.type_ {
            SHB => {
                self.interfaces.clear();
                self.section = self.section.wrapping_add(1);
                Step::Skip(len)
            }
            IDB => {
                self.interface(body);
                Step::Skip(len)
            }
            ISB => {
                self.statistics(body);
                Step::Skip(len)
            }
            EPB | PB | SPB => match self.packet(block.type_, body) {
                Ok(found) => Step::Packet(Found {
                    at: found.at + 8,
                    takes: len,
                    ..found
                }),
                Err(what) => Step::Damaged(what),
            },
            _ => Step::Skip(len),
        })
    }

    fn interface(&mut self, body: &[u8]) {
        let read = |at, size| self.order.read(body, at, size).unwrap_or(0);
        let mut interface = Interface {
            link: read(0, 2) as u16,
            snap_len: read(4, 4) as u32,
            resolution: 6,
            offset: 0,
        };
        for (code, value) in options(body.get(8..).unwrap_or(&[]), self.order) {
            match (code, value) {
                (9, [resolution, ..]) => interface.resolution = *resolution,
                (14, value) => {
                    let seconds = self.order.read(value, 0, 8);
                    interface.offset = seconds.unwrap_or(0) as i64;
                }
                _ => {}
            }
        }
        self.interfaces.push(interface);
    }

    fn statistics(&mut self, body: &[u8]) {
        let interface = self.order.read(body, 0, 4);
        let known = |at: &u64| *at < self.interfaces.len() as u64;
        let Some(interface) = interface.filter(known) else {
            return;
        };
        let mut lost = None;
        for (code, value) in options(body.get(12..).unwrap_or(&[]), self.order) {
            // isb_ifdrop, isb_osdrop
            if matches!(code, 5 | 7)
                && let Some(count) = self.order.read(value, 0, 8)
            {
                lost = Some(count.saturating_add(lost.unwrap_or(0)));
            }
        }
        if let Some(lost) = lost {
            self.dropped.insert((self.section, interface as u32), lost);
        }
    }

    /// The packet of a block; its place is from the start of the body.
    fn packet(&self, kind: u32, body: &[u8]) -> Result<Found, String> {
        let read = |at, size| {
            let found = self.order.read(body, at, size);
            found.ok_or_else(|| "packet block that is too short".to_owned())
        };
        let (interface, time, captured, length, at) = match kind {
            SPB => {
                let length = read(0, 4)?;
                let snap = self.interfaces.first().map_or(0, |i| i.snap_len);
                let snap = if snap == 0 { u64::MAX } else { u64::from(snap) };
                (0, None, length.min(snap), length, 4)
            }
            _ => {
                let interface = read(0, if kind == PB { 2 } else { 4 })?;
                let ticks = read(4, 4)? << 32 | read(8, 4)?;
                (interface, Some(ticks), read(12, 4)?, read(16, 4)?, 20)
            }
        };
        let there = body.len().saturating_sub(at);
        if captured > there as u64 {
            return Err(format!("packet of {captured} bytes in a block for {there}"));
        }
        let Some(interface) = self.interfaces.get(interface as usize) else {
            return Err(format!("packet of interface {interface}, which is unknown"));
        };
        Ok(Found {
            time: time.map(|ticks| nanoseconds(ticks, interface)),
            link: interface.link,
            length: length as u32,
            at,
            captured: captured as usize,
            takes: 0,
        })
    }

    /// Bytes to the next place that holds a whole block.
    pub fn resync(&self, window: &mut Window) -> Option<usize> {
        // If reading fails, the next step says so.
        let _ = window.fill(SEARCH);
        let bytes = window.bytes();
        let starts_block = |at: &usize| {
            let there = bytes.get(*at..).unwrap_or(&[]);
            let word = |at| self.order.read(there, at, 4);
            let len = word(4).unwrap_or(0);
            order_of(there).is_some()
                || word(0).is_some_and(|kind| KINDS.contains(&kind))
                    && (12..=SEARCH as u64).contains(&len)
                    && len.is_multiple_of(4)
                    && word(len as usize - 4) == Some(len)
        };
        (4..bytes.len().saturating_sub(11))
            .step_by(4)
            .find(starts_block)
    }
}

/// Nanoseconds since the Unix epoch of a time in an interface's unit.
fn nanoseconds(ticks: u64, interface: &Interface) -> i64 {
    let power = u32::from(interface.resolution & 0x7f);
    let ns: u128 = if interface.resolution & 0x80 != 0 {
        (u128::from(ticks) * 1_000_000_000) >> power
    } else {
        match power.checked_sub(9) {
            None => u128::from(ticks) * 10_u128.pow(9 - power),
            Some(more) => {
                let unit = 10_u128.checked_pow(more);
                unit.map_or(0, |unit| u128::from(ticks) / unit)
            }
        }
    };
    let ns = i64::try_from(ns).unwrap_or(i64::MAX);
    ns.saturating_add(interface.offset.saturating_mul(1_000_000_000))
}

/// Code and value of each option.
fn options(mut bytes: &[u8], order: Order) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let code = order.read(bytes, 0, 2)? as u16;
        let len = order.read(bytes, 2, 2)? as usize;
        let value = bytes.get(4..4 + len)?;
        bytes = bytes.get(4 + len.next_multiple_of(4)..).unwrap_or(&[]);
        (code != 0).then_some((code, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resolution() {
        let ns = |ticks, resolution, offset| {
            nanoseconds(
                ticks,
                &Interface {
                    link: 1,
                    snap_len: 0,
                    resolution,
                    offset,
                },
            )
        };
        assert_eq!(ns(1_700_000_000_123_456, 6, 0), 1_700_000_000_123_456_000);
        assert_eq!(
            ns(1_700_000_000_123_456_789, 9, 0),
            1_700_000_000_123_456_789
        );
        assert_eq!(ns(1_700_000_000, 0, 1), 1_700_000_001_000_000_000);
        assert_eq!(ns(1_234_567_890_123, 12, 0), 1_234_567_890);
        assert_eq!(ns(3 << 9, 0x80 | 10, -1), 500_000_000);
        assert_eq!(ns(u64::MAX, 0, i64::MAX), i64::MAX);
        assert_eq!(ns(u64::MAX, 0x7f, 0), 0);
        assert_eq!(ns(u64::MAX, 0xff, 0), 0);
    }
}
