//! All records of all connections in one section, in time order.
//!
//! Wireshark knows one boot time per section, so the uptimes of event rows are
//! shifted to count from that of the first message; the headers of all
//! messages travel with the interfaces, and a reader gives every record its
//! own uptime again.
//!
//! Sorting needs every record's time before the first block can be written.
//! Records wait in an unnamed file; what stays in memory is 40 bytes a record.

use super::encode::{Encoder, MergedInterface, MergedPlace, Options};
use crate::bblog::canonical::HEADER_LEN;
use crate::bblog::{Header, Known, Message, Record};
use crate::format::{Dialect, EventId, Formats};
use crate::meaning::Evidence;
use crate::output::Sink;
use crate::output::escape::Escaped;
use crate::output::words;
use crate::select::{ConnectionKey, Picked, Picker};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Gathers everything, sorts it, and writes one section.
pub struct MergeSink<W> {
    encoder: Encoder,
    out: W,
    spool: File,
    spooled: u64,
    gathered: Vec<u8>,
    index: Vec<Entry>,
    messages: Vec<Stored>,
    /// What the records of each source betray.
    evidence: Vec<Evidence>,
    connections: Vec<Connection>,
    by_key: HashMap<ConnectionKey, u32>,
    dialects: Vec<Arc<Dialect>>,
    /// Of the message under way.
    current: u32,
    /// Its interface.
    interface: u32,
    /// Its records so far.
    position: u32,
    /// Where its entries without a time begin in the index.
    untimed: usize,
    /// Its boot time.
    boot_us: Option<i64>,
    /// Time of its last record; the least there is: none had one.
    last_us: i64,
}

/// One record, as far as sorting needs it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    time_us: i64,
    offset: u64,
    message: u32,
    position: u32,
    sn: u32,
    interface: u32,
    skipped: u32,
}

struct Stored {
    header: Vec<u8>,
    dialect: usize,
    known: Known,
    stack_name: Option<Arc<str>>,
    /// Of [`MergeSink::evidence`].
    source: usize,
}

/// An interface: a connection, or some of the messages of one that has more
/// than fit.
struct Connection {
    name: String,
    messages: Vec<u32>,
}

/// Messages whose headers go onto one interface: readers refuse blocks of
/// 16 MiB, and this stays below 8.
const MAX_HEADERS: usize = 8 * 1024 * 1024 / (HEADER_LEN + 20) - 64;

const CHUNK: usize = 256 * 1024;
/// The largest record, verbose part included.
const MAX_RECORD: usize = 1024;

impl<W: Write> MergeSink<W> {
    /// The unnamed file is made in the directory for temporary files.
    pub fn new(options: Options, formats: &'static Formats, out: W) -> io::Result<MergeSink<W>> {
        Ok(MergeSink {
            encoder: Encoder::new(options, formats),
            out,
            spool: tempfile::tempfile()?,
            spooled: 0,
            gathered: Vec::with_capacity(2 * CHUNK),
            index: Vec::new(),
            messages: Vec::new(),
            evidence: vec![Evidence::default()],
            connections: Vec::new(),
            by_key: HashMap::new(),
            dialects: Vec::new(),
            current: 0,
            interface: 0,
            position: 0,
            untimed: 0,
            boot_us: None,
            last_us: i64::MIN,
        })
    }

    pub fn into_inner(self) -> W {
        self.out
    }

    fn begin(&mut self, message: &Message<'_>) {
        self.end_message();
        let dialect = message.dialect();
        let same = |d: &Arc<Dialect>| {
            (d.version, d.abi, d.order) == (dialect.version, dialect.abi, dialect.order)
        };
        let dialect = self.dialects.iter().position(same).unwrap_or_else(|| {
            self.dialects.push(Arc::new(dialect.clone()));
            self.dialects.len() - 1
        });
        self.current = self.messages.len() as u32;
        self.position = 0;
        self.untimed = self.index.len();
        self.boot_us = Some(message.header.boot_us());
        self.messages.push(Stored {
            header: message.header.bytes().to_vec(),
            dialect,
            known: message.known,
            stack_name: message.stack_name.cloned(),
            source: self.evidence.len() - 1,
        });
        let key = Picker::connection(message);
        let connections = &mut self.connections;
        let room = |number: &u32| {
            connections
                .get(*number as usize)
                .is_some_and(|c| c.messages.len() < MAX_HEADERS)
        };
        let number = match self.by_key.get(&key).copied().filter(room) {
            Some(number) => number,
            None => {
                let number = connections.len() as u32;
                connections.push(Connection {
                    name: interface_name(message),
                    messages: Vec::new(),
                });
                self.by_key.insert(key, number);
                number
            }
        };
        if let Some(connection) = connections.get_mut(number as usize) {
            connection.messages.push(self.current);
        }
        self.interface = number;
    }

    /// A message in which no record has a time of use stands at boot time.
    fn end_message(&mut self) {
        if self.last_us == i64::MIN
            && let Some(boot_us) = self.boot_us.take()
        {
            self.time_untimed(boot_us);
        }
        self.last_us = i64::MIN;
    }

    fn time_untimed(&mut self, time_us: i64) {
        for entry in self.index.iter_mut().skip(self.untimed) {
            entry.time_us = time_us;
        }
    }

    fn spool_out(&mut self) -> io::Result<()> {
        self.spool.write_all(&self.gathered)?;
        self.spooled += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }

