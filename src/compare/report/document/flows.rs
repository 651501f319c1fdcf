//! Flows of the zero-copy sniffer's log, in the document.

use crate::compare::comparison::Comparison;
use crate::compare::flow::{Flow, FlowCounts, Sniffed, SnifferLog};
use crate::compare::report::{MATCHED_BY, rfc3339};
use crate::output::clock::Clock as Calendar;
use serde::Serialize;
use std::net::Ipv4Addr;

#[derive(Serialize)]
pub struct SnifferView {
    /// Says that nothing better can be known.
    matching: &'static str,
    logs: Vec<SnifferLogView>,
    flows: Vec<FlowView>,
    total: SnifferTotalView,
    /// Flows of the capture that the log does not have.
    not_in_log: Vec<StrangerFlowView>,
}

#[derive(Serialize)]
struct SnifferLogView {
    name: String,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression: Option<String>,
    port_order: &'static str,
    entries: u64,
    /// Entries with a packet.
    packets: u64,
    freed: u64,
    /// Entries with a packet of which the log tells no flow.
    not_ipv4: u64,
    damaged: u64,
}

#[derive(Serialize)]
struct KeyView {
    src_addr: Ipv4Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_port: Option<u16>,
    dst_addr: Ipv4Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    dst_port: Option<u16>,
    protocol: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol_name: Option<&'static str>,
}

#[derive(Serialize)]
struct FlowCountsView {
    log: u64,
    wire: u64,
    matched: u64,
    only_log: u64,
    only_wire: u64,
}

#[derive(Serialize)]
struct FlowView {
    #[serde(flatten)]
    key: KeyView,
    #[serde(flatten)]
    counts: FlowCountsView,
    /// Of the capture.
    first_time: Option<String>,
    last_time: Option<String>,
}

#[derive(Serialize)]
struct SnifferTotalView {
    flows: u64,
    common_flows: u64,
    #[serde(flatten)]
    counts: FlowCountsView,
    freed: u64,
    not_ipv4: u64,
    /// Packets of the log that belong to still more flows.
    not_compared: u64,
    fragments: u64,
    too_short: u64,
    /// Of flows that the log does not have.
    packets_not_in_log: u64,
}

#[derive(Serialize)]
struct StrangerFlowView {
    #[serde(flatten)]
    key: KeyView,
    packets: u64,
}

impl KeyView {
    fn of(flow: &Flow) -> KeyView {
        let (src_port, dst_port) = flow.ports.unzip();
        KeyView {
            src_addr: flow.src,
            src_port,
            dst_addr: flow.dst,
            dst_port,
            protocol: flow.protocol,
            protocol_name: flow.protocol_name(),
        }
    }
}

impl FlowCountsView {
    fn of(counts: &FlowCounts) -> FlowCountsView {
        FlowCountsView {
            log: counts.log,
            wire: counts.wire,
            matched: counts.matched,
            only_log: counts.only_log(),
            only_wire: counts.only_wire(),
        }
    }
}

impl SnifferLogView {
    fn of(log: &SnifferLog) -> SnifferLogView {
        SnifferLogView {
            name: log.name.clone(),
            format: "zcs",
            compression: log.compression.clone(),
            port_order: log.decided.order.name(),
            entries: log.entries,
            packets: log.packets + log.not_ipv4,
            freed: log.freed,
            not_ipv4: log.not_ipv4,
            damaged: log.damaged,
        }
    }
}

pub fn sniffer(
    comparison: &Comparison<'_>,
    sniffed: &Sniffed,
    most: usize,
    calendar: &mut Calendar,
) -> SnifferView {
    let passed = comparison.wire.passed.as_ref();
    let common = comparison.flows.iter();
    let common = common.filter(|flow| flow.counts.matched > 0).count();
    let flows = comparison.flows.iter().map(|flow| {
        let (first, last) = flow.span().unzip();
        let mut time = |ns: Option<i64>| ns.and_then(|ns| rfc3339(calendar, ns));
        FlowView {
            key: KeyView::of(&flow.flow),
            counts: FlowCountsView::of(&flow.counts),
            first_time: time(first),
            last_time: time(last),
        }
    });
    let strangers = passed.map_or(Vec::new(), |passed| passed.strangers());
    SnifferView {
        matching: MATCHED_BY,
        logs: sniffed.logs.iter().map(SnifferLogView::of).collect(),
        flows: flows.collect(),
        total: SnifferTotalView {
            flows: comparison.flows.len() as u64,
            common_flows: common as u64,
            counts: FlowCountsView::of(&comparison.total_of_flows()),
            freed: sniffed.logs.iter().map(|log| log.freed).sum(),
            not_ipv4: sniffed.logs.iter().map(|log| log.not_ipv4).sum(),
            not_compared: sniffed.more,
            fragments: passed.map_or(0, |passed| passed.fragments),
            too_short: passed.map_or(0, |passed| passed.short),
            packets_not_in_log: passed.map_or(0, |passed| passed.packets_not_in_log()),
        },
        not_in_log: strangers
            .iter()
            .take(most)
            .map(|(flow, packets)| StrangerFlowView {
                key: KeyView::of(flow),
                packets: *packets,
            })
            .collect(),
    }
}
