//! Carving with the kernel file of the dump, against carving without: what
//! both find must agree, and a wrong file must do no harm.

#[allow(dead_code)]
#[path = "kernel/dwarf.rs"]
mod dwarf;
#[allow(dead_code)]
#[path = "kernel/elf.rs"]
mod elf;
#[path = "kernel/layouts.rs"]
mod layouts;
mod support;

use elf::Section;
use layouts::Layout;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use support::memory::{self, DIRECT_MAP, KERNEL_MAP, PAGE, Pages};
use support::{put, stored, tcplog, testdata};
use tcplog::bblog::Message;
use tcplog::carve::join::Wanted;
use tcplog::carve::run::{Settings, carve};
use tcplog::format::Formats;
use tcplog::memory::{AddressSpace, Extent, Image, OpenOptions, open};
use tcplog::output::Sink;
use tcplog::output::carved;
use tcplog::select::{Criteria, Picked, Picker};

/// What the kernel of the dump calls itself.
const VERSION: &str = "FreeBSD 13.2-RELEASE BBLAB";

fn address(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

/// A kernel file with the stored symbols and layouts, after `change`.
fn kernel_file(version: &str, machine: u16, change: impl Fn(&mut Layout)) -> Vec<u8> {
    let (json, mut layouts) = layouts::read(&stored("cores/kernel.layouts.json.zst"));
    layouts.retain(|layout| !layout.name.starts_with("uma_") && layout.name != "in_conninfo");
    layouts.iter_mut().for_each(change);
    let symbols: BTreeMap<String, u64> = json["symbols"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, at)| (name.clone(), address(at)))
        .collect();
    let style = dwarf::Style {
        version: 5,
        format: gimli::Format::Dwarf32,
        old_bits: false,
    };
    let mut sections: Vec<Section> = dwarf::write(&layouts, style)
        .into_iter()
        .map(|(name, content)| Section::plain(name, content))
        .collect();
    sections.push(Section {
        name: ".rodata",
        address: symbols["version"],
        content: format!("{version}\n\0").into_bytes(),
        compressed: false,
    });
    let mut file = elf::write(&sections, &symbols);
    file[18..20].copy_from_slice(&machine.to_le_bytes());
    file
}

fn truth() -> Value {
    serde_json::from_slice(&stored("cores/kernel-vmcore.truth.json.zst")).unwrap()
}

/// A record as the truth has it: serial number, event, uptime in µs, ends.
type Entry = (u64, u64, i64, [String; 2]);

/// By the address of the item.
fn entries(truth: &Value) -> BTreeMap<u64, Entry> {
    let mut all = BTreeMap::new();
    let nodes = truth["buckets"].as_array().unwrap().iter();
    let nodes = nodes.flat_map(|bucket| bucket["nodes"].as_array().unwrap());
    let held = ["pcbs", "devqueue"]
        .iter()
        .flat_map(|key| truth[key].as_array().unwrap());
    for held in held.chain(nodes) {
        let end = |address: &str, port: &str| {
            let name = held[address].as_str().unwrap_or_default();
            format!("{name} {}", held[port])
        };
        let ends = [end("laddr", "lport"), end("faddr", "fport")];
        for entry in held["log"]["entries"].as_array().into_iter().flatten() {
            let number = |at: usize| entry[at].as_u64().unwrap();
            let uptime = (number(6) * 1_000_000 + number(7)) as i64;
            let what = (number(1), number(3), uptime, ends.clone());
            all.insert(address(&entry[0]), what);
        }
    }
    assert_eq!(all.len(), 1101);
    all
}

/// Records of a carve, by the address of the item.
fn carved(image: &Path, more: &[&str]) -> (BTreeMap<u64, Value>, String) {
    let mut args = vec!["carve", "--format", "json", "-o", "-"];
    args.extend(more);
    args.push(image.to_str().unwrap());
    let ran = tcplog(&args);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let lines = ran.stdout.split(|byte| *byte == b'\n');
    let objects = lines
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice::<Value>(line).unwrap())
        .filter(|object| object["kind"] == "bblog")
        .map(|object| (address(&object["virtual_address"]) - 8, object))
        .collect();
    (objects, ran.stderr)
}

fn assert_truth(found: &BTreeMap<u64, Value>, truth: &BTreeMap<u64, Entry>) {
    for (at, (sn, event, uptime, ends)) in truth {
        let object = &found[at];
        assert_eq!(object["sn"], *sn, "{at:#x}");
        assert_eq!(object["event_id"], *event, "{at:#x}");
        assert_eq!(object["uptime_us"], *uptime, "{at:#x}");
        assert_eq!(object["life"], "live", "{at:#x}");
        let end = |address: &str, port: &str| {
            format!("{} {}", object[address].as_str().unwrap(), object[port])
        };
        let found = [
            end("local_addr", "local_port"),
            end("foreign_addr", "foreign_port"),
        ];
        assert_eq!(found, *ends, "{at:#x}");
    }
}

