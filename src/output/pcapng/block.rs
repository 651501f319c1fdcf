//! pcapng blocks: bodies are built in a reused buffer, framed by pcap-file.

use crate::bblog::private::PEN;
use byteorder::LittleEndian;
use pcap_file::pcapng::RawBlock;
use std::borrow::Cow;

pub const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub const INTERFACE: u32 = 1;
pub const ENHANCED_PACKET: u32 = 6;
pub const CUSTOM: u32 = 0xbad;

/// Private block type of an event.
pub const EVENT: u32 = 1;
/// Private block type of missing serial numbers.
pub const SKIPPED: u32 = 2;

/// Most bytes of a packet that tcplog_dumper keeps: family, IPv6 header,
/// largest TCP header.
pub const COMPAT_SNAPLEN: u32 = 104;
/// Most bytes of a packet that we keep: an IPv6 extension header more.
pub const SNAPLEN: u32 = 112;
/// Link type NULL: a 32-bit address family before the IP header.
pub const LINKTYPE_NULL: u16 = 0;

/// What sections say wrote them.
pub const APPLICATION: &str = concat!("tcplog ", env!("CARGO_PKG_VERSION"));

/// Standard option codes.
pub const OPT_COMMENT: u16 = 1;
pub const SHB_USERAPPL: u16 = 4;
pub const IF_NAME: u16 = 2;
const EPB_FLAGS: u8 = 2;

/// Appends the block of `kind` with `body`, whose length is a multiple of 4.
pub fn put(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let len = body.len() as u32 + 12;
    let block = RawBlock {
        type_: kind,
        initial_len: len,
        body: Cow::Borrowed(body),
        trailer_len: len,
    };
    // Fails only for a body that is not whole words, and none here is.
    let written = block.write_to::<LittleEndian, _>(out);
    debug_assert!(written.is_ok(), "{written:?}");
}

/// The option that says whether a packet came in or went out.
#[inline]
pub fn direction(inbound: bool) -> [u8; 8] {
    [EPB_FLAGS, 0, 4, 0, if inbound { 1 } else { 2 }, 0, 0, 0]
}

/// The end-of-options option.
pub fn end_options(body: &mut Vec<u8>) {
    body.extend_from_slice(&[0; 4]);
}

/// Appends the block that says how many serial numbers are missing.
pub fn put_skipped(out: &mut Vec<u8>, count: u32) {
    let mut body = [0; 16];
    body[..4].copy_from_slice(&PEN.to_le_bytes());
    body[4..8].copy_from_slice(&SKIPPED.to_le_bytes());
    body[8..12].copy_from_slice(&count.to_le_bytes());
    put(out, CUSTOM, &body);
}
