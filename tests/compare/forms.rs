//! Every form of log and capture gives the same report.

use crate::capture::{self, Packet, pcap, pcapng, plain};
use crate::ran::{compare, counts, document};
use crate::support::{convert, expected, genuine, put, stored, tcplog};
use serde_json::{Value, json};

const RUN: &str = "base-v6";

/// The report without what names the inputs.
fn bare(mut document: Value) -> Value {
    document["logs"] = json!(null);
    document["captures"] = json!(null);
    document
}

#[test]
fn captures() {
    for run in [RUN, "hz100"] {
        let (stream, packets) = (genuine(run), capture::genuine(run));
        let report = |bytes: &[u8]| bare(document(&stream, bytes, &[]));
        let wanted = report(&stored(&format!("captures/{run}.pcap.zst")));
        let ethernet = packets[0].data[..12].to_vec();
        let kind = packets[0].data[12..14].to_vec();
        for (nano, big) in [(false, false), (false, true), (true, false), (true, true)] {
            assert_eq!(report(&pcap(&packets, 1, nano, big)), wanted);
        }
        for big in [false, true] {
            assert_eq!(report(&pcapng(&packets, big, 6, |us| us)), wanted);
            assert_eq!(report(&pcapng(&packets, big, 9, |us| us * 1000)), wanted);
        }
        // Packets of other protocols have other types in front.
        let tcp: Vec<Packet> = packets
            .iter()
            .filter(|p| p.tcp().is_some())
            .cloned()
            .collect();
        let wanted = report(&plain(&tcp));
        let family: u8 = if kind == [8, 0] { 2 } else { 28 };
        let heads: [(u32, Vec<u8>); 9] = [
            (101, vec![]),
            (12, vec![]),
            (if family == 2 { 228 } else { 229 }, vec![]),
            (0, vec![family, 0, 0, 0]),
            (0, vec![0, 0, 0, family]),
            (108, vec![0, 0, 0, family]),
            (113, [&[0; 14][..], &kind].concat()),
            (276, [&kind[..], &[0; 18]].concat()),
            (
                1,
                [&ethernet[..], &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2], &kind].concat(),
            ),
        ];
        for (link, head) in heads {
            let framed: Vec<Packet> = tcp.iter().map(|packet| packet.framed(&head)).collect();
            assert_eq!(report(&pcap(&framed, link, false, false)), wanted, "{link}");
        }
    }
}

#[test]
fn captures_that_say_what_they_are() {
    let packets = capture::genuine(RUN);
    let document = document(&genuine(RUN), &pcapng(&packets, true, 6, |us| us), &[]);
    let tcp = packets
        .iter()
        .filter(|packet| packet.tcp().is_some())
        .count();
    let seen = &document["captures"][0];
    assert_eq!(
        (
            &seen["format"],
            &seen["packets"],
            &seen["tcp_segments"],
            &seen["dropped"]
        ),
        (
            &json!("pcapng"),
            &json!(packets.len()),
            &json!(tcp),
            &json!(7)
        )
    );
    assert_eq!(
        seen["link_types"],
        json!([{"link_type": 1, "name": "Ethernet", "packets": packets.len()}])
    );
}

#[test]
fn compressed_captures() {
    use std::io::Write;
    let (stream, plain) = (genuine(RUN), plain(&capture::genuine(RUN)));
    let wanted = bare(document(&stream, &plain, &[]));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&plain).unwrap();
    for (name, bytes) in [
        ("gzip", gzip.finish().unwrap()),
        ("xz", xz.finish().unwrap()),
    ] {
        let document = document(&stream, &bytes, &[]);
        assert_eq!(document["captures"][0]["compression"], name);
        assert_eq!(bare(document), wanted);
    }
}

#[test]
fn a_capture_in_parts() {
    let (stream, packets) = (genuine(RUN), capture::genuine(RUN));
    let wanted = document(&stream, &plain(&packets), &[]);
    let dir = tempfile::tempdir().unwrap();
    let log = put(dir.path(), "log", &stream);
    let (one, two) = packets.split_at(packets.len() / 3);
    let one = put(dir.path(), "one", &plain(one));
    let two = put(dir.path(), "two", &plain(two));
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let (log, one, two) = (path(&log), path(&one), path(&two));
    let args = [
        "compare",
        "--format",
        "json",
        &log,
        "--capture",
        &one,
        "--capture",
        &two,
    ];
    let ran = tcplog(args).fine();
    let document: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(document["total"], wanted["total"]);
    let segments = document["connections"][0]["only_wire"].as_array().unwrap();
    let first = &wanted["connections"][0]["only_wire"][0]["frame"];
    assert_eq!(segments[0]["frame"], json!({"capture": 1, "frame": first}));
    assert_eq!(segments.last().unwrap()["frame"]["capture"], 2);
}

