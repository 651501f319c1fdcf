//! Records as text for reading: one line each, under a line for the message.

mod detail;
mod track;

use super::clock::{Clock, time_of_day, wall_clock};
use super::context::{Context, TimeForm};
use super::rows::{Row, RowSink, Rows};
use super::runs::Runs;
use super::segment;
use super::words::{self, number, quoted, untrusted};
use crate::bblog::{Message, Record};
use crate::format::{Class, EventId};
use crate::meaning::{Meanings, StackOf, Sureness};
use crate::select::Picked;
use std::io::Write;
use track::Track;

/// Where the columns of a line end; the text behind them has any length.
const TIME: usize = 15;
const CONNECTION: usize = 5;
const SERIAL: usize = 9;
const EVENT: usize = 16;

const RED: &[u8] = b"\x1b[31m";
const DIM: &[u8] = b"\x1b[2m";
const RESET: &[u8] = b"\x1b[0m";

/// Writes text: a line for each message, and a line for each record.
///
/// Verbosity 1 adds the payload by name, verbosity 2 all state fields and the
/// stack specific bytes as they are.
pub type TextSink<W> = RowSink<TextRows, W>;

impl<W: Write> TextSink<W> {
    pub fn new(out: W, context: Context) -> TextSink<W> {
        let rows = TextRows {
            context: context.clone(),
            clock: Clock::default(),
            runs: Runs::default(),
            tracks: Vec::new(),
            current: 0,
            input: 0,
            headed: false,
            zero_us: None,
            stack_id: None,
            source: String::new(),
        };
        RowSink::of(rows, &context, out)
    }
}

/// Lines.
pub struct TextRows {
    context: Context,
    clock: Clock,
    runs: Runs,
    /// By number of the connection.
    tracks: Vec<Track>,
    /// Number of the connection at hand, from 1.
    current: usize,
    /// Of the input at hand.
    input: usize,
    /// The columns have their heading.
    headed: bool,
    /// Where relative times of the input begin.
    zero_us: Option<i64>,
    /// Stack of the message's last shown record.
    stack_id: Option<u8>,
    source: String,
}

impl TextRows {
    fn heading(&mut self, out: &mut Vec<u8>) {
        let time: &[u8] = match self.context.time {
            TimeForm::Relative => b"seconds",
            TimeForm::Delta => b"since last",
            TimeForm::Wall => b"UTC",
            TimeForm::Uptime => b"uptime",
        };
        right(out, TIME, |out| out.extend_from_slice(time));
        right(out, CONNECTION, |out| out.extend_from_slice(b"conn"));
        right(out, SERIAL, |out| out.extend_from_slice(b"serial"));
        out.extend_from_slice(b"    ");
        let start = out.len();
        out.extend_from_slice(b"event");
        pad(out, start, EVENT);
        out.extend_from_slice(b"what  {changed}\n");
        self.headed = true;
    }

    fn time(&mut self, out: &mut Vec<u8>, row: &Row<'_>) {
        let (message, record) = (row.message, &row.record);
        let us = moment(message, record);
        self.zero_us = self.zero_us.or(us);
        let zero_us = self.zero_us.unwrap_or(0);
        let track = self.tracks.get_mut(self.current);
        let before = track.and_then(|track| match us {
            Some(us) => track.last_us.replace(us),
            None => track.last_us,
        });
        let shown = match self.context.time {
            TimeForm::Relative => us.map(|us| us.saturating_sub(zero_us)),
            TimeForm::Delta => us.map(|us| us.saturating_sub(before.unwrap_or(us))),
            TimeForm::Wall => {
                let us = wall_clock(message, record);
                match us.filter(|us| self.clock.date(*us).is_some()) {
                    Some(us) => out.extend_from_slice(&time_of_day(us)),
                    None => right(out, TIME, |out| out.push(b'?')),
                }
                return;
            }
            TimeForm::Uptime => us.map(|_| record.uptime_us()),
        };
        right(out, TIME, |out| match shown {
            Some(us) => seconds(out, us),
            None => out.push(b'?'),
        });
    }
}

