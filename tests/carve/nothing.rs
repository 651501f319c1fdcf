//! Memory without records: nothing is found, and no file is left.

use crate::support::put;
use crate::truth::{carve, found_in, is_there};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const MIB: usize = 1 << 20;

/// Numbers that are the same in every run (xorshift64*).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes
}

/// Nothing is found in any form of output, and no output is written: but for
/// JSON, whose empty file says that nothing was found.
#[track_caller]
fn has_nothing(name: &str, image: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.pcapng");
    let ran = carve(&[image], &["-o", output.to_str().unwrap()]);
    assert_eq!(ran.status, 1, "{name}: {}", ran.stderr);
    assert!(
        ran.stderr.contains("written: 0 records, 0 packets"),
        "{name}: {}",
        ran.stderr
    );
    assert!(!is_there(&output), "{name}");
    let ran = carve(
        &[image],
        &[
            "-q",
            "--split",
            "message",
            "-D",
            dir.path().to_str().unwrap(),
        ],
    );
    assert_eq!((ran.status, ran.stderr.as_str()), (1, ""), "{name}");
    assert_eq!(dir.path().read_dir().unwrap().count(), 0, "{name}");
}

#[test]
fn plain_memory() {
    let dir = tempfile::tempdir().unwrap();
    let fillings = [
        ("random", noise(64 * MIB)),
        ("zeros", vec![0; 64 * MIB]),
        ("0xdeadc0de", 0xdead_c0deu32.to_le_bytes().repeat(16 * MIB)),
        ("ones", vec![0xff; 8 * MIB]),
        // Small numbers, of which tables in memory consist.
        (
            "counters",
            (0..4 * MIB as u32)
                .flat_map(|n| (n % 5000).to_le_bytes())
                .collect(),
        ),
        (
            "small long numbers",
            noise(MIB)
                .iter()
                .flat_map(|n| u64::from(*n).to_le_bytes())
                .collect(),
        ),
    ];
    for (name, bytes) in fillings {
        has_nothing(name, &put(dir.path(), "image", &bytes));
    }
}

#[test]
fn tiny_files() {
    for bytes in [&b""[..], b"x", b"\x7fELF", b"minidump FreeBSD/amd64\0\0"] {
        let found = found_in(bytes, &[]);
        assert!([1, 2].contains(&found.ran.status), "{:?}", found.ran);
        assert!(found.records.is_empty() && found.packets.is_empty());
    }
}

/// A core of a process that waits, as Linux would write it. It is of another
/// process than this one, which holds genuine records for other tests.
#[test]
fn a_process_of_linux() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tcplog"))
        .args(["show", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", child.id())).unwrap();
    let mut memory = File::open(format!("/proc/{}/mem", child.id())).unwrap();
    let mut segments: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut room = 96 * MIB;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, access) = (words.next().unwrap(), words.next().unwrap());
        if !access.starts_with('r') || line.contains("[v") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        let len = ((end - start) as usize).min(room);
        let mut bytes = Vec::new();
        memory.seek(SeekFrom::Start(start)).unwrap();
        // What was unmapped since then is not there.
        let _ = (&mut memory).take(len as u64).read_to_end(&mut bytes);
        room -= bytes.len();
        segments.push((start, bytes));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(96 * MIB - room > 4 * MIB, "{room}");
    let dir = tempfile::tempdir().unwrap();
    let core = linux_core(&segments);
    has_nothing("core", &put(dir.path(), "core", &core));
}

fn linux_core(segments: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let count = segments.len() as u16;
    for (at, value) in [
        (16, 4),
        (18, 62),
        (20, 1),
        (32, 64),
        (52, 64),
        (54, 56),
        (56, count),
    ] {
        file[at..at + 2].copy_from_slice(&u16::to_le_bytes(value));
    }
    let mut at = (64 + 56 * segments.len() as u64).next_multiple_of(4096);
    for (address, bytes) in segments {
        file.extend(1u32.to_le_bytes());
        file.extend(6u32.to_le_bytes());
        let len = bytes.len() as u64;
        for value in [at, *address, 0, len, len, 4096] {
            file.extend(value.to_le_bytes());
        }
        at += len;
    }
    file.resize(file.len().next_multiple_of(4096), 0);
    for (_, bytes) in segments {
        file.extend(bytes);
    }
    file
}
