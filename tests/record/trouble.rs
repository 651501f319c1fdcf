//! Too little of everything: disk, descriptors, time, and sound input.

use crate::recorded::{Recorded, index, sorted};
use crate::support::genuine;
use crate::support::stream::messages;
use crate::{As, Collector, Patched, Place, until, with_more_than};
use nix::unistd::geteuid;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A collector whose directory is a file system of so many bytes, and the
/// directory as seen from here. Only while it runs the files can be had.
fn on_small_disk(place: &Place, size: &str, args: &[&str]) -> (Collector, PathBuf) {
    let mut command = Command::new("unshare");
    let how = if geteuid().is_root() { "-m" } else { "-rm" };
    let script =
        "dir=$1; mount -t tmpfs -o mode=755,size=$2 tmpfs \"$dir\" && shift 2 && exec \"$@\"";
    command.args([how, "sh", "-c", script, "sh"]);
    command
        .arg(place.dir())
        .args([size, env!("CARGO_BIN_EXE_tcplog")]);
    let mut all = args.to_vec();
    // In a user namespace nobody else is there.
    if !geteuid().is_root() {
        all.extend(["-u", "root"]);
    }
    let collector = place.spawned(command, OsStr::new("-"), &all);
    let inside = format!(
        "/proc/{}/root{}",
        collector.child.id(),
        place.dir().display()
    );
    let inside = PathBuf::from(inside);
    until("the collector", || inside.join(".lock").exists());
    (collector, inside)
}

#[test]
fn a_full_disk_is_said_once_and_gets_over() {
    let stream = genuine("kernel-ids");
    let message = Patched::of(with_more_than(&stream, 100), 100);
    for (split, compress) in [
        ("message", "none"),
        ("connection", "none"),
        ("message", "gzip"),
    ] {
        let place = Place::new(As::Tester);
        let args = ["--split", split, "--compress", compress, "-j", "1"];
        let (mut collector, inside) = on_small_disk(&place, "2m", &args);
        let filler = inside.join("filler");
        fs::write(&filler, vec![0; 1_900_000]).unwrap();
        let mut number = 0_u32;
        let mut feed = |collector: &mut Collector| {
            number += 1;
            let tag = format!("message {number}");
            let id = format!("id {}", number % 3);
            let message = Patched(message.0.clone())
                .tag(tag.as_bytes())
                .id(id.as_bytes());
            collector.feed(&message.0);
            number
        };
        let mut dropped = 0;
        while dropped < 500 {
            for _ in 0..10 {
                feed(&mut collector);
            }
            dropped = collector.status()["dropped_records"];
            assert!(number_of(&collector) < 2000, "{}", collector.said().0);
        }
        // Reading goes on.
        assert_eq!(
            collector.said().count("writing failed"),
            1,
            "{}",
            collector.said().0
        );
        fs::remove_file(&filler).unwrap();
        let fed = (0..10).map(|_| feed(&mut collector)).last().unwrap();
        collector.says("writing works again");
        until("all of it", || {
            collector.status()["messages"] == u64::from(fed)
        });
        until("the last", || {
            let status = collector.status();
            status["written"] + status["dropped_records"] == u64::from(fed) * 100
        });
        let before = collector.status();
        if split == "message" {
            until("the files", || collector.status()["growing"] == 0);
            let recorded = Recorded::read(&inside);
            assert_eq!(recorded.records(), before["written"], "{split}, {compress}");
            recorded.unique();
            assert!(recorded.files.len() >= 10);
        }
        let said = collector.end(1);
        said.adds_up();
        assert_eq!(said.count("writing failed"), 1, "{}", said.0);
        assert_eq!(said.count("could not be finished"), 0, "{}", said.0);
    }
}

fn number_of(collector: &Collector) -> u64 {
    collector.status()["messages"]
}

#[test]
fn ten_thousand_connections_with_few_descriptors() {
    let stream = genuine("kernel-ids");
    let message = Patched::of(with_more_than(&stream, 2), 2);
    for (jobs, connections) in [("2", 10_000_u16), ("8", 2_000)] {
        let mut input = Vec::new();
        for round in ["first", "second"] {
            for port in 1..=connections {
                let message = Patched(message.0.clone()).foreign_port(port);
                input.extend(message.tag(format!("{round} {port}").as_bytes()).0);
            }
        }
        let place = Place::new(As::Tester);
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "ulimit -n 256; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_tcplog"),
        ]);
        let args = ["--split", "connection", "-j", jobs];
        let mut collector = place.spawned(command, OsStr::new("-"), &args);
        collector.feed(&input);
        let said = collector.end(0);
        let status = said.adds_up();
        assert_eq!(
            (status["errors"], status["dropped_records"]),
            (0, 0),
            "{}",
            said.0
        );
        let recorded = Recorded::read(&place.dir());
        assert_eq!(recorded.files.len(), usize::from(connections));
        for line in &recorded.index {
            assert_eq!(
                (&line["message_count"], &line["record_count"]),
                (&2.into(), &4.into())
            );
        }
        assert_eq!(recorded.unique().len(), usize::from(connections) * 4);
    }
}

