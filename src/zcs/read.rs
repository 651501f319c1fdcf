//! From a log to a sink: which entries are wanted, and how ports are read.

use super::checks::{Checks, NODE_SIZE};
use super::{Damage, Entry, Item, Log, PortOrder};
use crate::input::InputError;
use crate::select::{MessageFacts, Select};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU64;

/// Entries by which the byte order of ports is told.
const MOST_EVIDENCE: usize = 256;

/// What is asked of a log.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Hosts and ports are matched against either end of a packet. Nothing in a
    /// log can meet a criterion of black box records.
    pub select: &'a Select,
    /// How ports are printed; `None`: told by the first 256 entries.
    pub ports: Option<PortOrder>,
    /// Bytes of an allocator's node.
    pub node_size: NonZeroU64,
}

impl<'a> Asked<'a> {
    pub fn new(select: &'a Select) -> Asked<'a> {
        Asked {
            select,
            ports: None,
            node_size: NODE_SIZE,
        }
    }
}

/// How the ports of a log are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    pub order: PortOrder,
    /// The caller said so.
    pub is_given: bool,
}

/// A wanted entry.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub entry: &'a Entry,
    pub checks: Checks,
    pub order: PortOrder,
}

/// What a log came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Entries that were read, wanted or not.
    pub entries: u64,
    /// Entries that are wanted.
    pub wanted: u64,
    /// Wanted entries that hold a packet.
    pub frames: u64,
    /// Entries that could not be read; each was reported.
    pub damaged: u64,
}

impl Found {
    /// Whether something was wanted.
    pub fn any(&self) -> bool {
        self.wanted > 0
    }
}

/// Why a log was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error(transparent)]
    Input(InputError),
    /// The sink failed.
    #[error(transparent)]
    Output(io::Error),
}

/// Takes entries of logs, one log after the other.
pub trait Sink {
    /// A log begins; `name` is what to call it.
    fn begin(&mut self, name: &str, decided: Decided) -> io::Result<()>;

    fn entry(&mut self, row: &Row<'_>) -> io::Result<()>;

    /// The log is over; what was taken is to be readable by others now.
    fn end(&mut self, found: &Found) -> io::Result<()>;
}

/// Reads a log and gives what is wanted to `sink`.
///
/// `damage` is told the line and what is wrong, as in [`Damage`].
///
/// # Errors
///
/// Reading the source or writing to the sink failed.
pub fn read(
    source: impl Read,
    name: &str,
    asked: &Asked<'_>,
    sink: &mut dyn Sink,
    damage: &mut dyn FnMut(u64, &str),
) -> Result<Found, Failed> {
    let mut log = Log::new(source);
    let mut found = Found::default();
    let mut next = |log: &mut Log<_>, found: &mut Found| {
        loop {
            match log.next_item() {
                Ok(Some(Item::Entry(entry))) => {
                    found.entries += 1;
                    return Ok(Some(entry));
                }
                Ok(Some(Item::Damage(Damage { line, what }))) => {
                    found.damaged += 1;
                    damage(line, &what);
                }
                Ok(None) => return Ok(None),
                Err(cause) => {
                    return Err(Failed::Input(InputError::Read {
                        name: name.to_owned(),
                        offset: log.offset(),
                        cause,
                    }));
                }
            }
        }
    };
    let mut first = Vec::new();
    if asked.ports.is_none() {
        while first.len() < MOST_EVIDENCE
            && let Some(entry) = next(&mut log, &mut found)?
        {
            first.push(entry);
        }
    }
    let order = asked.ports.unwrap_or_else(|| PortOrder::of(&first));
    let decided = Decided {
        order,
        is_given: asked.ports.is_some(),
    };
    sink.begin(name, decided).map_err(Failed::Output)?;
    let mut first = first.into_iter();
    while let Some(entry) = match first.next() {
        Some(entry) => Some(entry),
        None => next(&mut log, &mut found)?,
    } {
        let row = Row {
            entry: &entry,
            checks: Checks::of(&entry, asked.node_size),
            order,
        };
        if row.is_wanted(asked.select) {
            found.wanted += 1;
            found.frames += u64::from(!entry.is_freed());
            sink.entry(&row).map_err(Failed::Output)?;
        }
    }
    sink.end(&found).map_err(Failed::Output)?;
    Ok(found)
}

/// One end of a packet; the port where the protocol has such.
pub type End = (Ipv4Addr, Option<u16>);

impl Row<'_> {
    /// Source and destination of an IPv4 packet.
    pub fn ends(&self) -> Option<(End, End)> {
        let ip = self.entry.ipv4.filter(|_| !self.entry.is_freed())?;
        let port = |raw| ip.has_ports().then(|| self.order.port(raw));
        Some(((ip.src, port(ip.src_raw)), (ip.dst, port(ip.dst_raw))))
    }

    /// The first four bytes behind the IPv4 header, if that has 20 bytes.
    pub fn first_bytes(&self) -> Option<[u8; 4]> {
        let ip = self.entry.ipv4.filter(|_| !self.entry.is_freed())?;
        let [a, b] = self.order.port(ip.src_raw).to_be_bytes();
        let [c, d] = self.order.port(ip.dst_raw).to_be_bytes();
        Some([a, b, c, d])
    }

    fn is_wanted(&self, select: &Select) -> bool {
        let (src, dst) = self.ends().unzip();
        let addr = |end: End| IpAddr::V4(end.0);
        !select.needs_records()
            && select.message(&MessageFacts {
                local_addr: src.map(addr),
                foreign_addr: dst.map(addr),
                local_port: src.and_then(|end| end.1),
                foreign_port: dst.and_then(|end| end.1),
                ..MessageFacts::default()
            })
    }
}
