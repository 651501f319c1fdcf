//! Tables: what the two scripts of the manual print, in the widths of FreeBSD
//! and of Solaris, and what dtrace prints by itself.
//!
//! ```text
//!  CPU           LADDR:LPORT                RADDR:RPORT
//!    3        192.0.2.1:9899  ->     198.51.100.7:36412
//!
//!  CPU    DELTA(us)  OLD                          NEW
//!    0            -  state-closed              -> state-cookie-wait
//!
//! CPU     ID                    FUNCTION:NAME
//!   1  62114                          net:ack         893724690 ...
//! ```
//!
//! Blanks separate the columns whatever their width: no value holds one.

use super::event::Event;
use super::field::{Address, Field};
use super::line::{LineError, shown};
use super::probes::{Kind, Probes};
use super::token::{Words, decimal, end, number};

/// What a row of a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    Event,
    /// A heading, or a firing of another provider.
    Other,
}

/// Most values that a row holds.
const MOST: usize = 5;

/// Reads one row into an event that was cleared.
pub fn parse(line: &[u8], event: &mut Event) -> Result<Row, LineError> {
    let mut words = Words(line);
    let (first, second) = (words.next().unwrap_or(b""), words.next().unwrap_or(b""));
    let (third, fourth) = (words.next().unwrap_or(b""), words.next().unwrap_or(b""));
    if first == b"CPU" {
        return heading(line).then_some(Row::Other).ok_or(LineError::NoForm);
    }
    let cpu = decimal(first).and_then(|n| u32::try_from(n).ok());
    event.cpu = Some(cpu.ok_or(LineError::NoForm)?);
    if matches!(third, b"->" | b"<-") {
        packet(event, second, third == b"<-", fourth)?;
        return none_left(words.next()).map(|()| Row::Event);
    }
    if fourth == b"->" {
        state(event, second, third, words.next().unwrap_or(b""))?;
        return none_left(words.next()).map(|()| Row::Event);
    }
    // The probe's number tells nothing that its name does not.
    decimal(second).ok_or(LineError::NoForm)?;
    memchr::memchr(b':', third).ok_or(LineError::NoForm)?;
    let values = [fourth].into_iter().filter(|w| !w.is_empty()).chain(words);
    fired(event, third, values)
}

fn none_left(word: Option<&[u8]>) -> Result<(), LineError> {
    match word {
        None => Ok(()),
        Some(_) => Err(LineError::NoForm),
    }
}

fn heading(line: &[u8]) -> bool {
    const HEADINGS: [&[&[u8]]; 3] = [
        &[b"CPU", b"LADDR:LPORT", b"RADDR:RPORT"],
        &[b"CPU", b"DELTA(us)", b"OLD", b"NEW"],
        &[b"CPU", b"ID", b"FUNCTION:NAME"],
    ];
    HEADINGS
        .iter()
        .any(|words| Words(line).eq(words.iter().copied()))
}

/// The left side is the local one in either direction.
fn packet(event: &mut Event, local: &[u8], inbound: bool, remote: &[u8]) -> Result<(), LineError> {
    let side = |word| end(word).ok_or_else(|| LineError::Value(shown(word)));
    let (local, remote) = (side(local)?, side(remote)?);
    let (source, destination) = match inbound {
        true => (remote, local),
        false => (local, remote),
    };
    let name = if inbound { "receive" } else { "send" };
    let probe = Probes::builtin().of_parts("", "", name);
    event.probe = probe.ok_or(LineError::NoProbe)?;
    event.addresses.set(Address::IpSaddr, source.0);
    event.addresses.set(Address::IpDaddr, destination.0);
    event.values.set(Field::Sport, source.1.into());
    event.values.set(Field::Dport, destination.1.into());
    Ok(())
}

fn state(event: &mut Event, delta: &[u8], old: &[u8], new: &[u8]) -> Result<(), LineError> {
    let probes = Probes::builtin();
    let known = |word| {
        let string = probes.known_state_string(word);
        string.ok_or_else(|| LineError::State(shown(word)))
    };
    event.probe = probes
        .of_parts("", "", "state-change")
        .ok_or(LineError::NoProbe)?;
    if delta != b"-" {
        let delta = decimal(delta).ok_or_else(|| LineError::Value(shown(delta)))?;
        event.values.set(Field::Delta, delta);
    }
    event.old_state = Some(known(old)?);
    event.state = Some(known(new)?);
    Ok(())
}

/// A row that dtrace prints by itself: the values are those of trace().
fn fired<'a>(
    event: &mut Event,
    name: &[u8],
    values: impl Iterator<Item = &'a [u8]>,
) -> Result<Row, LineError> {
    let probes = Probes::builtin();
    if matches!(name, b":BEGIN" | b":END" | b":ERROR") {
        return Ok(Row::Other);
    }
    let mut candidates = probes.of_short_name(name);
    event.probe = candidates
        .next()
        .ok_or_else(|| LineError::UnknownProbe(shown(name)))?;
    if candidates.next().is_some() {
        return Err(LineError::AmbiguousProbe(shown(name)));
    }
    let mut arguments = [0; MOST];
    let mut found = 0;
    for word in values {
        if let Some(slot) = arguments.get_mut(found) {
            *slot = number(word).ok_or_else(|| LineError::Value(shown(word)))?;
        }
        found += 1;
    }
    take(event, &arguments, found).map(|()| Row::Event)
}

/// Unpacks values that were printed without names; none at all are as good.
pub(super) fn take(event: &mut Event, arguments: &[u64], found: usize) -> Result<(), LineError> {
    let wanted = Probes::builtin().arguments(event.probe);
    event.is_bare = found == 0;
    if found == 0 {
        return Ok(());
    }
    if found != wanted || matches!(event.kind(), Kind::Packet | Kind::State) {
        return Err(LineError::Arguments { wanted, found });
    }
    event.unpack(arguments.get(..wanted).unwrap_or(arguments));
    Ok(())
}
