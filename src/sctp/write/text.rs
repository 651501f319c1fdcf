//! Events as text for reading: one line each, and one for each association.

use super::{Form, MASKED, words};
use crate::output::clock::{Clock, time_of_day};
use crate::output::context::{Context, TimeForm};
use crate::sctp::association::Membership;
use crate::sctp::associations::MOST_LIVE;
use crate::sctp::event::Event;
use crate::sctp::field::{Address, Show};
use crate::sctp::found::Lost;
use std::collections::HashMap;
use std::io::Write;

/// Where the columns end.
const TIME: usize = 15;
const CPU: usize = 4;
const ASSOCIATION: usize = 7;
const PROBE: usize = 13;

/// Writes text. Verbosity 1 adds the values by name.
pub struct Text {
    context: Context,
    clock: Clock,
    day: Option<[u8; 10]>,
    zero_ns: Option<i64>,
    /// When the last line of each association was, in nanoseconds.
    seen: HashMap<u64, Option<i64>>,
    sentence: Vec<u8>,
}

impl Text {
    pub fn new(context: Context) -> Text {
        Text {
            context,
            clock: Clock::default(),
            day: None,
            zero_ns: None,
            seen: HashMap::new(),
            sentence: Vec::new(),
        }
    }

    fn column(&mut self, event: &Event, before: Option<i64>, out: &mut Vec<u8>) {
        let start = out.len();
        let now = event.instant_ns();
        let zero = match now {
            Some(now) => *self.zero_ns.get_or_insert(now),
            None => 0,
        };
        match (self.context.time, now) {
            (TimeForm::Wall, _) => {
                if let Some(ns) = event.time_ns {
                    out.extend_from_slice(&time_of_day(ns.div_euclid(1000)));
                }
            }
            (_, None) => {}
            (TimeForm::Relative, Some(now)) => seconds(out, now.saturating_sub(zero)),
            (TimeForm::Delta, Some(now)) => {
                seconds(out, now.saturating_sub(before.unwrap_or(now)));
            }
            (TimeForm::Uptime, Some(_)) => {
                if let Some(ns) = event.timestamp_ns {
                    seconds(out, i64::try_from(ns).unwrap_or(i64::MAX));
                }
            }
        }
        if out.len() == start {
            out.push(b'-');
        }
        right(out, start, TIME);
    }

    /// Of wall times only the time of day stands in each line.
    fn date(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.context.time != TimeForm::Wall {
            return;
        }
        let us = event.time_ns.map(|ns| ns.div_euclid(1000));
        let day = us.and_then(|us| self.clock.date(us));
        if day.is_some() && day != self.day {
            out.extend_from_slice(day.as_ref().map_or(&[][..], |d| d));
            out.push(b'\n');
            self.day = day;
        }
    }

    fn headline(&self, number: u64, event: &Event, member: &Membership, out: &mut Vec<u8>) {
        let _ = write!(out, "association {number}: ");
        words::ends(out, &member.ends);
        if let Some(tag) = event.my_vtag() {
            let _ = write!(out, ", my tag {tag:#010x}");
        }
        if !event.role.as_bytes().is_empty() {
            out.extend_from_slice(b", ");
            words::untrusted(out, event.role.as_bytes());
        }
        out.push(b'\n');
    }

    fn detail(&self, event: &Event, out: &mut Vec<u8>) {
        if event.values.is_empty() {
            return;
        }
        out.extend_from_slice(b"    ");
        for (field, value) in event.values.iter() {
            let _ = write!(out, " {}=", field.name());
            let _ = match field.show() {
                Show::Unsigned => write!(out, "{value}"),
                Show::Signed => write!(out, "{}", value as i64),
                Show::Hex => write!(out, "{value:#x}"),
                Show::Pointer if self.context.show_pointers || value == 0 => {
                    write!(out, "{value:#x}")
                }
                Show::Pointer => write!(out, "{MASKED}"),
            };
        }
        for which in Address::ALL {
            if let Some(addr) = event.addresses.get(which) {
                let _ = write!(out, " {}={addr}", which.name());
            }
        }
        out.push(b'\n');
    }
}

impl Form for Text {
    fn source(&mut self, _name: &str, _out: &mut Vec<u8>) {
        self.seen.clear();
        self.zero_ns = None;
    }

    fn event(&mut self, event: &Event, member: &Membership, out: &mut Vec<u8>) {
        let now = event.instant_ns();
        self.date(event, out);
        let key = member.association.unwrap_or(0);
        if self.seen.len() > 2 * MOST_LIVE {
            self.seen.clear();
        }
        let before = self.seen.insert(key, now);
        if let (None, Some(number)) = (before, member.association) {
            self.headline(number, event, member, out);
        }
        self.column(event, before.flatten(), out);
        let start = out.len();
        if let Some(cpu) = event.cpu {
            let _ = write!(out, "{cpu}");
        }
        right(out, start, CPU);
        let start = out.len();
        let _ = match (member.association, member.path) {
            (Some(association), Some(path)) => write!(out, "{association}.{path}"),
            (Some(association), None) => write!(out, "{association}"),
            (None, _) => write!(out, "-"),
        };
        right(out, start, ASSOCIATION);
        out.extend_from_slice(b"  ");
        let start = out.len();
        out.extend_from_slice(event.name().as_bytes());
        let used = out.len() - start;
        out.resize(out.len() + PROBE.saturating_sub(used).max(1), b' ');
        if member.association.is_none() && event.inbound().is_some() {
            words::ends(out, &member.ends);
            out.extend_from_slice(b" ");
        }
        self.sentence.clear();
        words::says(&mut self.sentence, event, member);
        out.extend_from_slice(&self.sentence);
        out.push(b'\n');
        if self.context.verbosity > 0 {
            self.detail(event, out);
        }
    }

    fn lost(&mut self, lost: &Lost, out: &mut Vec<u8>) {
        words::untrusted(out, lost.what.as_bytes());
        out.push(b'\n');
    }
}

/// Appends seconds with microseconds.
fn seconds(out: &mut Vec<u8>, ns: i64) {
    let us = ns / 1000;
    let sign = if us < 0 { "-" } else { "" };
    let us = us.unsigned_abs();
    let _ = write!(out, "{sign}{}.{:06}", us / 1_000_000, us % 1_000_000);
}

/// Moves what stands from `start` on to the right edge of a column.
fn right(out: &mut Vec<u8>, start: usize, width: usize) {
    let len = out.len() - start;
    if len < width {
        out.resize(start + width, b' ');
        if let Some(column) = out.get_mut(start..) {
            column.rotate_right(width - len);
        }
    }
}
