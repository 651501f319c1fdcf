//! One pass over the image: every place where a record may be.

use super::candidate::{Found, LINK, is_record, is_set_up};
use super::pool::segment_ports;
use super::sieve::{Sieve, each_of};
use super::tcppcap;
use crate::bblog::Record;
use crate::format::{Abi, Dialect, Formats, Order};
use crate::input::detect::plausible_record;
use crate::memory::{AddressSpace, Extent, Machine};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are looked at in one go.
const WINDOW: u64 = 1 << 20;

/// Bytes of extents that one thread takes in one go.
const SHARE: u64 = 8 << 20;

/// Items, and records in messages, lie at multiples of this.
const ALIGNMENT: u64 = 8;

/// A record with its verbose part is shorter in every version.
pub const REACH: usize = 1024;

/// The kinds of records to look for.
#[derive(Clone, Debug)]
pub struct Kinds {
    pub dialects: Vec<Arc<Dialect>>,
    /// Each with the dialects whose records pass it, as bits.
    sieves: Vec<(Sieve, u32)>,
}

impl Kinds {
    /// Those that a machine can have written; an unknown one has 64 bits and
    /// little endian numbers, as nearly all have.
    pub fn of(formats: &Formats, machine: Option<Machine>) -> Kinds {
        let (abi, order) = match machine {
            Some(Machine::I386) => (Abi::I386, Order::Little),
            Some(Machine::Arm) => (Abi::Ilp32Time64, Order::Little),
            Some(Machine::Powerpc64) => (Abi::Lp64, Order::Big),
            Some(Machine::Amd64 | Machine::Arm64 | Machine::Riscv64) | None => {
                (Abi::Lp64, Order::Little)
            }
        };
        let wanted = |dialect: &&Arc<Dialect>| dialect.abi == abi && dialect.order == order;
        // As many as there are bits.
        let dialects: Vec<_> = formats.dialects.iter().filter(wanted).take(32).collect();
        let mut sieves: Vec<(Sieve, u32)> = Vec::new();
        for (at, dialect) in dialects.iter().enumerate() {
            let Some(sieve) = Sieve::of(dialect) else {
                continue;
            };
            match sieves.iter_mut().find(|(known, _)| *known == sieve) {
                Some((_, bits)) => *bits |= 1 << at,
                None => sieves.push((sieve, 1 << at)),
            }
        }
        Kinds {
            dialects: dialects.into_iter().cloned().collect(),
            sieves,
        }
    }

    /// Those whose bit is set.
    pub fn with(&self, bits: u32) -> impl Iterator<Item = (usize, &Dialect)> {
        let dialects = self.dialects.iter().enumerate();
        dialects
            .filter(move |(at, _)| bits & (1 << at) != 0)
            .map(|(at, dialect)| (at, &**dialect))
    }

    /// What is kept of the record at the start of `bytes`, if there is one.
    /// `next` is the word in front of it.
    pub fn found(&self, offset: u64, next: u64, bytes: &[u8], bits: u32) -> Option<Found> {
        self.found_by(offset, next, bytes, bits, |bytes, dialect| {
            is_record(bytes, dialect)
        })
    }

    /// As [`Kinds::found`], of bytes that something says are a record.
    pub fn lenient(&self, offset: u64, next: u64, bytes: &[u8]) -> Option<Found> {
        self.found_by(offset, next, bytes, u32::MAX, |bytes, dialect| {
            Record::new(bytes, dialect).filter(plausible_record)
        })
    }

    fn found_by<'b>(
        &'b self,
        offset: u64,
        next: u64,
        bytes: &'b [u8],
        bits: u32,
        is_one: impl Fn(&'b [u8], &'b Dialect) -> Option<Record<'b>>,
    ) -> Option<Found> {
        let mut found: Option<Found> = None;
        for (at, dialect) in self.with(bits) {
            let Some(record) = is_one(bytes, dialect) else {
                continue;
            };
            match &mut found {
                Some(found) => found.fits |= 1 << at,
                None => {
                    found = Some(Found {
                        offset,
                        next,
                        uptime_us: record.uptime_us(),
                        ticks: record.ticks(),
                        sn: record.sn(),
                        iss: record.iss(),
                        starttime: record.starttime(),
                        ports: segment_ports(&record),
                        fits: 1 << at,
                        is_set_up: is_set_up(&record),
                    });
                }
            }
        }
        found
    }
}

