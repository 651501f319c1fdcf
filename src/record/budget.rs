//! The disk budget: when files take up too much, the oldest finished go.

use super::compress::Compress;
use super::directory::{Directory, Entry};
use super::part::{Finished, PART};
use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the files of a directory may take up.
pub struct Budget {
    limit: Option<u64>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Bytes of finished and growing files.
    used: u64,
    /// Finished files, oldest first.
    finished: VecDeque<Finished>,
    /// How many of them are of earlier runs.
    earlier: usize,
}

impl Budget {
    /// `limit` in bytes; `None`: no limit, and nothing is kept in mind.
    pub fn new(limit: Option<u64>) -> Budget {
        Budget {
            limit,
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// Counts what is in the directory already: `entries`.
    pub fn count(&self, directory: &Directory, entries: &[Entry]) {
        if self.limit.is_none() {
            return;
        }
        let parts: HashSet<&str> = entries
            .iter()
            .filter_map(|entry| entry.name.to_str()?.strip_suffix(PART))
            .collect();
        let mut used = 0_u64;
        let mut finished = Vec::new();
        for entry in entries {
            let Some(name) = entry.name.to_str() else {
                continue;
            };
            let whole = name.strip_suffix(PART);
            if Compress::of_name(whole.unwrap_or(name)).is_none() {
                continue;
            }
            // A file with both names counts as unfinished, and so only once.
            let is_part = whole.is_some();
            if !is_part && parts.contains(name) && directory.are_one(name, &format!("{name}{PART}"))
            {
                continue;
            }
            used = used.saturating_add(entry.bytes);
            if !is_part {
                let (name, bytes) = (name.to_owned(), entry.bytes);
                finished.push((entry.changed, Finished { name, bytes }));
            }
        }
        finished.sort_by(|one, other| (one.0, &one.1.name).cmp(&(other.0, &other.1.name)));
        let finished: VecDeque<_> = finished.into_iter().map(|(_, file)| file).collect();
        *self.inner() = Inner {
            used,
            earlier: finished.len(),
            finished,
        };
    }

    /// A file grew by this many bytes.
    pub fn grew(&self, bytes: u64) {
        if self.limit.is_some() {
            let mut inner = self.inner();
            inner.used = inner.used.saturating_add(bytes);
        }
    }

    /// A growing file was removed.
    pub fn shrank(&self, bytes: u64) {
        if self.limit.is_some() {
            let mut inner = self.inner();
            inner.used = inner.used.saturating_sub(bytes);
        }
    }

    /// A file is finished, and may go from now on.
    pub fn finished(&self, file: Finished) {
        if self.limit.is_some() {
            self.inner().finished.push_back(file);
        }
    }

    /// A file that an earlier run left is finished: it is older than all of
    /// this run.
    pub fn recovered(&self, file: Finished) {
        if self.limit.is_some() {
            let mut inner = self.inner();
            let place = inner.earlier.min(inner.finished.len());
            inner.finished.insert(place, file);
            inner.earlier = place + 1;
        }
    }

    /// Removes the oldest files as long as there is too much; gives each to
    /// `removed`.
    pub fn enforce(
        &self,
        directory: &Directory,
        mut removed: impl FnMut(&Finished, io::Result<()>),
    ) {
        let Some(limit) = self.limit else { return };
        loop {
            let oldest = {
                let mut inner = self.inner();
                if inner.used <= limit {
                    return;
                }
                let Some(oldest) = inner.finished.pop_front() else {
                    return;
                };
                inner.used = inner.used.saturating_sub(oldest.bytes);
                inner.earlier = inner.earlier.saturating_sub(1);
                oldest
            };
            match directory.remove(oldest.name.as_ref()) {
                // Somebody else was faster.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                result => removed(&oldest, result),
            }
        }
    }
}
