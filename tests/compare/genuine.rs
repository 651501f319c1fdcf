//! Genuine runs against what is known of them. `truth.json` was made by a
//! program that knows only the places of the fields.

use crate::capture;
use crate::ran::{causes, compare, counts, document};
use crate::support::stream::messages;
use crate::support::{genuine, stored, truth};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

fn run(name: &str, args: &[&str]) -> Value {
    let capture = stored(&format!("captures/{name}.pcap.zst"));
    document(&genuine(name), &capture, args)
}

#[test]
fn the_counts_of_every_run() {
    let truth = truth();
    let mut runs = 0;
    for (name, known) in truth.as_object().unwrap() {
        let Some(expected) = known.get("capture_match") else {
            continue;
        };
        runs += 1;
        let document = run(name, &[]);
        let mut only_wire = document["total"]["segments_not_in_log"].as_u64().unwrap();
        let mut found = json!({});
        for direction in ["in", "out"] {
            let [matched, records, segments, log, wire] = counts(&document, direction);
            // Nobody lost anything, so what is not the same is merged.
            assert_eq!(log, 0, "{name}");
            found[direction] = json!({"matched": matched, "unmatched": records});
            only_wire += segments + wire;
        }
        found["capture_only"] = json!(only_wire);
        assert_eq!(&found, expected, "{name}");
    }
    assert_eq!(runs, 14);
}

/// Every record that stands for several segments is explained: its frames
/// follow each other, and are all of its bytes.
#[test]
fn every_record_of_lro() {
    let document = run("lro-rack", &[]);
    let connection = &document["connections"][0];
    assert_eq!(
        connection["merged_kinds"],
        json!([{"kind": "lro", "direction": "in", "records": 417, "segments": 898, "incomplete": 0}])
    );
    let packets = capture::genuine("lro-rack");
    let stream = genuine("lro-rack");
    let records: HashMap<i64, _> = messages(&stream)
        .into_iter()
        .flat_map(|message| message.records())
        .map(|record| (i64::from(record.sn()), record))
        .collect();
    let (mut seen, mut frames_seen) = (HashSet::new(), HashSet::new());
    for merged in connection["merged"].as_array().unwrap() {
        let [sn] = merged["records"].as_array().unwrap().as_slice() else {
            panic!("{merged}");
        };
        let record = records[&sn.as_i64().unwrap()];
        assert!(seen.insert(record.sn()) && record.event() == 1);
        let header = record.tcp();
        let be32 = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        let mut next = be32(4);
        assert_eq!(merged["seq"], next);
        let frames = merged["frames"].as_array().unwrap();
        assert!(frames.len() > 1);
        for frame in frames {
            let frame = frame.as_u64().unwrap() as usize;
            assert!(frames_seen.insert(frame));
            let tcp = packets[frame - 1].tcp().unwrap();
            assert_eq!((tcp.to, tcp.seq), (8000, next));
            next = next.wrapping_add(tcp.len);
        }
        assert_eq!(next, be32(4).wrapping_add(record.len()));
    }
    assert_eq!(seen.len(), 417);
}

#[test]
fn why_the_log_lacks_segments() {
    // A passive open logs none of its handshake; the last segment came when
    // logging was off.
    let base = run("base-loss", &[]);
    assert_eq!(
        causes(&base, "only_wire_causes"),
        json!({"before_log": 3, "after_log": 1})
    );
    let frames: Vec<u64> = base["connections"][0]["only_wire"]
        .as_array()
        .unwrap()
        .iter()
        .map(|segment| segment["frame"].as_u64().unwrap())
        .collect();
    let packets = capture::genuine("base-loss");
    let flags: Vec<u8> = frames
        .iter()
        .map(|frame| packets[*frame as usize - 1].tcp().unwrap().flags)
        .collect();
    assert_eq!(flags[..3], [0x02, 0x12, 0x10]);
    // The ring held 200 records: what came between is in the gaps, and there
    // are no more segments in a gap than serial numbers.
    let ring = run("ringwrap", &[]);
    let lost = causes(&ring, "only_wire_causes")["log_loss"]
        .as_u64()
        .unwrap();
    let mut in_gaps = 0;
    for connection in ring["connections"].as_array().unwrap() {
        let gaps = connection["gaps"].as_array().unwrap();
        assert!(gaps.len() > 2);
        for gap in gaps {
            let count = |key: &str| gap[key].as_u64().unwrap();
            let segments = count("segments_in") + count("segments_out");
            assert!(segments <= count("missing"), "{gap}");
            in_gaps += segments;
        }
    }
    assert!(lost > 1100 && in_gaps == lost, "{lost}");
}

