//! What is known of one connection, in lines with a label each.

use super::ends;
use super::says::{clock_says, counted, micros, row, seconds};
use crate::bblog::tcp::flag_letters;
use crate::compare::cause::WireCause;
use crate::compare::comparison::{Compared, Comparison};
use crate::compare::matching::MergeKind;
use crate::compare::report::rfc3339;
use crate::compare::segment::{Direction, Segment};
use crate::compare::wire::packet_of;
use crate::output::clock::Clock as Calendar;
use crate::output::escape::Quoted;
use std::collections::BTreeMap;
use std::fmt::Write as _;

pub(super) fn details(
    text: &mut String,
    comparison: &Comparison<'_>,
    compared: &Compared,
    number: u64,
    most: usize,
) {
    let sides = comparison.sides(compared.ends);
    let Some((run, matches)) = comparison
        .log
        .runs
        .get(compared.run as usize)
        .zip(comparison.matches.get(compared.ends))
    else {
        return;
    };
    let [local, foreign] = ends(comparison, compared);
    let _ = write!(text, "\nconnection {number}: {local} <-> {foreign}\n");
    if let Some(id) = &run.log_id {
        row(text, "log ID", Quoted(id));
    }
    if let Some(clock) = &compared.clock {
        row(text, "clock", clock_says(clock));
    }
    if run.boot_step_us > 0 {
        let step = micros(
            i64::try_from(run.boot_step_us)
                .unwrap_or(i64::MAX)
                .saturating_mul(1000),
        );
        row(
            text,
            "",
            format!("the log's wall clock moved by {step} between its messages"),
        );
    }
    let twice = run.serials.duplicates;
    if twice > 0 {
        let records = counted(twice, "record");
        row(
            text,
            "twice",
            format!("{records} came again in the log and count once"),
        );
    }
    let again: u64 = compared.counts.iter().map(|counts| counts.again).sum();
    if again > 0 {
        row(
            text,
            "again",
            format!("{} matched one to one", counted(again, "retransmission")),
        );
    }
    for ((direction, kind), [records, segments, incomplete]) in compared.kinds(matches) {
        let parts = match incomplete {
            0 => String::new(),
            n => format!("; of {n} some bytes are missing"),
        };
        row(
            text,
            "merged",
            format!(
                "{}: {} for {}, {} ({}){parts}",
                direction.name(),
                counted(records, "record"),
                counted(segments, "segment"),
                kind_says(kind),
                kind.name(),
            ),
        );
    }
    for lost in compared.lost.iter().take(most.max(8)) {
        let [incoming, outgoing] = lost.segments;
        row(
            text,
            "gap",
            format!(
                "serial {} to {} ({} missing): {} in and {} out on the wire",
                lost.gap.first,
                lost.gap.last,
                lost.gap.count(),
                incoming,
                outgoing
            ),
        );
    }
    if let Some(more) = compared
        .lost
        .len()
        .checked_sub(most.max(8))
        .filter(|n| *n > 0)
    {
        row(text, "", format!("and {more} more"));
    }
    let mut calendar = Calendar::default();
    let only_log = compared.only_log.iter().filter_map(|(at, cause)| {
        let segment = sides.log.get(*at as usize)?;
        Some((
            *cause,
            segment.direction,
            segment,
            format!("serial {}", segment.place),
        ))
    });
    let wall_clock = run.wall_clock;
    causes(
        text,
        "only log",
        only_log,
        most,
        |cause| cause.name(),
        &mut |segment| {
            let time = segment.time?;
            if wall_clock {
                rfc3339(&mut calendar, time)
            } else {
                Some(format!("uptime {}", seconds(time)))
            }
        },
    );
    let several = comparison.wire.captures.len() > 1;
    let only_wire = compared.only_wire.iter().filter_map(|(at, cause)| {
        let segment = sides.wire.get(*at as usize)?;
        let place = match packet_of(segment.place) {
            (_, frame) if !several => format!("frame {frame}"),
            (capture, frame) => format!("capture {} frame {frame}", capture + 1),
        };
        // Which gap it is has been said.
        let cause = match cause {
            WireCause::SerialGap(_) => WireCause::SerialGap(0),
            other => *other,
        };
        Some((cause, sides.wire_direction(segment), segment, place))
    });
    let mut calendar = Calendar::default();
    causes(
        text,
        "only wire",
        only_wire,
        most,
        |cause| cause.name(),
        &mut |segment| rfc3339(&mut calendar, segment.time?),
    );
}

/// Segments that only one recorder has, by cause and direction.
fn causes<'a, C: Ord + Copy>(
    text: &mut String,
    label: &str,
    segments: impl Iterator<Item = (C, Direction, &'a Segment, String)>,
    most: usize,
    name: impl Fn(C) -> &'static str,
    time: &mut dyn FnMut(&Segment) -> Option<String>,
) {
    let mut groups: BTreeMap<(C, Direction), (u64, Vec<String>)> = BTreeMap::new();
    for (cause, direction, segment, place) in segments {
        let (count, lines) = groups.entry((cause, direction)).or_default();
        *count += 1;
        if lines.len() < most {
            lines.push(format!(
                "{place}: {}{}",
                segment_says(segment),
                time(segment).map_or(String::new(), |time| format!(", {time}"))
            ));
        }
    }
    for ((cause, direction), (count, lines)) in groups {
        row(
            text,
            label,
            format!("{}: {count} {}", direction.name(), cause_says(name(cause))),
        );
        for line in &lines {
            row(text, "", format!("  {line}"));
        }
        if let Some(more) = count.checked_sub(lines.len() as u64).filter(|n| *n > 0)
            && !lines.is_empty()
        {
            row(text, "", format!("  and {more} more"));
        }
    }
}

fn segment_says(segment: &Segment) -> String {
    let mut flags = Vec::new();
    flag_letters(segment.flags(), &mut flags);
    match segment.tcp {
        Some(tcp) => format!(
            "[{}], seq {}, ack {}, length {}",
            String::from_utf8_lossy(&flags),
            tcp.seq,
            tcp.ack,
            segment.len
        ),
        None => format!("length {}", segment.len),
    }
}

fn cause_says(cause: &'static str) -> &'static str {
    match cause {
        "before_log" => "before the first record (before_log)",
        "log_loss" => "in a gap of serial numbers: the log lost them (log_loss)",
        "probe" => "probes, which this stack does not log (probe)",
        "not_logged" => "where no serial number is missing: not logged (not_logged)",
        "after_log" => "after the last record (after_log)",
        "before_capture" => "before the first packet (before_capture)",
        "after_capture" => "after the last packet (after_capture)",
        "capture_loss" => "that were on the wire: the capture lost them (capture_loss)",
        "not_seen" => "that the capture lost or the host never sent (not_seen)",
        "send_failed" => "that could not be sent (send_failed)",
        "not_captured" => "of a connection that the capture does not have (not_captured)",
        other => other,
    }
}

fn kind_says(kind: MergeKind) -> &'static str {
    match kind {
        MergeKind::Lro => "received as one",
        MergeKind::Tso => "divided behind the log",
        MergeKind::CaptureMerged => "merged in the capture",
        MergeKind::Regrouped => "divided in another way",
    }
}
