//! pcapng by several threads, in the same order and bytes as by one.
//!
//! A job is a batch with what was picked of it. Of other pieces, encoding one
//! needs no more than the evidence that they gave, so jobs are encoded by
//! whoever is free; what comes out is put back into order before it is handed
//! on.

use super::encode::{Encoder, Options};
use crate::format::Formats;
use crate::meaning::Evidence;
use crate::output::Job;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::VecDeque;
use std::thread::{JoinHandle, spawn};

/// Encoding threads.
pub struct Pool {
    work: Option<Sender<Work>>,
    /// What all jobs so far have betrayed.
    evidence: Evidence,
    threads: Vec<JoinHandle<()>>,
    /// Answers that are still to come, in order.
    pending: VecDeque<Receiver<Done>>,
    most: usize,
}

/// A job, what the jobs before it betrayed, and whom to answer.
type Work = (Done, Evidence, Sender<Done>);

/// An encoded job.
pub struct Done {
    /// The job, for reuse.
    pub job: Job,
    /// Its blocks.
    pub blocks: Vec<u8>,
}

impl Pool {
    pub fn new(threads: usize, options: &Options, formats: &'static Formats) -> Pool {
        let (work, jobs) = bounded::<Work>(threads);
        let threads: Vec<JoinHandle<()>> = (0..threads)
            .map(|_| {
                let jobs = jobs.clone();
                let mut encoder = Encoder::new(options.clone(), formats);
                spawn(move || {
                    for (mut work, evidence, answer) in jobs {
                        encoder.set_evidence(evidence);
                        let Done { job, blocks } = &mut work;
                        for (message, picked) in job.batch.messages().zip(&job.picks) {
                            encoder.piece(&message, picked, blocks);
                        }
                        // Nobody waits any more if writing failed.
                        let _ = answer.send(work);
                    }
                })
            })
            .collect();
        Pool {
            work: Some(work),
            evidence: Evidence::default(),
            most: 2 * threads.len(),
            threads,
            pending: VecDeque::new(),
        }
    }

    /// Another input begins.
    pub fn source(&mut self) {
        self.evidence = Evidence::default();
    }

    /// Gives a job to the threads, which append its blocks to `blocks`.
    /// Returns the oldest job if many are under way.
    pub fn give(&mut self, job: Job, blocks: Vec<u8>) -> Option<Done> {
        let (answer, done) = bounded(1);
        let evidence = self.evidence.clone();
        for message in job.batch.messages() {
            for record in message.records() {
                self.evidence.learn(&record);
            }
        }
        if let Some(work) = &self.work {
            let _ = work.send((Done { job, blocks }, evidence, answer));
            self.pending.push_back(done);
        }
        if self.pending.len() > self.most {
            return self.oldest();
        }
        None
    }

    /// The oldest job under way, once it is done; `None` when there is none.
    ///
    /// # Panics
    ///
    /// If the thread that had the job panicked.
    pub fn oldest(&mut self) -> Option<Done> {
        let done = self.pending.pop_front()?;
        Some(done.recv().expect("encoding threads do not panic"))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.work = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
