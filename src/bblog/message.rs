//! A message, or as much of one as is at hand: a header and some records.

use super::header::Header;
use super::record::{Record, Records};
use crate::format::Dialect;
use std::sync::Arc;

/// Which of the facts in a message's header its source really held.
///
/// A bare `TCP_LOGBUF` buffer has no header; the one made for it says so here,
/// so that nothing made up is shown as known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    pub addresses: bool,
    pub ports: bool,
    /// Wall clock: without it only uptime is known.
    pub clock: bool,
    /// Log ID, tag and reason.
    pub names: bool,
}

impl Known {
    pub const ALL: Known = Known {
        addresses: true,
        ports: true,
        clock: true,
        names: true,
    };
}

/// Whether the kernel still held a carved record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Life {
    /// Freed, and not overwritten yet.
    Dead,
    /// The memory at hand does not show.
    Unknown,
    /// Reachable from what holds it.
    Live,
}

impl Life {
    pub fn name(self) -> &'static str {
        match self {
            Life::Live => "live",
            Life::Dead => "dead",
            Life::Unknown => "unknown",
        }
    }
}

/// Where a carved record was, and how sure it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Byte offset in the image (after decompression).
    pub image_offset: u64,
    pub virtual_address: Option<u64>,
    pub physical_address: Option<u64>,
    pub life: Life,
    /// 0 to 100.
    pub confidence: u8,
    /// Further places with the same record.
    pub copies: u32,
    /// Where the record stands in [`Message::records`].
    pub at: usize,
}

/// Consecutive records of one message, with its header.
///
/// A message usually comes as one piece. One larger than the input's buffer
/// comes as several, and so does one with a damaged range in it.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub header: Header<'a>,
    /// The records, back to back.
    pub records: &'a [u8],
    pub known: Known,
    /// The first piece of its message.
    pub first: bool,
    /// The last piece of its message.
    pub last: bool,
    /// Where the header stood in the input, bytes (after decompression).
    pub offset: u64,
    /// Name of the stack of these records, where the source gives it.
    pub stack_name: Option<&'a Arc<str>>,
    /// Of carved records, one for each, in their order; else empty.
    pub origins: &'a [Origin],
}

impl<'a> Message<'a> {
    pub fn dialect(&self) -> &'a Dialect {
        self.header.dialect()
    }

    pub fn records(&self) -> Records<'a> {
        Records::new(self.records, self.dialect())
    }

    /// Where one of these records was carved from.
    pub fn origin(&self, record: &Record<'_>) -> Option<&'a Origin> {
        if self.origins.is_empty() {
            return None;
        }
        let start = self.records.as_ptr().addr();
        let at = record.bytes().as_ptr().addr().checked_sub(start)?;
        let found = self.origins.binary_search_by_key(&at, |origin| origin.at);
        self.origins.get(found.ok()?)
    }
}
