//! Forms of output: one file each.

pub mod csv;
pub mod json;
pub mod pcapng;
pub mod summary;
pub mod text;
pub mod words;

use super::association::Membership;
use super::event::Event;
use super::found::Lost;

/// A form that writes something for each event. Everything is appended to a
/// buffer.
pub trait Form {
    /// A new input begins.
    fn source(&mut self, _name: &str, _out: &mut Vec<u8>) {}

    fn event(&mut self, event: &Event, member: &Membership, out: &mut Vec<u8>);

    /// DTrace says that it lost firings here.
    fn lost(&mut self, _lost: &Lost, _out: &mut Vec<u8>) {}
}

/// What stands for an address in the kernel.
const MASKED: &str = "masked";

/// What this schema is called, and its version.
const KIND: &str = "sctp";
