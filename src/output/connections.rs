//! What the records of one connection add up to.

use super::clock::wall_clock;
use super::context::Context;
use crate::bblog::{Message, Record};
use crate::format::{EventId, Release};
use crate::select::{ConnectionKey, Picker};

/// Distinct names that are kept per connection; a hostile input may have any
/// number.
const MAX_NAMES: usize = 32;

/// Distinct strings, in order of first appearance, with how often each came.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub seen: Vec<(Box<[u8]>, u64)>,
    /// How often names came that are not in `seen`, for it was full.
    pub others: u64,
}

impl Names {
    fn add(&mut self, name: &[u8]) {
        if let Some((_, count)) = self.seen.iter_mut().find(|(seen, _)| **seen == *name) {
            *count += 1;
        } else if self.seen.len() < MAX_NAMES {
            self.seen.push((name.into(), 1));
        } else {
            self.others += 1;
        }
    }
}

/// The records of one stack.
#[derive(Clone, Debug)]
pub struct StackUse {
    pub id: u8,
    pub name: Option<String>,
    pub records: u64,
}

/// Segments in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flow {
    pub segments: u64,
    /// Payload.
    pub bytes: u64,
}

/// How many records of each event there are.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// By event number, only those that came.
    counts: Vec<(EventId, u64)>,
}

impl Histogram {
    fn add(&mut self, event: EventId) {
        match self.counts.binary_search_by_key(&event, |(id, _)| *id) {
            Ok(at) => {
                if let Some((_, count)) = self.counts.get_mut(at) {
                    *count += 1;
                }
            }
            Err(at) => self.counts.insert(at, (event, 1)),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (EventId, u64)> {
        self.counts.iter().copied()
    }

    pub fn has(&self, event: EventId) -> bool {
        self.counts.iter().any(|(id, _)| *id == event)
    }
}

/// One connection: endpoints and one run of serial numbers.
#[derive(Clone, Debug)]
pub struct Connection {
    pub key: ConnectionKey,
    /// By which event and state numbers have their names.
    pub release: Release,
    pub log_ids: Names,
    pub tags: Names,
    pub reasons: Names,
    pub messages: u64,
    pub records: u64,
    pub missing: u64,
    pub stacks: Vec<StackUse>,
    /// How often the stack changed.
    pub stack_switches: u64,
    last_stack: Option<u8>,
    /// Earliest and latest wall clock time, microseconds since the Unix epoch.
    pub time: Option<(i64, i64)>,
    /// Earliest and latest uptime, microseconds.
    pub uptime: Option<(i64, i64)>,
    /// First and last serial number.
    pub serials: Option<(u32, u32)>,
    pub received: Flow,
    pub sent: Flow,
    /// TCP state of the last record.
    pub state: Option<i32>,
    pub events: Histogram,
}

impl Connection {
    pub fn new(message: &Message<'_>, context: &Context) -> Connection {
        Connection {
            key: Picker::connection(message),
            release: context.release(message.dialect()),
            log_ids: Names::default(),
            tags: Names::default(),
            reasons: Names::default(),
            messages: 0,
            records: 0,
            missing: 0,
            stacks: Vec::new(),
            stack_switches: 0,
            last_stack: None,
            time: None,
            uptime: None,
            serials: None,
            received: Flow::default(),
            sent: Flow::default(),
            state: None,
            events: Histogram { counts: Vec::new() },
        }
    }

    /// Counts a message; its records come one by one.
    pub fn add_message(&mut self, message: &Message<'_>) {
        self.messages += 1;
        if message.known.names {
            let header = &message.header;
            if let Some(id) = header.log_id() {
                self.log_ids.add(id);
            }
            if !header.tag().is_empty() && header.tag() != b"UNKNOWN" {
                self.tags.add(header.tag());
            }
            self.reasons.add(header.reason());
        }
    }

    pub fn add_record(&mut self, message: &Message<'_>, record: &Record<'_>, context: &Context) {
        self.records += 1;
        let sn = record.sn();
        self.serials = Some(self.serials.map_or((sn, sn), |(first, _)| (first, sn)));
        self.state = Some(record.state());
        let event = record.event();
        self.events.add(event);
        self.add_stack(message, record, context);
        if (0..1_000_000).contains(&record.tv_usec()) {
            extend(&mut self.uptime, record.uptime_us());
        }
        if let Some(us) = wall_clock(message, record) {
            extend(&mut self.time, us);
        }
        // An OUT without a header is the base stack's second one, written
        // when sending failed.
        if record.tcp().is_some() {
            let flow = match event {
                EventId::IN => &mut self.received,
                EventId::OUT => &mut self.sent,
                _ => return,
            };
            flow.segments += 1;
            flow.bytes += u64::from(record.payload_len());
        }
    }

    fn add_stack(&mut self, message: &Message<'_>, record: &Record<'_>, context: &Context) {
        let id = record.stack_id();
        let before = self.last_stack.replace(id);
        self.stack_switches += u64::from(before.is_some_and(|before| before != id));
        match self.stacks.iter_mut().find(|stack| stack.id == id) {
            Some(stack) => stack.records += 1,
            None => self.stacks.push(StackUse {
                id,
                name: context.stacks.of(message, record).map(str::to_owned),
                records: 1,
            }),
        }
    }

    /// Whether the log shows the end of the connection.
    pub fn has_ended(&self) -> bool {
        self.events.has(EventId::CONNEND)
    }
}

fn extend(range: &mut Option<(i64, i64)>, us: i64) {
    *range = Some(range.map_or((us, us), |(low, high)| (low.min(us), high.max(us))));
}
