//! What records betray of the stack and the release that wrote them.
//!
//! Wireshark's plugin has the same rules in Lua, as far as it sees records:
//! formats/wireshark/evidence.lua. A change here is one there.

use crate::bblog::Record;
use crate::bblog::stackinfo::cell;
use crate::format::{EventId, Release, Stack};

/// How sure a stack's name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sureness {
    /// Records with this number contradict each other.
    Guess,
    /// All segments with this number look like that stack's.
    Likely,
    /// The user or the source says so.
    Named,
}

impl Sureness {
    pub fn name(self) -> &'static str {
        match self {
            Sureness::Guess => "guess",
            Sureness::Likely => "likely",
            Sureness::Named => "named",
        }
    }
}

/// What the records of one input have betrayed so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    stacks: Vec<Votes>,
    /// The oldest release that can have written what was seen.
    oldest: Option<Release>,
    /// The newest one.
    newest: Option<Release>,
    /// Ticks and uptime of the first record, and of one long enough after it.
    ticks: Option<(u32, i64)>,
    hz: Option<u32>,
    hz_is_exact: bool,
}

/// Ticks per second where the records do not tell: what kernels have unless
/// configured otherwise.
const USUAL_HZ: u32 = 1000;

/// Between two records, before they tell which of the usual lengths a tick
/// has, and before they tell its length, µs.
const HZ_ROUGH: i64 = 18_000;
const HZ_EXACT: i64 = 500_000;
/// Further apart than this, ticks may have wrapped.
const HZ_FAR: i64 = 1_000_000_000;

/// How many segments with a stack's number look like which family's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Votes {
    id: u8,
    votes: [u64; Stack::ALL.len()],
}

impl Evidence {
    /// Takes in one record.
    #[inline]
    pub fn learn(&mut self, record: &Record<'_>) {
        if !self.hz_is_exact {
            self.learn_hz(record);
        }
        let event = record.event();
        let info = record.stackinfo();
        let value = |cell| info.map_or(0, |info| info.named(cell));
        match event {
            // RACK and BBR write their bytes with every segment, the base
            // stack never does.
            EventId::IN | EventId::OUT => {
                let family = match (info, Evidence::sign(record)) {
                    (_, Some(family)) => family,
                    (None, None) => Stack::Base,
                    _ => return,
                };
                self.vote(record.stack_id(), family);
                // RACK after 13.0 writes the gain and the kind of ACK.
                if family == Stack::Rack && event == EventId::IN {
                    self.bound(value(cell::PACING_GAIN) | value(cell::FLEX7) != 0);
                }
            }
            // RACK after 13.0 writes the lowest RTO and the segment count.
            EventId::TIMERSTAR if Evidence::sign(record) == Some(Stack::Rack) => {
                self.bound(value(cell::LOST) != 0);
            }
            EventId::DOSEG_DONE if Evidence::sign(record) == Some(Stack::Rack) => {
                self.bound(value(cell::FLEX6) != 0);
            }
            // Before 14 timers of the base stack had no fields.
            EventId::RTO if record.flex1() != 0 || record.flex2() != 0 => {
                self.not_before(Release::R14);
            }
            EventId::CONNEND => match info {
                Some(_) => self.not_before(Release::R14),
                None => self.not_after(Release::R13),
            },
            EventId(62..=65) => self.not_before(Release::R13),
            EventId(66..=70) => self.not_before(Release::R14),
            EventId(72) => self.not_before(Release::R15),
            _ => {}
        }
    }

    /// The family that the record itself shows; only for events that tell.
    ///
    /// BBR always writes its state (1 to 5) and the lowest RTT it knows; RACK
    /// never writes both with these events.
    #[inline]
    pub fn sign(record: &Record<'_>) -> Option<Stack> {
        match record.event() {
            EventId::IN
            | EventId::OUT
            | EventId::TIMERSTAR
            | EventId::TIMERCANC
            | EventId::JUSTRET
            | EventId::DOSEG_DONE => {
                let info = record.stackinfo()?;
                let is_bbr =
                    matches!(info.named(cell::BBR_STATE), 1..=5) && info.named(cell::RTT_PROP) != 0;
                Some(if is_bbr { Stack::Bbr } else { Stack::Rack })
            }
            _ => None,
        }
    }

