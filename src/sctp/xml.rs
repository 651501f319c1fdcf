//! `dtrace --libxo xml`: a `<probes>` element for each firing.

use super::firing::{Firing, Output};
use super::structured::Next;
use memchr::memmem;
use quick_xml::Reader;
use quick_xml::events::Event as Token;

const OPEN: &[u8] = b"<probes>";
const CLOSE: &[u8] = b"</probes>";

/// Finds the next `<probes>` element in `text`.
pub fn next(text: &[u8], eof: bool) -> Next {
    let Some(start) = memmem::find(text, OPEN) else {
        // The opening tag may be cut.
        let keep = if eof { 0 } else { OPEN.len() - 1 };
        return Next::Skip(text.len().saturating_sub(keep));
    };
    let inside = text.get(start + OPEN.len()..).unwrap_or(&[]);
    let again = memmem::find(inside, OPEN);
    match (memmem::find(inside, CLOSE), again) {
        (Some(end), again) if again.is_none_or(|again| again > end) => {
            Next::Object(start, start + OPEN.len() + end + CLOSE.len())
        }
        (_, Some(again)) => Next::Garbage(start, start + OPEN.len() + again),
        (_, None) => Next::Open(start),
    }
}

/// The next place where an element seems to begin.
pub fn resync(text: &[u8]) -> Option<usize> {
    memmem::find(text, OPEN)
}

/// Deepest element that is looked at.
const DEEPEST: usize = 32;

/// Reads one element.
pub fn parse(element: &[u8]) -> Result<Firing, String> {
    let element = String::from_utf8_lossy(element);
    let mut reader = Reader::from_str(&element);
    let mut firing = Firing::default();
    let mut path: Vec<String> = Vec::new();
    let mut text = String::new();
    loop {
        match reader.read_event().map_err(|e| e.to_string())? {
            Token::Start(tag) => {
                if path.len() == DEEPEST {
                    return Err("elements lie too deep".to_owned());
                }
                path.push(tag.local_name().as_ref().to_owned());
                text.clear();
            }
            Token::End(_) => {
                put(&mut firing, &path, &text);
                path.pop();
                text.clear();
            }
            Token::Text(part) => text.push_str(&part),
            Token::GeneralRef(name) => {
                let resolved = match name.resolve_char_ref() {
                    Ok(Some(c)) => Some(c),
                    _ => match &*name {
                        "lt" => Some('<'),
                        "gt" => Some('>'),
                        "amp" => Some('&'),
                        "quot" => Some('"'),
                        "apos" => Some('\''),
                        _ => None,
                    },
                };
                text.push(resolved.ok_or("an entity that is not known")?);
            }
            Token::CData(part) => text.push_str(&part),
            Token::Eof => return Ok(firing),
            _ => {}
        }
    }
}

/// Takes the text of the element at the end of `path`.
fn put(firing: &mut Firing, path: &[String], text: &str) {
    let text = text.to_owned();
    match path {
        [_, name] => {
            let slot = match name.as_str() {
                "timestamp" => &mut firing.timestamp,
                "cpu" => &mut firing.cpu,
                "provider" => &mut firing.provider,
                "module" => &mut firing.module,
                "function" => &mut firing.function,
                "name" => &mut firing.name,
                "count" => &mut firing.count,
                "total" => &mut firing.total,
                "kind" => &mut firing.kind,
                "msg" => &mut firing.msg,
                _ => return,
            };
            *slot = text.trim().to_owned();
        }
        [_, output, name] if output == "output" => firing.output.push(match name.as_str() {
            "message" => Output::Message(text),
            "value" => Output::Value(text),
            "stack-frames" | "ustack-frames" | "aggregation-data" | "aggregation-name" => {
                Output::Other
            }
            _ => Output::Member(name.clone(), text.trim().to_owned()),
        }),
        [_, output, inner, .., name]
            if output == "output"
                && !matches!(
                    inner.as_str(),
                    "stack-frames" | "ustack-frames" | "aggregation-data"
                ) =>
        {
            firing
                .output
                .push(Output::Member(name.clone(), text.trim().to_owned()));
        }
        _ => {}
    }
}
