//! Rewriting headers and records as version 9, LP64, little endian.
//!
//! pcapng's private options hold this one layout, whatever the source was.
//! Source: tcplog_dumper's option layout; field moves between versions from
//! the kernels' `tcp_log_buf.h`.

use super::header::Header;
use super::record::Record;
use crate::format::layout::{Field, Kind};
use crate::format::{Dialect, EventId, Formats, Order, RXBUF, STACKINFO, TXBUF};

/// `sizeof(struct tcp_log_header)` in the canonical layout.
pub const HEADER_LEN: usize = 208;
/// `sizeof(struct tcp_log_buffer)` in the canonical layout.
pub const RECORD_LEN: usize = 328;
/// Bytes of a record before its TCP header: the content of a TCPINFO option.
pub const INFO_LEN: usize = 268;
/// `sizeof(struct tcp_log_verbose)`.
pub const VERBOSE_LEN: usize = 72;

const RXBUF_AT: std::ops::Range<usize> = 32..44;
const TXBUF_AT: std::ops::Range<usize> = 44..56;
const STACKINFO_AT: std::ops::Range<usize> = 160..264;
const LENGTH_AT: std::ops::Range<usize> = 8..16;

/// How records of one dialect become canonical.
#[derive(Debug)]
pub struct Converter {
    /// `None`: the dialect is canonical and bytes are copied.
    moves: Option<Moves>,
}

#[derive(Debug)]
struct Moves {
    order: Order,
    header: Vec<Move>,
    /// All of a record up to the TCP header, less the stack specific part.
    record: Vec<Move>,
    /// The stack specific part, by the view that cuts it.
    cells: Vec<Move>,
    raw64: Vec<Move>,
    sendfile: Vec<Move>,
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Copy {
        from: usize,
        to: usize,
        len: usize,
    },
    Integer {
        from: usize,
        size: usize,
        signed: bool,
        to: usize,
        to_size: usize,
    },
    /// A bit field: the nibble order depends on the compiler's byte order.
    Bits {
        from: usize,
        shift: u8,
        mask: u8,
        to: usize,
        to_shift: u8,
    },
}

impl Converter {
    pub fn new(dialect: &Dialect) -> Converter {
        if dialect.is_canonical() {
            return Converter { moves: None };
        }
        let canonical = Formats::canonical();
        let pair = |from: &[Field], to: &[Field]| -> Vec<Move> {
            to.iter()
                .filter_map(|to| {
                    let from = from.iter().find(|from| from.name == to.name)?;
                    Some(Move::between(from, to, dialect.order))
                })
                .collect()
        };
        let info: Vec<Field> = canonical
            .record
            .fields
            .iter()
            .filter(|f| f.offset < INFO_LEN)
            .cloned()
            .collect();
        let (stack, plain): (Vec<Field>, Vec<Field>) = info
            .into_iter()
            .partition(|f| f.name.starts_with("tlb_stackinfo."));
        let start = usize::from(dialect.record_slots.stackinfo.offset);
        let words = |count: usize| {
            (0..count).map(move |i| Move::Integer {
                from: start + i * 8,
                size: 8,
                signed: false,
                to: STACKINFO_AT.start + i * 8,
                to_size: 8,
            })
        };
        let flags = Move::Integer {
            from: start + 16,
            size: 4,
            signed: false,
            to: STACKINFO_AT.start + 16,
            to_size: 4,
        };
        Converter {
            moves: Some(Moves {
                order: dialect.order,
                header: pair(&dialect.header.fields, &canonical.header.fields),
                record: pair(&dialect.record.fields, &plain),
                cells: pair(&dialect.record.fields, &stack),
                raw64: words(13).collect(),
                sendfile: words(2).chain([flags]).collect(),
            }),
        }
    }

    /// Writes the header in canonical layout, with `length` as its
    /// `tlh_length` and version 9.
    pub fn header(&self, header: &Header<'_>, length: u64, out: &mut [u8; HEADER_LEN]) {
        match &self.moves {
            None => out.copy_from_slice(header.bytes()),
            Some(moves) => {
                out.fill(0);
                run(&moves.header, header.bytes(), moves.order, out);
                out[..4].copy_from_slice(&9u32.to_le_bytes());
            }
        }
        out[LENGTH_AT].copy_from_slice(&length.to_le_bytes());
    }

