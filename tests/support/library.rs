//! The library without the command line, for tests with very many inputs.

use std::io::Cursor;
use tcplog::bblog::{Message, Record};
use tcplog::format::{Formats, Release};
use tcplog::input::{self, Batch, Bytes, Damage, InputError};
use tcplog::meaning::{Explained, Meanings, StackNames};
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

/// Goes through the messages of a stream as the readable forms do: what a
/// message betrays is known before its records are explained. Gives what is
/// known in the end.
pub fn learned(
    bytes: &[u8],
    release: Option<Release>,
    names: &[&str],
    mut each: impl FnMut(usize, &Message<'_>, &mut Meanings),
) -> Meanings {
    let pairs = names.iter().filter_map(|pair| pair.split_once('='));
    let pairs: Vec<_> = pairs
        .map(|(id, name)| (id.parse().unwrap(), name.to_owned()))
        .collect();
    let stacks = StackNames::new(&pairs);
    let label = |name: &str| name.as_bytes().to_vec();
    let mut meanings = Meanings::new(Formats::builtin(), release, stacks, label);
    let source = Bytes::from_reader("input", Cursor::new(bytes.to_vec()));
    let mut reader = input::open(source, None, Formats::builtin()).unwrap();
    let (mut batch, mut at) = (Batch::default(), 0);
    while reader.next_batch(&mut batch).unwrap() {
        assert!(batch.damage.is_empty());
        for message in batch.messages() {
            at += usize::from(message.first && message.offset > 0);
            meanings.learn(&message);
            each(at, &message, &mut meanings);
        }
    }
    meanings
}

/// Gives each record of a stream with the number of its message.
pub fn explained(
    bytes: &[u8],
    release: Option<Release>,
    names: &[&str],
    mut each: impl FnMut(usize, &Record<'_>, &Explained<'_, '_>),
) {
    learned(bytes, release, names, |at, message, meanings| {
        let plan = meanings.plan(message.dialect());
        for record in message.records() {
            each(at, &record, &meanings.explain(&plan, message, &record));
        }
    });
}
