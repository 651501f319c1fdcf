//! What events mean. Each line of `testdata/meaning.jsonl` names a genuine
//! record, the values that its bytes hold by meaning, and what is to be said.

mod support;

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use support::library::explained;
use support::stream::{Rec, messages, record_len};
use support::{family, genuine, genuine_names, put, stack_name, stack_names, stored, tcplog};
use tcplog::format::{EventId, Formats, Release};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    stream: String,
    /// Place of the message in the stream, from 0.
    message: usize,
    sn: u32,
    event: u8,
    /// Whose payload it is; none: code that all stacks share.
    stack: Option<String>,
    /// The payload; none: the event has no fields of its own.
    name: Option<String>,
    /// Read as records of this release, not of that which wrote them.
    release: Option<String>,
    /// Read without names for the stack numbers: while BBR takes over from RACK
    /// it writes under RACK's number, and a name that is given is believed.
    #[serde(default)]
    unnamed: bool,
    payload: Map<String, Value>,
    says: String,
    /// What else in the data says so.
    why: String,
}

impl Line {
    fn place(&self) -> String {
        format!(
            "{} message {} sn {}, event {}",
            self.stream, self.message, self.sn, self.event
        )
    }
}

fn lines() -> Vec<Line> {
    let text = std::fs::read_to_string(support::testdata("meaning.jsonl")).unwrap();
    let read = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    text.lines().map(read).collect()
}

/// How a stream is read: its name, as which release, without stack names.
type Reading<'a> = (&'a str, &'a str, bool);

fn names((stream, _, unnamed): Reading<'_>) -> Vec<&'static str> {
    let names = stack_names(stream).to_vec();
    if unnamed { Vec::new() } else { names }
}

/// The lines that are read from the same output.
fn by_output(lines: &[Line]) -> BTreeMap<Reading<'_>, Vec<&Line>> {
    let mut outputs: BTreeMap<_, Vec<&Line>> = BTreeMap::new();
    for line in lines {
        let stream = line.stream.as_str();
        let release = line.release.as_deref().unwrap_or_else(|| family(stream));
        let key = (stream, release, line.unnamed);
        outputs.entry(key).or_default().push(line);
    }
    outputs
}

/// The object of each record of a stream, by message and serial number.
fn shown(reading: Reading<'_>) -> BTreeMap<(usize, u32), Value> {
    let (stream, release, _) = reading;
    let bytes = genuine(stream);
    let dir = tempfile::tempdir().unwrap();
    let input = put(dir.path(), "in", &bytes);
    let mut args = vec!["show", "--format", "json"];
    args.extend(names(reading));
    args.extend(["--release", release]);
    let args = args.into_iter().map(OsStr::new).chain([input.as_os_str()]);
    let text = String::from_utf8(tcplog(args).fine().stdout).unwrap();
    let objects = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let mut objects = objects.filter(|object: &Value| object["kind"] == "bblog");
    let mut shown = BTreeMap::new();
    for (at, message) in messages(&bytes).into_iter().enumerate() {
        for record in message.records() {
            let object = objects.next().expect("a record is not shown");
            assert_eq!(object["sn"], record.sn(), "{stream} message {at}");
            shown.insert((at, record.sn()), object);
        }
    }
    assert!(objects.next().is_none(), "{stream}: too many objects");
    shown
}

#[test]
fn the_list_is_in_order() {
    let lines = lines();
    let keys = lines.iter().map(|line| {
        let what = (line.event, line.stack.clone(), line.name.clone());
        (what, line.stream.clone(), line.message, line.sn)
    });
    let keys: Vec<_> = keys.collect();
    assert!(keys.is_sorted());
    let places: BTreeSet<_> = keys.iter().map(|key| (&key.1, key.2, key.3)).collect();
    assert_eq!(places.len(), lines.len(), "a record is named twice");
    assert!(lines.iter().all(|line| !line.why.is_empty()));
}

#[test]
fn values_and_sentences_are_those_of_the_list() {
    let lines = lines();
    let mut wrong = Vec::new();
    for (reading, lines) in by_output(&lines) {
        let shown = shown(reading);
        for line in lines {
            let mut complain = |what: String| wrong.push(format!("{}: {what}", line.place()));
            let Some(object) = shown.get(&(line.message, line.sn)) else {
                complain("no such record".to_owned());
                continue;
            };
            if object["event_id"] != line.event {
                complain(format!("is event {}", object["event_id"]));
            }
            for (key, value) in &line.payload {
                let got = &object["payload"][key];
                if got != value {
                    complain(format!("{key} is {got}, not {value}"));
                }
            }
            if object["meaning"] != line.says.as_str() {
                complain(format!("says {}, not {:?}", object["meaning"], line.says));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn records_have_the_payloads_of_the_list() {
    let lines = lines();
    let formats = Formats::builtin();
    let mut wrong = Vec::new();
    for (reading, lines) in by_output(&lines) {
        let wanted: BTreeMap<_, _> = lines
            .iter()
            .map(|line| ((line.message, line.sn), line))
            .collect();
        let release = Release::from_name(reading.1);
        explained(
            &genuine(reading.0),
            release,
            &names(reading),
            |message, record, is| {
                let Some(line) = wanted.get(&(message, record.sn())) else {
                    return;
                };
                // Without fields there is nothing that tells payloads apart.
                if line.payload.is_empty() && record.stackinfo().is_none() {
                    return;
                }
                let named = line.name.as_deref();
                let expected = named.map(|name| (line.stack.as_deref().unwrap_or("tcp"), name));
                if is.group() != expected {
                    wrong.push(format!("{}: {:?}", line.place(), is.group()));
                }
                // The event's own phrase says nothing of the fields.
                let known = formats.events.get(EventId(line.event), is.release());
                if !line.payload.is_empty() && known.is_some_and(|known| known.says == line.says) {
                    wrong.push(format!("{}: says no more than the event", line.place()));
                }
            },
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Event, stack by the record's id, and release.
type Kind = (u8, &'static str, &'static str);

fn kind(stream: &str, record: Rec<'_>) -> Kind {
    let stack = stack_name(stream, record.stack());
    (record.event(), stack, family(stream))
}

#[test]
fn every_event_of_every_stack_is_in_the_list() {
    let lines = lines();
    let (mut seen, mut covered) = (BTreeMap::new(), BTreeSet::new());
    for name in genuine_names() {
        let bytes = genuine(&name);
        for (at, message) in messages(&bytes).into_iter().enumerate() {
            for record in message.records() {
                let kind = kind(&name, record);
                seen.entry(kind)
                    .or_insert_with(|| format!("{name} message {at} sn {}", record.sn()));
                let is_it = |line: &&Line| (line.message, line.sn) == (at, record.sn());
                let mut of_stream = lines.iter().filter(|line| line.stream == name);
                if of_stream.any(|line| is_it(&line)) {
                    covered.insert(kind);
                }
            }
        }
    }
    for name in ["a-full", "a-verbose", "c-mixed"] {
        let bytes = stored(&format!("logbuf/{name}.bin.zst"));
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (record, behind) = rest.split_at(record_len(rest));
            let sn = Rec(record).sn();
            seen.entry(kind(name, Rec(record)))
                .or_insert_with(|| format!("logbuf {name} sn {sn}"));
            rest = behind;
        }
    }
    seen.retain(|kind, _| !covered.contains(kind));
    assert!(seen.is_empty(), "no line for {seen:#?}");
}
