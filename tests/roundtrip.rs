//! Stream to pcapng and back.

mod support;

use proptest::prelude::*;
use std::io::Write;
use std::sync::Arc;
use support::library::{to_pcapng, to_stream};
use support::stream::{self, HDR, RXBUF, STACKINFO, TXBUF, WITH_VERBOSE, messages, without_stale};
use support::{assert_same, convert, expected, genuine, genuine_names, put, stack_names, tcplog};
use tcplog::format::layout::{Field, Kind};
use tcplog::format::{Abi, Dialect, Formats, Order};

#[test]
fn every_genuine_stream_comes_back() {
    for name in genuine_names() {
        let original = genuine(&name);
        let wanted = without_stale(&original);
        let (ran, first) = convert(&original, &["-j", "1", "--dumptime", "1700000000"]);
        ran.fine();
        for jobs in ["2", "5"] {
            let (ran, again) = convert(&original, &["-j", jobs, "--dumptime", "1700000000"]);
            ran.fine();
            assert_same(&format!("{name}: pcapng with -j {jobs}"), &again, &first);
        }
        for (what, args) in [
            ("default", vec![]),
            ("without comments", vec!["--no-comments"]),
            ("with stack names", stack_names(&name).to_vec()),
        ] {
            let (ran, pcapng) = convert(&original, &args);
            ran.fine();
            for jobs in ["1", "3"] {
                let (ran, back) = convert(&pcapng, &["--format", "stream", "-j", jobs]);
                ran.fine();
                assert_same(
                    &format!("{name}: {what}, back with -j {jobs}"),
                    &back,
                    &wanted,
                );
            }
        }
    }
}

#[test]
fn a_stream_as_stream_is_itself() {
    for name in genuine_names() {
        let original = genuine(&name);
        let (ran, same) = convert(&original, &["--format", "stream"]);
        ran.fine();
        assert_same(&name, &same, &original);
    }
}

#[test]
fn a_merged_file_comes_back_message_by_message() {
    for name in [
        "multi",
        "ringwrap",
        "kernel-ids",
        "kernel15-ids",
        "switch",
        "base-v6",
    ] {
        let original = genuine(name);
        let (ran, merged) = convert(&original, &["--merge"]);
        ran.fine();
        let (ran, back) = convert(&merged, &["--format", "stream"]);
        ran.fine();
        assert_same(name, &back, &without_stale(&original));
    }
}

#[test]
fn compressed_input_is_the_same_input() {
    for name in ["base-v6", "kernel-switch"] {
        let original = genuine(name);
        let wanted = without_stale(&original);
        let (ran, pcapng) = convert(&original, &[]);
        ran.fine();
        for inner in [&original, &pcapng] {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(inner).unwrap();
            let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
            xz.write_all(inner).unwrap();
            let compressed = [
                ("gzip", gzip.finish().unwrap()),
                ("xz", xz.finish().unwrap()),
                ("zstd", zstd::encode_all(&inner[..], 1).unwrap()),
            ];
            for (kind, bytes) in compressed {
                assert!(bytes.len() < inner.len() / 2, "{kind}");
                let (ran, second) = convert(&bytes, &["--no-comments"]);
                ran.fine();
                let (ran, back) = convert(&second, &["--format", "stream"]);
                ran.fine();
                assert_same(&format!("{name} in {kind}"), &back, &wanted);
            }
        }
    }
}

