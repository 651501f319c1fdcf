//! A second reader and a writer of captures, which know nothing of the
//! library's.

use crate::support::stored;

/// One packet as it lies in the file.
#[derive(Clone, Debug)]
pub struct Packet {
    pub us: u64,
    /// Bytes on the wire.
    pub length: u32,
    pub data: Vec<u8>,
}

/// What a TCP packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    pub from: u16,
    pub to: u16,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub len: u32,
}

/// The packets of a genuine capture; all are Ethernet with microseconds.
pub fn genuine(run: &str) -> Vec<Packet> {
    let bytes = stored(&format!("captures/{run}.pcap.zst"));
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!((word(0), word(20)), (0xa1b2_c3d4, 1));
    let mut packets = Vec::new();
    let mut at = 24;
    while at < bytes.len() {
        let captured = word(at + 8) as usize;
        packets.push(Packet {
            us: u64::from(word(at)) * 1_000_000 + u64::from(word(at + 4)),
            length: word(at + 12),
            data: bytes[at + 16..at + 16 + captured].to_vec(),
        });
        at += 16 + captured;
    }
    packets
}

impl Packet {
    fn ip_header(&self) -> usize {
        match self.data[14] >> 4 {
            4 => usize::from(self.data[14] & 15) * 4,
            _ => 40,
        }
    }

    /// `None` for other protocols.
    pub fn tcp(&self) -> Option<Tcp> {
        let at = 14 + self.ip_header();
        let be16 = |at: usize| u16::from_be_bytes([self.data[at], self.data[at + 1]]);
        let (is_tcp, total) = match be16(12) {
            0x0800 => (self.data[23] == 6, usize::from(be16(16)) + 14),
            0x86dd => (self.data[20] == 6, usize::from(be16(18)) + 54),
            _ => (false, 0),
        };
        if !is_tcp {
            return None;
        }
        let be32 = |at: usize| u32::from(be16(at)) << 16 | u32::from(be16(at + 2));
        let options_end = at + usize::from(self.data[at + 12] >> 4) * 4;
        Some(Tcp {
            from: be16(at),
            to: be16(at + 2),
            seq: be32(at + 4),
            ack: be32(at + 8),
            flags: self.data[at + 13],
            len: (total - options_end) as u32,
        })
    }

    /// The same headers for a part of the payload.
    pub fn part(&self, skip: u32, len: u32, last: bool) -> Packet {
        let mut part = self.clone();
        let tcp = self.tcp().unwrap();
        let at = 14 + self.ip_header();
        part.data[at + 4..at + 8].copy_from_slice(&tcp.seq.wrapping_add(skip).to_be_bytes());
        if !last {
            // PSH and FIN go with the last one.
            part.data[at + 13] &= !9;
        }
        let shorter = tcp.len - len;
        let field = if self.data[14] >> 4 == 4 { 16 } else { 18 };
        let total = u16::from_be_bytes([self.data[field], self.data[field + 1]]);
        let total = total - shorter as u16;
        part.data[field..field + 2].copy_from_slice(&total.to_be_bytes());
        part.length = self.length - shorter;
        part.data.truncate(part.length as usize);
        part
    }

    /// As captured with this snap length.
    pub fn cut(&self, snap: usize) -> Packet {
        let mut cut = self.clone();
        cut.data.truncate(snap);
        cut
    }

    /// With another header in front of IP.
    pub fn framed(&self, head: &[u8]) -> Packet {
        let data = [head, &self.data[14..]].concat();
        Packet {
            us: self.us,
            length: self.length - 14 + head.len() as u32,
            data,
        }
    }
}

/// A pcap file; `nano`: with nanoseconds.
pub fn pcap(packets: &[Packet], link: u32, nano: bool, big: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let word = |out: &mut Vec<u8>, n: u32| {
        out.extend(if big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        });
    };
    word(&mut out, if nano { 0xa1b2_3c4d } else { 0xa1b2_c3d4 });
    out.extend(if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] });
    for n in [0, 0, 65_535, link] {
        word(&mut out, n);
    }
    for packet in packets {
        let fraction = (packet.us % 1_000_000) as u32 * if nano { 1000 } else { 1 };
        word(&mut out, (packet.us / 1_000_000) as u32);
        word(&mut out, fraction);
        word(&mut out, packet.data.len() as u32);
        word(&mut out, packet.length);
        out.extend(&packet.data);
    }
    out
}

/// As [`pcap`], the way the genuine ones are.
pub fn plain(packets: &[Packet]) -> Vec<u8> {
    pcap(packets, 1, false, false)
}

/// A pcapng file of one section; `resolution` is if_tsresol, in whose unit
/// `ticks` gives the time of microseconds.
pub fn pcapng(
    packets: &[Packet],
    big: bool,
    resolution: u8,
    ticks: impl Fn(u64) -> u64,
) -> Vec<u8> {
    let word = |n: u32| {
        if big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    };
    let half = |n: u16| {
        if big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    };
    let mut out = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let padded = body.len().next_multiple_of(4);
        let len = word(padded as u32 + 12);
        out.extend(word(kind));
        out.extend(len);
        out.extend(body);
        out.resize(out.len() + padded - body.len(), 0);
        out.extend(len);
    };
    let section = [&word(0x1a2b_3c4d)[..], &half(1), &half(0), &[0xff; 8]].concat();
    block(0x0a0d_0d0a, &section);
    let option = [&half(9)[..], &half(1), &[resolution, 0, 0, 0], &[0; 4]].concat();
    block(1, &[&half(1)[..], &half(0), &word(0), &option].concat());
    // Something that is no packet, between others.
    block(0xbad, &[1, 2, 3, 4, 5, 6, 7, 8]);
    for packet in packets {
        let ticks = ticks(packet.us);
        let mut body = Vec::new();
        for n in [
            0,
            (ticks >> 32) as u32,
            ticks as u32,
            packet.data.len() as u32,
            packet.length,
        ] {
            body.extend(word(n));
        }
        body.extend(&packet.data);
        block(6, &body);
    }
    let dropped = [&half(5)[..], &half(8), &[0; 8], &[0; 4]].concat();
    let mut statistics = [&word(0)[..], &[0; 8], &dropped].concat();
    // The low byte of the number.
    statistics[if big { 23 } else { 16 }] = 7;
    block(5, &statistics);
    out
}
