//! What `tcplog formats` shows: the formats that are loaded, as text or JSON.
//!
//! [`index`] lists everything there is; [`named`] shows one of its entries.
//! Both give a [`Listing`], a few tables of cells, so that text and JSON
//! cannot disagree.

use super::layout::{Kind, Layout};
use super::{Abi, Dialect, Formats, Order, ReleaseRange};
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// Tables to show, in order.
#[derive(Clone, Debug)]
pub struct Listing {
    tables: Vec<Table>,
}

#[derive(Clone, Debug)]
struct Table {
    name: String,
    doc: String,
    /// Of a structure: its bytes.
    size: Option<usize>,
    columns: &'static [Column],
    rows: Vec<Vec<Cell>>,
}

/// A column: its JSON key, which in capitals heads the column in text.
type Column = &'static str;

#[derive(Clone, Debug)]
enum Cell {
    Text(String),
    Number(i64),
    /// Shown in hexadecimal.
    Mask(u64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Cell {
        // Counts and offsets of things that lie in memory.
        Cell::Number(number as i64)
    }
}

/// Why a name shows nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ListingError {
    #[error("no format named {name:?}{}", near_text(.near))]
    UnknownName {
        name: String,
        /// Names that are spelled alike, the most alike first.
        near: Vec<String>,
    },
    #[error("{name:?}: {what:?} is not {expected}")]
    Suffix {
        name: String,
        what: String,
        expected: String,
    },
}

fn near_text(near: &[String]) -> String {
    match near {
        [] => "; without a name, all are listed".to_owned(),
        near => format!("; did you mean {}?", near.join(" or ")),
    }
}

/// Everything that is loaded, each with the name that [`named`] takes.
pub fn index(formats: &Formats) -> Listing {
    let mut versions = Table::new(
        "versions",
        "Versions of the record (TCP_LOG_BUF_VER)",
        &["name", "releases", "status"],
    );
    for version in &formats.versions {
        let name = format!("v{}", version.number);
        let (releases, status) = (version.releases.as_str(), version.status.as_str());
        versions.push([name.into(), releases.into(), status.into()]);
    }

    let mut sizes = Table::new(
        "layouts",
        "Bytes by ABI; append /little or /big for a byte order",
        &["name", "header", "record", "with_verbose"],
    );
    for dialect in little_endian(formats) {
        let name = format!("v{}/{}", dialect.version, dialect.abi);
        let (header, record) = (dialect.header.size, dialect.record.size);
        let verbose = record + dialect.verbose.size;
        sizes.push([name.into(), header.into(), record.into(), verbose.into()]);
    }

    let mut structures = Table::new(
        "structures",
        "Structures of the newest version; append /ABI or /ABI/ORDER",
        &["name", "size", "meaning"],
    );
    for layout in newest(formats, Abi::Lp64, Order::Little)
        .map(structures_of)
        .unwrap_or_default()
    {
        let (name, doc) = (layout.name.as_str(), layout.doc.as_str());
        structures.push([name.into(), layout.size.into(), doc.into()]);
    }

    let mut tables = Table::new(
        "tables",
        "Names of numbers",
        &["name", "kind", "entries", "meaning"],
    );
    tables.push([
        EVENTS.into(),
        "events".into(),
        formats.events.iter().count().into(),
        EVENTS_DOC.into(),
    ]);
    for bits in &formats.payloads().bits {
        let (name, doc) = (bits.name.as_str(), bits.doc.as_str());
        tables.push([
            name.into(),
            "bits".into(),
            bits.bit.len().into(),
            doc.into(),
        ]);
    }
    for codes in &formats.payloads().codes {
        let (name, doc) = (codes.name.as_str(), codes.doc.as_str());
        let count = codes.iter().count();
        tables.push([name.into(), "codes".into(), count.into(), doc.into()]);
    }
    Listing {
        tables: vec![versions, sizes, structures, tables],
    }
}

