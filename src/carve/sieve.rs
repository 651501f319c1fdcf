//! The fast filter: where in plain bytes a record may begin.
//!
//! A record has bytes that are always zero (the upper halves of its time, of
//! its flags, of its TCP state) around one that never is (its event). The sieve
//! makes a mask of the zero bytes of 64 bytes and lays the mask over itself,
//! shifted by the places of those bytes, so that one step asks 64 positions at
//! once, whatever the alignment. Random bytes pass with a probability of about
//! 256^-13, zeros and repeated words not at all.

use crate::format::dialect::Slot;
use crate::format::{Dialect, Order};

/// Bytes that one step looks at.
const BLOCK: usize = 64;

/// Ten years: longer than any uptime.
pub const MAX_UPTIME_SEC: u64 = 10 * 366 * 86_400;

/// Places of the bytes, from the start of a record, that give it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sieve {
    /// Always zero.
    zero: Vec<u8>,
    /// Never zero: the event.
    set: u8,
}

impl Sieve {
    /// `None` if the dialect's records begin in a way that the sieve is not
    /// made for.
    pub fn of(dialect: &Dialect) -> Option<Sieve> {
        let slots = &dialect.record_slots;
        let states = u64::try_from(dialect.states.1).unwrap_or(u64::MAX);
        let mut zero = Vec::new();
        for (slot, most) in [
            (slots.tv_usec, 999_999),
            (slots.tv_sec, MAX_UPTIME_SEC),
            (slots.eventflags, u64::from(dialect.known_flags)),
            (slots.state, states),
        ] {
            zero.extend(zero_bytes(slot, most, dialect.order)?);
        }
        let set = u8::try_from(slots.eventid.offset).ok()?;
        let fits = |at: &u8| usize::from(*at) < BLOCK;
        (zero.iter().all(fits) && fits(&set)).then_some(Sieve { zero, set })
    }

    /// Calls `hit` with every place in `bytes` where a record may begin, in
    /// ascending order. Bytes behind the end count as neither zero nor not.
    pub fn each(&self, bytes: &[u8], mut hit: impl FnMut(usize)) {
        let mut blocks = bytes.chunks(BLOCK);
        let Some(first) = blocks.next() else { return };
        let mut here = zero_mask(first);
        for start in (0..bytes.len()).step_by(BLOCK) {
            let next = blocks.next().map_or(0, zero_mask);
            let mask = u128::from(next) << 64 | u128::from(here);
            here = next;
            let mut places = !(mask >> self.set) as u64;
            for at in &self.zero {
                places &= (mask >> at) as u64;
                if places == 0 {
                    break;
                }
            }
            while places != 0 {
                let at = start + places.trailing_zeros() as usize;
                if at < bytes.len() {
                    hit(at);
                }
                places &= places - 1;
            }
        }
    }
}

/// The bytes of a field that are zero in all values up to `most`.
fn zero_bytes(slot: Slot, most: u64, order: Order) -> Option<Vec<u8>> {
    if !slot.exists() || slot.size > 8 || slot.width != 0 {
        return None;
    }
    let used = (64 - most.leading_zeros())
        .div_ceil(8)
        .min(slot.size.into()) as u8;
    let start = u8::try_from(slot.offset).ok()?;
    let end = start.checked_add(slot.size)?;
    Some(match order {
        Order::Little => (start + used..end).collect(),
        Order::Big => (start..end - used).collect(),
    })
}

/// Bit n is set where byte n of the block is zero.
#[inline]
fn zero_mask(block: &[u8]) -> u64 {
    match <&[u8; BLOCK]>::try_from(block) {
        Ok(block) => {
            let mut mask = 0;
            for (at, word) in block.as_chunks::<8>().0.iter().enumerate() {
                mask |= zeros_of_word(u64::from_le_bytes(*word)) << (8 * at);
            }
            mask
        }
        // The last block of all.
        Err(_) => {
            let zeros = block.iter().enumerate().filter(|(_, byte)| **byte == 0);
            zeros.fold(0, |mask, (at, _)| mask | 1 << (at % BLOCK))
        }
    }
}

/// Bit n is set where byte n of the word is zero.
#[inline]
fn zeros_of_word(word: u64) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    // 0x80 in each byte that is zero; no carry leaves a byte.
    let tops = !(((word & LOW) + LOW) | word | LOW);
    // Gathers the eight top bits in the highest byte.
    (tops >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Abi, Formats};

    fn sieve() -> Sieve {
        Sieve::of(Formats::canonical()).expect("version 9")
    }

    fn hits(bytes: &[u8]) -> Vec<usize> {
        let mut hits = Vec::new();
        sieve().each(bytes, |at| hits.push(at));
        hits
    }

    /// The bytes of a record that the sieve looks at, among others.
    fn record() -> Vec<u8> {
        let mut record = vec![0x55; 328];
        record[..16].copy_from_slice(&[1, 2, 3, 0, 0, 0, 0, 0, 9, 9, 0xf, 0, 0, 0, 0, 0]);
        record[25..28].copy_from_slice(&[13, 0x13, 0]);
        record[56..60].copy_from_slice(&[4, 0, 0, 0]);
        record
    }

    #[test]
    fn finds_records_at_every_alignment() {
        for lead in 0..130 {
            let mut bytes = vec![0xaa; lead];
            bytes.extend(record());
            bytes.extend(record());
            bytes.resize(bytes.len() + 200, 0xaa);
            assert_eq!(hits(&bytes), [lead, lead + 328], "{lead}");
            // As much as the sieve needs is there, no more.
            assert_eq!(hits(&bytes[..lead + 60]), [lead]);
            assert!(hits(&bytes[..lead + 59]).is_empty());
        }
    }

    #[test]
    fn each_place_matters() {
        let sieve = sieve();
        assert_eq!(sieve.zero.len(), 5 + 4 + 1 + 3);
        for at in &sieve.zero {
            let mut bytes = record();
            bytes[usize::from(*at)] = 1;
            assert!(hits(&bytes).is_empty(), "{at}");
        }
        let mut bytes = record();
        bytes[25] = 0;
        assert!(hits(&bytes).is_empty());
    }

    #[test]
    fn empty_memory_has_none() {
        let words = [0u32, 0xdead_c0de, 0xabab_abab, u32::MAX];
        for word in words {
            let bytes: Vec<u8> = word.to_le_bytes().repeat(10_000);
            assert!(hits(&bytes).is_empty());
        }
    }

    #[test]
    fn masks() {
        assert_eq!(zeros_of_word(0), 0xff);
        assert_eq!(zeros_of_word(0x0001_8000_ff00_7f00), 0b1001_0101);
        let mut block = [1; BLOCK];
        block[63] = 0;
        block[5] = 0;
        assert_eq!(zero_mask(&block), 1 << 63 | 1 << 5);
        assert_eq!(zero_mask(&block[..10]), 1 << 5);
    }

    #[test]
    fn every_dialect_has_one() {
        for dialect in &Formats::builtin().dialects {
            let sieve = Sieve::of(dialect).expect("fields within 64 bytes");
            let least = if dialect.abi == Abi::I386 { 5 } else { 9 };
            assert!(sieve.zero.len() >= least, "{}", dialect.name());
        }
    }
}
