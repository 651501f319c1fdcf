//! Inputs that hold no black box records, but what a relative found: each
//! command gives them to what reads their format.

use super::args::{Common, Inputs, Selection};
use super::drive::{MOST_LINES, Relative, refuse};
use super::progress::Progress;
use super::say::say;
use crate::input::{InputFormat, Opened};
use crate::output::escape::Escaped;
use crate::sctp::write::Form;
use crate::sctp::write::summary::{Summary, SummaryForm, Totals};
use crate::sctp::{Associations, Found, Trace, Wanted};
use crate::zcs;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::Ordering;

/// Bytes that are gathered before they are written.
const CHUNK: usize = 128 * 1024;

/// Writes something for each event: what `show` and `convert` do.
pub struct Events<'a> {
    common: &'a Common,
    sctp: Box<dyn Form>,
    zcs: Zcs,
    /// Column names for entries of the sniffer's log were written.
    zcs_headed: bool,
    buffer: Vec<u8>,
}

/// What becomes of the zero-copy sniffer's entries.
#[derive(Clone, Copy, Debug)]
pub enum Zcs {
    Show(zcs::Form),
    Frames { comments: bool },
}

impl<'a> Events<'a> {
    pub fn new(common: &'a Common, sctp: Box<dyn Form>, zcs: Zcs) -> Events<'a> {
        Events {
            common,
            sctp,
            zcs,
            zcs_headed: false,
            buffer: Vec::with_capacity(2 * CHUNK),
        }
    }

    /// Reads a whole input.
    pub fn take(
        &mut self,
        input: Opened,
        inputs: &Inputs,
        out: &mut impl Write,
    ) -> anyhow::Result<Relative> {
        match input.format {
            InputFormat::DtraceSctp => self.sctp(input, &inputs.selection, out),
            InputFormat::Zcs => self.zcs(input, inputs, out),
            _ => refuse(input),
        }
    }

    fn zcs(
        &mut self,
        input: Opened,
        inputs: &Inputs,
        out: &mut impl Write,
    ) -> anyhow::Result<Relative> {
        match self.zcs {
            Zcs::Show(form) => {
                let mut sink = zcs::ShowSink::new(form, out).resumed(self.zcs_headed);
                let (found, damaged) = zcs_log(input, self.common, inputs, &mut sink)?;
                self.zcs_headed = sink.is_headed();
                let any = found.any();
                Ok(Relative { damaged, any })
            }
            Zcs::Frames { comments } => {
                let mut sink = zcs::FrameSink::new(comments, out);
                let (found, damaged) = zcs_log(input, self.common, inputs, &mut sink)?;
                let any = found.frames > 0;
                Ok(Relative { damaged, any })
            }
        }
    }

    fn sctp(
        &mut self,
        input: Opened,
        selection: &Selection,
        out: &mut impl Write,
    ) -> anyhow::Result<Relative> {
        let mut wanted = wanted(&input, selection, self.common)?;
        let mut associations = Associations::default();
        let (form, buffer) = (&mut self.sctp, &mut self.buffer);
        form.source(&input.name, buffer);
        let mut any = false;
        let mut take = |step: Step<'_>| {
            match step {
                Step::Found(Found::Event(event)) => {
                    let wants = |member: &_| wanted.wants(event, member);
                    if let Some(member) = associations.take(event, wants, &mut |_| {}) {
                        any = true;
                        form.event(event, &member, buffer);
                    }
                }
                Step::Found(Found::Lost(lost)) => form.lost(&lost, buffer),
                Step::Found(Found::Damage(_)) => return Ok(()),
                Step::Pause => {
                    out.write_all(buffer)?;
                    buffer.clear();
                    return out.flush();
                }
            }
            if buffer.len() >= CHUNK {
                out.write_all(buffer)?;
                buffer.clear();
            }
            Ok(())
        };
        let damaged = sctp_trace(input, self.common, &mut take)?;
        take(Step::Pause)?;
        if associations.let_go > 0 && !self.common.quiet {
            let n = associations.let_go;
            say(format_args!(
                "too many associations at once: {n} were forgotten, and what came of them later has another number"
            ));
        }
        Ok(Relative { damaged, any })
    }
}

/// Sums up each input: what `info` does.
pub struct Summaries<'a> {
    common: &'a Common,
    form: SummaryForm,
}

