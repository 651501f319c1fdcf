//! What tells a record from other bytes, on its own.
//!
//! The sieve asks for a few zero bytes; here every field that has a range is
//! held against it, and padding that the kernel clears is to be clear.

use super::sieve::MAX_UPTIME_SEC;
use crate::bblog::Record;
use crate::format::{Dialect, HDR};
use crate::input::detect::plausible_record;

/// Bytes in front of a record in `struct tcp_log_mem`: the link, padded.
pub const LINK: usize = 8;

/// Higher event numbers than any kernel has, to tolerate kernels to come.
const MOST_EVENT: u8 = 90;

/// `ERRNO_UNK` and the kernel's pseudo errors, up to above `ELAST`.
const ERRNO: std::ops::RangeInclusive<i32> = -5..=110;

/// What is kept of a record while the image is read: enough to find its
/// neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Where the record (`tlm_buf`) stands in the image, bytes.
    pub offset: u64,
    /// The word in front of it: in an item, the address of the next one.
    pub next: u64,
    pub uptime_us: i64,
    pub ticks: u32,
    pub sn: u32,
    pub iss: u32,
    pub starttime: u32,
    /// Local and foreign port, of records with a TCP header.
    pub ports: Option<(u16, u16)>,
    /// Which dialects it fits: bit n is that of the n-th.
    pub fits: u32,
    /// What a connection has from its making on is there, see [`is_set_up`].
    pub is_set_up: bool,
}

/// Whether these bytes are a record of a dialect, by its own fields alone.
/// `bytes` may go on behind the record.
pub fn is_record<'b>(bytes: &'b [u8], dialect: &'b Dialect) -> Option<Record<'b>> {
    let record = Record::new(bytes, dialect)?;
    let slots = &dialect.record_slots;
    // Without the flag the header of the item's record before is still there.
    let header_fits = match record.event_flags() & HDR {
        0 => true,
        _ => record.tcp().is_some_and(|tcp| {
            tcp.bytes()[12] >= 0x50 && (tcp.src_port(), tcp.dst_port()) != (0, 0)
        }),
    };
    let seconds = slots.tv_sec.read(bytes, dialect.order);
    let counts = [record.segqlen(), record.snd_numholes()];
    // Kernels count from a fixed start that is not 0, and take time to get to
    // their first connection.
    let has_time = record.ticks() != 0 && record.uptime_us() != 0;
    // No kernel writes more than a record each microsecond.
    let has_serial = i64::from(record.sn()) <= record.uptime_us();
    let fits = header_fits
        && has_time
        && has_serial
        && plausible_record(&record)
        && (0..1_000_000).contains(&record.tv_usec())
        && seconds < MAX_UPTIME_SEC
        && record.event().0 <= MOST_EVENT
        && ERRNO.contains(&record.errno())
        && counts.iter().all(|count| (0..65_536).contains(count))
        && is_padding_clear(&record);
    fits.then_some(record)
}

/// Names of stacks get numbers from 1 on; more are not registered.
const MOST_STACK: u8 = 32;

/// Whether a record has what the kernel gives a connection when it makes it: a
/// stack, windows, a guess of the round trip's variance, and flags (those of
/// RFC 1323, unless that is off). Bytes of other meaning that are mostly zero
/// fit every range of [`is_record`], but not this.
pub fn is_set_up(record: &Record<'_>) -> bool {
    let state = [
        record.snd_cwnd(),
        record.snd_ssthresh(),
        record.rttvar(),
        record.flags(),
    ];
    (1..=MOST_STACK).contains(&record.stack_id())
        && state.iter().all(|value| *value != 0)
        && record.flags() != u32::MAX
}

/// Version 9 copies its record from a cleared one; the bytes between the
/// scales and the stack specific part stay zero.
fn is_padding_clear(record: &Record<'_>) -> bool {
    let slots = &record.dialect().record_slots;
    if record.dialect().version < 9 || !slots.snd_scale.exists() {
        return true;
    }
    let after = usize::from(slots.snd_scale.offset) + 1;
    let until = usize::from(slots.stackinfo.offset);
    let padding = record.bytes().get(after..until.min(after + 3));
    padding.is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
}
