//! The command line: parses, wires the other modules together, owns no logic.

mod args;
mod carve;
mod compare;
mod convert;
mod drive;
mod filter;
mod formats;
mod info;
mod progress;
mod record;
mod relative;
mod say;
mod show;

use crate::output::escape::Escaped;
use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

/// Reads FreeBSD's TCP blackbox (BBLog) records: converts them to pcapng for
/// Wireshark, filters them, shows them, and sums them up.
#[derive(Debug, Parser)]
#[command(
    name = "tcplog",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: args::Common,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Convert(convert::Convert),
    Filter(filter::Filter),
    Show(show::Show),
    Info(info::Info),
    Carve(carve::Carve),
    Record(record::Record),
    Compare(compare::Compare),
    Formats(formats::Formats),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// All done.
    Done,
    /// Done, but something was damaged, skipped, or nothing matched.
    Partial,
    /// Could not do it.
    Failed,
}

/// The command line under the name `name`, for man pages and completions.
pub fn command(name: &'static str) -> clap::Command {
    Cli::command().name(name).bin_name(name)
}

/// Runs a binary called `name` with these arguments.
pub fn main(name: &'static str, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    say::set_name(name);
    let parsed = command(name)
        .try_get_matches_from(args)
        .and_then(|matches| <Cli as clap::FromArgMatches>::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version go to standard output and are no error; nobody
            // is left to tell if printing fails.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    match run(&cli) {
        Ok(Status::Done) => ExitCode::SUCCESS,
        Ok(Status::Partial) => ExitCode::from(1),
        Ok(Status::Failed) => ExitCode::from(2),
        // The reader of our output has seen enough.
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            say::say(Escaped(format!("{e:#}").as_bytes()));
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Status> {
    match &cli.command {
        Command::Convert(convert) => convert.run(&cli.common),
        Command::Filter(filter) => filter.run(&cli.common),
        Command::Show(show) => show.run(&cli.common),
        Command::Info(info) => info.run(&cli.common),
        Command::Carve(carve) => carve.run(&cli.common),
        Command::Record(record) => record.run(&cli.common),
        Command::Compare(compare) => compare.run(&cli.common),
        Command::Formats(formats) => formats.run(&cli.common),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
