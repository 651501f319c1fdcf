//! Records and packets out of memory.

pub mod blocks;
pub mod candidate;
pub mod clock;
pub mod learn;
pub mod lists;
pub mod pool;
pub mod scan;
pub mod sieve;
