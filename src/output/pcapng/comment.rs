//! What the comment of each block says.

use crate::bblog::{Captured, Life, Message, Origin, Record};
use crate::format::{EventId, Formats};
use crate::meaning::{Explained, SequenceBase, StackOf, Sureness};
use crate::output::words;
use std::io::Write;

/// A section: whose records these are.
pub fn section(
    out: &mut Vec<u8>,
    message: &Message<'_>,
    stack: Option<StackOf<'_>>,
    stack_id: u8,
    continued: bool,
    skipped_between: u32,
) {
    let known = message.known;
    words::endpoints(out, message);
    if !known.addresses {
        out.extend_from_slice(
            b" (addresses unknown; packets show 192.0.2.1 for the local and 198.51.100.1 for the \
              foreign one)",
        );
    }
    if known.names {
        let header = &message.header;
        match header.log_id() {
            Some(id) => {
                out.extend_from_slice(b"; log ID ");
                words::quoted(out, id);
            }
            None => out.extend_from_slice(b"; no log ID"),
        }
        let tag = header.tag();
        if !tag.is_empty() && tag != b"UNKNOWN" {
            out.extend_from_slice(b"; tag ");
            words::quoted(out, tag);
        }
        out.extend_from_slice(b"; reason ");
        words::quoted(out, header.reason());
    }
    if !known.clock {
        out.extend_from_slice(b"; boot time unknown, times count from boot");
    }
    // Packets may stand alone; of those the stack is not known. Writing to a
    // vector does not fail.
    if !message.records.is_empty() {
        let _ = write!(out, "; stack {stack_id}");
    }
    if let Some(stack) = stack {
        out.extend_from_slice(match stack.sureness {
            Sureness::Named => b" ".as_slice(),
            Sureness::Likely => b", likely ",
            Sureness::Guess => b", perhaps ",
        });
        words::untrusted(out, stack.name.as_bytes());
    }
    if continued {
        out.extend_from_slice(b"; continues the message of the section before");
    }
    if skipped_between > 0 {
        let _ = write!(
            out,
            "; {skipped_between} serial numbers missing since the connection's message before"
        );
    }
}

/// One record: what happened, and the state it left.
#[inline]
pub fn record(
    out: &mut Vec<u8>,
    message: &Message<'_>,
    record: &Record<'_>,
    formats: &Formats,
    explained: &Explained<'_, '_>,
    name_connection: bool,
) {
    words::what_happened(out, record, explained, SequenceBase::default());
    if !matches!(record.event(), EventId::IN | EventId::OUT) {
        out.extend_from_slice(b" (");
        out.extend_from_slice(explained.event_name().as_bytes());
        out.push(b')');
    }
    out.extend_from_slice(b"; ");
    words::sender_state(out, record, formats, explained.release());
    out.extend_from_slice(b"; serial ");
    words::number(out, record.sn());
    if let Some(verbose) = record.verbose() {
        out.extend_from_slice(b"; logged by ");
        words::untrusted(out, verbose.function);
        out.extend_from_slice(b" line ");
        words::number(out, verbose.line);
        if !verbose.caller.is_empty() {
            out.extend_from_slice(b", output called by ");
            words::untrusted(out, verbose.caller);
        }
    }
    if let Some(origin) = message.origin(record) {
        self::origin(out, origin);
    }
    if name_connection {
        out.extend_from_slice(b"; ");
        words::endpoints(out, message);
        if let Some(id) = message.header.log_id() {
            out.push(b' ');
            words::quoted(out, id);
        }
    }
}

/// Where a carved finding was.
fn origin(out: &mut Vec<u8>, origin: &Origin) {
    let _ = write!(out, "; carved at image offset {:#x}", origin.image_offset);
    if let Some(address) = origin.physical_address {
        let _ = write!(out, ", physical {address:#x}");
    }
    if let Some(address) = origin.virtual_address {
        let _ = write!(out, ", virtual {address:#x}");
    }
    out.extend_from_slice(match origin.life {
        Life::Live => b", live".as_slice(),
        Life::Dead => b", freed",
        Life::Unknown => b", live or freed",
    });
    let _ = write!(out, ", confidence {}", origin.confidence);
}

/// A packet without a record.
pub fn captured(out: &mut Vec<u8>, packet: &Captured<'_>) {
    out.extend_from_slice(b"TCPPCAP packet");
    for (at, what) in packet.repaired.iter().enumerate() {
        let before: &[u8] = if at == 0 { b", reconstructed: " } else { b", " };
        out.extend_from_slice(before);
        out.extend_from_slice(what.as_bytes());
    }
    if let Some(cut) = packet.cut {
        let _ = write!(out, "; {cut}");
    }
    let _ = write!(out, "; time: {}", packet.time_from);
    origin(out, &packet.origin);
}

/// Missing serial numbers.
pub fn skipped(out: &mut Vec<u8>, count: u32) {
    let _ = match count {
        1 => write!(out, "1 record is missing here"),
        n => write!(out, "{n} records are missing here"),
    };
}
