//! One input, whatever its kind: opens, decompresses, recognises, and hands
//! out batches.

use super::InputError;
use super::batch::Batch;
use super::bytes::Bytes;
use super::damage::Damage;
use super::detect::{self, Compression, InputFormat, PCAPNG_MAGIC};
use super::logbuf::LogbufFramer;
use super::pcapng::PcapngFramer;
use super::stream::Framer;
use crate::format::Formats;
use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes per batch: small enough to stay in the cache between the read, the
/// walk and the sink, large enough that a system call costs nothing.
pub const BATCH: usize = 256 * 1024;

/// A window that makes no progress grows up to this; pcapng blocks may be
/// large (the framer refuses those above 16 MiB), records never are.
const MAX_WINDOW: usize = 24 * 1024 * 1024;

/// Bytes to look at before the kind of an input is decided.
const HEAD: usize = 64 * 1024;

enum Framing<'f> {
    Stream(Box<Framer<'f>>),
    Logbuf(LogbufFramer),
    Pcapng(Box<PcapngFramer>),
}

/// An input that hands out batches of messages.
pub struct Reader<'f> {
    /// What to call it in messages.
    pub name: String,
    pub format: InputFormat,
    pub compression: Option<Compression>,
    /// Data may arrive later; whoever writes should flush at message ends.
    pub live: bool,
    /// Stored bytes in all, where known.
    pub size: Option<u64>,
    position: Arc<AtomicU64>,
    source: Box<dyn Read + Send>,
    framing: Framing<'f>,
    /// Input not yet framed.
    rest: Vec<u8>,
    /// Offset in the (decompressed) input of `rest`.
    base: u64,
    eof: bool,
    done: bool,
    late: Option<Damage>,
    /// Damage that reaches to the end of the last window.
    held: Option<Damage>,
}

/// An input that is open, decompressed and recognised, but not yet framed.
pub struct Opened {
    /// What to call it in messages.
    pub name: String,
    pub format: InputFormat,
    pub compression: Option<Compression>,
    /// Data may arrive later.
    pub live: bool,
    /// Stored bytes in all, where known.
    pub size: Option<u64>,
    position: Arc<AtomicU64>,
    /// What was read to recognise it.
    head: Vec<u8>,
    /// Nothing follows `head`.
    eof: bool,
    source: Box<dyn Read + Send>,
    late: Option<Damage>,
}

impl Opened {
    /// Counts the stored bytes read so far.
    pub fn position(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.position)
    }

    /// Damage that was met while the input was recognised.
    pub fn damage(&self) -> Option<&Damage> {
        self.late.as_ref()
    }

    /// All bytes of the input, decompressed, from the first one.
    pub fn into_read(self) -> Box<dyn Read + Send> {
        let head = Cursor::new(self.head);
        if self.eof {
            Box::new(head)
        } else {
            Box::new(head.chain(self.source))
        }
    }
}

/// Recognises the kind of `bytes`.
///
/// `format` overrides the recognition. An empty input is an empty stream.
pub fn recognised(
    mut bytes: Bytes,
    format: Option<InputFormat>,
    formats: &Formats,
) -> Result<Opened, InputError> {
    let name = bytes.name.clone();
    let (live, size, position) = (bytes.live, bytes.size, bytes.counter());
    let read_error = |cause, offset| InputError::Read {
        name: name.clone(),
        offset,
        cause,
    };
    // Six bytes tell a compression; what follows is read through it.
    let mut head = Vec::new();
    let mut eof = fill(&mut bytes, &mut head, 6).map_err(|e| read_error(e, 0))?;
    let compression = detect::compression(&head);
    let mut source: Box<dyn Read + Send> = match compression {
        None => Box::new(bytes),
        Some(kind) => {
            let stored = Cursor::new(std::mem::take(&mut head)).chain(bytes);
            eof = false;
            decoder(kind, stored).map_err(|e| read_error(e, 0))?
        }
    };
    // A live input is recognised by the first bytes of its first message; to
    // wait for more would be to wait for the next one.
    let told =
        |head: &[u8]| detect::version_and_order(head).is_some() || head.starts_with(&PCAPNG_MAGIC);
    if live && !eof {
        eof = fill(source.as_mut(), &mut head, 16).map_err(|e| read_error(e, 0))?;
        // Text is known by its first whole lines.
        let is_text = |head: &[u8]| memchr::memchr(0, head).is_none();
        while format.is_none()
            && !eof
            && !told(&head)
            && head.len() < HEAD
            && is_text(&head)
            && compression.is_none()
        {
            if detect::text_format(&head).is_some() {
                break;
            }
            let most = HEAD - head.len();
            let read = read_once(source.as_mut(), &mut head, most);
            eof = read.map_err(|e| read_error(e, 0))? == 0;
        }
    }
    let is_told = told(&head) || detect::text_format(&head).is_some();
    let wanted = if live && (is_told || format.is_some()) {
        0
    } else {
        HEAD
    };
    let mut late = None;
    if !eof {
        match fill(source.as_mut(), &mut head, wanted) {
            Ok(end) => eof = end,
            Err(e) if compression.is_some() => {
                late = Some(decompression_damage(head.len() as u64, &e));
                eof = true;
            }
            Err(e) => return Err(read_error(e, head.len() as u64)),
        }
    }
    let format = match format {
        Some(format) => format,
        None => recognise(&head, eof, formats).map_err(|why| InputError::Unknown {
            name: name.clone(),
            why,
        })?,
    };
    Ok(Opened {
        name,
        format,
        compression,
        live,
        size,
        position,
        head,
        eof,
        source,
        late,
    })
}

