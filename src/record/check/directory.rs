//! Readiness of the directory: can recordings be written there, by whom, how
//! many, and does nobody else do so?

use super::Finding;
use crate::record::directory::LOCK;
use crate::record::privileges::{DirectoryError, Identity, check_directory};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{AccessFlags, access};
use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

const SUBJECT: &str = "directory";

/// Less free space than this, bytes, is soon full.
const LITTLE: u64 = 1 << 30;

pub(super) fn check(path: &Path, writer: &Identity) -> Vec<Finding> {
    let name = path.display();
    let opened = File::open(path).and_then(|dir| Ok((dir.metadata()?, dir)));
    let (meta, dir) = match opened {
        Ok(opened) => opened,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return vec![missing(path, writer)],
        Err(e) => {
            let advice = "run this as root, who may look everywhere";
            return vec![Finding::problem(SUBJECT, format!("{name}: {e}"), advice)];
        }
    };
    let owned = owned(path, &meta, writer);
    if !meta.is_dir() {
        return vec![owned];
    }
    let mut found = vec![owned];
    found.extend(space(path, &dir));
    found.push(lock(path, &dir));
    found
}

/// Recording makes a directory, but not the one above: a wrong path must not
/// become a tree.
fn missing(path: &Path, writer: &Identity) -> Finding {
    let name = path.display();
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let make = format!("install -d -o {} -m 0750 {name}", writer.name);
    if !fs::metadata(parent).is_ok_and(|meta| meta.is_dir()) {
        let what = format!("{name} does not exist, nor does the directory it would be in");
        return Finding::problem(SUBJECT, what, make);
    }
    let what = format!("{name} does not exist yet; it will be made");
    match Identity::current().is_root() || access(parent, AccessFlags::W_OK).is_ok() {
        true => Finding::ok(SUBJECT, what),
        false => {
            let what = format!("{name} does not exist, and only root can make it");
            Finding::problem(SUBJECT, what, make)
        }
    }
}

/// Whose it is, and who may write to it.
fn owned(path: &Path, meta: &Metadata, writer: &Identity) -> Finding {
    const OWNER_WRITES: u32 = 0o300;
    let name = path.display();
    let mode = meta.permissions().mode() & 0o7777;
    let chown = format!("chown {} {name}", writer.name);
    match check_directory(meta, writer) {
        Err(e @ DirectoryError::NotADirectory) => {
            let advice = "give a directory with -D";
            Finding::problem(SUBJECT, format!("{name}: {e}"), advice)
        }
        Err(e @ DirectoryError::Owner { .. }) => {
            Finding::problem(SUBJECT, format!("{name}: {e}"), chown)
        }
        Err(e @ DirectoryError::Writable { .. }) => {
            let advice = format!("chmod go-w {name}");
            Finding::problem(SUBJECT, format!("{name}: {e}"), advice)
        }
        Ok(()) if meta.uid() != writer.uid && !writer.is_root() => {
            let what = format!("{name} belongs to root, so {writer} cannot write to it");
            Finding::problem(SUBJECT, what, chown)
        }
        Ok(()) if mode & OWNER_WRITES != OWNER_WRITES && !writer.is_root() => {
            let what = format!("{name} has mode {mode:04o}: its owner cannot write to it");
            Finding::problem(SUBJECT, what, format!("chmod u+wx {name}"))
        }
        Ok(()) => {
            let owner = meta.uid();
            let what = format!("{name} belongs to user {owner} and has mode {mode:04o}");
            Finding::ok(SUBJECT, what)
        }
    }
}

/// What the file system has left for whoever is not root.
fn space(path: &Path, dir: &File) -> Option<Finding> {
    const SPACE: &str = "space";
    let state = fstatvfs(dir).ok()?;
    if state.flags().contains(FsFlags::ST_RDONLY) {
        let what = format!("{} is on a file system that is read only", path.display());
        return Some(Finding::problem(SPACE, what, "give another one with -D"));
    }
    // The types of both differ between systems.
    #[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions)]
    let (blocks, size) = (
        u64::try_from(state.blocks_available()).unwrap_or(0),
        u64::try_from(state.fragment_size()).unwrap_or(0),
    );
    Some(room(blocks.saturating_mul(size)))
}

