//! The script that is shipped, and the lines it prints. Its own printf formats
//! make the lines here, so that script and reader cannot part.

use super::{converted, on, pick, show};
use serde_json::{Value, json};
use tcplog::sctp::Probes;
use tcplog::sctp::probes::SCRIPT;

/// The printf formats of the clause for `probe`, joined.
fn format_of(probe: &str) -> String {
    let clause = SCRIPT.split("\n}\n").find(|clause| {
        let heads = clause.split("\n{\n").next().unwrap();
        heads
            .lines()
            .any(|line| line.trim_end_matches(',') == probe)
    });
    let clause = clause.unwrap_or_else(|| panic!("no clause for {probe}"));
    let formats = clause.split("printf(\"").skip(1);
    let formats: String = formats
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    formats.strip_suffix("\\n").unwrap().to_owned()
}

/// Fills a format: each `KEY=%` from the values, each by its key. What is
/// missing is 0 or `<unknown>`.
fn line(format: &str, probe: &str, values: &[(&str, &str)]) -> String {
    let words = format.split(' ').map(|word| {
        let Some((key, conversion)) = word.split_once('=') else {
            assert_eq!(word, "%s:%s:%s:%s");
            return probe.to_owned();
        };
        let given = values.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
        match conversion {
            "%d" => format!("{key}={}", given.unwrap_or("0")),
            "0x%x" => format!("{key}=0x{}", given.unwrap_or("0")),
            "%s" => format!("{key}={}", given.unwrap_or("<unknown>")),
            other => panic!("{other}"),
        }
    });
    words.collect::<Vec<_>>().join(" ") + "\n"
}

const SECOND: u64 = 1_000_000_000;
const WALL: u64 = 1_787_307_309 * SECOND;

struct Log(String);

impl Log {
    fn add(&mut self, at_us: u64, clause: &str, probe: &str, values: &[(&str, &str)]) {
        // The wall clock stands still between ticks.
        let wall = (WALL + at_us / 1000 * 1_000_000).to_string();
        let mono = (77 * SECOND + at_us * 1000).to_string();
        let clocks = [
            ("wall", &*wall),
            ("mono", &*mono),
            ("cpu", "2"),
            ("pid", "99"),
        ];
        self.0 += &line(&format_of(clause), probe, &[&clocks[..], values].concat());
    }
}

const LOCAL: &str = "192.0.2.1";
const REMOTE: &str = "198.51.100.7";

