//! Genuine lines decode to what their bits say, computed here a second time.

use super::{probes, show};
use serde_json::{Value, json};

/// A genuine line, taken apart with nothing of the library.
struct Line {
    ns: u64,
    cpu: u64,
    pid: i64,
    role: String,
    probe: String,
    args: [u64; 5],
}

fn lines(run: &str) -> Vec<Line> {
    let text = String::from_utf8(probes(run)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let value = |key: &str| {
            let word = words
                .iter()
                .find_map(|w| w.strip_prefix(key)?.strip_prefix('='));
            word.unwrap_or_else(|| panic!("{key} in {line}")).to_owned()
        };
        let (s, ns) = words[0].split_once('.').unwrap();
        assert_eq!(ns.len(), 9);
        let arg = |n: usize| {
            let text = value(&format!("arg{n}"));
            match text.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
                None => text.parse().unwrap(),
            }
        };
        Line {
            ns: s.parse::<u64>().unwrap() * 1_000_000_000 + ns.parse::<u64>().unwrap(),
            cpu: value("cpu").parse().unwrap(),
            pid: value("pid").parse().unwrap(),
            role: value("role"),
            probe: words[4].to_owned(),
            args: std::array::from_fn(arg),
        }
    });
    lines.collect()
}

/// What a line must come to; `None` where the key must be absent.
fn expected(line: &Line) -> Vec<(&'static str, Option<Value>)> {
    let [a0, a1, a2, a3, a4] = line.args;
    let name = line.probe.rsplit(':').next().unwrap();
    let low = |n: u64| n & 0xffff_ffff;
    let port = |n: u64| json!(((n & 0xff) << 8) | ((n >> 8) & 0xff));
    let hex = |n: u64| Some(json!(format!("{n:#x}")));
    let mut all = vec![
        ("schema", Some(json!(1))),
        ("kind", Some(json!("sctp"))),
        ("timestamp_ns", Some(json!(line.ns))),
        ("time", None),
        ("cpu", Some(json!(line.cpu))),
        ("pid", Some(json!(line.pid))),
        ("role", Some(json!(line.role))),
        ("probe", Some(json!(line.probe))),
        ("event", Some(json!(name))),
    ];
    if !matches!(name, "rttvar" | "rttstep") {
        let ports = low(a1);
        all.extend([
            ("my_vtag", hex(low(a0))),
            ("local_port", Some(port(ports >> 16))),
            ("remote_port", Some(port(ports))),
            ("net", hex(a2)),
            ("old_cwnd", Some(json!(low(a3)))),
            ("new_cwnd", Some(json!(low(a4)))),
            ("cwnd", Some(json!(low(a4)))),
        ]);
        return all;
    }
    let point = (a4 >> 16) & 0xffff;
    let has_tag = !matches!(point, 8..=10);
    let bw: [Option<u64>; 3] = match point {
        0..=7 => [Some(a1 >> 32), Some(low(a1)), None],
        8 => [Some(a1 >> 32), None, None],
        9 => [None; 3],
        10 => [None, Some(a1), None],
        _ => [None, Some(a1 >> 32), Some(low(a1))],
    };
    let (is_step, n) = (name == "rttstep", |n: u64| Some(json!(n)));
    let only = |yes: bool, value: u64| if yes { n(value) } else { None };
    let ret = a4 & 0xffff;
    let verdict = match (point, ret) {
        (11..=13, 1) => Some(json!("losing")),
        (11..=13, 2) => Some(json!("neutral")),
        (11..=13, 3) => Some(json!("gaining")),
        _ => None,
    };
    all.extend([
        ("my_vtag", if has_tag { hex(a0 >> 32) } else { None }),
        ("net_rtt_us", only(!has_tag, a0 >> 32)),
        ("local_port", Some(port(a0 >> 16))),
        ("remote_port", Some(port(a0))),
        ("old_bw", bw[0].map(|v| json!(v))),
        ("new_bw", bw[1].map(|v| json!(v))),
        ("instant_bw", bw[2].map(|v| json!(v))),
        ("bw_rtt_us", only(point != 9, a2 >> 32)),
        ("rtt_us", only(point != 9, low(a2))),
        ("flight", only(!is_step, a3)),
        ("vol_reduce", only(is_step, a3 >> 32)),
        ("step_cnt", only(is_step, (a3 >> 16) & 0xffff)),
        ("last_step_state", only(is_step, a3 & 0xffff)),
        ("cwnd", n(a4 >> 32)),
        ("point", n(point)),
        ("ret", n(ret)),
        ("verdict", verdict),
    ]);
    all
}

#[test]
fn lines_decode_to_their_bits() {
    for (run, count) in [("rfc2581", 121), ("rtcc", 1325)] {
        let (objects, ran) = show(&probes(run), &["--show-pointers"]);
        ran.fine();
        let lines = lines(run);
        assert_eq!((objects.len(), lines.len()), (count, count));
        for (object, line) in objects.iter().zip(&lines) {
            for (key, value) in expected(line) {
                let found = object.get(key).cloned();
                assert_eq!(found, value, "{run}, {key} of {object}");
            }
        }
    }
}

