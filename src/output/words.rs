//! Saying in words what a record is. Everything is appended to a byte buffer,
//! because comments are written for millions of records.

use super::escape::{Escaped, Quoted};
use crate::bblog::tcp::{ACK, FIN, RST, SYN, flag_letters};
use crate::bblog::{Message, Record};
use crate::format::{EventId, Formats, Release};
use std::io::Write;
use std::net::SocketAddr;

/// Appends a number.
#[inline]
pub fn number(out: &mut Vec<u8>, n: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

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
#[inline]
pub fn what_happened(out: &mut Vec<u8>, record: &Record<'_>, formats: &Formats, release: Release) {
    match record.tcp() {
        Some(tcp) => {
            let event = record.event();
            out.extend_from_slice(match event {
                EventId::IN => b"segment received",
                EventId::OUT => b"segment sent".as_slice(),
                _ => b"segment logged",
            });
            let flags = tcp.flags();
            for (bit, name) in [(SYN, b", SYN"), (FIN, b", FIN"), (RST, b", RST")] {
                if flags & bit != 0 {
                    out.extend_from_slice(name);
                }
            }
            let len = record.payload_len();
            if len > 0 {
                out.extend_from_slice(b", ");
                number(out, len);
                out.extend_from_slice(b" bytes");
            } else if flags & (SYN | FIN | RST) == 0 {
                out.extend_from_slice(if flags & ACK != 0 {
                    b", pure ACK".as_slice()
                } else {
                    b", no data".as_slice()
                });
            }
            if event != EventId::IN && event != EventId::OUT {
                out.extend_from_slice(b" (");
                event_name(out, event, formats, release);
                out.push(b')');
            }
        }
        None => {
            let event = record.event();
            match formats.events.get(event, release) {
                Some(known) => {
                    out.extend_from_slice(known.says.as_bytes());
                    out.extend_from_slice(b" (");
                    out.extend_from_slice(known.name.as_bytes());
                    out.push(b')');
                }
                None => {
                    out.extend_from_slice(b"event ");
                    number(out, event.0);
                }
            }
        }
    }
}

/// Appends the event's name, or its number.
#[inline]
pub fn event_name(out: &mut Vec<u8>, event: EventId, formats: &Formats, release: Release) {
    match formats.events.get(event, release) {
        Some(known) => out.extend_from_slice(known.name.as_bytes()),
        None => number(out, event.0),
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

/// Appends flags, sequence and acknowledgement as tcpdump writes them.
pub fn segment(out: &mut Vec<u8>, record: &Record<'_>) {
    let Some(tcp) = record.tcp() else { return };
    let mut letters = String::new();
    flag_letters(tcp.flags(), &mut letters);
    let (seq, len) = (tcp.seq(), record.payload_len());
    out.push(b'[');
    out.extend_from_slice(letters.as_bytes());
    out.extend_from_slice(b"] seq ");
    number(out, seq);
    if len > 0 {
        out.push(b':');
        number(out, seq.wrapping_add(len));
    }
    if tcp.flags() & ACK != 0 {
        out.extend_from_slice(b" ack ");
        number(out, tcp.ack());
    }
    out.extend_from_slice(b" win ");
    number(out, tcp.window());
    out.extend_from_slice(b" len ");
    number(out, len);
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
