//! Output files that appear whole or not at all, under names that are safe.

use super::escape::is_harmless;
use crate::bblog::Message;
use crate::select::Split;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where one output goes.
pub enum Output {
    /// Standard output, a FIFO, a device: written as it comes.
    Direct(File),
    /// A file that grows in place; what it held goes with the first write, so
    /// that an input of the wrong kind destroys nothing.
    Growing { file: File, begun: bool },
    /// A file that takes its name when it is finished.
    Pending(PendingFile),
}

impl Output {
    /// `-` is standard output. `live`: the output must be readable while it
    /// grows, so it is written in place.
    pub fn create(path: &Path, live: bool) -> io::Result<Output> {
        let target = followed(path);
        let number = if path.as_os_str() == "-" {
            Some(1)
        } else {
            number_of(&target)
        };
        if let Some(number) = number {
            return Ok(Output::Direct(descriptor(number, &target)?));
        }
        let special = fs::metadata(path).is_ok_and(|meta| !meta.is_file());
        if fs::metadata(path).is_ok_and(|meta| meta.is_dir()) {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        if special || live {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            return Ok(match special {
                true => Output::Direct(file),
                false => Output::Growing { file, begun: false },
            });
        }
        // A link is followed: its target is replaced, not the link.
        let target = fs::canonicalize(path).unwrap_or(target);
        let dir = match target.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok(Output::Pending(PendingFile::create(&dir, Some(target))?))
    }

    /// Gives the output its name.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Output::Direct(file) | Output::Growing { file, .. } => close(file),
            Output::Pending(file) => file.finish().map(drop),
        }
    }
}

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Output::Direct(out) => out.write(buf),
            Output::Growing { file, begun } => {
                if !*begun && !buf.is_empty() {
                    file.set_len(0)?;
                    *begun = true;
                }
                file.write(buf)
            }
            Output::Pending(file) => file.file()?.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::Direct(out) => out.flush(),
            Output::Growing { .. } | Output::Pending(_) => Ok(()),
        }
    }
}

/// What `path` links to in the end, whether or not that exists.
fn followed(path: &Path) -> PathBuf {
    const MAX_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        if number_of(&path).is_some() {
            break;
        }
        let Ok(target) = fs::read_link(&path) else {
            break;
        };
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    path
}

/// The number of the open descriptor that `path` names, if it names one.
fn number_of(path: &Path) -> Option<u32> {
    match path.as_os_str().to_str()? {
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        text => {
            let digits = text.strip_prefix("/dev/fd/");
            let digits = digits.or_else(|| text.strip_prefix("/proc/self/fd/"))?;
            digits.parse().ok()
        }
    }
}

/// The descriptor `number`, which `path` names. What it leads to is somebody
/// else's: it is neither replaced nor emptied, and writing goes on where the
/// others are.
fn descriptor(number: u32, path: &Path) -> io::Result<File> {
    Ok(match number {
        1 => File::from(io::stdout().as_fd().try_clone_to_owned()?),
        2 => File::from(io::stderr().as_fd().try_clone_to_owned()?),
        // Where this opens the file anew, it would begin at byte 0 without
        // `append`.
        _ => OpenOptions::new().append(true).open(path)?,
    })
}

/// Closes a file; some file systems report failed writes only here.
fn close(file: File) -> io::Result<()> {
    Ok(nix::unistd::close(file)?)
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
        // Never readable by more people than what it replaces.
        let mode = target.as_deref().and_then(mode_of).unwrap_or(0o666);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!(".tcplog-{}-{number}.tmp", std::process::id());
            let temporary = dir.join(name);
            match OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
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
        if let Some(file) = self.file.take() {
            // What the mask of the process took away at the start.
            if let Some(mode) = mode_of(&target) {
                file.set_permissions(fs::Permissions::from_mode(mode))?;
            }
            close(file)?;
        }
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
        if let Some(file) = self.file.take() {
            close(file)?;
        }
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

/// The permission bits of a file that exists.
fn mode_of(path: &Path) -> Option<u32> {
    let meta = fs::metadata(path).ok()?;
    Some(meta.permissions().mode() & 0o777)
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
            let keep = (c.is_alphanumeric() && is_harmless(c))
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
        let mut cut = MAX_ID - 20;
        while !name.is_char_boundary(cut) {
            cut -= 1;
        }
        name.truncate(cut);
        name.push_str(&format!("~{:016x}", fnv1a(id)));
    }
    name
}

/// The name of a group's file, without number and suffix.
pub fn stem(message: &Message<'_>, split: Split) -> String {
    let id = message.header.log_id().filter(|_| message.known.names);
    let name = id.map_or_else(|| "UNKNOWN".to_owned(), safe_name);
    match (split, id) {
        (Split::LogId, Some(_)) => name,
        _ => {
            let ends = message.header.endpoints();
            let (local, foreign) = (ends.local.port(), ends.foreign.port());
            format!("{name}_{local}_{}_{foreign}", ends.foreign.ip())
        }
    }
}

/// FNV-1a: the same in every release.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// `name` as bytes of the file system.
pub fn os_name(name: &[u8]) -> OsString {
    OsStr::from_bytes(name).to_owned()
}
