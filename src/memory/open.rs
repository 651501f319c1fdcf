//! Opening: what the bytes are, layer by layer, told by their content.

use super::dump_device::{self, Found};
use super::image::{Container, Contents, DumpFacts, Image};
#[cfg(test)]
use super::source::ReadAt;
use super::source::Source;
use super::unpack::{self, Unpacked};
use super::{Extent, Machine, MemoryError, device, elf, lime, minidump};
use crate::input::detect;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

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
        if is_encrypted_name(path) {
            return Err(refused(&name, ENCRYPTED));
        }
        let (source, this) = source(path, &name, options, &mut notes)?;
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

/// What is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anything that begins at zero and ends.
    File,
    /// Offsets are physical addresses.
    Physical,
    /// Offsets are virtual addresses of the kernel.
    Virtual,
}

const ENCRYPTED: &str = "an encrypted kernel dump; decrypt it with decryptcore(8), which needs the \
                         private key and the file key.N beside the dump, and open the result";

/// savecore's name for what it cannot read: nothing inside tells it.
fn is_encrypted_name(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("vmcore_encrypted."))
}

fn refused(name: &str, why: &str) -> MemoryError {
    MemoryError::Refused {
        name: name.to_owned(),
        why: why.to_owned(),
    }
}

/// One file or device.
fn source(
    path: &Path,
    name: &str,
    options: &OpenOptions,
    notes: &mut Vec<String>,
) -> Result<(Source, Kind), MemoryError> {
    let wrap = |cause| MemoryError::Open {
        name: name.to_owned(),
        cause,
    };
    if path.as_os_str() == "-" {
        return Ok((spool(io::stdin().lock(), name, options, notes)?, Kind::File));
    }
    let mut file = File::open(path).map_err(wrap)?;
    let meta = file.metadata().map_err(wrap)?;
    let kind = meta.file_type();
    if kind.is_dir() {
        return Err(wrap(io::ErrorKind::IsADirectory.into()));
    }
    if kind.is_char_device() {
        let (kind, size) = match path.file_name().and_then(|name| name.to_str()) {
            Some("kmem") => (Kind::Virtual, u64::MAX),
            Some("mem") => (Kind::Physical, u64::MAX),
            _ if path.starts_with("/dev/vmm") => (Kind::Physical, device::size_of(&mut file)),
            _ => (Kind::File, device::size_of(&mut file)),
        };
        return Ok((Source::reader(name, Box::new(file), size, true), kind));
    }
    if kind.is_fifo() || kind.is_socket() {
        return Ok((spool(file, name, options, notes)?, Kind::File));
    }
    let size = match kind.is_block_device() {
        true => device::size_of(&mut file),
        false => meta.len(),
    };
    Ok((Source::file(name, file, size), Kind::File))
}

/// Reads what has no offsets into a file, unpacked at once where it is packed.
fn spool(
    mut reader: impl Read,
    name: &str,
    options: &OpenOptions,
    notes: &mut Vec<String>,
) -> Result<Source, MemoryError> {
    let mut head = Vec::new();
    let read = reader.by_ref().take(6).read_to_end(&mut head);
    read.map_err(|cause| MemoryError::Open {
        name: name.to_owned(),
        cause,
    })?;
    let compression = detect::compression(&head);
    let reader = Cursor::new(head).chain(reader);
    let limit = options.max_unpacked.unwrap_or(u64::MAX);
    let unpacked = match compression {
        Some(compression) => unpack::unpack(reader, compression, limit),
        None => unpack::spool(reader, limit),
    };
    into_source(unpacked, name, notes)
}

