//! Saying in words what a record is. Everything is appended to a byte buffer,
//! because comments are written for millions of records.

use super::escape::{Escaped, Quoted};
use crate::bblog::tcp::{ACK, FIN, RST, SYN};
use crate::bblog::{Message, Record};
use crate::format::{EventId, Formats, Release, Unit};
use crate::meaning::{Explained, SequenceBase, units};
use std::io::Write;
use std::net::SocketAddr;

pub use crate::meaning::units::number;

/// Appends text that came from an untrusted program.
pub fn untrusted(out: &mut Vec<u8>, text: &[u8]) {
    // Writing to a vector does not fail.
    let _ = write!(out, "{}", Escaped(text));
}

/// As [`untrusted`], between quotes.
pub fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    let _ = write!(out, "{}", Quoted(text));
}

/// Appends both ends: local, then foreign, as far as they are known.
pub fn endpoints(out: &mut Vec<u8>, message: &Message<'_>) {
    let ends = message.header.endpoints();
    end(out, ends.local, message);
    out.extend_from_slice(b" <-> ");
    end(out, ends.foreign, message);
}

/// Appends one end, `?` for what is not known.
fn end(out: &mut Vec<u8>, addr: SocketAddr, message: &Message<'_>) {
    let known = message.known;
    let _ = match (known.addresses, known.ports) {
        (true, _) => write!(out, "{addr}"),
        (false, true) => write!(out, "?:{}", addr.port()),
        (false, false) => write!(out, "?"),
    };
}

/// Appends what the record says happened, in a few words.
pub fn what_happened(
    out: &mut Vec<u8>,
    record: &Record<'_>,
    explained: &Explained<'_, '_>,
    base: SequenceBase,
) {
    let Some(tcp) = record.tcp() else {
        explained.says(out, base);
        errno(out, record);
        return;
    };
    out.extend_from_slice(match record.event() {
        EventId::IN => b"segment received",
        EventId::OUT => b"segment sent".as_slice(),
        _ => b"segment logged",
    });
    let flags = tcp.flags();
    for (bit, name) in [(SYN, b", SYN"), (FIN, b", FIN"), (RST, b", RST")] {
        if flags & bit != 0 {
            out.extend_from_slice(name);
            if bit == SYN && flags & ACK != 0 {
                out.extend_from_slice(b"-ACK");
            }
        }
    }
    let len = record.payload_len();
    if len > 0 {
        out.extend_from_slice(b", ");
        units::amount(out, &Unit::Bytes, u64::from(len));
    } else if flags & (SYN | FIN | RST) == 0 {
        out.extend_from_slice(if flags & ACK != 0 {
            b", pure ACK".as_slice()
        } else {
            b", no data".as_slice()
        });
    }
    segment_says(out, b", ", record, explained, base);
    errno(out, record);
}

/// Appends what is said of a segment besides its header, after `before`.
pub fn segment_says(
    out: &mut Vec<u8>,
    before: &[u8],
    record: &Record<'_>,
    explained: &Explained<'_, '_>,
    base: SequenceBase,
) {
    let start = out.len();
    out.extend_from_slice(before);
    let text = out.len();
    match record.event() {
        EventId::IN | EventId::OUT if !explained.is_known() => {}
        _ => explained.says(out, base),
    }
    if out.len() == text && record.is_retransmission() {
        out.extend_from_slice(b"retransmission");
    }
    if out.len() == text {
        out.truncate(start);
    }
}

/// Appends an error, unless it is unknown or none.
pub fn errno(out: &mut Vec<u8>, record: &Record<'_>) {
    let errno = record.errno();
    if errno > 0 {
        out.extend_from_slice(b", errno ");
        number(out, errno);
    }
}

/// Appends the sender's state: TCP state, windows, what is unacknowledged.
#[inline]
pub fn sender_state(out: &mut Vec<u8>, record: &Record<'_>, formats: &Formats, release: Release) {
    state(out, record.state(), formats, release);
    out.extend_from_slice(b", cwnd ");
    number(out, record.snd_cwnd());
    out.extend_from_slice(b", peer window ");
    number(out, record.snd_wnd());
    out.extend_from_slice(b", unacknowledged ");
    number(out, record.snd_max().wrapping_sub(record.snd_una()));
}

/// Appends the name of a TCP state, or its number.
#[inline]
pub fn state(out: &mut Vec<u8>, state: i32, formats: &Formats, release: Release) {
    match formats.state_name(state, release) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => {
            out.extend_from_slice(b"state ");
            number(out, state);
        }
    }
}

/// Appends bytes as hexadecimal digits.
#[inline]
pub fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}
