//! Wireshark's plugin: the tables as Lua data, before the Lua code that reads
//! them.

use super::layout::{Kind, Layout};
use super::payload::{Cell, Part, PayloadField, RecordCell, Source};
use super::{BitTable, Class, CodeTable, Formats, Payload, Release, Stack, Unit};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// The code that is the same for any tables.
const CODE: &str = include_str!("../../formats/wireshark/plugin.lua");

/// Bytes of a record that pcapng keeps outside of packets.
const INFO_LEN: usize = 268;

/// What the plugin's preferences are unless the user sets them.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    pub release: Option<Release>,
    /// Stack names by id.
    pub stacks: Vec<(u8, String)>,
}

/// Writes the plugin.
pub fn write(formats: &Formats, defaults: &Defaults, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "-- TCP black box: FreeBSD's TCP blackbox log in Wireshark.\n\
         -- Written by tcplog {} (tcplog formats --wireshark); changes are lost.\n\n\
         local DATA = {{",
        env!("CARGO_PKG_VERSION")
    )?;
    let release = defaults.release.map_or("auto", Release::name);
    writeln!(out, "release = {},", quoted(release))?;
    let stacks = defaults.stacks.iter();
    let stacks: Vec<String> = stacks.map(|(id, name)| format!("{id}={name}")).collect();
    writeln!(out, "stack_names = {},", quoted(&stacks.join(" ")))?;
    let names = |names: Vec<&str>| names.into_iter().map(quoted).collect::<Vec<_>>().join(",");
    let releases = Release::ALL.map(Release::name).to_vec();
    writeln!(out, "releases = {{{}}},", names(releases))?;
    let families = Stack::ALL.map(Stack::name).to_vec();
    writeln!(out, "families = {{{}}},", names(families))?;
    events(formats, out)?;
    views(formats, out)?;
    let fields = Fields::of(formats);
    fields.write(formats, out)?;
    payloads(formats, &fields, out)?;
    state(out)?;
    let used = |wanted: fn(&Unit) -> Option<usize>| -> Vec<usize> {
        let mut used: Vec<usize> = fields
            .list
            .iter()
            .filter_map(|f| wanted(&f.field.unit))
            .collect();
        used.sort_unstable();
        used.dedup();
        used
    };
    let bits = used(|unit| match unit {
        Unit::Flags(at) => Some(*at),
        _ => None,
    });
    writeln!(out, "bits = {{")?;
    for table in bits.into_iter().filter_map(|at| formats.bits.get(at)) {
        bit_table(table, out)?;
    }
    let codes = used(|unit| match unit {
        Unit::Code(at) => Some(*at),
        _ => None,
    });
    writeln!(out, "}},\ncodes = {{")?;
    for table in codes.into_iter().filter_map(|at| formats.codes.get(at)) {
        code_table(table, out)?;
    }
    writeln!(out, "}},\n}}\n")?;
    out.write_all(CODE.as_bytes())
}

/// A Lua string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            // All three digits, for another digit may follow.
            c if c.is_ascii_control() => out.push_str(&format!("\\{:03}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Releases by their place in `releases`, from 1; `nil` where open.
fn bound(release: Option<Release>) -> String {
    release.map_or_else(|| "nil".to_owned(), |r| (r as usize + 1).to_string())
}

/// By number: which entry holds in each release, then the entries.
fn events(formats: &Formats, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "events = {{")?;
    for id in 0..=u8::MAX {
        let mut entries: Vec<String> = Vec::new();
        let mut by_release = Vec::new();
        for release in Release::ALL {
            let Some(event) = formats.events.get(super::EventId(id), release) else {
                continue;
            };
            let parts = [&event.name, &event.says, &event.view].map(|text| quoted(text));
            let entry = format!("{{{}}}", parts.join(","));
            let at = entries.iter().position(|known| *known == entry);
            let at = at.unwrap_or_else(|| {
                entries.push(entry);
                entries.len() - 1
            });
            by_release.push((at + 1).to_string());
        }
        if !entries.is_empty() {
            let (which, what) = (by_release.join(","), entries.join(","));
            writeln!(out, "[{id}]={{{{{which}}},{what}}},")?;
        }
    }
    writeln!(out, "}},")
}

/// By name: name, offset, size of an element, elements.
fn views(formats: &Formats, out: &mut impl Write) -> io::Result<()> {
    let mut names: Vec<&str> = formats
        .events
        .iter()
        .map(|event| event.view.as_str())
        .collect();
    names.push(super::table::DEFAULT_VIEW);
    names.sort_unstable();
    names.dedup();
    writeln!(
        out,
        "default_view = {},",
        quoted(super::table::DEFAULT_VIEW)
    )?;
    writeln!(out, "views = {{")?;
    for name in names {
        let Some(layout) = formats.view(name) else {
            continue;
        };
        write!(out, "[{}]={{", quoted(name))?;
        for field in cells(layout) {
            let size = field.size.max(1);
            let element = match field.kind {
                Kind::Array { element } => usize::from(element).clamp(1, size),
                _ => size,
            };
            let (name, offset) = (quoted(&field.name), field.offset);
            write!(out, "{{{name},{offset},{element},{}}},", size / element)?;
        }
        writeln!(out, "}},")?;
    }
    writeln!(out, "}},")
}

fn cells(layout: &Layout) -> impl Iterator<Item = &super::layout::Field> {
    layout
        .fields
        .iter()
        .filter(|field| !field.name.starts_with("_pad"))
}

/// Wireshark's fields: one for all payloads of a group that have the name.
struct Fields<'a> {
    list: Vec<Named<'a>>,
    places: BTreeMap<(&'static str, &'a str, &'a str), usize>,
}

struct Named<'a> {
    group: (&'static str, &'a str),
    field: &'a PayloadField,
    /// Bits of the widest cell that it is read from.
    width: u8,
}

