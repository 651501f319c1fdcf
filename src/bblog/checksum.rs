//! The Internet checksum (RFC 1071) over an IP header and over a TCP segment.

use std::net::IpAddr;

/// Number of TCP, in `ip_p` and in the pseudo-header.
pub const IPPROTO_TCP: u8 = 6;

/// The folded sum of the 16-bit words in network order, not complemented;
/// `start` is a sum to go on from. An odd last byte counts as the high half of
/// a word, so only the last piece may have an odd length.
pub fn sum(bytes: &[u8], start: u16) -> u16 {
    let mut total = u64::from(start);
    let mut words = bytes.chunks_exact(2);
    for word in &mut words {
        total += u64::from(word[0]) << 8 | u64::from(word[1]);
    }
    if let [last] = words.remainder() {
        total += u64::from(*last) << 8;
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

/// The folded sum of the pseudo-header of a TCP segment of `length` bytes, not
/// complemented: what `in_pseudo` and `in6_cksum_pseudo` put into `th_sum` of a
/// segment whose checksum the network card shall finish.
pub fn pseudo_header(source: IpAddr, destination: IpAddr, length: u32) -> u16 {
    let mut total = 0;
    for address in [source, destination] {
        total = match address {
            IpAddr::V4(address) => sum(&address.octets(), total),
            IpAddr::V6(address) => sum(&address.octets(), total),
        };
    }
    total = sum(&length.to_be_bytes(), total);
    sum(&[0, IPPROTO_TCP], total)
}

/// Whether two folded sums stand for the same number: one's complement has two
/// zeros.
pub fn same(a: u16, b: u16) -> bool {
    let zero = |sum: u16| sum == 0 || sum == 0xffff;
    a == b || zero(a) && zero(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header that RFC 1071's descendants use as their example.
    #[test]
    fn a_known_header() {
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8,
            0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7,
        ];
        assert_eq!(sum(&header, 0), 0xffff);
        let mut cleared = header;
        cleared[10..12].fill(0);
        assert_eq!(!sum(&cleared, 0), 0xb861);
    }

    #[test]
    fn an_odd_byte_is_a_high_half() {
        assert_eq!(sum(&[1, 2, 3], 0), 0x0402);
        assert_eq!(sum(&[0xff, 0xff, 0, 1], 0), 1);
    }

    #[test]
    fn pieces_add_up() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(sum(&bytes, 0), sum(&bytes[100..], sum(&bytes[..100], 0)));
    }
}
