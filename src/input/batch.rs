//! A buffer of input that owns its bytes, and the pieces of messages in it.

use super::damage::Damage;
use super::pcapng::Block;
use crate::bblog::{Header, Known, Message};
use crate::format::Dialect;
use std::ops::Range;
use std::sync::Arc;

/// Pieces of consecutive messages, in input order.
#[derive(Debug, Default)]
pub struct Batch {
    /// Input bytes that the pieces point into. It keeps its length from use to
    /// use, so that it need not be zeroed before each read.
    pub(super) data: Vec<u8>,
    /// How many bytes of `data` are input.
    pub(super) filled: usize,
    /// Headers that are not in `data`: of messages that began in an earlier
    /// batch, or that were made for records without one.
    pub(super) headers: Vec<u8>,
    pub(super) pieces: Vec<Piece>,
    /// Of pcapng: the input's bytes, and the blocks in them.
    pub raw: Vec<u8>,
    pub blocks: Vec<Block>,
    /// Damage met in this batch, in input order.
    pub damage: Vec<Damage>,
    /// Bytes of the input (as stored, so compressed where it is) read so far.
    pub position: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub dialect: Arc<Dialect>,
    /// True: `header` points into `headers`.
    pub header_apart: bool,
    pub header: Range<usize>,
    pub records: Range<usize>,
    pub known: Known,
    pub first: bool,
    pub last: bool,
    pub offset: u64,
    pub stack_name: Option<Arc<str>>,
}

impl Piece {
    /// The view of this piece, whose header is in `home`.
    fn message<'a>(&'a self, home: &'a [u8], data: &'a [u8]) -> Option<Message<'a>> {
        Some(Message {
            header: Header::new(home.get(self.header.clone())?, &self.dialect)?,
            records: data.get(self.records.clone())?,
            known: self.known,
            first: self.first,
            last: self.last,
            offset: self.offset,
            stack_name: self.stack_name.as_ref(),
            origins: &[],
        })
    }
}

/// One piece of a message that owns its bytes, to be kept for longer than the
/// batch it came in.
#[derive(Debug)]
pub struct Parcel {
    piece: Piece,
    bytes: Vec<u8>,
}

impl Parcel {
    pub fn message(&self) -> Option<Message<'_>> {
        self.piece.message(&self.bytes, &self.bytes)
    }

    /// Bytes of memory.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The buffer, to be used again.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Batch {
    /// The pieces, in input order.
    pub fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        self.pieces.iter().filter_map(|piece| {
            let home = if piece.header_apart {
                &self.headers
            } else {
                &self.data
            };
            piece.message(home, &self.data)
        })
    }

    /// One of the pieces, with a copy of its bytes and no more, in `bytes`.
    pub fn parcel(&self, index: usize, mut bytes: Vec<u8>) -> Option<Parcel> {
        let piece = self.pieces.get(index)?;
        let home = if piece.header_apart {
            &self.headers
        } else {
            &self.data
        };
        let header = home.get(piece.header.clone())?;
        let records = self.data.get(piece.records.clone())?;
        bytes.clear();
        bytes.reserve_exact(header.len().checked_add(records.len())?);
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(records);
        let piece = Piece {
            header_apart: false,
            header: 0..header.len(),
            records: header.len()..bytes.len(),
            ..piece.clone()
        };
        Some(Parcel { piece, bytes })
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.damage.is_empty()
    }

    /// Makes the batch empty and keeps its memory.
    pub fn clear(&mut self) {
        self.filled = 0;
        self.headers.clear();
        self.blocks.clear();
        self.pieces.clear();
        self.damage.clear();
    }
}