/// What tcplog_dumper wrote comes back as its messages, less the verbose
/// parts, and gives the same file again.
#[test]
fn tcplog_dumpers_files_give_the_same_files_again() {
    for name in genuine_names() {
        let (files, _) = expected(&name);
        for (file, bytes) in files {
            let (ran, back) = convert(&bytes, &["--format", "stream"]);
            ran.fine();
            let dir = tempfile::tempdir().unwrap();
            let input = put(dir.path(), "stream", &back);
            let out = dir.path().join("out");
            let mut args = vec![
                "convert",
                input.to_str().unwrap(),
                "-D",
                out.to_str().unwrap(),
            ];
            args.extend(["--compat", "tcplog_dumper", "--dumptime", "1700000000"]);
            args.extend(stack_names(&name));
            tcplog(args).fine();
            let (prefix, suffix) = file.rsplit_once(".pcapng").unwrap();
            let (session, _) = prefix.rsplit_once('.').unwrap();
            let again = std::fs::read(out.join(format!("{session}.0.pcapng{suffix}"))).unwrap();
            // Its DUMPINFO holds the length still unread, which for a part of
            // a message is not that of the part; stale bytes are gone.
            compare_dumpers(&format!("{name}: {file}"), &again, &bytes);
        }
    }
}

fn compare_dumpers(what: &str, got: &[u8], wanted: &[u8]) {
    let (got, wanted) = (stream::blocks(got), stream::blocks(wanted));
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (got, wanted) in got.iter().zip(&wanted) {
        let (mut a, mut b) = (got.bytes.to_vec(), wanted.bytes.to_vec());
        if got.kind == stream::SECTION {
            let info = wanted.private(4).unwrap();
            let at = b.windows(208).position(|window| window == info).unwrap();
            a[at + 8..at + 16].fill(0);
            b[at + 8..at + 16].fill(0);
        }
        assert_same(what, &a, &b);
    }
}

/// What one generated message holds: values by the kernel's field names, and
/// the bytes of fields that are no integers.
#[derive(Clone, Debug)]
struct Made {
    header: MadeHeader,
    records: Vec<MadeRecord>,
}

#[derive(Clone, Debug)]
struct MadeHeader {
    ipv6: bool,
    ports: [u8; 4],
    addresses: [u8; 32],
    zone: u32,
    boot: (u32, u32),
    id: Vec<u8>,
    reason: Vec<u8>,
    tag: Vec<u8>,
}

#[derive(Clone, Debug)]
struct MadeRecord {
    time: (u32, u32),
    step: u32,
    event: u8,
    stack: u8,
    flags: u16,
    state: i32,
    scales: (u8, u8),
    /// For every other integer field, by place in the list of names.
    values: Vec<u32>,
    cells: Vec<u8>,
    tcp: Vec<u8>,
    verbose: Vec<u8>,
    line: u32,
}

/// 32-bit fields of every version, whose values may be anything.
const PLAIN: [&str; 29] = [
    "tlb_ticks",
    "tlb_errno",
    "tlb_rxbuf.acc",
    "tlb_rxbuf.ccc",
    "tlb_rxbuf.spare",
    "tlb_txbuf.acc",
    "tlb_txbuf.ccc",
    "tlb_txbuf.spare",
    "tlb_starttime",
    "tlb_iss",
    "tlb_flags",
    "tlb_snd_una",
    "tlb_snd_max",
    "tlb_snd_cwnd",
    "tlb_snd_nxt",
    "tlb_snd_recover",
    "tlb_snd_wnd",
    "tlb_snd_ssthresh",
    "tlb_srtt",
    "tlb_rttvar",
    "tlb_rcv_up",
    "tlb_rcv_adv",
    "tlb_rcv_nxt",
    "tlb_rcv_wnd",
    "tlb_dupacks",
    "tlb_segqlen",
    "tlb_snd_numholes",
    "tlb_flex1",
    "tlb_flex2",
];

/// 32-bit fields that came with version 9; `tlb_len` stands last.
const LATER: [&str; 4] = ["tlb_flags2", "tlb_fbyte_in", "tlb_fbyte_out", "tlb_len"];

/// Widths of the stack specific cells: the view of nearly all events, that of
/// SENDFILE (60), that of ACCOUNTING (62).
fn cells(event: u8) -> Vec<usize> {
    match event {
        60 => vec![8, 8, 4],
        62 => vec![8; 13],
        _ => {
            let mut widths = vec![8; 4];
            widths.extend([4; 14]);
            widths.extend([2; 3]);
            widths.extend([1; 6]);
            widths.push(4);
            widths
        }
    }
}

