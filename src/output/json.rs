//! Records as JSON Lines, one object per record.

use super::clock::{Clock, wall_clock};
use super::context::Context;
use super::fields::{Cell, Value};
use super::json_text::{hex, named_bytes, signed, string, unsigned};
use super::rows::{Row, RowSink, Rows};
use super::words::{self, number};
use crate::bblog::{Captured, Message, Origin, Record, SockBuf};
use crate::format::Order;
use crate::meaning::{self, Explained, Meanings, Number, SequenceBase, units};
use crate::select::{Picked, Picker};
use std::io::Write;

/// Writes JSON Lines.
pub type JsonSink<W> = RowSink<JsonRows, W>;

impl<W: Write> JsonSink<W> {
    pub fn new(out: W, context: Context) -> JsonSink<W> {
        let rows = JsonRows {
            context: context.clone(),
            clock: Clock::default(),
            source: String::new(),
            shared: Vec::new(),
            sentence: Vec::new(),
        };
        RowSink::of(rows, &context, out)
    }
}

/// Objects.
///
/// Keys stand in a fixed order, that of the record's layout for state fields.
/// A part whose flag is not set is absent. What every object has but this
/// source does not know is null.
pub struct JsonRows {
    context: Context,
    clock: Clock,
    source: String,
    /// The keys that all objects of a piece share.
    shared: Vec<u8>,
    sentence: Vec<u8>,
}

impl JsonRows {
    fn time(&mut self, out: &mut Vec<u8>, wall_us: Option<i64>) {
        out.extend_from_slice(b",\"time\":");
        let start = out.len();
        out.push(b'"');
        match wall_us {
            Some(us) if self.clock.write(out, us) => out.push(b'"'),
            _ => {
                out.truncate(start);
                out.extend_from_slice(b"null");
            }
        }
    }

    /// Everything from `source` to `foreign_port`.
    fn share(&mut self, message: &Message<'_>) {
        let out = &mut self.shared;
        out.clear();
        out.extend_from_slice(b",\"source\":");
        string(out, &self.source);
        let header = &message.header;
        let names = message.known.names.then_some(header);
        let has_tag = message.dialect().header_slots.tag.exists();
        let named = [
            ("log_id", names.map(|h| h.id())),
            ("tag", names.filter(|_| has_tag).map(|h| h.tag())),
            ("reason", names.map(|h| h.reason())),
        ];
        for (key, value) in named {
            match value {
                Some(bytes) => named_bytes(out, key, bytes),
                // Writing to a vector does not fail.
                None => drop(write!(out, ",\"{key}\":null")),
            }
        }
        let ends = Picker::connection(message);
        for (side, addr, port) in [
            ("local", ends.local, ends.local_port),
            ("foreign", ends.foreign, ends.foreign_port),
        ] {
            let _ = match addr {
                Some(addr) => write!(out, ",\"{side}_addr\":\"{addr}\""),
                None => write!(out, ",\"{side}_addr\":null"),
            };
            let _ = match port {
                Some(port) => write!(out, ",\"{side}_port\":{port}"),
                None => write!(out, ",\"{side}_port\":null"),
            };
        }
        if ends.local.is_some() && ends.zone != 0 {
            let _ = write!(out, ",\"zone\":{}", ends.zone);
        }
    }
}

impl Rows for JsonRows {
    fn label(name: &str) -> Vec<u8> {
        let mut label = b",".to_vec();
        string(&mut label, name);
        label.push(b':');
        label
    }

    fn source(&mut self, name: &str) {
        name.clone_into(&mut self.source);
    }

    fn piece(&mut self, _: &mut Vec<u8>, message: &Message<'_>, _: &Picked, _: &Meanings) {
        self.share(message);
    }

