//! Output files that appear whole or not at all, under names that are safe.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::hash::Hasher;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where one output goes.
pub enum Output {
    /// Standard output, a FIFO, a device: written as it comes.
    Direct(Box<dyn Write + Send>),
    /// A file that takes its name when it is finished.
    Pending(PendingFile),
}

impl Output {
    /// `-` is standard output. `live`: the output must be readable while it
    /// grows, so it is written in place.
    pub fn create(path: &Path, live: bool) -> io::Result<Output> {
        if path.as_os_str() == "-" {
            return Ok(Output::Direct(Box::new(io::stdout())));
        }
        let special = fs::metadata(path).is_ok_and(|meta| !meta.is_file());
        if fs::metadata(path).is_ok_and(|meta| meta.is_dir()) {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        if special || live {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(!special)
                .open(path)?;
            return Ok(Output::Direct(Box::new(file)));
        }
        // A link is followed: its target is replaced, not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let dir = match target.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok(Output::Pending(PendingFile::create(&dir, Some(target))?))
    }

    /// Gives the output its name.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Output::Direct(mut out) => out.flush(),
            Output::Pending(file) => file.finish().map(drop),
        }
    }
}

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Output::Direct(out) => out.write(buf),
            Output::Pending(file) => file.file()?.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::Direct(out) => out.flush(),
            Output::Pending(_) => Ok(()),
        }
    }
}

/// A file under a temporary name; dropped unfinished, it is removed.
pub struct PendingFile {
    temporary: PathBuf,
    target: Option<PathBuf>,
    /// `None` while [`PendingFile::release`]d.
    file: Option<File>,
    finished: bool,
}

impl PendingFile {
    /// Creates it in `dir`. With a `target` it replaces what has that name.
    pub fn create(dir: &Path, target: Option<PathBuf>) -> io::Result<PendingFile> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!(".tcplog-{}-{number}.tmp", std::process::id());
            let temporary = dir.join(name);
            match OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&temporary)
            {
                Ok(file) => {
                    return Ok(PendingFile {
                        temporary,
                        target,
                        file: Some(file),
                        finished: false,
                    });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Closes the descriptor until the next write.
    pub fn release(&mut self) {
        self.file = None;
    }

    fn file(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            self.file = Some(OpenOptions::new().append(true).open(&self.temporary)?);
        }
        self.file
            .as_mut()
            .ok_or_else(|| io::Error::other("file is closed"))
    }

    /// Gives it its target name, replacing what was there.
    pub fn finish(mut self) -> io::Result<PathBuf> {
        let target = self
            .target
            .take()
            .ok_or_else(|| io::Error::other("no target name"))?;
        self.file = None;
        fs::rename(&self.temporary, &target)?;
        self.finished = true;
        Ok(target)
    }

    /// Gives it the first name of `names` that is free; nothing is replaced.
    pub fn finish_at_free(
        mut self,
        dir: &Path,
        names: impl Iterator<Item = OsString>,
    ) -> io::Result<OsString> {
        self.file = None;
        for name in names {
            let target = dir.join(&name);
            match fs::hard_link(&self.temporary, &target) {
                Ok(()) => return Ok(name),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                // A file system without links; the check is not atomic there.
                Err(_) if fs::symlink_metadata(&target).is_err() => {
                    fs::rename(&self.temporary, &target)?;
                    self.finished = true;
                    return Ok(name);
                }
                Err(_) => {}
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "no free name left for this file",
        ))
    }
}

impl Write for PendingFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file()?.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if !self.finished {
            // A leftover is harmless; there is nobody to tell.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// True if data written to `path` would be read while it grows.
pub fn is_special(path: &Path) -> bool {
    path.as_os_str() == "-"
        || fs::metadata(path).is_ok_and(|meta| {
            let kind = meta.file_type();
            kind.is_fifo() || kind.is_char_device() || kind.is_socket()
        })
}

/// Longest part of a name that a log ID may take; with ports, an IPv6 address
/// and a number behind it the name stays within 255 bytes.
const MAX_ID: usize = 180;

/// A log ID as part of a file name: letters, digits and `_-.+,=@` stay,
/// everything else becomes `%XX`, byte by byte, and so do a leading `.` and
/// `-`. Different IDs give different names.
pub fn safe_name(id: &[u8]) -> String {
    let mut name = String::new();
    for chunk in id.utf8_chunks() {
        for c in chunk.valid().chars() {
            let keep = c.is_alphanumeric()
                || c == '_'
                || "+,=@".contains(c)
                || (!name.is_empty() && "-.".contains(c));
            if keep {
                name.push(c);
            } else {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    name.push_str(&format!("%{byte:02X}"));
                }
            }
        }
        for byte in chunk.invalid() {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    if name.len() > MAX_ID {
        let mut hash = std::hash::DefaultHasher::new();
        hash.write(id);
        let mut cut = MAX_ID - 20;
        while !name.is_char_boundary(cut) {
            cut -= 1;
        }
        name.truncate(cut);
        name.push_str(&format!("~{:016x}", hash.finish()));
    }
    name
}

/// `name` as bytes of the file system.
pub fn os_name(name: &[u8]) -> OsString {
    OsStr::from_bytes(name).to_owned()
}
