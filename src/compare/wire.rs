//! The wire's segments, by connection.

use super::capture::ip::{Transport, transport};
use super::capture::link::{self, Network, network};
use super::capture::{Capture, CaptureError, Packet};
use super::flow::Passed;
use super::log::Log;
use super::segment::{Direction, Segment, Tuple};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Connections without a log that are told apart; of more, only the segments
/// are counted.
const MOST_STRANGERS: usize = 65_536;

/// Bits of a [`Segment::place`] that are the number of a packet; above them is
/// the number of its capture.
const PACKET_BITS: u32 = 48;

/// Capture (from 0) and packet (from 1) of a [`Segment::place`].
pub fn packet_of(place: i64) -> (usize, i64) {
    let packet = place & ((1 << PACKET_BITS) - 1);
    ((place >> PACKET_BITS) as usize, packet)
}

/// What a capture has.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub name: String,
    pub form: &'static str,
    pub compression: Option<String>,
    /// Packets by link type.
    pub links: BTreeMap<u16, u64>,
    pub packets: u64,
    /// TCP segments.
    pub segments: u64,
    /// Packets that are not TCP.
    pub other: u64,
    /// Fragments of IP packets, left out.
    pub fragments: u64,
    /// Packets of which too little was captured, or damaged ones, left out.
    pub short: u64,
    /// Segments whose options were cut off.
    pub cut_options: u64,
    /// Packets that the capture itself says it lost.
    pub dropped: Option<u64>,
    pub damaged: u64,
}

/// The segments between two ends, in the order of the capture.
/// [`Direction::Out`] is from the lower end.
#[derive(Clone, Debug)]
pub struct Connection {
    pub tuple: Tuple,
    pub segments: Vec<Segment>,
}

/// Collects the segments of captures.
///
/// Memory grows by some 60 bytes for each segment of a connection that the log
/// has; of others only the number of segments is kept.
#[derive(Debug, Default)]
pub struct Wire {
    pub captures: Vec<Seen>,
    /// Connections of the log, in order of first appearance.
    pub connections: Vec<Connection>,
    /// Segments of connections that the log does not have.
    pub strangers: HashMap<Tuple, u64>,
    /// Segments of still more of them.
    pub more_strangers: u64,
    /// Packets by flow, for logs of the zero-copy sniffer.
    pub passed: Option<Passed>,
    /// There is no other log, so nothing is asked of connections.
    flows_only: bool,
    /// First and last time of all packets, ns since the Unix epoch.
    pub times: Option<(i64, i64)>,
    wanted: HashSet<Tuple>,
    ports: HashSet<(u16, u16)>,
    /// Connections of the log that nobody asked for.
    left_out: HashSet<Tuple>,
    index: HashMap<Tuple, usize>,
}

impl Wire {
    /// Wants the connections of `log` of which something is asked for.
    pub fn new(log: &Log) -> Wire {
        let mut wire = Wire {
            passed: log.sniffed.as_ref().map(Passed::new),
            flows_only: log.sniffed.is_some() && log.inputs.is_empty(),
            ..Wire::default()
        };
        for ends in &log.ends {
            let mut runs = ends.runs.iter();
            let mut runs = runs.by_ref().filter_map(|run| log.runs.get(*run as usize));
            let selected = runs.any(|run| run.selected);
            match (ends.tuple(), ends.ports()) {
                (Some(tuple), _) if selected => {
                    wire.wanted.insert(tuple);
                }
                (Some(tuple), _) => {
                    wire.left_out.insert(tuple);
                }
                (None, Some(ports)) if selected => {
                    wire.ports.insert(ports);
                }
                _ => {}
            }
        }
        // The other end of a connection may be on the same machine.
        wire.left_out.retain(|tuple| !wire.wanted.contains(tuple));
        wire
    }

