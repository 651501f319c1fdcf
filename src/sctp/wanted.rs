//! Which events are wanted.

use super::association::Membership;
use super::event::Event;
use super::probes::Probes;
use crate::select::{Criteria, CriteriaError, MessageFacts, RecordFacts, Select};

/// A selection of events.
///
/// Of the criteria, host, port, event and time have a meaning here; whatever
/// else is asked for, no event has.
pub struct Wanted {
    select: Select,
    events: Vec<String>,
    /// Criteria that no event can meet.
    pub meaningless: Vec<&'static str>,
}

impl Wanted {
    /// # Errors
    ///
    /// The first value that cannot be read, with its option.
    pub fn new(criteria: &Criteria) -> Result<Wanted, CriteriaError> {
        let own = Criteria {
            host: criteria.host.clone(),
            port: criteria.port.clone(),
            since: criteria.since.clone(),
            until: criteria.until.clone(),
            ..Criteria::default()
        };
        let names = criteria.event.iter().flat_map(|text| text.split(','));
        let others = [
            ("--id", criteria.id.is_empty()),
            ("--tag", criteria.tag.is_empty()),
            ("--reason", criteria.reason.is_empty()),
            ("--stack", criteria.stack.is_empty()),
            ("--sn", criteria.sn.is_empty()),
        ];
        let given = others.iter().filter(|(_, is_empty)| !is_empty);
        Ok(Wanted {
            select: own.select(&|_| Vec::new())?,
            events: names.map(|n| n.trim().to_owned()).collect(),
            meaningless: given.map(|(name, _)| *name).collect(),
        })
    }

    /// Whether an event is wanted; to be asked of every event in order, as the
    /// first one is where `+seconds` count from.
    pub fn wants(&mut self, event: &Event, member: &Membership) -> bool {
        let us = |ns: i64| ns.div_euclid(1000);
        let uptime_us = us(event.instant_ns().unwrap_or(0));
        let time_us = event.time_ns.map(us);
        let has_time = event.instant_ns().is_some();
        if has_time {
            self.select.set_origin(time_us, uptime_us);
        }
        if !self.meaningless.is_empty() || self.select.needs_records() && !has_time {
            return false;
        }
        let is_named = |name: &String| {
            let probes = Probes::builtin();
            name == event.name() || *name == probes.full_name(event.probe)
        };
        if !self.events.is_empty() && !self.events.iter().any(is_named) {
            return false;
        }
        if self.select.is_everything() {
            return true;
        }
        let ends = &member.ends;
        self.select.message(&MessageFacts {
            local_addr: ends.local,
            foreign_addr: ends.remote,
            local_port: ends.local_port,
            foreign_port: ends.remote_port,
            ..MessageFacts::default()
        }) && self.select.record(&RecordFacts {
            time_us,
            uptime_us,
            ..RecordFacts::default()
        })
    }
}
