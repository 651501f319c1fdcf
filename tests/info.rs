//! `info`: what it finds out about genuine connections. The numbers were
//! computed by a program of a few lines that knows only the places of the
//! fields; the counts are those of `truth.json`.

mod support;

use serde_json::{Value, json};
use support::stream::{HEADER, messages, u32_at};
use support::{genuine, put, stack_names, tcplog, truth};

fn info(stream: &[u8], args: &[&str]) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let path = put(dir.path(), "in", stream);
    let path = path.to_str().unwrap();
    let ran = tcplog([&["info", "--format", "json", path], args].concat()).fine();
    serde_json::from_slice(&ran.stdout).unwrap()
}

fn first(name: &str) -> Value {
    info(&genuine(name), &[])["connections"][0].clone()
}

/// Compares some members of an object.
#[track_caller]
fn has(value: &Value, expected: Value) {
    for (key, expected) in expected.as_object().unwrap() {
        match (&value[key], expected) {
            (inner, Value::Object(_)) => has(inner, expected.clone()),
            (got, expected) => assert_eq!(got, expected, "{key}"),
        }
    }
}

#[test]
fn rack_over_a_lossy_link() {
    has(
        &first("rack-loss"),
        json!({
            "records": 5368, "segments_in": 470, "segments_out": 707, "bytes_out": 1_021_720,
            "retransmitted_segments": 15, "retransmitted_bytes": 21_720,
            "goodput": {"acked_bytes": 1_000_000, "in_order_bytes": 0},
            "rtt": {
                "measured": {"samples": 226, "min_us": 20_536, "max_us": 34_824},
                "reported": {"samples": 463, "min_us": 20_000, "max_us": 32_000},
            },
            "recovery": {"retransmission_timeouts": 0, "rack_timeouts": 8, "fast_recoveries": 11},
        }),
    );
}

#[test]
fn a_name_of_the_users_changes_no_number() {
    let plain = first("rack-loss");
    let stream = genuine("rack-loss");
    let named = &info(&stream, &["--stack-name", "3=mine"])["connections"][0];
    has(
        named,
        json!({"stacks": [{
            "stack_id": 3, "stack": "mine", "stack_sureness": "named", "records": 5368,
        }]}),
    );
    for key in ["rtt", "recovery", "sender_limits", "goodput"] {
        assert_eq!(named[key], plain[key], "{key}");
    }
}

/// A log that begins in mid-connection is about as fast as the whole one.
#[test]
fn goodput_of_the_second_half() {
    for name in ["base-loss", "rack-loss", "bbr-send"] {
        let stream = genuine(name);
        let all = messages(&stream);
        let records: Vec<_> = all.iter().flat_map(|m| m.records()).collect();
        let half = all[0].with_records(records[records.len() / 2..].iter().copied());
        let (whole, half) = (info(&stream, &[]), info(&half, &[]));
        let rate = |summary: &Value| {
            let goodput = &summary["connections"][0]["goodput"];
            let number = |key: &str| goodput[key].as_u64().unwrap();
            // Bytes and time are of the same span.
            let rate = number("acked_bytes") * 1_000_000 / number("acked_in_us");
            assert_eq!(rate, number("acked_bytes_per_s"), "{name}");
            rate as f64
        };
        let (whole, half) = (rate(&whole), rate(&half));
        assert!(
            (0.5..2.0).contains(&(half / whole)),
            "{name}: {whole} {half}"
        );
    }
}

#[test]
fn the_base_stack_over_a_lossy_link() {
    has(
        &first("base-loss"),
        json!({
            "segments_in": 612, "segments_out": 711, "bytes_out": 1_026_064,
            "retransmitted_segments": 18, "retransmitted_bytes": 26_064,
            "goodput": {"acked_bytes": 1_000_000, "acked_in_us": 1_257_997},
            "rtt": {"measured": {"samples": 402, "min_us": 18_106, "max_us": 33_938}},
            "recovery": {"fast_recoveries": 10},
            "stacks": [{"stack_id": 1, "stack": "freebsd", "stack_sureness": "likely", "records": 1499}],
        }),
    );
}

