//! Whether a text is a trace of the SCTP provider.

use super::event::Event;
use super::line;
use super::table::{self, Row};
use super::token::Words;

/// Lines that are looked at.
const MOST_LINES: usize = 200;

/// True if `head`, the first bytes of an input, holds a line of a trace or the
/// beginning of structured output. Other lines may stand around it.
pub fn is_trace(head: &[u8]) -> bool {
    let text = head.trim_ascii_start();
    match text.first() {
        Some(b'{') => return is_json(text),
        Some(b'<') => return is_xml(text),
        _ => {}
    }
    let mut event = Event::default();
    // What follows the last line end may be cut.
    let whole = memchr::memrchr(b'\n', head).map_or(&[][..], |end| head.get(..end).unwrap_or(head));
    let lines = whole.split(|b| *b == b'\n').take(MOST_LINES);
    lines.into_iter().any(|text| {
        event.clear();
        match Words(text).next() {
            None => false,
            Some(b"#") => Words(text).nth(1) == Some(b"tcplog-sctp"),
            Some(first) if line::is_line(first) => line::parse(text, &mut event).is_ok(),
            Some(b"CPU") => matches!(table::parse(text, &mut event), Ok(Row::Other)),
            Some(_) => matches!(table::parse(text, &mut event), Ok(Row::Event)),
        }
    })
}

fn is_json(text: &[u8]) -> bool {
    let inside = text.get(1..).unwrap_or(&[]).trim_ascii_start();
    inside.starts_with(b"\"dtrace\"") || inside.starts_with(b"\"probes\"")
}

fn is_xml(text: &[u8]) -> bool {
    let behind_declaration = match text.strip_prefix(b"<?xml") {
        Some(rest) => match memchr::memchr(b'>', rest) {
            Some(end) => rest.get(end + 1..).unwrap_or(&[]).trim_ascii_start(),
            None => return false,
        },
        None => text,
    };
    behind_declaration.starts_with(b"<dtrace>") || behind_declaration.starts_with(b"<probes>")
}
