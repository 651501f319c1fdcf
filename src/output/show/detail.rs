//! What `-v` and `-vv` add below the line of a record.

use crate::bblog::Record;
use crate::format::{Order, Unit};
use crate::meaning::{self, Number, SequenceBase, units};
use crate::output::context::Context;
use crate::output::fields::{Cell, Value};
use crate::output::rows::Row;
use crate::output::words::{self, number, untrusted};
use std::io::Write;

/// The payload by name and who logged; at `-vv` all else that the record holds.
pub(super) fn fields(out: &mut Vec<u8>, row: &Row<'_>, context: &Context, base: SequenceBase) {
    payload(out, row, context, base);
    if context.verbosity > 1 {
        state(out, row, context);
        header(out, &row.record);
        bytes(out, row, context);
    }
    if let Some(verbose) = row.record.verbose() {
        out.extend_from_slice(b"      logged by ");
        untrusted(out, verbose.function);
        if !verbose.caller.is_empty() {
            out.extend_from_slice(b" for ");
            untrusted(out, verbose.caller);
        }
        out.extend_from_slice(b" line ");
        number(out, verbose.line);
        out.push(b'\n');
    }
}

/// Named fields as they are, with what they mean in parentheses; then cells
/// without a name, but for zeros.
fn payload(out: &mut Vec<u8>, row: &Row<'_>, context: &Context, base: SequenceBase) {
    let explained = &row.explained;
    let start = out.len();
    out.extend_from_slice(b"      payload:");
    let empty = out.len();
    for shown in explained.cells(context.show_pointers) {
        // Unnamed cells that hold nothing have nothing to say.
        if shown.field.is_none() && shown.value == meaning::Value::Number(Number::Unsigned(0)) {
            continue;
        }
        match shown.at {
            Some((at, _)) => drop(write!(out, " {}[{at}]=", shown.name)),
            None => out.extend_from_slice(shown.label),
        }
        let unit = shown.field.map(|field| field.unit);
        let value = match shown.value {
            meaning::Value::Masked => {
                out.extend_from_slice(b"masked");
                continue;
            }
            meaning::Value::Address(n) => {
                units::hex(out, n);
                continue;
            }
            meaning::Value::Number(value) => value,
        };
        match (unit, value) {
            (Some(Unit::Hex | Unit::Flags(_)), value) => units::hex(out, value.bits()),
            (_, Number::Unsigned(n)) => number(out, n),
            (_, Number::Signed(n)) => number(out, n),
        }
        let Some(field) = shown.field else { continue };
        let meant = match field.unit {
            Unit::Flags(_) => !value.is_zero(),
            Unit::Code(_) => shown.code.is_some(),
            Unit::Sequence => base.local.is_some() && !value.is_zero(),
            Unit::PeerSequence => base.peer.is_some() && !value.is_zero(),
            unit => !unit.symbol().is_empty() && value.bits() >= 1000,
        };
        if meant {
            out.push(b'(');
            explained.write(out, field, value, base);
            out.push(b')');
        }
    }
    if out.len() == empty {
        out.truncate(start);
    } else {
        out.push(b'\n');
    }
}

fn state(out: &mut Vec<u8>, row: &Row<'_>, context: &Context) {
    let (record, release) = (&row.record, row.explained.release());
    let order = record.dialect().order;
    let bits = |out: &mut Vec<u8>, table: &str, value: u64| {
        if let Some(table) = context.formats.bits(table).filter(|_| value != 0) {
            let _ = write!(out, "({})", table.names(value, release));
        }
    };
    let flags = u64::from(record.event_flags());
    let _ = write!(out, "      record: event_flags={flags:#x}");
    bits(out, "tlb_eventflags", flags);
    let _ = write!(out, " errno={} ticks={}", record.errno(), record.ticks());
    for (name, sockbuf) in [("rxbuf", record.rxbuf()), ("txbuf", record.txbuf())] {
        if let Some(sockbuf) = sockbuf {
            let _ = write!(
                out,
                " {name}.acc={} {name}.ccc={}",
                sockbuf.acc, sockbuf.ccc
            );
        }
    }
    let _ = write!(out, " len={}", record.payload_len());
    for field in &row.fields.cells {
        let value = field.value(record.bytes(), order);
        let names = context.formats.bits(&field.kernel_name);
        match (value, names) {
            (Value::Unsigned(value), Some(_)) => {
                out.extend_from_slice(&field.label);
                let _ = write!(out, "{value:#x}");
                bits(out, &field.kernel_name, value);
            }
            _ => cell(out, field, record.bytes(), order),
        }
    }
    out.push(b'\n');
}

fn header(out: &mut Vec<u8>, record: &Record<'_>) {
    if let Some(tcp) = record.tcp() {
        let _ = write!(
            out,
            "      TCP header: src_port={} dst_port={} checksum={:#06x} urgent={}",
            tcp.src_port(),
            tcp.dst_port(),
            tcp.checksum(),
            tcp.urgent(),
        );
        if !tcp.options().is_empty() {
            out.extend_from_slice(b" options=");
            words::hex(out, tcp.options());
        }
        out.push(b'\n');
    }
}

/// The stack specific bytes; what may be a kernel address stands as dots.
fn bytes(out: &mut Vec<u8>, row: &Row<'_>, context: &Context) {
    let Some((bytes, masked)) = row.explained.bytes() else {
        return;
    };
    out.extend_from_slice(b"      payload bytes: ");
    for (byte, masked) in bytes.iter().zip(masked) {
        if masked && !context.show_pointers {
            out.extend_from_slice(b"..");
        } else {
            words::hex(out, &[*byte]);
        }
    }
    out.push(b'\n');
}

fn cell(out: &mut Vec<u8>, cell: &Cell, structure: &[u8], order: Order) {
    out.extend_from_slice(&cell.label);
    match cell.value(structure, order) {
        Value::Unsigned(n) => number(out, n),
        Value::Signed(n) => number(out, n),
        Value::Text(text) => untrusted(out, text),
        Value::Bytes(bytes) => words::hex(out, bytes),
        Value::Array(array) => {
            for (at, n) in array.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                number(out, n);
            }
        }
    }
}
