//! The plugin for Wireshark, read by tshark: what it says of every row must be
//! what `show` says of it.

mod support;

use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{convert, genuine, genuine_names, put, stack_names, tcplog};

/// The release that wrote a genuine stream.
fn release_of(stream: &str) -> &'static str {
    match stream {
        s if s.starts_with("kernel15") => "15",
        s if s.starts_with("kernel") => "13",
        _ => "13.0",
    }
}

fn plugin(dir: &Path, args: &[&str]) -> PathBuf {
    let ran = tcplog(["formats", "--wireshark"].iter().chain(args)).ended(0);
    assert_eq!(ran.stderr, "");
    put(dir, "tcplog.lua", &ran.stdout)
}

/// Runs tshark with the plugin; whatever it complains of fails the test.
fn tshark(home: &Path, plugin: &Path, file: &Path, args: &[&str]) -> String {
    let (text, complaints) = tshark_complains(home, plugin, file, args);
    assert!(complaints.is_empty(), "{complaints:?}");
    text
}

/// What tshark writes, and what it complains of.
fn tshark_complains(
    home: &Path,
    plugin: &Path,
    file: &Path,
    args: &[&str],
) -> (String, Vec<String>) {
    let output = Command::new("tshark")
        .args(["-n", "-X"])
        .arg(format!("lua_script:{}", plugin.display()))
        .arg("-r")
        .arg(file)
        .args(args)
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .output()
        .unwrap_or_else(|e| panic!("these tests need Wireshark's tshark 4.0 or later: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let complaints = said
        .lines()
        .filter(|line| !line.starts_with("Running as user") && !line.is_empty())
        .map(str::to_owned)
        .collect();
    let text = String::from_utf8(output.stdout).expect("tshark's output is not UTF-8");
    (text, complaints)
}

/// The fields of the plugin by name, for each row that has any.
fn rows(home: &Path, plugin: &Path, file: &Path, args: &[&str]) -> Vec<Map<String, Value>> {
    let json = ["-T", "json", "--no-duplicate-keys", "-J", "tcplog"];
    let text = tshark(home, plugin, file, &[&json, args].concat());
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let found: Vec<_> = rows
        .iter()
        .filter_map(|row| row["_source"]["layers"]["tcplog"].as_object())
        .map(|row| {
            let mut all = row.clone();
            // What the connection's state is stands in a branch of its own.
            if let Some(Value::Object(state)) = all.remove("tcplog") {
                all.extend(state);
            }
            all
        })
        .collect();
    assert!(
        !found.is_empty(),
        "tshark did not load the plugin; newer ones do not while they run as root"
    );
    found
}

/// A number as tshark shows it, as JSON of ours has it.
fn number(text: &Value) -> Value {
    let text = text.as_str().unwrap();
    let n: i128 = match text.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16).unwrap(),
        None => match text.parse() {
            Ok(n) => n,
            Err(_) => return Value::from(text),
        },
    };
    if n.abs() > 1 << 53 {
        return Value::from(n.to_string());
    }
    Value::from(i64::try_from(n).unwrap())
}

fn numbers(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values.iter().map(number).collect(),
        one => vec![number(one)],
    }
}

