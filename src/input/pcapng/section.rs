//! One section of a pcapng file: a message, or the part of one that a single
//! stack wrote, whose records are put together again.

use super::regroup::{Head, NO_MESSAGE, NOTHING, Regroup};
use super::{CANONICAL_START, Role};
use crate::bblog::canonical::{HEADER_LEN, INFO_LEN, RECORD_LEN, VERBOSE_LEN};
use crate::bblog::private::{self, Extra, Private};
use crate::bblog::{Header, Known, TcpHeader};
use crate::format::{Formats, HDR, Order, VERBOSE};
use crate::input::batch::{Batch, Piece};
use crate::input::damage::report;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

/// Where `tlb_iss` lies in the canonical layout.
const ISS_AT: usize = 64;

#[derive(Debug)]
pub(super) struct Section {
    pub order: Order,
    pub header: Vec<u8>,
    pub known: Known,
    pub stack_name: Option<Arc<str>>,
    /// Link type of each interface.
    pub links: Vec<u16>,
    pub offset: u64,
    /// Some piece of it was handed out, or it goes on from the one before.
    pub begun: bool,
    pub ours: bool,
    /// Holds the records of many messages.
    pub merged: bool,
    /// `tlb_iss` of the last record that had one.
    pub iss: u32,
    /// That TCP headers are missing has been said.
    pub said_no_tcp: bool,
    /// A merged file: headers of its messages, by number.
    pub messages: BTreeMap<u32, Head>,
    /// A merged file whose records are to be put together by message.
    pub regroup: Option<Regroup>,
    /// Message (in a merged file) of the piece under way.
    pub run: Option<Option<u32>>,
    pub boot_us: i64,
}

/// What the options of one record hold.
#[derive(Default)]
pub(super) struct Found<'a> {
    pub info: Option<&'a [u8]>,
    pub verbose: Option<&'a [u8]>,
    pub checksum: Option<u16>,
    /// Number of the message, and position in it.
    pub place: Option<(u32, u32)>,
}

impl<'a> Found<'a> {
    pub fn in_options(options: impl Iterator<Item = Private<'a>>) -> Found<'a> {
        let mut found = Found::default();
        for option in options {
            match option {
                Private::TcpInfo(info) => found.info = Some(info),
                Private::Verbose(part) => found.verbose = Some(part),
                Private::Extra(Extra::Checksum(sum)) => found.checksum = Some(sum),
                Private::Extra(Extra::Record(number, at)) => found.place = Some((number, at)),
                _ => {}
            }
        }
        found
    }
}

impl Section {
    /// False if the record began with another sequence number than those
    /// before it, so that it is probably not of the same connection.
    pub fn is_same_start(&self, info: &[u8]) -> bool {
        let iss = Order::Little.read(info, ISS_AT, 4).unwrap_or(0) as u32;
        self.iss == 0 || iss == 0 || iss == self.iss
    }

    pub fn record(
        &mut self,
        batch: &mut Batch,
        info: &[u8],
        tcp: Option<TcpHeader<'_>>,
        found: &Found<'_>,
        offset: u64,
    ) -> Result<Role, String> {
        // Some bytes more are what a kernel with a longer record would give.
        let info = info
            .get(..INFO_LEN)
            .ok_or_else(|| format!("record of {} bytes instead of {INFO_LEN}", info.len()))?;
        let start = batch.data.len();
        batch.data.extend_from_slice(info);
        let iss = Order::Little.read(info, ISS_AT, 4).unwrap_or(0) as u32;
        if iss != 0 {
            self.iss = iss;
        }
        let flags = u16::from_le_bytes([info[26], info[27]]);
        if flags & HDR != 0 && tcp.is_none() {
            // None is made up: the record comes out without one.
            let cleared = (flags & !HDR).to_le_bytes();
            batch.data[start + 26..start + 28].copy_from_slice(&cleared);
            if !self.said_no_tcp {
                self.said_no_tcp = true;
                let what = "this record, and perhaps others of this section, should have a TCP \
                            header, but none can be read";
                report(batch, offset, 0, what.to_owned());
            }
        }
        if let Some(tcp) = tcp.filter(|_| flags & HDR != 0) {
            let at = batch.data.len();
            batch.data.extend_from_slice(tcp.bytes());
            // Packets carry a checksum that is right for the packet. Ours say
            // beside it which one the record had; none means zero.
            let recorded = match found.checksum {
                Some(sum) => Some(sum),
                None => self.ours.then_some(0),
            };
            if let Some(sum) = recorded {
                batch.data[at + 16..at + 18].copy_from_slice(&sum.to_be_bytes());
            }
        }
        batch.data.resize(start + RECORD_LEN, 0);
        if flags & VERBOSE != 0 {
            // tcplog_dumper throws the verbose part away but leaves the flag.
            let part = found.verbose.unwrap_or(&[]);
            let part = part.get(..VERBOSE_LEN).unwrap_or(part);
            batch.data.extend_from_slice(part);
            batch.data.resize(start + RECORD_LEN + VERBOSE_LEN, 0);
        }
        let end = batch.data.len();
        if let Some((number, _)) = found.place {
            self.unshift(batch, start, number);
        }
        if let Some(regroup) = &mut self.regroup {
            regroup.push(found.place, batch.data.get(start..end).unwrap_or(&[]));
            batch.data.truncate(start);
            // Which piece it will be in is not known yet.
            return Ok(Role::Other);
        }
        let piece = self.hand_out(batch, start..end, found.place.map(|(number, _)| number));
        let at = start - batch.pieces.get(piece).map_or(start, |p| p.records.start);
        Ok(Role::Record { piece, at })
    }

