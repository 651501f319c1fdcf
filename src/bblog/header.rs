//! `struct tcp_log_header`: what one message says about itself.

use super::endpoints::{AF_INET, AF_INET6, Endpoints, address};
use super::until_nul;
use crate::format::Dialect;
use std::net::SocketAddr;

/// The header of one message.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    bytes: &'a [u8],
    dialect: &'a Dialect,
}

impl<'a> Header<'a> {
    /// `None` if `bytes` is shorter than the dialect's header.
    pub fn new(bytes: &'a [u8], dialect: &'a Dialect) -> Option<Header<'a>> {
        let bytes = bytes.get(..dialect.header.size)?;
        Some(Header { bytes, dialect })
    }

    /// The header as the kernel wrote it.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn dialect(&self) -> &'a Dialect {
        self.dialect
    }

    /// `tlh_length`: bytes of the whole message, this header included.
    pub fn length(&self) -> u64 {
        let slot = self.dialect.header_slots.length;
        slot.read(self.bytes, self.dialect.order)
    }

    /// `tlh_af`, FreeBSD's number.
    pub fn af(&self) -> u8 {
        let slot = self.dialect.header_slots.af;
        slot.read(self.bytes, self.dialect.order) as u8
    }

    pub fn is_ipv6(&self) -> bool {
        self.af() == AF_INET6
    }

    /// `tlh_offset`: boot time, microseconds since the Unix epoch. Added to a
    /// record's uptime it gives wall clock time.
    pub fn boot_us(&self) -> i64 {
        let (slots, order) = (&self.dialect.header_slots, self.dialect.order);
        let sec = slots.offset_sec.read_signed(self.bytes, order);
        let usec = slots.offset_usec.read_signed(self.bytes, order);
        sec.saturating_mul(1_000_000).saturating_add(usec)
    }

    /// `tlh_id`: the log ID, bytes of an untrusted program.
    pub fn id(&self) -> &'a [u8] {
        until_nul(self.dialect.header_slots.id.bytes(self.bytes))
    }

    /// The log ID, or `None` where the connection had none: the kernel then
    /// writes "UNKNOWN".
    pub fn log_id(&self) -> Option<&'a [u8]> {
        Some(self.id()).filter(|id| !id.is_empty() && *id != b"UNKNOWN")
    }

    /// `tlh_reason`: why the log was dumped.
    pub fn reason(&self) -> &'a [u8] {
        until_nul(self.dialect.header_slots.reason.bytes(self.bytes))
    }

    /// `tlh_tag`; empty for versions that have none.
    pub fn tag(&self) -> &'a [u8] {
        until_nul(self.dialect.header_slots.tag.bytes(self.bytes))
    }

    pub fn endpoints(&self) -> Endpoints {
        let (slots, order) = (&self.dialect.header_slots, self.dialect.order);
        let af = self.af();
        let port = |slot: crate::format::dialect::Slot| {
            let bytes = slot.bytes(self.bytes);
            bytes.try_into().map(u16::from_be_bytes).unwrap_or(0)
        };
        let foreign = address(slots.foreign_addr.bytes(self.bytes), af);
        let local = address(slots.local_addr.bytes(self.bytes), af);
        Endpoints {
            local: SocketAddr::new(local, port(slots.local_port)),
            foreign: SocketAddr::new(foreign, port(slots.foreign_port)),
            zone: slots.zone.read(self.bytes, order) as u32,
        }
    }
}

/// What is known of records that came without a header.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// `struct in_endpoints` as the kernel has it.
    pub endpoints: Option<&'a [u8; ENDPOINTS]>,
    /// `AF_INET` or `AF_INET6`, FreeBSD's numbers; 0 counts as the former.
    pub af: u8,
    /// Local and foreign port, where `endpoints` is not known.
    pub ports: Option<(u16, u16)>,
    /// Log ID, tag and reason; none is written as `UNKNOWN`, as the kernel does.
    pub id: Option<&'a [u8]>,
    pub tag: Option<&'a [u8]>,
    pub reason: Option<&'a [u8]>,
    /// Boot time, microseconds since the Unix epoch.
    pub boot_us: Option<i64>,
}

/// Bytes of `struct in_endpoints`: both ports, both addresses, the zone.
pub const ENDPOINTS: usize = 40;

/// A header for `records` bytes of records that have none.
pub fn made(dialect: &Dialect, facts: &Facts<'_>, records: usize) -> Vec<u8> {
    let mut header = vec![0; dialect.header.size];
    let (slots, order) = (&dialect.header_slots, dialect.order);
    let boot_us = facts.boot_us.unwrap_or(0);
    let af = if facts.af == 0 { AF_INET } else { facts.af };
    for (slot, value) in [
        (slots.version, u64::from(dialect.version)),
        (slots.kind, 1),
        (slots.length, (dialect.header.size + records) as u64),
        (slots.offset_sec, boot_us.div_euclid(1_000_000) as u64),
        (slots.offset_usec, boot_us.rem_euclid(1_000_000) as u64),
        (slots.af, af.into()),
    ] {
        order.write(&mut header, slot.offset.into(), slot.size.into(), value);
    }
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = header.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    if let Some(endpoints) = facts.endpoints {
        put(slots.foreign_port.offset.into(), endpoints);
    } else if let Some((local, foreign)) = facts.ports {
        put(slots.local_port.offset.into(), &local.to_be_bytes());
        put(slots.foreign_port.offset.into(), &foreign.to_be_bytes());
    }
    for (slot, text) in [
        (slots.id, facts.id),
        (slots.tag, facts.tag),
        (slots.reason, facts.reason),
    ] {
        let text = text.unwrap_or(b"UNKNOWN");
        // The field ends with a NUL.
        let len = text.len().min(usize::from(slot.size).saturating_sub(1));
        put(slot.offset.into(), &text[..len]);
    }
    header
}
