//! The library without the command line, for tests with very many inputs.

use std::io::Cursor;
use tcplog::format::Formats;
use tcplog::input::{self, Batch, Bytes, Damage, InputError};
use tcplog::meaning::StackNames;
use tcplog::output::Sink;
use tcplog::output::pcapng::{Options, PcapngSink};
use tcplog::output::stream::{Form, StreamSink};
use tcplog::select::{Criteria, Picked, Picker};

/// What came out, and what was found damaged.
pub type Outcome = Result<(Vec<u8>, Vec<Damage>), InputError>;

fn drive<S: Sink>(bytes: &[u8], mut sink: S) -> Result<(S, Vec<Damage>), InputError> {
    let source = Bytes::from_reader("input", Cursor::new(bytes.to_vec()));
    let mut reader = input::open(source, None, Formats::builtin())?;
    let select = Criteria::default().select(&|_| Vec::new()).unwrap();
    let mut picker = Picker::new(select, Vec::new());
    let (mut batch, mut damage) = (Batch::default(), Vec::new());
    let mut picked = Picked::default();
    while reader.next_batch(&mut batch)? {
        damage.append(&mut batch.damage);
        for message in batch.messages() {
            picker.pick(&message, &mut picked);
            sink.piece(&message, &picked).unwrap();
        }
    }
    sink.finish().unwrap();
    Ok((sink, damage))
}

/// As `convert --format stream`.
pub fn to_stream(bytes: &[u8]) -> Outcome {
    let (sink, damage) = drive(bytes, StreamSink::new(Form::Stream, Vec::new()))?;
    Ok((sink.into_inner(), damage))
}

/// As `convert`, with or without comments.
pub fn to_pcapng(bytes: &[u8], comments: bool) -> Outcome {
    let options = Options {
        comments,
        compat: false,
        dumptime: 1_700_000_000,
        release: None,
        stacks: StackNames::default(),
    };
    let sink = PcapngSink::new(options, Formats::builtin(), Vec::new());
    let (sink, damage) = drive(bytes, sink)?;
    Ok((sink.into_inner(), damage))
}
