//! Records and packets out of memory.
//!
//! [`sieve`] and [`candidate`] say where a record may be, [`scan`] asks them
//! everywhere. What is found makes a [`pool`]; [`learn`] gives it addresses
//! where the image has none, [`clock`] says what was written in one boot,
//! [`lists`], [`blocks`] and [`owner`] find what holds the records ([`pointers`]
//! where that is larger than a page), [`group`]
//! sorts them by connection, and [`join`] puts it together. [`tcppcap`] does
//! the like for saved packets; [`symbols`] says what a kernel file knows better,
//! and [`run`] runs it all.

mod assemble;
mod best_fit;
pub mod blocks;
pub mod candidate;
mod chain;
pub mod clock;
pub mod group;
pub mod join;
pub mod learn;
pub mod lists;
pub mod mbuf;
pub mod mbufq;
pub mod owner;
pub mod packet;
pub mod phase;
pub mod pointers;
pub mod pool;
pub mod repair;
pub mod run;
pub mod scan;
pub mod segment;
pub mod sieve;
pub mod symbols;
pub mod tcppcap;
pub mod times;
