//! Events as CSV: one header line, then one line per event, with the same
//! columns whatever the input. What is absent in JSON is empty here.

use super::{Form, KIND, MASKED, words};
use crate::meaning::units::number;
use crate::output::clock::Clock;
use crate::output::csv::readable;
use crate::sctp::association::Membership;
use crate::sctp::event::Event;
use crate::sctp::field::{Address, Field, Show};
use crate::sctp::found::Lost;
use crate::sctp::path::cwnd_of;
use crate::sctp::probes::Probes;
use std::io::Write;

/// Columns before those of the values.
const HEAD: &str = "schema,kind,source,line,time,timestamp_ns,cpu,pid,role,event,probe,association,\
                    destination,unseen_cwnd_change,direction,local_addr,remote_addr,local_port,\
                    remote_port";
/// Columns behind them.
const TAIL: &str = "point_name,verdict,old_state_name,state_name,lasted_us,text";

/// Writes lines.
pub struct Csv {
    show_pointers: bool,
    is_headed: bool,
    clock: Clock,
    source: Vec<u8>,
    sentence: Vec<u8>,
}

impl Csv {
    pub fn new(show_pointers: bool) -> Csv {
        Csv {
            show_pointers,
            is_headed: false,
            clock: Clock::default(),
            source: Vec::new(),
            sentence: Vec::new(),
        }
    }
}

/// Values with a column of their own.
fn columns() -> impl Iterator<Item = Field> {
    let ports = |f: &Field| matches!(f, Field::LocalPort | Field::RemotePort);
    Field::ALL.iter().copied().filter(move |f| !ports(f))
}

fn optional(out: &mut Vec<u8>, value: Option<impl itoa::Integer>) {
    if let Some(value) = value {
        number(out, value);
    }
    out.push(b',');
}

impl Form for Csv {
    fn source(&mut self, name: &str, out: &mut Vec<u8>) {
        self.source.clear();
        readable(&mut self.source, name.as_bytes());
        if std::mem::replace(&mut self.is_headed, true) {
            return;
        }
        out.extend_from_slice(HEAD.as_bytes());
        for field in columns() {
            out.push(b',');
            out.extend_from_slice(field.name().as_bytes());
        }
        for which in Address::ALL {
            out.push(b',');
            out.extend_from_slice(which.name().as_bytes());
        }
        let _ = writeln!(out, ",{TAIL}");
    }

    fn event(&mut self, event: &Event, member: &Membership, out: &mut Vec<u8>) {
        let probes = Probes::builtin();
        let probe = probes.get(event.probe);
        let _ = write!(out, "1,{KIND},");
        out.extend_from_slice(&self.source);
        out.push(b',');
        number(out, event.line);
        out.push(b',');
        if let Some(ns) = event.time_ns {
            self.clock.write(out, ns.div_euclid(1000));
        }
        out.push(b',');
        optional(out, event.timestamp_ns);
        optional(out, event.cpu);
        optional(out, event.pid);
        readable(out, event.role.as_bytes());
        let (module, function) = (&probe.module, &probe.function);
        let _ = write!(
            out,
            ",{},{}:{module}:{function}:{},",
            probe.name,
            probes.provider(),
            probe.name
        );
        optional(out, member.association);
        optional(out, member.path);
        optional(out, member.unseen);
        out.extend_from_slice(match event.inbound() {
            Some(true) => b"in,",
            Some(false) => b"out,",
            None => b",".as_slice(),
        });
        let ends = &member.ends;
        for addr in [ends.local, ends.remote] {
            if let Some(addr) = addr {
                let _ = write!(out, "{addr}");
            }
            out.push(b',');
        }
        optional(out, ends.local_port);
        optional(out, ends.remote_port);
        for field in columns() {
            let value = event.values.get(field);
            // The window from here on, whichever probe tells it.
            let value = match field {
                Field::Cwnd => cwnd_of(event).map(|cwnd| cwnd as u64),
                _ => value,
            };
            if let Some(value) = value {
                let _ = match field.show() {
                    Show::Pointer if !self.show_pointers && value != 0 => write!(out, "{MASKED}"),
                    Show::Hex | Show::Pointer => write!(out, "{value:#x}"),
                    Show::Signed => write!(out, "{}", value as i64),
                    Show::Unsigned => write!(out, "{}", value),
                };
            }
            out.push(b',');
        }
        for which in Address::ALL {
            if let Some(addr) = event.addresses.get(which) {
                let _ = write!(out, "{addr}");
            }
            out.push(b',');
        }
        let point = event.values.get(Field::Point);
        let ret = event.values.get(Field::Ret).unwrap_or(0);
        let texts = [
            point.and_then(|p| probes.point(p)).map(|p| p.name.as_str()),
            point.and_then(|p| probes.verdict(p, ret)),
            event.old_state,
            event.state,
        ];
        for text in texts {
            out.extend_from_slice(text.unwrap_or("").as_bytes());
            out.push(b',');
        }
        optional(out, member.lasted_ns.map(|ns| ns / 1000));
        self.sentence.clear();
        words::says(&mut self.sentence, event, member);
        readable(out, &self.sentence);
        out.push(b'\n');
    }

    fn lost(&mut self, lost: &Lost, out: &mut Vec<u8>) {
        out.extend_from_slice(b"1,sctp_lost,");
        out.extend_from_slice(&self.source);
        let columns = HEAD.split(',').count() - 3 + columns().count() + Address::ALL.len();
        let empty = columns + TAIL.split(',').count() - 1;
        out.resize(out.len() + empty + 1, b',');
        readable(out, lost.what.as_bytes());
        out.push(b'\n');
    }
}
