//! Merged files come back as the messages they were made of.

mod support;

use serde_json::Value;
use std::ffi::OsStr;
use support::stream::without_stale;
use support::{assert_same, convert, genuine, put, tcplog};

const NAMES: [&str; 3] = ["multi", "kernel-ids", "switch"];
const MERGE: [&str; 3] = ["--merge", "--dumptime", "1700000000"];

/// What a command writes to standard output about these bytes.
fn shown(command: &str, bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let input = put(dir.path(), "in", bytes);
    let args = [command, "--format", "json"].map(OsStr::new);
    let ran = tcplog(args.into_iter().chain([input.as_os_str()])).fine();
    String::from_utf8(ran.stdout).unwrap()
}

/// The summary, less what tells of the file and of names of stacks.
fn summary(bytes: &[u8]) -> Value {
    let mut value = serde_json::from_str(&shown("info", bytes)).unwrap();
    keep_counts(&mut value);
    value
}

fn keep_counts(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for key in ["inputs", "input", "file", "bytes", "format"] {
                map.remove(key);
            }
            map.values_mut().for_each(keep_counts);
        }
        Value::Array(all) => all.iter_mut().for_each(keep_counts),
        _ => {}
    }
}

fn back(merged: &[u8]) -> Vec<u8> {
    let (ran, stream) = convert(merged, &["--format", "stream"]);
    ran.fine();
    stream
}

#[test]
fn a_merged_file_is_its_stream() {
    for name in NAMES {
        let original = genuine(name);
        let (ran, merged) = convert(&original, &MERGE);
        ran.fine();
        assert_same(name, &back(&merged), &without_stale(&original));
        assert_eq!(summary(&merged), summary(&original), "{name}");
        assert!(!shown("show", &merged).contains("\"skipped\""), "{name}");
        let (ran, again) = convert(&merged, &MERGE);
        ran.fine();
        assert_same(&format!("{name}, merged again"), &again, &merged);
    }
}

#[test]
fn several_inputs_come_back_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (genuine("multi"), genuine("switch"));
    let inputs = [put(dir.path(), "a", &first), put(dir.path(), "b", &second)];
    let out = dir.path().join("out");
    let args = ["convert", "--merge", "-o"].map(OsStr::new);
    let rest = [
        out.as_os_str(),
        inputs[0].as_os_str(),
        inputs[1].as_os_str(),
    ];
    tcplog(args.into_iter().chain(rest)).fine();
    let merged = std::fs::read(&out).unwrap();
    let wanted = without_stale(&[first, second].concat());
    assert_same("both", &back(&merged), &wanted);
    // Two merged sections in one file: the first is drained before the next.
    let twice = [&merged[..], &merged].concat();
    assert_same("twice", &back(&twice), &[&wanted[..], &wanted].concat());
}

#[test]
fn a_merged_buffer_stays_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let stream = genuine("switch");
    let input = put(
        dir.path(),
        "in",
        &support::stream::messages(&stream)[0].bytes[208..],
    );
    let out = dir.path().join("out");
    let args = ["convert", "--merge", "-o"].map(OsStr::new);
    tcplog(args.into_iter().chain([out.as_os_str(), input.as_os_str()])).fine();
    let lines = shown("show", &std::fs::read(&out).unwrap());
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(line["time"], Value::Null, "{line}");
    assert!(!line.to_string().contains("0.0.0.0"), "{line}");
}

/// A record whose message has no header stays, and is told of.
#[test]
fn records_of_unknown_messages_are_kept() {
    let original = genuine("switch");
    let (ran, mut merged) = convert(&original, &MERGE);
    ran.fine();
    let head = [b't', b'l', 4, 0, 0, 0, 0, 0];
    let at = merged.windows(8).position(|w| w == head).unwrap();
    merged[at + 4..at + 8].copy_from_slice(&77u32.to_le_bytes());
    let (ran, stream) = convert(&merged, &["--format", "stream"]);
    assert!(
        ran.stderr.contains("header of message 77"),
        "{}",
        ran.stderr
    );
    assert_eq!(stream.len(), original.len() + 208);
}

/// More messages of one connection than one interface has room for.
#[test]
fn headers_share_several_interfaces() {
    let stream = genuine("switch");
    let message = support::stream::messages(&stream)[0];
    let one = message.with_records(message.records().into_iter().take(1));
    let many = without_stale(&one.repeat(40_000));
    let (ran, merged) = convert(&many, &MERGE);
    ran.fine();
    let blocks = support::stream::blocks(&merged);
    assert!(blocks.iter().all(|block| block.bytes.len() <= 8 << 20));
    assert_same("many", &back(&merged), &many);
}
