//! Genuine runs from which something was taken away, or in which something was
//! cut into pieces: the report must say exactly that.

use crate::capture::{self, Packet, plain};
use crate::ran::{causes, counts, document};
use crate::support::stream::messages;
use crate::support::{genuine, tcplog, testdata};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Serial numbers or frames of segments that only one recorder has.
fn places(document: &Value, list: &str, key: &str, cause: &str) -> BTreeSet<u64> {
    document["connections"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|connection| connection[list].as_array().unwrap())
        .filter(|segment| segment["cause"] == cause)
        .map(|segment| segment[key].as_u64().unwrap())
        .collect()
}

#[test]
fn packets_that_the_capture_lost() {
    let stream = genuine("rack-loss");
    let packets = capture::genuine("rack-loss");
    let is_lost = |(at, packet): &(usize, &Packet)| {
        let tcp = packet.tcp();
        at % 7 == 3 && *at > 10 && *at < packets.len() - 10 && tcp.is_some()
    };
    let lost: Vec<&Packet> = packets
        .iter()
        .enumerate()
        .filter(is_lost)
        .map(|(_, p)| p)
        .collect();
    let kept = packets.iter().enumerate().filter(|all| !is_lost(all));
    let kept: Vec<Packet> = kept.map(|(_, packet)| packet.clone()).collect();
    let document = document(&stream, &plain(&kept), &[]);
    let [incoming, outgoing] = ["in", "out"].map(|way| counts(&document, way));
    let of = |port: u16| {
        lost.iter()
            .filter(|p| p.tcp().unwrap().from == port)
            .count() as u64
    };
    let all = lost.len() as u64;
    assert!(all > 100);
    assert_eq!((incoming[3], outgoing[3]), (all - of(8000), of(8000)));
    assert_eq!(
        (incoming[0], outgoing[0]),
        (470 - incoming[3], 707 - outgoing[3])
    );
    assert_eq!((incoming[4], outgoing[4]), (2, 2));
    // Those that came in, and those whose bytes were acknowledged, were on the
    // wire.
    let sure = |p: &&&Packet| {
        let tcp = p.tcp().unwrap();
        tcp.from != 8000 || tcp.len > 0
    };
    let known = lost.iter().filter(sure).count() as u64;
    let causes = causes(&document, "only_log_causes");
    let number = |key: &str| causes[key].as_u64().unwrap_or(0);
    assert_eq!(number("capture_loss") + number("not_seen"), all);
    // Of bytes that were sent again nobody knows which time they arrived.
    let again = number("not_seen") - (all - known);
    assert!(again < 15, "{causes} {known}");
}

#[test]
fn a_capture_that_began_late_and_ended_early() {
    let stream = genuine("rack-send");
    let packets = capture::genuine("rack-send");
    let (first, last) = (300, 900);
    let document = document(&stream, &plain(&packets[first..last]), &[]);
    let tcp = |packets: &[Packet]| packets.iter().filter(|p| p.tcp().is_some()).count() as u64;
    let causes = causes(&document, "only_log_causes");
    // Of what was before, the handshake was not logged, and of what came after,
    // the last acknowledgement. A few at the edges are too near to tell.
    let early = tcp(&packets[..first]) - 3;
    let late = tcp(&packets[last..]) - 1;
    let number = |key: &str| causes[key].as_u64().unwrap_or(0);
    let all: u64 = causes
        .as_object()
        .unwrap()
        .values()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(all, early + late);
    assert!(
        number("before_capture") + number("after_capture") > all / 3,
        "{causes}"
    );
}