fn into_source(
    unpacked: io::Result<Unpacked>,
    name: &str,
    notes: &mut Vec<String>,
) -> Result<Source, MemoryError> {
    let unpacked = unpacked.map_err(|cause| MemoryError::Open {
        name: format!("{name}: temporary file for what it unpacks to"),
        cause,
    })?;
    if let Some(cause) = unpacked.damage {
        if unpacked.len == 0 {
            return Err(MemoryError::Read {
                name: name.to_owned(),
                offset: 0,
                cause,
            });
        }
        notes.push(format!(
            "{name}: damaged or cut short: {cause}; {} unpacked bytes are read",
            unpacked.len
        ));
    }
    if unpacked.is_limited {
        notes.push(format!(
            "{name}: unpacks to more than {} bytes, which is the limit; the rest is not read",
            unpacked.len
        ));
    }
    Ok(Source::file(name, unpacked.file, unpacked.len))
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
    let contents = loop {
        if kind != Kind::File {
            break live(kind, options);
        }
        if layers.len() > MAX_LAYERS || packed > MAX_PACKED {
            return Err(refused(
                &name,
                "too many layers of compression within each other",
            ));
        }
        let mut scratch = Vec::new();
        let head = source.bytes(range.start, HEAD, &mut scratch);
        let head = within(head, &range);
        if let Some(compression) = detect::compression(head) {
            layers.push(unpack::name(compression));
            packed += 1;
            let limit = options.max_unpacked.unwrap_or(u64::MAX);
            let reader = source.cursor(range.start, range.end);
            let unpacked = unpack::unpack(reader, compression, limit);
            source = into_source(unpacked, &name, &mut notes)?;
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
                break raw(&range, options);
            }
            None => break raw(&range, options),
        }
    };
    let mut contents = contents;
    if contents.machine.is_none() {
        contents.machine = options.machine.or(facts.machine);
    }
    if range.is_empty() && kind == Kind::File {
        notes.push(format!("{name}: there are no bytes in it"));
    }
    let physical = contents
        .extents
        .iter()
        .any(|extent| extent.physical.is_some());
    if physical && contents.machine.is_none() {
        notes.push(format!(
            "{name}: nothing tells the machine; its direct map is taken for that of amd64"
        ));
        contents.machine = Some(Machine::Amd64);
    }
    if matches!(
        contents.container,
        Container::Raw | Container::Lime | Container::PhysicalDevice
    ) {
        contents.kernel_places(contents.machine);
    }
    Ok(Image::assemble(
        name, source, layers, facts, notes, contents,
    ))
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

/// Memory without a header, with the addresses that the user gives.
fn raw(range: &Range<u64>, options: &OpenOptions) -> Contents {
    let mut contents = Contents::new(Container::Raw);
    contents.extents = mapped(options);
    let known: Vec<Range<u64>> = {
        let mut known: Vec<_> = contents
            .extents
            .iter()
            .map(|extent| extent.offset..extent.offset.saturating_add(extent.len))
            .collect();
        known.sort_by_key(|range| range.start);
        known
    };
    // What the map leaves out has no address.
    let mut at = range.start;
    for piece in known.iter().chain([&(range.end..range.end)]) {
        if piece.start > at {
            contents.extents.push(Extent {
                offset: at,
                len: piece.start.min(range.end).saturating_sub(at),
                physical: None,
                virtual_: None,
            });
        }
        at = at.max(piece.end);
    }
    contents
}

fn mapped(options: &OpenOptions) -> Vec<Extent> {
    let extents = options.physical_map.iter().map(|range| Extent {
        offset: range.offset,
        len: range.len,
        physical: Some(range.physical),
        virtual_: None,
    });
    extents.collect()
}

/// Memory of this machine, or of one of its guests.
fn live(kind: Kind, options: &OpenOptions) -> Contents {
    let mut contents = Contents::new(match kind {
        Kind::Virtual => Container::VirtualDevice,
        _ => Container::PhysicalDevice,
    });
    contents.machine = options.machine.or(match std::env::consts::ARCH {
        "x86_64" => Some(Machine::Amd64),
        "aarch64" => Some(Machine::Arm64),
        "riscv64" => Some(Machine::Riscv64),
        "x86" => Some(Machine::I386),
        _ => None,
    });
    contents.owner = super::Owner::Kernel;
    contents.extents = mapped(options);
    if contents.extents.is_empty() {
        let installed = device::installed_memory();
        contents.extents = installed
            .into_iter()
            .map(|(physical, len)| Extent {
                offset: physical,
                len,
                physical: Some(physical),
                virtual_: None,
            })
            .collect();
    }
    if kind == Kind::Virtual {
        // The same pages, at their places in the direct map.
        contents.kernel_places(contents.machine);
        contents.search_root = false;
        let direct = contents.direct;
        for extent in &mut contents.extents {
            let Some(address) = extent.physical.and_then(|physical| {
                direct.and_then(|direct| direct.virtual_of(physical, extent.len))
            }) else {
                extent.len = 0;
                continue;
            };
            extent.offset = address;
            extent.virtual_ = Some(address);
        }
    }
    contents
}
