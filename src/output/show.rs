//! Records as text for reading: one line each, under a line for the message.

mod detail;

use super::Sink;
use super::clock::{Clock, time_of_day, wall_clock};
use super::context::Context;
use super::fields::{Plan, Plans};
use super::steps::{Step, Steps};
use super::words::{self, number, quoted, untrusted};
use crate::bblog::{Message, Record};
use crate::format::EventId;
use crate::select::Picked;
use std::io::{self, Write};

/// Bytes that are gathered before they are written.
const CHUNK: usize = 64 * 1024;

/// Where the columns of a line end; the text behind them has any length.
const TIME: usize = 15;
const SERIAL: usize = 8;
const EVENT: usize = 14;
const STATE: usize = 12;
const AMOUNTS: [(&str, usize); 3] = [("cwnd", 11), ("window", 9), ("unacked", 9)];

const CYAN: &[u8] = b"\x1b[36m";
const RED: &[u8] = b"\x1b[31m";
const RESET: &[u8] = b"\x1b[0m";

/// Writes text: a line for each message, a heading, a line for each record.
///
/// Verbosity 1 adds all fields of the record that are valid, verbosity 2 the
/// 104 stack specific bytes as well.
pub struct TextSink<W> {
    context: Context,
    plans: Plans,
    clock: Clock,
    steps: Steps,
    buffer: Vec<u8>,
    source: String,
    /// The date that the heading of the message at hand gives.
    heading: Heading,
    /// Stack of the message's last shown record.
    stack_id: Option<u8>,
    out: W,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Heading {
    /// Still to be written.
    None,
    Date([u8; 10]),
    Uptime,
}

impl<W: Write> TextSink<W> {
    pub fn new(out: W, context: Context) -> TextSink<W> {
        TextSink {
            context,
            plans: Plans::new(|name| format!(" {name}=").into_bytes()),
            clock: Clock::default(),
            steps: Steps::default(),
            buffer: Vec::with_capacity(CHUNK + 8 * 1024),
            source: String::new(),
            heading: Heading::None,
            stack_id: None,
            out,
        }
    }

    pub fn into_inner(self) -> W {
        self.out
    }

    fn message(&mut self, message: &Message<'_>, picked: &Picked) {
        let out = &mut self.buffer;
        if !self.source.is_empty() {
            untrusted(out, self.source.as_bytes());
            out.extend_from_slice(b": ");
        }
        out.extend_from_slice(b"message at byte ");
        number(out, message.offset);
        out.extend_from_slice(b": ");
        words::endpoints(out, message);
        if message.known.names {
            match message.header.log_id() {
                Some(id) => name(out, ", log ID", id),
                None => out.extend_from_slice(b", no log ID"),
            }
            let tag = message.header.tag();
            if !tag.is_empty() && tag != b"UNKNOWN" {
                name(out, ", tag", tag);
            }
            name(out, ", reason", message.header.reason());
        }
        if message.known.clock {
            out.extend_from_slice(b", booted ");
            if !self.clock.write(out, message.header.boot_us()) {
                number(out, message.header.boot_us());
                out.extend_from_slice(" µs after 1970".as_bytes());
            }
        } else {
            out.extend_from_slice(b", boot time unknown");
        }
        let wanted = picked
            .spans
            .first()
            .and_then(|span| message.records.get(span.records.clone()));
        let first = wanted.and_then(|bytes| Record::new(bytes, message.dialect()));
        if let Some(record) = first {
            out.extend_from_slice(b", ");
            stack(out, &self.context, message, &record);
        }
        out.push(b'\n');
        self.heading = Heading::None;
        self.stack_id = first.map(|record| record.stack_id());
    }

    /// Writes the heading where the records at hand need another one.
    fn head(&mut self, us: Option<i64>, known: bool) {
        let heading = match us.and_then(|us| self.clock.date(us)) {
            Some(date) => Heading::Date(date),
            // One record without a time needs no heading of its own.
            None if known && self.heading != Heading::None => return,
            None => Heading::Uptime,
        };
        if heading == self.heading {
            return;
        }
        let out = &mut self.buffer;
        out.extend_from_slice(b"  ");
        let start = out.len();
        match heading {
            Heading::Date(date) => {
                out.extend_from_slice(&date);
                out.extend_from_slice(b" UTC");
            }
            Heading::Uptime | Heading::None => out.extend_from_slice(b"uptime"),
        }
        pad(out, start, TIME);
        right(out, SERIAL, |out| out.extend_from_slice(b"serial"));
        out.extend_from_slice(b"    ");
        let start = out.len();
        out.extend_from_slice(b"event");
        pad(out, start, EVENT);
        let start = out.len();
        out.extend_from_slice(b" state");
        pad(out, start, STATE + 1);
        for (title, width) in AMOUNTS {
            right(out, width, |out| out.extend_from_slice(title.as_bytes()));
        }
        out.extend_from_slice(b"  what\n");
        self.heading = heading;
    }

