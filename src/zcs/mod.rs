//! The text log of the zero-copy sniffer of 2006, a relative of the black box.
//!
//! Evgeniy Polyakov's network allocator for Linux 2.6 let a program map the
//! chunks that packets lived in. The program printed, for each chunk, two lines:
//!
//! ```text
//! dump  448.1024: ptr: 0xc19fa880, start: 0xc19f8000, size: 1828, off: 501888: entry: 0, cpu: 0:
//!         00:11:09:61:eb:0e -> 00:10:22:fd:c4:d6, type: 0800, 192.168.0.48:57758 -> 192.168.4.78:5632, proto: 6,
//! ```
//!
//! Such a log was published in a blog (1 September 2006); no source of the
//! program is known. What is read here is what that log shows: [`Log`] finds the
//! entries in any text, [`Entry`] is one of them, [`Checks`] says whether its
//! numbers agree, [`read`] gives the wanted ones to a [`Sink`]: [`ShowSink`],
//! [`InfoSink`] or [`FrameSink`].
//!
//! The log knows neither times nor lengths of packets, and `size` is that of an
//! allocation. Memory use does not depend on the length of the input.

mod cells;
mod checks;
mod entry;
mod frames;
mod grammar;
mod info;
mod log;
mod ports;
mod read;
mod show;
mod text;
mod tokens;

pub use checks::{Checks, NODE_SIZE};
pub use entry::{Entry, Ipv4};
pub use frames::FrameSink;
pub use info::{InfoForm, InfoSink};
pub use log::{Damage, Item, Log, recognises};
pub use ports::PortOrder;
pub use read::{Asked, Decided, Failed, Found, Row, Sink, read};
pub use show::{Form, ShowSink};
