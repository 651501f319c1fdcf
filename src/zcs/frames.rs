//! Packets as far as the log knows them, as pcapng.
//!
//! Of an IPv4 packet the log has the Ethernet header, protocol, addresses and
//! the first four bytes behind the IP header; of others the Ethernet header
//! alone. That is what is captured. Everything else of the IP header is made
//! up so that Wireshark takes it without complaint, and the comment of each
//! packet says so:
//!
//! * header length 20, for otherwise the ports would not be where the program
//!   read them; no fragment, no options, checksum right for these bytes;
//! * the packet's length is the least that an Ethernet frame has, 60 bytes
//!   without the frame check sequence (an 802.3 frame says its own); the
//!   allocation size says nothing about it;
//! * time to live 127, or what packets to the local network control block must
//!   have;
//! * the time is 0.
//!
//! Which of the ends is the host that logged is not known, so there is no
//! direction. Freed chunks are no packets.

use super::entry::ETHERTYPE_IP;
use super::show;
use super::{Decided, Found, Row, Sink};
use crate::bblog::checksum::sum;
use crate::bblog::private;
use crate::output::escape::Escaped;
use crate::output::pcapng::block;
use std::io::{self, Write};
use std::net::Ipv4Addr;

/// Bytes that are gathered before they are written.
const CHUNK: usize = 256 * 1024;

const ETHERNET: usize = 14;
const IP: usize = 20;
/// Ethernet, IP, and the two ports.
const SNAPLEN: usize = ETHERNET + IP + 4;

/// An Ethernet frame has no fewer bytes, without its frame check sequence.
const LEAST_FRAME: u32 = 60;
/// In an 802.3 frame the type is a length, and no more than this.
const MOST_802_3: u16 = 1500;

const LINKTYPE_ETHERNET: u16 = 1;
const IF_DESCRIPTION: u16 = 3;

/// Writes pcapng: a section for each log, a packet for each entry that holds
/// one.
pub struct FrameSink<W> {
    comments: bool,
    out: W,
    buffer: Vec<u8>,
    body: Vec<u8>,
    comment: Vec<u8>,
}

impl<W: Write> FrameSink<W> {
    pub fn new(comments: bool, out: W) -> FrameSink<W> {
        FrameSink {
            comments,
            out,
            buffer: Vec::with_capacity(CHUNK + 4096),
            body: Vec::with_capacity(1024),
            comment: Vec::with_capacity(512),
        }
    }