/// Recognises the kind of `bytes` and prepares to read messages from it.
pub fn open<'f>(
    bytes: Bytes,
    format: Option<InputFormat>,
    formats: &'f Formats,
) -> Result<Reader<'f>, InputError> {
    Reader::new(recognised(bytes, format, formats)?, formats)
}

/// Decides between stream, bare buffer, pcapng and text.
fn recognise(head: &[u8], eof: bool, formats: &Formats) -> Result<InputFormat, String> {
    if head.is_empty() || detect::version_and_order(head).is_some() {
        return Ok(InputFormat::Stream);
    }
    if head.starts_with(&PCAPNG_MAGIC) {
        return Ok(InputFormat::Pcapng);
    }
    if detect::compression(head).is_some() {
        return Err("compressed twice".to_owned());
    }
    if let Some(format) = detect::text_format(head) {
        return Ok(format);
    }
    if detect::logbuf_dialect(head, eof, formats).is_some() {
        return Ok(InputFormat::Logbuf);
    }
    // A stream that was cut after a few bytes, or that begins with damage.
    let cut = head.len() < 8
        && formats.versions.iter().any(|v| {
            let mut start = [0; 8];
            start[0] = v.number as u8;
            start[4] = 1;
            let mut big = start;
            big[..4].reverse();
            big[4..].reverse();
            start.starts_with(head) || big.starts_with(head)
        });
    if cut || Framer::new(formats, false).has_message(head) {
        return Ok(InputFormat::Stream);
    }
    let shown: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
    Err(format!(
        "no message header, record or pcapng block in the first {} bytes, which begin {}",
        head.len(),
        shown.join(" ")
    ))
}

fn decoder(
    kind: Compression,
    stored: impl Read + Send + 'static,
) -> io::Result<Box<dyn Read + Send>> {
    Ok(match kind {
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(stored)),
        Compression::Xz => {
            // A bound on what a hostile file may make the decoder allocate.
            let stream = liblzma::stream::Stream::new_stream_decoder(
                256 * 1024 * 1024,
                liblzma::stream::CONCATENATED,
            )
            .map_err(io::Error::other)?;
            Box::new(liblzma::read::XzDecoder::new_stream(stored, stream))
        }
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(stored)?),
    })
}

fn decompression_damage(offset: u64, error: &io::Error) -> Damage {
    Damage {
        offset,
        lost: 0,
        what: format!("the compressed input is damaged or cut here: {error}"),
    }
}

