//! Records as CSV: one header line, then one line per record.

mod columns;

use super::clock::{Clock, wall_clock};
use super::context::Context;
use super::escape::Escaped;
use super::fields::{Cell, Fields, Value};
use super::rows::{Row, RowSink, Rows};
use super::words::{self, hex, number};
use crate::bblog::{Message, Record};
use crate::format::Order;
use crate::meaning::{self, Explained, Meanings, Number, SequenceBase, units};
use crate::select::{Picked, Picker};
use columns::{Columns, Places};
use std::io::Write;

/// What stands for parts whose flag is not set.
const NO_SOCKBUF: &str = ",,";
const NO_SEGMENT: &str = ",,,,,,,,,";
const NO_VERBOSE: &str = ",,,";

/// Writes CSV as RFC 4180 has it, but for line ends, which are `\n`.
pub type CsvSink<W> = RowSink<CsvRows, W>;

impl<W: Write> CsvSink<W> {
    pub fn new(out: W, context: Context) -> CsvSink<W> {
        let rows = CsvRows {
            context: context.clone(),
            columns: Columns::new(context.formats),
            places: None,
            clock: Clock::default(),
            source: String::new(),
            shared: Vec::new(),
            sentence: Vec::new(),
        };
        RowSink::of(rows, &context, out)
    }
}

/// Lines of one form.
///
/// The columns are the same for every input: the keys of the JSON form with
/// the parts joined by `_`, and state fields of every version that the formats
/// know. The payload is one column of `name=value` pairs, joined by `;`, for
/// each event has its own names. What is absent in JSON is empty here. Text
/// that is not UTF-8, or no printable text, stands escaped as in the text form.
pub struct CsvRows {
    context: Context,
    columns: Columns,
    /// Of the dialect at hand.
    places: Option<Places>,
    clock: Clock,
    source: String,
    /// The values that all lines of a piece share.
    shared: Vec<u8>,
    sentence: Vec<u8>,
}

impl CsvRows {
    fn share(&mut self, message: &Message<'_>) {
        let out = &mut self.shared;
        out.clear();
        text(out, self.source.as_bytes());
        let header = &message.header;
        let names = message.known.names.then_some(header);
        text(out, names.map(|h| h.id()).unwrap_or_default());
        text(out, names.map(|h| h.tag()).unwrap_or_default());
        text(out, names.map(|h| h.reason()).unwrap_or_default());
        let ends = Picker::connection(message);
        for (addr, port) in [
            (ends.local, ends.local_port),
            (ends.foreign, ends.foreign_port),
        ] {
            out.push(b',');
            if let Some(addr) = addr {
                let _ = write!(out, "{addr}");
            }
            optional(out, port);
        }
        let zone = ends.local.is_some() && ends.zone != 0;
        optional(out, zone.then_some(ends.zone));
    }
}

impl Rows for CsvRows {
    fn label(name: &str) -> Vec<u8> {
        format!("{name}=").into_bytes()
    }

    fn source(&mut self, name: &str) {
        name.clone_into(&mut self.source);
    }

    fn head(&mut self, out: &mut Vec<u8>) {
        self.columns.header(out);
    }

    fn piece(&mut self, _: &mut Vec<u8>, message: &Message<'_>, _: &Picked, _: &Meanings) {
        self.share(message);
    }

    fn fields(&mut self, fields: &Fields) {
        self.places = Some(self.columns.places(fields));
    }

    fn missing(&mut self, out: &mut Vec<u8>, first: u32, count: u32) {
        out.extend_from_slice(b"1,skipped");
        out.extend_from_slice(&self.shared);
        let (before, after) = self.columns.around_sn();
        commas(out, before);
        value(out, first);
        commas(out, after);
        value(out, count);
        out.push(b'\n');
    }

