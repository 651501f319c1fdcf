//! Carving from beginning to end.

use super::candidate::Found;
use super::clock::Clock;
use super::join::{self, Carved, Counts, Evidence, Wanted};
use super::learn::{Learned, Sighting, sightings};
use super::owner::{Ends, Holder, Owner, owners};
use super::packet::Packet;
use super::pool::Pool;
use super::scan::{For, Kinds, scan};
use super::symbols::{self, Symbols};
use super::{blocks, group, lists, phase, tcppcap};
use crate::bblog::{Header, Life};
use crate::format::{Abi, Formats, Order, Structures};
use crate::kernel::KernelFile;
use crate::memory::{AddressSpace, Machine};
use std::collections::HashMap;
use std::net::SocketAddr;

/// How to carve.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub threads: usize,
    pub wanted: Wanted,
    /// Of the memory's machine; unknown counts as 64 bits, little endian.
    pub machine: Option<Machine>,
    /// The image has all memory in which records may be held, so what nothing
    /// holds is free.
    pub is_complete: bool,
}

/// What a step of the work is, for whoever shows progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Looking for records and packets.
    Scan,
    /// Looking for what holds the records that were found.
    Lists,
    /// Not bytes, but places that look like a record or packet.
    Candidates,
}

/// Tells of bytes that were gone over, or of candidates; says whether to go on.
pub type Progress<'a> = &'a (dyn Fn(Step, u64) -> bool + Sync);

/// What was found.
pub struct Outcome<'p> {
    pub pool: &'p Pool<'p>,
    /// Connection after connection.
    pub messages: Vec<Carved>,
    /// TCPPCAP packets, in the order of their queues.
    pub packets: Vec<Saved>,
    pub counts: Counts,
    pub rejected: tcppcap::Rejected,
    pub packets_left_out: u64,
    pub clock: Clock,
    /// Boot time of the boot that most records are of, microseconds since the
    /// Unix epoch.
    pub boot_us: Option<i64>,
    /// Name of the known kernel whose structures fit best, and how many
    /// connections it explains.
    pub kernel: Option<(String, usize)>,
    /// Addresses were learnt from the records themselves.
    pub is_learnt: bool,
    /// What a kernel file told.
    pub symbols: Option<Symbols>,
}

/// A packet and what it belongs to.
#[derive(Clone, Debug)]
pub struct Saved {
    pub packet: Packet,
    /// The message of its connection, and how many of its records come before.
    pub place: Option<(usize, usize)>,
    pub time: When,
}

/// Where a packet's time is from: it has none itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Of the record of the same segment: uptime and serial number.
    Record {
        uptime_us: i64,
        sn: u32,
    },
    /// Of its connection's record that is nearest by sequence number.
    Near {
        uptime_us: i64,
        sn: u32,
    },
    /// The latest that anything in the image tells, uptime.
    Latest {
        uptime_us: i64,
    },
    Unknown,
}

impl When {
    pub fn uptime_us(self) -> Option<i64> {
        match self {
            When::Record { uptime_us, .. }
            | When::Near { uptime_us, .. }
            | When::Latest { uptime_us } => Some(uptime_us),
            When::Unknown => None,
        }
    }
}