fn put_int(out: &mut [u8], at: usize, size: usize, value: u64, order: Order) {
    match order {
        Order::Little => out[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]),
        Order::Big => out[at..at + size].copy_from_slice(&value.to_be_bytes()[8 - size..]),
    }
}

fn field<'d>(fields: &'d [Field], name: &str) -> Option<&'d Field> {
    fields.iter().find(|field| field.name == name)
}

/// A structure that is filled by the names of its fields.
struct Filled<'d> {
    bytes: Vec<u8>,
    fields: &'d [Field],
    order: Order,
}

impl Filled<'_> {
    fn int(&mut self, name: &str, value: u64) {
        if let Some(field) = field(self.fields, name) {
            assert!(
                matches!(field.kind, Kind::Unsigned | Kind::Signed),
                "{name}"
            );
            put_int(&mut self.bytes, field.offset, field.size, value, self.order);
        }
    }

    fn raw(&mut self, name: &str, value: &[u8]) {
        if let Some(field) = field(self.fields, name) {
            assert!(value.len() <= field.size, "{name}");
            self.bytes[field.offset..field.offset + value.len()].copy_from_slice(value);
        }
    }
}

/// Writes the message as a machine of this dialect would.
fn write(made: &Made, dialect: &Dialect, clean: bool) -> Vec<u8> {
    let order = dialect.order;
    let mut out = Vec::new();
    let mut header = Filled {
        bytes: vec![0; dialect.header.size],
        fields: &dialect.header.fields,
        order,
    };
    let head = &made.header;
    header.int("tlh_version", dialect.version.into());
    header.int("tlh_type", 1);
    header.raw("tlh_ie.ie_fport", &head.ports[..2]);
    header.raw("tlh_ie.ie_lport", &head.ports[2..]);
    header.raw("tlh_ie.ie_faddr", &head.addresses[..16]);
    header.raw("tlh_ie.ie_laddr", &head.addresses[16..]);
    header.int("tlh_ie.ie6_zoneid", head.zone.into());
    header.int("tlh_offset.tv_sec", head.boot.0.into());
    header.int("tlh_offset.tv_usec", head.boot.1.into());
    header.raw("tlh_id", &head.id);
    header.raw("tlh_reason", &head.reason);
    header.raw("tlh_tag", &head.tag);
    header.int("tlh_af", if head.ipv6 { 28 } else { 2 });
    out.append(&mut header.bytes);
    let mut sn = 0u32;
    for record in &made.records {
        sn = sn.wrapping_add(record.step);
        out.extend(write_record(record, sn, dialect, clean));
    }
    let len = out.len() as u64;
    put_int(&mut out, 8, 8, len, order);
    out
}

