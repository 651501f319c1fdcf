//! What the tests of whole commands share: the stored data, a second reader
//! of streams and pcapng that knows nothing of the library, and the programs.

// Every test file is a crate of its own and uses its own part of this.
#![allow(dead_code)]

pub mod library;
pub mod memory;
pub mod standin;
pub mod stream;
pub mod wireshark;

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A file of testdata/.
pub fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name)
}

/// The content of a stored file that was compressed with zstd.
pub fn stored(name: &str) -> Vec<u8> {
    let path = testdata(name);
    let file = fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut decoder = zstd::stream::read::Decoder::new(file).unwrap();
    decoder.window_log_max(27).unwrap();
    let mut bytes = Vec::new();
    decoder.read_to_end(&mut bytes).unwrap();
    bytes
}

/// A genuine stream, as the device gave it.
pub fn genuine(name: &str) -> Vec<u8> {
    stored(&format!("streams/{name}.bin.zst"))
}

/// The names of all genuine streams.
pub fn genuine_names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(testdata("streams"))
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".bin.zst").map(str::to_owned)
        })
        .collect();
    names.sort();
    assert_eq!(names.len(), 21, "{names:?}");
    names
}

/// The arguments that name the stacks of the host on which a stream was read.
pub fn stack_names(stream: &str) -> [&'static str; 6] {
    if stream.starts_with("kernel") {
        [
            "--stack-name",
            "1=freebsd",
            "--stack-name",
            "2=rack",
            "--stack-name",
            "3=bbr",
        ]
    } else {
        [
            "--stack-name",
            "1=freebsd",
            "--stack-name",
            "2=bbr",
            "--stack-name",
            "3=rack",
        ]
    }
}

/// The stack that an id stands for on the host of a stream.
pub fn stack_name(stream: &str, id: u8) -> &'static str {
    let wanted = format!("{id}=");
    let names = stack_names(stream).into_iter();
    let mut named = names.filter_map(|pair| pair.strip_prefix(&wanted));
    named.next().expect("a stack without a name")
}

/// The release of the host of a stream, as `--release` calls it.
pub fn family(stream: &str) -> &'static str {
    match stream {
        _ if stream.starts_with("kernel15") => "15",
        _ if stream.starts_with("kernel") => "13",
        _ => "13.0",
    }
}

/// What is known of the genuine streams beyond themselves.
pub fn truth() -> serde_json::Value {
    let text = fs::read_to_string(testdata("streams/truth.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The files that tcplog_dumper wrote for a stream, sorted by name, and the
/// lines of its index, sorted.
pub fn expected(name: &str) -> (Vec<(String, Vec<u8>)>, Vec<String>) {
    let mut archive = tar::Archive::new(&*stored(&format!("expected/{name}.tar.zst")).leak());
    let (mut files, mut index) = (Vec::new(), Vec::new());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.header().entry_type().is_dir() {
            continue;
        }
        let path = entry.path().unwrap().into_owned();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if name == "records" {
            index = lines(&bytes);
        } else {
            files.push((name, bytes));
        }
    }
    assert!(!files.is_empty() && !index.is_empty(), "{name}");
    files.sort();
    (files, index)
}

/// Sorted lines.
pub fn lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The files of a directory, sorted by name.
pub fn files_in(dir: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            assert!(entry.file_type().unwrap().is_file(), "{:?}", entry.path());
            (entry.file_name(), fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Writes `bytes` to a file of a directory.
pub fn put(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ran {
    fn of(output: Output) -> Ran {
        Ran {
            status: output.status.code().expect("ended by a signal"),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).expect("standard error is not UTF-8"),
        }
    }

    /// Its lines on standard error.
    pub fn said(&self) -> Vec<&str> {
        self.stderr.lines().collect()
    }

    /// Fails unless it ended with `status`.
    #[track_caller]
    pub fn ended(self, status: i32) -> Ran {
        assert_eq!(self.status, status, "{}", self.stderr);
        self
    }

    /// Fails unless it ended well and said nothing.
    #[track_caller]
    pub fn fine(self) -> Ran {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""));
        self
    }
}

/// Runs `tcplog`.
pub fn tcplog<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    tcplog_with_input(args, None)
}

/// Runs `tcplog` with something on standard input.
pub fn tcplog_with_input<S: AsRef<OsStr>>(
    args: impl IntoIterator<Item = S>,
    input: Option<&[u8]>,
) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcplog"));
    command
        .args(args)
        .env_remove("SOURCE_DATE_EPOCH")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let Some(input) = input else {
        return Ran::of(command.output().unwrap());
    };
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // The program may have seen enough before the end.
        let _ = std::io::Write::write_all(&mut stdin, &input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran::of(output)
}

/// Converts bytes to one pcapng file; gives the run and the file, if any.
pub fn convert(bytes: &[u8], args: &[&str]) -> (Ran, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let input = put(dir.path(), "in", bytes);
    let output = dir.path().join("out");
    let ran = tcplog(
        [
            OsStr::new("convert"),
            input.as_os_str(),
            OsStr::new("-o"),
            output.as_os_str(),
        ]
        .into_iter()
        .chain(args.iter().map(OsStr::new)),
    );
    (ran, fs::read(output).unwrap_or_default())
}

/// Filters bytes; gives the run and the file, if any.
pub fn filter(bytes: &[u8], args: &[&str]) -> (Ran, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let input = put(dir.path(), "in", bytes);
    let output = dir.path().join("out");
    let ran = tcplog(
        [
            OsStr::new("filter"),
            input.as_os_str(),
            OsStr::new("-o"),
            output.as_os_str(),
        ]
        .into_iter()
        .chain(args.iter().map(OsStr::new)),
    );
    (ran, fs::read(output).unwrap_or_default())
}

/// Fails with the first difference, and not with megabytes of both.
#[track_caller]
pub fn assert_same(what: &str, got: &[u8], wanted: &[u8]) {
    if got == wanted {
        return;
    }
    let at = got.iter().zip(wanted).position(|(a, b)| a != b);
    let at = at.unwrap_or(got.len().min(wanted.len()));
    let shown = |bytes: &[u8]| bytes.iter().skip(at).take(16).copied().collect::<Vec<u8>>();
    panic!(
        "{what}: {} bytes instead of {}; first difference at {at}: {:02x?} instead of {:02x?}",
        got.len(),
        wanted.len(),
        shown(got),
        shown(wanted)
    );
}
