//! Which connection a message belongs to, and its number.

use crate::bblog::Message;
use crate::select::{ConnectionKey, Picker};
use std::collections::HashMap;

/// Follows the serial numbers between each pair of ends. Connections are
/// numbered from 0 in the order in which something of them is wanted.
#[derive(Debug, Default)]
pub struct Runs {
    runs: HashMap<RunKey, Run>,
    count: usize,
    input: usize,
}

/// Connections whose ends are unknown cannot be followed from one input to the
/// next, so the input's number is part of the key.
type RunKey = (ConnectionKey, Option<usize>);

/// The run of serial numbers that a connection is in.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    last_sn: Option<u32>,
    /// `None` while no record was wanted.
    number: Option<usize>,
}

impl Runs {
    /// Another input begins.
    pub fn source(&mut self) {
        self.input += 1;
    }

    fn key(&self, message: &Message<'_>) -> RunKey {
        let ends = Picker::connection(message);
        (ends, (!message.known.addresses).then_some(self.input))
    }

    /// Takes in a piece, whatever is wanted of it.
    pub fn see(&mut self, message: &Message<'_>) {
        let run = self.runs.entry(self.key(message)).or_default();
        if message.first
            && let Some(first) = message.records().next()
        {
            // A step back is a later connection between the same ends. (A
            // distance of more than 2^31 counts as one.)
            let goes_on = |last: u32| (1..1 << 31).contains(&first.sn().wrapping_sub(last));
            if !run.last_sn.is_none_or(goes_on) {
                *run = Run::default();
            }
        }
        if let Some(last) = message.records().last() {
            run.last_sn = Some(last.sn());
        }
    }

    /// The number of the connection to which a piece belongs that was seen.
    pub fn number(&mut self, message: &Message<'_>) -> usize {
        let run = self.runs.entry(self.key(message)).or_default();
        *run.number.get_or_insert_with(|| {
            self.count += 1;
            self.count - 1
        })
    }
}
