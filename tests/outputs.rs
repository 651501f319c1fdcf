//! Where output goes: files, descriptors, links, and what stands in the way.

mod support;

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use support::stream::{HEADER, SECTION, blocks, messages, u16_at, u32_at, u64_at};
use support::{assert_same, convert, files_in, filter, genuine, put, tcplog};

/// A genuine message that is not too long.
fn short() -> Vec<u8> {
    let stream = genuine("multi");
    let found = messages(&stream)
        .into_iter()
        .filter(|m| !m.records().is_empty() && m.id() != b"UNKNOWN")
        .min_by_key(|m| m.bytes.len());
    found.unwrap().bytes.to_vec()
}

/// A message of more than this many bytes.
fn long(bytes: usize) -> Vec<u8> {
    let stream = genuine("rack-loss");
    let all = messages(&stream);
    let message = all.iter().max_by_key(|m| m.bytes.len()).unwrap();
    let mut long = message.header().to_vec();
    let mut sn = 1u32;
    while long.len() < bytes {
        for record in message.records() {
            let start = long.len();
            long.extend_from_slice(record.0);
            long[start + 20..start + 24].copy_from_slice(&sn.to_le_bytes());
            sn += 1;
        }
    }
    let len = long.len() as u64;
    long[8..16].copy_from_slice(&len.to_le_bytes());
    long
}

#[test]
fn a_message_of_any_length_stays_one() {
    let stream = [short(), long(50 << 20), short()].concat();
    let (ran, got) = filter(&stream, &[]);
    ran.fine();
    assert_same("long message", &got, &stream);
}

#[test]
fn a_long_message_that_loses_records_late_gets_its_length() {
    let long = long(10 << 20);
    let all = messages(&long);
    let records = all[0].records();
    let keep = records.len() - 3;
    let (ran, got) = filter(
        &[long.clone(), short()].concat(),
        &["--sn", &format!("1..{keep}"), "--id", "*"],
    );
    assert!(ran.status <= 1, "{}", ran.stderr);
    let wanted = all[0].with_records(records.into_iter().take(keep));
    assert_eq!(u64_at(&got, 8), wanted.len() as u64);
    assert_same("long message", &got[..wanted.len()], &wanted);
}

fn run_to(stdout: impl Into<Stdio>, args: &[&std::ffi::OsStr]) -> i32 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcplog"));
    let status = command.args(args).stdout(stdout).stdin(Stdio::null());
    status.status().unwrap().code().unwrap()
}

#[test]
fn standard_output_by_another_name_is_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let stream = short();
    let input = put(dir.path(), "in", &stream);
    let link = dir.path().join("link");
    symlink("/dev/stdout", &link).unwrap();
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "-"]
        .map(Path::new)
        .into_iter()
        .chain([link.as_path()])
    {
        let file = put(dir.path(), "log", b"before ");
        let mut open = OpenOptions::new().append(true).open(&file).unwrap();
        let args = ["filter".as_ref(), input.as_os_str(), "-o".as_ref()];
        let status = run_to(
            open.try_clone().unwrap(),
            &[args.as_slice(), &[name.as_os_str()]].concat(),
        );
        assert_eq!(status, 0, "{name:?}");
        open.write_all(b" after").unwrap();
        let wanted = [b"before ", &stream[..], b" after"].concat();
        assert_same(&format!("{name:?}"), &fs::read(&file).unwrap(), &wanted);
    }
}

#[test]
fn another_descriptor_is_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let stream = short();
    put(dir.path(), "in", &stream);
    put(dir.path(), "log", b"before ");
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "'{}' filter in -o /dev/fd/7 7>>log",
            env!("CARGO_BIN_EXE_tcplog")
        ))
        .current_dir(dir.path())
        .status()
        .unwrap();
    assert!(status.success());
    let got = fs::read(dir.path().join("log")).unwrap();
    assert_same("log", &got, &[b"before ", &stream[..]].concat());
}

#[test]
fn a_replaced_file_keeps_its_permissions() {
    let dir = tempfile::tempdir().unwrap();
    let stream = short();
    let input = put(dir.path(), "in", &stream);
    for mode in [0o600, 0o640, 0o666, 0o755] {
        let output = put(dir.path(), "out", b"old");
        fs::set_permissions(&output, Permissions::from_mode(mode)).unwrap();
        tcplog([
            "filter".as_ref(),
            input.as_os_str(),
            "-o".as_ref(),
            output.as_os_str(),
        ])
        .fine();
        assert_same("out", &fs::read(&output).unwrap(), &stream);
        let got = fs::metadata(&output).unwrap().permissions().mode() & 0o777;
        assert_eq!(got, mode, "{got:o} instead of {mode:o}");
    }
}

