//! One connection of the document.

use super::{ClockView, CountsView, Exact};
use crate::bblog::tcp::flag_letters;
use crate::compare::comparison::{Compared, Comparison};
use crate::compare::report::rfc3339;
use crate::compare::segment::{Direction, Segment};
use crate::compare::wire::packet_of;
use crate::output::clock::Clock as Calendar;
use crate::output::escape::Escaped;
use crate::output::words;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

#[derive(Serialize)]
pub(super) struct ConnectionView {
    connection: u32,
    local_addr: Option<IpAddr>,
    local_port: Option<u16>,
    foreign_addr: Option<IpAddr>,
    foreign_port: Option<u16>,
    log_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_id_hex: Option<String>,
    wall_clock: bool,
    #[serde(skip_serializing_if = "is_zero")]
    boot_step_us: u64,
    records: u64,
    duplicates: u64,
    first_sn: Option<i64>,
    last_sn: Option<i64>,
    missing: u64,
    #[serde(rename = "in")]
    incoming: CountsView,
    #[serde(rename = "out")]
    outgoing: CountsView,
    clock: Option<ClockView>,
    only_log_causes: BTreeMap<&'static str, u64>,
    only_wire_causes: BTreeMap<&'static str, u64>,
    merged_kinds: Vec<KindView>,
    gaps: Vec<GapView>,
    merged: Vec<MergedView>,
    only_log: Vec<SegmentView>,
    only_wire: Vec<SegmentView>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[derive(Serialize)]
struct KindView {
    kind: &'static str,
    direction: &'static str,
    records: u64,
    segments: u64,
    incomplete: u64,
}

#[derive(Serialize)]
struct GapView {
    first_sn: i64,
    last_sn: i64,
    missing: u64,
    segments_in: u64,
    segments_out: u64,
}

#[derive(Serialize)]
struct MergedView {
    kind: &'static str,
    direction: &'static str,
    seq: u32,
    len: u64,
    missing: u32,
    records: Vec<i64>,
    frames: Vec<FrameView>,
}

/// A packet: its number, and of which capture (from 1) if there are several.
#[derive(Serialize)]
#[serde(untagged)]
enum FrameView {
    Only(i64),
    OneOf { capture: usize, frame: i64 },
}

#[derive(Serialize)]
struct SegmentView {
    cause: &'static str,
    direction: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sn: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<FrameView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime_us: Option<Exact>,
    seq: u32,
    ack: u32,
    flags: String,
    len: u32,
}

pub(super) fn connection(
    comparison: &Comparison<'_>,
    compared: &Compared,
    number: u32,
    most: usize,
    calendar: &mut Calendar,
) -> ConnectionView {
    let run = comparison.log.runs.get(compared.run as usize);
    let ends = comparison.log.ends.get(compared.ends);
    let sides = comparison.sides(compared.ends);
    let matches = comparison.matches.get(compared.ends);
    let wall_clock = run.is_some_and(|run| run.wall_clock);
    let mut views = Views {
        several: comparison.wire.captures.len() > 1,
        wall_clock,
        calendar,
    };
    let mut only_log_causes = BTreeMap::new();
    for (_, cause) in &compared.only_log {
        *only_log_causes.entry(cause.name()).or_default() += 1;
    }
    let mut only_wire_causes = BTreeMap::new();
    for (_, cause) in &compared.only_wire {
        *only_wire_causes.entry(cause.name()).or_default() += 1;
    }
    let kinds = matches.map(|matches| compared.kinds(matches));
    let merged = compared.merged.iter();
    let merged = merged.filter_map(|at| matches?.merged.get(*at as usize));
    let merged = merged.map(|merged| {
        let logs = merged.log.iter();
        let logs: Vec<&Segment> = logs.filter_map(|at| sides.log.get(*at as usize)).collect();
        let wires = merged.wire.iter();
        let wires: Vec<&Segment> = wires
            .filter_map(|at| sides.wire.get(*at as usize))
            .collect();
        let len = |segments: &[&Segment]| segments.iter().map(|s| u64::from(s.len)).sum();
        let (of_log, of_wire): (u64, u64) = (len(&logs), len(&wires));
        MergedView {
            kind: merged.kind().name(),
            direction: merged.direction.name(),
            seq: logs.first().map_or(0, |segment| segment.seq()),
            len: of_log.max(of_wire),
            missing: merged.missing,
            records: logs.iter().map(|segment| segment.place).collect(),
            frames: wires.iter().map(|s| views.frame(s.place)).collect(),
        }
    });
    let merged = merged.take(most).collect();
    let only_log = compared.only_log.iter().filter_map(|(at, cause)| {
        let segment = sides.log.get(*at as usize)?;
        Some(views.record(segment, cause.name()))
    });
    let only_log = only_log.take(most).collect();
    let only_wire = compared.only_wire.iter().filter_map(|(at, cause)| {
        let segment = sides.wire.get(*at as usize)?;
        Some(views.packet(segment, sides.wire_direction(segment), cause.name()))
    });
    let [incoming, outgoing] = &compared.counts;
    let id = run.and_then(|run| run.log_id.as_deref());
    ConnectionView {
        connection: number,
        local_addr: ends.and_then(|ends| ends.local),
        local_port: ends.and_then(|ends| ends.local_port),
        foreign_addr: ends.and_then(|ends| ends.foreign),
        foreign_port: ends.and_then(|ends| ends.foreign_port),
        log_id: id.map(|id| match std::str::from_utf8(id) {
            Ok(text) => text.to_owned(),
            Err(_) => Escaped(id).to_string(),
        }),
        log_id_hex: id.filter(|id| std::str::from_utf8(id).is_err()).map(|id| {
            let mut hex = Vec::new();
            words::hex(&mut hex, id);
            String::from_utf8_lossy(&hex).into_owned()
        }),
        wall_clock,
        boot_step_us: run.map_or(0, |run| run.boot_step_us),
        records: run.map_or(0, |run| run.records),
        duplicates: run.map_or(0, |run| run.serials.duplicates),
        first_sn: run.and_then(|run| run.serials.first()),
        last_sn: run.and_then(|run| run.serials.last()),
        missing: compared.lost.iter().map(|lost| lost.gap.count()).sum(),
        incoming: CountsView::of(incoming),
        outgoing: CountsView::of(outgoing),
        clock: compared.clock.as_ref().map(ClockView::of),
        only_log_causes,
        only_wire_causes,
        merged_kinds: kinds
            .into_iter()
            .flatten()
            .map(
                |((direction, kind), [records, segments, incomplete])| KindView {
                    kind: kind.name(),
                    direction: direction.name(),
                    records,
                    segments,
                    incomplete,
                },
            )
            .collect(),
        gaps: compared
            .lost
            .iter()
            .take(most)
            .map(|lost| GapView {
                first_sn: lost.gap.first,
                last_sn: lost.gap.last,
                missing: lost.gap.count(),
                segments_in: lost.segments[0],
                segments_out: lost.segments[1],
            })
            .collect(),
        merged,
        only_log,
        only_wire: only_wire.take(most).collect(),
    }
}

/// How single segments are shown.
struct Views<'a> {
    several: bool,
    wall_clock: bool,
    calendar: &'a mut Calendar,
}

