//! `struct kerneldumpheader`: what a kernel writes around a dump on its dump
//! device, once before and once behind it. Integers are big endian.

use super::Machine;
use super::bits::{Endian, round_up, text};
use super::image::DumpFacts;
use super::source::Source;
use std::ops::Range;

pub(super) const SIZE: usize = 512;

const KERNEL: &[u8] = b"FreeBSD Kernel Dump\0";
const TEXT: &[u8] = b"FreeBSD Text Dump\0";
/// What savecore(8) leaves behind.
const CLEARED: &[u8] = b"Cleared Kernel Dump\0";

/// A header that was found.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub facts: DumpFacts,
    pub is_text: bool,
    pub is_cleared: bool,
    pub is_encrypted: bool,
    /// Bytes of the dump.
    pub dump: u64,
    /// Bytes that were set aside for it.
    extent: u64,
    key: u64,
    pub block: u64,
}

/// The header at the start of `bytes`; `Err` says what is wrong with it.
pub(super) fn header(bytes: &[u8]) -> Option<Result<Header, String>> {
    let is_text = bytes.starts_with(TEXT);
    let is_cleared = bytes.starts_with(CLEARED);
    if !is_text && !is_cleared && !bytes.starts_with(KERNEL) {
        return None;
    }
    Some(checked(bytes, is_text, is_cleared))
}

fn checked(bytes: &[u8], is_text: bool, is_cleared: bool) -> Result<Header, String> {
    let Some(bytes) = bytes.get(..SIZE) else {
        return Err("is cut".to_owned());
    };
    let parity = bytes
        .chunks_exact(4)
        .filter_map(|word| Endian::Big.u32(word, 0))
        .fold(0, |parity, word| parity ^ word);
    // savecore does not always mend it when it clears a dump.
    if parity != 0 && !is_cleared {
        return Err("has a wrong parity".to_owned());
    }
    fields(bytes, is_text, is_cleared).ok_or_else(|| {
        let version = Endian::Big.u32(bytes, 32).unwrap_or(0);
        format!("makes no sense as version {version}")
    })
}

fn fields(bytes: &[u8], is_text: bool, is_cleared: bool) -> Option<Header> {
    let long = |at| Endian::Big.u64(bytes, at);
    let word = |at| Endian::Big.u32(bytes, at).map(u64::from);
    let dump = long(40)?;
    let mut facts = DumpFacts {
        // Seconds, and never before 1970.
        time_us: i64::try_from(long(48)?)
            .ok()
            .and_then(|seconds| seconds.checked_mul(1_000_000)),
        machine: match text(bytes, 20, 12).as_deref() {
            Some("amd64") => Some(Machine::Amd64),
            Some("aarch64") => Some(Machine::Arm64),
            Some("riscv64") => Some(Machine::Riscv64),
            Some("i386") => Some(Machine::I386),
            Some("powerpc64") => Some(Machine::Powerpc64),
            Some(arm) if arm.starts_with("arm") => Some(Machine::Arm),
            _ => None,
        },
        ..DumpFacts::default()
    };
    let header = match Endian::Big.u32(bytes, 32)? {
        0 => return None,
        // FreeBSD 11 and before.
        1 => {
            facts.hostname = text(bytes, 60, 64);
            facts.version_string = text(bytes, 124, 192);
            facts.panic_string = text(bytes, 316, 192);
            Header {
                facts,
                is_text,
                is_cleared,
                is_encrypted: false,
                dump,
                extent: dump,
                key: 0,
                block: word(56)?,
            }
        }
        // 4 since FreeBSD 12; 2 and 3 were never released.
        _ => {
            facts.hostname = text(bytes, 64, 64);
            facts.version_string = text(bytes, 128, 192);
            facts.panic_string = text(bytes, 320, 175);
            let key = word(56)?;
            Header {
                facts,
                is_text,
                is_cleared,
                is_encrypted: key > 0,
                dump,
                extent: long(496)?,
                key,
                block: word(60)?,
            }
        }
    };
    let sane = header.block.is_power_of_two() && (512..=1 << 20).contains(&header.block);
    sane.then_some(header)
}

/// A dump within an image.
pub(super) struct Found {
    pub header: Header,
    pub dump: Range<u64>,
    /// What is wrong with the headers, without the name of the image.
    pub notes: Vec<String>,
}

/// Looks for a header at the start of `range`.
pub(super) fn at_front(source: &Source, range: &Range<u64>) -> Option<Result<Found, String>> {
    let mut scratch = Vec::new();
    let header = header(source.bytes(range.start, SIZE, &mut scratch))?;
    Some(header.map(|header| {
        let start = range
            .start
            .saturating_add(header.block)
            .saturating_add(header.key)
            .min(range.end);
        // The length is not yet known in the first header of a dump that was
        // cut off, then it is zero.
        let dump = match header.dump {
            0 => u64::MAX,
            dump => dump,
        };
        let end = start.saturating_add(dump).min(range.end);
        let mut notes = Vec::new();
        if header.dump > end - start {
            notes.push(format!(
                "at byte {}: the dump has {} bytes, of which {} are there",
                range.start,
                header.dump,
                end - start
            ));
        }
        Found {
            header,
            dump: start..end,
            notes,
        }
    }))
}

/// Looks for a header in the last sector of `range`.
pub(super) fn at_end(source: &Source, range: &Range<u64>) -> Option<Result<Found, String>> {
    let mut scratch = Vec::new();
    let mut wrong = None;
    for block in [512, 4096, 1024, 2048, 8192] {
        let Some(at) = range.end.checked_sub(block).filter(|at| *at >= range.start) else {
            continue;
        };
        match header(source.bytes(at, SIZE, &mut scratch)) {
            Some(Ok(header)) if header.block == block => {
                return Some(behind(source, range, at, header));
            }
            Some(Ok(header)) => {
                wrong = Some(format!(
                    "the dump header at byte {at} tells of blocks of {} bytes",
                    header.block
                ));
            }
            Some(Err(why)) => wrong = Some(format!("the dump header at byte {at} {why}")),
            None => {}
        }
    }
    wrong.map(Err)
}

/// The dump before the header at `at`.
fn behind(source: &Source, range: &Range<u64>, at: u64, header: Header) -> Result<Found, String> {
    let Some(start) = round_up(header.extent, header.block)
        .and_then(|extent| at.checked_sub(extent))
        .filter(|start| *start >= range.start)
    else {
        return Err(format!(
            "the dump header at byte {at} tells of {} bytes before it",
            header.extent
        ));
    };
    let mut notes = Vec::new();
    let mut scratch = Vec::new();
    let mut other = Vec::new();
    let lead = start
        .checked_sub(header.block.saturating_add(header.key))
        .filter(|lead| *lead >= range.start);
    let same = lead.is_some_and(|lead| {
        source.bytes(lead, SIZE, &mut scratch) == source.bytes(at, SIZE, &mut other)
    });
    if !same {
        notes.push(format!(
            "at byte {at}: the dump header has no equal before the dump; an older dump may have been \
             overwritten in part"
        ));
    }
    if header.dump > header.extent {
        notes.push(format!(
            "at byte {at}: the dump header tells of {} bytes in an extent of {}",
            header.dump, header.extent
        ));
    }
    let end = start + header.dump.min(header.extent);
    Ok(Found {
        header,
        dump: start..end,
        notes,
    })
}
