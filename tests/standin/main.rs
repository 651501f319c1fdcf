//! The stand-in for `/dev/tcp_log` is judged by what three readers of the
//! genuine device noted, and then judges readers of it: those that copy every
//! byte, and `tcplog` itself.

#[path = "../support/mod.rs"]
mod support;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use support::standin::{Call, Standin, calls, compiled};
use support::stream::{Msg, messages};
use support::{assert_same, convert, genuine, put, testdata};

const LONG: Duration = Duration::from_secs(20);
const EINTR: i32 = 4;
const EAGAIN: i32 = 11;
const EBUSY: i32 = 16;
const ENODEV: i32 = 19;
/// What the reader of the genuine device got for `EAGAIN`.
const FREEBSD_EAGAIN: i32 = 35;

/// Each file has the time of its making otherwise.
const DUMPTIME: [&str; 2] = ["--dumptime", "1700000000"];

/// tests/standin/reader.rs, compiled.
fn reader() -> &'static Path {
    static READER: OnceLock<PathBuf> = OnceLock::new();
    READER.get_or_init(|| compiled("reader.rs", "bin"))
}

/// Waits for what must come.
#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LONG, "{what}: nothing comes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child) {
    let kill = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
}

/// A running copy of the reader.
struct Reading<'a> {
    standin: &'a Standin,
    name: &'a str,
    child: Child,
    out: PathBuf,
}

impl<'a> Reading<'a> {
    fn start(standin: &'a Standin, dir: &Path, name: &'a str, size: usize, how: &str) -> Self {
        let out = dir.join(name);
        let child = standin
            .command(name, reader())
            .arg("read")
            .arg(standin.device())
            .args([&size.to_string(), how])
            .arg(&out)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Reading {
            standin,
            name,
            child,
            out,
        }
    }

    /// Waits until it has so many bytes and sleeps.
    fn wait_for(&self, bytes: usize) {
        until(self.name, || {
            fs::metadata(&self.out).is_ok_and(|meta| meta.len() == bytes as u64)
        });
        // From the write to the next read is not far.
        std::thread::sleep(Duration::from_millis(50));
    }

    /// Stops it; gives the bytes and the reads as the reader saw them.
    fn stop(mut self) -> (Vec<u8>, Vec<Call>) {
        signal(&self.child);
        // What it says fits into the pipe.
        until(self.name, || self.child.try_wait().unwrap().is_some());
        let mut said = String::new();
        let mut stdout = self.child.stdout.take().unwrap();
        stdout.read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.name);
        let seen = calls(&said);
        // The stand-in tells the same.
        assert_eq!(seen, self.standin.calls(self.name), "{}", self.name);
        (fs::read(&self.out).unwrap(), seen)
    }
}

/// A test that fails leaves no reader behind.
impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the readers of a FreeBSD 13.2 kernel's device noted, with Linux's
/// errno. The note `drain` at the end of a line goes.
fn genuine_reads(name: &str) -> Vec<Call> {
    let text = fs::read_to_string(testdata(&format!("reads/kernel-ids.{name}.txt"))).unwrap();
    let mut reads = calls(&text);
    for read in &mut reads {
        if read.errno == FREEBSD_EAGAIN {
            read.errno = EAGAIN;
        }
    }
    reads
}

#[test]
fn reads_are_those_of_the_genuine_device() {
    let stream = genuine("kernel-ids");
    let dir = tempfile::tempdir().unwrap();
    let standin = Standin::serve(&stream);
    let readers = [
        ("big", 4_194_304, "block"),
        ("small", 1000, "block"),
        ("poll", 65_536, "poll"),
    ];
    // All at once, as they were there.
    let running = readers.map(|(name, size, how)| {
        let reading = Reading::start(&standin, dir.path(), name, size, how);
        (name, reading)
    });
    for (name, reading) in running {
        reading.wait_for(stream.len());
        let (bytes, seen) = reading.stop();
        assert_same(name, &bytes, &stream);
        let wanted = genuine_reads(name);
        assert!(wanted.len() > 50);
        assert_eq!(seen.len(), wanted.len(), "{name}");
        for (seen, wanted) in seen.iter().zip(&wanted) {
            assert_eq!(seen, wanted, "{name}");
        }
    }
}

