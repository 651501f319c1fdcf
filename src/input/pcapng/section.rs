//! One section of a pcapng file: a message, or the part of one that a single
//! stack wrote, whose records are put together again.

use super::{CANONICAL_START, Role};
use crate::bblog::canonical::{HEADER_LEN, INFO_LEN, RECORD_LEN, VERBOSE_LEN};
use crate::bblog::private::{self, Extra, Private};
use crate::bblog::{Known, TcpHeader};
use crate::format::{Formats, HDR, Order, VERBOSE};
use crate::input::batch::{Batch, Piece};
use crate::input::damage::Damage;
use std::ops::Range;
use std::sync::Arc;

#[derive(Clone, Debug)]
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
    /// A merged file: headers of its messages, by number.
    pub messages: Vec<(u32, Vec<u8>)>,
    pub boot_us: i64,
}

/// What the options of one record hold.
#[derive(Default)]
pub(super) struct Found<'a> {
    pub info: Option<&'a [u8]>,
    pub verbose: Option<&'a [u8]>,
    pub checksum: Option<u16>,
    pub message: Option<u32>,
}

impl<'a> Found<'a> {
    pub fn in_options(options: impl Iterator<Item = Private<'a>>) -> Found<'a> {
        let mut found = Found::default();
        for option in options {
            match option {
                Private::TcpInfo(info) => found.info = Some(info),
                Private::Verbose(part) => found.verbose = Some(part),
                Private::Extra(Extra::Checksum(sum)) => found.checksum = Some(sum),
                Private::Extra(Extra::Record(number)) => found.message = Some(number),
                _ => {}
            }
        }
        found
    }
}

impl Section {
    pub fn record(
        &mut self,
        batch: &mut Batch,
        info: &[u8],
        tcp: Option<TcpHeader<'_>>,
        found: &Found<'_>,
        offset: u64,
    ) -> Result<Role, String> {
        let info: &[u8; INFO_LEN] = info
            .try_into()
            .map_err(|_| format!("record of {} bytes instead of {INFO_LEN}", info.len()))?;
        let start = batch.data.len();
        batch.data.extend_from_slice(info);
        let flags = u16::from_le_bytes([info[26], info[27]]);
        if flags & HDR != 0 && tcp.is_none() {
            batch.damage.push(Damage {
                offset,
                lost: 0,
                what: "this record should have a TCP header, but none can be read; zeros stand \
                       for it"
                    .to_owned(),
            });
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
        if let Some(number) = found.message {
            self.unshift(batch, start, number);
        }
        let piece = self.hand_out(batch, start..end, found.message);
        let at = start - batch.pieces.get(piece).map_or(start, |p| p.records.start);
        Ok(Role::Record { piece, at })
    }

    /// In a merged section all uptimes count from one boot time; gives this
    /// record its own again.
    fn unshift(&self, batch: &mut Batch, start: usize, number: u32) {
        let Some(header) = self.message(number) else {
            return;
        };
        let shift = boot_us(header).wrapping_sub(self.boot_us);
        if shift == 0 {
            return;
        }
        if let Some(tv) = batch.data.get_mut(start..start + 16) {
            private::shift_time(tv, shift.wrapping_neg());
        }
    }

    fn message(&self, number: u32) -> Option<&[u8]> {
        let found = self.messages.iter().find(|(n, _)| *n == number)?;
        Some(&found.1)
    }

    /// Appends records to the piece under way, or begins one.
    pub fn hand_out(
        &mut self,
        batch: &mut Batch,
        records: Range<usize>,
        message: Option<u32>,
    ) -> usize {
        let header = message
            .and_then(|number| self.message(number))
            .unwrap_or(&self.header);
        let offset = self.offset + message.map_or(0, |n| u64::from(n) + 1);
        if let Some(piece) = batch.pieces.last_mut()
            && piece.offset == offset
            && piece.records.end == records.start
        {
            piece.records.end = records.end;
            return batch.pieces.len() - 1;
        }
        let start = batch.headers.len();
        batch.headers.extend_from_slice(header);
        batch.pieces.push(Piece {
            dialect: Arc::clone(Formats::canonical()),
            header_apart: true,
            header: start..batch.headers.len(),
            records,
            known: if message.is_some() {
                Known::ALL
            } else {
                self.known
            },
            first: !self.begun || message.is_some(),
            last: false,
            offset,
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

/// The TCP header in a packet of this link type.
pub(super) fn tcp_of(packet: &[u8], link: Option<u16>) -> Option<TcpHeader<'_>> {
    let ip = match link? {
        0 | 108 => packet.get(4..)?,
        12 | 14 | 101 => packet,
        1 => packet.get(14..)?,
        _ => return None,
    };
    let header_len = match ip.first()? >> 4 {
        4 => usize::from(ip.first()? & 0xf) * 4,
        // Segments longer than IP can say have a hop-by-hop header.
        6 if *ip.get(6)? == 0 => 40 + 8 * (1 + usize::from(*ip.get(41)?)),
        6 => 40,
        _ => return None,
    };
    TcpHeader::new(ip.get(header_len..)?)
}
