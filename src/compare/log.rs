//! The black box log as a recorder: its records become segments.

use super::flow::Sniffed;
use super::segment::{Direction, Segment, Tcp, Tuple, plain, sorted_ports};
use super::serials::Serials;
use crate::bblog::{Message, Record};
use crate::format::EventId;
use crate::output::runs::Runs;
use crate::select::{ConnectionKey, Picked, Picker, log_id};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// One run of serial numbers.
#[derive(Clone, Debug)]
pub struct Run {
    pub log_id: Option<Box<[u8]>>,
    pub serials: Serials,
    /// Records, those that came twice left out.
    pub records: u64,
    /// Something of it is asked for.
    pub selected: bool,
    /// Times are wall clock, else uptime.
    pub wall_clock: bool,
    /// Boot time of the first message, µs: all times count from that one, so
    /// that a step of the wall clock between two dumps moves nothing.
    boot_us: i64,
    /// Most by which the boot time of another message differs, µs.
    pub boot_step_us: u64,
    /// The last segment on its way out, among those of its ends.
    last_out: Option<usize>,
}

/// All runs between the same two ends, with their segments in serial order.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    pub local: Option<IpAddr>,
    pub foreign: Option<IpAddr>,
    pub local_port: Option<u16>,
    pub foreign_port: Option<u16>,
    /// Indices of [`Log::runs`], in order of first appearance.
    pub runs: Vec<u32>,
    /// [`Segment::connection`] is an index of [`Log::runs`].
    pub segments: Vec<Segment>,
}

impl Ends {
    /// Local and foreign end, if all of them is known.
    pub fn sockets(&self) -> Option<(SocketAddr, SocketAddr)> {
        Some((
            SocketAddr::new(self.local?, self.local_port?),
            SocketAddr::new(self.foreign?, self.foreign_port?),
        ))
    }

    pub fn tuple(&self) -> Option<Tuple> {
        let (local, foreign) = self.sockets()?;
        Some(Tuple::of(local, foreign).0)
    }

    /// Both ports, for logs that know no addresses.
    pub fn ports(&self) -> Option<(u16, u16)> {
        Some(sorted_ports(self.local_port?, self.foreign_port?))
    }
}

/// One input.
#[derive(Clone, Debug, Default)]
pub struct Input {
    pub name: String,
    pub format: String,
    pub compression: Option<String>,
    pub records: u64,
    pub damaged: u64,
}

/// Collects the segments of black box logs.
///
/// Memory grows by some 70 bytes for each IN and OUT record.
#[derive(Debug, Default)]
pub struct Log {
    pub inputs: Vec<Input>,
    /// What logs of the zero-copy sniffer have, if there were such.
    pub sniffed: Option<Sniffed>,
    /// In order of first appearance.
    pub runs: Vec<Run>,
    /// In order of first appearance.
    pub ends: Vec<Ends>,
    known: HashMap<(ConnectionKey, Option<usize>), usize>,
    numbers: Runs,
}

impl Log {
    /// A new input begins.
    pub fn source(&mut self, input: Input) {
        self.inputs.push(input);
    }

    /// Takes a piece, of which `picked` is asked for.
    pub fn piece(&mut self, message: &Message<'_>, picked: &Picked) {
        let input = self.inputs.len();
        // Every run gets a number, so that nothing is matched to the wrong one.
        let Some(number) = self.numbers.number(message, input, true) else {
            return;
        };
        let at_run = number.wrapping_sub(1);
        if at_run >= self.runs.len() {
            self.runs.push(Run::new(message));
        }
        let ends = self.ends_of(message, input);
        let (Some(run), Some(ends)) = (self.runs.get_mut(at_run), self.ends.get_mut(ends)) else {
            return;
        };
        let number = at_run as u32;
        if ends.runs.last() != Some(&number) {
            ends.runs.push(number);
        }
        run.selected |= !picked.is_empty();
        let step = message.header.boot_us().abs_diff(run.boot_us);
        run.boot_step_us = run.boot_step_us.max(step);
        let mut spans = picked.spans.iter().peekable();
        let mut at = 0;
        for record in message.records() {
            while spans.next_if(|span| span.records.end <= at).is_some() {}
            let selected = spans.peek().is_some_and(|span| span.records.start <= at);
            at += record.bytes().len();
            run.take(ends, &record, number, selected);
            if let Some(input) = self.inputs.last_mut() {
                input.records += u64::from(selected);
            }
        }
    }

    /// Nothing more comes: puts the segments of each run in serial order.
    pub fn finish(&mut self) {
        for ends in &mut self.ends {
            ends.segments.sort_by_key(|s| (s.connection, s.place));
        }
    }

    fn ends_of(&mut self, message: &Message<'_>, input: usize) -> usize {
        let connection = Picker::connection(message);
        let input = (!message.known.addresses).then_some(input);
        *self.known.entry((connection, input)).or_insert_with(|| {
            self.ends.push(Ends {
                local: connection.local.map(plain),
                foreign: connection.foreign.map(plain),
                local_port: connection.local_port,
                foreign_port: connection.foreign_port,
                runs: Vec::new(),
                segments: Vec::new(),
            });
            self.ends.len() - 1
        })
    }
}

impl Run {
    fn new(message: &Message<'_>) -> Run {
        let id = log_id(message.header.id()).filter(|_| message.known.names);
        Run {
            log_id: id.map(Box::from),
            serials: Serials::default(),
            records: 0,
            selected: false,
            wall_clock: message.known.clock,
            boot_us: message.header.boot_us(),
            boot_step_us: 0,
            last_out: None,
        }
    }

    fn take(&mut self, ends: &mut Ends, record: &Record<'_>, connection: u32, selected: bool) {
        let place = self.serials.unwrapped(record.sn());
        if !self.serials.add(place) {
            return;
        }
        self.records += 1;
        let direction = match record.event() {
            EventId::IN => Direction::In,
            EventId::OUT => Direction::Out,
            _ => return,
        };
        let failed = direction == Direction::Out && record.errno() > 0;
        let Some(header) = record.tcp() else {
            // The base stack's second OUT record says that the segment of the
            // one before could not be sent.
            if let Some(sent) = self.last_out.and_then(|at| ends.segments.get_mut(at)) {
                sent.failed |= failed;
            }
            return;
        };
        if direction == Direction::Out {
            self.last_out = Some(ends.segments.len());
        }
        let boot_us = if self.wall_clock { self.boot_us } else { 0 };
        let time = record.time_us().map(|us| boot_us.saturating_add(us));
        ends.segments.push(Segment {
            connection,
            direction,
            tcp: Some(Tcp::of(&header)),
            len: record.payload_len(),
            time: time.map(|us| us.saturating_mul(1000)),
            place,
            failed,
            selected,
        });
    }
}