/// `clean`: parts whose flag is not set are zero.
fn write_record(made: &MadeRecord, sn: u32, dialect: &Dialect, clean: bool) -> Vec<u8> {
    let order = dialect.order;
    let has = |flag: u16| !clean || made.flags & flag != 0;
    let mut record = Filled {
        bytes: vec![0; dialect.record.size],
        fields: &dialect.record.fields,
        order,
    };
    record.int("tlb_tv.tv_sec", made.time.0.into());
    record.int("tlb_tv.tv_usec", made.time.1.into());
    record.int("tlb_sn", sn.into());
    record.int("tlb_stackid", made.stack.into());
    record.int("tlb_eventid", made.event.into());
    record.int("tlb_eventflags", made.flags.into());
    record.int("tlb_state", made.state as u64);
    for (name, value) in PLAIN.iter().chain(&LATER).zip(&made.values) {
        let valid = (has(RXBUF) || !name.starts_with("tlb_rxbuf"))
            && (has(TXBUF) || !name.starts_with("tlb_txbuf"));
        if valid {
            record.int(name, (*value).into());
        }
    }
    let scales = field(record.fields, "tlb_snd_scale").unwrap().offset;
    let (snd, rcv) = made.scales;
    record.bytes[scales] = match order {
        Order::Little => rcv << 4 | snd,
        Order::Big => snd << 4 | rcv,
    };
    if has(STACKINFO) {
        let start = field(record.fields, "tlb_stackinfo.cur_del_rate")
            .unwrap()
            .offset;
        let mut at = 0;
        for width in cells(made.event) {
            let mut wide = [0; 8];
            wide[..width].copy_from_slice(&made.cells[at..at + width]);
            let value = u64::from_le_bytes(wide);
            put_int(&mut record.bytes, start + at, width, value, order);
            at += width;
        }
    }
    if has(HDR) {
        let valid = usize::from(made.tcp[12] >> 4).clamp(5, 15) * 4;
        let len = if clean { valid } else { 60 };
        record.raw("tlb_th", &made.tcp[..20]);
        record.raw("tlb_opts", &made.tcp[20..len]);
    }
    let mut bytes = record.bytes;
    if made.flags & WITH_VERBOSE != 0 {
        let start = bytes.len();
        bytes.extend_from_slice(&made.verbose[..64]);
        bytes.resize(start + 72, 0);
        put_int(&mut bytes, start + 64, 4, made.line.into(), order);
    }
    bytes
}

/// As [`write()`] in version 9, LP64, little endian, with what `source` has no
/// field for at zero.
fn wanted(made: &Made, source: &Dialect) -> Vec<u8> {
    let canonical = Formats::builtin()
        .dialect(9, Abi::Lp64, Order::Little)
        .unwrap();
    let mut made = made.clone();
    if field(&source.header.fields, "tlh_tag").is_none() {
        made.header.tag.clear();
    }
    for record in &mut made.records {
        let names = PLAIN.iter().chain(&LATER);
        for (name, value) in names.zip(&mut record.values) {
            if field(&source.record.fields, name).is_none() {
                *value = 0;
            }
        }
    }
    write(&made, canonical, true)
}

/// Text of a kernel string with `max` bytes and its NUL.
fn text(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"UNKNOWN".to_vec()),
        proptest::collection::vec(1u8..=255, 0..max),
    ]
}

fn made_header() -> impl Strategy<Value = MadeHeader> {
    (
        (
            any::<bool>(),
            any::<[u8; 4]>(),
            any::<[u8; 32]>(),
            any::<u32>(),
        ),
        (0u32..=i32::MAX as u32, 0u32..1_000_000),
        (text(63), text(31), text(31)),
    )
        .prop_map(
            |((ipv6, ports, mut addresses, zone), boot, (id, reason, tag))| {
                if !ipv6 {
                    addresses[..12].fill(0);
                    addresses[16..28].fill(0);
                }
                MadeHeader {
                    ipv6,
                    ports,
                    addresses,
                    zone,
                    boot,
                    id,
                    reason,
                    tag,
                }
            },
        )
}

fn made_record() -> impl Strategy<Value = MadeRecord> {
    let event = prop_oneof![1u8..=73, 1u8..=255, Just(60), Just(62), Just(1), Just(2)];
    (
        (0u32..=i32::MAX as u32, 0u32..1_000_000),
        prop_oneof![4 => Just(1u32), 1 => 2u32..1000],
        (event, 0u8..4, 0u16..0x20, 0i32..=10, (0u8..=14, 0u8..=14)),
        proptest::collection::vec(any::<u32>(), PLAIN.len() + LATER.len()),
        proptest::collection::vec(any::<u8>(), 104),
        (proptest::collection::vec(any::<u8>(), 60), any::<bool>()),
        proptest::collection::vec(any::<u8>(), 64),
        any::<u32>(),
    )
        .prop_map(
            |(time, step, small, values, cells, (mut tcp, zero), verbose, line)| {
                let (event, stack, flags, state, scales) = small;
                if zero {
                    tcp[16..18].fill(0);
                }
                MadeRecord {
                    time,
                    step,
                    event,
                    stack,
                    flags,
                    state,
                    scales,
                    values,
                    cells,
                    tcp,
                    verbose,
                    line,
                }
            },
        )
}