    /// Takes all packets of a capture; `each` is called with each of them.
    pub fn read(
        &mut self,
        capture: &mut Capture,
        mut each: impl FnMut(&Packet<'_>),
    ) -> Result<(), CaptureError> {
        let number = self.captures.len() as i64;
        let mut seen = Seen {
            name: capture.name.clone(),
            ..Seen::default()
        };
        while let Some(packet) = capture.next_packet() {
            each(&packet);
            let place = number << PACKET_BITS | packet.number as i64;
            self.packet(&mut seen, &packet, place);
        }
        seen.form = capture.form();
        seen.dropped = capture.dropped();
        seen.damaged = capture.damage.len() as u64;
        let unknown = |link: &&u16| link::name(**link).is_none();
        if seen.packets > 0 && seen.links.keys().all(|link| unknown(&link)) {
            let links: Vec<String> = seen.links.keys().map(u16::to_string).collect();
            return Err(CaptureError::Link {
                name: seen.name,
                links: links.join(", "),
            });
        }
        self.captures.push(seen);
        Ok(())
    }

    fn packet(&mut self, seen: &mut Seen, packet: &Packet<'_>, place: i64) {
        seen.packets += 1;
        *seen.links.entry(packet.link).or_default() += 1;
        if let Some(time) = packet.time {
            let (first, last) = self.times.unwrap_or((time, time));
            self.times = Some((first.min(time), last.max(time)));
        }
        let Network::Ip(at) = network(packet.link, packet.data) else {
            seen.other += 1;
            return;
        };
        let ip = packet.data.get(at..).unwrap_or(&[]);
        if let Some(passed) = &mut self.passed {
            passed.packet(ip, packet.time);
        }
        let length = (packet.length as usize).saturating_sub(at);
        let (from, to, tcp, len) = match transport(ip, length) {
            Transport::Tcp { from, to, tcp, len } => (from, to, tcp, len),
            Transport::Other => {
                seen.other += 1;
                return;
            }
            Transport::Fragment => {
                seen.fragments += 1;
                return;
            }
            Transport::Short => {
                seen.short += 1;
                return;
            }
        };
        seen.segments += 1;
        seen.cut_options += u64::from(!tcp.options.whole);
        let (tuple, flipped) = Tuple::of(from, to);
        let Some(connection) = self.connection(tuple) else {
            return;
        };
        let number = connection as u32;
        if let Some(connection) = self.connections.get_mut(connection) {
            connection.segments.push(Segment {
                connection: number,
                direction: Direction::Out.flipped(flipped),
                tcp: Some(tcp),
                len,
                time: packet.time,
                place,
                failed: false,
                selected: true,
            });
        }
    }

    /// The connection between two ends, if its segments are to be kept.
    fn connection(&mut self, tuple: Tuple) -> Option<usize> {
        if self.flows_only {
            return None;
        }
        if let Some(at) = self.index.get(&tuple) {
            return Some(*at);
        }
        if self.wanted.contains(&tuple) || self.ports.contains(&tuple.ports()) {
            let at = self.connections.len();
            self.connections.push(Connection {
                tuple,
                segments: Vec::new(),
            });
            self.index.insert(tuple, at);
            return Some(at);
        }
        if self.left_out.contains(&tuple) {
            return None;
        }
        if self.strangers.len() < MOST_STRANGERS || self.strangers.contains_key(&tuple) {
            *self.strangers.entry(tuple).or_default() += 1;
        } else {
            self.more_strangers += 1;
        }
        None
    }

    /// Leaves out the connections and flows that the log does not have, for
    /// whoever asked for others.
    pub fn forget_strangers(&mut self) {
        if let Some(passed) = &mut self.passed {
            passed.forget_strangers();
        }
        self.strangers.clear();
        self.more_strangers = 0;
    }

    /// The connection between two ends, if the capture has it.
    pub fn find(&self, tuple: Tuple) -> Option<usize> {
        self.index.get(&tuple).copied()
    }
}
