//! Clocks, times and amounts in words.

use crate::compare::clock::Clock;
use std::fmt::Write as _;

/// An error of the skew beyond which there is nothing to say of it, ppm: no
/// clock of a computer is that far off.
const TELLING: f64 = 1000.0;

pub(super) fn clock_says(clock: &Clock) -> String {
    let mut says = format!("capture = log {}", signed(clock.offset));
    if let [Some(incoming), Some(outgoing)] = clock.medians {
        let _ = write!(says, " (in {}, out {})", signed(incoming), signed(outgoing));
    }
    let _ = write!(
        says,
        ", 90 % within {} to {}",
        signed(clock.spread.0),
        signed(clock.spread.1)
    );
    match clock.skew {
        Some((skew, error)) if skew.abs() > error => {
            let _ = write!(says, "; skew {skew:+.2} ppm, within {error:.2}");
        }
        Some((_, error)) if error < TELLING => {
            let _ = write!(says, "; no skew beyond {error:.2} ppm");
        }
        Some(_) => says.push_str("; too short to tell a skew"),
        None => {}
    }
    let _ = write!(
        says,
        "; {} over {} s",
        counted(clock.pairs, "segment"),
        seconds(clock.span)
    );
    if let Some(step) = clock.step {
        let _ = write!(says, "; the log's clock steps by {}", micros(step));
    }
    says
}

pub(super) fn row(text: &mut String, label: &str, line: impl std::fmt::Display) {
    let _ = writeln!(text, "  {label:9}  {line}");
}

pub(super) fn counted(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Nanoseconds as seconds with six decimals.
pub(super) fn seconds(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let us = ns.unsigned_abs() / 1000;
    format!("{sign}{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// Nanoseconds in a unit that suits them.
pub(super) fn micros(ns: i64) -> String {
    match ns.unsigned_abs() {
        0..1_000_000 => format!("{} us", (ns as f64 / 1000.0).round()),
        1_000_000..1_000_000_000 => format!("{:.3} ms", ns as f64 / 1e6),
        _ => format!("{} s", seconds(ns)),
    }
}

/// As [`micros`], with its sign.
pub(super) fn signed(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "+" };
    format!("{sign}{}", micros(ns.saturating_abs()))
}