    fn learn_hz(&mut self, record: &Record<'_>) {
        let (ticks, Some(us)) = (record.ticks(), record.time_us()) else {
            return;
        };
        if ticks == 0 {
            return;
        }
        let Some((first_ticks, first_us)) = self.ticks else {
            self.ticks = Some((ticks, us));
            if let Some(hz) = hz_by_law(ticks, us) {
                (self.hz, self.hz_is_exact) = (Some(hz), true);
            }
            return;
        };
        let elapsed = us.saturating_sub(first_us);
        if !(0..HZ_FAR).contains(&elapsed) {
            self.ticks = Some((ticks, us));
        } else if elapsed >= HZ_ROUGH {
            let passed = i64::from(ticks.wrapping_sub(first_ticks) as i32);
            // Both clocks are read at slightly different times.
            let hz = (passed * 100_000 + elapsed / 2) / elapsed * 10;
            let hz = u32::try_from(hz)
                .ok()
                .filter(|hz| (10..=10_000).contains(hz));
            self.hz_is_exact = elapsed >= HZ_EXACT && hz.is_some();
            self.hz = match hz {
                Some(0..160) if !self.hz_is_exact => Some(100),
                Some(160..500) if !self.hz_is_exact => Some(250),
                Some(500..2000) if !self.hz_is_exact => Some(1000),
                hz => hz,
            };
        }
    }

    /// Ticks per second on the host that logged.
    pub fn hz(&self) -> u32 {
        self.hz.unwrap_or(USUAL_HZ)
    }

    /// The smoothed RTT of a record in microseconds; `None` before the first
    /// sample.
    ///
    /// RACK keeps microseconds since 13.1; everything else keeps ticks, 32 to
    /// each.
    pub fn srtt_us(
        &self,
        record: &Record<'_>,
        stack: Option<Stack>,
        release: Release,
    ) -> Option<u64> {
        let srtt = u64::from(record.srtt());
        if stack == Some(Stack::Rack) && release >= Release::R13 {
            return (srtt > 0).then_some(srtt);
        }
        (srtt > 0).then(|| srtt * 1_000_000 / (32 * u64::from(self.hz())))
    }

    fn vote(&mut self, id: u8, family: Stack) {
        match self.stacks.iter_mut().find(|votes| votes.id == id) {
            Some(votes) => votes.votes[family as usize] += 1,
            None => {
                let mut votes = [0; Stack::ALL.len()];
                votes[family as usize] = 1;
                self.stacks.push(Votes { id, votes });
            }
        }
    }

    /// A sign that RACK writes since 13.1 is there or missing.
    fn bound(&mut self, newer: bool) {
        if newer {
            self.not_before(Release::R13);
        } else {
            self.not_after(Release::R13_0);
        }
    }

    fn not_before(&mut self, release: Release) {
        self.oldest = self.oldest.max(Some(release));
    }

    fn not_after(&mut self, release: Release) {
        self.newest = Some(self.newest.map_or(release, |newest| newest.min(release)));
    }

    /// The family that a stack's number stands for.
    #[inline]
    pub fn stack(&self, id: u8) -> Option<(Stack, Sureness)> {
        let votes = self.stacks.iter().find(|votes| votes.id == id)?.votes;
        let most = Stack::ALL
            .into_iter()
            .max_by_key(|stack| votes[*stack as usize])?;
        let alone = votes.iter().filter(|votes| **votes > 0).count() == 1;
        let sureness = if alone {
            Sureness::Likely
        } else {
            Sureness::Guess
        };
        Some((most, sureness))
    }

    /// The release by which records of `version` are explained: the newest
    /// that fits all signs; signs of newer ones win over signs of older ones,
    /// for what is missing proves less than what is there.
    pub fn release(&self, version: u32) -> Release {
        let newest = Release::newest_of_version(version);
        let release = self.newest.map_or(newest, |seen| seen.min(newest));
        self.oldest.map_or(release, |oldest| oldest.max(release))
    }
}
/// What one record tells of the length of a tick. A kernel starts to count
/// ticks ten minutes before the sign bit turns; in user space they begin
/// elsewhere.
fn hz_by_law(ticks: u32, uptime_us: i64) -> Option<u32> {
    [1000, 100, 250].into_iter().find(|hz| {
        let since_start = ticks.wrapping_sub(i32::MAX as u32).wrapping_add(600 * hz);
        let uptime_ticks = (i128::from(uptime_us) * i128::from(*hz) / 1_000_000) as u32;
        // Ticks begin about a second after uptime.
        let ahead = uptime_ticks.wrapping_sub(since_start) as i32;
        ahead.unsigned_abs() < 2 * hz
    })
}
