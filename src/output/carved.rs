//! What was carved, handed to a sink: messages, and packets between their
//! records.

use super::Sink;
use crate::bblog::header::{self, Facts};
use crate::bblog::{Captured, Header, Known, Message, Origin, Record};
use crate::carve::owner::Ends;
use crate::carve::packet::Direction;
use crate::carve::run::{Outcome, Saved, When};
use crate::format::Dialect;
use crate::select::{Picked, Picker};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

/// What reached the sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub records: u64,
    pub packets: u64,
    /// Records of live memory that were overwritten while it was read, and are
    /// not written.
    pub changed: u64,
}

impl Written {
    /// Whether anything was.
    pub fn any(&self) -> bool {
        self.records + self.packets > 0
    }
}

/// Writes everything that `picker` wants.
pub fn write(
    outcome: &Outcome<'_>,
    picker: &mut Picker,
    sink: &mut dyn Sink,
) -> io::Result<Written> {
    let mut writer = Writer {
        outcome,
        picker,
        sink,
        picked: Picked::default(),
        written: Written::default(),
        stacks: HashMap::new(),
    };
    let mut packets: BTreeMap<usize, Vec<(usize, &Saved)>> = BTreeMap::new();
    let mut alone: BTreeMap<Option<(SocketAddr, SocketAddr)>, Vec<&Saved>> = BTreeMap::new();
    for saved in &outcome.packets {
        match saved.place {
            Some((message, at)) => packets.entry(message).or_default().push((at, saved)),
            None => {
                let ends = saved.packet.local().zip(saved.packet.foreign());
                alone.entry(ends).or_default().push(saved);
            }
        }
    }
    for number in 0..outcome.messages.len() {
        let mut packets = packets.remove(&number).unwrap_or_default();
        packets.sort_by_key(|(at, _)| *at);
        writer.message(number, &packets)?;
    }
    for (ends, packets) in alone {
        writer.without_records(ends, &packets)?;
    }
    Ok(writer.written)
}

struct Writer<'w> {
    outcome: &'w Outcome<'w>,
    picker: &'w mut Picker,
    sink: &'w mut dyn Sink,
    picked: Picked,
    written: Written,
    /// Names of the TCP stacks of the message's records, by their ids; empty
    /// where they are not known.
    stacks: HashMap<u8, Arc<str>>,
}

