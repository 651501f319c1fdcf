//! The report as aligned text.

mod details;
mod flows;
mod says;

use crate::compare::capture::link;
use crate::compare::comparison::{Compared, Comparison, Counts};
use crate::compare::segment::Direction;
use crate::output::escape::Escaped;
use details::details;
use says::{clock_says, counted};
use std::fmt::Write as _;

const COLUMNS: [&str; 12] = [
    "",
    "local",
    "foreign",
    "",
    "log",
    "wire",
    "matched",
    "records",
    "segments",
    "only log",
    "only wire",
    "log ID",
];

/// Columns of text, which stand to the left.
const LEFT: [usize; 5] = [0, 1, 2, 3, 11];

pub fn write(out: &mut Vec<u8>, comparison: &Comparison<'_>, most: usize) {
    let mut text = String::new();
    inputs(&mut text, comparison);
    if !comparison.compared.is_empty() {
        text.push('\n');
        overview(&mut text, comparison);
    }
    if let Some(clock) = &comparison.clock
        && comparison.compared.len() > 1
    {
        let _ = write!(text, "\nclock    {}\n", clock_says(clock));
    }
    for (number, compared) in (1..).zip(&comparison.compared) {
        details(&mut text, comparison, compared, number, most);
    }
    let strangers = comparison.strangers();
    if comparison.segments_not_in_log() > 0 {
        let _ = write!(
            text,
            "\nnot in the {}: {} of {}\n",
            match comparison.log.sniffed {
                Some(_) => "black box log",
                None => "log",
            },
            counted(comparison.segments_not_in_log(), "segment"),
            match strangers.len() {
                0 => "earlier or later connections between the same ends".to_owned(),
                n => counted(n as u64, "other connection"),
            },
        );
        for (tuple, segments) in strangers.iter().take(most) {
            let _ = writeln!(text, "  {} <-> {}: {segments}", tuple.low, tuple.high);
        }
    }
    if let Some(sniffed) = &comparison.log.sniffed {
        flows::flows(&mut text, comparison, sniffed, most);
    }
    out.extend_from_slice(text.as_bytes());
}

fn inputs(text: &mut String, comparison: &Comparison<'_>) {
    for input in &comparison.log.inputs {
        let _ = write!(
            text,
            "log      {}: {}",
            Escaped(input.name.as_bytes()),
            input.format
        );
        if let Some(compression) = &input.compression {
            let _ = write!(text, ", {compression}");
        }
        let _ = write!(text, ", {}", counted(input.records, "record"));
        damaged(text, input.damaged);
    }
    if let Some(sniffed) = &comparison.log.sniffed {
        flows::inputs(text, sniffed);
    }
    for seen in &comparison.wire.captures {
        let _ = write!(
            text,
            "capture  {}: {}",
            Escaped(seen.name.as_bytes()),
            seen.form
        );
        if let Some(compression) = &seen.compression {
            let _ = write!(text, ", {compression}");
        }
        for link in seen.links.keys() {
            let _ = match link::name(*link) {
                Some(name) => write!(text, ", {name}"),
                None => write!(text, ", link type {link} (not read)"),
            };
        }
        let _ = write!(
            text,
            ", {}, {}",
            counted(seen.packets, "packet"),
            counted(seen.segments, "TCP segment")
        );
        for (count, what) in [
            (seen.fragments, "fragments left out"),
            (seen.short, "too short, left out"),
            (seen.cut_options, "with options cut off"),
            (seen.dropped.unwrap_or(0), "lost, as the capture says"),
        ] {
            if count > 0 {
                let _ = write!(text, ", {count} {what}");
            }
        }
        damaged(text, seen.damaged);
    }
}

fn damaged(text: &mut String, ranges: u64) {
    if ranges > 0 {
        let _ = write!(text, "; {}", counted(ranges, "damaged range"));
    }
    text.push('\n');
}

/// Two lines per connection, and the sums.
fn overview(text: &mut String, comparison: &Comparison<'_>) {
    let mut table = vec![COLUMNS.map(str::to_owned)];
    let mut rows = |first: [String; 3], counts: &[Counts; 2], id: String| {
        let mut first = Some((first, id));
        for direction in Direction::BOTH {
            let (ends, id) = first.take().unwrap_or_default();
            let counts = &counts[direction.index()];
            let [number, local, foreign] = ends;
            table.push([
                number,
                local,
                foreign,
                direction.name().to_owned(),
                counts.log.to_string(),
                counts.wire.to_string(),
                counts.matched.to_string(),
                counts.merged_records.to_string(),
                counts.merged_segments.to_string(),
                counts.only_log.to_string(),
                counts.only_wire.to_string(),
                id,
            ]);
        }
    };
    for (number, compared) in (1..).zip(&comparison.compared) {
        let [local, foreign] = ends(comparison, compared);
        let run = comparison.log.runs.get(compared.run as usize);
        let id = run.and_then(|run| run.log_id.as_deref());
        let id = id.map_or(String::new(), |id| Escaped(id).to_string());
        rows(
            [u64::to_string(&number), local, foreign],
            &compared.counts,
            id,
        );
    }
    let total = ["total".to_owned(), String::new(), String::new()];
    rows(total, &comparison.total(), String::new());
    let mut widths = [0; COLUMNS.len()];
    for row in &table {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let merged: usize = widths.iter().skip(7).take(2).sum::<usize>() + 2;
    let before: usize = widths.iter().take(7).map(|width| width + 2).sum();
    let _ = writeln!(text, "{:before$}{:-^merged$}", "", " merged ");
    for row in &table {
        let start = text.len();
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            let _ = if LEFT.contains(&at) {
                write!(text, "{cell:width$}  ")
            } else {
                write!(text, "{cell:>width$}  ")
            };
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
}

pub(super) fn ends(comparison: &Comparison<'_>, compared: &Compared) -> [String; 2] {
    let Some(ends) = comparison.log.ends.get(compared.ends) else {
        return [String::new(), String::new()];
    };
    let end = |address: Option<std::net::IpAddr>, port: Option<u16>| match (address, port) {
        (Some(address), Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
        (Some(address), None) => address.to_string(),
        (None, Some(port)) => format!("?:{port}"),
        (None, None) => "?".to_owned(),
    };
    [
        end(ends.local, ends.local_port),
        end(ends.foreign, ends.foreign_port),
    ]
}
