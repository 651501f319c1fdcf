//! A whole trace: bytes become events, in constant memory.
//!
//! Text is read line by line, and lines of all forms may follow each other;
//! JSON and XML are told by their first byte. A damaged line or object is
//! reported and costs only itself.

use super::event::Event;
use super::firing::{Dropped, Fired};
use super::found::{Damage, Found, Lost, Place};
use super::line::{self, LineError, shown};
use super::probes::Probes;
use super::structured::{MAX_OBJECT, Markup, Next};
use super::table::{self, Row};
use super::token::{Words, decimal, number};
use std::io::{self, Read};

/// Bytes that are asked for at once.
const CHUNK: usize = 256 * 1024;

/// Longest line: those of the script have less than 1 KiB.
const MAX_LINE: usize = 16 * 1024;

/// Objects without an end, or unreadable ones, that are looked for one by one
/// in a row: each costs a look at all that is buffered.
const MOST_BROKEN: u32 = 32;

/// The wall clock as printed may lag behind by a tick; if it is off by more,
/// somebody set it.
const CLOCK_STEP_NS: i64 = 50_000_000;

/// Reads a trace.
pub struct Trace<R> {
    source: R,
    /// Decided by the first byte that is not blank.
    markup: Option<Option<Markup>>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset in the input of the buffer's first byte.
    base: u64,
    eof: bool,
    /// Bytes already dropped of a line that is too long.
    too_long: u64,
    /// Line ends before anything else.
    blank: u64,
    failure: Option<io::Error>,
    /// Objects without an end, or unreadable ones, since the last good one.
    broken: u32,
    state: State,
}

/// What lines leave behind for those after them.
struct State {
    event: Event,
    /// Lines or objects so far.
    number: u64,
    /// Wall clock minus the other one, in nanoseconds.
    anchor: Option<i64>,
    /// Events by probe since `# begin`.
    counts: Option<Vec<u64>>,
}

impl<R: Read> Trace<R> {
    pub fn new(source: R) -> Trace<R> {
        Trace {
            source,
            markup: None,
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            base: 0,
            eof: false,
            too_long: 0,
            blank: 0,
            failure: None,
            broken: 0,
            state: State {
                event: Event::default(),
                number: 0,
                anchor: None,
                counts: None,
            },
        }
    }

    /// Reads once, and gives what is whole by then. False at the end.
    ///
    /// An error of the source ends the input; see [`Trace::failure`].
    ///
    /// # Errors
    ///
    /// Those of `take`.
    pub fn advance(
        &mut self,
        take: &mut impl FnMut(Found<'_>) -> io::Result<()>,
    ) -> io::Result<bool> {
        if self.eof && self.start == self.end {
            return Ok(false);
        }
        self.fill();
        if self.markup.is_none() {
            let text = self.buffer.get(self.start..self.end).unwrap_or(&[]);
            let is_blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
            self.markup = match text.iter().find(|b| !is_blank(b)) {
                Some(b'{') => Some(Some(Markup::Json)),
                Some(b'<') => Some(Some(Markup::Xml)),
                Some(_) => Some(None),
                None => {
                    let lines = memchr::memrchr(b'\n', text).map_or(0, |end| end + 1);
                    // A line of nothing but blanks is text if it is anything.
                    if self.eof || text.len() - lines > MAX_LINE {
                        Some(None)
                    } else {
                        let ends = memchr::memchr_iter(b'\n', text).count();
                        self.blank += ends as u64;
                        self.start += lines;
                        return Ok(true);
                    }
                }
            };
            if self.markup == Some(None) {
                self.state.number = self.blank;
            }
        }
        match self.markup.flatten() {
            Some(markup) => self.objects(markup, take)?,
            None => self.lines(take)?,
        }
        Ok(true)
    }

    /// Why reading ended early, and after how many bytes.
    pub fn failure(&mut self) -> Option<(u64, io::Error)> {
        let error = self.failure.take()?;
        Some((self.base + self.end as u64, error))
    }

    fn fill(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.base += self.start as u64;
            self.end -= self.start;
            self.start = 0;
        }
        if self.eof {
            return;
        }
        if self.buffer.len() - self.end < CHUNK / 2 {
            // Bounded, because what grows too long is dropped.
            self.buffer.resize(self.end + CHUNK, 0);
        }
        loop {
            let room = self.buffer.get_mut(self.end..).unwrap_or(&mut []);
            match self.source.read(room) {
                Ok(read) => {
                    self.end += read;
                    self.eof = read == 0;
                    return;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.failure = Some(e);
                    self.eof = true;
                    return;
                }
            }
        }
    }

