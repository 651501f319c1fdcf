//! Puts together what was found: which record is whose, how sure it is, and
//! which of several copies to keep.

use super::blocks::Block;
use super::clock::Clock;
use super::group::{Groups, Linked};
use super::lists::List;
use super::owner::{Ends, Holder, Owner};
use super::pool::Pool;
use crate::bblog::header::{self, Facts};
use crate::bblog::{Header, Known, Life, Origin, Record};
use crate::format::Dialect;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What of the findings to keep.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// 0 to 100.
    pub min_confidence: u8,
    pub live_only: bool,
    /// Boot time, microseconds since the Unix epoch, where the image has none.
    pub boot_us: Option<i64>,
}

/// What two independent signs support.
pub const TWO_SIGNS: u8 = 50;

/// Of records with one serial number, how many are compared to find copies.
const MOST_ALIKE: usize = 64;

/// How much each sign is worth.
mod sign {
    /// Every field is in its range, and what a connection always has is there.
    pub const FIELDS: u32 = 25;
    /// Ticks and uptime are those of other records.
    pub const CLOCK: u32 = 25;
    /// It links to its connection's next record, or the one before to it.
    pub const LINK: u32 = 25;
    /// Others of its connection are there.
    pub const GROUP: u32 = 15;
    /// It stands where items stand in a page.
    pub const PAGE: u32 = 10;
    /// A list holds it, or a message.
    pub const HELD: u32 = 50;
}

/// Everything that was found, before it is put together.
pub struct Evidence<'a> {
    pub pool: &'a Pool<'a>,
    pub clock: &'a Clock,
    pub groups: Groups,
    pub linked: Vec<Linked>,
    pub lists: &'a [List],
    pub owners: &'a [Owner],
    pub blocks: &'a [Block],
    /// Whether a record that nothing holds is known to be free: the image has
    /// all of the memory.
    pub is_complete: bool,
    /// The boot of the clock that `Wanted::boot_us` is of.
    pub boot: usize,
    /// Where symbols told which records are live: these, and no others.
    pub reached: Option<&'a HashSet<u32>>,
}

/// Records of one connection with what is known of it, as one message.
#[derive(Clone, Debug)]
pub struct Carved {
    pub dialect: Arc<Dialect>,
    pub header: Vec<u8>,
    pub known: Known,
    /// Numbers of the records in the pool, and where they were; `at` is not set.
    pub records: Vec<(u32, Origin)>,
}

/// What came of the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub live: u64,
    pub dead: u64,
    pub unknown: u64,
    /// Further copies of records that were kept.
    pub copies: u64,
    /// Of kept records, those whose addresses are known.
    pub joined: u64,
    /// Only looked like records: too few signs.
    pub doubtful: u64,
    /// Not live, and only live ones were wanted.
    pub not_live: u64,
    /// Connections with addresses, and without.
    pub connections: u64,
    pub unjoined: u64,
    /// Connections of which two sources give different endpoints.
    pub conflicts: u64,
}

/// What one message will say, the number of its dialect, and its records.
type Labelled = (Label, usize, Vec<(u32, Origin)>);

/// What holds a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    List(u32),
    Block(u32),
}

/// What a message says besides its records; records with the same go together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Label {
    ends: Option<Ends>,
    id: Option<Vec<u8>>,
    tag: Option<Vec<u8>>,
    reason: Option<Vec<u8>>,
    /// Header of a message that was in memory.
    block: Option<u32>,
}

/// Puts everything together, connection after connection, by time.
/// `packets` are endpoints that saved packets tell, by local and foreign port.
pub fn join(
    evidence: &mut Evidence<'_>,
    wanted: &Wanted,
    packets: &HashMap<(u16, u16), Option<Ends>>,
) -> (Vec<Carved>, Counts) {
    let mut counts = Counts::default();
    let held = held(evidence);
    let mut members: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for at in 0..evidence.pool.found.len() {
        let group = evidence.groups.of(at);
        members.entry(group).or_default().push(at as u32);
    }
    let boots = boot_times(evidence, wanted);
    let mut carved: Vec<(i64, Vec<Carved>)> = Vec::new();
    for records in members.into_values() {
        let mut one = Connection {
            evidence,
            held: &held,
            boots: &boots,
            wanted,
            packets,
            counts: &mut counts,
        };
        let messages = one.messages(records);
        let first = messages.first().and_then(|message| message.records.first());
        let time = first.and_then(|(at, _)| evidence.pool.found.get(*at as usize));
        if let Some(found) = time {
            carved.push((found.uptime_us, messages));
        }
    }
    carved.sort_by_key(|(time, _)| *time);
    (
        carved.into_iter().flat_map(|(_, all)| all).collect(),
        counts,
    )
}

