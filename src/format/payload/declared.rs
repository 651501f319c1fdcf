//! Payloads as format files declare them, and what can be wrong with them.

use super::{Cell, Class, Condition, Payload, PayloadField, Sentence, Stack, Unit};
use crate::format::layout::Layout;
use crate::format::table::{EventId, release};
use crate::format::{BitTable, CodeTable, FormatError, Release};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
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

/// A mistake in a format file.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The payload or set of cells in which it is.
    pub within: String,
    pub what: String,
}

impl Mistake {
    pub(in crate::format) fn in_file(self, path: &Path) -> FormatError {
        FormatError::Content {
            path: path.to_owned(),
            what: self.to_string(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.within, self.what)
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

impl CellSet {
    /// Finds mistakes in the set itself, whatever payload uses it.
    pub fn check(&self, names: Names<'_>) -> Result<(), Mistake> {
        let fields = self.fields.iter().map(|declared| field(declared, names));
        fields
            .collect::<Result<Vec<_>, _>>()
            .and_then(|fields| check_cells(&fields, names.cells))
            .map_err(|what| Mistake {
                within: format!("cells {}", self.name),
                what,
            })
    }
}

impl Declared {
    /// The sets of cells that it takes in.
    pub fn sets(&self) -> &[String] {
        &self.with
    }

    /// The event and the stack that the payload is for: those of a directory
    /// replace the embedded ones of both.
    pub fn key(&self) -> (u8, Option<&str>) {
        (self.event, self.stack.as_deref())
    }

    pub fn resolve(&self, names: Names<'_>) -> Result<Payload, Mistake> {
        self.try_resolve(names).map_err(|what| Mistake {
            within: format!("payload {} of event {}", self.name, self.event),
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
        check_cells(&fields, names.cells)?;
        let says = Sentence::parse(&self.says, |name| {
            fields.iter().position(|field| field.name == name)
        })?;
        let told = |at: &usize| fields.get(*at).filter(|field| field.unit == Unit::Pointer);
        if let Some(field) = says.fields().iter().find_map(told) {
            return Err(format!("says: {} is a kernel address", field.name));
        }
        let mut when = Vec::new();
        for (cell, values) in &self.when {
            when.push(Condition::parse(cell, values, names.cells)?);
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

/// A name stands for one cell, and a bit belongs to one name.
fn check_cells(fields: &[PayloadField], cells: &Layout) -> Result<(), String> {
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
        let coded = |other: &PayloadField| matches!(other.unit, Unit::Code(_));
        if let Some(of) = field.name.strip_suffix("_name")
            && fields.iter().any(|other| other.name == of && coded(other))
        {
            return Err(format!(
                "{} is what the name of {of}'s value is called",
                field.name
            ));
        }
        let raw = cells.field(&field.name);
        if raw.is_some_and(|raw| !field.cell.is_just(raw.offset, raw.size)) {
            return Err(format!("{} is the name of another cell", field.name));
        }
    }
    Ok(())
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

impl Condition {
    fn parse(text: &str, values: &[Values], cells: &Layout) -> Result<Condition, String> {
        let cell = Cell::parse(text, cells)?;
        let values: Vec<(u64, u64)> = values.iter().map(range).collect::<Result<_, _>>()?;
        if values.is_empty() {
            return Err(format!("when: no value for {text}"));
        }
        let highest = u64::MAX >> 64u8.saturating_sub(cell.width);
        if let Some((_, over)) = values.iter().find(|(_, hi)| *hi > highest) {
            return Err(format!("when: {text} is never {over}"));
        }
        Ok(Condition {
            cell,
            cell_text: text.to_owned(),
            values,
        })
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
    if signed
        && matches!(
            unit,
            Unit::Bool | Unit::Hex | Unit::Line | Unit::Pointer | Unit::Flags(_)
        )
    {
        return Err(format!("{name}: {rest} has no sign"));
    }
    Ok(PayloadField {
        name: name.clone(),
        cell: Cell::parse(cell, names.cells).map_err(|what| format!("{name}: {what}"))?,
        cell_text: cell.clone(),
        unit,
        kind: kind.clone(),
        signed,
        doc: doc.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Formats;

    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        cells: Vec<CellSet>,
        #[serde(default)]
        payload: Vec<Declared>,
    }

    /// The payload of a file that has one, with the embedded tables.
    fn resolve(text: &str) -> Result<Payload, Mistake> {
        let file: File = toml::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let formats = Formats::builtin();
        let names = Names {
            cells: formats.view("tcp_log_bbr").expect("a view"),
            bits: &formats.bits,
            codes: &formats.codes,
            sets: &file.cells,
        };
        for set in &file.cells {
            set.check(names)?;
        }
        file.payload.first().expect(text).resolve(names)
    }

    /// A payload with these lines, and one field unless they have some.
    fn payload(lines: &str) -> Result<Payload, Mistake> {
        let mut text = format!("[[payload]]\nevent = 13\n{lines}\n");
        for (key, value) in [
            ("name", "name = \"timer\""),
            ("says", "says = \"\""),
            (
                "fields",
                "fields = [[\"slot_us\", \"flex1\", \"us\", \"\"]]",
            ),
        ] {
            if !lines.lines().any(|line| line.starts_with(key)) {
                text.push_str(value);
                text.push('\n');
            }
        }
        resolve(&text)
    }

    #[test]
    fn a_payload_keeps_what_the_file_writes() {
        let payload = resolve(
            r#"
            [[cells]]
            name = "shared"
            fields = [["slot_us", "flex1", "us", "shared"], ["time_us", "timeStamp", "clock_us", ""],
                      ["half", "flex7[0..7]", "count", ""]]
            [[payload]]
            event = 13
            name = "timer"
            stack = "rack"
            since = "13.0"
            until = "14"
            when = { flex8 = [1, "3..7"], "flex2[0..3]" = ["0..1"] }
            class = "timer"
            with = ["shared"]
            says = "starts[, {timers}] at {time_us}"
            fields = [
              ["slot_us", "flex2", "signed us", "own"],
              ["timers", "flex3", "flags pacer_timer_mask", ""],
              ["line", "flex7[4..15]", "line", ""],
            ]
            "#,
        )
        .expect("right");
        let fields: Vec<(&str, &str, &str, bool)> = payload
            .fields
            .iter()
            .map(|f| (&*f.name, &*f.cell_text, &*f.kind, f.signed))
            .collect();
        // Of the set, what the payload names itself or has bits of is left out.
        let expected = [
            ("slot_us", "flex2", "signed us", true),
            ("timers", "flex3", "flags pacer_timer_mask", false),
            ("line", "flex7[4..15]", "line", false),
            ("time_us", "timeStamp", "clock_us", false),
        ];
        assert_eq!(fields, expected);
        assert_eq!(payload.says.text, "starts[, {timers}] at {time_us}");
        let when: Vec<String> = payload.when.iter().map(ToString::to_string).collect();
        assert_eq!(when, ["flex2[0..3] = 0..1", "flex8 = 1, 3..7"]);
        assert_eq!(payload.stack, Some(Stack::Rack));
        assert_eq!(payload.class, Some(Class::Timer));
        let flex8 = payload.when.get(1).expect("a condition");
        assert!([1, 3, 5, 7].into_iter().all(|value| flex8.holds(value)));
        assert!([0, 2, 8].into_iter().all(|value| !flex8.holds(value)));
    }

    #[test]
    fn every_kind_is_known() {
        let formats = Formats::builtin();
        let table = |unit: &Unit| match unit {
            Unit::Flags(at) => formats.bits.get(*at).map(|table| table.name.clone()),
            Unit::Code(at) => formats.codes.get(*at).map(|table| table.name.clone()),
            _ => None,
        };
        for kind in [
            "count",
            "ns",
            "us",
            "ms",
            "seconds",
            "ticks",
            "clock_us",
            "bytes",
            "bandwidth",
            "seq",
            "rseq",
            "percent",
            "gain",
            "bool",
            "hex",
            "line",
            "pointer",
            "flags tlb_flags",
            "code timers",
        ] {
            for signed in ["", "signed "] {
                let lines = format!("fields = [[\"a\", \"flex1\", \"{signed}{kind}\", \"\"]]");
                let unsigned =
                    ["bool", "hex", "line", "pointer"].contains(&kind) || kind.starts_with("flags");
                if unsigned && !signed.is_empty() {
                    assert!(payload(&lines).is_err(), "{kind}");
                    continue;
                }
                let payload = payload(&lines).expect(kind);
                let field = payload.fields.first().expect("one");
                assert_eq!(field.signed, !signed.is_empty(), "{kind}");
                let name = kind.split_once(' ').map(|(_, table)| table.to_owned());
                assert_eq!(table(&field.unit), name, "{kind}");
            }
        }
    }

    #[test]
    fn mistakes_name_the_payload_and_the_cause() {
        let field =
            |cell: &str, kind: &str| format!("fields = [[\"a\", \"{cell}\", \"{kind}\", \"\"]]");
        for (lines, cause) in [
            (field("flex9", "us"), "a: \"flex9\" is no cell"),
            (field("u32@101", "us"), "a: \"u32@101\" is no cell"),
            (field("flex1[32]", "us"), "a: \"flex1[32]\": no such bits"),
            (field("flex1", "hours"), "a: unknown kind \"hours\""),
            (field("flex1", "unsigned us"), "a: unknown kind \"unsigned us\""),
            (field("flex1", "flags"), "a: unknown kind \"flags\""),
            (field("flex1", "flags none"), "a: no table named \"none\""),
            (field("flex1", "code none"), "a: no table named \"none\""),
            // A table of the other sort.
            (field("flex1", "code tlb_flags"), "a: no table named \"tlb_flags\""),
            (field("flex1", "flags timers"), "a: no table named \"timers\""),
            (
                "fields = [[\"a\", \"flex1\", \"us\", \"\"], [\"b\", \"flex1[3]\", \"bool\", \"\"]]".into(),
                "a and b share a cell",
            ),
            (
                "fields = [[\"a\", \"flex1:flex2\", \"us\", \"\"], [\"b\", \"flex2\", \"us\", \"\"]]".into(),
                "a and b share a cell",
            ),
            (
                "fields = [[\"a\", \"flex1\", \"us\", \"\"], [\"a\", \"flex2\", \"us\", \"\"]]".into(),
                "two fields named a",
            ),
            (
                "fields = [[\"lost\", \"flex1\", \"us\", \"\"]]".into(),
                "lost is the name of another cell",
            ),
            (
                "fields = [[\"lost\", \"lost[0..7]\", \"us\", \"\"]]".into(),
                "lost is the name of another cell",
            ),
            (
                "fields = [[\"aB\", \"flex1\", \"us\", \"\"]]".into(),
                "\"aB\" is no name in snake_case",
            ),
            ("name = \"Timer\"".into(), "\"Timer\" is no name in snake_case"),
            ("name = \"1st\"".into(), "\"1st\" is no name in snake_case"),
            ("name = \"\"".into(), "\"\" is no name in snake_case"),
            ("stack = \"tahoe\"".into(), "unknown stack \"tahoe\""),
            ("with = [\"none\"]".into(), "no set of cells named \"none\""),
            ("since = \"14\"\nuntil = \"13\"".into(), "since is later than until"),
            ("says = \"{slot_us\"".into(), "braces do not match"),
            ("says = \"[{slot_us}\"".into(), "brackets do not match"),
            ("says = \"{none}\"".into(), "no field named \"none\""),
            ("when = { flex9 = [0] }".into(), "\"flex9\" is no cell"),
            ("when = { flex8 = [] }".into(), "no value for flex8"),
            ("when = { flex8 = [256] }".into(), "flex8 is never 256"),
            ("when = { \"flex8[0..1]\" = [\"2..4\"] }".into(), "flex8[0..1] is never 4"),
            ("when = { flex8 = [\"3..1\"] }".into(), "\"3..1\" is no range of values"),
            ("when = { flex8 = [\"3\"] }".into(), "\"3\" is no range of values"),
        ] {
            let mistake = payload(&lines).expect_err(&lines).to_string();
            assert!(mistake.contains(cause), "{lines}: {mistake}");
            let named = lines.strip_prefix("name = \"").map_or("timer", |rest| rest.trim_end_matches('"'));
            let within = format!("payload {named} of event 13: ");
            assert!(mistake.starts_with(&within), "{lines}: {mistake}");
        }
    }

    #[test]
    fn the_lowest_and_highest_values_of_a_condition_are_allowed() {
        for when in [
            "flex8 = [0, 255]",
            "cur_del_rate = [\"0..9223372036854775807\"]",
        ] {
            assert!(payload(&format!("when = {{ {when} }}")).is_ok(), "{when}");
        }
    }

    #[test]
    fn a_mistake_in_a_set_of_cells_names_the_set() {
        let set = |fields: &str| {
            let text = format!(
                "[[cells]]\nname = \"s\"\nfields = [{fields}]\n\
                 [[payload]]\nevent = 1\nname = \"p\"\nsays = \"\""
            );
            resolve(&text).expect_err(fields).to_string()
        };
        let twice = r#"["a", "flex1", "us", ""], ["b", "flex1", "us", ""]"#;
        assert_eq!(set(twice), "cells s: a and b share a cell");
        let unknown = r#"["a", "flex9", "us", ""]"#;
        assert_eq!(set(unknown), "cells s: a: \"flex9\" is no cell");
    }

    #[test]
    fn unknown_keys_classes_and_releases_are_refused() {
        let head = "[[payload]]\nevent = 1\nname = \"p\"\nsays = \"\"\n";
        for (line, cause) in [
            ("colour = \"red\"", "colour"),
            ("class = \"panic\"", "panic"),
            ("since = \"13.7\"", "unknown release \"13.7\""),
            ("when = { flex8 = [-1] }", "did not match any variant"),
            ("fields = [[\"a\", \"flex1\", \"us\"]]", "length 3"),
        ] {
            let text = format!("{head}{line}");
            let error = toml::from_str::<File>(&text).err().expect(line).to_string();
            assert!(error.contains(cause), "{line}: {error}");
        }
    }
}
