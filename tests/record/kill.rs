//! Killed at any moment, a collector leaves a directory that tells the truth,
//! and the next start makes files of what was under way.

use crate::recorded::{Recorded, content, filename, index, records, tagged};
use crate::support::genuine;
use crate::support::stream::messages;
use crate::{As, Patched, Place};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

const RUNS: u64 = 200;

/// Numbers that are the same each time (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// Messages that no other run has, by their tags.
fn messages_of(run: u64, stream: &[u8], chance: &mut Chance) -> Vec<Vec<u8>> {
    let all: Vec<_> = messages(stream)
        .into_iter()
        .filter(|message| !message.records().is_empty())
        .collect();
    (0..40)
        .map(|number| {
            let message = all[chance.below(all.len() as u64) as usize];
            let id = format!("id {}", chance.below(5));
            Patched::of(message, 1 + chance.below(40) as usize)
                .tag(format!("{run} {number}").as_bytes())
                .id(id.as_bytes())
                .foreign_port(1 + chance.below(20) as u16)
                .0
        })
        .collect()
}

/// What is true right after a kill; gives the lines by name of file.
#[track_caller]
fn look(
    dir: &Path,
    known: &HashMap<String, serde_json::Value>,
) -> HashMap<String, serde_json::Value> {
    let mut told = HashMap::new();
    for line in index(&dir.join("records")) {
        let name = filename(&line).to_owned();
        let path = dir.join(&name);
        match known.get(&name) {
            Some(before) => {
                assert_eq!(before, &line);
                assert!(path.exists(), "{name} is gone");
            }
            None => {
                let content = content(&path);
                assert_eq!(line["record_count"], records(&content), "{line}");
                assert_eq!(line["bytes"], fs::metadata(&path).unwrap().len());
            }
        }
        let before = told.insert(name.clone(), line);
        assert!(before.is_none(), "{name} is told of twice");
    }
    for entry in fs::read_dir(dir).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "records" || name == ".lock" || name.ends_with(".part") {
            continue;
        }
        let under_way = dir.join(format!("{name}.part")).exists();
        assert!(
            told.contains_key(&name) || under_way,
            "{name} is told of nowhere"
        );
    }
    for name in known.keys() {
        assert!(told.contains_key(name), "the line of {name} is gone");
    }
    told
}

#[test]
fn two_hundred_kills() {
    let stream = genuine("base-v6");
    let place = Place::new(As::Nobody);
    let dir = place.dir();
    let mut chance = Chance(0x5eed_5eed_5eed_5eed);
    let mut known = HashMap::new();
    let (mut interrupted, mut left) = (0, 0);
    for run in 0..RUNS {
        let input = messages_of(run, &stream, &mut chance);
        let args = [
            "--split",
            chance.of(&["message", "connection", "log-id"]),
            "--compress",
            chance.of(&["none", "gzip", "zstd", "xz"]),
            "--rotate-size",
            chance.of(&["20000", "100000", "100M"]),
            "-j",
            chance.of(&["1", "2", "3"]),
        ];
        let mut collector = place.piped(&args);
        let mut pipe = collector.stdin.take().unwrap();
        // All at once, or one by one; the first is read when it is at work.
        let pause = Duration::from_micros(chance.below(2) * chance.below(1500));
        let feeding = std::thread::spawn(move || {
            for message in input {
                if pipe.write_all(&message).is_err() {
                    break;
                }
                std::thread::sleep(pause);
            }
        });
        let patience = std::time::Instant::now();
        let start = fs::metadata(dir.join("records")).map_or(0, |meta| meta.len());
        let is_late = chance.below(4) > 0;
        // From a start on or from the first line on.
        while is_late && patience.elapsed() < Duration::from_millis(200) {
            if fs::metadata(dir.join("records")).is_ok_and(|meta| meta.len() > start)
                || collector.child.try_wait().unwrap().is_some()
            {
                break;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        std::thread::sleep(Duration::from_micros(chance.below(40_000)));
        interrupted += u64::from(collector.child.try_wait().unwrap().is_none());
        collector.child.kill().unwrap();
        collector.child.wait().unwrap();
        feeding.join().unwrap();
        assert_eq!(
            collector.said().count("cannot be finished"),
            0,
            "{}",
            collector.said().0
        );
        known = look(&dir, &known);
        left += collector.said().count("left by an earlier run");
    }
    assert!(interrupted > RUNS / 4, "{interrupted} were at work");
    assert!(left > 0);
    let parts = || {
        let names = fs::read_dir(&dir).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.ends_with(".part"))
            .collect::<Vec<_>>()
    };
    let unfinished = parts();
    let said = place.piped(&[]).end(0);
    assert_eq!(parts(), Vec::<String>::new(), "{}", said.0);
    for part in &unfinished {
        let name = part.strip_suffix(".part").unwrap();
        let is_told = known.contains_key(name);
        assert!(is_told || said.count(name) == 1, "{name}: {}", said.0);
    }
    let recorded = Recorded::read(&dir);
    let all = recorded.unique();
    assert!(all.len() > 1000, "{}", all.len());
    let lines: HashSet<&str> = recorded.index.iter().map(filename).collect();
    for (name, line) in &known {
        assert!(lines.contains(name.as_str()), "{name}");
        let tags = tagged(&recorded.files[name]);
        assert_eq!(line["record_count"], tags.len() as u64, "{name}");
    }
}
