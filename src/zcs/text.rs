//! A window over the input that knows the line it is in.

use std::io::{self, Read};

/// Bytes held at once.
const WINDOW: usize = 64 * 1024;

/// Bytes that can be looked at ahead of taking them.
pub const AHEAD: usize = 256;

/// Takes bytes one after the other, and lets the next ones be looked at.
pub struct Text<R> {
    source: R,
    window: Vec<u8>,
    at: usize,
    end: usize,
    /// Bytes of the input before the window.
    before: u64,
    line: u64,
    previous: u8,
    over: bool,
}

impl<R: Read> Text<R> {
    pub fn new(source: R) -> Text<R> {
        Text {
            source,
            window: vec![0; WINDOW],
            at: 0,
            end: 0,
            before: 0,
            line: 1,
            previous: b'\n',
            over: false,
        }
    }

    /// The line of the next byte, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.before + self.end as u64
    }

    /// The byte that was taken last; a line end at the start.
    pub fn previous(&self) -> u8 {
        self.previous
    }

    /// What is in the window: at least `least` bytes, unless the input ends.
    ///
    /// `least` is at most [`AHEAD`].
    #[inline]
    pub fn ahead(&mut self, least: usize) -> io::Result<&[u8]> {
        if self.end - self.at < least && !self.over {
            self.fill(least)?;
        }
        Ok(self.window.get(self.at..self.end).unwrap_or(&[]))
    }

    /// The next [`AHEAD`] bytes, fewer at the end: never more, so that it does
    /// not matter in what portions the input comes.
    pub fn near(&mut self) -> io::Result<&[u8]> {
        let ahead = self.ahead(AHEAD)?;
        Ok(ahead.get(..AHEAD).unwrap_or(ahead))
    }

    #[inline]
    pub fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.ahead(1)?.first().copied())
    }

    fn fill(&mut self, least: usize) -> io::Result<()> {
        self.window.copy_within(self.at..self.end, 0);
        self.before += self.at as u64;
        self.end -= self.at;
        self.at = 0;
        while self.end < least {
            let space = self.window.get_mut(self.end..).unwrap_or(&mut []);
            match self.source.read(space) {
                Ok(0) => {
                    self.over = true;
                    break;
                }
                Ok(count) => self.end += count.min(space.len()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Passes over `count` bytes of the window.
    pub fn take(&mut self, count: usize) {
        let count = count.min(self.end - self.at);
        let taken = self
            .window
            .get(self.at..self.at + count)
            .unwrap_or_default();
        if let Some(last) = taken.last() {
            self.previous = *last;
            self.line += memchr::memchr_iter(b'\n', taken).count() as u64;
        }
        self.at += count;
    }
}
