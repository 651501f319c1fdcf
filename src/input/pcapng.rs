//! pcapng back in: tcplog_dumper's files and our own.
//!
//! A section is one message, or the part of one that a single stack wrote.
//! Its records are put together again in the canonical layout: the TCPINFO
//! option holds the first 268 bytes, the packet holds the TCP header, and
//! private options of ours hold what tcplog_dumper's form has no place for.
//! The raw blocks stay at hand, so that a filter can copy them unchanged.

mod framing;
mod regroup;
mod section;

use super::batch::Batch;
use super::damage::{Damage, report};
use crate::bblog::Known;
use crate::bblog::canonical::HEADER_LEN;
use crate::bblog::private::{self, Extra, Private};
use crate::format::Order;
use framing::{MAX_BLOCK, Step, mend, next_block, order_of_section, resync};
use pcap_file::pcapng::RawBlock;
use regroup::{Drain, Regroup};
use section::{Found, Section, boot_us, is_between, tcp_of, unknown_header};
use std::collections::BTreeMap;
use std::io;
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

/// What is known of a message whose header is lost.
const NOTHING_KNOWN: Known = Known {
    addresses: false,
    ports: false,
    clock: false,
    names: false,
};

/// Version 9 and type 1, little endian: how a canonical header begins.
const CANONICAL_START: [u8; 8] = [9, 0, 0, 0, 1, 0, 0, 0];

const SHB: u32 = 0x0a0d_0d0a;
const IDB: u32 = 1;
const EPB: u32 = 6;
const CUSTOM: u32 = 0xbad;

/// Frames one pcapng file, window by window.
pub struct PcapngFramer {
    /// Put the records of a merged section together by message.
    regroup: bool,
    section: Option<Section>,
    /// Byte order of the blocks where the first section header is lost.
    order: Option<Order>,
    /// A merged section that has ended and is not handed out yet.
    drain: Option<Drain>,
    /// Packets that carry no record.
    foreign: u64,
}

impl PcapngFramer {
    /// `regroup`: give the records of a merged section message by message
    /// once it ends, and not in its order; [`Batch::blocks`] then does not
    /// tell where they went.
    pub fn new(regroup: bool) -> PcapngFramer {
        PcapngFramer {
            regroup,
            section: None,
            order: None,
            drain: None,
            foreign: 0,
        }
    }

    /// True: another batch can be had without more input.
    pub fn pending(&self) -> bool {
        self.drain.is_some()
    }

    /// As [`super::stream::Framer::frame`], but `batch.data` is replaced by
    /// records in canonical layout. Fails if a temporary file does.
    pub fn frame(&mut self, batch: &mut Batch, base: u64, eof: bool) -> io::Result<usize> {
        // The records take the place of the input, which stays beside them.
        std::mem::swap(&mut batch.data, &mut batch.raw);
        batch.data.clear();
        let mut buffer = std::mem::take(&mut batch.raw);
        let data = buffer.get_mut(..batch.filled).unwrap_or(&mut []);
        let mut at = 0;
        let mut drained = self.drain_into(batch)?;
        while drained && at < data.len() {
            let offset = base + at as u64;
            match next_block(&data[at..], self.order().unwrap_or(Order::Little), eof) {
                Step::More => break,
                Step::Block(block, _) if block.type_ == SHB && self.end_merged() => {
                    // The block is looked at again when all is handed out.
                    drained = self.drain_into(batch)?;
                }
                Step::Block(block, len) => {
                    self.take_block(batch, &block, at..at + len, offset);
                    forget_mended(batch);
                    let regroup = self.section.as_mut().and_then(|s| s.regroup.as_mut());
                    if let Some(failed) = regroup.and_then(|r| r.failed.take()) {
                        return Err(failed);
                    }
                    at += len;
                }
                Step::Damaged(what) => {
                    let here = &mut data[at..];
                    let order = order_of_section(here).or(self.order());
                    let next = resync(here, order);
                    if next.is_none() && !eof && here.len() < MAX_BLOCK {
                        break;
                    }
                    let (skip, there) = next.unwrap_or((here.len(), Order::Little));
                    self.order = order.or(Some(there));
                    if mend(&mut here[..skip], order.unwrap_or(there)) {
                        let what = format!("{what}; the rest of the block is good and kept");
                        report(batch, offset, 0, what);
                        continue;
                    }
                    batch.damage.push(Damage {
                        offset,
                        lost: skip as u64,
                        what,
                    });
                    at += skip;
                }
            }
        }
        if eof && drained && self.end_merged() {
            drained = self.drain_into(batch)?;
        }
        if eof && drained {
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
        Ok(at)
    }

    /// Ends a section whose records wait for this; false: there is none.
    fn end_merged(&mut self) -> bool {
        let regroup = self.section.as_mut().and_then(|s| s.regroup.take());
        let Some((regroup, section)) = regroup.and_then(|r| Some((r, self.section.take()?))) else {
            return false;
        };
        self.drain = Some(Drain::new(section, regroup));
        true
    }

    /// Hands out what waits, a batch of it; true: nothing waits any more.
    fn drain_into(&mut self, batch: &mut Batch) -> io::Result<bool> {
        if let Some(drain) = &mut self.drain {
            if !drain.step(batch)? {
                return Ok(false);
            }
            self.drain = None;
        }
        Ok(true)
    }

    /// The byte order of the section, as far as it is known.
    fn order(&self) -> Option<Order> {
        self.section.as_ref().map_or(self.order, |s| Some(s.order))
    }

    fn take_block(
        &mut self,
        batch: &mut Batch,
        block: &RawBlock<'_>,
        range: Range<usize>,
        offset: u64,
    ) {
        let mut role = Role::Other;
        if self.section.is_none() && block.type_ != SHB {
            self.header_is_lost(batch, offset);
        }
        match block.type_ {
            SHB => {
                self.begin_section(batch, block, offset);
                role = Role::Section;
            }
            IDB => self.interface(batch, block, offset),
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
            report(
                batch,
                offset,
                0,
                "section without a message header (DUMPINFO of 208 bytes); endpoints and \
                       log ID of its records are unknown"
                    .to_owned(),
            );
        }
        let known = match (header, mark) {
            (Some(_), Some(mark)) => mark.known,
            (Some(_), None) => Known::ALL,
            (None, _) => NOTHING_KNOWN,
        };
        let mut header = header.map_or_else(unknown_header, |h| h.to_vec());
        if header[..8] != CANONICAL_START {
            report(
                batch,
                offset,
                0,
                "the message header in this section has a damaged version or type; taken \
                       as version 9"
                    .to_owned(),
            );
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
            said_no_tcp: false,
            iss: 0,
            merged: mark.is_some_and(|m| m.merged),
            messages: BTreeMap::new(),
            regroup: (self.regroup && mark.is_some_and(|m| m.merged)).then(Regroup::default),
            run: None,
        });
    }