    fn write_sorted(&mut self) -> io::Result<()> {
        self.index
            .sort_by_key(|entry| (entry.time_us, entry.interface, entry.sn));
        let stored = std::mem::take(&mut self.messages);
        let dialects = std::mem::take(&mut self.dialects);
        let views: Vec<Option<Message<'_>>> = stored
            .iter()
            .map(|stored| {
                let dialect = dialects.get(stored.dialect)?;
                Some(Message {
                    header: Header::new(&stored.header, dialect)?,
                    records: &[],
                    known: stored.known,
                    first: true,
                    last: true,
                    offset: 0,
                    stack_name: stored.stack_name.as_ref(),
                    origins: &[],
                })
            })
            .collect();
        let mut buffer = Vec::with_capacity(2 * CHUNK);
        let mut bytes = vec![0; MAX_RECORD];
        let Some(first) = views.iter().flatten().next() else {
            return Ok(());
        };
        let boot_us = first.header.boot_us();
        let mut source = None;
        self.write_section(first, &views, &mut buffer);
        for entry in std::mem::take(&mut self.index) {
            let Some(Some(message)) = views.get(entry.message as usize) else {
                continue;
            };
            let got = read_some(&self.spool, &mut bytes, entry.offset)?;
            let Some(record) = Record::new(bytes.get(..got).unwrap_or(&[]), message.dialect())
            else {
                continue;
            };
            if entry.skipped > 0 {
                self.encoder
                    .merged_skipped(message, entry.skipped, &mut buffer);
            }
            let from = stored
                .get(entry.message as usize)
                .map(|stored| stored.source);
            if source != from {
                let wanted = from.and_then(|from| self.evidence.get_mut(from));
                let wanted = wanted.map(std::mem::take).unwrap_or_default();
                let before = self.encoder.set_evidence(wanted);
                if let Some(place) = source.and_then(|at: usize| self.evidence.get_mut(at)) {
                    *place = before;
                }
                source = from;
            }
            let place = MergedPlace {
                interface: entry.interface,
                message: entry.message,
                position: entry.position,
                boot_us,
            };
            self.encoder
                .merged_record(message, &record, place, &mut buffer);
            if buffer.len() >= CHUNK {
                self.out.write_all(&buffer)?;
                buffer.clear();
            }
        }
        self.out.write_all(&buffer)
    }

    fn write_section(
        &mut self,
        first: &Message<'_>,
        views: &[Option<Message<'_>>],
        buffer: &mut Vec<u8>,
    ) {
        let mut interfaces = Vec::new();
        for connection in &self.connections {
            let messages = connection
                .messages
                .iter()
                .filter_map(|number| {
                    let message = views.get(*number as usize)?.as_ref()?;
                    Some((
                        *number,
                        message.known,
                        self.encoder.canonical_header(message),
                    ))
                })
                .collect();
            interfaces.push(MergedInterface {
                name: connection.name.clone(),
                messages,
            });
        }
        let text = if self.encoder.options().comments {
            format!(
                "{} connections in time order, {} records; an interface each",
                self.by_key.len(),
                self.index.len()
            )
        } else {
            String::new()
        };
        self.encoder
            .merged_section(first, &text, &interfaces, buffer);
    }
}

impl<W: Write> Sink for MergeSink<W> {
    fn source(&mut self, _name: &str) {
        self.evidence.push(Evidence::default());
    }

    fn piece(&mut self, message: &Message<'_>, picked: &Picked) -> io::Result<()> {
        let explains = self.encoder.options().comments;
        if let Some(evidence) = self.evidence.last_mut().filter(|_| explains) {
            message.records().for_each(|record| evidence.learn(&record));
        }
        if picked.begins {
            self.begin(message);
        }
        let boot_us = message.header.boot_us();
        for span in &picked.spans {
            let bytes = message.records.get(span.records.clone()).unwrap_or(&[]);
            let mut skipped = span.skipped;
            for record in crate::bblog::Records::new(bytes, message.dialect()) {
                // Some kernels leave the time of this event uninitialised: it
                // stays beside the record before it, or else the one behind.
                if record.event() != EventId::ACCOUNTING {
                    let time_us = boot_us.saturating_add(record.uptime_us());
                    let time_us = time_us.max(i64::MIN + 1);
                    if self.last_us == i64::MIN {
                        self.time_untimed(time_us);
                    }
                    self.last_us = time_us;
                }
                self.index.push(Entry {
                    time_us: self.last_us,
                    offset: self.spooled + self.gathered.len() as u64,
                    message: self.current,
                    position: self.position,
                    sn: record.sn(),
                    interface: self.interface,
                    skipped,
                });
                skipped = 0;
                self.position += 1;
                self.gathered.extend_from_slice(record.bytes());
            }
        }
        if self.gathered.len() >= CHUNK {
            self.spool_out()?;
        }
        Ok(())
    }

    /// Nothing can be written before everything is there.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.end_message();
        self.spool_out()?;
        self.write_sorted()?;
        self.out.flush()
    }
}

fn read_some(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while let Some(rest) = buf.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}

/// `log ID, local <-> foreign`
fn interface_name(message: &Message<'_>) -> String {
    let mut name = Vec::new();
    if let Some(id) = message.header.log_id() {
        name.extend_from_slice(Escaped(id).to_string().as_bytes());
        name.extend_from_slice(b", ");
    }
    words::endpoints(&mut name, message);
    String::from_utf8_lossy(&name).into_owned()
}