#[test]
fn links_are_followed_even_to_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("there")).unwrap();
    let stream = short();
    let input = put(dir.path(), "in", &stream);
    let link = dir.path().join("link");
    symlink("there/next", &link).unwrap();
    symlink("out", dir.path().join("there/next")).unwrap();
    // First it dangles, then it does not.
    for _ in 0..2 {
        tcplog([
            "filter".as_ref(),
            input.as_os_str(),
            "-o".as_ref(),
            link.as_os_str(),
        ])
        .fine();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let out = dir.path().join("there/out");
        assert!(fs::symlink_metadata(&out).unwrap().is_file());
        assert_same("out", &fs::read(&out).unwrap(), &stream);
    }
}

fn compat(input: &Path, out: &Path) -> support::Ran {
    tcplog([
        "convert".as_ref(),
        input.as_os_str(),
        "-D".as_ref(),
        out.as_os_str(),
        "--compat=tcplog_dumper".as_ref(),
    ])
}

/// The Internet checksum over a pseudo header and a segment, with a length
/// that went through 16 bits.
fn checksum(addresses: &[u8], segment: &[u8], length: u16) -> u16 {
    let words = |bytes: &[u8]| -> u64 {
        let pairs = bytes.chunks(2);
        pairs
            .map(|p| u64::from(u16::from_be_bytes([p[0], p[1]])))
            .sum()
    };
    let mut sum = words(addresses) + words(segment) + 6 + u64::from(length);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[test]
fn compat_cuts_lengths_beyond_16_bits() {
    for (name, start) in [("base-v6", 44), ("multi", 24)] {
        let genuine = genuine(name);
        let (mut stream, at) = {
            let all = messages(&genuine);
            let v6 = start == 44;
            let message = all.iter().find(|m| m.is_ipv6() == v6).unwrap();
            let mut at = message.offset + HEADER;
            let records = message.records();
            for record in records.iter().take_while(|r| !r.is_packet()) {
                at += record.0.len();
            }
            (message.bytes.to_vec(), at - message.offset)
        };
        let payload = 70_001u32;
        stream[at + 264..at + 268].copy_from_slice(&payload.to_le_bytes());
        let dir = tempfile::tempdir().unwrap();
        let input = put(dir.path(), "in", &stream);
        compat(&input, &dir.path().join("out")).fine();
        let files = files_in(&dir.path().join("out"));
        let (_, file) = files.iter().find(|(name, _)| name != "records").unwrap();
        let blocks = blocks(file);
        let block = blocks.iter().find(|b| b.kind == support::stream::PACKET);
        let block = block.unwrap();
        let packet = block.packet();
        let all = messages(&stream);
        let first = all[0].records().into_iter().find(|r| r.is_packet());
        let tcp = first.unwrap().tcp();
        let whole = tcp.len() as u32 + payload;
        let (length, addresses) = if start == 44 {
            assert_eq!(packet[10], 6, "next header");
            (whole, &packet[12..44])
        } else {
            (whole + 20, &packet[16..24])
        };
        let field = if start == 44 { 8 } else { 6 };
        let got = u16::from_be_bytes([packet[field], packet[field + 1]]);
        assert_eq!(got, length as u16, "{name}");
        assert_eq!(u32_at(block.body(), 16), start as u32 + whole, "{name}");
        let mut segment = packet[start..start + tcp.len()].to_vec();
        let got = u16::from_be_bytes([segment[16], segment[17]]);
        segment[16..18].fill(0);
        assert_eq!(got, checksum(addresses, &segment, whole as u16), "{name}");
        assert_eq!(u16_at(packet, 0), if start == 44 { 28 } else { 2 });
    }
}

#[test]
fn compat_goes_on_when_a_name_is_used_up() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let one = short();
    let input = put(dir.path(), "in", &one);
    compat(&input, &out).fine();
    let taken = files_in(&out)
        .into_iter()
        .map(|(name, _)| name.into_string().unwrap())
        .find(|name| name != "records")
        .unwrap();
    let stem = taken.strip_suffix(".0.pcapng").unwrap();
    for number in 1..1024 {
        File::create(out.join(format!("{stem}.{number}.pcapng"))).unwrap();
    }
    let mut other = one.clone();
    other[72..136].fill(0);
    other[72..77].copy_from_slice(b"other");
    let input = put(dir.path(), "in", &[one, other].concat());
    let ran = compat(&input, &out).ended(1);
    let said = ran.said();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("1 files dropped"), "{said:?}");
    let files = files_in(&out);
    assert_eq!(files.len(), 1024 + 2);
    assert!(files.iter().any(|(name, _)| {
        let name = name.to_str().unwrap();
        name.starts_with("other_") && name.ends_with(".0.pcapng")
    }));
}

