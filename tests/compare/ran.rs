//! Running the program on a log and a capture.

use crate::support::{Ran, put, tcplog};
use serde_json::{Value, json};

/// Runs `compare --format json` on bytes of both, with more arguments.
pub fn compare(log: &[u8], capture: &[u8], args: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let log = put(dir.path(), "log", log);
    let capture = put(dir.path(), "capture", capture);
    let paths = [
        log.to_str().unwrap(),
        "--capture",
        capture.to_str().unwrap(),
    ];
    tcplog([&["compare", "--format", "json"], &paths[..], args].concat())
}

/// The document of a run that ended well and said nothing.
#[track_caller]
pub fn document(log: &[u8], capture: &[u8], args: &[&str]) -> Value {
    serde_json::from_slice(&compare(log, capture, args).fine().stdout).unwrap()
}

/// Matched, merged records, merged segments, only in the log, only on the
/// wire: of one direction, of all connections.
pub fn counts(document: &Value, direction: &str) -> [u64; 5] {
    let total = &document["total"][direction];
    [
        "matched",
        "merged_records",
        "merged_segments",
        "only_log",
        "only_wire",
    ]
    .map(|key| total[key].as_u64().unwrap())
}

/// How many segments only one recorder has, by cause, of all connections.
pub fn causes(document: &Value, key: &str) -> Value {
    let mut sums = serde_json::Map::new();
    for connection in document["connections"].as_array().unwrap() {
        for (cause, count) in connection[key].as_object().unwrap() {
            let sum = sums.get(cause).and_then(Value::as_u64).unwrap_or(0);
            sums.insert(cause.clone(), json!(sum + count.as_u64().unwrap()));
        }
    }
    Value::Object(sums)
}
