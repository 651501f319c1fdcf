//! Whether the numbers of an entry agree with each other.

use super::Entry;
use std::num::NonZeroU64;

/// Bytes of a node where nobody says otherwise: four pages of 4 KiB, as in the
/// log that was published.
pub const NODE_SIZE: NonZeroU64 = NonZeroU64::new(16 * 1024).unwrap();

/// What holds of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    /// `ptr - start` is `off`, modulo the size of a node.
    pub off: bool,
    /// `start` is a multiple of the size of a node.
    pub start: bool,
    /// The allocation lies in its node.
    pub inside: bool,
    /// The index is below the number of entries that the read gave.
    pub index: bool,
}

impl Checks {
    pub fn of(entry: &Entry, node_size: NonZeroU64) -> Checks {
        let node = node_size.get();
        let into = entry.ptr.checked_sub(entry.start);
        Checks {
            off: into.is_some_and(|into| into % node == u64::from(entry.off) % node),
            start: entry.start.is_multiple_of(node),
            inside: into
                .and_then(|into| into.checked_add(entry.size.into()))
                .is_some_and(|end| end <= node),
            index: entry.index < entry.batch_size,
        }
    }

    /// Whether all hold.
    pub fn hold(&self) -> bool {
        self.failed().next().is_none()
    }

    /// What does not hold, in words.
    pub fn failed(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.off, "off does not agree with ptr and start"),
            (self.start, "start is not where a node begins"),
            (self.inside, "the allocation is not inside its node"),
            (self.index, "the index is beyond the batch"),
        ]
        .into_iter()
        .filter_map(|(holds, what)| (!holds).then_some(what))
    }
}
