//! `tcplog record`: the collector.

use super::Status;
use super::args::{self, Common, Meaning, Selection};
use super::say::say;
use crate::meaning::StackNames;
use crate::output::pcapng::Options;
use crate::record::budget::Budget;
use crate::record::check::{Plan, Verdict, check, render, worst};
use crate::record::collector::{Ended, Signals, collect};
use crate::record::compress::Compress;
use crate::record::counters::StatusLine;
use crate::record::directory::Prepared;
use crate::record::log::Log;
use crate::record::privileges::{self, Identity};
use crate::record::queue::Overload;
use crate::record::sandbox::{self, Rights, State};
use crate::record::shared::{Settings, Shared};
use crate::record::{kernel, source};
use crate::select::{Picker, Split};
use anyhow::Context;
use clap::{Args, ValueEnum};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Collect what the kernel's black box hands out, for as long as it runs
///
/// Reads messages from the device as they come and writes them as pcapng into
/// a directory, with an index of the files. Reading never waits for writing.
#[derive(Debug, Args)]
pub struct Record {
    /// Device to read; a FIFO, a file or `-` will do as well
    #[arg(short = 'f', long, value_name = "DEVICE", default_value = DEVICE)]
    device: PathBuf,
    /// Write into this directory; it is made if its parent is there
    #[arg(short = 'D', long, value_name = "DIR")]
    directory: PathBuf,
    /// What gets a file of its own: log-id, connection or message
    #[arg(long, value_name = "GROUP", default_value = "message")]
    split: Split,
    /// Compress the files: none, gzip, zstd or xz
    #[arg(long, value_name = "KIND", default_value = "none")]
    compress: Compress,
    /// Finish a connection's or log ID's file when it has this size
    #[arg(long, value_name = "SIZE", default_value = "100M", value_parser = args::size)]
    rotate_size: u64,
    /// Finish a connection's or log ID's file when it is this old
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = args::duration)]
    rotate_age: Duration,
    /// Remove the oldest finished files when all take up more than this
    #[arg(long, value_name = "SIZE", value_parser = args::size)]
    max_disk: Option<u64>,
    /// Leave out messages with fewer wanted records
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(0..=MOST_MIN_RECORDS))]
    min_records: u64,
    /// Memory for messages that wait to be written
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = args::size)]
    queue: u64,
    /// What to do when that is full: block lets the kernel keep what is not
    /// read, drop-oldest gives up what waits longest
    #[arg(long, value_name = "POLICY", default_value = "block")]
    on_overload: OnOverload,
    /// Go on as this user after the device is opened [default: nobody, if started by root]
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Say what happens in this file instead of on standard error
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Wait until a file is on the disk before the index tells of it
    #[arg(long)]
    sync: bool,
    /// Put a comment in words on each block
    #[arg(long)]
    comments: bool,
    /// Do not enter FreeBSD's capability mode
    #[arg(long)]
    no_sandbox: bool,
    /// Only say whether kernel, device, directory and user are ready
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    meaning: Meaning,
}

const DEVICE: &str = "/dev/tcp_log";

/// Who goes on when root started it.
const USER: &str = "nobody";

/// A message is kept in memory until it has so many.
const MOST_MIN_RECORDS: u64 = 100_000;

/// More writers than this only wait for the disk.
const MOST_WRITERS: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnOverload {
    Block,
    DropOldest,
}

