//! What the readable forms (text, JSON, CSV, summary) need to know besides
//! the records.

use crate::format::{Formats, Release};
use crate::meaning::{Label, Meanings, StackNames};

/// Settings that the readable forms share.
#[derive(Clone, Debug)]
pub struct Context {
    pub formats: &'static Formats,
    /// Chooses between meanings of one number; `None`: the evidence does.
    pub release: Option<Release>,
    pub stacks: StackNames,
    /// How often the user asked for more; only text looks at it.
    pub verbosity: u8,
    /// Kernel addresses are shown as they are.
    pub show_pointers: bool,
    /// Only text looks at it.
    pub color: bool,
    /// Sequence numbers count from the initial one; only text looks at it.
    pub relative_seq: bool,
    /// What the first column is; only text looks at it.
    pub time: TimeForm,
}

/// Which time a line of text begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeForm {
    /// Since the first record shown.
    #[default]
    Relative,
    /// Since the record before of the same connection.
    Delta,
    /// Time of day, UTC.
    Wall,
    /// Since the host booted.
    Uptime,
}

impl Context {
    /// Explains records; `label` makes the name of a field what the form writes.
    pub fn meanings(&self, label: Label) -> Meanings {
        Meanings::new(self.formats, self.release, self.stacks.clone(), label)
    }
}
