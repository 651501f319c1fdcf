//! Wireshark's plugin: the tables as Lua data, before the Lua code that reads
//! them.

mod payloads;

use super::layout::{Kind, Layout};
use super::payload::KERNEL_ADDRESSES;
use super::{BitTable, CodeTable, Formats, Release, Stack, Unit};
use payloads::Fields;
use std::io::{self, Write};

/// The code that is the same for any tables, in the order in which its parts
/// use each other.
const CODE: [&str; 5] = [
    include_str!("../../formats/wireshark/numbers.lua"),
    include_str!("../../formats/wireshark/tables.lua"),
    include_str!("../../formats/wireshark/row.lua"),
    include_str!("../../formats/wireshark/evidence.lua"),
    include_str!("../../formats/wireshark/dissector.lua"),
];

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
    let (from, upto) = (KERNEL_ADDRESSES.start, KERNEL_ADDRESSES.end);
    let bounds = [payloads::halves(from), payloads::halves(upto)].join(",");
    writeln!(out, "kernel_addresses = {{{bounds}}},")?;
    events(formats, out)?;
    views(formats, out)?;
    let fields = Fields::of(formats);
    fields.write(formats, out)?;
    payloads::write(formats, &fields, out)?;
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
    for table in bits
        .into_iter()
        .filter_map(|at| formats.payloads().bits.get(at))
    {
        bit_table(table, out)?;
    }
    let codes = used(|unit| match unit {
        Unit::Code(at) => Some(*at),
        _ => None,
    });
    writeln!(out, "}},\ncodes = {{")?;
    for table in codes
        .into_iter()
        .filter_map(|at| formats.payloads().codes.get(at))
    {
        code_table(table, out)?;
    }
    writeln!(out, "}},\n}}\n")?;
    out.write_all(CODE.join("\n").as_bytes())
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
    layout.fields.iter().filter(|field| !field.is_padding())
}

/// The record's own fields: name, type, offset, size, shift, width, doc.
fn state(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "state = {{")?;
    let record = &Formats::canonical().record;
    for field in &record.fields {
        let (prefix, shift, width) = match field.kind {
            Kind::Unsigned => ("uint", 0, 8 * field.size),
            Kind::Signed => ("int", 0, 8 * field.size),
            Kind::Bits { low, width } => ("uint", usize::from(low), usize::from(width)),
            _ => continue,
        };
        // The time is the row's own, and the cells have names by payload.
        let apart = ["tlb_tv.", "tlb_stackinfo."];
        if apart.iter().any(|part| field.name.starts_with(part))
            || field.is_padding()
            || field.offset + field.size > INFO_LEN
        {
            continue;
        }
        writeln!(
            out,
            "{{{},\"{prefix}{}\",{},{},{shift},{width},{}}},",
            quoted(&field.public_name()),
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

/// Each code: its value, its name, its releases, its name in words.
fn code_table(table: &CodeTable, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "[{}]={{", quoted(&table.name))?;
    for code in table {
        let (since, until) = (bound(code.since), bound(code.until));
        let mut said = Vec::new();
        super::table::in_words(&mut said, &code.name);
        let said = quoted(&String::from_utf8_lossy(&said));
        let name = quoted(&code.name);
        writeln!(out, "{{{},{name},{since},{until},{said}}},", code.value)?;
    }
    writeln!(out, "}},")
}
