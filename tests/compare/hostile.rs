//! Captures that are damaged, or something else.

use crate::capture::{self, pcap, pcapng, plain};
use crate::ran::{compare, counts, document};
use crate::support::{genuine, put, stored, tcplog};
use proptest::prelude::*;
use serde_json::Value;
use std::io::Cursor;
use tcplog::compare::capture::{Capture, CaptureError};
use tcplog::compare::comparison::Comparison;
use tcplog::compare::graph;
use tcplog::compare::log::{Input, Log};
use tcplog::compare::report::{Form, Shown, report};
use tcplog::compare::wire::Wire;
use tcplog::format::Formats;
use tcplog::input::{self, Batch, Bytes, InputFormat};
use tcplog::select::{Criteria, Picked, Picker};

#[test]
fn a_capture_that_is_cut() {
    let stream = genuine("hz100");
    let whole = plain(&capture::genuine("hz100"));
    let ran = compare(&stream, &whole[..whole.len() - 100], &[]).ended(1);
    assert!(
        ran.stderr.contains("ends inside a packet"),
        "{}",
        ran.stderr
    );
    let document: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(counts(&document, "out")[0], 208);
    compare(&stream, &whole[..whole.len() - 100], &["--strict"]).ended(2);
    // The compression is cut.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    std::io::Write::write_all(&mut gzip, &whole).unwrap();
    let gzip = gzip.finish().unwrap();
    for len in [gzip.len() / 2, 70_000.min(gzip.len() - 9), gzip.len() - 9] {
        let ran = compare(&stream, &gzip[..len], &[]).ended(1);
        assert!(!ran.stderr.is_empty());
        let document: Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert!(counts(&document, "out")[0] > 50);
    }
}

/// A damaged length costs a packet or two.
#[test]
fn damage_in_the_middle() {
    let stream = genuine("base-loss");
    let packets = capture::genuine("base-loss");
    let wanted = document(&stream, &plain(&packets), &["--list", "0"]);
    for (form, mut bytes) in [
        ("pcap", pcap(&packets, 1, false, false)),
        ("pcapng", pcapng(&packets, false, 6, |us| us)),
    ] {
        let before: usize = packets[..500].iter().map(|p| 16 + p.data.len()).sum();
        let at = match form {
            "pcap" => 24 + before + 11,
            // The block's length is its second word.
            _ => {
                let of = |p: &capture::Packet| 32 + p.data.len().next_multiple_of(4);
                28 + 32 + 20 + packets[..500].iter().map(of).sum::<usize>() + 7
            }
        };
        bytes[at] = 0x7f;
        let ran = compare(&stream, &bytes, &["--list", "0"]).ended(1);
        assert_eq!(ran.said().len(), 1, "{form}: {}", ran.stderr);
        let document: Value = serde_json::from_slice(&ran.stdout).unwrap();
        let matched = |d: &Value| counts(d, "in")[0] + counts(d, "out")[0];
        assert_eq!(matched(&document) + 1, matched(&wanted), "{form}");
    }
}

#[test]
fn what_is_no_capture() {
    let stream = genuine("hz100");
    let ran = compare(&stream, &stream, &[]).ended(2);
    assert!(ran.stderr.contains("not a capture"), "{}", ran.stderr);
    let ran = compare(&stream, b"", &[]).ended(2);
    assert!(ran.stderr.contains("begins with nothing"), "{}", ran.stderr);
    let usb = pcap(&capture::genuine("hz100"), 189, false, false);
    let ran = compare(&stream, &usb, &[]).ended(2);
    assert!(
        ran.stderr.contains("link type can be read: 189"),
        "{}",
        ran.stderr
    );
    let dir = tempfile::tempdir().unwrap();
    let log = put(dir.path(), "log", &stream);
    let log = log.to_str().unwrap();
    let missing = dir.path().join("missing");
    let missing = missing.to_str().unwrap();
    tcplog(["compare", log, "--capture", missing]).ended(2);
    tcplog(["compare", missing, "--capture", log]).ended(2);
    tcplog(["compare", log]).ended(2);
    // A capture is not replaced by the graph of it.
    let ran = tcplog(["compare", log, "--capture", log, "-o", log]).ended(2);
    assert!(ran.stderr.contains("would be replaced"), "{}", ran.stderr);
}

