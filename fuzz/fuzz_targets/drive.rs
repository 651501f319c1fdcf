//! From bytes to a sink, without the command line.

use std::io::Cursor;
use tcplog::format::Formats;
use tcplog::input::{self, Batch, Bytes, InputError, InputFormat};
use tcplog::meaning::StackNames;
use tcplog::output::Sink;
use tcplog::output::pcapng::{Options, PcapngSink};
use tcplog::output::stream::{Form, StreamSink};
use tcplog::select::{Criteria, Picked, Picker};

fn drive<S: Sink>(bytes: &[u8], format: Option<InputFormat>, mut sink: S) -> Result<S, InputError> {
    let source = Bytes::from_reader("input", Cursor::new(bytes.to_vec()));
    let mut reader = input::open(source, format, Formats::builtin())?;
    let select = Criteria::default()
        .select(&|_| Vec::new())
        .expect("no criteria are good criteria");
    let mut picker = Picker::new(select, Vec::new());
    let (mut batch, mut picked) = (Batch::default(), Picked::default());
    while reader.next_batch(&mut batch)? {
        for damage in &batch.damage {
            assert!(damage.offset.checked_add(damage.lost).is_some());
        }
        for message in batch.messages() {
            picker.pick(&message, &mut picked);
            sink.piece(&message, &picked).expect("writing to memory");
        }
    }
    sink.finish().expect("writing to memory");
    Ok(sink)
}

/// As `convert --format stream`.
#[allow(dead_code)] // Each target uses its own part.
pub fn to_stream(bytes: &[u8], format: Option<InputFormat>) -> Result<Vec<u8>, InputError> {
    let sink = drive(bytes, format, StreamSink::new(Form::Stream, Vec::new()))?;
    Ok(sink.into_inner())
}

/// As `convert`.
#[allow(dead_code)]
pub fn to_pcapng(bytes: &[u8], format: Option<InputFormat>) -> Result<Vec<u8>, InputError> {
    let options = Options {
        comments: true,
        compat: false,
        dumptime: 0,
        release: None,
        stacks: StackNames::default(),
    };
    let sink = drive(
        bytes,
        format,
        PcapngSink::new(options, Formats::builtin(), Vec::new()),
    )?;
    Ok(sink.into_inner())
}

/// Reads bytes as this kind and writes every form.
#[allow(dead_code)]
pub fn read_as(bytes: &[u8], format: Option<InputFormat>) {
    let _ = to_stream(bytes, format);
    let _ = to_pcapng(bytes, format);
}
