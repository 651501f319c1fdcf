//! From an IP header to the TCP segment behind it.

use crate::bblog::TcpHeader;
use crate::compare::segment::{Options, Tcp, plain};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const TCP: u8 = 6;
const AUTHENTICATION: u8 = 51;
const FRAGMENT: u8 = 44;

/// Extension headers that an IPv6 packet may have.
const MOST_HEADERS: usize = 16;

/// What an IP packet holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp {
        from: SocketAddr,
        to: SocketAddr,
        tcp: Tcp,
        /// Bytes of payload.
        len: u32,
    },
    /// Another protocol.
    Other,
    /// A piece of an IP packet, which does not tell the segment's length.
    Fragment,
    /// Not enough of it was captured to tell, or it is damaged.
    Short,
}

/// Looks into an IP packet; `length`: its bytes on the wire. Lengths come
/// from the IP header: Ethernet pads, and captures are cut. Where that has
/// no length, as with large segments that the network card is to divide, it
/// is what was on the wire.
pub fn transport(packet: &[u8], length: usize) -> Transport {
    let found = match packet.first().map(|byte| byte >> 4) {
        Some(4) => ipv4(packet, length),
        Some(6) => ipv6(packet, length),
        Some(_) => return Transport::Other,
        None => None,
    };
    found.unwrap_or(Transport::Short)
}

fn ipv4(packet: &[u8], length: usize) -> Option<Transport> {
    let head = packet.get(..20)?;
    let header_len = usize::from(head[0] & 15) * 4;
    if header_len < 20 {
        return None;
    }
    let total = match usize::from(be16(head, 2)?) {
        0 => length,
        total => total,
    };
    let address = |at: usize| {
        let bytes: [u8; 4] = head.get(at..at + 4)?.try_into().ok()?;
        Some(IpAddr::V4(Ipv4Addr::from(bytes)))
    };
    if head[9] != TCP {
        return Some(Transport::Other);
    }
    // More fragments, or not the first one.
    if be16(head, 6)? & 0x3fff != 0 {
        return Some(Transport::Fragment);
    }
    let ends = (address(12)?, address(16)?);
    segment(
        ends,
        packet.get(header_len..)?,
        total.checked_sub(header_len)?,
    )
}

fn ipv6(packet: &[u8], length: usize) -> Option<Transport> {
    let head = packet.get(..40)?;
    let mut rest_len = match usize::from(be16(head, 4)?) {
        // A jumbogram, or a large segment to be divided.
        0 => length.checked_sub(40)?,
        len => len,
    };
    let address = |at: usize| {
        let bytes: [u8; 16] = head.get(at..at + 16)?.try_into().ok()?;
        Some(plain(IpAddr::V6(Ipv6Addr::from(bytes))))
    };
    let ends = (address(8)?, address(24)?);
    let mut next = head[6];
    let mut rest = packet.get(40..)?;
    for _ in 0..MOST_HEADERS {
        let header_len = match next {
            TCP => return segment(ends, rest, rest_len),
            // Hop-by-hop, routing, destination, mobility, HIP, shim6.
            0 | 43 | 60 | 135 | 139 | 140 => (usize::from(*rest.get(1)?) + 1) * 8,
            AUTHENTICATION => (usize::from(*rest.get(1)?) + 2) * 4,
            FRAGMENT => {
                // An atomic fragment is a whole packet.
                if be16(rest, 2)? & 0xfff9 != 0 {
                    return Some(Transport::Fragment);
                }
                8
            }
            _ => return Some(Transport::Other),
        };
        next = *rest.first()?;
        rest = rest.get(header_len..)?;
        rest_len = rest_len.checked_sub(header_len)?;
    }
    Some(Transport::Other)
}

