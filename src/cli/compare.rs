//! `tcplog compare`: what a log has and a capture of the wire lacks, and the
//! reverse.

use super::Status;
use super::args::{self, Common, Inputs, Meaning};
use super::drive::{Consumer, Drive, Relative, Source, refuse};
use super::relative::{Reports, zcs_log};
use super::say::say;
use crate::compare::capture::Capture;
use crate::compare::comparison::Comparison;
use crate::compare::graph;
use crate::compare::log::{Input, Log};
use crate::compare::report::{self, Form, Shown};
use crate::compare::wire::Wire;
use crate::format::Formats;
use crate::input::detect::Compression;
use crate::input::{self, Bytes, InputFormat, Opened};
use crate::output::Job;
use crate::output::files::Output;
use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Compare logs with a capture of the wire
///
/// Segments are matched by connection, sequence number, acknowledgement,
/// flags, length and options. What is not the same is told apart: merged by
/// LRO, divided by TSO, lost by the log, lost by the capture, never logged.
/// Of a zero-copy sniffer's log only flows and counts are compared: it knows no
/// more.
#[derive(Debug, Args)]
pub struct Compare {
    #[command(flatten)]
    inputs: Inputs,
    /// Capture to compare with: pcap or pcapng; may be repeated for the parts of one capture
    #[arg(long, value_name = "FILE", required = true)]
    capture: Vec<PathBuf>,
    /// Form of the report
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: FormArg,
    /// Name so many segments of each kind one by one, per connection [default: 0 as text, 1000 as
    /// JSON]
    #[arg(long, value_name = "N")]
    list: Option<usize>,
    /// Also draw sequence numbers over time, sent and missed, as SVG into this file
    #[arg(short, long, value_name = "FILE.svg")]
    output: Option<PathBuf>,
    #[command(flatten)]
    meaning: Meaning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormArg {
    Text,
    Json,
}

/// Segments that JSON names by default.
const LISTED: usize = 1000;

impl Compare {
    pub fn run(&self, common: &Common) -> anyhow::Result<Status> {
        let formats = common.load_formats()?;
        if let Some(output) = &self.output {
            args::refuse_input(output, &self.inputs.inputs)?;
            args::refuse_input(output, &self.capture)?;
        }
        for (number, capture) in self.capture.iter().enumerate() {
            let before = self.capture.get(..number).unwrap_or(&[]);
            if args::same_file(capture, before).is_some() {
                return Err(anyhow!("--capture {} is given twice", capture.display()));
            }
        }
        let mut drive = Drive::new(common, &self.inputs, formats, &self.meaning.stacks())?;
        let stop = drive.stop();
        let mut collecting = Collecting {
            log: Log::default(),
            common,
        };
        drive.run(&mut collecting)?;
        let mut status = drive.status();
        if drive.outcome.opened == 0 {
            return Ok(status);
        }
        let mut log = collecting.log;
        log.finish();
        let mut wire = Wire::new(&log);
        for path in &self.capture {
            let damaged = read_capture(&mut wire, path, common, formats, &stop)?;
            if damaged > 0 {
                status = status.max(match common.strict {
                    true => Status::Failed,
                    false => Status::Partial,
                });
            }
        }
        if !self.inputs.selection.is_everything() {
            wire.forget_strangers();
        }
        let comparison = Comparison::new(&log, &wire);
        let (connection, flow) = (comparison.has_common(), comparison.has_common_flow());
        if !connection && !flow {
            status = status.max(Status::Partial);
        }
        // That nothing was asked for has been said.
        for (lacks, what) in [
            (
                !connection && !comparison.compared.is_empty(),
                "no connection is in both the log and the capture",
            ),
            (
                !flow && !comparison.flows.is_empty(),
                "no flow is in both the sniffer's log and the capture",
            ),
        ] {
            if lacks {
                status = status.max(Status::Partial);
                if !common.quiet {
                    say(what);
                }
            }
        }
        let form = match self.format {
            FormArg::Text => Form::Text,
            FormArg::Json => Form::Json,
        };
        let most = match (self.list, form) {
            (Some(most), _) => most,
            (None, Form::Text) => 0,
            (None, Form::Json) => LISTED,
        };
        if let Some(path) = &self.output {
            let written = || format!("writing {}", path.display());
            let mut output = Output::create(path, false).with_context(written)?;
            let svg = graph::svg(&comparison);
            output.write_all(svg.as_bytes()).with_context(written)?;
            output.finish().with_context(written)?;
        }
        // The graph took standard output.
        if self.output.as_deref() != Some(Path::new("-")) {
            let report = report::report(&comparison, Shown { form, most })?;
            let mut out = io::stdout().lock();
            out.write_all(&report)?;
            out.flush()?;
        }
        Ok(status)
    }
}

/// Reads one capture; gives its damaged places, which have been said.
fn read_capture(
    wire: &mut Wire,
    path: &Path,
    common: &Common,
    formats: &Formats,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<u64> {
    let mut bytes = Bytes::open(path)?;
    bytes.stop_on(Arc::clone(stop));
    let (name, size) = (bytes.name.clone(), bytes.size);
    let mut reports = Reports::new(common, &name, size);
    // Only what is around it is recognised here; the reader of captures looks
    // at the rest itself.
    let opened = input::recognised(bytes, Some(InputFormat::Pcapng), formats)?;
    let position = opened.position();
    let compression = opened.compression;
    opened
        .damage()
        .into_iter()
        .for_each(|damage| reports.add(damage));
    let mut capture = Capture::open(&name, opened.into_read())?;
    wire.read(&mut capture, |packet| {
        if packet.number.is_multiple_of(4096) {
            reports.progress.at(position.load(Ordering::Relaxed));
        }
    })?;
    anyhow::ensure!(
        !stop.load(Ordering::Relaxed),
        "interrupted; nothing unfinished is left behind"
    );
    capture.damage.iter().for_each(|damage| reports.add(damage));
    if let Some(seen) = wire.captures.last_mut() {
        seen.compression = compression.map(|kind| kind.name().to_owned());
        seen.damaged = reports.damaged;
    }
    Ok(reports.damaged)
}

/// Takes the segments out of records, and the flows out of a sniffer's log.
struct Collecting<'a> {
    log: Log,
    common: &'a Common,
}

impl Consumer for Collecting<'_> {
    fn source(&mut self, source: &Source<'_>) -> anyhow::Result<()> {
        let compression = source.compression.map(Compression::name);
        self.log.source(Input {
            name: source.name.to_owned(),
            format: source.format.name().to_owned(),
            compression: compression.map(str::to_owned),
            ..Input::default()
        });
        Ok(())
    }

    fn batch(&mut self, job: Job) -> anyhow::Result<Option<Job>> {
        if let Some(input) = self.log.inputs.last_mut() {
            input.damaged += job.batch.damage.len() as u64;
        }
        for (message, picked) in job.batch.messages().zip(&job.picks) {
            self.log.piece(&message, picked);
        }
        Ok(Some(job))
    }

    /// A comparison is complete only at the end.
    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    fn relative(&mut self, input: Opened, inputs: &Inputs) -> anyhow::Result<Relative> {
        if input.format != InputFormat::Zcs {
            return refuse(input);
        }
        let compression = input.compression.map(Compression::name);
        let sniffed = self.log.sniffed.get_or_insert_default();
        let (found, damaged) = zcs_log(input, self.common, inputs, sniffed)?;
        if let Some(log) = sniffed.logs.last_mut() {
            log.compression = compression.map(str::to_owned);
            log.damaged = damaged;
        }
        let any = found.any();
        Ok(Relative { damaged, any })
    }
}