/// The missing serial numbers of the ring are those that the truth's ranges
/// leave out.
#[test]
fn gaps_of_serial_numbers() {
    let ring = run("ringwrap", &[]);
    let truth = &truth()["ringwrap"]["message_list"];
    for connection in ring["connections"].as_array().unwrap() {
        let mut has = HashSet::new();
        for message in truth.as_array().unwrap() {
            if message["fport"] == connection["foreign_port"] {
                for range in message["sn_ranges"].as_array().unwrap() {
                    let end = |at: usize| range[at].as_u64().unwrap();
                    has.extend(end(0)..=end(1));
                }
            }
        }
        let last = has.iter().max().unwrap();
        let missing = (0..*last).filter(|sn| !has.contains(sn)).count();
        assert_eq!(connection["missing"], missing);
        assert_eq!(connection["last_sn"], *last);
    }
}

/// Retransmissions are matched one to one: as many as `info` counts.
#[test]
fn retransmissions() {
    for (name, sent_again) in [("base-loss", 18), ("rack-loss", 15)] {
        let document = run(name, &[]);
        assert_eq!(
            document["total"]["out"]["matched_again"], sent_again,
            "{name}"
        );
    }
}

/// The clocks of these runs are one: the host's. The base stack takes the time
/// of the last tick.
#[test]
fn clocks_that_are_the_same() {
    for (name, tick_ns) in [
        ("rack-send", 0),
        ("bbr-loss", 0),
        ("base-loss", 1_000_000),
        ("hz100", 10_000_000),
    ] {
        let document = run(name, &[]);
        let clock = &document["clock"];
        let number = |key: &str| clock[key].as_i64().unwrap();
        assert!(
            (-20_000..tick_ns + 20_000).contains(&number("offset_ns")),
            "{name}: {clock}"
        );
        assert!(number("in_ns") <= number("out_ns"), "{name}: {clock}");
        match clock["log_step_ns"].as_i64() {
            Some(step) => assert!((step - tick_ns).abs() < tick_ns / 10, "{name}: {clock}"),
            None => assert_eq!(tick_ns, 0, "{name}: {clock}"),
        }
        let float = |key: &str| clock[key].as_f64().unwrap();
        assert!(float("skew_ppm").abs() <= float("skew_error_ppm"), "{name}");
    }
}

#[test]
fn a_selection() {
    let all = run("multi", &[]);
    let connections = all["connections"].as_array().unwrap();
    assert_eq!(connections.len(), 8);
    let one = run("multi", &["--port", "8003"]);
    let wanted = connections.iter().find(|c| c["local_port"] == 8003);
    let mut wanted = wanted.unwrap().clone();
    wanted["connection"] = json!(1);
    assert_eq!(one["connections"], json!([wanted]));
    // The other connections of the log are not missing from it.
    assert_eq!(one["total"]["segments_not_in_log"], 0);
    let nobody = compare(
        &genuine("multi"),
        &stored("captures/multi.pcap.zst"),
        &["--port", "1"],
    );
    assert_eq!(
        nobody.ended(1).said(),
        ["tcplog: nothing matches the selection"]
    );
    // Records that were not asked for are neither counted nor missed.
    let some = run("rack-loss", &["--sn", "1000..1999"]);
    let stream = genuine("rack-loss");
    let in_range = messages(&stream)
        .into_iter()
        .flat_map(|message| message.records())
        .filter(|record| (1000..2000).contains(&record.sn()) && record.is_packet())
        .filter(|record| matches!(record.event(), 1 | 2))
        .count() as u64;
    let (incoming, outgoing) = (counts(&some, "in"), counts(&some, "out"));
    assert_eq!(incoming[0] + outgoing[0], in_range);
    assert_eq!((&incoming[1..], &outgoing[1..]), (&[0; 4][..], &[0; 4][..]));
}
