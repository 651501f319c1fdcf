//! What is carved, in each form of output, read again and by Wireshark.

use crate::support::wireshark::rows;
use crate::support::{files_in, tcplog};
use crate::truth::{Record, Truth, carve, found, stored_core};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Carves a stored core to a file.
fn carved(name: &str, dir: &Path, args: &[&str]) -> PathBuf {
    let path = dir.join("carved");
    let mut all = vec!["-q", "-o", path.to_str().unwrap()];
    all.extend(args);
    let ran = carve(&[stored_core(name)], &all);
    assert_eq!(
        (ran.status, ran.stderr.as_str()),
        (0, ""),
        "{name} {args:?}"
    );
    path
}

/// What `tcplog show` makes of a file that it has nothing to say about.
fn shown(path: &Path) -> Vec<Value> {
    let ran = tcplog(["show", path.to_str().unwrap(), "--format", "json"]).fine();
    let lines = ran.stdout.split(|byte| *byte == b'\n');
    lines
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

type Line = (u64, u64, i64, u64, Option<String>, Option<u64>);

/// Of records what every form holds, sorted.
fn lines(values: &[Value]) -> Vec<Line> {
    let records = values.iter().filter(|value| value["kind"] == "bblog");
    let mut lines: Vec<Line> = records
        .map(|value| {
            (
                value["sn"].as_u64().unwrap(),
                value["event_id"].as_u64().unwrap(),
                value["uptime_us"].as_i64().unwrap(),
                value["iss"].as_u64().unwrap(),
                value["local_addr"].as_str().map(str::to_owned),
                value["foreign_port"].as_u64(),
            )
        })
        .collect();
    lines.sort();
    lines
}

fn wanted(records: &[Record]) -> Vec<Line> {
    let mut lines: Vec<Line> = records
        .iter()
        .map(|record| {
            let ends = record.ends.as_ref();
            (
                record.sn.into(),
                record.event.into(),
                record.uptime_us,
                record.iss.into(),
                ends.map(|ends| ends.0.0.clone()),
                ends.map(|ends| ends.1.1.into()),
            )
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn streams_and_pcapng_are_read_again() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["kernel-vmcore", "live.elf", "idle.elf"] {
        let found = found(&[stored_core(name)], &["--live-only"]);
        let wanted = wanted(&found.records);
        for form in ["stream", "pcapng"] {
            let path = carved(name, dir.path(), &["--format", form, "--live-only"]);
            assert!(lines(&shown(&path)) == wanted, "{name} {form}");
        }
    }
    // Without a record there is no section that could say what the packets are of.
    let path = carved("nolog.elf", dir.path(), &[]);
    assert!(lines(&shown(&path)).is_empty());
}

#[test]
fn wireshark_sees_packets_and_records() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["kernel-vmcore", "live.elf", "nolog.elf"] {
        let path = carved(name, dir.path(), &[]);
        let found = found(&[stored_core(name)], &[]);
        let fields = [
            "frame.comment",
            "frame.len",
            "frame.cap_len",
            "frame.packet_flags_direction",
            "tcp.srcport",
            "tcp.len",
            "tcp.checksum.status",
            "ip.checksum.status",
            "bblog.event_id",
        ];
        let options = [
            "-o",
            "tcp.check_checksum:TRUE",
            "-o",
            "ip.check_checksum:TRUE",
            // Both ends of a connection, and retransmissions, are in one file.
            "-o",
            "tcp.analyze_sequence_numbers:FALSE",
        ];
        let rows = rows(&path, &fields, &options);
        let is_saved = |comment: &str| comment.contains("TCPPCAP");
        let saved = rows.iter().filter(|row| is_saved(row.get("frame.comment")));
        let (mut seen, mut payload) = (0, 0);
        for row in saved {
            seen += 1;
            let comment = row.get("frame.comment");
            assert!(comment.contains("reconstructed"), "{name}: {comment}");
            assert_ne!(row.get("tcp.srcport"), "", "{name}: {row:?}");
            assert_ne!(
                row.get("frame.packet_flags_direction"),
                "",
                "{name}: {row:?}"
            );
            payload += row.get("tcp.len").parse::<usize>().unwrap();
            if row.get("frame.len") == row.get("frame.cap_len") {
                assert_eq!(row.get("tcp.checksum.status"), "1", "{name}: {row:?}");
            }
            assert!(
                ["", "1"].contains(&row.get("ip.checksum.status")),
                "{name}: {row:?}"
            );
        }
        assert_eq!(seen, found.packets.len(), "{name}");
        let headers = |bytes: &[u8]| {
            let tcp = if bytes[0] >> 4 == 4 {
                usize::from(bytes[0] & 15) * 4
            } else {
                40
            };
            tcp + usize::from(bytes[tcp + 12] >> 4) * 4
        };
        let lengths = found.packets.iter();
        let wanted: usize = lengths
            .map(|packet| packet.length - headers(&packet.bytes))
            .sum();
        assert_eq!(payload, wanted, "{name}");
        assert!(payload > 0, "{name}");
        // Records with a TCP header are packets as well.
        let shown = shown_in_full(name);
        let segments = shown.iter().filter(|value| !value["tcp"].is_null()).count();
        let packets = rows
            .iter()
            .filter(|row| !row.get("tcp.srcport").is_empty())
            .count();
        assert_eq!(packets, segments + found.packets.len(), "{name}");
        let events = rows
            .iter()
            .filter(|row| !row.get("bblog.event_id").is_empty())
            .count();
        assert!(events >= found.records.len() - segments, "{name}: {events}");
    }
}

/// The lines of JSON of a whole core.
fn shown_in_full(name: &str) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let path = carved(name, dir.path(), &["--format", "json"]);
    let text = std::fs::read(path).unwrap();
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[test]
fn a_file_for_each_group() {
    let all = found(&[stored_core("live.elf")], &[]);
    for split in ["log-id", "connection", "message"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let args = ["-q", "-D", path, "--split", split];
        let ran = carve(&[stored_core("live.elf")], &args);
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{split}");
        let files = files_in(dir.path());
        assert!(files.len() > 2, "{split}: {}", files.len());
        let mut records = 0;
        for (file, _) in &files {
            records += lines(&shown(&dir.path().join(file))).len();
        }
        assert_eq!(records, all.records.len(), "{split}");
    }
}

#[test]
fn selection() {
    let path = stored_core("live.elf");
    let all = found(&[&path], &[]);
    let count =
        |wants: &dyn Fn(&Record) -> bool| all.records.iter().filter(|one| wants(one)).count();
    let has_port = |ends: &crate::truth::End| ends.1 == 8004;
    let is_of_port = |one: &Record| {
        one.ends
            .as_ref()
            .is_some_and(|ends| has_port(&ends.0) || has_port(&ends.1))
    };
    let of_port = found(&[&path], &["--port", "8004"]);
    assert!(of_port.records.iter().all(&is_of_port));
    assert_eq!(of_port.records.len(), count(&is_of_port));
    assert!(!of_port.packets.is_empty() && of_port.packets.len() < all.packets.len());
    for packet in &of_port.packets {
        let (local, foreign) = packet.ends.as_ref().unwrap();
        assert!(has_port(local) || has_port(foreign), "{packet:?}");
    }
    let of_serial = found(&[&path], &["--sn", "10..20"]);
    let is_of_serial = |one: &Record| (10..=20).contains(&one.sn);
    assert!(of_serial.records.iter().all(is_of_serial));
    assert_eq!(of_serial.records.len(), count(&is_of_serial));
    let of_id = found(&[&path], &["--id", "cont"]);
    let is_of_id = |one: &Record| one.id.as_deref() == Some("cont");
    assert!(!of_id.records.is_empty() && of_id.records.iter().all(is_of_id));
    assert_eq!(of_id.records.len(), count(&is_of_id));
    // What is not there leaves nothing.
    assert_eq!(found(&[&path], &["--port", "9"]).ran.status, 1);
}

#[test]
fn sureness_and_life() {
    for name in ["live.elf", "kernel-vmcore"] {
        let path = stored_core(name);
        let truth = Truth::of(name);
        let places = |records: &[Record]| -> BTreeSet<u64> {
            records.iter().map(|record| record.offset).collect()
        };
        let all = found(&[&path], &[]);
        let live = found(&[&path], &["--live-only"]);
        assert!(
            live.records.iter().all(|record| record.life == "live"),
            "{name}"
        );
        assert!(
            live.packets.iter().all(|packet| packet.life == "live"),
            "{name}"
        );
        assert_eq!(live.packets.len(), truth.packets.len(), "{name}");
        assert_eq!(
            live.records.len(),
            truth.entries.len() + truth.expanded.len(),
            "{name}"
        );
        let any = found(&[&path], &["--min-confidence", "0"]);
        assert!(
            places(&any.records).is_superset(&places(&all.records)),
            "{name}"
        );
        assert!(
            any.records.iter().any(|record| record.confidence < 50),
            "{name}"
        );
        let sure = found(&[&path], &["--min-confidence", "100"]);
        assert!(
            sure.records.iter().all(|record| record.confidence == 100),
            "{name}"
        );
        assert!(!sure.records.is_empty() && sure.ran.status == 0, "{name}");
        assert!(
            places(&sure.records).is_subset(&places(&all.records)),
            "{name}"
        );
    }
}

#[test]
fn times() {
    let path = stored_core("live.elf");
    let plain = found(&[&path], &[]);
    assert!(plain.records.iter().all(|record| record.time.is_none()));
    let timed = found(&[&path], &["--boot-time", "2026-11-21T10:00:00Z"]);
    let held = timed.records.iter().filter(|record| record.life == "live");
    let mut some = 0;
    for record in held {
        let (seconds, micros) = (record.uptime_us / 1_000_000, record.uptime_us % 1_000_000);
        assert!(seconds < 60);
        let wanted = format!("2026-11-21T10:00:{seconds:02}.{micros:06}Z");
        assert_eq!(record.time.as_deref(), Some(&wanted[..]));
        some += 1;
    }
    assert!(some > 1000);
    // A message that stands in the kernel's memory tells it.
    let kernel = found(&[stored_core("kernel-vmcore")], &["--live-only"]);
    assert!(kernel.records.iter().all(|record| record.time.is_some()));
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for (name, form) in [
        ("live.elf", "pcapng"),
        ("idle.elf", "json"),
        ("kernel-vmcore", "stream"),
    ] {
        let [one, two] = ["1", "2"].map(|threads| {
            let dir = tempfile::tempdir().unwrap();
            let args = ["-j", threads, "--dumptime", "0", "--format", form];
            std::fs::read(carved(name, dir.path(), &args)).unwrap()
        });
        crate::support::assert_same(name, &one, &two);
    }
}
