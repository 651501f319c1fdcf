//! What the readable forms (text, JSON, CSV, summary) need to know besides
//! the records.

use crate::format::{Dialect, Formats, Release};
use crate::meaning::StackNames;

/// Settings that the readable forms share.
#[derive(Clone, Debug)]
pub struct Context {
    pub formats: &'static Formats,
    /// Chooses between meanings of one number; `None`: the newest release
    /// that writes the version at hand.
    pub release: Option<Release>,
    pub stacks: StackNames,
    /// How often the user asked for more; only text looks at it.
    pub verbosity: u8,
    /// Only text looks at it.
    pub color: bool,
}

impl Context {
    /// The release by which records of `dialect` are explained.
    pub fn release(&self, dialect: &Dialect) -> Release {
        self.release
            .unwrap_or_else(|| Release::newest_of_version(dialect.version))
    }
}
