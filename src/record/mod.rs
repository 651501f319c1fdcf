//! The collector: reads the device for as long as it runs, and writes files
//! that are whole whatever happens.
//!
//! One thread reads, and never waits for a disk: it frames messages, picks what
//! is wanted and puts it into a [`queue`] that is bounded in bytes. Each
//! [`writer`] has the connections of its lane, so the order within a connection
//! holds. A file grows as [`part`], by whole frames; it has its name before the
//! [`index`] tells of it, so what the index names is there, and what an earlier
//! run left unfinished is finished by [`recover`].

pub mod about;
pub mod budget;
pub mod buffers;
pub mod check;
pub mod collector;
pub mod compress;
pub mod counters;
pub mod directory;
pub mod index;
pub mod kernel;
pub mod log;
pub mod part;
pub mod privileges;
pub mod queue;
pub mod recover;
pub mod sandbox;
pub mod shared;
pub mod source;
pub mod writer;
