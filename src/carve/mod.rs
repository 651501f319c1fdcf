//! Records and packets out of memory.

pub mod candidate;
pub mod scan;
pub mod sieve;
