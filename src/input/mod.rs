//! Bytes become messages: opening, decompression, recognition and framing.
//!
//! [`open`] gives a [`Reader`], whatever the kind of the input. It hands out
//! [`Batch`]es: a buffer that owns its bytes and knows the pieces of messages
//! in it, so that batches can travel between threads while records are never
//! copied one by one.

pub mod batch;
pub mod bytes;
pub mod damage;
pub mod detect;
pub mod logbuf;
pub mod pcapng;
pub mod reader;
pub mod stream;

pub use batch::{Batch, Parcel};
pub use bytes::Bytes;
pub use damage::Damage;
pub use detect::InputFormat;
pub use reader::{Opened, Reader, open, recognised};

use std::io;

/// Why an input cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("{name}: {cause}")]
    Open { name: String, cause: io::Error },
    #[error("{name}: read failed at byte {offset}: {cause}")]
    Read {
        name: String,
        offset: u64,
        cause: io::Error,
    },
    /// A kind of text that holds no black box records.
    #[error("{name}: {format} holds no black box records, and this takes nothing else")]
    NoRecords { name: String, format: InputFormat },
    #[error("{name}: not black box data: {why}")]
    Unknown { name: String, why: String },
}
