//! What may become of the directory before and while it is written into.

use crate::recorded::{Recorded, assert_all, filename, index, sorted};
use crate::support::genuine;
use crate::support::stream::messages;
use crate::{As, Place, until};
use nix::unistd::geteuid;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

/// Three messages with records.
fn three(stream: &[u8]) -> [&[u8]; 3] {
    let all = messages(stream).into_iter();
    let mut some = all.filter(|message| !message.records().is_empty());
    std::array::from_fn(|_| some.next().unwrap().bytes)
}

#[test]
fn it_is_made_if_its_parent_is_there() {
    let stream = genuine("base-v6");
    let place = Place::new(As::Nobody);
    fs::remove_dir(place.dir()).unwrap();
    place.record(&stream, &[], 0);
    let meta = fs::metadata(place.dir()).unwrap();
    assert_eq!(meta.permissions().mode() & 0o7027, 0, "{:o}", meta.mode());
    if geteuid().is_root() {
        assert_ne!(meta.uid(), 0, "it is nobody's");
    }
    assert_all(
        "made",
        &Recorded::read(&place.dir()).messages(),
        &sorted(&stream),
    );
    fs::remove_dir_all(place.dir()).unwrap();
    fs::remove_file(place.beside("stream")).unwrap();
    let below = place.dir().join("below");
    let dir = below.to_str().unwrap();
    let ran = crate::support::tcplog(["record", "-f", "/dev/null", "-D", dir]).ended(2);
    assert!(
        ran.stderr.contains("No such file or directory"),
        "{}",
        ran.stderr
    );
}

#[test]
fn one_that_cannot_be_written_is_refused() {
    let place = Place::new(As::Nobody);
    place.set_mode(0o555);
    let said = place.record(b"", &[], 2).0;
    assert!(said.contains(&place.dir().display().to_string()), "{said}");
    assert!(
        said.contains("cannot write here: Permission denied"),
        "{said}"
    );
}

#[test]
fn one_that_others_may_write_to_is_refused() {
    let place = Place::new(As::Nobody);
    for mode in [0o775, 0o757, 0o1777] {
        place.set_mode(mode);
        let said = place.record(b"", &[], 2).0;
        assert!(
            said.contains("others than its owner may write to it"),
            "{said}"
        );
    }
    place.set_mode(0o755);
    if geteuid().is_root() {
        chown(place.dir(), Some(12345), None).unwrap();
        let said = place.record(b"", &[], 2).0;
        assert!(said.contains("it belongs to user 12345"), "{said}");
    }
    assert_eq!(fs::read_dir(place.dir()).unwrap().count(), 0);
}

#[test]
fn a_link_to_a_directory_is_followed_and_judged() {
    let stream = genuine("base-v6");
    let place = Place::new(As::Nobody);
    let real = place.beside("real");
    fs::rename(place.dir(), &real).unwrap();
    symlink(&real, place.dir()).unwrap();
    place.record(&stream, &[], 0);
    assert_all("link", &Recorded::read(&real).messages(), &sorted(&stream));
    fs::set_permissions(&real, fs::Permissions::from_mode(0o777)).unwrap();
    let said = place.record(&stream, &[], 2).0;
    assert!(said.contains("its mode is 0777"), "{said}");
    fs::remove_file(place.dir()).unwrap();
    symlink(place.beside("nowhere"), place.dir()).unwrap();
    place.record(&stream, &[], 2);
    assert!(!place.beside("nowhere").exists());
}

#[test]
fn read_only_under_way() {
    let stream = genuine("multi");
    let [one, two, three] = three(&stream);
    let place = Place::new(As::Nobody);
    let mut collector = place.piped(&[]);
    let records = place.dir().join("records");
    collector.feed(one);
    until("a line", || index(&records).len() == 1);
    place.set_mode(0o555);
    collector.feed(two);
    collector.says("writing failed: Permission denied");
    place.set_mode(0o755);
    collector.feed(three);
    collector.says("writing works again; 1 messages with");
    let said = collector.end(1);
    let status = said.adds_up();
    assert_eq!(status["dropped_messages"], 1);
    assert_eq!(
        status["dropped_records"],
        messages(two)[0].records().len() as u64
    );
    let recorded = Recorded::read(&place.dir());
    assert_all(
        "the others",
        &recorded.messages(),
        &sorted(&[one, three].concat()),
    );
}

#[test]
fn removed_and_made_anew_under_way() {
    let stream = genuine("multi");
    let [one, two, three] = three(&stream);
    let place = Place::new(As::Nobody);
    let mut collector = place.piped(&["--split", "connection"]);
    collector.feed(one);
    let part = || fs::read_dir(place.dir()).unwrap().count() >= 3;
    until("a file", part);
    fs::remove_dir_all(place.dir()).unwrap();
    collector.says("the directory cannot be used: No such file or directory");
    collector.feed(two);
    collector.says("writing failed");
    fs::create_dir(place.dir()).unwrap();
    place.give_away(&place.dir());
    collector.says("new files go there");
    collector.feed(three);
    collector.says("writing works again");
    let said = collector.end(1);
    said.adds_up();
    assert_eq!(said.count("cannot be used"), 1, "{}", said.0);
    let recorded = Recorded::read(&place.dir());
    assert_all("the third", &recorded.messages(), &sorted(three));
    assert_eq!(said.status()["written"], recorded.records());
}

#[test]
fn an_index_that_is_removed_is_made_anew() {
    let stream = genuine("multi");
    let [one, two, three] = three(&stream);
    let place = Place::new(As::Nobody);
    let mut collector = place.piped(&[]);
    let records = place.dir().join("records");
    collector.feed(one);
    until("a line", || index(&records).len() == 1);
    let before = index(&records);
    fs::remove_file(&records).unwrap();
    collector.feed(two);
    collector.feed(three);
    collector.end(0).adds_up();
    let mut lines = index(&records);
    assert_eq!(lines.len(), 2, "lines after the first");
    lines.extend(before);
    let files = fs::read_dir(place.dir()).unwrap();
    let files = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> = files.filter(|name| name.contains(".pcapng")).collect();
    files.sort();
    let mut told: Vec<&str> = lines.iter().map(filename).collect();
    told.sort_unstable();
    assert_eq!(files, told);
}
