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

    /// True if it has room for an address of a 64-bit kernel.
    pub fn is_wide(&self) -> bool {
        self.bytes().map(|(_, size)| size).sum::<usize>() >= 8
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
        // A directory can cut the bytes in another way; what is no number
        // is no cell.
        let number = matches!(field.size, 1 | 2 | 4 | 8);
        let place = (u8::try_from(field.offset), u8::try_from(field.size));
        match place {
            (Ok(offset), Ok(size)) if number => Some((offset, size)),
            _ => None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Formats;

    fn cells() -> &'static Layout {
        Formats::builtin().view("tcp_log_bbr").expect("a view")
    }

    fn cell(text: &str) -> Cell {
        Cell::parse(text, cells()).unwrap_or_else(|what| panic!("{what}"))
    }

    fn info(offset: u8, size: u8, shift: u8, width: u8) -> Cell {
        Cell {
            source: Source::Info { offset, size },
            shift,
            width,
        }
    }

    #[test]
    fn every_form_of_a_cell() {
        assert_eq!(cell("flex2"), info(64, 4, 0, 32));
        assert_eq!(cell("cur_del_rate"), info(0, 8, 0, 64));
        assert_eq!(cell("bbr_state"), info(94, 1, 0, 8));
        assert_eq!(cell("flex7[3]"), info(92, 2, 3, 1));
        assert_eq!(cell("flex7[0..2]"), info(92, 2, 0, 3));
        assert_eq!(cell("bw_inuse[32..63]"), info(24, 8, 32, 32));
        assert_eq!(cell("u16@88"), info(88, 2, 0, 16));
        assert_eq!(cell("u8@103"), info(103, 1, 0, 8));
        assert_eq!(cell("u64@24[63]"), info(24, 8, 63, 1));
        let halves = Source::Halves { high: 68, low: 72 };
        let both = cell("flex3:flex4");
        assert_eq!((both.source, both.shift, both.width), (halves, 0, 64));
        assert_eq!(both.bytes().collect::<Vec<_>>(), [(68, 4), (72, 4)]);
        let record = cell("tlb_flex1[8..31]");
        assert_eq!(record.source, Source::Record(RecordCell::Flex1));
        assert_eq!((record.shift, record.width), (8, 24));
        assert_eq!(record.bytes().count(), 0);
    }

    #[test]
    fn what_is_no_cell_is_refused() {
        for text in [
            "",
            "flex9",
            "FLEX1",
            "tlb_flex3",
            "flex1[",
            "flex1[]",
            "flex1[3",
            "flex1[3]x",
            "flex1[a]",
            "flex1[1..]",
            "flex1[256]",
            "flex1:",
            "flex1:flex1",
            "flex1:flex7",
            "cur_del_rate:flex1",
            "flex1:tlb_flex1",
            "u24@0",
            "u32",
            "u32@",
            "u32@-4",
            "u32@101",
            "u8@104",
            "u64@300",
        ] {
            let what = Cell::parse(text, cells()).expect_err(text);
            assert_eq!(what, format!("{text:?} is no cell"));
        }
        for text in ["flex8[8]", "flex1[5..4]", "flex1[0..32]", "tlb_len[32]"] {
            let what = Cell::parse(text, cells()).expect_err(text);
            assert_eq!(what, format!("{text:?}: no such bits"));
        }
    }

    #[test]
    fn a_field_that_is_no_number_is_no_cell() {
        // Of 32 bytes, so that its bits could not be counted in 8.
        let raw = Formats::builtin().view("tcp_log_raw").expect("a view");
        for name in ["u64_flex", "u8_flex"] {
            assert!(Cell::parse(name, raw).is_err(), "{name}");
        }
        assert_eq!(Cell::parse("u32_flex2", raw), Ok(info(100, 4, 0, 32)));
    }

    #[test]
    fn cells_overlap_where_a_bit_is_shared() {
        let overlap = |a, b| {
            let (a, b) = (cell(a), cell(b));
            assert_eq!(a.overlaps(&b), b.overlaps(&a));
            a.overlaps(&b)
        };
        assert!(overlap("flex7", "flex7[3]"));
        assert!(overlap("flex7[0..3]", "flex7[3]"));
        assert!(!overlap("flex7[0..2]", "flex7[3..15]"));
        assert!(overlap("flex3:flex4", "flex4"));
        assert!(overlap("flex3:flex4", "flex4:flex5"));
        assert!(!overlap("flex3:flex4", "flex5"));
        assert!(overlap("u32@90", "cwnd_gain"));
        assert!(!overlap("u16@88", "cwnd_gain"));
        assert!(!overlap("tlb_flex1", "flex1"));
        assert!(!overlap("tlb_flex1", "tlb_flex2"));
        assert!(overlap("tlb_flex1[31]", "tlb_flex1"));
    }
}
