//! Everything that is read is in the files: once, under the right name, and
//! told of by the index.

use crate::recorded::{Recorded, assert_all, content, filename, sorted};
use crate::support::stream::{messages, text};
use crate::support::{expected, genuine, stack_names, wireshark};
use crate::{As, Place};
use std::collections::BTreeSet;
use std::fs;

const SPLITS: [&str; 3] = ["message", "connection", "log-id"];
const COMPRESS: [&str; 4] = ["none", "gzip", "zstd", "xz"];

/// Every way to split and to compress.
fn all_ways(name: &str) {
    let stream = genuine(name);
    let wanted = sorted(&stream);
    let records: usize = messages(&stream).iter().map(|m| m.records().len()).sum();
    for split in SPLITS {
        for compress in COMPRESS {
            let what = format!("{name}, {split}, {compress}");
            let place = Place::new(As::Tester);
            let args = ["--split", split, "--compress", compress];
            let status = place.record(&stream, &args, 0).adds_up();
            let recorded = Recorded::read(&place.dir());
            assert_eq!(status["records"], records as u64, "{what}");
            assert_eq!(status["written"], records as u64, "{what}");
            assert_eq!(status["files"], recorded.files.len() as u64, "{what}");
            assert_eq!(recorded.records(), records as u64, "{what}");
            assert_all(&what, &recorded.messages(), &wanted);
            let groups = match split {
                "message" => wanted.len(),
                "connection" => groups(&wanted, |message| message[16..56].to_vec()),
                // What the kernel says where there is no ID.
                _ => groups(&wanted, |message| match text(&message[72..136]) {
                    b"" | b"UNKNOWN" => message[16..56].to_vec(),
                    id => id.to_vec(),
                }),
            };
            // A connection that ended and begins anew has another file.
            match split {
                "connection" => assert!(recorded.files.len() >= groups, "{what}"),
                _ => assert_eq!(recorded.files.len(), groups, "{what}"),
            }
            for line in &recorded.index {
                let suffix = match compress {
                    "none" => ".pcapng",
                    "gzip" => ".pcapng.gz",
                    "zstd" => ".pcapng.zst",
                    _ => ".pcapng.xz",
                };
                assert!(filename(line).ends_with(suffix), "{line}");
                let name = if compress == "none" { "" } else { compress };
                assert_eq!(line["compressor"], name);
            }
        }
    }
}

fn groups(messages: &[Vec<u8>], key: impl Fn(&[u8]) -> Vec<u8>) -> usize {
    let keys: BTreeSet<Vec<u8>> = messages.iter().map(|message| key(message)).collect();
    keys.len()
}

#[test]
fn all_of_kernel_ids() {
    all_ways("kernel-ids");
}

#[test]
fn all_of_multi() {
    all_ways("multi");
}

#[test]
fn all_of_switch() {
    all_ways("switch");
}

#[test]
fn all_of_kernel15_ids() {
    all_ways("kernel15-ids");
}

#[test]
fn names_are_those_of_tcplog_dumper() {
    for name in ["multi", "kernel-ids", "base-v6", "head", "ringwrap"] {
        let place = Place::new(As::Tester);
        let mut args = vec!["--min-records", "0"];
        args.extend(stack_names(name));
        place.record(&genuine(name), &args, 0);
        let recorded = Recorded::read(&place.dir());
        let (files, index) = expected(name);
        let is_harmless = |name: &str| {
            let keep = |c: char| c.is_ascii_alphanumeric() || "_-.+,=@".contains(c);
            // The address is no part of the log ID.
            let (_, address) = name.split_once('_').unwrap();
            let id = name.replace(address, "");
            id.chars().all(keep) && !name.starts_with(['-', '.'])
        };
        let mut harmless = 0;
        for (file, _) in &files {
            if is_harmless(file) {
                assert!(recorded.files.contains_key(file), "{name}: {file}");
                harmless += 1;
            }
        }
        assert!(harmless > 0, "{name}");
        // The keys that both indexes have say the same, but for the date.
        for line in index {
            // tcplog_dumper escapes nothing.
            let Ok(line) = serde_json::from_str::<serde_json::Value>(&line) else {
                continue;
            };
            let ours = recorded
                .index
                .iter()
                .find(|ours| filename(ours) == filename(&line));
            let Some(ours) = ours else { continue };
            for key in ["pbcid", "reason", "faddr", "fport", "laddr", "lport"] {
                assert_eq!(ours[key], line[key], "{name}: {key} of {line}");
            }
            assert_eq!(ours["record_count"], line["record_count"], "{name}");
            assert_eq!(ours["stack"], line["stack"], "{name}: {line}");
        }
    }
}

#[test]
fn tshark_reads_the_files() {
    let stream = genuine("multi");
    let records: usize = messages(&stream).iter().map(|m| m.records().len()).sum();
    for (split, compress) in [
        ("message", "none"),
        ("connection", "none"),
        ("log-id", "none"),
    ] {
        let place = Place::new(As::Tester);
        place.record(&stream, &["--split", split, "--compress", compress], 0);
        let recorded = Recorded::read(&place.dir());
        let all = place.beside("all.pcapng");
        fs::write(&all, recorded.concatenated()).unwrap();
        let rows = wireshark::rows(&all, &["frame.number"], &[]);
        assert_eq!(rows.len(), records, "{split}");
    }
    for (split, compress) in [
        ("log-id", "gzip"),
        ("message", "zstd"),
        ("connection", "zstd"),
    ] {
        let place = Place::new(As::Tester);
        place.record(&stream, &["--split", split, "--compress", compress], 0);
        let recorded = Recorded::read(&place.dir());
        for line in recorded.index.iter().take(3) {
            let path = place.dir().join(filename(line));
            let rows = wireshark::rows(&path, &["frame.number"], &[]);
            assert_eq!(line["record_count"], rows.len() as u64, "{line}");
            assert!(content(&path).len() as u64 > line["bytes"].as_u64().unwrap());
        }
    }
}
