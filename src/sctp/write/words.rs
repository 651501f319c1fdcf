//! Saying in words what an event is.

use crate::meaning::units::{duration_us, number};
use crate::output::escape::Escaped;
use crate::sctp::association::Membership;
use crate::sctp::event::{Ends, Event};
use crate::sctp::field::Field;
use crate::sctp::probes::{Kind, Probes};
use std::io::Write;
use std::net::IpAddr;

/// Appends a sentence.
pub fn says(out: &mut Vec<u8>, event: &Event, member: &Membership) {
    let probe = Probes::builtin().get(event.probe);
    if event.is_bare {
        out.extend_from_slice(probe.says.as_bytes());
        out.extend_from_slice(b", no values printed");
        return;
    }
    match probe.kind {
        Kind::Cwnd => cwnd(out, event, &probe.says),
        Kind::Rttvar | Kind::Rttstep => rtt(out, event, &probe.says),
        Kind::NetValue | Kind::AssocValue => value(out, event, &probe.says),
        Kind::Packet => packet(out, event, &probe.says),
        Kind::State => state(out, event, member),
    }
    if let Some(unseen) = member.unseen {
        let _ = write!(out, "; before, cwnd changed by {unseen:+} without a probe");
    }
}

fn cwnd(out: &mut Vec<u8>, event: &Event, says: &str) {
    let v = &event.values;
    let (old, new) = (v.signed(Field::OldCwnd), v.signed(Field::NewCwnd));
    let (old, new) = (old.unwrap_or(0), new.unwrap_or(0));
    let _ = match event.name() {
        "init" => write!(out, "cwnd {new}: {says}"),
        _ => write!(
            out,
            "cwnd {old} -> {new} ({:+}): {says}",
            new.saturating_sub(old)
        ),
    };
}

fn rtt(out: &mut Vec<u8>, event: &Event, says: &str) {
    let v = &event.values;
    out.extend_from_slice(says.as_bytes());
    let point = v.get(Field::Point).unwrap_or(0);
    match Probes::builtin().point(point) {
        Some(point) => {
            let _ = write!(out, ", {}", point.doc);
        }
        None => {
            let _ = write!(out, ", point {point:#x}");
        }
    }
    let ret = v.get(Field::Ret).unwrap_or(0);
    if let Some(verdict) = Probes::builtin().verdict(point, ret) {
        let _ = write!(out, ": {verdict}");
    }
    for (field, name) in [(Field::NetRtt, "path's RTT"), (Field::Rtt, "RTT")] {
        if let Some(us) = v.get(field) {
            let _ = write!(out, ", {name} ");
            duration_us(out, us);
        }
    }
    let bw = [Field::OldBw, Field::NewBw, Field::InstantBw].map(|f| v.get(f));
    for (bw, name) in bw.into_iter().zip(["old", "new", "instant"]) {
        if let Some(bw) = bw {
            let _ = write!(out, ", {name} bandwidth {bw} bytes/ms");
        }
    }
    for (field, name) in [
        (Field::Flight, "flight"),
        (Field::Cwnd, "cwnd"),
        (Field::StepCnt, "steps"),
        (Field::VolReduce, "reductions"),
        (Field::LastStepState, "step state"),
    ] {
        if let Some(n) = v.get(field) {
            let _ = write!(out, ", {name} {n}");
        }
    }
}

fn value(out: &mut Vec<u8>, event: &Event, says: &str) {
    let v = &event.values;
    let (change, new) = (v.signed(Field::Change), v.signed(Field::NewValue));
    let (change, new) = (change.unwrap_or(0), new.unwrap_or(0));
    let _ = write!(out, "{says} {new} ({change:+})");
}

fn packet(out: &mut Vec<u8>, event: &Event, says: &str) {
    let v = &event.values;
    out.extend_from_slice(says.as_bytes());
    if let Some(len) = v.get(Field::IpPlength) {
        let _ = write!(out, ", {len} bytes");
    }
    if let Some(tag) = v.get(Field::Verify) {
        let _ = write!(out, ", tag {tag:#010x}");
    }
    if v.get(Field::CsCid) == Some(0) {
        out.extend_from_slice(b", no association");
    } else if let Some(state) = event.state {
        let _ = write!(out, ", {state}");
    }
}

fn state(out: &mut Vec<u8>, event: &Event, member: &Membership) {
    let (old, new) = (event.old_state, event.state);
    let _ = write!(out, "{} -> {}", old.unwrap_or("?"), new.unwrap_or("?"));
    if let Some(state) = event.values.get(Field::State) {
        let mut names = Probes::builtin().substates(state as u32);
        if let Some(first) = names.next() {
            let _ = write!(out, " ({first}");
            names.for_each(|name| {
                let _ = write!(out, ", {name}");
            });
            out.push(b')');
        }
    }
    if let Some(ns) = member.lasted_ns {
        out.extend_from_slice(b" after ");
        duration_us(out, ns / 1000);
    }
}

/// Appends both ends, `?` for an address that is not known.
pub fn ends(out: &mut Vec<u8>, ends: &Ends) {
    end(out, ends.local, ends.local_port);
    out.extend_from_slice(b" <-> ");
    end(out, ends.remote, ends.remote_port);
}

fn end(out: &mut Vec<u8>, addr: Option<IpAddr>, port: Option<u16>) {
    let _ = match addr {
        Some(IpAddr::V6(addr)) => write!(out, "[{addr}]"),
        Some(IpAddr::V4(addr)) => write!(out, "{addr}"),
        None => write!(out, "?"),
    };
    match port {
        Some(port) => {
            out.push(b':');
            number(out, port);
        }
        None => out.extend_from_slice(b":?"),
    }
}

/// Appends text of others.
pub fn untrusted(out: &mut Vec<u8>, text: &[u8]) {
    let _ = write!(out, "{}", Escaped(text));
}
