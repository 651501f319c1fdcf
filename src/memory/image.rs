//! An opened image: what it is, what is damaged in it, and its memory.

use super::address_map::{AddressMap, Run};
use super::settle::settle;
use super::source::Source;
use super::tables::Tables;
use super::translate::{DirectMap, Translation};
use super::{AddressSpace, Extent, Machine, Owner};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What kind of image it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// What a FreeBSD kernel dumps by default: the pages that it uses.
    Minidump {
        version: u32,
    },
    /// All physical memory of a FreeBSD kernel, as an ELF core.
    FullDump,
    /// An ELF core of a process.
    ProcessCore,
    /// Memory of a whole machine, as an ELF core by QEMU, libvirt or Linux.
    GuestCore,
    Lime,
    /// Memory without any header.
    Raw,
    /// Live physical memory: `/dev/mem`, `/dev/vmm/NAME`.
    PhysicalDevice,
    /// Live virtual memory: `/dev/kmem`.
    VirtualDevice,
}

impl Container {
    /// For humans.
    pub fn name(self) -> String {
        match self {
            Container::Minidump { version } => format!("FreeBSD minidump version {version}"),
            Container::FullDump => "FreeBSD full dump".to_owned(),
            Container::ProcessCore => "ELF core of a process".to_owned(),
            Container::GuestCore => "ELF core of a machine".to_owned(),
            Container::Lime => "LiME image".to_owned(),
            Container::Raw => "raw memory".to_owned(),
            Container::PhysicalDevice => "live physical memory".to_owned(),
            Container::VirtualDevice => "live kernel memory".to_owned(),
        }
    }
}

/// What a container's reader found.
pub(super) struct Contents {
    pub container: Container,
    pub machine: Option<Machine>,
    pub owner: Owner,
    pub page_size: u64,
    /// As the container says, in any order, in the image or not.
    pub extents: Vec<Extent>,
    pub direct: Option<DirectMap>,
    pub tables: Tables,
    pub search_root: bool,
    pub msgbuf: Option<Range<u64>>,
    pub notes: Vec<String>,
    pub remarks: Vec<String>,
}

impl Contents {
    pub(super) fn new(container: Container) -> Contents {
        Contents {
            container,
            machine: None,
            owner: Owner::Unknown,
            page_size: 4096,
            extents: Vec::new(),
            direct: None,
            tables: Tables::None,
            search_root: false,
            msgbuf: None,
            notes: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Where a kernel of `machine` keeps its direct map and page tables when
    /// only physical addresses are known.
    pub(super) fn kernel_places(&mut self, machine: Option<Machine>) {
        let physical = self.extents.iter().filter_map(|extent| extent.physical);
        match (machine, physical.min()) {
            (Some(Machine::Amd64), _) => {
                self.direct = Some(DirectMap::AMD64);
                self.search_root = true;
            }
            (Some(Machine::Arm64), Some(lowest)) => self.direct = Some(DirectMap::arm64(lowest)),
            (Some(Machine::Riscv64), Some(lowest)) => self.direct = Some(DirectMap::riscv(lowest)),
            _ => {}
        }
    }
}

/// What the header of a dump device tells about the dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DumpFacts {
    pub time_us: Option<i64>,
    pub hostname: Option<String>,
    pub version_string: Option<String>,
    pub panic_string: Option<String>,
    pub machine: Option<Machine>,
}

/// An image of memory.
pub struct Image {
    /// The file's name, or the names of its parts.
    pub name: String,
    pub container: Container,
    /// What was around the container, from the outside: `gzip`,
    /// `dump device`.
    pub layers: Vec<&'static str>,
    pub machine: Option<Machine>,
    pub owner: Owner,
    /// Of the kernel's page tables, bytes.
    pub page_size: u64,
    /// Damage in words, with file and byte offset.
    pub notes: Vec<String>,
    /// What was taken for granted, in words.
    pub remarks: Vec<String>,
    /// The memory changes while it is read: see [`Image::stable`].
    pub is_live: bool,
    /// Of the decompressed image, bytes; of a device that has no end, 2^64-1.
    pub size: u64,
    /// When the dump was taken, microseconds since 1970, UTC, from the dump
    /// device's header. It counts seconds.
    pub dump_time_us: Option<i64>,
    /// The host that dumped, from the same header.
    pub hostname: Option<String>,
    /// The kernel's `version`, from the same header.
    pub version_string: Option<String>,
    /// Why the kernel panicked, from the same header.
    pub panic_string: Option<String>,
    /// Offsets of the kernel's message buffer, in no extent: read it by
    /// [`Image::raw_bytes`].
    pub msgbuf: Option<Range<u64>>,
    source: Source,
    extents: Vec<Extent>,
    translation: Translation,
    last: AtomicUsize,
}

impl Image {
    pub(super) fn assemble(
        name: String,
        source: Source,
        layers: Vec<&'static str>,
        facts: DumpFacts,
        mut notes: Vec<String>,
        contents: Contents,
    ) -> Image {
        notes.extend(contents.notes);
        let size = source.size();
        let clip = |extent: &Extent, address: u64| Run {
            address,
            len: extent
                .len
                .min(size.saturating_sub(extent.offset))
                .min(u64::MAX - address),
            offset: extent.offset,
        };
        // Before overlaps in the image are cut: two addresses may stand for
        // the same bytes.
        let runs = |address: fn(&Extent) -> Option<u64>| {
            contents
                .extents
                .iter()
                .filter_map(|extent| address(extent).map(|address| clip(extent, address)))
                .filter(|run| run.len > 0)
                .collect()
        };
        let (physical, twice) = AddressMap::new(runs(|extent| extent.physical));
        let (virtual_, again) = AddressMap::new(runs(|extent| extent.virtual_));
        if twice + again > 0 {
            notes.push(format!(
                "{name}: {} segments have addresses that others have as well; the first by address \
                 keeps them",
                twice + again
            ));
        }
        let mut extents = settle(contents.extents, size, &name, &mut notes);
        if let Some(direct) = contents.direct {
            for extent in &mut extents {
                extent.virtual_ = extent.virtual_.or_else(|| {
                    extent
                        .physical
                        .and_then(|physical| direct.virtual_of(physical, extent.len))
                });
            }
        }
        Image {
            name,
            container: contents.container,
            layers,
            machine: contents.machine.or(facts.machine),
            owner: contents.owner,
            page_size: contents.page_size,
            notes,
            remarks: contents.remarks,
            is_live: source.is_live(),
            size,
            dump_time_us: facts.time_us,
            hostname: facts.hostname,
            version_string: facts.version_string,
            panic_string: facts.panic_string,
            msgbuf: contents
                .msgbuf
                .map(|range| range.start.min(size)..range.end.min(size))
                .filter(|range| !range.is_empty()),
            translation: Translation {
                physical,
                virtual_,
                direct: contents.direct,
                tables: contents.tables,
                search_root: contents.search_root,
                root: OnceLock::new(),
                identity: contents.container == Container::VirtualDevice,
            },
            source,
            extents,
            last: AtomicUsize::new(0),
        }
    }

