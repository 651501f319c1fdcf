//! Where the headers of a TCP segment stand in the bytes of an IP packet.

use crate::bblog::checksum::IPPROTO_TCP;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The length that an IPv4 header can say at most.
pub const IP_MAXPACKET: usize = 65_535;

/// An IP packet with a TCP segment, by places in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// 4 or 6.
    pub version: u8,
    /// Where the TCP header begins.
    pub tcp: usize,
    /// Where the TCP header with its options ends.
    pub payload: usize,
    /// Length of the whole packet as its IP header says.
    pub length: u32,
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

impl Segment {
    /// Finds the headers. None: the bytes are no TCP segment, or do not hold
    /// its whole TCP header. `ip_hl` may be 0, as 11's software checksum
    /// leaves it: there are no options then.
    pub fn find(bytes: &[u8]) -> Option<Segment> {
        let (version, tcp, length, source, destination) = match bytes.first()? {
            0x40 | 0x45..=0x4f => v4(bytes)?,
            0x60..=0x6f => v6(bytes)?,
            _ => return None,
        };
        let payload = tcp.checked_add(tcp_header(bytes, tcp)?)?;
        let port = |at: usize| u16_at(bytes, tcp + at).filter(|&port| port != 0);
        if payload > bytes.len() || (payload > length as usize && bytes.len() <= IP_MAXPACKET) {
            return None;
        }
        Some(Segment {
            version,
            tcp,
            payload,
            length,
            source: SocketAddr::new(source, port(0)?),
            destination: SocketAddr::new(destination, port(2)?),
        })
    }

    /// Length of the TCP segment: header and payload.
    pub fn tcp_length(&self) -> u32 {
        self.length.saturating_sub(self.tcp as u32)
    }
}

/// Whether bytes may begin an IP packet with TCP in it: cheap, for a scan.
pub fn may_begin(bytes: &[u8]) -> bool {
    match bytes.first() {
        Some(0x40 | 0x45..=0x4f) => bytes.get(9) == Some(&IPPROTO_TCP),
        Some(0x60..=0x6f) => matches!(bytes.get(6), Some(&IPPROTO_TCP | 0 | 43 | 60)),
        _ => false,
    }
}

type Ip = (u8, usize, u32, IpAddr, IpAddr);

fn v4(bytes: &[u8]) -> Option<Ip> {
    let tcp = match usize::from(bytes.first()? & 0xf) * 4 {
        0 => 20,
        len => len,
    };
    let length = u32::from(u16_at(bytes, 2)?);
    // More fragments, or not the first one: reassembled packets have neither.
    let fragment = u16_at(bytes, 6)? & 0x3fff != 0;
    let address = |at| Some(Ipv4Addr::from(u32_at(bytes, at)?.to_le_bytes()));
    let (source, destination) = (address(12)?, address(16)?);
    let may_talk = |ip: Ipv4Addr| !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast();
    (*bytes.get(9)? == IPPROTO_TCP && !fragment && may_talk(source) && may_talk(destination))
        .then_some((4, tcp, length, source.into(), destination.into()))
}

fn v6(bytes: &[u8]) -> Option<Ip> {
    let length = u32::from(u16_at(bytes, 4)?) + 40;
    let address = |at: usize| {
        let octets = <[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?;
        Some(Ipv6Addr::from(octets))
    };
    let (source, destination) = (address(8)?, address(24)?);
    let may_talk = |ip: Ipv6Addr| !ip.is_unspecified() && !ip.is_multicast();
    if !may_talk(source) || !may_talk(destination) {
        return None;
    }
    // Hop-by-hop options, routing and destination options may stand between.
    let (mut next, mut at) = (*bytes.get(6)?, 40usize);
    for _ in 0..8 {
        match next {
            IPPROTO_TCP => return Some((6, at, length, source.into(), destination.into())),
            0 | 43 | 60 => {
                next = *bytes.get(at)?;
                at += (usize::from(*bytes.get(at + 1)?) + 1) * 8;
            }
            _ => return None,
        }
    }
    None
}

/// Length of the TCP header at a place, when it may be one.
pub fn tcp_header(bytes: &[u8], tcp: usize) -> Option<usize> {
    let offset = usize::from(*bytes.get(tcp.checked_add(12)?)? >> 4);
    let flags = *bytes.get(tcp + 13)?;
    // No segment opens and ends a connection at once.
    let (fin, syn, rst) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
    (offset >= 5 && !(syn && (fin || rst))).then_some(offset * 4)
}

/// A number in network order.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// A number in the order of the memory: little-endian.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// As [`u32_at`].
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}