/// Ends of messages, and places inside them that a writer may have reached.
fn pieces<'a>(stream: &'a [u8], messages: &[Msg<'_>]) -> Vec<&'a [u8]> {
    let mut cuts = vec![0];
    for (number, message) in messages.iter().enumerate() {
        let len = message.bytes.len();
        // Inside the common header, the rest of the header, and a record.
        match number % 4 {
            0 => cuts.push(message.offset + 9),
            1 => cuts.push(message.offset + 100),
            2 => cuts.extend([message.offset, message.offset + len - 1]),
            _ => {}
        }
    }
    cuts.push(stream.len());
    cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect()
}

#[test]
fn readers_have_their_own_positions_and_see_whole_messages() {
    let stream = genuine("kernel15-switch");
    let messages = messages(&stream);
    let dir = tempfile::tempdir().unwrap();
    let standin = Standin::serve(b"");
    let early = [
        ("one", 1 << 20, "block"),
        ("two", 777, "block"),
        ("three", 4096, "poll"),
        ("four", 100_000, "restart"),
    ];
    let early = early.map(|(name, size, how)| {
        let reading = Reading::start(&standin, dir.path(), name, size, how);
        until(name, || reading.out.exists());
        reading
    });
    let mut given = 0;
    for piece in pieces(&stream, &messages) {
        standin.append(piece);
        given += piece.len();
        let ends = messages.iter().map(|m| m.offset + m.bytes.len());
        let whole = ends.filter(|end| *end <= given).max().unwrap_or(0) as u64;
        for reading in &early {
            until(reading.name, || standin.given(reading.name) >= whole);
            assert_eq!(standin.given(reading.name), whole, "{}", reading.name);
        }
    }
    let late = Reading::start(&standin, dir.path(), "late", 5000, "block");
    let [one, two, three, four] = early;
    for reading in [one, two, three, late] {
        reading.wait_for(stream.len());
        let name = reading.name;
        let (bytes, seen) = reading.stop();
        assert_same(name, &bytes, &stream);
        let failed: Vec<i32> = seen.iter().map(|c| c.errno).filter(|e| *e != 0).collect();
        let interrupted = [EINTR, EAGAIN];
        assert_eq!(
            failed,
            interrupted[usize::from(name == "three")..],
            "{name}"
        );
    }
    // A handler with SA_RESTART does not end a waiting read: a message does.
    four.wait_for(stream.len());
    let before = standin.calls("four").len();
    signal(&four.child);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(standin.calls("four").len(), before);
    standin.append(messages[0].bytes);
    let (bytes, seen) = four.stop();
    assert_same("four", &bytes, &[&stream, messages[0].bytes].concat());
    assert!(
        seen.iter()
            .all(|call| call.errno == 0 || call.errno == EAGAIN)
    );
}

#[test]
fn the_only_reader_starts_with_an_empty_queue() {
    let stream = genuine("base-v6");
    let message = messages(&stream)[0].bytes;
    let dir = tempfile::tempdir().unwrap();
    let standin = Standin::serve(&stream).empty_queue();
    let reading = Reading::start(&standin, dir.path(), "sole", 65_536, "block");
    until("sole", || reading.out.exists());
    standin.append(message);
    reading.wait_for(message.len());
    assert_same("sole", &reading.stop().0, message);
}

#[test]
fn faults_come_as_told_and_lose_nothing() {
    let stream = genuine("kernel-ids");
    let dir = tempfile::tempdir().unwrap();
    let script = "0=EBUSY,1=4,3=short:9,every:3=EINTR,every:5=EAGAIN,every:7=EBUSY,every:2=short";
    let standin = Standin::serve(&stream).faults(script);
    let reading = Reading::start(&standin, dir.path(), "faults", 65_536, "block");
    reading.wait_for(stream.len());
    let (bytes, seen) = reading.stop();
    assert_same("faults", &bytes, &stream);
    // The same rules once more, with the lengths of the messages.
    let mut left: Vec<usize> = messages(&stream).iter().map(|m| m.bytes.len()).collect();
    left.reverse();
    for call in seen {
        let number = call.number + 1;
        let failed = match call.number {
            0 => EBUSY,
            1 => EINTR,
            _ if number % 3 == 0 => EINTR,
            _ if number % 5 == 0 => EAGAIN,
            _ if number % 7 == 0 => EBUSY,
            _ => 0,
        };
        if left.is_empty() {
            continue;
        }
        if failed != 0 {
            assert_eq!((call.returned, call.errno), (-1, failed), "{call:?}");
            continue;
        }
        let most = match call.number {
            3 => 9,
            _ if number % 2 == 0 => 32_768,
            _ => 65_536,
        };
        let rest = left.pop().unwrap();
        let wanted = rest.min(most);
        assert_eq!((call.returned, call.errno), (wanted as i64, 0), "{call:?}");
        if wanted < rest {
            left.push(rest - wanted);
        }
    }
    assert!(left.is_empty());
}

/// What the reader answers to questions about a device.
fn asked(standin: &Standin, questions: &[(&str, &str)]) {
    let ran = standin
        .command("asked", reader())
        .arg("ask")
        .arg(standin.device())
        .args(questions.iter().map(|(question, _)| question))
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let wanted: Vec<String> = questions.iter().map(|(q, a)| format!("{q} {a}")).collect();
    let errors = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(said.lines().collect::<Vec<_>>(), wanted, "{errors}");
    assert!(ran.status.success());
}

#[test]
fn it_looks_like_the_device() {
    let stream = genuine("kernel-ids");
    let first = messages(&stream)[0].bytes.len();
    let standin = Standin::serve(&stream);
    asked(
        &standin,
        &[
            ("open", "0"),
            ("open-nonblock", "0"),
            ("open-write", &ENODEV.to_string()),
            ("open-append", &ENODEV.to_string()),
            ("open-truncate", &ENODEV.to_string()),
            ("stat", "true 400 0"),
            ("fstat", "true 400 0"),
            ("write", &format!("-1 {ENODEV}")),
            ("zero", "0"),
            ("zero-empty", &format!("-1 {EAGAIN} at once")),
            ("fault", &format!("-1 14 {first}")),
            ("dup", &format!("100 {}", first - 100)),
            ("set-nonblock", &format!("-1 {EAGAIN} at once (0, 0)")),
            ("poll-ready", "(1, 1) at once"),
            ("poll-output", "(1, 4) at once"),
            ("poll-empty", "(0, 0) late"),
            ("poll-pipe", "1 0 1 late"),
            ("poll-both", "2 1 1"),
        ],
    );
    assert_same("spool", &fs::read(standin.device()).unwrap(), &stream);
}

#[test]
fn opening_can_fail_and_the_clock_can_step() {
    let stream = genuine("kernel-ids");
    let standin = Standin::serve(&stream).faults("open=EACCES");
    asked(&standin, &[("open", "13")]);
    let standin = Standin::serve(&stream).clock_step(-7000, 2);
    asked(&standin, &[("clock", "[0, -7, 0, 0]")]);
    let standin = Standin::serve(&stream).clock_step(7000, 4);
    asked(&standin, &[("clock", "[0, 0, 0, 7]")]);
}

fn tcplog(standin: &Standin, args: &[&str]) -> Command {
    let mut command = standin.command("tcplog", env!("CARGO_BIN_EXE_tcplog"));
    command.args(args);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Lets `tcplog` have all of the device, and ends it.
fn run_and_stop(standin: &Standin, mut command: Command, output: &Path, bytes: usize) -> Vec<u8> {
    let mut child = command.spawn().unwrap();
    until("tcplog", || standin.given("tcplog") == bytes as u64);
    // It is at work as long as its file grows.
    std::thread::sleep(Duration::from_millis(100));
    signal(&child);
    until("tcplog's end", || child.try_wait().unwrap().is_some());
    let ran = child.wait_with_output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!((ran.status.code(), said.as_str()), (Some(0), ""));
    fs::read(output).unwrap()
}

#[test]
fn tcplog_gets_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let faults = "every:3=EINTR,every:4=short:1000,every:5=EAGAIN,every:7=EBUSY";
    for (stream, faults) in [
        ("kernel-ids", ""),
        ("kernel-ids", faults),
        ("multi", faults),
    ] {
        let stream = genuine(stream);
        let (ran, plain) = convert(&stream, &DUMPTIME);
        ran.fine();
        for command in ["convert", "filter"] {
            let standin = Standin::serve(&stream).faults(faults);
            let output = dir.path().join("out");
            let (device, out) = (standin.device(), output.to_str().unwrap());
            let mut run = tcplog(&standin, &[command, device.to_str().unwrap(), "-o", out]);
            if command == "convert" {
                run.args(DUMPTIME);
            }
            let got = run_and_stop(&standin, run, &output, stream.len());
            let wanted = if command == "convert" {
                &plain
            } else {
                &stream
            };
            assert_same(&format!("{command} {faults}"), &got, wanted);
            // What was to go wrong did.
            let went_wrong = |errno| standin.calls("tcplog").iter().any(|c| c.errno == errno);
            for errno in [EINTR, EBUSY] {
                assert_eq!(went_wrong(errno), !faults.is_empty());
            }
        }
    }
}

#[test]
fn tcplog_reads_the_device_as_standard_input() {
    let stream = genuine("kernel-switch");
    let dir = tempfile::tempdir().unwrap();
    let standin = Standin::serve(&stream);
    let output = dir.path().join("out");
    let mut command = tcplog(&standin, &["filter", "-", "-o", output.to_str().unwrap()]);
    command.stdin(File::open(standin.device()).unwrap());
    let got = run_and_stop(&standin, command, &output, stream.len());
    assert_same("filter", &got, &stream);
}

#[test]
fn tcplog_shows_a_message_while_the_device_stays_open() {
    let stream = genuine("multi");
    let all = messages(&stream);
    let some: Vec<&Msg<'_>> = all.iter().filter(|m| !m.records().is_empty()).collect();
    let dir = tempfile::tempdir().unwrap();
    let standin = Standin::serve(b"");
    let shown = dir.path().join("shown");
    let device = standin.device();
    let args = ["show", device.to_str().unwrap(), "--format", "json"];
    let mut command = tcplog(&standin, &args);
    let mut child = command
        .stdout(File::create(&shown).unwrap())
        .spawn()
        .unwrap();
    let mut records = 0;
    for message in &some[..4] {
        standin.append(message.bytes);
        records += message.records().len();
        until("show", || {
            let shown = fs::read(&shown).unwrap();
            shown.iter().filter(|b| **b == b'\n').count() >= records
        });
    }
    signal(&child);
    until("tcplog's end", || child.try_wait().unwrap().is_some());
    let ran = child.wait_with_output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!((ran.status.code(), said.as_str()), (Some(0), ""));
    // As from a file of the same messages.
    let given: Vec<u8> = some[..4].iter().flat_map(|m| m.bytes).copied().collect();
    let file = put(dir.path(), "tcp_log", &given);
    let plain = support::tcplog(["show", file.to_str().unwrap(), "--format", "json"]).fine();
    let live = fs::read_to_string(&shown).unwrap();
    let plain = String::from_utf8(plain.stdout).unwrap();
    let plain = plain.replace(file.to_str().unwrap(), device.to_str().unwrap());
    assert_same("show", live.as_bytes(), plain.as_bytes());
}
