//! A capture of any bytes, against a log that has the connections of a small
//! one.

#![no_main]

use std::io::Cursor;
use tcplog::compare::capture::Capture;
use tcplog::compare::comparison::Comparison;
use tcplog::compare::graph;
use tcplog::compare::log::{Input, Log};
use tcplog::compare::report::{Form, Shown, report};
use tcplog::compare::wire::Wire;
use tcplog::format::Formats;
use tcplog::input::{self, Batch, Bytes, InputFormat};
use tcplog::select::{Criteria, Picked, Picker};

/// Reads `bytes` as a log.
fn log(bytes: &[u8]) -> Log {
    let mut log = Log::default();
    let source = Bytes::from_reader("log", Cursor::new(bytes.to_vec()));
    let Ok(mut reader) = input::open(source, Some(InputFormat::Stream), Formats::builtin()) else {
        return log;
    };
    let select = Criteria::default()
        .select(&|_| Vec::new())
        .expect("no criteria are good criteria");
    let mut picker = Picker::new(select, Vec::new());
    let (mut batch, mut picked) = (Batch::default(), Picked::default());
    log.source(Input::default());
    while let Ok(true) = reader.next_batch(&mut batch) {
        for message in batch.messages() {
            picker.pick(&message, &mut picked);
            log.piece(&message, &picked);
        }
    }
    log.finish();
    log
}

// The first two bytes say how many of the rest are the log; what is behind
// them is the capture.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&[low, high], rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let len = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
    let (of_log, of_wire) = rest.split_at(len);
    let log = log(of_log);
    let mut wire = Wire::new(&log);
    if let Ok(mut capture) = Capture::open("capture", Cursor::new(of_wire.to_vec())) {
        let _ = wire.read(&mut capture, |_| {});
        for damage in &capture.damage {
            assert!(damage.offset + damage.lost <= of_wire.len() as u64);
        }
    }
    let comparison = Comparison::new(&log, &wire);
    for form in [Form::Text, Form::Json] {
        report(&comparison, Shown { form, most: 5 }).expect("it can be written");
    }
    assert!(graph::svg(&comparison).ends_with("</svg>\n"));
});
