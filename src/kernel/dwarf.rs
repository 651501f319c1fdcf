//! Structure offsets from DWARF 2 to 5, 32-bit and 64-bit.
//!
//! A kernel's debug information repeats each header's structures in every
//! unit that includes it, so the units of a few files are read first, and the
//! rest only until nothing is missing.

use super::abbreviations::Tables;
use super::flatten::{MAX_MEMBERS, Member, Shape, Types, flatten};
use super::wanted::{self, STRUCTURES, UNITS};
use crate::format::structures::Builder;
use gimli::{
    AttributeValue, DebugAddrBase, DebugLocListsBase, DebugRngListsBase, DebugStrOffsetsBase,
    DebuggingInformationEntry, DwTag, Dwarf, DwarfSections, EndianSlice, Reader, RunTimeEndian,
    Section, SectionId, Unit, UnitHeader, UnitOffset,
};
use std::borrow::Cow;

type Slice<'a> = EndianSlice<'a, RunTimeEndian>;
type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;

/// Definitions that are opened in all; a good file needs one for each name.
const MAX_TRIES: usize = 64;
/// Bytes of a name, or of a path.
const MAX_TEXT: usize = 1024;
/// Typedefs and qualifiers that follow each other.
const MAX_LINKS: usize = 32;

/// Reads what `section` gives by its name; an empty section is one that is
/// not there.
pub(super) fn read<'a>(
    section: impl Fn(&str) -> Cow<'a, [u8]>,
    big_endian: bool,
    structures: &mut Builder,
) {
    let load = |id: SectionId| {
        let bytes = match id {
            SectionId::DebugInfo
            | SectionId::DebugAbbrev
            | SectionId::DebugStr
            | SectionId::DebugLineStr
            | SectionId::DebugStrOffsets => section(id.name()),
            _ => Cow::Borrowed(&[][..]),
        };
        Ok::<_, gimli::Error>(bytes)
    };
    let Ok(sections) = DwarfSections::load(load) else {
        return;
    };
    let order = match big_endian {
        true => RunTimeEndian::Big,
        false => RunTimeEndian::Little,
    };
    let dwarf = sections.borrow(|bytes| EndianSlice::new(bytes, order));
    let mut tables = Tables::new(
        sections
            .debug_abbrev
            .borrow(|bytes| EndianSlice::new(bytes, order)),
    );
    let mut tries = 0;
    for first in [true, false] {
        let mut headers = dwarf.units();
        // An error in a header is the end: what follows cannot be found.
        while let Ok(Some(header)) = headers.next() {
            if !first && wanted::complete(structures) || tries >= MAX_TRIES {
                break;
            }
            let Some(unit) = open(&dwarf, header, &mut tables) else {
                continue;
            };
            if is_among_first(&unit) != first {
                continue;
            }
            let read = OneUnit {
                dwarf: &dwarf,
                unit: &unit,
                big_endian,
            };
            // Damage in one unit costs the rest of that unit.
            let _ = read.find(structures, &mut tries);
        }
    }
}

/// A unit as far as types need it: gimli's own way to open one refuses those
/// whose lines or addresses cannot be read.
fn open<'a>(
    dwarf: &Dwarf<Slice<'a>>,
    header: UnitHeader<Slice<'a>>,
    tables: &mut Tables<'a>,
) -> Option<Unit<Slice<'a>>> {
    let encoding = header.encoding();
    let mut unit = Unit {
        abbreviations: tables.of(&header)?,
        name: None,
        comp_dir: None,
        low_pc: 0,
        str_offsets_base: DebugStrOffsetsBase::default_for_encoding_and_file(
            encoding,
            dwarf.file_type,
        ),
        addr_base: DebugAddrBase(0),
        loclists_base: DebugLocListsBase(0),
        rnglists_base: DebugRngListsBase(0),
        line_program: None,
        dwo_id: None,
        header,
    };
    let mut root = Entry::null();
    let mut entries = unit.header.entries_raw(&unit.abbreviations, None).ok()?;
    entries.read_entry(&mut root).ok()?;
    if let Some(AttributeValue::DebugStrOffsetsBase(base)) =
        root.attr_value(gimli::DW_AT_str_offsets_base)
    {
        unit.str_offsets_base = base;
    }
    let name = root.attr_value(gimli::DW_AT_name);
    unit.name = name.and_then(|name| text(dwarf, &unit, name));
    Some(unit)
}

