//! What kind of input this is, told by its content and never by its name.

use crate::bblog::{Header, Record};
use crate::format::{Abi, Dialect, EventId, Formats, Order};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputFormat {
    /// What `/dev/tcp_log` hands out: messages back to back.
    Stream,
    /// What `getsockopt(TCP_LOGBUF)` returns: records without a header.
    Logbuf,
    /// pcapng, as tcplog_dumper or this program writes it.
    Pcapng,
    /// Text that DTrace printed at the probes of its SCTP provider.
    DtraceSctp,
    /// The text log of the zero-copy sniffer of 2006.
    Zcs,
}

impl InputFormat {
    /// True for what holds no black box records, but a relative's findings.
    pub fn is_relative(self) -> bool {
        matches!(self, InputFormat::DtraceSctp | InputFormat::Zcs)
    }

    pub fn name(self) -> &'static str {
        match self {
            InputFormat::Stream => "stream",
            InputFormat::Logbuf => "logbuf",
            InputFormat::Pcapng => "pcapng",
            InputFormat::DtraceSctp => "dtrace-sctp",
            InputFormat::Zcs => "zcs",
        }
    }
}

impl fmt::Display for InputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for InputFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<InputFormat, String> {
        match text {
            "stream" => Ok(InputFormat::Stream),
            "logbuf" => Ok(InputFormat::Logbuf),
            "pcapng" => Ok(InputFormat::Pcapng),
            "dtrace-sctp" => Ok(InputFormat::DtraceSctp),
            "zcs" => Ok(InputFormat::Zcs),
            _ => Err(format!("no input format named {text:?}")),
        }
    }
}

/// The first four bytes of a pcapng file.
pub const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// The kind of text that `head` begins with, if it is text of a relative. What
/// follows its last line end may be cut.
pub fn text_format(head: &[u8]) -> Option<InputFormat> {
    // The first bytes of anything else have a zero soon.
    let start = head.get(..64).unwrap_or(head);
    if memchr::memchr(0, start).is_some() {
        return None;
    }
    if crate::sctp::recognise::is_trace(head) {
        Some(InputFormat::DtraceSctp)
    } else if crate::zcs::recognises(head) {
        Some(InputFormat::Zcs)
    } else {
        None
    }
}

/// Compression around an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Gzip,
    Xz,
    Zstd,
}

impl Compression {
    pub fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Xz => "xz",
            Compression::Zstd => "zstd",
        }
    }
}

/// The compression that `head` begins with.
pub fn compression(head: &[u8]) -> Option<Compression> {
    if head.starts_with(&[0x1f, 0x8b, 0x08]) {
        Some(Compression::Gzip)
    } else if head.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        Some(Compression::Xz)
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Some(Compression::Zstd)
    } else {
        None
    }
}

/// How plausible a place is as the start of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeaderCheck {
    /// Not a header of this dialect.
    No,
    /// The bytes end before the question can be answered.
    Cut,
    /// Version and type fit, but something else in it does not.
    Damaged,
    Good,
}

/// Version and byte order that the first eight bytes of a message give.
pub fn version_and_order(bytes: &[u8]) -> Option<(u32, Order)> {
    Order::ALL.into_iter().find_map(|order| {
        let version = order.read(bytes, 0, 4)? as u32;
        (order.read(bytes, 4, 4)? == 1 && (1..=255).contains(&version)).then_some((version, order))
    })
}

/// Judges `bytes` as a header of `dialect`.
pub fn check_header(bytes: &[u8], dialect: &Dialect) -> HeaderCheck {
    if version_and_order(bytes) != Some((dialect.version, dialect.order)) {
        return HeaderCheck::No;
    }
    check_header_body(bytes, dialect)
}

/// Judges a header by everything in it but version and type.
pub fn check_header_body(bytes: &[u8], dialect: &Dialect) -> HeaderCheck {
    let Some(header) = Header::new(bytes, dialect) else {
        return HeaderCheck::Cut;
    };
    let slots = &dialect.header_slots;
    let usec = slots.offset_usec.read_signed(header.bytes(), dialect.order);
    let pads = slots.pad.bytes(header.bytes());
    let texts = [slots.id, slots.reason, slots.tag];
    let good = matches!(header.af(), 2 | 28)
        && pads.iter().all(|b| *b == 0)
        && (0..1_000_000).contains(&usec)
        && texts
            .iter()
            .filter(|slot| slot.exists())
            .all(|slot| memchr::memchr(0, slot.bytes(header.bytes())).is_some());
    if good {
        HeaderCheck::Good
    } else {
        HeaderCheck::Damaged
    }
}