impl Record {
    pub fn run(&self, common: &Common) -> anyhow::Result<Status> {
        if self.check {
            return self.check();
        }
        let formats = common.load_formats()?;
        let select = self.selection.select(formats)?;
        let user = self.identity()?;
        let bytes = source::open(&self.device)?;
        // Before anything can go wrong half way, and after what may wait: a
        // FIFO for its writer.
        let signals = Signals::register().context("signals")?;
        let stacks = self.stacks();
        let log = match &self.log {
            Some(path) => {
                Log::file("tcplog", path, &user).with_context(|| path.display().to_string())?
            }
            None => Log::standard_error("tcplog"),
        };
        let prepared = Prepared::open(&self.directory, &user)?;
        privileges::drop_to(&user)?;
        let home = prepared.lock(&user)?;
        let settings = self.settings(common, stacks.clone())?;
        let budget = Budget::new(self.max_disk);
        let shared = Shared::new(settings, formats, home, budget, log);
        if !self.no_sandbox {
            confine(&shared, &bytes)?;
        }
        let picker = Picker::new(select, stacks.by_id());
        let Ended {
            read,
            load,
            failed_reads,
        } = collect(bytes, &shared, picker, &signals)
            .with_context(|| self.directory.display().to_string())?;
        if !common.quiet {
            shared.log.say(StatusLine {
                counters: &shared.counters,
                load,
                failed_reads,
            });
        }
        read?;
        let counters = &shared.counters;
        Ok(match counters.damaged.get() {
            damaged if damaged > 0 && common.strict => Status::Failed,
            damaged if damaged > 0 || counters.dropped_records.get() > 0 => Status::Partial,
            _ => Status::Done,
        })
    }

    /// Who writes.
    fn identity(&self) -> anyhow::Result<Identity> {
        let current = Identity::current();
        Ok(match &self.user {
            Some(user) => Identity::find(user)?,
            None if current.is_root() => Identity::find(USER)?,
            None => current,
        })
    }

    /// The kernel's names, unless the user gives others.
    fn stacks(&self) -> StackNames {
        let mut names = match self.device.as_path() == Path::new(DEVICE) {
            true => kernel::stack_names(),
            false => Vec::new(),
        };
        names.extend(self.meaning.stack_names.iter().cloned());
        StackNames::new(&names)
    }

    fn settings(&self, common: &Common, stacks: StackNames) -> anyhow::Result<Settings> {
        let pinned_time = match std::env::var_os("SOURCE_DATE_EPOCH") {
            Some(_) => Some(args::dumptime(None)?),
            None => None,
        };
        Ok(Settings {
            split: self.split,
            compress: self.compress,
            rotate_size: self.rotate_size,
            rotate_age: self.rotate_age,
            min_records: self.min_records,
            queue: usize::try_from(self.queue).unwrap_or(usize::MAX),
            overload: match self.on_overload {
                OnOverload::Block => Overload::Block,
                OnOverload::DropOldest => Overload::DropOldest,
            },
            writers: common.threads().min(MOST_WRITERS),
            sync: self.sync,
            options: Options {
                comments: self.comments,
                compat: false,
                dumptime: pinned_time.unwrap_or_default(),
                release: self.meaning.release,
                stacks,
            },
            pinned_time,
        })
    }

    /// Says what is ready and what is not.
    fn check(&self) -> anyhow::Result<Status> {
        let user = match &self.user {
            None if Identity::current().is_root() => Some(USER),
            user => user.as_deref(),
        };
        let findings = check(&Plan {
            device: &self.device,
            directory: &self.directory,
            user,
        });
        io::stdout().write_all(render(&findings).as_bytes())?;
        Ok(match worst(&findings) {
            Verdict::Ok => Status::Done,
            Verdict::Warning => Status::Partial,
            Verdict::Problem => Status::Failed,
        })
    }
}

/// Gives up all rights that are not needed any more, where the system can.
fn confine(shared: &Shared, bytes: &crate::input::Bytes) -> anyhow::Result<()> {
    let directory = shared.home.directory();
    let index = directory.index();
    let mut rights = vec![
        (shared.home.parent(), Rights::Directory),
        (directory.as_fd(), Rights::Directory),
        (index.as_fd(), Rights::Append),
    ];
    rights.extend(bytes.descriptor().map(|fd| (fd, Rights::Device)));
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    rights.push((stdin.as_fd(), Rights::Nothing));
    rights.push((stdout.as_fd(), Rights::Stream));
    rights.push((stderr.as_fd(), Rights::Stream));
    let log = shared.log.descriptors();
    if let Some((above, file)) = &log {
        rights.push((*above, Rights::LogDirectory));
        rights.push((file.as_fd(), Rights::Append));
    }
    match sandbox::enter(&rights)? {
        State::Entered => Ok(()),
        // Said on FreeBSD only: elsewhere nobody expects it.
        State::Unavailable(why) => {
            if cfg!(target_os = "freebsd") {
                say(why);
            }
            Ok(())
        }
    }
}
