//! The summary of a log as JSON.

use super::{Flow, Flowed, Sums};
use crate::zcs::{Found, Ipv4};
use serde::Serialize;
use std::net::Ipv4Addr;

/// Absent keys are of what is none; null is what the log does not know.
#[derive(Serialize)]
pub struct Document<'a> {
    schema: u32,
    kind: &'static str,
    source: &'a str,
    entries: u64,
    packets: u64,
    freed: u64,
    /// Of the entries; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    freed_share: Option<f64>,
    damaged: u64,
    port_order: &'static str,
    failed_checks: FailedChecks,
    cpus: Vec<CpuView>,
    flows: Vec<FlowView>,
    types: Vec<TypeView>,
    sizes: Vec<SizeView>,
    /// Entries that the lists leave out, for the log has too many kinds.
    unlisted: Unlisted,
    time: Option<()>,
    length: Option<()>,
}

#[derive(Serialize)]
struct FailedChecks {
    off: u64,
    start: u64,
    inside: u64,
    index: u64,
    any: u64,
}

#[derive(Serialize)]
struct CpuView {
    cpu: i32,
    entries: u64,
    packets: u64,
    freed: u64,
    freed_share: f64,
    batches: u64,
}

#[derive(Serialize)]
struct FlowView {
    src_addr: Ipv4Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_port: Option<u16>,
    dst_addr: Ipv4Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    dst_port: Option<u16>,
    protocol: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol_name: Option<&'static str>,
    packets: u64,
}

#[derive(Serialize)]
struct TypeView {
    ethertype: u16,
    packets: u64,
}

#[derive(Serialize)]
struct SizeView {
    size: u32,
    entries: u64,
}

#[derive(Serialize)]
struct Unlisted {
    cpus: u64,
    flows: u64,
    types: u64,
    sizes: u64,
}

/// A part of a whole, to four places; there is a whole.
pub fn share(part: u64, whole: u64) -> f64 {
    (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0
}

pub fn of<'a>(sums: &'a Sums, found: &Found) -> Document<'a> {
    let checks = sums.checks;
    Document {
        schema: 1,
        kind: "zcs_summary",
        source: &sums.name,
        entries: found.wanted,
        packets: found.frames,
        freed: sums.freed,
        freed_share: (found.wanted > 0).then(|| share(sums.freed, found.wanted)),
        damaged: found.damaged,
        port_order: sums.decided.order.name(),
        failed_checks: FailedChecks {
            off: checks.off,
            start: checks.start,
            inside: checks.inside,
            index: checks.index,
            any: checks.any,
        },
        cpus: sums
            .cpus
            .sorted()
            .into_iter()
            .map(|(cpu, sum)| CpuView {
                cpu,
                entries: sum.entries,
                packets: sum.entries - sum.freed,
                freed: sum.freed,
                freed_share: share(sum.freed, sum.entries),
                batches: sum.batches,
            })
            .collect(),
        flows: sums.flows().into_iter().map(FlowView::of).collect(),
        types: sums
            .types
            .sorted()
            .into_iter()
            .map(|(ethertype, packets)| TypeView { ethertype, packets })
            .collect(),
        sizes: sums
            .sizes
            .sorted()
            .into_iter()
            .map(|(size, entries)| SizeView { size, entries })
            .collect(),
        unlisted: Unlisted {
            cpus: sums.cpus.others,
            flows: sums.flows.others,
            types: sums.types.others,
            sizes: sums.sizes.others,
        },
        time: None,
        length: None,
    }
}

impl FlowView {
    fn of((flow, flowed): (Flow, Flowed)) -> FlowView {
        FlowView {
            src_addr: flow.src.0,
            src_port: flow.src.1,
            dst_addr: flow.dst.0,
            dst_port: flow.dst.1,
            protocol: flow.protocol,
            protocol_name: Ipv4::name_of(flow.protocol),
            packets: flowed.packets,
        }
    }
}
