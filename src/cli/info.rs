//! `tcplog info`: each connection summed up.

use super::Status;
use super::args::{Common, Inputs, Meaning};
use super::drive::{Consumer, Drive, Relative, Source};
use super::relative::Summaries;
use crate::input::Opened;
use crate::input::detect::Compression;
use crate::output::summary::{SummaryForm, SummarySink};
use crate::output::{Job, Sink};
use crate::sctp::write::summary::SummaryForm as RelativeForm;
use clap::{Args, ValueEnum};
use std::io;

/// Sum up each connection, and everything
#[derive(Debug, Args)]
pub struct Info {
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
}

impl Info {
    pub fn run(&self, common: &Common) -> anyhow::Result<Status> {
        let formats = common.load_formats()?;
        let context = self.meaning.context(common, formats);
        let mut drive = Drive::new(common, &self.inputs, formats, &context.stacks)?;
        let (form, relatives) = match self.format {
            Form::Text => (SummaryForm::Text, RelativeForm::Text),
            Form::Json => (SummaryForm::Json, RelativeForm::Json),
        };
        let mut summing = Summing {
            sink: SummarySink::new(io::stdout(), form, context),
            relatives: Summaries::new(common, relatives),
            has_records: false,
        };
        drive.run(&mut summing)?;
        if summing.has_records {
            summing.sink.finish()?;
        }
        Ok(drive.status())
    }
}

/// Feeds the summary, and what it wants to know of the inputs.
struct Summing<'a> {
    sink: SummarySink<io::Stdout>,
    relatives: Summaries<'a>,
    has_records: bool,
}

impl Consumer for Summing<'_> {
    fn relative(&mut self, input: Opened, inputs: &Inputs) -> anyhow::Result<Relative> {
        self.relatives.take(input, inputs, &mut io::stdout())
    }

    fn source(&mut self, source: &Source<'_>) -> anyhow::Result<()> {
        self.has_records = true;
        self.sink.source(source.name);
        let compression = source.compression.map(Compression::name);
        self.sink.input(source.format.name(), compression);
        Ok(())
    }

    fn batch(&mut self, job: Job) -> anyhow::Result<Option<Job>> {
        for damage in &job.batch.damage {
            self.sink.damage(damage.lost);
        }
        for (message, picked) in job.batch.messages().zip(&job.picks) {
            self.sink.piece(&message, picked)?;
        }
        Ok(Some(job))
    }

    /// A summary is complete only at the end.
    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}
