//! The zero-copy sniffer's log: the published one, logs that are printed here
//! as its program printed, and what damage costs.

mod support;

use proptest::prelude::*;
use std::io::Read;
use std::net::Ipv4Addr;
use support::testdata;
use support::wireshark::rows;
use tcplog::select::{Criteria, Select};
use tcplog::zcs::{
    Asked, Checks, Damage, Entry, Form, Found, FrameSink, InfoForm, InfoSink, Ipv4, Item, Log,
    NODE_SIZE, PortOrder, ShowSink, Sink, read, recognises,
};

const AB: [u8; 6] = [0xab; 6];
const A: [u8; 6] = [0x00, 0x11, 0x09, 0x61, 0xeb, 0x0e];
const B: [u8; 6] = [0x00, 0x10, 0x22, 0xfd, 0xc4, 0xd6];
const TO_ALL: [u8; 6] = [0xff; 6];
const TO_GROUP: [u8; 6] = [0x01, 0x00, 0x5e, 0x00, 0x01, 0x14];

fn published() -> Vec<u8> {
    std::fs::read(testdata("zcs/2006-09-01.txt")).unwrap()
}

/// What a person reads in the published log, number by number.
fn published_entries() -> Vec<Entry> {
    let tcp = Some(([192, 168, 0, 48], 57758, [192, 168, 4, 78], 5632, 6));
    let all = Some(([192, 168, 4, 9], 43281, [255, 255, 255, 255], 43281, 17));
    let one = Some(([192, 168, 5, 231], 43281, [224, 0, 1, 20], 43281, 17));
    let two = Some(([192, 168, 5, 232], 43281, [224, 0, 1, 20], 43281, 17));
    let x = [0x02, 0x30, 0x9b, 0x0c, 0x89, 0xe8];
    let y = [0x02, 0x00, 0x63, 0x1f, 0x2d, 0x81];
    let z = [0x02, 0x3a, 0xd1, 0x7e, 0x6e, 0x65];
    [
        (
            12,
            447,
            0xc19b_0f80,
            0xc19b_0000,
            1956,
            200_576,
            0,
            AB,
            AB,
            None,
        ),
        (
            14,
            448,
            0xc19f_a880,
            0xc19f_8000,
            1828,
            501_888,
            0,
            A,
            B,
            tcp,
        ),
        (
            16,
            449,
            0xc1a0_1080,
            0xc1a0_0000,
            1828,
            528_512,
            0,
            A,
            B,
            tcp,
        ),
        (
            18,
            450,
            0xc19f_4800,
            0xc19f_4000,
            1828,
            477_184,
            0,
            A,
            B,
            tcp,
        ),
        (
            20,
            451,
            0xc1a0_1f80,
            0xc1a0_0000,
            1828,
            532_352,
            0,
            A,
            B,
            tcp,
        ),
        (
            22,
            318,
            0xc1b8_0780,
            0xc1b8_0000,
            1828,
            1920,
            1,
            x,
            TO_ALL,
            all,
        ),
        (
            24,
            330,
            0xc1b8_6580,
            0xc1b8_4000,
            1828,
            25_984,
            1,
            y,
            TO_GROUP,
            one,
        ),
        (
            26,
            331,
            0xc1b8_6d00,
            0xc1b8_4000,
            1828,
            27_904,
            1,
            z,
            TO_GROUP,
            two,
        ),
    ]
    .into_iter()
    .map(
        |(line, index, ptr, start, size, off, cpu, src_mac, dst_mac, ip)| Entry {
            line,
            index,
            batch_size: 1024,
            ptr,
            start,
            size,
            off,
            entry: 0,
            cpu,
            src_mac,
            dst_mac,
            ethertype: if ip.is_some() { 0x0800 } else { 0xabab },
            ipv4: ip.map(|(src, src_raw, dst, dst_raw, protocol)| Ipv4 {
                src: src.into(),
                dst: dst.into(),
                src_raw,
                dst_raw,
                protocol,
            }),
        },
    )
    .collect()
}

fn items(source: impl Read) -> Vec<Item> {
    let mut log = Log::new(source);
    std::iter::from_fn(|| log.next_item().unwrap()).collect()
}

/// Entries, and the lines and texts of damage.
fn parsed(bytes: &[u8]) -> (Vec<Entry>, Vec<(u64, String)>) {
    let (mut entries, mut damage) = (Vec::new(), Vec::new());
    for item in items(bytes) {
        match item {
            Item::Entry(entry) => entries.push(entry),
            Item::Damage(Damage { line, what }) => damage.push((line, what)),
        }
    }
    (entries, damage)
}

fn select(hosts: &[&str], ports: &[u16]) -> Select {
    let criteria = Criteria {
        host: hosts.iter().map(|host| host.to_string()).collect(),
        port: ports.to_vec(),
        ..Criteria::default()
    };
    criteria.select(&|_| Vec::new()).unwrap()
}

