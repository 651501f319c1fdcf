//! Writes layouts as DWARF, the ways compilers do.

use crate::layouts::{Layout, Node};
use gimli::write::{Address, AttributeValue, Dwarf, EndianVec, LineProgram, LineString};
use gimli::write::{Sections, Unit, UnitEntryId};
use gimli::{DW_AT_bit_offset, DW_AT_bit_size, DW_AT_byte_size, DW_AT_count};
use gimli::{DW_AT_data_bit_offset, DW_AT_data_member_location, DW_AT_declaration};
use gimli::{DW_AT_low_pc, DW_AT_name, DW_AT_stmt_list, DW_AT_type, DW_AT_upper_bound};
use gimli::{DwTag, Encoding, LineEncoding, LittleEndian};

#[derive(Clone, Copy)]
pub struct Style {
    pub version: u16,
    pub format: gimli::Format,
    /// Bit fields counted from the top of their storage unit.
    pub old_bits: bool,
}

/// Three units: one that only declares, one of tcp_log_buf.c, one of another
/// file that has the rest.
pub fn write(layouts: &[Layout], style: Style) -> Vec<(&'static str, Vec<u8>)> {
    let encoding = Encoding {
        format: style.format,
        version: style.version,
        address_size: 8,
    };
    let mut dwarf = Dwarf::new();
    let mut unit = |name: &str, fill: &dyn Fn(&mut Types)| {
        // Units of compilers name lines and addresses.
        let file = || LineString::String(name.as_bytes().to_vec());
        let folder = LineString::String(b"/usr/obj".to_vec());
        let lines = LineEncoding::default();
        let lines = LineProgram::new(encoding, lines, folder, None, file(), None);
        let id = dwarf.units.add(Unit::new(encoding, lines));
        let unit = dwarf.units.get_mut(id);
        let root = unit.root();
        let text = AttributeValue::String(name.as_bytes().to_vec());
        unit.get_mut(root).set(DW_AT_name, text);
        let lines = AttributeValue::LineProgramRef;
        unit.get_mut(root).set(DW_AT_stmt_list, lines);
        let low = AttributeValue::Address(Address::Constant(0xffff_ffff_8020_0000));
        unit.get_mut(root).set(DW_AT_low_pc, low);
        fill(&mut Types { unit, style });
    };
    unit("/usr/src/sys/kern/subr_first.c", &|types| {
        for layout in layouts {
            let root = types.unit.root();
            let declared = types.named(root, gimli::DW_TAG_structure_type, &layout.name);
            let flag = AttributeValue::Flag(true);
            types.unit.get_mut(declared).set(DW_AT_declaration, flag);
        }
    });
    let is_rest = |layout: &&Layout| ["vnet", "timehands"].contains(&layout.name.as_str());
    unit("/usr/src/sys/net/rest.c", &|types| {
        layouts
            .iter()
            .filter(is_rest)
            .for_each(|layout| types.layout(layout));
    });
    unit("/usr/src/sys/netinet/tcp_log_buf.c", &|types| {
        let others = layouts.iter().filter(|layout| !is_rest(layout));
        others.for_each(|layout| types.layout(layout));
    });
    let mut sections = Sections::new(EndianVec::new(LittleEndian));
    dwarf.write(&mut sections).unwrap();
    let mut all = Vec::new();
    let keep = |id: gimli::SectionId, data: &EndianVec<LittleEndian>| {
        if !data.slice().is_empty() {
            all.push((id.name(), data.slice().to_vec()));
        }
        Ok::<_, gimli::write::Error>(())
    };
    sections.for_each(keep).unwrap();
    all
}

struct Types<'a> {
    unit: &'a mut Unit,
    style: Style,
}

impl Types<'_> {
    fn named(&mut self, parent: UnitEntryId, tag: DwTag, name: &str) -> UnitEntryId {
        let id = self.unit.add(parent, tag);
        if !name.is_empty() {
            let text = AttributeValue::String(name.as_bytes().to_vec());
            self.unit.get_mut(id).set(DW_AT_name, text);
        }
        id
    }

    fn number(&mut self, id: UnitEntryId, name: gimli::DwAt, value: u64) {
        self.unit
            .get_mut(id)
            .set(name, AttributeValue::Udata(value));
    }

    fn refer(&mut self, id: UnitEntryId, to: UnitEntryId) {
        self.unit
            .get_mut(id)
            .set(DW_AT_type, AttributeValue::UnitRef(to));
    }

    fn layout(&mut self, layout: &Layout) {
        let root = self.unit.root();
        let id = self.named(root, gimli::DW_TAG_structure_type, &layout.name);
        self.number(id, DW_AT_byte_size, layout.size);
        self.members(id, &layout.tree());
    }

    fn members(&mut self, id: UnitEntryId, nodes: &[Node]) {
        for node in nodes {
            // Definitions without a name stand inside the structure.
            let parent = match node.c_type.contains("{...}") {
                true => id,
                false => self.unit.root(),
            };
            let type_ = self.type_of(parent, node);
            let member = self.named(id, gimli::DW_TAG_member, &node.name);
            self.refer(member, type_);
            let Some(width) = node.width else {
                self.number(member, DW_AT_data_member_location, node.bit / 8);
                continue;
            };
            self.number(member, DW_AT_bit_size, width);
            if self.style.old_bits {
                let unit = node.bit / 8 / node.size * node.size;
                self.number(member, DW_AT_byte_size, node.size);
                self.number(member, DW_AT_data_member_location, unit);
                let top = (unit + node.size) * 8 - node.bit - width;
                self.number(member, DW_AT_bit_offset, top);
            } else {
                self.number(member, DW_AT_data_bit_offset, node.bit);
            }
        }
    }

    fn type_of(&mut self, parent: UnitEntryId, node: &Node) -> UnitEntryId {
        let is_union = node.c_type.starts_with("union");
        let composite =
            is_union || node.c_type.starts_with("struct ") && !node.c_type.contains('*');
        if composite && !node.c_type.contains('[') {
            let tag = match is_union {
                true => gimli::DW_TAG_union_type,
                false => gimli::DW_TAG_structure_type,
            };
            let id = self.named(parent, tag, "");
            self.number(id, DW_AT_byte_size, node.size);
            self.members(id, &node.children);
            return id;
        }
        let root = self.unit.root();
        if node.c_type.contains('[') {
            let element = self.base(1);
            let id = self.unit.add(root, gimli::DW_TAG_array_type);
            self.refer(id, element);
            let range = self.unit.add(id, gimli::DW_TAG_subrange_type);
            // Clang counts, GCC gives the last; an empty one has neither.
            match node.size {
                0 => {}
                size if size % 16 == 0 => self.number(range, DW_AT_count, size),
                size => self.number(range, DW_AT_upper_bound, size - 1),
            }
            return id;
        }
        if node.c_type.contains('*') {
            return self.unit.add(root, gimli::DW_TAG_pointer_type);
        }
        let base = self.base(node.size);
        let volatile = self.unit.add(root, gimli::DW_TAG_volatile_type);
        self.refer(volatile, base);
        let typedef = self.named(root, gimli::DW_TAG_typedef, &node.c_type);
        self.refer(typedef, volatile);
        typedef
    }

    fn base(&mut self, size: u64) -> UnitEntryId {
        let root = self.unit.root();
        let id = self.named(root, gimli::DW_TAG_base_type, "int");
        self.number(id, DW_AT_byte_size, size);
        id
    }
}
