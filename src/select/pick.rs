//! Which records of each piece are wanted, and which serial numbers miss.
//!
//! This is the one stage that sees all records in input order. It leaves
//! behind, for each piece of a message, all that a sink needs to write it
//! without looking at any other piece; so sinks may work in parallel.

use super::group::ConnectionKey;
use super::{MessageFacts, RecordFacts, Select};
use crate::bblog::{Message, Record, Records};
use std::collections::HashMap;
use std::ops::Range;

/// Consecutive wanted records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Serial numbers that are missing right before the first record.
    pub skipped: u32,
    /// Where the records lie in [`Message::records`].
    pub records: Range<usize>,
}

/// What is wanted of one piece of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picked {
    pub spans: Vec<Span>,
    /// Nothing of this message was wanted before; the piece begins it.
    pub begins: bool,
    /// Every record of the piece is wanted.
    pub whole: bool,
    /// Stack id of the last wanted record of the message before this piece.
    pub previous_stack: Option<u8>,
    /// Serial numbers missing between the connection's message before and
    /// this one.
    pub skipped_between: u32,
}

impl Picked {
    /// Nothing of the piece is wanted.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty() && !self.begins
    }

    pub fn records(&self, message: &Message<'_>) -> u64 {
        self.spans
            .iter()
            .map(|span| {
                let bytes = message.records.get(span.records.clone()).unwrap_or(&[]);
                Records::new(bytes, message.dialect()).count() as u64
            })
            .sum()
    }
}

/// Picks records, piece after piece.
pub struct Picker {
    select: Select,
    everything: bool,
    serials: Serials,
    /// Names of stack ids that were given by the user.
    stack_names: Vec<Option<String>>,
    current: Current,
    origin_set: bool,
}

/// Last serial number of each connection, as long as it was seen lately: a
/// live input meets new connections for ever.
#[derive(Default)]
struct Serials {
    recent: HashMap<ConnectionKey, u32>,
    older: HashMap<ConnectionKey, u32>,
}

/// Connections after which the older ones are forgotten.
const MOST_RECENT: usize = 32_768;

impl Serials {
    fn get(&self, connection: &ConnectionKey) -> Option<u32> {
        let recent = self.recent.get(connection);
        recent.or_else(|| self.older.get(connection)).copied()
    }

    fn set(&mut self, connection: ConnectionKey, sn: u32) {
        if self.recent.len() >= MOST_RECENT {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(connection, sn);
    }
}

#[derive(Default)]
struct Current {
    wanted: bool,
    begun: bool,
    previous_stack: Option<u8>,
    previous_sn: Option<u32>,
    skipped_between: u32,
}

impl Picker {
    /// `stack_names`: names by stack id.
    pub fn new(select: Select, stack_names: Vec<Option<String>>) -> Picker {
        Picker {
            everything: select.is_everything(),
            select,
            serials: Serials::default(),
            stack_names,
            current: Current::default(),
            origin_set: false,
        }
    }

    /// The connection of a message.
    pub fn connection(message: &Message<'_>) -> ConnectionKey {
        let (ends, known) = (message.header.endpoints(), message.known);
        ConnectionKey {
            local: known.addresses.then(|| ends.local.ip()),
            foreign: known.addresses.then(|| ends.foreign.ip()),
            local_port: known.ports.then(|| ends.local.port()),
            foreign_port: known.ports.then(|| ends.foreign.port()),
            zone: ends.zone,
        }
    }

    /// Whether packets of a message's connection are wanted, which have no
    /// record that could be asked.
    pub fn wants_packets(&self, message: &Message<'_>) -> bool {
        let connection = Picker::connection(message);
        self.everything || !self.select.needs_records() && self.wants(message, &connection)
    }

    /// Decides on one piece; `picked` is overwritten.
    pub fn pick(&mut self, message: &Message<'_>, picked: &mut Picked) {
        picked.spans.clear();
        picked.begins = false;
        picked.whole = true;
        let connection = Picker::connection(message);
        if message.first {
            self.begin(message, &connection);
        }
        picked.previous_stack = self.current.previous_stack;
        picked.skipped_between = 0;
        let slots = &message.dialect().record_slots;
        let order = message.dialect().order;
        let per_record = self.current.wanted && !self.everything && self.select.needs_records();
        let mut at = 0;
        let mut last: Option<Record<'_>> = None;
        for record in message.records() {
            let bytes = record.bytes();
            let sn = slots.sn.read(bytes, order) as u32;
            let skipped = match self.current.previous_sn {
                None => 0,
                // A step back is no gap: the connection's numbers began anew.
                Some(old) => match sn.wrapping_sub(old).wrapping_sub(1) {
                    gap if gap < 1 << 31 => gap,
                    _ => 0,
                },
            };
            self.current.previous_sn = Some(sn);
            let end = at + bytes.len();
            let wanted = self.current.wanted
                && (!per_record || {
                    let id = record.stack_id();
                    // What the user says goes before what the source says.
                    let given = self.stack_names.get(usize::from(id));
                    let name = given
                        .and_then(|name| name.as_deref())
                        .or(message.stack_name.map(|name| name.as_ref()));
                    let uptime_us = record.uptime_us();
                    let boot = message.header.boot_us();
                    self.select.record(&RecordFacts {
                        sn,
                        event: record.event().0,
                        stack_id: id,
                        stack_name: name,
                        time_us: message.known.clock.then(|| boot.saturating_add(uptime_us)),
                        uptime_us,
                    })
                });
            if wanted {
                match picked.spans.last_mut() {
                    Some(span) if span.records.end == at && skipped == 0 => span.records.end = end,
                    _ => picked.spans.push(Span {
                        skipped,
                        records: at..end,
                    }),
                }
                last = Some(record);
            } else {
                picked.whole = false;
            }
            at = end;
        }
        if let Some(record) = last {
            self.current.previous_stack = Some(record.stack_id());
        }
        let empty_message = message.last && self.current.wanted && !per_record;
        if !self.current.begun && (!picked.spans.is_empty() || empty_message) {
            self.current.begun = true;
            picked.begins = true;
            picked.skipped_between = self.current.skipped_between;
        }
        // Without addresses nothing says that two messages are of one
        // connection.
        if let Some(sn) = self.current.previous_sn.filter(|_| message.known.addresses) {
            self.serials.set(connection, sn);
        }
    }

    fn begin(&mut self, message: &Message<'_>, connection: &ConnectionKey) {
        let first = message.records().next();
        if let Some(record) = &first
            && !self.origin_set
        {
            let uptime = record.uptime_us();
            let boot = message.header.boot_us();
            let clock = message.known.clock;
            self.select
                .set_origin(clock.then(|| boot.saturating_add(uptime)), uptime);
            self.origin_set = true;
        }
        let between = match (self.serials.get(connection), &first) {
            (Some(old), Some(record)) => match record.sn().wrapping_sub(old).wrapping_sub(1) {
                gap if gap < 1 << 31 => gap,
                _ => 0,
            },
            _ => 0,
        };
        self.current = Current {
            wanted: self.everything || self.wants(message, connection),
            skipped_between: between,
            ..Current::default()
        };
    }

    fn wants(&self, message: &Message<'_>, connection: &ConnectionKey) -> bool {
        self.select.message(&MessageFacts {
            id: message.header.id(),
            tag: message.header.tag(),
            reason: message.header.reason(),
            local_addr: connection.local,
            foreign_addr: connection.foreign,
            local_port: connection.local_port,
            foreign_port: connection.foreign_port,
        })
    }
}