    /// The header of the section that these blocks belong to is not there: the
    /// one before it must not pass for theirs.
    fn header_is_lost(&mut self, batch: &mut Batch, offset: u64) {
        let before = self.section.as_ref();
        let lost = Section {
            order: self.order().unwrap_or(Order::Little),
            header: unknown_header(),
            known: NOTHING_KNOWN,
            stack_name: None,
            links: before.map_or_else(Vec::new, |s| s.links.clone()),
            offset,
            begun: false,
            ours: before.is_some_and(|s| s.ours),
            said_no_tcp: false,
            iss: 0,
            merged: false,
            messages: BTreeMap::new(),
            regroup: None,
            run: None,
            boot_us: 0,
        };
        let what = "the section header of the records from here on is lost; they are kept \
                    without log ID and addresses";
        report(batch, offset, 0, what.to_owned());
        self.close_section(batch);
        self.section = Some(lost);
    }

    fn interface(&mut self, batch: &mut Batch, block: &RawBlock<'_>, offset: u64) {
        // Every section but a merged one has a single interface.
        if self
            .section
            .as_ref()
            .is_some_and(|s| !s.links.is_empty() && !s.merged && s.known != NOTHING_KNOWN)
        {
            self.header_is_lost(batch, offset);
            if let Some(section) = &mut self.section {
                section.links.clear();
            }
        }
        let Some(section) = &mut self.section else {
            return;
        };
        let order = section.order;
        let link = order.read(&block.body, 0, 2).unwrap_or(0) as u16;
        section.links.push(link);
        for option in private::options(block.body.get(8..).unwrap_or(&[]), order) {
            if let Private::Extra(Extra::Message(number, known, header)) = option {
                section.put_message(number, known, header.to_vec());
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
        if found.info.is_none() && is_saved_packet(options, order) {
            return Some(Ok(Role::Other));
        }
        let info = found.info?;
        // One flipped bit makes an address or a serial number wrong, but not
        // both: these are of another connection.
        let known = section.known.addresses && !section.merged;
        if known && !section.is_same_start(info) && !is_between(packet, link, &section.header) {
            self.header_is_lost(batch, offset);
        }
        let section = self.section.as_mut()?;
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

/// Whether a packet is one that was carved next to the records: it has none, and
/// its comment says what it is.
fn is_saved_packet(options: &[u8], order: Order) -> bool {
    memchr::memmem::find_iter(options, b"TCPPCAP packet").any(|text| {
        let option = text.checked_sub(4);
        option.and_then(|at| order.read(options, at, 2)) == Some(1)
    })
}

/// A block that was mended and has nothing good in it is reported once.
fn forget_mended(batch: &mut Batch) {
    if let [.., mended, last] = batch.damage.as_slice()
        && (mended.offset, mended.lost) == (last.offset, 0)
    {
        batch.damage.remove(batch.damage.len() - 2);
    }
}