#[test]
fn a_blackout() {
    let connection = first("rto-rack");
    has(
        &connection,
        json!({
            "retransmitted_segments": 69, "retransmitted_bytes": 99_912,
            "rtt": {"measured": {"samples": 118, "min_us": 10_049, "max_us": 10_844}},
            "recovery": {"retransmission_timeouts": 6, "tail_loss_probes": 3, "rack_timeouts": 40},
        }),
    );
    assert!(share(&connection, "recovery") > 0.8);
}

#[test]
fn bbr_paces() {
    let connection = first("bbr-send");
    has(
        &connection,
        json!({
            "retransmitted_segments": 0,
            "goodput": {"acked_bytes": 1_000_000},
            "rtt": {
                "measured": {"samples": 430, "min_us": 20_348, "max_us": 68_951},
                "reported": {"samples": 429, "min_us": 20_954, "max_us": 68_951},
            },
        }),
    );
    // The middle one of 430, to three per cent.
    let median = connection["rtt"]["measured"]["median_us"].as_u64().unwrap();
    assert!(median.abs_diff(29_564) <= 29_564 / 32, "{median}");
    assert!(share(&connection, "pacing") > 0.5);
    let states = connection["bbr_state_time"].as_array().unwrap();
    let names: Vec<_> = states.iter().map(|state| &state["state_name"]).collect();
    assert_eq!(names, ["STARTUP", "DRAIN", "PROBE_BW"]);
}