    fn missing(&mut self, out: &mut Vec<u8>, first: u32, count: u32) {
        out.extend_from_slice(br#"{"schema":1,"kind":"skipped""#);
        out.extend_from_slice(&self.shared);
        let _ = writeln!(out, ",\"sn\":{first},\"count\":{count}}}");
    }

    fn record(&mut self, out: &mut Vec<u8>, row: &Row<'_>) {
        let Row {
            message, record, ..
        } = row;
        let dialect = record.dialect();
        let slots = &dialect.record_slots;
        out.extend_from_slice(br#"{"schema":1,"kind":"bblog""#);
        out.extend_from_slice(&self.shared);
        self.time(out, wall_clock(message, record));
        out.extend_from_slice(b",\"uptime_us\":");
        signed(out, record.uptime_us());
        if slots.ticks.exists() {
            key(out, ",\"ticks\":", record.ticks());
        }
        key(out, ",\"sn\":", record.sn());
        key(out, ",\"stack_id\":", record.stack_id());
        out.extend_from_slice(b",\"stack\":");
        match row.stack {
            Some(stack) => {
                string(out, stack.name);
                out.extend_from_slice(b",\"stack_sureness\":");
                string(out, stack.sureness.name());
            }
            None => out.extend_from_slice(b"null"),
        }
        let event = record.event();
        key(out, ",\"event_id\":", event.0);
        out.extend_from_slice(b",\"event\":");
        string(out, row.explained.event_name());
        key(out, ",\"event_flags\":", record.event_flags());
        if slots.errno.exists() {
            key(out, ",\"errno\":", record.errno());
        }
        for field in &row.fields.cells {
            cell(out, field, record.bytes(), dialect.order);
            if field.is_state {
                let name = self
                    .context
                    .formats
                    .state_name(record.state(), row.explained.release());
                out.extend_from_slice(b",\"state_name\":");
                match name {
                    Some(name) => string(out, name),
                    None => out.extend_from_slice(b"null"),
                }
            }
        }
        let (stack, release) = (row.explained.stack(), row.explained.release());
        if let Some(srtt) = row.evidence.srtt_us(record, stack, release) {
            key(out, ",\"srtt_us\":", srtt);
        }
        if slots.rxbuf_acc.exists() {
            sockbuf(out, ",\"rxbuf\":", record.rxbuf());
        }
        if slots.txbuf_acc.exists() {
            sockbuf(out, ",\"txbuf\":", record.txbuf());
        }
        if slots.len.exists() {
            key(out, ",\"len\":", record.payload_len());
        }
        segment(out, record);
        verbose(out, record);
        payload(out, &row.explained, self.context.show_pointers);
        self.sentence.clear();
        words::what_happened(
            &mut self.sentence,
            record,
            &row.explained,
            SequenceBase::default(),
        );
        out.extend_from_slice(b",\"meaning\":");
        // Sentences are ours, so UTF-8; a directory's may need escapes.
        string(out, std::str::from_utf8(&self.sentence).unwrap_or_default());
        if let Some(origin) = message.origin(record) {
            self::origin(out, origin);
        }
        out.extend_from_slice(b"}\n");
    }

    fn packet(&mut self, out: &mut Vec<u8>, message: &Message<'_>, packet: &Captured<'_>) {
        self.share(message);
        out.extend_from_slice(br#"{"schema":1,"kind":"tcppcap""#);
        out.extend_from_slice(&self.shared);
        let boot_us = message.known.clock.then(|| message.header.boot_us());
        let wall = boot_us.and_then(|boot| boot.checked_add(packet.uptime_us?));
        self.time(out, wall);
        if let Some(uptime) = packet.uptime_us {
            out.extend_from_slice(b",\"uptime_us\":");
            signed(out, uptime);
        }
        out.extend_from_slice(b",\"time_from\":");
        string(out, packet.time_from);
        let direction = match packet.inbound {
            Some(true) => "\"in\"",
            Some(false) => "\"out\"",
            None => "null",
        };
        out.extend_from_slice(b",\"direction\":");
        out.extend_from_slice(direction.as_bytes());
        key(out, ",\"captured\":", packet.bytes.len());
        key(out, ",\"length\":", packet.length);
        out.extend_from_slice(b",\"repaired\":[");
        for (at, what) in packet.repaired.iter().chain(&packet.cut).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            string(out, what);
        }
        out.push(b']');
        out.extend_from_slice(b",\"hex\":");
        hex(out, packet.bytes);
        origin(out, &packet.origin);
        out.extend_from_slice(b"}\n");
    }
}

/// Appends where a carved finding was.
fn origin(out: &mut Vec<u8>, origin: &Origin) {
    out.extend_from_slice(b",\"image_offset\":");
    unsigned(out, origin.image_offset);
    for (label, address) in [
        (",\"virtual_address\":\"", origin.virtual_address),
        (",\"physical_address\":\"", origin.physical_address),
    ] {
        if let Some(address) = address {
            out.extend_from_slice(label.as_bytes());
            units::hex(out, address);
            out.push(b'"');
        }
    }
    out.extend_from_slice(b",\"life\":");
    string(out, origin.life.name());
    key(out, ",\"confidence\":", origin.confidence);
    if origin.copies > 0 {
        key(out, ",\"copies\":", origin.copies);
    }
}

/// Appends the fields by name, then the cells that have none.
fn payload(out: &mut Vec<u8>, explained: &Explained<'_, '_>, show_pointers: bool) {
    let start = out.len();
    for shown in explained.cells(show_pointers) {
        match shown.at {
            Some((at, _)) if at > 0 => out.push(b','),
            at => {
                out.extend_from_slice(shown.label);
                if at.is_some() {
                    out.push(b'[');
                }
            }
        }
        match shown.value {
            meaning::Value::Number(Number::Unsigned(n)) => unsigned(out, n),
            meaning::Value::Number(Number::Signed(n)) => signed(out, n),
            meaning::Value::Address(n) => {
                out.push(b'"');
                units::hex(out, n);
                out.push(b'"');
            }
            meaning::Value::Masked => out.extend_from_slice(b"\"masked\""),
        }
        if let (Some(name), Some(field)) = (shown.code, shown.field) {
            out.extend_from_slice(&field.name_label);
            string(out, name);
        }
        if shown.at.is_some_and(|(at, count)| at + 1 == count) {
            out.push(b']');
        }
    }
    if out.len() > start {
        // Every label begins with a comma; the first one gives way.
        const KEY: &[u8] = b",\"payload\":{";
        out.splice(start..=start, KEY.iter().copied());
        out.push(b'}');
    }
}

#[inline]
fn key(out: &mut Vec<u8>, label: &str, n: impl itoa::Integer) {
    out.extend_from_slice(label.as_bytes());
    number(out, n);
}

#[inline]
fn cell(out: &mut Vec<u8>, cell: &Cell, structure: &[u8], order: Order) {
    out.extend_from_slice(&cell.label);
    match cell.value(structure, order) {
        Value::Unsigned(n) => unsigned(out, n),
        Value::Signed(n) => signed(out, n),
        Value::Text(text) => string(out, &super::escape::Escaped(text).to_string()),
        Value::Bytes(bytes) => hex(out, bytes),
        Value::Array(array) => {
            out.push(b'[');
            for (at, n) in array.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                unsigned(out, n);
            }
            out.push(b']');
        }
    }
}

fn sockbuf(out: &mut Vec<u8>, label: &str, sockbuf: Option<SockBuf>) {
    if let Some(sockbuf) = sockbuf {
        out.extend_from_slice(label.as_bytes());
        key(out, "{\"acc\":", sockbuf.acc);
        key(out, ",\"ccc\":", sockbuf.ccc);
        out.push(b'}');
    }
}

fn segment(out: &mut Vec<u8>, record: &Record<'_>) {
    if let Some(tcp) = record.tcp() {
        key(out, ",\"tcp\":{\"src_port\":", tcp.src_port());
        key(out, ",\"dst_port\":", tcp.dst_port());
        key(out, ",\"seq\":", tcp.seq());
        key(out, ",\"ack\":", tcp.ack());
        key(out, ",\"flags\":", tcp.flags());
        key(out, ",\"window\":", tcp.window());
        key(out, ",\"checksum\":", tcp.checksum());
        key(out, ",\"urgent\":", tcp.urgent());
        out.extend_from_slice(b",\"options\":");
        hex(out, tcp.options());
        out.push(b'}');
    }
}

fn verbose(out: &mut Vec<u8>, record: &Record<'_>) {
    if let Some(verbose) = record.verbose() {
        out.extend_from_slice(b",\"verbose\":{");
        let start = out.len();
        named_bytes(out, "caller", verbose.caller);
        out.remove(start);
        named_bytes(out, "function", verbose.function);
        key(out, ",\"line\":", verbose.line);
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bblog::Known;
    use crate::format::{Abi, Formats};
    use crate::output::Sink;
    use crate::output::samples::{SEGMENT, Sample, context, dialect, feed, v9};
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn lines(samples: &[Sample]) -> String {
        let mut sink = JsonSink::new(Vec::new(), context());
        sink.source("in");
        feed(&mut sink, samples);
        String::from_utf8(sink.into_inner()).expect("UTF-8")
    }

    fn objects(samples: &[Sample]) -> Vec<Value> {
        let read = |line| serde_json::from_str(line).expect("valid JSON");
        lines(samples).lines().map(read).collect()
    }

    fn full(dialect: Arc<crate::format::Dialect>) -> Sample {
        let mut sample = Sample::new(dialect);
        sample.text("tlh_id", b"my id");
        let fields = [
            ("tlb_eventflags", 0x07),
            ("tlb_errno", u64::from(u32::MAX)),
            ("tlb_tv.tv_sec", 3),
            ("tlb_tv.tv_usec", 45),
            ("tlb_rxbuf.acc", 1),
            ("tlb_rxbuf.ccc", 2),
            ("tlb_txbuf.acc", 3),
            ("tlb_txbuf.ccc", 4),
            ("tlb_state", 4),
            ("tlb_flags", 5),
            ("tlb_snd_cwnd", 14480),
            ("tlb_snd_scale", 10),
            ("tlb_rcv_scale", 6),
            ("tlb_len", 100),
        ];
        sample.record(2, 7, &fields).segment(SEGMENT);
        sample
    }

    #[test]
    fn the_whole_line() {
        assert_eq!(
            lines(&[full(v9())]),
            concat!(
                r#"{"schema":1,"kind":"bblog","source":"in","log_id":"my id","tag":"","#,
                r#""reason":"error","local_addr":"192.0.2.1","local_port":80,"#,
                r#""foreign_addr":"198.51.100.2","foreign_port":4000,"#,
                r#""time":"1970-01-02T00:00:03.000045Z","uptime_us":3000045,"ticks":0,"sn":7,"#,
                r#""stack_id":1,"stack":"freebsd","stack_sureness":"named","event_id":2,"event":"OUT","event_flags":7,"#,
                r#""errno":-1,"state":4,"state_name":"ESTABLISHED","starttime":0,"iss":0,"#,
                r#""t_flags":5,"snd_una":0,"snd_max":0,"snd_cwnd":14480,"snd_nxt":0,"#,
                r#""snd_recover":0,"snd_wnd":0,"snd_ssthresh":0,"srtt":0,"rttvar":0,"#,
                r#""rcv_up":0,"rcv_adv":0,"t_flags2":0,"rcv_nxt":0,"rcv_wnd":0,"dupacks":0,"#,
                r#""segqlen":0,"snd_numholes":0,"flex1":0,"flex2":0,"fbyte_in":0,"#,
                r#""fbyte_out":0,"snd_scale":10,"rcv_scale":6,"rxbuf":{"acc":1,"ccc":2},"#,
                r#""txbuf":{"acc":3,"ccc":4},"len":100,"tcp":{"src_port":80,"dst_port":4000,"#,
                r#""seq":1000,"ack":2000,"flags":24,"window":500,"checksum":4660,"urgent":0,"#,
                r#""options":"0101080a0000000100000002"},"meaning":"segment sent, 100 bytes"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn every_dialect_says_the_same() {
        let expected = objects(&[full(v9())]).remove(0);
        for dialect in &Formats::builtin().dialects {
            let mut object = objects(&[full(Arc::clone(dialect))]).remove(0);
            let own = match dialect.version {
                6 | 7 => vec!["sack_newdata"],
                8 => vec!["flex3"],
                _ => vec![],
            };
            for key in own {
                let removed = object.as_object_mut().and_then(|o| o.remove(key));
                assert_eq!(removed, Some(json!(0)), "{}", dialect.name());
            }
            let mut expected = expected.clone();
            if dialect.version < 9 {
                for key in ["t_flags2", "fbyte_in", "fbyte_out"] {
                    expected.as_object_mut().and_then(|o| o.remove(key));
                }
            }
            if dialect.version == 6 {
                expected["tag"] = Value::Null;
            }
            assert_eq!(object, expected, "{}", dialect.name());
        }
    }

    #[test]
    fn stale_parts_stay_inside() {
        let mut sample = Sample::new(v9());
        sample.record(13, 0, &[]);
        let object = objects(&[sample]).remove(0);
        for key in ["rxbuf", "txbuf", "tcp", "verbose", "payload"] {
            assert!(object.get(key).is_none(), "{key}");
        }
    }

    #[test]
    fn views_and_large_numbers() {
        let mut sample = Sample::new(v9());
        let stackinfo = ("tlb_eventflags", 0x18);
        let large = ("tlb_stackinfo.delRate", u64::MAX);
        // Two whose payload is known, and two of which only the view is.
        sample.record(200, 0, &[stackinfo, large, ("tlb_stackinfo.flex8", 9)]);
        sample.record(60, 1, &[stackinfo, large]);
        let counters = ("tlb_flex2", 1);
        sample.record(62, 2, &[stackinfo, large, counters]);
        sample.record(62, 3, &[stackinfo, large]);
        let objects = objects(&[sample]);
        assert_eq!(
            objects[0]["payload"]["delRate"],
            json!("18446744073709551615")
        );
        assert_eq!(objects[0]["payload"]["flex8"], json!(9));
        assert_eq!(
            objects[1]["payload"]["length"],
            json!("18446744073709551615")
        );
        assert_eq!(
            objects[2]["payload"]["ack_sack"],
            json!("18446744073709551615")
        );
        let cells = objects[3]["payload"]["u64_flex"].as_array().map(Vec::len);
        assert_eq!(cells, Some(13));
        assert_eq!(
            objects[0]["verbose"],
            json!({"caller": r"caller\xff", "caller_hex": "63616c6c6572ff",
                   "function": "tcp_output", "line": 77})
        );
    }

    #[test]
    fn swapped_cells_read_right() {
        let mut sample = Sample::new(dialect(9, Abi::Lp64, Order::Big));
        let fields = [("tlb_eventflags", 0x10), ("tlb_stackinfo.pacing_gain", 250)];
        sample.record(200, 0, &fields);
        let object = objects(&[sample]).remove(0);
        assert_eq!(object["payload"]["pacing_gain"], json!(250));
    }

    #[test]
    fn nothing_unknown_is_made_up() {
        let mut sample = full(v9());
        sample.known = Known {
            addresses: false,
            ports: false,
            clock: false,
            names: false,
        };
        sample.record(250, 8, &[("tlb_stackid", 9), ("tlb_state", 99)]);
        let objects = objects(&[sample]);
        let shared = [
            "local_addr",
            "local_port",
            "foreign_addr",
            "foreign_port",
            "time",
        ];
        for key in shared {
            assert_eq!(objects[0].get(key), Some(&Value::Null), "{key}");
        }
        for key in ["log_id", "tag", "reason"] {
            assert_eq!(objects[0].get(key), Some(&Value::Null), "{key}");
        }
        assert_eq!(objects[0]["uptime_us"], json!(3_000_045));
        assert_eq!(objects[1].get("stack"), Some(&Value::Null));
        assert_eq!(objects[1].get("state_name"), Some(&Value::Null));
        assert_eq!(objects[1]["event"], json!("250"));
    }

    #[test]
    fn garbage_times_are_null() {
        let mut sample = Sample::new(v9());
        sample.record(1, 0, &[("tlb_tv.tv_usec", 1_000_000)]);
        sample.record(1, 1, &[("tlb_tv.tv_sec", i64::MAX as u64)]);
        let objects = objects(&[sample]);
        assert!(objects.iter().all(|object| object["time"].is_null()));
        assert_eq!(objects[0]["uptime_us"], json!(1_000_000));
        assert_eq!(objects[1]["uptime_us"], json!("9223372036854775807"));
    }

    #[test]
    fn missing_serials_have_their_own_objects() {
        let (mut one, mut two) = (Sample::new(v9()), Sample::new(v9()));
        one.record(1, 0, &[]).record(1, 5, &[]);
        two.record(1, 8, &[]);
        let objects = objects(&[one, two]);
        let skipped: Vec<_> = objects.iter().filter(|o| o["kind"] == "skipped").collect();
        assert_eq!(
            [&skipped[0]["sn"], &skipped[0]["count"]],
            [&json!(1), &json!(4)]
        );
        assert_eq!(
            [&skipped[1]["sn"], &skipped[1]["count"]],
            [&json!(6), &json!(2)]
        );
        assert_eq!(skipped[1]["local_addr"], json!("192.0.2.1"));
        let kinds: Vec<_> = objects.iter().map(|o| o["kind"].as_str()).collect();
        let (record, gap) = (Some("bblog"), Some("skipped"));
        assert_eq!(kinds, [record, gap, record, gap, record]);
    }
}
