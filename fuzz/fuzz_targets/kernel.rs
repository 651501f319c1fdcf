#![no_main]

use tcplog::kernel;

// Whatever a kernel file says, its fields lie inside their structures.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(kernel) = kernel::parse("kernel", data) else {
        return;
    };
    for structure in kernel.structures.iter() {
        for field in &structure.fields {
            let end = u64::from(field.place.offset) + u64::from(field.place.size);
            assert!(end <= structure.size, "{} {}", structure.name, field.name);
        }
    }
});
