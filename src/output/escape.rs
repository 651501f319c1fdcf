//! Text of untrusted programs, made safe to show.

use std::fmt::{self, Write};

/// Shows bytes as text on which nothing can play a trick: control and format
/// characters, and bytes that are not UTF-8, stand as `\xNN` or `\u{N}`; a
/// backslash as `\\`.
pub struct Escaped<'a>(pub &'a [u8]);

/// As [`Escaped`], between quotes; a quote inside stands as `\"`, so that
/// nothing inside can pass for what follows the text.
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for (at, part) in self.0.split(|byte| *byte == b'"').enumerate() {
            if at > 0 {
                f.write_str("\\\"")?;
            }
            write!(f, "{}", Escaped(part))?;
        }
        f.write_char('"')
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    c if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                    c if is_harmless(c) => f.write_char(c)?,
                    c => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// True for characters that show as themselves and change nothing around
/// them: no control, no bidirectional override, no zero width.
pub fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(u32::from(c),
            0x00ad | 0x061c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
            | 0x115f | 0x1160 | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
            | 0xe000..=0xf8ff | 0xe0000..)
}
