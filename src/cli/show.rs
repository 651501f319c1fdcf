//! `tcplog show`: records with their fields.

use super::Status;
use super::args::{Common, Inputs, Meaning};
use super::drive::{Consumer, Drive, Relative, SinkConsumer, Source};
use super::relative::{Events, Zcs};
use crate::input::Opened;
use crate::output::context::{Context, TimeForm};
use crate::output::csv::CsvSink;
use crate::output::json::JsonSink;
use crate::output::show::TextSink;
use crate::output::{Job, Sink};
use crate::sctp::write::{Form as SctpForm, csv::Csv, json::Json, text::Text};
use crate::zcs;
use clap::{Args, ValueEnum};
use std::io;

/// Show records with their fields
///
/// Text has one line per record: what happened, and what of the sender's state
/// changed since the connection's record before; -v adds the payload by name,
/// -vv all state fields. JSON has one object per line and record, CSV one line
/// per record with fixed columns.
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    inputs: Inputs,
    /// Wait at the end of a file for what is appended; a device or pipe is
    /// always read as it comes
    #[arg(short, long)]
    follow: bool,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Form,
    /// What a line of text begins with
    #[arg(long, value_name = "TIME", default_value = "relative")]
    time: Time,
    /// Count sequence numbers of text from the initial ones
    #[arg(long)]
    relative_seq: bool,
    /// Show kernel addresses in payloads instead of masking them
    #[arg(long)]
    show_pointers: bool,
    #[command(flatten)]
    meaning: Meaning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Time {
    /// Seconds since the first record shown of the input
    Relative,
    /// Seconds since the line before of the same connection
    Delta,
    /// Time of day, UTC
    Wall,
    /// Seconds since the host booted
    Uptime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
    Csv,
}

impl Show {
    pub fn run(&self, common: &Common) -> anyhow::Result<Status> {
        let formats = common.load_formats()?;
        let context = Context {
            show_pointers: self.show_pointers,
            relative_seq: self.relative_seq,
            time: match self.time {
                Time::Relative => TimeForm::Relative,
                Time::Delta => TimeForm::Delta,
                Time::Wall => TimeForm::Wall,
                Time::Uptime => TimeForm::Uptime,
            },
            ..self.meaning.context(common, formats)
        };
        let mut drive = Drive::new(common, &self.inputs, formats, &context.stacks)?;
        if self.follow {
            drive.follow();
        }
        let out = io::stdout();
        let events: Box<dyn SctpForm> = match self.format {
            Form::Text => Box::new(Text::new(context.clone())),
            Form::Json => Box::new(Json::new(self.show_pointers)),
            Form::Csv => Box::new(Csv::new(self.show_pointers)),
        };
        let entries = Zcs::Show(match self.format {
            Form::Text => zcs::Form::Text,
            Form::Json => zcs::Form::Json,
            Form::Csv => zcs::Form::Csv,
        });
        let events = Events::new(common, events, entries);
        match self.format {
            Form::Text => run(drive, TextSink::new(out, context), events),
            Form::Json => run(drive, JsonSink::new(out, context), events),
            Form::Csv => run(drive, CsvSink::new(out, context), events),
        }
    }
}

fn run(mut drive: Drive<'_>, sink: impl Sink, events: Events<'_>) -> anyhow::Result<Status> {
    let mut showing = Showing {
        records: SinkConsumer { sink },
        events,
        has_records: false,
        has_relatives: false,
    };
    drive.run(&mut showing)?;
    // What only heads records would stand below other events.
    if showing.has_records || !showing.has_relatives {
        showing.records.sink.finish()?;
    }
    Ok(drive.status())
}

/// Shows records, and events of relatives.
struct Showing<'a, S> {
    records: SinkConsumer<S>,
    events: Events<'a>,
    has_records: bool,
    has_relatives: bool,
}

impl<S: Sink> Consumer for Showing<'_, S> {
    fn source(&mut self, source: &Source<'_>) -> anyhow::Result<()> {
        self.has_records = true;
        self.records.source(source)
    }

    fn batch(&mut self, job: Job) -> anyhow::Result<Option<Job>> {
        self.records.batch(job)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.records.flush()
    }

    fn relative(&mut self, input: Opened, inputs: &Inputs) -> anyhow::Result<Relative> {
        if self.has_records {
            self.records.flush()?;
        }
        self.has_relatives = true;
        self.events.take(input, inputs, &mut io::stdout())
    }
}