fn without<'v>(object: &'v Value, keys: &[&str]) -> BTreeMap<&'v String, &'v Value> {
    let all = object.as_object().unwrap().iter();
    all.filter(|(key, _)| !keys.contains(&key.as_str()))
        .collect()
}

fn vmcore() -> PathBuf {
    testdata("cores/kernel-vmcore.zst")
}

#[test]
fn a_kernel_file_and_the_search_agree() {
    let dir = tempfile::tempdir().unwrap();
    let kernel = put(dir.path(), "k.elf", &kernel_file(VERSION, 62, |_| ()));
    let (plain, _) = carved(&vmcore(), &[]);
    let (found, said) = carved(&vmcore(), &["--kernel", kernel.to_str().unwrap()]);
    let all = truth();
    let truth_queue = all["devqueue"].as_array().unwrap();
    let truth = entries(&all);
    assert_truth(&found, &truth);
    // A freed entry of the queue still has the head of one list, and another
    // reason: only symbols know which of the two is the queue's.
    let disagreements = said.lines().filter(|line| line.contains("disagree"));
    let disagreements: Vec<&str> = disagreements.collect();
    let is_copy = |line: &&str| line.contains("has another head, with other texts");
    assert!(disagreements.len() <= 1, "{said}");
    assert!(disagreements.iter().all(is_copy), "{said}");
    assert!(!said.contains("warning"), "{said}");
    assert!(!said.contains("not taken for all"), "{said}");
    // The same records, in the same state, with the same in them; only names
    // of stacks and the time of those that no message told it are new.
    let places = |all: &BTreeMap<u64, Value>| all.keys().copied().collect::<BTreeSet<_>>();
    assert_eq!(places(&plain), places(&found));
    let new = ["time", "stack", "stack_sureness", "meaning", "reason"];
    let mut named = BTreeSet::new();
    for (at, object) in &found {
        assert_eq!(without(object, &new), without(&plain[at], &new), "{at:#x}");
        if !truth.contains_key(at) {
            continue;
        }
        assert!(object["time"].is_string(), "{object}");
        if plain[at]["time"].is_string() {
            let second = |object: &Value| object["time"].as_str().unwrap()[..18].to_owned();
            assert_eq!(second(object), second(&plain[at]));
        }
        assert_eq!(object["stack_sureness"], "named");
        named.insert(object["stack"].as_str().unwrap().to_owned());
    }
    for queued in truth_queue {
        for entry in queued["log"]["entries"].as_array().into_iter().flatten() {
            assert_eq!(found[&address(&entry[0])]["reason"], queued["reason"]);
        }
    }
    for name in ["freebsd", "rack", "bbr"] {
        assert!(named.contains(name), "{named:?}");
    }
}

#[test]
fn names_of_the_users_win_and_a_boot_time_only_fills_in() {
    let dir = tempfile::tempdir().unwrap();
    let kernel = put(dir.path(), "k.elf", &kernel_file(VERSION, 62, |_| ()));
    let args = ["--kernel", kernel.to_str().unwrap(), "--port", "47743"];
    let said = ["--stack-name", "1=mine", "--boot-time", "100"];
    let (plain, _) = carved(&vmcore(), &args);
    let (found, _) = carved(&vmcore(), &[&args[..], &said[..]].concat());
    assert!(!found.is_empty());
    assert_eq!(found.len(), plain.len());
    for (at, object) in &found {
        // A boot time only fills in where the image holds none.
        assert_eq!(object["time"], plain[at]["time"]);
        if object["stack_id"] == 1 {
            assert_eq!(object["stack"], "mine");
        }
    }
}

#[test]
fn wrong_offsets_are_told_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let shifted = |layout: &mut Layout| {
        if layout.name == "tcpcb" {
            for field in &mut layout.fields {
                if field.name.starts_with("t_logs.") || field.name == "t_logs" {
                    field.offset += 8;
                }
            }
        }
    };
    let swapped = |layout: &mut Layout| {
        if layout.name == "inpcb" {
            for field in &mut layout.fields {
                if field.name.ends_with("ie_lport") {
                    field.offset -= 2;
                }
            }
        }
    };
    let plain = entries(&truth());
    let files = [
        kernel_file(VERSION, 62, shifted),
        kernel_file(VERSION, 62, swapped),
        kernel_file("FreeBSD 13.1-RELEASE OTHER", 62, shifted),
    ];
    for (number, file) in files.iter().enumerate() {
        let kernel = put(dir.path(), "wrong.elf", file);
        let (found, said) = carved(&vmcore(), &["--kernel", kernel.to_str().unwrap()]);
        assert_truth(&found, &plain);
        assert!(said.contains("symbols and search disagree: "), "{said}");
        assert!(said.contains("not taken for all"), "{said}");
        assert_eq!(said.contains("OTHER"), number == 2, "{said}");
    }
}

