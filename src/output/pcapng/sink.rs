//! Sinks for pcapng: one file, or one file per group.

use super::encode::{Encoder, Options};
use crate::bblog::{Captured, Message};
use crate::format::Formats;
use crate::meaning::Evidence;
use crate::output::Sink;
use crate::output::files::{PendingFile, stem};
use crate::select::{Grouping, Picked, Picker, Split};
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;

/// Bytes that are gathered before they are written.
const CHUNK: usize = 256 * 1024;

/// Everything into one output, in input order.
pub struct PcapngSink<W> {
    encoder: Encoder,
    buffer: Vec<u8>,
    out: W,
}

impl<W: Write> PcapngSink<W> {
    pub fn new(options: Options, formats: &'static Formats, out: W) -> PcapngSink<W> {
        PcapngSink {
            encoder: Encoder::new(options, formats),
            buffer: Vec::with_capacity(2 * CHUNK),
            out,
        }
    }

    pub fn into_inner(self) -> W {
        self.out
    }

    /// Where it writes, for what is no record; to be flushed before.
    pub fn output(&mut self) -> &mut W {
        &mut self.out
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl<W: Write> Sink for PcapngSink<W> {
    fn source(&mut self, _name: &str) {
        self.encoder.set_evidence(Evidence::default());
    }

    fn piece(&mut self, message: &Message<'_>, picked: &Picked) -> io::Result<()> {
        self.encoder.piece(message, picked, &mut self.buffer);
        if self.buffer.len() >= CHUNK {
            self.write_out()?;
        }
        Ok(())
    }

    fn packet(&mut self, message: &Message<'_>, packet: &Captured<'_>) -> io::Result<()> {
        self.encoder.captured(message, packet, &mut self.buffer);
        if self.buffer.len() >= CHUNK {
            self.write_out()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_out()?;
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush()
    }
}

/// One file per group in a directory.
///
/// Thousands of groups may be open at once, so descriptors are given back
/// when many are in use, and what is gathered is bounded over all groups.
pub struct SplitSink {
    encoder: Encoder,
    dir: PathBuf,
    split: Split,
    grouping: Grouping,
    groups: Vec<Group>,
    gathered: usize,
    /// Groups with an open descriptor, longest unused first.
    open: Vec<usize>,
    current: Option<usize>,
    /// Next number to try for a name, by what stands before the number.
    next: HashMap<String, u32>,
}

struct Group {
    stem: String,
    buffer: Vec<u8>,
    file: Option<PendingFile>,
}

const MAX_OPEN: usize = 64;
/// Names whose next number is remembered.
const MAX_NEXT: usize = 16 * 1024;
const MAX_GATHERED: usize = 16 * 1024 * 1024;

impl SplitSink {
    pub fn new(
        options: Options,
        formats: &'static Formats,
        dir: PathBuf,
        split: Split,
    ) -> SplitSink {
        SplitSink {
            encoder: Encoder::new(options, formats),
            dir,
            split,
            grouping: Grouping::new(split),
            groups: Vec::new(),
            gathered: 0,
            open: Vec::new(),
            current: None,
            next: HashMap::new(),
        }
    }

    fn group(&mut self, message: &Message<'_>) -> usize {
        let connection = Picker::connection(message);
        let group = self.grouping.place(message.header.id(), &connection);
        if group.is_new {
            let stem = stem(message, self.split);
            self.groups.push(Group {
                stem,
                buffer: Vec::new(),
                file: None,
            });
        }
        group.index
    }

    /// Writes what a group gathered, if that is much, and what all did.
    fn spill(&mut self, index: usize) -> io::Result<()> {
        let group = self.groups.get(index);
        if group.is_some_and(|group| group.buffer.len() >= CHUNK) {
            self.write_group(index)?;
        }
        if self.gathered >= MAX_GATHERED {
            for index in 0..self.groups.len() {
                self.write_group(index)?;
            }
        }
        Ok(())
    }

    fn write_group(&mut self, index: usize) -> io::Result<()> {
        let Some(group) = self.groups.get_mut(index) else {
            return Ok(());
        };
        if group.buffer.is_empty() {
            return Ok(());
        }
        let file = match &mut group.file {
            Some(file) => file,
            none => none.insert(PendingFile::create(&self.dir, None)?),
        };
        file.write_all(&group.buffer)?;
        self.gathered -= group.buffer.len();
        group.buffer = Vec::new();
        self.open.retain(|other| *other != index);
        self.open.push(index);
        if self.open.len() > MAX_OPEN {
            let oldest = self.open.remove(0);
            if let Some(file) = self.groups.get_mut(oldest).and_then(|g| g.file.as_mut()) {
                file.release();
            }
        }
        Ok(())
    }

    /// Gives the group's file its name: the first that is free.
    fn finish_group(&mut self, index: usize) -> io::Result<()> {
        self.write_group(index)?;
        let Some(group) = self.groups.get_mut(index) else {
            return Ok(());
        };
        let Some(file) = group.file.take() else {
            return Ok(());
        };
        self.open.retain(|other| *other != index);
        let stem = std::mem::take(&mut group.stem);
        let numbered = self.split == Split::Message;
        // What is forgotten costs tries, no more.
        if self.next.len() >= MAX_NEXT && !self.next.contains_key(&stem) {
            self.next.clear();
        }
        let next = self.next.entry(stem.clone()).or_insert(0);
        let names = (*next..).map(|n| {
            *next = n.saturating_add(1);
            match n {
                0 if !numbered => format!("{stem}.pcapng").into(),
                n => format!("{stem}.{n}.pcapng").into(),
            }
        });
        file.finish_at_free(&self.dir, names).map(drop)
    }
}

impl Sink for SplitSink {
    fn source(&mut self, _name: &str) {
        self.encoder.set_evidence(Evidence::default());
    }

    fn piece(&mut self, message: &Message<'_>, picked: &Picked) -> io::Result<()> {
        if picked.is_empty() {
            self.encoder.piece(message, picked, &mut Vec::new());
            return Ok(());
        }
        if picked.begins {
            if self.split == Split::Message {
                self.finish()?;
            }
            self.current = Some(self.group(message));
        }
        let Some(index) = self.current else {
            return Ok(());
        };
        let Some(group) = self.groups.get_mut(index) else {
            return Ok(());
        };
        let before = group.buffer.len();
        self.encoder.piece(message, picked, &mut group.buffer);
        self.gathered += group.buffer.len() - before;
        self.spill(index)
    }

    fn packet(&mut self, message: &Message<'_>, packet: &Captured<'_>) -> io::Result<()> {
        let Some(index) = self.current else {
            return Ok(());
        };
        if let Some(group) = self.groups.get_mut(index) {
            let before = group.buffer.len();
            self.encoder.captured(message, packet, &mut group.buffer);
            self.gathered += group.buffer.len() - before;
        }
        self.spill(index)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        for index in 0..self.groups.len() {
            self.finish_group(index)?;
        }
        self.groups.clear();
        self.grouping = Grouping::new(self.split);
        self.current = None;
        Ok(())
    }
}
