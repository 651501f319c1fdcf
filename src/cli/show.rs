//! `tcplog show`: records with their fields.

use super::Status;
use super::args::{Common, Inputs, Meaning};
use super::drive::{Drive, SinkConsumer};
use crate::output::Sink;
use crate::output::csv::CsvSink;
use crate::output::json::JsonSink;
use crate::output::show::TextSink;
use clap::{Args, ValueEnum};
use std::io;

/// Show records with their fields
///
/// Text has one line per record; -v adds all fields that the record declares
/// valid, -vv the stack specific bytes as they are. JSON has one object per
/// line and record, CSV one line per record with fixed columns.
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    inputs: Inputs,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Form,
    #[command(flatten)]
    meaning: Meaning,
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
        let context = self.meaning.context(common, formats);
        let drive = Drive::new(common, &self.inputs, formats, &context.stacks)?;
        let out = io::stdout();
        match self.format {
            Form::Text => run(drive, TextSink::new(out, context)),
            Form::Json => run(drive, JsonSink::new(out, context)),
            Form::Csv => run(drive, CsvSink::new(out, context)),
        }
    }
}

fn run(mut drive: Drive<'_>, sink: impl Sink) -> anyhow::Result<Status> {
    let mut consumer = SinkConsumer { sink };
    drive.run(&mut consumer)?;
    consumer.sink.finish()?;
    Ok(drive.status())
}
