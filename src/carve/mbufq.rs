//! One `struct mbufq`, the queue in which a tcpcb holds its saved packets.
//!
//! 24 bytes in all releases: stqh_first (8), stqh_last (8, the address of
//! `m_nextpkt` of the last mbuf), mq_len (4), mq_maxlen (4). A tcpcb holds two
//! of them, t_inpkts and at once t_outpkts.

use super::mbuf::is_link;
use super::segment::{u32_at, u64_at};
use crate::memory::AddressSpace;

/// Size of a queue head.
pub const SIZE: u64 = 24;
/// How many packets of one queue are read at most.
pub const LONGEST: u32 = 10_000;
/// Where `m_nextpkt` stands in an mbuf.
const M_NEXTPKT: u64 = 8;

/// The direction of a packet, as the machine sees it whose memory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    In,
    Out,
}

/// A place that looks like a queue head that holds packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mbufq {
    /// Where it stands in the image.
    pub offset: u64,
    /// Virtual address of the first mbuf.
    pub first: u64,
    /// Virtual address of the last mbuf.
    pub last: u64,
    /// `mq_len` and `mq_maxlen`; None: they stand on another page.
    pub lengths: Option<(u32, u32)>,
}

impl Mbufq {
    /// Tells a queue head that holds packets from its 24 bytes, or from its
    /// first 16 at the end of a page.
    pub fn read(bytes: &[u8], offset: u64) -> Option<Mbufq> {
        let (first, last) = (u64_at(bytes, 0)?, u64_at(bytes, 8)?);
        let last = last.checked_sub(M_NEXTPKT)?;
        if first == 0 || last == 0 || !is_link(first) || !is_link(last) {
            return None;
        }
        let lengths = match (u32_at(bytes, 16), u32_at(bytes, 20)) {
            (Some(len), Some(most)) => {
                let alone = first == last;
                // A limit that was lowered leaves a longer queue behind.
                if len == 0 || len > LONGEST || most > i32::MAX as u32 || alone != (len == 1) {
                    return None;
                }
                Some((len, most))
            }
            _ => None,
        };
        Some(Mbufq {
            offset,
            first,
            last,
            lengths,
        })
    }

    /// What stands beside it, and its own virtual address where that tells:
    /// t_inpkts is followed by t_outpkts.
    pub fn side(&self, space: &dyn AddressSpace) -> (Option<Direction>, Option<u64>) {
        let after = self.offset.checked_add(SIZE);
        let before = self.offset.checked_sub(SIZE);
        let after = after.and_then(|at| beside(space, at));
        let before = before.and_then(|at| beside(space, at));
        let address = (after.flatten().and_then(|at| at.checked_sub(SIZE)))
            .or(before.flatten().and_then(|at| at.checked_add(SIZE)));
        match (after, before) {
            (Some(_), None) => (Some(Direction::In), address),
            (None, Some(_)) => (Some(Direction::Out), address),
            _ => (None, None),
        }
    }
}

/// Whether a queue head stands at an offset; and its virtual address when it is
/// empty, as it points to itself then.
fn beside(space: &dyn AddressSpace, offset: u64) -> Option<Option<u64>> {
    let mut scratch = Vec::new();
    let bytes = space.bytes(offset, SIZE as usize, &mut scratch);
    if bytes.len() < SIZE as usize {
        return None;
    }
    if Mbufq::read(bytes, offset).is_some() {
        return Some(None);
    }
    let (first, itself) = (u64_at(bytes, 0)?, u64_at(bytes, 8)?);
    let (len, most) = (u32_at(bytes, 16)?, u32_at(bytes, 20)?);
    let here = match space.find_virtual(itself) {
        Some((place, _)) => place == offset,
        // A tcpcb often lies where the direct map does not say so: then only
        // the place in the page can agree.
        None => match space.virtual_of(offset) {
            Some(address) => address & 0xfff == itself & 0xfff,
            None => itself % 8 == 0 && itself >= 0x1000,
        },
    };
    (first == 0 && len == 0 && most <= i32::MAX as u32 && here).then_some(Some(itself))
}