/// An association from its beginning to its end.
fn log() -> Log {
    let mut log = Log("# tcplog-sctp 1\n# begin wall=1 mono=1\n".to_owned());
    // Port 36412 in network order, as a little-endian host reads it: 0x3c8e.
    let cwnd = [
        ("arg0", "a1b2c3d4"),
        ("arg1", "ffffffffac263c8e"),
        ("arg2", "fffff80003a1b000"),
    ];
    let with = |old, new| [&cwnd[..], &[("arg3", old), ("arg4", new)]].concat();
    let association = [
        ("cs_cid", "fffff80003a1c000"),
        ("sctps_num_raddrs", "2"),
        ("sctps_num_laddrs", "1"),
        ("sctps_lport", "9900"),
        ("sctps_rport", "36412"),
        ("sctps_laddr", LOCAL),
        ("sctps_raddr", REMOTE),
    ];
    let state = |old, new| {
        [
            &association[..],
            &[("old_state", old), ("sctps_state", new)],
        ]
        .concat()
    };
    let ip = |saddr, daddr, len| {
        [
            ("ip_ver", "4"),
            ("ip_saddr", saddr),
            ("ip_daddr", daddr),
            ("ip_plength", len),
        ]
    };
    let out = [("sctp_sport", "9900"), ("sctp_dport", "36412")];
    let back = [("sctp_sport", "36412"), ("sctp_dport", "9900")];
    log.add(
        0,
        "sctp:cwnd:net:",
        "sctp:cwnd:net:init",
        &with("0", "1158"),
    );
    log.add(
        150,
        "sctp:::state-change",
        "sctp:::state-change",
        &state("1", "2"),
    );
    let values = [&association[..], &ip(LOCAL, REMOTE, "100"), &out].concat();
    log.add(200, "sctp:::send", "sctp:::send", &values);
    let tag = [("sctp_verify", "a1b2c3d4"), ("sctp_checksum", "1234abcd")];
    let values = [&association[..], &ip(REMOTE, LOCAL, "400"), &back, &tag].concat();
    log.add(20_350, "sctp:::receive", "sctp:::receive", &values);
    log.add(
        20_400,
        "sctp:::state-change",
        "sctp:::state-change",
        &state("2", "4"),
    );
    let tag = [("sctp_verify", "55667788")];
    let values = [
        &association[..],
        &ip(LOCAL, REMOTE, "1500"),
        &out,
        &tag[..1],
    ]
    .concat();
    log.add(20_450, "sctp:::send", "sctp:::send", &values);
    log.add(
        41_000,
        "sctp:::state-change",
        "sctp:::state-change",
        &state("4", "8"),
    );
    log.add(
        41_500,
        "sctp:cwnd:net:",
        "sctp:cwnd:net:ack",
        &with("1158", "1550"),
    );
    log.add(
        50_000,
        "sctp:flightsize:assoc:val",
        "sctp:flightsize:assoc:val",
        &[cwnd[0], cwnd[1], ("arg2", "ffffffff"), ("arg3", "10")],
    );
    log.add(
        60_000,
        "sctp:::receive",
        "sctp:::receive",
        &[&ip("203.0.113.9", LOCAL, "16")[..], &back].concat(),
    );
    log.add(
        99_000,
        "sctp:::state-change",
        "sctp:::state-change",
        &state("8", "208"),
    );
    log
}

/// `log` with what the script says at its end.
fn ended(log: &Log, counts: &[(&str, u32)]) -> String {
    let fired = counts
        .iter()
        .map(|(probe, n)| format!("# fired {probe} {n}\n"));
    log.0.clone() + "# end wall=9 mono=9\n" + &fired.collect::<String>()
}

const COUNTS: [(&str, u32); 6] = [
    ("sctp:cwnd:net:init", 1),
    ("sctp:cwnd:net:ack", 1),
    ("sctp:::send", 2),
    ("sctp:::receive", 2),
    ("sctp:::state-change", 4),
    ("sctp:flightsize:assoc:val", 1),
];

#[test]
fn the_script_traces_every_probe() {
    for (id, _) in Probes::builtin().iter() {
        let name = Probes::builtin().full_name(id);
        let clause = if name.starts_with("sctp:cwnd:net:") {
            "sctp:cwnd:net:"
        } else {
            &name
        };
        assert!(format_of(clause).starts_with("wall=%d mono=%d cpu=%d pid=%d %s:%s:%s:%s "));
    }
}

