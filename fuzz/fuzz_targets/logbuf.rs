#![no_main]

mod drive;

use tcplog::input::InputFormat;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::read_as(data, Some(InputFormat::Logbuf)));
