//! What was carved, handed to a sink: messages, and packets between their
//! records.

use super::Sink;
use crate::bblog::header::{self, Facts};
use crate::bblog::{Captured, Header, Known, Message, Origin};
use crate::carve::owner::Ends;
use crate::carve::packet::Direction;
use crate::carve::run::{Outcome, Saved, When};
use crate::format::Dialect;
use crate::select::{Picked, Picker};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

/// What reached the sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub records: u64,
    pub packets: u64,
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
}

impl Writer<'_> {
    fn message(&mut self, number: usize, packets: &[(usize, &Saved)]) -> io::Result<()> {
        let outcome = self.outcome;
        let Some(carved) = outcome.messages.get(number) else {
            return Ok(());
        };
        let pool = outcome.pool;
        let (mut bytes, mut one) = (Vec::new(), Vec::new());
        let mut origins: Vec<Origin> = Vec::with_capacity(carved.records.len());
        for (at, origin) in &carved.records {
            let found = pool.found.get(*at as usize);
            if found.is_some_and(|found| pool.read(found, &mut one)) {
                origins.push(Origin {
                    at: bytes.len(),
                    ..*origin
                });
                bytes.extend_from_slice(&one);
            }
        }
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
                self.piece(
                    &carved.dialect,
                    &header,
                    carved.known,
                    &bytes[from..upto],
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

    #[expect(clippy::too_many_arguments, reason = "the parts of a message")]
    fn piece(
        &mut self,
        dialect: &Dialect,
        header: &[u8],
        known: Known,
        records: &[u8],
        origins: &[Origin],
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
            stack_name: None,
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
        self.piece(dialect, &header, known, &[], &[], true, true)?;
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
