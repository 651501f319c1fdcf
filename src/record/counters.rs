//! What a collector did so far, for its status line and its end.

use super::queue::Load;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that several threads count.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn subtract(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The numbers.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages, records and bytes that were read.
    pub messages: Count,
    pub records: Count,
    pub bytes: Count,
    /// Records that the selection or `--min-records` left out.
    pub unwanted: Count,
    /// Records in files.
    pub written: Count,
    /// Serial numbers that are missing in what was read.
    pub skipped: Count,
    /// Messages and records that were lost here: the queue was full, or
    /// writing failed.
    pub dropped_messages: Count,
    pub dropped_records: Count,
    /// Files that are finished, that grow, and that went for `--max-disk`.
    pub files: Count,
    pub growing: Count,
    pub removed: Count,
    /// Files of an earlier run that were finished.
    pub recovered: Count,
    /// Failed writes, and damaged places of the input.
    pub errors: Count,
    pub damaged: Count,
}

/// The numbers as one line of `key=value`.
pub struct StatusLine<'a> {
    pub counters: &'a Counters,
    pub load: Load,
    /// Failed reads of the device.
    pub failed_reads: u64,
}

impl fmt::Display for StatusLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.counters;
        let numbers = [
            ("messages", c.messages.get()),
            ("records", c.records.get()),
            ("bytes", c.bytes.get()),
            ("written", c.written.get()),
            ("unwanted", c.unwanted.get()),
            ("skipped", c.skipped.get()),
            ("queued_bytes", self.load.bytes as u64),
            ("queued_peak", self.load.peak as u64),
            ("dropped_messages", c.dropped_messages.get()),
            ("dropped_records", c.dropped_records.get()),
            ("files", c.files.get()),
            ("growing", c.growing.get()),
            ("removed", c.removed.get()),
            ("recovered", c.recovered.get()),
            ("errors", c.errors.get()),
            ("damaged", c.damaged.get()),
            ("failed_reads", self.failed_reads),
        ];
        f.write_str("status:")?;
        for (name, number) in numbers {
            write!(f, " {name}={number}")?;
        }
        Ok(())
    }
}
