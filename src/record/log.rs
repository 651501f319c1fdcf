//! Where a collector says what happens: standard error, or a file that can be
//! rotated.

use super::privileges::Identity;
use crate::output::escape::Escaped;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::ffi::OsString;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The log.
pub struct Log {
    name: &'static str,
    /// `None`: standard error.
    file: Option<LogFile>,
}

struct LogFile {
    /// The directory it is in, so that it can be opened anew by name.
    directory: OwnedFd,
    name: OsString,
    open: Mutex<File>,
}

const MODE: Mode = Mode::from_bits_truncate(0o640);

/// Links are not followed: `owner` may write to the directory, and this may be
/// root still.
const FLAGS: OFlag = OFlag::O_WRONLY
    .union(OFlag::O_APPEND)
    .union(OFlag::O_CREAT)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

impl Log {
    /// Lines for standard error, behind the name of the program.
    pub fn standard_error(name: &'static str) -> Log {
        Log { name, file: None }
    }

    /// Lines for a file, which is appended to. If it is made here it becomes
    /// `owner`'s, who opens it anew later.
    pub fn file(name: &'static str, path: &Path, owner: &Identity) -> io::Result<Log> {
        let directory = match path.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        let directory = OwnedFd::from(File::open(directory)?);
        let file = path
            .file_name()
            .ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))?
            .to_owned();
        let open = match openat(&directory, file.as_os_str(), FLAGS | OFlag::O_EXCL, MODE) {
            // Only what is made here is given away: what is there may be a
            // second name of somebody's file.
            Ok(made) => {
                let made = File::from(made);
                if made.metadata()?.uid() != owner.uid {
                    std::os::unix::fs::fchown(&made, Some(owner.uid), Some(owner.gid))?;
                }
                made
            }
            Err(Errno::EEXIST) => opened(&directory, &file)?,
            Err(cause) => return Err(cause.into()),
        };
        Ok(Log {
            name,
            file: Some(LogFile {
                directory,
                name: file,
                open: Mutex::new(open),
            }),
        })
    }

    /// Says one line. What cannot be written is lost: there is nobody to tell.
    pub fn say(&self, line: impl Display) {
        let line = Escaped(line.to_string().as_bytes()).to_string();
        match &self.file {
            None => {
                let text = format!("{}: {line}\n", self.name);
                let _ = io::stderr().write_all(text.as_bytes());
            }
            Some(file) => {
                let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
                let text = format!("{now} {}[{}]: {line}\n", self.name, std::process::id());
                let _ = file.lock().write_all(text.as_bytes());
            }
        }
    }

    /// Opens the file anew: it was rotated away.
    pub fn reopen(&self) -> io::Result<()> {
        if let Some(file) = &self.file {
            *file.lock() = opened(&file.directory, &file.name)?;
        }
        Ok(())
    }

    /// The descriptor of the directory that holds the file, and its own.
    pub fn descriptors(&self) -> Option<(BorrowedFd<'_>, OwnedFd)> {
        let file = self.file.as_ref()?;
        let open = file.lock().try_clone().ok()?;
        Some((file.directory.as_fd(), open.into()))
    }
}

impl LogFile {
    fn lock(&self) -> MutexGuard<'_, File> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn opened(directory: &OwnedFd, name: &OsString) -> io::Result<File> {
    let file = openat(directory, name.as_os_str(), FLAGS, MODE)?;
    Ok(File::from(file))
}
