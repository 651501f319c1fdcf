//! Which serial numbers a log has, and which are missing between them.

use std::collections::BTreeMap;

/// Consecutive serial numbers that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub first: i64,
    pub last: i64,
}

impl Gap {
    pub fn count(&self) -> u64 {
        self.last.abs_diff(self.first).saturating_add(1)
    }
}

/// The serial numbers of one connection, counted on past 2^32.
///
/// Memory grows with the number of gaps.
#[derive(Clone, Debug, Default)]
pub struct Serials {
    /// First and last number of each range, apart from each other.
    ranges: BTreeMap<i64, i64>,
    /// The number taken last.
    last: Option<i64>,
    /// Numbers that came again.
    pub duplicates: u64,
}

impl Serials {
    /// `tlb_sn` as a number that goes on past 2^32.
    pub fn unwrapped(&self, sn: u32) -> i64 {
        match self.last {
            None => i64::from(sn),
            // The nearer one of those that are the same modulo 2^32.
            Some(last) => {
                let step = sn.wrapping_sub(last as u32) as i32;
                last.saturating_add(i64::from(step))
            }
        }
    }

    /// Takes a number; false if it was there already.
    pub fn add(&mut self, sn: i64) -> bool {
        self.last = Some(sn);
        let before = self.ranges.range(..=sn).next_back().map(|(s, e)| (*s, *e));
        if before.is_some_and(|(_, end)| end >= sn) {
            self.duplicates += 1;
            return false;
        }
        let start = match before {
            Some((start, end)) if end + 1 == sn => start,
            _ => sn,
        };
        let end = match self.ranges.get(&(sn + 1)).copied() {
            Some(end) => {
                self.ranges.remove(&(sn + 1));
                end
            }
            None => sn,
        };
        self.ranges.insert(start, end);
        true
    }

    pub fn first(&self) -> Option<i64> {
        self.ranges.first_key_value().map(|(start, _)| *start)
    }

    pub fn last(&self) -> Option<i64> {
        self.ranges.last_key_value().map(|(_, end)| *end)
    }

    /// What is missing, lowest first. A connection counts from 0, so what is
    /// missing before the first number comes first.
    pub fn gaps(&self) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let mut next = 0;
        for (start, end) in &self.ranges {
            if *start > next {
                gaps.push(Gap {
                    first: next,
                    last: start - 1,
                });
            }
            next = end + 1;
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_go_on_past_their_end() {
        let mut serials = Serials::default();
        for sn in [u32::MAX - 1, u32::MAX, 1, 0] {
            let sn = serials.unwrapped(sn);
            assert!(serials.add(sn));
        }
        assert_eq!(serials.first(), Some(i64::from(u32::MAX) - 1));
        assert_eq!(serials.last(), Some(i64::from(u32::MAX) + 2));
        assert_eq!(serials.gaps().len(), 1);
    }

    proptest! {
        #[test]
        fn as_a_set_of_numbers(numbers in prop::collection::vec(0_u32..60, 1..60)) {
            let (mut serials, mut set, mut duplicates) = (Serials::default(), BTreeSet::new(), 0);
            for sn in numbers {
                let fresh = set.insert(i64::from(sn));
                duplicates += u64::from(!fresh);
                let sn = serials.unwrapped(sn);
                prop_assert_eq!(serials.add(sn), fresh);
            }
            prop_assert_eq!(serials.duplicates, duplicates);
            prop_assert_eq!(serials.last(), set.last().copied());
            let top = set.last().copied().unwrap_or(0);
            let missing: Vec<i64> = (0..top).filter(|sn| !set.contains(sn)).collect();
            let gaps: Vec<i64> = serials.gaps().iter().flat_map(|g| g.first..=g.last).collect();
            prop_assert_eq!(gaps, missing);
        }
    }
}
