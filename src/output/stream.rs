//! The device's own form: messages back to back, or bare records.

use super::Sink;
use crate::bblog::Message;
use crate::select::Picked;
use std::io::{self, Write};

/// Which of the two forms without packets to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Header and records, as `/dev/tcp_log` hands them out.
    Stream,
    /// Records only, as `TCP_LOGBUF` gives them.
    Logbuf,
}

/// Writes messages in their own layout. A message that is whole keeps every
/// byte; one that lost records gets its length rewritten and nothing else.
pub struct StreamSink<W> {
    form: Form,
    out: W,
    /// The message under way: its length stands before its records, so it is
    /// held until it is whole.
    message: Vec<u8>,
    header_len: usize,
    ready: Vec<u8>,
}

/// A message longer than this is written as several with the same header, as
/// the kernel does in CONTINUAL mode; the default limit is near 2 MB.
const MAX_HELD: usize = 48 * 1024 * 1024;
const CHUNK: usize = 256 * 1024;

impl<W: Write> StreamSink<W> {
    pub fn new(form: Form, out: W) -> StreamSink<W> {
        StreamSink {
            form,
            out,
            message: Vec::new(),
            header_len: 0,
            ready: Vec::with_capacity(2 * CHUNK),
        }
    }

    pub fn into_inner(self) -> W {
        self.out
    }

    /// Hands on what is held of the message.
    fn complete(&mut self, message: Option<&Message<'_>>) -> io::Result<()> {
        if self.message.is_empty() {
            return Ok(());
        }
        self.ready.extend_from_slice(&self.message);
        // Kept for a message that goes on beyond what is held at once.
        self.message.clear();
        if let Some(message) = message {
            self.start(message);
        }
        if self.ready.len() >= CHUNK {
            self.write_out()?;
        }
        Ok(())
    }

    fn start(&mut self, message: &Message<'_>) {
        self.message.clear();
        self.header_len = 0;
        if self.form == Form::Stream {
            self.message.extend_from_slice(message.header.bytes());
            self.header_len = self.message.len();
        }
    }

    fn set_length(&mut self, message: &Message<'_>) {
        if self.form == Form::Stream {
            let length = self.message.len() as u64;
            let slot = message.dialect().header_slots.length;
            message
                .dialect()
                .order
                .write(&mut self.message, slot.offset.into(), 8, length);
        }
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.out.write_all(&self.ready)?;
        self.ready.clear();
        Ok(())
    }
}

impl<W: Write> Sink for StreamSink<W> {
    fn piece(&mut self, message: &Message<'_>, picked: &Picked) -> io::Result<()> {
        if message.first {
            self.complete(None)?;
        }
        if picked.is_empty() {
            return Ok(());
        }
        if picked.begins {
            self.complete(None)?;
            self.start(message);
        }
        for span in &picked.spans {
            let bytes = message.records.get(span.records.clone()).unwrap_or(&[]);
            if self.message.len() + bytes.len() > MAX_HELD && self.message.len() > self.header_len {
                self.complete(Some(message))?;
            }
            self.message.extend_from_slice(bytes);
        }
        self.set_length(message);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // A message whose end is not known yet stays held.
        self.write_out()?;
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.complete(None)?;
        self.flush()
    }
}
