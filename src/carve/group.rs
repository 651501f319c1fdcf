//! Which records belong to one connection.
//!
//! A connection keeps its initial sequence number and its start time, and its
//! records link to each other. Before the SYN the former is zero; then only the
//! links tell.

use super::clock::Clock;
use super::pool::Pool;
use std::collections::HashMap;

/// Serial numbers that a link may skip: records that were given up in between.
const MOST_SKIPPED: u32 = 1 << 20;

/// Sets of records, joined step by step.
pub struct Groups {
    parent: Vec<u32>,
}

impl Groups {
    fn new(count: usize) -> Groups {
        Groups {
            parent: (0..count as u32).collect(),
        }
    }

    /// The record that stands for the group of another.
    pub fn of(&mut self, at: usize) -> usize {
        let mut at = at as u32;
        while let Some(parent) = self.parent.get(at as usize).copied() {
            if parent == at {
                break;
            }
            // Halves the way for the next one.
            let above = self.parent.get(parent as usize).copied().unwrap_or(parent);
            if let Some(slot) = self.parent.get_mut(at as usize) {
                *slot = above;
            }
            at = above;
        }
        at as usize
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.of(a), self.of(b));
        let (low, high) = (a.min(b), a.max(b));
        if let Some(slot) = self.parent.get_mut(high) {
            *slot = low as u32;
        }
    }
}

/// Which of a record's neighbours agree with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Linked {
    /// Its link leads to a later record of its connection.
    pub forward: bool,
    /// The link of an earlier one leads to it.
    pub back: bool,
}

/// Groups the records, and says which are linked. `together` are records that
/// something else keeps together: a list or a message.
pub fn group(pool: &Pool<'_>, clock: &Clock, together: &[&[u32]]) -> (Groups, Vec<Linked>) {
    let mut groups = Groups::new(pool.found.len());
    let mut linked = vec![Linked::default(); pool.found.len()];
    let mut by_key: HashMap<(u32, u32, Option<usize>), usize> = HashMap::new();
    for (at, found) in pool.found.iter().enumerate() {
        if found.iss != 0 {
            let key = (found.iss, found.starttime, clock.boot(found));
            match by_key.get(&key) {
                Some(first) => groups.join(*first, at),
                None => drop(by_key.insert(key, at)),
            }
        }
    }
    for (at, found) in pool.found.iter().enumerate() {
        let Some(next) = pool.at_item(found.next).filter(|next| *next != at) else {
            continue;
        };
        let Some(other) = pool.found.get(next) else {
            continue;
        };
        let same = |a: u32, b: u32| a == b || a == 0 || b == 0;
        let step = other.sn.wrapping_sub(found.sn);
        let agrees = same(found.iss, other.iss)
            && same(found.starttime, other.starttime)
            && (1..MOST_SKIPPED).contains(&step)
            && !matches!((found.ports, other.ports), (Some(a), Some(b)) if a != b);
        if agrees {
            if let Some(linked) = linked.get_mut(at) {
                linked.forward = true;
            }
            if let Some(linked) = linked.get_mut(next) {
                linked.back = true;
            }
            // Where one has no number yet, only their serials agree.
            if found.iss != 0 && other.iss != 0 || step == 1 {
                groups.join(at, next);
            }
        }
    }
    for records in together {
        for pair in records.windows(2) {
            if let [a, b] = pair {
                groups.join(*a as usize, *b as usize);
            }
        }
    }
    (groups, linked)
}
