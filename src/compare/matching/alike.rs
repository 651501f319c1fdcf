//! Segments that are the same for both recorders, one to one.

use super::{Matches, Sides};
use crate::compare::clock::Clock;
use crate::compare::segment::{Direction, Options, Segment};

/// Segments that are the same and this far from when they are expected are
/// two and not one, ns; each of them costs that.
const FAR: i64 = 250_000_000;

/// Groups up to this many combinations are matched in the best way, larger
/// ones in a good way.
const MOST_COMBINATIONS: usize = 4096;

/// What makes two segments the same. Options stand last, so that those of one
/// header stand together.
type Key = (Direction, u32, u32, u16, u32, Option<Options>);

fn key(segment: &Segment, direction: Direction, with_options: bool) -> Option<Key> {
    let tcp = segment.tcp?;
    let options = with_options.then_some(tcp.options);
    Some((direction, tcp.seq, tcp.ack, tcp.flags, segment.len, options))
}

/// Matches what is the same; gives the clocks.
pub fn pair(sides: Sides<'_>, matches: &mut Matches) -> Option<Clock> {
    let log = keys(sides.log, |s| key(s, s.direction, true), |_| true);
    let wire = |s: &Segment| key(s, sides.wire_direction(s), true);
    let wire = keys(sides.wire, wire, |_| true);
    let mut several = Vec::new();
    for (logs, wires) in groups(&log, &wire) {
        match (logs, wires) {
            ([one], [other]) => matches.join(one.1, other.1),
            both => several.push(both),
        }
    }
    // What there is only once tells when the rest is to be expected.
    let clock = sides.clock(matches);
    for (logs, wires) in several {
        align(sides, matches, logs, wires, clock.as_ref());
    }
    let cut = |s: &Segment| s.tcp.is_some_and(|tcp| !tcp.options.whole);
    if sides.wire.iter().any(cut) {
        without_options(sides, matches, clock.as_ref());
    }
    sides.clock(matches)
}

/// Matches segments whose options were cut off.
fn without_options(sides: Sides<'_>, matches: &mut Matches, clock: Option<&Clock>) {
    let log = keys(
        sides.log,
        |s| key(s, s.direction, false),
        |at| matches.log_is_alone(at),
    );
    let cut = |at: u32| {
        let tcp = sides.wire.get(at as usize).and_then(|s| s.tcp);
        matches.wire_is_alone(at) && tcp.is_some_and(|tcp| !tcp.options.whole)
    };
    let wire = |s: &Segment| key(s, sides.wire_direction(s), false);
    let wire = keys(sides.wire, wire, cut);
    for (logs, wires) in groups(&log, &wire) {
        matches.without_options += align(sides, matches, logs, wires, clock);
    }
}

/// Key and place of each segment that `wanted` allows, by key and then by
/// place.
fn keys(
    segments: &[Segment],
    key: impl Fn(&Segment) -> Option<Key>,
    wanted: impl Fn(u32) -> bool,
) -> Vec<(Key, u32)> {
    let all = (0_u32..).zip(segments).filter(|(at, _)| wanted(*at));
    let keys = all.filter_map(|(at, segment)| Some((key(segment)?, at)));
    let mut keys: Vec<(Key, u32)> = keys.collect();
    keys.sort_unstable();
    keys
}

type Group<'a> = &'a [(Key, u32)];

/// What has the same key on both sides.
fn groups<'a>(
    mut log: Group<'a>,
    mut wire: Group<'a>,
) -> impl Iterator<Item = (Group<'a>, Group<'a>)> {
    std::iter::from_fn(move || {
        loop {
            let ((one, _), (other, _)) = (log.first()?, wire.first()?);
            let of_log = log.partition_point(|(key, _)| key <= one.min(other));
            let of_wire = wire.partition_point(|(key, _)| key <= one.min(other));
            let (logs, rest_of_log) = log.split_at_checked(of_log)?;
            let (wires, rest_of_wire) = wire.split_at_checked(of_wire)?;
            (log, wire) = (rest_of_log, rest_of_wire);
            if !logs.is_empty() && !wires.is_empty() {
                return Some((logs, wires));
            }
        }
    })
}

