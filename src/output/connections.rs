//! What the records of one connection add up to.
//!
//! Memory is a few kilobytes for a connection, whatever its records are. A
//! record whose serial number came before is counted as such and otherwise
//! left out.

pub mod ending;
pub mod limits;
pub mod progress;
pub mod recovery;
pub mod rtt;
pub mod sender;
pub mod sequence;
pub mod serials;
pub mod states;

use super::clock::wall_clock;
use crate::bblog::stackinfo::cell;
use crate::bblog::tcp::{FIN, RST, SYN};
use crate::bblog::{Message, Record, TcpHeader};
use crate::format::{EventId, Release, Stack};
use crate::meaning::{Meanings, Sureness};
use crate::select::{ConnectionKey, Picker};
use ending::Ending;
use limits::Limits;
use progress::Goodput;
use recovery::Recovery;
use rtt::Rtts;
use sequence::after;
use serials::Serials;
use states::Durations;

/// Distinct names that are kept per connection; a hostile input may have any
/// number.
const MAX_NAMES: usize = 32;

/// Changes of the stack that are kept.
const MAX_SWITCHES: usize = 32;

/// A record that is so much older than the one before has a clock of its own.
const CLOCK_STEP_US: i64 = 60_000_000;

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
    /// Its name, and how that is known; where it is inferred, by all records
    /// up to the last one of this stack.
    pub name: Option<(Box<str>, Sureness)>,
    pub records: u64,
}

