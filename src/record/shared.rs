//! What the threads of a collector share.

use super::budget::Budget;
use super::buffers::Buffers;
use super::compress::Compress;
use super::counters::Counters;
use super::directory::Home;
use super::log::Log;
use super::queue::Overload;
use crate::format::Formats;
use crate::output::pcapng::Options;
use crate::select::Split;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How a collector works.
#[derive(Clone, Debug)]
pub struct Settings {
    pub split: Split,
    pub compress: Compress,
    /// A file of a connection or log ID is finished when it has this many
    /// bytes, or is this old.
    pub rotate_size: u64,
    pub rotate_age: Duration,
    /// Messages with fewer wanted records are not written.
    pub min_records: u64,
    /// Bytes that may wait to be written.
    pub queue: usize,
    pub overload: Overload,
    pub writers: usize,
    /// Files are on the disk before the index tells of them.
    pub sync: bool,
    /// How blocks are written. The time of writing is that of each message,
    /// unless it is pinned.
    pub options: Options,
    pub pinned_time: Option<i64>,
}

/// All that more than one thread needs.
pub struct Shared {
    pub settings: Settings,
    pub formats: &'static Formats,
    pub home: Home,
    pub budget: Budget,
    pub counters: Counters,
    pub log: Log,
    pub buffers: Buffers,
    trouble: Trouble,
    /// Messages were dropped, which is not said yet.
    overloaded: AtomicBool,
}

/// Writing that fails at present, and what it cost so far.
#[derive(Default)]
struct Trouble {
    /// It was said, and is not over.
    now: AtomicBool,
    state: Mutex<Lost>,
}

#[derive(Default)]
struct Lost {
    messages: u64,
    records: u64,
    said: Option<Instant>,
}

/// What comes and goes is not said more often.
const SAY_AGAIN: Duration = Duration::from_secs(10);

impl Shared {
    pub fn new(
        settings: Settings,
        formats: &'static Formats,
        home: Home,
        budget: Budget,
        log: Log,
    ) -> Shared {
        Shared {
            settings,
            formats,
            home,
            budget,
            counters: Counters::default(),
            log,
            buffers: Buffers::default(),
            trouble: Trouble::default(),
            overloaded: AtomicBool::new(false),
        }
    }

    /// The time to put into files, Unix seconds.
    pub fn now(&self) -> i64 {
        let pinned = self.settings.pinned_time;
        pinned.unwrap_or_else(|| jiff::Timestamp::now().as_second())
    }

    /// Writing failed; these messages and records are lost. Said once, until
    /// writing works again.
    pub fn failed(&self, cause: &io::Error, messages: u64, records: u64) {
        self.counters.errors.add(1);
        self.counters.dropped_messages.add(messages);
        self.counters.dropped_records.add(records);
        let Ok(mut lost) = self.trouble.state.lock() else {
            return;
        };
        lost.messages += messages;
        lost.records += records;
        let is_new = lost.said.is_none_or(|said| said.elapsed() >= SAY_AGAIN);
        if is_new && !self.trouble.now.swap(true, Ordering::Relaxed) {
            lost.said = Some(Instant::now());
            self.log.say(format_args!(
                "writing failed: {cause}; reading goes on, and what cannot be written is dropped \
                 and counted"
            ));
        }
    }

    /// Writing worked.
    pub fn works(&self) {
        if self.trouble.now.load(Ordering::Relaxed)
            && self.trouble.now.swap(false, Ordering::Relaxed)
        {
            let (messages, records) = match self.trouble.state.lock() {
                Ok(mut lost) => (
                    std::mem::take(&mut lost.messages),
                    std::mem::take(&mut lost.records),
                ),
                Err(_) => (0, 0),
            };
            self.log.say(format_args!(
                "writing works again; {messages} messages with {records} records were dropped"
            ));
        }
    }

    /// The queue is full, and the oldest messages go. The reader, which waits
    /// for no log, only notes that; [`Shared::take_overloaded`] is asked.
    pub fn overloaded(&self) {
        self.overloaded.store(true, Ordering::Relaxed);
    }

    /// Whether messages were dropped since this was asked last.
    pub fn take_overloaded(&self) -> bool {
        self.overloaded.swap(false, Ordering::Relaxed)
    }

    /// Keeps the disk budget.
    pub fn enforce_budget(&self) {
        let directory = self.home.directory();
        self.budget
            .enforce(&directory, |file, result| match result {
                Ok(()) => {
                    self.counters.removed.add(1);
                    self.log.say(format_args!(
                        "removed {} ({} bytes), to stay within the disk budget",
                        file.name, file.bytes
                    ));
                }
                Err(cause) => {
                    self.counters.errors.add(1);
                    self.log
                        .say(format_args!("cannot remove {}: {cause}", file.name));
                }
            });
    }

    /// Files that could not be finished at the end.
    pub fn left_over(&self, files: u64) {
        if files > 0 {
            self.log.say(format_args!(
                "{files} files could not be finished; the next start finishes them"
            ));
        }
    }
}
