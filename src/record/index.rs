//! The index `records`: one JSON object per line and finished file.

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

/// Its name, as tcplog_dumper has it.
pub const INDEX: &str = "records";

const MODE: Mode = Mode::from_bits_truncate(0o640);

/// How far from its end an index is looked at.
const TAIL: u64 = 1 << 20;

/// The open index.
pub struct Index {
    file: File,
    /// Bytes of a half-written line that were found at the end, and cut off.
    pub cut: u64,
    /// Bytes of whole lines, if half a line behind them could not be cut off.
    torn: Option<u64>,
}

impl Index {
    /// Opens the index of `directory`; a half line at its end is cut off.
    pub fn open(directory: BorrowedFd<'_>) -> io::Result<Index> {
        let flags = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_CREAT;
        let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let mut file = File::from(openat(directory, INDEX, flags, MODE)?);
        let len = file.metadata()?.len();
        let tail = tail(&mut file, len)?;
        let whole = memchr::memrchr(b'\n', &tail).map_or(0, |at| at + 1);
        let cut = (tail.len() - whole) as u64;
        if cut > 0 {
            file.set_len(len - cut)?;
        }
        Ok(Index {
            file,
            cut,
            torn: None,
        })
    }

    /// Appends a line, which ends with a newline: all of it or nothing.
    pub fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if let Some(whole) = self.torn {
            self.file.set_len(whole)?;
            self.torn = None;
        }
        let before = self.file.metadata()?.len();
        // One call, so that readers never see half a line.
        let written = self.file.write(line);
        match written {
            Ok(n) if n == line.len() => Ok(()),
            other => {
                self.torn = Some(before);
                if self.file.set_len(before).is_ok() {
                    self.torn = None;
                }
                Err(other
                    .err()
                    .unwrap_or_else(|| io::Error::from(io::ErrorKind::StorageFull)))
            }
        }
    }

    /// Whether it has no name any more. One that was renamed still has one.
    pub fn is_removed(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }

    /// Names of files in the last lines.
    pub fn last_names(&mut self) -> io::Result<Vec<String>> {
        let len = self.file.metadata()?.len();
        let tail = tail(&mut self.file, len)?;
        Ok(tail
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
            .filter_map(|line| Some(line.get("filename")?.as_str()?.to_owned()))
            .collect())
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl AsFd for Index {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The last bytes of a file of `len` bytes.
fn tail(file: &mut File, len: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    Ok(tail)
}
