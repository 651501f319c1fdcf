//! The state fields of a record as names and values, taken from its layout.
//!
//! What a version has beyond the fields that the code knows by name (or lacks
//! of them) stands in the layout alone, so the readable forms walk the layout.
//! Names are looked up once per dialect and kept in [`Fields`].

use crate::format::dialect::Slot;
use crate::format::layout::{Field, Kind};
use crate::format::{Dialect, Order};
use crate::meaning::Label;
use std::sync::Arc;

/// One field: what it is called and how to read it.
#[derive(Clone, Debug)]
pub struct Cell {
    /// By [`Field::public_name`].
    pub name: String,
    /// The name as the form at hand writes it.
    pub label: Box<[u8]>,
    /// The kernel's full name: names the tables of bits.
    pub kernel_name: String,
    /// This is `tlb_state`, whose values have names.
    pub is_state: bool,
    read: Read,
}

#[derive(Clone, Copy, Debug)]
enum Read {
    Unsigned(Slot),
    Signed(Slot),
    Network {
        offset: usize,
        size: usize,
    },
    Text {
        offset: usize,
        size: usize,
    },
    Bytes {
        offset: usize,
        size: usize,
    },
    Array {
        offset: usize,
        size: usize,
        element: usize,
    },
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Unsigned(u64),
    Signed(i64),
    /// Up to its NUL.
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    Array(Array<'a>),
}

/// Unsigned integers back to back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Array<'a> {
    bytes: &'a [u8],
    element: usize,
    order: Order,
}

impl<'a> Array<'a> {
    pub fn iter(self) -> impl Iterator<Item = u64> + 'a {
        self.bytes
            .chunks_exact(self.element.max(1))
            .map(move |item| self.order.read(item, 0, self.element).unwrap_or(0))
    }
}

impl Cell {
    fn new(field: &Field, order: Order, label: Label) -> Cell {
        let name = field.public_name();
        let (offset, size) = (field.offset, field.size);
        // Structures are smaller than 64 KiB, integers than 256 bytes.
        let slot = |shift, width| Slot {
            offset: offset as u16,
            size: size as u8,
            shift,
            width,
        };
        let read = match field.kind {
            Kind::Unsigned => Read::Unsigned(slot(0, 0)),
            Kind::Signed => Read::Signed(slot(0, 0)),
            Kind::Bits { low, width } => Read::Unsigned(slot(order.bit_shift(low, width), width)),
            Kind::Network => Read::Network { offset, size },
            Kind::Text => Read::Text { offset, size },
            Kind::Bytes => Read::Bytes { offset, size },
            Kind::Array { element } => Read::Array {
                offset,
                size,
                element: usize::from(element),
            },
        };
        Cell {
            label: label(&name).into(),
            name,
            kernel_name: field.name.clone(),
            is_state: field.name == "tlb_state",
            read,
        }
    }

    /// Reads the field from the structure's bytes.
    #[inline]
    pub fn value<'a>(&self, structure: &'a [u8], order: Order) -> Value<'a> {
        let part = |offset: usize, size: usize| structure.get(offset..offset + size).unwrap_or(&[]);
        match self.read {
            Read::Unsigned(slot) => Value::Unsigned(slot.read(structure, order)),
            Read::Signed(slot) => Value::Signed(slot.read_signed(structure, order)),
            Read::Network { offset, size } => {
                Value::Unsigned(Order::Big.read(structure, offset, size).unwrap_or(0))
            }
            Read::Text { offset, size } => Value::Text(crate::bblog::until_nul(part(offset, size))),
            Read::Bytes { offset, size } => Value::Bytes(part(offset, size)),
            Read::Array {
                offset,
                size,
                element,
            } => Value::Array(Array {
                bytes: part(offset, size),
                element,
                order,
            }),
        }
    }
}

/// The state fields of one dialect, in record order. Every one is always valid.
#[derive(Debug)]
pub struct Fields {
    /// Address of the dialect; dialects live as long as their formats.
    dialect: usize,
    pub cells: Vec<Cell>,
}

impl Fields {
    fn new(dialect: &Dialect, label: Label) -> Fields {
        let state = dialect.record.fields.iter().filter(|f| is_state_field(f));
        Fields {
            dialect: std::ptr::from_ref(dialect).addr(),
            cells: state
                .map(|field| Cell::new(field, dialect.order, label))
                .collect(),
        }
    }
}

/// True for what no flag governs and no form treats apart.
fn is_state_field(field: &Field) -> bool {
    const APART: [&str; 11] = [
        "tlb_tv.tv_sec",
        "tlb_tv.tv_usec",
        "tlb_ticks",
        "tlb_sn",
        "tlb_stackid",
        "tlb_eventid",
        "tlb_eventflags",
        "tlb_errno",
        "tlb_len",
        "tlb_th",
        "tlb_opts",
    ];
    let parts = ["tlb_rxbuf.", "tlb_txbuf.", "tlb_stackinfo."];
    let is_part = parts.iter().any(|part| field.name.starts_with(part));
    !is_part && !field.is_padding() && !APART.contains(&field.name.as_str())
}

/// The fields of the dialects met so far.
#[derive(Debug)]
pub struct FieldSets {
    label: Label,
    sets: Vec<Arc<Fields>>,
}

impl FieldSets {
    pub fn new(label: Label) -> FieldSets {
        FieldSets {
            label,
            sets: Vec::new(),
        }
    }

    pub fn of(&mut self, dialect: &Dialect) -> Arc<Fields> {
        let wanted = std::ptr::from_ref(dialect).addr();
        match self.sets.iter().find(|set| set.dialect == wanted) {
            Some(set) => Arc::clone(set),
            None => {
                let set = Arc::new(Fields::new(dialect, self.label));
                self.sets.push(Arc::clone(&set));
                set
            }
        }
    }
}
