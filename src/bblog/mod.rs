//! Borrowed views of messages and records, read through a layout.
//!
//! A [`Record`] is bytes plus a [`Dialect`](crate::format::Dialect);
//! accessors read fields in place and nothing is copied. Parts whose flag is
//! not set hold stale kernel memory, so their accessors return `Option` and
//! obey the flag.

pub mod canonical;
pub mod captured;
pub mod checksum;
pub mod endpoints;
pub mod header;
pub mod message;
pub mod private;
pub mod record;
pub mod stackinfo;
pub mod tcp;

pub use captured::Captured;
pub use endpoints::Endpoints;
pub use header::Header;
pub use message::{Known, Life, Message, Origin};
pub use record::{Record, Records, SockBuf, Verbose};
pub use stackinfo::StackInfo;
pub use tcp::TcpHeader;

/// The bytes of a kernel string up to its NUL, or all of them.
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    match memchr::memchr(0, bytes) {
        Some(end) => &bytes[..end],
        None => bytes,
    }
}
