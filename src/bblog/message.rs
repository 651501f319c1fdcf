//! A message, or as much of one as is at hand: a header and some records.

use super::header::Header;
use super::record::Records;
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
}

impl<'a> Message<'a> {
    pub fn dialect(&self) -> &'a Dialect {
        self.header.dialect()
    }

    pub fn records(&self) -> Records<'a> {
        Records::new(self.records, self.dialect())
    }
}