/// Everything that the plugin says of an event row, taken from our JSON.
fn judge_event(what: &str, row: &Map<String, Value>, ours: &Value) {
    assert_eq!(row["tcplog.event"], ours["event"], "{what}");
    assert_eq!(row["tcplog.says"], ours["meaning"], "{what}");
    assert_eq!(
        row.contains_key("tcplog.state.srtt_us"),
        ours.get("srtt_us").is_some(),
        "{what}: srtt_us"
    );
    // The plugin knows all rows of the file, JSON those before this one.
    if !ours["stack"].is_null() {
        assert_eq!(row["tcplog.stack"], ours["stack"], "{what}");
    }

    let none = Map::new();
    let payload = ours["payload"].as_object().unwrap_or(&none);
    let mut left = payload.clone();
    let masked = row
        .get("tcplog.masked")
        .cloned()
        .unwrap_or(Value::Array(vec![]));
    let masked: Vec<Value> = match masked {
        Value::Array(all) => all,
        one => vec![one],
    };
    for name in &masked {
        let name = name.as_str().unwrap();
        match left.remove(name).unwrap() {
            Value::String(text) => assert_eq!(text, "masked", "{what}: {name}"),
            Value::Array(values) => assert!(values.contains(&Value::from("masked"))),
            other => panic!("{what}: {name} is {other} and yet masked"),
        }
    }
    for (filter, value) in row {
        let parts: Vec<&str> = filter.splitn(4, '.').collect();
        let name = match parts[1..] {
            ["raw", name] | ["tcp" | "freebsd" | "rack" | "bbr", _, name] => name,
            _ => continue,
        };
        let Some(wanted) = left.remove(name) else {
            // Of an array, some may be masked and some not.
            assert!(
                masked.contains(&Value::from(name)),
                "{what}: {filter} is not in JSON"
            );
            continue;
        };
        let wanted = match wanted {
            Value::Array(values) => values,
            one => vec![one],
        };
        assert_eq!(numbers(value), wanted, "{what}: {filter}");
    }
    // The name of a code has no field of its own, but Wireshark's label.
    left.retain(|name, _| {
        !name
            .strip_suffix("_name")
            .is_some_and(|of| payload.contains_key(of))
    });
    assert!(left.is_empty(), "{what}: the plugin lacks {left:?}");
}

fn judge_state(what: &str, row: &Map<String, Value>, ours: &Value) -> usize {
    let mut judged = 0;
    for (filter, value) in row {
        let Some(name) = filter.strip_prefix("tcplog.state.") else {
            continue;
        };
        let wanted = match name {
            "stackid" => &ours["stack_id"],
            "eventid" => &ours["event_id"],
            "eventflags" => &ours["event_flags"],
            "rxbuf_acc" => &ours["rxbuf"]["acc"],
            "rxbuf_ccc" => &ours["rxbuf"]["ccc"],
            "txbuf_acc" => &ours["txbuf"]["acc"],
            "txbuf_ccc" => &ours["txbuf"]["ccc"],
            "flight" => {
                let of = |name: &str| ours[name].as_u64().unwrap() as u32;
                let flight = of("snd_max").wrapping_sub(of("snd_una"));
                assert_eq!(number(value), Value::from(flight), "{what}: flight");
                continue;
            }
            name => &ours[name],
        };
        // Before the first errno, -1 means that it is unknown.
        if name == "errno" && wanted.is_null() {
            continue;
        }
        assert_eq!(number(value), *wanted, "{what}: {filter}");
        judged += 1;
    }
    judged
}

/// All that the plugin says of a file against what JSON says of it. `meaning` are
/// the arguments of both, `args` those of tshark.
fn judge_file(name: &str, pcapng: &[u8], meaning: &[&str], args: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let file = put(dir.path(), "file.pcapng", pcapng);
    let plugin = plugin(dir.path(), meaning);
    let rows = rows(dir.path(), &plugin, &file, args);

    let show = ["show", "--format", "json"].iter().chain(meaning);
    let path = file.to_str().unwrap();
    let shown = tcplog(show.copied().chain([path])).ended(0).stdout;
    let shown: Vec<Value> = String::from_utf8(shown)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["kind"] == "bblog")
        .collect();
    assert_eq!(rows.len(), shown.len(), "{name}: rows");
    for (row, ours) in rows.iter().zip(&shown) {
        let what = format!("{name}: serial {} event {}", ours["sn"], ours["event"]);
        assert_eq!(number(&row["tcplog.state.sn"]), ours["sn"], "{what}");
        let judged = judge_state(&what, row, ours);
        if ours.get("tcp").is_some() {
            assert_eq!(row["tcplog.event"], ours["event"], "{what}");
            // Not every version of Wireshark tells enough of a packet.
            if let Some(stack) = row.get("tcplog.stack") {
                assert_eq!(*stack, ours["stack"], "{what}");
            }
        } else {
            assert!(judged > 30, "{what}: {judged} fields of the state");
            judge_event(&what, row, ours);
        }
    }
}

