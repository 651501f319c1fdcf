//! Structure offsets from FreeBSD's CTF, versions 2 (to 13) and 3 (from 14).
//!
//! `.SUNW_ctf` is a header of 36 bytes and a body that may be compressed with
//! zlib. The body has types, numbered from 1 in the order in which they stand,
//! and their names. All of it is in the byte order of the kernel.
//! Source: sys/ctf.h of 13.0 and of main (1501502).

use super::flatten::{MAX_MEMBERS, Member, Shape, Types, flatten};
use super::wanted::STRUCTURES;
use crate::format::structures::Builder;
use std::io::Read;

const MAGIC: u64 = 0xcff1;
const HEADER: usize = 36;
const COMPRESSED: u64 = 1;
/// Far more than a kernel has: 13.2's is 2 MB.
const MAX_BODY: u64 = 256 << 20;
/// Types that are remembered by their place.
const MAX_TYPES: usize = 1 << 24;
/// Bytes of a name.
const MAX_NAME: usize = 256;
/// Definitions that are opened in all; a good file needs one for each name.
const MAX_TRIES: usize = 64;
/// Typedefs and qualifiers, or arrays, that follow each other.
const MAX_LINKS: usize = 32;

mod kind {
    pub const INTEGER: u64 = 1;
    pub const FLOAT: u64 = 2;
    pub const POINTER: u64 = 3;
    pub const ARRAY: u64 = 4;
    pub const FUNCTION: u64 = 5;
    pub const STRUCT: u64 = 6;
    pub const UNION: u64 = 7;
    pub const ENUM: u64 = 8;
    pub const FORWARD: u64 = 9;
    pub const TYPEDEF: u64 = 10;
    pub const VOLATILE: u64 = 11;
    pub const CONST: u64 = 12;
    pub const RESTRICT: u64 = 13;
}

/// Reads the content of `.SUNW_ctf`; says whether it was CTF.
pub(super) fn read(section: &[u8], pointer: u64, big_endian: bool, found: &mut Builder) -> bool {
    let Some(ctf) = Ctf::open(section, pointer, big_endian) else {
        return false;
    };
    let mut tries = 0;
    for (at, start) in ctf.types.iter().enumerate() {
        let Some(record) = ctf
            .record(*start)
            .filter(|record| record.kind == kind::STRUCT)
        else {
            continue;
        };
        let name = ctf.name(record.name);
        let Some(&name) = STRUCTURES.iter().find(|wanted| wanted.as_bytes() == name) else {
            continue;
        };
        if found.has(name) || tries >= MAX_TRIES {
            continue;
        }
        tries += 1;
        if let Some(structure) = flatten(&ctf, name, at as u64 + 1) {
            found.add(structure);
        }
    }
    true
}

struct Ctf {
    body: Vec<u8>,
    is_v3: bool,
    big_endian: bool,
    /// Bytes of a pointer.
    pointer: u64,
    /// Where each type stands in the body: the first is type 1.
    types: Vec<u32>,
    /// Where names stand in the body.
    strings: (usize, usize),
}

/// The fixed part of a type.
struct Record {
    name: u64,
    kind: u64,
    /// Members, elements or arguments.
    count: usize,
    /// Bytes, or the type it refers to.
    size_or_type: u64,
    /// Where what depends on the kind begins.
    rest: usize,
}

impl Ctf {
    fn open(section: &[u8], pointer: u64, big_endian: bool) -> Option<Ctf> {
        let number = |at, len| number(section, at, len, big_endian);
        let is_v3 = match (number(0, 2)?, number(2, 1)?) {
            (MAGIC, 2) => false,
            (MAGIC, 3) => true,
            _ => return None,
        };
        let (types, strings, len) = (number(24, 4)?, number(28, 4)?, number(32, 4)?);
        let end = strings.checked_add(len).filter(|end| *end <= MAX_BODY)?;
        let content = section.get(HEADER..)?;
        let mut body = Vec::new();
        if number(3, 1)? & COMPRESSED != 0 {
            // What is damaged at its end is used up to there.
            let _ = flate2::read::ZlibDecoder::new(content)
                .take(end)
                .read_to_end(&mut body);
        } else {
            body.extend_from_slice(content.get(..end as usize).unwrap_or(content));
        }
        let mut ctf = Ctf {
            body,
            is_v3,
            big_endian,
            pointer,
            types: Vec::new(),
            strings: (strings as usize, end as usize),
        };
        ctf.number_types(types as usize, strings as usize);
        Some(ctf)
    }

    fn number_types(&mut self, start: usize, end: usize) {
        let mut at = start;
        while at < end && self.types.len() < MAX_TYPES {
            let (Ok(place), Some(next)) = (u32::try_from(at), self.end_of(at)) else {
                break;
            };
            self.types.push(place);
            at = next;
        }
    }

    fn number(&self, at: usize, len: usize) -> Option<u64> {
        number(&self.body, at, len, self.big_endian)
    }

    fn record(&self, at: u32) -> Option<Record> {
        let at = at as usize;
        let name = self.number(at, 4)?;
        // The long form gives the size as two words.
        let (info, size, long, fixed) = match self.is_v3 {
            false => (self.number(at + 4, 2)?, self.number(at + 6, 2)?, 0xffff, 8),
            true => (
                self.number(at + 4, 4)?,
                self.number(at + 8, 4)?,
                0xffff_ffff,
                12,
            ),
        };
        let (kind, count) = match self.is_v3 {
            false => (info >> 11, info & 0x3ff),
            true => (info >> 26, info & 0xff_ffff),
        };
        let is_long = size == long;
        let size_or_type = match is_long {
            false => size,
            true => self.number(at + fixed, 4)? << 32 | self.number(at + fixed + 4, 4)?,
        };
        Some(Record {
            name,
            kind,
            count: count as usize,
            size_or_type,
            rest: at + fixed + if is_long { 8 } else { 0 },
        })
    }

