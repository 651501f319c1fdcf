//! Bare `TCP_LOGBUF` buffers: records without a header.
//!
//! A header is made for them, so that everything behind the input sees
//! messages; what it cannot know is marked as unknown. Ports come from the
//! first TCP header. Addresses, boot time and log ID are not in the data.

use super::batch::{Batch, Piece};
use super::damage::{Damage, report};
use super::detect::plausible_record;
use crate::bblog::header::{self, Facts};
use crate::bblog::{Known, Record, Records};
use crate::format::Dialect;
use std::sync::Arc;

/// Bytes that hold two records of any version.
const NEED: usize = 1024;

/// Frames one bare buffer, window by window.
pub struct LogbufFramer {
    dialect: Arc<Dialect>,
    header: Option<(Vec<u8>, Known)>,
    records: u64,
}

impl LogbufFramer {
    pub fn new(dialect: Arc<Dialect>) -> LogbufFramer {
        LogbufFramer {
            dialect,
            header: None,
            records: 0,
        }
    }

    /// As [`super::stream::Framer::frame`].
    pub fn frame(&mut self, batch: &mut Batch, base: u64, eof: bool) -> usize {
        let buffer = std::mem::take(&mut batch.data);
        let data = buffer.get(..batch.filled).unwrap_or(&[]);
        let mut at = 0;
        while at < data.len() {
            let start = at;
            let mut records = Records::new(&data[at..], &self.dialect);
            for record in records.by_ref() {
                if !plausible_record(&record) {
                    break;
                }
                at += record.bytes().len();
                self.records += 1;
            }
            if at > start {
                self.hand_out(batch, data, start..at);
            }
            let rest = &data[at..];
            match Record::new(rest, &self.dialect) {
                None if rest.is_empty() || !eof => break,
                None => {
                    batch.damage.push(Damage {
                        offset: base + at as u64,
                        lost: rest.len() as u64,
                        what: format!("the buffer ends inside record {}", self.records + 1),
                    });
                    at = data.len();
                }
                Some(_) => {
                    let found = self.next_record(rest);
                    let skip = match found {
                        Some(skip) => skip,
                        None if eof => rest.len(),
                        // The last bytes may be the start of two records.
                        None => rest.len().saturating_sub(NEED),
                    };
                    if skip > 0 {
                        let what = format!("no record here, after {} good ones", self.records);
                        report(batch, base + at as u64, skip as u64, what);
                    }
                    at += skip;
                    if found.is_none() {
                        break;
                    }
                }
            }
        }
        if eof && self.records == 0 && self.header.is_none() {
            self.hand_out(batch, data, 0..0);
        }
        if eof && let Some(piece) = batch.pieces.last_mut() {
            piece.last = true;
        }
        batch.data = buffer;
        at
    }

    /// Bytes to the next place where two plausible records stand in a row.
    fn next_record(&self, rest: &[u8]) -> Option<usize> {
        (1..rest.len()).find(|at| {
            Record::new(&rest[*at..], &self.dialect).is_some_and(|first| {
                let next = rest.get(at + first.bytes().len()..).unwrap_or(&[]);
                plausible_record(&first)
                    && (next.is_empty()
                        || Record::new(next, &self.dialect).is_some_and(|r| {
                            let step = r.sn().wrapping_sub(first.sn());
                            plausible_record(&r) && (1..1 << 31).contains(&step)
                        }))
            })
        })
    }

    fn hand_out(&mut self, batch: &mut Batch, data: &[u8], range: std::ops::Range<usize>) {
        let first = self.header.is_none();
        let dialect = &self.dialect;
        let (header, known) = self
            .header
            .get_or_insert_with(|| made_header(dialect, &data[range.clone()]));
        let start = batch.headers.len();
        batch.headers.extend_from_slice(header);
        batch.pieces.push(Piece {
            dialect: Arc::clone(dialect),
            header_apart: true,
            header: start..batch.headers.len(),
            records: range,
            known: *known,
            first,
            last: false,
            offset: 0,
            stack_name: None,
        });
    }
}

/// A header for records that have none; ports are those of the first segment.
pub(super) fn made_header(dialect: &Dialect, records: &[u8]) -> (Vec<u8>, Known) {
    let ports = Records::new(records, dialect)
        .take(64)
        .find_map(|record| record.ports());
    let facts = Facts {
        ports,
        ..Facts::default()
    };
    let header = header::made(dialect, &facts, records.len());
    let known = Known {
        addresses: false,
        ports: ports.is_some(),
        clock: false,
        names: false,
    };
    (header, known)
}
