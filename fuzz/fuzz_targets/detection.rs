#![no_main]

mod drive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::read_as(data, None));
