//! Serial numbers of a connection: which came, which came twice, and which
//! are missing.

/// Ranges and gaps that are kept, of each; a hostile input may have any number.
const MAX_RANGES: usize = 64;

/// Serial numbers as sets of ranges, so that the memory does not grow with
/// the records.
///
/// When there are too many ranges, the lowest is forgotten: what comes twice
/// from there is then not noticed, and a gap that is reported over it counts as
/// missing. When there are too many gaps, what is missing in the lowest is
/// settled: it stays missing even if it comes later, and a gap that is reported
/// there again does not count again.
#[derive(Clone, Debug, Default)]
pub struct Serials {
    /// The first that came, from which the others are counted.
    base: Option<u32>,
    /// Where the last one lies; numbers wrap, so each is taken for the
    /// nearest to it.
    at: i64,
    seen: Ranges,
    /// Reported missing, and not come since.
    gaps: Ranges,
    /// Missing in gaps that were forgotten.
    settled: u64,
    /// The end of these gaps.
    settled_to: Option<i64>,
    range: Option<(i64, i64)>,
    pub duplicates: u64,
}

impl Serials {
    fn place(&self, sn: u32) -> i64 {
        let base = self.base.unwrap_or(sn);
        let here = base.wrapping_add(self.at as u32);
        self.at + i64::from(sn.wrapping_sub(here) as i32)
    }

    /// Takes in a wanted record; true if it came before, and it then counts as
    /// a duplicate.
    #[inline]
    pub fn meet(&mut self, sn: u32) -> bool {
        let came_before = self.pass(sn);
        self.duplicates += u64::from(came_before);
        // What is summed up has the lowest and the highest wanted one.
        let at = self.at;
        self.range = Some(
            self.range
                .map_or((at, at), |(low, high)| (low.min(at), high.max(at))),
        );
        came_before
    }

    /// Takes in a record, wanted or not; true if it came before.
    #[inline]
    pub fn pass(&mut self, sn: u32) -> bool {
        self.base.get_or_insert(sn);
        self.at = self.place(sn);
        if self.seen.has(self.at) {
            return true;
        }
        self.seen.insert(self.at, self.at);
        let lost = self.gaps.remove(self.at);
        self.settle(lost);
        false
    }

    /// Takes in that numbers are missing from `first` on.
    pub fn add_gap(&mut self, first: u32, count: u32) {
        self.base.get_or_insert(first);
        let start = self.place(first);
        let end = start + i64::from(count);
        let mut from = self.settled_to.map_or(start, |to| start.max(to + 1));
        // What came before does not miss.
        let mut missing = Vec::new();
        for (low, high) in &self.seen.0 {
            if from < end.min(*low) {
                missing.push((from, end.min(*low) - 1));
            }
            from = from.max(*high + 1);
        }
        if from < end {
            missing.push((from, end - 1));
        }
        for (low, high) in missing {
            let lost = self.gaps.insert(low, high);
            self.settle(lost);
        }
    }

    /// A gap is forgotten.
    fn settle(&mut self, lost: Option<(i64, i64)>) {
        if let Some((low, high)) = lost {
            self.settled = self.settled.saturating_add(length(low, high));
            self.settled_to = self.settled_to.max(Some(high));
        }
    }

    /// Missing ones that did not come later.
    pub fn missing(&self) -> u64 {
        let gaps = self.gaps.0.iter();
        gaps.fold(self.settled, |sum, (low, high)| {
            sum.saturating_add(length(*low, *high))
        })
    }

    /// Lowest and highest one of what is summed up.
    pub fn range(&self) -> Option<(u32, u32)> {
        let (base, (low, high)) = (self.base?, self.range?);
        Some((
            base.wrapping_add(low as u32),
            base.wrapping_add(high as u32),
        ))
    }
}

fn length(low: i64, high: i64) -> u64 {
    (high - low + 1) as u64
}

