//! Where a payload's field lies: a cell, two halves, or some bits of one.

use crate::format::layout::Layout;

/// Fields of the record that hold event specific values outside the 104 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordCell {
    Flex1,
    Flex2,
    Len,
    Errno,
}

impl RecordCell {
    const ALL: [(&'static str, RecordCell); 4] = [
        ("tlb_flex1", RecordCell::Flex1),
        ("tlb_flex2", RecordCell::Flex2),
        ("tlb_len", RecordCell::Len),
        ("tlb_errno", RecordCell::Errno),
    ];

    /// The kernel's name.
    pub fn name(self) -> &'static str {
        let found = RecordCell::ALL.iter().find(|(_, cell)| *cell == self);
        found.map_or("", |(name, _)| name)
    }
}

/// The bytes of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Of the 104 stack specific bytes, the machine's byte order.
    Info { offset: u8, size: u8 },
    /// Two 32-bit cells of those, at these offsets.
    Halves { high: u8, low: u8 },
    /// A 32-bit field of the record.
    Record(RecordCell),
}

/// A cell or a run of its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub source: Source,
    /// Bits to shift right by, and to keep; `width` is that of the source
    /// where all are meant.
    pub shift: u8,
    pub width: u8,
}

impl Cell {
    /// Reads `flex2`, `flex3:flex4`, `u32@16`, `tlb_flex1`, each with an
    /// optional `[3]` or `[0..2]` for some bits.
    pub(super) fn parse(text: &str, cells: &Layout) -> Result<Cell, String> {
        let unknown = || format!("{text:?} is no cell");
        let (base, bits) = match text.split_once('[') {
            None => (text, None),
            Some((base, bits)) => (base, Some(bits.strip_suffix(']').ok_or_else(unknown)?)),
        };
        let (source, size) = source(base, cells).ok_or_else(unknown)?;
        let all = 8 * size;
        let (low, high) = match bits {
            None => (0, all - 1),
            Some(bits) => {
                let (low, high) = bits.split_once("..").unwrap_or((bits, bits));
                let bit = |n: &str| n.parse::<u8>().map_err(|_| unknown());
                (bit(low)?, bit(high)?)
            }
        };
        if low > high || high >= all {
            return Err(format!("{text:?}: no such bits"));
        }
        Ok(Cell {
            source,
            shift: low,
            width: high - low + 1,
        })
    }

    /// Bytes of the whole cell.
    pub fn size(&self) -> u8 {
        match self.source {
            Source::Info { size, .. } => size,
            Source::Halves { .. } => 8,
            Source::Record(_) => 4,
        }
    }

    /// True if all of its source's bits are meant.
    pub fn is_whole(&self) -> bool {
        self.width == 8 * self.size()
    }

    /// The parts of the 104 bytes that it reads: offset and size.
    pub fn bytes(&self) -> impl Iterator<Item = (usize, usize)> {
        let (first, second) = match self.source {
            Source::Info { offset, size } => (Some((offset, size)), None),
            Source::Halves { high, low } => (Some((high, 4)), Some((low, 4))),
            Source::Record(_) => (None, None),
        };
        let wide = |(offset, size): (u8, u8)| (usize::from(offset), usize::from(size));
        first.into_iter().chain(second).map(wide)
    }

    /// True if it is all of the cell at `offset`.
    pub fn is_just(&self, offset: usize, size: usize) -> bool {
        self.is_whole() && self.bytes().eq([(offset, size)])
    }

    /// True if some bit belongs to both.
    pub fn overlaps(&self, other: &Cell) -> bool {
        if self.source == other.source {
            return self.shift < other.shift + other.width && other.shift < self.shift + self.width;
        }
        self.bytes().any(|(a, a_size)| {
            let apart = |(b, b_size): (usize, usize)| a + a_size <= b || b + b_size <= a;
            !other.bytes().all(apart)
        })
    }
}

/// The source and its bytes.
fn source(text: &str, cells: &Layout) -> Option<(Source, u8)> {
    let info = |name: &str| {
        let field = cells.field(name)?;
        Some((
            u8::try_from(field.offset).ok()?,
            u8::try_from(field.size).ok()?,
        ))
    };
    if let Some((_, cell)) = RecordCell::ALL.iter().find(|(name, _)| *name == text) {
        return Some((Source::Record(*cell), 4));
    }
    if let Some((high, low)) = text.split_once(':') {
        let ((high, 4), (low, 4)) = (info(high)?, info(low)?) else {
            return None;
        };
        return (high != low).then_some((Source::Halves { high, low }, 8));
    }
    if let Some((kind, offset)) = text.split_once('@') {
        let size: u8 = match kind {
            "u8" => 1,
            "u16" => 2,
            "u32" => 4,
            "u64" => 8,
            _ => return None,
        };
        let offset: u8 = offset.parse().ok()?;
        let inside = usize::from(offset) + usize::from(size) <= cells.size;
        return inside.then_some((Source::Info { offset, size }, size));
    }
    let (offset, size) = info(text)?;
    Some((Source::Info { offset, size }, size))
}
