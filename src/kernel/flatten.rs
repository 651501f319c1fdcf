//! Nested types of debug information become one flat structure.

use crate::format::structures::{Field, MAX_FIELDS, MAX_SIZE, Place, Structure};

/// Debug information as a graph of types. Its links are those of a file, so
/// nothing here may trust that they end.
pub(super) trait Types {
    type Id: Copy;

    /// What a type is; typedefs and qualifiers are seen through.
    fn shape(&self, id: Self::Id) -> Option<Shape<Self::Id>>;

    fn is_big_endian(&self) -> bool;
}

pub(super) enum Shape<Id> {
    /// Bytes, and how many bits of them are a value where these are fewer:
    /// CTF makes a bit field a type of its own.
    Plain { size: u64, bits: Option<u64> },
    /// A structure or a union.
    Composite { size: u64, members: Vec<Member<Id>> },
}

pub(super) struct Member<Id> {
    /// Empty for an anonymous structure or union: its members count as those
    /// of the structure around it.
    pub name: String,
    pub bit_offset: u64,
    /// Bits, of a bit field.
    pub width: Option<u64>,
    pub type_: Id,
}

/// Members that one structure or union may have.
pub(super) const MAX_MEMBERS: usize = 2048;
/// Structures inside structures.
const MAX_DEPTH: usize = 8;
/// Structures and unions that are opened for one structure.
const MAX_COMPOSITES: usize = 256;
/// Bytes of a name with its dots.
const MAX_NAME: usize = 255;

/// The structure `id`, every nested member with its own offset.
pub(super) fn flatten<T: Types>(types: &T, name: &str, id: T::Id) -> Option<Structure> {
    let Shape::Composite { size, members } = types.shape(id)? else {
        return None;
    };
    if size == 0 || size > MAX_SIZE {
        return None;
    }
    let mut flat = Flat {
        types,
        fields: Vec::new(),
        composites: 1,
    };
    flat.add(&members, "", 0, 0);
    Some(Structure {
        name: name.to_owned(),
        doc: String::new(),
        size,
        fields: flat.fields,
    })
}

struct Flat<'a, T> {
    types: &'a T,
    fields: Vec<Field>,
    composites: usize,
}

impl<T: Types> Flat<'_, T> {
    fn add(&mut self, members: &[Member<T::Id>], prefix: &str, base: u64, depth: usize) {
        for member in members {
            let named = !member.name.is_empty();
            let name = match (prefix.is_empty(), named) {
                (true, _) => member.name.clone(),
                (false, true) => format!("{prefix}.{}", member.name),
                (false, false) => prefix.to_owned(),
            };
            let start = base.checked_add(member.bit_offset);
            let Some(start) = start.filter(|start| start / 8 <= MAX_SIZE) else {
                continue;
            };
            if self.fields.len() >= MAX_FIELDS || name.len() > MAX_NAME {
                continue;
            }
            match self.types.shape(member.type_) {
                None => {}
                Some(Shape::Plain { size, bits }) => {
                    let place = match member.width.or(bits) {
                        Some(width) => Place::from_bits(start, width, self.types.is_big_endian()),
                        None => bytes(start, size),
                    };
                    if let Some(place) = place.filter(|_| named) {
                        self.push(name, place);
                    }
                }
                Some(Shape::Composite { size, members }) => {
                    if let Some(place) = bytes(start, size).filter(|_| named) {
                        self.push(name.clone(), place);
                    }
                    if depth < MAX_DEPTH && self.composites < MAX_COMPOSITES {
                        self.composites += 1;
                        self.add(&members, &name, start, depth + 1);
                    }
                }
            }
        }
    }

    fn push(&mut self, name: String, place: Place) {
        let doc = String::new();
        self.fields.push(Field { name, place, doc });
    }
}

fn bytes(start: u64, size: u64) -> Option<Place> {
    Some(Place {
        offset: u32::try_from(start / 8).ok()?,
        size: u32::try_from(size).ok()?,
        bits: None,
    })
}
