//! A summary for each association, and a total, as text or JSON.
//!
//! Associations are written as they are let go, so that the summary of a long
//! trace takes no more memory than its live associations.

use super::{MASKED, words};
use crate::meaning::units::duration_us;
use crate::output::clock::Clock;
use crate::output::escape::Escaped;
use crate::output::json_text;
use crate::sctp::association::{Association, Packets, Spread, StateChange};
use crate::sctp::path::Path;
use crate::sctp::probes::{ProbeId, Probes};
use std::io::Write;

/// Form of a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SummaryForm {
    Text,
    Json,
}

/// Counts of one input.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub events: u64,
    pub by_probe: Vec<(ProbeId, u64)>,
    pub associations: u64,
    /// Events that belong to no association that is known.
    pub unassigned: u64,
    /// Changes of state of no known association, which may be of several.
    pub changes: Vec<Change>,
    /// Live associations that were let go to bound memory; what came of them
    /// later counts as another.
    pub let_go: u64,
    pub lost: u64,
    pub damaged: u64,
    pub bytes_lost: u64,
}

/// A change of state, and how often it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub old: &'static str,
    pub new: &'static str,
    pub count: u64,
    /// How long the old state lasted, of those changes that say it.
    pub timed: u64,
    pub lasted_ns: u64,
    pub longest_ns: u64,
}

impl Totals {
    /// Adds a change of state that belongs to no association. There are few
    /// names of states, so few pairs of them.
    pub fn change(&mut self, old: &'static str, new: &'static str, lasted_ns: Option<u64>) {
        let same = |change: &Change| (change.old, change.new) == (old, new);
        let at = self.changes.iter().position(same).unwrap_or_else(|| {
            self.changes.push(Change {
                old,
                new,
                count: 0,
                timed: 0,
                lasted_ns: 0,
                longest_ns: 0,
            });
            self.changes.len() - 1
        });
        if let Some(change) = self.changes.get_mut(at) {
            change.count += 1;
            if let Some(ns) = lasted_ns {
                change.timed += 1;
                change.lasted_ns = change.lasted_ns.saturating_add(ns);
                change.longest_ns = change.longest_ns.max(ns);
            }
        }
    }

    pub fn add(&mut self, probe: ProbeId, is_assigned: bool) {
        self.events += 1;
        self.unassigned += u64::from(!is_assigned);
        match self.by_probe.iter_mut().find(|(id, _)| *id == probe) {
            Some((_, count)) => *count += 1,
            None => self.by_probe.push((probe, 1)),
        }
    }
}

/// Writes summaries.
pub struct Summary {
    form: SummaryForm,
    show_pointers: bool,
    clock: Clock,
    is_first: bool,
}

impl Summary {
    pub fn new(form: SummaryForm, show_pointers: bool) -> Summary {
        Summary {
            form,
            show_pointers,
            clock: Clock::default(),
            is_first: true,
        }
    }

    /// A new input begins.
    pub fn source(&mut self, name: &str, out: &mut Vec<u8>) {
        self.is_first = true;
        match self.form {
            SummaryForm::Text => {
                words::untrusted(out, name.as_bytes());
                out.extend_from_slice(b": dtrace-sctp\n");
            }
            SummaryForm::Json => {
                out.extend_from_slice(b"{\"schema\":1,\"kind\":\"sctp_summary\"");
                json_text::named_bytes(out, "source", name.as_bytes());
                out.extend_from_slice(b",\"associations\":[");
            }
        }
    }

    pub fn association(&mut self, association: &Association, out: &mut Vec<u8>) {
        // Nothing of it was wanted.
        if association.events == 0 {
            return;
        }
        match self.form {
            SummaryForm::Text => self.text(association, out),
            SummaryForm::Json => {
                if !std::mem::take(&mut self.is_first) {
                    out.push(b',');
                }
                self.json(association, out);
            }
        }
    }