    fn lines(&mut self, take: &mut impl FnMut(Found<'_>) -> io::Result<()>) -> io::Result<()> {
        loop {
            let rest = self.buffer.get(self.start..self.end).unwrap_or(&[]);
            let (line, taken) = match memchr::memchr(b'\n', rest) {
                Some(end) => (rest.get(..end).unwrap_or(rest), end + 1),
                None if self.eof && (!rest.is_empty() || self.too_long > 0) => (rest, rest.len()),
                None => {
                    if rest.len() > MAX_LINE {
                        self.too_long += rest.len() as u64;
                        self.start = self.end;
                    }
                    return Ok(());
                }
            };
            self.start += taken;
            self.state.number += 1;
            let lost = line.len() as u64 + self.too_long;
            let is_cut =
                taken == line.len() && Words(line).next().is_some_and(|w| !w.starts_with(b"#"));
            let result = match (lost > MAX_LINE as u64, is_cut) {
                (true, _) => Err(LineError::Long),
                (false, true) => Err(LineError::Cut),
                (false, false) => self.state.line(line, take)?,
            };
            self.too_long = 0;
            if let Err(why) = result {
                let place = Place::Line(self.state.number);
                take(Found::Damage(Damage { place, lost, why }))?;
            }
            if taken == 0 {
                return Ok(());
            }
        }
    }

    fn objects(
        &mut self,
        markup: Markup,
        take: &mut impl FnMut(Found<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            let rest = self.buffer.get(self.start..self.end).unwrap_or(&[]);
            if rest.is_empty() {
                return Ok(());
            }
            let (from, to, why) = match markup.next(rest, self.eof) {
                Next::Skip(n) => {
                    self.start += n;
                    if self.eof {
                        continue;
                    }
                    if n == 0 || self.start == self.end {
                        return Ok(());
                    }
                    continue;
                }
                Next::More(n) => {
                    self.start += n;
                    if self.eof {
                        self.start = self.end;
                    }
                    return Ok(());
                }
                Next::Object(from, to) => {
                    self.state.number += 1;
                    let object = rest.get(from..to).unwrap_or(&[]);
                    let place =
                        Place::Object(self.state.number, self.base + (self.start + from) as u64);
                    match self.state.object(markup, object, place, take)? {
                        Ok(()) => {
                            self.broken = 0;
                            self.start += to;
                            continue;
                        }
                        Err((why, is_readable)) => {
                            // Of what cannot be read, the end is in doubt.
                            let inside = object.get(1..).unwrap_or(&[]);
                            self.broken += u32::from(!is_readable);
                            let looks = !is_readable && self.broken < MOST_BROKEN;
                            let again = looks.then(|| markup.resync(inside)).flatten();
                            (from, again.map_or(to, |at| from + 1 + at), why)
                        }
                    }
                }
                Next::Garbage(from, to) => {
                    self.state.number += 1;
                    let why = LineError::Structure("no object where one should be".to_owned());
                    (from, to, why)
                }
                Next::Open(from) => {
                    let open = rest.get(from..).unwrap_or(&[]);
                    if !self.eof && open.len() < MAX_OBJECT {
                        self.start += from;
                        return Ok(());
                    }
                    self.state.number += 1;
                    self.broken += 1;
                    let inside = open.get(1..).unwrap_or(&[]);
                    let looks = self.broken < MOST_BROKEN;
                    let again = looks.then(|| markup.resync(inside)).flatten();
                    // What is dropped as a whole begins anew.
                    self.broken = if again.is_some() { self.broken } else { 0 };
                    let why = LineError::Structure(match again.is_some() || !looks || !self.eof {
                        true => "the object has no end".to_owned(),
                        false => "the input ends inside an object".to_owned(),
                    });
                    (from, again.map_or(rest.len(), |at| from + 1 + at), why)
                }
            };
            let place = Place::Object(self.state.number, self.base + (self.start + from) as u64);
            let lost = to.saturating_sub(from) as u64;
            self.start += to.max(from + 1).min(rest.len());
            take(Found::Damage(Damage { place, lost, why }))?;
        }
    }
}

impl State {
    /// One line; the inner error is the line's.
    #[inline]
    fn line(
        &mut self,
        line: &[u8],
        take: &mut impl FnMut(Found<'_>) -> io::Result<()>,
    ) -> io::Result<Result<(), LineError>> {
        let Some(first) = Words(line).next() else {
            return Ok(Ok(()));
        };
        match first.first() {
            Some(b'#') => return self.note(line, take),
            // What the terminal shows of the key that ended the trace.
            Some(b'^') if first == b"^C" => return Ok(Ok(())),
            Some(b'd') if first == b"dtrace:" => {
                if let Some(dropped) = drop_message(line) {
                    let place = Place::Line(self.number);
                    take(Found::Lost(lost(place, dropped)))?;
                }
                return Ok(Ok(()));
            }
            _ => {}
        }
        self.event.clear();
        self.event.line = self.number;
        let wall = if line::is_line(first) {
            match line::parse(line, &mut self.event) {
                Ok(wall) => wall,
                Err(e) => return Ok(Err(e)),
            }
        } else {
            match table::parse(line, &mut self.event) {
                Ok(Row::Event) => None,
                Ok(Row::Other) => return Ok(Ok(())),
                Err(e) => return Ok(Err(e)),
            }
        };
        self.give(wall, take)?;
        Ok(Ok(()))
    }

    /// Gives the event at hand.
    #[inline]
    fn give(
        &mut self,
        wall: Option<i64>,
        take: &mut impl FnMut(Found<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.count();
        set_time(&mut self.event, wall, &mut self.anchor);
        take(Found::Event(&mut self.event))
    }

    fn count(&mut self) {
        if let Some(counts) = &mut self.counts {
            let at = Probes::builtin()
                .iter()
                .position(|(id, _)| id == self.event.probe);
            if let Some(count) = at.and_then(|at| counts.get_mut(at)) {
                *count += 1;
            }
        }
    }

    /// A line that begins with `#`: a comment, or what the script says of the
    /// log.
    fn note(
        &mut self,
        line: &[u8],
        take: &mut impl FnMut(Found<'_>) -> io::Result<()>,
    ) -> io::Result<Result<(), LineError>> {
        let probes = Probes::builtin();
        let mut words = Words(line).skip(1);
        match words.next() {
            Some(b"begin") => self.counts = Some(vec![0; probes.iter().count()]),
            Some(b"fired") => {
                let name = words.next().unwrap_or(b"");
                let Some(fired) = words.next().and_then(decimal) else {
                    return Ok(Err(LineError::Value("fired".to_owned())));
                };
                let at = probes
                    .iter()
                    .position(|(id, _)| Some(id) == probes.of_full_name(name));
                let Some(at) = at else {
                    return Ok(Err(LineError::UnknownProbe(shown(name))));
                };
                let read = self.counts.as_ref().and_then(|c| c.get(at).copied());
                if let Some(read) = read.filter(|read| *read < fired) {
                    take(Found::Lost(Lost {
                        place: Place::Line(self.number),
                        count: fired - read,
                        what: format!(
                            "{} fired {fired} times, but only {read} lines of it were read",
                            shown(name)
                        ),
                    }))?;
                }
            }
            _ => {}
        }
        Ok(Ok(()))
    }

    /// One object. The inner error says also whether the object was whole.
    fn object(
        &mut self,
        markup: Markup,
        object: &[u8],
        place: Place,
        take: &mut impl FnMut(Found<'_>) -> io::Result<()>,
    ) -> io::Result<Result<(), (LineError, bool)>> {
        let firing = match markup.parse(object) {
            Ok(firing) => firing,
            Err(why) => return Ok(Err((LineError::Structure(shown(why.as_bytes())), false))),
        };
        let (number, anchor) = (self.number, &mut self.anchor);
        let mut given = Ok(());
        let fired = firing.events(&mut self.event, |event, wall| {
            event.line = number;
            set_time(event, wall, anchor);
            if given.is_ok() {
                given = take(Found::Event(event));
            }
        });
        given?;
        match fired {
            Ok(Fired::Drop(dropped)) => take(Found::Lost(lost(place, dropped)))?,
            Ok(Fired::Events(_) | Fired::Other) => {}
            Err(why) => return Ok(Err((why, true))),
        }
        Ok(Ok(()))
    }
}

/// Sets the time of day: from the wall clock as it was first printed, and the
/// distance since then on the clock that is exact.
#[inline]
fn set_time(event: &mut Event, wall: Option<i64>, anchor: &mut Option<i64>) {
    event.time_ns = wall;
    let mono = event.timestamp_ns.and_then(|ns| i64::try_from(ns).ok());
    let (Some(wall), Some(mono)) = (wall, mono) else {
        return;
    };
    let Some(now) = wall.checked_sub(mono) else {
        return;
    };
    let far = |old: i64| now.abs_diff(old) > CLOCK_STEP_NS as u64;
    if anchor.is_none_or(far) {
        *anchor = Some(now);
    }
    event.time_ns = anchor.and_then(|a| a.checked_add(mono)).or(Some(wall));
}

/// `dtrace: 12 drops on CPU 0` and the like; other messages tell no loss.
fn drop_message(line: &[u8]) -> Option<Dropped> {
    let mut words = Words(line).skip(1);
    let count = number(words.next()?)?;
    if !line.windows(5).any(|w| w == b" drop") {
        return None;
    }
    let at = line.windows(4).position(|w| w == b"CPU ");
    let cpu = at.and_then(|at| Words(line.get(at + 4..)?).next());
    Some(Dropped {
        count,
        cpu: cpu.and_then(decimal).and_then(|n| u32::try_from(n).ok()),
        what: shown(line),
    })
}

fn lost(place: Place, dropped: Dropped) -> Lost {
    let what = match (dropped.what.is_empty(), dropped.cpu) {
        (false, _) => dropped.what,
        (true, Some(cpu)) => format!("{} drops on CPU {cpu}", dropped.count),
        (true, None) => format!("{} drops", dropped.count),
    };
    Lost {
        place,
        count: dropped.count,
        what: format!("DTrace lost firings: {what}"),
    }
}
