//! The TCP header that a record carries, in network order.

/// A TCP header and its options.
#[derive(Clone, Copy, Debug)]
pub struct TcpHeader<'a> {
    /// 20 bytes of header, then the option bytes that belong to it.
    bytes: &'a [u8],
}

/// FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, AE: bits of [`TcpHeader::flags`].
pub const FIN: u16 = 0x001;
pub const SYN: u16 = 0x002;
pub const RST: u16 = 0x004;
pub const PSH: u16 = 0x008;
pub const ACK: u16 = 0x010;
pub const URG: u16 = 0x020;
pub const ECE: u16 = 0x040;
pub const CWR: u16 = 0x080;
pub const AE: u16 = 0x100;

impl<'a> TcpHeader<'a> {
    /// Takes the header and as many of the bytes behind it as the data offset
    /// says. `None` if fewer than 20 bytes are given.
    pub fn new(bytes: &'a [u8]) -> Option<TcpHeader<'a>> {
        let offset = usize::from(bytes.get(12)? >> 4) * 4;
        let bytes = bytes.get(..20.max(offset.min(bytes.len())))?;
        Some(TcpHeader { bytes })
    }

    /// The header with its options: 20 to 60 bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The options; empty if the data offset is below 5.
    pub fn options(&self) -> &'a [u8] {
        self.bytes.get(20..).unwrap_or(&[])
    }

    pub fn src_port(&self) -> u16 {
        self.be16(0)
    }

    pub fn dst_port(&self) -> u16 {
        self.be16(2)
    }

    pub fn seq(&self) -> u32 {
        self.be32(4)
    }

    pub fn ack(&self) -> u32 {
        self.be32(8)
    }

    /// The nine flag bits, AE lowest of the upper byte.
    pub fn flags(&self) -> u16 {
        u16::from(self.byte(12) & 1) << 8 | u16::from(self.byte(13))
    }

    /// As on the wire, not scaled.
    pub fn window(&self) -> u16 {
        self.be16(14)
    }

    /// What the stack had put there; often 0, or partial on output.
    pub fn checksum(&self) -> u16 {
        self.be16(16)
    }

    pub fn urgent(&self) -> u16 {
        self.be16(18)
    }

    #[inline]
    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    #[inline]
    fn be16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.byte(at), self.byte(at + 1)])
    }

    #[inline]
    fn be32(&self, at: usize) -> u32 {
        u32::from(self.be16(at)) << 16 | u32::from(self.be16(at + 2))
    }
}

/// Names of the set flags as tcpdump writes them, longest first.
pub fn flag_letters(flags: u16, out: &mut Vec<u8>) {
    const LETTERS: [(u16, u8); 9] = [
        (SYN, b'S'),
        (FIN, b'F'),
        (RST, b'R'),
        (PSH, b'P'),
        (URG, b'U'),
        (CWR, b'W'),
        (ECE, b'E'),
        (AE, b'e'),
        (ACK, b'.'),
    ];
    for (bit, letter) in LETTERS {
        if flags & bit != 0 {
            out.push(letter);
        }
    }
}