fn share(connection: &Value, limit: &str) -> f64 {
    let limits = connection["sender_limits"].as_array().unwrap();
    let sum: f64 = limits.iter().filter_map(|l| l["share"].as_f64()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    let found = limits.iter().find(|l| l["limit"] == limit);
    found.map_or(0.0, |l| l["share"].as_f64().unwrap())
}

#[test]
fn loss_keeps_the_congestion_window_small() {
    for name in ["base-loss", "rack-loss"] {
        let connection = first(name);
        assert!(share(&connection, "cwnd") > 0.5, "{name}");
        assert!(share(&connection, "recovery") > 0.1, "{name}");
    }
}

#[test]
fn counts_are_those_of_the_truth() {
    for (name, truth) in truth().as_object().unwrap() {
        // Runs of a kernel have no entry of this form.
        let (Some(records), Some(events)) =
            (truth["records"].as_u64(), truth["events"].as_object())
        else {
            continue;
        };
        let total = &info(&genuine(name), &[])["total"];
        assert_eq!(total["records"], records, "{name}");
        assert_eq!(total["duplicates"], 0, "{name}");
        let counted = total["events"].as_array().unwrap().iter();
        let of = |id: u64| -> u64 {
            let same = counted.clone().filter(|e| e["event_id"] == id);
            same.map(|e| e["count"].as_u64().unwrap()).sum()
        };
        for (event, id) in [("IN", 1), ("OUT", 2), ("CONNEND", 54), ("RTT", 47)] {
            let expected = events.get(event).map_or(0, |n| n.as_u64().unwrap());
            assert_eq!(of(id), expected, "{name} {event}");
        }
    }
}

#[test]
fn stack_changes_are_where_the_number_changes() {
    let (name, mut expected) = ("switch", Vec::new());
    let stream = genuine(name);
    let all = messages(&stream);
    let mut before = None;
    for message in all.iter().filter(|m| m.connection() == all[0].connection()) {
        for record in message.records() {
            let (sn, id) = (u32_at(record.0, 20), record.0[24]);
            if let Some(from) = before.replace(id).filter(|from| *from != id) {
                expected.push(json!([sn, from, id]));
            }
        }
    }
    assert_eq!(expected.len(), 4);
    let summary = info(&stream, &stack_names(name));
    let switches = summary["connections"][0]["switches"].as_array().unwrap();
    let got: Vec<Value> = switches
        .iter()
        .map(|s| json!([s["sn"], s["from_stack_id"], s["to_stack_id"]]))
        .collect();
    assert_eq!(got, expected);
    assert_eq!(switches[0]["to_stack"], "rack");
}

#[test]
fn the_same_dump_twice_counts_once() {
    let stream = genuine("base-loss");
    let (once, twice) = (
        info(&stream, &[]),
        info(&[&*stream, &*stream].concat(), &[]),
    );
    let (once, twice) = (&once["connections"], &twice["connections"]);
    assert_eq!(twice.as_array().unwrap().len(), 1);
    assert_eq!(once[0]["duplicates"], 0);
    assert_eq!(twice[0]["duplicates"], once[0]["records"]);
    for key in [
        "bytes_out",
        "segments_in",
        "rtt",
        "events",
        "sender_limits",
        "missing",
        "last_sn",
    ] {
        assert_eq!(twice[0][key], once[0][key], "{key}");
    }
}

/// Kernels of the 15 line log negative samples, which the cell cannot hold.
#[test]
fn negative_rtts_are_left_out() {
    // RTT records of RACK whose flex1, at 60 of the stack's bytes, is negative.
    let stream = genuine("kernel15-ids");
    let mut negative = 0;
    for message in messages(&stream) {
        for record in message.records() {
            let flex7 = record.0[160 + 92];
            negative += u64::from(record.0[25] == 47 && flex7 < 2 && record.0[160 + 63] > 0x7f);
        }
    }
    assert!(negative > 0);
    let summary = info(&stream, &[]);
    let connections = summary["connections"].as_array().unwrap();
    let left_out = connections
        .iter()
        .filter_map(|c| c["rtt"]["reported_negative"].as_u64());
    assert_eq!(left_out.sum::<u64>(), negative);
    for connection in connections {
        let max = connection["rtt"]["reported"]["max_us"].as_u64();
        assert!(max.is_none_or(|us| us < 60_000_000), "{max:?}");
    }
}

/// Its last 6888 bytes are less than a segment, and wait 40 ms for the delayed
/// acknowledgement of the segment before them.
#[test]
fn nagle_and_a_delayed_acknowledgement() {
    let summary = info(&genuine("kernel-ids"), &["--port", "63981"]);
    let connections = summary["connections"].as_array().unwrap();
    let client = connections
        .iter()
        .find(|c| c["local_port"] == 63981)
        .unwrap();
    assert_eq!(client["goodput"]["acked_bytes"], 400_000);
    let limits = client["sender_limits"].as_array().unwrap();
    let nagle = limits
        .iter()
        .find(|limit| limit["limit"] == "nagle")
        .unwrap();
    assert!(nagle["us"].as_u64().unwrap() > 39_000, "{nagle}");
}

/// It writes some 5000 bytes every 3 ms, and the windows have room.
#[test]
fn who_writes_slowly_is_not_slowed_by_nagle() {
    let connection = first("ringwrap");
    assert!(share(&connection, "application") > 0.6);
    assert!(share(&connection, "nagle") < 0.05);
}

#[test]
fn a_bulk_transfer_is_not_limited_by_nagle() {
    for name in [
        "base-loss",
        "base-tso",
        "base-v6",
        "bbr-loss",
        "bbr-send",
        "hz100",
        "rack-loss",
        "rack-send",
    ] {
        assert!(share(&first(name), "nagle") < 0.02, "{name}");
    }
}

#[test]
fn end_codes_have_their_names() {
    // The codes are the first eight of the stack's own bytes.
    let stream = genuine("kernel15-ids");
    let mut expected = 0;
    for message in messages(&stream) {
        assert!(message.bytes.len() > HEADER);
        for record in message.records() {
            expected += usize::from(record.0[25] == 54 && record.0[160..163] == [3, 1, 11]);
        }
    }
    assert!(expected > 0);
    let summary = info(&stream, &[]);
    let connections = summary["connections"].as_array().unwrap();
    let codes = json!(["SERVER_FIN", "CLIENT_FIN", "2MSL"]);
    let got = connections.iter().filter(|c| c["ending"]["codes"] == codes);
    assert_eq!(got.count(), expected);
}