#[test]
fn what_is_no_kernel_of_the_image_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8], what: &str| {
        let kernel = put(dir.path(), name, bytes);
        let out = dir.path().join("out.pcapng");
        let (kernel, image) = (kernel.to_str().unwrap().to_owned(), vmcore());
        let args = ["carve", "--kernel", &kernel, "-o", out.to_str().unwrap()];
        let args = args.into_iter().chain([image.to_str().unwrap()]);
        let ran = tcplog(args).ended(2);
        assert!(ran.stderr.contains(what), "{}", ran.stderr);
        assert!(ran.stderr.contains(name), "{}", ran.stderr);
        assert!(!out.exists());
    };
    refused("text", b"no kernel", "not an ELF file");
    refused(
        "bare",
        &elf::write(&[], &BTreeMap::new()),
        "no symbols of a FreeBSD kernel",
    );
    let arm = kernel_file(VERSION, 183, |_| ());
    refused("arm", &arm, "is a kernel of aarch64");
}

/// A tcpcb that begins on one page of the kernel map and ends on another, whose
/// pages are no neighbours in memory.
#[test]
fn a_connection_on_two_pages_is_found_without_symbols() {
    let image = open(&vmcore(), &OpenOptions::default()).unwrap();
    let (json, layouts) = layouts::read(&stored("cores/kernel.layouts.json.zst"));
    drop(json);
    let offset = |of: &str, field: &str| {
        let layout = layouts.iter().find(|layout| layout.name == of).unwrap();
        let field = layout.fields.iter().find(|known| known.name == field);
        field.unwrap().offset as usize
    };
    let truth = truth();
    let pcb = truth["pcbs"].as_array().unwrap().iter();
    let pcb = pcb
        .filter(|pcb| pcb["t_lognum"] == 60 && pcb["id"].is_null())
        .nth(1)
        .unwrap();
    let items: Vec<u64> = pcb["log"]["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| address(&entry[0]))
        .collect();
    let inpcb = address(&pcb["inp"]);
    let mut pages = Pages::new();
    for at in items.iter().flat_map(|item| [*item, item + 408]) {
        page(&image, &mut pages, at);
    }
    for at in [inpcb, inpcb + 400] {
        page(&image, &mut pages, at);
    }
    let mut tcpcb = vec![0; 728];
    assert_eq!(image.read_virtual(address(&pcb["tp"]), &mut tcpcb), 728);
    // The list's head is the first thing but one on the second page.
    let before = offset("tcpcb", "t_logs") - 8;
    let last = pages.keys().last().unwrap() + PAGE;
    let address = KERNEL_MAP + (pages.len() as u64 + 1) * PAGE - before as u64;
    let mut halves = [vec![0; PAGE as usize], vec![0; PAGE as usize]];
    halves[0][PAGE as usize - before..].copy_from_slice(&tcpcb[..before]);
    halves[1][..tcpcb.len() - before].copy_from_slice(&tcpcb[before..]);
    let [first, second] = halves;
    pages.insert(last + PAGE, first);
    pages.insert(last + 4 * PAGE, second);
    // Its inpcb points to it.
    let link = inpcb + offset("inpcb", "inp_ppcb") as u64 - DIRECT_MAP;
    let page = pages.get_mut(&(link / PAGE * PAGE)).unwrap();
    let inside = (link % PAGE) as usize;
    page[inside..inside + 8].copy_from_slice(&address.to_le_bytes());

    let dir = tempfile::tempdir().unwrap();
    let made = memory::minidump_amd64(&pages, 3);
    let path = put(dir.path(), "vmcore", &made.bytes);
    let (found, said) = carved(&path, &[]);
    for item in &items {
        let object = &found[item];
        assert_eq!(object["life"], "live");
        assert_eq!(object["local_addr"], pcb["laddr"], "{said}");
        assert_eq!(object["foreign_addr"], pcb["faddr"]);
        assert_eq!(object["local_port"], pcb["lport"]);
        assert_eq!(object["foreign_port"], pcb["fport"]);
    }
}

/// Adds the page of an address of the direct map.
fn page(image: &Image, pages: &mut Pages, address: u64) {
    let physical = (address - DIRECT_MAP) / PAGE * PAGE;
    let mut page = vec![0; PAGE as usize];
    if image.read_physical(physical, &mut page) == page.len() {
        pages.insert(physical, page);
    }
}

/// Memory in which some bytes change whenever they are read.
struct Changing<'i> {
    image: &'i Image,
    /// Offsets of records.
    records: BTreeSet<u64>,
}