impl Writer<'_> {
    fn message(&mut self, number: usize, packets: &[(usize, &Saved)]) -> io::Result<()> {
        let outcome = self.outcome;
        let Some(carved) = outcome.messages.get(number) else {
            return Ok(());
        };
        let pool = outcome.pool;
        self.stacks.clear();
        // Ids are given out at each boot anew.
        let first = carved.records.first();
        let first = first.and_then(|(at, _)| pool.found.get(*at as usize));
        if let Some(symbols) = &outcome.symbols
            && first.and_then(|found| outcome.clock.boot(found)) == Some(symbols.boot)
        {
            self.stacks.clone_from(&symbols.stacks);
        }
        let (mut bytes, mut one) = (Vec::new(), Vec::new());
        let mut origins: Vec<Origin> = Vec::with_capacity(carved.records.len());
        // How many records are there of those up to each.
        let mut there: Vec<usize> = Vec::with_capacity(carved.records.len());
        for (at, origin) in &carved.records {
            there.push(origins.len());
            let found = pool.found.get(*at as usize);
            if let Some(found) = found
                && pool.read(found, &mut one)
            {
                // Its bytes now are those that were found, and stay so.
                let record = Record::new(&one, &carved.dialect);
                let is_it = record.is_some_and(|record| {
                    (record.sn(), record.uptime_us()) == (found.sn, found.uptime_us)
                });
                if !is_it || !pool.space.is_stable(found.offset, &one) {
                    self.written.changed += 1;
                    continue;
                }
                origins.push(Origin {
                    at: bytes.len(),
                    ..*origin
                });
                bytes.extend_from_slice(&one);
            }
        }
        let packets: Vec<(usize, &Saved)> = packets
            .iter()
            .map(|(at, saved)| (there.get(*at).copied().unwrap_or(origins.len()), *saved))
            .collect();
        let mut header = carved.header.clone();
        set_length(&mut header, &carved.dialect, bytes.len());
        // Pieces end where packets come.
        let mut cuts: Vec<usize> = packets.iter().map(|(at, _)| *at).collect();
        cuts.push(origins.len());
        let mut packets = packets.iter().peekable();
        let mut start = 0;
        let mut first = true;
        for cut in cuts {
            let place = |at: usize| origins.get(at).map_or(bytes.len(), |origin| origin.at);
            let (from, upto) = (place(start), place(cut));
            let mut inside: Vec<Origin> = origins.get(start..cut).unwrap_or(&[]).to_vec();
            for origin in &mut inside {
                origin.at -= from;
            }
            let last = cut == origins.len();
            if cut > start || first || last {
                self.pieces(
                    &carved.dialect,
                    &header,
                    carved.known,
                    bytes.get(from..upto).unwrap_or(&[]),
                    &inside,
                    first,
                    last,
                )?;
                first = false;
            }
            start = cut.max(start);
            while let Some((_, saved)) = packets.next_if(|(at, _)| *at <= cut && !last) {
                self.packet(&carved.dialect, &header, carved.known, saved)?;
            }
        }
        for (_, saved) in packets {
            self.packet(&carved.dialect, &header, carved.known, saved)?;
        }
        Ok(())
    }

    /// Hands over records in pieces of one stack each, where stacks have names.
    #[expect(clippy::too_many_arguments, reason = "the parts of a message")]
    fn pieces(
        &mut self,
        dialect: &Dialect,
        header: &[u8],
        known: Known,
        records: &[u8],
        origins: &[Origin],
        first: bool,
        last: bool,
    ) -> io::Result<()> {
        let runs = match self.stacks.is_empty() {
            true => vec![(None, 0..origins.len())],
            false => runs(dialect, records, origins),
        };
        let count = runs.len();
        for (number, (id, run)) in runs.into_iter().enumerate() {
            let place = |at: usize| origins.get(at).map_or(records.len(), |origin| origin.at);
            let (from, upto) = match number + 1 == count {
                true => (place(run.start), records.len()),
                false => (place(run.start), place(run.end)),
            };
            let mut inside = origins.get(run).unwrap_or(&[]).to_vec();
            for origin in &mut inside {
                origin.at -= from;
            }
            let name = id.and_then(|id| self.stacks.get(&id)).cloned();
            self.piece(
                dialect,
                header,
                known,
                records.get(from..upto).unwrap_or(&[]),
                &inside,
                name.as_ref(),
                first && number == 0,
                last && number + 1 == count,
            )?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a message")]
    fn piece(
        &mut self,
        dialect: &Dialect,
        header: &[u8],
        known: Known,
        records: &[u8],
        origins: &[Origin],
        stack_name: Option<&Arc<str>>,
        first: bool,
        last: bool,
    ) -> io::Result<()> {
        let Some(header) = Header::new(header, dialect) else {
            return Ok(());
        };
        let message = Message {
            header,
            records,
            known,
            first,
            last,
            offset: origins.first().map_or(0, |origin| origin.image_offset),
            stack_name,
            origins,
        };
        self.picker.pick(&message, &mut self.picked);
        self.written.records += self.picked.records(&message);
        self.sink.piece(&message, &self.picked)
    }

    /// Packets of a connection of which there is no record.
    fn without_records(
        &mut self,
        ends: Option<(SocketAddr, SocketAddr)>,
        packets: &[&Saved],
    ) -> io::Result<()> {
        let Some(dialect) = self.outcome.pool.kinds.dialects.last() else {
            return Ok(());
        };
        let ends = ends.map(|(local, foreign)| Ends::of(local, foreign));
        let facts = Facts {
            endpoints: ends.as_ref().map(|ends| &ends.bytes),
            af: ends.map_or(0, |ends| ends.af),
            boot_us: self.outcome.boot_us,
            ..Facts::default()
        };
        let header = header::made(dialect, &facts, 0);
        let known = Known {
            addresses: ends.is_some(),
            ports: ends.is_some(),
            clock: facts.boot_us.is_some(),
            names: false,
        };
        self.piece(dialect, &header, known, &[], &[], None, true, true)?;
        for saved in packets {
            self.packet(dialect, &header, known, saved)?;
        }
        Ok(())
    }

    fn packet(
        &mut self,
        dialect: &Dialect,
        header: &[u8],
        known: Known,
        saved: &Saved,
    ) -> io::Result<()> {
        let Some(header) = Header::new(header, dialect) else {
            return Ok(());
        };
        let message = Message {
            header,
            records: &[],
            known,
            first: false,
            last: false,
            offset: 0,
            stack_name: None,
            origins: &[],
        };
        if !self.picker.wants_packets(&message) {
            return Ok(());
        }
        let packet = &saved.packet;
        let place = packet.mbufs.first();
        let space = self.outcome.pool.space;
        let captured = Captured {
            inbound: packet.direction.map(|direction| direction == Direction::In),
            bytes: &packet.bytes,
            length: packet.length,
            uptime_us: saved.time.uptime_us(),
            time_from: &time_from(saved.time),
            repaired: &packet.repaired,
            cut: packet.cut,
            origin: Origin {
                image_offset: place.map_or(0, |place| place.offset),
                virtual_address: place.and_then(|place| place.address),
                physical_address: place.and_then(|place| space.physical_of(place.offset)),
                life: packet.life,
                confidence: packet.confidence,
                copies: 0,
                at: 0,
            },
        };
        self.written.packets += 1;
        self.sink.packet(&message, &captured)
    }
}

/// Which records follow each other with the same stack: its id, and their
/// numbers. At least one, if of no records.
fn runs(dialect: &Dialect, bytes: &[u8], origins: &[Origin]) -> Vec<(Option<u8>, Range<usize>)> {
    let mut runs: Vec<(Option<u8>, Range<usize>)> = Vec::new();
    for (number, origin) in origins.iter().enumerate() {
        let record = bytes.get(origin.at..);
        let record = record.and_then(|bytes| Record::new(bytes, dialect));
        let id = record.map(|record| record.stack_id());
        match runs.last_mut() {
            Some((last, run)) if *last == id => run.end = number + 1,
            _ => runs.push((id, number..number + 1)),
        }
    }
    if runs.is_empty() {
        runs.push((None, 0..0));
    }
    runs
}

fn time_from(time: When) -> String {
    match time {
        When::Record { sn, .. } => format!("that of the record of the same segment, serial {sn}"),
        When::Near { sn, .. } => {
            format!("that of the nearest record of the connection, serial {sn}")
        }
        When::Latest { .. } => "that of the image's latest record".to_owned(),
        When::Unknown => "unknown".to_owned(),
    }
}

/// Writes how long the message is.
fn set_length(header: &mut [u8], dialect: &Dialect, records: usize) {
    let slot = dialect.header_slots.length;
    let length = (header.len() + records) as u64;
    dialect
        .order
        .write(header, slot.offset.into(), slot.size.into(), length);
}