fn made() -> impl Strategy<Value = Vec<Made>> {
    let one = (
        made_header(),
        proptest::collection::vec(made_record(), 0..8),
    )
        .prop_map(|(header, records)| Made { header, records });
    proptest::collection::vec(one, 1..4)
}

fn dialect() -> impl Strategy<Value = Arc<Dialect>> {
    let all = Formats::builtin().dialects.clone();
    // Versions 6, 7, 8, 9; LP64, i386, ILP32 with 64-bit time; both orders.
    assert_eq!(all.len(), 4 * 3 * 2);
    proptest::sample::select(all)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn generated_messages_come_back_as_version_9(
        dialect in dialect(),
        made in made(),
        comments in any::<bool>(),
    ) {
        let source: Vec<u8> = made.iter().flat_map(|m| write(m, &dialect, false)).collect();
        let back: Vec<u8> = made.iter().flat_map(|m| wanted(m, &dialect)).collect();
        let (pcapng, damage) = to_pcapng(&source, comments).unwrap();
        prop_assert!(damage.is_empty(), "{}: {:?}", dialect.name(), damage);
        let (got, damage) = to_stream(&pcapng).unwrap();
        prop_assert!(damage.is_empty(), "{}: {:?}", dialect.name(), damage);
        same_messages(&got, &back, &dialect)?;
        // Nothing is lost or added on the second way either.
        let (again, _) = to_pcapng(&got, comments).unwrap();
        prop_assert_eq!(to_stream(&again).unwrap().0, got);
    }

    #[test]
    fn generated_messages_pass_a_stream_unchanged(dialect in dialect(), made in made()) {
        let source: Vec<u8> = made.iter().flat_map(|m| write(m, &dialect, false)).collect();
        let (same, damage) = to_stream(&source).unwrap();
        prop_assert!(damage.is_empty(), "{}: {:?}", dialect.name(), damage);
        prop_assert!(same == source, "{}", dialect.name());
    }
}

/// Every field of every record; `tlh_length` is the source's.
fn same_messages(got: &[u8], wanted: &[u8], source: &Dialect) -> Result<(), TestCaseError> {
    let canonical = Formats::builtin()
        .dialect(9, Abi::Lp64, Order::Little)
        .unwrap();
    let name = source.name();
    let (got, wanted) = (messages(got), messages(wanted));
    prop_assert_eq!(got.len(), wanted.len(), "{}", name);
    for (got, wanted) in got.iter().zip(&wanted) {
        for field in &canonical.header.fields {
            let place = field.offset..field.offset + field.size;
            prop_assert_eq!(
                &got.header()[place.clone()],
                &wanted.header()[place],
                "{}: {}",
                name,
                field.name
            );
        }
        let (got, wanted) = (got.records(), wanted.records());
        prop_assert_eq!(got.len(), wanted.len(), "{}", name);
        for (got, wanted) in got.iter().zip(&wanted) {
            for field in &canonical.record.fields {
                let place = field.offset..field.offset + field.size;
                let mut value = wanted.0[place.clone()].to_vec();
                // CONNEND has eight codes of one byte there: no order turns them.
                let is_codes = got.event() == 54 && field.name == "tlb_stackinfo.cur_del_rate";
                if is_codes && source.order == Order::Big {
                    value.reverse();
                }
                prop_assert_eq!(
                    &got.0[place],
                    &value[..],
                    "{}: {} of event {}",
                    name,
                    field.name,
                    wanted.event()
                );
            }
            prop_assert_eq!(&got.0[328..], &wanted.0[328..], "{}: verbose part", name);
        }
    }
    Ok(())
}