    pub fn finish(&mut self, totals: &Totals, out: &mut Vec<u8>) {
        match self.form {
            SummaryForm::Text => {
                let _ = write!(
                    out,
                    "\ntotal: {}, {}",
                    counted(totals.associations, "association"),
                    counted(totals.events, "event")
                );
                if totals.unassigned > 0 {
                    let _ = write!(out, " ({} of no association)", totals.unassigned);
                }
                if totals.damaged > 0 {
                    let _ = write!(
                        out,
                        "; {} damaged, {} lost",
                        totals.damaged,
                        counted(totals.bytes_lost, "byte")
                    );
                }
                if totals.lost > 0 {
                    let _ = write!(out, "; {} lost by DTrace", counted(totals.lost, "firing"));
                }
                if totals.let_go > 0 {
                    let _ = write!(
                        out,
                        "; {} summed up early, as too many were live",
                        counted(totals.let_go, "association")
                    );
                }
                out.push(b'\n');
                if !totals.by_probe.is_empty() {
                    out.extend_from_slice(b"  events: ");
                    probes_text(&totals.by_probe, out);
                    out.push(b'\n');
                }
                for change in &totals.changes {
                    let _ = write!(
                        out,
                        "  {} -> {}: {}, of unknown associations",
                        change.old,
                        change.new,
                        counted(change.count, "change")
                    );
                    if let Some(mean_ns) = change.lasted_ns.checked_div(change.timed) {
                        out.extend_from_slice(b"; before it ");
                        duration_us(out, mean_ns / 1000);
                        out.extend_from_slice(b" on average, ");
                        duration_us(out, change.longest_ns / 1000);
                        out.extend_from_slice(b" at most");
                    }
                    out.push(b'\n');
                }
            }
            SummaryForm::Json => {
                out.extend_from_slice(b"],\"total\":{");
                let numbers = [
                    ("associations", totals.associations),
                    ("events", totals.events),
                    ("unassigned", totals.unassigned),
                    ("damaged", totals.damaged),
                    ("bytes_lost", totals.bytes_lost),
                    ("lost_by_dtrace", totals.lost),
                    ("let_go", totals.let_go),
                ];
                for (at, (name, n)) in numbers.into_iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    let _ = write!(out, "\"{name}\":");
                    json_text::unsigned(out, n);
                }
                probes_json("by_event", &totals.by_probe, out);
                out.extend_from_slice(b",\"state_changes\":[");
                for (at, change) in totals.changes.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    let _ = write!(
                        out,
                        "{{\"old_state_name\":\"{}\",\"state_name\":\"{}\",\"count\":{}",
                        change.old, change.new, change.count
                    );
                    if change.timed > 0 {
                        let _ = write!(
                            out,
                            ",\"timed\":{},\"lasted_us\":{},\"longest_us\":{}",
                            change.timed,
                            change.lasted_ns / 1000,
                            change.longest_ns / 1000
                        );
                    }
                    out.push(b'}');
                }
                out.push(b']');
                out.extend_from_slice(b"}}\n");
            }
        }
    }

    fn text(&mut self, a: &Association, out: &mut Vec<u8>) {
        let _ = write!(out, "\nassociation {}: ", a.number);
        words::ends(out, &a.ends);
        for (name, tag) in [("my tag", a.my_vtag), ("peer's tag", a.peer_vtag)] {
            if let Some(tag) = tag {
                let _ = write!(out, ", {name} {tag:#010x}");
            }
        }
        if !a.role.as_bytes().is_empty() {
            out.extend_from_slice(b", ");
            words::untrusted(out, a.role.as_bytes());
        }
        let _ = write!(out, "\n  {}", counted(a.events, "event"));
        if let Some((first, last)) = a.instants {
            out.extend_from_slice(b" in ");
            duration_ns(out, last.saturating_sub(first));
        }
        if let Some((first, _)) = a.times {
            out.extend_from_slice(b" from ");
            self.clock.write(out, first.div_euclid(1000));
        }
        out.extend_from_slice(b": ");
        probes_text(&a.by_probe, out);
        out.push(b'\n');
        for path in &a.paths {
            self.path_text(path, out);
        }
        if a.other_paths > 0 {
            let _ = writeln!(out, "  {} of more paths", counted(a.other_paths, "event"));
        }
        if a.rtt.count > 0 {
            out.extend_from_slice(b"  RTT ");
            duration_us(out, a.rtt.min);
            out.extend_from_slice(b" to ");
            duration_us(out, a.rtt.max);
            out.extend_from_slice(b", last ");
            duration_us(out, a.rtt.last);
            let _ = writeln!(out, " ({})", counted(a.rtt.count, "reading"));
        }
        if a.flight.count > 0 {
            let _ = writeln!(
                out,
                "  flight {} to {} bytes ({})",
                a.flight.min,
                a.flight.max,
                counted(a.flight.count, "reading")
            );
        }
        for (name, packets) in [("sent", a.sent), ("received", a.received)] {
            if packets.count > 0 {
                let (count, bytes) = (packets.count, packets.bytes);
                let _ = write!(out, "  {name} {}", counted(count, "packet"));
                if bytes > 0 {
                    let _ = write!(out, ", {} behind IP headers", counted(bytes, "byte"));
                }
                out.push(b'\n');
            }
        }
        for change in &a.states {
            self.state_text(change, out);
        }
        if a.other_states > 0 {
            let _ = writeln!(out, "  {} more changes of state", a.other_states);
        }
    }

    fn path_text(&self, path: &Path, out: &mut Vec<u8>) {
        let w = &path.cwnd;
        let n = |n: Option<i64>| n.unwrap_or(0);
        let _ = write!(out, "  path {}", path.number);
        if self.show_pointers {
            let _ = write!(out, " (net {:#x})", path.net);
        }
        let _ = write!(
            out,
            ": cwnd {} first, {} last, {} to {}",
            n(w.first),
            n(w.last),
            n(w.min),
            n(w.max)
        );
        if let Some(mean) = w.mean() {
            let _ = write!(out, ", mean {mean}");
        }
        out.extend_from_slice(b"; changes: ");
        probes_text(&w.changes, out);
        if w.unseen > 0 {
            let _ = write!(out, ", without a probe {}", w.unseen);
        }
        out.push(b'\n');
    }

    fn state_text(&mut self, change: &StateChange, out: &mut Vec<u8>) {
        out.extend_from_slice(b"  ");
        let start = out.len();
        let is_written = change
            .time_ns
            .is_some_and(|ns| self.clock.write(out, ns.div_euclid(1000)));
        if !is_written && let Some(ns) = change.timestamp_ns {
            let _ = write!(out, "{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
        }
        if out.len() > start {
            out.push(b' ');
        }
        let _ = write!(out, "{} -> {}", change.old, change.new);
        if let Some(ns) = change.lasted_ns {
            out.extend_from_slice(b" after ");
            duration_us(out, ns / 1000);
        }
        out.push(b'\n');
    }

    fn json(&mut self, a: &Association, out: &mut Vec<u8>) {
        let _ = write!(out, "{{\"association\":{}", a.number);
        for (name, addr) in [("local_addr", a.ends.local), ("remote_addr", a.ends.remote)] {
            if let Some(addr) = addr {
                let _ = write!(out, ",\"{name}\":\"{addr}\"");
            }
        }
        for (name, port) in [
            ("local_port", a.ends.local_port),
            ("remote_port", a.ends.remote_port),
        ] {
            if let Some(port) = port {
                let _ = write!(out, ",\"{name}\":{port}");
            }
        }
        for (name, tag) in [("my_vtag", a.my_vtag), ("peer_vtag", a.peer_vtag)] {
            if let Some(tag) = tag {
                let _ = write!(out, ",\"{name}\":\"{tag:#x}\"");
            }
        }
        if !a.role.as_bytes().is_empty() {
            json_text::named_bytes(out, "role", a.role.as_bytes());
        }
        if let Some((first, last)) = a.times {
            self.time("first_time", first, out);
            self.time("last_time", last, out);
        }
        if let Some((first, last)) = a.instants {
            out.extend_from_slice(b",\"duration_us\":");
            json_text::signed(out, last.saturating_sub(first) / 1000);
        }
        let _ = write!(out, ",\"ended\":{}", a.ended);
        out.extend_from_slice(b",\"events\":");
        json_text::unsigned(out, a.events);
        probes_json("by_event", &a.by_probe, out);
        out.extend_from_slice(b",\"destinations\":[");
        for (at, path) in a.paths.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            self.path_json(path, out);
        }
        out.push(b']');
        for (name, spread) in [("rtt_us", a.rtt), ("flight", a.flight)] {
            spread_json(name, spread, out);
        }
        for (name, packets) in [("sent", a.sent), ("received", a.received)] {
            packets_json(name, packets, out);
        }
        out.extend_from_slice(b",\"states\":[");
        for (at, change) in a.states.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            let _ = write!(
                out,
                "{{\"old\":\"{}\",\"new\":\"{}\"",
                change.old, change.new
            );
            if let Some(ns) = change.time_ns {
                self.time("time", ns, out);
            }
            if let Some(ns) = change.timestamp_ns {
                out.extend_from_slice(b",\"timestamp_ns\":");
                json_text::unsigned(out, ns);
            }
            if let Some(ns) = change.lasted_ns {
                out.extend_from_slice(b",\"lasted_us\":");
                json_text::unsigned(out, ns / 1000);
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }

    fn path_json(&self, path: &Path, out: &mut Vec<u8>) {
        let _ = write!(out, "{{\"destination\":{}", path.number);
        match self.show_pointers {
            true => {
                let _ = write!(out, ",\"net\":\"{:#x}\"", path.net);
            }
            false => {
                let _ = write!(out, ",\"net\":\"{MASKED}\"");
            }
        }
        let w = &path.cwnd;
        for (name, n) in [
            ("first_cwnd", w.first),
            ("last_cwnd", w.last),
            ("min_cwnd", w.min),
            ("max_cwnd", w.max),
            ("mean_cwnd", w.mean()),
        ] {
            if let Some(n) = n {
                let _ = write!(out, ",\"{name}\":{n}");
            }
        }
        let _ = write!(out, ",\"unseen_changes\":{}", w.unseen);
        probes_json("changes", &w.changes, out);
        out.push(b'}');
    }

    fn time(&mut self, name: &str, ns: i64, out: &mut Vec<u8>) {
        let before = out.len();
        let _ = write!(out, ",\"{name}\":\"");
        match self.clock.write(out, ns.div_euclid(1000)) {
            true => out.push(b'"'),
            false => out.truncate(before),
        }
    }
}

