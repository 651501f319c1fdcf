//! The report as numbers: the JSON document.

mod connection;
mod flows;

use crate::compare::capture::link;
use crate::compare::clock::Clock;
use crate::compare::comparison::{Comparison, Counts};
use crate::output::clock::Clock as Calendar;
use crate::output::json_text::MAX_EXACT;
use connection::{ConnectionView, connection};
use flows::{SnifferView, sniffer};
use serde::{Serialize, Serializer};

#[derive(Serialize)]
pub struct Document {
    schema: u8,
    kind: &'static str,
    logs: Vec<LogView>,
    captures: Vec<CaptureView>,
    clock: Option<ClockView>,
    connections: Vec<ConnectionView>,
    total: TotalView,
    /// Connections of the capture that the log does not have.
    not_in_log: Vec<StrangerView>,
    /// There if a log of the zero-copy sniffer was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    sniffer: Option<SnifferView>,
}

#[derive(Serialize)]
struct LogView {
    name: String,
    format: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression: Option<String>,
    records: u64,
    damaged_ranges: u64,
}

#[derive(Serialize)]
struct CaptureView {
    name: String,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression: Option<String>,
    link_types: Vec<LinkView>,
    packets: u64,
    tcp_segments: u64,
    not_tcp: u64,
    fragments: u64,
    too_short: u64,
    options_cut: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<Exact>,
    damaged_ranges: u64,
}

#[derive(Serialize)]
struct LinkView {
    link_type: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
    packets: u64,
}

#[derive(Serialize)]
struct ClockView {
    pairs: u64,
    /// What is added to a time of the log to get the time of the capture.
    offset_ns: Exact,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_ns: Option<Exact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_ns: Option<Exact>,
    spread_ns: [Exact; 2],
    span_ns: Exact,
    #[serde(skip_serializing_if = "Option::is_none")]
    skew_ppm: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skew_error_ppm: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_step_ns: Option<Exact>,
}

#[derive(Serialize)]
struct CountsView {
    log: u64,
    wire: u64,
    matched: u64,
    matched_again: u64,
    merged_records: u64,
    merged_segments: u64,
    only_log: u64,
    only_wire: u64,
}

#[derive(Serialize)]
struct TotalView {
    connections: u64,
    common_connections: u64,
    #[serde(rename = "in")]
    incoming: CountsView,
    #[serde(rename = "out")]
    outgoing: CountsView,
    /// Of connections that the log does not have.
    segments_not_in_log: u64,
}

#[derive(Serialize)]
struct StrangerView {
    ends: [String; 2],
    segments: u64,
}

/// A number that is written as a string where readers would round it.
struct Exact(i64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.unsigned_abs() <= MAX_EXACT {
            serializer.serialize_i64(self.0)
        } else {
            serializer.collect_str(&self.0)
        }
    }
}

fn exact(n: u64) -> Exact {
    Exact(i64::try_from(n).unwrap_or(i64::MAX))
}

impl ClockView {
    fn of(clock: &Clock) -> ClockView {
        let [incoming, outgoing] = clock.medians;
        let rounded = |ppm: f64| (ppm * 1000.0).round() / 1000.0;
        ClockView {
            pairs: clock.pairs,
            offset_ns: Exact(clock.offset),
            in_ns: incoming.map(Exact),
            out_ns: outgoing.map(Exact),
            spread_ns: [Exact(clock.spread.0), Exact(clock.spread.1)],
            span_ns: Exact(clock.span),
            skew_ppm: clock.skew.map(|(skew, _)| rounded(skew)),
            skew_error_ppm: clock.skew.map(|(_, error)| rounded(error)),
            log_step_ns: clock.step.map(Exact),
        }
    }
}

impl CountsView {
    fn of(counts: &Counts) -> CountsView {
        CountsView {
            log: counts.log,
            wire: counts.wire,
            matched: counts.matched,
            matched_again: counts.again,
            merged_records: counts.merged_records,
            merged_segments: counts.merged_segments,
            only_log: counts.only_log,
            only_wire: counts.only_wire,
        }
    }
}

pub fn document(comparison: &Comparison<'_>, most: usize) -> Document {
    let logs = comparison.log.inputs.iter().map(|input| LogView {
        name: input.name.clone(),
        format: input.format.clone(),
        compression: input.compression.clone(),
        records: input.records,
        damaged_ranges: input.damaged,
    });
    let captures = comparison.wire.captures.iter().map(|seen| CaptureView {
        name: seen.name.clone(),
        format: seen.form,
        compression: seen.compression.clone(),
        link_types: seen
            .links
            .iter()
            .map(|(link, packets)| LinkView {
                link_type: *link,
                name: link::name(*link),
                packets: *packets,
            })
            .collect(),
        packets: seen.packets,
        tcp_segments: seen.segments,
        not_tcp: seen.other,
        fragments: seen.fragments,
        too_short: seen.short,
        options_cut: seen.cut_options,
        dropped: seen.dropped.map(exact),
        damaged_ranges: seen.damaged,
    });
    let mut calendar = Calendar::default();
    let connections = (1..)
        .zip(&comparison.compared)
        .map(|(number, compared)| connection(comparison, compared, number, most, &mut calendar))
        .collect();
    let sniffed = comparison.log.sniffed.as_ref();
    let common = comparison.compared.iter();
    let common = common.filter(|compared| compared.is_common());
    let [incoming, outgoing] = comparison.total();
    let strangers = comparison.strangers();
    Document {
        schema: 1,
        kind: "compare",
        logs: logs.collect(),
        captures: captures.collect(),
        clock: comparison.clock.as_ref().map(ClockView::of),
        connections,
        total: TotalView {
            connections: comparison.compared.len() as u64,
            common_connections: common.count() as u64,
            incoming: CountsView::of(&incoming),
            outgoing: CountsView::of(&outgoing),
            segments_not_in_log: comparison.segments_not_in_log(),
        },
        not_in_log: strangers
            .into_iter()
            .take(most)
            .map(|(tuple, segments)| StrangerView {
                ends: [tuple.low.to_string(), tuple.high.to_string()],
                segments,
            })
            .collect(),
        sniffer: sniffed.map(|sniffed| sniffer(comparison, sniffed, most, &mut calendar)),
    }
}
