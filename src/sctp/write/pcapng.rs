//! Events as pcapng that Wireshark shows.
//!
//! A packet whose addresses are known becomes an IP packet with SCTP's common
//! header: all that the probe tells of it. Its length is that of the packet on
//! the wire, so what is missing counts as not captured.
//!
//! Every other event becomes a row of exported text (link type
//! WIRESHARK_UPPER_PDU). Wireshark 4.0 was asked: a custom block shows as
//! "Custom Block" and a number, without addresses or text; an exported PDU
//! fills the columns of addresses and ports from its tags, and of the
//! dissectors for text `syslog` is the one that puts the text itself into the
//! column Info, where it can be filtered on (`syslog.msg contains "cwnd"`).
//! No address is made up: what is not known has no tag.

use super::{Form, words};
use crate::bblog::checksum::sum;
use crate::bblog::private;
use crate::output::pcapng::block::{self, ENHANCED_PACKET, INTERFACE, OPT_COMMENT, SECTION_HEADER};
use crate::sctp::association::Membership;
use crate::sctp::event::{Ends, Event};
use crate::sctp::field::{Address, Field};
use crate::sctp::found::Lost;
use std::io::Write;
use std::net::IpAddr;

/// Packets that begin with an IP header.
const LINKTYPE_RAW: u16 = 101;
/// What exported PDUs are written with.
const LINKTYPE_WIRESHARK_UPPER_PDU: u16 = 252;

/// Interfaces of a section.
const PACKETS: u32 = 0;
const ROWS: u32 = 1;

/// Tags of exported PDUs.
const DISSECTOR: u16 = 12;
const IPV4_SRC: u16 = 20;
const IPV4_DST: u16 = 21;
const IPV6_SRC: u16 = 22;
const IPV6_DST: u16 = 23;
const PORT_TYPE: u16 = 24;
const SRC_PORT: u16 = 25;
const DST_PORT: u16 = 26;
const END_OF_TAGS: u16 = 0;
/// Port type SCTP.
const PORTS_ARE_SCTP: u32 = 1;

const IF_TSRESOL: u16 = 9;

/// Bytes of SCTP's common header.
const COMMON_HEADER: usize = 12;
const PROTOCOL_SCTP: u8 = 132;
const MAX_PACKET: u32 = 262_144;

/// Writes a section for each input.
pub struct Pcapng {
    comments: bool,
    body: Vec<u8>,
    text: Vec<u8>,
    data: Vec<u8>,
}

impl Pcapng {
    pub fn new(comments: bool) -> Pcapng {
        Pcapng {
            comments,
            body: Vec::new(),
            text: Vec::new(),
            data: Vec::new(),
        }
    }

    fn interface(&mut self, link: u16, name: &str, out: &mut Vec<u8>) {
        let body = &mut self.body;
        body.clear();
        body.extend_from_slice(&link.to_le_bytes());
        body.extend_from_slice(&[0; 2]);
        body.extend_from_slice(&MAX_PACKET.to_le_bytes());
        private::put_standard(body, block::IF_NAME, name.as_bytes());
        // Nanoseconds.
        private::put_standard(body, IF_TSRESOL, &[9]);
        block::end_options(body);
        block::put(out, INTERFACE, body);
    }

    /// Appends `self.data` as a packet of `length` bytes; `self.text` is the
    /// comment.
    fn packet(&mut self, interface: u32, event: Option<&Event>, length: u32, out: &mut Vec<u8>) {
        let ns = event.and_then(|e| e.time_ns.or_else(|| e.instant_ns()));
        let ns = ns.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0);
        let body = &mut self.body;
        body.clear();
        body.extend_from_slice(&interface.to_le_bytes());
        body.extend_from_slice(&((ns >> 32) as u32).to_le_bytes());
        body.extend_from_slice(&(ns as u32).to_le_bytes());
        body.extend_from_slice(&(self.data.len() as u32).to_le_bytes());
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(&self.data);
        body.resize(body.len().next_multiple_of(4), 0);
        if let Some(inbound) = event.and_then(Event::inbound) {
            body.extend_from_slice(&block::direction(inbound));
        }
        if self.comments && !self.text.is_empty() {
            private::put_standard(body, OPT_COMMENT, &self.text);
        }
        block::end_options(body);
        block::put(out, ENHANCED_PACKET, body);
    }

    /// A row of text, with the ends as far as they are known.
    fn row(&mut self, event: Option<&Event>, ends: &Ends, out: &mut Vec<u8>) {
        let data = &mut self.data;
        data.clear();
        tag(data, DISSECTOR, b"syslog");
        let (source, destination) = (
            (ends.local, ends.local_port),
            (ends.remote, ends.remote_port),
        );
        let is_in = event.and_then(Event::inbound) == Some(true);
        let (source, destination) = match is_in {
            true => (destination, source),
            false => (source, destination),
        };
        for (addr, v4, v6) in [
            (source.0, IPV4_SRC, IPV6_SRC),
            (destination.0, IPV4_DST, IPV6_DST),
        ] {
            match addr {
                Some(IpAddr::V4(addr)) => tag(data, v4, &addr.octets()),
                Some(IpAddr::V6(addr)) => tag(data, v6, &addr.octets()),
                None => {}
            }
        }
        if source.1.is_some() || destination.1.is_some() {
            tag(data, PORT_TYPE, &PORTS_ARE_SCTP.to_be_bytes());
        }
        for (port, code) in [(source.1, SRC_PORT), (destination.1, DST_PORT)] {
            if let Some(port) = port {
                tag(data, code, &u32::from(port).to_be_bytes());
            }
        }
        tag(data, END_OF_TAGS, b"");
        data.extend_from_slice(&self.text);
        let length = data.len() as u32;
        self.packet(ROWS, event, length, out);
    }

    /// The comment of a packet.
    fn remark(&mut self, event: &Event, member: &Membership) {
        self.text.clear();
        words::says(&mut self.text, event, member);
        if let Some(number) = member.association {
            let _ = write!(self.text, "; association {number}");
        }
        let v = &event.values;
        if v.get(Field::IpPlength).is_none() {
            self.text
                .extend_from_slice(b"; its length, tag and checksum were not printed");
        } else if v.get(Field::Verify).is_none() {
            self.text.extend_from_slice(b"; its tag was not printed");
        }
        if event.instant_ns().is_none() {
            self.text.extend_from_slice(b"; no time was printed");
        }
    }
}

