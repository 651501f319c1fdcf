//! The directory that a collector writes into, by its open descriptor.
//!
//! Every name is looked up relative to that descriptor: so nobody can put
//! another directory in its place under way, and the collector goes on in
//! FreeBSD's capability mode, where there are no paths. The directory above is
//! held open too, to find the directory again after it was removed and made
//! anew.

use super::index::Index;
use super::privileges::{self, Identity};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, linkat, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The file that a collector holds by flock(2) for as long as it runs.
pub const LOCK: &str = ".lock";

/// Mode of a directory that is made here.
const DIRECTORY_MODE: Mode = Mode::from_bits_truncate(0o750);
/// Files are the writer's own until they are finished.
const PART_MODE: Mode = Mode::from_bits_truncate(0o600);

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("{path}: {cause}")]
    Open { path: String, cause: io::Error },
    #[error("{path}: {cause}")]
    Unsafe {
        path: String,
        cause: privileges::DirectoryError,
    },
    #[error("{path}: another collector writes into this directory")]
    Locked { path: String },
    #[error("{path}: {user} cannot write here: {cause}")]
    ReadOnly {
        path: String,
        user: String,
        cause: io::Error,
    },
}

/// A directory that is open, before privileges are dropped.
pub struct Prepared {
    path: PathBuf,
    parent: OwnedFd,
    name: OsString,
    fd: File,
}

const OPEN_DIRECTORY: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

impl Prepared {
    /// Opens `path`, which is made for `owner` if it is not there.
    pub fn open(path: &Path, owner: &Identity) -> Result<Prepared, DirectoryError> {
        let shown = path.display().to_string();
        let wrap = |cause| DirectoryError::Open {
            path: shown.clone(),
            cause,
        };
        let (above, name) = parted(path).map_err(wrap)?;
        let parent = open(&above, OPEN_DIRECTORY, Mode::empty()).map_err(|e| wrap(e.into()))?;
        let fd = match openat(&parent, name.as_os_str(), OPEN_DIRECTORY, Mode::empty()) {
            Err(Errno::ENOENT) => {
                mkdirat(&parent, name.as_os_str(), DIRECTORY_MODE).map_err(|e| wrap(e.into()))?;
                // Not a link that took its place: it is given away below.
                let flags = OPEN_DIRECTORY | OFlag::O_NOFOLLOW;
                let fd = openat(&parent, name.as_os_str(), flags, Mode::empty())
                    .map_err(|e| wrap(e.into()))?;
                let made = fstat(&fd).map_err(|e| wrap(e.into()))?;
                if made.st_uid != owner.uid {
                    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
                    fchown(&fd, Some(uid), Some(gid)).map_err(|e| wrap(e.into()))?;
                }
                fd
            }
            other => other.map_err(|e| wrap(e.into()))?,
        };
        let fd = File::from(fd);
        let meta = fd.metadata().map_err(wrap)?;
        privileges::check_directory(&meta, owner).map_err(|cause| DirectoryError::Unsafe {
            path: shown.clone(),
            cause,
        })?;
        Ok(Prepared {
            path: path.to_owned(),
            parent,
            name,
            fd,
        })
    }

    /// Locks the directory and opens its index, as the one who writes.
    pub fn lock(self, user: &Identity) -> Result<Home, DirectoryError> {
        let path = self.path.display().to_string();
        let directory = Directory::new(self.fd).map_err(|cause| match cause {
            Refused::Locked => DirectoryError::Locked { path: path.clone() },
            Refused::Failed(cause) => DirectoryError::ReadOnly {
                path: path.clone(),
                user: user.name.clone(),
                cause,
            },
        })?;
        Ok(Home {
            owner: user.clone(),
            parent: self.parent,
            name: self.name,
            current: RwLock::new(Arc::new(directory)),
        })
    }
}

/// The directory above, and the name below it.
fn parted(path: &Path) -> io::Result<(PathBuf, OsString)> {
    if let Ok(real) = path.canonicalize() {
        return Ok(match (real.parent(), real.file_name()) {
            (Some(above), Some(name)) => (above.to_owned(), name.to_owned()),
            // The root has nothing above it.
            _ => (real, OsString::from(".")),
        });
    }
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let above = match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    Ok((above.canonicalize()?, name.to_owned()))
}

/// Where the files go, also after the directory was replaced.
pub struct Home {
    owner: Identity,
    parent: OwnedFd,
    name: OsString,
    current: RwLock<Arc<Directory>>,
}

/// What became of the directory.
#[derive(Debug)]
pub enum Change {
    None,
    /// Another directory has the name now, and is used from here on.
    Replaced,
    /// The name leads nowhere that can be used.
    Gone(io::Error),
}