/// True if every field that has a range is within it.
pub fn plausible_record(record: &Record<'_>) -> bool {
    let (snd, rcv) = record.scales();
    let (lowest, highest) = record.dialect().states;
    record.event_flags() & !record.dialect().known_flags == 0
        && (lowest..=highest).contains(&record.state())
        // ACCOUNTING records of newer kernels carry an uninitialised time.
        && ((0..1_000_000).contains(&record.tv_usec()) || record.event() == EventId::ACCOUNTING)
        && snd <= 14
        && rcv <= 14
        && record.event() != EventId(0)
}

/// How many records at the start of `bytes` are plausible under `dialect`, up
/// to `limit`; the second value says whether they reached the end of `bytes`
/// or the limit without meeting an implausible one.
pub fn plausible_run(bytes: &[u8], dialect: &Dialect, limit: usize) -> (usize, bool) {
    let mut rest = bytes;
    let mut count = 0;
    let mut previous: Option<u32> = None;
    while count < limit {
        let Some(record) = Record::new(rest, dialect) else {
            return (count, rest.is_empty());
        };
        let forward = previous.is_none_or(|sn| {
            let step = record.sn().wrapping_sub(sn);
            step != 0 && step < 1 << 31
        });
        if !forward || !plausible_record(&record) {
            return (count, false);
        }
        previous = Some(record.sn());
        rest = &rest[record.bytes().len()..];
        count += 1;
    }
    (count, true)
}

/// Records to look at before deciding between dialects.
const LOOK_AHEAD: usize = 16;

/// Looks at the first records behind a header of `dialect`: how many are
/// plausible, and whether there is nothing else among them.
pub fn body_fits(bytes: &[u8], dialect: &Dialect) -> (usize, bool) {
    let body = bytes.get(dialect.header.size..).unwrap_or(&[]);
    let length = dialect.header_slots.length.read(bytes, dialect.order);
    let claimed = length.saturating_sub(dialect.header.size as u64);
    let whole = usize::try_from(claimed)
        .ok()
        .and_then(|len| body.get(..len));
    let (count, to_end) = plausible_run(whole.unwrap_or(body), dialect, LOOK_AHEAD);
    // A message that is cut by the end of the buffer ends inside a record.
    let cut = whole.is_none() && cut_inside_record(body, dialect, count);
    (count, to_end || cut)
}

/// The dialect of the message that begins at `bytes`, which may end inside
/// it. Sizes alone are ambiguous, so each candidate is tried on the header and
/// on the records behind it; `likely` wins a tie.
pub fn message_dialect<'f>(
    bytes: &[u8],
    formats: &'f Formats,
    likely: Option<&'f Arc<Dialect>>,
) -> Option<(&'f Arc<Dialect>, HeaderCheck)> {
    let (version, order) = version_and_order(bytes)?;
    type Score = (HeaderCheck, bool, usize);
    let mut best: Option<(Score, &Arc<Dialect>)> = None;
    for dialect in likely.into_iter().chain(&formats.dialects) {
        if dialect.version != version || dialect.order != order {
            continue;
        }
        let check = check_header_body(bytes, dialect);
        let (count, to_end) = body_fits(bytes, dialect);
        let score = (check, to_end, count);
        if check == HeaderCheck::Good && to_end && likely.is_some_and(|l| Arc::ptr_eq(l, dialect)) {
            return Some((dialect, check));
        }
        if best.as_ref().is_none_or(|(top, _)| score > *top) {
            best = Some((score, dialect));
        }
    }
    best.map(|((check, ..), dialect)| (dialect, check))
}

/// True if after `count` records fewer bytes are left than the next one needs.
fn cut_inside_record(bytes: &[u8], dialect: &Dialect, count: usize) -> bool {
    let mut records = crate::bblog::Records::new(bytes, dialect);
    for _ in 0..count {
        records.next();
    }
    let rest = records.rest();
    Record::new(rest, dialect).is_none()
}

/// The dialect of records without a header, which fill `bytes` from its start;
/// `whole` says that nothing follows them.
pub fn logbuf_dialect<'f>(
    bytes: &[u8],
    whole: bool,
    formats: &'f Formats,
) -> Option<&'f Arc<Dialect>> {
    let mut best: Option<(usize, &Arc<Dialect>)> = None;
    // Newest version first, and the usual ABI first: they win ties.
    for dialect in formats.dialects.iter().rev() {
        let (count, to_end) = plausible_run(bytes, dialect, usize::MAX);
        let cut = !whole && cut_inside_record(bytes, dialect, count);
        if count == 0 || !(to_end || cut) {
            continue;
        }
        let better = best
            .is_none_or(|(top, old)| count > top || (count == top && rank(dialect) < rank(old)));
        if better {
            best = Some((count, dialect));
        }
    }
    best.map(|(_, dialect)| dialect)
}

fn rank(dialect: &Dialect) -> (u8, u8, u32) {
    let abi = match dialect.abi {
        Abi::Lp64 => 0,
        Abi::I386 => 1,
        Abi::Ilp32Time64 => 2,
    };
    let order = u8::from(dialect.order == Order::Big);
    (order, abi, u32::MAX - dialect.version)
}