    fn skipped(&mut self, first: u32, count: u32) {
        let out = &mut self.buffer;
        style(out, self.context.color, RED);
        let last = first.wrapping_add(count).wrapping_sub(1);
        // Writing to a vector does not fail.
        let _ = match count {
            1 => write!(out, "  -- 1 record is missing here: serial {first}"),
            n => write!(
                out,
                "  -- {n} records are missing here: serial {first} to {last}"
            ),
        };
        style(out, self.context.color, RESET);
        out.push(b'\n');
    }

    fn record(&mut self, message: &Message<'_>, record: &Record<'_>, plan: &Plan) {
        let us = wall_clock(message, record);
        self.head(us, message.known.clock);
        let out = &mut self.buffer;
        let id = record.stack_id();
        if self.stack_id.replace(id).is_some_and(|before| before != id) {
            out.extend_from_slice(b"  -- ");
            stack(out, &self.context, message, record);
            out.extend_from_slice(b" from here on\n");
        }
        out.extend_from_slice(b"  ");
        match us {
            Some(us) => out.extend_from_slice(&time_of_day(us)),
            None => right(out, TIME, |out| uptime(out, message, record)),
        }
        right(out, SERIAL, |out| number(out, record.sn()));
        let event = record.event();
        out.extend_from_slice(match event {
            EventId::OUT => b" -> ",
            EventId::IN => b" <- ",
            _ => b"    ",
        });
        let start = out.len();
        out.extend_from_slice(plan.event_name(event).as_bytes());
        if self.context.color {
            out.splice(start..start, CYAN.iter().copied());
            out.extend_from_slice(RESET);
        }
        let unseen = if self.context.color {
            CYAN.len() + RESET.len()
        } else {
            0
        };
        pad(out, start, EVENT + unseen);
        out.push(b' ');
        let start = out.len();
        words::state(out, record.state(), self.context.formats, plan.release);
        pad(out, start, STATE);
        let unacked = record.snd_max().wrapping_sub(record.snd_una());
        let amounts = [record.snd_cwnd(), record.snd_wnd(), unacked];
        for ((_, width), amount) in AMOUNTS.into_iter().zip(amounts) {
            right(out, width, |out| number(out, amount));
        }
        out.extend_from_slice(b"  ");
        self.what(record, plan);
        self.buffer.push(b'\n');
        if self.context.verbosity > 0 {
            detail::fields(&mut self.buffer, record, plan, &self.context);
        }
    }

