//! `struct tcp_log_header`: what one message says about itself.

use super::endpoints::{AF_INET6, Endpoints, address};
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