/// Carves an image and gives what was found to `then`; `None` if `progress`
/// said to stop. `kernels` are the structures to try, of several that fit
/// equally well the first; with a kernel file, its own come first.
pub fn carve<R>(
    image: &dyn AddressSpace,
    formats: &Formats,
    kernels: &[Structures],
    settings: &Settings,
    progress: Progress<'_>,
    then: impl FnOnce(Outcome<'_>) -> R,
) -> Option<R> {
    carve_with(image, formats, kernels, None, settings, progress, then)
}

/// As [`carve`], with the kernel file of the image.
pub fn carve_with<R>(
    image: &dyn AddressSpace,
    formats: &Formats,
    kernels: &[Structures],
    kernel: Option<&KernelFile>,
    settings: &Settings,
    progress: Progress<'_>,
    then: impl FnOnce(Outcome<'_>) -> R,
) -> Option<R> {
    let kinds = Kinds::of(formats, settings.machine);
    // Saved packets are known of these machines only.
    let of_packets = kinds
        .dialects
        .first()
        .is_some_and(|dialect| dialect.abi == Abi::Lp64 && dialect.order == Order::Little);
    let has_addresses = image
        .extents()
        .iter()
        .any(|extent| extent.virtual_.is_some());
    let threads = settings.threads;
    let scanning = |bytes| progress(Step::Scan, bytes);
    let finding = |places| {
        progress(Step::Candidates, places);
    };
    let look = For {
        records: true,
        packets: of_packets && has_addresses,
        phase: None,
    };
    let mut haul = scan(image, &kinds, look, threads, &scanning, &finding)?;
    let mut learned = None;
    if !has_addresses {
        // Records tell the addresses of the image, and with them where mbufs begin;
        // without records the mbufs themselves must tell.
        let mut seen = sightings(&haul.records);
        let only_records = Learned::new(image, seen.clone());
        let phase = match &only_records {
            None if of_packets => phase::find(image, threads, &scanning)?,
            _ => None,
        };
        if of_packets && (only_records.is_some() || phase.is_some()) {
            let space: &dyn AddressSpace = match &only_records {
                Some(learned) => learned,
                None => image,
            };
            let look = For {
                records: false,
                packets: true,
                phase,
            };
            haul.packets = scan(space, &kinds, look, threads, &scanning, &finding)?.packets;
            seen.extend(haul.packets.mbufs.iter().filter_map(|mbuf| {
                Some(Sighting {
                    offset: mbuf.offset,
                    address: tcppcap::implied_address(mbuf)?,
                })
            }));
        }
        learned = Learned::new(image, seen);
    }
    let space: &dyn AddressSpace = match &learned {
        Some(learned) => learned,
        None => image,
    };
    finish(
        space,
        &kinds,
        haul.records,
        haul.packets,
        kernels,
        kernel,
        settings,
        progress,
        learned.is_some(),
        then,
    )
}

#[expect(clippy::too_many_arguments, reason = "the second half of `carve`")]
fn finish<R>(
    space: &dyn AddressSpace,
    kinds: &Kinds,
    records: Vec<Found>,
    packets: tcppcap::Found,
    kernels: &[Structures],
    kernel: Option<&KernelFile>,
    settings: &Settings,
    progress: Progress<'_>,
    is_learnt: bool,
    then: impl FnOnce(Outcome<'_>) -> R,
) -> Option<R> {
    let mut pool = Pool::new(space, kinds, records);
    let searching = |bytes| progress(Step::Lists, bytes);
    let mut blocks = blocks::find(&mut pool);
    if !blocks::find_live(&pool, &mut blocks, settings.threads, &searching) {
        return None;
    }
    blocks::complete(&mut pool, &mut blocks, settings.threads, &searching)?;
    let mut lists = lists::find(&mut pool, settings.threads, &searching)?;
    let mut owners = owners(&pool, &lists, kernels, settings.threads, &searching)?;
    let mut symbols = kernel
        .map(|kernel| symbols::apply(&mut pool, kernel, kernels, &mut lists, &mut owners, &blocks));
    let clock = Clock::of(&pool.found);
    let together: Vec<&[u32]> = lists
        .iter()
        .map(|list| &list.records[..])
        .chain(blocks.iter().map(|block| &block.records[..]))
        .collect();
    let (groups, linked) = group::group(&pool, &clock, &together);
    let mut evidence = Evidence {
        pool: &pool,
        clock: &clock,
        groups,
        linked,
        lists: &lists,
        owners: &owners,
        blocks: &blocks,
        // Where no holder can be read, nothing is known to be free.
        is_complete: settings.is_complete && !is_learnt && owners.iter().any(is_known),
        boot: 0,
        reached: None,
    };
    let mut wanted = settings.wanted;
    if let Some(symbols) = &mut symbols {
        symbols.clocks(
            &pool,
            &clock,
            &join::boot_times(&evidence, &Wanted::default()),
        );
        evidence.boot = symbols.boot;
        wanted.boot_us = wanted.boot_us.or(symbols.walked.boot_us);
    }
    if let Some(symbols) = &symbols
        && symbols.is_exact
        && evidence.is_complete
    {
        evidence.reached = Some(&symbols.reached);
    }
    let (mut packets, rejected) = tcppcap::assemble(space, packets);
    if !evidence.is_complete {
        for packet in packets.iter_mut().filter(|one| one.life == Life::Dead) {
            packet.life = Life::Unknown;
        }
    }
    let known = endpoints(&packets);
    let (messages, counts) = join::join(&mut evidence, &wanted, &known);
    let boot_us = join::boot_times(&evidence, &wanted)
        .get(&Some(evidence.boot))
        .copied()
        .or(wanted.boot_us);
    let before = packets.len();
    let wanted = packets.into_iter().filter(|packet| {
        packet.confidence >= wanted.min_confidence
            && (!wanted.live_only || packet.life == Life::Live)
    });
    // The time of some records is garbage, and others are of an earlier boot.
    let is_of_boot = |found: &Found| clock.boot(found) == Some(evidence.boot);
    let packets: Vec<Saved> = place(wanted.collect(), &messages, &pool, is_of_boot);
    let packets_left_out = (before - packets.len()) as u64;
    let mut votes: HashMap<usize, usize> = HashMap::new();
    for kernel in owners.iter().filter_map(|owner| owner.kernel) {
        *votes.entry(kernel).or_insert(0) += 1;
    }
    let kernel = votes
        .into_iter()
        .max_by_key(|(kernel, count)| (*count, *kernel))
        .and_then(|(kernel, count)| Some((kernels.get(kernel)?.name.clone(), count)));
    Some(then(Outcome {
        pool: &pool,
        messages,
        packets,
        counts,
        rejected,
        packets_left_out,
        boot_us,
        clock,
        kernel,
        is_learnt,
        symbols,
    }))
}

/// Whether it was found out what holds a list.
fn is_known(owner: &Owner) -> bool {
    owner.holder != Holder::Unknown
}

/// Confidence of packets in a queue, or linked to others of their connection.
const LINKED: u8 = 95;

/// Endpoints by local and foreign port, as packets tell; none where packets of
/// several connections have the same ports.
fn endpoints(packets: &[Packet]) -> HashMap<(u16, u16), Option<Ends>> {
    let mut known: HashMap<(u16, u16), Option<Ends>> = HashMap::new();
    // Of a freed one alone nothing tells whose it was.
    for packet in packets.iter().filter(|packet| packet.confidence >= LINKED) {
        if let (Some(local), Some(foreign)) = (packet.local(), packet.foreign()) {
            let ends = Ends::of(local, foreign);
            known
                .entry((local.port(), foreign.port()))
                .and_modify(|before| *before = before.filter(|before| *before == ends))
                .or_insert(Some(ends));
        }
    }
    known
}

/// Finds the connection and the time of each packet.
///
/// `is_of_boot` says which records' times count for those without a connection.
fn place(
    packets: Vec<Packet>,
    messages: &[Carved],
    pool: &Pool<'_>,
    is_of_boot: impl Fn(&Found) -> bool,
) -> Vec<Saved> {
    let mut by_ends: HashMap<(SocketAddr, SocketAddr), Vec<usize>> = HashMap::new();
    let mut latest: Option<i64> = None;
    for (at, message) in messages.iter().enumerate() {
        for (record, _) in &message.records {
            let found = pool.found.get(*record as usize);
            let found = found.filter(|found| is_of_boot(found));
            latest = latest.max(found.map(|found| found.uptime_us));
        }
        if message.known.addresses
            && let Some(header) = Header::new(&message.header, &message.dialect)
        {
            let ends = header.endpoints();
            by_ends
                .entry((ends.local, ends.foreign))
                .or_default()
                .push(at);
        }
    }
    let nowhere = latest.map_or(When::Unknown, |uptime_us| When::Latest { uptime_us });
    let segments = super::times::Segments::of(messages, pool);
    packets
        .into_iter()
        .map(|packet| {
            let ends = packet.local().zip(packet.foreign());
            let messages = ends.and_then(|ends| by_ends.get(&ends));
            let found = messages.and_then(|messages| segments.nearest(&packet, messages));
            let (place, time) = match found {
                Some((place, time)) => (Some(place), time),
                None => (messages.and_then(|all| Some((*all.first()?, 0))), nowhere),
            };
            Saved {
                packet,
                place,
                time,
            }
        })
        .collect()
}
