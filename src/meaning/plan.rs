//! The payload tables made ready for one dialect and release.

use crate::bblog::{Record, StackInfo};
use crate::format::dialect::RecordSlots;
use crate::format::payload::{Cell, Condition, RecordCell, Source};
use crate::format::{
    BitTable, CodeTable, Dialect, EventId, Formats, Order, Payload, Release, Stack, Unit,
};
use std::sync::OnceLock;

/// How a form writes the name of a field.
pub type Label = fn(&str) -> Vec<u8>;

/// One field, ready to be read.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    /// The name as the form at hand writes it.
    pub label: Box<[u8]>,
    pub unit: &'static Unit,
    pub signed: bool,
    pub(super) cell: Cell,
    /// Names of its bits or values.
    pub bits: Option<&'static BitTable>,
    pub codes: Option<&'static CodeTable>,
    /// The label of the name of a code: `reason_name` beside `reason`.
    pub name_label: Box<[u8]>,
}

/// A cell that no field of the payload names.
#[derive(Debug)]
pub struct RawCell {
    pub name: &'static str,
    pub label: Box<[u8]>,
    pub(super) offset: u8,
    /// Bytes of one element.
    pub(super) size: u8,
    pub(super) count: u8,
}

impl RawCell {
    /// True if it has several numbers.
    pub fn is_array(&self) -> bool {
        self.count != 1
    }
}

/// A payload, and what it leaves unnamed.
#[derive(Debug)]
pub(super) struct Variant {
    /// `None`: nothing is known of these cells.
    pub payload: Option<&'static Payload>,
    pub fields: Vec<Field>,
    pub raw: Vec<RawCell>,
}

/// What one event number means.
#[derive(Debug)]
pub(super) struct EventPlan {
    pub name: String,
    pub says: &'static str,
    /// Places in `variants` to try: of a record without the stack specific
    /// bytes, then of one with them; by family, the last one being unknown.
    by_stack: [[Vec<usize>; Stack::ALL.len() + 1]; 2],
    variants: Vec<Variant>,
    /// Where none of them fits.
    plain: Variant,
}

impl EventPlan {
    /// The first variant for `stack` of which `fits` is true.
    #[inline]
    pub fn variant(
        &self,
        stack: Option<Stack>,
        has_info: bool,
        fits: impl Fn(&Payload) -> bool,
    ) -> &Variant {
        let family = stack.map_or(Stack::ALL.len(), |stack| stack as usize);
        self.by_stack[usize::from(has_info)][family]
            .iter()
            .filter_map(|at| self.variants.get(*at))
            .find(|variant| variant.payload.is_some_and(&fits))
            .unwrap_or(&self.plain)
    }
}

/// Everything that is looked up for a record, for one dialect and release.
/// What an event means is made ready when the first one comes.
#[derive(Debug)]
pub struct Plan {
    /// Address of the dialect; dialects live as long as their formats.
    dialect: usize,
    pub release: Release,
    formats: &'static Formats,
    label: Label,
    events: [OnceLock<EventPlan>; 256],
}

impl Plan {
    pub(super) fn new(
        formats: &'static Formats,
        dialect: &Dialect,
        release: Release,
        label: Label,
    ) -> Plan {
        Plan {
            dialect: std::ptr::from_ref(dialect).addr(),
            release,
            formats,
            label,
            events: [const { OnceLock::new() }; 256],
        }
    }

    pub(super) fn is_for(&self, dialect: &Dialect, release: Release) -> bool {
        self.dialect == std::ptr::from_ref(dialect).addr() && self.release == release
    }

    #[inline]
    pub(super) fn event(&self, event: EventId) -> &EventPlan {
        self.events[usize::from(event.0)].get_or_init(|| self.make(event))
    }

    /// The name of an event, or its number.
    #[inline]
    pub fn event_name(&self, event: EventId) -> &str {
        &self.event(event).name
    }

