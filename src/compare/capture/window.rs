//! A window over a capture: as much of it as the next packet needs.

use std::io::{self, Read};

/// Bytes to read at once.
const CHUNK: usize = 256 * 1024;

pub struct Window {
    source: Box<dyn Read + Send>,
    buf: Vec<u8>,
    /// What is before this in `buf` is done with.
    start: usize,
    /// Offset in the file of `start`.
    pub offset: u64,
    eof: bool,
    /// To be skipped before anything else is done.
    later: usize,
}

impl Window {
    pub fn new(source: impl Read + Send + 'static) -> Window {
        Window {
            source: Box::new(source),
            buf: Vec::new(),
            start: 0,
            offset: 0,
            eof: false,
            later: 0,
        }
    }

    /// What is there, from the place that was reached.
    pub fn bytes(&self) -> &[u8] {
        self.buf.get(self.start..).unwrap_or(&[])
    }

    pub fn skip(&mut self, len: usize) {
        let len = len.min(self.bytes().len());
        self.start += len;
        self.offset += len as u64;
    }

    /// Skips with the next [`Window::fill`]; until then it is still there.
    pub fn skip_later(&mut self, len: usize) {
        self.later = len;
    }

    /// Tries to have `wanted` bytes; false if the file ends before. Memory
    /// grows with what is read, not with what is wanted.
    pub fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        let later = std::mem::take(&mut self.later);
        self.skip(later);
        while self.bytes().len() < wanted && !self.eof {
            if self.start > 0 {
                self.buf.drain(..self.start);
                self.start = 0;
            }
            let end = self.buf.len();
            self.buf.resize(end + CHUNK, 0);
            let read = match self.buf.get_mut(end..) {
                Some(room) => self.source.read(room),
                None => Ok(0),
            };
            self.buf.truncate(end + read.as_ref().copied().unwrap_or(0));
            match read {
                Ok(0) => self.eof = true,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(self.bytes().len() >= wanted)
    }

    /// Nothing more is to come.
    pub fn end(&mut self) {
        self.buf.clear();
        self.start = 0;
        self.eof = true;
    }
}