/// Reads `bytes` into a sink under the name `log`.
fn into(bytes: &[u8], asked: &Asked<'_>, sink: &mut dyn Sink) -> (Found, Vec<(u64, String)>) {
    let mut damage = Vec::new();
    let mut said = |line: u64, what: &str| damage.push((line, what.to_owned()));
    let found = read(bytes, "log", asked, sink, &mut said).unwrap();
    assert_eq!(found.damaged, damage.len() as u64);
    (found, damage)
}

fn shown(bytes: &[u8], form: Form, select: &Select) -> String {
    let mut sink = ShowSink::new(form, Vec::new());
    into(bytes, &Asked::new(select), &mut sink);
    String::from_utf8(sink.into_inner()).unwrap()
}

fn objects(bytes: &[u8], select: &Select) -> Vec<serde_json::Value> {
    let text = shown(bytes, Form::Json, select);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn the_published_log_is_read_exactly() {
    let (entries, damage) = parsed(&published());
    assert_eq!(entries, published_entries());
    assert_eq!(damage, []);
    for entry in &entries {
        assert!(Checks::of(entry, NODE_SIZE).hold(), "{entry:?}");
        assert_eq!(entry.is_freed(), entry.index == 447);
    }
}

/// A byte at a time, as a slow pipe gives it.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let len = self.0.len().min(buf.len()).min(1);
        buf[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        Ok(len)
    }
}

#[test]
fn how_the_bytes_arrive_does_not_matter() {
    // Far from the start, so that the window has moved on.
    let mut bytes = b"no entry, no end of line either ".repeat(8192);
    bytes.push(b'\n');
    bytes.extend(published());
    let mut expected = published_entries();
    for entry in &mut expected {
        entry.line += 1;
    }
    let expected: Vec<Item> = expected.into_iter().map(Item::Entry).collect();
    assert_eq!(items(&*bytes), expected);
    assert_eq!(items(Slow(&bytes)), expected);
}

#[test]
fn line_ends_may_be_of_any_kind() {
    let text = String::from_utf8(published()).unwrap();
    let (entries, damage) = parsed(text.replace('\n', "\r\n").as_bytes());
    assert_eq!((entries, damage), (published_entries(), vec![]));
    let (entries, damage) = parsed(text.replace('\n', " ").as_bytes());
    assert_eq!(damage, []);
    let mut expected = published_entries();
    for entry in &mut expected {
        entry.line = 1;
    }
    assert_eq!(entries, expected);
}

#[test]
fn a_log_is_recognised_by_an_entry_and_not_by_prose() {
    assert!(recognises(&published()));
    assert!(recognises(b"> dump    0.   7: ptr: 0xc0"));
    for other in [
        "".as_bytes(),
        b"a dump of 4.5: ptr: none",
        b"dump 4.5: start: 0xc19f8000",
        b"coredump 4.5: ptr: 0xc19f8000",
        b"dump 447.1024",
        b"tcpdump: listening on em0",
    ] {
        assert!(!recognises(other), "{}", String::from_utf8_lossy(other));
    }
}

