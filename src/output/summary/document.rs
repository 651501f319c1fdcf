//! The summary as numbers: what both its forms say, and the JSON document.

use super::findings::{
    EndingView, GoodputView, LimitView, RecoveryView, RttView, SpreadView, StateTime, limits,
};
use super::{Input, SummarySink};
use crate::output::clock::Clock;
use crate::output::connections::{Connection, Flow, Names, StackUse};
use crate::output::escape::Escaped;
use crate::output::{json_text, words};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;

impl<W: Write> SummarySink<W> {
    pub(super) fn document(&self) -> Document<'_> {
        let mut clock = Clock::default();
        let mut time = |us: Option<i64>| {
            let mut out = Vec::new();
            let written = us.is_some_and(|us| clock.write(&mut out, us));
            written.then(|| String::from_utf8_lossy(&out).into_owned())
        };
        let connections = self.connections.iter().map(|c| ConnectionView {
            local_addr: c.key.local,
            local_port: c.key.local_port,
            foreign_addr: c.key.foreign,
            foreign_port: c.key.foreign_port,
            zone: Some(c.key.zone).filter(|zone| *zone != 0 && c.key.local.is_some()),
            log_ids: NamesView::of(&c.log_ids),
            tags: NamesView::of(&c.tags),
            reasons: NamesView::of(&c.reasons),
            first_time: time(c.time.map(|(first, _)| first)),
            last_time: time(c.time.map(|(_, last)| last)),
            first_uptime_us: c.uptime.map(|(first, _)| Exact(first.into())),
            last_uptime_us: c.uptime.map(|(_, last)| Exact(last.into())),
            first_sn: c.serials.range().map(|(first, _)| first),
            last_sn: c.serials.range().map(|(_, last)| last),
            stacks: c.stacks.iter().map(StackView::of).collect(),
            stack_switches: c.stack_switches,
            switches: c
                .switches
                .iter()
                .map(|s| SwitchView {
                    sn: s.sn,
                    time: time(s.time),
                    uptime_us: Exact(s.uptime.into()),
                    from_stack_id: s.from,
                    from_stack: c.stack_name(s.from),
                    to_stack_id: s.to,
                    to_stack: c.stack_name(s.to),
                })
                .collect(),
            state: c.state,
            state_name: c
                .state
                .and_then(|s| self.context.formats.state_name(s, c.release)),
            ended: c.has_ended(),
            ending: self.ending(c),
            goodput: GoodputView::of(c),
            rtt: RttView {
                measured: SpreadView::of(&c.rtts.measured),
                reported: SpreadView::of(&c.rtts.reported),
                reported_negative: c.rtts.negative,
            },
            recovery: RecoveryView::of(c),
            state_time: self.state_times(c),
            bbr_state_time: self.bbr_state_times(c),
            sender_limits: limits(c),
            counts: Counts::of(c),
            events: self.events(std::slice::from_ref(c)),
        });
        Document {
            schema: 1,
            kind: "summary",
            inputs: &self.inputs,
            connections: connections.collect(),
            total: self.total(),
        }
    }

    pub(super) fn total(&self) -> Total {
        let mut counts = Counts::default();
        for connection in &self.connections {
            counts.add(&Counts::of(connection));
        }
        Total {
            connections: self.connections.len(),
            counts,
            damaged_ranges: self.inputs.iter().map(|input| input.damaged_ranges).sum(),
            events: self.events(&self.connections),
        }
    }

    /// Events by how often they came.
    pub(super) fn events(&self, connections: &[Connection]) -> Vec<EventView> {
        let mut counts: BTreeMap<(u8, String), u64> = BTreeMap::new();
        for connection in connections {
            for (id, count) in connection.events.iter() {
                let name = self.context.formats.events.name(id, connection.release);
                *counts.entry((id.0, name.to_string())).or_default() += count;
            }
        }
        let mut events: Vec<EventView> = counts
            .into_iter()
            .map(|((event_id, event), count)| EventView {
                event_id,
                event,
                count,
            })
            .collect();
        events.sort_by_key(|event| std::cmp::Reverse(event.count));
        events
    }
}

#[derive(Serialize)]
pub(super) struct Document<'a> {
    schema: u32,
    kind: &'static str,
    inputs: &'a [Input],
    connections: Vec<ConnectionView<'a>>,
    total: Total,
}

#[derive(Serialize)]
struct ConnectionView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    local_addr: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    foreign_addr: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    foreign_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<u32>,
    log_ids: Vec<NamesView>,
    tags: Vec<NamesView>,
    reasons: Vec<NamesView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_uptime_us: Option<Exact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_uptime_us: Option<Exact>,
    first_sn: Option<u32>,
    last_sn: Option<u32>,
    stacks: Vec<StackView<'a>>,
    stack_switches: u64,
    switches: Vec<SwitchView<'a>>,
    state: Option<i32>,
    state_name: Option<&'a str>,
    /// CONNEND was seen.
    ended: bool,
    ending: EndingView,
    goodput: GoodputView,
    rtt: RttView,
    recovery: RecoveryView,
    state_time: Vec<StateTime>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bbr_state_time: Vec<StateTime>,
    sender_limits: Vec<LimitView>,
    #[serde(flatten)]
    counts: Counts,
    events: Vec<EventView>,
}