#[test]
fn events_of_an_association_belong_together() {
    let (objects, ran) = show(ended(&log(), &COUNTS).as_bytes(), &["--show-pointers"]);
    ran.fine();
    let numbers: Vec<_> = objects.iter().map(|o| o["association"].as_u64()).collect();
    // The state comes before the packet that joins it to the window's tag.
    let wanted = [1, 2, 2, 1, 1, 1, 1, 1, 1].map(Some);
    assert_eq!(numbers[..9], wanted);
    assert_eq!(numbers[9..], [None, Some(1)]);
    let last = objects.last().unwrap();
    let keys = ["local_addr", "local_port", "remote_addr", "remote_port"];
    let ends = [json!(LOCAL), json!(9900), json!(REMOTE), json!(36412)];
    assert_eq!(pick(last, &keys), ends);
    assert_eq!(pick(&objects[7], &keys), ends);
    let keys = ["my_vtag", "net", "old_cwnd", "new_cwnd", "destination"];
    let wanted = [
        json!("0xa1b2c3d4"),
        json!("0xfffff80003a1b000"),
        json!(4440),
        json!(5456),
        json!(1),
    ];
    assert_eq!(pick(&objects[7], &keys), wanted);
    assert_eq!(
        pick(&objects[8], &["change", "new_value"]),
        [json!(-1), json!(16)]
    );
    let keys = [
        "ip_plength",
        "sctp_verify",
        "sctp_checksum",
        "direction",
        "cs_cid",
        "sctps_num_raddrs",
    ];
    let wanted = [
        json!(400),
        json!("0xa1b2c3d4"),
        json!("0x1234abcd"),
        json!("in"),
        json!("0xfffff80003a1c000"),
        json!(2),
    ];
    assert_eq!(pick(&objects[3], &keys), wanted);
}

#[test]
fn states_have_durations_and_times_are_exact() {
    let (objects, _) = show(
        ended(&log(), &COUNTS).as_bytes(),
        &["--event", "state-change"],
    );
    let rows: Vec<Vec<Value>> = objects
        .iter()
        .map(|o| pick(o, &["time", "old_state_name", "state_name", "lasted_us"]))
        .collect();
    let wanted = [
        ("000150", "state-closed", "state-cookie-wait", Value::Null),
        (
            "020400",
            "state-cookie-wait",
            "state-cookie-echoed",
            json!(20_250),
        ),
        (
            "041000",
            "state-cookie-echoed",
            "state-established",
            json!(20_600),
        ),
        ("099000", "state-established", "state-closed", json!(58_000)),
    ];
    let wanted = wanted.map(|(us, old, new, lasted)| {
        let time = json!(format!("2026-08-21T10:15:09.{us}Z"));
        vec![time, json!(old), json!(new), lasted]
    });
    assert_eq!(rows, wanted);
}

#[test]
fn info_sums_the_association_up() {
    let text = ended(&log(), &COUNTS);
    let ran = on(text.as_bytes(), &["info", "--format", "json"]).fine();
    let info: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(info["associations"].as_array().unwrap().len(), 1);
    let a = &info["associations"][0];
    let keys = [
        "my_vtag",
        "peer_vtag",
        "local_addr",
        "remote_port",
        "ended",
        "duration_us",
    ];
    let wanted = [
        json!("0xa1b2c3d4"),
        json!("0x55667788"),
        json!(LOCAL),
        json!(36412),
        json!(true),
        json!(99_000),
    ];
    assert_eq!(pick(a, &keys), wanted);
    assert_eq!(a["sent"], json!({"packets": 2, "bytes": 1600}));
    assert_eq!(a["received"], json!({"packets": 1, "bytes": 400}));
    assert_eq!(a["states"].as_array().unwrap().len(), 4);
    let keys = [
        "first_cwnd",
        "last_cwnd",
        "min_cwnd",
        "max_cwnd",
        "mean_cwnd",
        "unseen_changes",
    ];
    let wanted = [4440, 5456, 4440, 5456, 4440, 0].map(|n| json!(n));
    assert_eq!(pick(&a["destinations"][0], &keys), wanted);
    assert_eq!(
        (&info["total"]["events"], &info["total"]["unassigned"]),
        (&json!(11), &json!(1))
    );
    // What is not wanted does not count.
    let ran = on(
        text.as_bytes(),
        &["info", "--format", "json", "--event", "ack"],
    )
    .fine();
    let info: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(
        (&info["total"]["events"], &info["associations"][0]["events"]),
        (&json!(1), &json!(1))
    );
    let ran = on(text.as_bytes(), &["info"]).fine();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(said.contains("association 1: 192.0.2.1:9900 <-> 198.51.100.7:36412, my tag 0xa1b2c3d4, peer's tag 0x55667788\n"), "{said}");
}