#[test]
fn each_malformed_line_costs_its_entry() {
    let text = String::from_utf8(published()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // The line (from 1) that is replaced, its replacement, the entries that
    // are lost (from 0), and the line and the beginning of what is said.
    let cases: [(usize, &str, &[usize], u64, &str); 14] = [
        (
            14,
            "dump  44x.1024: ptr: 0xc19fa880, start: 0xc19f8000, size: 1828, off: 501888: entry: 0, cpu: 0: ",
            &[1],
            14,
            "an entry is malformed: there is \"x.1024: ptr: 0xc19fa880,\" where \".\" should be",
        ),
        (
            14,
            "dump  448.1024: ptr: 0xc19fg880, start: 0xc19f8000, size: 1828, off: 501888: entry: 0, cpu: 0: ",
            &[1],
            14,
            "entry 448.1024 is malformed: there is \"g880, start: 0xc19f8000,\" where \",\"",
        ),
        (
            14,
            "dump  448.1024: ptr: 0xc19fa880c19fa880f, start: 0xc19f8000, size: 1828, off: 501888: entry: 0, cpu: 0: ",
            &[1],
            14,
            "entry 448.1024 is malformed: there is \"f, start:",
        ),
        (
            14,
            "dump  448.1024: ptr: 0xc19fa880, start: 0xc19f8000, size: 99999999999, off: 501888: entry: 0, cpu: 0: ",
            &[1],
            14,
            "entry 448.1024 is malformed: there is \", off: 501888: entry: 0,\" where the allocation size",
        ),
        (
            14,
            "dump  448.1024: ptr: 0xc19fa88",
            &[1],
            15,
            "entry 448.1024 of line 14 is malformed: there is \":11:09:61:eb:0e -> 00:10\" where \",\"",
        ),
        (
            14,
            "dump  448.1024: ptr: 0xc19fa880, start: 0xc19f8000, size: 1828, off: 501888: entry: 0, cpu: ",
            &[1],
            15,
            "entry 448.1024 of line 14 is malformed: there is \" -> 00:10:22:fd:c4:d6, t\" where \":\"",
        ),
        (14, "", &[1], 15, "addresses without the \"dump\" line"),
        (
            15,
            "",
            &[1],
            16,
            "entry 448.1024 of line 14 is malformed: there is \"dump  449.1024: ptr: 0xc\" where a MAC address",
        ),
        (
            15,
            "\t00:11:09:61:eb:0e -> 00:10:22:fd:c4, type: 0800, 192.168.0.48:57758 -> 192.168.4.78:5632, proto: 6, ",
            &[1],
            15,
            "entry 448.1024 of line 14 is malformed: there is \", type: 0800, 192.168.0.\" where \":\"",
        ),
        (
            15,
            "\t00:11:09:61:eb:0e -> 00:10:22:fd:c4:d6, type: 0800, 192.168.0.480:57758 -> 192.168.4.78:5632, proto: 6, ",
            &[1],
            15,
            "entry 448.1024 of line 14 is malformed: there is \":57758 -> 192.168.4.78:5\" where an IPv4 address",
        ),
        (
            15,
            "\t00:11:09:61:eb:0e -> 00:10:22:fd:c4:d6, type: 0800, 192.168.0.48:67758 -> 192.168.4.78:5632, proto: 6, ",
            &[1],
            15,
            "entry 448.1024 of line 14 is malformed: there is \" -> 192.168.4.78:5632, p\" where the source port",
        ),
        (
            15,
            "\t00:11:09:61:eb:0e -> 00:10:22:fd:c4:d6, type: 0800, 192.168.0.48:57758 -> 192.168.4.78:5632, proto: 256, ",
            &[1],
            15,
            "entry 448.1024 of line 14 is malformed: there is \", \" where the protocol",
        ),
        (
            15,
            "\t00:11:09:61:eb:0e -> 00:10:22:fd:c4:d6, type: 0800, ",
            &[1],
            16,
            "entry 448.1024 of line 14 is malformed: there is \"dump",
        ),
        (
            27,
            "\t1: 02:3a:d1:7e:\u{1b}[2J",
            &[7],
            27,
            "entry 331.1024 of line 26 is malformed: there is \"\\x1b[2J\" where a MAC address",
        ),
    ];
    for (number, with, lost, line, what) in cases {
        let mut lines = lines.clone();
        lines[number - 1] = with;
        let (entries, damage) = parsed(lines.join("\n").as_bytes());
        let expected: Vec<Entry> = published_entries()
            .into_iter()
            .enumerate()
            .filter_map(|(at, entry)| (!lost.contains(&at)).then_some(entry))
            .collect();
        assert_eq!(entries, expected, "{with:?}");
        assert_eq!(damage.len(), 1, "{with:?}: {damage:?}");
        assert_eq!(damage[0].0, line, "{damage:?}");
        assert!(damage[0].1.starts_with(what), "{}", damage[0].1);
    }
}

#[test]
fn a_log_that_is_cut_loses_the_cut_entry() {
    let bytes = published();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let begins: Vec<usize> = text.match_indices("dump ").map(|(at, _)| at).collect();
    for len in 0..bytes.len() {
        let (entries, damage) = parsed(&bytes[..len]);
        let whole = published_entries();
        assert!(entries.len() <= 8 && damage.len() <= 1, "{len}");
        assert_eq!(entries, whole[..entries.len()], "{len}");
        // Whoever was begun is there or is reported.
        let begun = begins.iter().filter(|at| **at + 17 <= len).count();
        let accounted = entries.len() + damage.len();
        assert!(accounted >= begun, "{len}: {entries:?} {damage:?}");
    }
}

#[test]
fn prose_is_no_damage() {
    let prose = "core dumped\ndump 5 pages, dump 1.5 GB\na dump\ndump\n00:11:09:61:eb:0e only\n\
                 dump dump dump  1.2 x\ntcpdump  447.1024: ptr: 0xc19b0f80\n";
    assert_eq!(parsed(prose.as_bytes()), (vec![], vec![]));
    let mut around = prose.as_bytes().to_vec();
    around.extend(published());
    around.extend(prose.as_bytes());
    let (entries, damage) = parsed(&around);
    assert_eq!((entries.len(), damage), (8, vec![]));
}

#[test]
fn checks_tell_which_number_is_wrong() {
    let entry = published_entries()[1];
    let failed = |change: &dyn Fn(&mut Entry)| {
        let mut entry = entry;
        change(&mut entry);
        let c = Checks::of(&entry, NODE_SIZE);
        assert_eq!(c.hold(), c.failed().count() == 0);
        [c.off, c.start, c.inside, c.index]
    };
    assert_eq!(failed(&|_| {}), [true; 4]);
    assert_eq!(failed(&|e| e.off += 16384), [true; 4]);
    assert_eq!(failed(&|e| e.off += 128), [false, true, true, true]);
    assert_eq!(failed(&|e| e.ptr += 16384), [true, true, false, true]);
    assert_eq!(failed(&|e| e.size = 6017), [true, true, false, true]);
    assert_eq!(failed(&|e| e.size = 6016), [true; 4]);
    assert_eq!(failed(&|e| e.start += 4096), [false, false, true, true]);
    assert_eq!(
        failed(&|e| e.start = 0xc1a0_0000),
        [false, true, false, true]
    );
    assert_eq!(failed(&|e| e.index = 1024), [true, true, true, false]);
    assert_eq!(failed(&|e| e.ptr = u64::MAX), [false, true, false, true]);
}

#[test]
fn the_byte_order_of_ports_is_told_by_known_ones() {
    let everything = Select::default();
    let ports = |bytes: &[u8], asked: &Asked<'_>| {
        let mut sink = ShowSink::new(Form::Json, Vec::new());
        into(bytes, asked, &mut sink);
        let text = String::from_utf8(sink.into_inner()).unwrap();
        let objects = text.lines().map(serde_json::from_str);
        objects
            .map(|object: Result<serde_json::Value, _>| object.unwrap())
            .filter(|object| object["freed"] == false)
            .map(|object| (object["src_port"].clone(), object["dst_port"].clone()))
            .collect::<Vec<_>>()
    };
    let swapped = [
        (40673, 22),
        (40673, 22),
        (40673, 22),
        (40673, 22),
        (4521, 4521),
        (4521, 4521),
        (4521, 4521),
    ];
    let swapped = swapped.map(|(src, dst)| (src.into(), dst.into()));
    assert_eq!(ports(&published(), &Asked::new(&everything)), swapped);
    // As another kernel would have printed them.
    let text = String::from_utf8(published()).unwrap();
    let right = text
        .replace(":57758", ":40673")
        .replace(":5632", ":22")
        .replace(":43281", ":4521");
    assert_eq!(ports(right.as_bytes(), &Asked::new(&everything)), swapped);
    let given = |order| Asked {
        ports: Some(order),
        ..Asked::new(&everything)
    };
    assert_eq!(ports(&published(), &given(PortOrder::Swapped)), swapped);
    assert_eq!(ports(right.as_bytes(), &given(PortOrder::Printed)), swapped);
    assert_eq!(
        ports(&published(), &given(PortOrder::Printed))[0],
        (57758.into(), 5632.into())
    );
    // Nothing tells: the published log's order.
    let untold = text.replace(":5632", ":57758");
    assert_eq!(
        ports(untold.as_bytes(), &Asked::new(&everything))[0],
        (40673.into(), 40673.into())
    );
}

