//! Copies that one mbuf had to hold.
//!
//! Where the packet could not be shared or copied as it was, TCPPCAP takes what
//! fits: the headers, then payload; of headers that are longer, their end.

use super::chain::Gathered;
use super::mbuf::{M_DAT, MLEN, Mbuf};
use super::segment::{Segment, tcp_header};
use crate::bblog::checksum::IPPROTO_TCP;
use std::net::IpAddr;

/// Whether a packet may have been saved as what one mbuf holds: it lies from the
/// start of its data to their end.
pub(super) fn is_best_fit(mbuf: &Mbuf) -> bool {
    mbuf.own_data() == Some((mbuf.offset.saturating_add(M_DAT), MLEN as usize)) && mbuf.next == 0
}

/// Gives a copy that begins inside of its IP header, and so ends with its TCP
/// header, the addresses of another packet of its queue. Only IPv6 has headers
/// that are longer than one mbuf.
pub(super) fn behead(all: Gathered, sibling: &Segment) -> Option<(Gathered, Segment)> {
    let raw = all.bytes;
    if raw.len() != MLEN as usize || all.places.len() != 1 {
        return None;
    }
    let mut bytes = vec![0x60, 0, 0, 0, 0, 0, IPPROTO_TCP, 0];
    for end in [sibling.source, sibling.destination] {
        match end.ip() {
            IpAddr::V6(ip) => bytes.extend(ip.octets()),
            IpAddr::V4(_) => return None,
        }
    }
    let tcp = (20..=60).step_by(4).find_map(|len| {
        let at = raw.len().checked_sub(len)?;
        let ports = raw.get(at..at + 4)?;
        let ours = ports.starts_with(&sibling.source.port().to_be_bytes())
            && ports.ends_with(&sibling.destination.port().to_be_bytes());
        (ours && tcp_header(&raw, at) == Some(len)).then(|| raw.get(at..))?
    })?;
    if let [_, _, _, _, _, len, ..] = bytes.as_mut_slice() {
        *len = tcp.len() as u8;
    }
    bytes.extend(tcp);
    let segment = Segment::find(&bytes)?;
    let beheaded = Some(raw);
    Some((
        Gathered {
            bytes,
            beheaded,
            ..all
        },
        segment,
    ))
}
