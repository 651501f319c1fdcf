//! Comparing a log with a capture: `cargo bench --bench compare`.

use std::io::{Cursor, Read};
use std::path::Path;
use tcplog::compare::capture::Capture;
use tcplog::compare::log::Log;
use tcplog::compare::matching::{Sides, matches};
use tcplog::compare::segment::{Direction, Options, Segment, Tcp};
use tcplog::compare::wire::Wire;

/// Segments of the made connection.
const SEGMENTS: u32 = 200_000;

fn main() {
    divan::main();
}

fn segment(at: u32, seq: u32, len: u32, options: &[u8]) -> Segment {
    Segment {
        connection: 0,
        direction: Direction::Out,
        tcp: Some(Tcp {
            seq,
            ack: 1,
            flags: 0x10,
            is_closed: false,
            options: Options::of(options),
        }),
        len,
        time: Some(i64::from(at) * 10_000),
        place: i64::from(at),
        failed: false,
        selected: true,
    }
}

fn run(bencher: divan::Bencher, log: &[Segment], wire: &[Segment]) {
    let sides = Sides {
        log,
        wire,
        flipped: false,
    };
    bencher
        .counter(divan::counter::ItemsCount::new(log.len() + wire.len()))
        .bench(|| matches(sides));
}

/// Every record is one packet.
#[divan::bench]
fn one_to_one(bencher: divan::Bencher) {
    let make = |at: u32| segment(at, at.wrapping_mul(1448), 1448, &at.to_be_bytes());
    let all: Vec<Segment> = (0..SEGMENTS).map(make).collect();
    run(bencher, &all, &all);
}

/// Every record is ten packets.
#[divan::bench]
fn divided(bencher: divan::Bencher) {
    let make = |at: u32| segment(at, at.wrapping_mul(1448), 1448, b"");
    let wire: Vec<Segment> = (0..SEGMENTS).map(make).collect();
    let make = |at: u32| segment(10 * at, at.wrapping_mul(14_480), 14_480, b"");
    let log: Vec<Segment> = (0..SEGMENTS / 10).map(make).collect();
    run(bencher, &log, &wire);
}

/// Everything is the same.
#[divan::bench]
fn all_alike(bencher: divan::Bencher) {
    let all: Vec<Segment> = (0..SEGMENTS).map(|at| segment(at, 0, 0, b"")).collect();
    run(bencher, &all, &all[..all.len() - 1]);
}

/// Packets of a genuine capture, again and again.
#[divan::bench]
fn packets(bencher: divan::Bencher) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/captures/multi.pcap.zst");
    let file = std::fs::File::open(path).expect("a genuine capture");
    let mut once = Vec::new();
    let mut decoder = zstd::stream::read::Decoder::new(file).expect("zstd");
    decoder.window_log_max(27).expect("a window");
    decoder.read_to_end(&mut once).expect("a whole capture");
    let mut all = once.clone();
    for _ in 0..40 {
        all.extend_from_slice(&once[24..]);
    }
    bencher
        .counter(divan::counter::BytesCount::new(all.len()))
        .with_inputs(|| Cursor::new(all.clone()))
        .bench_values(|source| {
            let mut wire = Wire::new(&Log::default());
            let mut capture = Capture::open("bench", source).expect("a capture");
            wire.read(&mut capture, |_| {}).expect("Ethernet");
            wire
        });
}