/// What one pass gathers.
#[derive(Debug, Default)]
pub struct Haul {
    /// In the order of the image.
    pub records: Vec<Found>,
    pub packets: tcppcap::Found,
}

impl Haul {
    fn candidates(&self) -> usize {
        self.records.len() + self.packets.mbufs.len()
    }
}

/// What to look for.
#[derive(Clone, Copy, Debug)]
pub struct For {
    pub records: bool,
    pub packets: bool,
    /// Where mbufs begin, modulo 256, where no addresses say so.
    pub phase: Option<u64>,
}

/// Looks at everything, with as many threads as said; `progress` is called with
/// the bytes that were done since the call before, and says whether to go on.
/// `None` if it was told to stop. `finds` is told how many candidates came up.
pub fn scan(
    space: &dyn AddressSpace,
    kinds: &Kinds,
    look: For,
    threads: usize,
    progress: &(dyn Fn(u64) -> bool + Sync),
    finds: &(dyn Fn(u64) + Sync),
) -> Option<Haul> {
    let hauls = in_shares(space, threads, progress, |windows, haul: &mut Haul| {
        windows.each(LINK, REACH, |window| {
            let before = haul.candidates();
            if look.records {
                records(window, kinds, &mut haul.records);
            }
            if look.packets {
                packets(space, window, look.phase, &mut haul.packets);
            }
            match haul.candidates() - before {
                0 => {}
                more => finds(more as u64),
            }
        });
    })?;
    let mut all = Haul::default();
    for haul in hauls {
        all.records.extend(haul.records);
        all.packets.append(haul.packets);
    }
    // Of a place that several sieves tell of, the first one's stays, whatever
    // the threads did.
    let order = |found: &Found| (found.offset, found.fits.trailing_zeros());
    all.records.sort_unstable_by_key(order);
    all.records.dedup_by(|later, kept| {
        let is_same = later.offset == kept.offset;
        if is_same {
            kept.fits |= later.fits;
        }
        is_same
    });
    if space
        .extents()
        .iter()
        .all(|extent| extent.virtual_.is_none())
    {
        keep_aligned(&mut all.records);
    }
    all.packets.mbufs.sort_unstable_by_key(|mbuf| mbuf.offset);
    all.packets
        .queues
        .sort_unstable_by_key(|queue| queue.offset);
    Some(all)
}

/// Of an image without addresses: records begin at the same place modulo 8, at
/// least within a part of it, as the image may be joined from several.
fn keep_aligned(records: &mut Vec<Found>) {
    let phase = |found: &Found| (found.offset % ALIGNMENT) as usize;
    let mut kept = Vec::with_capacity(records.len());
    for part in records.chunk_by(|a, b| a.offset / WINDOW == b.offset / WINDOW) {
        let mut votes = [0u32; ALIGNMENT as usize];
        for found in part {
            votes[phase(found)] += 1;
        }
        // All that nearly as many agree on: parts may meet within a window.
        let most = votes.iter().copied().max().unwrap_or(0);
        kept.extend(part.iter().filter(|found| votes[phase(found)] * 8 >= most));
    }
    *records = kept;
}

fn records(window: &Window<'_>, kinds: &Kinds, found: &mut Vec<Found>) {
    let body = window.body();
    // The sieve looks at so much of a record that begins in the body.
    let end = (body.end + REACH).min(window.bytes.len());
    let Some(bytes) = window.bytes.get(body.start..end) else {
        return;
    };
    let sieves = kinds.sieves.iter().map(|(sieve, _)| sieve);
    each_of(sieves, bytes, |at, number| {
        if at >= body.len() {
            return;
        }
        let at = body.start + at;
        if window
            .phase
            .is_some_and(|phase| !(phase + at as u64).is_multiple_of(ALIGNMENT))
        {
            return;
        }
        let (Some(record), Some((_, bits))) = (window.bytes.get(at..), kinds.sieves.get(number))
        else {
            return;
        };
        let next = link(window.bytes, at, kinds);
        found.extend(kinds.found(window.offset + at as u64, next, record, *bits));
    });
}

fn packets(
    space: &dyn AddressSpace,
    window: &Window<'_>,
    phase: Option<u64>,
    found: &mut tcppcap::Found,
) {
    let body = window.body();
    let start = window.offset + body.start as u64;
    let phase = match phase {
        Some(first) => start.wrapping_sub(first) % tcppcap::PAGE,
        None => tcppcap::phase(space, start),
    };
    if let Some(bytes) = window.bytes.get(body) {
        tcppcap::scan(space, start, bytes, phase, found);
    }
}