/// One change of the stack.
#[derive(Serialize)]
struct SwitchView<'a> {
    sn: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    uptime_us: Exact,
    from_stack_id: u8,
    from_stack: Option<&'a str>,
    to_stack_id: u8,
    to_stack: Option<&'a str>,
}

/// A name, and in how many messages it stood.
#[derive(Serialize)]
struct NamesView {
    /// Escaped as in text where it is not UTF-8; `hex` then has the bytes.
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
    messages: u64,
}

impl NamesView {
    fn of(names: &Names) -> Vec<NamesView> {
        let view = |(name, messages): &(Box<[u8]>, u64)| match std::str::from_utf8(name) {
            Ok(text) => NamesView {
                name: text.to_owned(),
                hex: None,
                messages: *messages,
            },
            Err(_) => {
                let mut hex = Vec::new();
                words::hex(&mut hex, name);
                NamesView {
                    name: Escaped(name).to_string(),
                    hex: Some(String::from_utf8_lossy(&hex).into_owned()),
                    messages: *messages,
                }
            }
        };
        names.seen.iter().map(view).collect()
    }
}

#[derive(Serialize)]
struct StackView<'a> {
    stack_id: u8,
    stack: Option<&'a str>,
    /// How sure the name is.
    #[serde(skip_serializing_if = "Option::is_none")]
    stack_sureness: Option<&'static str>,
    records: u64,
}

impl StackView<'_> {
    fn of(stack: &StackUse) -> StackView<'_> {
        StackView {
            stack_id: stack.id,
            stack: stack.name.as_ref().map(|(name, _)| &**name),
            stack_sureness: stack.name.as_ref().map(|(_, sure)| sure.name()),
            records: stack.records,
        }
    }
}

#[derive(Serialize)]
pub(super) struct EventView {
    pub event_id: u8,
    pub event: String,
    pub count: u64,
}

#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct Counts {
    pub messages: u64,
    pub records: u64,
    #[serde(serialize_with = "exact")]
    pub missing: u64,
    pub duplicates: u64,
    pub segments_in: u64,
    #[serde(serialize_with = "exact")]
    pub bytes_in: u64,
    pub segments_out: u64,
    #[serde(serialize_with = "exact")]
    pub bytes_out: u64,
    /// Of the segments and bytes out: what covers sequence space sent before.
    pub retransmitted_segments: u64,
    #[serde(serialize_with = "exact")]
    pub retransmitted_bytes: u64,
}

impl Counts {
    pub fn of(connection: &Connection) -> Counts {
        let (
            Flow {
                segments: segments_in,
                bytes: bytes_in,
            },
            sent,
        ) = (connection.received, connection.sent);
        Counts {
            messages: connection.messages,
            records: connection.records,
            missing: connection.serials.missing(),
            duplicates: connection.serials.duplicates,
            segments_in,
            bytes_in,
            segments_out: sent.segments,
            bytes_out: sent.bytes,
            retransmitted_segments: connection.sent_again.segments,
            retransmitted_bytes: connection.sent_again.bytes,
        }
    }

    fn add(&mut self, other: &Counts) {
        self.messages += other.messages;
        self.records += other.records;
        self.missing = self.missing.saturating_add(other.missing);
        self.segments_in += other.segments_in;
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.segments_out += other.segments_out;
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
        self.duplicates += other.duplicates;
        self.retransmitted_segments += other.retransmitted_segments;
        let again = self.retransmitted_bytes;
        self.retransmitted_bytes = again.saturating_add(other.retransmitted_bytes);
    }
}

#[derive(Serialize)]
pub(super) struct Total {
    pub connections: usize,
    #[serde(flatten)]
    pub counts: Counts,
    pub damaged_ranges: u64,
    pub events: Vec<EventView>,
}

/// A number that JSON shows as a string above 2^53.
#[derive(Clone, Copy)]
pub(super) struct Exact(i128);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match i64::try_from(self.0) {
            Ok(n) if n.unsigned_abs() <= json_text::MAX_EXACT => to.serialize_i64(n),
            _ => to.collect_str(&self.0),
        }
    }
}

impl From<u64> for Exact {
    fn from(n: u64) -> Exact {
        Exact(n.into())
    }
}

pub(super) fn exact<S: Serializer>(n: &u64, to: S) -> Result<S::Ok, S::Error> {
    Exact::from(*n).serialize(to)
}
