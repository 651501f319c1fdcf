//! `tcplog convert`: records become pcapng.

use super::Status;
use super::args::{self, Common, Inputs, Meaning};
use super::drive::{Consumer, Drive, Relative, SinkConsumer, Source};
use super::relative::{Events, Zcs};
use super::say::say;
use crate::format::Formats;
use crate::input::Opened;
use crate::output::escape::Escaped;
use crate::output::files::Output;
use crate::output::pcapng::compat::NoNameLeft;
use crate::output::pcapng::pool::Done;
use crate::output::pcapng::{CompatSink, MergeSink, Options, PcapngSink, Pool, SplitSink};
use crate::output::stream::{Form, StreamSink};
use crate::output::{Job, Sink};
use crate::sctp::write::pcapng::Pcapng;
use crate::select::Split;
use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Write records as pcapng that Wireshark dissects
///
/// Records with a TCP header become packets, the others event blocks; each
/// carries the state of the stack and a comment in words. With -o everything
/// goes into one file, a section for each message and stack change, in input
/// order. With -D each log ID gets a file of its own.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("destination").required(true).args(["output", "directory"]))]
pub struct Convert {
    #[command(flatten)]
    inputs: Inputs,
    /// Write everything to this file; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write one file per group into this directory
    #[arg(short = 'D', long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// What makes a group: log-id, connection or message
    #[arg(
        long,
        value_name = "GROUP",
        conflicts_with = "output",
        default_value = "log-id"
    )]
    split: Split,
    /// One section with all records in time order, one interface per connection
    #[arg(long, conflicts_with = "directory")]
    merge: bool,
    /// Leave the comments out
    #[arg(long)]
    no_comments: bool,
    /// Write byte for byte the files and index of another program
    #[arg(
        long,
        value_name = "PROGRAM",
        conflicts_with_all = ["output", "split"]
    )]
    compat: Option<Compat>,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "pcapng", conflicts_with_all = ["directory", "merge"])]
    format: FormArg,
    /// Time of writing to put into the file, Unix seconds [default: SOURCE_DATE_EPOCH, else now]
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    dumptime: Option<i64>,
    #[command(flatten)]
    meaning: Meaning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Compat {
    #[value(name = "tcplog_dumper")]
    TcplogDumper,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormArg {
    /// pcapng, for Wireshark
    Pcapng,
    /// What /dev/tcp_log hands out
    Stream,
}

impl Convert {
    pub fn run(&self, common: &Common) -> anyhow::Result<Status> {
        let formats = common.load_formats()?;
        let options = Options {
            comments: !self.no_comments && self.compat.is_none(),
            compat: self.compat.is_some(),
            dumptime: args::dumptime(self.dumptime)?,
            release: self.meaning.release,
            stacks: self.meaning.stacks(),
        };
        let drive = Drive::new(common, &self.inputs, formats, &options.stacks)?;
        match (&self.output, &self.directory) {
            (Some(path), _) => {
                let comments = options.comments;
                let sctp = Box::new(Pcapng::new(comments));
                let events = Events::new(common, sctp, Zcs::Frames { comments });
                self.to_file(path, drive, options, formats, events)
            }
            (None, Some(dir)) => self.to_directory(dir, drive, options, formats),
            (None, None) => Err(anyhow!("give -o FILE or -D DIR")),
        }
    }

    fn to_file(
        &self,
        path: &Path,
        mut drive: Drive<'_>,
        options: Options,
        formats: &'static Formats,
        events: Events<'_>,
    ) -> anyhow::Result<Status> {
        args::refuse_terminal(path, "the output")?;
        args::refuse_input(path, &self.inputs.inputs)?;
        let live = drive.live();
        let output = Output::create(path, live).with_context(|| path.display().to_string())?;
        let written = || format!("writing {}", path.display());
        let output = if self.format == FormArg::Stream {
            run(&mut drive, StreamSink::new(Form::Stream, output), written)?.into_inner()
        } else if self.merge {
            let sink = MergeSink::new(options, formats, output).context("temporary file")?;
            run(&mut drive, sink, written)?.into_inner()
        } else {
            // Without comments encoding is so little work that sharing it out
            // would cost more than it saves.
            let encoders = if options.comments {
                drive.encoders()
            } else {
                0
            };
            match encoders {
                0 => {
                    let sink = PcapngSink::new(options, formats, output);
                    let mut sequential = Sequential {
                        records: SinkConsumer { sink },
                        events,
                    };
                    drive.run(&mut sequential).with_context(written)?;
                    let mut sink = sequential.records.sink;
                    sink.finish().with_context(written)?;
                    sink.into_inner()
                }
                threads => {
                    let mut pooled = Pooled {
                        pool: Pool::new(threads, &options, formats),
                        spare: Vec::new(),
                        output,
                        events,
                    };
                    drive.run(&mut pooled).with_context(written)?;
                    pooled.flush().with_context(written)?;
                    pooled.output
                }
            }
        };
        // A pcapng file without a record would be no pcapng file; what had the
        // name before stays.
        if drive.outcome.any || self.format == FormArg::Stream && drive.outcome.opened > 0 {
            output.finish().with_context(written)?;
        }
        Ok(drive.status())
    }

    fn to_directory(
        &self,
        dir: &Path,
        mut drive: Drive<'_>,
        options: Options,
        formats: &'static Formats,
    ) -> anyhow::Result<Status> {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let written = || format!("writing into {}", dir.display());
        let dir = dir.to_owned();
        if self.compat.is_some() {
            let sink = CompatSink::new(options, formats, dir.clone());
            match run(&mut drive, sink, written) {
                Ok(_) => {}
                // Everything else was written.
                Err(e) if is_partial(&e) => {
                    say(Escaped(format!("{e:#}").as_bytes()));
                    return Ok(drive.status().max(Status::Partial));
                }
                Err(e) => return Err(e),
            }
        } else {
            let sink = SplitSink::new(options, formats, dir.clone(), self.split);
            run(&mut drive, sink, written)?;
        }
        Ok(drive.status())
    }
}

/// All was done but for some files that found no name.
fn is_partial(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>()?.get_ref())
        .any(|inner| inner.is::<NoNameLeft>())
}

