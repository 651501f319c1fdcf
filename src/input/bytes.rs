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
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// An open input.
pub struct Bytes {
    /// What to call it in messages.
    pub name: String,
    source: Source,
    /// Data may arrive later: a device, FIFO, socket or terminal.
    pub live: bool,
    /// Bytes in all, where the file system knows.
    pub size: Option<u64>,
    read: Arc<AtomicU64>,
    stop: Option<Arc<AtomicBool>>,
    /// A device, of which a read never goes beyond the end of a message.
    is_device: bool,
    /// The last read filled its buffer, so its message may go on.
    is_inside: bool,
    /// Reads since the stop.
    late_reads: u32,
    /// Becomes readable when waiting is to end at once.
    wake: Option<File>,
    /// The end of a file is only its end so far.
    follows: bool,
    /// Failed reads are no end, but counted, and tried again.
    failures: Option<Arc<Failures>>,
}

/// Where bytes come from.
enum Source {
    /// What has a descriptor, on which can be waited.
    File(File),
    Other(Box<dyn Read + Send>),
}

/// Failed reads of an input that never ends.
#[derive(Debug, Default)]
pub struct Failures {
    count: AtomicU64,
    last: Mutex<Option<String>>,
}

impl Failures {
    /// How many there were, and what the last one said.
    pub fn so_far(&self) -> (u64, Option<String>) {
        let last = self.last.lock().map_or(None, |last| last.clone());
        (self.count.load(Ordering::Relaxed), last)
    }

    fn add(&self, error: &io::Error) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut last) = self.last.lock() {
            *last = Some(error.to_string());
        }
    }
}

/// Reads of a device after the stop, for the rest of a message.
const MOST_LATE_READS: u32 = 1000;

/// How long to wait before asking a busy device again.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// How long to wait before looking again at the end of a file.
const FOLLOW_PAUSE: Duration = Duration::from_millis(100);