impl Rows for TextRows {
    fn label(name: &str) -> Vec<u8> {
        format!(" {name}=").into_bytes()
    }

    fn source(&mut self, name: &str) {
        name.clone_into(&mut self.source);
        self.input += 1;
        self.zero_us = None;
    }

    fn see(&mut self, message: &Message<'_>, picked: &Picked) {
        let number = self.runs.number(message, self.input, !picked.is_empty());
        self.current = number.unwrap_or(0);
    }

    fn piece(
        &mut self,
        out: &mut Vec<u8>,
        message: &Message<'_>,
        picked: &Picked,
        meanings: &Meanings,
    ) {
        if self.tracks.len() <= self.current {
            self.tracks.resize(self.current + 1, Track::default());
        }
        if !picked.begins {
            return;
        }
        let wanted = picked
            .spans
            .first()
            .and_then(|span| message.records.get(span.records.clone()));
        let first = wanted.and_then(|bytes| Record::new(bytes, message.dialect()));
        if self.headed {
            out.push(b'\n');
        }
        if !self.source.is_empty() {
            untrusted(out, self.source.as_bytes());
            out.extend_from_slice(b": ");
        }
        out.extend_from_slice(b"message at byte ");
        number(out, message.offset);
        out.extend_from_slice(b": connection ");
        number(out, self.current);
        out.extend_from_slice(b", ");
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
        let begins = first.and_then(|record| wall_clock(message, &record));
        if let Some(us) = begins.filter(|us| self.clock.date(*us).is_some()) {
            out.extend_from_slice(b", from ");
            self.clock.write(out, us);
        }
        if !message.known.clock {
            out.extend_from_slice(b", boot time unknown");
        }
        if let Some(record) = first {
            out.extend_from_slice(b", ");
            stack(out, record.stack_id(), meanings.stack_of(message, &record));
        }
        out.push(b'\n');
        if !self.headed {
            self.heading(out);
        }
        self.stack_id = first.map(|record| record.stack_id());
    }

