//! Wireshark's tshark as the judge of what we write, and tcplog_dumper's own
//! files, read by the same tshark, as the measure of every field.

mod support;

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use support::stream::{Msg, Rec, blocks, messages, u32_at};
use support::wireshark::{Row, micros, rows};
use support::{convert, expected, genuine, genuine_names, put, stack_names};

/// All that tshark 4.0 knows of an event row, apart from single flag bits.
const BBLOG: [&str; 47] = [
    "bblog.ticks",
    "bblog.serial_nr",
    "bblog.stack_id",
    "bblog.event_id",
    "bblog.event_flags",
    "bblog.errno",
    "bblog.rxb_acc",
    "bblog.rxb_ccc",
    "bblog.rxb_spare",
    "bblog.txb_acc",
    "bblog.txb_accs",
    "bblog.txb_spare",
    "bblog.state",
    "bblog.starttime",
    "bblog.iss",
    "bblog.t_flags",
    "bblog.snd_una",
    "bblog.snd_max",
    "bblog.snd_cwnd",
    "bblog.snd_nxt",
    "bblog.snd_recover",
    "bblog.snd_wnd",
    "bblog.snd_ssthresh",
    "bblog.srtt",
    "bblog.rttvar",
    "bblog.rcv_up",
    "bblog.rcv_adv",
    "bblog.t_flags2",
    "bblog.rcv_nxt",
    "bblog.rcv_wnd",
    "bblog.dupacks",
    "bblog.seg_qlen",
    "bblog.snd_num_holes",
    "bblog.flex_1",
    "bblog.flex_2",
    "bblog.first_byte_in",
    "bblog.first_byte_out",
    "bblog.snd_shift",
    "bblog.rcv_shift",
    "bblog.pad_1",
    "bblog.pad_2",
    "bblog.pad_3",
    "bblog.payload_length",
    "bblog.t_flags2_first_bytes_complete",
    "bblog.t_flags2_plpmtu_blackhole",
    "frame.bblog.ticks",
    "frame.bblog.serial_nr",
];

/// Of packets, all that does not depend on packets before.
const PACKET: [&str; 25] = [
    "frame.len",
    "frame.packet_flags_direction",
    "null.family",
    "ip.src",
    "ip.dst",
    "ip.len",
    "ip.ttl",
    "ip.proto",
    "ip.checksum",
    "ipv6.src",
    "ipv6.dst",
    "ipv6.plen",
    "ipv6.nxt",
    "ipv6.hlim",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.seq_raw",
    "tcp.ack_raw",
    "tcp.hdr_len",
    "tcp.flags",
    "tcp.window_size_value",
    "tcp.checksum",
    "tcp.urgent_pointer",
    "tcp.len",
    "tcp.options",
];

const ROW: [&str; 7] = [
    "frame.time_epoch",
    "frame.cap_len",
    "_ws.malformed",
    "_ws.expert.message",
    "_ws.col.Info",
    "ip.checksum.status",
    "tcp.checksum.status",
];

const CHECKSUMS: [&str; 4] = [
    "-o",
    "ip.check_checksum:TRUE",
    "-o",
    "tcp.check_checksum:TRUE",
];

fn all_fields() -> Vec<&'static str> {
    [&ROW[..], &BBLOG, &PACKET].concat()
}

/// What a row must be, said by the stream alone.
#[derive(Clone, Copy, Debug)]
enum Wanted<'a> {
    Record(Msg<'a>, Rec<'a>),
    Skipped(u32),
}

fn wanted<'a>(messages: &[Msg<'a>]) -> Vec<Wanted<'a>> {
    let mut rows = Vec::new();
    for message in messages {
        let mut previous: Option<u32> = None;
        for record in message.records() {
            let gap = previous.map_or(0, |old| record.sn().wrapping_sub(old) - 1);
            if gap > 0 {
                rows.push(Wanted::Skipped(gap));
            }
            previous = Some(record.sn());
            rows.push(Wanted::Record(*message, record));
        }
    }
    rows
}

