//! A collector at work: its threads, its signals, and what is looked at once a
//! second.

use super::counters::StatusLine;
use super::directory::{Change, Home};
use super::queue::{Load, Queue};
use super::recover;
use super::shared::Shared;
use super::source;
use super::writer::{Piece, Writer};
use crate::input::bytes::Failures;
use crate::input::{Bytes, InputError};
use crate::select::Picker;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::low_level::pipe;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// What signals ask for. To be made before privileges are dropped, so that no
/// signal finds the program unprepared.
pub struct Signals {
    stop: Arc<AtomicBool>,
    reopen: Arc<AtomicBool>,
    status: Arc<AtomicBool>,
    /// Readable when a signal came, or the reader ended.
    woken: UnixStream,
    wake: UnixStream,
}

impl Signals {
    pub fn register() -> io::Result<Signals> {
        let (woken, wake) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        wake.set_nonblocking(true)?;
        let signals = Signals {
            stop: Arc::default(),
            reopen: Arc::default(),
            status: Arc::default(),
            woken,
            wake,
        };
        for (signal, flag) in [
            (SIGTERM, &signals.stop),
            (SIGINT, &signals.stop),
            (SIGHUP, &signals.reopen),
            (SIGUSR1, &signals.status),
        ] {
            if Arc::ptr_eq(flag, &signals.stop) {
                // The second one ends the process at once.
                signal_hook::flag::register_conditional_default(signal, Arc::clone(flag))?;
            }
            signal_hook::flag::register(signal, Arc::clone(flag))?;
            pipe::register(signal, signals.wake.try_clone()?)?;
        }
        Ok(signals)
    }

    /// Waits for a signal, or a second.
    fn wait(&self) {
        let mut fds = [PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::from(1000u16));
        let mut bytes = [0; 64];
        while (&self.woken).read(&mut bytes).is_ok_and(|n| n > 0) {}
    }
}

/// How a collection ended.
pub struct Ended {
    pub read: Result<(), InputError>,
    /// How full the queue was.
    pub load: Load,
    /// Failed reads of a device.
    pub failed_reads: u64,
}

/// Collects from `bytes` until it ends or a signal says so.
pub fn collect(
    mut bytes: Bytes,
    shared: &Shared,
    picker: Picker,
    signals: &Signals,
) -> io::Result<Ended> {
    let settings = &shared.settings;
    let directory = shared.home.directory();
    // Before anything new is written, so that nothing new is among them.
    let entries = directory.list()?;
    let left = recover::unfinished(&entries);
    shared.budget.count(&directory, &entries);
    drop(entries);
    shared.enforce_budget();
    let (woken, wake_reader) = UnixStream::pair()?;
    bytes.wake_on(File::from(OwnedFd::from(woken)));
    bytes.stop_on(Arc::clone(&signals.stop));
    let failures = bytes.is_device().then(|| bytes.persist());
    let ended = AtomicBool::new(false);
    let queue: Queue<Piece> = Queue::new(settings.writers, settings.queue, settings.overload);
    let read = std::thread::scope(|scope| {
        for lane in 0..settings.writers {
            let queue = &queue;
            scope.spawn(move || Writer::new(shared).run(queue, lane));
        }
        scope.spawn(|| recover::recover(shared, &directory, left, &signals.stop));
        let reading = scope.spawn(|| {
            let read = source::read(bytes, shared, picker, &queue);
            ended.store(true, Ordering::Release);
            let _ = (&signals.wake).write(&[0]);
            read
        });
        let mut watch = Watch::new(shared, failures.clone());
        while !ended.load(Ordering::Acquire) {
            signals.wait();
            if signals.stop.load(Ordering::Relaxed) {
                // The reader may sleep in a poll.
                let _ = (&wake_reader).write(&[0]);
            }
            watch.look(signals, &queue);
        }
        watch.overload();
        queue.close();
        // Nobody can go on with what a panic left behind.
        #[allow(clippy::expect_used)]
        reading.join().expect("the reader does not panic")
    });
    Ok(Ended {
        read,
        load: queue.load(),
        failed_reads: failures.map_or(0, |failures| failures.so_far().0),
    })
}