fn held(evidence: &Evidence<'_>) -> HashMap<u32, Place> {
    let mut held = HashMap::new();
    let holder = |list: &usize| {
        evidence
            .owners
            .get(*list)
            .map(|owner| (!owner.is_exact, rank_of(owner.holder)))
    };
    // Of several heads of one list, some are copies: what is known best counts.
    let mut order: Vec<usize> = (0..evidence.lists.len()).collect();
    order.sort_by_key(|list| (std::cmp::Reverse(holder(list)), *list));
    for number in order {
        let Some(list) = evidence.lists.get(number) else {
            continue;
        };
        for record in &list.records {
            held.insert(*record, Place::List(number as u32));
        }
    }
    for (number, block) in evidence.blocks.iter().enumerate() {
        for record in &block.records {
            held.insert(*record, Place::Block(number as u32));
        }
    }
    held
}

/// The boot time of each boot of the clock, as messages in memory tell.
pub fn boot_times(evidence: &Evidence<'_>, wanted: &Wanted) -> HashMap<Option<usize>, i64> {
    let mut times = HashMap::new();
    for block in evidence.blocks {
        let Some(dialect) = evidence.pool.kinds.dialects.get(block.dialect) else {
            continue;
        };
        let first = block.records.first().map(|at| *at as usize);
        let found = first.and_then(|at| evidence.pool.found.get(at));
        if let (Some(header), Some(found)) = (Header::new(&block.header, dialect), found) {
            let boot = evidence.clock.boot(found);
            times.entry(boot).or_insert_with(|| header.boot_us());
        }
    }
    if let Some(boot_us) = wanted.boot_us {
        // Said by the user or by symbols.
        times.entry(Some(evidence.boot)).or_insert(boot_us);
        times.entry(None).or_insert(boot_us);
    }
    times
}

/// One connection on its way to messages.
struct Connection<'e, 'a> {
    evidence: &'e Evidence<'a>,
    held: &'e HashMap<u32, Place>,
    boots: &'e HashMap<Option<usize>, i64>,
    wanted: &'e Wanted,
    packets: &'e HashMap<(u16, u16), Option<Ends>>,
    counts: &'e mut Counts,
}

impl Connection<'_, '_> {
    fn messages(&mut self, mut records: Vec<u32>) -> Vec<Carved> {
        let pool = self.evidence.pool;
        let size = records.len();
        records.retain(|at| {
            let keep = self.confidence(*at, size) >= self.wanted.min_confidence;
            self.counts.doubtful += u64::from(!keep);
            keep
        });
        if self.wanted.live_only {
            records.retain(|at| {
                let keep = self.life(*at) == Life::Live;
                self.counts.not_live += u64::from(!keep);
                keep
            });
        }
        let key = |at: &u32| {
            let found = pool.found.get(*at as usize);
            found.map(|found| (found.sn, std::cmp::Reverse(self.rank(*at)), found.offset))
        };
        records.sort_by_cached_key(key);
        let records = self.without_copies(records);
        if records.is_empty() {
            return Vec::new();
        }
        let own = self.own_label(&records);
        let mut messages: Vec<Labelled> = Vec::new();
        for (at, origin) in records {
            let label = self.label(at, &own);
            self.counts.joined += u64::from(label.ends.is_some() || label.block.is_some());
            match origin.life {
                Life::Live => self.counts.live += 1,
                Life::Dead => self.counts.dead += 1,
                Life::Unknown => self.counts.unknown += 1,
            }
            let dialect = pool
                .found
                .get(at as usize)
                .map_or(0, |f| pool.dialect_number(f));
            match messages.last_mut() {
                Some((last, number, records)) if (&*last, *number) == (&label, dialect) => {
                    records.push((at, origin));
                }
                _ => messages.push((label, dialect, vec![(at, origin)])),
            }
        }
        let is_joined =
            |(label, ..): &(Label, usize, _)| label.ends.is_some() || label.block.is_some();
        match messages.iter().any(is_joined) {
            true => self.counts.connections += 1,
            false => self.counts.unjoined += 1,
        }
        let ports = self.ports(&messages);
        messages
            .into_iter()
            .filter_map(|(label, dialect, records)| self.message(label, dialect, records, ports))
            .collect()
    }

    fn ports(&self, messages: &[Labelled]) -> Option<(u16, u16)> {
        let records = messages.iter().flat_map(|(_, _, records)| records);
        let found = |at: u32| self.evidence.pool.found.get(at as usize);
        records.into_iter().find_map(|(at, _)| found(*at)?.ports)
    }