impl Home {
    pub fn directory(&self) -> Arc<Directory> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    pub fn parent(&self) -> BorrowedFd<'_> {
        self.parent.as_fd()
    }

    /// Looks whether the name still leads to the directory in use.
    pub fn look(&self) -> Change {
        let current = self.directory();
        let there = fstatat(&self.parent, self.name.as_os_str(), AtFlags::empty());
        match there {
            Ok(stat) if current.is(&stat) => Change::None,
            Ok(_) => match self.reopen() {
                Ok(directory) => {
                    let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                    *current = Arc::new(directory);
                    Change::Replaced
                }
                Err(cause) => Change::Gone(cause),
            },
            Err(cause) => Change::Gone(cause.into()),
        }
    }

    fn reopen(&self) -> io::Result<Directory> {
        let name = self.name.as_os_str();
        let fd = File::from(openat(&self.parent, name, OPEN_DIRECTORY, Mode::empty())?);
        privileges::check_directory(&fd.metadata()?, &self.owner).map_err(io::Error::other)?;
        Directory::new(fd).map_err(|refused| match refused {
            Refused::Locked => io::Error::other("another collector writes into it"),
            Refused::Failed(cause) => cause,
        })
    }
}

/// An open, locked directory.
pub struct Directory {
    fd: File,
    /// Held for as long as the directory is open.
    _lock: Flock<File>,
    index: Mutex<Index>,
    device: u64,
    inode: u64,
}

enum Refused {
    Locked,
    Failed(io::Error),
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Refused {
        Refused::Failed(errno.into())
    }
}

/// A file of the directory.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: OsString,
    pub bytes: u64,
    /// Last change, seconds since the Unix epoch and nanoseconds.
    pub changed: (i64, i64),
}

impl Directory {
    fn new(fd: File) -> Result<Directory, Refused> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let lock = openat(&fd, LOCK, flags, PART_MODE)?;
        let lock = Flock::lock(File::from(lock), FlockArg::LockExclusiveNonblock);
        let lock = lock.map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => Refused::Locked,
            other => other.into(),
        })?;
        let index = Index::open(fd.as_fd()).map_err(Refused::Failed)?;
        let stat = fstat(&fd)?;
        let (device, inode) = numbers(&stat);
        Ok(Directory {
            fd,
            _lock: lock,
            index: Mutex::new(index),
            device,
            inode,
        })
    }

    fn is(&self, stat: &FileStat) -> bool {
        (self.device, self.inode) == numbers(stat)
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a line to the index, which is made anew if it was removed.
    pub fn tell(&self, line: &[u8]) -> io::Result<()> {
        let mut index = self.index();
        if index.is_removed()? {
            *index = Index::open(self.fd.as_fd())?;
        }
        index.append(line)
    }

    /// Opens the index anew: it was rotated away.
    pub fn reopen_index(&self) -> io::Result<()> {
        *self.index() = Index::open(self.fd.as_fd())?;
        Ok(())
    }

    /// Makes a file that must not exist.
    pub fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
        self.open(name, flags | OFlag::O_NOFOLLOW)
    }

    /// Opens a file to write more into it.
    pub fn reopen(&self, name: &str) -> io::Result<File> {
        self.open(name, OFlag::O_WRONLY | OFlag::O_NOFOLLOW)
    }

    /// Opens a file to look at it and cut it.
    pub fn inspect(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW;
        match self.open(name, flags) {
            // It has its final mode already, in which nobody may write to it.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                let file = self.open(name, OFlag::O_RDONLY | OFlag::O_NOFOLLOW)?;
                fchmod(&file, PART_MODE)?;
                self.open(name, flags)
            }
            other => other,
        }
    }

    fn open(&self, name: &str, flags: OFlag) -> io::Result<File> {
        let fd = openat(&self.fd, name, flags | OFlag::O_CLOEXEC, PART_MODE)?;
        Ok(File::from(fd))
    }

    /// Whether the name is taken.
    pub fn has(&self, name: &str) -> bool {
        fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
    }

    /// Bytes of a file.
    pub fn size(&self, name: &str) -> io::Result<u64> {
        let stat = fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok(u64::try_from(stat.st_size).unwrap_or(0))
    }

    /// Whether both names are one file.
    pub fn are_one(&self, one: &str, other: &str) -> bool {
        let numbers_of = |name: &str| {
            let stat = fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW);
            stat.ok().map(|stat| numbers(&stat))
        };
        numbers_of(one).is_some_and(|one| numbers_of(other) == Some(one))
    }

    /// Gives a file a second name, which must be free.
    pub fn link(&self, name: &str, second: &str) -> io::Result<()> {
        Ok(linkat(&self.fd, name, &self.fd, second, AtFlags::empty())?)
    }

    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.fd, from, &self.fd, to)?)
    }

    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// The plain files of the directory, in no order.
    pub fn list(&self) -> io::Result<Vec<Entry>> {
        let mut dir = Dir::openat(&self.fd, ".", OPEN_DIRECTORY, Mode::empty())?;
        let mut entries = Vec::new();
        for entry in dir.iter() {
            let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
            let stat = fstatat(&self.fd, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
            // It may be gone by now.
            let Ok(stat) = stat else { continue };
            if stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFREG {
                entries.push(Entry {
                    name,
                    bytes: u64::try_from(stat.st_size).unwrap_or(0),
                    changed: (stat.st_mtime, stat.st_mtime_nsec),
                });
            }
        }
        Ok(entries)
    }
}

/// Device and inode, whose types differ between systems.
#[allow(clippy::unnecessary_cast)]
fn numbers(stat: &FileStat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}
