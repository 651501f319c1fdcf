//! Flows of the zero-copy sniffer's log, as a table.

use super::says::counted;
use crate::compare::comparison::Comparison;
use crate::compare::flow::{FlowCounts, Sniffed, SnifferLog};
use crate::compare::report::MATCHED_BY;
use crate::output::escape::Escaped;
use crate::zcs::PortOrder;
use std::fmt::Write as _;

/// Flows that are listed without `--list`.
const MOST_LINES: usize = 100;

const COLUMNS: [&str; 6] = ["flow", "log", "wire", "matched", "only log", "only wire"];

/// What the logs are.
pub(super) fn inputs(text: &mut String, sniffed: &Sniffed) {
    for log in &sniffed.logs {
        let _ = write!(text, "log      {}: zcs", Escaped(log.name.as_bytes()));
        if let Some(compression) = &log.compression {
            let _ = write!(text, ", {compression}");
        }
        let _ = write!(
            text,
            ", {}: {} with a packet, {} freed, ports {}",
            match log.entries {
                1 => "1 entry".to_owned(),
                n => format!("{n} entries"),
            },
            log.packets + log.not_ipv4,
            log.freed,
            match log.decided.order {
                PortOrder::Swapped => "byte-swapped",
                PortOrder::Printed => "as printed",
            }
        );
        if log.damaged > 0 {
            let _ = write!(text, "; {}", counted(log.damaged, "damaged place"));
        }
        text.push('\n');
    }
}

pub(super) fn flows(
    text: &mut String,
    comparison: &Comparison<'_>,
    sniffed: &Sniffed,
    most: usize,
) {
    let _ = write!(text, "\nsniffer's log: {MATCHED_BY}\n");
    table(text, comparison, most.max(MOST_LINES));
    let sum = |of: fn(&SnifferLog) -> u64| -> u64 { sniffed.logs.iter().map(of).sum() };
    let passed = comparison.wire.passed.as_ref();
    for (what, count) in [
        ("freed entries, without a packet", sum(|log| log.freed)),
        (
            "entries with packets that are not IPv4",
            sum(|log| log.not_ipv4),
        ),
        ("entries of still more flows, not compared", sniffed.more),
        (
            "later fragments on the wire, which have no ports, left out",
            passed.map_or(0, |passed| passed.fragments),
        ),
        (
            "IPv4 packets on the wire, cut too short or damaged, left out",
            passed.map_or(0, |passed| passed.short),
        ),
    ] {
        if count > 0 {
            let _ = writeln!(text, "  {what}: {count}");
        }
    }
    let Some(passed) = passed.filter(|passed| passed.packets_not_in_log() > 0) else {
        return;
    };
    let strangers = passed.strangers();
    let _ = write!(
        text,
        "\nnot in the sniffer's log: {} of {}\n",
        counted(passed.packets_not_in_log(), "IPv4 packet"),
        counted(strangers.len() as u64, "other flow"),
    );
    for (flow, packets) in strangers.iter().take(most) {
        let _ = writeln!(text, "  {flow}: {packets}");
    }
}

fn table(text: &mut String, comparison: &Comparison<'_>, most: usize) {
    let row = |name: String, counts: &FlowCounts| {
        [
            name,
            counts.log.to_string(),
            counts.wire.to_string(),
            counts.matched.to_string(),
            counts.only_log().to_string(),
            counts.only_wire().to_string(),
        ]
    };
    let mut table = vec![COLUMNS.map(str::to_owned)];
    let mut rest = FlowCounts::default();
    for (at, flow) in comparison.flows.iter().enumerate() {
        if at < most {
            table.push(row(flow.flow.to_string(), &flow.counts));
        } else {
            rest.add(&flow.counts);
        }
    }
    if let Some(more) = comparison.flows.len().checked_sub(most).filter(|n| *n > 0) {
        table.push(row(counted(more as u64, "other flow"), &rest));
    }
    table.push(row("total".to_owned(), &comparison.total_of_flows()));
    let mut widths = [0; COLUMNS.len()];
    for row in &table {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    for row in &table {
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            let _ = match at {
                0 => write!(text, "  {cell:width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
}