/// Disjoint ranges, ends included, in rising order.
#[derive(Clone, Debug, Default)]
struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    #[inline]
    fn has(&self, at: i64) -> bool {
        if self.0.last().is_none_or(|(_, high)| at > *high) {
            return false;
        }
        let next = self.0.partition_point(|(low, _)| *low <= at);
        let before = next.checked_sub(1).and_then(|before| self.0.get(before));
        before.is_some_and(|(_, high)| at <= *high)
    }

    /// The range that had to be forgotten for it, if any.
    #[inline]
    fn insert(&mut self, low: i64, high: i64) -> Option<(i64, i64)> {
        if let Some(last) = self.0.last_mut()
            && last.1 + 1 == low
        {
            last.1 = high;
            return None;
        }
        // All that touch it become one with it.
        let from = self.0.partition_point(|(_, end)| *end + 1 < low);
        let to = self.0.partition_point(|(start, _)| *start <= high + 1);
        let touched = self.0.get(from..to.max(from)).unwrap_or(&[]);
        let low = touched.first().map_or(low, |(start, _)| low.min(*start));
        let high = touched.last().map_or(high, |(_, end)| high.max(*end));
        self.0.splice(from..to.max(from), [(low, high)]);
        self.forget()
    }

    /// Takes one number out; the range that had to be forgotten for it, if any.
    #[inline]
    fn remove(&mut self, at: i64) -> Option<(i64, i64)> {
        if !self.has(at) {
            return None;
        }
        let found = self.0.partition_point(|(_, end)| *end < at);
        let (low, high) = self.0.get(found).copied()?;
        let rest = [(low, at - 1), (at + 1, high)];
        let rest = rest.into_iter().filter(|(low, high)| low <= high);
        self.0.splice(found..=found, rest);
        self.forget()
    }

    fn forget(&mut self) -> Option<(i64, i64)> {
        (self.0.len() > MAX_RANGES).then(|| self.0.remove(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(sns: &[u32]) -> Serials {
        let mut serials = Serials::default();
        for sn in sns {
            serials.meet(*sn);
        }
        serials
    }

    #[test]
    fn overlapping_dumps_have_duplicates() {
        let serials = fed(&[4, 5, 6, 5, 6, 7, 5, 6, 7]);
        assert_eq!(serials.duplicates, 5);
        assert_eq!(serials.range(), Some((4, 7)));
    }

    #[test]
    fn what_came_later_is_not_missing() {
        let mut serials = fed(&[1, 2]);
        serials.add_gap(3, 7);
        // The same gap, as in a second dump.
        serials.add_gap(3, 7);
        assert_eq!(serials.missing(), 7);
        for sn in [10, 4, 5] {
            assert!(!serials.pass(sn));
        }
        assert_eq!(serials.missing(), 5);
        // Nor what came before, as in a second dump that lost more.
        serials.add_gap(2, 8);
        assert_eq!(serials.missing(), 5);
    }

    #[test]
    fn a_gap_can_come_first() {
        let mut serials = Serials::default();
        serials.add_gap(3, 7);
        serials.meet(10);
        assert_eq!((serials.missing(), serials.range()), (7, Some((10, 10))));
    }

    #[test]
    fn what_came_later_is_not_missing_when_its_range_is_forgotten() {
        let mut serials = fed(&[0]);
        serials.add_gap(1, 9);
        (1..10).for_each(|sn| assert!(!serials.pass(sn)));
        for at in 1..=1000 {
            serials.meet(at * 10);
        }
        assert_eq!(serials.missing(), 0);
    }

    #[test]
    fn the_same_gaps_twice_count_once() {
        let mut serials = Serials::default();
        for _ in 0..2 {
            for at in 0..1000 {
                serials.meet(at * 10);
                serials.add_gap(at * 10 + 1, 9);
            }
        }
        assert_eq!(serials.missing(), 1000 * 9);
    }

    #[test]
    fn numbers_wrap() {
        let serials = fed(&[u32::MAX - 1, u32::MAX, 0, 1, 0]);
        assert_eq!(serials.range(), Some((u32::MAX - 1, 1)));
        assert_eq!(serials.duplicates, 1);
    }

    #[test]
    fn memory_is_bounded_and_nothing_missing_is_lost() {
        let mut serials = fed(&[0]);
        for at in 1..1000 {
            serials.add_gap(at * 10 - 9, 9);
            serials.pass(at * 10);
        }
        assert_eq!(
            (serials.seen.0.len(), serials.gaps.0.len()),
            (MAX_RANGES, MAX_RANGES)
        );
        assert_eq!(serials.missing(), 999 * 9);
        // The newest are remembered.
        assert!(serials.meet(9990) && !serials.meet(10));
    }
}