    /// In a merged section all uptimes count from one boot time; gives this
    /// record its own again.
    fn unshift(&self, batch: &mut Batch, start: usize, number: u32) {
        let Some(head) = self.messages.get(&number) else {
            return;
        };
        let shift = head.boot_us.wrapping_sub(self.boot_us);
        if shift == 0 {
            return;
        }
        if let Some(tv) = batch.data.get_mut(start..start + 16) {
            private::shift_time(tv, shift.wrapping_neg());
        }
    }

    /// Takes the header of a message of a merged file; the first one counts.
    pub fn put_message(&mut self, number: u32, known: Known, mut header: Vec<u8>) {
        if number == NO_MESSAGE {
            return;
        }
        if let Some(start) = header.get_mut(..CANONICAL_START.len()) {
            start.copy_from_slice(&CANONICAL_START);
        }
        let boot_us = boot_us(&header);
        self.messages.entry(number).or_insert(Head {
            header,
            known,
            boot_us,
        });
    }

    /// Appends records to the piece under way, or begins one.
    pub fn hand_out(
        &mut self,
        batch: &mut Batch,
        records: Range<usize>,
        message: Option<u32>,
    ) -> usize {
        if let Some(piece) = batch.pieces.last_mut()
            && self.run == Some(message)
            && piece.records.end == records.start
        {
            piece.records.end = records.end;
            return batch.pieces.len() - 1;
        }
        let start = batch.headers.len();
        let known = match message.map(|number| self.messages.get(&number)) {
            None => {
                batch.headers.extend_from_slice(&self.header);
                self.known
            }
            Some(Some(head)) => {
                batch.headers.extend_from_slice(&head.header);
                head.known
            }
            Some(None) => {
                batch.headers.extend_from_slice(&unknown_header());
                NOTHING
            }
        };
        self.run = Some(message);
        batch.pieces.push(Piece {
            dialect: Arc::clone(Formats::canonical()),
            header_apart: true,
            header: start..batch.headers.len(),
            records,
            known,
            first: !self.begun || message.is_some(),
            last: false,
            offset: self.offset,
            stack_name: self.stack_name.clone(),
        });
        self.begun = true;
        batch.pieces.len() - 1
    }
}

pub(super) fn boot_us(header: &[u8]) -> i64 {
    crate::bblog::Header::new(header, Formats::canonical()).map_or(0, |h| h.boot_us())
}

/// A header that knows nothing, for a section without one.
pub(super) fn unknown_header() -> Vec<u8> {
    let mut header = vec![0; HEADER_LEN];
    header[..8].copy_from_slice(&CANONICAL_START);
    header[200] = 2;
    for at in [72, 136, 168] {
        header[at..at + 7].copy_from_slice(b"UNKNOWN");
    }
    header
}

/// The IP header in a packet of this link type. Where the interface is lost,
/// the packet is taken for what all black box files hold.
fn ip_of(packet: &[u8], link: Option<u16>) -> Option<&[u8]> {
    Some(match link {
        Some(12 | 14 | 101) => packet,
        Some(1) => packet.get(14..)?,
        _ => match packet.get(..4)? {
            [2 | 24 | 28 | 30, 0, 0, 0] | [0, 0, 0, 2 | 24 | 28 | 30] => packet.get(4..)?,
            _ => return None,
        },
    })
}

/// False if the packet is between other addresses than the header says.
pub(super) fn is_between(packet: &[u8], link: Option<u16>, header: &[u8]) -> bool {
    let ends = |ip: &[u8]| -> Option<bool> {
        let header = Header::new(header, Formats::canonical())?.endpoints();
        let (src, dst): (IpAddr, IpAddr) = match ip.first()? >> 4 {
            4 => {
                let (src, dst) = (ip.get(12..16)?, ip.get(16..20)?);
                let v4 = |b: &[u8]| <[u8; 4]>::try_from(b).ok().map(IpAddr::from);
                (v4(src)?, v4(dst)?)
            }
            _ => {
                let (src, dst) = (ip.get(8..24)?, ip.get(24..40)?);
                let v6 = |b: &[u8]| <[u8; 16]>::try_from(b).ok().map(IpAddr::from);
                (v6(src)?, v6(dst)?)
            }
        };
        let (local, foreign) = (header.local.ip(), header.foreign.ip());
        Some((src, dst) == (local, foreign) || (src, dst) == (foreign, local))
    };
    ip_of(packet, link).and_then(ends).unwrap_or(true)
}

/// The TCP header in a packet of this link type.
pub(super) fn tcp_of(packet: &[u8], link: Option<u16>) -> Option<TcpHeader<'_>> {
    let ip = ip_of(packet, link)?;
    let header_len = match ip.first()? >> 4 {
        4 => usize::from(ip.first()? & 0xf) * 4,
        // Segments longer than IP can say have a hop-by-hop header.
        6 if *ip.get(6)? == 0 => 40 + 8 * (1 + usize::from(*ip.get(41)?)),
        6 => 40,
        _ => return None,
    };
    TcpHeader::new(ip.get(header_len..)?)
}
