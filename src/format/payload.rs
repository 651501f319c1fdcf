//! Payloads: what the cells of an event mean, by stack, sub-type and release.
//!
//! The 104 stack specific bytes and the two `flex` fields of a record are cells
//! without names of their own. A [`Payload`] names those of one event, or of one
//! sub-type of it, and has a [`Sentence`] that says what happened.

mod cell;
mod declared;
mod sentence;
#[cfg(test)]
mod tests;

pub use cell::{Cell, RecordCell, Source};
pub use declared::{CellSet, Declared, Mistake, Names};
pub use sentence::{Part, Sentence};

use super::table::EventId;
use super::{BitTable, CodeTable, Release, ReleaseRange};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::mem::discriminant;

/// Numbers that may be addresses of a 64-bit kernel: amd64, arm64 and riscv64
/// have theirs where the top 16 bits are all ones. Small negative numbers are
/// none.
pub const KERNEL_ADDRESSES: std::ops::Range<u64> = 0xffff_0000_0000_0000..u64::MAX - 0x00ff_ffff;

/// A family of TCP stacks: what decides how stack specific bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stack {
    /// The base stack, `freebsd`.
    Base,
    Rack,
    Bbr,
}

impl Stack {
    pub const ALL: [Stack; 3] = [Stack::Base, Stack::Rack, Stack::Bbr];

    /// The name under which the kernel registers the family's stack.
    pub fn name(self) -> &'static str {
        match self {
            Stack::Base => "freebsd",
            Stack::Rack => "rack",
            Stack::Bbr => "bbr",
        }
    }

    /// The family of a stack by its registered name, whose end may name a
    /// variant (`rack_18q`); `None` for a stack of no known family.
    pub fn of_name(name: &str) -> Option<Stack> {
        let starts = |with: &str| {
            let start = name.as_bytes().get(..with.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
        };
        let family = Stack::ALL.into_iter().find(|stack| starts(stack.name()));
        family.or_else(|| starts("default").then_some(Stack::Base))
    }
}

/// What kind of thing happened: chooses the color.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Loss,
    Timer,
    Ack,
    Pacing,
    Rtt,
    Send,
    State,
    App,
}

impl Class {
    /// As format files write it.
    pub fn name(self) -> &'static str {
        match self {
            Class::Loss => "loss",
            Class::Timer => "timer",
            Class::Ack => "ack",
            Class::Pacing => "pacing",
            Class::Rtt => "rtt",
            Class::Send => "send",
            Class::State => "state",
            Class::App => "app",
        }
    }
}

/// What a number measures; decides how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    Count,
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
    Ticks,
    /// A moment in microseconds, by a clock that may wrap.
    Moment,
    Bytes,
    /// Bytes per second.
    Bandwidth,
    /// Sequence number of what this end sends.
    Sequence,
    /// Sequence number of what the peer sends.
    PeerSequence,
    Percent,
    /// 1/256.
    Gain,
    Bool,
    Hex,
    /// Of the kernel's source.
    Line,
    /// Kernel address.
    Pointer,
    /// Bits with names: an index into the tables of bits.
    Flags(usize),
    /// Values with names: an index into the tables of codes.
    Code(usize),
}

impl Unit {
    /// The symbol of the unit, where it has one.
    pub fn symbol(&self) -> &'static str {
        match self {
            Unit::Nanoseconds => "ns",
            Unit::Microseconds | Unit::Moment => "µs",
            Unit::Milliseconds => "ms",
            Unit::Seconds => "s",
            Unit::Ticks => "ticks",
            Unit::Bytes => "bytes",
            Unit::Bandwidth => "bytes/s",
            Unit::Percent => "%",
            Unit::Gain => "1/256",
            _ => "",
        }
    }
}

/// One named field of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadField {
    pub name: String,
    pub cell: Cell,
    /// The cell as the format file writes it.
    pub cell_text: String,
    pub unit: Unit,
    /// The kind as the format file writes it.
    pub kind: String,
    pub signed: bool,
    pub doc: String,
}