#[test]
fn hosts_and_ports_select() {
    let bytes = published();
    let indexes = |select: &Select| {
        objects(&bytes, select)
            .iter()
            .map(|object| object["index"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        indexes(&select(&["192.168.4.78"], &[])),
        [448, 449, 450, 451]
    );
    assert_eq!(indexes(&select(&["224.0.0.0/4"], &[])), [330, 331]);
    assert_eq!(indexes(&select(&[], &[4521])), [318, 330, 331]);
    assert_eq!(indexes(&select(&[], &[5632, 57758])), [0; 0]);
    assert_eq!(indexes(&select(&["192.168.5.232"], &[22])), [0; 0]);
    assert_eq!(indexes(&Select::default()).len(), 8);
    let criteria = Criteria {
        sn: vec!["448".to_owned()],
        ..Criteria::default()
    };
    assert_eq!(indexes(&criteria.select(&|_| vec![]).unwrap()), [0; 0]);
    let mut sink = ShowSink::new(Form::Text, Vec::new());
    let hosts = select(&["10.0.0.0/8"], &[]);
    let (found, _) = into(&bytes, &Asked::new(&hosts), &mut sink);
    assert_eq!((found.any(), found.entries), (false, 8));
}

#[test]
fn shown_as_json() {
    let objects = objects(&published(), &Select::default());
    let expected = serde_json::json!({
        "schema": 1, "kind": "zcs", "source": "log", "line": 26, "cpu": 1, "index": 331,
        "batch_size": 1024, "ptr": "0xc1b86d00", "start": "0xc1b84000", "size": 1828, "off": 27904,
        "entry": 0, "freed": false, "src_mac": "02:3a:d1:7e:6e:65",
        "dst_mac": "01:00:5e:00:01:14", "ethertype": 2048, "src_addr": "192.168.5.232",
        "src_port": 4521, "dst_addr": "224.0.1.20", "dst_port": 4521, "protocol": 17,
        "protocol_name": "udp", "port_order": "swapped",
        "checks": {"off": true, "start": true, "inside": true, "index": true},
        "time": null, "length": null,
    });
    assert_eq!(objects[7], expected);
    let freed = serde_json::json!({
        "schema": 1, "kind": "zcs", "source": "log", "line": 12, "cpu": 0, "index": 447,
        "batch_size": 1024, "ptr": "0xc19b0f80", "start": "0xc19b0000", "size": 1956,
        "off": 200_576, "entry": 0, "freed": true, "src_mac": "ab:ab:ab:ab:ab:ab",
        "dst_mac": "ab:ab:ab:ab:ab:ab", "ethertype": 0xabab,
        "checks": {"off": true, "start": true, "inside": true, "index": true},
        "time": null, "length": null,
    });
    assert_eq!(objects[0], freed);
}

#[test]
fn shown_as_csv_with_one_head_for_all_logs() {
    let everything = Select::default();
    let mut sink = ShowSink::new(Form::Csv, Vec::new());
    for name in ["one", "two, \"quoted\"\u{1b}"] {
        let asked = Asked::new(&everything);
        read(&*published(), name, &asked, &mut sink, &mut |_, _| {}).unwrap();
    }
    let bytes = sink.into_inner();
    let mut reader = csv::Reader::from_reader(&*bytes);
    let head = reader.headers().unwrap().clone();
    let column = |name: &str| head.iter().position(|column| column == name).unwrap();
    let lines: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(lines.len(), 16);
    let objects = objects(&published(), &everything);
    for (at, line) in lines.iter().enumerate() {
        let object = &objects[at % 8];
        let source = ["one", "two, \"quoted\"\\x1b"][at / 8];
        assert_eq!(&line[column("source")], source);
        assert_eq!(&line[column("time")], "unknown");
        assert_eq!(&line[column("length")], "unknown");
        // All else as in JSON.
        for (name, value) in head.iter().zip(line) {
            let json = match name.strip_prefix("checks_") {
                Some(check) => &object["checks"][check],
                None => &object[name],
            };
            match (name, json) {
                ("source" | "time" | "length", _) => {}
                (_, serde_json::Value::Null) => assert_eq!(value, "", "{name}"),
                (_, serde_json::Value::String(text)) => assert_eq!(value, text, "{name}"),
                (_, json) => assert_eq!(value, json.to_string(), "{name}"),
            }
        }
    }
}

#[test]
fn shown_as_text() {
    let text = shown(&published(), Form::Text, &Select::default());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 9);
    assert_eq!(
        lines[0],
        "log: zero-copy sniffer log; times and packet lengths unknown; ports byte-swapped, as a \
         little-endian host printed them"
    );
    assert_eq!(
        lines[1],
        "  0   447/1024  freed (0xab), no packet; ptr 0xc19b0f80, start 0xc19b0000, size 1956 (of \
         the allocation), off 200576, entry 0"
    );
    assert_eq!(
        lines[2],
        "  0   448/1024  192.168.0.48:40673 -> 192.168.4.78:22 tcp, 00:11:09:61:eb:0e -> \
         00:10:22:fd:c4:d6; ptr 0xc19fa880, start 0xc19f8000, size 1828 (of the allocation), off \
         501888, entry 0"
    );
    let wrong = String::from_utf8(published()).unwrap();
    let wrong = wrong.replace("off: 501888", "off: 501889");
    let text = shown(wrong.as_bytes(), Form::Text, &Select::default());
    let marked: Vec<&str> = text.lines().filter(|line| line.contains("BUT")).collect();
    assert_eq!(marked.len(), 1);
    assert!(marked[0].ends_with("entry 0; BUT off does not agree with ptr and start"));
}

/// Entries that the published log has no example of.
const OTHERS: &str = "\
dump    3.   8: ptr: 0xc0000080, start: 0xc0000000, size: 100, off: 128: entry: 2, cpu: 1: 
\t00:11:09:61:eb:0e -> 00:10:22:fd:c4:d6, type: 0806, 
dump    4.   8: ptr: 0xc0000100, start: 0xc0000000, size: 100, off: 256: entry: 2, cpu: 1: 
\t00:11:09:61:eb:0e -> 00:10:22:fd:c4:d6, type: 0800, 10.0.0.1:8 -> 10.0.0.2:23117, proto: 1, 
dump    3.   8: ptr: 0xc0000180, start: 0xc0000000, size: 100, off: 384: entry: 2, cpu: 1: 
\t00:11:09:61:eb:0e -> 01:00:5e:00:00:05, type: 0800, 10.0.0.1:258 -> 224.0.0.5:11264, proto: 89, 
dump    5.   5: ptr: 0xc0000200, start: 0xc0000000, size: 100, off: 512: entry: 2, cpu: -1: 
\tab:ab:ab:ab:ab:ab -> 00:10:22:fd:c4:d6, type: 0800, 1.2.3.4:1 -> 5.6.7.8:2, proto: 6, 
dump    0.   8: ptr: 0xc0000280, start: 0xc0000000, size: 100, off: 641: entry: 2, cpu: 1: 
\t00:11:09:61:eb:0e -> 01:80:c2:00:00:00, type: 0069, 
dump    1.   8: ptr: 0xffff8100c0000300, start: 0xffff8100c0000000, size: 100, off: 768: entry: 2, cpu: 1: 
\t00:11:09:61:eb:0e -> 01:00:5e:00:00:fb, type: 0800, 10.0.0.1:59668 -> 224.0.0.251:59668, proto: 17
";

#[test]
fn what_is_not_tcp_or_udp_has_no_ports() {
    let objects = objects(OTHERS.as_bytes(), &Select::default());
    assert_eq!(objects.len(), 6);
    let icmp = &objects[1];
    // An echo request: type 8, code 0, checksum 0x4d5a.
    assert_eq!(icmp["first_bytes"], "08004d5a");
    assert_eq!(icmp["protocol_name"], "icmp");
    assert!(icmp.get("src_port").is_none() && icmp.get("port_order").is_none());
    assert_eq!(objects[2]["first_bytes"], "0201002c");
    assert!(objects[2].get("protocol_name").is_none());
    assert!(objects[0].get("src_addr").is_none());
    // Half of the header is poison.
    assert_eq!(objects[3]["freed"], true);
    assert!(objects[3].get("src_addr").is_none());
    assert_eq!(objects[3]["checks"]["index"], false);
    assert_eq!(objects[3]["cpu"], -1);
    assert_eq!(objects[4]["checks"]["off"], false);
    assert_eq!(objects[5]["ptr"], "0xffff8100c0000300");
    assert_eq!(objects[5]["src_port"], 5353);
    let none = select(&[], &[8, 2048]);
    assert_eq!(shown(OTHERS.as_bytes(), Form::Json, &none), "");
}

fn info(bytes: &[u8], form: InfoForm, select: &Select) -> String {
    let mut sink = InfoSink::new(form, Vec::new());
    into(bytes, &Asked::new(select), &mut sink);
    String::from_utf8(sink.into_inner()).unwrap()
}

#[test]
fn summed_up_as_text() {
    let expected = "\
log: zero-copy sniffer log; times and packet lengths unknown; ports byte-swapped, as a little-endian host printed them
8 entries (7 with a packet, 1 freed, 12.5 %)
ptr, start, size, off and index agree in all of them
allocated bytes: 1828 (7), 1956 (1)

 cpu    entries    packets      freed             batches
   0          5          4          1   20.0 %          1
   1          3          3          0    0.0 %          1

  packets  flow
        4  192.168.0.48:40673 -> 192.168.4.78:22 tcp
        1  192.168.4.9:4521 -> 255.255.255.255:4521 udp
        1  192.168.5.231:4521 -> 224.0.1.20:4521 udp
        1  192.168.5.232:4521 -> 224.0.1.20:4521 udp
";
    let text = info(&published(), InfoForm::Text, &Select::default());
    assert_eq!(text, expected);
    let text = info(b"", InfoForm::Text, &Select::default());
    assert!(
        text.contains("\n0 entries (0 with a packet, 0 freed)\n"),
        "{text}"
    );
}

#[test]
fn summed_up_as_json() {
    let mut bytes = OTHERS.as_bytes().to_vec();
    bytes.extend_from_slice(b"dump 1.2: ptr: 0xz");
    let text = info(&bytes, InfoForm::Json, &Select::default());
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = serde_json::json!({
        "schema": 1, "kind": "zcs_summary", "source": "log", "entries": 6, "packets": 5,
        "freed": 1, "freed_share": 0.1667, "damaged": 1, "port_order": "swapped",
        "failed_checks": {"off": 1, "start": 0, "inside": 0, "index": 1, "any": 2},
        "cpus": [
            {"cpu": -1, "entries": 1, "packets": 0, "freed": 1, "freed_share": 1.0, "batches": 1},
            {"cpu": 1, "entries": 5, "packets": 5, "freed": 0, "freed_share": 0.0, "batches": 3},
        ],
        "flows": [
            {"src_addr": "10.0.0.1", "dst_addr": "10.0.0.2", "protocol": 1,
             "protocol_name": "icmp", "packets": 1},
            {"src_addr": "10.0.0.1", "dst_addr": "224.0.0.5", "protocol": 89, "packets": 1},
            {"src_addr": "10.0.0.1", "src_port": 5353, "dst_addr": "224.0.0.251",
             "dst_port": 5353, "protocol": 17, "protocol_name": "udp", "packets": 1},
        ],
        "types": [{"ethertype": 0x0069, "packets": 1}, {"ethertype": 0x0806, "packets": 1}],
        "sizes": [{"size": 100, "entries": 6}],
        "unlisted": {"cpus": 0, "flows": 0, "types": 0, "sizes": 0},
        "time": null, "length": null,
    });
    assert_eq!(value, expected);
    let hosts = select(&["192.168.4.78"], &[]);
    let text = info(&published(), InfoForm::Json, &hosts);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&value["entries"], &value["freed"]), (&4.into(), &0.into()));
}