/// Matches segments that are all the same, in order and by time; gives how
/// many.
fn align(
    sides: Sides<'_>,
    matches: &mut Matches,
    logs: Group<'_>,
    wires: Group<'_>,
    clock: Option<&Clock>,
) -> u64 {
    let expected = |at: u32| {
        let segment = sides.log.get(at as usize)?;
        Some(clock?.expected(segment.time?, segment.direction))
    };
    let expected: Option<Vec<i64>> = logs.iter().map(|(_, at)| expected(*at)).collect();
    let came = |at: u32| sides.wire.get(at as usize)?.time;
    let came: Option<Vec<i64>> = wires.iter().map(|(_, at)| came(*at)).collect();
    let pairs = match (expected, came) {
        (Some(expected), Some(came))
            if logs.len().saturating_mul(wires.len()) <= MOST_COMBINATIONS =>
        {
            best(&expected, &came)
        }
        (Some(expected), Some(came)) => good(&expected, &came),
        // Without times there is only their order.
        _ => (0..logs.len().min(wires.len()))
            .map(|at| (at, at))
            .collect(),
    };
    let mut count = 0;
    for (log, wire) in pairs {
        if let (Some((_, log)), Some((_, wire))) = (logs.get(log), wires.get(wire)) {
            matches.join(*log, *wire);
            count += 1;
        }
    }
    count
}

/// The pairs, in order on both sides, that are the least time apart in all;
/// leaving one out costs [`FAR`].
fn best(expected: &[i64], came: &[i64]) -> Vec<(usize, usize)> {
    let width = came.len() + 1;
    // Cost of having done with so many on either side, last choice first:
    // then the way from the start is walked forwards.
    let mut costs = vec![0_i64; (expected.len() + 1) * width];
    let at = |one: usize, other: usize| one * width + other;
    let cost = |costs: &[i64], one: usize, other: usize| {
        costs.get(at(one, other)).copied().unwrap_or(i64::MAX)
    };
    let apart = |one: usize, other: usize| match (expected.get(one), came.get(other)) {
        (Some(one), Some(other)) => i64::try_from(other.abs_diff(*one)).unwrap_or(i64::MAX),
        _ => i64::MAX,
    };
    for one in (0..=expected.len()).rev() {
        for other in (0..=came.len()).rev() {
            let left = (expected.len() - one) + (came.len() - other);
            let mut least = left as i64 * FAR;
            if one < expected.len() && other < came.len() {
                let joined = cost(&costs, one + 1, other + 1).saturating_add(apart(one, other));
                let skipped = cost(&costs, one + 1, other).min(cost(&costs, one, other + 1));
                least = least.min(joined).min(skipped.saturating_add(FAR));
            }
            if let Some(cost) = costs.get_mut(at(one, other)) {
                *cost = least;
            }
        }
    }
    let mut pairs = Vec::new();
    let (mut one, mut other) = (0, 0);
    while one < expected.len() && other < came.len() {
        let here = cost(&costs, one, other);
        if here == cost(&costs, one + 1, other + 1).saturating_add(apart(one, other)) {
            pairs.push((one, other));
            one += 1;
            other += 1;
        } else if here == cost(&costs, one + 1, other).saturating_add(FAR) {
            one += 1;
        } else {
            other += 1;
        }
    }
    pairs
}

/// Pairs in order on both sides that are not far apart.
fn good(expected: &[i64], came: &[i64]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let (mut one, mut other) = (0, 0);
    while let (Some(at), Some(there)) = (expected.get(one), came.get(other)) {
        let apart = there.saturating_sub(*at);
        if apart.unsigned_abs() <= 2 * FAR.unsigned_abs() {
            pairs.push((one, other));
        }
        one += usize::from(apart >= -2 * FAR);
        other += usize::from(apart <= 2 * FAR);
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn what_one_side_lost_is_left_out() {
        let all = [0, 10 * MS, 20 * MS, 30 * MS];
        assert_eq!(best(&all, &all[1..]), [(1, 0), (2, 1), (3, 2)]);
        assert_eq!(best(&all[..3], &all), [(0, 0), (1, 1), (2, 2)]);
        // Each has lost another one, and those are a second apart.
        assert_eq!(best(&[0, 1000 * MS], &[1001 * MS, 3000 * MS]), [(1, 0)]);
        assert_eq!(good(&[0, 1000 * MS], &[1001 * MS, 3000 * MS]), [(1, 0)]);
    }

    proptest! {
        #[test]
        fn pairs_are_in_order_and_near(
            expected in prop::collection::vec(0..3000 * MS, 0..40),
            came in prop::collection::vec(0..3000 * MS, 0..40),
        ) {
            let (mut expected, mut came) = (expected, came);
            expected.sort_unstable();
            came.sort_unstable();
            for pairs in [best(&expected, &came), good(&expected, &came)] {
                for (one, next) in pairs.iter().zip(pairs.iter().skip(1)) {
                    prop_assert!(one.0 < next.0 && one.1 < next.1);
                }
                for (one, other) in pairs {
                    prop_assert!(expected[one].abs_diff(came[other]) <= 2 * FAR as u64);
                }
            }
        }

        #[test]
        fn the_same_times_all_match(times in prop::collection::vec(any::<i64>(), 0..40)) {
            let mut times = times;
            times.sort_unstable();
            prop_assert_eq!(best(&times, &times).len(), times.len());
            prop_assert_eq!(good(&times, &times).len(), times.len());
        }
    }
}
