//! A log summed up: for each CPU, for each flow, and how much was freed.

mod document;
mod text;

use super::read::End;
use super::{Decided, Found, Row, Sink};
use crate::output::json_text;
use std::collections::HashMap;
use std::hash::Hash;
use std::io::{self, Write};

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InfoForm {
    Text,
    /// One object for each log, in a line.
    Json,
}

/// Most flows that are counted apart; memory ends here and not with the input.
const MOST_FLOWS: usize = 1 << 16;
/// Most CPUs, allocation sizes and types that are.
const MOST_KINDS: usize = 1 << 12;

/// Adds up the wanted entries of a log; writes when the log ends.
pub struct InfoSink<W> {
    form: InfoForm,
    out: W,
    sums: Option<Sums>,
    written: bool,
}

/// What is added up over a log.
struct Sums {
    name: String,
    decided: Decided,
    freed: u64,
    checks: Failures,
    cpus: Counted<i32, Cpu>,
    flows: Counted<Flow, Flowed>,
    sizes: Counted<u32, u64>,
    /// Packets that are not IPv4, by type.
    types: Counted<u16, u64>,
}

/// Entries of which something does not hold.
#[derive(Clone, Copy, Default)]
struct Failures {
    off: u64,
    start: u64,
    inside: u64,
    index: u64,
    /// Any of these.
    any: u64,
}

#[derive(Clone, Copy, Default)]
struct Cpu {
    entries: u64,
    freed: u64,
    /// Reads of the device, as far as indexes that do not grow betray them.
    batches: u64,
    last: Option<(u32, u32)>,
}

/// Packets from one end to another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Flow {
    src: End,
    dst: End,
    protocol: u8,
}

#[derive(Clone, Copy, Default)]
struct Flowed {
    packets: u64,
    /// The line of the first.
    line: u64,
}

/// Counts by key, for so many keys and no more.
struct Counted<K, V> {
    by_key: HashMap<K, V>,
    most: usize,
    /// Entries of keys that came when there were too many.
    others: u64,
}

impl<K: Hash + Eq + Ord + Copy, V: Copy + Default> Counted<K, V> {
    fn new(most: usize) -> Counted<K, V> {
        Counted {
            by_key: HashMap::new(),
            most,
            others: 0,
        }
    }

    fn at(&mut self, key: K) -> Option<&mut V> {
        if self.by_key.len() >= self.most && !self.by_key.contains_key(&key) {
            self.others += 1;
            return None;
        }
        Some(self.by_key.entry(key).or_default())
    }

    /// By key, ascending.
    fn sorted(&self) -> Vec<(K, V)> {
        let mut pairs: Vec<(K, V)> = self.by_key.iter().map(|(k, v)| (*k, *v)).collect();
        pairs.sort_by_key(|(key, _)| *key);
        pairs
    }
}

impl<W: Write> InfoSink<W> {
    pub fn new(form: InfoForm, out: W) -> InfoSink<W> {
        InfoSink {
            form,
            out,
            sums: None,
            written: false,
        }
    }

    pub fn into_inner(self) -> W {
        self.out
    }
}

impl<W: Write> Sink for InfoSink<W> {
    fn begin(&mut self, name: &str, decided: Decided) -> io::Result<()> {
        self.sums = Some(Sums {
            name: name.to_owned(),
            decided,
            freed: 0,
            checks: Failures::default(),
            cpus: Counted::new(MOST_KINDS),
            flows: Counted::new(MOST_FLOWS),
            sizes: Counted::new(MOST_KINDS),
            types: Counted::new(MOST_KINDS),
        });
        Ok(())
    }

    fn entry(&mut self, row: &Row<'_>) -> io::Result<()> {
        if let Some(sums) = &mut self.sums {
            sums.add(row);
        }
        Ok(())
    }

    fn end(&mut self, found: &Found) -> io::Result<()> {
        let Some(sums) = self.sums.take() else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        match self.form {
            InfoForm::Text => {
                if self.written {
                    bytes.push(b'\n');
                }
                text::write(&mut bytes, &sums, found);
            }
            InfoForm::Json => {
                let json = serde_json::to_string(&document::of(&sums, found))?;
                json_text::harmless(&mut bytes, &json);
                bytes.push(b'\n');
            }
        }
        self.written = true;
        self.out.write_all(&bytes)?;
        self.out.flush()
    }
}

impl Sums {
    fn add(&mut self, row: &Row<'_>) {
        let entry = row.entry;
        let is_freed = entry.is_freed();
        self.freed += u64::from(is_freed);
        self.checks.off += u64::from(!row.checks.off);
        self.checks.start += u64::from(!row.checks.start);
        self.checks.inside += u64::from(!row.checks.inside);
        self.checks.index += u64::from(!row.checks.index);
        self.checks.any += u64::from(!row.checks.hold());
        if let Some(cpu) = self.cpus.at(entry.cpu) {
            cpu.entries += 1;
            cpu.freed += u64::from(is_freed);
            let goes_on = cpu
                .last
                .is_some_and(|(index, size)| index < entry.index && size == entry.batch_size);
            cpu.batches += u64::from(!goes_on);
            cpu.last = Some((entry.index, entry.batch_size));
        }
        if let Some(count) = self.sizes.at(entry.size) {
            *count += 1;
        }
        if is_freed {
            return;
        }
        match row.ends().zip(entry.ipv4) {
            Some(((src, dst), ip)) => {
                let flow = Flow {
                    src,
                    dst,
                    protocol: ip.protocol,
                };
                if let Some(flowed) = self.flows.at(flow) {
                    if flowed.packets == 0 {
                        flowed.line = entry.line;
                    }
                    flowed.packets += 1;
                }
            }
            None => {
                if let Some(count) = self.types.at(entry.ethertype) {
                    *count += 1;
                }
            }
        }
    }

    /// Flows by how many packets they have, the first ones first.
    fn flows(&self) -> Vec<(Flow, Flowed)> {
        let mut flows = self.flows.sorted();
        flows.sort_by_key(|(_, flowed)| (std::cmp::Reverse(flowed.packets), flowed.line));
        flows
    }
}