fn frames(bytes: &[u8], comments: bool) -> (Found, Vec<u8>) {
    let everything = Select::default();
    let mut sink = FrameSink::new(comments, Vec::new());
    let (found, _) = into(bytes, &Asked::new(&everything), &mut sink);
    (found, sink.into_inner())
}

/// What tshark says of packets; none of it may be a complaint.
const JUDGED: [&str; 16] = [
    "eth.src",
    "eth.dst",
    "eth.type",
    "ip.src",
    "ip.dst",
    "ip.proto",
    "ip.checksum.status",
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "frame.cap_len",
    "frame.len",
    "frame.time_epoch",
    "frame.comment",
    "_ws.expert.severity",
];

/// Severity of the expert information that a comment is.
const COMMENT: &str = "1048576";

#[test]
fn tshark_reads_the_frames() {
    let (found, bytes) = frames(&published(), true);
    assert_eq!((found.wanted, found.frames), (8, 7));
    let dir = tempfile::tempdir().unwrap();
    let file = support::put(dir.path(), "frames.pcapng", &bytes);
    let rows = rows(&file, &JUDGED, &["-o", "ip.check_checksum:TRUE"]);
    let wanted = published_entries();
    let wanted: Vec<&Entry> = wanted.iter().skip(1).collect();
    assert_eq!(rows.len(), wanted.len());
    let mac = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
    for (row, entry) in rows.iter().zip(wanted) {
        let ip = entry.ipv4.unwrap();
        assert_eq!(row.get("eth.src"), mac(entry.src_mac));
        assert_eq!(row.get("eth.dst"), mac(entry.dst_mac));
        assert_eq!(row.get("eth.type"), "0x0800");
        assert_eq!(row.get("ip.src"), ip.src.to_string());
        assert_eq!(row.get("ip.dst"), ip.dst.to_string());
        assert_eq!(row.get("ip.proto"), ip.protocol.to_string());
        assert_eq!(row.get("ip.checksum.status"), "1");
        let ports = match ip.protocol {
            6 => ["40673", "22", "", ""],
            _ => ["", "", "4521", "4521"],
        };
        let got = ["tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport"];
        assert_eq!(got.map(|field| row.get(field)), ports);
        assert_eq!(
            (row.get("frame.cap_len"), row.get("frame.len")),
            ("38", "60")
        );
        assert_eq!(row.get("frame.time_epoch"), "0.000000000");
        assert_eq!(row.get("_ws.expert.severity"), COMMENT);
        for said in [
            format!(
                "ptr {:#x}, start {:#x}, size {}",
                entry.ptr, entry.start, entry.size
            ),
            format!("off {}, entry {}", entry.off, entry.entry),
            format!("dump {}.1024, cpu {}", entry.index, entry.cpu),
            "reconstructed".to_owned(),
            "time unknown; length unknown".to_owned(),
        ] {
            let comment = row.get("frame.comment");
            assert!(comment.contains(&said), "{said:?} in {comment:?}");
        }
    }
}

