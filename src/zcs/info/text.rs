//! The summary of a log as text.

use super::document::share;
use super::{Flow, Sums};
use crate::output::escape::Escaped;
use crate::zcs::show::{protocol, put_end, said};
use crate::zcs::{Found, Ipv4};
use std::io::Write;

/// Flows that are listed.
const MOST_LINES: usize = 100;
/// Sizes and types that are.
const MOST_ITEMS: usize = 20;

pub fn write(out: &mut Vec<u8>, sums: &Sums, found: &Found) {
    // Writing to a vector does not fail.
    let _ = writeln!(
        out,
        "{}: zero-copy sniffer log; times and packet lengths unknown; {}",
        Escaped(sums.name.as_bytes()),
        said(sums.decided)
    );
    let _ = write!(
        out,
        "{} ({} with a packet, {} freed{})",
        counted(found.wanted, "entry", "entries"),
        found.frames,
        sums.freed,
        match found.wanted {
            0 => String::new(),
            whole => format!(", {}", percent(sums.freed, whole)),
        }
    );
    if found.damaged > 0 {
        let _ = write!(out, "; {} malformed", found.damaged);
    }
    out.push(b'\n');
    checks(out, sums, found);
    let sizes: Vec<String> = sums
        .sizes
        .sorted()
        .iter()
        .map(|(size, count)| format!("{size} ({count})"))
        .collect();
    list(out, "allocated bytes", &sizes, sums.sizes.others);
    cpus(out, sums);
    flows(out, sums);
    let types: Vec<String> = sums
        .types
        .sorted()
        .iter()
        .map(|(ethertype, count)| format!("{ethertype:04x} ({count})"))
        .collect();
    list(out, "types besides IPv4", &types, sums.types.others);
}

fn checks(out: &mut Vec<u8>, sums: &Sums, found: &Found) {
    let failed = sums.checks;
    if failed.any == 0 {
        if found.wanted > 0 {
            out.extend_from_slice(b"ptr, start, size, off and index agree in all of them\n");
        }
        return;
    }
    let _ = writeln!(
        out,
        "{} with numbers that do not agree: off in {}, start in {}, outside the node {}, index in {}",
        counted(failed.any, "entry", "entries"),
        failed.off,
        failed.start,
        failed.inside,
        failed.index
    );
}

fn list(out: &mut Vec<u8>, what: &str, items: &[String], others: u64) {
    if items.is_empty() {
        return;
    }
    let listed = items.get(..MOST_ITEMS).unwrap_or(items);
    let _ = write!(out, "{what}: {}", listed.join(", "));
    if others > 0 || listed.len() < items.len() {
        out.extend_from_slice(b" and others");
    }
    out.push(b'\n');
}

fn cpus(out: &mut Vec<u8>, sums: &Sums) {
    let cpus = sums.cpus.sorted();
    if cpus.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "\n{:>4}  {:>9}  {:>9}  {:>9}  {:>7}  {:>9}",
        "cpu", "entries", "packets", "freed", "", "batches"
    );
    for (cpu, sum) in cpus {
        let _ = writeln!(
            out,
            "{cpu:>4}  {:>9}  {:>9}  {:>9}  {:>7}  {:>9}",
            sum.entries,
            sum.entries - sum.freed,
            sum.freed,
            percent(sum.freed, sum.entries),
            sum.batches
        );
    }
    if sums.cpus.others > 0 {
        let _ = writeln!(out, "{} entries of other CPUs", sums.cpus.others);
    }
}

fn flows(out: &mut Vec<u8>, sums: &Sums) {
    let flows = sums.flows();
    if flows.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{:>9}  flow", "packets");
    for (flow, flowed) in flows.iter().take(MOST_LINES) {
        let _ = write!(out, "{:>9}  ", flowed.packets);
        put_flow(out, flow);
        out.push(b'\n');
    }
    let rest: u64 = flows.iter().skip(MOST_LINES).map(|(_, f)| f.packets).sum();
    let rest = rest + sums.flows.others;
    if rest > 0 {
        let _ = writeln!(out, "{rest:>9}  other flows");
    }
}

fn put_flow(out: &mut Vec<u8>, flow: &Flow) {
    put_end(out, flow.src);
    out.extend_from_slice(b" -> ");
    put_end(out, flow.dst);
    out.push(b' ');
    protocol(out, flow.protocol, Ipv4::name_of(flow.protocol));
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.1} %", share(part, whole) * 100.0)
}

fn counted(n: u64, one: &str, many: &str) -> String {
    match n {
        1 => format!("1 {one}"),
        n => format!("{n} {many}"),
    }
}
