//! `dtrace --libxo json`: `{"dtrace": {"probes": [ {...}, ... ]}}`.
//!
//! A traced program is stopped with a signal, so the end may be missing; a
//! killed dtrace may even stop inside an object.

use super::firing::{Firing, Output};
use super::structured::{MAX_OBJECT, Next};
use serde_json::{Map, Value};

/// Finds the next object of the list `probes` in `text`, from its first byte.
pub fn next(text: &[u8], eof: bool) -> Next {
    let Some(start) = text.iter().position(|b| !is_between(*b)) else {
        return Next::Skip(text.len());
    };
    let rest = text.get(start..).unwrap_or(&[]);
    if rest.first() != Some(&b'{') {
        return match memchr::memchr(b'{', rest) {
            Some(end) => Next::Garbage(start, start + end),
            // One report for all of it.
            None if !eof && rest.len() < MAX_OBJECT => Next::More(start),
            None => Next::Garbage(start, text.len()),
        };
    }
    // The two objects around the list.
    if is_wrapper(rest, b"dtrace") || is_wrapper(rest, b"probes") {
        return match memchr::memchr(b'[', rest) {
            Some(end) => Next::Skip(start + end + 1),
            None => Next::More(start),
        };
    }
    match object_end(rest) {
        Some(end) => Next::Object(start, start + end),
        None if !eof && rest.len() < 12 => Next::More(start),
        None => Next::Open(start),
    }
}

/// The next place where an object of the list seems to begin.
pub fn resync(text: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(text, b"\"timestamp\"").find_map(|at| {
        let before = text.get(..at)?;
        let brace = before.iter().rposition(|b| !b.is_ascii_whitespace())?;
        (before.get(brace) == Some(&b'{')).then_some(brace)
    })
}

fn is_between(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}')
}

fn is_wrapper(rest: &[u8], name: &[u8]) -> bool {
    let inside = rest.get(1..).unwrap_or(&[]).trim_ascii_start();
    let inside = inside.strip_prefix(b"\"").unwrap_or(&[]);
    inside
        .strip_prefix(name)
        .is_some_and(|r| r.first() == Some(&b'"'))
}

/// The end of the object that `text` begins with.
fn object_end(text: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at += string_end(text.get(at + 1..)?)?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Bytes to the quote that ends a string, that one included.
fn string_end(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Reads one object of the list.
pub fn parse(object: &[u8]) -> Result<Firing, String> {
    let value: Value = serde_json::from_slice(object).map_err(|e| {
        // The position would be one inside the object.
        let text = e.to_string();
        text.split(" at line").next().unwrap_or("").to_owned()
    })?;
    let Value::Object(map) = value else {
        return Err("no object".to_owned());
    };
    let text = |key: &str| map.get(key).and_then(scalar).unwrap_or_default();
    let mut firing = Firing {
        timestamp: text("timestamp"),
        cpu: text("cpu"),
        provider: text("provider"),
        module: text("module"),
        function: text("function"),
        name: text("name"),
        count: text("count"),
        total: text("total"),
        kind: text("kind"),
        msg: text("msg"),
        output: Vec::new(),
    };
    for output in map
        .get("output")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        match output {
            Value::Object(output) => outputs(output, &mut firing.output),
            _ => firing.output.push(Output::Other),
        }
    }
    Ok(firing)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    }
}

fn outputs(map: &Map<String, Value>, all: &mut Vec<Output>) {
    for (key, value) in map {
        all.push(match (key.as_str(), value, scalar(value)) {
            ("message", _, Some(text)) => Output::Message(text),
            ("value", _, Some(text)) => Output::Value(text),
            (_, _, Some(text)) => Output::Member(key.clone(), text),
            ("aggregation-data" | "stack-frames" | "ustack-frames", ..) => Output::Other,
            (_, Value::Array(items), _) => {
                for item in items {
                    if let Value::Object(item) = item {
                        outputs(item, all);
                    }
                }
                continue;
            }
            (_, Value::Object(inner), _) => {
                outputs(inner, all);
                continue;
            }
            _ => Output::Other,
        });
    }
}
