//! What a run of `tcplog carve` found, and what the genuine memory holds, as
//! it was read from its lists by other means.

use crate::support::{self, Ran};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The genuine images, and the packets that TCPPCAP kept in each.
pub const IMAGES: [(&str, usize); 4] = [
    ("kernel-vmcore", 160),
    ("live.elf", 72),
    ("idle.elf", 72),
    ("nolog.elf", 13),
];

/// No run here takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// One end: address and port.
pub type End = (String, u16);

/// A record that was found.
#[derive(Clone, Debug)]
pub struct Record {
    /// Address of its item, which begins with the link.
    pub item: Option<u64>,
    /// Of the record, behind the link.
    pub offset: u64,
    pub sn: u32,
    pub event: u8,
    pub uptime_us: i64,
    pub ticks: u32,
    pub iss: u32,
    pub starttime: u32,
    pub ends: Option<(End, End)>,
    pub id: Option<String>,
    pub life: String,
    pub confidence: u8,
    pub time: Option<String>,
}

/// What tells records of one image apart, but for their place.
pub type Key = (u32, u8, i64, u32);

impl Record {
    pub fn key(&self) -> Key {
        (self.sn, self.event, self.uptime_us, self.iss)
    }
}

/// A packet that was found.
#[derive(Clone, Debug)]
pub struct Packet {
    pub address: Option<u64>,
    pub ends: Option<(End, End)>,
    pub direction: String,
    pub captured: usize,
    pub length: usize,
    pub bytes: Vec<u8>,
    pub life: String,
    pub confidence: u8,
}

/// What one run found.
#[derive(Debug)]
pub struct Found {
    pub ran: Ran,
    pub records: Vec<Record>,
    pub packets: Vec<Packet>,
}

impl Found {
    pub fn keys(&self) -> BTreeMap<Key, usize> {
        count(self.records.iter().map(Record::key))
    }

    /// The bytes of all packets, sorted.
    pub fn packet_bytes(&self) -> Vec<&[u8]> {
        let mut all: Vec<&[u8]> = self
            .packets
            .iter()
            .map(|packet| &packet.bytes[..])
            .collect();
        all.sort_unstable();
        all
    }
}

pub fn count<T: Ord>(all: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_insert(0) += 1;
    }
    counts
}

/// What of `wanted` is missing in `got`.
pub fn missing<T: Ord + Clone>(wanted: &BTreeMap<T, usize>, got: &BTreeMap<T, usize>) -> Vec<T> {
    let lacks = wanted
        .iter()
        .filter(|(one, count)| got.get(*one).unwrap_or(&0) < *count);
    lacks.map(|(one, _)| one.clone()).collect()
}

/// A stored core, compressed as it is.
pub fn stored_core(name: &str) -> PathBuf {
    support::testdata(&format!("cores/{name}.zst"))
}

/// Runs `tcplog carve`, and fails if it does not end.
#[track_caller]
pub fn carve<S: AsRef<OsStr>>(images: &[S], args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcplog"));
    let output = tempfile::tempdir().unwrap();
    let stderr = output.path().join("stderr");
    let mut child = command
        .arg("carve")
        .args(images)
        .args(args)
        .env_remove("SOURCE_DATE_EPOCH")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&stderr).unwrap())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("hangs on {args:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let stderr = std::fs::read_to_string(stderr).unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
    Ran {
        status: status
            .code()
            .unwrap_or_else(|| panic!("{status}: {stderr}")),
        stdout: Vec::new(),
        stderr,
    }
}

/// Carves images to JSON.
#[track_caller]
pub fn found<S: AsRef<OsStr>>(images: &[S], args: &[&str]) -> Found {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    let mut all = vec!["--format", "json", "-o", output.to_str().unwrap()];
    all.extend(args);
    let ran = carve(images, &all);
    let text = std::fs::read(&output).unwrap_or_default();
    parsed(ran, &text)
}

/// Carves bytes as one file.
#[track_caller]
pub fn found_in(bytes: &[u8], args: &[&str]) -> Found {
    let dir = tempfile::tempdir().unwrap();
    found(&[support::put(dir.path(), "image", bytes)], args)
}

fn parsed(ran: Ran, text: &[u8]) -> Found {
    let (mut records, mut packets) = (Vec::new(), Vec::new());
    for line in text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let value: Value = serde_json::from_slice(line).unwrap();
        match value["kind"].as_str().unwrap() {
            "bblog" => records.push(record(&value)),
            "tcppcap" => packets.push(packet(&value)),
            _ => {}
        }
    }
    Found {
        ran,
        records,
        packets,
    }
}

fn record(value: &Value) -> Record {
    let number = |key: &str| {
        value[key]
            .as_u64()
            .unwrap_or_else(|| panic!("{key}: {value}"))
    };
    Record {
        item: value["virtual_address"]
            .as_str()
            .map(|text| hexadecimal(text) - 8),
        offset: number("image_offset"),
        sn: number("sn") as u32,
        event: number("event_id") as u8,
        uptime_us: value["uptime_us"].as_i64().unwrap(),
        ticks: number("ticks") as u32,
        iss: number("iss") as u32,
        starttime: number("starttime") as u32,
        ends: ends(
            value,
            ["local_addr", "local_port", "foreign_addr", "foreign_port"],
        ),
        id: value["log_id"].as_str().map(str::to_owned),
        life: value["life"].as_str().unwrap().to_owned(),
        confidence: number("confidence") as u8,
        time: value["time"].as_str().map(str::to_owned),
    }
}