#[test]
fn records_that_the_log_lost() {
    let stream = genuine("rack-loss");
    let packets = plain(&capture::genuine("rack-loss"));
    let (mut shorter, mut lost) = (Vec::new(), [0_u64; 2]);
    for message in messages(&stream) {
        let records = message.records();
        let is_lost = |sn: u32| (1500..1700).contains(&sn) || (3000..3020).contains(&sn);
        for record in records.iter().filter(|r| is_lost(r.sn()) && r.is_packet()) {
            lost[usize::from(record.event()) - 1] += 1;
        }
        let kept = records.into_iter().filter(|record| !is_lost(record.sn()));
        shorter.extend(message.with_records(kept));
    }
    let document = document(&shorter, &packets, &[]);
    assert_eq!(
        causes(&document, "only_wire_causes"),
        json!({"before_log": 3, "log_loss": lost[0] + lost[1], "after_log": 1})
    );
    let gaps = document["connections"][0]["gaps"].as_array().unwrap();
    let ranges: Vec<_> = gaps
        .iter()
        .map(|g| (&g["first_sn"], &g["last_sn"]))
        .collect();
    assert_eq!(
        ranges,
        [(&json!(1500), &json!(1699)), (&json!(3000), &json!(3019))]
    );
    let sum = |key: &str| gaps.iter().map(|g| g[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!([sum("segments_in"), sum("segments_out")], lost);
    assert_eq!(counts(&document, "in")[0], 470 - lost[0]);
}

/// As captured behind a network card that divides: records of the base stack
/// with up to ten segments each.
#[test]
fn segments_divided_by_the_network_card() {
    let (mut divided, mut records, mut pieces) = (Vec::new(), 0, 0);
    for packet in capture::genuine("base-tso") {
        let tcp = packet
            .tcp()
            .filter(|tcp| tcp.from == 8000 && tcp.len > 1448);
        let Some(tcp) = tcp else {
            divided.push(packet);
            continue;
        };
        records += 1;
        let mut skip = 0;
        while skip < tcp.len {
            let len = (tcp.len - skip).min(1448);
            divided.push(packet.part(skip, len, skip + len == tcp.len));
            skip += len;
            pieces += 1;
        }
    }
    assert!(records > 50);
    let stream = genuine("base-tso");
    let whole = document(&stream, &plain(&divided), &[]);
    assert_eq!(counts(&whole, "in"), [391, 0, 0, 0, 2]);
    assert_eq!(
        counts(&whole, "out"),
        [246 - records, records, pieces, 0, 2]
    );
    assert_eq!(
        whole["connections"][0]["merged_kinds"],
        json!([{
            "kind": "tso", "direction": "out", "records": records, "segments": pieces, "incomplete": 0
        }])
    );
    // Of one record in the middle the capture lost a piece.
    let mut large = divided.iter().enumerate().filter_map(|(at, packet)| {
        let tcp = packet.tcp()?;
        (at > 300 && tcp.from == 8000 && tcp.len == 1448).then_some(at)
    });
    divided.remove(large.nth(1).unwrap());
    let cut = document(&stream, &plain(&divided), &[]);
    assert_eq!(
        counts(&cut, "out"),
        [246 - records, records, pieces - 1, 0, 2]
    );
    let kinds = &cut["connections"][0]["merged_kinds"][0];
    assert_eq!(kinds["incomplete"], 1);
}

/// As captured by a host that merges what it receives: the frames of each
/// record of LRO are one, and so are some that are several records.
#[test]
fn segments_merged_by_the_capture() {
    let stream = genuine("base-loss");
    let packets = capture::genuine("base-loss");
    let (mut merged, mut records, mut segments) = (Vec::<Packet>::new(), 0, 0);
    // Two segments that follow each other become the first one, made longer.
    let mut joined = false;
    for packet in packets {
        let tcp = packet.tcp();
        if let (Some(tcp), Some(last)) = (tcp, merged.last_mut())
            && let Some(before) = last.tcp()
            && !joined
            && before.from == tcp.from
            && (before.flags, tcp.flags) == (0x10, 0x10)
            && before.ack == tcp.ack
            && (before.len, tcp.len) == (1448, 1448)
            && before.seq.wrapping_add(1448) == tcp.seq
        {
            let total = u16::from_be_bytes([last.data[16], last.data[17]]) + 1448;
            last.data[16..18].copy_from_slice(&total.to_be_bytes());
            last.length += 1448;
            records += 2;
            segments += 1;
            joined = true;
            continue;
        }
        joined = false;
        merged.push(packet);
    }
    assert!(segments > 20);
    let document = document(&stream, &plain(&merged), &[]);
    assert_eq!(
        counts(&document, "out"),
        [711 - records, records, segments, 0, 2]
    );
    let kind = &document["connections"][0]["merged_kinds"][0];
    assert_eq!(kind["kind"], "capture_merged");
}

#[test]
fn another_clock() {
    let stream = genuine("rto-rack");
    let mut packets = capture::genuine("rto-rack");
    let first = packets[0].us;
    let middle_us = 2_850_000.0;
    for packet in &mut packets {
        // An hour ahead, and gaining 800 ppm.
        let since = (packet.us - first) as f64;
        packet.us += 3_600_000_000 + (since * 800e-6) as u64;
    }
    let document = document(&stream, &plain(&packets), &[]);
    let clock = &document["clock"];
    let (skew, error) = (
        clock["skew_ppm"].as_f64().unwrap(),
        clock["skew_error_ppm"].as_f64().unwrap(),
    );
    assert!((skew - 800.0).abs() < error && error < 10.0, "{clock}");
    let offset_us = clock["offset_ns"].as_f64().unwrap() / 1000.0 - 3_600_000_000.0;
    assert!((offset_us - middle_us * 800e-6).abs() < 50.0, "{clock}");
    assert_eq!(counts(&document, "out")[0], 417);
}

/// Acknowledgements that are all the same are matched by time.
#[test]
fn the_same_segment_many_times() {
    // Without timestamps many acknowledgements are the same: take the options
    // away from both.
    let mut stream = Vec::new();
    let genuine = genuine("base-loss");
    for message in messages(&genuine) {
        let records: Vec<Vec<u8>> = message
            .records()
            .into_iter()
            .map(|record| {
                let mut bytes = record.0.to_vec();
                bytes[280] = 0x50 | bytes[280] & 0x0f;
                bytes
            })
            .collect();
        let records = records
            .iter()
            .map(|bytes| crate::support::stream::Rec(bytes));
        stream.extend(message.with_records(records));
    }
    let mut packets = capture::genuine("base-loss");
    for packet in &mut packets {
        if let Some(tcp) = packet.tcp() {
            let header = usize::from(packet.data[46] >> 4) * 4;
            packet.data[46] = 0x50 | packet.data[46] & 0x0f;
            let total = 40 + tcp.len as u16;
            packet.data[16..18].copy_from_slice(&total.to_be_bytes());
            packet.data.drain(54..34 + header);
            packet.length -= header as u32 - 20;
        }
    }
    let whole = document(&stream, &plain(&packets), &[]);
    assert_eq!(
        (counts(&whole, "in")[0], counts(&whole, "out")[0]),
        (612, 711)
    );
    // One of a run of repeated acknowledgements is lost: the record at its
    // time is the one that the capture lacks.
    let same = packets.iter().enumerate().skip(1).find(|(at, packet)| {
        let before = packets[at - 1].tcp();
        packet
            .tcp()
            .is_some_and(|tcp| tcp.from != 8000 && Some(tcp) == before)
            && packet.us - packets[at - 1].us > 3000
    });
    let all = packets.len();
    let Some((at, _)) = same else {
        // Then any that has the same acknowledgement as another one will do.
        let at = (all / 2..all)
            .find(|at| packets[*at].tcp().is_some_and(|tcp| tcp.from != 8000))
            .unwrap();
        check_loss(&stream, &packets, at);
        return;
    };
    check_loss(&stream, &packets, at);
}

fn check_loss(stream: &[u8], packets: &[Packet], at: usize) {
    let whole = document(stream, &plain(packets), &["--list", "0"]);
    let mut fewer = packets.to_vec();
    let lost = fewer.remove(at).tcp().unwrap();
    let document = document(stream, &plain(&fewer), &[]);
    let missed = places(&document, "only_log", "sn", "capture_loss");
    assert_eq!(missed.len(), 1, "{missed:?}");
    let segment = &document["connections"][0]["only_log"][0];
    assert_eq!(
        (&segment["seq"], &segment["ack"]),
        (&json!(lost.seq), &json!(lost.ack))
    );
    assert_eq!(counts(&document, "in")[0] + 1, counts(&whole, "in")[0]);
}

/// Stacks send probes past the log; anything else that no serial number is
/// missing for was not logged either, as a byte into an open window.
#[test]
fn packets_that_nobody_logged() {
    let mut packets = capture::genuine("rack-send");
    let at = packets.len() / 2;
    let sent = |packet: &&Packet| packet.tcp().is_some_and(|tcp| tcp.from == 8000);
    let received = |packet: &&Packet| packet.tcp().is_some_and(|tcp| tcp.from != 8000);
    let template = packets[..at].iter().rfind(sent).unwrap().clone();
    let acked = packets[..at].iter().rfind(received).unwrap();
    let acked = acked.tcp().unwrap().ack;
    let made = |seq: u32, len: u32| {
        let before = template.tcp().unwrap().seq;
        template.part(seq.wrapping_sub(before), len, true)
    };
    let (probe, byte, other) = (made(acked - 1, 0), made(acked, 1), made(acked + 77, 0));
    packets.splice(at..at, [probe, byte, other]);
    let document = document(&genuine("rack-send"), &plain(&packets), &[]);
    assert_eq!(
        causes(&document, "only_wire_causes"),
        json!({"before_log": 3, "probe": 1, "not_logged": 2, "after_log": 1})
    );
    let first = at as u64 + 1;
    assert_eq!(
        places(&document, "only_wire", "frame", "probe"),
        BTreeSet::from([first])
    );
}

/// The base stack says with a second record that a segment could not be sent.
#[test]
fn segments_that_could_not_be_sent() {
    let stream = genuine("base-loss");
    let mut packets = capture::genuine("base-loss");
    let all = messages(&stream);
    let [message] = all.as_slice() else {
        panic!("one message");
    };
    let mut records: Vec<Vec<u8>> = message.records().iter().map(|r| r.0.to_vec()).collect();
    let at = records.iter().rposition(|bytes| {
        let record = crate::support::stream::Rec(bytes);
        record.event() == 2 && record.len() > 0
    });
    let at = at.unwrap();
    // The record behind it becomes that second one; the packet never was.
    let next = &mut records[at + 1];
    next[25] = 2;
    next[26..28].copy_from_slice(&0_u16.to_le_bytes());
    next[28..32].copy_from_slice(&55_i32.to_le_bytes());
    let plain_record = next[..328].to_vec();
    *next = plain_record;
    let header = crate::support::stream::Rec(&records[at]).tcp();
    let seq = u32::from_be_bytes(header[4..8].try_into().unwrap());
    packets.retain(|p| p.tcp().is_none_or(|tcp| tcp.from != 8000 || tcp.seq != seq));
    let records = records
        .iter()
        .map(|bytes| crate::support::stream::Rec(bytes));
    let document = document(&message.with_records(records), &plain(&packets), &[]);
    assert_eq!(
        causes(&document, "only_log_causes")["send_failed"],
        json!(1),
        "{}",
        causes(&document, "only_log_causes")
    );
}

#[test]
fn what_is_given_twice_is_told() {
    let log = testdata("streams/rto-rack.bin.zst");
    let capture = testdata("captures/rto-rack.pcap.zst");
    let [log, capture] = [&log, &capture].map(|path| path.to_str().unwrap());
    let twice = ["compare", log, "--capture", capture, "--capture", capture];
    let said = tcplog(twice).ended(2).stderr;
    assert!(said.contains("is given twice"), "{said}");
    let text = tcplog(["compare", log, log, "--capture", capture]).fine();
    let text = String::from_utf8(text.stdout).unwrap();
    let records = count(&genuine("rto-rack"));
    let line = format!("{records} records came again in the log and count once");
    assert!(text.contains(&line), "{text}");
}

fn count(stream: &[u8]) -> usize {
    let all = messages(stream);
    all.iter().map(|message| message.records().len()).sum()
}
