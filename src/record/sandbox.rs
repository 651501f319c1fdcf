//! Capability mode: what the collector can still do when somebody has taken
//! it over.
//!
//! On FreeBSD this is capsicum(4). What is in the mode can open nothing by an
//! absolute path, read no account, no time zone and no sysctl(3) but harmless
//! ones, and start no program; whatever is needed must be open or known
//! before. Descriptors that are opened relative to a directory inherit what
//! the directory may do.

use std::io;
use std::os::fd::BorrowedFd;

/// What may be done with a descriptor from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// `/dev/tcp_log`: read, poll, fstat.
    Device,
    /// Where recordings go: files are made, read, written, appended to, cut,
    /// locked, synced, renamed, linked, removed and listed in it.
    Directory,
    /// Where a log file lies that is opened anew: files are made in it and
    /// appended to.
    LogDirectory,
    /// A file that grows: the index, a log.
    Append,
    /// Standard output and error: write.
    Stream,
    /// Standard input, whose terminal may be root's: nothing. What is read of
    /// it has a descriptor of its own.
    Nothing,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Entered,
    /// This system has no such mode; why, for a line to whoever runs this.
    Unavailable(String),
}

/// Why the mode that is there was not entered; the process must not go on.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("cannot limit a descriptor to the rights of {rights:?}: {cause}")]
    Limit { rights: Rights, cause: io::Error },
    #[error("cannot enter capability mode: {0}")]
    Enter(io::Error),
    #[error("the kernel says that capability mode is entered, and then that it is not")]
    NotEntered,
}

/// Limits each descriptor to its rights and enters capability mode, for good
/// and for all threads, those that run already among them.
///
/// Descriptors that are not named keep all their rights, so none should be
/// open that are not needed.
#[cfg(target_os = "freebsd")]
pub fn enter(rights: &[(BorrowedFd<'_>, Rights)]) -> Result<State, SandboxError> {
    use capsicum::CapRights;
    for (descriptor, rights) in rights {
        match file_rights(*rights).limit(descriptor) {
            Ok(()) => {}
            Err(cause) if is_missing(&cause) => return Ok(missing()),
            Err(cause) => {
                return Err(SandboxError::Limit {
                    rights: *rights,
                    cause,
                });
            }
        }
    }
    match capsicum::enter() {
        Ok(()) if capsicum::sandboxed() => Ok(State::Entered),
        Ok(()) => Err(SandboxError::NotEntered),
        Err(cause) if is_missing(&cause) => Ok(missing()),
        Err(cause) => Err(SandboxError::Enter(cause)),
    }
}

/// Says that there is no such mode here.
#[cfg(not(target_os = "freebsd"))]
pub fn enter(_rights: &[(BorrowedFd<'_>, Rights)]) -> Result<State, SandboxError> {
    Ok(State::Unavailable(
        "this system has no capability mode".to_owned(),
    ))
}

/// True for what a kernel without Capsicum answers.
#[cfg(target_os = "freebsd")]
fn is_missing(cause: &io::Error) -> bool {
    cause.raw_os_error() == Some(nix::libc::ENOSYS)
}

#[cfg(target_os = "freebsd")]
fn missing() -> State {
    State::Unavailable("this kernel is built without Capsicum".to_owned())
}

/// The rights(4) for it. What a call needs stands there; besides, listing a
/// directory takes fstatfs(2) (fdopendir(3) asks whether it is a union).
#[cfg(target_os = "freebsd")]
fn file_rights(rights: Rights) -> capsicum::FileRights {
    use capsicum::Right;
    const DEVICE: &[Right] = &[Right::Read, Right::Event, Right::Fstat];
    const STREAM: &[Right] = &[Right::Write, Right::Fstat];
    const APPEND: &[Right] = &[
        Right::Read,
        Right::Write,
        Right::Seek,
        Right::Fstat,
        Right::Ftruncate,
        Right::Fsync,
    ];
    const LOG_DIRECTORY: &[Right] = &[Right::Lookup, Right::Create, Right::Fstatat];
    const DIRECTORY: &[Right] = &[
        Right::RenameatSource,
        Right::RenameatTarget,
        Right::LinkatSource,
        Right::LinkatTarget,
        Right::Unlinkat,
        Right::Fchmod,
        Right::Flock,
        Right::Fstatfs,
    ];
    let parts: &[&[Right]] = match rights {
        Rights::Device => &[DEVICE],
        Rights::Stream => &[STREAM],
        Rights::Nothing => &[],
        Rights::Append => &[APPEND],
        Rights::LogDirectory => &[LOG_DIRECTORY, APPEND],
        Rights::Directory => &[LOG_DIRECTORY, APPEND, DIRECTORY],
    };
    let mut all = capsicum::FileRights::new();
    for right in parts.iter().flat_map(|part| part.iter()) {
        all.allow(*right);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[cfg(not(target_os = "freebsd"))]
    #[test]
    fn says_where_there_is_none() {
        let stderr = io::stderr();
        let state = enter(&[(stderr.as_fd(), Rights::Stream)]).unwrap();
        let why = "this system has no capability mode".to_owned();
        assert_eq!(state, State::Unavailable(why));
    }

    /// In a process of its own, for there is no way back.
    #[cfg(target_os = "freebsd")]
    #[test]
    fn works_in_a_directory_and_nowhere_else() {
        use nix::fcntl::{AtFlags, OFlag, openat, renameat};
        use nix::sys::stat::{Mode, fstatat};
        use nix::unistd::{UnlinkatFlags, linkat, unlinkat};
        use std::fs::File;
        use std::io::{Read, Seek, Write};

        if std::env::var_os("TCPLOG_TEST_CHILD").is_none() {
            let output = std::process::Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "record::sandbox::tests::works_in_a_directory_and_nowhere_else",
                ])
                .env("TCPLOG_TEST_CHILD", "1")
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let dir = File::open(place.path()).unwrap();
        let stderr = io::stderr();
        let rights = [
            (dir.as_fd(), Rights::Directory),
            (stderr.as_fd(), Rights::Stream),
        ];
        assert_eq!(enter(&rights).unwrap(), State::Entered);
        File::open("/dev/null").unwrap_err();
        let mode = Mode::from_bits_truncate(0o600);
        let new = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_APPEND;
        let mut file = File::from(openat(&dir, "a.tmp", new, mode).unwrap());
        file.try_lock().unwrap();
        file.write_all(b"abc").unwrap();
        file.set_len(2).unwrap();
        file.sync_all().unwrap();
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "ab");
        nix::sys::stat::fchmod(&file, Mode::from_bits_truncate(0o440)).unwrap();
        renameat(&dir, "a.tmp", &dir, "a").unwrap();
        linkat(&dir, "a", &dir, "b", AtFlags::empty()).unwrap();
        assert_eq!(fstatat(&dir, "b", AtFlags::empty()).unwrap().st_size, 2);
        let names: Vec<_> = nix::dir::Dir::from_fd(dir.try_clone().unwrap().into())
            .unwrap()
            .iter()
            .map(|entry| entry.unwrap().file_name().to_owned())
            .collect();
        assert_eq!(names.len(), 4, "{names:?}");
        for name in ["a", "b"] {
            unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir).unwrap();
        }
        openat(&dir, "..", OFlag::O_RDONLY, Mode::empty()).unwrap_err();
        dir.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .unwrap();
        std::process::Command::new("/bin/ls").output().unwrap_err();
    }
}
