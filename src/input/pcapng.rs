//! pcapng back in: tcplog_dumper's files and our own.
//!
//! A section is one message, or the part of one that a single stack wrote.
//! Its records are put together again in the canonical layout: the TCPINFO
//! option holds the first 268 bytes, the packet holds the TCP header, and
//! private options of ours hold what tcplog_dumper's form has no place for.
//! The raw blocks stay at hand, so that a filter can copy them unchanged.

use super::batch::{Batch, Piece};
use super::damage::Damage;
use super::detect::PCAPNG_MAGIC;
use crate::bblog::canonical::{HEADER_LEN, INFO_LEN, RECORD_LEN, VERBOSE_LEN};
use crate::bblog::private::{self, Extra, Private};
use crate::bblog::{Known, TcpHeader};
use crate::format::{Formats, HDR, Order, VERBOSE};
use byteorder::{BigEndian, LittleEndian};
use pcap_file::pcapng::RawBlock;
use std::ops::Range;
use std::sync::Arc;

/// One block of the input, and what it became.
#[derive(Clone, Debug)]
pub struct Block {
    /// Where it lies in [`Batch::raw`].
    pub range: Range<usize>,
    pub role: Role,
}

/// What a block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Section,
    /// A record: piece of the batch, and offset of the record in that piece.
    Record {
        piece: usize,
        at: usize,
    },
    /// Serial numbers that are missing.
    Skipped,
    /// Anything else that belongs to the section.
    Other,
}

/// Version 9 and type 1, little endian: how a canonical header begins.
const CANONICAL_START: [u8; 8] = [9, 0, 0, 0, 1, 0, 0, 0];

const SHB: u32 = 0x0a0d_0d0a;
const IDB: u32 = 1;
const EPB: u32 = 6;
const CUSTOM: u32 = 0xbad;

/// Blocks larger than this are refused: none of ours comes near it.
const MAX_BLOCK: usize = 16 * 1024 * 1024;

/// Frames one pcapng file, window by window.
pub struct PcapngFramer<'f> {
    _formats: &'f Formats,
    section: Option<Section>,
    sections: u64,
    /// Packets that carry no record.
    foreign: u64,
}

#[derive(Clone, Debug)]
struct Section {
    order: Order,
    header: Vec<u8>,
    known: Known,
    stack_name: Option<Arc<str>>,
    /// Link type of each interface.
    links: Vec<u16>,
    offset: u64,
    /// Some piece of it was handed out, or it goes on from the one before.
    begun: bool,
    ours: bool,
    /// A merged file: headers of its messages, by number.
    messages: Vec<(u32, Vec<u8>)>,
    boot_us: i64,
}

enum Step<'a> {
    Block(RawBlock<'a>, usize),
    More,
    Damaged(String),
}

impl<'f> PcapngFramer<'f> {
    pub fn new(formats: &'f Formats) -> PcapngFramer<'f> {
        PcapngFramer {
            _formats: formats,
            section: None,
            sections: 0,
            foreign: 0,
        }
    }

    /// As [`super::stream::Framer::frame`], but `batch.data` is replaced by
    /// records in canonical layout.
    pub fn frame(&mut self, batch: &mut Batch, base: u64, eof: bool) -> usize {
        // The records take the place of the input, which stays beside them.
        std::mem::swap(&mut batch.data, &mut batch.raw);
        batch.data.clear();
        let buffer = std::mem::take(&mut batch.raw);
        let data = buffer.get(..batch.filled).unwrap_or(&[]);
        let mut at = 0;
        while at < data.len() {
            let offset = base + at as u64;
            match self.next_block(&data[at..], eof) {
                Step::More => break,
                Step::Block(block, len) => {
                    self.take_block(batch, &block, at..at + len, offset);
                    at += len;
                }
                Step::Damaged(what) => {
                    let skip = self.resync(&data[at..]);
                    if skip.is_none() && !eof && data.len() - at < MAX_BLOCK {
                        break;
                    }
                    let skip = skip.unwrap_or(data.len() - at);
                    batch.damage.push(Damage {
                        offset,
                        lost: skip as u64,
                        what,
                    });
                    at += skip;
                }
            }
        }
        if eof {
            self.close_section(batch);
            if self.foreign > 0 {
                batch.damage.push(Damage {
                    offset: base + at as u64,
                    lost: 0,
                    what: format!(
                        "{} packets without a black box record left out",
                        self.foreign
                    ),
                });
            }
        }
        batch.raw = buffer;
        at
    }

    fn order(&self) -> Order {
        self.section.as_ref().map_or(Order::Little, |s| s.order)
    }

    fn next_block<'a>(&self, here: &'a [u8], eof: bool) -> Step<'a> {
        let cut = |what: &str| {
            if eof {
                Step::Damaged(format!("the file ends inside {what}"))
            } else {
                Step::More
            }
        };
        if here.len() < 12 {
            return cut("a block");
        }
        let order = if here.starts_with(&PCAPNG_MAGIC) {
            match here[8..12] {
                [0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
                [0x1a, 0x2b, 0x3c, 0x4d] => Order::Big,
                _ => return Step::Damaged("section header without byte-order magic".to_owned()),
            }
        } else {
            self.order()
        };
        let len = order.read(here, 4, 4).unwrap_or(0) as usize;
        if len < 12 || !len.is_multiple_of(4) || len > MAX_BLOCK {
            return Step::Damaged(format!("block with an impossible length of {len}"));
        }
        if here.len() < len {
            // A length that lies must not swallow the blocks behind it.
            return cut("a block");
        }
        let parsed = match order {
            Order::Little => RawBlock::from_slice::<LittleEndian>(here),
            Order::Big => RawBlock::from_slice::<BigEndian>(here),
        };
        match parsed {
            Ok((_, block)) => Step::Block(block, len),
            Err(e) => Step::Damaged(format!("damaged block: {e}")),
        }
    }