/// Reads until `buf` holds `wanted` bytes; true at the end of the input. What
/// was read before an error stays in `buf`.
fn fill(source: &mut dyn Read, buf: &mut Vec<u8>, wanted: usize) -> io::Result<bool> {
    while buf.len() < wanted {
        if read_once(source, buf, wanted - buf.len())? == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read_once(source: &mut dyn Read, buf: &mut Vec<u8>, most: usize) -> io::Result<usize> {
    let start = buf.len();
    buf.resize(start + most, 0);
    let result = read_retried(source, &mut buf[start..]);
    buf.truncate(start + result.as_ref().copied().unwrap_or(0));
    result
}

fn read_retried(source: &mut dyn Read, room: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(room) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Begins the input of `batch` with `bytes`.
fn put(batch: &mut Batch, bytes: &[u8]) {
    if batch.data.len() < bytes.len() {
        batch.data.resize(bytes.len(), 0);
    }
    if let Some(room) = batch.data.get_mut(..bytes.len()) {
        room.copy_from_slice(bytes);
        batch.filled = bytes.len();
    }
}

impl<'f> Reader<'f> {
    /// Reads messages from an input that holds some.
    pub fn new(opened: Opened, formats: &'f Formats) -> Result<Reader<'f>, InputError> {
        let Opened {
            name,
            format,
            compression,
            live,
            size,
            position,
            head,
            eof,
            source,
            late,
        } = opened;
        let framing = match format {
            InputFormat::Stream => Framing::Stream(Box::new(Framer::new(formats, live))),
            InputFormat::Pcapng => Framing::Pcapng(Box::new(PcapngFramer::new(true))),
            InputFormat::Logbuf => {
                let dialect = detect::logbuf_dialect(&head, eof, formats)
                    .unwrap_or_else(|| Formats::canonical());
                Framing::Logbuf(LogbufFramer::new(Arc::clone(dialect)))
            }
            InputFormat::DtraceSctp | InputFormat::Zcs => {
                return Err(InputError::NoRecords { name, format });
            }
        };
        Ok(Reader {
            name,
            format,
            compression,
            live,
            size,
            position,
            source,
            framing,
            rest: head,
            base: 0,
            eof,
            done: false,
            late,
            held: None,
        })
    }

    /// Leaves the records of merged pcapng sections where they stand, so that
    /// [`Batch::blocks`] tells the block of each. To be called first.
    pub fn keep_file_order(&mut self) {
        if let Framing::Pcapng(framer) = &mut self.framing {
            **framer = PcapngFramer::new(false);
        }
    }

    /// Fills `batch` with the next messages; false when there are no more.
    ///
    /// A live input hands out what has arrived as soon as it holds a message.
    pub fn next_batch(&mut self, batch: &mut Batch) -> Result<bool, InputError> {
        let mut wanted = BATCH;
        loop {
            batch.clear();
            if self.done {
                return Ok(false);
            }
            if matches!(self.framing, Framing::Pcapng(_)) {
                std::mem::swap(&mut batch.data, &mut batch.raw);
            }
            put(batch, &self.rest);
            self.rest.clear();
            self.refill(batch, wanted)?;
            let (base, eof) = (self.base, self.eof);
            let (taken, input) = match &mut self.framing {
                Framing::Stream(framer) => (framer.frame(batch, base, eof), &batch.data),
                Framing::Logbuf(framer) => (framer.frame(batch, base, eof), &batch.data),
                Framing::Pcapng(framer) => {
                    let taken = framer.frame(batch, base, eof);
                    let taken = taken.map_err(|cause| InputError::Read {
                        name: self.name.clone(),
                        offset: base,
                        cause,
                    })?;
                    (taken, &batch.raw)
                }
            };
            let left = input.get(taken..batch.filled).unwrap_or(&[]);
            self.rest.extend_from_slice(left);
            self.base += taken as u64;
            batch.position = self.position.load(Ordering::Relaxed);
            self.join_damage(batch);
            // What a framer holds back comes even after the end of the input.
            if matches!(&self.framing, Framing::Pcapng(framer) if framer.pending()) {
                return Ok(true);
            }
            if self.eof {
                self.done = true;
                batch.damage.extend(self.late.take());
                return Ok(true);
            }
            if !batch.is_empty() {
                return Ok(true);
            }
            // Nothing was whole in this window: look at a larger one.
            if taken == 0 {
                wanted = (wanted * 2).min(MAX_WINDOW).max(self.rest.len() + BATCH);
            }
        }
    }

    /// Damage that goes on over several windows is one: what reaches to the end
    /// of this window is held back until the next one shows where it ends.
    fn join_damage(&mut self, batch: &mut Batch) {
        if let Some(mut held) = self.held.take() {
            match batch.damage.first_mut() {
                Some(first) if first.lost > 0 && first.offset == held.offset + held.lost => {
                    held.lost += first.lost;
                    *first = held;
                }
                _ => batch.damage.insert(0, held),
            }
        }
        let open_ended = batch
            .damage
            .last()
            .is_some_and(|last| last.lost > 0 && last.offset + last.lost == self.base);
        if open_ended && !self.eof {
            self.held = batch.damage.pop();
        }
    }

    fn refill(&mut self, batch: &mut Batch, wanted: usize) -> Result<(), InputError> {
        if batch.data.len() < wanted {
            batch.data.resize(wanted, 0);
        }
        while !self.eof && batch.filled < wanted {
            let room = batch.data.get_mut(batch.filled..wanted).unwrap_or(&mut []);
            let read = read_retried(self.source.as_mut(), room);
            batch.filled += read.as_ref().copied().unwrap_or(0);
            match read {
                Ok(0) => self.eof = true,
                Ok(_) if self.live => break,
                Ok(_) => {}
                Err(e) if self.compression.is_some() => {
                    let offset = self.base + batch.filled as u64;
                    self.late = Some(decompression_damage(offset, &e));
                    self.eof = true;
                }
                Err(cause) => {
                    // What was read before the error is good: frame it first,
                    // and say where reading stopped.
                    let offset = self.base + batch.filled as u64;
                    self.late = Some(Damage {
                        offset,
                        lost: 0,
                        what: format!("reading failed here: {cause}"),
                    });
                    self.eof = true;
                }
            }
        }
        Ok(())
    }

    /// Stored bytes read so far.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }
}
