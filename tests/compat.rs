//! `--compat tcplog_dumper` against what tcplog_dumper itself wrote.

mod support;

use std::ffi::OsString;
use support::stream::{Msg, blocks, messages};
use support::{assert_same, expected, files_in, genuine, genuine_names, put, stack_names, tcplog};

/// What we write for a genuine stream: the files, and the lines of the index.
fn ours(name: &str) -> (Vec<(OsString, Vec<u8>)>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let input = put(dir.path(), "stream", &genuine(name));
    let out = dir.path().join("out");
    let mut args: Vec<OsString> = vec!["convert".into(), input.into(), "-D".into()];
    args.push(out.clone().into());
    args.extend(["--compat", "tcplog_dumper", "--dumptime", "1700000000"].map(OsString::from));
    args.extend(stack_names(name).map(OsString::from));
    tcplog(args).fine();
    let mut files = files_in(&out);
    let index = files
        .iter()
        .position(|(name, _)| name == "records")
        .unwrap();
    let (_, index) = files.remove(index);
    (files, support::lines(&index))
}

/// Compares with the archive; returns files and index lines that it lacks.
fn beyond_the_archive(name: &str) -> (Vec<(OsString, Vec<u8>)>, Vec<String>) {
    let (wanted, wanted_index) = expected(name);
    let (mut files, mut index) = ours(name);
    for (file, bytes) in &wanted {
        let found = files.iter().position(|(other, _)| other == file.as_str());
        let found = found.unwrap_or_else(|| panic!("{name}: no file {file}"));
        let (_, got) = files.remove(found);
        assert_same(&format!("{name}: {file}"), &got, bytes);
    }
    for line in &wanted_index {
        let found = index.iter().position(|other| other == line);
        let found = found.unwrap_or_else(|| panic!("{name}: no index line {line}"));
        index.remove(found);
    }
    (files, index)
}

#[test]
fn every_genuine_stream() {
    for name in genuine_names() {
        if name.ends_with("-ids") {
            continue;
        }
        let (files, index) = beyond_the_archive(&name);
        let names: Vec<&OsString> = files.iter().map(|(name, _)| name).collect();
        assert!(
            names.is_empty(),
            "{name}: more than tcplog_dumper wrote: {names:?}"
        );
        assert!(index.is_empty(), "{name}: {index:?}");
    }
}

/// tcplog_dumper cannot open a file for a log ID with a slash and loses the
/// message; we give it a safe name.
fn with_lost_messages(name: &str, lost: usize) {
    let (files, index) = beyond_the_archive(name);
    assert_eq!((files.len(), index.len()), (lost, lost), "{name}");
    let stream = genuine(name);
    let mut slashed: Vec<Msg<'_>> = messages(&stream)
        .into_iter()
        .filter(|message| message.id().contains(&b'/'))
        .collect();
    assert_eq!(slashed.len(), lost);
    for (file, bytes) in &files {
        let blocks = blocks(bytes);
        let info = blocks[0].private(4).unwrap();
        let at = slashed
            .iter()
            .position(|message| holds(*message, info, &blocks[2..]));
        let at = at.unwrap_or_else(|| panic!("{name}: {file:?} holds none of the lost messages"));
        let message = slashed.remove(at);
        let line = format!("\"filename\":\"{}\", ", file.to_str().unwrap());
        let found: Vec<_> = index.iter().filter(|other| other.contains(&line)).collect();
        assert_eq!(found.len(), 1, "{name}: index lines of {file:?}");
        let count = format!("\"record_count\":{}, ", message.records().len());
        assert!(found[0].contains(&count), "{name}: {}", found[0]);
    }
}

/// True if a file with this DUMPINFO and these blocks is that message.
fn holds(message: Msg<'_>, info: &[u8], blocks: &[support::stream::Block<'_>]) -> bool {
    let records = message.records();
    // tcplog_dumper's DUMPINFO has the length without the header.
    info[..8] == message.header()[..8]
        && info[16..] == message.header()[16..]
        && blocks.len() == records.len()
        && blocks.iter().zip(&records).all(|(block, record)| {
            block.info() == &record.0[..268]
                && match record.is_packet() {
                    true => {
                        let tcp = record.tcp();
                        let start = if message.is_ipv6() { 44 } else { 24 };
                        let sent = &block.packet()[start..];
                        // The checksum is made anew.
                        sent[..16] == tcp[..16] && sent[18..tcp.len()] == tcp[18..]
                    }
                    false => block.custom_kind() == 1,
                }
        })
}

#[test]
fn kernel_ids_and_the_13_messages_that_tcplog_dumper_lost() {
    with_lost_messages("kernel-ids", 13);
}

#[test]
fn kernel15_ids_and_the_14_messages_that_tcplog_dumper_lost() {
    with_lost_messages("kernel15-ids", 14);
}
