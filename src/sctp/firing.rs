//! A firing as dtrace's structured output has it, JSON or XML alike.

use super::event::Event;
use super::line::{self, LineError, shown};
use super::probes::Probes;
use super::table::{self, Row};
use super::token::number;

/// One object of the list `probes`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Firing {
    /// As printed: a number of nanoseconds, or seconds of a drop.
    pub timestamp: String,
    pub cpu: String,
    pub provider: String,
    pub module: String,
    pub function: String,
    pub name: String,
    pub output: Vec<Output>,
    /// Of drops: how many, and dtrace's words for it.
    pub count: String,
    pub total: String,
    pub kind: String,
    pub msg: String,
}

/// One object of the list `output`.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// What printf() printed.
    Message(String),
    /// A value that trace() printed, or an argument of printf().
    Value(String),
    /// A member of a structure that print() printed.
    Member(String, String),
    /// Something else: an aggregation, a stack.
    Other,
}

/// What a firing came to.
pub enum Fired {
    /// This many events were given.
    Events(u64),
    Drop(Dropped),
    /// Another provider's probe, or output that is no event.
    Other,
}

/// What dtrace says of its losses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    pub count: u64,
    pub cpu: Option<u32>,
    /// In dtrace's words.
    pub what: String,
}

/// Most values of one firing that are kept.
const MOST: usize = 16;

impl Firing {
    /// Gives the events of this firing to `take`, with the wall clock if it
    /// was printed.
    pub fn events(
        &self,
        event: &mut Event,
        mut take: impl FnMut(&mut Event, Option<i64>),
    ) -> Result<Fired, LineError> {
        if self.provider == "dtrace" {
            return Ok(match self.name.as_str() {
                "DROP" => Fired::Drop(self.dropped()),
                _ => self.messages(event, &mut take).unwrap_or(Fired::Other),
            });
        }
        if self.provider != Probes::builtin().provider() {
            return match self.provider.is_empty() && self.name.is_empty() {
                true => Err(LineError::NoProbe),
                false => Ok(Fired::Other),
            };
        }
        let probe = Probes::builtin().of_parts(&self.module, &self.function, &self.name);
        let probe = probe.ok_or_else(|| {
            let (module, function) = (&self.module, &self.function);
            LineError::UnknownProbe(shown(
                format!("{}:{module}:{function}:{}", self.provider, self.name).as_bytes(),
            ))
        })?;
        // What printf() printed says more than its arguments by themselves.
        if let Some(fired) = self.messages(event, &mut take) {
            return Ok(fired);
        }
        event.clear();
        self.common(event)?;
        // The values of a printf() are its arguments, which can be anything in
        // any order.
        if self.output.iter().any(|o| matches!(o, Output::Message(_))) {
            return Err(LineError::NoForm);
        }
        event.probe = probe;
        let mut values = [0; MOST];
        let mut found = 0;
        let mut members = 0;
        for output in &self.output {
            match output {
                Output::Value(text) => {
                    if let Some(slot) = values.get_mut(found) {
                        let n = number(text.trim().as_bytes());
                        *slot = n.ok_or_else(|| LineError::Value(shown(text.as_bytes())))?;
                    }
                    found += 1;
                }
                Output::Member(key, text) => {
                    // Structures have members that this does not know.
                    match line::member(event, key.as_bytes(), text.as_bytes()) {
                        Ok(n) => members += n,
                        Err(LineError::UnknownKey(_)) => {}
                        Err(e) => return Err(e),
                    }
                }
                Output::Message(_) | Output::Other => {}
            }
        }
        if members > 0 {
            line::complete(event)?;
        } else if self.output.is_empty() || found > 0 {
            table::take(event, &values, found)?;
        } else {
            return Ok(Fired::Other);
        }
        take(event, None);
        Ok(Fired::Events(1))
    }

    /// Timestamp and CPU.
    fn common(&self, event: &mut Event) -> Result<(), LineError> {
        if !self.timestamp.is_empty() {
            let ns = number(self.timestamp.as_bytes());
            event.timestamp_ns = Some(ns.ok_or(LineError::Time)?);
        }
        if !self.cpu.is_empty() {
            let cpu = number(self.cpu.as_bytes()).and_then(|n| u32::try_from(n).ok());
            event.cpu = Some(cpu.ok_or_else(|| LineError::Value("cpu".to_owned()))?);
        }
        Ok(())
    }

    /// Lines in what printf() printed; `None` if none of them is known.
    fn messages(
        &self,
        event: &mut Event,
        take: &mut impl FnMut(&mut Event, Option<i64>),
    ) -> Option<Fired> {
        let mut events = 0;
        let mut found = false;
        // One printf() may print a part of a line only.
        let texts = self.output.iter().filter_map(|o| match o {
            Output::Message(text) => Some(text.as_str()),
            _ => None,
        });
        let text: String = texts.collect();
        for text in text.lines() {
            let text = text.as_bytes();
            event.clear();
            let wall = if line::is_line(super::token::Words(text).next().unwrap_or(b"")) {
                line::parse(text, event)
            } else {
                match table::parse(text, event) {
                    Ok(Row::Event) => Ok(None),
                    Ok(Row::Other) => {
                        found = true;
                        continue;
                    }
                    Err(e) => Err(e),
                }
            };
            let Ok(wall) = wall else { continue };
            let mono = event.timestamp_ns;
            self.common(event).ok()?;
            event.timestamp_ns = mono.or(event.timestamp_ns);
            take(event, wall);
            found = true;
            events += 1;
        }
        match (found, events) {
            (false, _) => None,
            (true, 0) => Some(Fired::Other),
            (true, n) => Some(Fired::Events(n)),
        }
    }

    fn dropped(&self) -> Dropped {
        let what = match (self.msg.trim(), self.kind.trim()) {
            ("", kind) => kind,
            (msg, _) => msg,
        };
        Dropped {
            count: number(self.count.as_bytes()).unwrap_or(0),
            cpu: number(self.cpu.as_bytes()).and_then(|n| u32::try_from(n).ok()),
            what: shown(what.as_bytes()),
        }
    }
}
