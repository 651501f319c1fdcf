//! The collector against tcplog_dumper's way of writing, by CPU time.
//!
//! One million genuine records, as a file in memory (or wherever the
//! temporary directory is), go through the `record` command; and through a
//! writer that encodes the same blocks, but calls writev(2) once per record with
//! eight parts, two of them allocated, as tcplog_dumper does. The same writer with
//! one write per message shows what that costs alone. CPU time is that of
//! the process and of the kernel on its behalf. Nothing is removed between the
//! rounds: some file systems are slow at making files where many just went.

use nix::sys::resource::{UsageWho, getrusage};
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, IoSlice, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use tcplog::format::Formats;
use tcplog::input::{self, Batch, Bytes};
use tcplog::meaning::StackNames;
use tcplog::output::pcapng::{Encoder, Options};
use tcplog::select::{Picked, Picker, Select};

const RECORDS: usize = 1_000_000;

fn main() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let stream = dir.path().join("stream");
    let records = make_stream(&stream)?;
    println!("{records} records, {} bytes", fs::metadata(&stream)?.len());
    for round in 0..2 {
        let out = dir.path().join(format!("dumper{round}"));
        report(
            "one writev per record",
            records,
            UsageWho::RUSAGE_SELF,
            || write_messages(&stream, &out, one_writev_per_record),
        )?;
        let out = dir.path().join(format!("batched{round}"));
        report(
            "one write per message",
            records,
            UsageWho::RUSAGE_SELF,
            || write_messages(&stream, &out, |file, blocks| file.write_all(blocks)),
        )?;
        for (name, args) in [
            ("tcplog record", &[][..]),
            (
                "tcplog record --split connection",
                &["--split", "connection"],
            ),
            ("tcplog record --comments", &["--comments"]),
            ("tcplog record --compress zstd", &["--compress", "zstd"]),
        ] {
            let out = dir.path().join(format!("{name}{round}"));
            report(name, records, UsageWho::RUSAGE_CHILDREN, || {
                collect(&stream, &out, args)
            })?;
        }
    }
    Ok(())
}

/// Genuine streams, over and over, until there are enough records.
fn make_stream(path: &Path) -> io::Result<usize> {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/streams");
    let (mut once, mut records) = (Vec::new(), 0);
    for name in ["kernel-ids", "multi", "rack-loss", "ringwrap"] {
        let file = File::open(testdata.join(format!("{name}.bin.zst")))?;
        zstd::stream::copy_decode(file, &mut once)?;
    }
    each_piece(&once, |message, _| records += message.records().count());
    let times = RECORDS.div_ceil(records);
    let mut out = io::BufWriter::new(File::create(path)?);
    (0..times).try_for_each(|_| out.write_all(&once))?;
    out.flush()?;
    Ok(times * records)
}

fn each_piece(data: &[u8], mut take: impl FnMut(&tcplog::bblog::Message<'_>, &Picked)) {
    let bytes = Bytes::from_reader("bench", io::Cursor::new(data.to_vec()));
    let mut reader = input::open(bytes, None, Formats::builtin()).expect("a stream");
    let mut picker = Picker::new(Select::default(), Vec::new());
    let (mut batch, mut picked) = (Batch::default(), Picked::default());
    while reader.next_batch(&mut batch).expect("readable") {
        for message in batch.messages() {
            picker.pick(&message, &mut picked);
            take(&message, &picked);
        }
    }
}

fn report(
    name: &str,
    records: usize,
    who: UsageWho,
    work: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let (before, start) = (cpu(who)?, Instant::now());
    work()?;
    let (seconds, wall) = (cpu(who)? - before, start.elapsed().as_secs_f64());
    println!(
        "{name:34} {:8.0} records per CPU second, {seconds:.2} s CPU, {wall:.2} s",
        records as f64 / seconds
    );
    Ok(())
}

/// CPU seconds so far.
fn cpu(who: UsageWho) -> io::Result<f64> {
    let usage = getrusage(who)?;
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 * 1e-6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn collect(stream: &Path, out: &Path, args: &[&str]) -> io::Result<()> {
    let me = tcplog::record::privileges::Identity::current().name;
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcplog"));
    command
        .arg("record")
        .arg("-f")
        .arg(stream)
        .arg("-D")
        .arg(out);
    command.args(["-q", "-u", &me]).args(args);
    match command.status()?.success() {
        true => Ok(()),
        false => Err(io::Error::other("record failed")),
    }
}

/// Messages are read whole; each is encoded, and written into a file of its
/// own by `write`.
fn write_messages(
    stream: &Path,
    out: &Path,
    write: impl Fn(&mut File, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    fs::create_dir_all(out)?;
    let mut stream = File::open(stream)?;
    let options = Options {
        comments: false,
        compat: true,
        dumptime: 0,
        release: None,
        stacks: StackNames::default(),
    };
    let mut encoder = Encoder::new(options, Formats::builtin());
    let (mut message, mut blocks) = (Vec::new(), Vec::new());
    let mut number = 0;
    loop {
        message.resize(16, 0);
        if stream.read(&mut message)? < 16 {
            return Ok(());
        }
        let length = message.get(8..16).and_then(|field| field.try_into().ok());
        let length = u64::from_le_bytes(length.unwrap_or_default());
        message.resize(usize::try_from(length).unwrap_or(16), 0);
        stream.read_exact(message.get_mut(16..).unwrap_or_default())?;
        blocks.clear();
        each_piece(&message, |message, picked| {
            encoder.piece(message, picked, &mut blocks);
        });
        let path: PathBuf = out.join(format!("{number}.pcapng"));
        let mut file = File::create_new(path)?;
        number += 1;
        write(&mut file, &blocks)?;
    }
}

fn one_writev_per_record(file: &mut File, blocks: &[u8]) -> io::Result<()> {
    let mut rest = blocks;
    while let Some(len) = rest.get(4..8).and_then(|len| len.try_into().ok()) {
        let len = u32::from_le_bytes(len) as usize;
        let (block, after) = rest.split_at(len.min(rest.len()));
        let parts = in_parts(block);
        let parts = parts.each_ref().map(|part| IoSlice::new(part));
        black_box(file.write_vectored(&parts)?);
        rest = after;
    }
    Ok(())
}

/// A block as it has them: fixed header, IP header, TCP header, padding, flags
/// and option header (both allocated), state, trailer.
fn in_parts(block: &[u8]) -> [std::borrow::Cow<'_, [u8]>; 8] {
    let mut rest = block;
    [28, 20, 32, 4, 12, 12, usize::MAX, 4].map(|len| {
        let keep = if len == usize::MAX { 4 } else { 0 };
        let (part, after) = rest.split_at(len.min(rest.len().saturating_sub(keep)));
        rest = after;
        if len == 12 {
            part.to_vec().into()
        } else {
            part.into()
        }
    })
}
