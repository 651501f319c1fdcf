//! Inputs that grow, and readers that go away.

mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use support::stream::{SECTION, blocks, messages, u32_at};
use support::{assert_same, genuine, put};

const LONG: Duration = Duration::from_secs(30);

fn tcplog<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcplog"));
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Messages of different connections, with records.
fn some() -> Vec<Vec<u8>> {
    let stream = genuine("multi");
    let mut all: Vec<Vec<u8>> = messages(&stream)
        .iter()
        .filter(|m| !m.records().is_empty())
        .map(|m| m.bytes.to_vec())
        .collect();
    all.truncate(5);
    assert_eq!(all.len(), 5);
    all
}

fn ended(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    while start.elapsed() < LONG {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    panic!("does not end");
}

fn errors(child: &mut Child) -> String {
    let mut text = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut text).unwrap();
    text
}

/// What comes out, as it comes.
struct Out {
    parts: Receiver<Vec<u8>>,
    got: Vec<u8>,
}

impl Out {
    fn of(mut from: impl Read + Send + 'static) -> Out {
        let (give, parts) = channel();
        std::thread::spawn(move || {
            let mut room = vec![0; 65_536];
            while let Ok(len @ 1..) = from.read(&mut room) {
                if give.send(room[..len].to_vec()).is_err() {
                    break;
                }
            }
        });
        Out {
            parts,
            got: Vec::new(),
        }
    }

    /// Waits until what came out satisfies `enough`.
    #[track_caller]
    fn wait(&mut self, what: &str, enough: impl Fn(&[u8]) -> bool) {
        let start = Instant::now();
        while !enough(&self.got) {
            assert!(start.elapsed() < LONG, "{what}: nothing comes");
            match self.parts.recv_timeout(Duration::from_millis(100)) {
                Ok(part) => self.got.extend(part),
                Err(RecvTimeoutError::Timeout) => {}
                Err(e) => panic!("{what}: {e} after {} bytes", self.got.len()),
            }
        }
    }

    fn rest(mut self) -> Vec<u8> {
        while let Ok(part) = self.parts.recv_timeout(LONG) {
            self.got.extend(part);
        }
        self.got
    }
}

/// Whole blocks of records in what may end inside a block.
fn records_in(mut file: &[u8]) -> usize {
    let mut records = 0;
    while file.len() >= 12 && file.len() >= u32_at(file, 4) as usize {
        let (block, behind) = file.split_at(u32_at(file, 4) as usize);
        records += usize::from(blocks(block)[0].is_record());
        file = behind;
    }
    records
}

fn count(message: &[u8]) -> usize {
    messages(message)[0].records().len()
}

/// Gives messages one by one, each when the one before has come out.
fn one_by_one(args: &[&str], come: impl Fn(&[u8], &[Vec<u8>]) -> bool) -> (Vec<u8>, String) {
    let mut child = tcplog(args).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut out = Out::of(child.stdout.take().unwrap());
    let all = some();
    for number in 0..all.len() {
        stdin.write_all(&all[number]).unwrap();
        let given = &all[..=number];
        out.wait(&format!("{args:?}: message {number}"), |got| {
            come(got, given)
        });
    }
    drop(stdin);
    let got = out.rest();
    let status = ended(&mut child);
    let said = errors(&mut child);
    assert_eq!(status.code(), Some(0), "{said}");
    (got, said)
}

#[test]
fn filter_gives_each_message_as_it_comes() {
    for select in [&[][..], &["--sn", "0..4294967295"]] {
        let args = [&["filter", "-", "-o", "-"][..], select].concat();
        let (got, said) = one_by_one(&args, |got, given| got.len() >= given.concat().len());
        assert_eq!(said, "");
        assert_same("filter", &got, &some().concat());
    }
}

#[test]
fn convert_gives_each_message_as_it_comes() {
    let (got, said) = one_by_one(&["convert", "-", "-o", "-"], |got, given| {
        records_in(got) == given.iter().map(|m| count(m)).sum::<usize>()
    });
    assert_eq!(said, "");
    blocks(&got);
}

#[test]
fn show_gives_each_message_as_it_comes() {
    for form in ["json", "text"] {
        let wanted = |given: &[Vec<u8>]| given.iter().map(|m| count(m)).sum::<usize>();
        let (_, said) = one_by_one(&["show", "-", "--format", form], |got, given| {
            got.iter().filter(|b| **b == b'\n').count() >= wanted(given)
        });
        assert_eq!(said, "");
    }
}

