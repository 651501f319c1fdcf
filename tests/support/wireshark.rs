//! tshark, the judge of what we write.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

/// One row of the packet list: values of fields, by name; absent ones are
/// empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(HashMap<&'static str, String>);

impl Row {
    #[track_caller]
    pub fn get(&self, field: &str) -> &str {
        self.0
            .get(field)
            .unwrap_or_else(|| panic!("{field} was not asked for"))
    }
}

/// Reads a file with tshark and gives the rows with these fields. Whatever
/// tshark complains of fails the test, and so does a machine without it.
pub fn rows(file: &Path, fields: &[&'static str], options: &[&str]) -> Vec<Row> {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("tshark");
    command
        .args([
            "-n",
            "-T",
            "fields",
            "-E",
            "separator=/t",
            "-E",
            "occurrence=a",
        ])
        .arg("-r")
        .arg(file)
        .args(options)
        .env("HOME", home.path())
        .env("WIRESHARK_CONFIG_DIR", home.path())
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC");
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().unwrap_or_else(|e| {
        panic!("these tests need Wireshark's tshark 4.0 or later on the search path: {e}")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("Running as user") && !line.is_empty())
        .collect();
    assert!(
        output.status.success() && complaints.is_empty(),
        "tshark on {}: {}: {said}",
        file.display(),
        output.status
    );
    let text = String::from_utf8(output.stdout).expect("tshark's output is not UTF-8");
    text.lines()
        .map(|line| {
            let values: Vec<&str> = line.split('\t').collect();
            assert_eq!(values.len(), fields.len(), "{line:?}");
            let pairs = fields.iter().zip(values);
            Row(pairs
                .map(|(field, value)| (*field, value.to_owned()))
                .collect())
        })
        .collect()
}

/// A time as tshark prints it, in µs since the epoch.
pub fn micros(text: &str) -> i64 {
    let (seconds, fraction) = text.split_once('.').unwrap();
    let nanos: i64 = fraction.parse().unwrap();
    assert_eq!((fraction.len(), nanos % 1000), (9, 0), "{text}");
    seconds.parse::<i64>().unwrap() * 1_000_000 + nanos / 1000
}