/// The word in front of `at`; 0 where it is not there.
fn link(bytes: &[u8], at: usize, kinds: &Kinds) -> u64 {
    let Some(dialect) = kinds.dialects.first() else {
        return 0;
    };
    let before = at.checked_sub(LINK);
    before
        .and_then(|before| dialect.order.read(bytes, before, dialect.abi.long()))
        .unwrap_or(0)
}

/// A part of an extent, with what lies around it.
pub struct Window<'a> {
    /// Where `bytes` begins in the image.
    pub offset: u64,
    pub bytes: &'a [u8],
    /// The address of the first byte, where known, modulo a page or more.
    phase: Option<u64>,
    before: usize,
    len: usize,
}

impl Window<'_> {
    /// The part proper; around it is what belongs to other windows.
    pub fn body(&self) -> std::ops::Range<usize> {
        self.before..self.before + self.len
    }
}

/// A part of an extent.
#[derive(Clone, Copy)]
struct Part {
    offset: u64,
    len: u64,
    /// Bytes of the extent before it.
    before: u64,
}

/// The windows of some extents.
pub struct Windows<'a> {
    space: &'a dyn AddressSpace,
    parts: &'a [Part],
    progress: &'a (dyn Fn(u64) -> bool + Sync),
    scratch: Vec<u8>,
    stopped: bool,
}

impl Windows<'_> {
    /// Calls `with` with each window, and up to so many bytes before and after
    /// it, as far as the extent has them.
    pub fn each(&mut self, before: usize, after: usize, mut with: impl FnMut(&Window<'_>)) {
        for part in self.parts {
            let mut at = 0;
            while at < part.len {
                let len = (part.len - at).min(WINDOW);
                let lead = (part.before + at).min(before as u64);
                let offset = part.offset + at - lead;
                let wanted = (lead + len) as usize + after;
                let bytes = self.space.bytes(offset, wanted, &mut self.scratch);
                let lead = (lead as usize).min(bytes.len());
                with(&Window {
                    offset,
                    bytes,
                    phase: self.space.virtual_of(offset).map(|at| at % tcppcap::PAGE),
                    before: lead,
                    len: (len as usize).min(bytes.len() - lead),
                });
                at += len;
                if !(self.progress)(len) {
                    self.stopped = true;
                    return;
                }
            }
        }
    }
}

/// Splits the extents between threads and gathers what each share gave, in no
/// certain order.
pub fn in_shares<T: Send + Default>(
    space: &dyn AddressSpace,
    threads: usize,
    progress: &(dyn Fn(u64) -> bool + Sync),
    look: impl Fn(&mut Windows<'_>, &mut T) + Sync,
) -> Option<Vec<T>> {
    let shares = shares(space.extents());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = T::default();
        while let Some(share) = shares.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut windows = Windows {
                space,
                parts: share,
                progress,
                scratch: Vec::new(),
                stopped: false,
            };
            look(&mut windows, &mut found);
            if windows.stopped {
                return None;
            }
        }
        Some(found)
    };
    if threads <= 1 {
        return work().map(|found| vec![found]);
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(shares.len()).max(1))
            .map(|_| scope.spawn(work))
            .collect();
        let mut all = Some(Vec::new());
        for worker in workers {
            // A thread that failed has found nothing.
            match (worker.join().unwrap_or(None), &mut all) {
                (Some(found), Some(all)) => all.push(found),
                _ => all = None,
            }
        }
        all
    })
}

/// Neighbouring extents, or parts of them, that together have about as many
/// bytes as a share.
fn shares(extents: &[Extent]) -> Vec<Vec<Part>> {
    let mut shares: Vec<Vec<Part>> = Vec::new();
    let mut room = 0;
    for extent in extents {
        // An extent that would end behind the last address ends there.
        let whole = extent.len.min(u64::MAX - extent.offset);
        let mut before = 0;
        while before < whole {
            if room == 0 {
                shares.push(Vec::new());
                room = SHARE;
            }
            let len = (whole - before).min(room);
            if let Some(share) = shares.last_mut() {
                share.push(Part {
                    offset: extent.offset + before,
                    len,
                    before,
                });
            }
            before += len;
            room -= len;
        }
    }
    shares
}
