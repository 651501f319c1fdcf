//! From inputs to a consumer: opens, reads ahead, selects, reports damage.

use super::Status;
use super::args::{Common, Inputs};
use super::progress::Progress;
use super::say::say;
use crate::format::Formats;
use crate::input::detect::Compression;
use crate::input::{self, Bytes, InputError, InputFormat, Opened, Reader};
use crate::meaning::StackNames;
use crate::output::escape::Escaped;
use crate::output::{Job, Sink};
use crate::select::{Picked, Picker};
use anyhow::anyhow;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What an input turned out to be.
pub struct Source<'a> {
    pub name: &'a str,
    pub format: InputFormat,
    pub compression: Option<Compression>,
}

/// Takes what was picked, batch after batch.
pub trait Consumer {
    /// A new input begins.
    fn source(&mut self, source: &Source<'_>) -> anyhow::Result<()>;
    /// The next batch; the job may be handed back for reuse.
    fn batch(&mut self, job: Job) -> anyhow::Result<Option<Job>>;
    /// What was taken is to be readable by others now.
    fn flush(&mut self) -> anyhow::Result<()>;
    /// An input without records: what DTrace or the zero-copy sniffer printed.
    /// Commands that have nothing to do with those refuse it.
    fn relative(&mut self, input: Opened, _: &Inputs) -> anyhow::Result<Relative> {
        refuse(input)
    }
}

/// Says that the command does not read this kind of input.
pub fn refuse(input: Opened) -> anyhow::Result<Relative> {
    let (name, format) = (input.name, input.format);
    Err(InputError::NoRecords { name, format }.into())
}

/// Becomes true at the first SIGINT or SIGTERM; the second ends the process at
/// once.
pub fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// What came of an input without records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Relative {
    /// Damaged lines; each has been said.
    pub damaged: u64,
    /// Something was found and wanted.
    pub any: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Damaged places.
    pub damaged: u64,
    /// Inputs that could not be read.
    pub failed: u64,
    /// Inputs that could.
    pub opened: u64,
    /// Something was picked.
    pub any: bool,
}

/// Damaged places of one input that are named without `--verbose`.
pub const MOST_LINES: u64 = 100;

/// Encoding threads, at most.
const MOST_ENCODERS: usize = 8;

/// Batches that are read ahead of the consumer.
const AHEAD: usize = 4;

/// Reads inputs and gives them to a consumer.
pub struct Drive<'a> {
    common: &'a Common,
    inputs: &'a Inputs,
    formats: &'static Formats,
    picker: Picker,
    file_order: bool,
    follows: bool,
    stop: Arc<AtomicBool>,
    pub outcome: Outcome,
    /// Damaged places of this input; only the first ones are named one by one.
    unsaid: u64,
}

