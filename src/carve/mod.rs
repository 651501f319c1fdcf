//! Records and packets out of memory.
//!
//! [`sieve`] and [`candidate`] say where a record may be, [`scan`] asks them
//! everywhere. What is found makes a [`pool`]; [`learn`] gives it addresses
//! where the image has none, [`clock`] says what was written in one boot,
//! [`lists`], [`blocks`] and [`owner`] find what holds the records, [`group`]
//! sorts them by connection, and [`carve`] puts it together.

pub mod blocks;
pub mod candidate;
pub mod clock;
pub mod group;
pub mod learn;
pub mod lists;
pub mod owner;
pub mod pool;
pub mod scan;
pub mod sieve;
