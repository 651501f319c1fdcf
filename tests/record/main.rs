//! `tcplog record`, the collector, as a whole program: fed through pipes,
//! files and the stand-in for the device, and judged by what is in its
//! directory afterwards.

#[path = "../support/mod.rs"]
mod support;

mod complete;
mod device;
mod directory;
mod hostile;
mod kill;
mod left;
mod recorded;
mod select;
mod trouble;

use nix::unistd::{User, geteuid};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};
use support::stream::{Msg, messages};

const LONG: Duration = Duration::from_secs(60);

/// Waits for what must come.
#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LONG, "{what}: nothing comes");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Who the collector goes on as, if root started it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum As {
    /// Whoever runs the tests.
    Tester,
    /// `nobody`, so that modes of files mean something.
    Nobody,
}

/// A directory to record into, inside one of its own.
struct Place {
    temp: tempfile::TempDir,
    user: As,
}

impl Place {
    fn new(user: As) -> Place {
        let temp = tempfile::tempdir().unwrap();
        let place = Place { temp, user };
        fs::create_dir(place.dir()).unwrap();
        place.give_away(&place.dir());
        place
    }

    fn dir(&self) -> PathBuf {
        self.temp.path().join("recordings")
    }

    /// A path beside the directory.
    fn beside(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// Makes a file or directory the collector's own.
    fn give_away(&self, path: &Path) {
        if self.user == As::Nobody && geteuid().is_root() {
            let nobody = User::from_name("nobody").unwrap().unwrap();
            chown(path, Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw())).unwrap();
        }
    }

    fn set_mode(&self, mode: u32) {
        fs::set_permissions(self.dir(), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What a collector of this place is called with.
    fn args<'a>(&self, source: &'a OsStr, args: &[&'a str]) -> Vec<std::ffi::OsString> {
        let mut all: Vec<std::ffi::OsString> = ["record", "-f"].map(Into::into).to_vec();
        all.push(source.into());
        all.extend(["-D".into(), self.dir().into_os_string()]);
        if self.user == As::Tester && geteuid().is_root() {
            all.extend(["-u", "root"].map(Into::into));
        }
        all.extend(args.iter().map(Into::into));
        all
    }

    /// Records all of `stream`; gives what was said.
    #[track_caller]
    fn record(&self, stream: &[u8], args: &[&str], status: i32) -> Said {
        let source = self.beside("stream");
        fs::write(&source, stream).unwrap();
        let ran = support::tcplog(self.args(source.as_os_str(), args));
        Said(ran.ended(status).stderr)
    }

    /// A collector that reads a pipe.
    fn piped(&self, args: &[&str]) -> Collector {
        let command = Command::new(env!("CARGO_BIN_EXE_tcplog"));
        self.spawned(command, OsStr::new("-"), args)
    }

    /// A collector started by `command`, which may be a program that starts
    /// it in the end.
    fn spawned(&self, mut command: Command, source: &OsStr, args: &[&str]) -> Collector {
        let said = self.beside(&format!("said.{}", self.count()));
        let mut child = command
            .args(self.args(source, args))
            .env_remove("SOURCE_DATE_EPOCH")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&said).unwrap())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        Collector { child, stdin, said }
    }

    /// Waits until a collector is at work here: no signal ends it any more
    /// that is not to.
    #[track_caller]
    fn is_taken(&self) {
        until("a collector", || self.dir().join(".lock").exists());
    }

    fn count(&self) -> usize {
        fs::read_dir(self.temp.path()).unwrap().count()
    }
}

/// A running collector.
struct Collector {
    child: Child,
    stdin: Option<ChildStdin>,
    said: PathBuf,
}

impl Collector {
    #[track_caller]
    fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
    }

    /// Gives it more to read.
    #[track_caller]
    fn feed(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("a pipe");
        stdin.write_all(bytes).unwrap();
    }

    fn said(&self) -> Said {
        Said(fs::read_to_string(&self.said).unwrap())
    }

    /// Waits until it says this.
    #[track_caller]
    fn says(&self, what: &str) {
        let start = Instant::now();
        while !self.said().0.contains(what) {
            assert!(start.elapsed() < LONG, "{what}: not in {}", self.said().0);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks for a status line and waits for it.
    #[track_caller]
    fn status(&self) -> HashMap<String, u64> {
        let lines = |said: &Said| said.0.matches("status: ").count();
        let before = lines(&self.said());
        self.signal("USR1");
        until("a status line", || {
            let said = self.said();
            lines(&said) > before && said.0.ends_with('\n')
        });
        self.said().status()
    }

    /// Ends its pipe and waits.
    #[track_caller]
    fn end(mut self, status: i32) -> Said {
        drop(self.stdin.take());
        self.wait(status)
    }

    #[track_caller]
    fn stop(self, status: i32) -> Said {
        self.signal("TERM");
        self.wait(status)
    }

    #[track_caller]
    fn wait(mut self, status: i32) -> Said {
        until("the end", || self.child.try_wait().unwrap().is_some());
        let ended = self.child.wait().unwrap();
        assert_eq!(ended.code(), Some(status), "{}", self.said().0);
        self.said()
    }
}

/// A test that fails leaves no collector behind.
impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a collector said.
struct Said(String);

impl Said {
    /// The numbers of the last status line.
    #[track_caller]
    fn status(&self) -> HashMap<String, u64> {
        let line = self.0.lines().rfind(|line| line.contains("status: "));
        let line = line.unwrap_or_else(|| panic!("no status in {}", self.0));
        let (_, numbers) = line.split_once("status: ").unwrap();
        numbers
            .split(' ')
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(key, value)| (key.to_owned(), value.parse().unwrap()))
            .collect()
    }

    /// Lines that hold this.
    fn count(&self, what: &str) -> usize {
        self.0.lines().filter(|line| line.contains(what)).count()
    }

    /// Each record was written, unwanted or dropped.
    #[track_caller]
    fn adds_up(&self) -> HashMap<String, u64> {
        let status = self.status();
        let sum = status["written"] + status["unwanted"] + status["dropped_records"];
        assert_eq!(sum, status["records"], "{}", self.0);
        status
    }
}

/// A message of a genuine stream, to be changed.
struct Patched(Vec<u8>);

impl Patched {
    /// `message` with at most so many records.
    fn of(message: Msg<'_>, records: usize) -> Patched {
        Patched(message.with_records(message.records().into_iter().take(records)))
    }

    fn text(mut self, at: usize, size: usize, text: &[u8]) -> Patched {
        self.0[at..at + size].fill(0);
        self.0[at..at + text.len()].copy_from_slice(text);
        self
    }

    fn id(self, id: &[u8]) -> Patched {
        self.text(72, 64, id)
    }

    fn reason(self, reason: &[u8]) -> Patched {
        self.text(136, 32, reason)
    }

    fn tag(self, tag: &[u8]) -> Patched {
        self.text(168, 32, tag)
    }

    fn foreign_port(mut self, port: u16) -> Patched {
        self.0[16..18].copy_from_slice(&port.to_be_bytes());
        self
    }

    /// The last four bytes of the local address.
    fn local(mut self, local: [u8; 4]) -> Patched {
        self.0[36..40].copy_from_slice(&[0; 4]);
        self.0[48..52].copy_from_slice(&local);
        self
    }
}

/// A message of `stream` over IPv4 with more than so many records.
fn with_more_than<'a>(stream: &'a [u8], records: usize) -> Msg<'a> {
    let mut all = messages(stream).into_iter();
    let found = all.find(|message| !message.is_ipv6() && message.records().len() > records);
    found.expect("such a message")
}