impl AddressSpace for Changing<'_> {
    fn extents(&self) -> &[Extent] {
        self.image.extents()
    }

    fn bytes<'a>(&'a self, offset: u64, len: usize, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        self.image.bytes(offset, len, scratch)
    }

    fn find_virtual(&self, address: u64) -> Option<(u64, u64)> {
        self.image.find_virtual(address)
    }

    fn find_physical(&self, address: u64) -> Option<(u64, u64)> {
        self.image.find_physical(address)
    }

    fn virtual_of(&self, offset: u64) -> Option<u64> {
        self.image.virtual_of(offset)
    }

    fn physical_of(&self, offset: u64) -> Option<u64> {
        self.image.physical_of(offset)
    }

    fn is_stable(&self, offset: u64, read: &[u8]) -> bool {
        assert!(read.len() >= 224);
        !self.records.contains(&offset)
    }
}

/// Keeps where records came from.
#[derive(Default)]
struct Places(Vec<u64>);

impl Sink for Places {
    fn piece(&mut self, message: &Message<'_>, _: &Picked) -> io::Result<()> {
        let origins = message.origins.iter();
        self.0.extend(origins.map(|origin| origin.image_offset));
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn records_that_change_while_they_are_read_are_left_out() {
    let image = open(&testdata("cores/live.elf.zst"), &OpenOptions::default()).unwrap();
    let settings = Settings {
        threads: 1,
        wanted: Wanted::default(),
        machine: image.machine,
        is_complete: true,
    };
    let formats = Formats::builtin();
    let look = |space: &dyn AddressSpace| {
        let mut places = Places::default();
        let select = Criteria::default().select(&|_| Vec::new()).unwrap();
        let mut picker = Picker::new(select, Vec::new());
        let written = carve(
            space,
            formats,
            formats.structures(),
            &settings,
            &|_, _| true,
            |outcome| carved::write(&outcome, &mut picker, &mut places).unwrap(),
        );
        (written.unwrap(), places.0)
    };
    let (written, all) = look(&image);
    assert_eq!((written.records, written.changed), (all.len() as u64, 0));
    let changing = Changing {
        image: &image,
        records: all.iter().copied().step_by(3).collect(),
    };
    let (less, left) = look(&changing);
    assert_eq!(less.changed, changing.records.len() as u64);
    assert_eq!(less.records + less.changed, written.records);
    assert!(left.iter().all(|offset| !changing.records.contains(offset)));
}

/// An expanded message of the device, larger than a page, whose pages lie apart
/// in memory: the queue's entry has its address.
#[test]
fn a_message_on_scattered_pages_is_whole() {
    let stream = support::genuine("kernel-ids");
    let messages = support::stream::messages(&stream);
    let message = messages
        .iter()
        .find(|message| message.records().len() > 40)
        .unwrap();
    let mut pages = Pages::new();
    for (number, part) in message.bytes.chunks(PAGE as usize).enumerate() {
        let mut page = part.to_vec();
        page.resize(PAGE as usize, 0);
        pages.insert(0x40_0000 + 3 * number as u64 * PAGE, page);
    }
    let mut entry = vec![0; PAGE as usize];
    entry[528..536].copy_from_slice(&KERNEL_MAP.to_le_bytes());
    pages.insert(0x80_0000, entry);
    let dir = tempfile::tempdir().unwrap();
    let made = memory::minidump_amd64(&pages, 3);
    let path = put(dir.path(), "vmcore", &made.bytes);
    let args = ["carve", "--format", "json", "-o", "-"];
    let ran = tcplog(args.into_iter().chain([path.to_str().unwrap()])).ended(0);
    let found: Vec<(u64, u64, i64)> = ran
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let object: Value = serde_json::from_slice(line).unwrap();
            assert!(object["time"].is_string(), "{object}");
            let number = |key: &str| object[key].as_u64().unwrap();
            let uptime = object["uptime_us"].as_i64().unwrap();
            (number("sn"), number("event_id"), uptime)
        })
        .collect();
    let wanted: Vec<(u64, u64, i64)> = message
        .records()
        .iter()
        .map(|record| {
            (
                record.sn().into(),
                record.event().into(),
                record.uptime_us(),
            )
        })
        .collect();
    assert_eq!(found, wanted, "{}", ran.stderr);
}