    fn record(&mut self, out: &mut Vec<u8>, row: &Row<'_>) {
        let Row {
            message,
            record,
            explained,
            ..
        } = row;
        let dialect = record.dialect();
        let slots = &dialect.record_slots;
        let Some(places) = self.places.as_ref() else {
            return;
        };
        out.extend_from_slice(b"1,bblog");
        out.extend_from_slice(&self.shared);
        out.push(b',');
        if let Some(us) = wall_clock(message, record) {
            self.clock.write(out, us);
        }
        value(out, record.uptime_us());
        optional(out, slots.ticks.exists().then(|| record.ticks()));
        value(out, record.sn());
        value(out, record.stack_id());
        text(out, row.stack.map_or("", |stack| stack.name).as_bytes());
        text(
            out,
            row.stack
                .map_or("", |stack| stack.sureness.name())
                .as_bytes(),
        );
        let event = record.event();
        value(out, event.0);
        out.push(b',');
        quoted(out, explained.event_name().as_bytes());
        value(out, record.event_flags());
        optional(out, slots.errno.exists().then(|| record.errno()));
        for (column, place) in self.columns.state.iter().zip(&places.state) {
            out.push(b',');
            let Some(field) = place.and_then(|at| row.fields.cells.get(at)) else {
                commas(out, usize::from(column == "state"));
                continue;
            };
            cell(out, field, record.bytes(), dialect.order);
            if field.is_state {
                let name = self
                    .context
                    .formats
                    .state_name(record.state(), explained.release());
                out.push(b',');
                quoted(out, name.unwrap_or_default().as_bytes());
            }
        }
        let (stack, release) = (explained.stack(), explained.release());
        optional(out, row.evidence.srtt_us(record, stack, release));
        for (slot, sockbuf) in [
            (slots.rxbuf_acc, record.rxbuf()),
            (slots.txbuf_acc, record.txbuf()),
        ] {
            match sockbuf.filter(|_| slot.exists()) {
                Some(sockbuf) => {
                    value(out, sockbuf.acc);
                    value(out, sockbuf.ccc);
                }
                None => out.extend_from_slice(NO_SOCKBUF.as_bytes()),
            }
        }
        optional(out, slots.len.exists().then(|| record.payload_len()));
        segment(out, record);
        verbose(out, record);
        out.push(b',');
        payload(out, explained, self.context.show_pointers);
        out.push(b',');
        self.sentence.clear();
        words::what_happened(
            &mut self.sentence,
            record,
            explained,
            SequenceBase::default(),
        );
        quoted(out, &self.sentence);
        out.extend_from_slice(b",\n");
    }
}

/// Appends the fields by name, then the cells that have none. Neither names nor
/// numbers need quotes.
fn payload(out: &mut Vec<u8>, explained: &Explained<'_, '_>, show_pointers: bool) {
    let start = out.len();
    for shown in explained.cells(show_pointers) {
        match shown.at {
            Some((at, _)) if at > 0 => out.push(b' '),
            _ => {
                if out.len() > start {
                    out.push(b';');
                }
                out.extend_from_slice(shown.label);
            }
        }
        match shown.value {
            meaning::Value::Number(Number::Unsigned(n)) => number(out, n),
            meaning::Value::Number(Number::Signed(n)) => number(out, n),
            meaning::Value::Address(n) => units::hex(out, n),
            meaning::Value::Masked => out.extend_from_slice(b"masked"),
        }
        if let (Some(name), Some(field)) = (shown.code, shown.field) {
            out.push(b';');
            out.extend_from_slice(&field.name_label);
            out.extend_from_slice(name.as_bytes());
        }
    }
}

fn segment(out: &mut Vec<u8>, record: &Record<'_>) {
    let Some(tcp) = record.tcp() else {
        out.extend_from_slice(NO_SEGMENT.as_bytes());
        return;
    };
    value(out, tcp.src_port());
    value(out, tcp.dst_port());
    value(out, tcp.seq());
    value(out, tcp.ack());
    value(out, tcp.flags());
    value(out, tcp.window());
    value(out, tcp.checksum());
    value(out, tcp.urgent());
    out.push(b',');
    hex(out, tcp.options());
}

fn verbose(out: &mut Vec<u8>, record: &Record<'_>) {
    let Some(verbose) = record.verbose() else {
        out.extend_from_slice(NO_VERBOSE.as_bytes());
        return;
    };
    text(out, verbose.caller);
    text(out, verbose.function);
    value(out, verbose.line);
}

fn commas(out: &mut Vec<u8>, count: usize) {
    out.resize(out.len() + count, b',');
}

/// Appends a separator and a number.
#[inline]
fn value(out: &mut Vec<u8>, n: impl itoa::Integer) {
    out.push(b',');
    number(out, n);
}

/// Appends a separator and the number, if there is one.
#[inline]
fn optional(out: &mut Vec<u8>, n: Option<impl itoa::Integer>) {
    out.push(b',');
    if let Some(n) = n {
        number(out, n);
    }
}

/// Appends the value of a field; numbers of an array stand apart by spaces.
#[inline]
fn cell(out: &mut Vec<u8>, cell: &Cell, structure: &[u8], order: Order) {
    match cell.value(structure, order) {
        Value::Unsigned(n) => number(out, n),
        Value::Signed(n) => number(out, n),
        Value::Text(bytes) => readable(out, bytes),
        Value::Bytes(bytes) => hex(out, bytes),
        Value::Array(array) => {
            for (at, n) in array.iter().enumerate() {
                if at > 0 {
                    out.push(b' ');
                }
                number(out, n);
            }
        }
    }
}

