//! Events that belong to one association.
//!
//! The cwnd probes name an association by the tag of this host and the ports,
//! packets and states by its address in the kernel; a packet that comes in has
//! both, and so joins them. The scripts of the manual print neither: there the
//! addresses and ports of packets are all there is.
//!
//! Memory is bounded: associations that ended are let go once others ended
//! after them, and beyond a number of live ones the one that was silent
//! longest is.

use super::association::{Association, Membership, delta_ns};
use super::event::{Ends, Event};
use super::field::Field;
use super::probes::Kind;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// Live associations that are kept.
pub const MOST_LIVE: usize = 16 * 1024;

/// Associations that ended and are kept, for what still comes of them.
const MOST_ENDED: usize = 256;

type TagKey = (u32, u16, u16);
type EndsKey = (IpAddr, u16, IpAddr, u16);

/// Some slots of which only a single one has to be known.
#[derive(Clone, Copy, Debug, Default)]
struct Bundle {
    count: usize,
    /// All of them, by exclusive or: of one, itself.
    slots: usize,
}

/// All associations that are kept.
#[derive(Default)]
pub struct Associations {
    slots: Vec<Option<Association>>,
    free: Vec<usize>,
    by_tag: HashMap<TagKey, usize>,
    by_cid: HashMap<u64, usize>,
    by_ends: HashMap<EndsKey, usize>,
    /// Those of `by_tag`, by their ports.
    by_ports: HashMap<(u16, u16), Bundle>,
    /// The tag that was looked for last, and where it was.
    recent: Option<(TagKey, usize)>,
    ended: VecDeque<usize>,
    numbers: u64,
    clock: u64,
    /// Live ones that were let go.
    pub let_go: u64,
}

impl Associations {
    /// Assigns an event, and adds it up if it is `wanted`. What is let go is
    /// given to `done`.
    pub fn take(
        &mut self,
        event: &Event,
        wanted: impl FnOnce(&Membership) -> bool,
        done: &mut impl FnMut(Association),
    ) -> Option<Membership> {
        let mut member = Membership {
            ends: event.ends(),
            lasted_ns: delta_ns(event),
            ..Membership::default()
        };
        let Some(slot) = self.slot_of(event, &member.ends, done) else {
            return wanted(&member).then_some(member);
        };
        self.clock += 1;
        let clock = self.clock;
        let mut is_wanted = false;
        if let Some(Some(association)) = self.slots.get_mut(slot) {
            association.used = clock;
            association.name(event, &mut member);
            association.follow(event, &mut member);
            is_wanted = wanted(&member);
            if is_wanted {
                association.add(event, &member);
            }
            if association.ended && !self.ended.contains(&slot) {
                self.ended.push_back(slot);
            }
        }
        self.link(slot);
        while self.ended.len() > MOST_ENDED {
            if let Some(oldest) = self.ended.pop_front() {
                self.remove(oldest).into_iter().for_each(&mut *done);
            }
        }
        is_wanted.then_some(member)
    }

    /// All that are left, in the order of their numbers.
    pub fn finish(self) -> Vec<Association> {
        let mut left: Vec<Association> = self.slots.into_iter().flatten().collect();
        left.sort_by_key(|a| a.number);
        left
    }

    fn slot_of(
        &mut self,
        event: &Event,
        ends: &Ends,
        done: &mut impl FnMut(Association),
    ) -> Option<usize> {
        let tag = tag_key(event.my_vtag(), ends);
        if let (Some(tag), Some((recent, slot))) = (tag, self.recent)
            && tag == recent
            && event.cid().is_none()
        {
            return Some(slot);
        }
        let by_tag = tag.and_then(|tag| self.by_tag.get(&tag).copied());
        let by_cid = event.cid().and_then(|cid| self.of_cid(cid, event, ends));
        let found = match (by_cid, by_tag) {
            (Some(a), Some(b)) if a != b => Some(self.merge(a, b)),
            (a, b) => a.or(b),
        };
        let has_cid_field = event.values.get(Field::CsCid).is_some();
        let found = match (found, event.kind()) {
            (Some(slot), _) => Some(slot),
            // An association that the kernel does not know.
            (None, Kind::Packet | Kind::State) if has_cid_field && event.cid().is_none() => None,
            (None, Kind::Rttvar | Kind::Rttstep) if tag.is_none() => {
                // The tag is not there at some points: the ports must do, if
                // they are those of one association only.
                let ports = (ends.local_port?, ends.remote_port?);
                let bundle = self.by_ports.get(&ports)?;
                (bundle.count == 1).then_some(bundle.slots)
            }
            (None, _) => {
                let of_ends = ends_key(ends).and_then(|key| self.by_ends.get(&key).copied());
                let is_named = event.cid().is_some() || tag.is_some();
                match (of_ends, ends_key(ends)) {
                    (Some(slot), _) if !is_named => Some(slot),
                    (_, Some(_)) => Some(self.create(done)),
                    _ if is_named => Some(self.create(done)),
                    _ => None,
                }
            }
        };
        if let (Some(tag), Some(slot)) = (tag, found) {
            self.recent = Some((tag, slot));
        }
        found
    }

