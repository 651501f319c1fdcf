//! How the clocks of two recorders differ: offset and skew, from segments
//! that both have.

use super::segment::Direction;

/// A segment that both have: by which clock it is when.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Nanoseconds.
    pub log: i64,
    /// Nanoseconds.
    pub wire: i64,
    pub direction: Direction,
}

/// Pairs that are looked at, at most; of more, every so manyth.
const MOST_PAIRS: usize = 100_000;

/// Slopes from which a skew is told.
const FEWEST_SLOPES: usize = 16;

/// What is added to a time of the log to get the time of the wire.
///
/// A segment comes in by the wire and is then logged; one that goes out is
/// logged and then comes to the wire. So the offset of the clocks is between
/// the medians of the two directions, and half of their distance is what the
/// way between the two recorders takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    pub pairs: u64,
    /// Time of the log at which the offset holds, ns.
    pub reference: i64,
    /// Nanoseconds.
    pub offset: i64,
    /// Medians of either direction, ns: `[in, out]`.
    pub medians: [Option<i64>; 2],
    /// What the wire's clock gains, in parts per million, and the half width
    /// of the 95 % confidence interval. `None` with too few pairs.
    pub skew: Option<(f64, f64)>,
    /// Differences from the expected: 5 % are below the first, 5 % above the
    /// last, ns.
    pub spread: (i64, i64),
    /// From the first to the last pair, by the log's clock, ns.
    pub span: i64,
    /// The log's clock moves in steps of about so many ns.
    pub step: Option<i64>,
}

impl Clock {
    /// When a segment of the log is expected on the wire.
    pub fn expected(&self, log: i64, direction: Direction) -> i64 {
        let offset = self.medians[direction.index()].unwrap_or(self.offset);
        log.saturating_add(offset).saturating_add(self.drift(log))
    }

    /// What the skew adds to the offset since the reference.
    fn drift(&self, log: i64) -> i64 {
        let rate = self.used_skew() / 1e6;
        (log.saturating_sub(self.reference) as f64 * rate) as i64
    }

    /// The skew, if it is more than the error of measuring it.
    pub fn used_skew(&self) -> f64 {
        match self.skew {
            Some((skew, error)) if skew.abs() > error => skew,
            _ => 0.0,
        }
    }

    /// Estimates from pairs in any order; `None` without any.
    ///
    /// The skew is the median of the slopes between pairs that are half of all
    /// pairs apart, so a quarter of the pairs may be nonsense. Its error is
    /// what the ranks of these slopes tell, and not less than what the pairs'
    /// own differences allow over that time.
    pub fn estimate(pairs: &[Pair]) -> Option<Clock> {
        let stride = pairs.len().div_ceil(MOST_PAIRS).max(1);
        let mut used: Vec<Pair> = pairs.iter().step_by(stride).copied().collect();
        used.sort_by_key(|pair| (pair.log, pair.wire));
        let (first, last) = (used.first()?.log, used.last()?.log);
        let reference = first.saturating_add(last.saturating_sub(first) / 2);
        let mut clock = Clock {
            pairs: pairs.len() as u64,
            reference,
            offset: 0,
            medians: [None; 2],
            skew: skew(&used),
            spread: (0, 0),
            span: last.saturating_sub(first),
            step: step(&used),
        };
        let difference = |clock: &Clock, pair: &Pair| {
            let difference = pair.wire.saturating_sub(pair.log);
            difference.saturating_sub(clock.drift(pair.log))
        };
        for direction in Direction::BOTH {
            let these = used.iter().filter(|pair| pair.direction == direction);
            let mut these: Vec<i64> = these.map(|pair| difference(&clock, pair)).collect();
            these.sort_unstable();
            clock.medians[direction.index()] = these.get(these.len() / 2).copied();
        }
        clock.offset = match clock.medians {
            [Some(one), Some(other)] => ((i128::from(one) + i128::from(other)) / 2) as i64,
            [one, other] => one.or(other)?,
        };
        let expected = |pair: &Pair| clock.expected(pair.log, pair.direction);
        let rests = used.iter();
        let rests = rests.map(|pair| pair.wire.saturating_sub(expected(pair)));
        let mut rests: Vec<i64> = rests.collect();
        rests.sort_unstable();
        let at = |percent: usize| rests.get((rests.len() - 1) * percent / 100).copied();
        clock.spread = (at(5)?, at(95)?);
        Some(clock)
    }
}