/// Drives everything into `sink`, and finishes it.
fn run<S: Sink>(drive: &mut Drive<'_>, sink: S, context: impl Fn() -> String) -> anyhow::Result<S> {
    let mut consumer = SinkConsumer { sink };
    drive.run(&mut consumer).with_context(&context)?;
    consumer.sink.finish().with_context(&context)?;
    Ok(consumer.sink)
}

/// Encodes one after the other.
struct Sequential<'a> {
    records: SinkConsumer<PcapngSink<Output>>,
    events: Events<'a>,
}

impl Consumer for Sequential<'_> {
    fn source(&mut self, source: &Source<'_>) -> anyhow::Result<()> {
        self.records.source(source)
    }

    fn batch(&mut self, job: Job) -> anyhow::Result<Option<Job>> {
        self.records.batch(job)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.records.flush()
    }

    fn relative(&mut self, input: Opened, inputs: &Inputs) -> anyhow::Result<Relative> {
        self.records.flush()?;
        let output = self.records.sink.output();
        self.events.take(input, inputs, output)
    }
}

/// Encodes in several threads, and writes what comes out in order.
struct Pooled<'a> {
    pool: Pool,
    spare: Vec<u8>,
    output: Output,
    events: Events<'a>,
}

impl Pooled<'_> {
    fn write(&mut self, mut done: Done) -> io::Result<Job> {
        self.output.write_all(&done.blocks)?;
        done.blocks.clear();
        self.spare = done.blocks;
        Ok(done.job)
    }
}

impl Consumer for Pooled<'_> {
    fn relative(&mut self, input: Opened, inputs: &Inputs) -> anyhow::Result<Relative> {
        self.flush()?;
        self.events.take(input, inputs, &mut self.output)
    }

    fn source(&mut self, _: &Source<'_>) -> anyhow::Result<()> {
        self.pool.source();
        Ok(())
    }

    fn batch(&mut self, job: Job) -> anyhow::Result<Option<Job>> {
        let spare = std::mem::take(&mut self.spare);
        match self.pool.give(job, spare) {
            Some(done) => Ok(Some(self.write(done)?)),
            None => Ok(None),
        }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        while let Some(done) = self.pool.oldest() {
            self.write(done)?;
        }
        Ok(self.output.flush()?)
    }
}
