//! Structures in C order with C types, and where each field lies under an ABI.
//!
//! A format file lists fields as `[type, name, doc]`. The types are those of
//! tcplog-formats(5); [`layout()`] gives each field its offset, so that no offset is
//! typed in by hand for any platform.

use super::abi::Abi;
use serde::Deserialize;

/// A structure as a format file declares it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Struct {
    pub name: String,
    #[serde(default)]
    pub doc: String,
    /// `[type, name, doc]`, in C order.
    pub fields: Vec<(String, String, String)>,
}

/// A union: its size and alignment are those of its largest view, and its
/// first view names the cells.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Union {
    pub name: String,
    pub views: Vec<String>,
}

/// How the bytes of a field are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Unsigned,
    Signed,
    /// Unsigned, network order whatever the machine's order.
    Network,
    /// Part of a byte: this many bits, starting `low` bits above the first
    /// bit that the machine's compiler allocates.
    Bits {
        low: u8,
        width: u8,
    },
    /// NUL-terminated text in a fixed array.
    Text,
    /// Opaque bytes.
    Bytes,
    /// An array of unsigned integers of this size each.
    Array {
        element: u8,
    },
}

/// One field at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Full name, parts joined by dots: `tlb_stackinfo.flex1`.
    pub name: String,
    /// The C type as the format file writes it.
    pub c_type: String,
    pub kind: Kind,
    /// Bytes from the start of the structure.
    pub offset: usize,
    /// Bytes.
    pub size: usize,
    pub doc: String,
}

impl Field {
    /// What every form and Wireshark's fields call a field of the record: the
    /// kernel's name without `tlb_`, its parts joined by `_`. `tlb_flags` and
    /// `tlb_flags2` hold `t_flags` and `t_flags2`, and are called so.
    pub fn public_name(&self) -> String {
        match self.name.as_str() {
            "tlb_flags" => "t_flags".to_owned(),
            "tlb_flags2" => "t_flags2".to_owned(),
            name => name.strip_prefix("tlb_").unwrap_or(name).replace('.', "_"),
        }
    }

    /// Bytes that mean nothing.
    pub fn is_padding(&self) -> bool {
        self.name.starts_with("_pad")
    }
}

/// A structure under one ABI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    pub name: String,
    pub doc: String,
    pub fields: Vec<Field>,
    /// Bytes, trailing padding included.
    pub size: usize,
    pub align: usize,
    /// Every view of the unions inside, the first ones included.
    pub views: Vec<View>,
}

/// One way to read the bytes of a union inside a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Full name of the union's field: `tlb_stackinfo`.
    pub field: String,
    /// Bytes from the start of the structure to the union.
    pub offset: usize,
    /// Offsets in here count from the start of the union.
    pub layout: Layout,
}

impl Layout {
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The view whose structure is `name`: `tcp_log_sendfile`.
    pub fn view(&self, name: &str) -> Option<&View> {
        self.views.iter().find(|view| view.layout.name == name)
    }
}

/// Why a declaration has no layout.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error("no structure or union named {0}")]
    UnknownStruct(String),
    #[error("field {field}: unknown type {c_type}")]
    UnknownType { field: String, c_type: String },
    #[error("structure {0} contains itself")]
    Recursive(String),
    #[error("structure {0} is larger than 64 KiB")]
    TooLarge(String),
}

/// Upper bound of a declared structure; kernel structures are far smaller.
const MAX_SIZE: usize = 65_536;

/// Declarations that a structure may refer to, searched front to back.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub structs: &'a [&'a [Struct]],
    pub unions: &'a [&'a [Union]],
}

impl<'a> Scope<'a> {
    fn find_struct(&self, name: &str) -> Option<&'a Struct> {
        self.structs
            .iter()
            .flat_map(|list| list.iter())
            .find(|s| s.name == name)
    }

    fn find_union(&self, name: &str) -> Option<&'a Union> {
        self.unions
            .iter()
            .flat_map(|list| list.iter())
            .find(|u| u.name == name)
    }
}

/// Computes where the fields of structure `name` lie under `abi`.
pub fn layout(scope: Scope<'_>, name: &str, abi: Abi) -> Result<Layout, LayoutError> {
    layout_at_depth(scope, name, abi, 0)
}

fn layout_at_depth(
    scope: Scope<'_>,
    name: &str,
    abi: Abi,
    depth: usize,
) -> Result<Layout, LayoutError> {
    if depth > 8 {
        return Err(LayoutError::Recursive(name.to_owned()));
    }
    let declared = scope
        .find_struct(name)
        .ok_or_else(|| LayoutError::UnknownStruct(name.to_owned()))?;
    let mut placing = Placing {
        abi,
        depth,
        scope,
        fields: Vec::new(),
        views: Vec::new(),
        end: 0,
        align: 1,
        bits: None,
    };
    for (c_type, field, doc) in &declared.fields {
        placing.place(c_type, field, doc)?;
        if placing.end > MAX_SIZE {
            return Err(LayoutError::TooLarge(name.to_owned()));
        }
    }
    Ok(Layout {
        name: name.to_owned(),
        doc: declared.doc.clone(),
        size: placing.end.next_multiple_of(placing.align),
        align: placing.align,
        fields: placing.fields,
        views: placing.views,
    })
}

struct Placing<'a> {
    abi: Abi,
    depth: usize,
    scope: Scope<'a>,
    fields: Vec<Field>,
    views: Vec<View>,
    end: usize,
    align: usize,
    /// Offset of the byte that bit fields are filling, and bits taken.
    bits: Option<(usize, u8)>,
}

