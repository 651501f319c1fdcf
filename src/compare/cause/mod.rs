//! Why only one recorder has a segment.

mod log;
mod wire;

pub use log::{Captured, LogCause};
pub use wire::{Surroundings, WireCause};
