//! The summary as aligned text.

use super::SummarySink;
use super::document::{Counts, EventView};
use crate::meaning::Sureness;
use crate::output::clock::Clock;
use crate::output::connections::{Connection, Names};
use crate::output::escape::{Escaped, Quoted};
use std::fmt::Write as _;
use std::io::Write;

/// Characters that a line of events may take.
const LINE: usize = 78;

/// The column of the overview that is there only if there are any.
const DUPLICATES: usize = 6;

impl<W: Write> SummarySink<W> {
    pub(super) fn write_text(&self, out: &mut Vec<u8>) {
        let mut text = String::new();
        for input in &self.inputs {
            let _ = write!(text, "{}", Escaped(input.name.as_bytes()));
            let facts = [&input.format, &input.compression];
            let facts = facts.into_iter().flatten().chain(&input.dialects);
            for (at, fact) in facts.enumerate() {
                let _ = write!(text, "{}{fact}", if at == 0 { ": " } else { ", " });
            }
            if input.damaged_ranges > 0 {
                let _ = write!(
                    text,
                    "; {}, {} lost",
                    counted(input.damaged_ranges, "damaged range"),
                    counted(input.bytes_lost, "byte")
                );
            }
            text.push('\n');
        }
        let total = self.total();
        if !self.connections.is_empty() {
            text.push('\n');
            self.overview(&mut text, &total.counts);
        }
        let mut clock = Clock::default();
        for (at, connection) in self.connections.iter().enumerate() {
            let _ = write!(text, "\nconnection {}: ", at + 1);
            let _ = writeln!(text, "{} <-> {}", local(connection), foreign(connection));
            self.details(&mut text, connection, &mut clock);
        }
        let _ = writeln!(
            text,
            "\ntotal: {}, {}, {}, {} missing{}",
            counted(total.connections as u64, "connection"),
            counted(total.counts.messages, "message"),
            counted(total.counts.records, "record"),
            total.counts.missing,
            duplicates(total.counts.duplicates)
        );
        rows(&mut text, "events", &events(&total.events));
        out.extend_from_slice(text.as_bytes());
    }

    /// One line per connection, and the sums.
    fn overview(&self, text: &mut String, total: &Counts) {
        let mut table = vec![
            [
                "",
                "local",
                "foreign",
                "messages",
                "records",
                "missing",
                "duplicates",
                "in",
                "bytes in",
                "out",
                "bytes out",
                "state",
                "log ID",
            ]
            .map(str::to_owned),
        ];
        for (at, connection) in self.connections.iter().enumerate() {
            let id = connection.log_ids.seen.first();
            let ends = [(at + 1).to_string(), local(connection), foreign(connection)];
            let id = id.map_or(String::new(), |(id, _)| Escaped(id).to_string());
            table.push(row(
                ends,
                &Counts::of(connection),
                [self.state(connection), id],
            ));
        }
        let ends = ["total".to_owned(), String::new(), String::new()];
        table.push(row(ends, total, [String::new(), String::new()]));
        let mut widths = [0; 13];
        for row in &table {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &table {
            let start = text.len();
            for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
                let _ = match at {
                    DUPLICATES if total.duplicates == 0 => Ok(()),
                    3..=10 => write!(text, "{cell:>width$}  "),
                    _ => write!(text, "{cell:width$}  "),
                };
            }
            let end = text[start..].trim_end().len();
            text.truncate(start + end);
            text.push('\n');
        }
    }

    fn state(&self, connection: &Connection) -> String {
        let Some(state) = connection.state else {
            return String::new();
        };
        match self.context.formats.state_name(state, connection.release) {
            Some(name) => name.to_owned(),
            None => state.to_string(),
        }
    }

    /// What the overview has no place for.
    fn details(&self, text: &mut String, connection: &Connection, clock: &mut Clock) {
        rows(text, "log ID", &names(&connection.log_ids));
        rows(text, "tag", &names(&connection.tags));
        rows(text, "reason", &names(&connection.reasons));
        if let Some(time) = time(connection, clock) {
            rows(text, "time", &[time]);
        }
        if let Some((first, last)) = connection.serials.range() {
            let missing = match connection.serials.missing() {
                0 => String::new(),
                n => format!(", {n} missing"),
            };
            let duplicates = duplicates(connection.serials.duplicates);
            rows(
                text,
                "serial",
                &[format!("{first} to {last}{missing}{duplicates}")],
            );
        }
        rows(text, "stacks", &stacks(connection, clock));
        let ending = self.ending(connection);
        let codes = match ending.codes.as_slice() {
            [] => String::new(),
            codes => format!(" ({})", codes.join(", ")),
        };
        let state = self.state(connection);
        rows(
            text,
            "state",
            &[format!("{state}; {}{codes}", ending.verdict)],
        );
        self.findings(text, connection);
        let counted = self.events(std::slice::from_ref(connection));
        rows(text, "events", &events(&counted));
    }
}