/// Appends a tag of an exported PDU.
fn tag(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let len = value.len().next_multiple_of(4);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(&(len as u16).to_be_bytes());
    out.extend_from_slice(value);
    out.resize(out.len() + len - value.len(), 0);
}

/// Puts IP and common header of a packet into `out`; gives its length on the
/// wire. `None` where an address is not known.
fn headers(out: &mut Vec<u8>, event: &Event) -> Option<u32> {
    let v = &event.values;
    let (source, destination) = (
        event.addresses.get(Address::IpSaddr)?,
        event.addresses.get(Address::IpDaddr)?,
    );
    let payload = v.get(Field::IpPlength).unwrap_or(COMMON_HEADER as u64);
    let payload = u32::try_from(payload).ok()?.max(COMMON_HEADER as u32);
    out.clear();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total = payload.checked_add(20)?;
            let mut ip = [0; 20];
            ip[0] = 0x45;
            // Longer ones carry 0; Wireshark then takes the frame's length.
            ip[2..4].copy_from_slice(&u16::try_from(total).unwrap_or(0).to_be_bytes());
            ip[8] = 64;
            ip[9] = PROTOCOL_SCTP;
            ip[12..16].copy_from_slice(&source.octets());
            ip[16..20].copy_from_slice(&destination.octets());
            let checksum = !sum(&ip, 0);
            ip[10..12].copy_from_slice(&checksum.to_be_bytes());
            out.extend_from_slice(&ip);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut ip = [0; 40];
            ip[0] = 0x60;
            ip[4..6].copy_from_slice(&u16::try_from(payload).unwrap_or(0).to_be_bytes());
            ip[6] = PROTOCOL_SCTP;
            ip[7] = 64;
            ip[8..24].copy_from_slice(&source.octets());
            ip[24..40].copy_from_slice(&destination.octets());
            out.extend_from_slice(&ip);
        }
        _ => return None,
    }
    let length = payload.checked_add(out.len() as u32)?;
    out.extend_from_slice(&v.u16(Field::Sport)?.to_be_bytes());
    out.extend_from_slice(&v.u16(Field::Dport)?.to_be_bytes());
    for field in [Field::Verify, Field::Checksum] {
        out.extend_from_slice(&v.u32(field).unwrap_or(0).to_be_bytes());
    }
    Some(length)
}

impl Form for Pcapng {
    fn source(&mut self, name: &str, out: &mut Vec<u8>) {
        let body = &mut self.body;
        body.clear();
        body.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        body.extend_from_slice(&[1, 0, 0, 0]);
        body.extend_from_slice(&(-1i64).to_le_bytes());
        if self.comments {
            self.text.clear();
            self.text
                .extend_from_slice(b"Probes of DTrace's SCTP provider, from ");
            words::untrusted(&mut self.text, name.as_bytes());
            // An option has 16 bits of length.
            self.text.truncate(8192);
            private::put_standard(body, OPT_COMMENT, &self.text);
        }
        private::put_standard(body, block::SHB_USERAPPL, block::APPLICATION.as_bytes());
        block::end_options(body);
        block::put(out, SECTION_HEADER, body);
        self.interface(LINKTYPE_RAW, "packets", out);
        self.interface(LINKTYPE_WIRESHARK_UPPER_PDU, "probes", out);
    }

    fn event(&mut self, event: &Event, member: &Membership, out: &mut Vec<u8>) {
        if event.inbound().is_some()
            && let Some(length) = headers(&mut self.data, event)
        {
            self.remark(event, member);
            self.packet(PACKETS, Some(event), length, out);
            return;
        }
        self.text.clear();
        self.text.extend_from_slice(event.name().as_bytes());
        self.text.extend_from_slice(b": ");
        words::says(&mut self.text, event, member);
        match (member.association, member.path) {
            (Some(a), Some(p)) => {
                let _ = write!(self.text, " [association {a}, path {p}]");
            }
            (Some(a), None) => {
                let _ = write!(self.text, " [association {a}]");
            }
            (None, _) => {}
        }
        self.row(Some(event), &member.ends, out);
    }

    fn lost(&mut self, lost: &Lost, out: &mut Vec<u8>) {
        self.text.clear();
        words::untrusted(&mut self.text, lost.what.as_bytes());
        self.row(None, &Ends::default(), out);
    }
}
