//! The collector on a device that is slow, fails, and never ends, and the
//! signals that it gets meanwhile.

use crate::recorded::{Recorded, assert_all, index, sorted};
use crate::support::genuine;
use crate::support::standin::Standin;
use crate::support::stream::messages;
use crate::{As, Collector, Place, until};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs;
use std::process::Command;

/// A collector that sees the device.
fn on(standin: &Standin, name: &str, place: &Place, args: &[&str]) -> Collector {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcplog"));
    command.envs(standin.env(name));
    place.spawned(command, standin.device().as_os_str(), args)
}

#[test]
fn several_get_all_whatever_fails() {
    let stream = genuine("kernel-ids");
    let wanted = sorted(&stream);
    let faults = "20=EIO,61=EIO,every:3=EINTR,every:4=short:1000,every:5=EAGAIN,every:7=EBUSY";
    let standin = Standin::serve(&stream).faults(faults);
    let ways = [
        ("one", ["--split", "message", "--compress", "none"]),
        ("two", ["--split", "connection", "--compress", "zstd"]),
        ("three", ["--split", "log-id", "--compress", "xz"]),
    ];
    let running = ways.map(|(name, args)| {
        let place = Place::new(As::Tester);
        let collector = on(&standin, name, &place, &args);
        (name, place, collector)
    });
    for (name, place, collector) in running {
        until(name, || standin.given(name) == stream.len() as u64);
        let said = collector.stop(0);
        let status = said.adds_up();
        assert_eq!(status["failed_reads"], 2, "{}", said.0);
        assert!(said.count("reading failed ") > 0, "{}", said.0);
        assert_eq!(status["bytes"], stream.len() as u64);
        assert_all(name, &Recorded::read(&place.dir()).messages(), &wanted);
    }
}

#[test]
fn what_comes_later_is_there_at_once() {
    let stream = genuine("base-v6");
    let standin = Standin::serve(b"");
    let place = Place::new(As::Tester);
    let collector = on(&standin, "later", &place, &[]);
    let mut files = 0;
    for message in messages(&stream) {
        let (first, second) = message.bytes.split_at(message.bytes.len() / 2);
        standin.append(first);
        standin.append(second);
        files += usize::from(!message.records().is_empty());
        until("a file", || {
            index(&place.dir().join("records")).len() == files
        });
    }
    collector.stop(0).adds_up();
    assert_all(
        "later",
        &Recorded::read(&place.dir()).messages(),
        &sorted(&stream),
    );
}

#[test]
fn index_and_log_are_opened_anew() {
    let stream = genuine("multi");
    let all = messages(&stream);
    let some: Vec<_> = all.iter().filter(|m| !m.records().is_empty()).collect();
    let standin = Standin::serve(b"");
    let place = Place::new(As::Tester);
    let log = place.beside("log");
    let collector = on(&standin, "anew", &place, &["--log", log.to_str().unwrap()]);
    let (old, new) = (place.dir().join("records.0"), place.dir().join("records"));
    standin.append(some[0].bytes);
    until("a line", || index(&new).len() == 1);
    fs::rename(&new, &old).unwrap();
    fs::rename(&log, place.beside("log.0")).unwrap();
    // Until the signal the renamed files are in use.
    standin.append(some[1].bytes);
    until("a line", || index(&old).len() == 2);
    collector.signal("HUP");
    until("a new log", || {
        fs::read_to_string(&log).is_ok_and(|log| log.contains("index and log opened anew"))
    });
    standin.append(some[2].bytes);
    until("a line", || index(&new).len() == 1);
    assert_eq!(collector.stop(0).0, "", "what is said goes to the log");
    let text = fs::read_to_string(&log).unwrap();
    assert!(
        text.lines().last().unwrap().contains("status: messages=3"),
        "{text}"
    );
    assert_eq!(index(&old).len(), 2);
    fs::write(
        &new,
        [fs::read(&old).unwrap(), fs::read(&new).unwrap()].concat(),
    )
    .unwrap();
    fs::remove_file(&old).unwrap();
    let wanted: Vec<u8> = some[..3].iter().flat_map(|m| m.bytes).copied().collect();
    assert_all(
        "anew",
        &Recorded::read(&place.dir()).messages(),
        &sorted(&wanted),
    );
}

