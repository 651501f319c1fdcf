//! The 104 stack specific bytes of a record.

use crate::format::{Dialect, Order};

/// Bytes of `tlb_stackinfo`, in every version and ABI.
pub const STACKINFO_LEN: usize = 104;

/// Cells of [`DEFAULT_VIEW`](crate::format::table::DEFAULT_VIEW) that the code
/// itself reads: offset and size in bytes.
pub mod cell {
    pub const RTT_PROP: (usize, usize) = (16, 8);
    pub const FLEX1: (usize, usize) = (60, 4);
    pub const FLEX3: (usize, usize) = (68, 4);
    pub const FLEX4: (usize, usize) = (72, 4);
    pub const FLEX6: (usize, usize) = (80, 4);
    pub const LOST: (usize, usize) = (84, 4);
    pub const PACING_GAIN: (usize, usize) = (88, 2);
    pub const FLEX7: (usize, usize) = (92, 2);
    pub const BBR_STATE: (usize, usize) = (94, 1);
    pub const FLEX8: (usize, usize) = (99, 1);
}

/// The stack specific bytes, through the view that nearly all events use.
#[derive(Clone, Copy, Debug)]
pub struct StackInfo<'a> {
    bytes: &'a [u8],
    order: Order,
}

impl<'a> StackInfo<'a> {
    pub(super) fn of_record(record: &'a [u8], dialect: &Dialect) -> Option<StackInfo<'a>> {
        let start = usize::from(dialect.record_slots.stackinfo.offset);
        Some(StackInfo {
            bytes: record.get(start..start + STACKINFO_LEN)?,
            order: dialect.order,
        })
    }

    /// All 104 bytes, in the machine's byte order.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// An unsigned cell of `size` bytes at `offset` from the start of the
    /// union; 0 past its end.
    pub fn cell(&self, offset: usize, size: usize) -> u64 {
        self.order.read(self.bytes, offset, size).unwrap_or(0)
    }

    /// One of the cells of [`cell`].
    pub fn named(&self, (offset, size): (usize, usize)) -> u64 {
        self.cell(offset, size)
    }
}
