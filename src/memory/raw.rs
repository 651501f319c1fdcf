//! Memory without a header: raw images, and live memory.

use super::files::Kind;
use super::image::{Container, Contents};
use super::{Extent, Machine, OpenOptions, Owner, device};
use std::ops::Range;

/// Memory without a header, with the addresses that the user gives.
pub(super) fn raw(range: &Range<u64>, options: &OpenOptions) -> Contents {
    let mut contents = Contents::new(Container::Raw);
    contents.extents = mapped(options);
    let ends = |extent: &Extent| extent.offset..extent.offset.saturating_add(extent.len);
    let mut known: Vec<Range<u64>> = contents.extents.iter().map(ends).collect();
    known.sort_by_key(|range| range.start);
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
pub(super) fn live(kind: Kind, options: &OpenOptions) -> Contents {
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
    contents.owner = Owner::Kernel;
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