    fn make(&self, event: EventId) -> EventPlan {
        let payloads = self.formats.payloads();
        let known = self.formats.events.get(event, self.release);
        let mut variants = Vec::new();
        let mut made: Vec<(*const Payload, usize)> = Vec::new();
        let families = [Some(Stack::Base), Some(Stack::Rack), Some(Stack::Bbr), None];
        let has = |stack: &Stack| payloads.has_own(event, *stack);
        let by_stack = [false, true].map(|has_info| {
            families.map(|family| {
                // Bytes that a stack has no payload for came from another one:
                // RACK and BBR log while a connection is still handed over.
                let mut others = [Stack::Rack, Stack::Bbr].into_iter();
                let other = others.find(has).filter(|_| has_info);
                payloads
                    .of(event, family.filter(has).or(other), self.release)
                    .map(|payload| {
                        let key = std::ptr::from_ref(payload);
                        let known = made.iter().find(|(of, _)| *of == key).map(|(_, at)| *at);
                        known.unwrap_or_else(|| {
                            let at = variants.len();
                            variants.push(self.variant(event, Some(payload)));
                            made.push((key, at));
                            at
                        })
                    })
                    .collect()
            })
        });
        EventPlan {
            name: self.formats.events.name(event, self.release).to_string(),
            says: known.map_or("", |known| known.says.as_str()),
            by_stack,
            variants,
            plain: self.variant(event, None),
        }
    }

    fn variant(&self, event: EventId, payload: Option<&'static Payload>) -> Variant {
        let fields: Vec<Field> = payload
            .map_or(&[][..], |payload| &payload.fields)
            .iter()
            .map(|field| Field {
                name: &field.name,
                label: (self.label)(&field.name).into(),
                unit: &field.unit,
                signed: field.signed,
                cell: field.cell,
                bits: match field.unit {
                    Unit::Flags(at) => self.formats.payloads().bits.get(at),
                    _ => None,
                },
                codes: match field.unit {
                    Unit::Code(at) => self.formats.payloads().codes.get(at),
                    _ => None,
                },
                name_label: (self.label)(&format!("{}_name", field.name)).into(),
            })
            .collect();
        Variant {
            payload,
            raw: self.raw(event, &fields),
            fields,
        }
    }

    /// The cells that `fields` leave without a name, as the event's view cuts
    /// them.
    fn raw(&self, event: EventId, fields: &[Field]) -> Vec<RawCell> {
        let view = self.formats.events.get(event, self.release);
        let view = view.map_or(crate::format::table::DEFAULT_VIEW, |event| &event.view);
        let layout = self.formats.view(view);
        let mut named = [false; 256];
        for field in fields.iter().filter(|field| field.cell.is_whole()) {
            for (offset, size) in field.cell.bytes() {
                named
                    .iter_mut()
                    .skip(offset)
                    .take(size)
                    .for_each(|byte| *byte = true);
            }
        }
        let mut raw = Vec::new();
        for cell in layout.map_or(&[][..], |layout| &layout.fields) {
            let bytes = named.iter().skip(cell.offset).take(cell.size);
            if cell.name.starts_with("_pad") || bytes.copied().all(|named| named) {
                continue;
            }
            let element = match cell.kind {
                crate::format::layout::Kind::Array { element } => usize::from(element.max(1)),
                _ => cell.size.max(1),
            };
            raw.push(RawCell {
                name: &cell.name,
                label: (self.label)(&cell.name).into(),
                // The union has 104 bytes.
                offset: cell.offset as u8,
                size: element as u8,
                count: (cell.size / element) as u8,
            });
        }
        raw
    }
}

/// Reads a cell; `None` where the record does not have it.
#[inline]
pub(super) fn read(
    cell: &Cell,
    record: &Record<'_>,
    info: Option<&StackInfo<'_>>,
    slots: &RecordSlots,
    order: Order,
) -> Option<u64> {
    let value = match cell.source {
        Source::Info { offset, size } => info?.cell(usize::from(offset), usize::from(size)),
        Source::Halves { high, low } => {
            let info = info?;
            info.cell(usize::from(high), 4) << 32 | info.cell(usize::from(low), 4)
        }
        Source::Record(cell) => {
            let slot = match cell {
                RecordCell::Flex1 => slots.flex1,
                RecordCell::Flex2 => slots.flex2,
                RecordCell::Len => slots.len,
                RecordCell::Errno => slots.errno,
            };
            if !slot.exists() {
                return None;
            }
            slot.read(record.bytes(), order)
        }
    };
    Some(match cell.width {
        64.. => value,
        width => (value >> cell.shift) & ((1 << width) - 1),
    })
}

#[inline]
pub(super) fn holds(
    condition: &Condition,
    record: &Record<'_>,
    info: Option<&StackInfo<'_>>,
    slots: &RecordSlots,
    order: Order,
) -> bool {
    read(&condition.cell, record, info, slots, order).is_some_and(|value| condition.holds(value))
}
