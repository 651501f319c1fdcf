//! What a kernel file (`--kernel`) says, and the kernel's lists walked with it.
//!
//! [`load`] reads the symbols and structure offsets of a kernel's ELF file:
//! from DWARF, as in `kernel.debug`, or from CTF, as GENERIC kernels carry it.
//! [`walk()`] follows the lists that start at those symbols through an image of
//! that kernel's memory.

mod abbreviations;
mod ctf;
mod dwarf;
mod flatten;
mod symbols;
mod view;
mod walk;
mod wanted;

pub use walk::{Bucket, Chain, Ends, Node, Queued, Vnet, Walked, WalkedPcb, records, walk};

use crate::format::structures::{Builder, Structures};
use object::read::elf::{ElfFile32, ElfFile64};
use object::{Endianness, FileKind, Object, ObjectSection, ReadRef};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Symbols and structures of a kernel file.
#[derive(Clone, Debug)]
pub struct KernelFile {
    /// Virtual addresses, by name, of the symbols that carving resolves. A
    /// stripped kernel has none.
    pub symbols: BTreeMap<String, u64>,
    /// The structures of `formats/kernel/`, with all their fields, as far as
    /// debug information has them.
    pub structures: Structures,
    pub source: Source,
    /// What the kernel calls itself: `FreeBSD 13.2-RELEASE …`.
    pub version: Option<String>,
    /// `__FreeBSD_version`: 1302001.
    pub osreldate: Option<u32>,
    /// Bytes of a pointer: 8 or 4.
    pub pointer: u8,
    pub big_endian: bool,
}

/// Where the structures are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    Dwarf,
    Ctf,
    /// The file has no debug information about them.
    None,
}

/// Why a kernel file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error("{}: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("{}: not a kernel file: {what}", path.display())]
    Content { path: PathBuf, what: String },
}

/// Sections larger than this are not those of a kernel, compressed or not.
const MAX_SECTION: u64 = 1 << 30;
/// Zlib cannot shrink more than this, and zstd does not with debug information.
const MAX_RATIO: u64 = 1100;

/// Reads a kernel's ELF file: `/boot/kernel/kernel` or `kernel.debug`.
pub fn load(path: &Path) -> Result<KernelFile, KernelError> {
    let read = |cause| KernelError::Read {
        path: path.to_owned(),
        cause,
    };
    let file = File::open(path).map_err(read)?;
    if !file.metadata().map_err(read)?.is_file() {
        return Err(KernelError::Content {
            path: path.to_owned(),
            what: "not a regular file".to_owned(),
        });
    }
    // SAFETY: the map is read only and private, and lives for this call only.
    // Whoever truncates the file meanwhile ends this process with SIGBUS; no
    // memory of it is at stake, and nobody writes into a kernel in place.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(read)?;
    parse(&path.display().to_string(), &map).map_err(|what| KernelError::Content {
        path: path.to_owned(),
        what,
    })
}

/// As [`load`], from the bytes of the file; the error says what is wrong.
pub fn parse(name: &str, bytes: &[u8]) -> Result<KernelFile, String> {
    match FileKind::parse(bytes) {
        Ok(FileKind::Elf64) => {
            let elf = ElfFile64::<Endianness>::parse(bytes).map_err(|cause| cause.to_string())?;
            Ok(read(name, &elf, 8))
        }
        Ok(FileKind::Elf32) => {
            let elf = ElfFile32::<Endianness>::parse(bytes).map_err(|cause| cause.to_string())?;
            Ok(read(name, &elf, 4))
        }
        _ => Err("not an ELF file".to_owned()),
    }
}

fn read<'d, F, R>(
    name: &str,
    file: &'d object::read::elf::ElfFile<'d, F, R>,
    pointer: u8,
) -> KernelFile
where
    F: object::read::elf::FileHeader<Endian = Endianness>,
    R: ReadRef<'d>,
{
    let big_endian = !file.is_little_endian();
    let section = |name: &str| -> Cow<'d, [u8]> { content(file, name).unwrap_or_default() };
    let mut builder = Builder::default();
    dwarf::read(section, big_endian, &mut builder);
    let mut source = match builder.is_empty() {
        true => Source::None,
        false => Source::Dwarf,
    };
    if source == Source::None {
        let ctf = section(".SUNW_ctf");
        if ctf::read(&ctf, pointer.into(), big_endian, &mut builder) && !builder.is_empty() {
            source = Source::Ctf;
        }
    }
    let symbols = symbols::read(file);
    let version = symbols
        .get("version")
        .and_then(|at| symbols::text(file, *at));
    let osreldate = symbols
        .get("osreldate")
        .and_then(|at| symbols::number(file, *at));
    let status = match source {
        Source::Dwarf => "from DWARF",
        Source::Ctf => "from CTF",
        Source::None => "no debug information",
    };
    KernelFile {
        structures: builder.build(name, version.as_deref().unwrap_or_default(), status),
        symbols,
        source,
        version,
        osreldate,
        pointer,
        big_endian,
    }
}

/// A section, decompressed; `None` where it is not there or cannot be true.
fn content<'d>(file: &'d impl Object<'d>, name: &str) -> Option<Cow<'d, [u8]>> {
    let section = file.section_by_name(name)?;
    let stored = section.compressed_data().ok()?;
    let bound = (stored.data.len() as u64).saturating_mul(MAX_RATIO);
    if stored.uncompressed_size > bound.min(MAX_SECTION) {
        return None;
    }
    stored.decompress().ok()
}
