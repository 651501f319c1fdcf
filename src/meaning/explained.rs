//! One record and the payload that fits it.

use super::plan::{self, Field, Plan, RawCell, Variant};
use super::units::{self, number};
use crate::bblog::{Record, StackInfo};
use crate::format::payload::{Condition, KERNEL_ADDRESSES, Part};
use crate::format::table::in_words;
use crate::format::{Class, Release, Stack, Unit};

/// A value as the payload declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    Unsigned(u64),
    Signed(i64),
}

impl Number {
    pub fn is_zero(self) -> bool {
        matches!(self, Number::Unsigned(0) | Number::Signed(0))
    }

    /// As the bits lie in the cell.
    pub fn bits(self) -> u64 {
        match self {
            Number::Unsigned(n) => n,
            Number::Signed(n) => n as u64,
        }
    }
}

/// Sequence numbers to count from; absent ones are shown as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SequenceBase {
    /// Initial sequence number of what this end sends.
    pub local: Option<u32>,
    /// Of what the peer sends.
    pub peer: Option<u32>,
}

/// A record, and what its event means.
#[derive(Clone, Copy, Debug)]
pub struct Explained<'p, 'r> {
    plan: &'p Plan,
    variant: &'p Variant,
    stack: Option<Stack>,
    record: Record<'r>,
    info: Option<StackInfo<'r>>,
}

impl<'p, 'r> Explained<'p, 'r> {
    pub(super) fn new(
        plan: &'p Plan,
        record: Record<'r>,
        stack: Option<Stack>,
    ) -> Explained<'p, 'r> {
        let info = record.stackinfo();
        let (slots, order) = (&record.dialect().record_slots, record.dialect().order);
        let holds =
            |condition: &Condition| plan::holds(condition, &record, info.as_ref(), slots, order);
        let event = plan.event(record.event());
        let variant = event.variant(stack, info.is_some(), |payload| {
            payload.when.iter().all(&holds)
        });
        Explained {
            plan,
            variant,
            stack,
            record,
            info,
        }
    }

    /// True if the tables have a payload for it.
    pub fn is_known(&self) -> bool {
        self.variant.payload.is_some()
    }

    /// What kind of thing happened.
    pub fn class(&self) -> Option<Class> {
        self.variant.payload?.class
    }

    /// The group to which the payload belongs, and the stack that has it.
    pub fn group(&self) -> Option<(&'static str, &'static str)> {
        let payload = self.variant.payload?;
        Some((payload.stack_name(), &payload.name))
    }

    #[inline]
    fn read(&self, field: &Field) -> Option<Number> {
        let dialect = self.record.dialect();
        let (slots, order) = (&dialect.record_slots, dialect.order);
        let bits = plan::read(&field.cell, &self.record, self.info.as_ref(), slots, order)?;
        Some(if field.signed {
            let unused = 64 - u32::from(field.cell.width.min(64));
            Number::Signed(((bits << unused) as i64) >> unused)
        } else {
            Number::Unsigned(bits)
        })
    }

    /// The named fields that the record has.
    #[inline]
    pub fn fields(&self) -> impl Iterator<Item = (&'p Field, Number)> {
        let fields = self.variant.fields.iter();
        fields.filter_map(|field| Some((field, self.read(field)?)))
    }

    /// A field by name.
    pub fn field(&self, name: &str) -> Option<u64> {
        let field = self
            .variant
            .fields
            .iter()
            .find(|field| field.name == name)?;
        self.read(field).map(Number::bits)
    }

    /// The cells without a name, with the numbers in them; none without the
    /// stack specific bytes.
    #[inline]
    pub fn raw(&self) -> impl Iterator<Item = (&'p RawCell, impl Iterator<Item = u64> + use<'r>)> {
        let info = self.info;
        let raw = info.map_or(&[][..], |_| &self.variant.raw).iter();
        raw.map(move |cell| {
            let (offset, size) = (usize::from(cell.offset), usize::from(cell.size));
            let at = (0..usize::from(cell.count)).map(move |at| offset + at * size);
            (
                cell,
                at.map(move |at| info.map_or(0, |info| info.cell(at, size))),
            )
        })
    }

    /// The family of stacks by which it is explained.
    pub fn stack(&self) -> Option<Stack> {
        self.stack
    }

    /// By which release it is explained.
    pub fn release(&self) -> Release {
        self.plan.release
    }

