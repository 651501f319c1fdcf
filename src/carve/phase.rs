//! Where mbufs begin in an image whose addresses nothing tells.
//!
//! An mbuf that holds its packet inside says where in itself the packet begins:
//! by the last byte of `m_data`, as an mbuf's address is a multiple of 256. All
//! mbufs of an image begin at the same place modulo 256, so they vote.

use super::mbuf::{M_DAT, MSIZE};
use super::scan::in_shares;
use crate::memory::AddressSpace;

/// Fewer agree by chance.
const FEWEST: u64 = 2;

/// The offset modulo 256 at which mbufs begin; the outer `None` if told to stop,
/// the inner one if there are none.
pub fn find(
    space: &dyn AddressSpace,
    threads: usize,
    progress: &(dyn Fn(u64) -> bool + Sync),
) -> Option<Option<u64>> {
    let votes = in_shares(space, threads, progress, |windows, votes: &mut Vec<u64>| {
        votes.resize(MSIZE as usize, 0);
        windows.each(0, MSIZE as usize, |window| {
            // The type of an mbuf with data, 28 bytes from its start.
            for ones in memchr::memchr_iter(1, window.bytes) {
                let Some(at) = ones.checked_sub(28).filter(|at| window.body().contains(at)) else {
                    continue;
                };
                let mbuf = window.bytes.get(at..).unwrap_or(&[]);
                let phase = (window.offset + at as u64) % MSIZE;
                if holds_packet(mbuf)
                    && let Some(vote) = votes.get_mut(phase as usize)
                {
                    *vote += 1;
                }
            }
        });
    })?;
    let total = |phase: usize| {
        votes
            .iter()
            .filter_map(|votes| votes.get(phase))
            .sum::<u64>()
    };
    let best = (0..MSIZE as usize).max_by_key(|phase| (total(*phase), *phase));
    Some(
        best.filter(|phase| total(*phase) >= FEWEST)
            .map(|phase| phase as u64),
    )
}

/// Whether this is an mbuf with a packet inside.
fn holds_packet(mbuf: &[u8]) -> bool {
    let Some(head) = mbuf.get(..32) else {
        return false;
    };
    // m_len below 256, no flag but M_EOR, M_RDONLY.
    let is_saved = head[25..28] == [0; 3] && head[29] & !0xc == 0 && head[30..32] == [0; 2];
    let data = u64::from(head[16]);
    if !is_saved || !(M_DAT..MSIZE).contains(&data) || data + u64::from(head[24]) > MSIZE {
        return false;
    }
    let packet = mbuf.get(data as usize..).unwrap_or(&[]);
    match packet {
        [first, ..] if first >> 4 == 4 => packet.get(9) == Some(&6),
        [first, ..] if first >> 4 == 6 => packet.get(6) == Some(&6),
        _ => false,
    }
}
