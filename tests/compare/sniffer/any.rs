//! Any flows in the log and on the wire, and damaged captures.

use super::{Ends, packet, published, wire};
use crate::capture::{Packet, plain};
use crate::forms::well_formed;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::net::Ipv4Addr;
use tcplog::compare::capture::Capture;
use tcplog::compare::comparison::Comparison;
use tcplog::compare::flow::Sniffed;
use tcplog::compare::graph;
use tcplog::compare::log::Log;
use tcplog::compare::report::{Form, Shown, report};
use tcplog::compare::wire::Wire;
use tcplog::select::Criteria;
use tcplog::zcs::{Asked, read};

/// An entry as the program printed it, on a little-endian host.
fn entry((src, dst, protocol, ports): Ends) -> String {
    let [from, to] = ports.map(u16::swap_bytes);
    let (src, dst) = (Ipv4Addr::from(src), Ipv4Addr::from(dst));
    format!(
        "dump  1.2: ptr: 0xc1b86d00, start: 0xc1b84000, size: 1828, off: 27904: entry: 0, cpu: 1: \n\
         \t00:11:09:61:eb:0e -> 00:10:22:fd:c4:d6, type: 0800, {src}:{from} -> {dst}:{to}, proto: {protocol}, \n"
    )
}

/// Compares without the program.
fn in_process(log: &str, capture: &[u8], check: impl FnOnce(&Comparison<'_>)) {
    let select = Criteria::default().select(&|_| Vec::new()).unwrap();
    let mut sniffed = Sniffed::default();
    let source = Cursor::new(log.as_bytes().to_vec());
    read(
        source,
        "log",
        &Asked::new(&select),
        &mut sniffed,
        &mut |_, _| {},
    )
    .unwrap();
    let mut log = Log::default();
    log.sniffed = Some(sniffed);
    let mut wire = Wire::new(&log);
    if let Ok(mut capture) = Capture::open("capture", Cursor::new(capture.to_vec())) {
        let _ = wire.read(&mut capture, |_| {});
    }
    let comparison = Comparison::new(&log, &wire);
    check(&comparison);
    for form in [Form::Text, Form::Json] {
        let report = report(&comparison, Shown { form, most: 3 }).unwrap();
        assert!(String::from_utf8(report).is_ok());
    }
    well_formed(&graph::svg(&comparison));
}

/// Few enough that both often have the same, with a port that tells the order.
fn any_ends() -> impl Strategy<Value = Ends> {
    (
        0..3_u8,
        0..2_u8,
        prop::sample::select(vec![6_u8, 17, 132]),
        0..2_u16,
    )
        .prop_map(|(a, b, protocol, port)| {
            ([10, 0, 0, a], [10, 0, 1, b], protocol, [22, 5000 + port])
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn counts_of_any_flows(
        of_log in prop::collection::vec(any_ends(), 0..60),
        of_wire in prop::collection::vec(any_ends(), 0..60),
    ) {
        let text: String = of_log.iter().copied().map(entry).collect();
        let packets: Vec<Packet> = of_wire.iter().map(|ends| packet(*ends, 1)).collect();
        let mut known: BTreeMap<String, [u64; 2]> = BTreeMap::new();
        for (side, ends) in [&of_log, &of_wire].into_iter().enumerate() {
            for (src, dst, protocol, [from, to]) in ends {
                let (src, dst) = (Ipv4Addr::from(*src), Ipv4Addr::from(*dst));
                let name = match protocol { 6 => "tcp", 17 => "udp", _ => "sctp" };
                let flow = format!("{src}:{from} -> {dst}:{to} {name}");
                known.entry(flow).or_default()[side] += 1;
            }
        }
        let strangers: u64 = known.values().filter(|[log, _]| *log == 0).map(|[_, wire]| wire).sum();
        known.retain(|_, [log, _]| *log > 0);
        in_process(&text, &plain(&packets), |comparison| {
            let flows = comparison.flows.iter();
            let found: BTreeMap<String, [u64; 2]> = flows
                .map(|flow| (flow.flow.to_string(), [flow.counts.log, flow.counts.wire]))
                .collect();
            assert_eq!(found, known);
            for flow in &comparison.flows {
                let counts = flow.counts;
                assert_eq!(counts.matched, counts.log.min(counts.wire));
                assert_eq!(counts.matched + counts.only_log(), counts.log);
                assert_eq!(counts.matched + counts.only_wire(), counts.wire);
            }
            let passed = comparison.wire.passed.as_ref().unwrap();
            assert_eq!(passed.packets_not_in_log(), strangers);
        });
    }

    #[test]
    fn damaged_captures(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let mut bytes = plain(&wire());
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let log = String::from_utf8(published()).unwrap();
        in_process(&log, &bytes, |comparison| assert_eq!(comparison.total_of_flows().log, 7));
    }
}
