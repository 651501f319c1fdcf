//! Log IDs, tags and reasons are chosen by whoever runs a program on the
//! host: none leaves the directory, breaks the index or reaches a terminal.

use crate::recorded::{Recorded, assert_all, sorted};
use crate::support::genuine;
use crate::support::stream::messages;
use crate::{As, Patched, Place, with_more_than};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

/// What a program may call itself.
fn names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        &b"/etc/passwd"[..],
        b"../../../../tmp/tcplog-was-here",
        b"..",
        b".",
        b".lock",
        b"records",
        b"-rf",
        b"a/../b",
        b"line\nfeed\r\n{\"filename\":\"x\"}",
        b"\x1b]0;title\x07\x1b[2J\x1b[31m",
        b"quote\"back\\slash'`$(true)`",
        b"\xff\xfe\xc0\xaf\xed\xa0\x80",
        "\u{202e}gnp.exe\u{202c}".as_bytes(),
        "\u{200b}\u{feff}invisible".as_bytes(),
        "\u{85}\u{9b}31m".as_bytes(),
        b" leading and trailing ",
        b"%s%n%00%2e%2e",
        b"con.pcapng.part",
        b"\x01\x02\x03\x7f",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    for byte in [b'/', b'.', b'\n', b'"', b'\\', 0x1b, 0x80, 0xff, b'A'] {
        names.push(vec![byte; 63]);
    }
    names.push("\u{202e}".repeat(21).into_bytes());
    names.push((1..64).collect());
    names.push((193..=255).collect());
    names
}

fn short(name: &[u8]) -> &[u8] {
    &name[..name.len().min(31)]
}

#[track_caller]
fn is_plain(what: &str, text: &str) {
    let plain = |c: char| c == '\n' || (!c.is_control() && !"\u{202e}\u{200b}\u{feff}".contains(c));
    assert!(text.chars().all(plain), "{what}: {text:?}");
}

#[test]
fn names_from_hell() {
    let stream = genuine("kernel-ids");
    let message = Patched::of(with_more_than(&stream, 5), 5);
    let names = names();
    let mut input = Vec::new();
    for name in &names {
        let message = Patched(message.0.clone()).id(name);
        input.extend(message.reason(short(name)).tag(short(name)).0);
    }
    for split in ["message", "connection", "log-id"] {
        for compress in ["none", "gzip"] {
            let place = Place::new(As::Nobody);
            let log = place.beside("log");
            let args = ["--split", split, "--compress", compress];
            let args = [&args[..], &["--comments", "--max-disk", "20000"]].concat();
            let said = place.record(&input, &args, 0);
            is_plain("standard error", &said.0);
            Recorded::without_removed(&place.dir());
            let place = Place::new(As::Nobody);
            let args = ["--split", split, "--compress", compress];
            let args = [&args[..], &["--log", log.to_str().unwrap(), "-v"]].concat();
            let said = place.record(&input, &args, 0);
            assert_eq!(said.0, "");
            is_plain("log", &fs::read_to_string(&log).unwrap());
            is_plain(
                "index",
                &fs::read_to_string(place.dir().join("records")).unwrap(),
            );
            // Beside the directory there is only what was there.
            assert_eq!(fs::read_dir(place.beside("")).unwrap().count(), 2);
            let recorded = Recorded::read(&place.dir());
            assert_all(split, &recorded.messages(), &sorted(&input));
            if split == "connection" {
                continue;
            }
            let mut left: BTreeSet<&[u8]> = names.iter().map(Vec::as_slice).collect();
            for line in &recorded.index {
                let name = line["filename"].as_str().unwrap();
                is_plain("name", name);
                assert!(
                    !name.starts_with(['.', '-']) && !name.contains('/'),
                    "{name}"
                );
                let id = exact(line, "pbcid");
                assert!(left.remove(id.as_slice()), "{line}");
                assert_eq!(exact(line, "tag"), short(&id), "{line}");
                assert_eq!(exact(line, "reason"), short(&id), "{line}");
            }
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

/// The exact bytes of a text of the index.
fn exact(line: &serde_json::Value, key: &str) -> Vec<u8> {
    match line[format!("{key}_hex")].as_str() {
        None => line[key].as_str().unwrap().as_bytes().to_vec(),
        Some(hex) => {
            let digits = hex.as_bytes().chunks(2);
            let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
            digits.map(|pair| byte(pair).unwrap()).collect()
        }
    }
}

#[test]
fn names_that_are_taken_are_left_alone() {
    let stream = genuine("base-v6");
    let wanted = sorted(&stream);
    let place = Place::new(As::Nobody);
    place.record(&stream, &[], 0);
    let names: Vec<String> = Recorded::read(&place.dir()).files.into_keys().collect();
    let place = Place::new(As::Nobody);
    let victim = place.beside("victim");
    fs::write(&victim, "precious").unwrap();
    place.give_away(&victim);
    let dir = place.dir();
    for (at, name) in names.iter().enumerate() {
        let (path, part) = (dir.join(name), dir.join(format!("{name}.part")));
        match at % 4 {
            0 => symlink(&victim, path).unwrap(),
            1 => fs::create_dir(path).unwrap(),
            2 => symlink(&victim, part).unwrap(),
            _ => fs::create_dir(part).unwrap(),
        }
    }
    place.record(&stream, &[], 0).adds_up();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    for (at, name) in names.iter().enumerate() {
        let path = match at % 4 {
            0 | 1 => dir.join(name),
            _ => dir.join(format!("{name}.part")),
        };
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        assert_eq!(
            (kind.is_symlink(), kind.is_dir()),
            (at % 2 == 0, at % 2 == 1),
            "{path:?}"
        );
        match kind.is_dir() {
            true => fs::remove_dir(&path).unwrap(),
            false => fs::remove_file(&path).unwrap(),
        }
    }
    let recorded = Recorded::read(&dir);
    assert_all("the others", &recorded.messages(), &wanted);
    assert!(names.iter().all(|name| !recorded.files.contains_key(name)));
}

#[test]
fn lock_index_and_log_are_no_way_out() {
    let stream = genuine("base-v6");
    assert!(!messages(&stream).is_empty());
    for name in [".lock", "records"] {
        let place = Place::new(As::Nobody);
        let victim = place.beside("victim");
        fs::write(&victim, "precious\nand half a line").unwrap();
        place.give_away(&victim);
        symlink(&victim, place.dir().join(name)).unwrap();
        place.record(&stream, &[], 2);
        assert_eq!(
            fs::read(&victim).unwrap(),
            b"precious\nand half a line",
            "{name}"
        );
        fs::remove_file(place.dir().join(name)).unwrap();
        fs::create_dir(place.dir().join(name)).unwrap();
        place.record(&stream, &[], 2);
    }
}
