//! What the symbols of a kernel file tell of an image, and whether the search
//! without them says the same.
//!
//! The walk from the symbols knows who holds which records, so it decides;
//! what it does not reach is free. That holds only for a walk that came through:
//! with another kernel's file it leads astray, and then it adds to what the
//! search found and takes nothing away.

use super::blocks::Block;
use super::candidate::LINK;
use super::clock::Clock;
use super::lists::{List, adopt};
use super::owner::{Ends, Holder, Owner};
use super::pool::Pool;
use crate::bblog::until_nul;
use crate::format::{Order, Structures};
use crate::kernel::{self, Chain, KernelFile, Walked};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Disagreements that are told in words.
const MOST_TOLD: usize = 10;

/// What the symbols told.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    /// What was found from the symbols on.
    pub walked: Walked,
    /// Records that the walk reached, by their numbers in the pool.
    pub reached: HashSet<u32>,
    /// Lists and expanded messages that hold them.
    pub holders: usize,
    /// Of these records, those that the search did not take for records.
    pub adopted: usize,
    /// The walk came through, so that what it did not reach is free.
    pub is_exact: bool,
    /// The boot of the clock that the walk is about.
    pub boot: usize,
    /// How often the search says something else.
    pub disagreements: usize,
    /// The first of them in words.
    pub told: Vec<String>,
    /// The kernel file calls itself otherwise than the image does: the file's
    /// words, and the image's.
    pub versions: Option<(String, String)>,
    /// Names of TCP stacks by their id.
    pub stacks: HashMap<u8, Arc<str>>,
}

/// A list that the walk came to.
struct Held {
    /// Of the structure that holds it.
    address: u64,
    /// Where its head stands in the image.
    offset: u64,
    chain: Chain,
    owner: Owner,
    records: Vec<u32>,
    /// It ends where and after as many records as the kernel says.
    is_whole: bool,
}

/// Walks the image from the symbols on, and puts what holds records into
/// `lists` and `owners`, in place of what the search thought of them.
pub fn apply(
    pool: &mut Pool<'_>,
    kernel: &KernelFile,
    kernels: &[Structures],
    lists: &mut Vec<List>,
    owners: &mut Vec<Owner>,
    blocks: &[Block],
) -> Symbols {
    let (number, structures) = match kernel.structures.is_empty() {
        false => (None, &kernel.structures),
        // Without debug information the offsets are those that fit best.
        true => {
            let number = most(owners.iter().filter_map(|owner| owner.kernel));
            let voted = number.and_then(|number| kernels.get(number));
            (number, voted.unwrap_or(&kernel.structures))
        }
    };
    let number = number.or_else(|| kernels.iter().position(|known| known == structures));
    let mut walked = kernel::walk(pool.space, kernel, structures);
    let versions = match (&kernel.version, &walked.version) {
        (Some(file), Some(image)) if file != image => Some((file.clone(), image.clone())),
        _ => None,
    };
    // Told by itself.
    walked
        .problems
        .retain(|problem| versions.is_none() || !problem.starts_with("the kernel file is "));
    let stacks = walked.stacks.iter();
    let mut symbols = Symbols {
        stacks: stacks
            .map(|(id, name)| (*id, Arc::from(name.as_str())))
            .collect(),
        is_exact: versions.is_none() && walked.problems.is_empty() && !walked.vnets.is_empty(),
        versions,
        ..Symbols::default()
    };
    let mut offsets: HashMap<u64, u32> = HashMap::with_capacity(pool.found.len());
    offsets.extend((0u32..).zip(&pool.found).map(|(at, one)| (one.offset, at)));
    let reader = Reader {
        kernel,
        structures,
        number,
    };
    let mut all = reader.held(pool, &walked);
    for held in &mut all {
        let before = pool.found.len();
        follow(pool, &reader, &mut offsets, held);
        symbols.adopted += pool.found.len() - before;
    }
    symbols.messages(pool, &walked, blocks);
    symbols.compare(pool, &mut all, lists, owners);
    // Both of what is in both places; a list that breaks off leads nowhere.
    all.retain(|held| !held.records.is_empty());
    let heads: HashSet<u64> = all.iter().map(|held| held.offset).collect();
    let kept = std::mem::take(lists)
        .into_iter()
        .zip(std::mem::take(owners))
        .filter(|(list, _)| !heads.contains(&list.offset));
    (*lists, *owners) = kept.unzip();
    symbols.holders += all.len();
    for held in all {
        symbols.reached.extend(&held.records);
        lists.push(List {
            offset: held.offset,
            records: held.records,
        });
        owners.push(held.owner);
    }
    symbols.walked = walked;
    symbols
}