    /// By the kernel's address, unless another association has it by now.
    fn of_cid(&mut self, cid: u64, event: &Event, ends: &Ends) -> Option<usize> {
        let slot = *self.by_cid.get(&cid)?;
        let old = self.slots.get(slot)?.as_ref()?;
        let differs =
            |a: Option<u16>, b: Option<u16>| matches!((a, b), (Some(a), Some(b)) if a != b);
        let begins = event.values.get(Field::OldState).is_some_and(|s| s <= 1);
        let is_other = differs(old.ends.local_port, ends.local_port)
            || differs(old.ends.remote_port, ends.remote_port)
            || old.ended && begins;
        if !is_other {
            return Some(slot);
        }
        self.by_cid.remove(&cid);
        if let Some(Some(old)) = self.slots.get_mut(slot) {
            old.cid = None;
        }
        None
    }

    fn create(&mut self, done: &mut impl FnMut(Association)) -> usize {
        if self.slots.len() - self.free.len() >= MOST_LIVE + MOST_ENDED {
            self.let_go(done);
        }
        self.numbers += 1;
        let association = Association::new(self.numbers, self.clock);
        match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.slots.get_mut(slot) {
                    *place = Some(association);
                }
                slot
            }
            None => {
                self.slots.push(Some(association));
                self.slots.len() - 1
            }
        }
    }

    /// Lets an eighth go, so that finding the most silent ones costs little
    /// for each.
    fn let_go(&mut self, done: &mut impl FnMut(Association)) {
        let used = |(slot, a): (usize, &Option<Association>)| Some((a.as_ref()?.used, slot));
        let mut by_use: Vec<_> = self.slots.iter().enumerate().filter_map(used).collect();
        by_use.sort_unstable();
        by_use.truncate((MOST_LIVE / 8).max(1));
        for (_, slot) in by_use {
            self.ended.retain(|ended| *ended != slot);
            if let Some(association) = self.remove(slot) {
                self.let_go += u64::from(!association.ended);
                done(association);
            }
        }
    }

    fn remove(&mut self, slot: usize) -> Option<Association> {
        let association = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        self.recent = None;
        self.unlink(&association, slot);
        Some(association)
    }

    fn unlink(&mut self, association: &Association, slot: usize) {
        if let Some(tag) = tag_key(association.my_vtag, &association.ends)
            && take_out(&mut self.by_tag, &tag, slot)
        {
            let ports = (tag.1, tag.2);
            if let Some(bundle) = self.by_ports.get_mut(&ports) {
                bundle.count -= 1;
                bundle.slots ^= slot;
                if bundle.count == 0 {
                    self.by_ports.remove(&ports);
                }
            }
        }
        if let Some(cid) = association.cid {
            take_out(&mut self.by_cid, &cid, slot);
        }
        if let Some(key) = ends_key(&association.ends) {
            take_out(&mut self.by_ends, &key, slot);
        }
    }

    /// Enters the names that an association has by now.
    fn link(&mut self, slot: usize) {
        let Some(Some(association)) = self.slots.get_mut(slot) else {
            return;
        };
        if std::mem::replace(&mut association.is_linked, true) {
            return;
        }
        if let Some(tag) = tag_key(association.my_vtag, &association.ends) {
            let bundle = self.by_ports.entry((tag.1, tag.2)).or_default();
            match self.by_tag.insert(tag, slot) {
                None => bundle.count += 1,
                // The other one cannot be found by its tag any more.
                Some(other) => bundle.slots ^= other,
            }
            bundle.slots ^= slot;
        }
        if let Some(cid) = association.cid {
            self.by_cid.insert(cid, slot);
        }
        if let Some(key) = ends_key(&association.ends) {
            self.by_ends.insert(key, slot);
        }
    }

    /// Two turn out to be one; the one that was seen first stays.
    fn merge(&mut self, a: usize, b: usize) -> usize {
        let number = |slot: usize| {
            let association = self.slots.get(slot).and_then(Option::as_ref);
            association.map_or(u64::MAX, |a| a.number)
        };
        let (keep, give) = if number(a) <= number(b) {
            (a, b)
        } else {
            (b, a)
        };
        self.ended.retain(|slot| *slot != give);
        let Some(given) = self.remove(give) else {
            return keep;
        };
        if let Some(Some(kept)) = self.slots.get_mut(keep) {
            kept.absorb(given);
        }
        self.link(keep);
        keep
    }
}

/// Removes an entry if it still leads there.
fn take_out<K: std::hash::Hash + Eq>(map: &mut HashMap<K, usize>, key: &K, slot: usize) -> bool {
    map.get(key) == Some(&slot) && map.remove(key).is_some()
}

fn tag_key(tag: Option<u32>, ends: &Ends) -> Option<TagKey> {
    Some((tag?, ends.local_port?, ends.remote_port?))
}

fn ends_key(ends: &Ends) -> Option<EndsKey> {
    Some((
        ends.local?,
        ends.local_port?,
        ends.remote?,
        ends.remote_port?,
    ))
}