/// One change of the stack.
#[derive(Clone, Copy, Debug)]
pub struct Switch {
    /// Of the first record of the new stack.
    pub sn: u32,
    /// Wall clock, microseconds since the Unix epoch.
    pub time: Option<i64>,
    pub uptime: i64,
    pub from: u8,
    pub to: u8,
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

impl Flow {
    #[inline]
    fn add(&mut self, bytes: u32) {
        self.segments += 1;
        self.bytes += u64::from(bytes);
    }
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
    /// Duplicates included.
    pub records: u64,
    pub serials: Serials,
    pub stacks: Vec<StackUse>,
    /// How often the stack changed.
    pub stack_switches: u64,
    /// The first of these changes.
    pub switches: Vec<Switch>,
    last_stack: Option<u8>,
    /// Earliest and latest wall clock time, microseconds since the Unix epoch.
    pub time: Option<(i64, i64)>,
    /// Earliest and latest uptime, microseconds.
    pub uptime: Option<(i64, i64)>,
    pub received: Flow,
    pub sent: Flow,
    /// What of `sent` was sent before, see [`Record::is_retransmission`].
    pub sent_again: Flow,
    pub goodput: Goodput,
    pub rtts: Rtts,
    pub recovery: Recovery,
    pub states: Durations,
    pub bbr_states: Durations,
    pub limits: Limits,
    pub ending: Ending,
    /// TCP state of the last record.
    pub state: Option<i32>,
    pub events: Histogram,
    /// Uptime that the last record has at least.
    now_us: Option<i64>,
}

impl Connection {
    pub fn new(message: &Message<'_>, release: Release) -> Connection {
        let key = Picker::connection(message);
        let is_one_host = key.local.is_some() && key.local == key.foreign;
        Connection {
            key,
            release,
            log_ids: Names::default(),
            tags: Names::default(),
            reasons: Names::default(),
            messages: 0,
            records: 0,
            serials: Serials::default(),
            stacks: Vec::new(),
            stack_switches: 0,
            switches: Vec::new(),
            last_stack: None,
            time: None,
            uptime: None,
            received: Flow::default(),
            sent: Flow::default(),
            sent_again: Flow::default(),
            goodput: Goodput::default(),
            rtts: Rtts::default(),
            recovery: Recovery::default(),
            states: Durations::default(),
            bbr_states: Durations::default(),
            limits: Limits::new(is_one_host),
            ending: Ending::default(),
            state: None,
            events: Histogram { counts: Vec::new() },
            now_us: None,
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

    /// Serial numbers are missing from `first` on.
    pub fn add_gap(&mut self, first: u32, count: u32) {
        self.serials.add_gap(first, count);
        self.rtts.forget();
        self.limits.gap();
    }

    pub fn add_record(&mut self, message: &Message<'_>, record: &Record<'_>, meanings: &Meanings) {
        self.records += 1;
        if self.serials.meet(record.sn()) {
            return;
        }
        let event = record.event();
        self.events.add(event);
        let took_us = self.clock(message, record);
        let now_us = self.now_us.unwrap_or(0);
        self.add_stack(message, record, meanings);
        let family = meanings.family(message, record);
        self.state = Some(record.state());
        self.states
            .add(record.state(), took_us, event == EventId::IN);
        self.add_bbr_state(record, family, took_us);
        let moved = self.goodput.record(record, now_us);
        let old_rto = self.release < Release::R14;
        self.recovery.record(record, old_rto, moved);
        self.limits
            .record(record, family, self.recovery.is_on(), took_us);
        self.ending.record(record);
        // An OUT without a header is the base stack's second one, written
        // when sending failed.
        match (event, record.tcp()) {
            (EventId::IN, Some(tcp)) => {
                self.received.add(record.payload_len());
                if moved {
                    self.rtts.acked(tcp.ack(), now_us);
                }
            }
            (EventId::OUT, Some(tcp)) => self.add_sent(record, &tcp, now_us),
            (EventId::RTT, _) => {
                let cell = |cell| record.stackinfo().map(|info| info.named(cell));
                // RACK writes other things with other values of flex7.
                let is_sample = match family {
                    Some(Stack::Rack) => matches!(cell(cell::FLEX7), Some(0 | 1)),
                    Some(Stack::Bbr) => true,
                    Some(Stack::Base) | None => false,
                };
                let us = cell(cell::FLEX1).filter(|us| is_sample && *us > 0);
                if let Some(us) = us.and_then(|us| u32::try_from(us).ok()) {
                    self.rtts.reported(us);
                }
            }
            _ => {}
        }
    }

    fn add_sent(&mut self, record: &Record<'_>, tcp: &TcpHeader<'_>, now_us: i64) {
        let (flags, len, seq) = (tcp.flags(), record.payload_len(), tcp.seq());
        self.sent.add(len);
        let takes = len.saturating_add(u32::from(flags & (SYN | FIN) != 0));
        if takes == 0 || flags & RST != 0 {
            return;
        }
        let again = record.retransmitted_bytes();
        if let Some(bytes) = again {
            self.sent_again.add(bytes);
        }
        // Without a whole window of numbers before it, it is no segment.
        let end = seq.wrapping_add(takes);
        if after(end, seq) {
            self.rtts.sent(end, again.is_some(), now_us);
        }
    }

    /// Takes in the record's times; microseconds since the record before.
    ///
    /// Times step back within a message: such a record is taken for as late
    /// as the one before.
    fn clock(&mut self, message: &Message<'_>, record: &Record<'_>) -> u64 {
        // The time of ACCOUNTING is not set.
        if record.event() == EventId::ACCOUNTING || !(0..1_000_000).contains(&record.tv_usec()) {
            return 0;
        }
        let us = record.uptime_us();
        extend(&mut self.uptime, us);
        if let Some(us) = wall_clock(message, record) {
            extend(&mut self.time, us);
        }
        match self.now_us {
            Some(now) if us >= now => {
                self.now_us = Some(us);
                us.saturating_sub(now) as u64
            }
            Some(now) if now.saturating_sub(us) < CLOCK_STEP_US => 0,
            _ => {
                self.now_us = Some(us);
                0
            }
        }
    }

    fn add_bbr_state(&mut self, record: &Record<'_>, family: Option<Stack>, took_us: u64) {
        if family != Some(Stack::Bbr) {
            self.bbr_states.stop();
            return;
        }
        let info = record.stackinfo();
        let state = info.map_or(0, |info| info.named(cell::BBR_STATE));
        // Records of shared code do not have it.
        let state = match i32::try_from(state) {
            Ok(state @ 1..=5) => state,
            _ => match self.bbr_states.current() {
                Some(state) => state,
                None => return,
            },
        };
        self.bbr_states.add(state, took_us, false);
    }

    #[inline]
    fn add_stack(&mut self, message: &Message<'_>, record: &Record<'_>, meanings: &Meanings) {
        let id = record.stack_id();
        let before = self.last_stack.replace(id);
        let sn = record.sn();
        if let Some(from) = before.filter(|before| *before != id) {
            self.stack_switches += 1;
            self.recovery.new_stack();
            if self.switches.len() < MAX_SWITCHES {
                self.switches.push(Switch {
                    sn,
                    time: wall_clock(message, record),
                    uptime: record.uptime_us(),
                    from,
                    to: id,
                });
            }
        }
        let name = meanings.stack_of(message, record);
        match self.stacks.iter_mut().find(|stack| stack.id == id) {
            Some(stack) => {
                stack.records += 1;
                // Evidence grows and can turn; what was said stays.
                let old = stack.name.as_ref();
                let old = old.map(|(name, sureness)| (&**name, *sureness));
                if let Some(new) = name.map(|stack| (stack.name, stack.sureness))
                    && old != Some(new)
                    && old.is_none_or(|(_, sureness)| sureness < Sureness::Named)
                {
                    stack.name = Some((new.0.into(), new.1));
                }
            }
            None => self.stacks.push(StackUse {
                id,
                name: name.map(|stack| (stack.name.into(), stack.sureness)),
                records: 1,
            }),
        }
    }

    /// The name of one of its stacks.
    pub fn stack_name(&self, id: u8) -> Option<&str> {
        let stack = self.stacks.iter().find(|stack| stack.id == id)?;
        stack.name.as_ref().map(|(name, _)| &**name)
    }

    /// Whether the log shows the end of the connection.
    pub fn has_ended(&self) -> bool {
        self.ending.connend_sn.is_some()
    }
}

fn extend(range: &mut Option<(i64, i64)>, us: i64) {
    *range = Some(range.map_or((us, us), |(low, high)| (low.min(us), high.max(us))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{SEGMENT, Sample, v9};

    /// What one OUT record repeats; its segment has sequence number 1000.
    fn again(flags: u16, len: u64, snd_max: u64) -> Flow {
        let mut segment = SEGMENT.to_vec();
        segment[13] = flags as u8;
        let mut sample = Sample::new(v9());
        let fields = [
            ("tlb_eventflags", 4),
            ("tlb_len", len),
            ("tlb_snd_max", snd_max),
        ];
        sample.record(2, 0, &fields).segment(&segment);
        let message = sample.message();
        let record = message.records().next().expect("one record");
        let formats = crate::format::Formats::builtin();
        let stacks = crate::meaning::StackNames::default();
        let meanings = Meanings::new(formats, None, stacks, |_| Vec::new());
        let mut connection = Connection::new(&message, Release::Main);
        connection.add_record(&message, &record, &meanings);
        let again = connection.sent_again;
        assert_eq!(record.is_retransmission(), again.segments == 1);
        again
    }

    #[test]
    fn what_is_sent_again() {
        let found = |flags, len, max| {
            let flow = again(flags, len, max);
            (flow.segments, flow.bytes)
        };
        assert_eq!(found(0, 100, 1000), (0, 0));
        assert_eq!(found(0, 100, 1040), (1, 40));
        assert_eq!(found(0, 100, 2000), (1, 100));
        // Numbers behind snd_max by half of all are ahead of it.
        assert_eq!(found(0, 100, 1000 + (1 << 31)), (0, 0));
        assert_eq!(found(FIN, 0, 1001), (1, 0));
        assert_eq!(found(SYN, 0, 1001), (1, 0));
        // The first was without its payload, as that of Fast Open.
        assert_eq!(found(SYN, 100, 1001), (1, 0));
        assert_eq!(found(SYN, 100, 1101), (1, 100));
        // An acknowledgement and a reset take no numbers.
        assert_eq!(found(0, 0, 2000), (0, 0));
        assert_eq!(found(RST, 100, 2000), (0, 0));
    }
}