/// What is there most often.
fn most(all: impl Iterator<Item = usize>) -> Option<usize> {
    let mut votes: HashMap<usize, usize> = HashMap::new();
    for one in all {
        *votes.entry(one).or_insert(0) += 1;
    }
    let best = votes
        .into_iter()
        .max_by_key(|(one, count)| (*count, std::cmp::Reverse(*one)));
    best.map(|(one, _)| one)
}

/// Finds the records of a list.
fn follow(
    pool: &mut Pool<'_>,
    reader: &Reader<'_>,
    offsets: &mut HashMap<u64, u32>,
    held: &mut Held,
) {
    let (items, is_whole) =
        kernel::records(pool.space, reader.kernel, reader.structures, held.chain);
    for item in &items {
        let place = item.checked_add(LINK as u64);
        let Some((offset, _)) = place.and_then(|place| pool.space.find_virtual(place)) else {
            continue;
        };
        let record = match offsets.get(&offset) {
            Some(known) => Some(*known),
            // Of a list that breaks off only what the search knows is believed.
            None if is_whole => adopt(pool, *item).map(|at| at as u32),
            None => None,
        };
        if let Some(record) = record {
            offsets.insert(offset, record);
            held.records.push(record);
        }
    }
    held.is_whole = is_whole && held.records.len() == items.len();
}

impl Symbols {
    fn disagree(&mut self, what: String) {
        self.disagreements += 1;
        if self.told.len() < MOST_TOLD {
            self.told.push(what);
        }
    }

    /// Messages of the queue that a reader began with.
    fn messages(&mut self, pool: &Pool<'_>, walked: &Walked, blocks: &[Block]) {
        for queued in &walked.queue {
            let Some(buffer) = queued.buffer else {
                continue;
            };
            let place = pool.space.find_virtual(buffer).map(|(offset, _)| offset);
            let block = blocks.iter().find(|block| Some(block.offset) == place);
            match block {
                Some(block) => {
                    self.holders += 1;
                    self.reached.extend(&block.records);
                    if !block.is_whole {
                        self.disagree(format!(
                            "of the queue's message at {buffer:#x} only {} records were found",
                            block.records.len()
                        ));
                    }
                }
                None => self.disagree(format!(
                    "the queue's message at {buffer:#x} was not found by the search"
                )),
            }
        }
    }

