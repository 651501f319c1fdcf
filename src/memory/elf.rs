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

/// Bytes of notes that are looked at, in all: only owners are wanted.
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
    let count = header.phnum(endian, data).unwrap_or(0);
    let segments = match count {
        0..=MAX_SEGMENTS => header.program_headers(endian, data).unwrap_or(&[]),
        _ => &[],
    };
    let mut budget = MAX_NOTES;
    for segment in segments {
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
                    .read_bytes_at(offset, len.min(there).min(budget))
                    .unwrap_or(&[]);
                budget -= notes.len() as u64;
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
    } else if has("QEMU") || has("VMCOREINFO") {
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
    let mut beyond = 0;
    for segment in headers.segments {
        let Some(offset) = segment.offset.checked_add(start) else {
            beyond += 1;
            continue;
        };
        let (physical, virtual_) = addresses(container, &segment);
        contents.extents.push(Extent {
            offset,
            len: segment.len,
            physical,
            virtual_,
        });
    }
    if beyond > 0 {
        contents.notes.push(format!(
            "{name}: at byte {start}: {beyond} segments of the ELF core are said to begin where no \
             file has bytes"
        ));
    }
    if container != Container::ProcessCore {
        contents.kernel_places(contents.machine);
    }
    contents
}

/// Which of a segment's addresses mean something: physical and virtual.
fn addresses(container: Container, segment: &Segment) -> (Option<u64>, Option<u64>) {
    let virtual_ = Some(segment.virtual_);
    match container {
        Container::ProcessCore => (None, virtual_),
        // powerpc knows only the virtual one.
        Container::FullDump if segment.physical == u64::MAX => (None, virtual_),
        // Without `paging` QEMU writes no virtual addresses.
        Container::GuestCore => (
            Some(segment.physical),
            virtual_.filter(|address| *address != 0 && *address != segment.physical),
        ),
        _ => (Some(segment.physical), None),
    }
}
