//! Payloads: what the cells of an event mean, by stack, sub-type and release.
//!
//! The 104 stack specific bytes and the two `flex` fields of a record are cells
//! without names of their own. A [`Payload`] names those of one event, or of one
//! sub-type of it, and has a [`Sentence`] that says what happened.

mod cell;
mod sentence;

pub use cell::{Cell, RecordCell, Source};
pub use sentence::{Part, Sentence};

use super::layout::Layout;
use super::table::{EventId, release};
use super::{BitTable, CodeTable, FormatError, Release, ReleaseRange};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::mem::discriminant;
use std::path::Path;

/// Cells that several payloads share, as a format file declares them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellSet {
    pub name: String,
    /// `[name, cell, kind, doc]`.
    fields: Vec<[String; 4]>,
}

/// A payload as a format file declares it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    event: u8,
    name: String,
    stack: Option<String>,
    #[serde(default, deserialize_with = "release")]
    since: Option<Release>,
    #[serde(default, deserialize_with = "release")]
    until: Option<Release>,
    #[serde(default)]
    when: BTreeMap<String, Vec<Values>>,
    class: Option<Class>,
    #[serde(default)]
    with: Vec<String>,
    says: String,
    #[serde(default)]
    fields: Vec<[String; 4]>,
}

/// A value, or a range `"lo..hi"` with both ends.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Values {
    One(u64),
    Range(String),
}

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

/// A mistake in a format file.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    pub payload: String,
    pub what: String,
}

impl Mistake {
    pub(super) fn in_file(self, path: &Path) -> FormatError {
        FormatError::Content {
            path: path.to_owned(),
            what: self.to_string(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "payload {}: {}", self.payload, self.what)
    }
}

/// What declarations refer to by name.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// The view that names the cells of the 104 bytes.
    pub cells: &'a Layout,
    pub bits: &'a [BitTable],
    pub codes: &'a [CodeTable],
    pub sets: &'a [CellSet],
}

impl Declared {
    /// The event and the stack that the payload is for: those of a directory
    /// replace the embedded ones of both.
    pub fn key(&self) -> (u8, Option<&str>) {
        (self.event, self.stack.as_deref())
    }

    pub fn resolve(&self, names: Names<'_>) -> Result<Payload, Mistake> {
        self.try_resolve(names).map_err(|what| Mistake {
            payload: format!("{} of event {}", self.name, self.event),
            what,
        })
    }

    fn try_resolve(&self, names: Names<'_>) -> Result<Payload, String> {
        check_name(&self.name)?;
        let stack = match self.stack.as_deref() {
            None => None,
            Some(name) => Some(
                Stack::ALL
                    .into_iter()
                    .find(|stack| stack.name() == name)
                    .ok_or_else(|| format!("unknown stack {name:?}"))?,
            ),
        };
        if self.since.zip(self.until).is_some_and(|(s, u)| s > u) {
            return Err("since is later than until".to_owned());
        }
        let mut fields = Vec::new();
        for declared in &self.fields {
            fields.push(field(declared, names)?);
        }
        let own = fields.len();
        for wanted in &self.with {
            let set = names.sets.iter().find(|set| set.name == *wanted);
            let set = set.ok_or_else(|| format!("no set of cells named {wanted:?}"))?;
            for declared in &set.fields {
                let shared = field(declared, names)?;
                let taken =
                    |own: &PayloadField| own.name == shared.name || own.cell.overlaps(&shared.cell);
                if !fields.iter().take(own).any(taken) {
                    fields.push(shared);
                }
            }
        }
        for (at, field) in fields.iter().enumerate() {
            for other in fields.iter().take(at) {
                if other.name == field.name {
                    return Err(format!("two fields named {}", field.name));
                }
                if other.cell.overlaps(&field.cell) {
                    return Err(format!("{} and {} share a cell", other.name, field.name));
                }
            }
            // Cells without a meaning go by the kernel's name for them.
            let raw = names.cells.field(&field.name);
            if raw.is_some_and(|raw| !field.cell.is_just(raw.offset, raw.size)) {
                return Err(format!("{} is the name of another cell", field.name));
            }
        }
        let says = Sentence::parse(&self.says, |name| {
            fields.iter().position(|field| field.name == name)
        })?;
        let mut when = Vec::new();
        for (cell, values) in &self.when {
            when.push(Condition {
                cell: Cell::parse(cell, names.cells)?,
                values: values.iter().map(range).collect::<Result<_, _>>()?,
            });
        }
        Ok(Payload {
            event: EventId(self.event),
            name: self.name.clone(),
            stack,
            since: self.since,
            until: self.until,
            when,
            class: self.class,
            says,
            fields,
        })
    }
}

