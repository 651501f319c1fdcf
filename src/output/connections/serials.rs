//! Serial numbers of a connection: which came, which came twice, and which
//! are missing.

/// Ranges that are kept; a hostile input may have any number of gaps.
const MAX_RANGES: usize = 64;

/// Serial numbers as sets of ranges, so that the memory does not grow with
/// the records.
///
/// When there are too many ranges, the lowest is forgotten: what comes twice
/// from there is then not noticed.
#[derive(Clone, Debug, Default)]
pub struct Serials {
    /// The first that came, from which the others are counted.
    base: Option<u32>,
    /// Where the last one lies; numbers wrap, so each is taken for the
    /// nearest to it.
    at: i64,
    seen: Ranges,
    gaps: Ranges,
    /// Missing in gaps that were forgotten.
    settled: u64,
    range: Option<(i64, i64)>,
    pub duplicates: u64,
}

impl Serials {
    fn place(&self, sn: u32) -> i64 {
        let base = self.base.unwrap_or(sn);
        let here = base.wrapping_add(self.at as u32);
        self.at + i64::from(sn.wrapping_sub(here) as i32)
    }

    /// Whether a wanted record came before; counts it then.
    #[inline]
    pub fn is_duplicate(&mut self, sn: u32) -> bool {
        self.base.get_or_insert(sn);
        let at = self.place(sn);
        let is_duplicate = self.seen.has(at);
        self.duplicates += u64::from(is_duplicate);
        // What is summed up has the lowest and the highest wanted one.
        self.range = Some(
            self.range
                .map_or((at, at), |(low, high)| (low.min(at), high.max(at))),
        );
        is_duplicate
    }

    /// Takes in a record, wanted or not.
    #[inline]
    pub fn add(&mut self, sn: u32) {
        self.base.get_or_insert(sn);
        self.at = self.place(sn);
        self.seen.insert(self.at, self.at);
    }

    /// Takes in that numbers are missing from `first` on.
    pub fn add_gap(&mut self, first: u32, count: u32) {
        let start = self.place(first);
        if count > 0
            && let Some((low, high)) = self.gaps.insert(start, start + i64::from(count) - 1)
        {
            self.settled = self.settled.saturating_add(self.uncovered(low, high));
        }
    }

    fn uncovered(&self, low: i64, high: i64) -> u64 {
        let seen = self.seen.0.iter();
        let covered: u64 = seen
            .map(|(from, to)| (high.min(*to) - low.max(*from) + 1).max(0) as u64)
            .sum();
        ((high - low + 1) as u64).saturating_sub(covered)
    }

    /// Missing ones that did not come later.
    pub fn missing(&self) -> u64 {
        let gaps = self.gaps.0.iter();
        gaps.fold(self.settled, |sum, (low, high)| {
            sum.saturating_add(self.uncovered(*low, *high))
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
        (self.0.len() > MAX_RANGES).then(|| self.0.remove(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(pieces: &[&[u32]]) -> Serials {
        let mut serials = Serials::default();
        for piece in pieces {
            for sn in *piece {
                serials.is_duplicate(*sn);
            }
            for sn in *piece {
                serials.add(*sn);
            }
        }
        serials
    }

    #[test]
    fn overlapping_dumps_have_duplicates() {
        let serials = fed(&[&[4, 5, 6], &[5, 6, 7], &[5, 6, 7]]);
        assert_eq!(serials.duplicates, 5);
        assert_eq!(serials.range(), Some((4, 7)));
    }

    #[test]
    fn what_came_later_is_not_missing() {
        let mut serials = fed(&[&[1, 2]]);
        serials.add_gap(3, 7);
        // The same gap, as in a second dump.
        serials.add_gap(3, 7);
        assert_eq!(serials.missing(), 7);
        serials.add(10);
        (4..6).for_each(|sn| serials.add(sn));
        assert_eq!(serials.missing(), 5);
    }

    #[test]
    fn numbers_wrap() {
        let serials = fed(&[&[u32::MAX - 1, u32::MAX, 0, 1], &[0]]);
        assert_eq!(serials.range(), Some((u32::MAX - 1, 1)));
        assert_eq!(serials.duplicates, 1);
    }

    #[test]
    fn memory_is_bounded_and_nothing_missing_is_lost() {
        let mut serials = fed(&[&[0]]);
        for at in 1..1000 {
            serials.add_gap(at * 10 - 9, 9);
            serials.add(at * 10);
        }
        assert_eq!(
            (serials.seen.0.len(), serials.gaps.0.len()),
            (MAX_RANGES, MAX_RANGES)
        );
        assert_eq!(serials.missing(), 999 * 9);
        // The newest are remembered.
        assert!(serials.is_duplicate(9990) && !serials.is_duplicate(10));
    }
}
