//! Where the blocks of a pcapng file begin and end, damaged ones too.

use crate::format::Order;
use crate::input::detect::PCAPNG_MAGIC;
use byteorder::{BigEndian, LittleEndian};
use pcap_file::pcapng::RawBlock;

/// Blocks larger than this are refused: none of ours comes near it.
pub(super) const MAX_BLOCK: usize = 16 * 1024 * 1024;

/// Types that the specification gives to blocks, section headers apart.
const KINDS: [u64; 13] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0xbad, 0x4000_0bad];

pub(super) enum Step<'a> {
    Block(RawBlock<'a>, usize),
    More,
    Damaged(String),
}

/// The block at the start of `here`; `order`: the section's.
pub(super) fn next_block(here: &[u8], order: Order, eof: bool) -> Step<'_> {
    let cut = |what: &str| {
        if eof {
            Step::Damaged(format!("the file ends inside {what}"))
        } else {
            Step::More
        }
    };
    if here.len() < 12 {
        return cut("a block");
    }
    let order = match order_of_section(here) {
        Some(order) => order,
        None if here.starts_with(&PCAPNG_MAGIC) => {
            return Step::Damaged("section header without byte-order magic".to_owned());
        }
        None => order,
    };
    let len = order.read(here, 4, 4).unwrap_or(0) as usize;
    if len < 12 || !len.is_multiple_of(4) || len > MAX_BLOCK {
        return Step::Damaged(format!("block with an impossible length of {len}"));
    }
    if here.len() < len {
        // A length that lies must not swallow the blocks behind it.
        return cut("a block");
    }
    // A wrong length may end where it meets the equal length of the next block.
    let short = len.saturating_sub(8);
    if short >= 12 && order.read(here, short - 4, 4) == Some(short as u64) {
        let next = here.get(short..).unwrap_or(&[]);
        if starts_block(next, order) {
            return Step::Damaged(format!("block with a wrong length of {len}"));
        }
        if !eof && next.len() < len && has_known_type(next, order) {
            return Step::More;
        }
    }
    let parsed = match order {
        Order::Little => RawBlock::from_slice::<LittleEndian>(here),
        Order::Big => RawBlock::from_slice::<BigEndian>(here),
    };
    match parsed {
        Ok((_, block)) => Step::Block(block, len),
        Err(e) => Step::Damaged(format!("damaged block: {e}")),
    }
}

/// The byte order of the section whose header `here` begins with.
pub(super) fn order_of_section(here: &[u8]) -> Option<Order> {
    let magic = here.strip_prefix(&PCAPNG_MAGIC)?.get(4..8)?;
    [Order::Little, Order::Big]
        .into_iter()
        .find(|order| magic == order_magic(*order))
}

fn order_magic(order: Order) -> [u8; 4] {
    match order {
        Order::Little => 0x1a2b_3c4d_u32.to_le_bytes(),
        Order::Big => 0x1a2b_3c4d_u32.to_be_bytes(),
    }
}

/// Bytes to the next place that holds a whole block, and the byte order there.
pub(super) fn resync(here: &[u8], order: Option<Order>) -> Option<(usize, Order)> {
    let candidate = |at: usize, order: Order| {
        let there = here.get(at..)?;
        let found = starts_block(there, order);
        found.then(|| (at, order_of_section(there).unwrap_or(order)))
    };
    let places = 1..here.len().saturating_sub(11);
    match order {
        Some(order) => places.into_iter().find_map(|at| candidate(at, order)),
        // At odd places small numbers of one order look like those of the other.
        None => places
            .skip(3)
            .step_by(4)
            .find_map(|at| candidate(at, Order::Little).or_else(|| candidate(at, Order::Big))),
    }
}

/// True for a section header, and for a block of known type that is whole.
fn starts_block(there: &[u8], order: Order) -> bool {
    let len = order.read(there, 4, 4).unwrap_or(0);
    order_of_section(there).is_some()
        || has_known_type(there, order)
            && (12..=MAX_BLOCK as u64).contains(&len)
            && len.is_multiple_of(4)
            && order.read(there, len as usize - 4, 4) == Some(len)
}

fn has_known_type(there: &[u8], order: Order) -> bool {
    there.starts_with(&PCAPNG_MAGIC)
        || order
            .read(there, 0, 4)
            .is_some_and(|kind| KINDS.contains(&kind))
}

/// Mends a damaged block that ends where the next one begins: if one of its
/// two lengths says so, it is whole, and only the other one was hit.
pub(super) fn mend(block: &mut [u8], order: Order) -> bool {
    let len = block.len();
    if !(12..=MAX_BLOCK).contains(&len) || !len.is_multiple_of(4) {
        return false;
    }
    let ends = [4, len - 4];
    if !ends
        .iter()
        .any(|at| order.read(block, *at, 4) == Some(len as u64))
    {
        return false;
    }
    let field = match order {
        Order::Little => (len as u32).to_le_bytes(),
        Order::Big => (len as u32).to_be_bytes(),
    };
    for at in ends {
        block[at..at + 4].copy_from_slice(&field);
    }
    if block.starts_with(&PCAPNG_MAGIC) && len > 12 {
        block[8..12].copy_from_slice(&order_magic(order));
    }
    true
}