impl Placing<'_> {
    fn place(&mut self, c_type: &str, name: &str, doc: &str) -> Result<(), LayoutError> {
        let unknown = || LayoutError::UnknownType {
            field: name.to_owned(),
            c_type: c_type.to_owned(),
        };
        if let Some(width) = c_type.strip_prefix("u8:") {
            let width: u8 = width.parse().map_err(|_| unknown())?;
            return self
                .place_bits(c_type, name, doc, width)
                .ok_or_else(unknown);
        }
        self.bits = None;
        if let Some(inner) = c_type.strip_prefix("union ") {
            return self.place_union(inner, name);
        }
        if let Some(inner) = c_type.strip_prefix("struct ") {
            let inner = layout_at_depth(self.scope, inner, self.abi, self.depth + 1)?;
            self.nest(&inner, name, inner.size, inner.align);
            return Ok(());
        }
        if let Some((element, count)) = c_type.strip_suffix(']').and_then(|t| t.split_once('[')) {
            let count: usize = count.parse().map_err(|_| unknown())?;
            let (kind, size) = match element {
                "char" => (Kind::Text, 1),
                "u8" => (Kind::Bytes, 1),
                other => {
                    let (_, size) = self.scalar(other).ok_or_else(unknown)?;
                    (
                        Kind::Array {
                            element: size as u8,
                        },
                        size,
                    )
                }
            };
            let total = size.checked_mul(count).filter(|t| *t <= MAX_SIZE);
            let total = total.ok_or_else(unknown)?;
            self.push(c_type, name, doc, kind, total, self.abi.align(size));
            return Ok(());
        }
        match c_type {
            "timeval" => {
                let (sec, usec) = (self.abi.time_t(), self.abi.long());
                let align = self.abi.align(sec);
                self.end = self.end.next_multiple_of(align);
                self.push(
                    "time_t",
                    &format!("{name}.tv_sec"),
                    doc,
                    Kind::Signed,
                    sec,
                    align,
                );
                let part = format!("{name}.tv_usec");
                self.push(
                    "suseconds_t",
                    &part,
                    "microseconds",
                    Kind::Signed,
                    usec,
                    usec,
                );
                self.end = self.end.next_multiple_of(align);
            }
            "addr" => self.push(c_type, name, doc, Kind::Bytes, 16, 4),
            "tcphdr" => self.push(c_type, name, doc, Kind::Bytes, 20, 4),
            scalar => {
                let (kind, size) = self.scalar(scalar).ok_or_else(unknown)?;
                self.push(c_type, name, doc, kind, size, self.abi.align(size));
            }
        }
        Ok(())
    }

    fn scalar(&self, c_type: &str) -> Option<(Kind, usize)> {
        Some(match c_type {
            "u8" => (Kind::Unsigned, 1),
            "u16" => (Kind::Unsigned, 2),
            "u32" => (Kind::Unsigned, 4),
            "u64" => (Kind::Unsigned, 8),
            "i8" => (Kind::Signed, 1),
            "i16" => (Kind::Signed, 2),
            "i32" => (Kind::Signed, 4),
            "i64" => (Kind::Signed, 8),
            "be16" => (Kind::Network, 2),
            "be32" => (Kind::Network, 4),
            "long" => (Kind::Signed, self.abi.long()),
            "time_t" => (Kind::Signed, self.abi.time_t()),
            "pointer" => (Kind::Unsigned, self.abi.long()),
            _ => return None,
        })
    }

    fn push(&mut self, c_type: &str, name: &str, doc: &str, kind: Kind, size: usize, align: usize) {
        self.end = self.end.next_multiple_of(align);
        self.align = self.align.max(align);
        self.fields.push(Field {
            name: name.to_owned(),
            c_type: c_type.to_owned(),
            kind,
            offset: self.end,
            size,
            doc: doc.to_owned(),
        });
        self.end += size;
    }

    fn place_bits(&mut self, c_type: &str, name: &str, doc: &str, width: u8) -> Option<()> {
        if width == 0 || width > 8 {
            return None;
        }
        let (offset, low) = match self.bits {
            Some((offset, taken)) if taken + width <= 8 => (offset, taken),
            _ => {
                self.end += 1;
                (self.end - 1, 0)
            }
        };
        self.bits = Some((offset, low + width));
        self.fields.push(Field {
            name: name.to_owned(),
            c_type: c_type.to_owned(),
            kind: Kind::Bits { low, width },
            offset,
            size: 1,
            doc: doc.to_owned(),
        });
        Some(())
    }

    fn place_union(&mut self, union: &str, name: &str) -> Result<(), LayoutError> {
        let declared = self
            .scope
            .find_union(union)
            .ok_or_else(|| LayoutError::UnknownStruct(union.to_owned()))?;
        let mut views = Vec::new();
        for view in &declared.views {
            views.push(layout_at_depth(self.scope, view, self.abi, self.depth + 1)?);
        }
        let size = views.iter().map(|v| v.size).max().unwrap_or(0);
        let align = views.iter().map(|v| v.align).max().unwrap_or(1);
        if let Some(first) = views.first() {
            self.nest(first, name, size.next_multiple_of(align), align);
            let offset = self.end - size.next_multiple_of(align);
            self.views.extend(views.into_iter().map(|layout| View {
                field: name.to_owned(),
                offset,
                layout,
            }));
        }
        Ok(())
    }

    fn nest(&mut self, inner: &Layout, name: &str, size: usize, align: usize) {
        self.end = self.end.next_multiple_of(align);
        self.align = self.align.max(align);
        for field in &inner.fields {
            self.fields.push(Field {
                name: format!("{name}.{}", field.name),
                offset: self.end + field.offset,
                ..field.clone()
            });
        }
        for view in &inner.views {
            self.views.push(View {
                field: format!("{name}.{}", view.field),
                offset: self.end + view.offset,
                layout: view.layout.clone(),
            });
        }
        self.end += size;
    }
}