fn fifo(path: &Path) {
    let status = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_signal_ends_a_live_input_well() {
    for signal in ["TERM", "INT"] {
        let dir = tempfile::tempdir().unwrap();
        let (input, output) = (dir.path().join("fifo"), dir.path().join("out.pcapng"));
        fifo(&input);
        let mut child = tcplog([
            "convert".as_ref(),
            input.as_os_str(),
            "-o".as_ref(),
            output.as_os_str(),
        ])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
        // Opens once the program has opened its end, and stays open.
        let mut feed = File::options().write(true).open(&input).unwrap();
        let all = some();
        for message in &all {
            feed.write_all(message).unwrap();
        }
        let wanted: usize = all.iter().map(|m| count(m)).sum();
        let start = Instant::now();
        while records_in(&fs::read(&output).unwrap_or_default()) < wanted {
            assert!(start.elapsed() < LONG, "nothing is written");
            std::thread::sleep(Duration::from_millis(5));
        }
        let killed = Command::new("kill")
            .args([format!("-{signal}"), child.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
        let status = ended(&mut child);
        let said = errors(&mut child);
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{signal}");
        let file = fs::read(&output).unwrap();
        let found = blocks(&file);
        assert_eq!(found.iter().filter(|b| b.is_record()).count(), wanted);
        assert!(found.iter().filter(|b| b.kind == SECTION).count() >= all.len());
        drop(feed);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let input = put(dir.path(), "in", &genuine("rack-loss"));
    let input = input.to_str().unwrap();
    for args in [
        &["convert", input, "-o", "-"][..],
        &["convert", input, "-o", "/dev/stdout"],
        &["filter", input, "-o", "-"],
        &["show", input],
        &["show", input, "--format", "json"],
        &["show", input, "--format", "csv"],
    ] {
        let mut child = tcplog(args).stdin(Stdio::null()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 100]).unwrap();
        drop(stdout);
        let status = ended(&mut child);
        let said = errors(&mut child);
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn nobody_to_complain_to_is_no_reason_to_panic() {
    let dir = tempfile::tempdir().unwrap();
    let stream = genuine("multi");
    let cut = put(dir.path(), "cut", &stream[..stream.len() - 100]);
    let whole = put(dir.path(), "whole", &stream);
    let (cut, whole) = (cut.to_str().unwrap(), whole.to_str().unwrap());
    for (args, status) in [
        (&["filter", cut, "-o", "/dev/null"][..], 1),
        (&["filter", cut, "-o", "/dev/null", "--progress=always"], 1),
        (&["filter", whole, "-o", "/dev/null", "--id", "none"], 1),
        (&["show", "/nonexistent"], 2),
        (&["filter", whole, "-o", "/nonexistent/out"], 2),
        (&["nonsense"], 2),
    ] {
        let mut child = tcplog(args);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = child.stdin(Stdio::null()).stderr(writer).spawn().unwrap();
        assert_eq!(ended(&mut child).code(), Some(status), "{args:?}");
    }
}

#[test]
fn complaints_carry_the_name_of_the_program() {
    for (program, name) in [
        (env!("CARGO_BIN_EXE_tcplog"), "tcplog: "),
        (env!("CARGO_BIN_EXE_tcplog2pcapng"), "tcplog2pcapng: "),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let stream = genuine("multi");
        let cut = put(dir.path(), "cut", &stream[..stream.len() - 100]);
        let cut = cut.to_str().unwrap();
        for args in [
            &["filter", cut, "-o", "/dev/null"][..],
            &["filter", cut, "-o", "/dev/null", "--id", "none"],
            &["show", "/nonexistent"],
            &["filter", cut, "-o", "/nonexistent/out"],
        ] {
            let ran = Command::new(program).args(args).output().unwrap();
            let said = String::from_utf8(ran.stderr).unwrap();
            assert!(!said.is_empty());
            assert!(said.lines().all(|l| l.starts_with(name)), "{said}");
        }
    }
}

#[test]
fn a_file_that_grows_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let all = some();
    let path = put(dir.path(), "growing", &all[0]);
    let args = ["show", "-f", path.to_str().unwrap(), "--format", "json"];
    let mut child = tcplog(args).spawn().unwrap();
    let mut out = Out::of(child.stdout.take().unwrap());
    let lines = |got: &[u8]| got.iter().filter(|byte| **byte == b'\n').count();
    let mut records = count(&all[0]);
    out.wait("the first message", |got| lines(got) == records);
    for message in &all[1..] {
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(message).unwrap();
        records += count(message);
        out.wait("a message", |got| lines(got) == records);
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    assert_eq!(ended(&mut child).code(), Some(0), "{}", errors(&mut child));
}
