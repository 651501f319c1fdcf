//! What `tcplog formats` shows: the formats that are loaded, as text or JSON.
//!
//! [`index`] lists everything there is; [`named`] shows one of its entries.
//! Both give a [`Listing`], a few tables of cells, so that text and JSON
//! cannot disagree.

mod kernels;
mod near;
mod payloads;
mod table;

pub use table::Listing;

use super::layout::{Kind, Layout};
use super::{Abi, Dialect, Event, EventId, Formats, Order, ReleaseRange};
use table::{Cell, Table};

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
        "Names of numbers, and of cells",
        &["name", "kind", "entries", "meaning"],
    );
    tables.push([
        EVENTS.into(),
        "events".into(),
        formats.events.iter().count().into(),
        EVENTS_DOC.into(),
    ]);
    tables.push([
        payloads::PAYLOADS.into(),
        "payloads".into(),
        formats.payloads().iter().count().into(),
        payloads::DOC.into(),
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
        tables: vec![versions, sizes, structures, tables, kernels::index(formats)],
    }
}

const EVENTS: &str = "events";
const EVENTS_DOC: &str = "What happened: tlb_eventid";

/// The one that is called `name`:
///
/// * `v9`, `v9/i386` or `v9/i386/big`: header, record and verbose part of a
///   version; LP64 and little endian where not given;
/// * a structure, `tcp_log_bbr` or `tcp_log_buffer/i386`, of the newest version;
/// * `kernel/13.2-amd64`: offsets of the structures of a kernel;
/// * `events`; a table of bits, `tlb_flags`; a table of codes, `tcp_states`;
/// * `payloads`; those of a name and stack, `rack.timer`, of a name, `timer`,
///   or of an event, `TIMERSTAR` or `13`, which itself is shown if it has none.
pub fn named(formats: &Formats, name: &str) -> Result<Listing, ListingError> {
    if name.starts_with(kernels::FOLDER) {
        let unknown = || ListingError::UnknownName {
            name: name.to_owned(),
            near: near::near(formats, name),
        };
        let tables = kernels::named(formats, name).ok_or_else(unknown)?;
        return Ok(Listing { tables });
    }
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
    if let Some(layout) = found {
        return Ok(Listing {
            tables: vec![structure(layout, order)],
        });
    }
    // Last, for events go by their constants in any case, and a structure can
    // be called like one (tcp_log_sendfile).
    if suffix.is_none() {
        let tables = payloads::named(formats, base);
        if !tables.is_empty() {
            return Ok(Listing { tables });
        }
        // An event of whose cells nothing is known.
        let called = formats.events.find(base);
        let all = formats.events.iter();
        let mut known = all.filter(|e| called.contains(&EventId(e.id))).peekable();
        if known.peek().is_some() {
            return Ok(Listing {
                tables: vec![events(known)],
            });
        }
    }
    Err(ListingError::UnknownName {
        name: name.to_owned(),
        near: near::near(formats, base),
    })
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
                let shift = order.bit_shift(low, width);
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
        return Some(events(formats.events.iter()));
    }
    if name == payloads::PAYLOADS {
        return Some(payloads::all(formats));
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

fn events<'a>(shown: impl Iterator<Item = &'a Event>) -> Table {
    let columns = &["id", "name", "constant", "releases", "meaning"];
    let mut table = Table::new(EVENTS, EVENTS_DOC, columns);
    for event in shown {
        table.push([
            Cell::Number(event.id.into()),
            event.name.as_str().into(),
            event.constant.as_str().into(),
            releases(event.range()).into(),
            event.says.as_str().into(),
        ]);
    }
    table
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
