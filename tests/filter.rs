//! `filter`: the right records, byte for byte.

mod support;

use std::collections::BTreeSet;
use support::stream::{Msg, Rec, SECTION, blocks, messages, without_stale};
use support::{assert_same, convert, filter, genuine, genuine_names, put, tcplog};

/// The stream of those records that `keep` wants; messages without any go.
fn only(stream: &[u8], keep: impl Fn(Msg<'_>, Rec<'_>) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages(stream) {
        let records = message.records();
        let kept: Vec<Rec<'_>> = records.into_iter().filter(|r| keep(message, *r)).collect();
        if !kept.is_empty() {
            out.extend(message.with_records(kept));
        }
    }
    out
}

/// Filters a genuine stream and compares with what a plain loop keeps.
#[track_caller]
fn keeps(name: &str, args: &[&str], keep: impl Fn(Msg<'_>, Rec<'_>) -> bool) {
    let stream = genuine(name);
    let wanted = only(&stream, keep);
    assert!(
        !wanted.is_empty() && wanted.len() < stream.len(),
        "{name} {args:?} decides nothing"
    );
    for jobs in ["1", "3"] {
        let (ran, got) = filter(&stream, &[args, &["-j", jobs]].concat());
        ran.fine();
        assert_same(&format!("{name} {args:?}"), &got, &wanted);
    }
}

#[test]
fn an_id_keeps_exactly_its_messages() {
    for name in ["multi", "kernel-ids", "kernel15-ids", "switch", "ringwrap"] {
        let stream = genuine(name);
        let ids: BTreeSet<&[u8]> = messages(&stream).iter().map(|m| m.id()).collect();
        for id in &ids {
            let Ok(id) = std::str::from_utf8(id) else {
                continue;
            };
            // A name is a glob: what has a meaning there is escaped.
            let glob: String = id
                .chars()
                .map(|c| match c {
                    '*' | '?' | '[' | ']' | '{' | '}' | '!' => format!("[{c}]"),
                    '\\' => "\\\\".to_owned(),
                    c => c.to_string(),
                })
                .collect();
            let wanted: Vec<u8> = messages(&stream)
                .iter()
                .filter(|m| m.id() == id.as_bytes())
                .flat_map(|m| m.bytes.iter().copied())
                .collect();
            let (ran, got) = filter(&stream, &["--id", &glob]);
            ran.fine();
            assert_same(&format!("{name} --id {glob:?}"), &got, &wanted);
        }
    }
}

#[test]
fn the_data_for_ids_is_worth_it() {
    let stream = genuine("multi");
    let all = messages(&stream);
    let ids: BTreeSet<&[u8]> = all.iter().map(|m| m.id()).collect();
    assert!(ids.len() > 2 && ids.len() < all.len());
    assert!(ids.iter().any(|id| id.len() == 63));
    let connections: BTreeSet<([u8; 40], &[u8])> =
        all.iter().map(|m| (m.connection(), m.id())).collect();
    assert!(connections.len() > ids.len(), "no ID is shared");
}

#[test]
fn an_id_among_ten_thousand_messages() {
    // As the device gives on a busy server: very many short messages.
    let stream = genuine("kernel-ids");
    let short: Vec<Msg<'_>> = messages(&stream)
        .into_iter()
        .filter(|m| m.records().len() < 20)
        .collect();
    let mut many = Vec::new();
    let mut wanted = Vec::new();
    for number in 0..10_000 {
        let mut message = short[number % short.len()].bytes.to_vec();
        let id = format!("server-{}", number % 1000);
        message[72..136].fill(0);
        message[72..72 + id.len()].copy_from_slice(id.as_bytes());
        if id == "server-77" {
            wanted.extend_from_slice(&message);
        }
        many.extend_from_slice(&message);
    }
    let (ran, got) = filter(&many, &["--id", "server-77"]);
    ran.fine();
    assert_eq!(messages(&got).len(), 10);
    assert_same("server-77", &got, &wanted);
}