    fn message(
        &self,
        label: Label,
        dialect: usize,
        records: Vec<(u32, Origin)>,
        ports: Option<(u16, u16)>,
    ) -> Option<Carved> {
        let pool = self.evidence.pool;
        let dialect = pool.kinds.dialects.get(dialect)?;
        let block = label
            .block
            .and_then(|at| self.evidence.blocks.get(at as usize));
        if let Some(block) = block {
            return Some(Carved {
                dialect: Arc::clone(dialect),
                header: block.header.clone(),
                known: Known::ALL,
                records,
            });
        }
        let first = records
            .first()
            .and_then(|(at, _)| pool.found.get(*at as usize));
        let boot = first.and_then(|found| self.evidence.clock.boot(found));
        let facts = Facts {
            endpoints: label.ends.as_ref().map(|ends| &ends.bytes),
            af: label.ends.map_or(0, |ends| ends.af),
            ports,
            id: label.id.as_deref(),
            tag: label.tag.as_deref(),
            reason: label.reason.as_deref(),
            boot_us: self.boots.get(&boot).copied(),
        };
        Some(Carved {
            dialect: Arc::clone(dialect),
            header: header::made(dialect, &facts, 0),
            known: Known {
                addresses: facts.endpoints.is_some(),
                ports: facts.endpoints.is_some() || ports.is_some(),
                clock: facts.boot_us.is_some(),
                names: facts.id.is_some() || facts.reason.is_some(),
            },
            records,
        })
    }

    /// What is known of the connection as a whole.
    fn own_label(&mut self, records: &[(u32, Origin)]) -> Label {
        let mut label = Label::default();
        let mut seen: Vec<(bool, Holder, u32)> = Vec::new();
        for (at, _) in records {
            if let Some(Place::List(list)) = self.held.get(at)
                && let Some(owner) = self.evidence.owners.get(*list as usize)
                && !seen.iter().any(|(_, _, known)| known == list)
            {
                seen.push((!owner.is_exact, owner.holder, *list));
            }
        }
        // A connection knows itself best.
        seen.sort_by_key(|(order, holder, list)| (*order, rank_of(*holder), *list));
        let owners = seen
            .iter()
            .filter_map(|(_, _, list)| self.evidence.owners.get(*list as usize));
        let mut conflict = false;
        for owner in owners {
            let is_set = |ends: &&Ends| ends.ports().1 != 0;
            match (label.ends, owner.ends.as_ref().filter(is_set)) {
                (None, ends) => label.ends = ends.copied(),
                (Some(known), Some(other)) => conflict |= known.bytes[..36] != other.bytes[..36],
                _ => {}
            }
            if label.id.is_none() {
                let known = owner.id.as_deref().filter(|id| *id != b"UNKNOWN");
                label.id = known.map(<[u8]>::to_vec);
                label.tag = label.id.as_ref().and(owner.tag.clone());
            }
        }
        self.counts.conflicts += u64::from(conflict);
        if label.ends.is_none() {
            let found = |at: u32| self.evidence.pool.found.get(at as usize);
            let ports = records.iter().find_map(|(at, _)| found(*at)?.ports);
            label.ends = ports.and_then(|ports| *self.packets.get(&ports)?);
        }
        label
    }

    /// What the message of a record says.
    fn label(&self, at: u32, own: &Label) -> Label {
        match self.held.get(&at) {
            Some(Place::Block(block)) => Label {
                block: Some(*block),
                ..Label::default()
            },
            Some(Place::List(list)) => match self.evidence.owners.get(*list as usize) {
                Some(owner) if owner.holder == Holder::Queue => Label {
                    ends: owner.ends,
                    id: owner.id.clone(),
                    tag: owner.tag.clone(),
                    reason: owner.reason.clone(),
                    block: None,
                },
                _ => own.clone(),
            },
            None => own.clone(),
        }
    }

    fn life(&self, at: u32) -> Life {
        if let Some(reached) = self.evidence.reached {
            return match reached.contains(&at) {
                true => Life::Live,
                false => Life::Dead,
            };
        }
        let is_held = match self.held.get(&at) {
            Some(Place::List(list)) => match self.evidence.owners.get(*list as usize) {
                // A head may be left over in freed memory, too.
                Some(owner) if owner.holder == Holder::Unknown => return Life::Unknown,
                _ => true,
            },
            Some(Place::Block(block)) => {
                let block = self.evidence.blocks.get(*block as usize);
                // Large ones lie in the kernel map; who points there is not known.
                if block.is_some_and(|block| !block.is_live && block.is_large()) {
                    return Life::Unknown;
                }
                block.is_some_and(|block| block.is_live)
            }
            None => false,
        };
        if is_held {
            Life::Live
        } else if self.evidence.is_complete {
            Life::Dead
        } else {
            Life::Unknown
        }
    }

