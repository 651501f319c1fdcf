//! From a path to bytes: files are mapped, pipes spooled, devices read.

use super::source::Source;
use super::unpack::{self, Unpacked};
use super::{MemoryError, OpenOptions, device};
use crate::input::detect;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

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

pub(super) const ENCRYPTED: &str = "an encrypted kernel dump; decrypt it with decryptcore(8), which needs the \
                         private key and the file key.N beside the dump, and open the result";

/// savecore's name for what it cannot read: nothing inside tells it.
pub(super) fn is_encrypted_name(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("vmcore_encrypted."))
}

/// One file or device.
pub(super) fn source(
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
        if kind == Kind::File && size >= device::ENDLESS {
            return Err(MemoryError::Refused {
                name: name.to_owned(),
                why: "a device without an end; it is no memory".to_owned(),
            });
        }
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
    let unpacked = match compression {
        Some(compression) => unpack::unpack(reader, compression, options),
        None => unpack::spool(reader, options),
    };
    into_source(unpacked, name, notes)
}

pub(super) fn into_source(
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
