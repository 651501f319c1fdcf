//! ELF cores: of processes, of FreeBSD kernels that dumped all memory, and of
//! virtual machines.

use super::image::{Container, Contents};
use super::source::Source;
use super::{Extent, Machine, Owner};
use object::elf::{self, FileHeader32, FileHeader64};
use object::read::ReadCache;
use object::read::elf::{FileHeader, NoteIterator, ProgramHeader};
use object::{Endianness, ReadRef};

pub(super) const MAGIC: &[u8] = b"\x7fELF";

/// Bytes of notes that are looked at: only owners are wanted.
const MAX_NOTES: u64 = 1 << 20;

/// Segments that are read, far more than a process can have mappings.
const MAX_SEGMENTS: usize = 1 << 20;

/// A segment of a core.
struct Segment {
    offset: u64,
    len: u64,
    physical: u64,
    virtual_: u64,
}

/// What the headers of a core tell.
struct Headers {
    machine: Option<Machine>,
    full_dump: bool,
    segments: Vec<Segment>,
    owners: Vec<Vec<u8>>,
}

/// Reads an ELF core that fills the image from `start` to `end`; None if it is
/// ELF but no core, or cannot be read as ELF.
pub(super) fn read(source: &Source, start: u64, end: u64, name: &str) -> Option<Contents> {
    let mut scratch = Vec::new();
    let class = source.bytes(start, 5, &mut scratch).get(4).copied()?;
    let cache = ReadCache::new(source.cursor(start, end));
    let headers = match class {
        elf::ELFCLASS64 => headers::<FileHeader64<Endianness>, _>(&cache),
        _ => headers::<FileHeader32<Endianness>, _>(&cache),
    }?;
    let mut contents = contents(headers, start, name);
    if contents.extents.iter().all(|extent| extent.offset >= end) {
        contents.notes.push(format!(
            "{name}: at byte {start}: no segment of the ELF core is in the image; its bytes have no \
             addresses"
        ));
        contents.extents = vec![Extent {
            offset: start,
            len: end - start,
            physical: None,
            virtual_: None,
        }];
    }
    Some(contents)
}

fn headers<'data, Elf, R>(data: R) -> Option<Headers>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    if header.e_type(endian) != elf::ET_CORE {
        return None;
    }
    let mut headers = Headers {
        machine: match header.e_machine(endian) {
            elf::EM_X86_64 => Some(Machine::Amd64),
            elf::EM_AARCH64 => Some(Machine::Arm64),
            elf::EM_RISCV => Some(Machine::Riscv64),
            elf::EM_386 => Some(Machine::I386),
            elf::EM_ARM => Some(Machine::Arm),
            elf::EM_PPC64 => Some(Machine::Powerpc64),
            _ => None,
        },
        full_dump: header.e_ident().os_abi == elf::ELFOSABI_STANDALONE,
        segments: Vec::new(),
        owners: Vec::new(),
    };
    let segments = header.program_headers(endian, data).unwrap_or(&[]);
    for segment in segments.iter().take(MAX_SEGMENTS) {
        let offset = segment.p_offset(endian).into();
        let len = segment.p_filesz(endian).into();
        match segment.p_type(endian) {
            elf::PT_LOAD => headers.segments.push(Segment {
                offset,
                len,
                physical: segment.p_paddr(endian).into(),
                virtual_: segment.p_vaddr(endian).into(),
            }),
            elf::PT_NOTE => {
                let there = data.len().unwrap_or(0).saturating_sub(offset);
                let notes = data
                    .read_bytes_at(offset, len.min(there).min(MAX_NOTES))
                    .unwrap_or(&[]);
                owners::<Elf>(notes, endian, segment, &mut headers.owners);
            }
            _ => {}
        }
    }
    Some(headers)
}

fn owners<Elf: FileHeader<Endian = Endianness>>(
    bytes: &[u8],
    endian: Endianness,
    segment: &Elf::ProgramHeader,
    owners: &mut Vec<Vec<u8>>,
) {
    let align = segment.p_align(endian);
    let Ok(mut notes) = NoteIterator::<Elf>::new(endian, align, bytes) else {
        return;
    };
    while let Ok(Some(note)) = notes.next() {
        if owners.len() < 64 && !owners.iter().any(|owner| owner == note.name()) {
            owners.push(note.name().to_vec());
        }
    }
}

fn contents(headers: Headers, start: u64, name: &str) -> Contents {
    let has = |owner: &str| headers.owners.iter().any(|name| name == owner.as_bytes());
    let container = if headers.full_dump {
        Container::FullDump
    } else if has("QEMU") {
        Container::GuestCore
    } else {
        Container::ProcessCore
    };
    let mut contents = Contents::new(container);
    contents.machine = headers.machine;
    contents.owner = match container {
        Container::FullDump => Owner::Kernel,
        Container::ProcessCore => Owner::Process,
        _ => Owner::Unknown,
    };
    // Linux's /proc/vmcore gives both addresses, and so may QEMU.
    let both = container != Container::FullDump && has("VMCOREINFO");
    if both {
        contents.owner = Owner::Unknown;
    }
    for segment in headers.segments {
        let Some(offset) = segment.offset.checked_add(start) else {
            contents.notes.push(format!(
                "{name}: at byte {start}: a segment of the ELF core is said to begin at {}",
                segment.offset
            ));
            continue;
        };
        let physical = container != Container::ProcessCore || both;
        let virtual_ = match container {
            Container::ProcessCore => true,
            // Without `paging` QEMU writes no virtual addresses.
            Container::GuestCore => segment.virtual_ != 0 && segment.virtual_ != segment.physical,
            _ => false,
        };
        contents.extents.push(Extent {
            offset,
            len: segment.len,
            physical: physical.then_some(segment.physical),
            virtual_: virtual_.then_some(segment.virtual_),
        });
    }
    if physical_only(container) {
        contents.kernel_places(contents.machine);
    }
    contents
}

fn physical_only(container: Container) -> bool {
    matches!(container, Container::FullDump | Container::GuestCore)
}