#[test]
fn nothing_in_common() {
    let other = stored("captures/rack-send.pcap.zst");
    let ran = compare(&genuine("hz100"), &other, &[]).ended(1);
    assert_eq!(
        ran.said(),
        ["tcplog: no connection is in both the log and the capture"]
    );
    let document: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(counts(&document, "out"), [0, 0, 0, 208, 0]);
    let tcp = capture::genuine("rack-send");
    let tcp = tcp.iter().filter(|packet| packet.tcp().is_some()).count();
    assert_eq!(document["total"]["segments_not_in_log"], tcp);
    assert_eq!(document["not_in_log"][0]["segments"], tcp);
}

/// Reads a capture to its end, and compares it with nothing.
fn read(bytes: &[u8]) {
    let mut wire = Wire::new(&Log::default());
    match Capture::open("capture", Cursor::new(bytes.to_vec())) {
        Ok(mut capture) => {
            let _ = wire.read(&mut capture, |packet| {
                assert!(packet.data.len() <= bytes.len());
            });
            let mut end = 0;
            for damage in &capture.damage {
                assert!(damage.offset >= end, "{:?}", capture.damage);
                end = damage.offset + damage.lost;
            }
            assert!(end <= bytes.len() as u64);
        }
        Err(CaptureError::Unknown { .. }) => {}
        Err(e) => panic!("{e}"),
    }
    let log = Log::default();
    assert!(!Comparison::new(&log, &wire).has_common());
}

#[test]
fn every_length() {
    let packets = capture::genuine("hz100");
    for bytes in [
        plain(&packets[..4]),
        pcapng(&packets[..4], true, 6, |us| us),
    ] {
        for len in 0..bytes.len() {
            read(&bytes[..len]);
        }
    }
}

/// All of it, on any log and any capture.
fn all_of_it(of_log: &[u8], of_wire: &[u8]) {
    let mut log = Log::default();
    let source = Bytes::from_reader("log", Cursor::new(of_log.to_vec()));
    let mut reader = input::open(source, Some(InputFormat::Stream), Formats::builtin()).unwrap();
    let select = Criteria::default().select(&|_| Vec::new()).unwrap();
    let mut picker = Picker::new(select, Vec::new());
    let (mut batch, mut picked) = (Batch::default(), Picked::default());
    log.source(Input::default());
    while reader.next_batch(&mut batch).unwrap() {
        for message in batch.messages() {
            picker.pick(&message, &mut picked);
            log.piece(&message, &picked);
        }
    }
    log.finish();
    let mut wire = Wire::new(&log);
    if let Ok(mut capture) = Capture::open("capture", Cursor::new(of_wire.to_vec())) {
        let _ = wire.read(&mut capture, |_| {});
    }
    let comparison = Comparison::new(&log, &wire);
    for [incoming, outgoing] in comparison.compared.iter().map(|c| c.counts) {
        for counts in [incoming, outgoing] {
            let log = counts.matched + counts.merged_records + counts.only_log;
            let wire = counts.matched + counts.merged_segments + counts.only_wire;
            assert_eq!((log, wire), (counts.log, counts.wire));
        }
    }
    for form in [Form::Text, Form::Json] {
        let report = report(&comparison, Shown { form, most: 3 }).unwrap();
        assert!(String::from_utf8(report).is_ok());
    }
    crate::forms::well_formed(&graph::svg(&comparison));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn damage_on_both_sides(
        of_log in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        of_wire in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
    ) {
        let mut log = genuine("base-v6")[..40_000].to_vec();
        let mut wire = plain(&capture::genuine("base-v6")[..200]);
        for (at, value) in of_log {
            let at = at.index(log.len());
            log[at] = value;
        }
        for (at, value) in of_wire {
            let at = at.index(wire.len());
            wire[at] = value;
        }
        all_of_it(&log, &wire);
    }

    #[test]
    fn any_bytes(
        start in prop::sample::select(vec![
            vec![0xd4, 0xc3, 0xb2, 0xa1],
            vec![0xa1, 0xb2, 0x3c, 0x4d],
            [&[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0][..], &0x1a2b_3c4d_u32.to_le_bytes()].concat(),
            vec![],
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        read(&[start, rest].concat());
    }

    #[test]
    fn damaged_bytes(
        is_ng in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let packets = capture::genuine("base-v6");
        let mut bytes = match is_ng {
            true => pcapng(&packets[..40], false, 9, |us| us * 1000),
            false => plain(&packets[..40]),
        };
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        read(&bytes);
    }
}
