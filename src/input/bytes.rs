//! The bytes of an input: file, standard input, FIFO, socket or the device.
//!
//! Reads go through `read(2)` and not through a memory map: pipes and devices
//! have none, a file that shrinks would kill the process, and mapped pages
//! would count as memory used.

use super::InputError;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// An open input.
pub struct Bytes {
    /// What to call it in messages.
    pub name: String,
    source: Box<dyn Read + Send>,
    /// The descriptor to wait on when a read would block.
    wait: Option<File>,
    /// Data may arrive later: a device, FIFO, socket or terminal.
    pub live: bool,
    /// Bytes in all, where the file system knows.
    pub size: Option<u64>,
    read: Arc<AtomicU64>,
    stop: Option<Arc<AtomicBool>>,
}

/// How long to wait before asking a busy device again.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

impl Bytes {
    /// Opens `path`; `-` is standard input. Opening a FIFO waits for its
    /// writer.
    pub fn open(path: &Path) -> Result<Bytes, InputError> {
        let name = if path.as_os_str() == "-" {
            "standard input".to_owned()
        } else {
            path.display().to_string()
        };
        let wrap = |cause| InputError::Open {
            name: name.clone(),
            cause,
        };
        let file = if path.as_os_str() == "-" {
            File::from(io::stdin().as_fd().try_clone_to_owned().map_err(wrap)?)
        } else {
            File::open(path).map_err(wrap)?
        };
        let meta = file.metadata().map_err(wrap)?;
        if meta.is_dir() {
            return Err(wrap(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        let kind = meta.file_type();
        let live = kind.is_char_device() || kind.is_fifo() || kind.is_socket();
        Ok(Bytes {
            live,
            size: meta.is_file().then_some(meta.len()),
            wait: Some(file.try_clone().map_err(wrap)?),
            source: Box::new(file),
            name,
            read: Arc::default(),
            stop: None,
        })
    }

    /// Wraps any reader, for tests and for input that is already in memory.
    pub fn from_reader(name: &str, source: impl Read + Send + 'static) -> Bytes {
        Bytes {
            name: name.to_owned(),
            source: Box::new(source),
            wait: None,
            live: false,
            size: None,
            read: Arc::default(),
            stop: None,
        }
    }

    /// Once `stop` is true, reading ends as at the end of the input.
    pub fn stop_on(&mut self, stop: Arc<AtomicBool>) {
        self.stop = Some(stop);
    }

    /// Counts the bytes read so far, also while another reader owns this.
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    fn stopped(&self) -> bool {
        self.stop
            .as_ref()
            .is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// Waits a while for data; false if none came. A signal ends the wait, so
    /// that the caller can look whether it is to stop.
    fn wait_readable(&self) -> bool {
        let Some(file) = &self.wait else {
            std::thread::sleep(BUSY_PAUSE);
            return true;
        };
        let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
        // What cannot be polled is read, and its answer is taken.
        match poll(&mut fds, PollTimeout::from(500u16)) {
            Ok(ready) => ready > 0,
            Err(Errno::EINTR) => false,
            Err(_) => true,
        }
    }
}

impl Read for Bytes {
    /// Reads what is there. Retries what `/dev/tcp_log` and pipes answer for
    /// "later": `EINTR`, `EAGAIN`, and the device's `EBUSY`.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stopped() {
                return Ok(0);
            }
            if self.live && !self.wait_readable() {
                continue;
            }
            match self.source.read(buf) {
                Ok(n) => {
                    self.read.fetch_add(n as u64, Ordering::Relaxed);
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_readable();
                }
                Err(e) if e.raw_os_error() == Some(Errno::EBUSY as i32) => {
                    std::thread::sleep(BUSY_PAUSE);
                }
                Err(e) => return Err(e),
            }
        }
    }
}
