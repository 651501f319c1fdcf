//! What DTrace prints at the probes of the SCTP provider: a relative of the
//! black box log for FreeBSD's other transport.
//!
//! * [`probes`]: the probes and how their arguments are packed, from
//!   `formats/dtrace/sctp.toml`;
//! * [`trace`]: text, JSON or XML become [`Event`]s: [`line`](mod@line),
//!   [`table`], [`firing`] with [`json`] and [`xml`];
//! * [`associations`]: events of one [`association`] belong together;
//! * [`wanted`]: which events are wanted;
//! * [`write`](mod@write): text, JSON, CSV, a summary, pcapng.

pub mod association;
pub mod associations;
pub mod event;
pub mod field;
pub mod firing;
pub mod found;
pub mod json;
pub mod line;
pub mod path;
pub mod probes;
pub mod recognise;
pub mod structured;
pub mod table;
pub mod token;
pub mod trace;
pub mod wanted;
pub mod write;
pub mod xml;

pub use association::{Association, Membership};
pub use associations::Associations;
pub use event::Event;
pub use field::{Address, Field};
pub use found::Found;
pub use probes::Probes;
pub use trace::Trace;
pub use wanted::Wanted;
