//! Strings and numbers as JSON, appended to a byte buffer.

use super::escape::{Escaped, is_harmless};
use super::words::number;
use std::io::Write;

/// Readers that keep numbers as doubles are exact up to here.
pub const MAX_EXACT: u64 = 1 << 53;

/// Appends a number; above 2^53 as a string.
#[inline]
pub fn unsigned(out: &mut Vec<u8>, n: u64) {
    if n <= MAX_EXACT {
        number(out, n);
    } else {
        out.push(b'"');
        number(out, n);
        out.push(b'"');
    }
}

/// As [`unsigned`].
#[inline]
pub fn signed(out: &mut Vec<u8>, n: i64) {
    if n.unsigned_abs() <= MAX_EXACT {
        number(out, n);
    } else {
        out.push(b'"');
        number(out, n);
        out.push(b'"');
    }
}

/// Appends a string with its quotes.
///
/// Characters that play tricks on a terminal stand as `\uNNNN`, which changes
/// nothing for whoever parses it.
#[inline]
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if text
        .bytes()
        .all(|b| matches!(b, 0x20..=0x7e) && b != b'"' && b != b'\\')
    {
        out.extend_from_slice(text.as_bytes());
    } else {
        text.chars().for_each(|c| character(out, c));
    }
    out.push(b'"');
}

fn character(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        c if is_harmless(c) => {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        c => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a vector does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
}

/// Appends `,"KEY":"TEXT"` for bytes of an untrusted program.
///
/// UTF-8 stands as it is. Of anything else the value is the readable form that
/// text output uses (`\xNN` for a byte, `\\` for a backslash), and `KEY_hex`
/// beside it holds the exact bytes: where there is no such key, the value is
/// exact, so no two names are ever confused.
pub fn named_bytes(out: &mut Vec<u8>, key: &str, bytes: &[u8]) {
    let _ = write!(out, ",\"{key}\":");
    match std::str::from_utf8(bytes) {
        Ok(text) => string(out, text),
        Err(_) => {
            string(out, &Escaped(bytes).to_string());
            let _ = write!(out, ",\"{key}_hex\":");
            hex(out, bytes);
        }
    }
}

/// Appends bytes as a string of hexadecimal digits.
#[inline]
pub fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    super::words::hex(out, bytes);
    out.push(b'"');
}

/// Appends a whole JSON text, made harmless as [`string`] makes it: outside
/// strings JSON has no character that needs it.
pub fn harmless(out: &mut Vec<u8>, json: &str) {
    for c in json.chars() {
        match c {
            '"' | '\\' | '\n' => out.push(c as u8),
            c => character(out, c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        string(&mut out, text);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn tricks_are_escaped_and_the_rest_is_not() {
        assert_eq!(written("caf\u{e9} \u{65e5}"), "\"caf\u{e9} \u{65e5}\"");
        assert_eq!(written("a\"\\\n\u{1b}"), r#""a\"\\\n\u001b""#);
        assert_eq!(
            written("\u{9b}\u{202e}\u{e0001}"),
            r#""\u009b\u202e\udb40\udc01""#
        );
    }

    #[test]
    fn large_numbers_are_strings() {
        let mut out = Vec::new();
        unsigned(&mut out, 1 << 53);
        unsigned(&mut out, (1 << 53) + 1);
        signed(&mut out, i64::MIN);
        signed(&mut out, -1);
        assert_eq!(
            out,
            b"9007199254740992\"9007199254740993\"\"-9223372036854775808\"-1"
        );
    }

    fn named(bytes: &[u8]) -> Value {
        let mut out = b"{\"x\":0".to_vec();
        named_bytes(&mut out, "id", bytes);
        out.push(b'}');
        serde_json::from_slice(&out).expect("valid JSON")
    }

    #[test]
    fn bytes_that_are_no_text_keep_apart() {
        let (raw, typed) = (named(b"a\xff"), named(br"a\xff"));
        assert_eq!(raw["id"], r"a\xff");
        assert_eq!(raw["id_hex"], "61ff");
        assert_eq!(typed["id"], r"a\xff");
        assert!(typed.get("id_hex").is_none());
    }

    proptest! {
        #[test]
        fn strings_read_back(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&written(&text)).ok(), Some(text));
        }

        #[test]
        fn any_bytes_make_valid_json(bytes in any::<Vec<u8>>()) {
            let value = named(&bytes);
            match std::str::from_utf8(&bytes) {
                Ok(text) => prop_assert_eq!(&value["id"], text),
                Err(_) => prop_assert!(value["id_hex"].is_string()),
            }
        }

        #[test]
        fn a_harmless_text_means_the_same(text in any::<String>()) {
            let json = serde_json::to_string_pretty(&[text]).expect("serializes");
            let mut out = Vec::new();
            harmless(&mut out, &json);
            let read = |json: &[u8]| serde_json::from_slice::<Value>(json).ok();
            prop_assert_eq!(read(&out), read(json.as_bytes()));
        }
    }
}
