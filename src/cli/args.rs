//! Options that several commands share.

use crate::format::{Formats, Release};
use crate::input::InputFormat;
use crate::meaning::StackNames;
use crate::output;
use crate::output::context::TimeForm;
use crate::sctp::Probes;
use crate::select::{Criteria, Select};
use crate::zcs::PortOrder;
use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// When to do something that suits a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum When {
    #[default]
    Auto,
    Always,
    Never,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Threads to use; output is the same for any number [default: one per core]
    #[arg(short, long, value_name = "N", global = true)]
    pub jobs: Option<NonZeroUsize>,
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say or show more; may be repeated
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Show progress on standard error
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    pub progress: When,
    /// Use colors (NO_COLOR is honoured)
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    pub color: When,
    /// Exit with status 2 if anything is damaged
    #[arg(long, global = true)]
    pub strict: bool,
    /// Read format files from this directory; they add to or replace those of this build
    #[arg(long, value_name = "DIR", global = true)]
    pub formats: Option<PathBuf>,
}

impl Common {
    /// The formats to use; they live as long as the process.
    pub fn load_formats(&self) -> anyhow::Result<&'static Formats> {
        Ok(match &self.formats {
            None => Formats::builtin(),
            Some(dir) => Box::leak(Box::new(Formats::load(Some(dir))?)),
        })
    }

    pub fn threads(&self) -> usize {
        self.jobs.map_or_else(
            || std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            NonZeroUsize::get,
        )
    }

    /// Colors on standard output.
    pub fn colors(&self) -> bool {
        match self.color {
            When::Always => true,
            When::Never => false,
            When::Auto => {
                std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
                    && std::io::stdout().is_terminal()
            }
        }
    }
}

/// What to read, and which records of it.
#[derive(Clone, Debug, Args)]
pub struct Inputs {
    /// Files, FIFOs or devices to read; `-` is standard input
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// Take the inputs for this kind instead of recognising them by content
    #[arg(long, value_name = "KIND", default_value = "auto", value_parser = input_format)]
    pub input_format: Kind,
    /// How the zero-copy sniffer's log prints ports: as a little-endian host reads them, or as
    /// they are
    #[arg(long, value_name = "ORDER", default_value = "auto")]
    pub zcs_ports: ZcsPorts,
    #[command(flatten)]
    pub selection: Selection,
}

/// Byte order of ports, where a log does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ZcsPorts {
    /// Told by how many ports are well known each way
    Auto,
    Swapped,
    Printed,
}

impl ZcsPorts {
    pub fn order(self) -> Option<PortOrder> {
        match self {
            ZcsPorts::Auto => None,
            ZcsPorts::Swapped => Some(PortOrder::Swapped),
            ZcsPorts::Printed => Some(PortOrder::Printed),
        }
    }
}

/// A kind of input, or `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub Option<InputFormat>);

fn input_format(text: &str) -> Result<Kind, String> {
    match text {
        "auto" => Ok(Kind(None)),
        other => other
            .parse()
            .map(|format| Kind(Some(format)))
            .map_err(|e: String| {
                format!("{e}; there are auto, stream, logbuf, pcapng, dtrace-sctp and zcs")
            }),
    }
}

/// Which records. Repeated options of one kind are alternatives; different
/// kinds must all hold.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Selection")]
pub struct Selection {
    /// Log ID that matches this glob: `*` is any run of bytes, `?` any byte, `[a-z]` one of a set,
    /// `{a,b}` either, and `\` takes the next character as it is
    #[arg(long, value_name = "GLOB")]
    pub id: Vec<String>,
    /// Tag that matches this glob
    #[arg(long, value_name = "GLOB")]
    pub tag: Vec<String>,
    /// Dump reason that matches this glob
    #[arg(long, value_name = "GLOB")]
    pub reason: Vec<String>,
    /// Address of either end, or a prefix of it
    #[arg(long, value_name = "ADDR[/LEN]")]
    pub host: Vec<String>,
    /// Port of either end
    #[arg(long, value_name = "N")]
    pub port: Vec<u16>,
    /// Event by name or number; several with commas
    #[arg(long, value_name = "EVENT[,...]")]
    pub event: Vec<String>,
    /// Name of the TCP stack, or its number
    #[arg(long, value_name = "NAME")]
    pub stack: Vec<String>,
    /// Serial numbers, both ends included
    #[arg(long, value_name = "LO..HI", allow_hyphen_values = true)]
    pub sn: Vec<String>,
    /// Not before: RFC 3339, Unix seconds, or +seconds from the first record
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub since: Vec<String>,
    /// Not after: RFC 3339, Unix seconds, or +seconds from the first record
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub until: Vec<String>,
}

impl Selection {
    /// Nothing is asked for, so everything is selected.
    pub fn is_everything(&self) -> bool {
        self.criteria() == Criteria::default()
    }

    pub fn select(&self, formats: &Formats) -> anyhow::Result<Select> {
        let ids = |name: &str| {
            let found = formats.events.find(name);
            let mut ids: Vec<u8> = found.into_iter().map(|id| id.0).collect();
            // A probe of a relative is no error, and no record: none has
            // event 0.
            if ids.is_empty() && Probes::builtin().is_event(name) {
                ids.push(0);
            }
            ids
        };
        Ok(self.criteria().select(&ids)?)
    }

