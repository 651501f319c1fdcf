//! What stands beside the flows: a black box log, malformed entries, freed ones,
//! captures of something else.

use super::{SSH, counts, flow, is_as_known, packets, published, wire};
use crate::capture::{self, plain};
use crate::forms::well_formed;
use crate::ran::{compare, document};
use crate::support::{genuine, put, stored, tcplog};
use serde_json::{Value, json};

/// With a black box log in one command, each has its own part of the report.
#[test]
fn beside_a_black_box_log() {
    let ours = capture::genuine("hz100");
    let v4 = ours.iter().filter(|packet| packet.data[12..14] == [8, 0]);
    let v4 = v4.count();
    let both = plain(&[ours, wire()].concat());
    let stream = genuine("hz100");
    let alone = document(&stream, &both, &[]);
    assert_eq!(alone.get("sniffer"), None);
    let dir = tempfile::tempdir().unwrap();
    let stream = put(dir.path(), "stream", &stream);
    let log = put(dir.path(), "zcs.txt", &published());
    let both = put(dir.path(), "wire", &both);
    let svg = dir.path().join("graph.svg");
    let [stream, log, both, svg_path] =
        [&stream, &log, &both, &svg].map(|path| path.to_str().unwrap());
    for logs in [[stream, log], [log, stream]] {
        let args = [
            "compare",
            "--format",
            "json",
            "--capture",
            both,
            "-o",
            svg_path,
        ];
        let ran = tcplog([&args[..], &logs].concat()).fine();
        let document: Value = serde_json::from_slice(&ran.stdout).unwrap();
        is_as_known(&document);
        for key in ["clock", "connections", "total", "not_in_log"] {
            assert_eq!(document[key], alone[key], "{key}");
        }
        let total = &document["sniffer"]["total"];
        assert_eq!(total["packets_not_in_log"], 11 + v4);
        let svg = std::fs::read_to_string(&svg).unwrap();
        well_formed(&svg);
        assert!(svg.contains("sequence number<") && svg.contains("packets on the wire"));
    }
    let ran = tcplog(["compare", log, stream, "--capture", both]).fine();
    let text = String::from_utf8(ran.stdout).unwrap();
    for part in [
        "\nnot in the black box log: ",
        "\nsniffer's log: ",
        "\nconnection 1: ",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // One of them has nothing in common with the capture.
    let only = put(dir.path(), "only", &plain(&wire()));
    let args = ["compare", log, stream, "--capture", only.to_str().unwrap()];
    let ran = tcplog(args).ended(1);
    assert_eq!(
        ran.said(),
        ["tcplog: no connection is in both the log and the capture"]
    );
}

#[test]
fn malformed_entries() {
    let text = String::from_utf8(published()).unwrap();
    let at = text.find("dump  449.1024").unwrap();
    let proto = at + text[at..].find("proto: 6").unwrap();
    let mut log = text.into_bytes();
    log[proto + 7] = b'x';
    let ran = compare(&log, &plain(&wire()), &[]).ended(1);
    assert_eq!(ran.said().len(), 1, "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("line 17: entry 449.1024 of line 16 is malformed"),
        "{}",
        ran.stderr
    );
    let document: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(counts(flow(&document, SSH)), [3, 6, 3, 0, 3]);
    assert_eq!(document["sniffer"]["logs"][0]["damaged"], 1);
    let dir = tempfile::tempdir().unwrap();
    let [path, capture] = [
        put(dir.path(), "log", &log),
        put(dir.path(), "wire", &plain(&wire())),
    ];
    let [path, capture] = [&path, &capture].map(|path| path.to_str().unwrap());
    let text = tcplog(["compare", path, "--capture", capture]).ended(1);
    let text = String::from_utf8(text.stdout).unwrap();
    let says = "7 entries: 6 with a packet, 1 freed, ports byte-swapped; 1 damaged place\n";
    assert!(text.contains(says), "{text}");
    compare(&log, &plain(&wire()), &["--strict"]).ended(2);
}

/// Freed chunks may look like packets, and other types have no flow.
#[test]
fn entries_that_are_never_matched() {
    let mut log = published();
    let head = "ptr: 0xc1b86d00, start: 0xc1b84000, size: 1828, off: 27904: entry: 0, cpu: 1:\n\t";
    let poison = "171.171.171.171:43947";
    for (number, rest) in [
        format!(
            "ab:ab:ab:ab:ab:ab -> ab:ab:ab:ab:ab:ab, type: 0800, {poison} -> {poison}, proto: 17,"
        ),
        "00:11:09:61:eb:0e -> ff:ff:ff:ff:ff:ff, type: 0806,".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        log.extend(format!("\ndump  {number}.2: {head}{rest}\n").bytes());
    }
    let freed = ([0xab; 4], [0xab; 4], 17, [0xabab; 2]);
    let wire = [wire(), packets(freed, 2, 500)].concat();
    let document = document(&log, &plain(&wire), &[]);
    let total = &document["sniffer"]["total"];
    assert_eq!(counts(total), [7, 10, 6, 1, 4]);
    assert_eq!(
        (&total["freed"], &total["not_ipv4"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(total["packets_not_in_log"], 13);
    assert_eq!(document["sniffer"]["logs"][0]["packets"], 8);
}

#[test]
fn nothing_in_common() {
    let other = stored("captures/hz100.pcap.zst");
    let ran = compare(&published(), &other, &[]).ended(1);
    assert_eq!(
        ran.said(),
        ["tcplog: no flow is in both the sniffer's log and the capture"]
    );
    let document: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(counts(&document["sniffer"]["total"]), [7, 0, 0, 7, 0]);
    let ran = compare(&published(), &other, &["--quiet"]).ended(1);
    assert_eq!(ran.stderr, "");
    let ran = compare(&published(), &plain(&wire()), &["--port", "9"]).ended(1);
    assert_eq!(ran.said(), ["tcplog: nothing matches the selection"]);
}

/// Traces of SCTP are no log that a capture could be compared with here.
#[test]
fn what_is_still_refused() {
    let dir = tempfile::tempdir().unwrap();
    let capture = put(dir.path(), "wire", &plain(&wire()));
    let trace = put(dir.path(), "trace", b"nothing");
    let [capture, trace] = [&capture, &trace].map(|path| path.to_str().unwrap());
    let args = [
        "compare",
        "--input-format",
        "dtrace-sctp",
        trace,
        "--capture",
        capture,
    ];
    let ran = tcplog(args).ended(2);
    assert!(
        ran.stdout.is_empty() && ran.said().len() == 1,
        "{}",
        ran.stderr
    );
}
