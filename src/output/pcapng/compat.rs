//! tcplog_dumper's files, byte for byte: blocks, names, and `records` index.
//!
//! The promise holds in this direction only, and where tcplog_dumper writes a
//! file at all: a log ID with a slash, for which it cannot open one, gets a
//! safe name here. Stale kernel memory in records is kept, as it keeps it.
//! Two fields differ per run by nature: DUMPTIME, and the stack names, which
//! come from the host that runs it.

use super::block;
use super::encode::{Encoder, Options};
use crate::bblog::Message;
use crate::bblog::canonical::HEADER_LEN;
use crate::format::{EventId, Formats};
use crate::output::Sink;
use crate::output::files::{PendingFile, os_name, safe_name};
use crate::select::{Picked, Span};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Writes what tcplog_dumper would write into a directory.
pub struct CompatSink {
    encoder: Encoder,
    dir: PathBuf,
    index: Option<File>,
    /// Next file number of a session, as its cache has it.
    next: HashMap<Vec<u8>, u32>,
    open: Option<Open>,
    /// Bytes of the message that are not yet written, as it counts them.
    unread: u64,
    /// Files that were dropped because all their names were taken.
    nameless: u64,
}

/// Everything else was written, but these files were dropped.
#[derive(Debug, thiserror::Error)]
#[error("{files} files dropped, as all {MAX_TRIES} names that each may have are taken")]
pub struct NoNameLeft {
    pub files: u64,
}

/// The file under way.
struct Open {
    file: PendingFile,
    about: About,
    buffer: Vec<u8>,
}

/// What its index line says of it.
struct About {
    stack_id: u8,
    stack: Vec<u8>,
    records: u32,
    first_us: i64,
    last_us: i64,
    ended: bool,
    facts: Facts,
}

/// What the file's name and index line say of its message.
#[derive(Clone)]
struct Facts {
    session: Vec<u8>,
    id: Vec<u8>,
    reason: Vec<u8>,
    tag: Vec<u8>,
    foreign: String,
    local: String,
    foreign_port: u16,
    local_port: u16,
}

/// Files with these reasons that hold this many records or fewer are dropped.
const SMALL: u32 = 10;
const ONE_TIME: [&[u8]; 2] = [b"error", b"rebuffer"];
/// Index lines of this many bytes or more are dropped.
const MAX_LINE: usize = 1024;
/// Names that are tried before a file is given up.
const MAX_TRIES: u32 = 1024;
const CHUNK: usize = 256 * 1024;

impl CompatSink {
    pub fn new(options: Options, formats: &'static Formats, dir: PathBuf) -> CompatSink {
        CompatSink {
            encoder: Encoder::new(options, formats),
            dir,
            index: None,
            next: HashMap::new(),
            open: None,
            unread: 0,
            nameless: 0,
        }
    }

    fn begin(&mut self, message: &Message<'_>, first: &crate::bblog::Record<'_>) -> io::Result<()> {
        let stack_id = first.stack_id();
        let stack = self.encoder.options().stacks.of(message, first);
        let stack = stack.unwrap_or("unknown").as_bytes().to_vec();
        let mut header: [u8; HEADER_LEN] = self.encoder.canonical_header(message);
        header[8..16].copy_from_slice(&self.unread.to_le_bytes());
        let mut buffer = Vec::with_capacity(CHUNK);
        self.encoder
            .section_header(&header, stack_id, &stack, None, &mut buffer);
        self.encoder.interface_start();
        let body = self.encoder.body();
        block::end_options(body);
        block::put(&mut buffer, block::INTERFACE, body);
        self.open = Some(Open {
            file: PendingFile::create(&self.dir, None)?,
            buffer,
            about: About {
                stack_id,
                stack,
                records: 0,
                first_us: first.uptime_us(),
                last_us: first.uptime_us(),
                ended: false,
                facts: Facts::of(message),
            },
        });
        Ok(())
    }

    /// Closes the file under way. `switched`: the stack changed inside the
    /// message, in which case small files stay.
    fn close(&mut self, switched: bool) -> io::Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let (mut file, about) = (open.file, open.about);
        let one_time = ONE_TIME.contains(&about.facts.reason.as_slice());
        let start = self.next.get(&about.facts.session).copied();
        let dropped = !switched && about.records <= SMALL && one_time;
        file.write_all(&open.buffer)?;
        let mut number = start.unwrap_or(0);
        if !dropped {
            let session = &about.facts.session;
            let from = number;
            let tried = std::cell::Cell::new(from);
            let names = (from..from.saturating_add(MAX_TRIES)).map(|n| {
                tried.set(n);
                os_name(&[session.as_slice(), format!(".{n}.pcapng").as_bytes()].concat())
            });
            let name = match file.finish_at_free(&self.dir, names) {
                Ok(name) => name,
                // The others may yet find a name.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    self.nameless += 1;
                    return Ok(());
                }
                Err(e) => return Err(e),
            };
            number = tried.get();
            let line = index_line(&about, &name, number, self.encoder.options().dumptime);
            if line.len() < MAX_LINE {
                self.index()?.write_all(&line)?;
            }
        }
        if start.is_some() || !one_time {
            self.next
                .insert(about.facts.session, number.saturating_add(1));
        }
        Ok(())
    }

    fn index(&mut self) -> io::Result<&mut File> {
        if self.index.is_none() {
            let path = self.dir.join("records");
            let file = OpenOptions::new().append(true).create(true).open(path)?;
            self.index = Some(file);
        }
        self.index
            .as_mut()
            .ok_or_else(|| io::Error::other("no index"))
    }

    fn span(&mut self, message: &Message<'_>, span: &Span) -> io::Result<()> {
        let bytes = message.records.get(span.records.clone()).unwrap_or(&[]);
        let mut skipped = span.skipped;
        for record in crate::bblog::Records::new(bytes, message.dialect()) {
            let switched = self
                .open
                .as_ref()
                .is_some_and(|open| open.about.stack_id != record.stack_id());
            if switched {
                self.close(true)?;
            }
            if self.open.is_none() {
                self.begin(message, &record)?;
                // The gap before a file's first record is not looked at.
                skipped = 0;
            }
            let Some(open) = &mut self.open else { continue };
            if skipped > 0 {
                block::put_skipped(&mut open.buffer, skipped);
                skipped = 0;
            }
            let context = self.encoder.context(message);
            self.encoder
                .record(message, &record, &context, None, &mut open.buffer);
            open.about.records += 1;
            open.about.last_us = record.uptime_us();
            open.about.ended |= record.event() == EventId::CONNEND && record.tcp().is_none();
            self.unread = self.unread.saturating_sub(record.bytes().len() as u64);
            if open.buffer.len() >= CHUNK {
                open.file.write_all(&open.buffer)?;
                open.buffer.clear();
            }
        }
        Ok(())
    }
}