    /// The event's name, or its number.
    pub fn event_name(&self) -> &'p str {
        self.plan.event_name(self.record.event())
    }

    /// Appends what happened, as a phrase. It may be empty for segments, of
    /// which the header says more than the payload.
    pub fn says(&self, out: &mut Vec<u8>, base: SequenceBase) {
        let start = out.len();
        let sentence = self.variant.payload.map(|payload| &payload.says);
        let said = sentence.is_some_and(|sentence| self.parts(out, &sentence.parts, base));
        // Without what it is made of, the sentence would be half; and what has
        // no header must not stay without words.
        if !said || out.len() == start && self.record.tcp().is_none() {
            out.truncate(start);
            let event = self.plan.event(self.record.event());
            match event.says {
                "" => {
                    out.extend_from_slice(b"event ");
                    number(out, self.record.event().0);
                }
                says => out.extend_from_slice(says.as_bytes()),
            }
        }
    }

    /// False if the record lacks a field.
    fn parts(&self, out: &mut Vec<u8>, parts: &[Part], base: SequenceBase) -> bool {
        let value = |at: usize| {
            let field = self.variant.fields.get(at)?;
            Some((field, self.read(field)?))
        };
        for part in parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Field(at) => match value(*at) {
                    Some((field, value))
                        if field.cell.is_wide() && may_be_address(value.bits()) =>
                    {
                        out.extend_from_slice(b"masked");
                    }
                    Some((field, value)) => self.write(out, field, value, base),
                    None => return false,
                },
                Part::Choice {
                    field,
                    nonzero,
                    zero,
                } => match value(*field) {
                    Some((_, value)) => {
                        let text = if value.is_zero() { zero } else { nonzero };
                        out.extend_from_slice(text.as_bytes());
                    }
                    None => return false,
                },
                Part::Optional(parts) => {
                    let says = parts.iter().any(|part| match part {
                        Part::Field(at) | Part::Choice { field: at, .. } => {
                            value(*at).is_some_and(|(_, value)| !value.is_zero())
                        }
                        Part::Text(_) | Part::Optional(_) => false,
                    });
                    let start = out.len();
                    if says && !self.parts(out, parts, base) {
                        out.truncate(start);
                    }
                }
            }
        }
        true
    }

    /// Appends the value of a field with its unit, for people.
    pub fn write(&self, out: &mut Vec<u8>, field: &Field, value: Number, base: SequenceBase) {
        let bits = value.bits();
        // Zero is what is not set.
        let relative = |base: Option<u32>| match base {
            Some(base) if (1..=u64::from(u32::MAX)).contains(&bits) => {
                u64::from((bits as u32).wrapping_sub(base))
            }
            _ => bits,
        };
        match field.unit {
            Unit::Sequence => number(out, relative(base.local)),
            Unit::PeerSequence => number(out, relative(base.peer)),
            Unit::Flags(_) => match field.bits {
                Some(table) if bits != 0 => units::flags(out, table, bits, self.plan.release),
                _ => number(out, bits),
            },
            Unit::Code(_) => {
                let code = match value {
                    Number::Unsigned(n) => i64::try_from(n).unwrap_or(i64::MAX),
                    Number::Signed(n) => n,
                };
                match field
                    .codes
                    .and_then(|table| table.get(code, self.plan.release))
                {
                    Some(name) => in_words(out, name),
                    None => number(out, code),
                }
            }
            unit => {
                let negative = matches!(value, Number::Signed(n) if n < 0);
                if negative {
                    out.push(b'-');
                }
                let size = match value {
                    Number::Unsigned(n) => n,
                    Number::Signed(n) => n.unsigned_abs(),
                };
                units::amount(out, unit, size);
            }
        }
    }

    /// The name of a code's value.
    #[inline]
    pub fn code_name(&self, field: &Field, value: Number) -> Option<&'static str> {
        let code = match value {
            Number::Unsigned(n) => i64::try_from(n).ok()?,
            Number::Signed(n) => n,
        };
        field.codes?.get(code, self.plan.release)
    }

    /// All that is to be shown: the named fields, then the cells without a name.
    /// Nothing that is or may be a kernel address is among it unless
    /// `show_pointers`.
    #[inline]
    pub fn cells(&self, show_pointers: bool) -> impl Iterator<Item = Shown<'p>> {
        let explained = *self;
        let fields = self.fields().map(move |(field, value)| {
            let secret = *field.unit == Unit::Pointer
                || field.cell.is_wide() && may_be_address(value.bits());
            Shown {
                label: &field.label,
                name: field.name,
                field: Some(field),
                at: None,
                value: if secret && !show_pointers {
                    Value::Masked
                } else if *field.unit == Unit::Pointer {
                    Value::Address(value.bits())
                } else {
                    Value::Number(value)
                },
                code: explained.code_name(field, value),
            }
        });
        let raw = self.raw().flat_map(move |(cell, values)| {
            values.enumerate().map(move |(at, n)| Shown {
                label: &cell.label,
                name: cell.name,
                field: None,
                at: cell.is_array().then_some((at, usize::from(cell.count))),
                value: match may_be_address(n) {
                    true if !show_pointers => Value::Masked,
                    true => Value::Address(n),
                    false => Value::Number(Number::Unsigned(n)),
                },
                code: None,
            })
        });
        fields.chain(raw)
    }

    /// The 104 bytes, and which of them hold what may be kernel addresses:
    /// where a field says so, and every eight bytes that look like one.
    pub fn bytes(&self) -> Option<(&'r [u8], Vec<bool>)> {
        let bytes = self.info?.bytes();
        let mut masked = vec![false; bytes.len()];
        let mut mask = |offset: usize, size: usize| {
            masked
                .iter_mut()
                .skip(offset)
                .take(size)
                .for_each(|byte| *byte = true);
        };
        let fields = self.variant.fields.iter();
        for field in fields.filter(|field| *field.unit == Unit::Pointer) {
            field
                .cell
                .bytes()
                .for_each(|(offset, size)| mask(offset, size));
        }
        let order = self.record.dialect().order;
        for at in (0..bytes.len()).step_by(4) {
            let [high, low] = [4, 0].map(|by| order.read(bytes, at + by, 4).unwrap_or(0));
            if may_be_address(high << 32 | low) || may_be_address(low << 32 | high) {
                mask(at, 8);
            }
        }
        Some((bytes, masked))
    }
}

/// One thing to show of a payload.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'p> {
    /// The name as the form at hand writes it.
    pub label: &'p [u8],
    pub name: &'static str,
    /// `None`: a cell without a name.
    pub field: Option<&'p Field>,
    /// Of an array: which element, and how many there are.
    pub at: Option<(usize, usize)>,
    pub value: Value,
    /// What the value stands for.
    pub code: Option<&'static str>,
}

/// What may be shown of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    Number(Number),
    /// Kernel address, shown in hexadecimal.
    Address(u64),
    /// Kernel address, or what may be one, that stays inside.
    Masked,
}

/// Whether a number may be an address of a 64-bit kernel.
#[inline]
fn may_be_address(n: u64) -> bool {
    KERNEL_ADDRESSES.contains(&n)
}
