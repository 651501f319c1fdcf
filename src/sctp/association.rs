//! An association, and what its events add up to.

use super::event::{Ends, Event, Role};
use super::field::{Address, Field};
use super::path::Path;
use super::probes::{Kind, ProbeId};

/// Paths of an association that are told apart.
const MOST_PATHS: usize = 32;

/// Changes of state that are kept.
const MOST_STATES: usize = 64;

/// The kernel sets this when an association ends (SCTP_STATE_ABOUT_TO_BE_FREED).
const ABOUT_TO_BE_FREED: u64 = 0x200;

/// An association, and what its events added up to.
#[derive(Clone, Debug, Default)]
pub struct Association {
    /// In the order of appearance, from 1.
    pub number: u64,
    pub my_vtag: Option<u32>,
    pub peer_vtag: Option<u32>,
    /// Address in the kernel.
    pub cid: Option<u64>,
    pub ends: Ends,
    pub role: Role,
    pub events: u64,
    /// Times of day of the first and the last event.
    pub times: Option<(i64, i64)>,
    /// The same on the clock that distances are measured with.
    pub instants: Option<(i64, i64)>,
    pub by_probe: Vec<(ProbeId, u64)>,
    pub paths: Vec<Path>,
    /// Events of paths beyond those that are told apart.
    pub other_paths: u64,
    pub states: Vec<StateChange>,
    /// Changes beyond those that are kept.
    pub other_states: u64,
    pub sent: Packets,
    pub received: Packets,
    /// What rttvar and rttstep said of the RTT, in microseconds.
    pub rtt: Spread,
    /// Bytes in flight, as rttvar has them.
    pub flight: Spread,
    pub ended: bool,
    /// When the last change of state was.
    state_since_ns: Option<i64>,
    /// Counts on with every event that finds it.
    pub(super) used: u64,
    /// Its names are those that it is found by.
    pub(super) is_linked: bool,
}

/// Packets one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packets {
    pub count: u64,
    /// Behind the IP headers, as far as the lengths were printed.
    pub bytes: u64,
}

/// A smallest, a largest and a latest value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    pub count: u64,
    pub min: u64,
    pub max: u64,
    pub last: u64,
}

impl Spread {
    fn add(&mut self, n: u64) {
        self.min = if self.count == 0 { n } else { self.min.min(n) };
        self.max = self.max.max(n);
        self.last = n;
        self.count += 1;
    }
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    pub time_ns: Option<i64>,
    pub timestamp_ns: Option<u64>,
    pub old: &'static str,
    pub new: &'static str,
    /// How long the old state lasted.
    pub lasted_ns: Option<u64>,
}

/// What is known of an event's association by then.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Membership {
    /// Number of the association.
    pub association: Option<u64>,
    /// Number of the path within it.
    pub path: Option<u32>,
    /// How much the window of the path had changed without a probe.
    pub unseen: Option<i64>,
    /// How long the old state lasted.
    pub lasted_ns: Option<u64>,
    /// Ends, of the event or else of the association.
    pub ends: Ends,
}

impl Association {
    pub(super) fn new(number: u64, used: u64) -> Association {
        Association {
            number,
            used,
            ..Association::default()
        }
    }

    /// What must be followed without a gap, wanted or not.
    pub(super) fn follow(&mut self, event: &Event, member: &mut Membership) {
        match event.kind() {
            Kind::Cwnd | Kind::Rttvar | Kind::Rttstep => self.window(event, member),
            Kind::State => self.state(event, member),
            Kind::Packet | Kind::NetValue | Kind::AssocValue => {}
        }
    }

    /// Adds up a wanted event.
    pub(super) fn add(&mut self, event: &Event, member: &Membership) {
        self.events += 1;
        match self.by_probe.iter_mut().find(|(id, _)| *id == event.probe) {
            Some((_, count)) => *count += 1,
            None => self.by_probe.push((event.probe, 1)),
        }
        self.span(event);
        match event.kind() {
            Kind::Rttvar | Kind::Rttstep => self.rtt(event),
            Kind::Packet => self.packet(event),
            Kind::State => self.add_state(event, member),
            _ => {}
        }
        let path = self
            .paths
            .iter_mut()
            .find(|p| Some(p.number) == member.path);
        match path {
            Some(path) => path.cwnd.add(event, member.unseen),
            None => self.other_paths += u64::from(event.kind() == Kind::Cwnd),
        }
    }

    fn span(&mut self, event: &Event) {
        let widen = |span: &mut Option<(i64, i64)>, at: Option<i64>| {
            if let Some(at) = at {
                let (first, last) = span.unwrap_or((at, at));
                *span = Some((first.min(at), last.max(at)));
            }
        };
        widen(&mut self.times, event.time_ns);
        widen(&mut self.instants, event.instant_ns());
    }

