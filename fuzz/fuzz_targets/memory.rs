#![no_main]

use std::io::Write;
use tcplog::memory::{AddressSpace, OpenOptions, open};

// Any bytes are some image: whatever it says of itself, everything in it is
// read, and addresses lead only to what is there.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(data).expect("writing to it");
    let options = OpenOptions {
        max_unpacked: Some(64 << 20),
        ..OpenOptions::default()
    };
    let Ok(image) = open(file.path(), &options) else {
        return;
    };
    let mut scratch = Vec::new();
    for extent in image.extents() {
        let bytes = image.bytes(extent.offset, usize::MAX, &mut scratch);
        assert!(bytes.len() as u64 == extent.len);
        assert!(extent.offset + extent.len <= image.size);
    }
    // The input chooses the addresses as well.
    for word in data.chunks_exact(8).take(512) {
        let address = u64::from_le_bytes(word.try_into().expect("eight bytes"));
        for found in [image.find_virtual(address), image.find_physical(address)] {
            assert!(found.is_none_or(|(at, len)| len > 0 && at + len <= image.size));
        }
    }
});
