//! Compressed images become temporary files that have no name.

use super::OpenOptions;
use crate::input::detect::Compression;
use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::sync::atomic::Ordering;

/// Windows of up to 2 GiB: what zstd --long=31 writes. Only as much of one is
/// touched as there is data.
const ZSTD_WINDOW_LOG: u32 = 31;

/// xz -9 needs 65 MiB, xz --lzma2=dict=768MiB a little less than this.
const XZ_MEMORY: u64 = 1 << 30;

/// Bytes that are handled at a time.
const CHUNK: usize = 1 << 20;

/// What is looked for zeros, bytes: blocks of file systems are as large.
const BLOCK: usize = 4096;

/// The name of a compression.
pub(super) fn name(compression: Compression) -> &'static str {
    match compression {
        Compression::Gzip => "gzip",
        Compression::Xz => "xz",
        Compression::Zstd => "zstd",
    }
}

/// A file that was spooled, and what ended it early.
pub(super) struct Unpacked {
    pub file: File,
    pub len: u64,
    pub damage: Option<io::Error>,
    /// More than `limit` bytes would have come.
    pub is_limited: bool,
}

/// Unpacks into a temporary file.
pub(super) fn unpack<'a>(
    reader: impl Read + 'a,
    compression: Compression,
    options: &OpenOptions,
) -> io::Result<Unpacked> {
    let reader = BufReader::with_capacity(CHUNK, reader);
    let unpacked: Box<dyn Read + 'a> = match compression {
        Compression::Gzip => Box::new(MultiGzDecoder::new(reader)),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
            Box::new(XzDecoder::new_stream(reader, stream))
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    };
    spool(unpacked, options)
}

/// Copies into a temporary file in `TMPDIR`, in constant memory. Pages of
/// zeros become holes. What could be read is kept when reading fails; `Err` is
/// a failure to write.
pub(super) fn spool(mut reader: impl Read, options: &OpenOptions) -> io::Result<Unpacked> {
    let limit = options.max_unpacked.unwrap_or(u64::MAX);
    let is_stopped = || {
        let stop = options.stop.as_ref();
        stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    };
    let mut file = tempfile::tempfile()?;
    let mut chunk = vec![0; CHUNK];
    let mut len: u64 = 0;
    let mut damage = None;
    let mut is_limited = false;
    while damage.is_none() && !is_limited {
        let mut filled = 0;
        while let Some(rest) = chunk.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match reader.read(rest) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    damage = Some(e);
                    break;
                }
            }
        }
        if filled == 0 {
            break;
        }
        if is_stopped() {
            return Err(io::Error::other("interrupted"));
        }
        let room = usize::try_from(limit - len).unwrap_or(usize::MAX);
        is_limited = filled > room;
        let bytes = chunk.get(..filled.min(room)).unwrap_or(&[]);
        write_sparse(&mut file, bytes, len)?;
        len += bytes.len() as u64;
    }
    file.set_len(len)?;
    Ok(Unpacked {
        file,
        len,
        damage,
        is_limited,
    })
}

fn write_sparse(file: &mut File, bytes: &[u8], at: u64) -> io::Result<()> {
    let mut blocks = bytes.chunks(BLOCK).enumerate().peekable();
    while let Some((index, block)) = blocks.next() {
        if is_zero(block) {
            continue;
        }
        // Blocks that follow each other are one write.
        let start = index * BLOCK;
        let mut end = start + block.len();
        while let Some((_, block)) = blocks.next_if(|(_, block)| !is_zero(block)) {
            end += block.len();
        }
        file.seek(SeekFrom::Start(at + start as u64))?;
        file.write_all(bytes.get(start..end).unwrap_or(&[]))?;
    }
    Ok(())
}

fn is_zero(block: &[u8]) -> bool {
    let words = block.chunks_exact(16);
    words.remainder().iter().all(|byte| *byte == 0)
        && block.chunks_exact(16).all(|word| {
            word.first_chunk::<16>()
                .is_some_and(|w| u128::from_ne_bytes(*w) == 0)
        })
}
