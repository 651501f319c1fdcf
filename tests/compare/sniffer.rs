//! The zero-copy sniffer's log against captures that are made here, so that
//! what is in each flow is known.

mod any;
mod beside;

use crate::capture::{Packet, pcap, pcapng, plain};
use crate::forms::well_formed;
use crate::ran::document;
use crate::support::{put, tcplog, testdata};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// Source, destination, protocol, ports.
type Ends = ([u8; 4], [u8; 4], u8, [u16; 2]);

const SSH: Ends = ([192, 168, 0, 48], [192, 168, 4, 78], 6, [40673, 22]);
const ALL: Ends = ([192, 168, 4, 9], [255; 4], 17, [4521; 2]);
const ONE: Ends = ([192, 168, 5, 231], [224, 0, 1, 20], 17, [4521; 2]);
const TWO: Ends = ([192, 168, 5, 232], [224, 0, 1, 20], 17, [4521; 2]);

/// Eight entries: four of SSH, one each of the others, one that was freed.
fn published() -> Vec<u8> {
    std::fs::read(testdata("zcs/2006-09-01.txt")).unwrap()
}

/// A packet of a flow, so many milliseconds after the first.
fn packet((src, dst, protocol, ports): Ends, ms: u64) -> Packet {
    let rest: usize = match protocol {
        6 => 20,
        _ => 8,
    };
    let mut data = vec![2; 12];
    data.extend([8, 0, 0x45, 0]);
    data.extend((20 + rest as u16).to_be_bytes());
    data.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
    data.extend(src);
    data.extend(dst);
    data.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
    data.resize(34 + rest, 0);
    if protocol == 6 {
        data[46] = 0x50;
        data[47] = 0x10;
    }
    Packet {
        us: 1_157_068_800_000_000 + ms * 1000,
        length: data.len() as u32,
        data,
    }
}

fn packets(ends: Ends, count: u64, ms: u64) -> Vec<Packet> {
    (0..count).map(|n| packet(ends, ms + 10 * n)).collect()
}