    /// As typed.
    pub fn criteria(&self) -> Criteria {
        Criteria {
            id: self.id.clone(),
            tag: self.tag.clone(),
            reason: self.reason.clone(),
            host: self.host.clone(),
            port: self.port.clone(),
            event: self.event.clone(),
            stack: self.stack.clone(),
            sn: self.sn.clone(),
            since: self.since.clone(),
            until: self.until.clone(),
        }
    }
}

/// How to understand numbers that mean different things over time.
#[derive(Clone, Debug, Args)]
pub struct Meaning {
    /// Release that logged, where a number alone does not say what it means
    /// [12.0, 12, 13.0, 13, 14, 15, main]
    #[arg(long, value_name = "RELEASE", value_parser = release)]
    pub release: Option<Release>,
    /// Name of a TCP stack id, as sysctl net.inet.tcp.function_info gives it
    #[arg(long = "stack-name", value_name = "ID=NAME", value_parser = stack_name)]
    pub stack_names: Vec<(u8, String)>,
}

impl Meaning {
    pub fn stacks(&self) -> StackNames {
        StackNames::new(&self.stack_names)
    }

    /// What the sinks that show records go by.
    pub fn context(&self, common: &Common, formats: &'static Formats) -> output::context::Context {
        output::context::Context {
            formats,
            release: self.release,
            stacks: self.stacks(),
            verbosity: common.verbose,
            color: common.colors(),
            show_pointers: false,
            relative_seq: false,
            time: TimeForm::default(),
        }
    }
}

fn release(text: &str) -> Result<Release, String> {
    let names: Vec<&str> = Release::ALL.iter().map(|r| r.name()).collect();
    Release::from_name(text).ok_or_else(|| format!("known releases are {}", names.join(", ")))
}

fn stack_name(text: &str) -> Result<(u8, String), String> {
    let (id, name) = text
        .split_once('=')
        .ok_or("give it as ID=NAME, for example 2=rack")?;
    let id = id.parse().map_err(|_| "the id is a number from 0 to 255")?;
    if name.is_empty() || name.len() > 31 || name.chars().any(char::is_control) {
        return Err("the name has 1 to 31 bytes and no control characters".to_owned());
    }
    Ok((id, name.to_owned()))
}

/// A number of bytes: `500`, `64K`, `100M`, `2G`, `1T`, by powers of 1024.
pub fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().next_back() {
        Some((at, unit)) if !unit.is_ascii_digit() => {
            let shift = match unit.to_ascii_uppercase() {
                'K' => 10,
                'M' => 20,
                'G' => 30,
                'T' => 40,
                _ => return Err(format!("{unit:?} is none of K, M, G and T")),
            };
            (text.get(..at).unwrap_or(""), shift)
        }
        _ => (text, 0),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "give it as a number and K, M, G or T, for example 100M".to_owned())?;
    number
        .checked_mul(1 << shift)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "that is no possible size".to_owned())
}

/// A time: `90s`, `15m`, `1h 30m`, `1d`; a plain number counts seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let parsed = text.parse::<jiff::SignedDuration>();
    parsed
        .ok()
        .and_then(|duration| duration.try_into().ok())
        .ok_or_else(|| "give it as a number and s, m, h or d, for example 15m".to_owned())
}

/// The time to write as DUMPTIME: `--dumptime`, else `SOURCE_DATE_EPOCH`, else
/// now.
pub fn dumptime(given: Option<i64>) -> anyhow::Result<i64> {
    if let Some(seconds) = given {
        return Ok(seconds);
    }
    if let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") {
        let parsed = text.to_str().and_then(|t| t.parse().ok());
        return parsed
            .ok_or_else(|| anyhow!("not a number of seconds: {text:?}"))
            .context("SOURCE_DATE_EPOCH");
    }
    Ok(jiff::Timestamp::now().as_second())
}

/// Which of `others` is the same regular file as `path`, by whatever name.
pub fn same_file<'a>(path: &Path, others: &'a [PathBuf]) -> Option<&'a PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let place = |path: &Path| {
        let meta = std::fs::metadata(path).ok()?;
        meta.is_file().then(|| (meta.dev(), meta.ino()))
    };
    let ours = place(path)?;
    others.iter().find(|other| place(other) == Some(ours))
}

/// Refuses to write over what is read: the output replaces what has its name.
pub fn refuse_input(output: &Path, inputs: &[PathBuf]) -> anyhow::Result<()> {
    match same_file(output, inputs) {
        Some(input) => Err(anyhow!(
            "{} is the input {}; it would be replaced",
            output.display(),
            input.display()
        )),
        None => Ok(()),
    }
}

/// Refuses to write binary data to a terminal.
pub fn refuse_terminal(path: &Path, what: &str) -> anyhow::Result<()> {
    if path.as_os_str() == "-" && std::io::stdout().is_terminal() {
        return Err(anyhow!(
            "{what} is binary; it is not written to a terminal (redirect it, or use -o FILE)"
        ));
    }
    Ok(())
}
