//! What the index says of a file.

use super::compress::Compress;
use crate::bblog::{Endpoints, Message, Records};
use crate::format::EventId;
use crate::meaning::StackNames;
use crate::output::clock::{Clock, wall_clock};
use crate::output::json_text;
use crate::select::Picked;
use std::io::Write;

/// Facts about the messages of one file.
#[derive(Clone, Debug)]
pub struct About {
    id: Vec<u8>,
    tag: Vec<u8>,
    reason: Vec<u8>,
    ends: Endpoints,
    /// Of the last record, as the index of tcplog_dumper has it.
    stack: String,
    pub messages: u64,
    pub records: u64,
    /// Missing serial numbers.
    pub skipped: u64,
    /// Uptime and wall clock of the first and the last record, microseconds.
    uptime: Option<(i64, i64)>,
    time: Option<(i64, i64)>,
    sn: Option<(u32, u32)>,
    /// The connection's end is among the records.
    pub ended: bool,
    /// Records that belong here were dropped.
    pub cut: bool,
}

impl About {
    /// Of a message that begins.
    pub fn of(message: &Message<'_>) -> About {
        let header = &message.header;
        About {
            id: header.id().to_vec(),
            tag: header.tag().to_vec(),
            reason: header.reason().to_vec(),
            ends: header.endpoints(),
            stack: "unknown".to_owned(),
            messages: 1,
            records: 0,
            skipped: 0,
            uptime: None,
            time: None,
            sn: None,
            ended: false,
            cut: false,
        }
    }

    /// Of what is still to come of the same message.
    pub fn rest(&self) -> About {
        About {
            messages: 0,
            records: 0,
            skipped: 0,
            uptime: None,
            time: None,
            sn: None,
            cut: false,
            ..self.clone()
        }
    }

    /// Adds the wanted records of a piece.
    pub fn add(&mut self, message: &Message<'_>, picked: &Picked, stacks: &StackNames) {
        self.skipped += u64::from(picked.skipped_between);
        let mut last = None;
        for span in &picked.spans {
            self.skipped += u64::from(span.skipped);
            let bytes = message.records.get(span.records.clone()).unwrap_or(&[]);
            for record in Records::new(bytes, message.dialect()) {
                self.records += 1;
                if self.sn.is_none() {
                    let uptime = record.uptime_us();
                    self.uptime = Some((uptime, uptime));
                    self.sn = Some((record.sn(), record.sn()));
                    self.time = wall_clock(message, &record).map(|time| (time, time));
                }
                self.ended |= record.event() == EventId::CONNEND && record.tcp().is_none();
                last = Some(record);
            }
        }
        if let Some(record) = last {
            let uptime = record.uptime_us();
            self.uptime = self.uptime.map(|(first, _)| (first, uptime));
            self.sn = self.sn.map(|(first, _)| (first, record.sn()));
            let time = wall_clock(message, &record);
            self.time = self.time.map(|(first, last)| (first, time.unwrap_or(last)));
            if let Some(name) = stacks.of(message, &record) {
                name.clone_into(&mut self.stack);
            }
        }
    }

    /// Adds a later message of the same file.
    pub fn absorb(&mut self, later: About) {
        let last = |ours: Option<(i64, i64)>, later: Option<(i64, i64)>| match (ours, later) {
            (Some((first, _)), Some((_, last))) => Some((first, last)),
            (ours, later) => ours.or(later),
        };
        self.uptime = last(self.uptime, later.uptime);
        self.time = last(self.time, later.time);
        self.sn = match (self.sn, later.sn) {
            (Some((first, _)), Some((_, last))) => Some((first, last)),
            (ours, later) => ours.or(later),
        };
        self.messages += later.messages;
        self.records += later.records;
        self.skipped += later.skipped;
        self.ended |= later.ended;
        self.cut |= later.cut;
        if later.records > 0 {
            self.stack = later.stack;
            self.reason = later.reason;
            self.tag = later.tag;
        }
    }

    /// The line of the index, with its newline: tcplog_dumper's keys, then ours.
    pub fn line(&self, file: &FileFacts<'_>) -> Vec<u8> {
        let mut line = Vec::with_capacity(512);
        line.extend_from_slice(b"{\"date\":\"");
        let date = jiff::Timestamp::from_second(file.date).map_or_else(
            |_| "unknown".to_owned(),
            |t| t.strftime("%Y-%m-%d %H:%M:%S +0000").to_string(),
        );
        line.extend_from_slice(date.as_bytes());
        line.push(b'"');
        json_text::named_bytes(&mut line, "pbcid", &self.id);
        json_text::named_bytes(&mut line, "reason", &self.reason);
        let (first, last) = self.uptime.unwrap_or_default();
        let duration = last.saturating_sub(first).max(0);
        // Writing to a vector does not fail.
        let _ = write!(
            line,
            ",\"faddr\":\"{}\",\"fport\":{},\"laddr\":\"{}\",\"lport\":{}",
            self.ends.foreign.ip(),
            self.ends.foreign.port(),
            self.ends.local.ip(),
            self.ends.local.port(),
        );
        json_text::named_bytes(&mut line, "filename", file.name.as_bytes());
        let _ = write!(line, ",\"record_count\":{}", self.records);
        json_text::named_bytes(&mut line, "stack", self.stack.as_bytes());
        let _ = write!(
            line,
            ",\"duration\":{}.{:06},\"connection_ended\":{}",
            duration / 1_000_000,
            duration % 1_000_000,
            self.ended
        );
        json_text::named_bytes(&mut line, "tag", &self.tag);
        let compressor = match file.compress {
            Compress::None => "",
            other => other.name(),
        };
        let _ = write!(
            line,
            ",\"compressor\":\"{compressor}\",\"frag_seq\":{},\"schema\":1,\"message_count\":{}",
            file.number, self.messages
        );
        if let Some((first, last)) = self.time {
            for (key, us) in [("first_time", first), ("last_time", last)] {
                let before = line.len();
                let _ = write!(line, ",\"{key}\":\"");
                if Clock::default().write(&mut line, us) {
                    line.push(b'"');
                } else {
                    line.truncate(before);
                }
            }
        }
        if let Some((first, last)) = self.sn {
            let _ = write!(line, ",\"first_sn\":{first},\"last_sn\":{last}");
        }
        let _ = write!(
            line,
            ",\"skipped\":{},\"bytes\":{}",
            self.skipped, file.bytes
        );
        if self.cut {
            line.extend_from_slice(b",\"cut\":true");
        }
        if file.recovered {
            line.extend_from_slice(b",\"recovered\":true");
        }
        line.extend_from_slice(b"}\n");
        line
    }
}

/// What a line says of the file itself.
#[derive(Clone, Copy, Debug)]
pub struct FileFacts<'a> {
    pub name: &'a str,
    pub bytes: u64,
    pub compress: Compress,
    /// The number in its name.
    pub number: u32,
    /// When it was finished, Unix seconds.
    pub date: i64,
    /// Left unfinished by an earlier run.
    pub recovered: bool,
}
