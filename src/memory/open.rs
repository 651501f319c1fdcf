//! Opening: what the bytes are, layer by layer, told by their content.

use super::dump_device::{self, Found};
use super::files::{self, Kind};
use super::image::{Container, Contents, DumpFacts, Image};
#[cfg(test)]
use super::source::ReadAt;
use super::source::Source;
use super::unpack;
use super::{Machine, MemoryError, elf, lime, minidump, raw};
use crate::input::detect;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Layers of compression and dump headers around a container, at most.
const MAX_LAYERS: usize = 6;
/// Of them compressed: each costs a temporary file.
const MAX_PACKED: usize = 3;

/// Where a stretch of a raw image was in physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhysicalRange {
    /// In the decompressed image, bytes.
    pub offset: u64,
    pub physical: u64,
    pub len: u64,
}

/// What the user knows and the image does not say.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Of raw images and physical devices, which say nothing about their
    /// addresses.
    pub physical_map: Vec<PhysicalRange>,
    /// Of images that do not say it. amd64 is assumed of images of physical
    /// memory.
    pub machine: Option<Machine>,
    /// Bytes to which one layer of compression may unpack; None: what the file
    /// system has room for.
    pub max_unpacked: Option<u64>,
    /// Set by another thread or a signal to give up unpacking.
    pub stop: Option<Arc<AtomicBool>>,
}

/// Opens an image in one file, or a device. `-` is standard input.
///
/// # Errors
///
/// What cannot be opened, and what holds no memory or holds it encrypted or in
/// a form that another program has to convert first. Damage is no error: what
/// is there is opened and [`Image::notes`] tell the rest.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Image, MemoryError> {
    open_parts(&[path.to_owned()], options)
}

/// Opens an image in several files that follow each other, as split(1) or a
/// series of dd(1) makes them.
///
/// # Errors
///
/// As [`open`].
pub fn open_parts(paths: &[PathBuf], options: &OpenOptions) -> Result<Image, MemoryError> {
    let mut sources = Vec::with_capacity(paths.len());
    let mut names = Vec::with_capacity(paths.len());
    let mut notes = Vec::new();
    let mut kind = Kind::File;
    for path in paths {
        let name = match path.as_os_str() == "-" {
            true => "standard input".to_owned(),
            false => path.display().to_string(),
        };
        if files::is_encrypted_name(path) {
            return Err(refused(&name, files::ENCRYPTED));
        }
        let (source, this) = files::source(path, &name, options, &mut notes)?;
        sources.push(source);
        names.push(name);
        kind = this;
    }
    let name = names.join(", ");
    open_source(name, Source::join(sources), kind, notes, options)
}

/// Opens what a reader gives, as a device is opened: read by pages, around
/// what cannot be read.
#[cfg(test)]
pub(super) fn open_reader(
    name: &str,
    reader: Box<dyn ReadAt>,
    size: u64,
    kind: Kind,
    options: &OpenOptions,
) -> Result<Image, MemoryError> {
    let source = Source::reader(name, reader, size, true);
    open_source(name.to_owned(), source, kind, Vec::new(), options)
}

fn refused(name: &str, why: &str) -> MemoryError {
    MemoryError::Refused {
        name: name.to_owned(),
        why: why.to_owned(),
    }
}

