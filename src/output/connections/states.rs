//! Time per state: of TCP, and of BBR.
//!
//! A state lasts from the record that shows it to the next one. Records are
//! written before an event changes the state, so where two records in a row
//! differ, an IN record shows the state that was there since the record
//! before; anything else (a call of the application, a timer) changed it just
//! then.

/// Time per state.
#[derive(Clone, Debug, Default)]
pub struct Durations {
    /// State and microseconds, in order of first appearance.
    pub spent_us: Vec<(i32, u64)>,
    now: Option<i32>,
}

/// States that are kept; more are no states.
const MAX_STATES: usize = 16;

impl Durations {
    /// A record shows `state`, so long after the one before.
    #[inline]
    pub fn add(&mut self, state: i32, took_us: u64, is_in: bool) {
        let before = self.now.replace(state);
        let lasted = if is_in { Some(state) } else { before };
        let Some(lasted) = lasted.filter(|_| before.is_some()) else {
            return;
        };
        self.spend(lasted, took_us);
    }

    /// The state of the last record.
    pub fn current(&self) -> Option<i32> {
        self.now
    }

    /// No state lasts.
    pub fn stop(&mut self) {
        self.now = None;
    }

    #[inline]
    fn spend(&mut self, state: i32, us: u64) {
        if let Some((_, spent)) = self.spent_us.iter_mut().find(|(known, _)| *known == state) {
            *spent = spent.saturating_add(us);
        } else if us > 0 && self.spent_us.len() < MAX_STATES {
            self.spent_us.push((state, us));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_in_record_shows_what_was() {
        let mut states = Durations::default();
        // ESTABLISHED, ten seconds, then the application closes: OUT in FIN_WAIT_1.
        states.add(4, 0, true);
        states.add(6, 10_000_000, false);
        // The peer's ACK, then after a second its FIN, found in FIN_WAIT_2.
        states.add(6, 100, true);
        states.add(9, 1_000_000, true);
        states.add(10, 5, false);
        assert_eq!(states.spent_us, [(4, 10_000_000), (6, 100), (9, 1_000_005)]);
    }
}
