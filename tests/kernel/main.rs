//! Kernel files: symbols and structure offsets, and what the lists of a
//! genuine crash dump give with them.
//!
//! There is no kernel file with the dump, so the tests write one: the stored
//! symbols and layouts as ELF, with DWARF and CTF of each version.

mod ctf;
mod dump;
mod dwarf;
mod elf;
mod layouts;
#[path = "../support/mod.rs"]
mod support;

use dump::Dump;
use dwarf::Style;
use elf::Section;
use gimli::Format;
use layouts::{Flat, Layout};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use tcplog::format::Formats;
use tcplog::format::structures::{Place, Structures};
use tcplog::kernel::{self, Ends, KernelFile, Source, Walked};

const VERSION: &str = "FreeBSD 13.2-RELEASE releng/13.2-n254617 TEST";

/// The structures of kernel files, without those that nobody reads.
fn layouts(name: &str) -> (BTreeMap<String, u64>, Vec<Layout>) {
    let (json, mut layouts) =
        layouts::read(&support::stored(&format!("cores/{name}.layouts.json.zst")));
    layouts.retain(|layout| !layout.name.starts_with("uma_") && layout.name != "in_conninfo");
    let hex = |value: &Value| {
        u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    };
    let none = serde_json::Map::new();
    let symbols = json["symbols"].as_object().unwrap_or(&none);
    (
        symbols
            .iter()
            .map(|(name, at)| (name.clone(), hex(at)))
            .collect(),
        layouts,
    )
}

fn with_constants(mut sections: Vec<Section>, symbols: &BTreeMap<String, u64>) -> Vec<u8> {
    let constant = |name: &'static str, symbol: &str, content: Vec<u8>| Section {
        name,
        address: symbols.get(symbol).copied().unwrap_or(0x1000),
        content,
        compressed: false,
    };
    sections.push(constant(
        ".rodata",
        "version",
        format!("{VERSION}\n\0").into_bytes(),
    ));
    sections.push(constant(
        ".data",
        "osreldate",
        1_302_001u32.to_le_bytes().to_vec(),
    ));
    elf::write(&sections, symbols)
}

fn dwarf_file(name: &str, style: Style, compressed: bool) -> Vec<u8> {
    let (symbols, layouts) = layouts(name);
    let sections = dwarf::write(&layouts, style)
        .into_iter()
        .map(|(name, content)| {
            let section = Section::plain(name, content);
            if compressed {
                section.compress()
            } else {
                section
            }
        });
    with_constants(sections.collect(), &symbols)
}

fn ctf_file(name: &str, version: u8, compressed: bool) -> Vec<u8> {
    let (symbols, layouts) = layouts(name);
    let content = ctf::write(&layouts, version, compressed);
    with_constants(vec![Section::plain(".SUNW_ctf", content)], &symbols)
}

fn modern() -> Style {
    Style {
        version: 5,
        format: Format::Dwarf32,
        old_bits: false,
    }
}

fn embedded(name: &str) -> &'static Structures {
    let all = Formats::builtin().structures();
    all.iter().find(|kernel| kernel.name == name).unwrap()
}

fn expected(field: &Flat) -> Place {
    match field.bits {
        Some((bit, width)) => Place::from_bits(bit, width, false).unwrap(),
        None => Place {
            offset: field.offset as u32,
            size: field.size as u32,
            bits: None,
        },
    }
}

/// Every field that the stored layouts have, at its place.
fn assert_layouts(found: &Structures, name: &str) {
    let (_, layouts) = layouts(name);
    assert_eq!(found.iter().count(), layouts.len());
    for layout in &layouts {
        assert_eq!(
            found.size(&layout.name),
            Some(layout.size),
            "{}",
            layout.name
        );
        let named = layout.fields.iter().filter(|field| !field.name.is_empty());
        let mut seen: Vec<&str> = Vec::new();
        for field in named {
            if seen.contains(&field.name.as_str()) {
                continue;
            }
            seen.push(&field.name);
            let place = found.place(&layout.name, &field.name);
            assert_eq!(
                place,
                Some(expected(field)),
                "{} {}",
                layout.name,
                field.name
            );
        }
        let count = found.structure(&layout.name).unwrap().fields.len();
        assert_eq!(count, seen.len(), "{}", layout.name);
    }
}