const EVENTS: &str = "events";
const EVENTS_DOC: &str = "What happened: tlb_eventid";

/// The one that is called `name`:
///
/// * `v9`, `v9/i386` or `v9/i386/big`: header, record and verbose part of a
///   version; LP64 and little endian where not given;
/// * a structure, `tcp_log_bbr` or `tcp_log_buffer/i386`, of the newest version;
/// * `events`; a table of bits, `tlb_flags`; a table of codes, `tcp_states`.
pub fn named(formats: &Formats, name: &str) -> Result<Listing, ListingError> {
    let (base, suffix) = match name.split_once('/') {
        Some((base, suffix)) => (base, Some(suffix)),
        None => (name, None),
    };
    if suffix.is_none()
        && let Some(table) = numbers(formats, base)
    {
        return Ok(Listing {
            tables: vec![table],
        });
    }
    let (abi, order) = platform(name, suffix)?;
    let version = base.strip_prefix('v').and_then(|n| n.parse().ok());
    if let Some(dialect) = version.and_then(|number| formats.dialect(number, abi, order)) {
        let parts = [&dialect.header, &dialect.record, &dialect.verbose];
        return Ok(Listing {
            tables: parts.map(|part| structure(part, order)).into(),
        });
    }
    let found = newest(formats, abi, order)
        .map(structures_of)
        .unwrap_or_default()
        .into_iter()
        .find(|layout| layout.name == base);
    match found {
        Some(layout) => Ok(Listing {
            tables: vec![structure(layout, order)],
        }),
        None => Err(ListingError::UnknownName {
            name: name.to_owned(),
            near: near(formats, base),
        }),
    }
}

/// Reads `ABI` or `ABI/ORDER`.
fn platform(name: &str, suffix: Option<&str>) -> Result<(Abi, Order), ListingError> {
    let wrong = |what: &str, expected: String| ListingError::Suffix {
        name: name.to_owned(),
        what: what.to_owned(),
        expected,
    };
    let Some(suffix) = suffix else {
        return Ok((Abi::Lp64, Order::Little));
    };
    let (abi, order) = match suffix.split_once('/') {
        Some((abi, order)) => (abi, Some(order)),
        None => (suffix, None),
    };
    let known = Abi::ALL.map(Abi::name).join(", ");
    let abi = Abi::from_name(abi).ok_or_else(|| wrong(abi, format!("an ABI: {known}")))?;
    let order = match order {
        None => Order::Little,
        Some(order) => Order::from_name(order)
            .ok_or_else(|| wrong(order, "a byte order: little, big".to_owned()))?,
    };
    Ok((abi, order))
}

fn little_endian(formats: &Formats) -> Vec<&Dialect> {
    let mut dialects: Vec<&Dialect> = formats
        .dialects
        .iter()
        .map(|dialect| &**dialect)
        .filter(|dialect| dialect.order == Order::Little)
        .collect();
    dialects.sort_by_key(|dialect| dialect.version);
    dialects
}

fn newest(formats: &Formats, abi: Abi, order: Order) -> Option<&Dialect> {
    let newest = formats.versions.last()?;
    formats
        .dialect(newest.number, abi, order)
        .map(|dialect| &**dialect)
}

/// The structures of a version: its three parts, and the views of its unions.
fn structures_of(dialect: &Dialect) -> Vec<&Layout> {
    let mut all = vec![&dialect.header, &dialect.record, &dialect.verbose];
    all.extend(dialect.record.views.iter().map(|view| &view.layout));
    all
}

