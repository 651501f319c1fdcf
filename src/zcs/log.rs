//! Entries out of a text: where they begin, and what is malformed.
//!
//! Whatever stands between entries is passed over. A line may be broken
//! anywhere, also inside a number: a line end and the blanks around it mean
//! nothing inside an entry, unless a new `dump` follows.

use super::entry::Entry;
use super::grammar;
use super::text::{AHEAD, Text};
use super::tokens::{Stop, begins_dump, is_break};
use crate::output::escape::Quoted;
use std::io::{self, Read};

/// What is found in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Entry(Entry),
    Damage(Damage),
}

/// An entry that cannot be read. No other entry is lost with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The line in which reading stopped, from 1.
    pub line: u64,
    /// What is wrong. Text of the input is escaped.
    pub what: String,
}

/// Reads a log from its start to its end, in constant memory.
pub struct Log<R> {
    text: Text<R>,
    /// The last line of an entry that was found malformed; what follows it may
    /// be the rest of that.
    malformed: Option<u64>,
}

/// What a place in the text can begin.
enum Begin {
    Entry,
    /// The second line of an entry whose first line is not there.
    Detail,
}

/// Bytes of malformed text that are shown.
const SHOWN: usize = 24;

impl<R: Read> Log<R> {
    pub fn new(source: R) -> Log<R> {
        Log {
            text: Text::new(source),
            malformed: None,
        }
    }

    /// Bytes of the input read so far.
    pub fn offset(&self) -> u64 {
        self.text.offset()
    }

    /// The next entry or damage; `None` at the end.
    ///
    /// # Errors
    ///
    /// Only those of the source.
    pub fn next_item(&mut self) -> io::Result<Option<Item>> {
        while let Some(begin) = self.seek()? {
            let line = self.text.line();
            match begin {
                Begin::Entry => {
                    let announced = announces_pointer(self.text.near()?);
                    let mut name = None;
                    match grammar::entry(&mut self.text, &mut name) {
                        Ok(entry) => {
                            self.malformed = None;
                            return Ok(Some(Item::Entry(entry)));
                        }
                        Err(Stop::Read(e)) => return Err(e),
                        // Prose can say "dump" as well.
                        Err(Stop::Missing(_)) if !announced && name.is_none() => {}
                        Err(Stop::Missing(due)) => {
                            return Ok(Some(self.malformed(line, name, due)?));
                        }
                    }
                }
                Begin::Detail => {
                    let is_rest = self
                        .malformed
                        .is_some_and(|last| line.saturating_sub(last) <= 1);
                    self.text.take(1);
                    if !is_rest {
                        return Ok(Some(Item::Damage(Damage {
                            line,
                            what: "addresses without the \"dump\" line that belongs before them; \
                                   they are left out"
                                .to_owned(),
                        })));
                    }
                }
            }
        }
        Ok(None)
    }

    fn malformed(
        &mut self,
        begun: u64,
        name: Option<(u32, u32)>,
        due: &'static str,
    ) -> io::Result<Item> {
        let line = self.text.line();
        self.malformed = Some(line);
        let ahead = self.text.ahead(SHOWN)?;
        let ahead = ahead.get(..SHOWN).unwrap_or(ahead);
        let shown = ahead.split(|b| is_break(*b)).next().unwrap_or_default();
        let entry = match name {
            Some((index, batch_size)) => format!("entry {index}.{batch_size}"),
            None => "an entry".to_owned(),
        };
        let place = match line == begun {
            true => String::new(),
            false => format!(" of line {begun}"),
        };
        let found = match (ahead.is_empty(), shown.is_empty()) {
            (true, _) => "the text ends".to_owned(),
            (_, true) => "the line ends".to_owned(),
            _ => format!("there is {}", Quoted(shown)),
        };
        Ok(Item::Damage(Damage {
            line,
            what: format!(
                "{entry}{place} is malformed: {found} where {due} should be; only this entry is lost"
            ),
        }))
    }

    /// Goes to the next place that may begin an entry.
    fn seek(&mut self) -> io::Result<Option<Begin>> {
        loop {
            let is_line_start = self.text.previous() == b'\n';
            let is_word_start = !self.text.previous().is_ascii_alphanumeric();
            let ahead = self.text.ahead(AHEAD)?;
            if ahead.is_empty() {
                return Ok(None);
            }
            if is_word_start && begins_dump(ahead) {
                return Ok(Some(Begin::Entry));
            }
            if is_line_start && begins_detail(ahead.get(..AHEAD).unwrap_or(ahead)) {
                return Ok(Some(Begin::Detail));
            }
            let step = memchr::memchr2(b'\n', b'd', ahead.get(1..).unwrap_or_default());
            let step = match step {
                // Just behind the line end, or before the word.
                Some(at) if ahead.get(at + 1) == Some(&b'\n') => at + 2,
                Some(at) => at + 1,
                None => ahead.len(),
            };
            // A line end at the very place is a step of its own.
            let step = if ahead.first() == Some(&b'\n') {
                1
            } else {
                step
            };
            self.text.take(step);
        }
    }
}

/// Whether a text holds an entry's beginning: `dump N.M: ptr:`.
pub fn recognises(head: &[u8]) -> bool {
    memchr::memmem::find_iter(head, b"dump").any(|at| {
        let is_word = at
            .checked_sub(1)
            .and_then(|before| head.get(before))
            .is_none_or(|b| !b.is_ascii_alphanumeric());
        let rest = head.get(at..).unwrap_or_default();
        is_word && begins_dump(rest) && begins_entry(rest)
    })
}

/// `dump N.M: ptr:`
fn begins_entry(text: &[u8]) -> bool {
    fn number(text: &[u8]) -> Option<&[u8]> {
        let text = text.trim_ascii_start();
        let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
        (digits > 0).then(|| text.get(digits..)).flatten()
    }
    text.strip_prefix(b"dump")
        .and_then(number)
        .and_then(|rest| rest.strip_prefix(b"."))
        .and_then(number)
        .and_then(|rest| rest.strip_prefix(b":"))
        .is_some_and(|rest| rest.trim_ascii_start().starts_with(b"ptr:"))
}

/// Whether `ptr: 0x` stands on this line before another `dump`, as in no prose.
fn announces_pointer(text: &[u8]) -> bool {
    let text = text.get(4..).unwrap_or_default();
    let line = text.split(|b| is_break(*b)).next().unwrap_or_default();
    let find = |what: &[u8]| memchr::memmem::find(line, what);
    find(b"ptr: 0x").is_some_and(|at| find(b"dump").is_none_or(|other| at < other))
}

/// `MAC -> MAC`, perhaps with the number of the CPU before.
fn begins_detail(text: &[u8]) -> bool {
    fn mac(text: &[u8]) -> Option<&[u8]> {
        let (mac, rest) = text.split_at_checked(17)?;
        let fits = mac.iter().enumerate().all(|(at, b)| match at % 3 {
            2 => *b == b':',
            _ => b.is_ascii_hexdigit(),
        });
        fits.then_some(rest)
    }
    let blanks = text
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .count();
    let text = text.get(blanks..).unwrap_or_default();
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let behind_cpu = text
        .get(digits..)
        .and_then(|rest| rest.strip_prefix(b": "))
        .filter(|_| digits > 0);
    mac(behind_cpu.unwrap_or(text))
        .and_then(|rest| rest.strip_prefix(b" -> "))
        .and_then(mac)
        .is_some()
}
