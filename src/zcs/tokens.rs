//! Words, marks and numbers of an entry, in a text whose lines may be broken
//! anywhere.

use super::text::Text;
use std::io::{self, Read};

/// Why an entry ends before it is whole.
pub enum Stop {
    Read(io::Error),
    /// This should have come.
    Missing(&'static str),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Stop {
        Stop::Read(e)
    }
}

pub type Parsed<T> = Result<T, Stop>;

/// Takes one after the other from a text; what does not fit stays there.
pub struct Tokens<'t, R> {
    text: &'t mut Text<R>,
}

impl<'t, R: Read> Tokens<'t, R> {
    pub fn new(text: &'t mut Text<R>) -> Tokens<'t, R> {
        Tokens { text }
    }

    /// Whether the input ends here.
    pub fn is_over(&mut self) -> Parsed<bool> {
        Ok(self.text.peek()?.is_none())
    }

    /// `NAME:`
    pub fn label(&mut self, name: &'static str) -> Parsed<()> {
        self.word(name)?;
        self.mark(b':')
    }

    /// A word after any blanks.
    pub fn word(&mut self, word: &'static str) -> Parsed<()> {
        self.gap()?;
        for (at, wanted) in word.bytes().enumerate() {
            if at > 0 {
                self.join()?;
            }
            if self.text.peek()? != Some(wanted) {
                return Err(Stop::Missing(word));
            }
            self.text.take(1);
        }
        Ok(())
    }

    /// Punctuation, right behind what it belongs to.
    pub fn mark(&mut self, mark: u8) -> Parsed<()> {
        self.join()?;
        if self.text.peek()? != Some(mark) {
            return Err(Stop::Missing(match mark {
                b'.' => "\".\"",
                b',' => "\",\"",
                _ => "\":\"",
            }));
        }
        self.text.take(1);
        Ok(())
    }

    /// What closes a line: a comma, which copying may have lost.
    pub fn end(&mut self, due: &'static str) -> Parsed<()> {
        match self.text.peek()? {
            Some(b',') => self.text.take(1),
            Some(b) if !is_gap(b) => return Err(Stop::Missing(due)),
            Some(b) if is_break(b) => {
                let (run, next) = self.after_break()?;
                if next == Some(b',') {
                    self.text.take(run + 1);
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub fn number<N: TryFrom<u64>>(&mut self, due: &'static str) -> Parsed<N> {
        self.gap()?;
        let value = self.digits(10, due)?;
        N::try_from(value).map_err(|_| Stop::Missing(due))
    }

    pub fn signed(&mut self, due: &'static str) -> Parsed<i32> {
        self.gap()?;
        let is_negative = self.text.peek()? == Some(b'-');
        if is_negative {
            self.text.take(1);
            self.join()?;
        }
        let value = i64::try_from(self.digits(10, due)?).map_err(|_| Stop::Missing(due))?;
        let value = if is_negative { -value } else { value };
        i32::try_from(value).map_err(|_| Stop::Missing(due))
    }

    pub fn pointer(&mut self, due: &'static str) -> Parsed<u64> {
        self.word("0x")?;
        self.join()?;
        self.digits(16, due)
    }

    /// Digits up to what is none; they may go on behind a line end.
    fn digits(&mut self, radix: u32, due: &'static str) -> Parsed<u64> {
        let mut value: Option<u64> = None;
        while let Some(byte) = self.text.peek()? {
            if self.is_dump(byte)? {
                break;
            }
            if let Some(digit) = char::from(byte).to_digit(radix) {
                let next = value.unwrap_or(0).checked_mul(radix.into());
                let next = next.and_then(|value| value.checked_add(digit.into()));
                value = Some(next.ok_or(Stop::Missing(due))?);
                self.text.take(1);
                continue;
            }
            if !is_break(byte) || value.is_none() {
                break;
            }
            let (run, next) = self.after_break()?;
            if run == 0 || next.is_none_or(|b| !char::from(b).is_digit(radix)) {
                break;
            }
            self.text.take(run);
        }
        value.ok_or(Stop::Missing(due))
    }

    pub fn hex_byte(&mut self, due: &'static str) -> Parsed<u8> {
        let mut value = 0;
        for _ in 0..2 {
            self.join()?;
            let byte = self.text.peek()?.ok_or(Stop::Missing(due))?;
            if self.is_dump(byte)? {
                return Err(Stop::Missing(due));
            }
            let digit = char::from(byte).to_digit(16);
            // A digit has four bits.
            value = value << 4 | digit.ok_or(Stop::Missing(due))? as u8;
            self.text.take(1);
        }
        Ok(value)
    }

    /// Whether `byte`, which comes next, is no digit but begins a new entry
    /// where this one was cut.
    fn is_dump(&mut self, byte: u8) -> io::Result<bool> {
        Ok(byte == b'd' && begins_dump(self.text.ahead(DUMP)?))
    }

    /// Passes over blanks and line ends.
    pub fn gap(&mut self) -> Parsed<()> {
        while let Some(byte) = self.text.peek()?
            && is_gap(byte)
        {
            self.text.take(1);
        }
        Ok(())
    }

    /// Passes over a line end, and the blanks behind it, in mid-word.
    fn join(&mut self) -> Parsed<()> {
        match self.text.peek()? {
            Some(byte) if is_break(byte) => self.gap(),
            _ => Ok(()),
        }
    }

    /// At a line end: how long it is with the blanks behind it, and what
    /// follows them, unless that is a new entry or far away.
    fn after_break(&mut self) -> io::Result<(usize, Option<u8>)> {
        let ahead = self.text.near()?;
        let run = ahead.iter().take_while(|b| is_gap(**b)).count();
        let rest = ahead.get(run..).unwrap_or_default();
        Ok(match begins_dump(rest) {
            true => (0, None),
            false => (run, rest.first().copied()),
        })
    }
}

/// Bytes of the word and the blank behind it.
const DUMP: usize = 5;

/// The word `dump` and a blank.
pub fn begins_dump(text: &[u8]) -> bool {
    text.strip_prefix(b"dump")
        .and_then(|rest| rest.first())
        .is_some_and(|b| is_gap(*b))
}

pub fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn is_gap(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t') || is_break(byte)
}
