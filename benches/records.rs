//! Framing, encoding and explaining genuine records, in memory.
//!
//! `--make-stream` writes target/bench/stream-200mb.bin instead, for measuring
//! whole commands beside `cp`; see CONTRIBUTING.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use std::fs;
use std::io::{self, Cursor};
use std::path::Path;
use tcplog::format::Formats;
use tcplog::input::{self, Batch, Bytes};
use tcplog::meaning::StackNames;
use tcplog::output::Sink;
use tcplog::output::context::Context;
use tcplog::output::csv::CsvSink;
use tcplog::output::json::JsonSink;
use tcplog::output::pcapng::{Options, PcapngSink};
use tcplog::output::show::TextSink;
use tcplog::output::summary::{SummaryForm, SummarySink};
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

fn context() -> Context {
    Context {
        formats: Formats::builtin(),
        release: None,
        stacks: StackNames::default(),
        verbosity: 0,
        show_pointers: false,
        color: false,
        relative_seq: false,
        time: Default::default(),
    }
}

/// Items are records.
fn readable(bencher: Bencher<'_, '_>, sink: impl Fn() -> Box<dyn Sink> + Sync) {
    let data = genuine();
    let mut records = 0;
    drive(&data, |message, _| records += message.records().count());
    bencher.counter(ItemsCount::new(records)).bench(|| {
        let mut sink = sink();
        drive(&data, |message, picked| {
            sink.piece(message, picked).expect("a sink takes all");
        });
        sink.finish().expect("a sink takes all");
    });
}

#[divan::bench]
fn text(bencher: Bencher) {
    readable(bencher, || Box::new(TextSink::new(io::sink(), context())));
}

#[divan::bench]
fn json(bencher: Bencher) {
    readable(bencher, || Box::new(JsonSink::new(io::sink(), context())));
}

#[divan::bench]
fn csv(bencher: Bencher) {
    readable(bencher, || Box::new(CsvSink::new(io::sink(), context())));
}

#[divan::bench]
fn info(bencher: Bencher) {
    readable(bencher, || {
        let form = SummaryForm::Text;
        Box::new(SummarySink::new(io::sink(), form, context()))
    });
}