    /// Holds the lists of the walk against those of the search, and takes from
    /// these what the walk does not know.
    fn compare(&mut self, pool: &Pool<'_>, all: &mut [Held], lists: &[List], owners: &[Owner]) {
        let searched: HashMap<u64, (&List, &Owner)> = lists
            .iter()
            .zip(owners)
            .map(|(list, owner)| (list.offset, (list, owner)))
            .collect();
        let mut known = HashSet::new();
        let mut reached = self.reached.clone();
        for held in all.iter_mut() {
            let what = name(&held.owner, held.address);
            let other = searched.get(&held.offset);
            if held.is_whole {
                reached.extend(&held.records);
            } else {
                self.is_exact = false;
                self.disagree(format!(
                    "{what} counts {} records, {} of them are there",
                    held.chain.count,
                    held.records.len()
                ));
                held.records.clear();
            }
            // Wrong offsets lead to another's endpoints, and records know ports.
            let ports = |at: &u32| pool.found.get(*at as usize)?.ports;
            let ports = held.records.iter().rev().find_map(ports);
            if let (Some(ends), Some(ports)) = (held.owner.ends, ports)
                && ends.ports() != ports
            {
                self.is_exact = false;
                self.disagree(format!("{what} has other ports than its records"));
                held.owner.ends = None;
            }
            let Some((list, owner)) = other else {
                if held.is_whole {
                    self.disagree(format!("the search did not find the list of {what}"));
                }
                continue;
            };
            known.insert(held.offset);
            if held.is_whole && list.records != held.records {
                self.disagree(format!(
                    "{what} holds {} records, by the search {}",
                    held.records.len(),
                    list.records.len()
                ));
            }
            if held.records.is_empty() {
                held.records.clone_from(&list.records);
            }
            self.owners(&what, &mut held.owner, owner);
        }
        let holders: HashMap<u32, &Held> = all
            .iter()
            .flat_map(|held| held.records.iter().map(move |record| (*record, held)))
            .collect();
        let (mut told, mut missed) = (Vec::new(), 0);
        for (list, owner) in lists.iter().zip(owners) {
            if known.contains(&list.offset) {
                continue;
            }
            let is_reached = |record: &u32| reached.contains(record);
            if list.records.iter().all(is_reached) {
                // A copy of a head, as on a stack, holds nothing; one in a freed
                // structure may lead the search to what that once was.
                let held = list.records.first().and_then(|one| holders.get(one));
                if let Some(held) = held
                    && owner.holder != Holder::Unknown
                    && is_other(&owner.reason, &held.owner.reason)
                {
                    told.push(format!(
                        "the list of {} has another head, with other texts, by the search",
                        name(&held.owner, held.address)
                    ));
                }
                continue;
            }
            missed += usize::from(owner.holder != Holder::Unknown);
            let at = pool.space.virtual_of(list.offset).unwrap_or(list.offset);
            told.push(format!(
                "the symbols do not lead to the list of {} records at {at:#x}",
                list.records.len()
            ));
        }
        // A walk that misses most of what is there was not of this kernel.
        self.is_exact &= missed <= all.len();
        told.into_iter().for_each(|what| self.disagree(what));
    }

    /// Holds what the walk says of a list's holder against what the search says.
    fn owners(&mut self, what: &str, ours: &mut Owner, theirs: &Owner) {
        let ends = |owner: &Owner| owner.ends.map(|ends| (ends.bytes, ends.af));
        if let (Some(a), Some(b)) = (ours.ends, theirs.ends)
            && ends(ours) != ends(theirs)
            && a.endpoints() != b.endpoints()
        {
            self.disagree(format!("{what} has other endpoints by the search"));
        }
        if is_other(&ours.id, &theirs.id)
            || is_other(&ours.tag, &theirs.tag)
            || is_other(&ours.reason, &theirs.reason)
        {
            self.disagree(format!("{what} has other texts by the search"));
        }
        if theirs.holder != Holder::Unknown && theirs.holder != ours.holder {
            self.disagree(format!("{what} is another structure by the search"));
        }
        ours.ends = ours.ends.or(theirs.ends);
        if ours.id.is_none() {
            ours.id.clone_from(&theirs.id);
            ours.tag.clone_from(&theirs.tag);
        }
    }

    /// Holds the clocks against each other; `boots` are the boot times that
    /// messages in memory tell.
    pub(super) fn clocks(
        &mut self,
        pool: &Pool<'_>,
        clock: &Clock,
        boots: &HashMap<Option<usize>, i64>,
    ) {
        let found = |at: &u32| pool.found.get(*at as usize);
        let of_boot = self.reached.iter().filter_map(found);
        self.boot = most(of_boot.filter_map(|found| clock.boot(found))).unwrap_or(0);
        if let Some(hz) = self.walked.hz
            && !clock.boots.is_empty()
            && hz != clock.hz
        {
            self.disagree(format!("hz is {hz}, by the records {}", clock.hz));
        }
        // The clock may have been set meanwhile.
        if let (Some(ours), Some(theirs)) = (self.walked.boot_us, boots.get(&Some(self.boot)))
            && ours.abs_diff(*theirs) > 2_000_000
        {
            let seconds = ours.abs_diff(*theirs) / 1_000_000;
            self.disagree(format!("the boot times are {seconds} seconds apart"));
        }
    }
}

/// Whether two texts are known and differ.
fn is_other(ours: &Option<Vec<u8>>, theirs: &Option<Vec<u8>>) -> bool {
    matches!((ours, theirs), (Some(ours), Some(theirs)) if ours != theirs)
}

