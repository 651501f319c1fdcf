//! One TCP segment as some recorder saw it, whatever that recorder is.

use crate::bblog::TcpHeader;
use std::hash::{DefaultHasher, Hasher};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Which way a segment went, seen from the machine that logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    In,
    Out,
}

impl Direction {
    pub const BOTH: [Direction; 2] = [Direction::In, Direction::Out];

    pub fn name(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Out => "out",
        }
    }

    /// 0 for [`Direction::In`], 1 for [`Direction::Out`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The other one if `flip`.
    pub fn flipped(self, flip: bool) -> Direction {
        match (self, flip) {
            (direction, false) => direction,
            (Direction::In, true) => Direction::Out,
            (Direction::Out, true) => Direction::In,
        }
    }
}

/// The option bytes of a TCP header, as a digest: segments are compared by
/// them and nothing else asks what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Options {
    digest: u64,
    /// False: the recorder cut them off, so they can be any.
    pub whole: bool,
}

impl Options {
    pub fn of(bytes: &[u8]) -> Options {
        let mut digest = DefaultHasher::new();
        digest.write(bytes);
        Options {
            digest: digest.finish(),
            whole: true,
        }
    }

    /// Options of which a part is missing.
    pub const CUT: Options = Options {
        digest: 0,
        whole: false,
    };

    /// True if nothing that is known of both differs.
    pub fn may_be(self, other: Options) -> bool {
        self == other || !self.whole || !other.whole
    }
}

/// What a TCP header says that identifies a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tcp {
    pub seq: u32,
    pub ack: u32,
    /// Nine bits, as [`TcpHeader::flags`] gives them.
    pub flags: u16,
    /// Whoever sent it takes no bytes: its window is 0, which is so however it
    /// is scaled. Does not identify a segment.
    pub is_closed: bool,
    pub options: Options,
}

impl Tcp {
    /// Of a header that is there with all its options.
    pub fn of(header: &TcpHeader<'_>) -> Tcp {
        Tcp {
            seq: header.seq(),
            ack: header.ack(),
            flags: header.flags(),
            is_closed: header.window() == 0,
            options: Options::of(header.options()),
        }
    }
}

/// A segment that a recorder saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Number of the connection among those of the recorder, from 0.
    pub connection: u32,
    pub direction: Direction,
    /// `None` for recorders that only know connection and time: such a segment
    /// is counted and never matched. The zero-copy sniffer knows less still, see
    /// [`flow`](super::flow).
    pub tcp: Option<Tcp>,
    /// Bytes of payload.
    pub len: u32,
    /// Nanoseconds by the recorder's clock: since the Unix epoch, or since
    /// boot if it has no wall clock.
    pub time: Option<i64>,
    /// Where the recorder has it: the serial number of a record, counted on
    /// past 2^32; the number of a packet in its capture, from 1.
    pub place: i64,
    /// Sending it failed, as far as its recorder knows.
    pub failed: bool,
    /// The user asked for it. What is not asked for is matched all the same,
    /// and then not counted.
    pub selected: bool,
}

impl Segment {
    pub fn flags(&self) -> u16 {
        self.tcp.map_or(0, |tcp| tcp.flags)
    }

    pub fn seq(&self) -> u32 {
        self.tcp.map_or(0, |tcp| tcp.seq)
    }
}

/// The ends of a connection, whoever recorded it; the lower one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    pub low: SocketAddr,
    pub high: SocketAddr,
}

impl Tuple {
    /// The tuple, and whether `from` is the higher end.
    pub fn of(from: SocketAddr, to: SocketAddr) -> (Tuple, bool) {
        let flipped = from > to;
        let (low, high) = if flipped { (to, from) } else { (from, to) };
        (Tuple { low, high }, flipped)
    }

    /// Both ports, the lower one first.
    pub fn ports(&self) -> (u16, u16) {
        sorted_ports(self.low.port(), self.high.port())
    }
}

pub fn sorted_ports(a: u16, b: u16) -> (u16, u16) {
    (a.min(b), a.max(b))
}

/// An address as every recorder writes it: IPv4 inside IPv6 is IPv4, and
/// link-local addresses lose the zone that FreeBSD's kernel keeps in their
/// second 16 bits.
pub fn plain(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            let mut parts = v6.segments();
            parts[1] = 0;
            IpAddr::V6(Ipv6Addr::from(parts))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tuple_for_both_ways() {
        let (a, b) = (
            "192.0.2.1:80".parse().expect("an end"),
            "192.0.2.1:81".parse().expect("an end"),
        );
        let ((one, forth), (two, back)) = (Tuple::of(a, b), Tuple::of(b, a));
        assert_eq!((one, forth, back), (two, false, true));
        assert_eq!(one.ports(), (80, 81));
    }

    #[test]
    fn addresses_are_plain() {
        let text = |address: &str| plain(address.parse().expect("an address")).to_string();
        assert_eq!(text("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(text("fe80:3::1"), "fe80::1");
        assert_eq!(text("2001:db8:3::1"), "2001:db8:3::1");
    }

    #[test]
    fn options_that_were_cut_may_be_any() {
        let (a, b) = (Options::of(b"a"), Options::of(b"b"));
        assert!(a.may_be(a) && !a.may_be(b) && a.may_be(Options::CUT) && Options::CUT.may_be(b));
    }
}
