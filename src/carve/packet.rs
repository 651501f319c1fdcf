//! One packet out of memory, repaired, with where it came from.

pub use super::mbufq::Direction;
use super::segment::Segment;
use crate::bblog::Life;
use std::net::SocketAddr;
use std::ops::Range;

/// The queue that held a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Where its head (`struct mbufq`) stands in the image, inside of the tcpcb.
    /// None: the head was not found, only the links between the packets.
    pub offset: Option<u64>,
    /// Virtual address of the head, where known; of a kernel mostly that in its
    /// direct map, which need not be the one by which a tcpcb is known.
    pub address: Option<u64>,
    /// Virtual address of the first mbuf of its first packet.
    pub first: u64,
    /// Which packet this is, from 0, the oldest.
    pub index: u32,
    /// How many there are.
    pub len: u32,
    /// How many there may be (`mq_maxlen`), where it could be read.
    pub most: Option<u32>,
}

/// Where an mbuf of a packet stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of the mbuf in the image.
    pub offset: u64,
    /// Its virtual address, where known.
    pub address: Option<u64>,
    /// How many bytes of the packet it gave.
    pub len: u32,
}

/// A packet that TCPPCAP saved. There is no time in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// None: an ordinary packet in a saved form, both ways are possible.
    pub direction: Option<Direction>,
    /// From the IP header on, in network order, as far as it was saved.
    pub bytes: Vec<u8>,
    /// Length that it had, in bytes: by its IP header.
    pub length: u32,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// In host form; a SYN or FIN counts as usual.
    pub seq: u32,
    pub ack: u32,
    /// `th_flags`.
    pub flags: u8,
    /// Where the payload stands in `bytes`.
    pub payload: Range<usize>,
    /// What was set, lost or left, in words: empty for a packet as it was.
    pub repaired: Vec<&'static str>,
    /// Why the packet ends before its length, in words.
    pub cut: Option<&'static str>,
    pub mbufs: Vec<Place>,
    pub queue: Option<Queue>,
    pub life: Life,
    /// How sure it is that TCPPCAP saved this packet, 0 to 100: 100 in a whole
    /// queue, 95 linked to others of its connection, then by its own signs.
    pub confidence: u8,
    /// The headers as they lay in memory.
    pub(super) raw_headers: Vec<u8>,
    /// How many bytes of `bytes` stand for them: differs from their number only
    /// where the IP header was lost.
    pub(super) headers: usize,
}

impl Packet {
    /// The saved bytes as they lay in memory.
    pub fn raw(&self) -> Vec<u8> {
        let rest = self.bytes.get(self.headers..).unwrap_or(&[]);
        [&self.raw_headers, rest].concat()
    }

    /// The end on the machine whose memory this is.
    pub fn local(&self) -> Option<SocketAddr> {
        Some(match self.direction? {
            Direction::In => self.destination,
            Direction::Out => self.source,
        })
    }

    /// The other end.
    pub fn foreign(&self) -> Option<SocketAddr> {
        Some(match self.direction? {
            Direction::In => self.source,
            Direction::Out => self.destination,
        })
    }

    /// How many bytes it takes in memory, about.
    pub(super) fn weight(&self) -> usize {
        self.bytes.len() + self.raw_headers.len() + self.mbufs.len() * size_of::<Place>() + 512
    }
}

/// The numbers of a TCP header in network order.
pub(super) fn numbers(bytes: &[u8], segment: &Segment) -> Option<(u32, u32, u8)> {
    let word = |at: usize| super::segment::u32_at(bytes, segment.tcp + at).map(u32::swap_bytes);
    Some((word(4)?, word(8)?, *bytes.get(segment.tcp + 13)?))
}