impl Views<'_> {
    fn frame(&self, place: i64) -> FrameView {
        match packet_of(place) {
            (_, frame) if !self.several => FrameView::Only(frame),
            (capture, frame) => FrameView::OneOf {
                capture: capture + 1,
                frame,
            },
        }
    }

    fn record(&mut self, segment: &Segment, cause: &'static str) -> SegmentView {
        let uptime = segment.time.filter(|_| !self.wall_clock);
        let time = segment.time.filter(|_| self.wall_clock);
        SegmentView {
            sn: Some(segment.place),
            frame: None,
            uptime_us: uptime.map(|ns| Exact(ns.div_euclid(1000))),
            ..self.segment(segment, segment.direction, cause, time)
        }
    }

    fn packet(
        &mut self,
        segment: &Segment,
        direction: Direction,
        cause: &'static str,
    ) -> SegmentView {
        SegmentView {
            frame: Some(self.frame(segment.place)),
            ..self.segment(segment, direction, cause, segment.time)
        }
    }

    fn segment(
        &mut self,
        segment: &Segment,
        direction: Direction,
        cause: &'static str,
        time: Option<i64>,
    ) -> SegmentView {
        let mut flags = Vec::new();
        flag_letters(segment.flags(), &mut flags);
        SegmentView {
            cause,
            direction: direction.name(),
            sn: None,
            frame: None,
            time: time.and_then(|ns| rfc3339(self.calendar, ns)),
            uptime_us: None,
            seq: segment.seq(),
            ack: segment.tcp.map_or(0, |tcp| tcp.ack),
            flags: String::from_utf8_lossy(&flags).into_owned(),
            len: segment.len,
        }
    }
}