    /// Bytes to the next place that holds a whole known block.
    fn resync(&self, here: &[u8]) -> Option<usize> {
        let order = self.order();
        (1..here.len().saturating_sub(11)).find(|at| {
            let there = &here[*at..];
            if there.starts_with(&PCAPNG_MAGIC) {
                return matches!(
                    there[8..12],
                    [0x4d, 0x3c, 0x2b, 0x1a] | [0x1a, 0x2b, 0x3c, 0x4d]
                );
            }
            let kind = order.read(there, 0, 4);
            let len = order.read(there, 4, 4).unwrap_or(0) as usize;
            matches!(kind, Some(1 | 6 | 0xbad))
                && (12..65_536).contains(&len)
                && len.is_multiple_of(4)
                && order.read(there, len - 4, 4) == Some(len as u64)
        })
    }

    fn take_block(
        &mut self,
        batch: &mut Batch,
        block: &RawBlock<'_>,
        range: Range<usize>,
        offset: u64,
    ) {
        let mut role = Role::Other;
        match block.type_ {
            SHB => {
                self.begin_section(batch, block, offset);
                role = Role::Section;
            }
            IDB => self.interface(block),
            EPB => match self.packet(batch, block, offset) {
                Some(Ok(record)) => role = record,
                Some(Err(what)) => batch.damage.push(Damage {
                    offset,
                    lost: range.len() as u64,
                    what,
                }),
                None => self.foreign += 1,
            },
            CUSTOM => match self.custom(batch, block, offset) {
                Some(Ok(found)) => role = found,
                Some(Err(what)) => batch.damage.push(Damage {
                    offset,
                    lost: range.len() as u64,
                    what,
                }),
                None => {}
            },
            2 | 3 => self.foreign += 1,
            _ => {}
        }
        batch.blocks.push(Block { range, role });
    }

    fn close_section(&mut self, batch: &mut Batch) {
        let Some(mut section) = self.section.take() else {
            return;
        };
        // A message without records is handed out all the same.
        if !section.begun {
            let end = batch.data.len();
            section.hand_out(batch, end..end, None);
        }
        if let Some(piece) = batch.pieces.last_mut() {
            piece.last = true;
        }
    }

