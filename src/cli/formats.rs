//! `tcplog formats`: what this build knows.

use super::Status;
use super::args::{Common, Meaning};
use crate::format::{listing, wireshark};
use anyhow::anyhow;
use clap::{Args, ValueEnum};
use std::io::Write;

/// List the layouts, events, payloads, flags and codes this build knows
///
/// With a NAME, one of them is printed as a table.
#[derive(Debug, Args)]
pub struct Formats {
    /// What to print: a name from the list, such as v9, v6/i386/big, events or tlb_flags; or
    /// the payloads of a name (rack.timer, timer) or an event (TIMERSTAR, 13)
    name: Option<String>,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Form,
    /// Print a plugin for Wireshark that names what is in the stack specific bytes
    ///
    /// --release and --stack-name become what its preferences are at first.
    #[arg(long, conflicts_with_all = ["name", "format"])]
    wireshark: bool,
    /// Print the D script whose lines tcplog reads: every probe of the SCTP provider
    #[arg(long, conflicts_with_all = ["name", "format", "wireshark"])]
    dtrace: bool,
    #[command(flatten)]
    meaning: Meaning,
}

const SCTP_SCRIPT: &[u8] = include_bytes!("../../formats/dtrace/tcplog-sctp.d");

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
}

impl Formats {
    pub fn run(&self, common: &Common) -> anyhow::Result<Status> {
        let formats = common.load_formats()?;
        if self.wireshark {
            return self.plugin(formats);
        }
        if self.dtrace {
            std::io::stdout().write_all(SCTP_SCRIPT)?;
            return Ok(Status::Done);
        }
        if self.meaning.release.is_some() || !self.meaning.stack_names.is_empty() {
            return Err(anyhow!("--release and --stack-name go with --wireshark"));
        }
        let listing = match &self.name {
            None => listing::index(formats),
            Some(name) => listing::named(formats, name)?,
        };
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        match self.format {
            Form::Text => listing.write_text(&mut out)?,
            Form::Json => listing.write_json(&mut out)?,
        }
        out.flush()?;
        Ok(Status::Done)
    }

    fn plugin(&self, formats: &crate::format::Formats) -> anyhow::Result<Status> {
        let defaults = wireshark::Defaults {
            release: self.meaning.release,
            stacks: self.meaning.stack_names.clone(),
        };
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        wireshark::write(formats, &defaults, &mut out)?;
        out.flush()?;
        Ok(Status::Done)
    }
}
