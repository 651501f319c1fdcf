//! Reading traces of the SCTP provider: genuine lines, in memory.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use tcplog::sctp::write::{Form, json::Json, pcapng::Pcapng};
use tcplog::sctp::{Associations, Found, Trace};

/// Bytes that one run reads, at least.
const BYTES: usize = 64 * 1024 * 1024;

fn main() {
    divan::main();
}

/// Genuine lines of both runs, over and over.
fn lines() -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/sctp");
    let mut once = Vec::new();
    for name in ["rtcc", "rfc2581"] {
        let file = File::open(dir.join(format!("{name}.probes.txt.zst"))).expect("is there");
        zstd::stream::copy_decode(file, &mut once).expect("decompresses");
    }
    once.repeat(BYTES / once.len() + 1)
}

fn counted(bencher: Bencher<'_, '_>, run: impl Fn(&[u8]) + Sync) {
    let lines = lines();
    let items = lines.iter().filter(|b| **b == b'\n').count();
    bencher
        .counter(BytesCount::new(lines.len()))
        .counter(ItemsCount::new(items))
        .bench(|| run(&lines));
}

fn each(lines: impl Read, mut take: impl FnMut(Found<'_>)) {
    let mut trace = Trace::new(lines);
    let mut take = |found: Found<'_>| {
        take(found);
        Ok(())
    };
    while trace.advance(&mut take).expect("taking does not fail") {}
}

/// Lines become events.
#[divan::bench(sample_count = 10)]
fn decode(bencher: Bencher) {
    counted(bencher, |lines| {
        let mut events = 0;
        each(lines, |found| {
            if let Found::Event(event) = found {
                events += u64::from(divan::black_box(event).cpu.is_some());
            }
        });
        assert!(events > 0);
    });
}

/// And find their associations: what `info` does.
#[divan::bench(sample_count = 10)]
fn associate(bencher: Bencher) {
    counted(bencher, |lines| {
        let mut associations = Associations::default();
        each(lines, |found| {
            if let Found::Event(event) = found {
                divan::black_box(associations.take(event, |_| true, &mut |_| {}));
            }
        });
        assert_eq!(associations.finish().len(), 4);
    });
}

fn written(bencher: Bencher<'_, '_>, form: impl Fn() -> Box<dyn Form> + Sync) {
    counted(bencher, |lines| {
        let mut associations = Associations::default();
        let mut form = form();
        let mut out = Vec::new();
        each(lines, |found| {
            if let Found::Event(event) = found {
                let member = associations.take(event, |_| true, &mut |_| {});
                form.event(event, &member.expect("all are wanted"), &mut out);
                if out.len() > 128 * 1024 {
                    out.clear();
                }
            }
        });
    });
}

#[divan::bench(sample_count = 5)]
fn json(bencher: Bencher) {
    written(bencher, || Box::new(Json::new(false)));
}

#[divan::bench(sample_count = 5)]
fn pcapng(bencher: Bencher) {
    written(bencher, || Box::new(Pcapng::new(true)));
}