    fn begin_section(&mut self, batch: &mut Batch, block: &RawBlock<'_>, offset: u64) {
        self.sections += 1;
        let order = match block.body.first() {
            Some(0x1a) => Order::Big,
            _ => Order::Little,
        };
        let mut header = None;
        let mut stack_name = None;
        let mut mark = None;
        for option in private::options(block.body.get(16..).unwrap_or(&[]), order) {
            match option {
                Private::DumpInfo(info) => header = <&[u8; HEADER_LEN]>::try_from(info).ok(),
                Private::StackName(_, name) if name != b"unknown" => {
                    stack_name = Some(Arc::from(String::from_utf8_lossy(name).as_ref()));
                }
                Private::Extra(Extra::Section(found)) => mark = Some(found),
                _ => {}
            }
        }
        // The section before may be of another message: filtered out, or lost.
        let same = |before: &Section| {
            header.is_some_and(|h| h[..8] == before.header[..8] && h[16..] == before.header[16..])
        };
        let continued =
            mark.is_some_and(|m| m.continued) && self.section.as_ref().is_some_and(same);
        if !continued {
            self.close_section(batch);
        } else if let Some(before) = self.section.as_mut().filter(|s| !s.begun) {
            let end = batch.data.len();
            before.hand_out(batch, end..end, None);
        }
        if header.is_none() && mark.is_none_or(|m| !m.merged) {
            batch.damage.push(Damage {
                offset,
                lost: 0,
                what: "section without a message header (DUMPINFO of 208 bytes); endpoints and \
                       log ID of its records are unknown"
                    .to_owned(),
            });
        }
        let known = match (header, mark) {
            (Some(_), Some(mark)) => mark.known,
            (Some(_), None) => Known::ALL,
            (None, _) => Known {
                addresses: false,
                ports: false,
                clock: false,
                names: false,
            },
        };
        let mut header = header.map_or_else(unknown_header, |h| h.to_vec());
        if header[..8] != CANONICAL_START {
            batch.damage.push(Damage {
                offset,
                lost: 0,
                what: "the message header in this section has a damaged version or type; taken \
                       as version 9"
                    .to_owned(),
            });
            header[..8].copy_from_slice(&CANONICAL_START);
        }
        self.section = Some(Section {
            order,
            boot_us: boot_us(&header),
            header,
            known,
            stack_name,
            links: Vec::new(),
            offset,
            begun: continued,
            ours: mark.is_some(),
            messages: Vec::new(),
        });
    }

    fn interface(&mut self, block: &RawBlock<'_>) {
        let Some(section) = &mut self.section else {
            return;
        };
        let order = section.order;
        let link = order.read(&block.body, 0, 2).unwrap_or(0) as u16;
        section.links.push(link);
        for option in private::options(block.body.get(8..).unwrap_or(&[]), order) {
            if let Private::Extra(Extra::Message(number, header)) = option {
                section.messages.push((number, header.to_vec()));
            }
        }
    }

    /// `None`: a packet that is not ours.
    fn packet(
        &mut self,
        batch: &mut Batch,
        block: &RawBlock<'_>,
        offset: u64,
    ) -> Option<Result<Role, String>> {
        let section = self.section.as_mut()?;
        let order = section.order;
        let body = &block.body[..];
        let captured = order.read(body, 12, 4)? as usize;
        let Some(packet) = body.get(20..20usize.checked_add(captured)?) else {
            return Some(Err("packet longer than its block".to_owned()));
        };
        let options = body.get(20 + captured.next_multiple_of(4)..).unwrap_or(&[]);
        let interface = order.read(body, 0, 4)? as usize;
        let link = section.links.get(interface).copied();
        let found = Found::in_options(private::options(options, order));
        let info = found.info?;
        Some(section.record(batch, info, tcp_of(packet, link), &found, offset))
    }

    /// `None`: a custom block of somebody else.
    fn custom(
        &mut self,
        batch: &mut Batch,
        block: &RawBlock<'_>,
        offset: u64,
    ) -> Option<Result<Role, String>> {
        let section = self.section.as_mut()?;
        let body = &block.body[..];
        if section.order.read(body, 0, 4)? != u64::from(private::PEN) {
            return None;
        }
        match Order::Little.read(body, 4, 4)? {
            2 => Some(Ok(Role::Skipped)),
            1 => {
                // Inside custom blocks options are little endian always.
                let options = private::options(body.get(8..)?, Order::Little);
                let found = Found::in_options(options);
                Some(match found.info {
                    Some(info) => section.record(batch, info, None, &found, offset),
                    None => Err("event block without a record".to_owned()),
                })
            }
            kind => Some(Err(format!("private block of unknown type {kind}"))),
        }
    }
}

/// What the options of one record hold.
#[derive(Default)]
struct Found<'a> {
    info: Option<&'a [u8]>,
    verbose: Option<&'a [u8]>,
    checksum: Option<u16>,
    message: Option<u32>,
}

impl<'a> Found<'a> {
    fn in_options(options: impl Iterator<Item = Private<'a>>) -> Found<'a> {
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
    fn record(
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
    fn hand_out(
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

fn boot_us(header: &[u8]) -> i64 {
    crate::bblog::Header::new(header, Formats::canonical()).map_or(0, |h| h.boot_us())
}

/// A header that knows nothing, for a section without one.
fn unknown_header() -> Vec<u8> {
    let mut header = vec![0; HEADER_LEN];
    header[..8].copy_from_slice(&CANONICAL_START);
    header[200] = 2;
    for at in [72, 136, 168] {
        header[at..at + 7].copy_from_slice(b"UNKNOWN");
    }
    header
}

/// The TCP header in a packet of this link type.
fn tcp_of(packet: &[u8], link: Option<u16>) -> Option<TcpHeader<'_>> {
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