    /// The part in which an offset of the image lies, and the offset in it:
    /// of images in several files. What was unpacked has the name of the
    /// packed file, and the offset is that in the unpacked image.
    pub fn part_of(&self, offset: u64) -> Option<(&str, u64)> {
        self.source.part_of(offset)
    }

    /// Bytes at any offset of the image, in an extent or not, as
    /// [`AddressSpace::bytes`] gives them.
    pub fn raw_bytes<'a>(&'a self, offset: u64, len: usize, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        self.source.bytes(offset, len, scratch)
    }

    /// True if two more reads give `expected` both times: of live memory, that
    /// it was not being written. What is not live never changes.
    pub fn confirm(&self, offset: u64, expected: &[u8]) -> bool {
        let mut scratch = Vec::new();
        let mut same = || self.bytes(offset, expected.len(), &mut scratch) == expected;
        !self.is_live || (same() && same())
    }

    /// True if two reads of `len` bytes give the same and all of them.
    pub fn stable(&self, offset: u64, len: usize) -> bool {
        let mut scratch = Vec::new();
        let first = self.bytes(offset, len, &mut scratch);
        if first.len() < len {
            return false;
        }
        let first = match self.is_live {
            true => first.to_vec(),
            false => return true,
        };
        self.confirm(offset, &first)
    }

    /// The first offset from `offset` on, by pages, at which something can be
    /// read. Of a device, where an extent is only what may be there, this
    /// tries each page.
    pub fn next_readable(&self, offset: u64) -> Option<u64> {
        let mut scratch = Vec::new();
        let mut at = offset;
        loop {
            let index = self
                .extents
                .partition_point(|extent| extent.offset + extent.len <= at);
            at = at.max(self.extents.get(index)?.offset);
            if !self.is_live || !self.bytes(at, 1, &mut scratch).is_empty() {
                return Some(at);
            }
            at = (at / 4096).checked_add(1)?.checked_mul(4096)?;
        }
    }

    #[inline]
    fn extent_at(&self, offset: u64) -> Option<&Extent> {
        let within = |extent: &&Extent| {
            offset
                .checked_sub(extent.offset)
                .is_some_and(|delta| delta < extent.len)
        };
        let last = self.last.load(Ordering::Relaxed);
        if let Some(extent) = self.extents.get(last).filter(within) {
            return Some(extent);
        }
        let index = self
            .extents
            .partition_point(|extent| extent.offset <= offset)
            .checked_sub(1)?;
        let extent = self.extents.get(index).filter(within)?;
        self.last.store(index, Ordering::Relaxed);
        Some(extent)
    }
}

impl AddressSpace for Image {
    fn extents(&self) -> &[Extent] {
        &self.extents
    }

    fn bytes<'a>(&'a self, offset: u64, len: usize, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        let Some(extent) = self.extent_at(offset) else {
            return &[];
        };
        let there = extent.len - (offset - extent.offset);
        let len = len.min(usize::try_from(there).unwrap_or(usize::MAX));
        self.source.bytes(offset, len, scratch)
    }

    fn find_virtual(&self, address: u64) -> Option<(u64, u64)> {
        self.translation.find_virtual(address, &self.source)
    }

    fn find_physical(&self, address: u64) -> Option<(u64, u64)> {
        self.translation.physical.find(address)
    }

    fn virtual_of(&self, offset: u64) -> Option<u64> {
        let extent = self.extent_at(offset)?;
        extent.virtual_?.checked_add(offset - extent.offset)
    }

    fn physical_of(&self, offset: u64) -> Option<u64> {
        let extent = self.extent_at(offset)?;
        extent.physical?.checked_add(offset - extent.offset)
    }

    fn is_stable(&self, offset: u64, read: &[u8]) -> bool {
        // What was read beyond the extent was at another offset.
        let there = self
            .extent_at(offset)
            .map_or(0, |extent| extent.len - (offset - extent.offset));
        let len = usize::try_from(there).unwrap_or(usize::MAX).min(read.len());
        self.confirm(offset, read.get(..len).unwrap_or(read))
    }
}