    /// Of copies, which one tells most.
    fn rank(&self, at: u32) -> u8 {
        let reached = self.evidence.reached;
        match self.held.get(&at) {
            _ if reached.is_some_and(|reached| !reached.contains(&at)) => 0,
            _ if self.life(at) == Life::Live => 3,
            Some(Place::Block(_)) => 2,
            Some(Place::List(_)) => 1,
            None => 0,
        }
    }

    fn confidence(&self, at: u32, size: usize) -> u8 {
        let evidence = self.evidence;
        let Some(found) = evidence.pool.found.get(at as usize) else {
            return 0;
        };
        let linked = evidence
            .linked
            .get(at as usize)
            .copied()
            .unwrap_or_default();
        let has_clock = evidence.clock.boot(found).is_some();
        let signs = [
            (found.is_set_up, sign::FIELDS),
            (has_clock, sign::CLOCK),
            (linked.forward || linked.back, sign::LINK),
            // Records of another boot are no company.
            (size >= 3 && has_clock, sign::GROUP),
            (self.is_in_place(at), sign::PAGE),
            (self.held.contains_key(&at), sign::HELD),
        ];
        let sum: u32 = signs
            .iter()
            .map(|(is, worth)| if *is { *worth } else { 0 })
            .sum();
        sum.min(100) as u8
    }

    /// Whether a record stands where the allocator puts items in a page.
    fn is_in_place(&self, at: u32) -> bool {
        let pool = self.evidence.pool;
        let place = pool.found.get(at as usize).and_then(|found| {
            let dialect = pool.dialect(found)?;
            let item = pool.item_address(found)? % 4096;
            let size = (super::candidate::LINK + dialect.record.size + dialect.verbose.size) as u64;
            // INVARIANTS adds a reference count.
            Some(
                [size, size + 8]
                    .iter()
                    .any(|size| item % size == 0 && item + size <= 4096),
            )
        });
        place.unwrap_or(false)
    }

    /// Leaves one of equal records with the same serial number.
    fn without_copies(&mut self, records: Vec<u32>) -> Vec<(u32, Origin)> {
        let pool = self.evidence.pool;
        let size = records.len();
        let mut kept: Vec<(u32, Origin)> = Vec::with_capacity(size);
        let (mut bytes, mut other) = (Vec::new(), Vec::new());
        for at in records {
            let Some(found) = pool.found.get(at as usize) else {
                continue;
            };
            let same_serial = kept
                .iter_mut()
                .rev()
                .take(MOST_ALIKE)
                .take_while(|(before, _)| {
                    let before = pool.found.get(*before as usize);
                    before.is_some_and(|before| before.sn == found.sn)
                });
            let mut is_copy = false;
            for (before, origin) in same_serial {
                let Some(before) = pool.found.get(*before as usize) else {
                    continue;
                };
                if pool.read(found, &mut bytes)
                    && pool.read(before, &mut other)
                    && is_same(&bytes, &other, pool.dialect(found))
                {
                    origin.copies += 1;
                    self.counts.copies += 1;
                    is_copy = true;
                    break;
                }
            }
            if !is_copy {
                let origin = Origin {
                    image_offset: found.offset,
                    virtual_address: pool.space.virtual_of(found.offset),
                    physical_address: pool.space.physical_of(found.offset),
                    life: self.life(at),
                    confidence: self.confidence(at, size),
                    copies: 0,
                    at: 0,
                };
                kept.push((at, origin));
            }
        }
        kept
    }
}

fn rank_of(holder: Holder) -> u8 {
    match holder {
        Holder::Connection => 0,
        Holder::Node => 1,
        Holder::Queue => 2,
        Holder::Unknown => 3,
    }
}

/// Whether two records say the same; what their flags leave out may differ.
fn is_same(a: &[u8], b: &[u8], dialect: Option<&Dialect>) -> bool {
    if a == b {
        return true;
    }
    let Some(dialect) = dialect else { return false };
    let [Some(a), Some(b)] = [a, b].map(|bytes| Record::new(bytes, dialect)) else {
        return false;
    };
    let info = |record: &Record<'_>| record.stackinfo().map(|info| info.bytes().to_vec());
    // Time, ticks, serial number, stack, event, flags, errno, and the state.
    let start = usize::from(dialect.record_slots.state.offset);
    let state = start..usize::from(dialect.record_slots.stackinfo.offset);
    let head = ..usize::from(dialect.record_slots.errno.offset) + 4;
    a.bytes().get(head) == b.bytes().get(head)
        && a.bytes().get(state.clone()) == b.bytes().get(state)
        && a.payload_len() == b.payload_len()
        && info(&a) == info(&b)
        && a.tcp().map(|tcp| tcp.bytes()) == b.tcp().map(|tcp| tcp.bytes())
        && (a.rxbuf(), a.txbuf()) == (b.rxbuf(), b.txbuf())
        && a.verbose_bytes() == b.verbose_bytes()
}
