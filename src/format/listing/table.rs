//! A few tables of cells, written as text or as JSON.

use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// Tables to show, in order.
#[derive(Clone, Debug)]
pub struct Listing {
    pub(super) tables: Vec<Table>,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    name: String,
    doc: String,
    /// Of a structure: its bytes.
    pub size: Option<usize>,
    /// What holds for the whole table: each with its JSON key. Text leaves out
    /// what is empty.
    pub facts: Vec<(&'static str, Cell)>,
    columns: &'static [Column],
    rows: Vec<Vec<Cell>>,
}

/// A column: its JSON key, which in capitals heads the column in text.
pub(super) type Column = &'static str;

#[derive(Clone, Debug)]
pub(super) enum Cell {
    Text(String),
    Number(i64),
    /// Shown in hexadecimal.
    Mask(u64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Cell {
        // Counts and offsets of things that lie in memory.
        Cell::Number(number as i64)
    }
}

impl Table {
    pub fn new(name: &str, doc: &str, columns: &'static [Column]) -> Table {
        Table {
            name: name.to_owned(),
            doc: doc.to_owned(),
            size: None,
            facts: Vec::new(),
            columns,
            rows: Vec::new(),
        }
    }

    pub fn push<const N: usize>(&mut self, row: [Cell; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.rows.push(row.into());
    }
}

impl Cell {
    fn text(&self, width: usize) -> String {
        match self {
            Cell::Text(text) => format!("{text:<width$}"),
            Cell::Number(number) => format!("{number:>width$}"),
            Cell::Mask(mask) => format!("{:>width$}", format!("{mask:#x}")),
        }
    }

    /// Numbers that a double cannot hold become text, as everywhere in our JSON.
    fn json(&self) -> Value {
        const EXACT: u64 = 1 << 53;
        match self {
            Cell::Text(text) => json!(text),
            Cell::Number(number) if number.unsigned_abs() > EXACT => json!(number.to_string()),
            Cell::Number(number) => json!(number),
            Cell::Mask(mask) if *mask > EXACT => json!(mask.to_string()),
            Cell::Mask(mask) => json!(mask),
        }
    }
}

impl Listing {
    /// Writes aligned tables, one after the other.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for (at, table) in self.tables.iter().enumerate() {
            if at > 0 {
                writeln!(out)?;
            }
            match table.size {
                Some(size) => writeln!(out, "{}, {size} bytes: {}", table.name, table.doc)?,
                None => writeln!(out, "{}: {}", table.name, table.doc)?,
            }
            table.write_facts(out)?;
            let heads: Vec<String> = table.columns.iter().map(|c| c.to_uppercase()).collect();
            let mut widths: Vec<usize> = heads.iter().map(String::len).collect();
            for row in &table.rows {
                for (width, cell) in widths.iter_mut().zip(row) {
                    *width = cell.text(0).chars().count().max(*width);
                }
            }
            // A head stands over its column the way the cells stand.
            let head = heads.iter().enumerate().map(|(at, head)| {
                match table.rows.first().and_then(|row| row.get(at)) {
                    Some(Cell::Number(_) | Cell::Mask(_)) => (head, true),
                    _ => (head, false),
                }
            });
            let head = head
                .zip(&widths)
                .map(|((head, right), &width)| match right {
                    true => format!("{head:>width$}"),
                    false => format!("{head:<width$}"),
                });
            if !table.rows.is_empty() {
                write_line(out, head)?;
            }
            for row in &table.rows {
                let cells = row.iter().zip(&widths);
                write_line(out, cells.map(|(cell, &width)| cell.text(width)))?;
            }
        }
        Ok(())
    }

    /// One JSON document:
    /// `{"schema":1,"tables":[{"name":…,"doc":…,"size":…,"rows":[{…}]}]}`.
    /// The keys of a row are the heads of the columns. Only structures have
    /// `size`; payloads have `event`, `stack`, `releases`, `when` and so on.
    pub fn to_json(&self) -> Value {
        let tables: Vec<Value> = self.tables.iter().map(Table::json).collect();
        json!({ "schema": 1, "tables": tables })
    }

    /// Writes [`Listing::to_json`] and a newline.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &self.to_json())?;
        writeln!(out)
    }
}

impl Table {
    fn write_facts(&self, out: &mut dyn Write) -> io::Result<()> {
        let facts: Vec<(&str, String)> = self
            .facts
            .iter()
            .map(|(key, fact)| (*key, fact.text(0)))
            .filter(|(_, fact)| !fact.is_empty())
            .collect();
        let width = facts.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
        for (key, fact) in facts {
            writeln!(out, "  {key:<width$}  {fact}")?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let row = |row: &Vec<Cell>| -> Value {
            let keys = self.columns.iter().map(|key| (*key).to_owned());
            let object: Map<String, Value> = keys.zip(row.iter().map(Cell::json)).collect();
            object.into()
        };
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        let mut table = json!({ "name": self.name, "doc": self.doc, "rows": rows });
        if let Some(object) = table.as_object_mut() {
            if let Some(size) = self.size {
                object.insert("size".to_owned(), size.into());
            }
            for (key, fact) in &self.facts {
                object.insert((*key).to_owned(), fact.json());
            }
        }
        table
    }
}

fn write_line(out: &mut dyn Write, cells: impl Iterator<Item = String>) -> io::Result<()> {
    let line = cells.collect::<Vec<_>>().join("  ");
    writeln!(out, "  {}", line.trim_end())
}
