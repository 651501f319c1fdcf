//! Entries as text, JSON Lines and CSV.

use super::cells::{self, put_mac};
use super::read::End;
use super::{Checks, Decided, Found, PortOrder, Row, Sink};
use crate::meaning::units;
use crate::output::csv;
use crate::output::escape::Escaped;
use crate::output::json_text;
use crate::output::words::{hex, number};
use std::io::{self, Write};

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A line for each entry, under one for the log.
    Text,
    /// An object for each line.
    Json,
    /// A line of column names, then one for each entry.
    Csv,
}

/// Bytes that are gathered before they are written.
const CHUNK: usize = 128 * 1024;

/// Writes one line for each entry.
///
/// In JSON, `ptr` and `start` are text (`0xc19fa880`), what an entry has not is
/// absent, and `time` and `length` are null, for the log does not know them.
/// The columns of CSV are the same with the parts joined by `_`; there the two
/// are `unknown`, and what is absent is empty.
pub struct ShowSink<W> {
    form: Form,
    out: W,
    buffer: Vec<u8>,
    /// The name of the log, as the form writes it.
    source: Vec<u8>,
    headed: bool,
}

impl<W: Write> ShowSink<W> {
    pub fn new(form: Form, out: W) -> ShowSink<W> {
        ShowSink {
            form,
            out,
            buffer: Vec::with_capacity(CHUNK + 1024),
            source: Vec::new(),
            headed: false,
        }
    }

    /// Goes on where another sink stopped: column names stand only once.
    pub fn resumed(self, headed: bool) -> ShowSink<W> {
        ShowSink { headed, ..self }
    }

    /// Whether column names were written.
    pub fn is_headed(&self) -> bool {
        self.headed
    }

