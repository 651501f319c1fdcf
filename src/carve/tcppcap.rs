//! Packets that `options TCPPCAP` saved, found in memory without symbols.
//!
//! [`scan`] goes over the memory once, window by window, and keeps what looks
//! like the first mbuf of a saved packet and what looks like a queue of them.
//! [`assemble`] then follows the links, decides and repairs. In between,
//! [`implied_address`] of an mbuf tells a caller the addresses of an image that
//! has none.
//!
//! Little-endian kernels and processes of 64 bits only, 11 to 14. Bounds: a
//! packet has at most 64 mbufs and 70,000 bytes, a queue at most 10,000 packets;
//! at most 2^20 mbufs and 2^16 queues are kept by a scan, and 512 MiB of packets
//! are made.

pub use super::assemble::assemble;
pub use super::mbuf::{Ext, Mbuf, implied_address};
use super::mbuf::{HEADER, MSIZE, Not};
pub use super::mbufq::Mbufq;
pub use super::packet::{Direction, Packet, Place, Queue};
use super::segment::may_begin;
use crate::memory::AddressSpace;

const MOST_MBUFS: usize = 1 << 20;
const MOST_QUEUES: usize = 1 << 16;
pub const PAGE: u64 = 4096;

/// What a scan found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub mbufs: Vec<Mbuf>,
    pub queues: Vec<Mbufq>,
    pub rejected: Rejected,
}

impl Found {
    /// Takes over what a scan of another part found.
    pub fn append(&mut self, mut other: Found) {
        self.mbufs.append(&mut other.mbufs);
        self.queues.append(&mut other.queues);
        self.rejected.add(&other.rejected);
    }
}

/// How many places looked like a saved packet at first and are none, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// Freed and overwritten with 0xdeadc0de.
    pub poison: u64,
    /// First mbufs of ordinary packets (M_PKTHDR).
    pub packet_headers: u64,
    /// Data in unmapped pages (M_EXTPG).
    pub unmapped_pages: u64,
    /// Mbufs whose data are no IP packet with TCP: socket buffers, other
    /// protocols, later parts of packets.
    pub no_segment: u64,
    /// The data are not in the image, or their address leads nowhere.
    pub unresolved: u64,
    /// The bytes there and the length in the IP header do not agree.
    pub length: u64,
    /// Neither checksum is as TCPPCAP leaves it, nor right.
    pub checksum: u64,
    /// The packet was found before: its mbuf or its storage belong to another.
    pub duplicate: u64,
    /// What looked like a queue and is not consistent.
    pub queues: u64,
    /// Beyond the bounds of this module.
    pub beyond: u64,
}

impl Rejected {
    /// Adds the counts of another part.
    pub fn add(&mut self, other: &Rejected) {
        self.poison += other.poison;
        self.packet_headers += other.packet_headers;
        self.unmapped_pages += other.unmapped_pages;
        self.no_segment += other.no_segment;
        self.unresolved += other.unresolved;
        self.length += other.length;
        self.checksum += other.checksum;
        self.duplicate += other.duplicate;
        self.queues += other.queues;
        self.beyond += other.beyond;
    }
}

/// Where an offset of the image stands in its page: what [`scan`] wants to
/// know. An image without addresses is taken to begin at a page.
pub fn phase(space: &dyn AddressSpace, offset: u64) -> u64 {
    space.virtual_of(offset).unwrap_or(offset) % PAGE
}

/// Looks over a window of the image that begins at `offset`. Windows should end
/// at multiples of 256 bytes from `phase`, as an mbuf across two of them is
/// missed. One place of 256 is looked at for an mbuf, one of 8 for a queue.
pub fn scan(space: &dyn AddressSpace, offset: u64, bytes: &[u8], phase: u64, found: &mut Found) {
    let mut at = to_next(phase, MSIZE);
    while let Some(place) = bytes.get(at..).filter(|rest| rest.len() >= HEADER) {
        // The type alone tells most of the memory apart.
        if place[28] == 1 || place[28] == 0xde {
            look(space, offset + at as u64, place, found);
        }
        at += MSIZE as usize;
    }
    queues(offset, bytes, phase, found);
}

fn look(space: &dyn AddressSpace, offset: u64, place: &[u8], found: &mut Found) {
    let mbuf = match Mbuf::read(place, offset, space.virtual_of(offset)) {
        Ok(mbuf) => mbuf,
        Err(not) => {
            match not {
                Not::Poison => found.rejected.poison += 1,
                Not::PacketHeader => found.rejected.packet_headers += 1,
                Not::UnmappedPages => found.rejected.unmapped_pages += 1,
                Not::Other => {}
            }
            return;
        }
    };
    if !mbuf.may_begin_saved() || !is_at_home(space, &mbuf) {
        return;
    }
    match begins_segment(space, &mbuf) {
        Some(true) => {}
        // It may tell the address of an image that has none.
        Some(false) if mbuf.address.is_none() && mbuf.ext.is_none() => {}
        // Nobody knows yet where its data are.
        None if mbuf.address.is_none() => {}
        Some(false) => {
            found.rejected.no_segment += 1;
            return;
        }
        None => {
            found.rejected.unresolved += 1;
            return;
        }
    }
    if found.mbufs.len() < MOST_MBUFS {
        found.mbufs.push(mbuf);
    } else {
        found.rejected.beyond += 1;
    }
}

/// Whether the address that an mbuf tells of itself does not lead elsewhere.
fn is_at_home(space: &dyn AddressSpace, mbuf: &Mbuf) -> bool {
    match implied_address(mbuf) {
        Some(implied) if mbuf.address.is_some_and(|address| address != implied) => space
            .find_virtual(implied)
            .is_none_or(|(offset, _)| offset == mbuf.offset),
        _ => true,
    }
}

/// Whether the data of an mbuf may begin an IP packet with TCP. None: they are
/// not to be found.
pub(super) fn begins_segment(space: &dyn AddressSpace, mbuf: &Mbuf) -> Option<bool> {
    let mut scratch = Vec::new();
    let (offset, len) = match mbuf.own_data() {
        Some(own) => own,
        None => {
            let (offset, there) = space.find_virtual(mbuf.data)?;
            (offset, there.min(u64::from(mbuf.len)) as usize)
        }
    };
    let head = space.bytes(offset, len.min(20), &mut scratch);
    (!head.is_empty()).then(|| may_begin(head))
}

fn queues(offset: u64, bytes: &[u8], phase: u64, found: &mut Found) {
    let start = to_next(phase, 8);
    let mut before = 0u64;
    let words = bytes.get(start..).unwrap_or(&[]).chunks_exact(8);
    for (index, word) in words.enumerate() {
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        // A pointer to an mbuf, then one to its m_nextpkt or another's.
        // The second says more of common memory, so it is asked first.
        if word & 0xff == 8 && before & 0xff == 0 && before >= PAGE && word >= PAGE {
            let at = start + (index - 1) * 8;
            let rest = &bytes[at..];
            let whole = Mbufq::read(&rest[..rest.len().min(24)], offset + at as u64);
            let ends_page = (phase + at as u64 + 16).is_multiple_of(PAGE);
            let queue = whole
                .or_else(|| Mbufq::read(&rest[..16], offset + at as u64).filter(|_| ends_page));
            match queue {
                Some(queue) if found.queues.len() < MOST_QUEUES => found.queues.push(queue),
                Some(_) => found.rejected.beyond += 1,
                None => {}
            }
        }
        before = word;
    }
}

/// How many bytes it is from a place to the next multiple.
fn to_next(phase: u64, multiple: u64) -> usize {
    (phase.wrapping_neg() % multiple) as usize
}