/// The stacks, and when they changed.
fn stacks(connection: &Connection, clock: &mut Clock) -> Vec<String> {
    let named = |id: u8| match connection.stack_name(id) {
        Some(name) => Escaped(name.as_bytes()).to_string(),
        None => id.to_string(),
    };
    let list: Vec<String> = connection
        .stacks
        .iter()
        .map(|stack| match &stack.name {
            Some((name, sureness)) => {
                let name = Escaped(name.as_bytes());
                let sure = match sureness {
                    Sureness::Named => String::new(),
                    other => format!(", {}", other.name()),
                };
                format!("{name} ({}{sure}): {}", stack.id, stack.records)
            }
            None => format!("{}: {}", stack.id, stack.records),
        })
        .collect();
    let switches = match connection.stack_switches {
        0 => String::new(),
        n => format!("; {}", counted(n, "change")),
    };
    let mut lines = vec![list.join(", ") + &switches];
    for switch in &connection.switches {
        let mut time = Vec::new();
        if !switch.time.is_some_and(|us| clock.write(&mut time, us)) {
            time = format!("uptime {} s", seconds(switch.uptime)).into_bytes();
        }
        lines.push(format!(
            "{} to {} at serial {}, {}",
            named(switch.from),
            named(switch.to),
            switch.sn,
            String::from_utf8_lossy(&time)
        ));
    }
    let untold = connection.stack_switches - connection.switches.len() as u64;
    if untold > 0 {
        lines.push(format!("and {untold} more"));
    }
    lines
}

fn row(ends: [String; 3], counts: &Counts, last: [String; 2]) -> [String; 13] {
    let [number, local, foreign] = ends;
    let [state, id] = last;
    [
        number,
        local,
        foreign,
        counts.messages.to_string(),
        counts.records.to_string(),
        counts.missing.to_string(),
        counts.duplicates.to_string(),
        counts.segments_in.to_string(),
        counts.bytes_in.to_string(),
        counts.segments_out.to_string(),
        counts.bytes_out.to_string(),
        state,
        id,
    ]
}

fn duplicates(n: u64) -> String {
    match n {
        0 => String::new(),
        n => format!(", {}", counted(n, "duplicate")),
    }
}

/// `1 record`, `2 records`.
pub(super) fn counted(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Writes lines under one label.
pub(super) fn rows(text: &mut String, label: &str, lines: &[String]) {
    for (at, line) in lines.iter().enumerate() {
        let label = if at == 0 { label } else { "" };
        let _ = writeln!(text, "  {label:7}  {line}");
    }
}

fn local(connection: &Connection) -> String {
    end(connection.key.local, connection.key.local_port)
}

fn foreign(connection: &Connection) -> String {
    end(connection.key.foreign, connection.key.foreign_port)
}

fn end(addr: Option<std::net::IpAddr>, port: Option<u16>) -> String {
    match (addr, port) {
        (Some(addr), Some(port)) => std::net::SocketAddr::new(addr, port).to_string(),
        (Some(addr), None) => addr.to_string(),
        (None, Some(port)) => format!("?:{port}"),
        (None, None) => "?".to_owned(),
    }
}

fn names(names: &Names) -> Vec<String> {
    let mut lines: Vec<String> = names
        .seen
        .iter()
        .map(|(name, messages)| match messages {
            1 => Quoted(name).to_string(),
            n => format!("\"{}\" ({n} messages)", Escaped(name)),
        })
        .collect();
    if names.others > 0 {
        lines.push(format!("others ({} messages)", names.others));
    }
    lines
}

/// From when to when: wall clock if known, else uptime.
fn time(connection: &Connection, clock: &mut Clock) -> Option<String> {
    let (first, last) = connection.time.or(connection.uptime)?;
    let mut text = Vec::new();
    let is_wall_clock = connection.time.is_some() && {
        let written = clock.write(&mut text, first);
        text.extend_from_slice(b" to ");
        written && clock.write(&mut text, last)
    };
    let took = seconds(last.saturating_sub(first));
    Some(if is_wall_clock {
        format!("{}, {took} s", String::from_utf8_lossy(&text))
    } else {
        let (first, last) = connection.uptime?;
        format!("uptime {} to {} s, {took} s", seconds(first), seconds(last))
    })
}

pub(super) fn seconds(us: i64) -> String {
    let sign = if us < 0 { "-" } else { "" };
    let us = us.unsigned_abs();
    format!("{sign}{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// Names and counts in aligned columns.
fn events(events: &[EventView]) -> Vec<String> {
    let names: Vec<String> = events
        .iter()
        .map(|event| {
            // Two numbers can go by one name.
            let same = |other: &&EventView| other.event == event.event;
            if events.iter().filter(same).count() > 1 {
                format!("{} ({})", event.event, event.event_id)
            } else {
                event.event.clone()
            }
        })
        .collect();
    let name_width = names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    let most = events.iter().map(|event| event.count).max().unwrap_or(0);
    let count_width = most.to_string().len();
    let per_line = (LINE / (name_width + count_width + 4)).max(1);
    let cells: Vec<String> = names
        .iter()
        .zip(events)
        .map(|(name, event)| format!("{name:name_width$} {:>count_width$}", event.count))
        .collect();
    cells
        .chunks(per_line)
        .map(|line| line.join("   "))
        .collect()
}