#[test]
fn ids_are_globs_and_repeated_ones_are_alternatives() {
    let stream = genuine("multi");
    let ids: Vec<String> = messages(&stream)
        .iter()
        .map(|m| String::from_utf8(m.id().to_vec()).unwrap())
        .collect();
    let (a, b) = (
        ids.first().unwrap(),
        ids.iter().find(|id| **id != ids[0]).unwrap(),
    );
    keeps("multi", &["--id", a, "--id", b], |m, _| {
        [a.as_bytes(), b.as_bytes()].contains(&m.id())
    });
    let start = &a[..1];
    let glob = format!("{start}*");
    keeps("multi", &["--id", &glob], |m, _| {
        m.id().starts_with(start.as_bytes())
    });
}

#[test]
fn without_a_selection_nothing_changes() {
    for name in genuine_names() {
        let stream = genuine(&name);
        let (ran, got) = filter(&stream, &[]);
        ran.fine();
        assert_same(&name, &got, &stream);
    }
}

#[test]
fn events_stacks_and_serials_rewrite_only_the_length() {
    keeps("rack-loss", &["--event", "1,2"], |_, r| {
        [1, 2].contains(&r.event())
    });
    keeps("rack-loss", &["--event", "IN"], |_, r| r.event() == 1);
    keeps("rack-loss", &["--event", "in", "--event", "OUT"], |_, r| {
        [1, 2].contains(&r.event())
    });
    keeps("rack-loss", &["--sn", "100..250"], |_, r| {
        (100..=250).contains(&r.sn())
    });
    keeps("multi", &["--sn", "3..3", "--sn", "7..9"], |_, r| {
        [3, 7, 8, 9].contains(&r.sn())
    });
    keeps("multi", &["--sn", "..20"], |_, r| r.sn() <= 20);
    keeps("multi", &["--sn", "500.."], |_, r| r.sn() >= 500);
    keeps("switch", &["--stack", "2"], |_, r| r.stack() == 2);
    let named = [
        "--stack",
        "rack",
        "--stack-name",
        "3=rack",
        "--stack-name",
        "2=bbr",
    ];
    keeps("switch", &named, |_, r| r.stack() == 3);
}

#[test]
fn endpoints_tags_and_reasons() {
    let stream = genuine("kernel-ids");
    let all = messages(&stream);
    let (foreign, local) = all[2].ports();
    keeps("kernel-ids", &["--port", &foreign.to_string()], |m, _| {
        [m.ports().0, m.ports().1].contains(&foreign)
    });
    let ports = [foreign.to_string(), local.to_string()];
    keeps(
        "kernel-ids",
        &["--port", &ports[0], "--port", &ports[1]],
        |m, _| {
            [m.ports().0, m.ports().1]
                .iter()
                .any(|p| [foreign, local].contains(p))
        },
    );
    let v6_loopback = |m: Msg<'_>| {
        let loopback = std::net::Ipv6Addr::LOCALHOST.octets();
        m.is_ipv6() && (m.bytes[20..36] == loopback || m.bytes[36..52] == loopback)
    };
    keeps("kernel-ids", &["--host", "::1"], |m, _| v6_loopback(m));
    let v4 = |m: Msg<'_>, first: u8| !m.is_ipv6() && [m.bytes[32], m.bytes[48]].contains(&first);
    keeps("kernel-ids", &["--host", "127.0.0.0/8"], |m, _| v4(m, 127));
    let reasons: BTreeSet<&[u8]> = all.iter().map(|m| m.reason()).collect();
    assert!(reasons.len() > 1);
    let reason = std::str::from_utf8(reasons.first().unwrap()).unwrap();
    keeps("kernel-ids", &["--reason", reason], |m, _| {
        m.reason() == reason.as_bytes()
    });
    keeps("kernel-ids", &["--reason", "*continual*"], |m, _| {
        m.reason().windows(9).any(|w| w == b"continual")
    });
    keeps("kernel-ids", &["--tag", "UNKNOWN"], |m, _| {
        m.tag() == b"UNKNOWN"
    });
}

#[test]
fn different_kinds_must_all_hold() {
    let stream = genuine("multi");
    let id = String::from_utf8(messages(&stream)[0].id().to_vec()).unwrap();
    let args = [
        "--id",
        &id,
        "--event",
        "OUT",
        "--sn",
        "10..400",
        "--host",
        "10.99.0.0/16",
    ];
    keeps("multi", &args, |m, r| {
        m.id() == id.as_bytes() && r.event() == 2 && (10..=400).contains(&r.sn())
    });
}