    pub fn into_inner(self) -> W {
        self.out
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl<W: Write> Sink for FrameSink<W> {
    fn begin(&mut self, name: &str, decided: Decided) -> io::Result<()> {
        let body = &mut self.body;
        body.clear();
        body.extend_from_slice(&0x1a2b_3c4du32.to_le_bytes());
        body.extend_from_slice(&[1, 0, 0, 0]);
        body.extend_from_slice(&(-1i64).to_le_bytes());
        if self.comments {
            let what = format!(
                "zero-copy sniffer log {}; packets are reconstructed, their times and lengths \
                 unknown; {}",
                Escaped(name.as_bytes()),
                show::said(decided)
            );
            private::put_standard(body, block::OPT_COMMENT, short(what.as_bytes()));
        }
        private::put_standard(body, block::SHB_USERAPPL, block::APPLICATION.as_bytes());
        block::end_options(body);
        block::put(&mut self.buffer, block::SECTION_HEADER, body);

        body.clear();
        body.extend_from_slice(&LINKTYPE_ETHERNET.to_le_bytes());
        body.extend_from_slice(&[0; 2]);
        body.extend_from_slice(&(SNAPLEN as u32).to_le_bytes());
        private::put_standard(body, block::IF_NAME, b"zcs");
        private::put_standard(
            body,
            IF_DESCRIPTION,
            b"zero-copy sniffer: reconstructed headers, times unknown (all 0)",
        );
        block::end_options(body);
        block::put(&mut self.buffer, block::INTERFACE, body);
        Ok(())
    }

    fn entry(&mut self, row: &Row<'_>) -> io::Result<()> {
        let entry = row.entry;
        if entry.is_freed() {
            return Ok(());
        }
        let mut frame = [0; SNAPLEN];
        let captured = put_frame(&mut frame, row);
        let frame = frame.get(..captured).unwrap_or_default();
        let body = &mut self.body;
        body.clear();
        // Interface 0, time 0.
        body.extend_from_slice(&[0; 12]);
        body.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        body.extend_from_slice(&least_length(entry.ethertype).to_le_bytes());
        body.extend_from_slice(frame);
        body.resize(body.len().next_multiple_of(4), 0);
        if self.comments {
            self.comment.clear();
            comment(&mut self.comment, row);
            private::put_standard(body, block::OPT_COMMENT, short(&self.comment));
            block::end_options(body);
        }
        block::put(&mut self.buffer, block::ENHANCED_PACKET, body);
        if self.buffer.len() >= CHUNK {
            self.write_out()?;
        }
        Ok(())
    }

    fn end(&mut self, _: &Found) -> io::Result<()> {
        self.write_out()?;
        self.out.flush()
    }
}

/// An option has at most 65,535 bytes; only a name could make it longer.
fn short(text: &[u8]) -> &[u8] {
    text.get(..usize::from(u16::MAX)).unwrap_or(text)
}

/// The least length that a frame of this type can have.
fn least_length(ethertype: u16) -> u32 {
    match ethertype {
        ..=MOST_802_3 => LEAST_FRAME.max(ETHERNET as u32 + u32::from(ethertype)),
        _ => LEAST_FRAME,
    }
}

/// Writes what is known of the packet; gives its length.
fn put_frame(frame: &mut [u8; SNAPLEN], row: &Row<'_>) -> usize {
    let entry = row.entry;
    frame[..6].copy_from_slice(&entry.dst_mac);
    frame[6..12].copy_from_slice(&entry.src_mac);
    frame[12..14].copy_from_slice(&entry.ethertype.to_be_bytes());
    let (Some(ip), Some(first_bytes)) = (entry.ipv4, row.first_bytes()) else {
        return ETHERNET;
    };
    let length = least_length(ETHERTYPE_IP) as u16 - ETHERNET as u16;
    let header = &mut frame[ETHERNET..ETHERNET + IP];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&length.to_be_bytes());
    header[8] = time_to_live(ip.dst);
    header[9] = ip.protocol;
    header[12..16].copy_from_slice(&ip.src.octets());
    header[16..20].copy_from_slice(&ip.dst.octets());
    let checksum = !sum(header, 0);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    frame[ETHERNET + IP..].copy_from_slice(&first_bytes);
    SNAPLEN
}

/// What no reader finds strange: packets to 224.0.0.0/24 do not leave the link
/// (RFC 5771), those of VRRP and multicast DNS prove it by 255.
fn time_to_live(dst: Ipv4Addr) -> u8 {
    match dst.octets() {
        [224, 0, 0, 18 | 251] => 255,
        [224, 0, 0, _] => 1,
        _ => 127,
    }
}

fn comment(out: &mut Vec<u8>, row: &Row<'_>) {
    let entry = row.entry;
    show::what(out, row);
    out.extend_from_slice(match (entry.ipv4, row.ends()) {
        (Some(_), Some(((_, Some(_)), _))) => {
            b"; reconstructed: known are the Ethernet header, the addresses, the protocol and the \
              ports, the rest of the IP header is made up"
                .as_slice()
        }
        (Some(_), _) => {
            b"; reconstructed: known are the Ethernet header, the addresses, the protocol and the \
              first four bytes behind the IP header, whose rest is made up"
        }
        (None, _) => b"; reconstructed: only the Ethernet header is known",
    });
    // Writing to a vector does not fail.
    let _ = write!(
        out,
        "; time unknown; length unknown, at least {}; line {}, dump {}.{}, cpu {}, ",
        least_length(entry.ethertype),
        entry.line,
        entry.index,
        entry.batch_size,
        entry.cpu
    );
    show::place(out, row);
}