fn judge_all(names: &[String]) {
    for name in names {
        let (ran, pcapng) = convert(&genuine(name), &stack_names(name));
        ran.fine();
        let names = stack_names(name);
        let meaning = [&["--release", release_of(name)][..], &names].concat();
        // In one pass the plugin does not know yet how long a tick is.
        let passes: &[_] = if name == "hz100" { &["-2"] } else { &[] };
        judge_file(name, &pcapng, &meaning, passes);
    }
}

/// Two threads of the test runner share the work.
fn half(which: usize) -> Vec<String> {
    let names = genuine_names();
    names.into_iter().skip(which).step_by(2).collect()
}

#[test]
fn the_plugin_says_of_every_event_row_what_show_says_first_half() {
    judge_all(&half(0));
}

#[test]
fn the_plugin_says_of_every_event_row_what_show_says_second_half() {
    judge_all(&half(1));
}

#[test]
fn without_preferences_the_plugin_infers_what_show_infers() {
    for name in genuine_names() {
        let (ran, pcapng) = convert(&genuine(&name), &[]);
        ran.fine();
        judge_file(&name, &pcapng, &[], &["-2"]);
    }
}

/// A name of RACK or BBR is sure, whatever the bytes look like; another one is
/// not.
#[test]
fn names_of_stacks_count_as_in_show() {
    let (ran, pcapng) = convert(&genuine("head"), &[]);
    ran.fine();
    for names in [["2=rack", "3=bbr"], ["2=freebsd", "3=mine"]] {
        let names = names.map(|name| ["--stack-name", name]).concat();
        let meaning = [&["--release", "13.0"][..], &names].concat();
        judge_file("head", &pcapng, &meaning, &["-2"]);
    }
}

/// The first and the last number that may be an address, those beside them, and
/// small negative ones, in cells with and without a name.
#[test]
fn what_may_be_an_address_is_masked_as_in_show() {
    const NUMBERS: [u64; 7] = [
        0xfffe_ffff_ffff_ffff,
        0xffff_0000_0000_0000,
        0xffff_f800_1234_5678,
        0xffff_ffff_feff_ffff,
        0xffff_ffff_ff00_0000,
        0xffff_ffff_8000_0001,
        0xffff_ffff_ffff_fff0,
    ];
    let (ran, mut pcapng) = convert(&genuine("head"), &[]);
    ran.fine();
    let places: Vec<usize> = support::stream::blocks(&pcapng)
        .iter()
        .skip(2)
        .filter(|block| {
            block.kind != support::stream::SECTION && block.kind != support::stream::INTERFACE
        })
        .map(|block| block.info().as_ptr() as usize - pcapng.as_ptr() as usize)
        .collect();
    for (at, place) in places.iter().enumerate() {
        // Of the stack specific bytes, those of 64 bits and two of 32.
        for cell in [0, 8, 16, 24, 40] {
            let number = NUMBERS[(at + cell / 8) % NUMBERS.len()];
            let start = place + 160 + cell;
            if let Some(bytes) = pcapng.get_mut(start..start + 8) {
                bytes.copy_from_slice(&number.to_le_bytes());
            }
        }
    }
    let meaning = [&["--release", "13.0"][..], &stack_names("head")].concat();
    judge_file("head", &pcapng, &meaning, &[]);

    let dir = tempfile::tempdir().unwrap();
    let plugin = plugin(dir.path(), &meaning);
    let file = put(dir.path(), "file.pcapng", &pcapng);
    let all = rows(dir.path(), &plugin, &file, &[]);
    let shown = ["-o", "tcplog.show_pointers:TRUE"];
    let bare = rows(dir.path(), &plugin, &file, &shown);
    let masked = |rows: &[Map<String, Value>]| {
        let is_masked = |row: &&Map<String, Value>| row.contains_key("tcplog.masked");
        rows.iter().filter(is_masked).count()
    };
    assert!(masked(&all) > 300, "{} of {}", masked(&all), all.len());
    assert_eq!(masked(&bare), 0);
}

