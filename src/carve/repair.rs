//! A saved packet becomes one as it would be on the wire.
//!
//! TCPPCAP saves packets while the stack works on them: of those that came in,
//! four fields of the TCP header are in host order already and the checksums
//! are used up; of those that go out, the checksums and ip_id are not there yet.
//! Everything that is set here is named, so that a reader can tell.

use super::mbufq::Direction;
use super::segment::{IP_MAXPACKET, Segment, u16_at};
use crate::bblog::checksum::{pseudo_header, same, sum};

const TH_SEQ: usize = 4;
const TH_ACK: usize = 8;
const TH_WIN: usize = 14;
const TH_SUM: usize = 16;
const TH_URP: usize = 18;

/// What a header says about the way of its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// By `th_sum`: 0 in a copy of a packet that came in, the sum of the
    /// pseudo-header in one that goes out.
    pub direction: Option<Direction>,
    /// Whether the IP header is as TCPPCAP leaves it for that direction.
    pub header: bool,
    /// The checksum of the whole captured segment is right: this is an
    /// ordinary packet, or the network driver finished it in place.
    pub finished: bool,
}

/// Reads the signs. `whole`: all bytes of the packet are there.
pub fn signs(bytes: &[u8], segment: &Segment, whole: bool) -> Signs {
    let th_sum = u16_at(bytes, segment.tcp + TH_SUM).unwrap_or(0);
    let pseudo = expected_pseudo_header(bytes, segment);
    let finished =
        whole && th_sum != 0 && same(sum(bytes.get(segment.tcp..).unwrap_or(&[]), pseudo), 0xffff);
    let direction = if th_sum == 0 {
        Some(Direction::In)
    } else if same(th_sum, pseudo) {
        Some(Direction::Out)
    } else {
        None
    };
    let header = segment.version == 6
        || match direction {
            Some(Direction::In) if software(bytes, segment) => true,
            // Nobody computes ip_sum of a packet over the loopback interface, so
            // it comes in without.
            Some(_) => u16_at(bytes, 10) == Some(0) || header_sum_is_right(bytes, segment),
            None => header_sum_is_right(bytes, segment),
        };
    Signs {
        direction,
        header,
        finished,
    }
}

fn header_sum_is_right(bytes: &[u8], segment: &Segment) -> bool {
    bytes.first() != Some(&0x40)
        && bytes
            .get(..segment.tcp)
            .is_some_and(|header| same(sum(header, 0), 0xffff))
}

/// Whether the stack computed the TCP checksum of an IPv4 packet: it uses the
/// IP header as pseudo-header then, and does not put all of it back.
fn software(bytes: &[u8], segment: &Segment) -> bool {
    u16_at(bytes, 4) == Some(0)
        && u16_at(bytes, 6) == Some(0)
        && u16_at(bytes, 10).map(u32::from) == Some(segment.tcp_length())
}

/// The sum of the pseudo-header that the stack computed, over the addresses as
/// they are on the wire.
fn expected_pseudo_header(bytes: &[u8], segment: &Segment) -> u16 {
    let mut clean = *segment;
    let captured = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    // ip_len cannot say the length of a packet beyond 65535 bytes.
    clean.length = segment.length.max(if bytes.len() > IP_MAXPACKET {
        captured
    } else {
        0
    });
    for end in [&mut clean.source, &mut clean.destination] {
        end.set_ip(without_zone(end.ip()));
    }
    pseudo_header(
        clean.source.ip(),
        clean.destination.ip(),
        clean.tcp_length(),
    )
}

/// The stack keeps the zone of a link-local address inside of the address.
fn without_zone(address: std::net::IpAddr) -> std::net::IpAddr {
    match address {
        std::net::IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            let mut octets = ip.octets();
            octets[2..4].fill(0);
            octets.into()
        }
        other => other,
    }
}

/// Repairs a packet in place. `whole`: all bytes of the packet are there.
/// Gives what was done and what could not be, in words.
pub fn repair(
    bytes: &mut [u8],
    segment: &Segment,
    direction: Option<Direction>,
    whole: bool,
) -> Vec<&'static str> {
    let mut done = Vec::new();
    // An ordinary packet needs nothing but is looked at like the others.
    if direction == Some(Direction::In) {
        for (at, len) in [(TH_SEQ, 4), (TH_ACK, 4), (TH_WIN, 2), (TH_URP, 2)] {
            if let Some(field) = bytes.get_mut(segment.tcp + at..segment.tcp + at + len) {
                field.reverse();
            }
        }
        done.push("th_seq, th_ack, th_win, th_urp: from host order");
    }
    match segment.version {
        4 => repair_v4(bytes, segment, direction, &mut done),
        _ => repair_v6(bytes, &mut done),
    }
    repair_tcp(bytes, segment, whole, &mut done);
    done
}

fn repair_v4(
    bytes: &mut [u8],
    segment: &Segment,
    direction: Option<Direction>,
    done: &mut Vec<&'static str>,
) {
    if bytes.len() > IP_MAXPACKET && u16_at(bytes, 2) != Some(0) {
        put(bytes, 2, 0);
        done.push("ip_len: 0, longer than it can say");
    }
    if header_sum_is_right(bytes, segment) {
        return;
    }
    if bytes.first() == Some(&0x40) {
        if let Some(first) = bytes.first_mut() {
            *first = 0x45;
        }
        done.push("ip_hl: set; ip_tos, ip_ttl: lost (0)");
    }
    match direction {
        Some(Direction::In) if software(bytes, segment) => done.push("ip_id, ip_off: lost (0)"),
        Some(Direction::Out) if u16_at(bytes, 4) == Some(0) => done.push("ip_id: not set yet (0)"),
        _ => {}
    }
    put(bytes, 10, 0);
    let right = !sum(bytes.get(..segment.tcp).unwrap_or(&[]), 0);
    put(bytes, 10, right);
    done.push("ip_sum: computed");
}

fn repair_v6(bytes: &mut [u8], done: &mut Vec<&'static str>) {
    if bytes.len() > IP_MAXPACKET + 40 && u16_at(bytes, 4) != Some(0) {
        put(bytes, 4, 0);
        done.push("ip6_plen: 0, longer than it can say");
    }
    let mut zone = false;
    for at in [8, 24] {
        let link_local = u16_at(bytes, at).is_some_and(|head| head & 0xffc0 == 0xfe80);
        if link_local && u16_at(bytes, at + 2) != Some(0) {
            put(bytes, at + 2, 0);
            zone = true;
        }
    }
    if zone {
        done.push("link-local address: zone taken out");
    }
}

fn repair_tcp(bytes: &mut [u8], segment: &Segment, whole: bool, done: &mut Vec<&'static str>) {
    let pseudo = expected_pseudo_header(bytes, segment);
    let tcp = bytes.get(segment.tcp..).unwrap_or(&[]);
    if whole && same(sum(tcp, pseudo), 0xffff) {
        return;
    }
    if !whole {
        done.push("th_sum: left, not the whole segment is there");
        return;
    }
    put(bytes, segment.tcp + TH_SUM, 0);
    let right = !sum(bytes.get(segment.tcp..).unwrap_or(&[]), pseudo);
    put(bytes, segment.tcp + TH_SUM, right);
    done.push("th_sum: computed");
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}
