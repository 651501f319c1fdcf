//! Images that are cut off or that lie: an error or part of what was there,
//! and always an end.

use crate::support::memory::{self, DIRECT_MAP, PAGE, Pages};
use crate::support::stored;
use crate::truth::{Found, Key, Record, Truth, count, found, found_in, missing, stored_core};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use tcplog::memory::{AddressSpace, OpenOptions, open};

/// A process core with records, as bytes.
struct Core {
    bytes: Vec<u8>,
    found: Found,
    truth: BTreeMap<Key, usize>,
}

impl Core {
    fn get(name: &'static str) -> &'static Core {
        static ALL: [OnceLock<Core>; 2] = [OnceLock::new(), OnceLock::new()];
        ALL[usize::from(name == "live.elf")].get_or_init(|| {
            let found = found(&[stored_core(name)], &[]);
            Core {
                bytes: stored(&format!("cores/{name}.zst")),
                truth: Truth::of(name).keys(&found),
                found,
            }
        })
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        let in_page = |record: &&Record| (record.item.unwrap() % PAGE).is_multiple_of(408);
        self.found.records.iter().filter(in_page)
    }

    /// Everything is found that the lists held, and nothing that was not there.
    #[track_caller]
    fn check(&self, what: &str, got: &Found) {
        assert_eq!(got.ran.status, 0, "{what}: {}", got.ran.stderr);
        let keys = got.keys();
        assert_eq!(missing(&self.truth, &keys), [], "{what}");
        let known = count(self.found.records.iter().map(Record::key));
        let more: Vec<&Key> = keys
            .keys()
            .filter(|key| !known.contains_key(*key))
            .collect();
        assert!(more.is_empty(), "{what}: {more:?}");
    }
}

fn put(bytes: &mut [u8], at: u64, value: u64) {
    bytes[at as usize..at as usize + 8].copy_from_slice(&value.to_le_bytes());
}

/// Numbers that are the same in every run (xorshift64*).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[test]
fn links_that_lead_nowhere_or_in_circles() {
    let core = Core::get("live.elf");
    let all: Vec<&Record> = core.records().collect();
    let items: Vec<u64> = all.iter().map(|record| record.item.unwrap()).collect();
    let mut noise = Noise(77);
    type Link<'a> = Box<dyn FnMut(usize) -> u64 + 'a>;
    let ways: [(&str, Link<'_>); 6] = [
        ("to itself", Box::new(|at| items[at])),
        ("back and forth", Box::new(|at| items[at ^ 1])),
        (
            "round",
            Box::new(|at| items[if at % 7 == 6 { at - 6 } else { at + 1 } % items.len()]),
        ),
        ("all to one", Box::new(|_| items[3])),
        (
            "anywhere",
            Box::new(|at| items[noise.next() as usize % items.len()] + 8 * (at as u64 % 2)),
        ),
        ("far away", Box::new(|at| u64::MAX - at as u64)),
    ];
    for (what, mut link) in ways {
        let mut bytes = core.bytes.clone();
        for (at, record) in all.iter().enumerate().take(items.len() / 2 * 2) {
            put(&mut bytes, record.offset - 8, link(at));
        }
        core.check(what, &found_in(&bytes, &[]));
        // Without addresses the links are what tells them.
        let raw = found_in(&bytes[4097..], &[]);
        assert_eq!(missing(&core.truth, &raw.keys()), [], "{what}");
    }
}

#[test]
fn heads_with_wrong_counts_and_ends() {
    let core = Core::get("live.elf");
    let items: BTreeSet<u64> = core.records().map(|record| record.item.unwrap()).collect();
    let word = |at: usize| u64::from_le_bytes(core.bytes[at..at + 8].try_into().unwrap());
    let is_head = |at: &usize| items.contains(&word(*at)) && items.contains(&word(*at + 8));
    let heads: Vec<usize> = (0..core.bytes.len() - 32)
        .step_by(8)
        .filter(is_head)
        .collect();
    assert!(heads.len() >= 7, "{}", heads.len());
    let (mut counts, mut ends, mut starts) =
        (core.bytes.clone(), core.bytes.clone(), core.bytes.clone());
    for head in heads {
        // The counts of a connection, and of a node or an entry of the queue.
        for at in [head - 20, head + 16] {
            counts[at..at + 4].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
        }
        put(&mut ends, head as u64 + 8, *items.first().unwrap());
        put(&mut starts, head as u64, *items.last().unwrap());
    }
    let same = found_in(&counts, &[]);
    core.check("counts", &same);
    assert_eq!(same.records.len(), core.found.records.len());
    core.check("ends", &found_in(&ends, &[]));
    core.check("starts", &found_in(&starts, &[]));
}

#[test]
fn messages_with_wrong_lengths() {
    let core = Core::get("idle.elf");
    let mut headers = Vec::new();
    for at in memchr::memmem::find_iter(&core.bytes, &[9, 0, 0, 0, 1, 0, 0, 0]) {
        let header = &core.bytes[at..at + 208];
        let length = u64::from_le_bytes(header[8..16].try_into().unwrap());
        if (208..1 << 20).contains(&length) && [2, 28].contains(&header[200]) {
            headers.push((at, length));
        }
    }
    assert!(!headers.is_empty());
    let lies: [fn(u64) -> u64; 8] = [
        |_| 0,
        |_| u64::MAX,
        |_| 1 << 63,
        |_| 1 << 30,
        |length| length - 1,
        |length| length + 1,
        |length| length * 50,
        |_| 209,
    ];
    for lie in lies {
        let mut bytes = core.bytes.clone();
        for (at, length) in &headers {
            put(&mut bytes, *at as u64 + 8, lie(*length));
        }
        core.check("lengths", &found_in(&bytes, &[]));
    }
}

#[test]
fn poison() {
    let core = Core::get("live.elf");
    let page = |record: &Record| record.offset / PAGE;
    let mut bytes = core.bytes.clone();
    let poison = 0xdead_c0deu32.to_le_bytes().repeat(PAGE as usize / 4);
    let pages: BTreeSet<u64> = core.records().map(page).collect();
    let gone: BTreeSet<u64> = pages.iter().copied().step_by(2).collect();
    for page in &gone {
        let start = (page * PAGE) as usize;
        bytes[start..start + PAGE as usize].copy_from_slice(&poison);
    }
    let found = found_in(&bytes, &[]);
    assert_eq!(found.ran.status, 0);
    assert!(
        found
            .records
            .iter()
            .all(|record| !gone.contains(&page(record)))
    );
    let places: BTreeSet<u64> = found.records.iter().map(|record| record.offset).collect();
    for record in core.records() {
        assert!(
            gone.contains(&page(record)) || places.contains(&record.offset),
            "{record:?}"
        );
    }
    // Half of each item, as a copy that was torn apart.
    let mut bytes = core.bytes.clone();
    for record in core.records() {
        let at = record.offset as usize;
        bytes[at + 40..at + 320].copy_from_slice(&poison[..280]);
    }
    let found = found_in(&bytes, &[]);
    let torn = found
        .records
        .iter()
        .filter(|one| one.iss == 0xdead_c0de)
        .count();
    assert_eq!(torn, 0);
}

/// Pages of records out of the crash dump.
fn slabs() -> (Pages, BTreeSet<Key>) {
    let path = stored_core("kernel-vmcore");
    let all = found(&[&path], &[]);
    let image = open(&path, &OpenOptions::default()).unwrap();
    let mut slabs = Pages::new();
    for record in &all.records {
        let physical = (record.item.unwrap() - DIRECT_MAP) / PAGE * PAGE;
        let mut page = vec![0; PAGE as usize];
        assert_eq!(image.read_physical(physical, &mut page), page.len());
        slabs.insert(physical, page);
    }
    (slabs, all.records.iter().map(Record::key).collect())
}

#[track_caller]
fn check_part(what: &str, known: &BTreeSet<Key>, got: &Found) {
    assert!((0..=2).contains(&got.ran.status), "{what}: {:?}", got.ran);
    let says = !got.ran.stderr.is_empty();
    assert!(says || got.ran.status == 0, "{what}: says nothing");
    for record in &got.records {
        assert!(known.contains(&record.key()), "{what}: {record:?}");
    }
}

#[test]
fn containers_that_are_cut_off() {
    let (slabs, known) = slabs();
    for made in memory::all(&slabs) {
        if made.name.contains("i386") {
            continue;
        }
        let len = made.bytes.len();
        let mut most = 0;
        for at in [
            0,
            1,
            25,
            63,
            64,
            100,
            511,
            512,
            4095,
            4097,
            12_289,
            len / 3,
            len / 2,
            len - 1,
        ] {
            let what = format!("{} cut at {at} of {len}", made.name);
            let found = found_in(&made.bytes[..at.min(len)], &[]);
            check_part(&what, &known, &found);
            most = most.max(found.records.len());
        }
        // What tells a device's dump is at its end.
        assert!(most > 0 || made.name.starts_with("device"), "{}", made.name);
    }
    let core = Core::get("live.elf");
    let known: BTreeSet<Key> = core.found.records.iter().map(Record::key).collect();
    for packed in [
        memory::gzip(&core.bytes),
        memory::xz(&core.bytes),
        memory::zstd(&core.bytes),
    ] {
        for at in [
            3,
            20,
            packed.len() / 2,
            packed.len() * 9 / 10,
            packed.len() - 1,
        ] {
            check_part(
                &format!("packed {at}"),
                &known,
                &found_in(&packed[..at], &[]),
            );
        }
    }
    // All records are in the first half of it or behind.
    let half = found_in(&core.bytes[..core.bytes.len() * 85 / 100], &[]);
    check_part("half a core", &known, &half);
    assert!(
        half.ran.status == 1 && !half.records.is_empty(),
        "{:?}",
        half.ran
    );
}

#[test]
fn containers_that_lie() {
    let (slabs, known) = slabs();
    let few: Pages = slabs.into_iter().take(12).collect();
    let mut noise = Noise(4242);
    for made in memory::all(&few) {
        if made.name.contains("i386") {
            continue;
        }
        // Headers and tables: the first pages, or the last ones of a device.
        let tables = match made.name.starts_with("device") {
            true => made.bytes.len() - 512..made.bytes.len(),
            false => 0..made.bytes.len().min(5 * PAGE as usize),
        };
        for turn in 0..24 {
            let mut bytes = made.bytes.clone();
            for _ in 0..=turn % 3 {
                let span = if turn % 2 == 0 { 160 } else { tables.len() };
                let at = tables.start + noise.next() as usize % span.min(tables.len()) / 8 * 8;
                let lie = match noise.next() % 5 {
                    0 => u64::MAX,
                    1 => 1 << 63,
                    2 => 0,
                    3 => noise.next(),
                    _ => noise.next() % 0x10000,
                };
                put(&mut bytes, at as u64, lie);
                if made.name.starts_with("device") && at + 512 > bytes.len() {
                    let start = bytes.len() - 512;
                    memory::mend_parity(&mut bytes[start..]);
                }
            }
            let found = found_in(&bytes, &[]);
            check_part(&format!("{} turn {turn}", made.name), &known, &found);
        }
    }
}

/// Two segments of the same bytes at two addresses, and two at one address.
#[test]
fn segments_that_overlap() {
    let (slabs, known) = slabs();
    let runs = memory::runs(&slabs);
    let whole = memory::elf_core(&runs, 255, 62, 0);
    let header = |number: usize| 64 + 56 * number;
    let field = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let all = found_in(&whole, &[]);
    let (mut same_bytes, mut same_address, mut longer) =
        (whole.clone(), whole.clone(), whole.clone());
    for number in 1..runs.len() {
        let (this, before) = (header(number), header(number - 1));
        // p_offset and p_filesz; p_vaddr and p_paddr.
        for at in [8, 32] {
            put(
                &mut same_bytes,
                (this + at) as u64,
                field(&whole, before + at),
            );
        }
        for at in [16, 24] {
            put(
                &mut same_address,
                (this + at) as u64,
                field(&whole, before + at),
            );
        }
        for at in [32, 40] {
            put(
                &mut longer,
                (before + at) as u64,
                3 * field(&whole, before + at) + 12,
            );
        }
    }
    for (what, bytes, is_all) in [
        ("same bytes", same_bytes, false),
        ("same address", same_address, true),
        ("longer", longer, true),
    ] {
        let found = found_in(&bytes, &[]);
        check_part(what, &known, &found);
        assert!(!found.records.is_empty(), "{what}");
        // Where two segments disagree, records over the border are lost.
        let lost = missing(&all.keys(), &found.keys()).len();
        assert!(!is_all || lost * 50 < all.records.len(), "{what}: {lost}");
        let offsets: BTreeSet<u64> = found.records.iter().map(|record| record.offset).collect();
        assert_eq!(offsets.len(), found.records.len(), "{what}: twice the same");
    }
}
