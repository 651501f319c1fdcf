//! Traces of DTrace's SCTP provider: genuine lines, every form of output of
//! dtrace, damage, and what comes out.

#[path = "../support/mod.rs"]
mod support;

mod damage;
mod forms;
mod genuine;
mod live;
mod properties;
mod script;
mod structured;
mod window;
mod wireshark;

use serde_json::Value;
use std::path::PathBuf;
use support::{Ran, put, stored, tcplog};

/// Runs `tcplog show --format json` over a text; gives its objects.
fn show(text: &[u8], options: &[&str]) -> (Vec<Value>, Ran) {
    let ran = on(text, &[&["show", "--format", "json"], options].concat());
    let objects = ran.stdout.split(|b| *b == b'\n').filter(|l| !l.is_empty());
    let objects = objects.map(|l| serde_json::from_slice(l).expect("JSON"));
    (objects.collect(), ran)
}

/// Runs a command over a text that is stored in a file.
fn on(text: &[u8], args: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let path = put(dir.path(), "trace", text);
    let args = args.iter().map(|a| a.to_owned().to_owned());
    tcplog(args.chain([path.to_str().unwrap().to_owned()]))
}

/// Converts a text to pcapng; gives the directory that holds it, too.
fn converted(text: &[u8], options: &[&str]) -> (tempfile::TempDir, PathBuf, Ran) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.pcapng");
    let args = [&["convert", "-o", out.to_str().unwrap()], options].concat();
    let ran = on(text, &args);
    (dir, out, ran)
}

/// The genuine lines of a run.
fn probes(run: &str) -> Vec<u8> {
    stored(&format!("sctp/{run}.probes.txt.zst"))
}

/// What an object has under some keys.
fn pick(object: &Value, keys: &[&str]) -> Vec<Value> {
    keys.iter().map(|key| object[*key].clone()).collect()
}