/// Cut so short that options are missing, and that nothing of TCP is left.
#[test]
fn short_packets() {
    let (stream, packets) = (genuine("hz100"), capture::genuine("hz100"));
    let cut = |snap: usize| {
        let cut: Vec<Packet> = packets.iter().map(|packet| packet.cut(snap)).collect();
        plain(&cut)
    };
    let document = document(&stream, &cut(60), &[]);
    assert_eq!(
        (counts(&document, "in")[0], counts(&document, "out")[0]),
        (143, 208)
    );
    assert_eq!(document["captures"][0]["options_cut"], 355);
    let none = compare(&stream, &cut(40), &[]).ended(1);
    assert!(
        none.stderr.contains("no connection is in both"),
        "{}",
        none.stderr
    );
    let document: Value = serde_json::from_slice(&none.stdout).unwrap();
    assert_eq!(document["captures"][0]["too_short"], packets.len());
}

#[test]
fn logs() {
    for run in ["lro-rack", "switch", "ringwrap"] {
        let stream = genuine(run);
        let capture = stored(&format!("captures/{run}.pcap.zst"));
        let wanted = document(&stream, &capture, &[]);
        let (_, ours) = convert(&stream, &[]);
        assert_eq!(
            bare(document(&ours, &capture, &[])),
            bare(wanted.clone()),
            "{run}"
        );
        // The same log twice is one log.
        let twice = [stream.clone(), stream].concat();
        let twice = document(&twice, &capture, &[]);
        assert_eq!(twice["total"], wanted["total"], "{run}");
        // tcplog_dumper wrote a file for each message.
        let dir = tempfile::tempdir().unwrap();
        let mut args: Vec<String> = vec!["compare".into(), "--format".into(), "json".into()];
        for (name, bytes) in expected(run).0 {
            args.push(put(dir.path(), &name, &bytes).to_str().unwrap().to_owned());
        }
        args.push("--capture".into());
        args.push(
            put(dir.path(), "capture", &capture)
                .to_str()
                .unwrap()
                .to_owned(),
        );
        let ran = tcplog(args).fine();
        let theirs: Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert_eq!(theirs["total"], wanted["total"], "{run}");
    }
}

/// Records without a header: no addresses, no wall clock.
#[test]
fn bare_records() {
    let stream = genuine(RUN);
    let capture = stored(&format!("captures/{RUN}.pcap.zst"));
    let wanted = document(&stream, &capture, &[]);
    let messages = crate::support::stream::messages(&stream);
    let [message] = messages.as_slice() else {
        panic!("one message");
    };
    let document = document(&message.bytes[208..], &capture, &[]);
    assert_eq!(document["total"], wanted["total"]);
    let connection = &document["connections"][0];
    assert_eq!(
        (
            &connection["local_addr"],
            &connection["local_port"],
            &connection["wall_clock"]
        ),
        (&json!(null), &json!(8000), &json!(false))
    );
    // By uptime the offset is the time of boot.
    let offset = |d: &Value| {
        let value = &d["clock"]["offset_ns"];
        let text = value.as_str().map(|text| text.parse().unwrap());
        text.unwrap_or_else(|| value.as_i64().unwrap())
    };
    let boot = message.boot_us() * 1000;
    let apart: i64 = offset(&document) - offset(&wanted) - boot;
    assert!(apart.abs() < 2000, "{apart}");
}

#[test]
fn the_text() {
    let dir = tempfile::tempdir().unwrap();
    let log = put(dir.path(), "log", &genuine("lro-rack"));
    let capture = put(dir.path(), "wire", &stored("captures/lro-rack.pcap.zst"));
    let svg = dir.path().join("graph.svg");
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let args = [
        "compare",
        &path(&log),
        "--capture",
        &path(&capture),
        "--list",
        "1",
    ];
    let ran = tcplog([&args[..], &["-o", &path(&svg)]].concat()).fine();
    let text = String::from_utf8(ran.stdout).unwrap();
    let text = text.replace(&path(dir.path()), "DIR");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..5],
        [
            "log      DIR/log: stream, 2960 records",
            "capture  DIR/wire: pcap, Ethernet, 1540 packets, 1537 TCP segments",
            "",
            "                                                                 ---- merged -----",
            "       local           foreign               log  wire  matched  records  segments  only log  only wire  log ID",
        ]
    );
    for line in [
        "1      10.99.0.2:8000  10.99.0.1:54250  in   559  1042      142      417       898         0          2  lro-rack",
        "                                        out  494   495      494        0         0         0          1",
        "  merged     in: 417 records for 898 segments, received as one (lro)",
        "  only wire  in: 2 before the first record (before_log)",
        "               frame 1: [S], seq 1374310091, ack 0, length 0, 2026-11-21T01:23:58.885135Z",
        "               and 1 more",
    ] {
        assert!(lines.contains(&line), "{line}\n{text}");
    }
    let svg = std::fs::read_to_string(svg).unwrap();
    well_formed(&svg);
    assert!(svg.contains(
        "142 matched, 417 records are 898 segments, 0 only in the log, 2 only on the wire"
    ));
    // Two in the lane of the log, for SYN and SYN-ACK stand at one place; those
    // also above; and the legend.
    assert_eq!(svg.matches("l4 4l-4 4l-4 -4z").count(), 4);
    assert_eq!(svg.matches("l4 7h-8z").count(), 1);
}

/// Every element that begins ends.
pub fn well_formed(svg: &str) {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').unwrap();
        assert!(!text.contains('>'), "{text}");
        let name = tag.split_whitespace().next().unwrap();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty() && svg.starts_with("<svg "), "{open:?}");
}
