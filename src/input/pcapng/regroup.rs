//! A merged section back into its messages.
//!
//! Its records stand in time order, those of all messages mixed. They wait in
//! an unnamed file until the section ends; what stays in memory is 24 bytes a
//! record, and the headers.

use super::section::{Section, unknown_header};
use crate::bblog::Known;
use crate::format::Formats;
use crate::input::batch::{Batch, Piece};
use crate::input::damage::Damage;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Records handed out in one batch, bytes.
const CHUNK: usize = 256 * 1024;
/// Pieces in one batch: messages without records fill no bytes.
const MAX_PIECES: usize = 1024;

/// Number of the message that takes records which name none.
pub(super) const NO_MESSAGE: u32 = u32::MAX;

/// Facts of nothing: of a message whose header is lost.
pub(super) const NOTHING: Known = Known {
    addresses: false,
    ports: false,
    clock: false,
    names: false,
};

/// What an interface of a merged section says of a message.
#[derive(Debug)]
pub(super) struct Head {
    pub header: Vec<u8>,
    pub known: Known,
    pub boot_us: i64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    message: u32,
    position: u32,
    offset: u64,
    len: u32,
}

/// Gathers the records of a merged section.
#[derive(Debug, Default)]
pub(super) struct Regroup {
    spool: Option<File>,
    spooled: u64,
    gathered: Vec<u8>,
    index: Vec<Entry>,
    /// Records that name no message, so far.
    nameless: u32,
    /// Why the temporary file cannot be used.
    pub failed: Option<io::Error>,
}

impl Regroup {
    /// Keeps one record; `place`: message and position in it.
    pub fn push(&mut self, place: Option<(u32, u32)>, record: &[u8]) {
        let (message, position) = match place {
            Some((message, position)) if message != NO_MESSAGE => (message, position),
            _ => {
                self.nameless = self.nameless.saturating_add(1);
                (NO_MESSAGE, self.nameless)
            }
        };
        self.index.push(Entry {
            message,
            position,
            offset: self.spooled + self.gathered.len() as u64,
            len: record.len() as u32,
        });
        self.gathered.extend_from_slice(record);
        if self.gathered.len() >= CHUNK
            && let Err(e) = self.spool_out()
        {
            self.failed = Some(e);
        }
    }

    fn spool_out(&mut self) -> io::Result<()> {
        let spool = match &mut self.spool {
            Some(spool) => spool,
            none => none.insert(tempfile::tempfile().map_err(temporary)?),
        };
        spool.write_all(&self.gathered).map_err(temporary)?;
        self.spooled += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }

    fn read(&self, entry: Entry, out: &mut [u8]) -> io::Result<()> {
        // A short section never reaches the file.
        if let Some(at) = entry.offset.checked_sub(self.spooled) {
            let at = at as usize;
            if let Some(record) = self.gathered.get(at..at + out.len()) {
                out.copy_from_slice(record);
            }
            return Ok(());
        }
        match &self.spool {
            Some(spool) => spool.read_exact_at(out, entry.offset).map_err(temporary),
            None => Ok(()),
        }
    }
}

fn temporary(cause: io::Error) -> io::Error {
    io::Error::new(cause.kind(), format!("temporary file: {cause}"))
}

/// Hands out the messages of a merged section that has ended.
#[derive(Debug)]
pub(super) struct Drain {
    regroup: Regroup,
    messages: BTreeMap<u32, Head>,
    stack_name: Option<Arc<str>>,
    offset: u64,
    /// Numbers of all messages, with and without header, ascending.
    numbers: Vec<u32>,
    next_number: usize,
    next_entry: usize,
    /// A piece of the next message was handed out.
    begun: bool,
}

impl Drain {
    pub fn new(section: Section, mut regroup: Regroup) -> Drain {
        // Stable: of two records at one position the first in the file leads.
        regroup.index.sort_by_key(|e| (e.message, e.position));
        let mut numbers: Vec<u32> = section.messages.keys().copied().collect();
        let mut last = None;
        for entry in &regroup.index {
            if last.replace(entry.message) != Some(entry.message)
                && !section.messages.contains_key(&entry.message)
            {
                numbers.push(entry.message);
            }
        }
        numbers.sort_unstable();
        Drain {
            regroup,
            messages: section.messages,
            stack_name: section.stack_name,
            offset: section.offset,
            numbers,
            next_number: 0,
            next_entry: 0,
            begun: false,
        }
    }

    /// Fills the batch; true: nothing is left.
    pub fn step(&mut self, batch: &mut Batch) -> io::Result<bool> {
        while let Some(number) = self.numbers.get(self.next_number).copied() {
            if batch.data.len() >= CHUNK || batch.pieces.len() >= MAX_PIECES {
                return Ok(false);
            }
            self.piece(number, batch)?;
        }
        Ok(true)
    }

    fn piece(&mut self, number: u32, batch: &mut Batch) -> io::Result<()> {
        let start = batch.data.len();
        let mut doubled = 0u64;
        while let Some(entry) = self.upcoming(number) {
            if batch.data.len() >= CHUNK {
                break;
            }
            let before = self.next_entry.checked_sub(1);
            let before = before.and_then(|at| self.regroup.index.get(at));
            if before.is_some_and(|b| (b.message, b.position) == (number, entry.position)) {
                doubled += 1;
            }
            let at = batch.data.len();
            batch.data.resize(at + entry.len as usize, 0);
            if let Some(room) = batch.data.get_mut(at..) {
                self.regroup.read(entry, room)?;
            }
            self.next_entry += 1;
        }
        let last = self.upcoming(number).is_none();
        let mut damaged = |what| {
            batch.damage.push(Damage {
                offset: self.offset,
                lost: 0,
                what,
            });
        };
        if doubled > 0 {
            damaged(format!(
                "{doubled} records of message {number} in this merged section stand where another \
                 of its records does; all are kept"
            ));
        }
        let head = self.messages.get(&number);
        if head.is_none() && !self.begun {
            damaged(if number == NO_MESSAGE {
                "records in this merged section do not say of which message they are; endpoints \
                 and log ID are unknown"
                    .to_owned()
            } else {
                format!(
                    "no interface of this merged section has the header of message {number}; \
                     endpoints and log ID of its records are unknown"
                )
            });
        }
        let header = batch.headers.len();
        match head {
            Some(head) => batch.headers.extend_from_slice(&head.header),
            None => batch.headers.extend_from_slice(&unknown_header()),
        }
        batch.pieces.push(Piece {
            dialect: Arc::clone(Formats::canonical()),
            header_apart: true,
            header: header..batch.headers.len(),
            records: start..batch.data.len(),
            known: head.map_or(NOTHING, |head| head.known),
            first: !self.begun,
            last,
            offset: self.offset,
            stack_name: self.stack_name.clone(),
        });
        self.begun = !last;
        self.next_number += usize::from(last);
        Ok(())
    }

    /// The next record, if it is of this message.
    fn upcoming(&self, number: u32) -> Option<Entry> {
        let entry = self.regroup.index.get(self.next_entry)?;
        (entry.message == number).then_some(*entry)
    }
}
