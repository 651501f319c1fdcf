//! Which messages are written, and when a file is finished.

use crate::recorded::{Recorded, assert_all, index, sorted};
use crate::support::genuine;
use crate::support::stream::{Msg, messages};
use crate::{As, Patched, Place, until, with_more_than};

/// Records what `args` select, and compares with what `is_wanted` does.
#[track_caller]
fn selects(name: &str, args: &[&str], is_wanted: impl Fn(Msg<'_>) -> bool) {
    let stream = genuine(name);
    let all = messages(&stream);
    let wanted = all.iter().filter(|message| is_wanted(**message));
    let wanted: Vec<u8> = wanted.flat_map(|message| message.bytes).copied().collect();
    let wanted = sorted(&wanted);
    assert!(!wanted.is_empty() && wanted.len() < sorted(&stream).len());
    for split in ["message", "connection", "log-id"] {
        let place = Place::new(As::Tester);
        let args = [args, &["--split", split]].concat();
        let status = place.record(&stream, &args, 0).adds_up();
        let recorded = Recorded::read(&place.dir());
        assert_all(split, &recorded.messages(), &wanted);
        let records: usize = all.iter().map(|message| message.records().len()).sum();
        assert_eq!(status["unwanted"], records as u64 - recorded.records());
    }
}

#[test]
fn by_id() {
    selects("multi", &["--id", "shared-*"], |message| {
        message.id().starts_with(b"shared-")
    });
}

#[test]
fn by_reason() {
    let stream = genuine("kernel-ids");
    let reasons: Vec<&[u8]> = messages(&stream).iter().map(|m| m.reason()).collect();
    let reason = reasons.iter().find(|r| !r.is_empty()).unwrap();
    let reason = std::str::from_utf8(reason).unwrap().to_owned();
    let other = reasons.iter().any(|other| *other != reason.as_bytes());
    assert!(other, "{reason}");
    selects("kernel-ids", &["--reason", &reason], |message| {
        message.reason() == reason.as_bytes()
    });
}

#[test]
fn by_number_of_records() {
    selects("kernel-ids", &["--min-records", "10"], |message| {
        message.records().len() >= 10
    });
}

#[test]
fn a_file_is_finished_when_it_has_the_size() {
    let stream = genuine("multi");
    for split in ["connection", "log-id"] {
        let place = Place::new(As::Tester);
        let args = ["--split", split, "--rotate-size", "50000"];
        place
            .record(&[&stream[..], &stream].concat(), &args, 0)
            .adds_up();
        let recorded = Recorded::read(&place.dir());
        let twice = [sorted(&stream), sorted(&stream)].concat();
        let mut twice = twice;
        twice.sort();
        assert_all(split, &recorded.messages(), &twice);
        // Only a message that begins below the size goes on above it.
        for line in &recorded.index {
            let name = line["filename"].as_str().unwrap();
            let content = &recorded.files[name];
            let sections = crate::support::stream::blocks(content);
            let last = sections
                .iter()
                .rposition(|block| block.kind == crate::support::stream::SECTION)
                .unwrap();
            let before: usize = sections[..last].iter().map(|block| block.bytes.len()).sum();
            assert!(before < 50_000 || line["message_count"] == 1, "{line}");
        }
        let numbers = recorded
            .index
            .iter()
            .map(|line| line["frag_seq"].as_u64().unwrap());
        assert!(numbers.max().unwrap() > 1);
    }
}

#[test]
fn a_file_is_finished_when_it_has_the_age() {
    let stream = genuine("kernel-ids");
    let message = Patched::of(with_more_than(&stream, 10), 10);
    for compress in ["none", "xz"] {
        let place = Place::new(As::Tester);
        let args = [
            "--split",
            "log-id",
            "--rotate-age",
            "1s",
            "--compress",
            compress,
        ];
        let mut collector = place.piped(&args);
        let records = place.dir().join("records");
        for round in 1..=2 {
            let tag = format!("round {round}");
            let message = Patched(message.0.clone()).id(b"aging").tag(tag.as_bytes());
            collector.feed(&message.0);
            until("a file", || index(&records).len() == round);
        }
        collector.end(0).adds_up();
        let recorded = Recorded::read(&place.dir());
        assert_eq!((recorded.files.len(), recorded.unique().len()), (2, 20));
    }
}

/// Local addresses are no part of a file's name, so that connections which
/// differ in nothing else want the same one.
#[test]
fn connections_with_one_name_have_files_of_their_own() {
    let stream = genuine("kernel-ids");
    let message = Patched::of(with_more_than(&stream, 3), 3);
    for split in ["message", "connection"] {
        let place = Place::new(As::Tester);
        let mut input = Vec::new();
        for round in 0..20_u8 {
            for local in 0..100_u8 {
                let message = Patched(message.0.clone()).local([10, 0, 0, local]);
                input.extend(message.tag(format!("{round} {local}").as_bytes()).0);
            }
        }
        let said = place.record(&input, &["--split", split, "-j", "4"], 0);
        let status = said.adds_up();
        assert_eq!((status["errors"], status["growing"]), (0, 0), "{}", said.0);
        let recorded = Recorded::read(&place.dir());
        assert_eq!(recorded.unique().len(), 2000 * 3);
        let files = if split == "message" { 2000 } else { 100 };
        assert_eq!(recorded.files.len(), files, "{split}");
    }
}
