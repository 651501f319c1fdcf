//! Records and packets out of memory.

pub mod candidate;
pub mod lists;
pub mod pool;
pub mod scan;
pub mod sieve;