    /// Appends the record up to its TCP header in canonical layout, stale
    /// parts included.
    #[inline]
    pub fn info_with_stale(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        match &self.moves {
            None => out.extend_from_slice(record.bytes().get(..INFO_LEN).unwrap_or(&[0; INFO_LEN])),
            Some(moves) => {
                let start = out.len();
                out.resize(start + INFO_LEN, 0);
                let info = &mut out[start..];
                run(&moves.record, record.bytes(), moves.order, info);
                // The same bytes are cut into integers of other widths by
                // these two events; it matters where bytes are swapped.
                let cells = match record.event() {
                    EventId::SENDFILE => &moves.sendfile,
                    EventId::ACCOUNTING => &moves.raw64,
                    _ => &moves.cells,
                };
                run(cells, record.bytes(), moves.order, info);
                // Eight codes of a byte each: the order is that of the bytes.
                if record.event() == EventId::CONNEND {
                    let start = usize::from(record.dialect().record_slots.stackinfo.offset);
                    let codes = record.bytes().get(start..start + 8).unwrap_or(&[0; 8]);
                    info[STACKINFO_AT][..8].copy_from_slice(codes);
                }
            }
        }
    }

    /// Appends the record up to its TCP header in canonical layout; parts
    /// whose flag is not set are zero.
    #[inline]
    pub fn info(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        self.info_with_stale(record, out);
        let info = &mut out[start..];
        let flags = record.event_flags();
        if flags & RXBUF == 0 {
            info[RXBUF_AT].fill(0);
        }
        if flags & TXBUF == 0 {
            info[TXBUF_AT].fill(0);
        }
        if flags & STACKINFO == 0 {
            info[STACKINFO_AT].fill(0);
        }
    }

    /// The verbose part in canonical layout.
    pub fn verbose(&self, record: &Record<'_>) -> Option<[u8; VERBOSE_LEN]> {
        let mut part: [u8; VERBOSE_LEN] = record.verbose_bytes()?.try_into().ok()?;
        if record.dialect().order == Order::Big {
            part[64..68].reverse();
        }
        Some(part)
    }

    /// Appends the whole record in canonical layout; stale parts are zero.
    pub fn record(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        let end = out.len() + RECORD_LEN;
        self.info(record, out);
        if let Some(tcp) = record.tcp() {
            out.extend_from_slice(tcp.bytes());
        }
        out.resize(end, 0);
        if let Some(verbose) = self.verbose(record) {
            out.extend_from_slice(&verbose);
        }
    }
}

impl Move {
    fn between(from: &Field, to: &Field, order: Order) -> Move {
        match (from.kind, to.kind) {
            (Kind::Bits { low, width }, Kind::Bits { low: to_low, .. }) => Move::Bits {
                from: from.offset,
                shift: order.bit_shift(low, width),
                mask: ((1u16 << width) - 1) as u8,
                to: to.offset,
                to_shift: to_low,
            },
            (Kind::Unsigned | Kind::Signed, _) => Move::Integer {
                from: from.offset,
                size: from.size,
                signed: from.kind == Kind::Signed,
                to: to.offset,
                to_size: to.size,
            },
            _ => Move::Copy {
                from: from.offset,
                to: to.offset,
                len: from.size.min(to.size),
            },
        }
    }
}

fn run(moves: &[Move], from: &[u8], order: Order, to: &mut [u8]) {
    for step in moves {
        match *step {
            Move::Copy {
                from: at,
                to: dst,
                len,
            } => {
                if let (Some(src), Some(dst)) = (from.get(at..at + len), to.get_mut(dst..dst + len))
                {
                    dst.copy_from_slice(src);
                }
            }
            Move::Integer {
                from: at,
                size,
                signed,
                to: dst,
                to_size,
            } => {
                let mut value = order.read(from, at, size).unwrap_or(0);
                if signed && size < 8 {
                    let unused = 64 - 8 * size;
                    value = (((value << unused) as i64) >> unused) as u64;
                }
                Order::Little.write(to, dst, to_size, value);
            }
            Move::Bits {
                from: at,
                shift,
                mask,
                to: dst,
                to_shift,
            } => {
                let value = from.get(at).map_or(0, |byte| (byte >> shift) & mask);
                if let Some(byte) = to.get_mut(dst) {
                    *byte |= value << to_shift;
                }
            }
        }
    }
}