    /// Bytes of one member, and whether it is of the long form.
    fn member_size(&self, size: u64) -> (usize, bool) {
        match self.is_v3 {
            false if size >= 8192 => (16, true),
            false => (8, false),
            true if size >= 1 << 29 => (16, true),
            true => (12, false),
        }
    }

    fn end_of(&self, at: usize) -> Option<usize> {
        let record = self.record(u32::try_from(at).ok()?)?;
        let wide = if self.is_v3 { 4 } else { 2 };
        let rest = match record.kind {
            kind::INTEGER | kind::FLOAT => 4,
            kind::ARRAY => 2 * wide + 4,
            // An odd number of arguments is filled up.
            kind::FUNCTION => (record.count + (record.count & 1)) * wide,
            kind::STRUCT | kind::UNION => record.count * self.member_size(record.size_or_type).0,
            kind::ENUM => record.count * 8,
            0 | kind::POINTER | kind::FORWARD..=kind::RESTRICT => 0,
            _ => return None,
        };
        let end = record.rest.checked_add(rest)?;
        (end <= self.body.len()).then_some(end)
    }

    /// Names in the other string table are those of symbols, not of types.
    fn name(&self, reference: u64) -> &[u8] {
        let (start, end) = self.strings;
        let name = usize::try_from(reference).ok().and_then(|at| {
            let strings = self.body.get(start..end.min(self.body.len()))?;
            let text = strings.get(at..)?;
            // A name without an end would be read again for each type.
            let text = text.get(..MAX_NAME).unwrap_or(text);
            text.get(..memchr::memchr(0, text)?)
        });
        name.unwrap_or_default()
    }

    fn type_record(&self, id: u64) -> Option<Record> {
        let at = usize::try_from(id.checked_sub(1)?).ok()?;
        self.record(*self.types.get(at)?)
    }

    /// Sees through typedefs and qualifiers.
    fn resolve(&self, id: u64) -> Option<Record> {
        let mut id = id;
        for _ in 0..MAX_LINKS {
            let record = self.type_record(id)?;
            let link = [kind::TYPEDEF, kind::VOLATILE, kind::CONST, kind::RESTRICT];
            if !link.contains(&record.kind) {
                return Some(record);
            }
            id = record.size_or_type;
        }
        None
    }

    fn array(&self, record: &Record) -> Option<(u64, u64)> {
        let wide = if self.is_v3 { 4 } else { 2 };
        let contents = self.number(record.rest, wide)?;
        Some((contents, self.number(record.rest + 2 * wide, 4)?))
    }

    /// Bytes of a type. Arrays of arrays are one after the other.
    fn bytes(&self, record: Record) -> Option<u64> {
        let (mut record, mut times) = (record, 1u64);
        for _ in 0..MAX_LINKS {
            match record.kind {
                kind::ARRAY => {
                    let (contents, count) = self.array(&record)?;
                    times = times.checked_mul(count)?;
                    record = self.resolve(contents)?;
                }
                kind::POINTER => return times.checked_mul(self.pointer),
                kind::FUNCTION | kind::FORWARD => return None,
                _ => return times.checked_mul(record.size_or_type),
            }
        }
        None
    }

    fn members(&self, record: &Record) -> Vec<Member<u64>> {
        let (size, long) = self.member_size(record.size_or_type);
        let one = |at: usize| {
            let start = record.rest.checked_add(at.checked_mul(size)?)?;
            let (wide, offset) = if self.is_v3 { (4, 8) } else { (2, 6) };
            let bit_offset = match (long, self.is_v3) {
                (false, _) => self.number(start + offset, wide)?,
                // Version 2 fills up to four bytes before the offset, 3 does not need to.
                (true, _) => self.number(start + 8, 4)? << 32 | self.number(start + 12, 4)?,
            };
            let name = self.name(self.number(start, 4)?);
            Some(Member {
                name: String::from_utf8_lossy(name).into_owned(),
                bit_offset,
                width: None,
                type_: self.number(start + 4, wide)?,
            })
        };
        (0..record.count.min(MAX_MEMBERS)).map_while(one).collect()
    }
}

impl Types for Ctf {
    type Id = u64;

    fn shape(&self, id: u64) -> Option<Shape<u64>> {
        let record = self.resolve(id)?;
        match record.kind {
            kind::STRUCT | kind::UNION => Some(Shape::Composite {
                size: record.size_or_type,
                members: self.members(&record),
            }),
            kind::INTEGER => {
                let width = self.number(record.rest, 4)? & 0xffff;
                let size = record.size_or_type;
                let whole = size.checked_mul(8) == Some(width) || width == 0;
                Some(Shape::Plain {
                    size,
                    bits: (!whole).then_some(width),
                })
            }
            _ => Some(Shape::Plain {
                size: self.bytes(record)?,
                bits: None,
            }),
        }
    }

    fn is_big_endian(&self) -> bool {
        self.big_endian
    }
}

fn number(bytes: &[u8], at: usize, len: usize, big_endian: bool) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(len)?)?;
    let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    Some(match big_endian {
        true => bytes.iter().fold(0, add),
        false => bytes.iter().rev().fold(0, add),
    })
}