fn structure(layout: &Layout, order: Order) -> Table {
    let columns = &["offset", "size", "type", "field", "meaning"];
    let mut table = Table::new(&layout.name, &layout.doc, columns);
    table.size = Some(layout.size);
    for field in &layout.fields {
        let meaning = match field.kind {
            Kind::Bits { low, width } => {
                // As Slot reads it: the first bit field takes the low bits on
                // little-endian machines and the high bits on big-endian ones.
                let shift = match order {
                    Order::Little => low,
                    Order::Big => 8 - low - width,
                };
                let last = shift + width - 1;
                format!("{} (bits {shift} to {last}, 0 is lowest)", field.doc)
            }
            _ => field.doc.clone(),
        };
        table.push([
            field.offset.into(),
            field.size.into(),
            field.c_type.as_str().into(),
            field.name.as_str().into(),
            meaning.into(),
        ]);
    }
    table
}

fn numbers(formats: &Formats, name: &str) -> Option<Table> {
    if name == EVENTS {
        let columns = &["id", "name", "constant", "releases", "meaning"];
        let mut table = Table::new(EVENTS, EVENTS_DOC, columns);
        for event in &formats.events {
            table.push([
                Cell::Number(event.id.into()),
                event.name.as_str().into(),
                event.constant.as_str().into(),
                releases(event.range()).into(),
                event.says.as_str().into(),
            ]);
        }
        return Some(table);
    }
    if let Some(bits) = formats.payloads().bits.iter().find(|t| t.name == name) {
        let mut table = Table::new(&bits.name, &bits.doc, &["mask", "name", "releases"]);
        for bit in &bits.bit {
            let range = releases(bit.range());
            table.push([Cell::Mask(bit.mask), bit.name.as_str().into(), range.into()]);
        }
        return Some(table);
    }
    let codes = formats.payloads().codes.iter().find(|t| t.name == name)?;
    let mut table = Table::new(&codes.name, &codes.doc, &["value", "name", "releases"]);
    for code in codes {
        let range = releases(code.range());
        let value = Cell::Number(code.value);
        table.push([value, code.name.as_str().into(), range.into()]);
    }
    Some(table)
}

/// A range of releases in words.
fn releases(range: ReleaseRange) -> String {
    match (range.since, range.until) {
        (None, None) => "all".to_owned(),
        (Some(since), None) => format!("{since} and later"),
        (None, Some(until)) => format!("up to {until}"),
        (Some(since), Some(until)) if since == until => since.to_string(),
        (Some(since), Some(until)) => format!("{since} to {until}"),
    }
}

/// Names that are spelled like `name`, or begin with it, best first.
fn near(formats: &Formats, name: &str) -> Vec<String> {
    let versions = formats.versions.iter().map(|v| format!("v{}", v.number));
    let structures = newest(formats, Abi::Lp64, Order::Little)
        .map(structures_of)
        .unwrap_or_default()
        .into_iter()
        .map(|layout| layout.name.clone());
    let bits = formats
        .payloads()
        .bits
        .iter()
        .map(|table| table.name.clone());
    let codes = formats
        .payloads()
        .codes
        .iter()
        .map(|table| table.name.clone());
    let wanted = name.to_lowercase();
    let enough = 1 + wanted.chars().count() / 3;
    let mut near: Vec<(usize, String)> = versions
        .chain(std::iter::once(EVENTS.to_owned()))
        .chain(structures)
        .chain(bits)
        .chain(codes)
        .filter_map(|known| {
            let contains = wanted.len() > 1 && known.contains(&wanted);
            let distance = edit_distance(&wanted, &known);
            (contains || distance <= enough).then_some((distance, known))
        })
        .collect();
    near.sort();
    if let Some((0, _)) = near.first() {
        // The right name in the wrong case, or with a suffix that it cannot have.
        near.truncate(1);
    }
    near.truncate(5);
    near.into_iter().map(|(_, known)| known).collect()
}