/// Judges one row by its record.
fn judge(what: &str, row: &Row, wanted: Wanted<'_>) {
    assert_eq!(row.get("_ws.malformed"), "", "{what}: {row:?}");
    let (message, record) = match wanted {
        Wanted::Record(message, record) => (message, record),
        Wanted::Skipped(count) => {
            assert_eq!(
                row.get("_ws.col.Info"),
                format!("Number of skipped events: {count}"),
                "{what}"
            );
            return;
        }
    };
    let what = format!("{what}: serial {} event {}", record.sn(), record.event());
    let prefix = if record.is_packet() {
        "frame.bblog"
    } else {
        "bblog"
    };
    let number = |field: &str| row.get(field).to_owned();
    let named = |name: &str| match prefix {
        "bblog" => number(&format!("bblog.{name}")),
        _ => number(&format!("frame.bblog.{name}")),
    };
    assert_eq!(named("serial_nr"), record.sn().to_string(), "{what}");
    assert_eq!(named("ticks"), u32_at(record.0, 16).to_string(), "{what}");
    let time = message.boot_us() + record.uptime_us();
    assert_eq!(micros(row.get("frame.time_epoch")), time, "{what}");
    if !record.is_packet() {
        assert_eq!(
            row.get("bblog.event_id"),
            record.event().to_string(),
            "{what}"
        );
        assert_eq!(
            row.get("bblog.stack_id"),
            record.stack().to_string(),
            "{what}"
        );
        assert_eq!(
            row.get("bblog.snd_cwnd"),
            u32_at(record.0, 80).to_string(),
            "{what}"
        );
        return;
    }
    let (local, foreign, src, dst) = addresses(message);
    let inbound = record.event() == 1;
    let ends = if inbound {
        (foreign, local)
    } else {
        (local, foreign)
    };
    assert_eq!(
        (row.get(src), row.get(dst)),
        (ends.0.as_str(), ends.1.as_str()),
        "{what}"
    );
    let direction = if inbound { "0x00000001" } else { "0x00000002" };
    assert_eq!(row.get("frame.packet_flags_direction"), direction, "{what}");
    let tcp = record.tcp();
    let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]).to_string();
    let be32 = |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().unwrap()).to_string();
    assert_eq!(row.get("tcp.srcport"), port(0), "{what}");
    assert_eq!(row.get("tcp.dstport"), port(2), "{what}");
    assert_eq!(row.get("tcp.seq_raw"), be32(4), "{what}");
    assert_eq!(row.get("tcp.ack_raw"), be32(8), "{what}");
    assert_eq!(row.get("tcp.window_size_value"), port(14), "{what}");
    assert_eq!(row.get("tcp.hdr_len"), tcp.len().to_string(), "{what}");
    assert_eq!(row.get("tcp.len"), record.len().to_string(), "{what}");
    let options: String = tcp[20..].iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(row.get("tcp.options"), options, "{what}");
    // Checksums are right for a payload of zeros, which is not there to look
    // at unless there is none.
    if !message.is_ipv6() {
        assert_eq!(row.get("ip.checksum.status"), "1", "{what}: IP checksum");
    }
    if record.len() == 0 {
        assert_eq!(row.get("tcp.checksum.status"), "1", "{what}: TCP checksum");
    }
}

/// Local and foreign address, and the fields of source and destination.
fn addresses(message: Msg<'_>) -> (String, String, &'static str, &'static str) {
    let slot = |at: usize| <[u8; 16]>::try_from(&message.bytes[at..at + 16]).unwrap();
    if message.is_ipv6() {
        let text = |at| Ipv6Addr::from(slot(at)).to_string();
        return (text(36), text(20), "ipv6.src", "ipv6.dst");
    }
    let text = |at| {
        let [.., a, b, c, d] = slot(at);
        Ipv4Addr::new(a, b, c, d).to_string()
    };
    (text(36), text(20), "ip.src", "ip.dst")
}

