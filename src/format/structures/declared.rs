//! A file of `formats/kernel/` as it is written.

use super::{Builder, Field, Place, Structure, Structures, check};
use serde::Deserialize;
use toml::Spanned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    releases: String,
    status: String,
    #[serde(rename = "struct")]
    structures: Vec<DeclaredStructure>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredStructure {
    name: Spanned<String>,
    #[serde(default)]
    doc: String,
    size: Spanned<u64>,
    fields: Vec<Spanned<Bytes>>,
    #[serde(default)]
    bits: Vec<Spanned<Bits>>,
}

/// `[name, offset, size, doc]`
type Bytes = (String, u32, u32, String);
/// `[name, offset, size, lowest bit, bits, doc]`
type Bits = (String, u32, u32, u8, u8, String);

impl Declared {
    pub fn resolve(self, name: &str, text: &str) -> Result<Structures, String> {
        let mut builder = Builder::default();
        for declared in self.structures {
            let mut spans = Vec::new();
            let mut structure = Structure {
                name: declared.name.get_ref().clone(),
                doc: declared.doc,
                size: *declared.size.get_ref(),
                fields: Vec::new(),
            };
            let mut push = |start: usize, name, offset, size, bits, doc| {
                spans.push(start);
                let place = Place { offset, size, bits };
                structure.fields.push(Field { name, place, doc });
            };
            for field in declared.fields {
                let start = field.span().start;
                let (name, offset, size, doc) = field.into_inner();
                push(start, name, offset, size, None, doc);
            }
            for field in declared.bits {
                let start = field.span().start;
                let (name, offset, size, low, width, doc) = field.into_inner();
                push(start, name, offset, size, Some((low, width)), doc);
            }
            check(&structure).map_err(|(field, what)| {
                let start = field.and_then(|at| spans.get(at).copied());
                line(text, start.unwrap_or(declared.size.span().start), &what)
            })?;
            if builder.has(&structure.name) {
                let what = format!("structure {} is there twice", structure.name);
                return Err(line(text, declared.name.span().start, &what));
            }
            builder.add(structure);
        }
        Ok(builder.build(name, &self.releases, &self.status))
    }
}

fn line(text: &str, start: usize, what: &str) -> String {
    let before = text.get(..start).unwrap_or("");
    format!("line {}: {what}", before.matches('\n').count() + 1)
}
