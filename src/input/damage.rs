//! What was wrong with an input, where, and what was kept all the same.

use super::batch::Batch;
use std::fmt;

/// One damaged range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// First byte of the range, after decompression.
    pub offset: u64,
    /// Bytes lost; 0 where nothing was lost but a claim was wrong.
    pub lost: u64,
    /// What was wrong, and what was kept.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lost == 0 {
            write!(f, "byte {}: {}", self.offset, self.what)
        } else {
            let end = self.offset.saturating_add(self.lost);
            write!(
                f,
                "bytes {} to {end}: {} ({} bytes lost)",
                self.offset, self.what, self.lost
            )
        }
    }
}

/// Reports damage; what goes on where the last report ended is one with it.
pub(super) fn report(batch: &mut Batch, offset: u64, lost: u64, what: String) {
    if let Some(last) = batch.damage.last_mut()
        && last.lost > 0
        && lost > 0
        && last.offset + last.lost == offset
    {
        last.lost += lost;
        return;
    }
    batch.damage.push(Damage { offset, lost, what });
}