fn range(values: &Values) -> Result<(u64, u64), String> {
    match values {
        Values::One(value) => Ok((*value, *value)),
        Values::Range(text) => text
            .split_once("..")
            .and_then(|(lo, hi)| Some((lo.parse().ok()?, hi.parse().ok()?)))
            .filter(|(lo, hi)| lo <= hi)
            .ok_or_else(|| format!("{text:?} is no range of values")),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let good = name
        .bytes()
        .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if good && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase) {
        Ok(())
    } else {
        Err(format!("{name:?} is no name in snake_case"))
    }
}

fn field(declared: &[String; 4], names: Names<'_>) -> Result<PayloadField, String> {
    let [name, cell, kind, doc] = declared;
    // The kernel has names with capitals (delRate).
    if names.cells.field(name).is_none() {
        check_name(name)?;
    }
    let (signed, rest) = match kind.strip_prefix("signed ") {
        Some(rest) => (true, rest),
        None => (false, kind.as_str()),
    };
    let table = |found: Option<usize>, table: &str| {
        found.ok_or_else(|| format!("{name}: no table named {table:?}"))
    };
    let unit = match rest {
        "count" => Unit::Count,
        "ns" => Unit::Nanoseconds,
        "us" => Unit::Microseconds,
        "ms" => Unit::Milliseconds,
        "seconds" => Unit::Seconds,
        "ticks" => Unit::Ticks,
        "clock_us" => Unit::Moment,
        "bytes" => Unit::Bytes,
        "bandwidth" => Unit::Bandwidth,
        "seq" => Unit::Sequence,
        "rseq" => Unit::PeerSequence,
        "percent" => Unit::Percent,
        "gain" => Unit::Gain,
        "bool" => Unit::Bool,
        "hex" => Unit::Hex,
        "line" => Unit::Line,
        "pointer" => Unit::Pointer,
        other => match other.split_once(' ') {
            Some(("flags", wanted)) => Unit::Flags(table(
                names.bits.iter().position(|t| t.name == wanted),
                wanted,
            )?),
            Some(("code", wanted)) => Unit::Code(table(
                names.codes.iter().position(|t| t.name == wanted),
                wanted,
            )?),
            _ => return Err(format!("{name}: unknown kind {kind:?}")),
        },
    };
    Ok(PayloadField {
        name: name.clone(),
        cell: Cell::parse(cell, names.cells)?,
        unit,
        kind: kind.clone(),
        signed,
        doc: doc.clone(),
    })
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
    /// one field in Wireshark.
    pub fn new(
        entries: Vec<Payload>,
        bits: Vec<BitTable>,
        codes: Vec<CodeTable>,
    ) -> Result<Payloads, Mistake> {
        let mut kinds: BTreeMap<(&str, &str, &str), &PayloadField> = BTreeMap::new();
        for payload in &entries {
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
                    return Err(Mistake {
                        payload: format!("{} of event {}", payload.name, payload.event),
                        what: format!(
                            "{} is {} here and {} elsewhere",
                            field.name, field.kind, known.kind
                        ),
                    });
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