#[test]
fn points_and_verdicts_of_the_run_are_all_named() {
    let (objects, _) = show(&probes("rtcc"), &["--event", "rttvar,rttstep"]);
    assert_eq!(objects.len(), 1234);
    for object in &objects {
        assert!(object["point_name"].is_string(), "{object}");
    }
}

#[test]
fn both_ends_of_a_run_are_associations_of_their_own() {
    for (run, sender, receiver, port) in [
        ("rfc2581", "0x35452812", "0xbcb107b8", 64450),
        ("rtcc", "0x1e7040d7", "0xa54e9405", 63023),
    ] {
        let ran = super::on(&probes(run), &["info", "--format", "json"]).fine();
        let info: Value = serde_json::from_slice(&ran.stdout).unwrap();
        let found: Vec<Vec<Value>> = info["associations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|a| super::pick(a, &["role", "my_vtag", "local_port", "remote_port"]))
            .collect();
        // The tags are those of INIT and INIT ACK in the run's capture.
        let wanted = [
            vec![json!("sender"), json!(sender), json!(port), json!(5001)],
            vec![json!("receiver"), json!(receiver), json!(5001), json!(port)],
        ];
        assert_eq!(found, wanted, "{run}");
    }
}

#[test]
fn kernel_addresses_are_masked_unless_asked_for() {
    let text = probes("rfc2581");
    for form in ["json", "csv", "text"] {
        let plain = super::on(&text, &["show", "-v", "--format", form]).fine();
        let shown = super::on(&text, &["show", "-v", "--show-pointers", "--format", form]).fine();
        let holds = |out: &[u8]| String::from_utf8_lossy(out).contains("0x55fde55dfed0");
        assert!(!holds(&plain.stdout) && holds(&shown.stdout), "{form}");
    }
}

#[test]
fn csv_says_what_json_says() {
    let text = probes("rtcc");
    let (objects, _) = show(&text, &[]);
    let ran = super::on(&text, &["show", "--format", "csv"]).fine();
    let mut reader = csv::Reader::from_reader(&*ran.stdout);
    let heads = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), objects.len());
    for (row, object) in rows.iter().zip(&objects) {
        let mut found = 0;
        for (head, cell) in heads.iter().zip(row) {
            let value = match &object[head] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            if head == "source" {
                continue;
            }
            assert_eq!(cell, value, "{head} of {object}");
            found += usize::from(!cell.is_empty());
        }
        // No key is without a column.
        assert_eq!(found + 1, object.as_object().unwrap().len(), "{object}");
    }
}

#[test]
fn selections_hold_and_say_what_cannot_match() {
    let text = probes("rtcc");
    let count = |options: &[&str]| show(&text, options).0.len();
    assert_eq!(count(&["--event", "ack,fr"]), 88);
    assert_eq!(count(&["--event", "sctp:cwnd:net:fr"]), 10);
    assert_eq!(count(&["--port", "63023"]), 1325);
    assert_eq!(count(&["--port", "1"]), 0);
    assert_eq!(count(&["--host", "127.0.0.1"]), 0);
    let all = lines("rtcc");
    let (from, to) = (all[0].ns + 1_000_000_000, all[0].ns + 2_000_000_000);
    let within = all
        .iter()
        .filter(|l| (from..=to).contains(&(l.ns / 1000 * 1000)))
        .count();
    assert!((100..1000).contains(&within));
    assert_eq!(count(&["--since", "+1", "--until", "+2"]), within);
    let (objects, ran) = show(&text, &["--id", "x"]);
    assert!(objects.is_empty());
    let ran = ran.ended(1);
    assert!(
        ran.stderr
            .contains("--id selects by what SCTP events do not have")
    );
    assert!(ran.stderr.contains("nothing matches"));
    let (_, ran) = show(&text, &["--event", "nonsense"]);
    ran.ended(2);
    // A name of a probe is no error for records, and matches none.
    let stream = super::support::testdata("demo.bin");
    let args = ["show", "--event", "ack", stream.to_str().unwrap()];
    let ran = super::tcplog(args).ended(1);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("nothing matches"));
}

#[test]
fn a_summary_counts_only_what_is_wanted() {
    let args = ["info", "--format", "json", "--event", "fr", "--until", "+1"];
    let ran = super::on(&probes("rfc2581"), &args).fine();
    let info: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let all = lines("rfc2581");
    let until = all[0].ns + 1_000_000_000;
    let wanted = all
        .iter()
        .filter(|l| l.ns <= until && l.probe.ends_with(":fr"));
    let cwnd: Vec<u64> = wanted.map(|l| l.args[4]).collect();
    let path = &info["associations"][0]["destinations"][0];
    let keys = [
        "first_cwnd",
        "last_cwnd",
        "min_cwnd",
        "max_cwnd",
        "unseen_changes",
    ];
    let (first, last) = (cwnd[0], cwnd[cwnd.len() - 1]);
    let (min, max) = (cwnd.iter().min().unwrap(), cwnd.iter().max().unwrap());
    // Between them other probes fired, so nothing changed unseen.
    let wanted = [json!(first), json!(last), json!(min), json!(max), json!(0)];
    assert_eq!(super::pick(path, &keys), wanted);
    assert_eq!(path["changes"], json!({"sctp:cwnd:net:fr": cwnd.len()}));
    assert_eq!(info["associations"].as_array().unwrap().len(), 1);
}
