//! A summary of the input: each connection, and a total.

mod document;
mod findings;
mod findings_text;
mod text;

use super::Sink;
use super::connections::Connection;
use super::context::Context;
use super::json_text;
use super::runs::Runs;
use super::steps::{Step, Steps};
use crate::bblog::{Message, Record};
use crate::meaning::Meanings;
use crate::select::Picked;
use document::exact;
use serde::Serialize;
use std::io::{self, Write};

/// How a summary is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SummaryForm {
    Text,
    /// One document.
    Json,
}

/// Adds up records; writes when finished.
///
/// Memory grows with the number of connections, not with that of records.
pub struct SummarySink<W> {
    context: Context,
    form: SummaryForm,
    inputs: Vec<Input>,
    /// In order of first appearance.
    connections: Vec<Connection>,
    runs: Runs,
    meanings: Meanings,
    steps: Steps,
    out: W,
}

/// What is known of one input.
#[derive(Clone, Debug, Default, Serialize)]
struct Input {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression: Option<String>,
    /// Of the records: version, ABI and byte order.
    dialects: Vec<String>,
    messages: u64,
    records: u64,
    damaged_ranges: u64,
    #[serde(serialize_with = "exact")]
    bytes_lost: u64,
}

impl<W: Write> SummarySink<W> {
    pub fn new(out: W, form: SummaryForm, context: Context) -> SummarySink<W> {
        let (formats, stacks) = (context.formats, context.stacks.clone());
        let meanings = Meanings::new(formats, context.release, stacks, |name| {
            name.as_bytes().to_vec()
        });
        SummarySink {
            context,
            form,
            inputs: Vec::new(),
            connections: Vec::new(),
            runs: Runs::default(),
            meanings,
            steps: Steps::default(),
            out,
        }
    }

    pub fn into_inner(self) -> W {
        self.out
    }

    /// Says of what kind the input is that [`Sink::source`] began.
    pub fn input(&mut self, format: &str, compression: Option<&str>) {
        let input = self.current_input();
        input.format = Some(format.to_owned());
        input.compression = compression.map(str::to_owned);
    }

    /// Counts a damaged range of the input at hand.
    pub fn damage(&mut self, bytes_lost: u64) {
        let input = self.current_input();
        input.damaged_ranges += 1;
        input.bytes_lost = input.bytes_lost.saturating_add(bytes_lost);
    }

    fn current_input(&mut self) -> &mut Input {
        if self.inputs.is_empty() {
            self.inputs.push(Input::default());
        }
        let at = self.inputs.len() - 1;
        &mut self.inputs[at]
    }
}

impl<W: Write> Sink for SummarySink<W> {
    fn source(&mut self, name: &str) {
        self.inputs.push(Input {
            name: name.to_owned(),
            ..Input::default()
        });
        self.meanings.forget();
    }

    fn piece(&mut self, message: &Message<'_>, picked: &Picked) -> io::Result<()> {
        let steps = self.steps.of(message, picked);
        self.meanings.learn(message);
        let input = self.inputs.len();
        let Some(number) = self.runs.number(message, input, !picked.is_empty()) else {
            return Ok(());
        };
        let release = self.meanings.release(message.dialect());
        if number > self.connections.len() && !picked.is_empty() {
            self.connections.push(Connection::new(message, release));
        }
        let at = number.wrapping_sub(1);
        let Some(connection) = self.connections.get_mut(at) else {
            return Ok(());
        };
        connection.release = release;
        let before = connection.records;
        if picked.begins {
            connection.add_message(message);
        }
        let mut all = message.records();
        for step in steps {
            match step {
                Step::Missing { first, count } => connection.add_gap(first, count),
                Step::Record(record) => {
                    // Those before it that are not wanted have come, too.
                    let is_other =
                        |other: &Record<'_>| !std::ptr::eq(other.bytes(), record.bytes());
                    for other in all.by_ref().take_while(is_other) {
                        connection.serials.pass(other.sn());
                    }
                    connection.add_record(message, &record, &self.meanings);
                }
            }
        }
        for other in all {
            connection.serials.pass(other.sn());
        }
        if picked.is_empty() {
            return Ok(());
        }
        let records = connection.records - before;
        let input = self.current_input();
        input.messages += u64::from(picked.begins);
        input.records += records;
        let dialect = message.dialect().name();
        if !input.dialects.contains(&dialect) {
            input.dialects.push(dialect);
        }
        Ok(())
    }

