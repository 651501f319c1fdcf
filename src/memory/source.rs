//! Where the bytes of an image come from: maps of files, one or several that
//! follow each other, or something that is read a piece at a time.

use super::device;
use memmap2::Mmap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// Something that can be read at any place, as a file by pread(2). `Ok(0)` and
/// errors mean that nothing can be read there.
pub trait ReadAt: Send + Sync {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

/// The most that is copied at once, bytes: a caller's length may come from a
/// header. Longer reads of what is not mapped are shorter.
const MAX_COPY: usize = 16 << 20;

enum Body {
    Map(Mmap),
    Read(Box<dyn ReadAt>),
}

struct Part {
    name: String,
    start: u64,
    len: u64,
    body: Body,
}

/// The bytes of an image, by offset.
pub(super) struct Source {
    parts: Vec<Part>,
    size: u64,
    live: bool,
}

impl Source {
    /// A regular file. One that is cut short by somebody else while it is
    /// mapped ends the program with SIGBUS where it is read behind its end, as
    /// with every program that maps files; dumps are not written to any more.
    pub(super) fn file(name: &str, file: File, len: u64) -> Source {
        // SAFETY: the map is read only and private. The bytes are only ever
        // taken as bytes, so a change by another process cannot break a type;
        // what a cut file does is said above.
        let body = match unsafe { Mmap::map(&file) } {
            // Of a block device nothing may be mapped, without an error.
            Ok(map) if map.len() as u64 == len => Body::Map(map),
            _ => Body::Read(Box::new(file)),
        };
        Source::one(name, body, len, false)
    }

    /// Anything else that can be read at any place.
    pub(super) fn reader(name: &str, reader: Box<dyn ReadAt>, len: u64, live: bool) -> Source {
        Source::one(name, Body::Read(reader), len, live)
    }

    fn one(name: &str, body: Body, len: u64, live: bool) -> Source {
        let len = match &body {
            Body::Map(map) => map.len() as u64,
            Body::Read(_) => len,
        };
        Source {
            parts: vec![Part {
                name: name.to_owned(),
                start: 0,
                len,
                body,
            }],
            size: len,
            live,
        }
    }

    /// Sources that follow each other.
    pub(super) fn join(sources: Vec<Source>) -> Source {
        let mut joined = Source {
            parts: Vec::new(),
            size: 0,
            live: false,
        };
        for source in sources {
            joined.live |= source.live;
            for mut part in source.parts {
                part.start = joined.size;
                part.len = part.len.min(u64::MAX - joined.size);
                joined.size += part.len;
                joined.parts.push(part);
            }
        }
        joined
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    fn part_at(&self, offset: u64) -> Option<usize> {
        let index = self
            .parts
            .partition_point(|part| part.start <= offset)
            .checked_sub(1)?;
        let part = self.parts.get(index)?;
        (offset - part.start < part.len).then_some(index)
    }

    /// The name of the part in which an offset lies, and the offset in it.
    pub(super) fn part_of(&self, offset: u64) -> Option<(&str, u64)> {
        let part = self.parts.get(self.part_at(offset)?)?;
        Some((&part.name, offset - part.start))
    }

    /// Bytes from an offset on: borrowed where one map has them all.
    pub(super) fn bytes<'a>(
        &'a self,
        offset: u64,
        len: usize,
        scratch: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        let Some(index) = self.part_at(offset) else {
            return &[];
        };
        let Some(part) = self.parts.get(index) else {
            return &[];
        };
        if let Body::Map(map) = &part.body {
            let rest = usize::try_from(offset - part.start)
                .ok()
                .and_then(|at| map.get(at..))
                .unwrap_or(&[]);
            if rest.len() >= len || index + 1 == self.parts.len() {
                return rest.get(..len).unwrap_or(rest);
            }
        }
        self.copy(index, offset, len.min(MAX_COPY), scratch)
    }

    fn copy<'a>(
        &'a self,
        first: usize,
        offset: u64,
        len: usize,
        scratch: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        // Devices are read in whole pages: disks know only sectors.
        let start = self.parts.get(first).map_or(0, |part| part.start);
        let (lead, unit) = match self.live {
            true => (((offset - start) % device::PAGE) as usize, device::PAGE),
            false => (0, 1),
        };
        let want = lead + len;
        let whole = want.next_multiple_of(unit as usize);
        if scratch.len() < whole {
            scratch.resize(whole, 0);
        }
        let mut done = 0;
        for part in self.parts.get(first..).unwrap_or(&[]) {
            let from = (offset - lead as u64).saturating_add(done as u64);
            let inner = from.saturating_sub(part.start);
            let room = usize::try_from(part.len.saturating_sub(inner)).unwrap_or(usize::MAX);
            let Some(buffer) = scratch.get_mut(done..whole) else {
                break;
            };
            let take = buffer.len().min(room);
            let Some(buffer) = buffer.get_mut(..take) else {
                break;
            };
            let got = match &part.body {
                Body::Map(map) => copy_map(map, inner, buffer),
                Body::Read(reader) => device::read_pages(&**reader, inner, buffer),
            };
            done += got;
            if got < take || done >= whole {
                break;
            }
        }
        scratch.get(lead..want.min(done)).unwrap_or(&[])
    }

    /// A reader of the bytes from `start` to `end`.
    pub(super) fn cursor(&self, start: u64, end: u64) -> Cursor<'_> {
        Cursor {
            source: self,
            start,
            end: end.min(self.size).max(start),
            at: start,
            scratch: Vec::new(),
        }
    }
}

fn copy_map(map: &Mmap, at: u64, buffer: &mut [u8]) -> usize {
    let rest = usize::try_from(at)
        .ok()
        .and_then(|at| map.get(at..))
        .unwrap_or(&[]);
    let len = rest.len().min(buffer.len());
    if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
        to.copy_from_slice(from);
    }
    len
}

/// Reads a stretch of a source from its start to its end.
pub(super) struct Cursor<'a> {
    source: &'a Source,
    start: u64,
    end: u64,
    at: u64,
    scratch: Vec<u8>,
}

impl Read for Cursor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let len = buffer.len().min(room).min(1 << 20);
        let bytes = self.source.bytes(self.at, len, &mut self.scratch);
        let Some(to) = buffer.get_mut(..bytes.len()) else {
            return Ok(0);
        };
        to.copy_from_slice(bytes);
        self.at += bytes.len() as u64;
        Ok(to.len())
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => self.start.checked_add(at),
            SeekFrom::End(by) => self.end.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        match at.filter(|at| *at >= self.start) {
            Some(at) => self.at = at,
            None => return Err(io::ErrorKind::InvalidInput.into()),
        }
        Ok(self.at - self.start)
    }
}
