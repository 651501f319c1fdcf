//! The fast filter: where in plain bytes a record may begin.
//!
//! A record has bytes that are always zero (the upper halves of its time, of
//! its flags, of its TCP state) around one that never is (its event). The sieve
//! makes a mask of the zero bytes of 64 bytes and lays the mask over itself,
//! shifted by the places of those bytes, so that one step asks 64 positions at
//! once, whatever the alignment. Random bytes pass with a probability of about
//! 256^-13, zeros and repeated words not at all. Most blocks of random bytes are
//! not even masked: some of the places stand side by side, so two zeros side by
//! side must be there.

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
        each_of([self], bytes, |at, _| hit(at));
    }

    /// Of the 64 positions that a mask begins with, those that pass.
    #[inline]
    fn places(&self, mask: u128) -> u64 {
        let mut places = !(mask >> self.set) as u64;
        for at in &self.zero {
            places &= (mask >> at) as u64;
            if places == 0 {
                break;
            }
        }
        places
    }

    /// What passes one of the sieves passes this one: it looks at the places
    /// that all of them look at. `None` where it would tell nothing.
    fn shared(sieves: &[&Sieve]) -> Option<Sieve> {
        let (first, others) = sieves.split_first()?;
        let in_all = |at: &u8| others.iter().all(|sieve| sieve.zero.contains(at));
        let zero: Vec<u8> = first.zero.iter().copied().filter(in_all).collect();
        let set = first.set;
        let is_told = !others.is_empty() && others.iter().all(|sieve| sieve.set == set);
        is_told.then_some(Sieve { zero, set })
    }

    /// Whether three zeros in a row are among the places.
    fn has_run(&self) -> bool {
        let has = |at: u8| self.zero.contains(&at);
        let runs = |at: &u8| has(at.saturating_add(1)) && has(at.saturating_add(2));
        self.zero.iter().any(runs)
    }
}

/// As [`Sieve::each`], for several sieves in one pass: `hit` also gets the
/// number of the sieve, and of each sieve the places in ascending order.
pub fn each_of<'s>(
    sieves: impl IntoIterator<Item = &'s Sieve>,
    bytes: &[u8],
    mut hit: impl FnMut(usize, usize),
) {
    let sieves: Vec<&Sieve> = sieves.into_iter().collect();
    let shared = Sieve::shared(&sieves);
    // Three zeros in a row have a pair at an even place among them.
    let any_block = !sieves.iter().all(|sieve| sieve.has_run());
    let mut blocks = bytes.chunks(BLOCK);
    let Some(mut here) = blocks.next() else {
        return;
    };
    let mut here_pair = any_block || has_zero_pair(here);
    // The mask of `here`, if it was needed for the block before.
    let mut known: Option<u64> = None;
    for start in (0..bytes.len()).step_by(BLOCK) {
        let next = blocks.next().unwrap_or(&[]);
        let next_pair = any_block || has_zero_pair(next);
        let mut next_known = None;
        if here_pair || next_pair {
            let behind = zero_mask(next);
            next_known = Some(behind);
            let mask =
                u128::from(known.unwrap_or_else(|| zero_mask(here))) | u128::from(behind) << 64;
            if shared
                .as_ref()
                .is_none_or(|shared| shared.places(mask) != 0)
            {
                for (number, sieve) in sieves.iter().enumerate() {
                    let mut places = sieve.places(mask);
                    while places != 0 {
                        let at = start + places.trailing_zeros() as usize;
                        if at < bytes.len() {
                            hit(at, number);
                        }
                        places &= places - 1;
                    }
                }
            }
        }
        (here, here_pair, known) = (next, next_pair, next_known);
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

/// Whether two zero bytes stand side by side at an even place of the block.
/// Random bytes have that once in 2000 blocks, and asking costs little.
#[inline]
fn has_zero_pair(block: &[u8]) -> bool {
    match <&[u8; BLOCK]>::try_from(block) {
        Ok(block) => {
            // Without a way out, so that it becomes a few wide comparisons.
            let pairs = block.as_chunks::<2>().0.iter();
            pairs.fold(false, |any, pair| any | (u16::from_ne_bytes(*pair) == 0))
        }
        Err(_) => true,
    }
}

/// Bit n is set where byte n of the block is zero.
#[inline]
fn zero_mask(block: &[u8]) -> u64 {
    match <&[u8; BLOCK]>::try_from(block) {
        Ok(block) => {
            let words = block.as_chunks::<8>().0;
            if words
                .iter()
                .fold(0, |all, word| all | u64::from_ne_bytes(*word))
                == 0
            {
                return u64::MAX;
            }
            let mut mask = 0;
            for (at, word) in words.iter().enumerate() {
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

    /// Every place for itself, as the module's first sentence says it.
    fn plainly(sieve: &Sieve, bytes: &[u8]) -> Vec<usize> {
        let passes = |at: &usize| {
            let byte = |place: &u8| bytes.get(at + usize::from(*place)).copied();
            // Behind the end is no zero, and no reason against it.
            sieve.zero.iter().all(|place| byte(place) == Some(0)) && byte(&sieve.set) != Some(0)
        };
        (0..bytes.len()).filter(passes).collect()
    }

    #[test]
    fn skips_nothing() {
        let all = &Formats::builtin().dialects;
        let sieves: Vec<Sieve> = all.iter().filter_map(|one| Sieve::of(one)).collect();
        // Mostly zeros, so that there is something to find; then few of them.
        for most in [1, 2, 5, 60] {
            let mut state = 1u32;
            let mut bytes = Vec::new();
            for _ in 0..40_011 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let byte = (state >> 24) as u8;
                bytes.push(if byte % 64 < most { byte | 1 } else { 0 });
            }
            let mut found = vec![Vec::new(); sieves.len()];
            each_of(&sieves, &bytes, |at, number| found[number].push(at));
            for (sieve, found) in sieves.iter().zip(&found) {
                let expected = plainly(sieve, &bytes);
                assert!(most > 5 || !expected.is_empty());
                assert_eq!(*found, expected);
                let mut alone = Vec::new();
                sieve.each(&bytes, |at| alone.push(at));
                assert_eq!(alone, expected);
            }
        }
    }

    #[test]
    fn pairs_of_zeros() {
        let mut block = [1; BLOCK];
        assert!(!has_zero_pair(&block));
        // Two at an odd place are none, three always have one.
        (block[7], block[8]) = (0, 0);
        assert!(!has_zero_pair(&block));
        block[9] = 0;
        assert!(has_zero_pair(&block));
        assert!(has_zero_pair(&block[..10]));
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
