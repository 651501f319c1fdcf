//! `tcplog info`: each connection summed up.

use super::Status;
use super::args::{Common, Inputs, Meaning};
use super::drive::{Consumer, Drive, Source};
use crate::input::detect::Compression;
use crate::output::summary::{SummaryForm, SummarySink};
use crate::output::{Job, Sink};
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
        let form = match self.format {
            Form::Text => SummaryForm::Text,
            Form::Json => SummaryForm::Json,
        };
        let mut summing = Summing {
            sink: SummarySink::new(io::stdout(), form, context),
        };
        drive.run(&mut summing)?;
        if drive.outcome.opened > 0 {
            summing.sink.finish()?;
        }
        Ok(drive.status())
    }
}

/// Feeds the summary, and what it wants to know of the inputs.
struct Summing {
    sink: SummarySink<io::Stdout>,
}

impl Consumer for Summing {
    fn source(&mut self, source: &Source<'_>) -> anyhow::Result<()> {
        self.sink.source(source.name);
        let compression = source.compression.map(|kind| match kind {
            Compression::Gzip => "gzip",
            Compression::Xz => "xz",
            Compression::Zstd => "zstd",
        });
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
