//! Lines with a key before each value: those of `formats/dtrace/tcplog-sctp.d`,
//! and the same with `SECONDS.NANOSECONDS` in place of `wall=` and `mono=`.

use super::event::{Event, Role};
use super::field::{Address, Field};
use super::probes::{Kind, Probes};
use super::token::{Words, address, number, seconds_ns};

/// Why a line is no event. The text of the line is shown by whoever reports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("no line of any form that is known")]
    NoForm,
    #[error("no probe in it")]
    NoProbe,
    #[error("two probes in it")]
    TwoProbes,
    #[error("{0:?} is no probe of the SCTP provider")]
    UnknownProbe(String),
    #[error("{0:?} may be several probes, as the module is not printed")]
    AmbiguousProbe(String),
    #[error("{0:?} is not known")]
    UnknownKey(String),
    #[error("{0:?} stands there twice")]
    TwiceKey(String),
    #[error("the value of {0:?} cannot be read")]
    Value(String),
    #[error("{found} values where the probe has {wanted}")]
    Arguments { wanted: usize, found: usize },
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("no state is called {0:?}")]
    State(String),
    #[error("the time cannot be read")]
    Time,
    #[error("longer than a line can be")]
    Long,
    #[error("the input ends inside the line, so its last value may be cut")]
    Cut,
    #[error("{0}")]
    Structure(String),
}

/// Most arguments that a probe passes as numbers.
const MOST: usize = 5;

/// A word of the line, as an error shows it.
pub(super) fn shown(word: &[u8]) -> String {
    let some = word.get(..60).unwrap_or(word);
    String::from_utf8_lossy(some).into_owned()
}

/// True if a line that begins so is one of these.
#[inline]
pub fn is_line(first: &[u8]) -> bool {
    first.starts_with(b"wall=")
        || first.starts_with(b"mono=")
        || first.first().is_some_and(u8::is_ascii_digit)
            && memchr::memchr(b'.', first).is_some()
            && memchr::memchr(b':', first).is_none()
}

/// Reads one line into an event that was cleared; gives the wall clock as it
/// was printed.
pub fn parse(line: &[u8], event: &mut Event) -> Result<Option<i64>, LineError> {
    let probes = Probes::builtin();
    let mut arguments = [0; MOST];
    let mut given = 0u8;
    let mut wall = None;
    let mut has_probe = false;
    let mut named = 0u64;
    for (at, word) in Words(line).enumerate() {
        let Some(equals) = memchr::memchr(b'=', word) else {
            if at == 0 && word.first().is_some_and(u8::is_ascii_digit) {
                event.timestamp_ns = Some(seconds_ns(word).ok_or(LineError::Time)?);
                continue;
            }
            if has_probe {
                return Err(LineError::TwoProbes);
            }
            let probe = probes.of_full_name(word);
            event.probe = probe.ok_or_else(|| LineError::UnknownProbe(shown(word)))?;
            has_probe = true;
            continue;
        };
        let (key, value) = word.split_at(equals);
        let value = value.get(1..).unwrap_or(&[]);
        let bad = || LineError::Value(shown(word));
        if let [b'a', b'r', b'g', digit @ b'0'..=b'4'] = key {
            let at = digit - b'0';
            if given & 1 << at != 0 {
                return Err(LineError::TwiceKey(shown(key)));
            }
            given |= 1 << at;
            arguments[usize::from(at)] = number(value).ok_or_else(bad)?;
            continue;
        }
        match key {
            b"wall" => {
                wall = Some(
                    number(value)
                        .and_then(|n| i64::try_from(n).ok())
                        .ok_or_else(bad)?,
                )
            }
            b"mono" => event.timestamp_ns = Some(number(value).ok_or_else(bad)?),
            b"cpu" => {
                event.cpu = Some(
                    number(value)
                        .and_then(|n| u32::try_from(n).ok())
                        .ok_or_else(bad)?,
                )
            }
            b"pid" => event.pid = Some(number(value).ok_or_else(bad)? as i64),
            b"role" => event.role = Role::new(value),
            _ => named += member(event, key, value)?,
        }
    }
    if !has_probe {
        return Err(LineError::NoProbe);
    }
    let wanted = probes.arguments(event.probe);
    if wanted > 0 || given != 0 {
        let found = given.count_ones() as usize;
        if u32::from(given).trailing_ones() as usize != wanted || found != wanted {
            return Err(LineError::Arguments { wanted, found });
        }
        event.unpack(arguments.get(..wanted).unwrap_or(&arguments));
    }
    if wanted > 0 && named > 0 {
        return Err(LineError::Arguments {
            wanted,
            found: wanted + named as usize,
        });
    }
    complete(event)?;
    Ok(wall)
}

/// Takes one member of a translated argument; counts it.
pub(super) fn member(event: &mut Event, key: &[u8], value: &[u8]) -> Result<u64, LineError> {
    let bad = || LineError::Value(shown(key));
    if let Some(which) = Address::of_name(key) {
        event.addresses.set(which, address(value).ok_or_else(bad)?);
        return Ok(1);
    }
    let field = Field::of_name(key).filter(|f| *f as u8 >= Field::CsCid as u8);
    let Some(field) = field else {
        return Err(LineError::UnknownKey(shown(key)));
    };
    if event.values.get(field).is_some() {
        return Err(LineError::TwiceKey(shown(key)));
    }
    event.values.set(field, number(value).ok_or_else(bad)?);
    Ok(1)
}

/// Wants what the event cannot do without.
pub(super) fn complete(event: &mut Event) -> Result<(), LineError> {
    let v = &event.values;
    match event.kind() {
        Kind::Packet => {
            for (field, name) in [(Field::Sport, "sctp_sport"), (Field::Dport, "sctp_dport")] {
                if v.u16(field).is_none() {
                    return Err(LineError::Missing(name));
                }
            }
        }
        Kind::State => {
            for (field, name) in [
                (Field::State, "sctps_state"),
                (Field::OldState, "old_state"),
            ] {
                if v.get(field).is_none() {
                    return Err(LineError::Missing(name));
                }
            }
        }
        _ => {}
    }
    if v.get(Field::State).is_some() {
        event.name_states();
    }
    Ok(())
}
