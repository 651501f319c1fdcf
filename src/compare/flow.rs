//! Flows: all that the zero-copy sniffer's log tells of a packet besides its
//! place in the log.
//!
//! Such a log knows addresses, protocol, ports and order, but neither times nor
//! sequence numbers nor lengths. So its packets and those of a capture can only
//! be counted, flow by flow: as many as both have are matched, one to one in
//! their order. Which of them are missing where the counts differ, nobody can
//! say.

mod compared;
mod passed;

pub use compared::{FlowCompared, FlowCounts, compared};
pub use passed::{Passed, PassedFlow};

use crate::zcs::{Decided, Found, Ipv4, Row, Sink};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Flows of logs that are told apart, and flows of captures without a log; of
/// more, only the packets are counted.
const MOST_FLOWS: usize = 65_536;

/// Packets from one end to another, of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    /// Number of the IP protocol.
    pub protocol: u8,
    /// Of source and destination, where the protocol has such.
    pub ports: Option<(u16, u16)>,
}

impl Flow {
    /// The flow of an entry that holds an IPv4 packet.
    pub fn of(row: &Row<'_>) -> Option<Flow> {
        let ((src, src_port), (dst, dst_port)) = row.ends()?;
        Some(Flow {
            src,
            dst,
            protocol: row.entry.ipv4?.protocol,
            ports: src_port.zip(dst_port),
        })
    }

    /// Name of the protocol, if it is among those that have one in a log.
    pub fn protocol_name(&self) -> Option<&'static str> {
        Ipv4::name_of(self.protocol)
    }
}

/// `192.0.2.1:80 -> 192.0.2.2:8000 tcp`
impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ports {
            Some((src, dst)) => write!(
                f,
                "{} -> {} ",
                SocketAddrV4::new(self.src, src),
                SocketAddrV4::new(self.dst, dst)
            )?,
            None => write!(f, "{} -> {} ", self.src, self.dst)?,
        }
        match self.protocol_name() {
            Some(name) => f.write_str(name),
            None => write!(f, "protocol {}", self.protocol),
        }
    }
}

/// One log of the sniffer. Counts are of entries that are asked for.
#[derive(Clone, Debug)]
pub struct SnifferLog {
    pub name: String,
    pub compression: Option<String>,
    pub decided: Decided,
    pub entries: u64,
    /// Entries with an IPv4 packet.
    pub packets: u64,
    /// Entries without a packet.
    pub freed: u64,
    /// Entries with another packet, of which the log tells no flow.
    pub not_ipv4: u64,
    /// Malformed entries, and other damage.
    pub damaged: u64,
}

/// Counts the packets of the sniffer's logs by flow.
#[derive(Debug, Default)]
pub struct Sniffed {
    pub logs: Vec<SnifferLog>,
    /// In order of first appearance, with their packets.
    pub flows: Vec<(Flow, u64)>,
    /// Packets of still more flows; they are not compared.
    pub more: u64,
    index: HashMap<Flow, usize>,
}

impl Sniffed {
    fn add(&mut self, flow: Flow) {
        if let Some((_, packets)) = self.index.get(&flow).and_then(|at| self.flows.get_mut(*at)) {
            *packets += 1;
        } else if self.flows.len() < MOST_FLOWS {
            self.index.insert(flow, self.flows.len());
            self.flows.push((flow, 1));
        } else {
            self.more += 1;
        }
    }
}

impl Sink for Sniffed {
    fn begin(&mut self, name: &str, decided: Decided) -> io::Result<()> {
        self.logs.push(SnifferLog {
            name: name.to_owned(),
            compression: None,
            decided,
            entries: 0,
            packets: 0,
            freed: 0,
            not_ipv4: 0,
            damaged: 0,
        });
        Ok(())
    }

    fn entry(&mut self, row: &Row<'_>) -> io::Result<()> {
        let Some(log) = self.logs.last_mut() else {
            return Ok(());
        };
        log.entries += 1;
        if row.entry.is_freed() {
            log.freed += 1;
        } else if let Some(flow) = Flow::of(row) {
            log.packets += 1;
            self.add(flow);
        } else {
            log.not_ipv4 += 1;
        }
        Ok(())
    }

    fn end(&mut self, found: &Found) -> io::Result<()> {
        if let Some(log) = self.logs.last_mut() {
            log.damaged = found.damaged;
        }
        Ok(())
    }
}
