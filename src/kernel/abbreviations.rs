//! Abbreviation tables of DWARF, read at a bounded cost.
//!
//! Any unit may name any table, and an abbreviation any number of attributes
//! that take no bytes in an entry, so a small file could ask for endless work.

use gimli::{Abbreviations, DebugAbbrev, EndianSlice, Reader, RunTimeEndian, Section, UnitHeader};
use std::sync::Arc;

type Slice<'a> = EndianSlice<'a, RunTimeEndian>;

/// Attributes of an abbreviation; compilers give some 20.
const MAX_ATTRIBUTES: usize = 128;
/// Times that the whole section may be read: twice, if each unit has a table
/// of its own, for units are seen twice.
const MAX_READS: usize = 4;

pub(super) struct Tables<'a> {
    section: DebugAbbrev<Slice<'a>>,
    /// Bytes that may still be read.
    budget: usize,
    /// The table of the unit before: some linkers make one for all.
    last: Option<(usize, Arc<Abbreviations>)>,
}

impl<'a> Tables<'a> {
    pub fn new(section: DebugAbbrev<Slice<'a>>) -> Tables<'a> {
        let len = section.reader().len();
        Tables {
            section,
            budget: len.saturating_mul(MAX_READS),
            last: None,
        }
    }

    /// The table of a unit; `None` where it is damaged or too much.
    pub fn of(&mut self, header: &UnitHeader<Slice<'a>>) -> Option<Arc<Abbreviations>> {
        let offset = header.debug_abbrev_offset().0;
        if let Some((known, table)) = &self.last
            && *known == offset
        {
            return Some(table.clone());
        }
        let mut bytes = *self.section.reader();
        bytes.skip(offset).ok()?;
        bytes.truncate(bytes.len().min(self.budget)).ok()?;
        let start = bytes.len();
        let sound = check(&mut bytes);
        self.budget = self.budget.saturating_sub(start - bytes.len());
        sound?;
        let table = Arc::new(header.abbreviations(&self.section).ok()?);
        self.last = Some((offset, table.clone()));
        Some(table)
    }
}

/// Reads a table up to its end.
fn check(bytes: &mut Slice<'_>) -> Option<()> {
    const IMPLICIT_CONST: u64 = 0x21;
    while bytes.read_uleb128().ok()? != 0 {
        bytes.read_uleb128().ok()?;
        bytes.read_u8().ok()?;
        let mut attributes = 0;
        loop {
            let (name, form) = (bytes.read_uleb128().ok()?, bytes.read_uleb128().ok()?);
            if form == IMPLICIT_CONST {
                bytes.read_sleb128().ok()?;
            }
            if (name, form) == (0, 0) {
                break;
            }
            attributes += 1;
            if attributes > MAX_ATTRIBUTES {
                return None;
            }
        }
    }
    Some(())
}