/// The segment at the start of `bytes`; `length`: its bytes on the wire.
fn segment((from, to): (IpAddr, IpAddr), bytes: &[u8], length: usize) -> Option<Transport> {
    // Everything up to the flags must be there.
    let fixed = bytes.get(..14)?;
    let header_len = usize::from(fixed[12] >> 4) * 4;
    if header_len < 20 {
        return None;
    }
    let len = u32::try_from(length.checked_sub(header_len)?).ok()?;
    let tcp = match bytes.get(..header_len) {
        Some(header) => Tcp::of(&TcpHeader::new(header)?),
        None => {
            let header =
                TcpHeader::new(&[fixed, &[0; 6]].concat()).map(|header| Tcp::of(&header))?;
            Tcp {
                options: Options::CUT,
                is_closed: be16(bytes, 14) == Some(0),
                ..header
            }
        }
    };
    Some(Transport::Tcp {
        from: SocketAddr::new(from, be16(fixed, 0)?),
        to: SocketAddr::new(to, be16(fixed, 2)?),
        tcp,
        len,
    })
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of 24 bytes with flags FIN and ACK and AE, and some payload.
    fn tcp() -> Vec<u8> {
        let mut bytes = vec![0, 80, 31, 64, 0, 0, 0, 9, 0, 0, 0, 8, 0x61, 0x11, 1, 0];
        bytes.extend([0, 0, 0, 0, 1, 1, 1, 0]);
        bytes.extend([7; 10]);
        bytes
    }

    fn v4(total: u16, fragment: u16, protocol: u8) -> Vec<u8> {
        let mut bytes = vec![0x45, 0];
        bytes.extend(total.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(fragment.to_be_bytes());
        bytes.extend([64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        bytes.extend(tcp());
        bytes
    }

    fn v6(len: u16, next: u8, headers: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(len.to_be_bytes());
        bytes.extend([next, 64]);
        bytes.extend("2001:db8::1".parse::<Ipv6Addr>().expect("v6").octets());
        bytes.extend("2001:db8::2".parse::<Ipv6Addr>().expect("v6").octets());
        bytes.extend(headers);
        bytes.extend(tcp());
        bytes
    }

    fn len(transport: Transport) -> Option<u32> {
        match transport {
            Transport::Tcp { len, .. } => Some(len),
            _ => None,
        }
    }

    #[test]
    fn a_segment_over_ipv4() {
        // Six bytes of padding behind it.
        let packet = v4(48, 0x4000, 6);
        let Transport::Tcp { from, to, tcp, len } = transport(&packet, 54) else {
            panic!("no segment");
        };
        assert_eq!(
            (from.to_string(), to.to_string(), len),
            ("192.0.2.1:80".to_owned(), "192.0.2.2:8000".to_owned(), 4)
        );
        assert_eq!((tcp.seq, tcp.ack, tcp.flags), (9, 8, 0x111));
        assert_eq!(tcp.options, Options::of(&[1, 1, 1, 0]));
        // As captured by 42 bytes: the options are cut.
        let Transport::Tcp { tcp, len, .. } = transport(&packet[..42], 54) else {
            panic!("no segment");
        };
        assert_eq!((tcp.options, tcp.flags, len), (Options::CUT, 0x111, 4));
        assert_eq!(transport(&packet[..33], 54), Transport::Short);
    }

    #[test]
    fn lengths() {
        assert_eq!(len(transport(&v4(0, 0, 6), 70_000)), Some(69_956));
        assert_eq!(transport(&v4(40, 0, 6), 54), Transport::Short);
        assert_eq!(len(transport(&v6(34, 6, &[]), 90)), Some(10));
        assert_eq!(len(transport(&v6(0, 6, &[]), 70_040)), Some(69_976));
    }

    #[test]
    fn what_is_no_segment() {
        assert_eq!(transport(&v4(54, 0, 17), 54), Transport::Other);
        assert_eq!(transport(&v4(54, 0x2000, 6), 54), Transport::Fragment);
        assert_eq!(transport(&v4(54, 9, 6), 54), Transport::Fragment);
        assert_eq!(transport(&[0x50; 60], 60), Transport::Other);
        assert_eq!(transport(&[], 0), Transport::Short);
        assert_eq!(transport(&v6(34, 58, &[]), 74), Transport::Other);
    }

    #[test]
    fn headers_between() {
        // Hop-by-hop of 8 bytes, destination of 16, an atomic fragment,
        // authentication of 12.
        let mut headers = vec![60, 0, 0, 0, 0, 0, 0, 0];
        headers.extend([44, 1]);
        headers.extend([0; 14]);
        headers.extend([51, 0, 0, 0, 0, 0, 0, 1]);
        headers.extend([6, 1]);
        headers.extend([0; 10]);
        let all = headers.len() as u16;
        assert_eq!(len(transport(&v6(34 + all, 0, &headers), 200)), Some(10));
        let pieces = v6(42, 44, &[6, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!(transport(&pieces, 82), Transport::Fragment);
        let endless = [60_u8, 0, 0, 0, 0, 0, 0, 0].repeat(40);
        assert_eq!(transport(&v6(400, 60, &endless), 440), Transport::Other);
    }
}