    pub fn into_inner(self) -> W {
        self.out
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl<W: Write> Sink for ShowSink<W> {
    fn begin(&mut self, name: &str, decided: Decided) -> io::Result<()> {
        self.source.clear();
        match self.form {
            Form::Text => {
                let _ = writeln!(
                    self.buffer,
                    "{}: zero-copy sniffer log; times and packet lengths unknown; {}",
                    Escaped(name.as_bytes()),
                    said(decided)
                );
            }
            Form::Json => json_text::string(&mut self.source, name),
            Form::Csv => csv::readable(&mut self.source, name.as_bytes()),
        }
        Ok(())
    }

    fn entry(&mut self, row: &Row<'_>) -> io::Result<()> {
        match self.form {
            Form::Text => text(&mut self.buffer, row),
            Form::Json => json(&mut self.buffer, &self.source, row),
            Form::Csv => {
                if !self.headed {
                    columns(&mut self.buffer, row);
                    self.headed = true;
                }
                comma_separated(&mut self.buffer, &self.source, row);
            }
        }
        if self.buffer.len() >= CHUNK {
            self.write_out()?;
        }
        Ok(())
    }

    fn end(&mut self, _: &Found) -> io::Result<()> {
        self.write_out()?;
        self.out.flush()
    }
}

/// How ports are read, and why.
pub fn said(decided: Decided) -> &'static str {
    match (decided.order, decided.is_given) {
        (PortOrder::Swapped, true) => "ports byte-swapped, as asked",
        (PortOrder::Swapped, false) => "ports byte-swapped, as a little-endian host printed them",
        (PortOrder::Printed, true) => "ports as printed, as asked",
        (PortOrder::Printed, false) => "ports as printed, for so more of them are well known",
    }
}

fn text(out: &mut Vec<u8>, row: &Row<'_>) {
    let entry = row.entry;
    // Writing to a vector does not fail.
    let _ = write!(
        out,
        "{:>3} {:>5}/{:<5}",
        entry.cpu, entry.index, entry.batch_size
    );
    if entry.is_freed() {
        out.extend_from_slice(b" freed (0xab), no packet");
    } else {
        out.push(b' ');
        what(out, row);
        out.extend_from_slice(b", ");
        put_mac(out, entry.src_mac);
        out.extend_from_slice(b" -> ");
        put_mac(out, entry.dst_mac);
    }
    out.extend_from_slice(b"; ");
    place(out, row);
    out.push(b'\n');
}

/// Appends what the packet is: `192.0.2.1:40673 -> 192.0.2.2:22 tcp`.
pub fn what(out: &mut Vec<u8>, row: &Row<'_>) {
    let (Some((src, dst)), Some(ip)) = (row.ends(), row.entry.ipv4) else {
        let _ = write!(out, "type {:04x}", row.entry.ethertype);
        return;
    };
    put_end(out, src);
    out.extend_from_slice(b" -> ");
    put_end(out, dst);
    out.push(b' ');
    protocol(out, ip.protocol, ip.protocol_name());
    if let Some(bytes) = row.first_bytes().filter(|_| src.1.is_none()) {
        out.extend_from_slice(b", first bytes ");
        hex(out, &bytes);
    }
}

pub fn put_end(out: &mut Vec<u8>, (addr, port): End) {
    let _ = write!(out, "{addr}");
    if let Some(port) = port {
        out.push(b':');
        number(out, port);
    }
}

pub fn protocol(out: &mut Vec<u8>, protocol: u8, name: Option<&str>) {
    match name {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => {
            out.extend_from_slice(b"protocol ");
            number(out, protocol);
        }
    }
}

/// Appends where the chunk is, and which of its numbers do not agree.
pub fn place(out: &mut Vec<u8>, row: &Row<'_>) {
    let entry = row.entry;
    out.extend_from_slice(b"ptr ");
    units::hex(out, entry.ptr);
    out.extend_from_slice(b", start ");
    units::hex(out, entry.start);
    let _ = write!(
        out,
        ", size {} (of the allocation), off {}, entry {}",
        entry.size, entry.off, entry.entry
    );
    for failed in row.checks.failed() {
        out.extend_from_slice(b"; BUT ");
        out.extend_from_slice(failed.as_bytes());
    }
}

/// The checks by name.
fn checks(checks: Checks) -> [(&'static str, bool); 4] {
    [
        ("off", checks.off),
        ("start", checks.start),
        ("inside", checks.inside),
        ("index", checks.index),
    ]
}

fn json(out: &mut Vec<u8>, source: &[u8], row: &Row<'_>) {
    out.extend_from_slice(b"{\"schema\":1,\"kind\":\"zcs\",\"source\":");
    out.extend_from_slice(source);
    out.extend_from_slice(b",\"line\":");
    json_text::unsigned(out, row.entry.line);
    for (name, cell) in cells::of(row) {
        let Some(cell) = cell else { continue };
        let quote = if cell.is_text() { "\"" } else { "" };
        let _ = write!(out, ",\"{name}\":{quote}");
        cell.write(out);
        out.extend_from_slice(quote.as_bytes());
    }
    let mut before = ",\"checks\":{";
    for (name, holds) in checks(row.checks) {
        let _ = write!(out, "{before}\"{name}\":{holds}");
        before = ",";
    }
    out.extend_from_slice(b"},\"time\":null,\"length\":null}\n");
}

fn columns(out: &mut Vec<u8>, row: &Row<'_>) {
    out.extend_from_slice(b"schema,kind,source,line");
    for (name, _) in cells::of(row) {
        out.push(b',');
        out.extend_from_slice(name.as_bytes());
    }
    for (name, _) in checks(row.checks) {
        out.extend_from_slice(b",checks_");
        out.extend_from_slice(name.as_bytes());
    }
    out.extend_from_slice(b",time,length\n");
}

fn comma_separated(out: &mut Vec<u8>, source: &[u8], row: &Row<'_>) {
    out.extend_from_slice(b"1,zcs,");
    out.extend_from_slice(source);
    out.push(b',');
    number(out, row.entry.line);
    for (_, cell) in cells::of(row) {
        out.push(b',');
        if let Some(cell) = cell {
            cell.write(out);
        }
    }
    for (_, holds) in checks(row.checks) {
        let _ = write!(out, ",{holds}");
    }
    out.extend_from_slice(b",unknown,unknown\n");
}
