//! One sink per form of output.
//!
//! A sink takes pieces of messages with what is wanted of them, in input
//! order, and writes its form. Adding a form adds one file here.

pub mod carved;
pub mod clock;
pub mod connections;
pub mod context;
pub mod csv;
pub mod escape;
pub mod fields;
pub mod files;
pub mod json;
pub mod json_text;
pub mod pcapng;
pub mod rows;
pub mod runs;
#[cfg(test)]
pub(crate) mod samples;
pub mod segment;
pub mod show;
pub mod steps;
pub mod stream;
pub mod summary;
pub mod words;

use crate::bblog::{Captured, Message};
use crate::input::Batch;
use crate::select::Picked;
use std::io;

/// A batch, and what was picked of each of its pieces.
#[derive(Default)]
pub struct Job {
    pub batch: Batch,
    pub picks: Vec<Picked>,
}

/// Takes pieces of messages and writes them in some form.
pub trait Sink {
    /// A new input begins; `name` is what to call it.
    fn source(&mut self, _name: &str) {}

    /// One piece, of which `picked` is wanted.
    fn piece(&mut self, message: &Message<'_>, picked: &Picked) -> io::Result<()>;

    /// A packet of the connection of `message`, in the order of its records.
    /// Forms that only know records leave it out.
    fn packet(&mut self, _message: &Message<'_>, _packet: &Captured<'_>) -> io::Result<()> {
        Ok(())
    }

    /// Everything taken so far is to be readable by others now.
    fn flush(&mut self) -> io::Result<()>;

    /// Nothing more comes.
    fn finish(&mut self) -> io::Result<()>;
}