impl<'a> Summaries<'a> {
    pub fn new(common: &'a Common, form: SummaryForm) -> Summaries<'a> {
        Summaries { common, form }
    }

    /// Reads a whole input.
    pub fn take(
        &mut self,
        input: Opened,
        inputs: &Inputs,
        out: &mut impl Write,
    ) -> anyhow::Result<Relative> {
        match input.format {
            InputFormat::DtraceSctp => self.sctp(input, &inputs.selection, out),
            InputFormat::Zcs => {
                let form = match self.form {
                    SummaryForm::Text => zcs::InfoForm::Text,
                    SummaryForm::Json => zcs::InfoForm::Json,
                };
                let mut sink = zcs::InfoSink::new(form, out);
                let (found, damaged) = zcs_log(input, self.common, inputs, &mut sink)?;
                let any = found.any();
                Ok(Relative { damaged, any })
            }
            _ => refuse(input),
        }
    }

    fn sctp(
        &mut self,
        input: Opened,
        selection: &Selection,
        out: &mut impl Write,
    ) -> anyhow::Result<Relative> {
        let mut wanted = wanted(&input, selection, self.common)?;
        let mut associations = Associations::default();
        let mut summary = Summary::new(self.form, false);
        let mut totals = Totals::default();
        let mut buffer = Vec::new();
        summary.source(&input.name, &mut buffer);
        let mut take = |step: Step<'_>| {
            match step {
                Step::Found(Found::Event(event)) => {
                    let wants = |member: &_| wanted.wants(event, member);
                    let member = associations.take(event, wants, &mut |done| {
                        totals.associations += u64::from(done.events > 0);
                        summary.association(&done, &mut buffer);
                    });
                    if let Some(member) = member {
                        totals.add(event.probe, member.association.is_some());
                        if let (None, Some(old), Some(new)) =
                            (member.association, event.old_state, event.state)
                        {
                            totals.change(old, new, member.lasted_ns);
                        }
                    }
                }
                Step::Found(Found::Lost(lost)) => totals.lost += lost.count,
                Step::Found(Found::Damage(damage)) => {
                    totals.damaged += 1;
                    totals.bytes_lost += damage.lost;
                }
                Step::Pause => {}
            }
            if buffer.len() >= CHUNK {
                out.write_all(&buffer)?;
                buffer.clear();
            }
            Ok(())
        };
        let damaged = sctp_trace(input, self.common, &mut take)?;
        totals.let_go = associations.let_go;
        for association in associations.finish() {
            totals.associations += u64::from(association.events > 0);
            summary.association(&association, &mut buffer);
        }
        summary.finish(&totals, &mut buffer);
        out.write_all(&buffer)?;
        out.flush()?;
        let any = totals.events > 0;
        Ok(Relative { damaged, any })
    }
}

/// Reads a whole log of the zero-copy sniffer, and says what is wrong with it.
pub(super) fn zcs_log(
    input: Opened,
    common: &Common,
    inputs: &Inputs,
    sink: &mut dyn zcs::Sink,
) -> anyhow::Result<(zcs::Found, u64)> {
    // No entry is an event, whatever its name.
    let select = inputs.selection.criteria().select(&|_| vec![0])?;
    let mut reports = Reports::new(common, &input.name, input.size);
    let late = input.damage().map(ToString::to_string);
    let name = input.name.clone();
    let asked = zcs::Asked {
        ports: inputs.zcs_ports.order(),
        ..zcs::Asked::new(&select)
    };
    let found = zcs::read(input.into_read(), &name, &asked, sink, &mut |line, what| {
        reports.add(&format_args!("line {line}: {what}"));
    });
    if let Some(what) = late {
        reports.add(&what);
    }
    reports.rest();
    let found = found.map_err(|failed| match failed {
        zcs::Failed::Input(e) => anyhow::Error::from(e),
        zcs::Failed::Output(e) => e.into(),
    })?;
    Ok((found, reports.damaged))
}

fn wanted(input: &Opened, selection: &Selection, common: &Common) -> anyhow::Result<Wanted> {
    let wanted = Wanted::new(&selection.criteria())?;
    for option in wanted.meaningless.iter().filter(|_| !common.quiet) {
        let name = Escaped(input.name.as_bytes());
        say(format_args!(
            "{name}: {option} selects by what SCTP events do not have, so none of them matches"
        ));
    }
    Ok(wanted)
}

/// A step through an input.
enum Step<'a> {
    Found(Found<'a>),
    /// More may come later: what was found so far is to be seen now.
    Pause,
}

/// Walks through a trace, and says what is wrong with it. Gives the number of
/// damaged places.
fn sctp_trace(
    input: Opened,
    common: &Common,
    take: &mut impl FnMut(Step<'_>) -> io::Result<()>,
) -> anyhow::Result<u64> {
    let mut reports = Reports::new(common, &input.name, input.size);
    let late = input.damage().map(ToString::to_string);
    let (live, position) = (input.live, input.position());
    let mut trace = Trace::new(input.into_read());
    loop {
        let more = trace.advance(&mut |found| {
            match &found {
                Found::Damage(damage) => reports.add(damage),
                Found::Lost(lost) => reports.add(lost),
                Found::Event(_) => {}
            }
            take(Step::Found(found))
        })?;
        reports.progress.at(position.load(Ordering::Relaxed));
        if !more {
            break;
        }
        if live {
            take(Step::Pause)?;
        }
    }
    if let Some(what) = late {
        reports.add(&what);
    }
    if let Some((byte, error)) = trace.failure() {
        reports.add(&format_args!(
            "byte {byte}: reading failed here, what came before was kept: {error}"
        ));
    }
    reports.rest();
    Ok(reports.damaged)
}

/// Says damage, the first places one by one.
pub(super) struct Reports<'a> {
    common: &'a Common,
    pub progress: Progress,
    name: String,
    pub damaged: u64,
}

impl<'a> Reports<'a> {
    /// About an input of so many stored bytes, where that is known.
    pub fn new(common: &'a Common, name: &str, size: Option<u64>) -> Reports<'a> {
        Reports {
            common,
            progress: Progress::new(common, name, size),
            name: name.to_owned(),
            damaged: 0,
        }
    }

    fn is_said(&self) -> bool {
        !self.common.quiet && (self.damaged <= MOST_LINES || self.common.verbose > 0)
    }

    pub fn add(&mut self, what: &dyn Display) {
        self.damaged += 1;
        if self.is_said() {
            let line = format!("{}: {what}", self.name);
            self.progress.line(&Escaped(line.as_bytes()).to_string());
        }
    }

    fn rest(&self) {
        if !self.is_said() && !self.common.quiet {
            let rest = self.damaged - MOST_LINES;
            let line = format!("{}: {rest} more places are damaged", self.name);
            self.progress.line(&Escaped(line.as_bytes()).to_string());
        }
    }
}