    /// Takes the names that the event has and the association lacks, and the
    /// other way round.
    pub(super) fn name(&mut self, event: &Event, member: &mut Membership) {
        let ends = member.ends;
        if self.role.as_bytes().is_empty() {
            self.role = event.role;
        }
        let mut is_new = false;
        fn fill<T: Copy>(slot: &mut Option<T>, value: Option<T>, is_new: &mut bool) {
            if slot.is_none() && value.is_some() {
                *slot = value;
                *is_new = true;
            }
        }
        fill(&mut self.my_vtag, event.my_vtag(), &mut is_new);
        fill(&mut self.cid, event.cid(), &mut is_new);
        fill(&mut self.ends.local_port, ends.local_port, &mut is_new);
        fill(&mut self.ends.remote_port, ends.remote_port, &mut is_new);
        // Those of the primary path, if they are there.
        let primary = |which, other| event.addresses.get(which).or(other);
        let (local, remote) = (
            primary(Address::Laddr, ends.local),
            primary(Address::Raddr, ends.remote),
        );
        fill(&mut self.ends.local, local, &mut is_new);
        fill(&mut self.ends.remote, remote, &mut is_new);
        if event.inbound() == Some(false) {
            let tag = event.values.u32(Field::Verify).filter(|tag| *tag != 0);
            fill(&mut self.peer_vtag, tag, &mut is_new);
        }
        self.is_linked &= !is_new;
        member.association = Some(self.number);
        let (own, known) = (&mut member.ends, &self.ends);
        own.local = own.local.or(known.local);
        own.remote = own.remote.or(known.remote);
        own.local_port = own.local_port.or(known.local_port);
        own.remote_port = own.remote_port.or(known.remote_port);
    }

    /// The path that an event is about.
    fn path_of(&mut self, event: &Event) -> Option<&mut Path> {
        let Some(net) = event.values.get(Field::Net) else {
            // rttvar and rttstep do not say which path they are about.
            return match self.paths.as_mut_slice() {
                [path] => Some(path),
                _ => None,
            };
        };
        let at = match self.paths.iter().position(|p| p.net == net) {
            Some(at) => at,
            None if self.paths.len() < MOST_PATHS => {
                let number = self.paths.len() as u32 + 1;
                self.paths.push(Path::new(number, net));
                self.paths.len() - 1
            }
            None => return None,
        };
        self.paths.get_mut(at)
    }

    fn window(&mut self, event: &Event, member: &mut Membership) {
        if let Some(path) = self.path_of(event) {
            member.path = Some(path.number);
            member.unseen = path.follow(event);
        }
    }

    fn rtt(&mut self, event: &Event) {
        let v = &event.values;
        for field in [Field::Rtt, Field::NetRtt] {
            if let Some(rtt) = v.get(field).filter(|rtt| *rtt != 0) {
                self.rtt.add(rtt);
                break;
            }
        }
        if let Some(flight) = v.get(Field::Flight) {
            self.flight.add(flight);
        }
    }

    fn packet(&mut self, event: &Event) {
        let packets = match event.inbound() {
            Some(true) => &mut self.received,
            _ => &mut self.sent,
        };
        packets.count += 1;
        let bytes = event.values.get(Field::IpPlength).unwrap_or(0);
        packets.bytes = packets.bytes.saturating_add(bytes);
    }

    fn state(&mut self, event: &Event, member: &mut Membership) {
        let now = event.instant_ns();
        let lasted = match (self.state_since_ns, now) {
            (Some(before), Some(now)) => u64::try_from(now.saturating_sub(before)).ok(),
            _ => None,
        };
        self.state_since_ns = now;
        member.lasted_ns = member.lasted_ns.or(lasted);
        let state = event.values.get(Field::State);
        self.ended |= state.is_some_and(|s| s & ABOUT_TO_BE_FREED != 0 || s & 0x7f == 0);
    }

    fn add_state(&mut self, event: &Event, member: &Membership) {
        let (Some(old), Some(new)) = (event.old_state, event.state) else {
            return;
        };
        if self.states.len() == MOST_STATES {
            self.other_states += 1;
            return;
        }
        self.states.push(StateChange {
            time_ns: event.time_ns,
            timestamp_ns: event.timestamp_ns,
            old,
            new,
            lasted_ns: member.lasted_ns,
        });
    }

    /// Takes over what another one gathered, which came after this one.
    pub(super) fn absorb(&mut self, other: Association) {
        self.events += other.events;
        for (probe, count) in other.by_probe {
            match self.by_probe.iter_mut().find(|(id, _)| *id == probe) {
                Some((_, own)) => *own += count,
                None => self.by_probe.push((probe, count)),
            }
        }
        let wider = |a: Option<(i64, i64)>, b: Option<(i64, i64)>| match (a, b) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        self.times = wider(self.times, other.times);
        self.instants = wider(self.instants, other.instants);
        self.my_vtag = self.my_vtag.or(other.my_vtag);
        self.peer_vtag = self.peer_vtag.or(other.peer_vtag);
        self.cid = self.cid.or(other.cid);
        let ends = &mut self.ends;
        ends.local = ends.local.or(other.ends.local);
        ends.remote = ends.remote.or(other.ends.remote);
        ends.local_port = ends.local_port.or(other.ends.local_port);
        ends.remote_port = ends.remote_port.or(other.ends.remote_port);
        for mut path in other.paths {
            if self.paths.len() < MOST_PATHS && self.paths.iter().all(|p| p.net != path.net) {
                path.number = self.paths.len() as u32 + 1;
                self.paths.push(path);
            }
        }
        self.states.extend(other.states);
        self.states.sort_by_key(|s| (s.timestamp_ns, s.time_ns));
        self.state_since_ns = self.state_since_ns.max(other.state_since_ns);
        self.states.truncate(MOST_STATES);
        for (own, other) in [
            (&mut self.sent, other.sent),
            (&mut self.received, other.received),
        ] {
            own.count += other.count;
            own.bytes = own.bytes.saturating_add(other.bytes);
        }
        if self.rtt.count == 0 {
            self.rtt = other.rtt;
        }
        if self.flight.count == 0 {
            self.flight = other.flight;
        }
        self.ended |= other.ended;
        self.is_linked = false;
    }
}

/// How long the old state lasted, where it was printed.
pub(super) fn delta_ns(event: &Event) -> Option<u64> {
    event.values.get(Field::Delta)?.checked_mul(1000)
}