/// A text, bounded: one without an end would be read again for each entry.
fn text<'a>(
    dwarf: &Dwarf<Slice<'a>>,
    unit: &Unit<Slice<'a>>,
    value: AttributeValue<Slice<'a>>,
) -> Option<Slice<'a>> {
    let (mut bytes, offset) = match value {
        AttributeValue::String(text) => return Some(text),
        AttributeValue::DebugStrRef(offset) => (*dwarf.debug_str.reader(), offset.0),
        AttributeValue::DebugLineStrRef(offset) => (*dwarf.debug_line_str.reader(), offset.0),
        AttributeValue::DebugStrOffsetsIndex(index) => {
            let offset = dwarf.string_offset(unit, index).ok()?;
            (*dwarf.debug_str.reader(), offset.0)
        }
        _ => return None,
    };
    bytes.skip(offset).ok()?;
    bytes.truncate(bytes.len().min(MAX_TEXT)).ok()?;
    bytes.read_null_terminated_slice().ok()
}

fn is_among_first(unit: &Unit<Slice<'_>>) -> bool {
    let name = unit.name.map(|name| name.slice()).unwrap_or_default();
    UNITS.iter().any(|wanted| name.ends_with(wanted.as_bytes()))
}

struct OneUnit<'u, 'a> {
    dwarf: &'u Dwarf<Slice<'a>>,
    unit: &'u Unit<Slice<'a>>,
    big_endian: bool,
}