impl<'a> Fields<'a> {
    fn of(formats: &'a Formats) -> Fields<'a> {
        let mut fields = Fields {
            list: Vec::new(),
            places: BTreeMap::new(),
        };
        for payload in formats.payloads() {
            let group = (payload.stack_name(), payload.name.as_str());
            for field in &payload.fields {
                let key = (group.0, group.1, field.name.as_str());
                let width = field.cell.width;
                match fields
                    .places
                    .get(&key)
                    .and_then(|at| fields.list.get_mut(*at))
                {
                    Some(known) => known.width = known.width.max(width),
                    None => {
                        fields.places.insert(key, fields.list.len());
                        fields.list.push(Named {
                            group,
                            field,
                            width,
                        });
                    }
                }
            }
        }
        fields
    }

    /// From 1, as Lua counts.
    fn place(&self, payload: &Payload, field: &PayloadField) -> usize {
        let key = (
            payload.stack_name(),
            payload.name.as_str(),
            field.name.as_str(),
        );
        self.places.get(&key).map_or(0, |at| at + 1)
    }

    /// Filter, name, type, unit, table, doc.
    fn write(&self, formats: &Formats, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "fields = {{")?;
        for named in &self.list {
            let (field, (stack, group)) = (named.field, named.group);
            let size = match named.width {
                0..=8 => "8",
                9..=16 => "16",
                17..=32 => "32",
                _ => "64",
            };
            let kind = match (&field.unit, field.signed) {
                (Unit::Pointer, _) => "string".to_owned(),
                (_, true) => format!("int{size}"),
                (_, false) => format!("uint{size}"),
            };
            let table = match field.unit {
                Unit::Flags(at) => formats.bits.get(at).map(|table| &table.name),
                Unit::Code(at) => formats.codes.get(at).map(|table| &table.name),
                _ => None,
            };
            let unit = field.kind.strip_prefix("signed ").unwrap_or(&field.kind);
            let unit = unit.split(' ').next().unwrap_or(unit);
            writeln!(
                out,
                "{{{},{},{},{},{},{}}},",
                quoted(&format!("tcplog.{stack}.{group}.{}", field.name)),
                quoted(&field.name),
                quoted(&kind),
                quoted(unit),
                table.map_or_else(|| "nil".to_owned(), |name| quoted(name)),
                quoted(&field.doc)
            )?;
        }
        writeln!(out, "}},")
    }
}

/// Offset in the record, size, shift, width, offset of the low half or false,
/// and whether it is one of the stack specific cells.
fn cell(cell: &Cell) -> String {
    let slots = &Formats::canonical().record_slots;
    let info = usize::from(slots.stackinfo.offset);
    let (offset, low, inside) = match cell.source {
        Source::Info { offset, .. } => (info + usize::from(offset), None, true),
        Source::Halves { high, low } => (
            info + usize::from(high),
            Some(info + usize::from(low)),
            true,
        ),
        Source::Record(cell) => {
            let slot = match cell {
                RecordCell::Flex1 => slots.flex1,
                RecordCell::Flex2 => slots.flex2,
                RecordCell::Len => slots.len,
                RecordCell::Errno => slots.errno,
            };
            (usize::from(slot.offset), None, false)
        }
    };
    let low = low.map_or_else(|| "false".to_owned(), |low| low.to_string());
    let (size, shift, width) = (cell.size(), cell.shift, cell.width);
    format!("{offset},{size},{shift},{width},{low},{inside}")
}

