//! One entry of the log: a chunk, and what its first bytes were.

use std::net::Ipv4Addr;

/// What the allocator's debug code fills a freed chunk with.
const POISON: u8 = 0xab;

/// EtherType of IPv4, the only one of which the program printed more.
pub const ETHERTYPE_IP: u16 = 0x0800;

/// An entry, in the words of the program that printed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// Its number among those that one read of the device gave, from 0.
    pub index: u32,
    /// How many that read gave.
    pub batch_size: u32,
    /// Kernel address of the chunk.
    pub ptr: u64,
    /// Kernel address of the node, a run of pages, that the chunk is in.
    pub start: u64,
    /// Bytes that were allocated. Says nothing about the length of the packet.
    pub size: u32,
    /// Byte offset of the chunk in what the program had mapped.
    pub off: u32,
    /// Number of the mapping.
    pub entry: u32,
    pub cpu: i32,
    pub src_mac: [u8; 6],
    pub dst_mac: [u8; 6],
    pub ethertype: u16,
    /// There for IPv4 only.
    pub ipv4: Option<Ipv4>,
}

/// What is printed of an IPv4 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4 {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    /// The 16 bits behind a header of 20 bytes, as a number of the host that
    /// printed: [`PortOrder`](super::PortOrder) makes a port of it.
    pub src_raw: u16,
    /// The next 16 bits.
    pub dst_raw: u16,
    pub protocol: u8,
}

impl Entry {
    /// Whether the chunk holds no packet: it was freed, or nothing has been
    /// written to it yet.
    ///
    /// A chunk in between, of which only a part is poison, holds none either.
    pub fn is_freed(&self) -> bool {
        let poison = [POISON; 6];
        let address = Ipv4Addr::from([POISON; 4]);
        self.src_mac == poison
            || self.dst_mac == poison
            || self.ethertype == u16::from_ne_bytes([POISON; 2])
            || self
                .ipv4
                .is_some_and(|ip| ip.src == address && ip.dst == address)
    }
}

impl Ipv4 {
    /// Whether the first four bytes behind the IP header are two ports.
    pub fn has_ports(&self) -> bool {
        matches!(self.protocol, 6 | 17 | 33 | 132 | 136)
    }

    /// Name of the protocol, if it is among the few that have one here.
    pub fn protocol_name(&self) -> Option<&'static str> {
        Ipv4::name_of(self.protocol)
    }

    /// As [`Ipv4::protocol_name`], of a number.
    pub fn name_of(protocol: u8) -> Option<&'static str> {
        Some(match protocol {
            1 => "icmp",
            2 => "igmp",
            6 => "tcp",
            17 => "udp",
            33 => "dccp",
            132 => "sctp",
            136 => "udplite",
            _ => return None,
        })
    }
}