#[test]
fn missing_lines_are_noticed() {
    let whole = ended(&log(), &COUNTS);
    let without = whole.lines().filter(|line| !line.contains("net:ack arg0"));
    let without = without.collect::<Vec<_>>().join("\n") + "\n";
    let (objects, ran) = show(without.as_bytes(), &[]);
    let ran = ran.ended(1);
    assert!(
        ran.stderr
            .contains("sctp:cwnd:net:ack fired 1 times, but only 0 lines of it were read"),
        "{}",
        ran.stderr
    );
    assert_eq!(objects.last().unwrap()["kind"], "sctp_lost");
    // A piece of a log has no beginning to count from.
    let piece: String = without.lines().skip(2).map(|l| format!("{l}\n")).collect();
    show(piece.as_bytes(), &[]).1.fine();
}

#[test]
fn hosts_and_absolute_times_select() {
    let text = ended(&log(), &COUNTS);
    let count = |options: &[&str]| show(text.as_bytes(), options).0.len();
    assert_eq!(count(&["--host", "203.0.113.0/24"]), 1);
    assert_eq!(count(&["--since", "2026-08-21T10:15:09.041Z"]), 5);
    assert_eq!(count(&["--until", "2026-08-21T10:15:09.0002Z"]), 3);
    assert_eq!(
        count(&["--host", REMOTE, "--event", "send", "--port", "36412"]),
        2
    );
}

/// What tshark finds in the fields of a packet of the converted log.
#[test]
fn wireshark_shows_packets_of_honest_length() {
    use super::support::wireshark::rows;
    let (_dir, path, ran) = converted(ended(&log(), &COUNTS).as_bytes(), &[]);
    ran.fine();
    let fields = [
        "ip.src",
        "ip.dst",
        "ip.len",
        "frame.len",
        "frame.cap_len",
        "sctp.srcport",
        "sctp.dstport",
        "sctp.verification_tag",
        "frame.comment",
    ];
    let packets = rows(&path, &fields, &["-Y", "ip"]);
    let got: Vec<Vec<&str>> = packets
        .iter()
        .map(|row| fields[..8].iter().map(|f| row.get(f)).collect())
        .collect();
    assert_eq!(
        got,
        [
            [
                "192.0.2.1",
                "198.51.100.7",
                "120",
                "120",
                "32",
                "9900",
                "36412",
                "0x00000000"
            ],
            [
                "198.51.100.7",
                "192.0.2.1",
                "420",
                "420",
                "32",
                "36412",
                "9900",
                "0xa1b2c3d4"
            ],
            [
                "192.0.2.1",
                "198.51.100.7",
                "1520",
                "1520",
                "32",
                "9900",
                "36412",
                "0x55667788"
            ],
            [
                "203.0.113.9",
                "192.0.2.1",
                "36",
                "36",
                "32",
                "36412",
                "9900",
                "0x00000000"
            ],
        ]
    );
    assert!(
        packets[0]
            .get("frame.comment")
            .starts_with("packet sent, 100 bytes, tag 0x00000000")
    );
    assert!(packets[3].get("frame.comment").contains("no association"));
    let fields = [
        "frame.time_epoch",
        "exported_pdu.ipv4_src",
        "exported_pdu.ipv4_dst",
        "exported_pdu.src_port",
        "exported_pdu.dst_port",
        "_ws.col.Info",
    ];
    let others = rows(&path, &fields, &["-Y", "!ip"]);
    assert_eq!(others.len(), 7);
    let last: Vec<&str> = fields.iter().map(|f| others[6].get(f)).collect();
    assert_eq!(
        last,
        [
            "1787307309.099000000",
            LOCAL,
            REMOTE,
            "9900",
            "36412",
            "state-change: state-established -> state-closed (ABOUT_TO_BE_FREED) after 58 ms [association 1]"
        ]
    );
}
