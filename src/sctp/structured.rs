//! What JSON and XML output have in common: objects of a list, found one by
//! one in a buffer that may end inside one.

use super::firing::Firing;
use super::{json, xml};

/// Longest object.
pub const MAX_OBJECT: usize = 1024 * 1024;

/// What comes next in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing of interest in so many bytes.
    Skip(usize),
    /// So many bytes may be forgotten; then more are needed.
    More(usize),
    /// From here to there lies no object.
    Garbage(usize, usize),
    /// From here to there lies one.
    Object(usize, usize),
    /// One begins here, and the buffer does not hold its end.
    Open(usize),
}

/// A form of structured output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Markup {
    Json,
    Xml,
}

impl Markup {
    pub fn next(self, text: &[u8], eof: bool) -> Next {
        match self {
            Markup::Json => json::next(text, eof),
            Markup::Xml => xml::next(text, eof),
        }
    }

    pub fn parse(self, object: &[u8]) -> Result<Firing, String> {
        match self {
            Markup::Json => json::parse(object),
            Markup::Xml => xml::parse(object),
        }
    }

    /// Where an object seems to begin, for going on behind a damaged one.
    pub fn resync(self, text: &[u8]) -> Option<usize> {
        match self {
            Markup::Json => json::resync(text),
            Markup::Xml => xml::resync(text),
        }
    }
}
