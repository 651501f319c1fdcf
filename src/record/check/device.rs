//! Readiness of the device: is it there, who may read it, can it be opened?

use super::{Finding, Verdict};
use nix::errno::Errno;
use std::fs::{self, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

const SUBJECT: &str = "device";
const TO_ROOT: &str = "start it as root, who alone may open the device; it gives that up \
                       once the device is open (-u)";

/// `black_box`: the kernel has one, whether or not its device is in sight.
pub(super) fn check(path: &Path, black_box: bool) -> Vec<Finding> {
    let name = path.display();
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let what = format!("{name} does not exist");
            return vec![Finding::problem(SUBJECT, what, where_it_is(black_box))];
        }
        Err(e) => {
            let what = format!("{name}: {e}");
            return vec![Finding::problem(SUBJECT, what, "give the device with -f")];
        }
    };
    let mut found = vec![kind(path, &meta)];
    found.extend(readers(path, &meta));
    // A directory can be opened, but that says nothing.
    if found.iter().all(|one| one.verdict != Verdict::Problem) {
        found.extend(open(path));
    }
    found
}

/// True for what is there and is no device: its records are of another kernel.
pub(super) fn stands_in(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| !meta.file_type().is_char_device())
}

fn where_it_is(black_box: bool) -> &'static str {
    if !cfg!(target_os = "freebsd") {
        "give a stream that a FreeBSD host writes, a file or FIFO, with -f"
    } else if black_box {
        "the kernel has a black box but the device is hidden here: in a jail, unhide \
         tcp_log with a rule of devfs.rules(5)"
    } else {
        "boot a kernel with options TCP_BLACKBOX; GENERIC of the 64-bit platforms has it"
    }
}

fn kind(path: &Path, meta: &Metadata) -> Finding {
    let name = path.display();
    let kind = meta.file_type();
    if kind.is_char_device() {
        Finding::ok(SUBJECT, format!("{name} is a character device"))
    } else if kind.is_fifo() {
        let what = format!("{name} is a FIFO: recording goes on while somebody writes to it");
        Finding::ok(SUBJECT, what)
    } else if kind.is_file() {
        let what = format!("{name} is a file: recording ends where it ends");
        Finding::ok(SUBJECT, what)
    } else {
        let what = format!("{name} is no device, file or FIFO");
        Finding::problem(SUBJECT, what, "give /dev/tcp_log with -f")
    }
}

/// The kernel makes the device readable for root alone (mode 0400): it shows
/// the addresses and the behaviour of all connections.
fn readers(path: &Path, meta: &Metadata) -> Option<Finding> {
    const OTHERS_READ: u32 = 0o004;
    if !meta.file_type().is_char_device() {
        return None;
    }
    let mode = meta.permissions().mode() & 0o7777;
    let advice = "the kernel makes it 0400 for root; look into devfs.conf(5) and devfs.rules(5)";
    let name = path.display();
    if meta.uid() != 0 {
        let what = format!("{name} belongs to user {}, not to root", meta.uid());
        return Some(Finding::warning(SUBJECT, what, advice));
    }
    (mode & OTHERS_READ != 0).then(|| {
        let what = format!("{name} has mode {mode:04o}: everybody may read it");
        Finding::warning(SUBJECT, what, advice)
    })
}

/// Opens it as recording does, and closes it. While it is open, the kernel
/// keeps messages for this reader too, which costs nothing for so short a time.
fn open(path: &Path) -> Option<Finding> {
    let opened = OpenOptions::new()
        .read(true)
        // A FIFO must not wait for its writer here.
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path);
    match opened {
        Ok(_) => None,
        Err(e) => {
            let (why, advice) = explain(&e);
            let what = format!("{} cannot be opened: {why}", path.display());
            Some(Finding::problem(SUBJECT, what, advice))
        }
    }
}

/// What an error of open(2) means here, and what to do.
fn explain(error: &io::Error) -> (String, &'static str) {
    let errno = error
        .raw_os_error()
        .map_or(Errno::UnknownErrno, Errno::from_raw);
    let (why, advice) = match errno {
        Errno::EACCES => ("permission denied", TO_ROOT),
        Errno::EPERM => (
            "not permitted",
            "in a jail, or under a MAC policy, root has less to say; record on the host",
        ),
        Errno::ENOENT => ("it does not exist", where_it_is(false)),
        Errno::EBUSY => (
            "it is busy",
            "try again; the kernel lets several programs read it at a time",
        ),
        Errno::ENXIO | Errno::ENODEV => (
            "no driver is behind it",
            "boot a kernel with options TCP_BLACKBOX",
        ),
        Errno::EMFILE | Errno::ENFILE => (
            "too many files are open",
            "raise the limits: ulimit -n, sysctl kern.maxfiles",
        ),
        _ => return (error.to_string(), "give the device with -f"),
    };
    (why.to_owned(), advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Ok as Fine, Problem, Warning};

    fn verdicts(path: &Path) -> (Vec<Verdict>, String) {
        let found = check(path, false);
        let all: Vec<_> = found.iter().map(|f| f.what.as_str()).collect();
        (found.iter().map(|f| f.verdict).collect(), all.join("; "))
    }

    #[test]
    fn kinds() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);

        let (found, text) = verdicts(&at("nothing"));
        assert_eq!(found, [Problem]);
        assert!(text.ends_with("nothing does not exist"), "{text}");

        fs::write(at("file"), b"").unwrap();
        assert_eq!(verdicts(&at("file")).0, [Fine]);
        assert!(stands_in(&at("file")) && !stands_in(&at("nothing")));
        assert!(!stands_in(Path::new("/dev/null")));

        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(verdicts(&at("fifo")).0, [Fine], "and does not wait");

        let (found, text) = verdicts(dir.path());
        assert_eq!(found, [Problem]);
        assert!(text.ends_with("is no device, file or FIFO"), "{text}");
    }

    #[test]
    fn a_device_that_everybody_may_read() {
        let (found, text) = verdicts(Path::new("/dev/null"));
        assert_eq!(found, [Fine, Warning], "{text}");
        assert!(text.ends_with("mode 0666: everybody may read it"), "{text}");
    }

    #[test]
    fn reasons() {
        let reason = |errno: Errno| explain(&io::Error::from_raw_os_error(errno as i32));
        assert_eq!(reason(Errno::EACCES).1, TO_ROOT);
        assert_eq!(reason(Errno::EBUSY).0, "it is busy");
        assert!(reason(Errno::ENXIO).1.contains("TCP_BLACKBOX"));
        let other = reason(Errno::EIO);
        assert_eq!(other.0, io::Error::from_raw_os_error(5).to_string());
    }
}
