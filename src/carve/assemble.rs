//! Mbufs and queues that a scan found become packets.

use super::best_fit::{behead, is_best_fit};
use super::chain::{Gathered, Mbufs};
use super::mbuf::Mbuf;
use super::mbufq::{Direction, LONGEST, Mbufq};
use super::packet::{Packet, Queue, numbers};
use super::repair::{repair, signs};
use super::segment::{IP_MAXPACKET, Segment};
use super::tcppcap::{Found, Rejected, begins_segment};
use crate::bblog::Life;
use crate::memory::AddressSpace;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

/// How many bytes all packets take.
const MOST_MEMORY: usize = 512 << 20;
/// How many links of queues are followed in all, so that many queues that share
/// one long list cost no more than this.
const MOST_STEPS: usize = 4 << 20;
/// How far numbers of one connection lie apart at most.
const NEAR: u32 = 1 << 28;

/// Makes packets: first those of queues, by the place of the queue, each queue
/// from its oldest packet on, then the linked and the dead ones by place.
/// Gives also what was rejected, by the scan and here.
pub fn assemble(space: &dyn AddressSpace, found: Found) -> (Vec<Packet>, Rejected) {
    let mut work = Work {
        mbufs: Mbufs {
            space,
            by_address: HashMap::new(),
        },
        taken: HashSet::new(),
        storage: HashSet::new(),
        packets: Vec::new(),
        weight: 0,
        rejected: found.rejected,
    };
    let mut mbufs = found.mbufs;
    mbufs.sort_unstable_by_key(|mbuf| mbuf.offset);
    mbufs.dedup_by_key(|mbuf| mbuf.offset);
    for mbuf in &mut mbufs {
        mbuf.address = space.virtual_of(mbuf.offset).or(mbuf.address);
        if let Some(address) = mbuf.linked_address() {
            work.mbufs.by_address.entry(address).or_insert(*mbuf);
        }
    }
    work.queues(found.queues);
    let mut free: Vec<(Mbuf, Segment)> = Vec::new();
    for mbuf in mbufs {
        if let Some(one) = work.head(mbuf) {
            free.push(one);
        }
    }
    let free = work.linked(free);
    work.dead(free);
    (work.packets, work.rejected)
}

struct Work<'a> {
    mbufs: Mbufs<'a>,
    /// Offsets of the mbufs of packets that were made.
    taken: HashSet<u64>,
    /// Addresses of the data in external storage with which they begin.
    storage: HashSet<u64>,
    packets: Vec<Packet>,
    weight: usize,
    rejected: Rejected,
}