impl<'a> OneUnit<'_, 'a> {
    /// Adds the structures that are wanted and that stand at the top level of
    /// this unit.
    fn find(&self, structures: &mut Builder, tries: &mut usize) -> gimli::Result<()> {
        let mut entries = self
            .unit
            .header
            .entries_raw(&self.unit.abbreviations, None)?;
        let mut entry = Entry::null();
        while !entries.is_empty() {
            let (depth, offset) = (entries.next_depth(), entries.next_offset());
            let Some(abbreviation) = entries.read_abbreviation()? else {
                continue;
            };
            if depth != 1 || abbreviation.tag() != gimli::DW_TAG_structure_type {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            let mut again = self
                .unit
                .header
                .entries_raw(&self.unit.abbreviations, Some(offset))?;
            entries.skip_attributes(abbreviation.attributes())?;
            if !again.read_entry(&mut entry)? || entry.has_attr(gimli::DW_AT_declaration) {
                continue;
            }
            let name = self.name(&entry);
            let Some(&name) = STRUCTURES.iter().find(|wanted| wanted.as_bytes() == name) else {
                continue;
            };
            if structures.has(name) || *tries >= MAX_TRIES {
                continue;
            }
            *tries += 1;
            if let Some(structure) = flatten(self, name, offset) {
                structures.add(structure);
            }
        }
        Ok(())
    }

    fn name(&self, entry: &Entry<'a>) -> &'a [u8] {
        let value = entry.attr_value(gimli::DW_AT_name);
        let text = value.and_then(|value| text(self.dwarf, self.unit, value));
        text.map(|text| text.slice()).unwrap_or_default()
    }

    fn entry(&self, offset: UnitOffset) -> Option<Entry<'a>> {
        self.unit.entry(offset).ok()
    }

    /// The type that a type or a member is of.
    fn type_of(&self, entry: &Entry<'a>) -> Option<UnitOffset> {
        match entry.attr_value(gimli::DW_AT_type)? {
            AttributeValue::UnitRef(offset) => Some(offset),
            AttributeValue::DebugInfoRef(offset) => offset.to_unit_offset(&self.unit.header),
            _ => None,
        }
    }

    /// Members of the structure or union at `offset`.
    fn members(&self, offset: UnitOffset) -> Option<Vec<Member<UnitOffset>>> {
        let abbreviations = &self.unit.abbreviations;
        let mut entries = self
            .unit
            .header
            .entries_raw(abbreviations, Some(offset))
            .ok()?;
        let mut entry = Entry::null();
        entries.read_entry(&mut entry).ok()?;
        let mut members = Vec::new();
        // Definitions inside the structure stand between its members.
        for _ in 0..2 * MAX_MEMBERS {
            if entries.next_depth() < 1 || entries.is_empty() || members.len() >= MAX_MEMBERS {
                break;
            }
            entries.read_entry(&mut entry).ok()?;
            if entry.depth() == 1 && entry.tag() == gimli::DW_TAG_member {
                members.extend(self.member(&entry));
            }
        }
        Some(members)
    }

    fn member(&self, entry: &Entry<'a>) -> Option<Member<UnitOffset>> {
        let type_ = self.type_of(entry)?;
        let number = |name| entry.attr_value(name).and_then(|value| value.udata_value());
        let width = number(gimli::DW_AT_bit_size);
        let bytes = match entry.attr_value(gimli::DW_AT_data_member_location) {
            Some(AttributeValue::Exprloc(expression)) => plus_uconst(expression.0.slice())?,
            Some(value) => value.udata_value()?,
            None => 0,
        };
        let base = bytes.checked_mul(8)?;
        let bit_offset = if let Some(bits) = number(gimli::DW_AT_data_bit_offset) {
            base.checked_add(bits)?
        } else if let (Some(from_top), Some(width)) = (number(gimli::DW_AT_bit_offset), width) {
            // Until DWARF 3: counted from the highest bit of the storage unit.
            let size = number(gimli::DW_AT_byte_size).or_else(|| self.size_of(type_, 0))?;
            match self.big_endian {
                true => base.checked_add(from_top)?,
                false => {
                    let end = base.checked_add(size.checked_mul(8)?)?;
                    end.checked_sub(from_top)?.checked_sub(width)?
                }
            }
        } else {
            base
        };
        Some(Member {
            name: String::from_utf8_lossy(self.name(entry)).into_owned(),
            bit_offset,
            width,
            type_,
        })
    }

    /// Sees through typedefs and qualifiers.
    fn resolve(&self, id: UnitOffset) -> Option<(UnitOffset, Entry<'a>)> {
        let mut id = id;
        for _ in 0..MAX_LINKS {
            let entry = self.entry(id)?;
            if !is_transparent(entry.tag()) {
                return Some((id, entry));
            }
            id = self.type_of(&entry)?;
        }
        None
    }

    fn size_of(&self, id: UnitOffset, depth: usize) -> Option<u64> {
        let (id, entry) = self.resolve(id)?;
        self.bytes(id, &entry, depth)
    }

    fn bytes(&self, id: UnitOffset, entry: &Entry<'a>, depth: usize) -> Option<u64> {
        let size = entry.attr_value(gimli::DW_AT_byte_size);
        if let Some(size) = size.and_then(|size| size.udata_value()) {
            return Some(size);
        }
        match entry.tag() {
            gimli::DW_TAG_pointer_type => Some(self.unit.header.address_size().into()),
            gimli::DW_TAG_array_type if depth < 8 => {
                let element = self.size_of(self.type_of(entry)?, depth + 1)?;
                element.checked_mul(self.elements(id)?)
            }
            _ => None,
        }
    }

    /// Elements of an array, of all its dimensions.
    fn elements(&self, array: UnitOffset) -> Option<u64> {
        let abbreviations = &self.unit.abbreviations;
        let mut entries = self
            .unit
            .header
            .entries_raw(abbreviations, Some(array))
            .ok()?;
        let mut entry = Entry::null();
        entries.read_entry(&mut entry).ok()?;
        let mut all = 1u64;
        for _ in 0..16 {
            if entries.next_depth() < 1 || entries.is_empty() {
                break;
            }
            entries.read_entry(&mut entry).ok()?;
            if entry.tag() != gimli::DW_TAG_subrange_type {
                continue;
            }
            let number = |name| entry.attr_value(name).and_then(|value| value.udata_value());
            let last = || number(gimli::DW_AT_upper_bound)?.checked_add(1);
            // An array without a bound, as at the end of a structure, is empty.
            let count = number(gimli::DW_AT_count).or_else(last).unwrap_or(0);
            all = all.checked_mul(count)?;
        }
        Some(all)
    }
}

fn is_transparent(tag: DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_typedef
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_restrict_type
            | gimli::DW_TAG_atomic_type
    )
}

/// The one expression that old compilers gave as the place of a member.
fn plus_uconst(expression: &[u8]) -> Option<u64> {
    let [0x23, number @ ..] = expression else {
        return None;
    };
    let mut value = 0u64;
    for (at, byte) in number.iter().enumerate().take(9) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

impl Types for OneUnit<'_, '_> {
    type Id = UnitOffset;

    fn shape(&self, id: UnitOffset) -> Option<Shape<UnitOffset>> {
        let (id, entry) = self.resolve(id)?;
        match entry.tag() {
            gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type => Some(Shape::Composite {
                size: self.bytes(id, &entry, 0)?,
                members: self.members(id)?,
            }),
            _ => Some(Shape::Plain {
                size: self.bytes(id, &entry, 0)?,
                bits: None,
            }),
        }
    }

    fn is_big_endian(&self) -> bool {
        self.big_endian
    }
}
