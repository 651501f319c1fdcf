//! Offsets of kernel structures, as tables.

use super::table::{Cell, Table};
use crate::format::{Formats, Structures};

/// What the names of kernels begin with.
pub(super) const FOLDER: &str = "kernel/";

/// The name that shows a kernel's offsets.
pub(super) fn full_name(kernel: &Structures) -> String {
    format!("{FOLDER}{}", kernel.name)
}

pub(super) fn index(formats: &Formats) -> Table {
    let mut table = Table::new(
        "kernels",
        "Offsets of kernel structures, for carving",
        &["name", "releases", "structures", "status"],
    );
    for kernel in formats.structures() {
        table.push([
            full_name(kernel).into(),
            kernel.releases.as_str().into(),
            kernel.iter().count().into(),
            kernel.status.as_str().into(),
        ]);
    }
    table
}

/// One table for each structure of `kernel/NAME`, fields in order of offset.
pub(super) fn named(formats: &Formats, name: &str) -> Option<Vec<Table>> {
    let name = name.strip_prefix(FOLDER)?;
    let kernel = formats.structures().iter().find(|k| k.name == name)?;
    let tables = kernel.iter().map(|structure| {
        let columns = &["offset", "size", "bits", "field", "meaning"];
        let mut table = Table::new(&structure.name, &structure.doc, columns);
        table.size = usize::try_from(structure.size).ok();
        let mut fields: Vec<_> = structure.fields.iter().collect();
        fields.sort_by_key(|field| field.place.offset);
        for field in fields {
            let bits = field.place.bits.map_or(String::new(), |(low, width)| {
                format!("{low}..{}", u16::from(low) + u16::from(width) - 1)
            });
            table.push([
                Cell::Number(field.place.offset.into()),
                Cell::Number(field.place.size.into()),
                bits.into(),
                field.name.as_str().into(),
                field.doc.as_str().into(),
            ]);
        }
        table
    });
    Some(tables.collect())
}
