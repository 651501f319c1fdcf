//! The fields of a record as names and values, taken from its layout.
//!
//! What a version has beyond the fields that the code knows by name (or lacks
//! of them) stands in the layout alone, so the readable forms walk the layout.
//! Names are looked up once per dialect and kept in a [`Plan`].

use super::context::Context;
use crate::format::dialect::Slot;
use crate::format::layout::{Field, Kind, Layout};
use crate::format::{Dialect, EventId, Order, Release};
use std::sync::Arc;

/// The view by which most events cut the stack specific bytes.
const DEFAULT_VIEW: &str = "tcp_log_bbr";

/// One field: what it is called and how to read it.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The kernel's name without `tlb_`; `t_flags` and `t_flags2` for
    /// `tlb_flags` and `tlb_flags2`.
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
        let name = match field.name.as_str() {
            "tlb_flags" => "t_flags".to_owned(),
            "tlb_flags2" => "t_flags2".to_owned(),
            name => name.strip_prefix("tlb_").unwrap_or(name).replace('.', "_"),
        };
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
            // Big-endian compilers give the first bit field the high bits.
            Kind::Bits { low, width } => Read::Unsigned(match order {
                Order::Little => slot(low, width),
                Order::Big => slot(8u8.saturating_sub(low + width), width),
            }),
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

/// How a form writes the name of a field.
pub type Label = fn(&str) -> Vec<u8>;

/// All that is looked up by name, for one dialect.
#[derive(Debug)]
pub struct Plan {
    /// Address of the dialect; dialects live as long as their formats.
    dialect: usize,
    pub release: Release,
    /// State fields, in record order. Every one is always valid.
    pub state: Vec<Cell>,
    /// Views of the stack specific bytes that events name.
    pub views: Vec<Vec<Cell>>,
    events: Vec<EventPlan>,
}

#[derive(Debug)]
struct EventPlan {
    name: String,
    view: usize,
}

impl Plan {
    fn new(dialect: &Dialect, context: &Context, label: Label) -> Plan {
        let release = context.release(dialect);
        let events = &context.formats.events;
        let mut views: Vec<(&str, Vec<Cell>)> = Vec::new();
        let mut view_index = |wanted: &str| {
            // A version without that view has the cells all the same.
            let layout = dialect.record.view(wanted);
            let layout = layout.or_else(|| dialect.record.view(DEFAULT_VIEW));
            let layout: Option<&Layout> = layout.map(|view| &view.layout);
            let name = layout.map_or("", |layout| layout.name.as_str());
            views
                .iter()
                .position(|(n, _)| *n == name)
                .unwrap_or_else(|| {
                    let fields = layout.map_or(&[][..], |layout| &layout.fields);
                    views.push((name, cells(fields, dialect.order, label)));
                    views.len() - 1
                })
        };
        let events = (0..=u8::MAX)
            .map(EventId)
            .map(|id| EventPlan {
                name: events.name(id, release).to_string(),
                view: view_index(events.get(id, release).map_or(DEFAULT_VIEW, |e| &e.view)),
            })
            .collect();
        let state = dialect.record.fields.iter().filter(|f| is_state_field(f));
        Plan {
            dialect: address(dialect),
            release,
            state: cells(state, dialect.order, label),
            views: views.into_iter().map(|(_, cells)| cells).collect(),
            events,
        }
    }

    /// The name of an event, or its number.
    #[inline]
    pub fn event_name(&self, event: EventId) -> &str {
        self.event(event).map_or("", |event| event.name.as_str())
    }

    /// Index in [`Plan::views`] of the view that an event uses.
    #[inline]
    pub fn view(&self, event: EventId) -> usize {
        self.event(event).map_or(0, |event| event.view)
    }

    /// The cells of the stack specific bytes, offsets counted from their start.
    #[inline]
    pub fn payload(&self, event: EventId) -> &[Cell] {
        self.views.get(self.view(event)).map_or(&[], Vec::as_slice)
    }

    #[inline]
    fn event(&self, event: EventId) -> Option<&EventPlan> {
        self.events.get(usize::from(event.0))
    }
}

fn address(dialect: &Dialect) -> usize {
    std::ptr::from_ref(dialect).addr()
}

fn cells<'a>(fields: impl IntoIterator<Item = &'a Field>, order: Order, label: Label) -> Vec<Cell> {
    fields
        .into_iter()
        .filter(|field| !field.name.starts_with("_pad"))
        .map(|field| Cell::new(field, order, label))
        .collect()
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
    let parts = ["tlb_rxbuf.", "tlb_txbuf.", "tlb_stackinfo.", "_pad"];
    !APART.contains(&field.name.as_str()) && !parts.iter().any(|part| field.name.starts_with(part))
}

/// The plans of the dialects met so far.
#[derive(Debug)]
pub struct Plans {
    label: Label,
    plans: Vec<Arc<Plan>>,
}

impl Plans {
    pub fn new(label: Label) -> Plans {
        Plans {
            label,
            plans: Vec::new(),
        }
    }

    pub fn of(&mut self, dialect: &Dialect, context: &Context) -> Arc<Plan> {
        let wanted = address(dialect);
        match self.plans.iter().find(|plan| plan.dialect == wanted) {
            Some(plan) => Arc::clone(plan),
            None => {
                let plan = Arc::new(Plan::new(dialect, context, self.label));
                self.plans.push(Arc::clone(&plan));
                plan
            }
        }
    }
}
