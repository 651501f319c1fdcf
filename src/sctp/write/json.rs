//! Events as JSON Lines.
//!
//! Keys are the names of the fields; what is absent was not printed.

use super::{Form, KIND, MASKED, words};
use crate::meaning::units::number;
use crate::output::clock::Clock;
use crate::output::json_text;
use crate::sctp::association::Membership;
use crate::sctp::event::Event;
use crate::sctp::field::{Address, Field, Show};
use crate::sctp::found::Lost;
use crate::sctp::path::cwnd_of;
use crate::sctp::probes::Probes;
use std::io::Write;

/// Writes one object per line.
pub struct Json {
    show_pointers: bool,
    clock: Clock,
    source: Vec<u8>,
    sentence: Vec<u8>,
}

impl Json {
    pub fn new(show_pointers: bool) -> Json {
        Json {
            show_pointers,
            clock: Clock::default(),
            source: Vec::new(),
            sentence: Vec::new(),
        }
    }

    fn begin(&self, kind: &str, out: &mut Vec<u8>) {
        let _ = write!(out, "{{\"schema\":1,\"kind\":\"{kind}\"");
        out.extend_from_slice(&self.source);
    }

    fn time(&mut self, event: &Event, out: &mut Vec<u8>) {
        if let Some(ns) = event.time_ns {
            let before = out.len();
            out.extend_from_slice(b",\"time\":\"");
            match self.clock.write(out, ns.div_euclid(1000)) {
                true => out.push(b'"'),
                false => out.truncate(before),
            }
        }
        if let Some(ns) = event.timestamp_ns {
            out.extend_from_slice(b",\"timestamp_ns\":");
            json_text::unsigned(out, ns);
        }
    }

    fn values(&self, event: &Event, out: &mut Vec<u8>) {
        for (field, value) in event.values.iter() {
            if matches!(field, Field::LocalPort | Field::RemotePort) {
                continue;
            }
            key(out, field.name());
            match field.show() {
                Show::Unsigned => json_text::unsigned(out, value),
                Show::Signed => json_text::signed(out, value as i64),
                Show::Pointer if !self.show_pointers && value != 0 => {
                    json_text::string(out, MASKED);
                }
                Show::Hex | Show::Pointer => {
                    let _ = write!(out, "\"{value:#x}\"");
                }
            }
        }
        for which in Address::ALL {
            if let Some(addr) = event.addresses.get(which) {
                let _ = write!(out, ",\"{}\":\"{addr}\"", which.name());
            }
        }
    }
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    json_text::string(out, value);
}

fn optional(out: &mut Vec<u8>, name: &str, value: Option<impl itoa::Integer>) {
    if let Some(value) = value {
        key(out, name);
        number(out, value);
    }
}

impl Form for Json {
    fn source(&mut self, name: &str, _out: &mut Vec<u8>) {
        self.source.clear();
        json_text::named_bytes(&mut self.source, "source", name.as_bytes());
    }

    fn event(&mut self, event: &Event, member: &Membership, out: &mut Vec<u8>) {
        let probes = Probes::builtin();
        let probe = probes.get(event.probe);
        self.begin(KIND, out);
        optional(out, "line", Some(event.line));
        self.time(event, out);
        optional(out, "cpu", event.cpu);
        optional(out, "pid", event.pid);
        if !event.role.as_bytes().is_empty() {
            json_text::named_bytes(out, "role", event.role.as_bytes());
        }
        text(out, "event", &probe.name);
        let (module, function) = (&probe.module, &probe.function);
        let _ = write!(
            out,
            ",\"probe\":\"{}:{module}:{function}:{}\"",
            probes.provider(),
            probe.name
        );
        optional(out, "association", member.association);
        optional(out, "destination", member.path);
        optional(out, "unseen_cwnd_change", member.unseen);
        if let Some(inbound) = event.inbound() {
            text(out, "direction", if inbound { "in" } else { "out" });
        }
        let ends = &member.ends;
        for (name, addr) in [("local_addr", ends.local), ("remote_addr", ends.remote)] {
            if let Some(addr) = addr {
                let _ = write!(out, ",\"{name}\":\"{addr}\"");
            }
        }
        optional(out, "local_port", ends.local_port);
        optional(out, "remote_port", ends.remote_port);
        if event.values.get(Field::Cwnd).is_none()
            && let Some(cwnd) = cwnd_of(event)
        {
            key(out, "cwnd");
            json_text::signed(out, cwnd);
        }
        self.values(event, out);
        if let Some(point) = event.values.get(Field::Point) {
            if let Some(named) = probes.point(point) {
                text(out, "point_name", &named.name);
            }
            let ret = event.values.get(Field::Ret).unwrap_or(0);
            if let Some(verdict) = probes.verdict(point, ret) {
                text(out, "verdict", verdict);
            }
        }
        for (name, state) in [
            ("old_state_name", event.old_state),
            ("state_name", event.state),
        ] {
            if let Some(state) = state {
                text(out, name, state);
            }
        }
        if let Some(ns) = member.lasted_ns {
            key(out, "lasted_us");
            json_text::unsigned(out, ns / 1000);
        }
        self.sentence.clear();
        words::says(&mut self.sentence, event, member);
        json_text::named_bytes(out, "text", &self.sentence);
        out.extend_from_slice(b"}\n");
    }

    fn lost(&mut self, lost: &Lost, out: &mut Vec<u8>) {
        self.begin("sctp_lost", out);
        key(out, "count");
        json_text::unsigned(out, lost.count);
        json_text::named_bytes(out, "text", lost.what.as_bytes());
        out.extend_from_slice(b"}\n");
    }
}
