#![no_main]

mod drive;

use tcplog::input::InputFormat;

// Whatever could be read is whole once it is pcapng: it comes back, and coming
// back once more changes nothing.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(pcapng) = drive::to_pcapng(data, Some(InputFormat::Stream)) else {
        return;
    };
    if pcapng.is_empty() {
        return;
    }
    let Ok(stream) = drive::to_stream(&pcapng, None) else {
        panic!("our own pcapng is not recognised");
    };
    let Ok(again) = drive::to_pcapng(&stream, Some(InputFormat::Stream)) else {
        panic!("our own stream is not read");
    };
    let back = drive::to_stream(&again, None).unwrap_or_default();
    assert!(back == stream, "the second way round differs");
});