#[test]
fn damaged_rows_and_preferences_raise_no_error() {
    let (ran, pcapng) = convert(&genuine("rack-loss"), &[]);
    ran.fine();
    let dir = tempfile::tempdir().unwrap();
    let plugin = plugin(dir.path(), &[]);
    let file = put(dir.path(), "file.pcapng", &pcapng);
    let filter = |preference: &str, filter: &str| {
        let args = [
            "-o",
            preference,
            "-Y",
            filter,
            "-T",
            "fields",
            "-e",
            "tcplog.release",
        ];
        tshark_complains(dir.path(), &plugin, &file, &args)
    };
    // What is no release, or no name, is said and else as none: evidence decides.
    let (releases, complaints) = filter("tcplog.release:nonsense", "tcplog.event == \"TIMERSTAR\"");
    assert!(releases.contains("13.0\n"));
    let is_said = |what: &str| complaints.iter().any(|line| line.contains(what));
    assert!(is_said("no release nonsense"), "{complaints:?}");
    let (_, complaints) = filter("tcplog.stack_names:3:rack", "tcplog.stack == \"rack\"");
    let is_said = |what: &str| complaints.iter().any(|line| line.contains(what));
    assert!(is_said("3:rack is no ID=NAME"), "{complaints:?}");
    let fine = |preference: &str, text: &str| {
        let (found, complaints) = filter(preference, text);
        assert!(complaints.is_empty(), "{complaints:?}");
        found
    };
    assert!(fine("tcplog.release:14", "tcplog.event == \"TIMERSTAR\"").contains("14\n"));
    let stack = fine("tcplog.stack_names:3=other", "tcplog.stack == \"other\"");
    assert!(stack.lines().count() > 100);

    // Options cut short, event flags of all kinds, any event number.
    let mut damaged = pcapng.clone();
    let mut state = 1u32;
    for block in support::stream::blocks(&pcapng).iter().skip(2) {
        if block.kind == support::stream::SECTION || block.kind == support::stream::INTERFACE {
            continue;
        }
        let info = block.info();
        let start = info.as_ptr() as usize - pcapng.as_ptr() as usize;
        for at in [25, 26, 94, 140, 160, 200, 250, 259] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if let Some(byte) = damaged.get_mut(start + at) {
                *byte = (state >> 24) as u8;
            }
        }
    }
    let damaged = put(dir.path(), "damaged.pcapng", &damaged);
    let text = tshark(dir.path(), &plugin, &damaged, &["-V"]);
    assert!(text.contains("TCP black box"));
    assert!(!text.contains("Lua Error"));
}

#[test]
fn the_profile_loads_and_its_filters_compile() {
    let dir = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("formats/wireshark/profile");
    let target = dir.path().join("wireshark/profiles/tcplog");
    std::fs::create_dir_all(&target).unwrap();
    for entry in std::fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, target.join(path.file_name().unwrap())).unwrap();
    }
    let (ran, pcapng) = convert(&genuine("rack-loss"), &stack_names("rack-loss"));
    ran.fine();
    let file = put(dir.path(), "file.pcapng", &pcapng);
    let plugin = plugin(dir.path(), &[]);
    let packets = tshark(dir.path(), &plugin, &file, &["-C", "tcplog"]);
    assert!(
        packets.contains("lowest RTT fell to"),
        "no column of what happened"
    );

    let colors = std::fs::read_to_string(source.join("colorfilters")).unwrap();
    let graphs = std::fs::read_to_string(source.join("io_graphs")).unwrap();
    let mut filters: Vec<&str> = colors
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('@').nth(2).unwrap())
        .collect();
    // Wireshark writes a quote inside of a cell so.
    let graphs = graphs.replace("\\x22", "\u{1}");
    for line in graphs.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.trim_matches('"').split("\",\"").collect();
        filters.extend(
            [cells[2], cells[6]]
                .iter()
                .filter(|filter| !filter.is_empty()),
        );
    }
    assert!(filters.len() > 8);
    for filter in filters {
        let filter = &filter.replace('\u{1}', "\"");
        tshark(dir.path(), &plugin, &file, &["-c", "1", "-Y", filter]);
    }
}
