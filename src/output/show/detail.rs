//! What `-v` adds below the line of a record.

use crate::bblog::Record;
use crate::format::Order;
use crate::output::context::Context;
use crate::output::fields::{Cell, Plan, Value};
use crate::output::words::{self, number, untrusted};
use std::io::Write;

/// All that the record holds and its line does not show.
pub(super) fn fields(out: &mut Vec<u8>, record: &Record<'_>, plan: &Plan, context: &Context) {
    let order = record.dialect().order;
    let bits = |out: &mut Vec<u8>, table: &str, value: u64| {
        if let Some(table) = context.formats.bits(table).filter(|_| value != 0) {
            let _ = write!(out, "({})", table.names(value, plan.release));
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
    for field in &plan.state {
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
    if let Some(info) = record.stackinfo() {
        out.extend_from_slice(b"      payload:");
        for field in plan.payload(record.event()) {
            cell(out, field, info.bytes(), order);
        }
        out.push(b'\n');
        if context.verbosity > 1 {
            out.extend_from_slice(b"      payload bytes: ");
            words::hex(out, info.bytes());
            out.push(b'\n');
        }
    }
    if let Some(verbose) = record.verbose() {
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
