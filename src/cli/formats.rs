//! `tcplog formats`: what this build knows.

use super::Status;
use super::args::Common;
use crate::format::listing;
use clap::{Args, ValueEnum};
use std::io::Write;

/// List the layouts, events, flags and codes this build knows
///
/// With a NAME, one of them is printed as a table.
#[derive(Debug, Args)]
pub struct Formats {
    /// What to print: a name from the list, such as v9, v6/i386/big, events or tlb_flags
    name: Option<String>,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
}

impl Formats {
    pub fn run(&self, common: &Common) -> anyhow::Result<Status> {
        let formats = common.load_formats()?;
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
}