#[test]
fn tshark_takes_frames_of_other_kinds() {
    let (found, bytes) = frames(OTHERS.as_bytes(), true);
    assert_eq!(found.frames, 5);
    // tshark does not begin with ICMP until it has more than these four bytes.
    let echo = [10, 0, 0, 1, 10, 0, 0, 2, 8, 0, 0x4d, 0x5a, 0, 0];
    assert!(bytes.windows(echo.len()).any(|window| window == echo));
    let dir = tempfile::tempdir().unwrap();
    let file = support::put(dir.path(), "frames.pcapng", &bytes);
    let fields = [
        "frame.protocols",
        "frame.cap_len",
        "frame.len",
        "ospf.version",
        "ospf.msg",
        "udp.dstport",
        "_ws.expert.severity",
    ];
    let rows = rows(&file, &fields, &[]);
    let got: Vec<Vec<&str>> = rows
        .iter()
        .map(|row| fields.iter().map(|field| row.get(field)).collect())
        .collect();
    assert_eq!(
        got,
        [
            ["eth:ethertype:arp", "14", "60", "", "", "", COMMENT],
            ["eth:ethertype:ip:icmp", "38", "60", "", "", "", COMMENT],
            ["eth:ethertype:ip:ospf", "38", "60", "2", "1", "", COMMENT],
            ["eth:llc", "14", "119", "", "", "", COMMENT],
            ["eth:ethertype:ip:udp", "38", "60", "", "", "5353", COMMENT],
        ]
    );
}

