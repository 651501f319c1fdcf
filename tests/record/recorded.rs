//! What a collector left in its directory, read without the library.

use crate::support::library::to_stream;
use crate::support::stream::{SECTION, blocks, messages, without_stale};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Finished files by name, and the lines of the index.
pub struct Recorded {
    pub files: BTreeMap<String, Vec<u8>>,
    pub index: Vec<Value>,
}

/// The content of a file, whatever it is compressed with.
pub fn content(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    let mut out = Vec::new();
    match path.extension().unwrap().to_str().unwrap() {
        "gz" => flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut out),
        "zst" => zstd::stream::read::Decoder::new(&bytes[..])
            .unwrap()
            .read_to_end(&mut out),
        "xz" => liblzma::read::XzDecoder::new_multi_decoder(&bytes[..]).read_to_end(&mut out),
        "pcapng" => return bytes,
        other => panic!("{other}"),
    }
    .unwrap();
    out
}

/// The lines of an index, each of them whole.
pub fn index(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "half a line");
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    text.lines().map(line).collect()
}

/// The file that a line tells of.
pub fn filename(line: &Value) -> &str {
    line["filename"].as_str().unwrap()
}

/// Records in the content of a file.
pub fn records(content: &[u8]) -> u64 {
    let blocks = blocks(content);
    blocks.iter().filter(|block| block.is_record()).count() as u64
}

impl Recorded {
    /// Reads a directory and judges each file by its line.
    #[track_caller]
    pub fn read(dir: &Path) -> Recorded {
        let recorded = Recorded::without_removed(dir);
        let told: Vec<&str> = recorded.index.iter().map(filename).collect();
        assert_eq!(told.len(), recorded.files.len(), "lines for files");
        recorded
    }

    /// As [`Recorded::read`], where lines may tell of files that are gone.
    #[track_caller]
    pub fn without_removed(dir: &Path) -> Recorded {
        let index = index(&dir.join("records"));
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name == "records" || name == ".lock" {
                continue;
            }
            let meta = entry.metadata().unwrap();
            assert!(meta.is_file(), "{name}");
            assert_eq!(meta.permissions().mode() & 0o7777, 0o440, "{name}");
            files.insert(name, content(&entry.path()));
        }
        let mut told = BTreeSet::new();
        for line in &index {
            let name = filename(line);
            assert!(told.insert(name.to_owned()), "{name} is told of twice");
            let Some(content) = files.get(name) else {
                continue;
            };
            let len = fs::metadata(dir.join(name)).unwrap().len();
            assert_eq!(line["bytes"], len, "{line}");
            assert_eq!(line["record_count"], records(content), "{line}");
            let sections = blocks(content).iter().filter(|b| b.kind == SECTION).count();
            let count = line["message_count"].as_u64().unwrap() as usize;
            // A change of the stack begins a section, too.
            assert!(sections >= count, "{line}");
        }
        for name in files.keys() {
            assert!(told.contains(name), "nothing tells of {name}");
        }
        Recorded { files, index }
    }

    /// All files in one.
    pub fn concatenated(&self) -> Vec<u8> {
        self.files.values().flatten().copied().collect()
    }

    /// The messages in all files, sorted.
    #[track_caller]
    pub fn messages(&self) -> Vec<Vec<u8>> {
        let all = self.concatenated();
        if all.is_empty() {
            return Vec::new();
        }
        let (stream, damage) = to_stream(&all).unwrap();
        assert!(damage.is_empty(), "{damage:?}");
        sorted(&stream)
    }

    pub fn records(&self) -> u64 {
        self.files.values().map(|content| records(content)).sum()
    }

    /// Tag and serial number of each record; fails if any comes twice.
    #[track_caller]
    pub fn unique(&self) -> HashSet<(Vec<u8>, u32)> {
        let mut all = HashSet::new();
        for (name, content) in &self.files {
            for record in tagged(content) {
                assert!(all.insert(record.clone()), "{name}: {record:?} comes twice");
            }
        }
        all
    }
}

/// Tag and serial number of each record.
pub fn tagged(content: &[u8]) -> Vec<(Vec<u8>, u32)> {
    let mut tag = Vec::new();
    let mut all = Vec::new();
    for block in blocks(content) {
        if block.kind == SECTION {
            let header = block.private(4).unwrap();
            tag = crate::support::stream::text(&header[168..200]).to_vec();
        } else if block.is_record() {
            let sn = crate::support::stream::u32_at(block.info(), 20);
            all.push((tag.clone(), sn));
        }
    }
    all
}

/// The messages of a stream that have records, sorted.
pub fn sorted(stream: &[u8]) -> Vec<Vec<u8>> {
    let clean = without_stale(stream);
    let mut all: Vec<Vec<u8>> = messages(&clean)
        .into_iter()
        .filter(|message| !message.records().is_empty())
        .map(|message| message.bytes.to_vec())
        .collect();
    all.sort();
    all
}

/// Fails with a few words where two sorted lists of messages differ.
#[track_caller]
pub fn assert_all(what: &str, got: &[Vec<u8>], wanted: &[Vec<u8>]) {
    assert_eq!(got.len(), wanted.len(), "{what}: messages");
    for (got, wanted) in got.iter().zip(wanted) {
        crate::support::assert_same(what, got, wanted);
    }
}
