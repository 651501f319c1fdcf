//! The law of the clock: ticks and uptime run together.
//!
//! A kernel counts ticks from a fixed start, so ticks minus hz times uptime is
//! the same for all records of one boot. Bytes that only look like a record
//! have no part in that.

use super::candidate::Found;

/// Ticks per second that kernels have.
const RATES: [u32; 4] = [1000, 100, 250, 128];

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
        let clocks = RATES.into_iter().map(|hz| {
            // Copies of one record agree with themselves.
            let mut times: Vec<(i64, u32)> = found
                .iter()
                .map(|found| (found.uptime_us, start(found, hz)))
                .collect();
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
        let near = |boot: &u32| distance(*boot, ticks) <= 2 * width(self.hz);
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
    (hz / 4).max(8)
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
            all.extend((0..10).map(|n| found(hz, 0, n * 7_654_321)));
            all.push(found(hz, 0x1234_5678, 5));
            all.push(found(hz, 0x4321_5678, 5));
            let clock = Clock::of(&all);
            assert_eq!(clock.hz, hz);
            assert_eq!(clock.boots.len(), 2);
            let boots: Vec<_> = all.iter().map(|found| clock.boot(found)).collect();
            assert!(boots[..50].iter().all(|boot| *boot == Some(0)));
            assert!(boots[50..60].iter().all(|boot| *boot == Some(1)));
            assert_eq!(boots[60..], [None, None]);
        }
    }

    #[test]
    fn few_records_make_no_clock() {
        let all = [found(1000, 5, 1), found(1000, 5, 10)];
        assert!(Clock::of(&all).boots.is_empty());
        assert!(Clock::of(&[]).boots.is_empty());
    }
}