#[test]
fn an_index_line_survives_any_times() {
    let mut stream = short();
    let count = messages(&stream)[0].records().len();
    assert!(count > 1);
    // The first as early, the last as late as can be.
    let at = HEADER;
    stream[at..at + 8].copy_from_slice(&i64::MIN.to_le_bytes());
    let last = stream.len() - messages(&stream)[0].records()[count - 1].0.len();
    stream[last..last + 8].copy_from_slice(&i64::MAX.to_le_bytes());
    let dir = tempfile::tempdir().unwrap();
    let input = put(dir.path(), "in", &stream);
    let ran = compat(&input, &dir.path().join("out"));
    assert!(
        ran.status <= 1 && !ran.stderr.contains("panicked"),
        "{ran:?}"
    );
}

#[test]
fn a_message_without_records_keeps_its_section() {
    let one = short();
    let all = messages(&one);
    let mut empty = all[0].with_records([]);
    empty[72..136].fill(0);
    empty[72..77].copy_from_slice(b"empty");
    let mut other = empty.clone();
    other[72..77].copy_from_slice(b"other");
    for (stream, wanted) in [
        ([&one[..], &empty, &other].concat(), 1),
        ([&empty[..], &one, &other].concat(), 1),
        ([&other[..], &empty, &one].concat(), 1),
        ([&other[..], &one, &empty, &empty].concat(), 2),
        ([&other[..], &one].concat(), 0),
    ] {
        let (ran, file) = convert(&stream, &[]);
        ran.fine();
        let (ran, got) = filter(&file, &["--id", "empty"]);
        assert_eq!(ran.status, i32::from(wanted == 0), "{}", ran.stderr);
        let want: Vec<u8> = {
            let all = blocks(&file);
            let mut keep = false;
            let kept = all.iter().filter(|block| {
                if block.kind == SECTION {
                    keep = block.private(4).unwrap()[72..77] == *b"empty";
                }
                keep
            });
            kept.flat_map(|block| block.bytes.iter().copied()).collect()
        };
        let sections = blocks(&want).iter().filter(|b| b.kind == SECTION).count();
        assert_eq!(sections, wanted);
        assert_same("empty", &got, &want);
        // And what is not asked for brings no section along.
        if !one.is_empty() {
            let id = messages(&one)[0].id().to_vec();
            let (_, got) = filter(&file, &["--id", std::str::from_utf8(&id).unwrap()]);
            let sections = blocks(&got).iter().filter(|b| b.kind == SECTION).count();
            let (_, alone) = convert(&one, &["--dumptime", "0"]);
            let all = blocks(&alone).iter().filter(|b| b.kind == SECTION).count();
            assert_eq!(sections, all);
        }
    }
}

#[test]
fn split_by_message_numbers_every_message() {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = Vec::new();
    for _ in 0..200 {
        stream.extend(short());
    }
    let input = put(dir.path(), "in", &stream);
    let out = dir.path().join("out");
    tcplog([
        "convert".as_ref(),
        input.as_os_str(),
        "-D".as_ref(),
        out.as_os_str(),
        "--split=message".as_ref(),
        "--dumptime=0".as_ref(),
    ])
    .fine();
    let files = files_in(&out);
    assert_eq!(files.len(), 200);
    for number in 0..200 {
        let end = format!(".{number}.pcapng");
        assert!(
            files
                .iter()
                .any(|(f, _)| f.to_str().unwrap().ends_with(&end))
        );
    }
    let sections = |file: &[u8]| blocks(file).iter().filter(|b| b.kind == SECTION).count();
    let one = sections(&files[0].1);
    assert!(files.iter().all(|(_, file)| sections(file) == one));
}

#[test]
fn names_of_files_show_and_stay_the_same() {
    use tcplog::output::files::safe_name;
    assert_eq!(safe_name("a\u{3164}b".as_bytes()), "a%E3%85%A4b");
    assert_eq!(safe_name("\u{115f}".as_bytes()), "%E1%85%9F");
    assert_eq!(safe_name("caf\u{e9}.1-2".as_bytes()), "caf\u{e9}.1-2");
    // Cut names end with FNV-1a 64 of the ID.
    let name = safe_name(&[b'/'; 64]);
    let wanted = [b'/'; 64].iter().fold(0xcbf29ce484222325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100000001b3)
    });
    assert_eq!(name, format!("{}~{wanted:016x}", &"%2F".repeat(64)[..160]));
}