#[test]
fn the_oldest_go_when_the_queue_is_full() {
    let stream = genuine("multi");
    let place = Place::new(As::Tester);
    let args = [
        "--on-overload",
        "drop-oldest",
        "--queue",
        "256K",
        "--compress",
        "xz",
    ];
    let mut collector = place.piped(&args);
    for _ in 0..8 {
        collector.feed(&stream);
    }
    let said = collector.end(1);
    let status = said.adds_up();
    assert!(status["dropped_records"] > 0 && status["dropped_messages"] > 0);
    assert!(status["written"] > 0);
    assert_eq!(said.count("the queue is full"), 1, "{}", said.0);
    let recorded = Recorded::read(&place.dir());
    assert_eq!(recorded.records(), status["written"]);
    // What is there is sound, if not all of it.
    recorded.messages();
}

#[test]
fn the_disk_budget_is_kept() {
    let stream = genuine("multi");
    let all = sorted(&stream);
    for compress in ["none", "zstd"] {
        let place = Place::new(As::Tester);
        let limit = if compress == "none" {
            1_000_000
        } else {
            200_000
        };
        let budget = limit.to_string();
        let args = ["--max-disk", &budget, "--compress", compress, "-j", "1"];
        let mut collector = place.piped(&args);
        for round in 0..4 {
            collector.feed(&stream);
            let fed = (round + 1) * stream.len() as u64;
            until("all of it", || {
                let status = collector.status();
                status["bytes"] == fed
                    && status["written"] == status["records"]
                    && status["growing"] == 0
            });
            assert!(total(&place) <= limit, "{}", total(&place));
        }
        let said = collector.end(0);
        let status = said.adds_up();
        let recorded = Recorded::without_removed(&place.dir());
        assert!(total(&place) <= limit, "{}", total(&place));
        let removed = recorded.index.len() - recorded.files.len();
        assert_eq!(status["removed"], removed as u64);
        assert_eq!(said.count("to stay within the disk budget"), removed);
        assert!(removed > all.len());
        // The newest are there.
        for (at, line) in recorded.index.iter().enumerate() {
            let name = line["filename"].as_str().unwrap();
            assert_eq!(
                recorded.files.contains_key(name),
                at >= removed,
                "{at}: {name}"
            );
        }
        // The next run counts what is there.
        let said = place.record(b"", &["--max-disk", "1000"], 0);
        assert_eq!(
            said.status()["removed"],
            recorded.files.len() as u64,
            "{}",
            said.0
        );
        assert_eq!(total(&place), 0);
    }
}

/// Bytes of all recordings.
fn total(place: &Place) -> u64 {
    let entries = fs::read_dir(place.dir()).unwrap();
    let sizes = entries.filter_map(|entry| {
        let entry = entry.unwrap();
        let is_recording = entry.file_name().to_string_lossy().contains(".pcapng");
        // It may be gone by now.
        is_recording.then(|| entry.metadata().map_or(0, |meta| meta.len()))
    });
    sizes.sum()
}

#[test]
fn a_damaged_stream_loses_what_is_damaged() {
    let stream = genuine("multi");
    let all = messages(&stream);
    let victims = [1, 4, 5, 8];
    let mut damaged = stream.clone();
    for victim in victims {
        // Version and type of the message.
        damaged[all[victim].offset..][..8].fill(0xee);
    }
    let kept: Vec<u8> = all
        .iter()
        .enumerate()
        .filter(|(at, _)| !victims.contains(at))
        .flat_map(|(_, message)| message.bytes)
        .copied()
        .collect();
    for live in [false, true] {
        let place = Place::new(As::Tester);
        let said = match live {
            false => place.record(&damaged, &[], 1),
            true => {
                let mut collector = place.piped(&[]);
                collector.feed(&damaged);
                collector.end(1)
            }
        };
        let status = said.adds_up();
        assert!(status["damaged"] > 0);
        // And of the damaged ones what could be saved.
        let got = Recorded::read(&place.dir()).messages();
        for message in sorted(&kept) {
            assert!(got.contains(&message));
        }
        assert_eq!(
            index(&place.dir().join("records")).len() as u64,
            status["files"]
        );
    }
    let place = Place::new(As::Tester);
    place.record(&damaged, &["--strict"], 2);
}