#[test]
fn times_in_every_spelling() {
    let stream = genuine("multi");
    let time = |m: Msg<'_>, r: Rec<'_>| m.boot_us() + r.uptime_us();
    let first = messages(&stream)[0];
    let start = time(first, first.records()[0]);
    let mut times: Vec<i64> = Vec::new();
    for message in messages(&stream) {
        times.extend(message.records().iter().map(|r| time(message, *r)));
    }
    times.sort();
    // Both ends are included.
    let (low, high) = (times[times.len() / 4], times[times.len() / 2]);
    let unix = |t: i64| format!("{}.{:06}", t / 1_000_000, t % 1_000_000);
    let within = |m: Msg<'_>, r: Rec<'_>| (low..=high).contains(&time(m, r));
    keeps(
        "multi",
        &["--since", &unix(low), "--until", &unix(high)],
        within,
    );
    keeps("multi", &["--since", &unix(low)], |m, r| time(m, r) >= low);
    keeps("multi", &["--until", &unix(high)], |m, r| {
        time(m, r) <= high
    });

    let plus = |t: i64| {
        format!(
            "+{}.{:06}",
            (t - start) / 1_000_000,
            (t - start) % 1_000_000
        )
    };
    if low >= start {
        keeps(
            "multi",
            &["--since", &plus(low), "--until", &plus(high)],
            within,
        );
    }
    keeps("multi", &["--since", "+0.2", "--until", "+0.5"], |m, r| {
        (200_000..=500_000).contains(&(time(m, r) - start))
    });
    let rfc = |t: i64| {
        let days = t.div_euclid(86_400_000_000);
        let of_day = t.rem_euclid(86_400_000_000);
        let (year, month, day) = civil(days);
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
            of_day / 3_600_000_000,
            of_day / 60_000_000 % 60,
            of_day / 1_000_000 % 60,
            of_day % 1_000_000
        )
    };
    keeps(
        "multi",
        &["--since", &rfc(low), "--until", &rfc(high)],
        within,
    );
}