impl Work<'_> {
    /// Makes the packets of all queues that hold what they say.
    fn queues(&mut self, mut queues: Vec<Mbufq>) {
        queues.sort_unstable_by_key(|queue| queue.offset);
        queues.dedup_by_key(|queue| queue.offset);
        let space = self.mbufs.space;
        // What is left of a queue on a stack has no second one beside it.
        let mut sided: Vec<_> = queues
            .into_iter()
            .map(|queue| (queue.side(space), queue))
            .collect();
        sided.sort_by_key(|((side, _), _)| side.is_none());
        let mut firsts = HashSet::new();
        let mut steps = MOST_STEPS;
        let mut kept = Vec::new();
        for ((side, address), queue) in sided {
            if firsts.contains(&queue.first) {
                self.rejected.queues += 1;
                continue;
            }
            match self.walk(&queue, &mut steps) {
                Some(list) => {
                    firsts.insert(queue.first);
                    self.taken.extend(list.iter().map(|mbuf| mbuf.offset));
                    kept.push((queue, side, address, list));
                }
                None => self.rejected.queues += 1,
            }
        }
        kept.sort_by_key(|(queue, ..)| queue.offset);
        for (queue, side, address, list) in kept {
            let len = list.len() as u32;
            let held = Queue {
                offset: Some(queue.offset),
                address: address.or_else(|| space.virtual_of(queue.offset)),
                first: queue.first,
                index: 0,
                len,
                most: queue.lengths.map(|(_, most)| most),
            };
            self.hold(held, side, &list, 100);
        }
    }

    /// The first mbufs of the packets of a queue, when they are what it says.
    fn walk(&self, queue: &Mbufq, steps: &mut usize) -> Option<Vec<Mbuf>> {
        let (mut list, mut last, mut next) = (Vec::new(), 0, queue.first);
        let most = queue.lengths.map_or(LONGEST, |(len, _)| len) as usize;
        while next != 0 {
            if list.len() == most || *steps == 0 {
                return None;
            }
            *steps -= 1;
            let mbuf = self.mbufs.at(next).ok()?;
            // The first that is none ends a long walk at once.
            let saved = mbuf.may_begin_saved()
                && (begins_segment(self.mbufs.space, &mbuf)? || is_best_fit(&mbuf));
            if !saved || self.taken.contains(&mbuf.offset) {
                return None;
            }
            (last, next) = (next, mbuf.next_packet);
            list.push(mbuf);
        }
        let len = list.len();
        let agrees = queue.lengths.is_none_or(|(said, _)| said as usize == len);
        (agrees && last == queue.last).then_some(list)
    }

    /// Makes the packets that are held together.
    fn hold(&mut self, held: Queue, side: Option<Direction>, list: &[Mbuf], confidence: u8) {
        // What the packets say counts for more than what stands beside the queue.
        let (mut coming, mut going, mut sibling) = (false, false, None);
        for mbuf in list {
            let bytes = self.mbufs.gather(mbuf, true, &self.taken).bytes;
            let Some(segment) = Segment::find(&bytes) else {
                continue;
            };
            sibling = sibling.or(Some(segment));
            match signs(&bytes, &segment, false).direction {
                Some(Direction::In) => coming = true,
                Some(Direction::Out) => going = true,
                None => {}
            }
        }
        let direction = match (coming, going) {
            (false, true) => Some(Direction::Out),
            (true, false) => Some(Direction::In),
            _ => side,
        };
        for (index, mbuf) in (0..).zip(list) {
            if self.is_full() {
                continue;
            }
            let live = (Life::Live, confidence, Some(Queue { index, ..held }));
            let all = self.mbufs.gather(mbuf, true, &self.taken);
            let beheaded = |all| sibling.and_then(|sibling| behead(all, &sibling));
            let found = match Segment::find(&all.bytes) {
                Some(segment) => Some((all, segment)),
                None => beheaded(all),
            };
            match found {
                Some((all, segment)) => self.keep(all, segment, direction, live, mbuf),
                None => self.rejected.no_segment += 1,
            }
        }
    }

    /// Whether no more packets are made; counts the one that is left out.
    fn is_full(&mut self) -> bool {
        let full = self.weight >= MOST_MEMORY;
        self.rejected.beyond += u64::from(full);
        full
    }

    /// An mbuf that no queue holds, when a packet begins with it.
    fn head(&mut self, mbuf: Mbuf) -> Option<(Mbuf, Segment)> {
        if self.taken.contains(&mbuf.offset) {
            return None;
        }
        match begins_segment(self.mbufs.space, &mbuf) {
            Some(true) => {}
            Some(false) => {
                self.rejected.no_segment += 1;
                return None;
            }
            None => {
                self.rejected.unresolved += 1;
                return None;
            }
        }
        if mbuf.ext.is_some() && self.storage.contains(&mbuf.data) {
            self.rejected.duplicate += 1;
            return None;
        }
        // The headers are in the first mbuf as a rule.
        let segment = self.mbufs.begin(&mbuf).or_else(|| {
            let all = self.mbufs.gather(&mbuf, false, &self.taken);
            Segment::find(&all.bytes)
        });
        if segment.is_none() {
            self.rejected.no_segment += 1;
        }
        Some((mbuf, segment?))
    }

    /// Makes packets that are linked to others of their connection: the kernel
    /// clears the link when it takes a packet out of a queue, so these are in
    /// one whose head was not found. Gives the others.
    fn linked(&mut self, free: Vec<(Mbuf, Segment)>) -> Vec<(Mbuf, Segment)> {
        let mut places = HashMap::new();
        for (index, (mbuf, ..)) in free.iter().enumerate() {
            if let Some(address) = mbuf.linked_address() {
                places.entry(address).or_insert(index);
            }
        }
        let ends = |segment: &Segment| (segment.source, segment.destination);
        let next: Vec<Option<usize>> = (free.iter())
            .map(|(mbuf, segment)| {
                let to = *places.get(&mbuf.next_packet)?;
                let (_, other) = free.get(to)?;
                (ends(other) == ends(segment)).then_some(to)
            })
            .collect();
        let targets: HashSet<usize> = next.iter().flatten().copied().collect();
        let mut held = HashSet::new();
        for start in (0..free.len()).filter(|index| !targets.contains(index)) {
            let mut chain = Vec::new();
            let mut at = Some(start);
            while let Some(index) = at.filter(|index| !held.contains(index)) {
                if chain.len() == LONGEST as usize {
                    break;
                }
                held.insert(index);
                chain.push(index);
                at = next.get(index).copied().flatten();
            }
            if chain.len() < 2 {
                held.remove(&start);
                continue;
            }
            let list: Vec<Mbuf> = (chain.iter())
                .filter_map(|&index| free.get(index).map(|(mbuf, ..)| *mbuf))
                .collect();
            let first = list.first().and_then(Mbuf::linked_address);
            let queue = Queue {
                offset: None,
                address: None,
                first: first.unwrap_or(0),
                index: 0,
                len: list.len() as u32,
                most: None,
            };
            self.taken.extend(list.iter().map(|mbuf| mbuf.offset));
            self.hold(queue, None, &list, 95);
        }
        let rest = free.into_iter().enumerate();
        rest.filter(|(index, _)| !held.contains(index))
            .map(|(_, one)| one)
            .collect()
    }

    /// Makes the packets that nothing holds any more, when they bear the signs
    /// of TCPPCAP, or are right packets.
    fn dead(&mut self, free: Vec<(Mbuf, Segment)>) {
        let mut known: HashMap<(SocketAddr, SocketAddr), (u32, u32)> = HashMap::new();
        for packet in &self.packets {
            known.insert(
                (packet.source, packet.destination),
                (packet.seq, packet.ack),
            );
        }
        for (mbuf, segment) in free {
            if self.is_full() {
                continue;
            }
            // What was made since may hold a part of it.
            let same_storage = mbuf.ext.is_some() && self.storage.contains(&mbuf.data);
            if same_storage || self.taken.contains(&mbuf.offset) {
                self.rejected.duplicate += 1;
                continue;
            }
            let all = self.mbufs.gather(&mbuf, false, &self.taken);
            let captured = all.bytes.len();
            let long = captured > IP_MAXPACKET;
            if captured > segment.length as usize && !long {
                self.rejected.length += 1;
                continue;
            }
            let whole = captured == segment.length as usize || long;
            let signs = signs(&all.bytes, &segment, whole);
            let sibling = known.get(&(segment.source, segment.destination));
            let direction = match signs.direction {
                None if signs.finished => None,
                None => {
                    match sibling.and_then(|known| order(&all.bytes, &segment, *known, whole)) {
                        Some(direction) => direction,
                        None => {
                            self.rejected.checksum += 1;
                            continue;
                        }
                    }
                }
                some => some,
            };
            if !signs.header {
                self.rejected.checksum += 1;
                continue;
            }
            // Storage is given to others sooner than the mbufs that point to it.
            let own = all.places.len() == 1 && mbuf.ext.is_none();
            let confidence = match (signs.direction, whole, sibling) {
                (None, ..) => 40,
                _ if !own => 70,
                (_, true, Some(_)) => 90,
                (_, true, None) => 80,
                (_, false, None) => 60,
                (_, false, Some(_)) => 70,
            };
            let dead = (Life::Dead, confidence, None);
            self.keep(all, segment, direction, dead, &mbuf);
        }
    }

    fn keep(
        &mut self,
        all: Gathered,
        segment: Segment,
        direction: Option<Direction>,
        (life, confidence, queue): (Life, u8, Option<Queue>),
        head: &Mbuf,
    ) {
        let Gathered {
            mut bytes,
            places,
            mut cut,
            beheaded,
        } = all;
        let length = match bytes.len() > IP_MAXPACKET {
            true => bytes.len() as u32,
            false => segment.length,
        };
        let behind = bytes.len() > length as usize;
        bytes.truncate(length as usize);
        let whole = bytes.len() == length as usize && beheaded.is_none();
        if whole {
            cut = None;
        } else if cut.is_none() {
            cut = Some(match is_best_fit(head) {
                true => "saved as far as one mbuf holds",
                false => "the rest was not saved",
            });
        }
        let mut repaired = Vec::new();
        let raw_headers = match beheaded {
            Some(raw) => {
                repaired
                    .push("IP header: made of others of the queue, the copy begins inside of it");
                raw
            }
            None => bytes.get(..segment.payload).unwrap_or(&[]).to_vec(),
        };
        if behind {
            repaired.push("bytes behind the packet: left out");
        }
        if life == Life::Dead && (places.len() > 1 || head.ext.is_some()) {
            repaired.push("payload: in freed mbufs, may be another's");
        }
        repaired.extend(repair(&mut bytes, &segment, direction, whole));
        let Some((seq, ack, flags)) = numbers(&bytes, &segment) else {
            self.rejected.no_segment += 1;
            return;
        };
        let packet = Packet {
            direction,
            length,
            source: segment.source,
            destination: segment.destination,
            seq,
            ack,
            flags,
            payload: segment.payload.min(bytes.len())..bytes.len(),
            repaired,
            cut,
            mbufs: places,
            queue,
            life,
            confidence,
            headers: segment.payload,
            raw_headers,
            bytes,
        };
        self.weight += packet.weight();
        self.taken
            .extend(packet.mbufs.iter().map(|place| place.offset));
        if head.ext.is_some() {
            self.storage.insert(head.data);
        }
        self.packets.push(packet);
    }
}

/// In which order the numbers of a packet fit those of another of its
/// connection, when its checksum tells nothing: those of a packet that came in
/// are in host order. None: they fit in neither, or the checksum of a whole
/// packet is wrong.
fn order(
    bytes: &[u8],
    segment: &Segment,
    (seq, ack): (u32, u32),
    whole: bool,
) -> Option<Option<Direction>> {
    let near = |a: u32, b: u32| a.wrapping_sub(b).min(b.wrapping_sub(a)) < NEAR;
    let (its_seq, its_ack, _) = numbers(bytes, segment)?;
    let network = near(its_seq, seq) && near(its_ack, ack);
    let host = near(its_seq.swap_bytes(), seq) && near(its_ack.swap_bytes(), ack);
    match (host, network) {
        (true, false) => Some(Some(Direction::In)),
        (false, true) if !whole => Some(None),
        _ => None,
    }
}
