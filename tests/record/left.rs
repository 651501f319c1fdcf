//! What an earlier run may have left, or somebody may have put there to look
//! like it.

use crate::recorded::{Recorded, assert_all, content, filename, index, sorted};
use crate::support::genuine;
use crate::support::stream::blocks;
use crate::{As, Place};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

/// A directory with one finished file.
fn finished(compress: &str) -> (Place, PathBuf, Vec<u8>) {
    let place = Place::new(As::Nobody);
    let stream = genuine("base-v6");
    let args = ["--split", "log-id", "--id", "*", "--compress", compress];
    place.record(&stream, &args, 0);
    let recorded = Recorded::read(&place.dir());
    let line = recorded
        .index
        .iter()
        .max_by_key(|line| line["bytes"].as_u64());
    let name = filename(line.unwrap()).to_owned();
    for other in recorded.files.keys().filter(|other| **other != name) {
        fs::remove_file(place.dir().join(other)).unwrap();
    }
    let content = recorded.files[&name].clone();
    let line = format!("{}\n", line.unwrap());
    fs::write(place.dir().join("records"), line).unwrap();
    let path = place.dir().join(name);
    (place, path, content)
}

fn part_of(path: &std::path::Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// A start that finds nothing to read.
#[track_caller]
fn start(place: &Place) -> crate::Said {
    place.record(b"", &[], 0)
}

const COMPRESS: [&str; 4] = ["none", "gzip", "zstd", "xz"];

#[test]
fn killed_between_any_two_steps_of_finishing() {
    for compress in COMPRESS {
        for step in 0..5 {
            let (place, path, wanted) = finished(compress);
            let records = place.dir().join("records");
            let part = part_of(&path);
            match step {
                // Written, and no more.
                0 => {
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
                    fs::rename(&path, &part).unwrap();
                    fs::write(&records, "").unwrap();
                }
                // With its final mode.
                1 => {
                    fs::rename(&path, &part).unwrap();
                    fs::write(&records, "").unwrap();
                }
                // With both names.
                2 => {
                    fs::hard_link(&path, &part).unwrap();
                    fs::write(&records, "").unwrap();
                }
                // With half a line.
                3 => {
                    fs::hard_link(&path, &part).unwrap();
                    let line = fs::read(&records).unwrap();
                    fs::write(&records, &line[..line.len() / 2]).unwrap();
                }
                // With a line.
                _ => fs::hard_link(&path, &part).unwrap(),
            }
            let said = start(&place);
            let what = format!("{compress}, step {step}: {}", said.0);
            assert!(!part.exists(), "{what}");
            let recorded = Recorded::read(&place.dir());
            assert_eq!(recorded.files.len(), 1, "{what}");
            assert!(content(&path) == wanted, "{what}");
            let told = usize::from(step < 4);
            assert_eq!(
                said.count("left by an earlier run; finished with"),
                told,
                "{what}"
            );
            assert_eq!(said.status()["errors"], 0, "{what}");
            assert_eq!(recorded.index[0]["recovered"] == true, step < 4, "{what}");
            // The next start has nothing left to say.
            let again = start(&place);
            assert_eq!(again.0.lines().count(), 1, "{}", again.0);
        }
    }
}

#[test]
fn a_torn_end_is_cut_off() {
    for compress in COMPRESS {
        let (place, path, whole) = finished(compress);
        let part = part_of(&path);
        fs::rename(&path, &part).unwrap();
        fs::set_permissions(&part, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(place.dir().join("records"), "").unwrap();
        let bytes = fs::read(&part).unwrap();
        let (kept, torn) = match compress {
            // The last block goes.
            "none" => {
                let last = blocks(&whole).last().unwrap().bytes.len();
                (
                    whole[..whole.len() - last].to_vec(),
                    bytes[..bytes.len() - 1].to_vec(),
                )
            }
            // The last frame goes.
            _ => (whole, [&bytes[..], &bytes[..bytes.len() - 1]].concat()),
        };
        fs::write(&part, &torn).unwrap();
        let said = start(&place);
        assert_eq!(
            said.count("left by an earlier run; finished with"),
            1,
            "{}",
            said.0
        );
        Recorded::read(&place.dir());
        assert!(content(&path) == kept, "{compress}: {}", said.0);
    }
}

/// A file that has both names takes up room once.
#[test]
fn the_disk_budget_counts_a_file_once() {
    for is_told in [true, false] {
        let (place, path, wanted) = finished("none");
        fs::hard_link(&path, part_of(&path)).unwrap();
        if !is_told {
            fs::write(place.dir().join("records"), "").unwrap();
        }
        let budget = (wanted.len() * 3 / 2).to_string();
        let said = place.record(b"", &["--max-disk", &budget], 0);
        assert_eq!(said.status()["removed"], 0, "{}", said.0);
        assert!(fs::read(&path).unwrap() == wanted);
        // Once it is finished, it may go.
        let said = place.record(b"", &["--max-disk", "1"], 0);
        assert_eq!(said.status()["removed"], 1, "{}", said.0);
        assert!(!path.exists());
    }
}

/// What unpacks to a gigabyte of nothing does not keep a start busy.
#[test]
fn a_bomb_is_not_unpacked_to_its_end() {
    let place = Place::new(As::Nobody);
    let part = place.dir().join("bomb.0.pcapng.zst.part");
    let mut bomb = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    let mut zeros = std::io::repeat(0).take(1 << 30);
    std::io::copy(&mut zeros, &mut bomb).unwrap();
    fs::write(&part, bomb.finish().unwrap()).unwrap();
    place.give_away(&part);
    let said = place.piped(&[]).end(0);
    let wanted = "bomb.0.pcapng.zst: left by an earlier run without a whole record; removed";
    assert_eq!(said.count(wanted), 1, "{}", said.0);
    assert!(!part.exists());
}

#[test]
fn half_a_line_of_the_index_goes() {
    let (place, _, _) = finished("none");
    let records = place.dir().join("records");
    let line = fs::read(&records).unwrap();
    fs::write(&records, [&line[..], &line[..40]].concat()).unwrap();
    start(&place);
    assert_eq!(index(&records).len(), 1);
}

#[test]
fn what_only_looks_like_a_part_harms_nothing() {
    let stream = genuine("base-v6");
    let place = Place::new(As::Nobody);
    let dir = place.dir();
    let victim = place.beside("victim");
    let precious = genuine("base-tso");
    fs::write(&victim, &precious).unwrap();
    symlink(&victim, dir.join("link.0.pcapng.part")).unwrap();
    mkfifo(&dir.join("fifo.0.pcapng.part"), Mode::S_IRWXU).unwrap();
    fs::create_dir(dir.join("directory.0.pcapng.part")).unwrap();
    let zeros = vec![0; 20_000_000];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&zeros).unwrap();
    let removed: &[(&str, &[u8])] = &[
        ("empty.0.pcapng.part", b""),
        ("empty.0.pcapng.zst.part", b""),
        ("empty.0.pcapng.gz.part", b""),
        ("empty.0.pcapng.xz.part", b""),
        ("garbage.0.pcapng.part", b"\x1b[2Jgarbage"),
        ("garbage.0.pcapng.zst.part", b"garbage"),
        ("garbage.0.pcapng.xz.part", &[0xff; 5000]),
        ("zeros.0.pcapng.part", &zeros[..5000]),
    ];
    let kept: &[(&str, Vec<u8>)] = &[
        (
            "bomb.0.pcapng.zst.part",
            zstd::encode_all(&zeros[..], 3).unwrap(),
        ),
        ("bomb.0.pcapng.gz.part", gzip.finish().unwrap()),
        ("other.part", b"not ours".to_vec()),
        (
            "\x1b[2J.pcapng.zst.part",
            zstd::encode_all(&zeros[..5000], 3).unwrap(),
        ),
    ];
    let all = removed.iter().map(|(name, bytes)| (name, *bytes));
    for (name, bytes) in all.chain(kept.iter().map(|(name, bytes)| (name, &bytes[..]))) {
        fs::write(dir.join(name), bytes).unwrap();
        place.give_away(&dir.join(name));
    }
    let said = place.record(&stream, &[], 0);
    assert!(!said.0.contains('\x1b'), "{}", said.0);
    for (name, _) in removed {
        assert!(!dir.join(name).exists(), "{name}: {}", said.0);
        let name = name.strip_suffix(".part").unwrap();
        assert_eq!(
            said.count(&format!("{name}: left by an earlier run")),
            1,
            "{}",
            said.0
        );
    }
    assert_eq!(fs::read(&victim).unwrap(), precious);
    assert_eq!(fs::read(dir.join("other.part")).unwrap(), b"not ours");
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let is_part = path.extension().is_some_and(|end| end == "part");
        match fs::symlink_metadata(&path).unwrap().is_dir() {
            true => fs::remove_dir(&path).unwrap(),
            false if is_part => fs::remove_file(&path).unwrap(),
            false => {}
        }
    }
    let recorded = Recorded::read(&dir);
    assert_all("what was read", &recorded.messages(), &sorted(&stream));
}