/// How many letters must be added, dropped or changed (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        // What stood diagonally above, and to the left, of the next cell.
        let (mut diagonal, mut left) = (i, i + 1);
        for (cell, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let changed = diagonal + usize::from(from != to);
            diagonal = *cell;
            left = changed.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

impl Table {
    fn new(name: &str, doc: &str, columns: &'static [Column]) -> Table {
        Table {
            name: name.to_owned(),
            doc: doc.to_owned(),
            size: None,
            columns,
            rows: Vec::new(),
        }
    }

    fn push<const N: usize>(&mut self, row: [Cell; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.rows.push(row.into());
    }
}

impl Cell {
    fn text(&self, width: usize) -> String {
        match self {
            Cell::Text(text) => format!("{text:<width$}"),
            Cell::Number(number) => format!("{number:>width$}"),
            Cell::Mask(mask) => format!("{:>width$}", format!("{mask:#x}")),
        }
    }

    /// Numbers that a double cannot hold become text, as everywhere in our JSON.
    fn json(&self) -> Value {
        const EXACT: u64 = 1 << 53;
        match self {
            Cell::Text(text) => json!(text),
            Cell::Number(number) if number.unsigned_abs() > EXACT => json!(number.to_string()),
            Cell::Number(number) => json!(number),
            Cell::Mask(mask) if *mask > EXACT => json!(mask.to_string()),
            Cell::Mask(mask) => json!(mask),
        }
    }
}

impl Listing {
    /// Writes aligned tables, one after the other.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for (at, table) in self.tables.iter().enumerate() {
            if at > 0 {
                writeln!(out)?;
            }
            match table.size {
                Some(size) => writeln!(out, "{}, {size} bytes: {}", table.name, table.doc)?,
                None => writeln!(out, "{}: {}", table.name, table.doc)?,
            }
            let heads: Vec<String> = table.columns.iter().map(|c| c.to_uppercase()).collect();
            let mut widths: Vec<usize> = heads.iter().map(String::len).collect();
            for row in &table.rows {
                for (width, cell) in widths.iter_mut().zip(row) {
                    *width = cell.text(0).chars().count().max(*width);
                }
            }
            // A head stands over its column the way the cells stand.
            let head = heads.iter().enumerate().map(|(at, head)| {
                match table.rows.first().and_then(|row| row.get(at)) {
                    Some(Cell::Number(_) | Cell::Mask(_)) => (head, true),
                    _ => (head, false),
                }
            });
            let head = head
                .zip(&widths)
                .map(|((head, right), &width)| match right {
                    true => format!("{head:>width$}"),
                    false => format!("{head:<width$}"),
                });
            write_line(out, head)?;
            for row in &table.rows {
                let cells = row.iter().zip(&widths);
                write_line(out, cells.map(|(cell, &width)| cell.text(width)))?;
            }
        }
        Ok(())
    }

    /// One JSON document:
    /// `{"schema":1,"tables":[{"name":…,"doc":…,"size":…,"rows":[{…}]}]}`.
    /// The keys of a row are the heads of the columns; only structures have `size`.
    pub fn to_json(&self) -> Value {
        let tables: Vec<Value> = self.tables.iter().map(Table::json).collect();
        json!({ "schema": 1, "tables": tables })
    }

    /// Writes [`Listing::to_json`] and a newline.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &self.to_json())?;
        writeln!(out)
    }
}

impl Table {
    fn json(&self) -> Value {
        let row = |row: &Vec<Cell>| -> Value {
            let keys = self.columns.iter().map(|key| (*key).to_owned());
            let object: Map<String, Value> = keys.zip(row.iter().map(Cell::json)).collect();
            object.into()
        };
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        let mut table = json!({ "name": self.name, "doc": self.doc, "rows": rows });
        if let (Some(size), Some(object)) = (self.size, table.as_object_mut()) {
            object.insert("size".to_owned(), size.into());
        }
        table
    }
}

fn write_line(out: &mut dyn Write, cells: impl Iterator<Item = String>) -> io::Result<()> {
    let line = cells.collect::<Vec<_>>().join("  ");
    writeln!(out, "  {}", line.trim_end())
}