impl Sink for CompatSink {
    fn piece(&mut self, message: &Message<'_>, picked: &Picked) -> io::Result<()> {
        if message.first {
            self.close(false)?;
            let header = message.dialect().header.size as u64;
            self.unread = message.header.length().saturating_sub(header);
        }
        for span in &picked.spans {
            self.span(message, span)?;
        }
        if message.last {
            self.close(false)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.close(false)?;
        match self.nameless {
            0 => Ok(()),
            files => Err(io::Error::other(NoNameLeft { files })),
        }
    }
}

impl Facts {
    fn of(message: &Message<'_>) -> Facts {
        let header = &message.header;
        let ends = header.endpoints();
        let foreign = address_text(ends.foreign.ip());
        let (local_port, foreign_port) = (ends.local.port(), ends.foreign.port());
        let id = header.id();
        let mut session = if id.contains(&b'/') {
            safe_name(id).into_bytes()
        } else {
            id.to_vec()
        };
        session.extend_from_slice(format!("_{local_port}_{foreign}_{foreign_port}").as_bytes());
        Facts {
            session,
            id: id.to_vec(),
            reason: header.reason().to_vec(),
            tag: header.tag().to_vec(),
            foreign,
            local: address_text(ends.local.ip()),
            foreign_port,
            local_port,
        }
    }
}

/// An address as FreeBSD's `inet_ntop` writes it.
fn address_text(addr: IpAddr) -> String {
    match addr {
        IpAddr::V6(v6) if is_v4_compatible(&v6) => {
            let [.., a, b, c, d] = v6.octets();
            format!("::{a}.{b}.{c}.{d}")
        }
        other => other.to_string(),
    }
}

fn is_v4_compatible(addr: &Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, ..] = addr.segments();
    let low = addr.to_bits() & 0xffff_ffff;
    [a, b, c, d, e, f] == [0; 6] && low > 1
}

fn index_line(about: &About, name: &OsString, number: u32, dumptime: i64) -> Vec<u8> {
    let facts = &about.facts;
    let date = jiff::Timestamp::from_second(dumptime).map_or_else(
        |_| "unknown".to_owned(),
        |t| t.strftime("%Y-%m-%d %H:%M:%S +0000").to_string(),
    );
    let duration = about.last_us.saturating_sub(about.first_us).max(0);
    let mut line = Vec::new();
    let mut put = |text: &str| line.extend_from_slice(text.as_bytes());
    put("{\"date\":\"");
    put(&date);
    for (key, value) in [("pbcid", &facts.id), ("reason", &facts.reason)] {
        put("\", \"");
        put(key);
        put("\":\"");
        put(&escaped(value));
    }
    put(&format!(
        "\", \"faddr\":\"{}\", \"fport\":{}, \"laddr\":\"{}\", \"lport\":{}, \"filename\":\"",
        facts.foreign, facts.foreign_port, facts.local, facts.local_port
    ));
    // The name goes in as it is, quotes and all: that is what it does.
    line.extend_from_slice(name.as_bytes());
    let mut put = |text: &str| line.extend_from_slice(text.as_bytes());
    put(&format!(
        "\", \"record_count\":{}, \"stack\":\"",
        about.records
    ));
    line.extend_from_slice(&about.stack);
    line.extend_from_slice(
        format!(
            "\", \"duration\":{}.{:06}, \"connection_ended\":{}, \"tag\":\"{}\", \
             \"compressor\":\"\", \"frag_seq\":{number}}}\n",
            duration / 1_000_000,
            duration % 1_000_000,
            about.ended,
            escaped(&facts.tag),
        )
        .as_bytes(),
    );
    line
}

/// Text as its index escapes it: white space as a space, bytes that are not
/// printable ASCII as `?`.
fn escaped(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b'\t'..=b'\r' | b' ' => out.push(' '),
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(*byte));
            }
            0x21..=0x7e => out.push(char::from(*byte)),
            _ => out.push('?'),
        }
    }
    out
}
