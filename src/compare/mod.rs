//! What one recorder has and another one lacks: a black box log against a
//! capture of the wire.
//!
//! Both become [`segment::Segment`]s, grouped by connection: [`log::Log`] takes
//! them from records, [`wire::Wire`] from packets. [`matching`] says which are
//! the same, [`clock`] how the clocks differ, [`cause`] why the rest is with
//! one recorder only; [`comparison::Comparison`] is all of that, which
//! [`report`] and [`graph`] show.
//!
//! Another recorder needs only what makes its entries segments. The log of the
//! zero-copy sniffer knows too little for that, and other protocols as well:
//! its packets are counted by [`flow`], beside the segments.

pub mod capture;
pub mod cause;
pub mod clock;
pub mod comparison;
mod counterpart;
pub mod flow;
pub mod graph;
pub mod log;
pub mod matching;
pub mod report;
pub mod segment;
pub mod serials;
pub mod wire;
