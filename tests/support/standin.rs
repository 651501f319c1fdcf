//! `/dev/tcp_log` for a program under test: a spool file that a preloaded
//! library (tests/standin/device.rs) makes look and behave like the device.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A device, with all that its readers left in its directory.
///
/// Readers start at the first message, except with [`Standin::empty_queue`].
/// The device goes away with this value.
pub struct Standin {
    dir: tempfile::TempDir,
    faults: String,
    clock_step: Option<String>,
    from_end: bool,
}

/// One `read` as the stand-in answered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// From 0, in each process.
    pub number: u64,
    pub requested: usize,
    /// -1 if it failed.
    pub returned: i64,
    /// Linux's number, 0 if it did not fail.
    pub errno: i32,
}

impl Standin {
    /// A device that has `messages`, back to back, in its queue.
    pub fn serve(messages: &[u8]) -> Standin {
        let dir = tempfile::tempdir().unwrap();
        let standin = Standin {
            dir,
            faults: String::new(),
            clock_step: None,
            from_end: false,
        };
        fs::write(standin.device(), messages).unwrap();
        standin
    }

    /// A script of faults, as tests/standin/device.rs tells:
    /// `every:3=EINTR,every:7=short,12=EIO,open=EACCES`. The first that
    /// applies to a read is what happens.
    pub fn faults(mut self, script: &str) -> Standin {
        self.faults = script.to_owned();
        self
    }

    /// The time of day steps by `seconds` once so many reads gave data.
    pub fn clock_step(mut self, seconds: i64, reads: u64) -> Standin {
        self.clock_step = Some(format!("{seconds} after {reads} reads"));
        self
    }

    /// An open finds an empty queue, as that of the only reader does.
    pub fn empty_queue(mut self) -> Standin {
        self.from_end = true;
        self
    }

    /// The path to give to the program.
    pub fn device(&self) -> PathBuf {
        self.dir.path().join("tcp_log")
    }

    /// More for the queue. Readers see a message once it is whole.
    pub fn append(&self, messages: &[u8]) {
        let spool = File::options().append(true).open(self.device());
        spool.unwrap().write_all(messages).unwrap();
    }

    /// The environment that makes a program see the device. `name` tells its
    /// reads from those of other programs.
    pub fn env(&self, name: &str) -> Vec<(&'static str, OsString)> {
        let mut env = vec![
            ("LD_PRELOAD", library().as_os_str().to_owned()),
            ("TCPLOG_STANDIN_DEVICE", self.device().into_os_string()),
            ("TCPLOG_STANDIN_LOG", self.log(name).into_os_string()),
            ("TCPLOG_STANDIN_FAULTS", OsString::from(&self.faults)),
        ];
        if let Some(step) = &self.clock_step {
            env.push(("TCPLOG_STANDIN_CLOCK_STEP", OsString::from(step)));
        }
        if self.from_end {
            env.push(("TCPLOG_STANDIN_START", OsString::from("end")));
        }
        env
    }

    /// A program that sees the device.
    pub fn command(&self, name: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.envs(self.env(name));
        command
    }

    /// The reads of the program that was given `name`, so far.
    pub fn calls(&self, name: &str) -> Vec<Call> {
        let log = fs::read_to_string(self.log(name)).unwrap_or_default();
        // The last line may still be on its way.
        let whole = log.rfind('\n').map_or(0, |end| end + 1);
        calls(&log[..whole])
    }

    /// Bytes that the program got, so far.
    pub fn given(&self, name: &str) -> u64 {
        let calls = self.calls(name);
        calls.iter().map(|call| call.returned.max(0) as u64).sum()
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.reads"))
    }
}

/// Reads in the form of testdata/reads; lines with `#` are comments.
pub fn calls(text: &str) -> Vec<Call> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let call = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let mut number = || words.next().and_then(|word| word.parse::<i64>().ok());
        Some(Call {
            number: number()?.try_into().ok()?,
            requested: number()?.try_into().ok()?,
            returned: number()?,
            errno: number()?.try_into().ok()?,
        })
    };
    lines
        .map(|line| call(line).unwrap_or_else(|| panic!("no read: {line}")))
        .collect()
}

/// The library to preload.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| compiled("device.rs", "cdylib"))
}

/// A file of tests/standin that is a crate of its own, compiled.
pub fn compiled(name: &str, crate_type: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/standin")
        .join(name);
    let text = fs::read(&source).unwrap();
    let mut hash = DefaultHasher::new();
    text.hash(&mut hash);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(dir).unwrap();
    let ready = dir.join(format!("{name}-{:016x}", hash.finish()));
    if ready.exists() {
        return ready;
    }
    // Several test programs may do this at once: each renames its own.
    let own = tempfile::tempdir_in(dir).unwrap();
    let output = own.path().join("out");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let ran = Command::new(rustc)
        .args(["-O", "--edition", "2024", "--crate-type", crate_type, "-o"])
        .args([&output, &source])
        .output()
        .expect("rustc");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{name}: {said}");
    fs::rename(output, &ready).unwrap();
    ready
}
