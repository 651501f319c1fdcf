//! Lines of every form of the SCTP provider's probes.

#![no_main]

mod sctp;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sctp::check(b"", bytes));