fn room(free: u64) -> Finding {
    const SPACE: &str = "space";
    let what = format!("{} MiB are free", free >> 20);
    match free {
        0 => Finding::problem(SPACE, "the file system is full", "make room"),
        1..LITTLE => Finding::warning(
            SPACE,
            what,
            "make room, or keep recordings small with --max-disk and --compress",
        ),
        _ => Finding::ok(SPACE, what),
    }
}

/// Whether another collector writes to it.
fn lock(path: &Path, dir: &File) -> Finding {
    const SUBJECT: &str = "lock";
    // Not followed, and not waited for: whoever owns the directory may have
    // put anything there.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = match openat(dir, LOCK, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(nix::Error::ENOENT) => return Finding::ok(SUBJECT, "no other collector writes there"),
        Err(e) => {
            let what = format!("{} cannot be opened: {e}", path.join(LOCK).display());
            return Finding::problem(SUBJECT, what, "run this as root, or remove the file");
        }
    };
    match file.try_lock_shared() {
        Ok(()) => Finding::ok(SUBJECT, "no other collector writes there"),
        Err(TryLockError::WouldBlock) => Finding::problem(
            SUBJECT,
            format!("another collector writes to {}", path.display()),
            "end it, or give another directory with -D; one collector reads all of the device",
        ),
        Err(TryLockError::Error(e)) => {
            let what = format!("{} cannot be locked: {e}", path.join(LOCK).display());
            let advice = "give a directory on a local file system with -D";
            Finding::problem(SUBJECT, what, advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{self, Ok as Fine, Problem, Warning};
    use super::*;
    use std::fs::Permissions;

    fn found(path: &Path, writer: &Identity) -> Vec<(&'static str, Verdict, String)> {
        (check(path, writer).into_iter())
            .filter(|finding| finding.subject != "space")
            .map(|finding| (finding.subject, finding.verdict, finding.what))
            .collect()
    }

    #[test]
    fn ownership() {
        let dir = tempfile::tempdir().unwrap();
        let me = Identity::current();
        let set = |mode| fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
        let verdict = |who: &Identity| found(dir.path(), who)[0].1;

        set(0o750);
        assert_eq!(verdict(&me), Fine);
        let other = Identity {
            uid: me.uid.wrapping_add(1),
            gid: me.gid,
            name: "other".to_owned(),
        };
        assert_eq!(verdict(&other), Problem);
        set(0o770);
        assert_eq!(verdict(&me), Problem);
        let file = dir.path().join("file");
        fs::write(&file, b"").unwrap();
        let findings = found(&file, &me);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].1, Problem);
    }

    #[test]
    fn what_does_not_exist() {
        let dir = tempfile::tempdir().unwrap();
        let me = Identity::current();
        assert_eq!(found(&dir.path().join("new"), &me)[0].1, Fine);
        assert_eq!(found(&dir.path().join("new/er"), &me)[0].1, Problem);
    }

    #[test]
    fn another_collector() {
        let dir = tempfile::tempdir().unwrap();
        let me = Identity::current();
        let verdict = || {
            let findings = found(dir.path(), &me);
            let lock = findings.iter().find(|finding| finding.0 == "lock");
            lock.map(|finding| finding.1)
        };
        assert_eq!(verdict(), Some(Fine));
        let file = File::create(dir.path().join(LOCK)).unwrap();
        assert_eq!(verdict(), Some(Fine), "left behind, but nobody holds it");
        file.try_lock().unwrap();
        assert_eq!(verdict(), Some(Problem));
        file.unlock().unwrap();
        assert_eq!(verdict(), Some(Fine));
        fs::remove_file(dir.path().join(LOCK)).unwrap();
        std::os::unix::fs::symlink("/dev/null", dir.path().join(LOCK)).unwrap();
        assert_eq!(verdict(), Some(Problem), "not followed");
    }

    #[test]
    fn free_space() {
        assert_eq!(room(0).verdict, Problem);
        assert_eq!(room(1).verdict, Warning);
        assert_eq!(room(LITTLE - 1).verdict, Warning);
        assert_eq!(room(LITTLE).verdict, Fine);
        assert_eq!(room(LITTLE).what, "1024 MiB are free");
    }
}