    /// A summary is of the whole, so there is nothing to write yet.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        match self.form {
            SummaryForm::Text => self.write_text(&mut out),
            SummaryForm::Json => {
                let json = serde_json::to_string_pretty(&self.document())?;
                json_text::harmless(&mut out, &json);
                out.push(b'\n');
            }
        }
        self.out.write_all(&out)?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{SEGMENT, Sample, context, feed, v9};
    use crate::select::Span;
    use serde_json::{Value, json};

    fn samples() -> Vec<Sample> {
        let (mut first, mut second, mut later) =
            (Sample::new(v9()), Sample::new(v9()), Sample::new(v9()));
        first.text("tlh_id", b"a\xff\xc2\x9b");
        let sent = [
            ("tlb_eventflags", 4),
            ("tlb_len", 100),
            ("tlb_tv.tv_sec", 9),
        ];
        first.record(2, 0, &sent).segment(SEGMENT);
        // The base stack's second OUT, when sending failed.
        first.record(2, 1, &[("tlb_len", 100), ("tlb_tv.tv_sec", 8)]);
        second.record(3, 5, &[("tlb_stackid", 3)]);
        second.record(26, 6, &[("tlb_stackid", 3)]);
        second.record(54, 7, &[("tlb_state", 10), ("tlb_tv.tv_usec", 1_000_000)]);
        later
            .record(1, 7, &[("tlb_eventflags", 4), ("tlb_len", 3)])
            .segment(SEGMENT);
        vec![first, second, later]
    }

    fn summary(form: SummaryForm, samples: &[Sample]) -> String {
        let mut sink = SummarySink::new(Vec::new(), form, context());
        sink.source("in");
        sink.input("stream", Some("zstd"));
        sink.damage(16);
        feed(&mut sink, samples);
        String::from_utf8(sink.into_inner()).expect("UTF-8")
    }

    fn document(samples: &[Sample]) -> Value {
        let text = summary(SummaryForm::Json, samples);
        assert!(!text.contains('\u{9b}'));
        serde_json::from_str(&text).expect("valid JSON")
    }

    #[test]
    fn a_step_back_in_serials_begins_a_connection() {
        let document = document(&samples());
        let serials: Vec<_> = document["connections"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|c| [&c["first_sn"], &c["last_sn"], &c["records"], &c["missing"]])
            .collect();
        assert_eq!(serials[0], [&json!(0), &json!(7), &json!(5), &json!(3)]);
        assert_eq!(serials[1], [&json!(7), &json!(7), &json!(1), &json!(0)]);
        assert_eq!(serials.len(), 2);
    }

    #[test]
    fn what_is_counted() {
        let document = document(&samples());
        let one = &document["connections"][0];
        assert_eq!(one["log_ids"][0]["name"], json!("a\\xff\\u{9b}"));
        assert_eq!(one["log_ids"][0]["hex"], json!("61ffc29b"));
        assert_eq!(one["reasons"], json!([{"name": "error", "messages": 2}]));
        assert_eq!(
            [&one["segments_out"], &one["bytes_out"]],
            [&json!(1), &json!(100)]
        );
        assert_eq!(
            [&one["segments_in"], &one["bytes_in"]],
            [&json!(0), &json!(0)]
        );
        assert_eq!(one["stack_switches"], json!(2));
        assert_eq!(
            [&one["state_name"], &one["ended"]],
            [&json!("TIME_WAIT"), &json!(true)]
        );
        assert_eq!(one["first_time"], json!("1970-01-02T00:00:00.000000Z"));
        assert_eq!(one["last_time"], json!("1970-01-02T00:00:09.000000Z"));
        assert_eq!(
            one["events"][0],
            json!({"event_id": 2, "event": "OUT", "count": 2})
        );
        let two = &document["connections"][1];
        assert_eq!(
            [&two["segments_in"], &two["bytes_in"]],
            [&json!(1), &json!(3)]
        );
        assert_eq!(two["ended"], json!(false));
        let total = &document["total"];
        assert_eq!(
            [&total["messages"], &total["records"]],
            [&json!(3), &json!(6)]
        );
        assert_eq!(document["inputs"][0]["dialects"], json!(["v9 lp64 little"]));
        assert_eq!(document["inputs"][0]["bytes_lost"], json!(16));
    }

    #[test]
    fn duplicates_within_a_message_count_once() {
        let mut sample = Sample::new(v9());
        for sn in [0, 1, 2, 1, 2, 3] {
            let sent = [("tlb_eventflags", 4), ("tlb_len", 100)];
            sample.record(2, sn, &sent).segment(SEGMENT);
        }
        let samples = [sample];
        let text = summary(SummaryForm::Text, &samples);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let overview = lines.iter().find(|line| line.contains(&"duplicates"));
        let overview = overview.expect("a column");
        assert_eq!(
            overview[2..6],
            ["messages", "records", "missing", "duplicates"]
        );
        for first in ["1", "total"] {
            let row = lines.iter().find(|line| line.first() == Some(&first));
            let row: Vec<_> = row
                .expect(first)
                .iter()
                .filter(|c| !c.contains(':'))
                .collect();
            assert_eq!(row[1..5], [&"1", &"6", &"0", &"2"]);
        }
        let last = "total: 1 connection, 1 message, 6 records, 0 missing, 2 duplicates";
        assert!(text.contains(last), "{text}");
        let document = document(&samples);
        let one = &document["connections"][0];
        let counts = ["records", "duplicates", "segments_out", "bytes_out"];
        assert_eq!(counts.map(|key| &one[key]), [6, 2, 4, 400]);
        assert_eq!(one["events"][0]["count"], 4);
    }

    #[test]
    fn what_is_not_wanted_still_came() {
        let mut sample = Sample::new(v9());
        for sn in [0, 1, 2, 1, 2] {
            sample.record(2, sn, &[]);
        }
        let mut sink = SummarySink::new(Vec::new(), SummaryForm::Json, context());
        let message = sample.message();
        let len = message.dialect().record.size;
        // The first of the three, and the last.
        let span = |at: usize| Span {
            skipped: 0,
            records: at * len..(at + 1) * len,
        };
        let picked = Picked {
            spans: vec![span(0), span(4)],
            begins: true,
            ..Picked::default()
        };
        sink.piece(&message, &picked).expect("memory does not fail");
        let serials = &sink.connections[0].serials;
        assert_eq!((serials.duplicates, serials.missing()), (1, 0));
    }

    #[test]
    fn a_stack_is_named_by_all_that_its_records_showed() {
        let info = [("tlb_eventflags", 0x10), ("tlb_stackid", 2)];
        let (mut first, mut second) = (Sample::new(v9()), Sample::new(v9()));
        first.record(1, 0, &[("tlb_stackid", 2)]);
        second.record(1, 1, &info).record(1, 2, &info);
        let stacks = |samples: &[Sample]| document(samples)["connections"][0]["stacks"].clone();
        let first_only = stacks(std::slice::from_ref(&first));
        let expected = json!([
            {"stack_id": 2, "stack": "freebsd", "stack_sureness": "likely", "records": 1}
        ]);
        assert_eq!(first_only, expected);
        let expected = json!([
            {"stack_id": 2, "stack": "rack", "stack_sureness": "guess", "records": 3}
        ]);
        assert_eq!(stacks(&[first, second]), expected);
    }

    #[test]
    fn rates_that_json_cannot_hold_are_strings() {
        let mut sample = Sample::new(v9());
        for sn in 0..8_u32 {
            let una = u64::from(sn.wrapping_mul(0x7fff_ffff).wrapping_add(9));
            let fields = [
                ("tlb_state", 4),
                ("tlb_iss", 1),
                ("tlb_snd_una", una),
                ("tlb_tv.tv_usec", u64::from(sn > 1)),
            ];
            sample.record(31, sn, &fields);
        }
        let goodput = &document(&[sample])["connections"][0]["goodput"];
        assert_eq!(goodput["acked_in_us"], 1);
        assert_eq!(goodput["acked_bytes"], json!(7_u64 * 0x7fff_ffff));
        assert_eq!(goodput["acked_bytes_per_s"], json!("15032385529000000"));
    }

    #[test]
    fn unknown_ends_are_not_joined_across_inputs() {
        let mut sink = SummarySink::new(Vec::new(), SummaryForm::Json, context());
        for first in [0, 1] {
            let mut sample = Sample::new(v9());
            sample.known.addresses = false;
            sample.record(1, first, &[]);
            sink.source("in");
            feed(&mut sink, &[sample]);
        }
        assert_eq!(sink.connections.len(), 2);
    }

    #[test]
    fn text_is_aligned() {
        assert_eq!(
            summary(SummaryForm::Text, &samples()),
            r#"in: stream, zstd, v9 lp64 little; 1 damaged range, 16 bytes lost

       local         foreign            messages  records  missing  in  bytes in  out  bytes out  state      log ID
1      192.0.2.1:80  198.51.100.2:4000         2        5        3   0         0    1        100  TIME_WAIT  a\xff\u{9b}
2      192.0.2.1:80  198.51.100.2:4000         1        1        0   1         3    0          0  CLOSED
total                                          3        6        3   1         3    1        100

connection 1: 192.0.2.1:80 <-> 198.51.100.2:4000
  log ID   "a\xff\u{9b}"
  reason   "error" (2 messages)
  time     1970-01-02T00:00:00.000000Z to 1970-01-02T00:00:09.000000Z, 9.000000 s
  serial   0 to 7, 3 missing
  stacks   freebsd (1): 3, 3: 2; 2 changes
           freebsd to 3 at serial 5, 1970-01-02T00:00:00.000000Z
           3 to freebsd at serial 7, uptime 1.000000 s
  state    TIME_WAIT; ended without FIN or RST after a timeout that nothing answered; connection ended
  losses   retransmission timeouts: 1
  events   OUT      2   RTO (3)  1   RTO (26) 1   CONNEND  1

connection 2: 192.0.2.1:80 <-> 198.51.100.2:4000
  reason   "error"
  time     1970-01-02T00:00:00.000000Z to 1970-01-02T00:00:00.000000Z, 0.000000 s
  serial   7 to 7
  stacks   freebsd (1): 1
  state    CLOSED; end not seen
  events   IN 1

total: 2 connections, 3 messages, 6 records, 3 missing
  events   OUT      2   IN       1   RTO (3)  1   RTO (26) 1   CONNEND  1
"#
        );
    }
}