fn counted(n: u64, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

fn duration_ns(out: &mut Vec<u8>, ns: i64) {
    duration_us(out, u64::try_from(ns / 1000).unwrap_or(0));
}

fn probes_text(by_probe: &[(ProbeId, u64)], out: &mut Vec<u8>) {
    let probes = Probes::builtin();
    for (at, (id, count)) in by_probe.iter().enumerate() {
        let separator = if at == 0 { "" } else { ", " };
        let name = Escaped(probes.get(*id).name.as_bytes());
        let _ = write!(out, "{separator}{name} {count}");
    }
    if by_probe.is_empty() {
        out.extend_from_slice(b"none");
    }
}

fn probes_json(name: &str, by_probe: &[(ProbeId, u64)], out: &mut Vec<u8>) {
    let probes = Probes::builtin();
    let _ = write!(out, ",\"{name}\":{{");
    for (at, (id, count)) in by_probe.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json_text::string(out, &probes.full_name(*id));
        out.push(b':');
        json_text::unsigned(out, *count);
    }
    out.push(b'}');
}

fn spread_json(name: &str, spread: Spread, out: &mut Vec<u8>) {
    if spread.count == 0 {
        return;
    }
    let _ = write!(out, ",\"{name}\":{{\"count\":{}", spread.count);
    for (key, n) in [
        ("min", spread.min),
        ("max", spread.max),
        ("last", spread.last),
    ] {
        let _ = write!(out, ",\"{key}\":");
        json_text::unsigned(out, n);
    }
    out.push(b'}');
}

fn packets_json(name: &str, packets: Packets, out: &mut Vec<u8>) {
    if packets.count > 0 {
        let _ = write!(
            out,
            ",\"{name}\":{{\"packets\":{},\"bytes\":",
            packets.count
        );
        json_text::unsigned(out, packets.bytes);
        out.push(b'}');
    }
}
