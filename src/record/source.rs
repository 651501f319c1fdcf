//! The reading side: messages as they come become pieces in the lanes of the
//! queue.

use super::queue::Queue;
use super::shared::Shared;
use super::writer::Piece;
use crate::bblog::Message;
use crate::input::{Batch, Bytes, InputError, InputFormat, Reader, recognised};
use crate::select::{Picked, Picker, Split};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Damaged places that are said one by one; all are counted.
const MOST_SAID: u64 = 100;

/// Opens the device, or what stands in for it: a FIFO, a file, or `-` for
/// standard input.
pub fn open(path: &Path) -> Result<Bytes, InputError> {
    if path.as_os_str() == "-" {
        return Bytes::open(path);
    }
    let name = path.display().to_string();
    let wrap = |cause| InputError::Open {
        name: name.clone(),
        cause,
    };
    let kind = std::fs::metadata(path).map_err(wrap)?.file_type();
    let mut options = File::options();
    options.read(true);
    if kind.is_char_device() {
        // So that no read waits that a poll said would not.
        options.custom_flags(nix::libc::O_NONBLOCK);
    }
    let file = options.open(path).map_err(wrap)?;
    Bytes::from_file(name.clone(), file).map_err(wrap)
}

/// Reads `bytes` to its end and puts what is picked into `queue`.
pub fn read(
    bytes: Bytes,
    shared: &Shared,
    mut picker: Picker,
    queue: &Queue<Piece>,
) -> Result<(), InputError> {
    // A device is framed as such whatever it begins with.
    let format = bytes.live.then_some(InputFormat::Stream);
    let mut reader = Reader::new(recognised(bytes, format, shared.formats)?, shared.formats)?;
    let counters = &shared.counters;
    let mut batch = Batch::default();
    // The message under way: its number, its next piece, its group and lane.
    let (mut number, mut part) = (0_u64, 0_u32);
    let (mut group, mut lane) = (0_u64, 0_usize);
    let mut begun = false;
    let mut dropped = None;
    while reader.next_batch(&mut batch)? {
        for damage in &batch.damage {
            counters.damaged.add(1);
            if counters.damaged.get() <= MOST_SAID {
                shared.log.say(format_args!("{}: {damage}", reader.name));
            }
        }
        for (index, message) in batch.messages().enumerate() {
            if message.first {
                counters.messages.add(1);
                (number, part, begun) = (number + 1, 0, false);
                group = group_of(&message, shared.settings.split);
                // Less than the number of writers.
                lane = (group % shared.settings.writers.max(1) as u64) as usize;
            }
            counters.bytes.add(size(&message) as u64);
            let mut picked = Picked::default();
            picker.pick(&message, &mut picked);
            let all = message.records().count() as u64;
            let wanted = if picked.whole {
                all
            } else {
                picked.records(&message)
            };
            counters.records.add(all);
            counters.unwanted.add(all - wanted);
            let gaps = picked.spans.iter().map(|span| u64::from(span.skipped));
            let gaps: u64 = gaps.sum();
            counters
                .skipped
                .add(gaps + u64::from(picked.skipped_between));
            begun |= picked.begins;
            // Of a message that began, every piece counts: the last one ends it.
            if !begun {
                continue;
            }
            let Some(parcel) = batch.parcel(index, shared.buffers.take()) else {
                continue;
            };
            let piece = Piece {
                parcel,
                picked,
                message: number,
                part,
                group,
            };
            part += 1;
            queue.give(lane, piece, |old| drop_piece(&old, shared, &mut dropped));
        }
    }
    Ok(())
}

/// A piece that found no room is lost, and counted.
fn drop_piece(piece: &Piece, shared: &Shared, last: &mut Option<u64>) {
    if let Some(message) = piece.parcel.message() {
        let records = piece.picked.records(&message);
        shared.counters.dropped_records.add(records);
    }
    if *last != Some(piece.message) {
        shared.counters.dropped_messages.add(1);
        shared.overloaded();
        *last = Some(piece.message);
    }
}

/// Bytes of the piece, and of the header where it begins the message.
fn size(message: &Message<'_>) -> usize {
    let header = if message.first {
        message.dialect().header.size
    } else {
        0
    };
    header + message.records.len()
}

/// A number for all that may go into one file: of the log ID where that makes a
/// group, else of the connection, whose order is to hold.
fn group_of(message: &Message<'_>, split: Split) -> u64 {
    let mut hasher = DefaultHasher::new();
    match (split, message.header.log_id()) {
        (Split::LogId, Some(id)) => id.hash(&mut hasher),
        _ => Picker::connection(message).hash(&mut hasher),
    }
    hasher.finish()
}