/// What holds a list, in words.
fn name(owner: &Owner, at: u64) -> String {
    match owner.holder {
        Holder::Connection => format!("the tcpcb at {at:#x}"),
        Holder::Node => format!("the node at {at:#x}"),
        Holder::Queue => format!("the queue's entry at {at:#x}"),
        Holder::Unknown => format!("what is at {at:#x}"),
    }
}

/// Reads what the walk points to.
struct Reader<'k> {
    kernel: &'k KernelFile,
    structures: &'k Structures,
    /// Number of the structures among those tried.
    number: Option<usize>,
}

impl Reader<'_> {
    /// The lists of the walk. Texts are read as they are in memory.
    fn held(&self, pool: &Pool<'_>, walked: &Walked) -> Vec<Held> {
        let mut all = Vec::new();
        for pcb in &walked.pcbs {
            if let (Some(chain), Some(tcpcb)) = (pcb.log, pcb.tcpcb) {
                let mut owner = self.owner(Holder::Connection, tcpcb, pcb.ends);
                owner.kernel = self.number;
                self.names(pool, &mut owner, pcb.bucket);
                all.extend(self.list(pool, "tcpcb", "t_logs", tcpcb, chain, owner));
            }
        }
        for node in &walked.nodes {
            if let Some(chain) = node.log {
                let mut owner = self.owner(Holder::Node, node.address, node.ends);
                self.names(pool, &mut owner, node.bucket);
                all.extend(self.list(
                    pool,
                    "tcp_log_id_node",
                    "tln_entries",
                    node.address,
                    chain,
                    owner,
                ));
            }
        }
        const ENTRY: &str = "tcp_log_dev_log_queue";
        for queued in &walked.queue {
            if let Some(chain) = queued.log {
                let mut owner = self.owner(Holder::Queue, queued.address, queued.ends);
                let text = |field| self.text(pool, ENTRY, queued.address, field);
                owner.id = text("tldl_id");
                owner.tag = text("tldl_tag");
                owner.reason = text("tldl_reason");
                all.extend(self.list(pool, ENTRY, "tldl_entries", queued.address, chain, owner));
            }
        }
        all
    }

    fn owner(&self, holder: Holder, address: u64, ends: Option<kernel::Ends>) -> Owner {
        let order = match self.kernel.big_endian {
            true => Order::Big,
            false => Order::Little,
        };
        let mut owner = Owner::new(holder);
        owner.tcpcb = Some(address).filter(|_| holder == Holder::Connection);
        owner.is_exact = true;
        owner.ends = ends.map(|ends| {
            let mut own = Ends::of(ends.local, ends.foreign);
            order.write(&mut own.bytes, 36, 4, ends.zone.into());
            own
        });
        owner
    }

    /// Log ID and tag of a bucket.
    fn names(&self, pool: &Pool<'_>, owner: &mut Owner, bucket: Option<u64>) {
        let text = |field| self.text(pool, "tcp_log_id_bucket", bucket?, field);
        owner.id = text("tlb_id").filter(|id| !id.is_empty());
        owner.tag = owner.id.as_ref().and_then(|_| text("tlb_tag"));
    }

    fn text(&self, pool: &Pool<'_>, of: &str, address: u64, field: &str) -> Option<Vec<u8>> {
        let place = self.structures.place(of, field)?;
        let mut bytes = vec![0; (place.size as usize).min(256)];
        let start = address.checked_add(place.offset.into())?;
        let there = pool.space.read_virtual(start, &mut bytes);
        let text = until_nul(bytes.get(..there)?);
        (text.len() < bytes.len()).then(|| text.to_vec())
    }

    fn list(
        &self,
        pool: &Pool<'_>,
        of: &str,
        field: &str,
        address: u64,
        chain: Chain,
        owner: Owner,
    ) -> Option<Held> {
        let head = format!("{field}.stqh_first");
        let head = self.structures.place(of, &head)?;
        let head = address.checked_add(head.offset.into())?;
        let (offset, _) = pool.space.find_virtual(head)?;
        Some(Held {
            address,
            offset,
            chain,
            owner,
            records: Vec::new(),
            is_whole: false,
        })
    }
}