fn payloads(formats: &Formats, fields: &Fields<'_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "payloads = {{")?;
    for payload in formats.payloads() {
        let stack = payload.stack.map_or(0, |stack| stack as usize + 1);
        write!(
            out,
            "{{event={},name={},stack={stack},since={},upto={}",
            payload.event,
            quoted(&payload.name),
            bound(payload.since),
            bound(payload.until)
        )?;
        if let Some(class) = payload.class {
            write!(out, ",class={}", quoted(class_name(class)))?;
        }
        write!(out, ",\n when={{")?;
        for condition in &payload.when {
            write!(out, "{{{{{}}}", cell(&condition.cell))?;
            for (from, to) in &condition.values {
                write!(out, ",{{{},{}}}", halves(*from), halves(*to))?;
            }
            write!(out, "}},")?;
        }
        write!(out, "}},\n says={{")?;
        parts(&payload.says.parts, out)?;
        write!(out, "}},\n fields={{")?;
        for field in &payload.fields {
            write!(
                out,
                "{{{},{}}},",
                fields.place(payload, field),
                cell(&field.cell)
            )?;
        }
        writeln!(out, "}}}},")?;
    }
    writeln!(out, "}},")
}

fn class_name(class: Class) -> &'static str {
    match class {
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

/// A number as Lua's doubles can hold it.
fn halves(n: u64) -> String {
    format!("{},{}", n >> 32, n & u64::from(u32::MAX))
}

/// Text is a string, a field a number, a choice `{field, nonzero, zero}`, an
/// optional part `{optional={...}}`.
fn parts(parts_of: &[Part], out: &mut impl Write) -> io::Result<()> {
    for part in parts_of {
        match part {
            Part::Text(text) => write!(out, "{},", quoted(text))?,
            Part::Field(at) => write!(out, "{},", at + 1)?,
            Part::Choice {
                field,
                nonzero,
                zero,
            } => write!(
                out,
                "{{{},{},{}}},",
                field + 1,
                quoted(nonzero),
                quoted(zero)
            )?,
            Part::Optional(inside) => {
                write!(out, "{{optional={{")?;
                parts(inside, out)?;
                write!(out, "}}}},")?;
            }
        }
    }
    Ok(())
}

/// The record's own fields: name, type, offset, size, shift, width, doc.
fn state(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "state = {{")?;
    let record = &Formats::canonical().record;
    for field in &record.fields {
        let plain = field.name.strip_prefix("tlb_").unwrap_or(&field.name);
        let name = match plain {
            "flags" => "t_flags".to_owned(),
            "flags2" => "t_flags2".to_owned(),
            plain => plain.replace('.', "_"),
        };
        let (prefix, shift, width) = match field.kind {
            Kind::Unsigned => ("uint", 0, 8 * field.size),
            Kind::Signed => ("int", 0, 8 * field.size),
            Kind::Bits { low, width } => ("uint", usize::from(low), usize::from(width)),
            _ => continue,
        };
        let apart = ["tv.", "stackinfo"]
            .iter()
            .any(|part| plain.starts_with(part));
        if apart || plain.starts_with('_') || field.offset + field.size > INFO_LEN {
            continue;
        }
        writeln!(
            out,
            "{{{},\"{prefix}{}\",{},{},{shift},{width},{}}},",
            quoted(&name),
            8 * field.size,
            field.offset,
            field.size,
            quoted(&field.doc)
        )?;
    }
    writeln!(out, "}},")
}

/// Each flag: its bits, its name, its releases.
fn bit_table(table: &BitTable, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "[{}]={{", quoted(&table.name))?;
    for bit in &table.bit {
        let bits = (0..64).filter(|at| bit.mask >> at & 1 == 1);
        let bits: Vec<String> = bits.map(|at| at.to_string()).collect();
        let (since, until) = (bound(bit.since), bound(bit.until));
        let name = quoted(&bit.name);
        writeln!(out, "{{{{{}}},{name},{since},{until}}},", bits.join(","))?;
    }
    writeln!(out, "}},")
}

fn code_table(table: &CodeTable, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "[{}]={{", quoted(&table.name))?;
    for code in table {
        let (since, until) = (bound(code.since), bound(code.until));
        writeln!(
            out,
            "{{{},{},{since},{until}}},",
            code.value,
            quoted(&code.name)
        )?;
    }
    writeln!(out, "}},")
}
