//! Which connection a message belongs to.

use crate::bblog::Message;
use crate::select::{ConnectionKey, Picker};
use std::collections::HashMap;

/// Follows the runs of serial numbers of all connections, and numbers those
/// of which something is wanted from 1 in order of appearance.
///
/// Endpoints alone do not tell connections apart, for ports are used again.
/// A message goes on with the run of its endpoints if both have the same
/// initial sequence number (`tlb_iss`), which is random; then serial numbers
/// that were seen before are a second dump of the same records. Where that is
/// not known (0), a step back in serial numbers begins another connection.
///
/// A connection is remembered as long as it was seen lately, for a live input
/// meets new ones for ever; one that comes back after that is another one.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    recent: HashMap<Key, Run>,
    older: HashMap<Key, Run>,
    numbered: usize,
}

/// Connections after which the older ones are forgotten.
const MOST_RECENT: usize = 32_768;

/// Connections whose ends are unknown cannot be followed from one input to the
/// next, so the input's number is part of the key.
type Key = (ConnectionKey, Option<usize>);

/// The run of serial numbers that a connection is in.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    last_sn: Option<u32>,
    /// Initial sequence number; 0 while it is not known.
    iss: u32,
    /// `None` while no record was wanted.
    number: Option<usize>,
}

impl Runs {
    /// The number of the connection to which a piece belongs. To be called
    /// for every piece in input order, wanted or not; a connection gets its
    /// number with the first piece that is `wanted`.
    ///
    /// `input` tells inputs apart.
    pub fn number(&mut self, message: &Message<'_>, input: usize, wanted: bool) -> Option<usize> {
        let input = (!message.known.addresses).then_some(input);
        let key = (Picker::connection(message), input);
        let mut run = self.get(&key);
        if message.first
            && let Some(first) = message.records().next()
        {
            let same = match (run.iss, first.iss()) {
                // A distance of more than 2^31 counts as a step back.
                (0, _) | (_, 0) => run
                    .last_sn
                    .is_none_or(|last| (1..1 << 31).contains(&first.sn().wrapping_sub(last))),
                (before, iss) => before == iss,
            };
            if !same {
                run = Run::default();
            }
        }
        if let Some(last) = message.records().last() {
            run.last_sn = Some(last.sn());
            if last.iss() != 0 {
                run.iss = last.iss();
            }
        }
        if wanted && run.number.is_none() {
            self.numbered += 1;
            run.number = Some(self.numbered);
        }
        self.set(key, run);
        run.number
    }

    fn get(&self, key: &Key) -> Run {
        let recent = self.recent.get(key);
        let known = recent.or_else(|| self.older.get(key));
        known.copied().unwrap_or_default()
    }

    fn set(&mut self, key: Key, run: Run) {
        if self.recent.len() >= MOST_RECENT && !self.recent.contains_key(&key) {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(key, run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{Sample, v9};

    fn sample(first: u32, iss: u64) -> Sample {
        let mut sample = Sample::new(v9());
        for sn in first..first + 3 {
            sample.record(1, sn, &[("tlb_iss", iss)]);
        }
        sample
    }

    fn numbers(pieces: &[(u32, u64, bool)]) -> Vec<Option<usize>> {
        let mut runs = Runs::default();
        let pieces = pieces.iter();
        pieces
            .map(|(first, iss, wanted)| runs.number(&sample(*first, *iss).message(), 0, *wanted))
            .collect()
    }

    #[test]
    fn serials_decide_where_no_sequence_number_is_known() {
        let got = numbers(&[(0, 0, true), (3, 0, true), (0, 0, true), (9, 0, true)]);
        assert_eq!(got, [Some(1), Some(1), Some(2), Some(2)]);
    }

    #[test]
    fn the_initial_sequence_number_decides_where_it_is_known() {
        // Twice the same dump, then another connection that goes on in serials.
        let got = numbers(&[(0, 7, true), (0, 7, true), (9, 8, true)]);
        assert_eq!(got, [Some(1), Some(1), Some(2)]);
        // Not known in the first records of a connection.
        assert_eq!(
            numbers(&[(0, 0, true), (3, 7, true), (1, 7, true)]),
            [Some(1); 3]
        );
    }

    #[test]
    fn what_is_not_wanted_gets_no_number() {
        let got = numbers(&[(0, 7, false), (0, 8, true), (3, 8, false), (0, 9, true)]);
        assert_eq!(got, [None, Some(1), Some(1), Some(2)]);
    }

    #[test]
    fn memory_is_bounded_and_what_was_seen_lately_is_kept() {
        let mut runs = Runs::default();
        let mut sample = sample(0, 7);
        let mut number = |address: u32| {
            let mut bytes = [0; 16];
            bytes[12..].copy_from_slice(&address.to_be_bytes());
            sample.text("tlh_ie.ie_faddr", &bytes);
            let number = runs.number(&sample.message(), 0, true);
            assert!(runs.recent.len() <= MOST_RECENT && runs.older.len() <= MOST_RECENT);
            number
        };
        let most = MOST_RECENT as u32;
        for address in 1..=3 * most {
            assert_eq!(number(address), Some(address as usize));
            // One goes on for ever.
            assert_eq!(number(1), Some(1));
        }
        assert_eq!(number(2 * most + 2), Some(2 * MOST_RECENT + 2));
        assert_eq!(number(2), Some(3 * MOST_RECENT + 1));
    }

    #[test]
    fn unknown_ends_are_of_one_input() {
        let mut sample = sample(0, 7);
        sample.known.addresses = false;
        let mut runs = Runs::default();
        assert_eq!(runs.number(&sample.message(), 0, true), Some(1));
        assert_eq!(runs.number(&sample.message(), 1, true), Some(2));
    }
}
