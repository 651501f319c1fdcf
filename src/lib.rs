//! Reading, selecting and writing FreeBSD TCP blackbox (BBLog) records.
//!
//! A record walks through this crate in one direction, and each module knows
//! only the ones before it:
//!
//! * [`mod@format`]: what a kernel writes, as data: structure layouts, event
//!   names, payloads, flag bits and code tables, read from `formats/*.toml`;
//! * [`bblog`]: borrowed views of messages and records over a layout;
//! * [`meaning`]: what a record says: its payload by name, and a sentence;
//! * [`input`]: bytes become messages: detection, decompression, framing;
//! * [`memory`]: an address space over any image of memory;
//! * [`kernel`]: symbols and structure offsets of a kernel file, and the
//!   kernel's lists walked with them;
//! * [`carve`]: records and saved packets out of memory;
//! * [`sctp`]: a relative: what DTrace prints at the probes of the SCTP
//!   provider, from its text to every form of output;
//! * [`select`]: which records are wanted, and which belong together;
//! * [`output`]: one sink per form: pcapng, stream, text, JSON, CSV, summary;
//! * [`record`]: the collector: from the device to files, for months;
//! * [`zcs`]: the text log of the zero-copy sniffer, a relative of the black box;
//! * [`compare`]: what a log has and a capture of the wire lacks, and the
//!   reverse;
//! * [`cli`]: the command line; it parses, wires the above together, and owns
//!   no logic.

pub mod bblog;
pub mod carve;
pub mod cli;
pub mod compare;
pub mod format;
pub mod input;
pub mod kernel;
pub mod meaning;
pub mod memory;
pub mod output;
pub mod record;
pub mod sctp;
pub mod select;
pub mod zcs;