/// A condition on one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub cell: Cell,
    /// The cell as the format file writes it.
    pub cell_text: String,
    /// Ranges, both ends included; one of them must hold the value.
    pub values: Vec<(u64, u64)>,
}

impl Condition {
    #[inline]
    pub fn holds(&self, value: u64) -> bool {
        self.values
            .iter()
            .any(|(lo, hi)| (*lo..=*hi).contains(&value))
    }
}

/// Shows as `flex8 = 0, 3..7`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = ", self.cell_text)?;
        for (at, (lo, hi)) in self.values.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            match lo == hi {
                true => write!(f, "{comma}{lo}")?,
                false => write!(f, "{comma}{lo}..{hi}")?,
            }
        }
        Ok(())
    }
}

/// What the cells of one event, or of one sub-type of it, mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    pub event: EventId,
    /// The group in the names of Wireshark's fields.
    pub name: String,
    /// `None`: whatever the stack.
    pub stack: Option<Stack>,
    pub since: Option<Release>,
    pub until: Option<Release>,
    pub when: Vec<Condition>,
    pub class: Option<Class>,
    pub says: Sentence,
    pub fields: Vec<PayloadField>,
}

impl Payload {
    pub fn range(&self) -> ReleaseRange {
        ReleaseRange {
            since: self.since,
            until: self.until,
        }
    }

    /// The name of the stack, or that of what all stacks share.
    pub fn stack_name(&self) -> &'static str {
        self.stack.map_or("tcp", Stack::name)
    }
}

/// All payloads, in the order of the files.
#[derive(Clone, Debug, Default)]
pub struct Payloads {
    entries: Vec<Payload>,
    /// Every table of bits and of codes, those that only payloads name
    /// included.
    pub bits: Vec<BitTable>,
    pub codes: Vec<CodeTable>,
}

impl Payloads {
    /// The same name must mean the same in all payloads of a group, for it is
    /// one field in Wireshark. With a mistake comes the index of the payload
    /// that contradicts an earlier one.
    pub fn new(
        entries: Vec<Payload>,
        bits: Vec<BitTable>,
        codes: Vec<CodeTable>,
    ) -> Result<Payloads, (usize, Mistake)> {
        let mut kinds: BTreeMap<(&str, &str, &str), &PayloadField> = BTreeMap::new();
        for (at, payload) in entries.iter().enumerate() {
            for field in &payload.fields {
                let key = (
                    payload.stack_name(),
                    payload.name.as_str(),
                    field.name.as_str(),
                );
                let known = kinds.entry(key).or_insert(field);
                // Tables may change over time.
                let sort = |field: &PayloadField| (field.signed, discriminant(&field.unit));
                if sort(known) != sort(field) {
                    let mistake = Mistake {
                        within: format!("payload {} of event {}", payload.name, payload.event),
                        what: format!(
                            "{} is {} here and {} elsewhere",
                            field.name, field.kind, known.kind
                        ),
                    };
                    return Err((at, mistake));
                }
            }
        }
        drop(kinds);
        Ok(Payloads {
            entries,
            bits,
            codes,
        })
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Payload> {
        self.entries.iter()
    }

    /// Those that `release` has for `event` when `stack` logs it: the stack's
    /// own before those of all stacks, each in the order of the files.
    pub fn of(
        &self,
        event: EventId,
        stack: Option<Stack>,
        release: Release,
    ) -> impl Iterator<Item = &Payload> {
        let all = move |wanted: Option<Stack>| {
            self.entries.iter().filter(move |payload| {
                payload.event == event
                    && payload.stack == wanted
                    && payload.range().contains(release)
            })
        };
        let own = stack.map(|stack| all(Some(stack)));
        own.into_iter().flatten().chain(all(None))
    }

    /// True if some payload of `event` is that stack's own.
    pub fn has_own(&self, event: EventId, stack: Stack) -> bool {
        let own = |payload: &Payload| payload.event == event && payload.stack == Some(stack);
        self.entries.iter().any(own)
    }
}

impl<'a> IntoIterator for &'a Payloads {
    type Item = &'a Payload;
    type IntoIter = std::slice::Iter<'a, Payload>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