/// How long to wait after a failed read of an input that never ends.
const FAILURE_PAUSE: u16 = 500;

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
        Bytes::from_file(name.clone(), file).map_err(wrap)
    }

    /// Reads an open file, FIFO, socket or device.
    pub fn from_file(name: String, file: File) -> io::Result<Bytes> {
        let meta = file.metadata()?;
        if meta.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        let kind = meta.file_type();
        let live = kind.is_char_device() || kind.is_fifo() || kind.is_socket();
        Ok(Bytes {
            live,
            size: meta.is_file().then_some(meta.len()),
            source: Source::File(file),
            is_device: kind.is_char_device(),
            name,
            read: Arc::default(),
            stop: None,
            is_inside: false,
            late_reads: 0,
            wake: None,
            follows: false,
            failures: None,
        })
    }

    /// Wraps any reader, for tests and for input that is already in memory.
    pub fn from_reader(name: &str, source: impl Read + Send + 'static) -> Bytes {
        Bytes {
            name: name.to_owned(),
            source: Source::Other(Box::new(source)),
            is_device: false,
            live: false,
            size: None,
            read: Arc::default(),
            stop: None,
            is_inside: false,
            late_reads: 0,
            wake: None,
            follows: false,
            failures: None,
        }
    }

    /// Once `stop` is true, reading ends as at the end of the input; that of a
    /// device when the message under way is whole.
    pub fn stop_on(&mut self, stop: Arc<AtomicBool>) {
        self.stop = Some(stop);
    }

    /// Looks at the stop of [`Bytes::stop_on`] as soon as `wake` is readable.
    pub fn wake_on(&mut self, wake: File) {
        self.wake = Some(wake);
    }

    /// A device, which never ends.
    pub fn is_device(&self) -> bool {
        self.is_device
    }

    /// Waits at the end of a file for what is appended.
    pub fn follow(&mut self) {
        self.follows = true;
        self.live = true;
    }

    /// Never ends by a failed read: a device that fails may recover.
    pub fn persist(&mut self) -> Arc<Failures> {
        Arc::clone(self.failures.get_or_insert_default())
    }

    /// Counts the bytes read so far, also while another reader owns this.
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    /// The descriptor that is read, if there is one.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.source {
            Source::File(file) => Some(file.as_fd()),
            Source::Other(_) => None,
        }
    }

    fn stopped(&self) -> bool {
        self.stop
            .as_ref()
            .is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// Waits a while for data; false if none came. A signal ends the wait, so
    /// that the caller can look whether it is to stop.
    fn wait_readable(&self) -> bool {
        let Source::File(file) = &self.source else {
            std::thread::sleep(BUSY_PAUSE);
            return true;
        };
        let input = PollFd::new(file.as_fd(), PollFlags::POLLIN);
        let wake = (self.wake.as_ref()).map(|wake| PollFd::new(wake.as_fd(), PollFlags::POLLIN));
        let mut fds: Vec<PollFd<'_>> = std::iter::once(input).chain(wake).collect();
        match poll(&mut fds, PollTimeout::from(500u16)) {
            // Not for `wake`: a read of a FIFO without data would never return.
            Ok(_) => (fds.first()).is_some_and(|input| input.any() != Some(false)),
            Err(Errno::EINTR) => false,
            // What cannot be polled is read, and its answer is taken.
            Err(_) => true,
        }
    }

    fn pause_after_failure(&self) {
        match &self.wake {
            Some(wake) => {
                let mut fds = [PollFd::new(wake.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut fds, PollTimeout::from(FAILURE_PAUSE));
            }
            None => std::thread::sleep(Duration::from_millis(FAILURE_PAUSE.into())),
        }
    }
}

impl Read for Bytes {
    /// Reads what is there. Retries what `/dev/tcp_log` and pipes answer for
    /// "later": `EINTR`, `EAGAIN`, and the device's `EBUSY`.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stopped() {
                self.late_reads += 1;
                if !self.is_inside || self.late_reads > MOST_LATE_READS {
                    return Ok(0);
                }
            }
            if self.live && !self.wait_readable() {
                // The rest of a message never lets wait for itself.
                self.is_inside &= !self.stopped();
                continue;
            }
            let read = match &mut self.source {
                Source::File(file) => file.read(buf),
                Source::Other(source) => source.read(buf),
            };
            match read {
                Ok(0) if self.follows && !buf.is_empty() => std::thread::sleep(FOLLOW_PAUSE),
                Ok(n) => {
                    self.is_inside = self.is_device && n == buf.len() && n > 0;
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
                Err(e) => match &self.failures {
                    Some(failures) => {
                        failures.add(&e);
                        self.pause_after_failure();
                    }
                    None => return Err(e),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    /// Reads once, and again after a stop that `wake` tells of.
    fn stops(is_device: bool, len: usize) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        // As a FIFO is opened, and as the device is.
        ours.set_nonblocking(is_device).unwrap();
        let (woken, mut wake) = UnixStream::pair().unwrap();
        let input = File::from(OwnedFd::from(ours));
        let mut bytes = Bytes::from_file("input".to_owned(), input).unwrap();
        bytes.is_device = is_device;
        let stop = Arc::new(AtomicBool::new(false));
        bytes.stop_on(Arc::clone(&stop));
        bytes.wake_on(File::from(OwnedFd::from(woken)));
        theirs.write_all(b"message.").unwrap();
        let (done, ended) = std::sync::mpsc::channel();
        let reading = std::thread::spawn(move || {
            let mut buf = vec![0; len];
            done.send(bytes.read(&mut buf).unwrap()).unwrap();
            done.send(bytes.read(&mut buf).unwrap()).unwrap();
        });
        let patience = Duration::from_secs(5);
        assert_eq!(ended.recv_timeout(patience), Ok(8));
        std::thread::sleep(Duration::from_millis(50));
        stop.store(true, Ordering::Relaxed);
        wake.write_all(&[0]).unwrap();
        assert_eq!(ended.recv_timeout(patience), Ok(0));
        reading.join().unwrap();
    }

    #[test]
    fn a_stop_ends_waiting_for_a_fifo() {
        stops(false, 64);
    }

    /// A message may end where the buffer does, which looks like its middle.
    #[test]
    fn a_stop_ends_reading_behind_a_full_buffer() {
        stops(true, 8);
    }
}