#[test]
fn comments_can_be_left_out() {
    let (_, bytes) = frames(&published(), false);
    let dir = tempfile::tempdir().unwrap();
    let file = support::put(dir.path(), "frames.pcapng", &bytes);
    for row in rows(&file, &["frame.comment", "ip.src"], &[]) {
        assert_eq!(row.get("frame.comment"), "");
        assert_ne!(row.get("ip.src"), "");
    }
}

/// As the program printed, with the blanks that it printed.
fn printed(entry: &Entry) -> String {
    let mac = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
    let mut text = format!(
        "dump {:4}.{:4}: ptr: {:#x}, start: {:#x}, size: {}, off: {}: entry: {}, cpu: {}: \n\t\
         {} -> {}, type: {:04x}, ",
        entry.index,
        entry.batch_size,
        entry.ptr,
        entry.start,
        entry.size,
        entry.off,
        entry.entry,
        entry.cpu,
        mac(entry.src_mac),
        mac(entry.dst_mac),
        entry.ethertype,
    );
    if let Some(ip) = entry.ipv4 {
        text += &format!(
            "{}:{} -> {}:{}, proto: {}, ",
            ip.src, ip.src_raw, ip.dst, ip.dst_raw, ip.protocol
        );
    }
    text + "\n"
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let place = any::<(u32, u32, u64, u64, u32, u32, u32, i32)>();
    let link = (any::<[u8; 6]>(), any::<[u8; 6]>());
    let ip = any::<([u8; 4], [u8; 4], u16, u16, u8)>();
    let ethertype = prop_oneof![Just(0x0800), Just(0xabab), any::<u16>()];
    (place, link, ip, ethertype).prop_map(|(place, link, ip, ethertype)| Entry {
        line: 0,
        index: place.0,
        batch_size: place.1,
        ptr: place.2,
        start: place.3,
        size: place.4,
        off: place.5,
        entry: place.6,
        cpu: place.7,
        src_mac: link.0,
        dst_mac: link.1,
        ethertype,
        ipv4: (ethertype == 0x0800).then(|| Ipv4 {
            src: Ipv4Addr::from(ip.0),
            dst: Ipv4Addr::from(ip.1),
            src_raw: ip.2,
            dst_raw: ip.3,
            protocol: ip.4,
        }),
    })
}

