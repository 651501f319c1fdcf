//! Forms that write a line or more for each record: text, JSON and CSV.
//!
//! [`RowSink`] walks the records and explains them; a [`Rows`] says how its
//! form writes one.

use super::Sink;
use super::context::Context;
use super::fields::{FieldSets, Fields};
use super::steps::{Step, Steps};
use crate::bblog::{Captured, Message, Record};
use crate::meaning::{Evidence, Explained, Meanings, StackOf};
use crate::select::Picked;
use std::io::{self, Write};

/// Bytes that are gathered before they are written.
const CHUNK: usize = 128 * 1024;

/// A record and what is known of it.
pub struct Row<'a> {
    pub message: &'a Message<'a>,
    pub record: Record<'a>,
    pub stack: Option<StackOf<'a>>,
    /// Its event and payload.
    pub explained: Explained<'a, 'a>,
    /// Its state fields.
    pub fields: &'a Fields,
    pub evidence: &'a Evidence,
}

/// A form of output that has rows.
pub trait Rows {
    /// How the form writes the name of a field.
    fn label(name: &str) -> Vec<u8>;

    fn source(&mut self, name: &str);

    /// What comes before all rows.
    fn head(&mut self, _out: &mut Vec<u8>) {}

    /// A piece of a message, wanted or not.
    fn see(&mut self, _message: &Message<'_>, _picked: &Picked) {}

    /// A piece of a message begins, of which something is wanted.
    fn piece(
        &mut self,
        out: &mut Vec<u8>,
        message: &Message<'_>,
        picked: &Picked,
        meanings: &Meanings,
    );

    /// The state fields that the records of the piece have.
    fn fields(&mut self, _fields: &Fields) {}

    /// Serial numbers that are missing between the rows around.
    fn missing(&mut self, out: &mut Vec<u8>, first: u32, count: u32);

    fn record(&mut self, out: &mut Vec<u8>, row: &Row<'_>);

    /// A packet without a record.
    fn packet(&mut self, _out: &mut Vec<u8>, _message: &Message<'_>, _packet: &Captured<'_>) {}
}

/// Writes rows.
pub struct RowSink<R, W> {
    rows: R,
    meanings: Meanings,
    field_sets: FieldSets,
    steps: Steps,
    buffer: Vec<u8>,
    out: W,
}

impl<R: Rows, W: Write> RowSink<R, W> {
    pub(super) fn of(mut rows: R, context: &Context, out: W) -> RowSink<R, W> {
        let mut buffer = Vec::with_capacity(CHUNK + 8 * 1024);
        rows.head(&mut buffer);
        RowSink {
            rows,
            meanings: context.meanings(R::label),
            field_sets: FieldSets::new(R::label),
            steps: Steps::default(),
            buffer,
            out,
        }
    }

    pub fn into_inner(self) -> W {
        self.out
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl<R: Rows, W: Write> Sink for RowSink<R, W> {
    fn source(&mut self, name: &str) {
        self.meanings.forget();
        self.rows.source(name);
    }

    fn piece(&mut self, message: &Message<'_>, picked: &Picked) -> io::Result<()> {
        let steps = self.steps.of(message, picked);
        self.meanings.begin(message);
        self.rows.see(message, picked);
        if picked.is_empty() {
            self.meanings.end(message);
            return Ok(());
        }
        self.rows
            .piece(&mut self.buffer, message, picked, &self.meanings);
        let mut plan = self.meanings.plan(message.dialect());
        let fields = self.field_sets.of(message.dialect());
        self.rows.fields(&fields);
        for step in steps {
            match step {
                Step::Missing { first, count } => {
                    self.rows.missing(&mut self.buffer, first, count);
                }
                Step::Record(record) => {
                    self.meanings.reach(message, &record);
                    if plan.release != self.meanings.release(message.dialect()) {
                        plan = self.meanings.plan(message.dialect());
                    }
                    let row = Row {
                        message,
                        record,
                        stack: self.meanings.stack_of(message, &record),
                        explained: self.meanings.explain(&plan, message, &record),
                        fields: &fields,
                        evidence: self.meanings.evidence(),
                    };
                    self.rows.record(&mut self.buffer, &row);
                }
            }
            if self.buffer.len() >= CHUNK {
                self.write_out()?;
            }
        }
        self.meanings.end(message);
        Ok(())
    }

    fn packet(&mut self, message: &Message<'_>, packet: &Captured<'_>) -> io::Result<()> {
        self.rows.packet(&mut self.buffer, message, packet);
        if self.buffer.len() >= CHUNK {
            self.write_out()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_out()?;
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush()
    }
}