fn packet(value: &Value) -> Packet {
    let number = |key: &str| value[key].as_u64().unwrap();
    Packet {
        address: value["virtual_address"].as_str().map(hexadecimal),
        ends: ends(
            value,
            ["local_addr", "local_port", "foreign_addr", "foreign_port"],
        ),
        direction: value["direction"].as_str().unwrap_or("").to_owned(),
        captured: number("captured") as usize,
        length: number("length") as usize,
        bytes: hex(value["hex"].as_str().unwrap()),
        life: value["life"].as_str().unwrap().to_owned(),
        confidence: number("confidence") as u8,
    }
}

/// Address and port of both ends under these keys; both or none.
fn ends(value: &Value, keys: [&str; 4]) -> Option<(End, End)> {
    let end = |address: &str, port: &str| {
        let address = value[address].as_str()?.to_owned();
        Some((address, value[port].as_u64().unwrap() as u16))
    };
    Some((end(keys[0], keys[1])?, end(keys[2], keys[3])?))
}

fn hexadecimal(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A record of the truth.
#[derive(Clone, Debug)]
pub struct Entry {
    pub sn: u32,
    pub event: u8,
    pub uptime_us: i64,
    pub ends: (End, End),
    pub id: Option<String>,
    /// Of connections with their own state only.
    pub iss: Option<u32>,
}

/// A packet of the truth, as it lies in its mbufs.
#[derive(Clone, Debug)]
pub struct Saved {
    pub inbound: bool,
    pub ends: (End, End),
    pub bytes: Vec<u8>,
}

/// What the lists of an image hold.
#[derive(Debug, Default)]
pub struct Truth {
    /// By the address of the item.
    pub entries: BTreeMap<u64, Entry>,
    /// By the address of the first mbuf.
    pub packets: BTreeMap<u64, Saved>,
    /// Ends of messages of the queue that were expanded.
    pub expanded: Vec<(End, End)>,
}

impl Truth {
    pub fn of(name: &str) -> Truth {
        let stem = name.trim_end_matches(".elf");
        let json = support::stored(&format!("cores/{stem}.truth.json.zst"));
        let value: Value = serde_json::from_slice(&json).unwrap();
        let mut truth = Truth::default();
        for pcb in value["pcbs"].as_array().unwrap() {
            truth.entries(pcb, pcb["id"].as_str());
            for (queue, inbound) in [("t_inpkts", true), ("t_outpkts", false)] {
                for packet in pcb[queue]["pkts"].as_array().into_iter().flatten() {
                    let first = packet["chain"][0]["m"].as_str().unwrap();
                    let saved = Saved {
                        inbound,
                        ends: ends(pcb, ["laddr", "lport", "faddr", "fport"]).unwrap(),
                        bytes: hex(packet["hex"].as_str().unwrap()),
                    };
                    assert!(truth.packets.insert(hexadecimal(first), saved).is_none());
                }
            }
        }
        for entry in value["devqueue"].as_array().unwrap() {
            truth.entries(entry, entry["id"].as_str());
            if !entry["expanded"].is_null() {
                let ends = ends(entry, ["laddr", "lport", "faddr", "fport"]);
                truth.expanded.push(ends.unwrap());
            }
        }
        for bucket in value["buckets"].as_array().unwrap() {
            for node in bucket["nodes"].as_array().unwrap() {
                truth.entries(node, bucket["id"].as_str());
            }
        }
        truth
    }

    fn entries(&mut self, holder: &Value, id: Option<&str>) {
        for entry in holder["log"]["entries"].as_array().into_iter().flatten() {
            let number = |at: usize| entry[at].as_u64().unwrap();
            let one = Entry {
                sn: number(1) as u32,
                event: number(3) as u8,
                uptime_us: (number(6) * 1_000_000 + number(7)) as i64,
                ends: ends(holder, ["laddr", "lport", "faddr", "fport"]).unwrap(),
                id: id.map(str::to_owned),
                iss: holder["iss"].as_u64().map(|iss| iss as u32),
            };
            let item = hexadecimal(entry[0].as_str().unwrap());
            assert!(self.entries.insert(item, one).is_none());
        }
    }

    /// Of what was found, that which the truth has.
    pub fn keys(&self, found: &Found) -> BTreeMap<Key, usize> {
        let known = |record: &&Record| self.entries.contains_key(&record.item.unwrap());
        let keys = count(found.records.iter().filter(known).map(Record::key));
        assert_eq!(keys.values().sum::<usize>(), self.entries.len());
        keys
    }
}

/// Where an ELF file's loaded segments lie: address, offset and length.
pub fn segments(file: &[u8]) -> Vec<(u64, u64, u64)> {
    let long = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    let count = u16::from_le_bytes([file[56], file[57]]);
    let headers = (0..usize::from(count)).map(|number| 64 + 56 * number);
    let loaded = headers.filter(|at| file[*at..*at + 4] == [1, 0, 0, 0]);
    loaded
        .map(|at| (long(at + 16), long(at + 8), long(at + 32)))
        .collect()
}

/// Whether a file was left behind.
pub fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