fn open_source(
    name: String,
    mut source: Source,
    kind: Kind,
    mut notes: Vec<String>,
    options: &OpenOptions,
) -> Result<Image, MemoryError> {
    let mut layers = Vec::new();
    let mut packed = 0;
    let mut facts = DumpFacts::default();
    let mut range = 0..source.size();
    let mut contents = loop {
        if kind != Kind::File {
            break raw::live(kind, options);
        }
        if layers.len() > MAX_LAYERS || packed > MAX_PACKED {
            return Err(refused(
                &name,
                "too many layers of compression or dump headers within each other",
            ));
        }
        let mut scratch = Vec::new();
        let head = source.bytes(range.start, HEAD, &mut scratch);
        let head = within(head, &range);
        if let Some(compression) = detect::compression(head) {
            layers.push(unpack::name(compression));
            packed += 1;
            let reader = source.cursor(range.start, range.end);
            let unpacked = unpack::unpack(reader, compression, options);
            source = files::into_source(unpacked, &name, &mut notes)?;
            range = 0..source.size();
            continue;
        }
        if let Some(why) = no_memory(head) {
            return Err(refused(&name, why));
        }
        match recognised(&source, &range, head, &name) {
            Some(Ok(contents)) => break contents,
            Some(Err(why)) => return Err(refused(&name, &why)),
            None => {}
        }
        let front = dump_device::at_front(&source, &range);
        let found = match front {
            Some(Ok(found)) => Some(Ok(found)),
            // Once is enough: what lies in a dump is no device.
            front if layers.contains(&DUMP_DEVICE) => front,
            front => dump_device::at_end(&source, &range).or(front),
        };
        match found {
            Some(Ok(found)) => {
                facts = facts_of(&found, &name, &mut notes)?;
                layers.push(DUMP_DEVICE);
                range = found.dump;
            }
            Some(Err(why)) => {
                notes.push(format!("{name}: {why}; read as raw memory"));
                break raw::raw(&range, options);
            }
            None => {
                if head.starts_with(elf::MAGIC) {
                    notes.push(format!(
                        "{name}: at byte {}: ELF, but no core that can be read; read as raw memory",
                        range.start
                    ));
                }
                break raw::raw(&range, options);
            }
        }
    };
    if range.is_empty() && kind == Kind::File {
        notes.push(format!("{name}: there are no bytes in it"));
    }
    let machine = options.machine.or(facts.machine);
    place(&mut contents, machine, source.is_live(), &name);
    Ok(Image::assemble(
        name, source, layers, facts, notes, contents,
    ))
}

/// Gives an image that tells no machine the one that is known or likely, and
/// with it the direct map.
fn place(contents: &mut Contents, machine: Option<Machine>, is_live: bool, name: &str) {
    contents.machine = contents.machine.or(machine);
    let mut extents = contents.extents.iter();
    if contents.machine.is_none() && extents.any(|extent| extent.physical.is_some()) {
        contents.remarks.push(format!(
            "{name}: nothing tells the machine; its direct map is taken for that of amd64"
        ));
        contents.machine = Some(Machine::Amd64);
    }
    if matches!(
        contents.container,
        Container::Raw | Container::Lime | Container::PhysicalDevice
    ) {
        contents.kernel_places(contents.machine);
        // All memory of a running machine would be read for it.
        contents.search_root &= !is_live;
    }
}

const DUMP_DEVICE: &str = "dump device";

/// Bytes of the start that are looked at.
const HEAD: usize = 512;

fn within<'a>(head: &'a [u8], range: &Range<u64>) -> &'a [u8] {
    let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
    head.get(..len).unwrap_or(head)
}

/// What holds no memory, or none that is read here, and what to do.
fn no_memory(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"KDUMP   ") || head.starts_with(b"makedumpfile") {
        return Some(
            "a kdump-compressed dump (makedumpfile, QEMU dump-guest-memory -z, -l or -s); dump the \
             guest again as ELF (dump-guest-memory without these), or convert it with makedumpfile",
        );
    }
    if head.starts_with(b"AVML") {
        return Some(
            "an AVML image with compressed blocks; convert it with avml-convert to LiME or to a raw \
             image",
        );
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some("a tar archive, such as a textdump; it holds texts and no memory");
    }
    None
}

fn recognised(
    source: &Source,
    range: &Range<u64>,
    head: &[u8],
    name: &str,
) -> Option<Result<Contents, String>> {
    if head.starts_with(minidump::MAGIC) {
        return Some(minidump::read(source, range.start, range.end, name));
    }
    if head.starts_with(elf::MAGIC) {
        return elf::read(source, range.start, range.end, name).map(Ok);
    }
    if head.starts_with(lime::MAGIC) {
        return Some(Ok(lime::read(source, range.start, range.end, name)));
    }
    None
}

fn facts_of(found: &Found, name: &str, notes: &mut Vec<String>) -> Result<DumpFacts, MemoryError> {
    let header = &found.header;
    if header.is_text {
        return Err(refused(
            name,
            "a FreeBSD text dump; it holds texts and no memory",
        ));
    }
    if header.is_encrypted {
        return Err(refused(
            name,
            "an encrypted kernel dump; let savecore(8) save it, and decrypt it with decryptcore(8), \
             which needs the private key and the file key.N",
        ));
    }
    if header.is_cleared {
        notes.push(format!(
            "{name}: savecore(8) has cleared this dump; it may have been overwritten in part"
        ));
    }
    notes.extend(found.notes.iter().map(|note| format!("{name}: {note}")));
    Ok(header.facts.clone())
}