    fn what(&mut self, record: &Record<'_>, plan: &Plan) {
        let out = &mut self.buffer;
        if record.tcp().is_some() {
            words::segment(out, record);
        } else {
            match self
                .context
                .formats
                .events
                .get(record.event(), plan.release)
            {
                Some(event) => out.extend_from_slice(event.says.as_bytes()),
                None => out.extend_from_slice(b"event of unknown meaning"),
            }
            let len = record.payload_len();
            if len > 0 {
                out.extend_from_slice(b", len ");
                number(out, len);
            }
        }
        let errno = record.errno();
        if errno > 0 {
            out.extend_from_slice(b", errno ");
            number(out, errno);
        }
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

fn style(out: &mut Vec<u8>, color: bool, code: &[u8]) {
    if color {
        out.extend_from_slice(code);
    }
}

/// Appends `LABEL "TEXT"`.
fn name(out: &mut Vec<u8>, label: &str, text: &[u8]) {
    out.extend_from_slice(label.as_bytes());
    out.push(b' ');
    quoted(out, text);
}

/// Appends `stack NAME (ID)`, or `stack ID`.
fn stack(out: &mut Vec<u8>, context: &Context, message: &Message<'_>, record: &Record<'_>) {
    out.extend_from_slice(b"stack ");
    match context.stacks.of(message, record) {
        Some(name) => {
            untrusted(out, name.as_bytes());
            out.extend_from_slice(b" (");
            number(out, record.stack_id());
            out.push(b')');
        }
        None => number(out, record.stack_id()),
    }
}

/// Appends the uptime in seconds, or `?` where the time is garbage or a wall
/// clock is what the other lines show.
fn uptime(out: &mut Vec<u8>, message: &Message<'_>, record: &Record<'_>) {
    let us = record.uptime_us();
    if message.known.clock || us < 0 || !(0..1_000_000).contains(&record.tv_usec()) {
        out.push(b'?');
    } else {
        number(out, us / 1_000_000);
        let [.., a, b, c, d, e, f] = time_of_day(us);
        out.extend_from_slice(&[b'.', a, b, c, d, e, f]);
    }
}

/// Fills with spaces up to `width` bytes from `start`.
#[inline]
fn pad(out: &mut Vec<u8>, start: usize, width: usize) {
    out.resize(out.len().max(start + width), b' ');
}

/// Appends right-aligned in `width`, at least one space before it.
#[inline]
fn right(out: &mut Vec<u8>, width: usize, write: impl FnOnce(&mut Vec<u8>)) {
    const SPACES: [u8; 16] = [b' '; 16];
    let start = out.len();
    out.extend_from_slice(&SPACES[..width.min(16)]);
    write(out);
    // What stands too far right moves left over the spaces, but for one.
    let written = out.len() - start - width;
    let surplus = written.min(width - 1);
    out.drain(start..start + surplus);
}

impl<W: Write> Sink for TextSink<W> {
    fn source(&mut self, name: &str) {
        name.clone_into(&mut self.source);
    }

    fn piece(&mut self, message: &Message<'_>, picked: &Picked) -> io::Result<()> {
        let steps = self.steps.of(message, picked);
        if picked.is_empty() {
            return Ok(());
        }
        let plan = self.plans.of(message.dialect(), &self.context);
        if picked.begins {
            self.message(message, picked);
        }
        for step in steps {
            match step {
                Step::Missing { first, count } => self.skipped(first, count),
                Step::Record(record) => self.record(message, &record, &plan),
            }
            if self.buffer.len() >= CHUNK {
                self.write_out()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_out()?;
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bblog::Known;
    use crate::output::samples::{SEGMENT, Sample, context, feed, v9};

    fn text(verbosity: u8, color: bool, samples: &[Sample]) -> String {
        let context = Context {
            verbosity,
            color,
            ..context()
        };
        let mut sink = TextSink::new(Vec::new(), context);
        feed(&mut sink, samples);
        String::from_utf8(sink.into_inner()).expect("UTF-8")
    }

    fn sample() -> Sample {
        let mut sample = Sample::new(v9());
        sample.text("tlh_id", b"x\x1b[2J");
        let fields = [
            ("tlb_eventflags", 0x04),
            ("tlb_tv.tv_usec", 45),
            ("tlb_state", 4),
            ("tlb_snd_cwnd", 14480),
            ("tlb_snd_max", 1448),
            ("tlb_len", 100),
        ];
        sample.record(2, 7, &fields).segment(SEGMENT);
        sample
    }

    #[test]
    fn lines_for_message_records_and_changes() {
        let mut sample = sample();
        let late = ("tlb_tv.tv_sec", 86_400);
        sample.record(13, 10, &[("tlb_stackid", 3), ("tlb_errno", 55), late]);
        sample.record(1, 11, &[("tlb_tv.tv_usec", 1_000_000), ("tlb_stackid", 3)]);
        assert_eq!(
            text(0, false, &[sample]),
            "\
message at byte 0: 192.0.2.1:80 <-> 198.51.100.2:4000, log ID \"x\\x1b[2J\", reason \"error\", booted 1970-01-02T00:00:00.000000Z, stack freebsd (1)
  1970-01-02 UTC   serial    event          state              cwnd   window  unacked  what
  00:00:00.000045       7 -> OUT            ESTABLISHED       14480        0     1448  [P.] seq 1000:1100 ack 2000 win 500 len 100
  -- 2 records are missing here: serial 8 to 9
  1970-01-03 UTC   serial    event          state              cwnd   window  unacked  what
  -- stack 3 from here on
  00:00:00.000000      10    TIMERSTAR      CLOSED                0        0        0  timer or pacer started, errno 55
                ?      11 <- IN             CLOSED                0        0        0  segment received
"
        );
    }

    #[test]
    fn uptime_where_there_is_no_clock() {
        let mut sample = sample();
        sample.known = Known {
            addresses: false,
            ports: true,
            clock: false,
            names: false,
        };
        let text = text(0, false, &[sample]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with(": ?:80 <-> ?:4000, boot time unknown, stack freebsd (1)"));
        assert!(lines[1].starts_with("  uptime           serial"));
        assert!(lines[2].starts_with("         0.000045       7 -> OUT "));
    }

    #[test]
    fn more_on_request_and_only_what_is_valid() {
        let mut with_info = sample();
        with_info.record(13, 8, &[("tlb_eventflags", 0x18), ("tlb_flags", 5)]);
        let more = text(1, false, &[with_info]);
        assert!(
            more.contains("      record: event_flags=0x4(HDR) errno=0 ticks=0 len=100 state=4")
        );
        assert!(more.contains(" t_flags=0x5(ACKNOW|NODELAY) "));
        assert!(more.contains("\n      TCP header: src_port=80 dst_port=4000 checksum=0x1234 "));
        assert!(more.contains("\n      logged by tcp_output for caller\\xff line 77\n"));
        assert_eq!(more.matches("payload:").count(), 1);
        assert!(!more.contains("rxbuf") && !more.contains("payload bytes"));
        let mut with_info = sample();
        with_info.record(13, 8, &[("tlb_eventflags", 0x10)]);
        let most = text(2, false, &[with_info]);
        assert!(most.contains(&format!("\n      payload bytes: {}\n", "a5".repeat(104))));
    }

    #[test]
    fn color_changes_nothing_else() {
        let mut gap = sample();
        gap.record(13, 10, &[]);
        let colored = text(0, true, &[gap]);
        let mut gap = sample();
        gap.record(13, 10, &[]);
        let mut plain = colored.clone();
        for code in [CYAN, RED, RESET] {
            let code = std::str::from_utf8(code).expect("ASCII");
            assert!(colored.contains(code));
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, text(0, false, &[gap]));
    }
}
