//! Which connection is which: ports that are used again, and both ends on one
//! machine.

use crate::capture::{self, Packet, plain};
use crate::ran::{causes, document};
use crate::support::genuine;
use crate::support::stream::{Rec, messages, u32_at, u64_at};
use serde_json::{Value, json};

/// What the second connection's numbers are ahead.
const AHEAD: u32 = 0x4000_0000;

/// What it comes later, in seconds.
const LATER: u64 = 20;

/// The messages with changed records.
fn changed(stream: &[u8], change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages(stream) {
        let records: Vec<Vec<u8>> = message
            .records()
            .into_iter()
            .map(|record| {
                let mut bytes = record.0.to_vec();
                change(&mut bytes);
                bytes
            })
            .collect();
        out.extend(message.with_records(records.iter().map(|bytes| Rec(bytes))));
    }
    out
}

fn move_be32(bytes: &mut [u8], at: usize) {
    let old = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    bytes[at..at + 4].copy_from_slice(&old.wrapping_add(AHEAD).to_be_bytes());
}

/// The log of another connection between the same ends.
fn later_log(stream: &[u8]) -> Vec<u8> {
    changed(stream, |record| {
        let seconds = u64_at(record, 0) + LATER;
        record[..8].copy_from_slice(&seconds.to_le_bytes());
        let iss = u32_at(record, 64).wrapping_add(AHEAD);
        record[64..68].copy_from_slice(&iss.to_le_bytes());
        move_be32(record, 272);
        move_be32(record, 276);
    })
}

fn later_packets(packets: &[Packet]) -> Vec<Packet> {
    let mut packets = packets.to_vec();
    for packet in &mut packets {
        packet.us += LATER * 1_000_000;
        if packet.tcp().is_some() {
            move_be32(&mut packet.data, 38);
            // The first SYN acknowledges nothing, but who cares.
            move_be32(&mut packet.data, 42);
        }
    }
    packets
}

/// The members that tell what was counted.
fn counted(document: &Value) -> Vec<Value> {
    let connections = document["connections"].as_array().unwrap().iter();
    let keys = ["in", "out", "only_wire_causes", "only_log_causes"];
    connections
        .map(|c| keys.iter().map(|key| c[key].clone()).collect())
        .collect()
}

#[test]
fn ports_that_are_used_again() {
    let stream = genuine("base-loss");
    let first = capture::genuine("base-loss");
    let second = later_packets(&first);
    let alone = document(&stream, &plain(&first), &[]);
    let tcp = first.iter().filter(|packet| packet.tcp().is_some()).count();
    let both = plain(&[first, second].concat());
    let later = later_log(&stream);
    let document = |log: &[u8]| document(log, &both, &[]);
    let twice = document(&[stream.clone(), later.clone()].concat());
    let one = &counted(&alone)[0];
    assert_eq!(counted(&twice), [one.clone(), one.clone()]);
    assert_eq!(twice["total"]["segments_not_in_log"], 0);
    // The log has one of them only.
    for log in [stream, later] {
        let single = document(&log);
        assert_eq!(counted(&single), std::slice::from_ref(one));
        assert_eq!(single["total"]["segments_not_in_log"], tcp);
    }
}

#[test]
fn both_ends_log() {
    let stream = genuine("base-loss");
    let mut mirrored = changed(&stream, |record| {
        record[25] = match record[25] {
            1 => 2,
            2 => 1,
            other => other,
        };
    });
    for message in messages(&mirrored.clone()) {
        let at = message.offset;
        let header = message.header().to_vec();
        let swap = [(16, 18, 2), (20, 36, 16)];
        for (one, other, len) in swap {
            mirrored[at + one..at + one + len].copy_from_slice(&header[other..other + len]);
            mirrored[at + other..at + other + len].copy_from_slice(&header[one..one + len]);
        }
    }
    let packets = plain(&capture::genuine("base-loss"));
    let document = document(&[stream, mirrored].concat(), &packets, &[]);
    let matched: Vec<_> = document["connections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (&c["in"]["matched"], &c["out"]["matched"]))
        .collect();
    let (incoming, outgoing) = (json!(612), json!(711));
    assert_eq!(matched, [(&incoming, &outgoing), (&outgoing, &incoming)]);
    assert_eq!(
        causes(&document, "only_wire_causes"),
        json!({"before_log": 6, "after_log": 2})
    );
}
