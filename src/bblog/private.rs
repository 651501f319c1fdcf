//! The private pcapng options in which records travel: numbers, layout,
//! reading and writing.
//!
//! Netflix's numbers (PEN 10949) are those of tcplog_dumper and Wireshark.
//! What their form has no place for goes into options of ours, which Wireshark
//! steps over.

use crate::bblog::Known;
use crate::bblog::canonical::HEADER_LEN;
use crate::format::Order;

/// Netflix's private enterprise number.
pub const PEN: u32 = 10_949;
/// RFC 5612's enterprise number for examples: we have none of our own.
pub const OUR_PEN: u32 = 32_473;
/// Code of a custom option with binary content that may be copied.
pub const CUSTOM_OPTION: u16 = 2_989;
/// As [`CUSTOM_OPTION`], not to be copied.
pub const CUSTOM_OPTION_NO_COPY: u16 = 19_373;

pub const VERSION: u32 = 1;
pub const TCPINFO: u32 = 2;
pub const TCPVERBOSE: u32 = 3;
pub const DUMPINFO: u32 = 4;
pub const DUMPTIME: u32 = 5;
pub const STACKNAME: u32 = 6;

/// Begins the content of each of our own options.
const MAGIC: [u8; 2] = *b"tl";

/// A private option that means something to us.
#[derive(Clone, Copy, Debug)]
pub enum Private<'a> {
    TcpInfo(&'a [u8]),
    Verbose(&'a [u8]),
    DumpInfo(&'a [u8]),
    DumpTime(i64),
    /// Stack id and name.
    StackName(u8, &'a [u8]),
    Extra(Extra<'a>),
}

/// An option of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra<'a> {
    /// In a section header: what kind of section of ours this is.
    Section(Mark),
    /// In a packet: the checksum that the record had, where it is not zero.
    Checksum(u16),
    /// In a merged section, on an interface: number of a message, what of its
    /// header is known, and the header.
    Message(u32, Known, &'a [u8]),
    /// In a merged section, on a record: number of its message, and how many
    /// of that message's records come before it.
    Record(u32, u32),
}

/// What a section of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Goes on with the message of the section before, after a stack change.
    pub continued: bool,
    /// Holds the records of many messages, in time order.
    pub merged: bool,
    pub known: Known,
}

impl Mark {
    fn to_bits(self) -> u32 {
        let bits = [
            self.continued,
            self.merged,
            !self.known.addresses,
            !self.known.ports,
            !self.known.clock,
            !self.known.names,
        ];
        bits.iter()
            .rev()
            .fold(0, |all, bit| all << 1 | u32::from(*bit))
    }

    fn from_bits(bits: u32) -> Mark {
        Mark {
            continued: bits & 1 != 0,
            merged: bits & 2 != 0,
            known: Known {
                addresses: bits & 4 == 0,
                ports: bits & 8 == 0,
                clock: bits & 16 == 0,
                names: bits & 32 == 0,
            },
        }
    }
}

/// Appends a private option of Netflix's, little endian throughout.
pub fn put(out: &mut Vec<u8>, kind: u32, payload: &[&[u8]]) {
    let len: usize = payload.iter().map(|p| p.len()).sum();
    put_head(out, kind, len);
    for part in payload {
        out.extend_from_slice(part);
    }
    pad(out, len);
}

/// Appends the head of a private option whose payload has `len` bytes, a
/// multiple of 4; the payload is to follow.
#[inline]
pub fn put_head(out: &mut Vec<u8>, kind: u32, len: usize) {
    let mut head = [0; 12];
    head[..2].copy_from_slice(&CUSTOM_OPTION.to_le_bytes());
    head[2..4].copy_from_slice(&((len + 8) as u16).to_le_bytes());
    head[4..8].copy_from_slice(&PEN.to_le_bytes());
    head[8..].copy_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&head);
}

/// Appends an option of ours, little endian throughout.
#[inline]
pub fn put_extra(out: &mut Vec<u8>, extra: Extra<'_>) {
    let (kind, value, second, rest): (u16, u32, Option<u32>, &[u8]) = match extra {
        Extra::Section(mark) => (1, mark.to_bits(), None, &[]),
        Extra::Checksum(sum) => (2, u32::from(sum), None, &[]),
        Extra::Message(number, known, header) => {
            let mark = Mark {
                continued: false,
                merged: false,
                known,
            };
            (3, number, Some(mark.to_bits()), header)
        }
        Extra::Record(number, position) => (4, number, Some(position), &[]),
    };
    let len = rest.len() + if second.is_some() { 16 } else { 12 };
    let mut head = [0; 16];
    head[..2].copy_from_slice(&CUSTOM_OPTION.to_le_bytes());
    head[2..4].copy_from_slice(&(len as u16).to_le_bytes());
    head[4..8].copy_from_slice(&OUR_PEN.to_le_bytes());
    head[8..10].copy_from_slice(&MAGIC);
    head[10..12].copy_from_slice(&kind.to_le_bytes());
    head[12..].copy_from_slice(&value.to_le_bytes());
    out.extend_from_slice(&head);
    if let Some(second) = second {
        out.extend_from_slice(&second.to_le_bytes());
    }
    out.extend_from_slice(rest);
    pad(out, rest.len());
}

/// Appends a standard option, little endian.
pub fn put_standard(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    pad(out, value.len());
}

fn pad(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(&[0; 3][..len.wrapping_neg() & 3]);
}

/// The private options among `options`, whose headers are in `order`.
pub fn options(options: &[u8], order: Order) -> impl Iterator<Item = Private<'_>> {
    Options {
        rest: options,
        order,
    }
    .filter_map(move |option| parse(option, order))
}

struct Options<'a> {
    rest: &'a [u8],
    order: Order,
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    /// Ends at the end-of-options option and before a cut one.
    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let code = self.order.read(self.rest, 0, 2)? as u16;
        let len = self.order.read(self.rest, 2, 2)? as usize;
        if code == 0 {
            return None;
        }
        let value = self.rest.get(4..4 + len)?;
        self.rest = self.rest.get(4 + len.next_multiple_of(4)..).unwrap_or(&[]);
        Some((code, value))
    }
}

