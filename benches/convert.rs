//! Framing, encoding and the round trip over genuine records, in memory.
//!
//! `--make-stream` writes target/bench/stream-200mb.bin instead, for measuring
//! whole commands beside `cp`; see CONTRIBUTING.

use divan::Bencher;
use divan::counter::BytesCount;
use std::fs;
use std::io::{self, Cursor};
use std::path::Path;
use tcplog::format::Formats;
use tcplog::input::{self, Batch, Bytes};
use tcplog::meaning::StackNames;
use tcplog::output::Sink;
use tcplog::output::pcapng::{Options, PcapngSink};
use tcplog::select::{Picked, Picker, Select};

fn main() {
    if std::env::args().any(|arg| arg == "--make-stream") {
        make_stream().expect("the stream can be written");
        return;
    }
    divan::main();
}

/// All genuine streams of testdata, back to back.
fn genuine() -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/streams");
    let mut paths: Vec<_> = fs::read_dir(dir)
        .expect("testdata/streams is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.to_string_lossy().ends_with(".bin.zst"))
        .collect();
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let file = fs::File::open(path).expect("readable");
        zstd::stream::copy_decode(file, &mut all).expect("genuine streams decompress");
    }
    all
}

fn make_stream() -> io::Result<()> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&dir)?;
    let once = genuine();
    let times = 200_000_000 / once.len();
    let path = dir.join("stream-200mb.bin");
    fs::write(&path, once.repeat(times))?;
    println!("{}: {} bytes", path.display(), once.len() * times);
    Ok(())
}

/// Drives `data` through `take`, piece by piece.
fn drive(data: &[u8], mut take: impl FnMut(&tcplog::bblog::Message<'_>, &Picked)) {
    let bytes = Bytes::from_reader("bench", Cursor::new(data.to_vec()));
    let mut reader = input::open(bytes, None, Formats::builtin()).expect("a stream");
    let mut picker = Picker::new(Select::default(), Vec::new());
    let mut picked = Picked::default();
    let mut batch = Batch::default();
    while reader.next_batch(&mut batch).expect("reads from memory") {
        for message in batch.messages() {
            picker.pick(&message, &mut picked);
            take(&message, &picked);
        }
    }
}

#[divan::bench]
fn framing(bencher: Bencher) {
    let data = genuine();
    bencher.counter(BytesCount::new(data.len())).bench(|| {
        drive(&data, |message, _| {
            divan::black_box(message);
        })
    });
}

#[divan::bench(args = [false, true])]
fn pcapng(bencher: Bencher, comments: bool) {
    let data = genuine();
    bencher.counter(BytesCount::new(data.len())).bench(|| {
        let options = Options {
            comments,
            compat: false,
            dumptime: 0,
            release: None,
            stacks: StackNames::default(),
        };
        let mut sink = PcapngSink::new(options, Formats::builtin(), io::sink());
        drive(&data, |message, picked| {
            sink.piece(message, picked).expect("a sink takes all");
        });
        sink.finish().expect("a sink takes all");
    });
}