/// Six of SSH, one to all, none of the first to the group and three of the
/// second; and what is in no flow of the log.
fn wire() -> Vec<Packet> {
    let back = (SSH.1, SSH.0, 6, [22, 40673]);
    let other_protocol = (ALL.0, ALL.1, 6, ALL.3);
    let other_port = (ONE.0, ONE.1, 17, [4521, 4522]);
    let ping = (ALL.0, SSH.0, 1, [0x0800, 0]);
    let mut all = [
        packets(SSH, 6, 0),
        packets(back, 3, 5),
        packets(ALL, 1, 70),
        packets(TWO, 3, 80),
        packets(other_protocol, 1, 200),
        packets(other_port, 2, 210),
        packets(ping, 5, 300),
    ]
    .concat();
    // A later piece of a packet, whose first bytes could be ports.
    let mut piece = packet(SSH, 400);
    piece.data[21] = 9;
    // One that ends before its ports.
    let short = packet(TWO, 410).cut(36);
    let mut arp = packet(SSH, 420);
    arp.data[13] = 6;
    let mut v6 = packet(SSH, 430);
    v6.data[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
    all.extend([piece, short, arp, v6]);
    all
}

/// Log, wire, matched, only log, only wire.
fn counts(of: &Value) -> [u64; 5] {
    ["log", "wire", "matched", "only_log", "only_wire"].map(|key| of[key].as_u64().unwrap())
}

fn flow(document: &Value, ends: Ends) -> &Value {
    let is = |flow: &&Value| {
        flow["src_addr"] == Ipv4Addr::from(ends.0).to_string()
            && flow["dst_addr"] == Ipv4Addr::from(ends.1).to_string()
            && flow["protocol"] == ends.2
            && [&flow["src_port"], &flow["dst_port"]] == ends.3.map(|port| json!(port)).each_ref()
    };
    let flows = document["sniffer"]["flows"].as_array().unwrap();
    flows.iter().find(is).unwrap()
}

#[track_caller]
fn is_as_known(document: &Value) {
    for (ends, expected) in [
        (SSH, [4, 6, 4, 0, 2]),
        (ALL, [1, 1, 1, 0, 0]),
        (ONE, [1, 0, 0, 1, 0]),
        (TWO, [1, 3, 1, 0, 2]),
    ] {
        assert_eq!(counts(flow(document, ends)), expected, "{ends:?}");
    }
    let total = &document["sniffer"]["total"];
    assert_eq!(counts(total), [7, 10, 6, 1, 4]);
    let (flows, common) = (&total["flows"], &total["common_flows"]);
    assert_eq!((flows, common), (&json!(4), &json!(3)));
    assert_eq!(total["freed"], 1);
}

#[test]
fn the_published_log() {
    let document = document(&published(), &plain(&wire()), &[]);
    is_as_known(&document);
    let sniffer = &document["sniffer"];
    let log = &sniffer["logs"][0];
    assert_eq!(
        ["entries", "packets", "freed", "not_ipv4", "damaged"].map(|key| log[key].as_u64()),
        [Some(8), Some(7), Some(1), Some(0), Some(0)]
    );
    assert_eq!(
        (&log["format"], &log["port_order"]),
        (&json!("zcs"), &json!("swapped"))
    );
    let total = &sniffer["total"];
    assert_eq!(
        (&total["fragments"], &total["too_short"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(total["packets_not_in_log"], 11);
    let strangers: Vec<(&Value, &Value)> = (sniffer["not_in_log"].as_array().unwrap().iter())
        .map(|flow| (&flow["protocol"], &flow["packets"]))
        .collect();
    let [a, b, c, d, six, one, udp] = [5, 3, 2, 1, 6, 1, 17].map(|n| json!(n));
    assert_eq!(strangers, [(&one, &a), (&six, &b), (&udp, &c), (&six, &d)]);
    // ICMP has no ports.
    assert_eq!(sniffer["not_in_log"][0].get("src_port"), None);
    let ssh = flow(&document, SSH);
    assert_eq!(
        (&ssh["first_time"], &ssh["last_time"]),
        (
            &json!("2006-09-01T00:00:00.000000Z"),
            &json!("2006-09-01T00:00:00.050000Z")
        )
    );
    assert_eq!(flow(&document, ONE)["first_time"], Value::Null);
    // Nothing is made up that such a log cannot tell.
    assert_eq!(
        (
            &document["clock"],
            &document["connections"],
            &document["logs"]
        ),
        (&Value::Null, &json!([]), &json!([]))
    );
    assert_eq!(document["total"]["segments_not_in_log"], 0);
    let matching = sniffer["matching"].as_str().unwrap();
    assert!(
        matching.starts_with("matched by flow and count only"),
        "{matching}"
    );
}

#[test]
fn forms_of_captures() {
    let wire = wire();
    let no_ethernet: Vec<Packet> = (wire.iter())
        .filter(|packet| packet.data[12..15] == [8, 0, 0x45])
        .map(|packet| packet.framed(&[]))
        .collect();
    let tagged = [&[2; 12][..], &[0x81, 0, 0, 7, 8, 0]].concat();
    let tagged: Vec<Packet> = no_ethernet
        .iter()
        .map(|packet| Packet {
            length: packet.length + 18,
            data: [&tagged[..], &packet.data].concat(),
            us: packet.us,
        })
        .collect();
    for bytes in [
        pcap(&wire, 1, true, true),
        pcapng(&wire, false, 6, |us| us),
        pcap(&no_ethernet, 101, false, false),
        plain(&tagged),
    ] {
        is_as_known(&document(&published(), &bytes, &[]));
    }
    let (one, two) = wire.split_at(4);
    let dir = tempfile::tempdir().unwrap();
    let log = put(dir.path(), "log", &published());
    let [one, two] = [("one", one), ("two", two)].map(|(n, p)| put(dir.path(), n, &plain(p)));
    let [log, one, two] = [&log, &one, &two].map(|path| path.to_str().unwrap());
    let parts = ["--capture", one, "--capture", two];
    let args = [&["compare", "--format", "json", log][..], &parts].concat();
    is_as_known(&serde_json::from_slice(&tcplog(args).fine().stdout).unwrap());
    // Nothing tells whether two logs are one log twice.
    let args = [&["compare", "--format", "json", log, log][..], &parts].concat();
    let twice: Value = serde_json::from_slice(&tcplog(args).fine().stdout).unwrap();
    assert_eq!(counts(flow(&twice, SSH)), [8, 6, 6, 2, 0]);
}

#[test]
fn selections() {
    let (log, wire) = (published(), plain(&wire()));
    for (args, expected) in [
        (["--port", "22"], [4, 6, 4, 0, 2]),
        (["--host", "224.0.1.20"], [2, 3, 1, 1, 2]),
    ] {
        let document = document(&log, &wire, &args);
        let total = &document["sniffer"]["total"];
        assert_eq!(counts(total), expected, "{args:?}");
        assert_eq!(total["packets_not_in_log"], 0);
    }
}

#[test]
fn the_text() {
    let dir = tempfile::tempdir().unwrap();
    let log = put(dir.path(), "zcs.txt", &published());
    let capture = put(dir.path(), "wire", &plain(&wire()));
    let svg = dir.path().join("graph.svg");
    let [log, capture, svg_path] = [&log, &capture, &svg].map(|path| path.to_str().unwrap());
    let args = [
        "compare",
        log,
        "--capture",
        capture,
        "--list",
        "2",
        "-o",
        svg_path,
    ];
    let text = String::from_utf8(tcplog(args).fine().stdout).unwrap();
    let text = text.replace(dir.path().to_str().unwrap(), "DIR");
    let expected = "\
log      DIR/zcs.txt: zcs, 8 entries: 7 with a packet, 1 freed, ports byte-swapped
capture  DIR/wire: pcap, Ethernet, 25 packets, 10 TCP segments, 1 fragments left out

sniffer's log: matched by flow and count only, in the order of both, for such a log knows neither times nor sequence numbers nor lengths; which packets are missing is not known
  flow                                          log  wire  matched  only log  only wire
  192.168.0.48:40673 -> 192.168.4.78:22 tcp       4     6        4         0          2
  192.168.4.9:4521 -> 255.255.255.255:4521 udp    1     1        1         0          0
  192.168.5.231:4521 -> 224.0.1.20:4521 udp       1     0        0         1          0
  192.168.5.232:4521 -> 224.0.1.20:4521 udp       1     3        1         0          2
  total                                           7    10        6         1          4
  freed entries, without a packet: 1
  later fragments on the wire, which have no ports, left out: 1
  IPv4 packets on the wire, cut too short or damaged, left out: 1

not in the sniffer's log: 11 IPv4 packets of 4 other flows
  192.168.4.9 -> 192.168.0.48 icmp: 5
  192.168.4.78:22 -> 192.168.0.48:40673 tcp: 3
";
    assert_eq!(text, expected);
    let svg = std::fs::read_to_string(svg).unwrap();
    well_formed(&svg);
    assert!(svg.contains("4 matched, 0 only in the log, 2 only on the wire"));
    // The most of a flow are 132 pixels.
    for (height, fill, bars) in [
        (88, "#1f4e79", 2),
        (44, "#ffffff", 1),
        (44, "#1f4e79", 2),
        (88, "#ffffff", 1),
        (132, "#1f4e79", 2),
        (132, "#5a0a3c", 1),
    ] {
        let bar = format!("height=\"{height}.0\" style=\"fill:{fill}");
        assert_eq!(svg.matches(&bar).count(), bars, "{bar}");
    }
    assert_eq!(svg.matches("no packet with a time on the wire").count(), 1);
    assert!(svg.contains("matched by flow and count only") && !svg.contains("sequence number<"));
}
