//! The same records out of other containers, out of pieces, and out of memory
//! that lost its addresses.

use crate::support::memory::{self, DIRECT_MAP, Made, PAGE, Pages};
use crate::support::{put, stored};
use crate::truth::{
    End, Found, Key, Record, Truth, count, found, found_in, missing, segments, stored_core,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::OnceLock;
use tcplog::memory::{AddressSpace, OpenOptions, open};

type Ends = Option<(End, End)>;

/// A genuine image and what is found in it where nothing is missing.
struct Genuine {
    bytes: Vec<u8>,
    found: Found,
    truth: Truth,
}

impl Genuine {
    fn get(name: &'static str) -> &'static Genuine {
        static ALL: [OnceLock<Genuine>; 2] = [OnceLock::new(), OnceLock::new()];
        let place = &ALL[usize::from(name == "live.elf")];
        place.get_or_init(|| Genuine {
            bytes: stored(&format!("cores/{name}.zst")),
            found: found(&[stored_core(name)], &[]),
            truth: Truth::of(name),
        })
    }

    /// Memory without what says where it lies: pieces of it one after the other.
    fn memory(&self) -> Vec<u8> {
        let mut memory = Vec::new();
        for (_, offset, len) in segments(&self.bytes) {
            memory.extend(&self.bytes[offset as usize..(offset + len) as usize]);
        }
        memory
    }

    /// Nothing of the truth is missing, and nothing is there that was not
    /// there before.
    #[track_caller]
    fn check_records(&self, what: &str, got: &Found) {
        let keys = got.keys();
        let lost = missing(&self.truth.keys(&self.found), &keys);
        assert!(
            lost.is_empty(),
            "{what}: lost {} {:?}",
            lost.len(),
            lost.first()
        );
        let more = missing(&keys, &self.found.keys());
        assert!(
            more.is_empty(),
            "{what}: more {} {:?}",
            more.len(),
            more.first()
        );
    }

    #[track_caller]
    fn check_ends(&self, what: &str, got: &Found) {
        let lost = missing(&ends(&self.found), &ends(got));
        let lost: Vec<_> = lost
            .into_iter()
            .filter(|(_, ends)| ends.is_some())
            .collect();
        assert!(
            lost.is_empty(),
            "{what}: lost {} {:?}",
            lost.len(),
            lost.first()
        );
    }

    /// No record has other ends than it had.
    #[track_caller]
    fn check_no_other_ends(&self, what: &str, got: &Found) {
        let known = ends(&self.found);
        for record in got.records.iter().filter(|record| record.ends.is_some()) {
            let key = (record.key(), record.ends.clone());
            assert!(known.contains_key(&key), "{what}: {record:?}");
        }
    }

    #[track_caller]
    fn check_packets(&self, what: &str, got: &Found) {
        let wanted = count(self.found.packet_bytes().into_iter());
        let lost = missing(&wanted, &count(got.packet_bytes().into_iter()));
        assert!(
            lost.is_empty(),
            "{what}: lost {} of {}",
            lost.len(),
            wanted.len()
        );
    }
}

fn ends(found: &Found) -> BTreeMap<(Key, Ends), usize> {
    count(
        found
            .records
            .iter()
            .map(|record| (record.key(), record.ends.clone())),
    )
}

/// All pages of the crash dump, by physical address.
fn pages() -> &'static Pages {
    static PAGES: OnceLock<Pages> = OnceLock::new();
    PAGES.get_or_init(|| {
        let image = open(&stored_core("kernel-vmcore"), &OpenOptions::default()).unwrap();
        let mut pages = Pages::new();
        let mut scratch = Vec::new();
        for extent in image.extents() {
            for start in (0..extent.len).step_by(PAGE as usize) {
                let page = image.bytes(extent.offset + start, PAGE as usize, &mut scratch);
                pages.insert(extent.physical.unwrap() + start, page.to_vec());
            }
        }
        pages
    })
}

/// Those of them in which records are, and one behind each.
fn slabs() -> Pages {
    let genuine = Genuine::get("kernel-vmcore");
    let mut slabs = Pages::new();
    for record in &genuine.found.records {
        let first = (record.item.unwrap() - DIRECT_MAP) / PAGE * PAGE;
        for physical in [first, first + PAGE] {
            if let Some(page) = pages().get(&physical) {
                slabs.insert(physical, page.clone());
            }
        }
    }
    assert!(slabs.len() > 60, "{}", slabs.len());
    slabs
}

/// The arguments that an image needs which does not say its addresses.
fn arguments(made: &Made) -> Vec<String> {
    let ranges = made.physical_map.iter();
    ranges
        .flat_map(|(offset, physical, len)| {
            [
                "--physical-map".to_owned(),
                format!("{offset:#x}:{physical:#x}:{len:#x}"),
            ]
        })
        .collect()
}

#[track_caller]
fn found_in_made(made: &Made) -> Found {
    let arguments = arguments(made);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let found = found_in(&made.bytes, &arguments);
    // That LiME and plain memory do not tell the machine is said; it is no damage.
    assert_eq!(found.ran.status, 0, "{}: {}", made.name, found.ran.stderr);
    found
}

/// A machine of 32 bits writes other records.
fn has_such_records(made: &Made) -> bool {
    !made.name.contains("i386")
}

#[test]
fn records_in_every_container() {
    let genuine = Genuine::get("kernel-vmcore");
    let slabs = slabs();
    for made in memory::all(&slabs)
        .iter()
        .filter(|made| has_such_records(made))
    {
        let found = found_in_made(made);
        genuine.check_records(&made.name, &found);
        genuine.check_no_other_ends(&made.name, &found);
        // Of genuine addresses, moved as the pages were.
        if made.direct_map == Some(DIRECT_MAP) {
            let items = |found: &Found| found.records.iter().map(|record| record.item).collect();
            let all: BTreeSet<_> = items(&genuine.found);
            let here: BTreeSet<_> = items(&found);
            assert!(here.is_subset(&all), "{}", made.name);
        }
    }
}

/// With all of the memory and its page tables the connections are there as well.
#[test]
fn everything_in_minidumps_of_all_memory() {
    let genuine = Genuine::get("kernel-vmcore");
    for version in [2, 3] {
        let bytes = memory::minidump_again(&genuine.bytes, version);
        let found = found_in(&bytes, &[]);
        let what = format!("version {version}");
        assert_eq!(found.ran.status, 0, "{what}: {}", found.ran.stderr);
        genuine.check_records(&what, &found);
        genuine.check_ends(&what, &found);
        genuine.check_packets(&what, &found);
        let dead = |found: &Found| {
            found
                .records
                .iter()
                .filter(|one| one.life == "dead")
                .count()
        };
        assert_eq!(dead(&found), dead(&genuine.found), "{what}");
    }
}

/// Containers whose tables map the kernel otherwise than the kernel did: what
/// the direct map leads to is there.
#[test]
fn records_in_containers_of_all_memory() {
    let genuine = Genuine::get("kernel-vmcore");
    for made in [memory::full_dump(pages()), memory::lime(pages())] {
        let found = found_in_made(&made);
        genuine.check_records(&made.name, &found);
        genuine.check_no_other_ends(&made.name, &found);
        let joined = found
            .records
            .iter()
            .filter(|one| one.ends.is_some())
            .count();
        assert!(joined >= KERNEL_JOINED, "{}: {joined}", made.name);
    }
}

#[test]
fn compressed_containers() {
    let genuine = Genuine::get("live.elf");
    for (name, bytes) in [
        ("gzip", memory::gzip(&genuine.bytes)),
        ("xz", memory::xz(&genuine.bytes)),
        ("zstd", memory::zstd(&genuine.bytes)),
        ("twice", memory::gzip(&memory::zstd(&genuine.bytes))),
    ] {
        let found = found_in(&bytes, &[]);
        if name == "twice" && found.ran.status != 0 {
            continue;
        }
        assert_eq!(found.ran.status, 0, "{name}: {}", found.ran.stderr);
        assert_eq!(found.keys(), genuine.found.keys(), "{name}");
        genuine.check_ends(name, &found);
        genuine.check_packets(name, &found);
    }
}

/// Segments one after the other, from an odd place on.
#[test]
fn memory_without_addresses() {
    for lead in [0, 1, 777] {
        let genuine = Genuine::get("live.elf");
        let mut bytes = vec![0x5a; lead];
        bytes.extend(genuine.memory());
        let found = found_in(&bytes, &[]);
        let what = format!("live {lead}");
        genuine.check_records(&what, &found);
        genuine.check_ends(&what, &found);
        genuine.check_packets(&what, &found);
    }
    let genuine = Genuine::get("kernel-vmcore");
    let mut bytes = vec![0x5a; 1003];
    for page in pages().values() {
        bytes.extend(page);
    }
    let found = found_in(&bytes, &[]);
    genuine.check_records("kernel", &found);
    genuine.check_no_other_ends("kernel", &found);
    let joined = found
        .records
        .iter()
        .filter(|one| one.ends.is_some())
        .count();
    assert!(joined >= KERNEL_JOINED, "{joined}");
    assert!(
        found.packets.len() >= KERNEL_PACKETS,
        "{}",
        found.packets.len()
    );
}

/// Of the crash dump's pages without addresses: pages of connections and of
/// packets between which memory is left out do not all tell where they lie.
const KERNEL_JOINED: usize = 740;
const KERNEL_PACKETS: usize = 110;

/// Cuts that fall anywhere, also into records.
fn slices(bytes: &[u8], len: usize) -> Vec<(usize, &[u8])> {
    bytes
        .chunks(len)
        .enumerate()
        .map(|(number, slice)| (number * len, slice))
        .collect()
}

/// Those whose record, with the link in front, lies over a cut.
fn is_cut(offset: usize, len: usize) -> bool {
    (offset - 8) / len != (offset + 327) / len
}

#[test]
fn slices_in_order() {
    for (name, len) in [
        ("live.elf", 100_003),
        ("live.elf", 250_007),
        ("kernel-vmcore", 700_007),
    ] {
        let genuine = Genuine::get(name);
        let bytes = match name {
            "live.elf" => genuine.memory(),
            _ => pages().values().flatten().copied().collect(),
        };
        let dir = tempfile::tempdir().unwrap();
        let all = slices(&bytes[13..], len);
        let paths: Vec<PathBuf> = all
            .iter()
            .map(|(at, slice)| put(dir.path(), &format!("part{at:09}"), slice))
            .collect();
        let together = found(&paths, &[]);
        let what = format!("{name} {len}");
        assert_eq!(together.ran.status, 0, "{what}");
        genuine.check_records(&what, &together);
        let cut = together
            .records
            .iter()
            .filter(|one| is_cut(one.offset as usize, len))
            .count();
        assert!(cut > 0, "{what}: no cut meets a record");
        if name == "live.elf" {
            genuine.check_ends(&what, &together);
            genuine.check_packets(&what, &together);
        }
    }
}

/// Each slice for itself: all records but those that are cut, and those whose
/// signs lie elsewhere.
#[test]
fn slices_alone() {
    let genuine = Genuine::get("live.elf");
    let bytes = genuine.memory();
    let whole = found_in(&bytes, &[]);
    let len = 500_009;
    let mut apart: Vec<Record> = Vec::new();
    for (at, slice) in slices(&bytes, len) {
        let found = found_in(slice, &[]);
        assert!(
            [0, 1].contains(&found.ran.status),
            "{at}: {}",
            found.ran.stderr
        );
        apart.extend(found.records.into_iter().map(|record| Record {
            offset: record.offset + at as u64,
            ..record
        }));
    }
    let places: BTreeSet<u64> = apart.iter().map(|record| record.offset).collect();
    let lost: Vec<&Record> = whole
        .records
        .iter()
        .filter(|record| !places.contains(&record.offset) && !is_cut(record.offset as usize, len))
        .collect();
    assert!(lost.is_empty(), "{} {:?}", lost.len(), lost.first());
    let more = missing(&count(apart.iter().map(Record::key)), &whole.keys());
    assert!(more.is_empty(), "{} {:?}", more.len(), more.first());
}
