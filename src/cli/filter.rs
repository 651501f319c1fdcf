//! `tcplog filter`: some of the records, in the input's own form.

use super::Status;
use super::args::{self, Common, Inputs, Meaning};
use super::drive::{Consumer, Drive, Source};
use crate::input::InputFormat;
use crate::output::files::Output;
use crate::output::pcapng::BlockCopy;
use crate::output::stream::{Form, StreamSink};
use crate::output::{Job, Sink};
use anyhow::{Context, anyhow};
use clap::Args;
use std::path::PathBuf;

/// Keep some records, in the input's own form
///
/// A stream stays a stream and pcapng stays pcapng. A message that is kept
/// whole keeps every byte; one that loses records gets its length rewritten
/// and nothing else; one that loses all goes.
#[derive(Debug, Args)]
pub struct Filter {
    #[command(flatten)]
    inputs: Inputs,
    /// Write to this file; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    meaning: Meaning,
}

impl Filter {
    pub fn run(&self, common: &Common) -> anyhow::Result<Status> {
        let formats = common.load_formats()?;
        args::refuse_terminal(&self.output, "the output")?;
        args::refuse_input(&self.output, &self.inputs.inputs)?;
        let mut drive = Drive::new(common, &self.inputs, formats, &self.meaning.stacks())?;
        drive.keep_file_order();
        let live = drive.live();
        let output = Output::create(&self.output, live)
            .with_context(|| self.output.display().to_string())?;
        let mut keep = Keep {
            form: None,
            output: Some(output),
            everything: self.inputs.selection.is_everything(),
        };
        let written = || format!("writing {}", self.output.display());
        drive.run(&mut keep).with_context(written)?;
        if let Some(output) = keep.into_output().with_context(written)?
            && drive.outcome.opened > 0
        {
            output.finish().with_context(written)?;
        }
        Ok(drive.status())
    }
}

/// Writes in the form of the first input.
struct Keep {
    form: Option<(InputFormat, Writer)>,
    /// Until the form is known.
    output: Option<Output>,
    everything: bool,
}

enum Writer {
    Messages(StreamSink<Output>),
    Blocks(BlockCopy<Output>),
}

impl Keep {
    fn into_output(self) -> anyhow::Result<Option<Output>> {
        Ok(match self.form {
            None => self.output,
            Some((_, Writer::Messages(mut sink))) => {
                sink.finish()?;
                Some(sink.into_inner())
            }
            Some((_, Writer::Blocks(mut copy))) => {
                copy.flush()?;
                Some(copy.into_inner())
            }
        })
    }
}

impl Consumer for Keep {
    fn source(&mut self, source: &Source<'_>) -> anyhow::Result<()> {
        if let Some((form, _)) = &self.form {
            if *form != source.format {
                return Err(anyhow!(
                    "{} is {}, but what comes before it is {}; filter each kind by itself",
                    source.name,
                    source.format,
                    form
                ));
            }
            return Ok(());
        }
        let output = self.output.take().context("the output is gone")?;
        let writer = match source.format {
            InputFormat::Stream => Writer::Messages(StreamSink::new(Form::Stream, output)),
            InputFormat::Logbuf => Writer::Messages(StreamSink::new(Form::Logbuf, output)),
            InputFormat::Pcapng => Writer::Blocks(BlockCopy::new(output, self.everything)),
            // These never come here: they have no records.
            InputFormat::DtraceSctp | InputFormat::Zcs => {
                return Err(anyhow!("{} has no records", source.name));
            }
        };
        self.form = Some((source.format, writer));
        Ok(())
    }

    fn batch(&mut self, job: Job) -> anyhow::Result<Option<Job>> {
        match &mut self.form {
            Some((_, Writer::Messages(sink))) => {
                for (message, picked) in job.batch.messages().zip(&job.picks) {
                    sink.piece(&message, picked)?;
                }
            }
            Some((_, Writer::Blocks(copy))) => copy.batch(&job.batch, &job.picks)?,
            None => {}
        }
        Ok(Some(job))
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        match &mut self.form {
            Some((_, Writer::Messages(sink))) => sink.flush()?,
            Some((_, Writer::Blocks(copy))) => copy.flush()?,
            None => {}
        }
        Ok(())
    }
}