fn judge_all(what: &str, rows: &[Row], wanted: &[Wanted<'_>]) {
    assert_eq!(rows.len(), wanted.len(), "{what}: rows");
    for (row, wanted) in rows.iter().zip(wanted) {
        judge(what, row, *wanted);
    }
}

/// Converts bytes and gives tshark's rows.
fn shown(bytes: &[u8], args: &[&str]) -> Vec<Row> {
    let (ran, pcapng) = convert(bytes, args);
    ran.fine();
    rows_of(&pcapng)
}

fn rows_of(pcapng: &[u8]) -> Vec<Row> {
    let dir = tempfile::tempdir().unwrap();
    let file = put(dir.path(), "file.pcapng", pcapng);
    rows(&file, &all_fields(), &CHECKSUMS)
}

/// tcplog_dumper's files of a stream as one file, in stream order, and which
/// messages they hold.
fn dumpers(name: &str, messages: &[Msg<'_>]) -> (Vec<u8>, HashSet<usize>) {
    let (files, _) = expected(name);
    let mut placed: Vec<(usize, u32, Vec<u8>)> = Vec::new();
    for (file, bytes) in files {
        let blocks = blocks(&bytes);
        let info = blocks[0].private(4).unwrap();
        let first = blocks[2].info();
        let message = messages.iter().position(|message| {
            info[16..] == message.header()[16..]
                && message
                    .records()
                    .iter()
                    .any(|record| record.0[..268] == *first)
        });
        let message = message.unwrap_or_else(|| panic!("{name}: {file} is of no message"));
        placed.push((message, u32_at(first, 20), bytes.clone()));
    }
    placed.sort();
    let held = placed.iter().map(|(message, ..)| *message).collect();
    (
        placed.into_iter().flat_map(|(.., bytes)| bytes).collect(),
        held,
    )
}

fn as_tcplog_dumpers(names: &[String]) {
    for name in names {
        let stream = genuine(name);
        let messages = messages(&stream);
        let ours = shown(&stream, &stack_names(name));
        let wanted = wanted(&messages);
        judge_all(name, &ours, &wanted);

        let (file, held) = dumpers(name, &messages);
        let held: HashSet<usize> = held.iter().map(|index| messages[*index].offset).collect();
        let theirs = rows_of(&file);
        let common: Vec<(&Row, Msg<'_>, Rec<'_>)> = ours
            .iter()
            .zip(&wanted)
            .filter_map(|(row, wanted)| match wanted {
                Wanted::Record(message, record) => held
                    .contains(&message.offset)
                    .then_some((row, *message, *record)),
                Wanted::Skipped(_) => None,
            })
            .collect();
        assert_eq!(common.len(), theirs.len(), "{name}: rows of tcplog_dumper");
        for ((ours, _, record), theirs) in common.into_iter().zip(&theirs) {
            same_values(name, ours, theirs, record);
        }
    }
}

fn same_values(name: &str, ours: &Row, theirs: &Row, record: Rec<'_>) {
    for field in ["frame.time_epoch", "_ws.col.Info"]
        .iter()
        .chain(&BBLOG)
        .chain(&PACKET)
    {
        let stale = (field.starts_with("bblog.rxb_") && record.flags() & 1 == 0)
            || (field.starts_with("bblog.txb_") && record.flags() & 2 == 0);
        let theirs = theirs.get(field);
        let wanted = if stale && !theirs.is_empty() {
            "0"
        } else {
            theirs
        };
        // What Wireshark thinks of a segment depends on those before it.
        if *field == "_ws.col.Info" && record.is_packet() {
            continue;
        }
        assert_eq!(
            ours.get(field),
            wanted,
            "{name}: serial {} event {}: {field}",
            record.sn(),
            record.event()
        );
    }
}

/// Two threads of the test runner share the work.
fn half(which: usize) -> Vec<String> {
    let names = genuine_names();
    names.into_iter().skip(which).step_by(2).collect()
}

#[test]
fn genuine_streams_show_as_tcplog_dumpers_files_first_half() {
    as_tcplog_dumpers(&half(0));
}

#[test]
fn genuine_streams_show_as_tcplog_dumpers_files_second_half() {
    as_tcplog_dumpers(&half(1));
}

#[test]
fn the_test_data_has_every_kind_of_message() {
    let stream = |name: &str| genuine(name);
    let v6 = stream("base-v6");
    assert!(messages(&v6).iter().all(|message| message.is_ipv6()));
    let switch = stream("switch");
    let switches = |m: &Msg<'_>| m.records().windows(2).any(|w| w[0].stack() != w[1].stack());
    assert!(messages(&switch).iter().any(switches));
    let rack = stream("rack-loss");
    let mixed = |m: &Msg<'_>| {
        let sizes: HashSet<usize> = m.records().iter().map(|record| record.0.len()).collect();
        sizes.len() == 2
    };
    assert!(messages(&rack).iter().any(mixed));
}

#[test]
fn a_stack_switch_begins_a_section_that_names_the_stack() {
    let stream = genuine("switch");
    let messages = messages(&stream);
    let (ran, pcapng) = convert(&stream, &stack_names("switch"));
    ran.fine();
    let names = [&b""[..], b"freebsd", b"bbr", b"rack"];
    let mut wanted: Vec<(u8, &[u8])> = Vec::new();
    for message in &messages {
        let mut stack = None;
        for record in message.records() {
            if stack != Some(record.stack()) {
                stack = Some(record.stack());
                wanted.push((record.stack(), names[usize::from(record.stack())]));
            }
        }
    }
    assert!(wanted.len() > messages.len());
    let blocks = blocks(&pcapng);
    let sections: Vec<(u8, &[u8])> = blocks
        .iter()
        .filter(|block| block.kind == support::stream::SECTION)
        .map(|block| block.private(6).unwrap().split_first().unwrap())
        .map(|(id, name)| (*id, name))
        .collect();
    assert_eq!(sections, wanted);
}

#[test]
fn every_section_has_what_wireshark_needs() {
    for name in ["switch", "kernel-ids", "kernel15-ids"] {
        let stream = genuine(name);
        let (ran, pcapng) = convert(&stream, &["--dumptime", "1700000000"]);
        ran.fine();
        let blocks = blocks(&pcapng);
        let messages = messages(&stream);
        let mut message = 0;
        for (at, block) in blocks.iter().enumerate() {
            if block.kind != support::stream::SECTION {
                continue;
            }
            assert_eq!(block.private(1).unwrap(), 9u32.to_le_bytes());
            assert_eq!(block.private(5).unwrap(), 1_700_000_000i64.to_le_bytes());
            // The header as it was read, length and all.
            let info = block.private(4).unwrap();
            if info != messages[message].header() {
                message += 1;
            }
            assert_eq!(
                info,
                messages[message].header(),
                "{name}: section at block {at}"
            );
            assert!(block.private(6).is_some());
            assert_eq!(blocks[at + 1].kind, support::stream::INTERFACE);
        }
        assert_eq!(message, messages.len() - 1, "{name}");
    }
}

#[test]
fn merged_records_are_in_time_order_and_have_their_own_times() {
    // Two hosts with boot times of their own, a connection whose ring wrapped,
    // and messages that overlap in time.
    let mut stream = genuine("multi");
    stream.extend(genuine("base-v6"));
    stream.extend(genuine("ringwrap"));
    let (ran, pcapng) = convert(&stream, &["--merge"]);
    ran.fine();
    let found = blocks(&pcapng);
    let count = |kind| found.iter().filter(|block| block.kind == kind).count();
    let messages = messages(&stream);
    let connections: HashSet<[u8; 40]> = messages.iter().map(|m| m.connection()).collect();
    assert_eq!(count(support::stream::SECTION), 1);
    assert_eq!(count(support::stream::INTERFACE), connections.len());

    let mut order: Vec<[u8; 40]> = Vec::new();
    for message in &messages {
        if !order.contains(&message.connection()) {
            order.push(message.connection());
        }
    }
    let mut wanted: Vec<(i64, usize, u32, Wanted<'_>)> = Vec::new();
    for message in &messages {
        let connection = order
            .iter()
            .position(|c| *c == message.connection())
            .unwrap();
        for record in message.records() {
            let time = message.boot_us() + record.uptime_us();
            wanted.push((
                time,
                connection,
                record.sn(),
                Wanted::Record(*message, record),
            ));
        }
    }
    wanted.sort_by_key(|(time, connection, sn, _)| (*time, *connection, *sn));
    let dir = tempfile::tempdir().unwrap();
    let file = put(dir.path(), "file.pcapng", &pcapng);
    let fields = [&all_fields()[..], &["frame.interface_name"]].concat();
    let rows = rows(&file, &fields, &CHECKSUMS);
    let just: Vec<Wanted<'_>> = wanted.iter().map(|(.., wanted)| *wanted).collect();
    judge_all("merged", &rows, &just);
    let mut named = HashSet::new();
    for (row, wanted) in rows.iter().zip(&just) {
        let Wanted::Record(message, record) = wanted else {
            unreachable!()
        };
        if record.is_packet() {
            let name = row.get("frame.interface_name");
            let (local, foreign, ..) = addresses(*message);
            let (foreign_port, local_port) = message.ports();
            let id = String::from_utf8_lossy(message.id()).into_owned();
            for part in [
                local,
                foreign,
                local_port.to_string(),
                foreign_port.to_string(),
            ] {
                assert!(name.contains(&part), "{name:?} without {part}");
            }
            assert!(
                id == "UNKNOWN" || name.contains(&id),
                "{name:?} without {id}"
            );
            named.insert((name.to_owned(), message.connection()));
        }
    }
    assert_eq!(named.len(), connections.len());
}

#[test]
fn a_file_of_1000_sections_opens() {
    let stream = genuine("kernel-ids");
    let small: Vec<Msg<'_>> = messages(&stream)
        .into_iter()
        .filter(|message| message.records().len() <= 40)
        .collect();
    assert!(small.len() > 5);
    let wanted_messages: Vec<Msg<'_>> = small.iter().copied().cycle().take(1000).collect();
    let many: Vec<u8> = wanted_messages
        .iter()
        .flat_map(|m| m.bytes.iter().copied())
        .collect();
    let (ran, pcapng) = convert(&many, &[]);
    ran.fine();
    let sections = blocks(&pcapng);
    let sections = sections
        .iter()
        .filter(|b| b.kind == support::stream::SECTION)
        .count();
    assert!(sections >= 1000, "{sections}");
    judge_all(
        "1000 sections",
        &rows_of(&pcapng),
        &wanted(&messages(&many)),
    );
}

#[test]
fn missing_serial_numbers_show_where_they_are_missing() {
    let stream = genuine("rack-send");
    let message = messages(&stream)[0];
    let records = message.records();
    // One missing, then 40, then every other record, then a change of stack
    // right behind a gap.
    let kept = |i: usize| {
        i != 5 && !(20..60).contains(&i) && !(100..140).contains(&i)
            || (100..140).contains(&i) && i.is_multiple_of(2)
    };
    let mut few: Vec<Vec<u8>> = records
        .iter()
        .enumerate()
        .filter(|(i, _)| *i < 300 && kept(*i))
        .map(|(_, record)| record.0.to_vec())
        .collect();
    let at = few
        .iter()
        .position(|record| Rec(record).sn() > records[60].sn() - 1)
        .unwrap();
    for record in &mut few[at..] {
        record[24] = 1;
    }
    let stream = message.with_records(few.iter().map(|record| Rec(record)));
    let messages = messages(&stream);
    let wanted = wanted(&messages);
    let gaps = wanted
        .iter()
        .filter(|row| matches!(row, Wanted::Skipped(_)))
        .count();
    assert_eq!(gaps, 22);
    for args in [&[][..], &["--no-comments"]] {
        judge_all("gaps", &shown(&stream, args), &wanted);
    }
}

#[test]
fn segments_longer_than_ip_can_say_keep_their_length() {
    for name in ["base-tso", "base-v6"] {
        let stream = genuine(name);
        let message = messages(&stream)[0];
        let ip = if message.is_ipv6() { 0 } else { 20 };
        let out = |record: &Rec<'_>| record.event() == 2 && record.is_packet() && record.len() > 0;
        let mut patched: Vec<Vec<u8>> = Vec::new();
        let mut segments = 0;
        for record in message.records().into_iter().take(60) {
            let mut bytes = record.0.to_vec();
            if out(&record) {
                // The last that fits, and the first that does not.
                let last = 65_535 - ip - record.tcp().len() as u32;
                let lens = [last, last + 1, 65_535, 65_536, 70_000, 200_000];
                if let Some(len) = lens.get(segments) {
                    bytes[264..268].copy_from_slice(&len.to_le_bytes());
                    segments += 1;
                }
            }
            patched.push(bytes);
        }
        assert_eq!(segments, 6, "{name}: not enough segments to patch");
        let stream = message.with_records(patched.iter().map(|record| Rec(record)));
        let messages = messages(&stream);
        for args in [&[][..], &["--merge"]] {
            let rows = shown(&stream, args);
            let long = rows
                .iter()
                .filter(|row| row.get("tcp.len") == "70000")
                .count();
            assert_eq!(long, 1, "{name}");
            if args.is_empty() {
                judge_all(name, &rows, &wanted(&messages));
            }
        }
    }
}

#[test]
fn a_length_that_no_segment_has_does_not_stop_wireshark() {
    let stream = genuine("base-tso");
    let message = messages(&stream)[0];
    let mut records: Vec<Vec<u8>> = message
        .records()
        .iter()
        .take(40)
        .map(|record| record.0.to_vec())
        .collect();
    let at = records
        .iter()
        .position(|record| Rec(record).is_packet())
        .unwrap();
    records[at][264..268].fill(0xff);
    let stream = message.with_records(records.iter().map(|record| Rec(record)));
    let rows = shown(&stream, &[]);
    assert_eq!(rows.len(), records.len());
    for (row, record) in rows.iter().zip(&records) {
        let serial = [row.get("bblog.serial_nr"), row.get("frame.bblog.serial_nr")].concat();
        assert_eq!(serial, Rec(record).sn().to_string());
    }
}

#[test]
fn comments_stand_on_sections_packets_events_and_gaps_or_nowhere() {
    for name in ["kernel-ids", "switch", "base-v6", "kernel15-rack-verbose"] {
        let mut stream = genuine(name);
        let first = messages(&stream)[0];
        let records = first.records();
        let gapped: Vec<u8> = first.with_records(
            records
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != 1)
                .map(|(_, record)| *record),
        );
        stream.extend(gapped);
        let messages = messages(&stream);
        let (ran, with) = convert(&stream, &[]);
        ran.fine();
        for block in blocks(&with) {
            let comments = block.comments();
            if block.kind == support::stream::INTERFACE {
                assert!(comments.is_empty());
                continue;
            }
            assert_eq!(comments.len(), 1, "{name}: block of type {}", block.kind);
            assert!(!comments[0].is_empty());
            if block.is_record() {
                let serial = format!("serial {}", u32_at(block.info(), 20));
                assert!(comments[0].contains(&serial), "{}", comments[0]);
            }
            assert!(
                !comments[0].chars().any(char::is_control),
                "{:?}",
                comments[0]
            );
        }
        sections_say_whose_they_are(&with, &messages);
        let (ran, without) = convert(&stream, &["--no-comments"]);
        ran.fine();
        let silent = blocks(&without);
        assert!(
            silent.iter().all(|block| block.comments().is_empty()),
            "{name}"
        );
        assert_eq!(silent.len(), blocks(&with).len(), "{name}");

        // The judge sees them as well.
        let dir = tempfile::tempdir().unwrap();
        let file = put(dir.path(), "file.pcapng", &with);
        let seen = rows(&file, &["frame.comment"], &[]);
        assert!(
            seen.iter().all(|row| !row.get("frame.comment").is_empty()),
            "{name}"
        );
    }
}

fn sections_say_whose_they_are(pcapng: &[u8], messages: &[Msg<'_>]) {
    let mut previous: Option<Vec<u8>> = None;
    for block in blocks(pcapng) {
        if block.kind != support::stream::SECTION {
            continue;
        }
        let info = block.private(4).unwrap();
        let message = messages
            .iter()
            .find(|message| message.header() == info)
            .unwrap();
        let comment = block.comments()[0];
        let (local, foreign, ..) = addresses(*message);
        let (foreign_port, local_port) = message.ports();
        let reason = String::from_utf8(message.reason().to_vec()).unwrap();
        for part in [
            local,
            foreign,
            foreign_port.to_string(),
            local_port.to_string(),
            reason,
        ] {
            assert!(comment.contains(&part), "{comment:?} lacks {part}");
        }
        for text in [message.id(), message.tag()] {
            let plain = text.iter().all(|b| b.is_ascii_alphanumeric());
            let text = String::from_utf8_lossy(text);
            if plain && text != "UNKNOWN" {
                assert!(comment.contains(&*text), "{comment:?} lacks {text}");
            }
        }
        previous = Some(info.to_vec());
    }
    assert!(previous.is_some());
}