/// Year, month and day of a number of days since 1970, by counting.
fn civil(mut days: i64) -> (i64, usize, i64) {
    let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let mut year = 1970;
    while days >= 365 + i64::from(leap(year)) {
        days -= 365 + i64::from(leap(year));
        year += 1;
    }
    let lengths = [
        31,
        28 + i64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    for (month, length) in lengths.iter().enumerate() {
        if days < *length {
            return (year, month + 1, days + 1);
        }
        days -= length;
    }
    unreachable!()
}

#[test]
fn nothing_that_matches_is_status_1() {
    let stream = genuine("multi");
    for args in [
        &["--id", "no such id"][..],
        &["--event", "199"],
        &["--sn", "4000000000..4000000001"],
        &["--host", "192.0.2.77"],
        &["--since", "2090-01-01T00:00:00Z"],
    ] {
        let (ran, got) = filter(&stream, args);
        let ran = ran.ended(1);
        assert_eq!(ran.said().len(), 1, "{args:?}: {}", ran.stderr);
        assert!(got.is_empty(), "{args:?}");
        let (ran, got) = convert(&stream, args);
        ran.ended(1);
        assert!(got.is_empty(), "{args:?}");
    }
}

#[test]
fn a_selection_that_cannot_be_understood_is_status_2() {
    let stream = genuine("base-v6");
    for args in [
        ["--event", "NO_SUCH_EVENT"],
        ["--sn", "9..3"],
        ["--sn", "x"],
        ["--host", "10.0.0.0/99"],
        ["--host", "host"],
        ["--port", "70000"],
        ["--since", "yesterday"],
        ["--until", "+-5"],
        ["--id", "[broken"],
    ] {
        let (ran, _) = filter(&stream, &args);
        let ran = ran.ended(2);
        assert!(ran.stderr.contains(args[1]), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn pcapng_stays_pcapng_and_its_blocks_stay_as_they_are() {
    for (name, args) in [
        ("multi", vec![]),
        ("multi", vec!["--event", "IN"]),
        ("multi", vec!["--sn", "100..300"]),
        ("switch", vec!["--stack", "2"]),
        ("kernel-ids", vec!["--host", "::1"]),
        ("base-v6", vec!["--event", "OUT", "--sn", "10.."]),
    ] {
        let stream = genuine(name);
        let (ran, pcapng) = convert(&stream, &[]);
        ran.fine();
        let (ran, got) = filter(&pcapng, &args);
        ran.fine();
        if args.is_empty() {
            assert_same(name, &got, &pcapng);
            continue;
        }
        // Every block is one of the file's, in the file's order.
        let from = blocks(&pcapng);
        let mut next = 0;
        for block in blocks(&got) {
            let found = from[next..]
                .iter()
                .position(|other| other.bytes == block.bytes);
            next += found.unwrap_or_else(|| panic!("{name} {args:?}: not a block of the file")) + 1;
        }
        // Its records are those of the filtered stream.
        let (ran, wanted) = filter(&stream, &args);
        ran.fine();
        let (ran, back) = convert(&got, &["--format", "stream"]);
        ran.fine();
        let records = |stream: &[u8]| {
            let mut all = Vec::new();
            for message in messages(stream) {
                for record in message.records() {
                    all.push((message.header()[16..].to_vec(), record.0.to_vec()));
                }
            }
            all
        };
        assert!(
            records(&back) == records(&without_stale(&wanted)),
            "{name} {args:?}"
        );
        // No section without records.
        let kinds: Vec<bool> = blocks(&got).iter().map(|b| b.kind == SECTION).collect();
        assert!(kinds.first() == Some(&true) && kinds.last() == Some(&false));
        assert!(
            kinds.windows(2).all(|w| w != [true, true]),
            "{name} {args:?}"
        );
    }
}

#[test]
fn tcplog_dumpers_files_are_filtered_as_they_are() {
    let (files, _) = support::expected("multi");
    for (name, bytes) in files.iter().take(4) {
        let (ran, got) = filter(bytes, &[]);
        ran.fine();
        assert_same(name, &got, bytes);
        let (ran, got) = filter(bytes, &["--event", "IN"]);
        ran.fine();
        let wanted: Vec<u8> = blocks(bytes)
            .iter()
            .filter(|block| !block.is_record_other_than(1))
            .flat_map(|block| block.bytes.iter().copied())
            .collect();
        assert_same(name, &got, &wanted);
    }
}

trait OtherThan {
    /// A record of another event.
    fn is_record_other_than(&self, event: u8) -> bool;
}

impl OtherThan for support::stream::Block<'_> {
    fn is_record_other_than(&self, event: u8) -> bool {
        self.is_record() && self.info()[25] != event
    }
}

#[test]
fn several_inputs_make_one_output() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["multi", "base-v6", "switch"];
    let streams = names.map(genuine);
    let inputs: Vec<_> = names
        .iter()
        .zip(&streams)
        .map(|(name, bytes)| put(dir.path(), name, bytes))
        .collect();
    let output = dir.path().join("out");
    let mut args = vec!["filter"];
    args.extend(inputs.iter().map(|path| path.to_str().unwrap()));
    args.extend(["--event", "OUT", "-o", output.to_str().unwrap()]);
    tcplog(args).fine();
    let wanted: Vec<u8> = streams
        .iter()
        .flat_map(|stream| only(stream, |_, r| r.event() == 2))
        .collect();
    assert_same("three inputs", &std::fs::read(output).unwrap(), &wanted);
}

#[test]
fn standard_input_and_output() {
    let stream = genuine("multi");
    let args = ["filter", "-", "--event", "OUT", "-o", "-"];
    let ran = support::tcplog_with_input(args, Some(&stream)).fine();
    assert_same("stdout", &ran.stdout, &only(&stream, |_, r| r.event() == 2));
}

#[test]
fn bare_buffers_stay_bare() {
    for name in ["a-full", "a-verbose", "c-mixed"] {
        let bytes = support::stored(&format!("logbuf/{name}.bin.zst"));
        let (ran, got) = filter(&bytes, &[]);
        ran.fine();
        assert_same(name, &got, &bytes);
        let (ran, got) = filter(&bytes, &["--event", "OUT"]);
        ran.fine();
        let mut rest = &bytes[..];
        let mut wanted = Vec::new();
        while !rest.is_empty() {
            let (record, behind) = rest.split_at(support::stream::record_len(rest));
            if Rec(record).event() == 2 {
                wanted.extend_from_slice(record);
            }
            rest = behind;
        }
        assert!(!wanted.is_empty());
        assert_same(name, &got, &wanted);
    }
}
