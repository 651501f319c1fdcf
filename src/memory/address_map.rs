//! From addresses to offsets of the image.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Addresses that follow each other and stand so in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub address: u64,
    pub len: u64,
    pub offset: u64,
}

/// Runs by ascending address, none over another.
#[derive(Debug, Default)]
pub(super) struct AddressMap {
    runs: Vec<Run>,
    /// The run of the last answer: the next question is mostly about it.
    last: AtomicUsize,
}

impl AddressMap {
    /// Where runs overlap, the one that begins first keeps the addresses.
    /// Returns as well how many did.
    pub(super) fn new(mut runs: Vec<Run>) -> (AddressMap, usize) {
        runs.sort_by_key(|run| run.address);
        let mut overlaps = 0;
        let mut map: Vec<Run> = Vec::with_capacity(runs.len());
        let mut free = 0;
        for mut run in runs {
            let cut = free.max(run.address) - run.address;
            if cut > 0 {
                overlaps += 1;
            }
            if cut >= run.len {
                continue;
            }
            run.address += cut;
            run.offset += cut;
            run.len -= cut;
            free = run.address.saturating_add(run.len);
            match map.last_mut() {
                Some(last)
                    if last.address + last.len == run.address
                        && last.offset + last.len == run.offset =>
                {
                    last.len += run.len;
                }
                _ => map.push(run),
            }
        }
        let last = AtomicUsize::new(0);
        (AddressMap { runs: map, last }, overlaps)
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Where an address stands in the image, and how many bytes follow.
    #[inline]
    pub(super) fn find(&self, address: u64) -> Option<(u64, u64)> {
        let within = |run: &Run| {
            let delta = address.checked_sub(run.address)?;
            let rest = run.len.checked_sub(delta).filter(|rest| *rest > 0)?;
            Some((run.offset + delta, rest))
        };
        // Another thread may store between: any value is as good.
        let last = self.last.load(Ordering::Relaxed);
        if let Some(found) = self.runs.get(last).and_then(within) {
            return Some(found);
        }
        let index = self
            .runs
            .partition_point(|run| run.address <= address)
            .checked_sub(1)?;
        let found = self.runs.get(index).and_then(within)?;
        self.last.store(index, Ordering::Relaxed);
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(address: u64, len: u64, offset: u64) -> Run {
        Run {
            address,
            len,
            offset,
        }
    }

    #[test]
    fn finds_within_runs_only() {
        let runs = vec![run(0x3000, 0x1000, 0), run(0x1000, 0x1000, 0x5000)];
        let (map, overlaps) = AddressMap::new(runs);
        assert_eq!(overlaps, 0);
        assert_eq!(map.find(0xfff), None);
        assert_eq!(map.find(0x1000), Some((0x5000, 0x1000)));
        assert_eq!(map.find(0x1fff), Some((0x5fff, 1)));
        assert_eq!(map.find(0x2000), None);
        assert_eq!(map.find(0x3010), Some((0x10, 0xff0)));
        assert_eq!(map.find(u64::MAX), None);
    }

    #[test]
    fn overlaps_are_cut_and_neighbours_joined() {
        let runs = vec![
            run(0x1000, 0x2000, 0),
            run(0x2000, 0x2000, 0x9000),
            run(0x1800, 0x100, 0x7000),
            run(0x4000, 0x1000, 0xb000),
            run(u64::MAX - 0xff, 0xff, 0x20000),
        ];
        let (map, overlaps) = AddressMap::new(runs);
        assert_eq!(overlaps, 2);
        assert_eq!(map.find(0x2800), Some((0x1800, 0x800)));
        assert_eq!(map.find(0x3000), Some((0xa000, 0x2000)));
        assert_eq!(map.find(u64::MAX - 1), Some((0x200fe, 1)));
        assert_eq!(map.runs().len(), 3);
    }
}
