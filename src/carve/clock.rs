//! The law of the clock: ticks and uptime run together.
//!
//! A kernel counts ticks from a fixed start, so ticks minus hz times uptime is
//! the same for all records of one boot. Bytes that only look like a record
//! have no part in that.

use super::candidate::Found;
use std::collections::{HashMap, HashSet};

/// Ticks per second that kernels have.
const RATES: [u32; 7] = [1000, 100, 250, 128, 500, 1024, 2000];

/// Boots whose records one image may hold.
const MOST_BOOTS: usize = 64;

/// Fewer records agree by chance.
const FEWEST: usize = 3;

/// Which records were written in the same boot.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Ticks per second, as far as the records tell.
    pub hz: u32,
    /// Ticks at boot, for each boot; most records first.
    pub boots: Vec<u32>,
}

impl Clock {
    pub fn of(found: &[Found]) -> Clock {
        let company = company(found);
        let clocks = RATES.into_iter().map(|hz| {
            // Copies of one record agree with themselves.
            let supported = |found: &&Found| company.contains(&key(found)) || is_lawful(found, hz);
            let found = found.iter().filter(supported);
            let mut times: Vec<_> = found.map(|one| (one.uptime_us, start(one, hz))).collect();
            times.sort_unstable();
            times.dedup();
            let mut starts: Vec<u32> = times.into_iter().map(|(_, start)| start).collect();
            starts.sort_unstable();
            let first = densest(&starts, width(hz)).1;
            (first, hz, starts)
        });
        // Of rates that serve equally well, the first.
        let best = clocks.reduce(|best, next| if next.0 > best.0 { next } else { best });
        let Some((_, hz, mut starts)) = best else {
            return Clock::default();
        };
        let mut boots = Vec::new();
        while boots.len() < MOST_BOOTS {
            let (at, count) = densest(&starts, width(hz));
            if count < FEWEST {
                break;
            }
            let inside = starts.drain(at..at + count);
            let middle = inside.as_slice().get(count / 2).copied();
            drop(inside);
            boots.extend(middle);
        }
        Clock { hz, boots }
    }

    /// The boot in which a record was written.
    pub fn boot(&self, found: &Found) -> Option<usize> {
        let ticks = start(found, self.hz);
        let near = |boot: &u32| distance(*boot, ticks) <= width(self.hz);
        self.boots.iter().position(near)
    }
}

/// Ticks at boot, as a record tells.
fn start(found: &Found, hz: u32) -> u32 {
    let passed = i128::from(found.uptime_us) * i128::from(hz) / 1_000_000;
    found.ticks.wrapping_sub(passed as u32)
}

/// Stacks may hand in a time that is some ms old: ticks that this amounts to.
fn width(hz: u32) -> u32 {
    (hz / 16).max(4)
}

/// What a connection's records have in common.
fn key(found: &Found) -> (u32, u32) {
    (found.iss, found.starttime)
}

/// Connections with several records: bytes that only look like records have no
/// company, so they do not make a clock.
fn company(found: &[Found]) -> HashSet<(u32, u32)> {
    let mut serials: HashMap<(u32, u32), HashSet<u32>> = HashMap::new();
    for one in found.iter().filter(|found| found.iss != 0) {
        let serials = serials.entry(key(one)).or_default();
        if serials.len() < FEWEST {
            serials.insert(one.sn);
        }
    }
    let many = serials
        .into_iter()
        .filter(|(_, serials)| serials.len() >= FEWEST);
    many.map(|(key, _)| key).collect()
}

/// Whether ticks began where kernels let them begin, about a second after
/// uptime did: ten minutes before the sign bit turns.
fn is_lawful(found: &Found, hz: u32) -> bool {
    let law = (i32::MAX as u32).wrapping_sub(600 * hz);
    distance(start(found, hz), law) < 2 * hz
}

fn distance(a: u32, b: u32) -> u32 {
    a.wrapping_sub(b).min(b.wrapping_sub(a))
}

/// Where the most of the sorted numbers lie within `width`: the first one, and
/// how many.
fn densest(sorted: &[u32], width: u32) -> (usize, usize) {
    let (mut best, mut low) = ((0, 0), 0);
    for (high, number) in sorted.iter().enumerate() {
        while sorted.get(low).is_some_and(|first| number - first > width) {
            low += 1;
        }
        if high + 1 - low > best.1 {
            best = (low, high + 1 - low);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(hz: u32, boot_ticks: u32, uptime_us: i64) -> Found {
        let ticks = boot_ticks.wrapping_add((uptime_us * i64::from(hz) / 1_000_000) as u32);
        Found {
            uptime_us,
            ticks,
            ..Found::default()
        }
    }

    #[test]
    fn boots_and_rates() {
        for hz in [100, 1000] {
            let law = 0x7fff_ffff - 600 * hz;
            let mut all: Vec<Found> = (0..50).map(|n| found(hz, law, n * 1_234_567)).collect();
            // Another boot of the same kernel in user space, and noise.
            all.extend((0..10).map(|n| Found {
                iss: 77,
                sn: n as u32,
                ..found(hz, 0, n * 7_654_321)
            }));
            // Each for itself, though they agree with each other.
            all.extend((0..10).map(|n| found(hz, 0x1234_5678, n * 5)));
            let clock = Clock::of(&all);
            assert_eq!(clock.hz, hz);
            assert_eq!(clock.boots.len(), 2);
            let boots: Vec<_> = all.iter().map(|found| clock.boot(found)).collect();
            assert!(boots[..50].iter().all(|boot| *boot == Some(0)));
            assert!(boots[50..60].iter().all(|boot| *boot == Some(1)));
            assert_eq!(boots[60..], [None; 10]);
        }
    }

    #[test]
    fn few_records_make_no_clock() {
        let all = [found(1000, 5, 1), found(1000, 5, 10)];
        assert!(Clock::of(&all).boots.is_empty());
        assert!(Clock::of(&[]).boots.is_empty());
    }
}
