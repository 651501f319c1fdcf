//! Round trip times: measured from the segments, and what the stack says.
//!
//! Measured, the same way for every stack: from an OUT record to the IN record
//! whose acknowledgement covers the end of its segment, if none did before. Of
//! several segments that one acknowledgement covers the last counts. After a
//! retransmission nothing that was sent before it counts any more (Karn's
//! rule, and the cumulative acknowledgement after a repaired hole says nothing
//! of the segments behind it). Delayed acknowledgements are part of the time.
//!
//! Said by the stack: RTT records (47) of RACK and BBR, flex1 in microseconds.
//! RACK of 13.0 measures in whole ticks. A sample of 2^31 and more is a negative
//! one, as from a clock that stepped back: it says nothing and is left out.

use super::sequence::at_or_after;
use std::collections::VecDeque;

/// Segments under way that are remembered; of more the later ones are not
/// measured.
const MAX_OUTSTANDING: usize = 128;

/// Buckets per power of two: half of a bucket's width is at most 1/32.
const STEPS: u32 = 16;

/// The RTTs of a connection.
#[derive(Clone, Debug, Default)]
pub struct Rtts {
    pub measured: Spread,
    pub reported: Spread,
    /// Negative samples of the stack, which are not in `reported`.
    pub negative: u64,
    outstanding: VecDeque<(u32, i64)>,
}

impl Rtts {
    /// A segment with sequence space was sent that ends before `end`.
    pub fn sent(&mut self, end: u32, is_again: bool, now_us: i64) {
        if is_again {
            self.outstanding.clear();
        } else if self.outstanding.len() < MAX_OUTSTANDING {
            self.outstanding.push_back((end, now_us));
        }
    }

    /// The peer acknowledged all before `ack`.
    pub fn acked(&mut self, ack: u32, now_us: i64) {
        let mut sent = None;
        while let Some((end, at)) = self.outstanding.front().copied()
            && at_or_after(ack, end)
        {
            sent = Some(at);
            self.outstanding.pop_front();
        }
        if let Some(at) = sent {
            self.measured.add(now_us.saturating_sub(at));
        }
    }

    /// Records are missing.
    pub fn forget(&mut self) {
        self.outstanding.clear();
    }

    /// A stack's own sample.
    pub fn reported(&mut self, us: u32) {
        if us.cast_signed() < 0 {
            self.negative += 1;
        } else {
            self.reported.add(i64::from(us));
        }
    }
}

/// Lowest, middle and highest of any number of times, in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Spread {
    pub samples: u64,
    pub min_us: u32,
    pub max_us: u32,
    /// How many there are, by size; made with the first.
    counts: Vec<u32>,
}

impl Spread {
    fn add(&mut self, us: i64) {
        let Ok(us) = u32::try_from(us) else { return };
        if self.samples == 0 {
            self.counts.resize(bucket(u32::MAX) + 1, 0);
            self.min_us = us;
        }
        self.samples += 1;
        self.min_us = self.min_us.min(us);
        self.max_us = self.max_us.max(us);
        if let Some(count) = self.counts.get_mut(bucket(us)) {
            *count = count.saturating_add(1);
        }
    }

    /// The median, to about 3 %; has no more digits than that is worth.
    pub fn median_us(&self) -> Option<u32> {
        let mut left = self.samples.checked_sub(1)? / 2;
        for (at, count) in self.counts.iter().enumerate() {
            match left.checked_sub(u64::from(*count)) {
                Some(rest) => left = rest,
                None => return Some(rounded(middle(at)).clamp(self.min_us, self.max_us)),
            }
        }
        None
    }
}

fn bucket(us: u32) -> usize {
    let power = (us | (STEPS - 1)).ilog2() + 1 - STEPS.ilog2();
    let at = match power {
        0 => us,
        _ => STEPS * power + ((us >> (power - 1)) - STEPS),
    };
    at as usize
}

/// The middle of a bucket.
fn middle(bucket: usize) -> u32 {
    let at = bucket as u32;
    match at / STEPS {
        0 => at,
        power => {
            let width = 1_u32 << (power - 1);
            (at % STEPS + STEPS) * width + width / 2
        }
    }
}

/// To two digits, to three if the first is a 1.
fn rounded(us: u32) -> u32 {
    let mut unit = 1;
    while us / unit >= 200 {
        unit *= 10;
    }
    us.saturating_add(unit / 2) / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_they_say() {
        for us in (0..100_000).chain([u32::MAX / 3, u32::MAX]) {
            let got = middle(bucket(us));
            assert!(got.abs_diff(us) <= us / 32, "{us}: {got}");
        }
        assert!(bucket(u32::MAX) < 480);
    }

    #[test]
    fn the_last_of_several_counts() {
        let mut rtts = Rtts::default();
        rtts.sent(100, false, 0);
        rtts.sent(200, false, 50);
        rtts.sent(300, false, 60);
        rtts.acked(250, 1_000);
        assert_eq!((rtts.measured.samples, rtts.measured.min_us), (1, 950));
        rtts.acked(250, 2_000);
        rtts.acked(300, 2_060);
        assert_eq!((rtts.measured.samples, rtts.measured.max_us), (2, 2_000));
    }

    #[test]
    fn what_was_under_way_when_something_was_sent_again_does_not_count() {
        let mut rtts = Rtts::default();
        rtts.sent(100, false, 0);
        rtts.sent(200, false, 1);
        rtts.sent(100, true, 500);
        rtts.sent(300, false, 501);
        rtts.acked(200, 600);
        assert_eq!(rtts.measured.samples, 0);
        rtts.acked(300, 601);
        assert_eq!((rtts.measured.samples, rtts.measured.max_us), (1, 100));
    }

    #[test]
    fn negative_samples_are_left_out() {
        let mut rtts = Rtts::default();
        for us in [1000, u32::MAX, 3000, 1 << 31, 2000] {
            rtts.reported(us);
        }
        let spread = &rtts.reported;
        assert_eq!((spread.min_us, spread.max_us), (1000, 3000));
        assert_eq!((spread.samples, rtts.negative), (3, 2));
        // As long as a 32-bit number can say.
        rtts.reported(i32::MAX.cast_unsigned());
        assert_eq!(rtts.reported.max_us, i32::MAX.cast_unsigned());
    }

    #[test]
    fn a_median_has_no_more_digits_than_it_is_worth() {
        let pairs = [
            (0, 0),
            (31, 31),
            (199, 199),
            (204, 200),
            (1994, 1990),
            (1056, 1060),
            (8448, 8400),
            (29_184, 29_000),
            (u32::MAX, 4_200_000_000),
        ];
        for (us, expected) in pairs {
            assert_eq!(rounded(us), expected, "{us}");
        }
        // Never out of the range of the samples.
        let mut spread = Spread::default();
        spread.add(6234);
        assert_eq!(spread.median_us(), Some(6234));
    }

    #[test]
    fn the_median_of_many() {
        let mut spread = Spread::default();
        (1..=1001).for_each(|us| spread.add(us * 10));
        let median = spread.median_us().expect("samples");
        assert!(median.abs_diff(5_010) < 160, "{median}");
        assert_eq!(Spread::default().median_us(), None);
    }
}