#[test]
fn status_on_demand_and_the_second_is_refused() {
    let stream = genuine("base-v6");
    let standin = Standin::serve(&stream);
    let place = Place::new(As::Tester);
    let collector = on(&standin, "first", &place, &[]);
    until("the device", || {
        standin.given("first") == stream.len() as u64
    });
    let records: usize = messages(&stream).iter().map(|m| m.records().len()).sum();
    until("the records", || {
        collector.status()["written"] == records as u64
    });
    let second = on(&standin, "second", &place, &[]).wait(2);
    let wanted = format!(
        "tcplog: {}: another collector writes into this directory\n",
        place.dir().display()
    );
    assert_eq!(second.0, wanted);
    collector.stop(0).adds_up();
    // The one that was refused took nothing away.
    assert_all(
        "first",
        &Recorded::read(&place.dir()).messages(),
        &sorted(&stream),
    );
}

#[test]
fn a_step_of_the_clock_is_said() {
    let stream = genuine("base-v6");
    let wanted = sorted(&stream);
    let standin = Standin::serve(b"").clock_step(-7000, 2);
    let place = Place::new(As::Tester);
    let collector = on(&standin, "clock", &place, &[]);
    place.is_taken();
    // Who answers has noted the time.
    collector.status();
    standin.append(&stream);
    collector.says("the clock was stepped by -7000.");
    until("the device", || {
        standin.given("clock") == stream.len() as u64
    });
    let said = collector.stop(0);
    said.adds_up();
    assert_eq!(said.count("the clock was stepped"), 1, "{}", said.0);
    assert_all("clock", &Recorded::read(&place.dir()).messages(), &wanted);
}

#[test]
fn memory_is_bounded() {
    let stream = genuine("multi");
    let place = Place::new(As::Tester);
    let args = [
        "--queue",
        "1M",
        "--split",
        "log-id",
        "--rotate-size",
        "2M",
        "--max-disk",
        "20M",
    ];
    let mut collector = place.piped(&args);
    let mut fed = 0;
    while fed < 300_000_000 {
        collector.feed(&stream);
        fed += stream.len() as u64;
    }
    until("all of it", || collector.status()["bytes"] == fed);
    let path = format!("/proc/{}/status", collector.child.id());
    let text = fs::read_to_string(path).unwrap();
    let peak = text
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    let status = collector.end(0).adds_up();
    assert!(peak < 96 * 1024, "{peak} kB");
    assert!(status["queued_peak"] <= 1 << 20);
    assert_eq!((status["queued_bytes"], status["dropped_records"]), (0, 0));
    let names = Recorded::without_removed(&place.dir()).files.len() as u64;
    assert_eq!(status["files"] - status["removed"], names);
}

#[test]
fn a_fifo_is_read_to_its_end() {
    let place = Place::new(As::Tester);
    let fifo = place.beside("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let command = Command::new(env!("CARGO_BIN_EXE_tcplog"));
    let collector = place.spawned(command, fifo.as_os_str(), &[]);
    let stream = genuine("base-v6");
    fs::write(&fifo, &stream).unwrap();
    collector.wait(0).adds_up();
    assert_all(
        "fifo",
        &Recorded::read(&place.dir()).messages(),
        &sorted(&stream),
    );
}

#[test]
fn who_waits_for_a_fifo_can_be_ended() {
    let place = Place::new(As::Tester);
    let fifo = place.beside("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let command = Command::new(env!("CARGO_BIN_EXE_tcplog"));
    let mut collector = place.spawned(command, fifo.as_os_str(), &[]);
    // It has nothing else to do by now.
    std::thread::sleep(std::time::Duration::from_millis(500));
    collector.signal("TERM");
    until("the end", || collector.child.try_wait().unwrap().is_some());
    assert!(!place.dir().join(".lock").exists());
}
