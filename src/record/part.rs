//! One growing file: `NAME.part` until it is finished, `NAME` from then on.
//!
//! It grows by whole frames, each written at the known end of the one before.
//! A frame that fails half way is overwritten by the next, or cut off when the
//! file is finished, so the file never holds part of a frame for good.

use super::about::{About, FileFacts};
use super::compress::Compress;
use super::directory::Directory;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::sync::Arc;
use std::time::Instant;

/// What stands behind the name of a file that grows.
pub const PART: &str = ".part";

/// Mode of finished files: readable, and nobody's to change.
const FINISHED_MODE: u32 = 0o440;

/// A growing file.
pub struct Part {
    directory: Arc<Directory>,
    /// The name it gets in the end.
    pub name: String,
    number: u32,
    compress: Compress,
    /// `None` while its descriptor is given back.
    file: Option<File>,
    /// Bytes of whole frames.
    pub len: u64,
    /// There may be bytes behind `len`.
    torn: bool,
    /// It has its final mode, and is not written to any more.
    sealed: bool,
    pub since: Instant,
    about: Option<About>,
}

/// A file that is whole but could not be finished.
pub struct Unfinished {
    pub part: Box<Part>,
    pub cause: io::Error,
}

impl Part {
    /// Makes the first free file of `stem`; tries numbers from `from` on.
    pub fn create(
        directory: Arc<Directory>,
        stem: &str,
        from: u32,
        compress: Compress,
    ) -> io::Result<Part> {
        let mut number = from;
        let mut step = 1;
        loop {
            let name = format!("{stem}.{number}.pcapng{}", compress.suffix());
            if !directory.has(&name) {
                let temporary = format!("{name}{PART}");
                match directory.create(&temporary) {
                    // Another writer finished a file of this name since the
                    // look above; none can from now on.
                    Ok(_) if directory.has(&name) => directory.remove(temporary.as_ref())?,
                    Ok(file) => {
                        return Ok(Part {
                            directory,
                            name,
                            number,
                            compress,
                            file: Some(file),
                            len: 0,
                            torn: false,
                            sealed: false,
                            since: Instant::now(),
                            about: None,
                        });
                    }
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(e) => return Err(e),
                }
            }
            // Larger steps, so that thousands of taken names cost few looks.
            let Some(next) = number.checked_add(step) else {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists));
            };
            number = next;
            step = step.saturating_mul(2);
        }
    }

    /// A file that an earlier run left; `len` bytes of it are whole frames.
    pub fn left_behind(
        directory: Arc<Directory>,
        name: String,
        compress: Compress,
        file: File,
        len: u64,
        about: Option<About>,
    ) -> Part {
        let stem = name.rsplit_once(".pcapng").map(|(stem, _)| stem);
        let number = stem.and_then(|stem| stem.rsplit('.').next()?.parse().ok());
        Part {
            directory,
            number: number.unwrap_or(0),
            name,
            compress,
            file: Some(file),
            len,
            torn: true,
            sealed: false,
            since: Instant::now(),
            about,
        }
    }

    /// The number in its name.
    pub fn number(&self) -> u32 {
        self.number
    }

    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    fn temporary(&self) -> String {
        format!("{}{PART}", self.name)
    }

    /// Gives the descriptor back until the next write.
    pub fn release(&mut self) {
        self.file = None;
    }

    pub fn is_released(&self) -> bool {
        self.file.is_none()
    }

    fn file(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            self.file = Some(self.directory.reopen(&self.temporary())?);
        }
        self.file
            .as_ref()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// Appends a frame, whole or not at all.
    pub fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        let at = self.len;
        self.torn = true;
        self.file()?.write_all_at(frame, at)?;
        self.len += frame.len() as u64;
        self.torn = false;
        Ok(())
    }

    /// Notes what the last frame holds.
    pub fn note(&mut self, about: About) {
        match &mut self.about {
            None => self.about = Some(about),
            Some(all) => all.absorb(about),
        }
    }

    pub fn about(&self) -> Option<&About> {
        self.about.as_ref()
    }

    pub fn records(&self) -> u64 {
        self.about.as_ref().map_or(0, |about| about.records)
    }

    /// Gives the file its name and the index its line.
    ///
    /// The file has its name before the index tells of it, and loses the
    /// temporary one after: whatever happens between, what the index names is
    /// there, and what it does not name still has its temporary name.
    pub fn finish(
        mut self: Box<Self>,
        sync: bool,
        date: i64,
        recovered: bool,
    ) -> Result<Finished, Unfinished> {
        match self.try_finish(sync, date, recovered) {
            Ok(()) => Ok(Finished {
                name: self.name,
                bytes: self.len,
            }),
            Err(cause) => Err(Unfinished { part: self, cause }),
        }
    }

    /// Gives the file its last length and its mode, and its descriptor back:
    /// many may wait for their names.
    fn seal(&mut self, sync: bool) -> io::Result<()> {
        if self.sealed {
            return Ok(());
        }
        let (len, torn) = (self.len, self.torn);
        let file = self.file()?;
        if torn {
            file.set_len(len)?;
        }
        if sync {
            file.sync_data()?;
        }
        file.set_permissions(Permissions::from_mode(FINISHED_MODE))?;
        (self.torn, self.sealed) = (false, true);
        self.release();
        Ok(())
    }

    fn try_finish(&mut self, sync: bool, date: i64, recovered: bool) -> io::Result<()> {
        self.seal(sync)?;
        let temporary = self.temporary();
        let linked = match self.directory.link(&temporary, &self.name) {
            Ok(()) => true,
            // An earlier try came this far.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                if !self.directory.are_one(&temporary, &self.name) {
                    return Err(e);
                }
                true
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(e),
            // There the file takes its name last, and the index is told before.
            Err(e) if is_unable_to_link(&e) && !self.directory.has(&self.name) => false,
            Err(e) => return Err(e),
        };
        let line = self.about.as_ref().map(|about| {
            about.line(&FileFacts {
                name: &self.name,
                bytes: self.len,
                compress: self.compress,
                number: self.number,
                date,
                recovered,
            })
        });
        if let Some(line) = line {
            self.directory.tell(&line)?;
            // Told once, whatever comes.
            self.about = None;
            if sync {
                self.directory.index().sync()?;
            }
        }
        if linked {
            self.directory.remove(temporary.as_ref())
        } else {
            self.directory.rename(&temporary, &self.name)
        }
    }

    /// Removes the file: nothing in it is worth keeping.
    pub fn discard(self) {
        // What stays is found by the next start.
        let _ = self.directory.remove(self.temporary().as_ref());
    }
}

/// A finished file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    pub name: String,
    pub bytes: u64,
}

/// True if the file system has no hard links, or no more for this file.
fn is_unable_to_link(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EPERM | Errno::EMLINK)
    )
}