/// What a format file says is what the debug information says.
fn assert_agrees(data: &Structures, debug: &Structures) {
    let mut compared = 0;
    for structure in data.iter() {
        assert_eq!(
            debug.size(&structure.name),
            Some(structure.size),
            "{}",
            structure.name
        );
        for field in &structure.fields {
            // The stored layouts stop at these two.
            if field.name.starts_with("m_pkthdr.") || field.name.starts_with("m_ext.") {
                continue;
            }
            let place = debug.place(&structure.name, &field.name);
            assert_eq!(
                place,
                Some(field.place),
                "{} {}",
                structure.name,
                field.name
            );
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
}

fn assert_facts(kernel: &KernelFile, source: Source) {
    assert_eq!(kernel.source, source);
    assert_eq!(kernel.version.as_deref(), Some(VERSION));
    assert_eq!(kernel.osreldate, Some(1_302_001));
    assert_eq!((kernel.pointer, kernel.big_endian), (8, false));
    assert_eq!(kernel.symbols["tcp_log_id_head"], 0xffff_ffff_80b7_3678);
    assert_eq!(kernel.symbols["vnet_entry_tcbinfo"], 0xffff_ffff_80ae_64a8);
    assert_eq!(kernel.symbols.len(), 24);
}

#[test]
fn dwarf_of_every_kind_gives_the_offsets() {
    let styles = [
        (5, Format::Dwarf32, false, false),
        (4, Format::Dwarf32, false, true),
        (5, Format::Dwarf64, false, true),
        (4, Format::Dwarf64, true, false),
        (3, Format::Dwarf32, true, false),
    ];
    for (version, format, old_bits, compressed) in styles {
        let style = Style {
            version,
            format,
            old_bits,
        };
        let kernel = kernel::parse("test", &dwarf_file("kernel", style, compressed)).unwrap();
        assert_facts(&kernel, Source::Dwarf);
        assert_layouts(&kernel.structures, "kernel");
        assert_agrees(embedded("13.2-amd64"), &kernel.structures);
    }
    let main = kernel::parse("test", &dwarf_file("kernel15", modern(), false)).unwrap();
    assert_layouts(&main.structures, "kernel15");
    assert_agrees(embedded("15-amd64"), &main.structures);
}

#[test]
fn ctf_of_both_versions_gives_the_offsets() {
    for (version, compressed) in [(2, true), (2, false), (3, true), (3, false)] {
        let kernel = kernel::parse("test", &ctf_file("kernel", version, compressed)).unwrap();
        assert_facts(&kernel, Source::Ctf);
        assert_layouts(&kernel.structures, "kernel");
        assert_agrees(embedded("13.2-amd64"), &kernel.structures);
    }
    let main = kernel::parse("test", &ctf_file("kernel15", 3, true)).unwrap();
    assert_layouts(&main.structures, "kernel15");
}

#[test]
fn ctf_of_large_structures_has_long_forms() {
    let field = |name: &str, offset, size| Flat {
        name: name.to_owned(),
        offset,
        size,
        bits: None,
        c_type: "u_int".to_owned(),
    };
    let large = |name: &str, size| Layout {
        name: name.to_owned(),
        size,
        fields: vec![field("a", 0, 8), field("z", size - 8, 8)],
    };
    let layouts = [
        large("vnet", 8192),
        large("inpcb", 65_535),
        large("tcpcb", 65_537),
    ];
    for version in [2, 3] {
        let section = Section::plain(".SUNW_ctf", ctf::write(&layouts, version, false));
        let kernel = kernel::parse("test", &elf::write(&[section], &BTreeMap::new())).unwrap();
        for (name, size) in [("vnet", 8192), ("inpcb", 65_535)] {
            assert_eq!(kernel.structures.size(name), Some(size));
            let last = kernel.structures.place(name, "z").unwrap();
            assert_eq!((u64::from(last.offset), last.size), (size - 8, 8));
        }
        // No kernel structure is that large.
        assert_eq!(kernel.structures.size("tcpcb"), None);
    }
}

#[test]
fn a_file_is_loaded_by_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kernel.debug");
    std::fs::write(&path, dwarf_file("kernel", modern(), false)).unwrap();
    let kernel = kernel::load(&path).unwrap();
    assert_facts(&kernel, Source::Dwarf);
    assert_eq!(kernel.structures.status, "from DWARF");
    std::fs::write(&path, "no kernel").unwrap();
    let said = kernel::load(&path).unwrap_err().to_string();
    assert!(
        said.ends_with("kernel.debug: not a kernel file: not an ELF file"),
        "{said}"
    );
    assert!(kernel::load(dir.path()).is_err());
    assert!(kernel::load(&dir.path().join("missing")).is_err());
    // Symbols alone are something: the offsets can come from a format file.
    let (symbols, _) = layouts("kernel");
    let plain = kernel::parse("test", &with_constants(Vec::new(), &symbols)).unwrap();
    assert_facts(&plain, Source::None);
    assert!(plain.structures.is_empty());
}

fn ends(truth: &Value) -> Ends {
    let end = |address: &str, port: &str| {
        let port = truth[port].as_u64().unwrap() as u16;
        SocketAddr::new(truth[address].as_str().unwrap().parse().unwrap(), port)
    };
    Ends {
        local: end("laddr", "lport"),
        foreign: end("faddr", "fport"),
        zone: 0,
    }
}

fn address(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

fn entries(log: &Value) -> Vec<u64> {
    let entries = log["entries"].as_array().unwrap().iter();
    entries.map(|entry| address(&entry[0])).collect()
}

/// Everything that a walker of its own found in the dump.
fn assert_truth(dump: &Dump, kernel: &KernelFile, structures: &Structures, walked: &Walked) {
    let truth: Value =
        serde_json::from_slice(&support::stored("cores/kernel-vmcore.truth.json.zst")).unwrap();
    let records = |chain: Option<kernel::Chain>| {
        chain.map_or(Vec::new(), |chain| {
            let (records, whole) = kernel::records(dump, kernel, structures, chain);
            assert!(whole, "{chain:x?}");
            records
        })
    };
    let ids: HashMap<u64, (&str, &str)> = walked
        .buckets
        .iter()
        .map(|bucket| (bucket.address, (bucket.id.as_str(), bucket.tag.as_str())))
        .collect();

    let pcbs = truth["pcbs"].as_array().unwrap();
    let mut live = 0;
    for expected in pcbs {
        let at = address(&expected["inp"]);
        let pcb = walked.pcbs.iter().find(|pcb| pcb.inpcb == at).unwrap();
        assert_eq!(pcb.ends, Some(ends(expected)));
        if expected.get("log").is_none() {
            // In TIME_WAIT: no tcpcb, and no records.
            assert_eq!(
                (pcb.tcpcb, pcb.tcptw),
                (None, Some(address(&expected["tp"])))
            );
            assert_eq!((pcb.log, pcb.t_lognum, &pcb.stack), (None, None, &None));
            continue;
        }
        assert_eq!(
            (pcb.tcpcb, pcb.tcptw),
            (Some(address(&expected["tp"])), None)
        );
        let number = |name: &str| expected[name].as_u64().map(|value| value as u32);
        assert_eq!(pcb.iss, number("iss"));
        assert_eq!(pcb.t_lognum, number("t_lognum"));
        assert_eq!(pcb.t_logsn, number("t_logsn"));
        let stack = pcb.stack.as_ref().map(|(_, name)| name.as_str());
        assert_eq!(stack, expected["stack"].as_str());
        assert_eq!(records(pcb.log), entries(&expected["log"]));
        live += entries(&expected["log"]).len();
        let id = pcb
            .bucket
            .and_then(|bucket| ids.get(&bucket))
            .map(|id| id.0);
        assert_eq!(id, expected["id"].as_str());
        for (queue, name) in [(pcb.t_inpkts, "t_inpkts"), (pcb.t_outpkts, "t_outpkts")] {
            let counts = dump.u64_at(queue.unwrap() + 16);
            let (len, most) = (counts & 0xffff_ffff, counts >> 32);
            assert_eq!(Some(len), expected[name]["len"].as_u64());
            assert_eq!(Some(most), expected[name]["maxlen"].as_u64());
        }
    }
    assert_eq!(live, 630);
    // The rest only listen.
    for pcb in &walked.pcbs {
        let known = pcbs.iter().any(|known| address(&known["inp"]) == pcb.inpcb);
        assert!(known || pcb.t_state == Some(1), "{pcb:x?}");
    }

    let buckets = truth["buckets"].as_array().unwrap();
    assert_eq!(walked.buckets.len(), buckets.len());
    let mut nodes = 0;
    for expected in buckets {
        let bucket = address(&expected["tlb"]);
        let (id, tag) = ids[&bucket];
        assert_eq!(
            (Some(id), Some(tag)),
            (expected["id"].as_str(), expected["tag"].as_str())
        );
        for expected in expected["nodes"].as_array().unwrap() {
            let at = address(&expected["tln"]);
            let node = walked.nodes.iter().find(|node| node.address == at).unwrap();
            let closed = expected["closed"] == 1;
            assert_eq!((node.bucket, node.closed), (Some(bucket), closed));
            assert_eq!(node.ends, closed.then(|| ends(expected)));
            assert_eq!(node.tcpcb.is_none(), closed);
            assert_eq!(records(node.log), entries(&expected["log"]));
            nodes += 1;
        }
    }
    assert_eq!(walked.nodes.len(), nodes);

    let queue = truth["devqueue"].as_array().unwrap();
    assert_eq!(walked.queue.len(), queue.len());
    for (entry, expected) in walked.queue.iter().zip(queue) {
        assert_eq!(entry.address, address(&expected["entry"]));
        let buffer = Some(address(&expected["buf"])).filter(|at| *at != 0);
        assert_eq!(entry.buffer, buffer);
        let texts = [&entry.id, &entry.reason, &entry.tag].map(|text| Some(text.as_str()));
        assert_eq!(
            texts,
            ["id", "reason", "tag"].map(|key| expected[key].as_str())
        );
        assert_eq!(entry.ends, Some(ends(expected)));
        assert_eq!(records(entry.log), entries(&expected["log"]));
    }
}

fn genuine() -> Dump {
    Dump::new(support::stored("cores/kernel-vmcore.zst"))
}

/// The dump's kernel is not the one that the test makes up.
fn problems(walked: &Walked) -> Vec<&str> {
    let all = walked.problems.iter().map(String::as_str);
    all.filter(|what| !what.starts_with("the kernel file is "))
        .collect()
}

#[test]
fn the_lists_of_a_genuine_dump_are_walked() {
    let dump = genuine();
    let kernel = kernel::parse("test", &dwarf_file("kernel", modern(), false)).unwrap();
    for structures in [&kernel.structures, embedded("13.2-amd64")] {
        let walked = kernel::walk(&dump, &kernel, structures);
        assert_eq!(problems(&walked), [""; 0]);
        assert_truth(&dump, &kernel, structures, &walked);
        assert_eq!(walked.hz, Some(1000));
        let version = walked.version.as_deref().unwrap();
        assert!(version.starts_with("FreeBSD 13.2-RELEASE"), "{version}");
        assert_eq!(walked.vnets.len(), 1);
        let names: Vec<&str> = walked
            .stacks
            .iter()
            .map(|(_, name)| name.as_str())
            .collect();
        for name in ["freebsd", "rack", "bbr"] {
            assert!(names.contains(&name), "{names:?}");
        }
        // Records say which stack they are of by the same ids.
        for pcb in &walked.pcbs {
            assert!(pcb.stack.iter().all(|stack| walked.stacks.contains(stack)));
        }
        // Ticks began 10 minutes below their largest value at boot, and the
        // clock of the records is the same uptime.
        let hz = i64::from(walked.hz.unwrap());
        let uptime = (i64::from(walked.ticks.unwrap()) - (0x7fff_ffff - 600 * hz)) / hz;
        let record = walked.pcbs.iter().find_map(|pcb| pcb.log).unwrap().last;
        let seconds = dump.u64_at(record + 8) as i64;
        assert!((0..60).contains(&(uptime - seconds)), "{uptime} {seconds}");
        assert_boot(&walked);
    }
}

fn assert_boot(walked: &Walked) {
    let boot = walked.boot_us.unwrap();
    // 2023, when 13.2 appeared, to 2035.
    let plausible = 1_672_531_200_000_000..2_051_222_400_000_000;
    assert!(plausible.contains(&boot), "{boot}");
}

#[test]
fn links_that_lie_cost_what_hangs_on_them() {
    let kernel = kernel::parse("test", &dwarf_file("kernel", modern(), false)).unwrap();
    let structures = &kernel.structures;
    let mut dump = genuine();
    let whole = kernel::walk(&dump, &kernel, structures);
    let says = |walked: &Walked, what: &str| {
        let said = walked.problems.iter().any(|problem| problem.contains(what));
        assert!(said, "{what}: {:?}", walked.problems);
    };

    // Connections that go round in a circle.
    let (first, third) = (whole.pcbs[0].inpcb, whole.pcbs[2].inpcb);
    dump.patch(third + 464, first);
    let walked = kernel::walk(&dump, &kernel, structures);
    assert_eq!(walked.pcbs, whole.pcbs[..3]);
    assert_eq!((&walked.nodes, &walked.queue), (&whole.nodes, &whole.queue));
    says(&walked, "a list of struct inpcb comes back to");

    // A queue that ends in nowhere, a tree whose links are all the same.
    dump.patches.clear();
    dump.patch(whole.queue[3].address, 0x10);
    dump.patch(whole.buckets[0].address + 96, whole.buckets[0].address | 3);
    dump.patch(whole.buckets[0].address + 104, u64::MAX);
    let walked = kernel::walk(&dump, &kernel, structures);
    assert_eq!(walked.queue, whole.queue[..4]);
    assert_eq!(walked.pcbs, whole.pcbs);
    says(
        &walked,
        "struct tcp_log_dev_queue at 0x10 is not in the image",
    );
    says(&walked, "log ID at 0xfffffffffffffff8 is not in the image");

    // A record that follows itself, and one that follows nobody.
    dump.patches.clear();
    let chain = whole.pcbs.iter().find_map(|pcb| pcb.log).unwrap();
    let records = |dump: &Dump| kernel::records(dump, &kernel, structures, chain);
    let (all, _) = records(&dump);
    dump.patch(all[4], all[4]);
    assert_eq!(records(&dump), (all[..5].to_vec(), false));
    dump.patch(all[4], 0x7000);
    assert_eq!(records(&dump), (all[..5].to_vec(), false));
    dump.patch(all[4], 0);
    assert_eq!(records(&dump), (all[..5].to_vec(), false));

    // Globals that are nonsense.
    dump.patches.clear();
    for name in [
        "vnet_head",
        "timehands",
        "t_functions",
        "tcp_log_id_head",
        "hz",
    ] {
        dump.patch(kernel.symbols[name], u64::MAX - 2);
    }
    let walked = kernel::walk(&dump, &kernel, structures);
    assert_eq!(
        (walked.hz, walked.boot_us, walked.pcbs.len()),
        (None, None, 0)
    );
    assert_eq!(walked.queue, whole.queue);
    says(&walked, "the boot time at");
    says(
        &walked,
        "struct vnet at 0xfffffffffffffffd is not in the image",
    );
}

#[test]
fn what_is_missing_is_told() {
    let dump = genuine();
    let kernel = kernel::parse("test", &elf::write(&[], &BTreeMap::new())).unwrap();
    let walked = kernel::walk(&dump, &kernel, &kernel.structures);
    assert!(walked.pcbs.is_empty() && walked.queue.is_empty() && walked.buckets.is_empty());
    let said = &walked.problems;
    assert!(
        said.contains(&"the kernel file has no symbol hz".to_owned()),
        "{said:?}"
    );
    // 11 has no BBLog: its connections are found nevertheless.
    let (symbols, _) = layouts("kernel");
    let kernel = kernel::parse("test", &with_constants(Vec::new(), &symbols)).unwrap();
    let walked = kernel::walk(&dump, &kernel, embedded("11.0-amd64"));
    let said = walked.problems.join("\n");
    assert!(
        said.contains("the offsets of struct tcp_log_id_bucket are not known"),
        "{said}"
    );
}

/// A generator of numbers that is the same on each run.
fn random(state: &mut u64) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

#[test]
fn damaged_files_do_no_harm() {
    let old = Style {
        version: 4,
        format: Format::Dwarf64,
        old_bits: true,
    };
    let files = [
        dwarf_file("kernel", modern(), false),
        dwarf_file("kernel", old, true),
        ctf_file("kernel", 2, false),
        ctf_file("kernel", 3, false),
        ctf_file("kernel", 3, true),
    ];
    let mut state = 13;
    for file in &files {
        for part in 0..60 {
            let _ = kernel::parse("test", &file[..file.len() * part / 60]);
        }
        for _ in 0..150 {
            let mut damaged = file.clone();
            for _ in 0..1 + random(&mut state) % 8 {
                let at = random(&mut state) % damaged.len();
                damaged[at] =
                    [0, 0xff, 0x7f, 0x80, random(&mut state) as u8][random(&mut state) % 5];
            }
            if let Ok(kernel) = kernel::parse("test", &damaged) {
                for structure in kernel.structures.iter() {
                    for field in &structure.fields {
                        let end = u64::from(field.place.offset) + u64::from(field.place.size);
                        assert!(end <= structure.size);
                    }
                }
            }
        }
    }
}

#[test]
fn lengths_that_lie_allocate_nothing() {
    // A section that claims to unpack to 2^60 bytes, and one of CTF whose
    // strings end there.
    let mut claims = Section::plain(".debug_info", vec![0; 4096]).compress();
    claims.content[8..16].copy_from_slice(&(1u64 << 60).to_le_bytes());
    let kernel = kernel::parse("test", &elf::write(&[claims], &BTreeMap::new())).unwrap();
    assert_eq!(kernel.source, Source::None);
    let (_, layouts) = layouts("kernel");
    let mut ctf = ctf::write(&layouts, 3, true);
    ctf[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    let section = Section::plain(".SUNW_ctf", ctf);
    let kernel = kernel::parse("test", &elf::write(&[section], &BTreeMap::new())).unwrap();
    assert_eq!(kernel.source, Source::None);
}
