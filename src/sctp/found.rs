//! What a trace holds: events, losses, damage.

use super::event::Event;
use super::line::LineError;
use std::fmt;

/// What is found in a trace.
pub enum Found<'a> {
    Event(&'a mut Event),
    /// DTrace lost firings.
    Lost(Lost),
    /// Something could not be read.
    Damage(Damage),
}

/// Firings of which nothing was printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Line or object that says so.
    pub place: Place,
    pub count: u64,
    pub what: String,
}

/// A line or object that is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub place: Place,
    /// Its bytes.
    pub lost: u64,
    pub why: LineError,
}

/// Where something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Number of the line, from 1.
    Line(u64),
    /// Number of the object in structured output, from 1, and its first byte.
    Object(u64, u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(line) => write!(f, "line {line}"),
            Place::Object(number, byte) => write!(f, "object {number} at byte {byte}"),
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({} bytes lost)", self.place, self.why, self.lost)
    }
}