/// Skew and its error, in parts per million; `pairs` in order of time.
fn skew(pairs: &[Pair]) -> Option<(f64, f64)> {
    let mut slopes = Vec::new();
    for direction in Direction::BOTH {
        let these = pairs.iter().filter(|pair| pair.direction == direction);
        let these: Vec<&Pair> = these.collect();
        let half = these.len() / 2;
        for (one, other) in these.iter().zip(these.iter().skip(half.max(1))) {
            let time = other.log.saturating_sub(one.log);
            let wire = other.wire.saturating_sub(one.wire);
            if time > 0 {
                slopes.push((wire.saturating_sub(time)) as f64 / time as f64 * 1e6);
            }
        }
    }
    if slopes.len() < FEWEST_SLOPES {
        return None;
    }
    slopes.sort_unstable_by(f64::total_cmp);
    let span = pairs.last()?.log.saturating_sub(pairs.first()?.log);
    let count = slopes.len() as f64;
    let low = (count / 2.0 - 0.98 * count.sqrt()).max(0.0) as usize;
    let high = slopes.len() - 1 - low;
    let (low, high) = (*slopes.get(low)?, *slopes.get(high)?);
    let median = *slopes.get(slopes.len() / 2)?;
    // Half of all pairs are within so much of each other; both ends of the
    // line are off by as much again.
    let origin = pairs.first()?;
    let rest = |pair: &Pair| {
        let time = pair.log.saturating_sub(origin.log);
        let wire = pair.wire.saturating_sub(origin.wire);
        wire.saturating_sub(time) as f64 - time as f64 * median / 1e6
    };
    let mut rests: Vec<f64> = pairs.iter().map(rest).collect();
    rests.sort_unstable_by(f64::total_cmp);
    let quarter = rests.len() / 4;
    let noise = rests.get(rests.len() - 1 - quarter)? - rests.get(quarter)?;
    let floor = 4.0 * noise.abs() / span.max(1) as f64 * 1e6;
    Some((median, (high - median).max(median - low).max(floor)))
}

/// The step of a clock that moves by ticks: many segments have the same time,
/// and none are less than half a millisecond apart. `pairs` in order of time.
fn step(pairs: &[Pair]) -> Option<i64> {
    let steps = pairs.iter().zip(pairs.iter().skip(1));
    let steps = steps.map(|(one, other)| other.log.saturating_sub(one.log));
    let (same, mut steps): (Vec<i64>, Vec<i64>) = steps.partition(|step| *step == 0);
    steps.sort_unstable();
    let step = *steps.get(steps.len() / 5)?;
    let by_ticks = same.len() * 4 > steps.len() && step >= 500_000;
    by_ticks.then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000_000;

    /// Pairs over ten minutes, with a delay of 20 µs out and 5 µs in, and
    /// every eighth one far off.
    fn pairs(offset: i64, ppm: f64, noise: &[i64]) -> Vec<Pair> {
        let all = noise.iter().enumerate();
        let pair = |(at, noise): (usize, &i64)| {
            let log = at as i64 * 600 * SECOND / 400;
            let direction = Direction::BOTH[at % 2];
            let delay = [-5_000, 20_000][at % 2];
            let far = if at % 8 == 0 { 30 * SECOND } else { 0 };
            let drift = (log as f64 * ppm / 1e6) as i64;
            let wire = log + offset + drift + delay + noise + far;
            Pair {
                log,
                wire,
                direction,
            }
        };
        all.map(pair).collect()
    }

    proptest! {
        #[test]
        fn offset_and_skew_are_found(
            offset in -1_000_000 * SECOND..1_000_000 * SECOND,
            ppm in -200.0_f64..200.0,
            noise in prop::collection::vec(0_i64..10_000, 400),
        ) {
            let clock = Clock::estimate(&pairs(offset, ppm, &noise)).expect("pairs");
            let (skew, error) = clock.skew.expect("enough pairs");
            prop_assert!((skew - ppm).abs() < 0.5 && error < 1.0, "{clock:?} {ppm}");
            // Where the skew is too small to be told, the offset carries it.
            let there = offset + (clock.reference as f64 * ppm / 1e6) as i64;
            let slack = 200_000;
            prop_assert!((clock.offset - there).abs() < slack, "{clock:?} {there}");
        }
    }

    #[test]
    fn few_pairs_tell_an_offset_only() {
        let pair = Pair {
            log: 5,
            wire: 105,
            direction: Direction::In,
        };
        let clock = Clock::estimate(&[pair]).expect("a pair");
        assert_eq!((clock.offset, clock.skew), (100, None));
        assert_eq!(clock.expected(7, Direction::Out), 107);
        assert_eq!(Clock::estimate(&[]), None);
    }

    #[test]
    fn ticks_are_seen() {
        let ticks = |length: i64| -> Vec<Pair> {
            (0..200)
                .map(|at: i64| Pair {
                    log: at * 100_000 / length * length,
                    wire: at * 100_000,
                    direction: Direction::In,
                })
                .collect()
        };
        let step = |length| Clock::estimate(&ticks(length)).expect("pairs").step;
        assert_eq!(step(1_000_000), Some(1_000_000));
        assert_eq!(step(10_000_000), Some(10_000_000));
        assert_eq!(step(1000), None);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let extremes = [i64::MIN, -1, 0, 1, i64::MAX];
        let mut pairs = Vec::new();
        for log in extremes {
            for wire in extremes {
                let direction = Direction::BOTH[pairs.len() % 2];
                pairs.push(Pair {
                    log,
                    wire,
                    direction,
                });
            }
        }
        let clock = Clock::estimate(&pairs).expect("pairs");
        let _ = clock.expected(i64::MAX, Direction::In);
    }
}
