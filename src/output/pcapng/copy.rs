//! Filtering pcapng into pcapng: blocks are copied as they are.
//!
//! Comments, options of other programs and the byte order of the file stay,
//! because nothing is decoded and written again. A section whose records all
//! go, goes.

use crate::input::Batch;
use crate::input::pcapng::Role;
use crate::select::Picked;
use std::io::{self, Write};

/// Copies wanted blocks.
pub struct BlockCopy<W> {
    out: W,
    ready: Vec<u8>,
    /// Blocks of the section that wait for its first wanted record.
    waiting: Vec<u8>,
    /// A block of missing serial numbers, which waits for its record.
    gap: Vec<u8>,
    /// A section is open that has no record so far, wanted or not.
    bare: bool,
    /// Copy everything, sections without records too.
    everything: bool,
}

const CHUNK: usize = 256 * 1024;

impl<W: Write> BlockCopy<W> {
    pub fn new(out: W, everything: bool) -> BlockCopy<W> {
        BlockCopy {
            out,
            ready: Vec::with_capacity(2 * CHUNK),
            waiting: Vec::new(),
            gap: Vec::new(),
            bare: false,
            everything,
        }
    }

    pub fn into_inner(self) -> W {
        self.out
    }

    /// Copies the wanted blocks of one batch; `picks` has one entry a piece.
    pub fn batch(&mut self, batch: &Batch, picks: &[Picked]) -> io::Result<()> {
        let empty: Vec<bool> = batch.messages().map(|m| m.records.is_empty()).collect();
        let empty_wanted = |piece: usize| {
            let picked = picks
                .get(piece)
                .filter(|_| empty.get(piece) == Some(&true))?;
            Some(picked.begins)
        };
        // The first piece that no block has told of yet.
        let mut next = 0;
        for block in &batch.blocks {
            let bytes = batch.raw.get(block.range.clone()).unwrap_or(&[]);
            if self.everything {
                self.ready.extend_from_slice(bytes);
                continue;
            }
            match block.role {
                Role::Section => {
                    next += usize::from(self.end_of_section(empty_wanted(next)));
                    self.bare = true;
                    self.waiting.clear();
                    self.gap.clear();
                    self.waiting.extend_from_slice(bytes);
                }
                Role::Skipped => self.gap.extend_from_slice(bytes),
                Role::Other if self.waiting.is_empty() => self.ready.extend_from_slice(bytes),
                Role::Other => self.waiting.extend_from_slice(bytes),
                Role::Record { piece, at } => {
                    next = next.max(piece + 1);
                    self.bare = false;
                    if picks.get(piece).is_some_and(|picked| wanted(picked, at)) {
                        self.ready.append(&mut self.waiting);
                        self.ready.append(&mut self.gap);
                        self.ready.extend_from_slice(bytes);
                    }
                    self.gap.clear();
                }
            }
        }
        if !self.everything {
            self.end_of_section(empty_wanted(next));
        }
        if self.ready.len() >= CHUNK {
            self.flush()?;
        }
        Ok(())
    }

    /// A section without records is a piece by itself, which comes once the
    /// section ends. `wanted`: whether that is wanted, if the next piece is
    /// one without records. True if it was this section's.
    fn end_of_section(&mut self, wanted: Option<bool>) -> bool {
        if wanted == Some(true) && self.bare {
            self.ready.append(&mut self.waiting);
            self.ready.append(&mut self.gap);
        }
        wanted.is_some() && self.bare
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.ready)?;
        self.ready.clear();
        self.out.flush()
    }
}

fn wanted(picked: &Picked, at: usize) -> bool {
    let after = picked
        .spans
        .partition_point(|span| span.records.start <= at);
    after
        .checked_sub(1)
        .and_then(|index| picked.spans.get(index))
        .is_some_and(|span| span.records.contains(&at))
}
