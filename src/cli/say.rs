//! Lines for whoever runs the program.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::OnceLock;

static NAME: OnceLock<&str> = OnceLock::new();

/// Sets the name that stands before every line; the first call counts.
pub fn set_name(name: &'static str) {
    let _ = NAME.set(name);
}

/// Writes a line to standard error, behind the name of the program. What
/// comes from others must be escaped already. An error is ignored: whoever
/// closed standard error does not want to know.
pub fn say(line: impl Display) {
    let name = NAME.get().copied().unwrap_or("tcplog");
    // One write, so that lines of several programs do not mix.
    let text = format!("{name}: {line}\n");
    let _ = io::stderr().write_all(text.as_bytes());
}
