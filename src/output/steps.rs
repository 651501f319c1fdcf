//! Walking the wanted records of a piece, and what is missing between them.

use crate::bblog::{Message, Record, Records};
use crate::select::Picked;

/// What comes next in a piece.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Serial numbers that are missing here: the first one, and how many.
    Missing {
        first: u32,
        count: u32,
    },
    Record(Record<'a>),
}

/// Walks piece after piece.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steps {
    /// Offset of the message at hand.
    offset: u64,
    /// Its first serial number, whether or not that record is wanted.
    first_sn: u32,
}

impl Steps {
    /// The steps of one piece. To be called for every piece, so that what is
    /// missing before a message is numbered right even if its first piece has
    /// nothing wanted.
    pub fn of<'a>(
        &mut self,
        message: &'a Message<'a>,
        picked: &'a Picked,
    ) -> impl Iterator<Item = Step<'a>> + use<'a> {
        if message.first || message.offset != self.offset {
            self.offset = message.offset;
            self.first_sn = message.records().next().map_or(0, |record| record.sn());
        }
        let between = (picked.begins && picked.skipped_between > 0).then(|| Step::Missing {
            first: self.first_sn.wrapping_sub(picked.skipped_between),
            count: picked.skipped_between,
        });
        let spans = picked.spans.iter().flat_map(move |span| {
            let bytes = message.records.get(span.records.clone()).unwrap_or(&[]);
            let records = Records::new(bytes, message.dialect());
            let first = records.clone().next().filter(|_| span.skipped > 0);
            let gap = first.map(|record| Step::Missing {
                first: record.sn().wrapping_sub(span.skipped),
                count: span.skipped,
            });
            gap.into_iter().chain(records.map(Step::Record))
        });
        between.into_iter().chain(spans)
    }
}
