//! The fields and payloads of the plugin.

use super::{bound, quoted};
use crate::format::payload::{Cell, Part, PayloadField, RecordCell, Source};
use crate::format::{Formats, Payload, Unit};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Wireshark's fields: one for all payloads of a group that have the name.
pub(super) struct Fields<'a> {
    pub list: Vec<Named<'a>>,
    places: BTreeMap<(&'static str, &'a str, &'a str), usize>,
}

pub(super) struct Named<'a> {
    group: (&'static str, &'a str),
    pub field: &'a PayloadField,
    /// Bits of the widest cell that it is read from.
    width: u8,
}

impl<'a> Fields<'a> {
    pub fn of(formats: &'a Formats) -> Fields<'a> {
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
    pub fn write(&self, formats: &Formats, out: &mut impl Write) -> io::Result<()> {
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
                Unit::Flags(at) => formats.payloads().bits.get(at).map(|table| &table.name),
                Unit::Code(at) => formats.payloads().codes.get(at).map(|table| &table.name),
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

pub(super) fn write(
    formats: &Formats,
    fields: &Fields<'_>,
    out: &mut impl Write,
) -> io::Result<()> {
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
            write!(out, ",class={}", quoted(class.name()))?;
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

/// A number as Lua's doubles can hold it.
pub(super) fn halves(n: u64) -> String {
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
