//! One firing of a probe, whatever form it was printed in.

use super::field::{Address, Addresses, Field, Values};
use super::probes::{Kind, ProbeId, Probes};
use std::net::IpAddr;

/// What a probe reported. Everything but the probe may be absent: each form
/// says only part of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// Line of text, or number of the object in structured output; from 1.
    pub line: u64,
    /// Nanoseconds since the Unix epoch.
    pub time_ns: Option<i64>,
    /// Nanoseconds of a clock with an unknown origin.
    pub timestamp_ns: Option<u64>,
    pub cpu: Option<u32>,
    pub pid: Option<i64>,
    pub role: Role,
    pub probe: ProbeId,
    pub values: Values,
    pub addresses: Addresses,
    /// Strings of the state before and the new one.
    pub old_state: Option<&'static str>,
    pub state: Option<&'static str>,
    /// The probe is all that was printed.
    pub is_bare: bool,
}

/// A short word that says which end of a test printed the line.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Role {
    len: u8,
    bytes: [u8; 15],
}

impl Role {
    /// The first bytes of `text`.
    pub(super) fn new(text: &[u8]) -> Role {
        let mut role = Role::default();
        for (to, from) in role.bytes.iter_mut().zip(text) {
            *to = *from;
            role.len += 1;
        }
        role
    }

    /// Empty if none was printed.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// Both ends, as far as an event names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    pub local: Option<IpAddr>,
    pub local_port: Option<u16>,
    pub remote: Option<IpAddr>,
    pub remote_port: Option<u16>,
}

impl Event {
    pub(super) fn clear(&mut self) {
        self.time_ns = None;
        self.timestamp_ns = None;
        self.cpu = None;
        self.pid = None;
        self.role = Role::default();
        self.values.clear();
        self.addresses = Addresses::default();
        self.old_state = None;
        self.state = None;
        self.is_bare = false;
    }

    /// Unpacks raw arguments; as many as the probe passes.
    #[inline]
    pub(super) fn unpack(&mut self, arguments: &[u64]) {
        for place in Probes::builtin().places(self.probe, arguments) {
            self.values.set(place.field, place.read(arguments));
        }
    }

    /// Names the states that came as numbers.
    pub(super) fn name_states(&mut self) {
        let probes = Probes::builtin();
        let name = |v: Option<u64>| v.map(|v| probes.state_string(v as u32));
        self.old_state = name(self.values.get(Field::OldState));
        self.state = name(self.values.get(Field::State));
    }

    #[inline]
    pub fn kind(&self) -> Kind {
        Probes::builtin().get(self.probe).kind
    }

    pub fn name(&self) -> &'static str {
        &Probes::builtin().get(self.probe).name
    }

    /// A packet that came in; `None` for what is no packet.
    pub fn inbound(&self) -> Option<bool> {
        (self.kind() == Kind::Packet).then(|| self.name() == "receive")
    }

    /// Both ends: of a packet its own, of anything else those of the
    /// association.
    pub fn ends(&self) -> Ends {
        let (v, a) = (&self.values, &self.addresses);
        match self.inbound() {
            Some(inbound) => {
                let source = (a.get(Address::IpSaddr), v.u16(Field::Sport));
                let destination = (a.get(Address::IpDaddr), v.u16(Field::Dport));
                let (local, remote) = match inbound {
                    true => (destination, source),
                    false => (source, destination),
                };
                Ends {
                    local: local.0,
                    local_port: local.1,
                    remote: remote.0,
                    remote_port: remote.1,
                }
            }
            None => Ends {
                local: a.get(Address::Laddr),
                local_port: v.u16(Field::LocalPort).or_else(|| v.u16(Field::Lport)),
                remote: a.get(Address::Raddr),
                remote_port: v.u16(Field::RemotePort).or_else(|| v.u16(Field::Rport)),
            },
        }
    }

    /// The tag of this host, where the event tells it: packets that come in
    /// carry it, but for those that carry none.
    pub fn my_vtag(&self) -> Option<u32> {
        match self.inbound() {
            Some(true) => self.values.u32(Field::Verify).filter(|tag| *tag != 0),
            Some(false) => None,
            None => self.values.u32(Field::MyVtag),
        }
    }

    /// The kernel's address of the association, where there is one.
    pub fn cid(&self) -> Option<u64> {
        self.values.get(Field::CsCid).filter(|cid| *cid != 0)
    }

    /// What a duration is measured with: the clock of unknown origin if there
    /// is one, as it is finer.
    pub fn instant_ns(&self) -> Option<i64> {
        let precise = self.timestamp_ns.and_then(|ns| i64::try_from(ns).ok());
        precise.or(self.time_ns)
    }
}
