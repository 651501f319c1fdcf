//! The device's own form: messages back to back, or bare records.

use super::Sink;
use crate::bblog::Message;
use crate::format::Order;
use crate::select::Picked;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::FileExt;

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
    /// The message under way, or its end: its length stands before its
    /// records, so it is held until the last of them is known.
    held: Vec<u8>,
    /// Its beginning, if it is too long to be held in memory.
    spool: Option<File>,
    spooled: u64,
    /// Where its length stands in the message under way.
    length: Option<(Order, usize)>,
    under_way: bool,
    ready: Vec<u8>,
}

/// What of a message is held in memory; the default limit of the kernel is
/// near 2 MB.
const MAX_HELD: usize = 8 * 1024 * 1024;
const CHUNK: usize = 256 * 1024;

impl<W: Write> StreamSink<W> {
    pub fn new(form: Form, out: W) -> StreamSink<W> {
        StreamSink {
            form,
            out,
            held: Vec::new(),
            spool: None,
            spooled: 0,
            length: None,
            under_way: false,
            ready: Vec::with_capacity(2 * CHUNK),
        }
    }

    pub fn into_inner(self) -> W {
        self.out
    }

    fn start(&mut self, message: &Message<'_>) {
        self.under_way = true;
        if self.form == Form::Stream {
            self.held.extend_from_slice(message.header.bytes());
            let slot = message.dialect().header_slots.length;
            self.length = Some((message.dialect().order, slot.offset.into()));
        }
    }

    fn hold(&mut self, records: &[u8]) -> io::Result<()> {
        self.held.extend_from_slice(records);
        if self.held.len() < MAX_HELD {
            return Ok(());
        }
        match self.form {
            Form::Stream => self.spill(),
            // There is no length to wait for.
            Form::Logbuf => self.hand_on(),
        }
    }

    /// Moves what is held to a file without a name.
    fn spill(&mut self) -> io::Result<()> {
        let spool = match &mut self.spool {
            Some(spool) => spool,
            none => none.insert(tempfile::tempfile().map_err(temporary)?),
        };
        spool.write_all(&self.held).map_err(temporary)?;
        self.spooled += self.held.len() as u64;
        self.held.clear();
        Ok(())
    }

    /// Nothing more comes of the message under way.
    fn complete(&mut self) -> io::Result<()> {
        self.under_way = false;
        let length = self.spooled + self.held.len() as u64;
        if let Some((order, at)) = self.length.take() {
            if self.spooled == 0 {
                order.write(&mut self.held, at, 8, length);
            } else if let Some(spool) = &self.spool {
                let mut bytes = [0; 8];
                order.write(&mut bytes, 0, 8, length);
                spool.write_all_at(&bytes, at as u64).map_err(temporary)?;
            }
        }
        // The file goes with the message: few are so long.
        if let Some(mut spool) = self.spool.take() {
            self.spooled = 0;
            self.write_out()?;
            spool.rewind().map_err(temporary)?;
            io::copy(&mut spool, &mut self.out)?;
        }
        self.hand_on()
    }

    fn hand_on(&mut self) -> io::Result<()> {
        if self.ready.len() + self.held.len() < CHUNK {
            self.ready.extend_from_slice(&self.held);
        } else {
            self.write_out()?;
            self.out.write_all(&self.held)?;
        }
        self.held.clear();
        Ok(())
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.out.write_all(&self.ready)?;
        self.ready.clear();
        Ok(())
    }
}

fn temporary(cause: io::Error) -> io::Error {
    io::Error::new(cause.kind(), format!("temporary file: {cause}"))
}

impl<W: Write> Sink for StreamSink<W> {
    fn piece(&mut self, message: &Message<'_>, picked: &Picked) -> io::Result<()> {
        if message.first || picked.begins {
            self.complete()?;
        }
        if !picked.is_empty() && !self.under_way {
            self.start(message);
        }
        for span in &picked.spans {
            let bytes = message.records.get(span.records.clone()).unwrap_or(&[]);
            self.hold(bytes)?;
        }
        if message.last {
            self.complete()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // A message whose end is not known yet stays held.
        self.write_out()?;
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.complete()?;
        self.flush()
    }
}