/// What is looked at once a second.
struct Watch<'a> {
    shared: &'a Shared,
    failures: Option<Arc<Failures>>,
    /// Failed reads that were said.
    failed_reads: u64,
    /// Wall clock against the steady one.
    clock: Clock,
    is_gone: bool,
    /// When an overload was said last.
    overload_said: Option<Instant>,
    looked: Instant,
}

/// The two clocks at one moment.
struct Clock {
    steady: Instant,
    wall: SystemTime,
}

impl Clock {
    fn now() -> Clock {
        Clock {
            steady: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// Seconds by which the wall clock was stepped since then.
    fn stepped(&self) -> f64 {
        let now = Clock::now();
        let wall = match now.wall.duration_since(self.wall) {
            Ok(later) => later.as_secs_f64(),
            Err(earlier) => -earlier.duration().as_secs_f64(),
        };
        wall - now.steady.duration_since(self.steady).as_secs_f64()
    }
}

/// Clock steps from here on are said, seconds.
const STEP: f64 = 1.0;

impl<'a> Watch<'a> {
    fn new(shared: &'a Shared, failures: Option<Arc<Failures>>) -> Watch<'a> {
        Watch {
            shared,
            failures,
            failed_reads: 0,
            clock: Clock::now(),
            is_gone: false,
            overload_said: None,
            looked: Instant::now(),
        }
    }

    fn look(&mut self, signals: &Signals, queue: &Queue<Piece>) {
        if signals.reopen.swap(false, Ordering::Relaxed) {
            self.reopen();
        }
        if signals.status.swap(false, Ordering::Relaxed) {
            let failures = self.failures.as_ref();
            self.shared.log.say(StatusLine {
                counters: &self.shared.counters,
                load: queue.load(),
                failed_reads: failures.map_or(0, |failures| failures.so_far().0),
            });
        }
        if self.looked.elapsed() < Duration::from_millis(900) {
            return;
        }
        self.looked = Instant::now();
        self.directory(&self.shared.home);
        self.device();
        self.overload();
        let stepped = self.clock.stepped();
        if stepped.abs() >= STEP {
            self.shared.log.say(format_args!(
                "the clock was stepped by {stepped:.1} s; each message keeps the boot time that \
                 the kernel gave it"
            ));
            self.clock = Clock::now();
        }
    }

    fn reopen(&self) {
        let log = &self.shared.log;
        if let Err(cause) = log.reopen() {
            log.say(format_args!("cannot open the log anew: {cause}"));
        }
        match self.shared.home.directory().reopen_index() {
            Ok(()) => log.say("index and log opened anew"),
            Err(cause) => log.say(format_args!("cannot open the index anew: {cause}")),
        }
    }

    fn directory(&mut self, home: &Home) {
        let log = &self.shared.log;
        match home.look() {
            Change::None => {
                if std::mem::take(&mut self.is_gone) {
                    log.say("the directory is back");
                }
            }
            Change::Replaced => {
                self.is_gone = false;
                log.say("the directory is another one now; new files go there");
                let budget = &self.shared.budget;
                if budget.is_limited() {
                    let directory = home.directory();
                    match directory.list() {
                        Ok(entries) => budget.count(&directory, &entries),
                        Err(cause) => log.say(format_args!("cannot count its files: {cause}")),
                    }
                }
            }
            Change::Gone(cause) => {
                if !std::mem::replace(&mut self.is_gone, true) {
                    log.say(format_args!(
                        "the directory cannot be used: {cause}; reading goes on, and it is looked \
                         for again"
                    ));
                }
            }
        }
    }

    /// Says at most once a minute that messages are dropped.
    fn overload(&mut self) {
        let lately = |said: Instant| said.elapsed() < Duration::from_secs(60);
        if self.shared.take_overloaded() && !self.overload_said.is_some_and(lately) {
            self.overload_said = Some(Instant::now());
            let log = &self.shared.log;
            log.say("the queue is full; the oldest messages in it are dropped and counted");
        }
    }

    fn device(&mut self) {
        let Some(failures) = &self.failures else {
            return;
        };
        let (count, last) = failures.so_far();
        // The first one, and then each time there are twice as many.
        if count > 0 && count >= self.failed_reads.saturating_mul(2) {
            self.failed_reads = count;
            self.shared.log.say(format_args!(
                "reading failed {count} times, the last time with: {}; it is tried again",
                last.unwrap_or_default()
            ));
        }
    }
}