/// Lines of a text that is no log, some with its words.
fn any_prose() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[ -~]{0,60}".prop_filter("no entry", |line| !line.contains("dump")
            && !line.contains(" -> ")
            && !line.starts_with(',')
            && !line.starts_with(|c: char| c.is_ascii_digit())),
        Just("a dump of 1.5 GB, see core dump".to_owned()),
        Just("00:11:09:61:eb:0e, type: 0800, proto: 6, ".to_owned()),
    ]
}

fn without_lines(entries: &[Entry]) -> Vec<Entry> {
    entries.iter().map(|e| Entry { line: 0, ..*e }).collect()
}

proptest! {
    #[test]
    fn what_is_printed_is_read(
        parts in prop::collection::vec((any_entry(), any_prose()), 0..12)
    ) {
        let (mut text, mut expected) = (String::new(), Vec::new());
        for (entry, prose) in &parts {
            let line = 1 + text.matches('\n').count() as u64;
            expected.push(Entry { line, ..*entry });
            text += &printed(entry);
            text += prose;
            text.push('\n');
        }
        prop_assert_eq!(parsed(text.as_bytes()), (expected, vec![]));
        prop_assert_eq!(recognises(text.as_bytes()), !parts.is_empty());
    }

    #[test]
    fn lines_may_be_broken_anywhere(
        entries in prop::collection::vec(any_entry(), 1..6),
        width in 5usize..100,
        indent in prop_oneof![Just(""), Just("\t"), Just("    ")],
    ) {
        // As a terminal breaks them, and as a mail program indents the rest.
        let mut text = String::new();
        for entry in &entries {
            for line in printed(entry).lines() {
                let pieces: Vec<&str> = (0..line.len())
                    .step_by(width)
                    .map(|at| &line[at..line.len().min(at + width)])
                    .collect();
                text += &pieces.join(&format!("\n{indent}"));
                text.push('\n');
            }
        }
        let (read, damage) = parsed(text.as_bytes());
        prop_assert_eq!(damage, vec![]);
        prop_assert_eq!(without_lines(&read), entries);
    }

    #[test]
    fn a_garbled_entry_costs_itself(
        entries in prop::collection::vec(any_entry(), 3..6),
        at in any::<prop::sample::Index>(),
        garbage in "[#$%?~g-z]{1,6}",
    ) {
        // Something in the middle of one that no entry can hold.
        let mut texts: Vec<String> = entries.iter().map(printed).collect();
        let middle = &mut texts[1];
        let from = middle.find("ptr:").unwrap();
        let at = from + at.index(middle.trim_end().len() - 1 - from);
        middle.insert_str(at, &garbage);
        let (read, damage) = parsed(texts.concat().as_bytes());
        prop_assert_eq!(damage.len(), 1);
        let expected: Vec<Entry> = [&entries[..1], &entries[2..]].concat();
        prop_assert_eq!(without_lines(&read), expected);
        prop_assert!((3..=4).contains(&damage[0].0), "{:?}", damage);
        let named = format!("entry {}.{}", entries[1].index, entries[1].batch_size);
        prop_assert!(damage[0].1.starts_with(&named), "{:?}", damage);
    }

    #[test]
    fn any_text_is_read_to_its_end(
        parts in prop::collection::vec(
            prop_oneof![
                any::<Vec<u8>>(),
                any_entry().prop_map(|entry| printed(&entry).into_bytes()),
                (any_entry(), any::<prop::sample::Index>()).prop_map(|(entry, at)| {
                    let mut text = printed(&entry).into_bytes();
                    text.truncate(at.index(text.len()));
                    text
                }),
                Just(b"dump ".to_vec()),
                Just(b"\n\t".to_vec()),
                Just(b" ".repeat(300)),
                Just(b"\n".repeat(300)),
                Just(b"dump 1".to_vec()),
                Just(b"2.3: ptr: 0x1".to_vec()),
            ],
            0..12,
        )
    ) {
        let bytes = parts.concat();
        let whole = items(&*bytes);
        prop_assert_eq!(&items(Slow(&bytes)), &whole);
        for item in &whole {
            if let Item::Damage(Damage { what, .. }) = item {
                prop_assert!(what.bytes().all(|b| (b' '..=b'~').contains(&b)) || !what.is_ascii());
            }
        }
        // Each form takes what was found.
        for form in [Form::Text, Form::Json, Form::Csv] {
            shown(&bytes, form, &Select::default());
        }
        info(&bytes, InfoForm::Text, &Select::default());
        info(&bytes, InfoForm::Json, &Select::default());
        frames(&bytes, true);
    }
}