    fn missing(&mut self, out: &mut Vec<u8>, first: u32, count: u32) {
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

    fn record(&mut self, out: &mut Vec<u8>, row: &Row<'_>) {
        let (record, explained) = (&row.record, &row.explained);
        let (color, id) = (self.context.color, record.stack_id());
        if self.stack_id.replace(id).is_some_and(|before| before != id) {
            out.extend_from_slice(b"  -- ");
            stack(out, id, row.stack);
            out.extend_from_slice(b" from here on\n");
        }
        self.time(out, row);
        right(out, CONNECTION, |out| number(out, self.current));
        right(out, SERIAL, |out| number(out, record.sn()));
        let event = record.event();
        out.extend_from_slice(match event {
            EventId::OUT => b" -> ",
            EventId::IN => b" <- ",
            _ => b"    ",
        });
        let paint = paint(event, explained.class(), record.is_retransmission());
        style(out, color, paint);
        let start = out.len();
        out.extend_from_slice(explained.event_name().as_bytes());
        pad(out, start, EVENT - 1);
        out.push(b' ');
        let mut none = Track::default();
        let track = self.tracks.get_mut(self.current).unwrap_or(&mut none);
        let absolute = track.base(record);
        let base = if self.context.relative_seq {
            absolute
        } else {
            Default::default()
        };
        if record.tcp().is_some() {
            segment::write(out, record, base);
            words::segment_says(out, b"; ", record, explained, base);
        } else {
            explained.says(out, base);
        }
        words::errno(out, record);
        style(out, color, RESET);
        style(out, color, DIM);
        let release = explained.release();
        let srtt_us = row.evidence.srtt_us(record, explained.stack(), release);
        track.changes(out, record, srtt_us, self.context.formats, release);
        style(out, color, RESET);
        out.push(b'\n');
        if self.context.verbosity > 0 {
            detail::fields(out, row, &self.context, base);
        }
    }
}

/// When a record was written: by the wall clock, else since boot.
fn moment(message: &Message<'_>, record: &Record<'_>) -> Option<i64> {
    match message.known.clock {
        true => wall_clock(message, record),
        false => record.time_us(),
    }
}

/// The color of a line.
fn paint(event: EventId, class: Option<Class>, is_retransmission: bool) -> &'static [u8] {
    match class {
        _ if is_retransmission => RED,
        Some(Class::Loss) => RED,
        Some(Class::Timer) => b"\x1b[33m",
        Some(Class::Ack) => b"\x1b[32m",
        Some(Class::Pacing) => b"\x1b[36m",
        Some(Class::Rtt) => b"\x1b[34m",
        Some(Class::State) => b"\x1b[35m",
        None if event == EventId::IN => b"\x1b[32m",
        Some(Class::Send | Class::App) | None => b"\x1b[1m",
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

/// Appends `stack NAME (ID)`, and how sure that is, or `stack ID`.
fn stack(out: &mut Vec<u8>, id: u8, stack: Option<StackOf<'_>>) {
    out.extend_from_slice(b"stack ");
    match stack {
        Some(stack) => {
            untrusted(out, stack.name.as_bytes());
            out.extend_from_slice(b" (");
            number(out, id);
            out.extend_from_slice(match stack.sureness {
                Sureness::Named => b")".as_slice(),
                Sureness::Likely => b", likely by its records)",
                Sureness::Guess => b", a guess by its records)",
            });
        }
        None => number(out, id),
    }
}

/// Appends microseconds as seconds.
fn seconds(out: &mut Vec<u8>, us: i64) {
    if us < 0 {
        out.push(b'-');
    }
    let us = us.unsigned_abs();
    number(out, us / 1_000_000);
    // Less than a day, so it fits.
    let [.., a, b, c, d, e, f] = time_of_day((us % 1_000_000) as i64);
    out.extend_from_slice(&[b'.', a, b, c, d, e, f]);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bblog::Known;
    use crate::output::samples::{SEGMENT, Sample, context, feed, v9};

    fn text(context: Context, samples: &[Sample]) -> String {
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
            ("tlb_srtt", 32000),
            ("tlb_len", 100),
        ];
        sample.record(2, 7, &fields).segment(SEGMENT);
        sample
    }

    #[test]
    fn lines_for_message_records_and_changes() {
        let mut sample = sample();
        let late = ("tlb_tv.tv_sec", 1);
        let grown = ("tlb_snd_cwnd", 20000);
        sample.record(
            13,
            10,
            &[("tlb_stackid", 3), ("tlb_errno", 55), late, grown],
        );
        sample.record(1, 11, &[("tlb_tv.tv_usec", 1_000_000), grown]);
        assert_eq!(
            text(context(), &[sample]),
            "\
message at byte 0: connection 1, 192.0.2.1:80 <-> 198.51.100.2:4000, log ID \"x\\x1b[2J\", reason \"error\", from 1970-01-02T00:00:00.000045Z, stack freebsd (1)
        seconds conn   serial    event           what  {changed}
       0.000000    1        7 -> OUT             Flags [P.], seq 1000:1100, ack 2000, win 500, options [nop,nop,TS val 1 ecr 2], length 100; retransmission  {ESTABLISHED, cwnd 14480, ssthresh 0, flight 1448, srtt 1 s}
  -- 2 records are missing here: serial 8 to 9
  -- stack 3 from here on
       0.999955    1       10    TIMERSTAR       timer or pacer started, errno 55  {ESTABLISHED -> CLOSED, cwnd 14480 -> 20000, flight 0, srtt 1 s -> unknown}
  -- stack freebsd (1) from here on
              ?    1       11 <- IN              segment received
"
        );
    }

    #[test]
    fn times_as_wished() {
        let mut two = sample();
        let fields = [("tlb_tv.tv_sec", 1), ("tlb_tv.tv_usec", 50)];
        two.record(31, 8, &fields).record(31, 9, &fields);
        let begins = |time| {
            let text = text(Context { time, ..context() }, std::slice::from_ref(&two));
            let lines = text
                .lines()
                .skip(2)
                .map(|line| line[..TIME].trim().to_owned());
            lines.collect::<Vec<_>>()
        };
        assert_eq!(
            begins(TimeForm::Relative),
            ["0.000000", "1.000005", "1.000005"]
        );
        assert_eq!(
            begins(TimeForm::Delta),
            ["0.000000", "1.000005", "0.000000"]
        );
        assert_eq!(
            begins(TimeForm::Uptime),
            ["0.000045", "1.000050", "1.000050"]
        );
        let wall = ["00:00:00.000045", "00:00:01.000050", "00:00:01.000050"];
        assert_eq!(begins(TimeForm::Wall), wall);
    }

    #[test]
    fn relative_sequence_numbers() {
        let mut sample = sample();
        let fields = [("tlb_eventflags", 4), ("tlb_iss", 1999), ("tlb_len", 1)];
        sample.record(1, 8, &fields).segment(SEGMENT);
        let context = Context {
            relative_seq: true,
            ..context()
        };
        let text = text(context, &[sample]);
        // Only the second record tells the initial sequence number.
        assert!(text.contains("seq 1000:1100, ack 2000, win 500"), "{text}");
        assert!(text.contains("seq 1000:1001, ack 1, win 500"), "{text}");
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
        let context = Context {
            time: TimeForm::Uptime,
            ..context()
        };
        let text = text(context, &[sample]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with(", ?:80 <-> ?:4000, boot time unknown, stack freebsd (1)"));
        assert!(lines[1].starts_with("         uptime conn   serial"));
        assert!(lines[2].starts_with("       0.000045    1        7 -> OUT "));
    }

    fn verbose(verbosity: u8, flags: u64) -> String {
        let mut with_info = sample();
        let fields = [
            ("tlb_eventflags", flags),
            ("tlb_flags", 5),
            ("tlb_stackinfo.delRate", 0xffff_fe00_1234_5678),
        ];
        with_info.record(200, 8, &fields);
        let context = Context {
            verbosity,
            ..context()
        };
        text(context, &[with_info])
    }

    #[test]
    fn more_on_request_and_only_what_is_valid() {
        let more = verbose(1, 0x18);
        assert!(
            more.contains("\n      payload: cur_del_rate=11936128518282651045 delRate=masked ")
        );
        assert!(more.contains("\n      logged by tcp_output for caller\\xff line 77\n"));
        assert!(!more.contains("record:") && !more.contains("payload bytes"));
        let most = verbose(2, 0x10);
        assert!(
            most.contains("      record: event_flags=0x4(HDR) errno=0 ticks=0 len=100 state=4")
        );
        assert!(most.contains(" t_flags=0x5(ACKNOW|NODELAY) "));
        assert!(most.contains("\n      TCP header: src_port=80 dst_port=4000 checksum=0x1234 "));
        assert_eq!(most.matches("payload: ").count(), 1);
        // The address is masked, and what its upper half may begin.
        let bytes = format!("{}{}{}", "a5".repeat(8), "..".repeat(12), "a5".repeat(84));
        assert!(
            most.contains(&format!("\n      payload bytes: {bytes}\n")),
            "{most}"
        );
        let none = verbose(2, 0);
        assert!(!none.contains("rxbuf") && !none.contains("payload"));
    }

    #[test]
    fn color_changes_nothing_else() {
        let mut gap = sample();
        gap.record(13, 10, &[("tlb_eventflags", 0x10)]);
        let color = |color| text(Context { color, ..context() }, std::slice::from_ref(&gap));
        let (colored, mut plain) = (color(true), color(true));
        for code in [RED, DIM, RESET, b"\x1b[36m"] {
            let code = std::str::from_utf8(code).expect("ASCII");
            assert!(colored.contains(code));
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, color(false));
    }
}