/// Appends a separator and text of an untrusted program.
fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b',');
    readable(out, bytes);
}

/// Appends bytes of others as text that can be read, in quotes if it needs them.
pub(crate) fn readable(out: &mut Vec<u8>, bytes: &[u8]) {
    // Nearly all names are harmless as they are.
    if bytes
        .iter()
        .all(|b| matches!(b, b' '..=b'~') && *b != b'\\')
    {
        quoted(out, bytes);
    } else {
        quoted(out, Escaped(bytes).to_string().as_bytes());
    }
}

/// Appends a field, in quotes if it needs them.
#[inline]
fn quoted(out: &mut Vec<u8>, field: &[u8]) {
    if !field
        .iter()
        .any(|b| matches!(b, b',' | b'"' | b'\r' | b'\n'))
    {
        out.extend_from_slice(field);
        return;
    }
    out.push(b'"');
    for &byte in field {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Formats;
    use crate::output::Sink;
    use crate::output::samples::{SEGMENT, Sample, context, feed, v9};
    use std::collections::HashMap;
    use std::sync::Arc;

    fn text(samples: &[Sample]) -> String {
        let mut sink = CsvSink::new(Vec::new(), context());
        sink.source("a,b");
        feed(&mut sink, samples);
        String::from_utf8(sink.into_inner()).expect("UTF-8")
    }

    /// Lines by column name, as an independent reader takes them; it refuses
    /// lines whose length differs.
    fn rows(samples: &[Sample]) -> Vec<HashMap<String, String>> {
        let text = text(samples);
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        reader
            .deserialize()
            .map(|row| row.expect("a regular line"))
            .collect()
    }

    #[test]
    fn an_empty_input_has_the_header_line() {
        let text = text(&[]);
        assert!(text.starts_with("schema,kind,source,log_id,") && text.ends_with(",count\n"));
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn every_dialect_fits_the_columns() {
        for dialect in &Formats::builtin().dialects {
            let mut sample = Sample::new(Arc::clone(dialect));
            let fields = [("tlb_eventflags", 0x1f), ("tlb_state", 4), ("tlb_len", 3)];
            sample.record(200, 0, &fields);
            sample.record(201, 1, &[("tlb_eventflags", 0x10)]);
            sample
                .record(2, 5, &[("tlb_eventflags", 0x04), ("tlb_len", 3)])
                .segment(SEGMENT);
            let rows = rows(&[sample]);
            assert_eq!(rows.len(), 4);
            let newer = if dialect.version < 9 { "" } else { "0" };
            assert_eq!(rows[0]["t_flags2"], newer, "{}", dialect.name());
            let older = if dialect.version == 8 { "0" } else { "" };
            assert_eq!(rows[0]["flex3"], older, "{}", dialect.name());
            assert_eq!(rows[0]["state_name"], "ESTABLISHED");
            assert_eq!(rows[0]["rxbuf_acc"], "2779096485");
            assert!(rows[0]["payload"].contains(";flex8=165"));
            assert_eq!(rows[0]["verbose_function"], "tcp_output");
            assert_eq!(rows[0]["verbose_caller"], r"caller\xff");
            assert_eq!(rows[1]["payload"].split(';').count(), 28);
            assert_eq!(rows[3]["meaning"], "segment sent, 3 bytes");
            let gap = [&rows[2]["kind"], &rows[2]["sn"], &rows[2]["count"]];
            assert_eq!(gap, ["skipped", "2", "3"]);
            assert_eq!(rows[2]["local_port"], "80");
            assert_eq!(rows[3]["tcp_options"], "0101080a0000000100000002");
            assert_eq!(rows[3]["tcp_seq"], "1000");
            assert_eq!(rows[3]["verbose_line"], "");
            assert_eq!(rows[3]["payload"], "");
        }
    }

    #[test]
    fn hostile_names_stay_in_their_field() {
        let mut sample = Sample::new(v9());
        sample.text("tlh_id", b"a\",\n\"\r b");
        sample.text("tlh_tag", b"\xff,");
        sample.record(1, 0, &[]);
        let rows = rows(&[sample]);
        assert_eq!(rows[0]["source"], "a,b");
        assert_eq!(rows[0]["log_id"], r#"a",\x0a"\x0d b"#);
        assert_eq!(rows[0]["tag"], r"\xff,");
    }
}
