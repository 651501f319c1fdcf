//! Packets around recorded TCP headers: link, IP, checksums.

use crate::bblog::endpoints::{AF_INET, AF_INET6};
use crate::bblog::{Endpoints, TcpHeader};
use std::net::IpAddr;

/// What stays the same for all packets of a message.
#[derive(Clone, Debug)]
pub struct Synthesis {
    ipv6: bool,
    local: [u8; 16],
    foreign: [u8; 16],
    /// Sum of both addresses, which order does not change.
    addresses: u32,
}

/// Largest value of the 16-bit length fields of IP.
const MAX_IP_LEN: u32 = 65_535;

impl Synthesis {
    pub fn new(ends: &Endpoints) -> Synthesis {
        let (mut local, mut foreign) = ([0; 16], [0; 16]);
        let ipv6 = match (ends.local.ip(), ends.foreign.ip()) {
            (IpAddr::V6(l), IpAddr::V6(f)) => {
                local = l.octets();
                foreign = f.octets();
                true
            }
            (l, f) => {
                for (slot, ip) in [(&mut local, l), (&mut foreign, f)] {
                    if let IpAddr::V4(ip) = ip {
                        slot[..4].copy_from_slice(&ip.octets());
                    }
                }
                false
            }
        };
        Synthesis {
            ipv6,
            addresses: sum(&local) + sum(&foreign),
            local,
            foreign,
        }
    }

    /// Appends link, IP and TCP header; the TCP checksum is that of a payload
    /// of `payload` zero bytes. Returns the length of the whole packet.
    ///
    /// `compat`: lengths beyond 16 bits are cut to them, as tcplog_dumper does.
    pub fn put(
        &self,
        out: &mut Vec<u8>,
        tcp: &TcpHeader<'_>,
        inbound: bool,
        payload: u32,
        compat: bool,
    ) -> u32 {
        let segment = tcp.bytes();
        let tcp_len = (segment.len() as u32).saturating_add(payload);
        let (src, dst) = if inbound {
            (&self.foreign, &self.local)
        } else {
            (&self.local, &self.foreign)
        };
        let family = if self.ipv6 { AF_INET6 } else { AF_INET };
        out.extend_from_slice(&[family, 0, 0, 0]);
        let ip_len = if self.ipv6 {
            let mut ip = [0; 48];
            ip[0] = 0x60;
            ip[7] = 127;
            ip[8..24].copy_from_slice(src);
            ip[24..40].copy_from_slice(dst);
            // Segments that offloading made longer than IP can say carry the
            // jumbo payload option (RFC 2675), in a hop-by-hop header.
            let len = if tcp_len > MAX_IP_LEN && !compat {
                ip[40..44].copy_from_slice(&[6, 0, 0xc2, 4]);
                ip[44..].copy_from_slice(&tcp_len.saturating_add(8).to_be_bytes());
                48
            } else {
                ip[4..6].copy_from_slice(&(tcp_len as u16).to_be_bytes());
                ip[6] = 6;
                40
            };
            out.extend_from_slice(&ip[..len]);
            len as u32
        } else {
            let total = tcp_len.saturating_add(20);
            // Longer ones carry 0; Wireshark then takes the frame's length.
            let len = match total {
                ..=MAX_IP_LEN => total as u16,
                _ if compat => total as u16,
                _ => 0,
            };
            let mut ip = [0; 20];
            ip[0] = 0x45;
            ip[2..4].copy_from_slice(&len.to_be_bytes());
            ip[8] = 127;
            ip[9] = 6;
            ip[12..16].copy_from_slice(&src[..4]);
            ip[16..20].copy_from_slice(&dst[..4]);
            let header = fold(0x4500 + u32::from(len) + 0x7f06 + self.addresses);
            ip[10..12].copy_from_slice(&header.to_be_bytes());
            out.extend_from_slice(&ip);
            20
        };
        let start = out.len();
        out.extend_from_slice(segment);
        if let Some(checksum) = out.get_mut(start + 16..start + 18) {
            let whole = sum(segment) + (!u32::from(tcp.checksum()) & 0xffff);
            let high = if compat { 0 } else { tcp_len >> 16 };
            let pseudo = self.addresses + 6 + high + (tcp_len & 0xffff);
            checksum.copy_from_slice(&fold(whole + pseudo).to_be_bytes());
        }
        tcp_len.saturating_add(4 + ip_len)
    }
}

/// Sum of 16-bit big-endian words; odd bytes do not occur here. At most 60
/// bytes, so it cannot overflow.
#[inline]
fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks_exact(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum()
}

/// The Internet checksum of a sum.
fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