fn parse((code, value): (u16, &[u8]), order: Order) -> Option<Private<'_>> {
    if code != CUSTOM_OPTION && code != CUSTOM_OPTION_NO_COPY {
        return None;
    }
    let pen = order.read(value, 0, 4)? as u32;
    if pen == OUR_PEN {
        return extra(value.get(4..)?).map(Private::Extra);
    }
    if pen != PEN {
        return None;
    }
    let kind = Order::Little.read(value, 4, 4)? as u32;
    let payload = value.get(8..)?;
    Some(match kind {
        TCPINFO => Private::TcpInfo(payload),
        TCPVERBOSE => Private::Verbose(payload),
        DUMPINFO => Private::DumpInfo(payload),
        DUMPTIME => Private::DumpTime(Order::Little.read(payload, 0, 8)? as i64),
        STACKNAME => {
            let (id, name) = payload.split_first()?;
            Private::StackName(*id, crate::bblog::until_nul(name))
        }
        _ => return None,
    })
}

fn extra(content: &[u8]) -> Option<Extra<'_>> {
    let content = content.strip_prefix(&MAGIC)?;
    let kind = Order::Little.read(content, 0, 2)?;
    let value = Order::Little.read(content, 2, 4)? as u32;
    Some(match kind {
        1 => Extra::Section(Mark::from_bits(value)),
        2 => Extra::Checksum(value as u16),
        3 => {
            let bits = Order::Little.read(content, 6, 4)? as u32;
            let header = content.get(10..10 + HEADER_LEN)?;
            Extra::Message(value, Mark::from_bits(bits).known, header)
        }
        4 => Extra::Record(value, Order::Little.read(content, 6, 4)? as u32),
        _ => return None,
    })
}

/// Adds microseconds to a canonical `tlb_tv`, 16 bytes. One that is no time,
/// which some events have, stays as it is.
pub fn shift_time(tv: &mut [u8], by_us: i64) {
    let read = |at| Order::Little.read(tv, at, 8).unwrap_or(0) as i64;
    let (sec, usec) = (read(0), read(8));
    if !(0..1_000_000).contains(&usec) {
        return;
    }
    let (mut sec, mut usec) = (
        sec.wrapping_add(by_us.div_euclid(1_000_000)),
        usec.wrapping_add(by_us.rem_euclid(1_000_000)),
    );
    if usec >= 1_000_000 {
        sec = sec.wrapping_add(1);
        usec -= 1_000_000;
    }
    Order::Little.write(tv, 0, 8, sec as u64);
    Order::Little.write(tv, 8, 8, usec as u64);
}