impl<'a> Drive<'a> {
    pub fn new(
        common: &'a Common,
        inputs: &'a Inputs,
        formats: &'static Formats,
        stacks: &StackNames,
    ) -> anyhow::Result<Drive<'a>> {
        let select = inputs.selection.select(formats)?;
        let stop = stop_on_signals()?;
        Ok(Drive {
            common,
            inputs,
            formats,
            picker: Picker::new(select, stacks.by_id()),
            file_order: false,
            follows: false,
            stop,
            outcome: Outcome::default(),
            unsaid: 0,
        })
    }

    /// Leaves records in file order, for whoever copies blocks.
    pub fn keep_file_order(&mut self) {
        self.file_order = true;
    }

    /// Takes no end of a file for its last.
    pub fn follow(&mut self) {
        self.follows = true;
    }

    /// True once a signal asked to stop.
    pub fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Threads that may encode besides the one that reads and writes; 0: do
    /// everything in one.
    pub fn encoders(&self) -> usize {
        match self.common.threads() {
            1 => 0,
            _ if self.live() => 0,
            // More than the writer can keep up with only cost memory.
            threads => (threads - 1).min(MOST_ENCODERS),
        }
    }

    /// True if an input among these may still be growing.
    pub fn live(&self) -> bool {
        let live = |path: &Path| {
            use std::os::unix::fs::FileTypeExt;
            if path.as_os_str() == "-" {
                // Standard input may be a redirected file.
                return Bytes::open(path).is_ok_and(|bytes| bytes.live);
            }
            std::fs::metadata(path).is_ok_and(|meta| {
                let kind = meta.file_type();
                kind.is_char_device() || kind.is_fifo() || kind.is_socket()
            })
        };
        self.inputs.inputs.iter().any(|path| live(path))
    }

    /// Reads every input.
    pub fn run(&mut self, consumer: &mut dyn Consumer) -> anyhow::Result<()> {
        let inputs = self.inputs;
        for path in &inputs.inputs {
            match self.input(path, consumer) {
                Ok(()) => {}
                Err(e) if e.is::<InputError>() => {
                    self.outcome.failed += 1;
                    say(Escaped(format!("{e}").as_bytes()));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn input(&mut self, path: &Path, consumer: &mut dyn Consumer) -> anyhow::Result<()> {
        let mut bytes = Bytes::open(path)?;
        bytes.stop_on(Arc::clone(&self.stop));
        if self.follows {
            bytes.follow();
        }
        let opened = input::recognised(bytes, self.inputs.input_format.0, self.formats)?;
        if opened.format.is_relative() {
            let live = opened.live;
            let Relative { damaged, any } = consumer.relative(opened, self.inputs)?;
            self.check_interrupt(live)?;
            self.outcome.opened += 1;
            self.outcome.damaged += damaged;
            self.outcome.any |= any;
            return Ok(());
        }
        let mut reader = Reader::new(opened, self.formats)?;
        if self.file_order {
            reader.keep_file_order();
        }
        self.outcome.opened += 1;
        consumer.source(&Source {
            name: &reader.name,
            format: reader.format,
            compression: reader.compression,
        })?;
        let mut progress = Progress::new(self.common, &reader.name, reader.size);
        // Reading plain data costs less than handing it to another thread;
        // decompression is worth one.
        if self.common.threads() == 1 || reader.live || reader.compression.is_none() {
            self.inline(reader, consumer, &mut progress)
        } else {
            self.ahead(reader, consumer, &mut progress)
        }
    }

    fn inline(
        &mut self,
        mut reader: Reader<'_>,
        consumer: &mut dyn Consumer,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        let mut job = Job::default();
        while reader.next_batch(&mut job.batch)? {
            self.check_interrupt(reader.live)?;
            let name = reader.name.clone();
            job = self.job(job, &name, consumer, progress)?;
            if reader.live {
                consumer.flush()?;
            }
        }
        Ok(())
    }

    /// The reader works in a thread of its own.
    fn ahead(
        &mut self,
        mut reader: Reader<'_>,
        consumer: &mut dyn Consumer,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        let name = reader.name.clone();
        let (full, filled): (Sender<Job>, Receiver<Job>) = bounded(AHEAD);
        let (back, empty): (Sender<Job>, Receiver<Job>) = bounded(2 * AHEAD);
        std::thread::scope(|scope| {
            let reading = scope.spawn(move || -> Result<(), InputError> {
                loop {
                    let mut job = empty.try_recv().unwrap_or_default();
                    // The consumer is gone once it has failed.
                    if !reader.next_batch(&mut job.batch)? || full.send(job).is_err() {
                        return Ok(());
                    }
                }
            });
            let mut taken = Ok(());
            for job in &filled {
                taken = self
                    .check_interrupt(false)
                    .and_then(|()| self.job(job, &name, consumer, progress))
                    .map(|job| {
                        let _ = back.try_send(job);
                    });
                if taken.is_err() {
                    break;
                }
            }
            drop(filled);
            let read = reading
                .join()
                .map_err(|_| anyhow!("the reading thread failed"))?;
            taken?;
            Ok(read?)
        })
    }

    fn check_interrupt(&self, live: bool) -> anyhow::Result<()> {
        // A live input simply ends; half a file would pass for a whole one.
        if !live && self.stop.load(Ordering::Relaxed) {
            return Err(anyhow!("interrupted; nothing unfinished is left behind"));
        }
        Ok(())
    }

    fn job(
        &mut self,
        mut job: Job,
        name: &str,
        consumer: &mut dyn Consumer,
        progress: &mut Progress,
    ) -> anyhow::Result<Job> {
        for damage in &job.batch.damage {
            self.outcome.damaged += 1;
            self.unsaid += 1;
            if !self.common.quiet && (self.unsaid <= MOST_LINES || self.common.verbose > 0) {
                let line = format!("{name}: {damage}");
                progress.line(&Escaped(line.as_bytes()).to_string());
            }
        }
        progress.at(job.batch.position);
        let mut count = 0;
        for message in job.batch.messages() {
            if job.picks.len() == count {
                job.picks.push(Picked::default());
            }
            if let Some(picked) = job.picks.get_mut(count) {
                self.picker.pick(&message, picked);
                self.outcome.any |= !picked.is_empty();
            }
            count += 1;
        }
        job.picks.truncate(count);
        Ok(consumer.batch(job)?.unwrap_or_default())
    }

    /// The status that the outcome amounts to; says what nothing else said.
    pub fn status(&self) -> Status {
        let outcome = &self.outcome;
        if outcome.failed > 0 {
            return Status::Failed;
        }
        if !outcome.any && !self.common.quiet {
            if self.inputs.selection.is_everything() {
                say("no records in the input");
            } else {
                say("nothing matches the selection");
            }
        }
        match (outcome.damaged > 0, outcome.any) {
            (true, _) if self.common.strict => Status::Failed,
            (false, true) => Status::Done,
            _ => Status::Partial,
        }
    }
}

/// Feeds any sink.
pub struct SinkConsumer<S> {
    pub sink: S,
}

impl<S: Sink> Consumer for SinkConsumer<S> {
    fn source(&mut self, source: &Source<'_>) -> anyhow::Result<()> {
        self.sink.source(source.name);
        Ok(())
    }

    fn batch(&mut self, job: Job) -> anyhow::Result<Option<Job>> {
        pieces(&mut self.sink, &job)?;
        Ok(Some(job))
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.sink.flush()?)
    }
}

fn pieces(sink: &mut impl Sink, job: &Job) -> io::Result<()> {
    for (message, picked) in job.batch.messages().zip(&job.picks) {
        sink.piece(&message, picked)?;
    }
    Ok(())
}
