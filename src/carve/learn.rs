//! Addresses for memory that has none: of raw images and slices.
//!
//! The link of a record is the address of its connection's next record. Where
//! both are found, the second one's place in the image and its address are
//! known, and with them those of the bytes around it.

use super::candidate::{Found, LINK};
use crate::memory::{AddressSpace, Extent};
use std::collections::HashMap;

/// Pages are at least this large.
const PAGE: u64 = 4096;

/// A stretch of the image with one difference between address and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Region {
    offset: u64,
    end: u64,
    /// Address minus offset.
    delta: u64,
}

/// An address space that knows more addresses than the image says.
pub struct Learned<'s> {
    image: &'s dyn AddressSpace,
    /// By offset; they do not overlap.
    regions: Vec<Region>,
    /// Numbers of the regions, by address.
    by_address: Vec<usize>,
}

/// Where a byte of the image is known to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    pub offset: u64,
    pub address: u64,
}

/// What the links of records tell. Before the SYN the initial sequence number is
/// zero, as in most bytes that only look like a record, and tells no connection.
pub fn sightings(found: &[Found]) -> Vec<Sighting> {
    let told = || found.iter().filter(|one| one.iss != 0);
    let mut by_serial: HashMap<(u32, u32, u32), Option<&Found>> =
        HashMap::with_capacity(found.len());
    for one in told() {
        by_serial
            .entry((one.iss, one.starttime, one.sn))
            // Two of a kind tell nothing.
            .and_modify(|place| *place = None)
            .or_insert(Some(one));
    }
    let next = |one: &Found| {
        let key = (one.iss, one.starttime, one.sn.wrapping_add(1));
        let other = (*by_serial.get(&key)?)?;
        let offset = other.offset.checked_sub(LINK as u64)?;
        let address = one.next;
        (address != 0 && address.is_multiple_of(LINK as u64))
            .then_some(Sighting { offset, address })
    };
    told().filter_map(next).collect()
}

impl<'s> Learned<'s> {
    /// `None` if the sightings do not agree on anything.
    pub fn new(image: &'s dyn AddressSpace, mut sightings: Vec<Sighting>) -> Option<Learned<'s>> {
        sightings.sort_unstable();
        let mut votes: HashMap<u64, u64> = HashMap::new();
        for one in &sightings {
            *votes.entry(one.delta()).or_insert(0) += 1;
        }
        // What only one record says is not believed.
        sightings.retain(|one| votes.get(&one.delta()).is_some_and(|votes| *votes > 1));
        let mut regions: Vec<Region> = Vec::new();
        for one in sightings {
            let end = one.offset.saturating_add(LINK as u64);
            match regions.last_mut() {
                Some(last) if last.delta == one.delta() => last.end = end.max(last.end),
                _ => regions.push(Region {
                    offset: one.offset,
                    end,
                    delta: one.delta(),
                }),
            }
        }
        // One that lies within another is a mistake: of the two around it.
        let merged = merge(regions);
        let regions = spread(merged, image.extents());
        let mut by_address: Vec<usize> = (0..regions.len()).collect();
        by_address.sort_unstable_by_key(|at| regions.get(*at).map(Region::address));
        (!regions.is_empty()).then_some(Learned {
            image,
            regions,
            by_address,
        })
    }

    fn region(&self, offset: u64) -> Option<&Region> {
        let at = self.regions.partition_point(|region| region.end <= offset);
        self.regions
            .get(at)
            .filter(|region| region.offset <= offset)
    }
}

impl Sighting {
    fn delta(&self) -> u64 {
        self.address.wrapping_sub(self.offset)
    }
}

impl Region {
    fn address(&self) -> u64 {
        self.offset.wrapping_add(self.delta)
    }
}

/// Joins neighbours that agree around a single one that does not.
fn merge(regions: Vec<Region>) -> Vec<Region> {
    let mut merged: Vec<Region> = Vec::new();
    for region in regions {
        if let [.., before, odd] = merged.as_slice()
            && before.delta == region.delta
            && odd.end - odd.offset <= LINK as u64
        {
            merged.pop();
        }
        match merged.last_mut() {
            Some(last) if last.delta == region.delta => last.end = region.end,
            _ => merged.push(region),
        }
    }
    merged
}

/// Lets each region reach halfway to its neighbours, at the border of a page.
/// Whether that holds shows when the bytes there agree with what points to them.
fn spread(mut regions: Vec<Region>, extents: &[Extent]) -> Vec<Region> {
    let end = extents
        .last()
        .map_or(0, |extent| extent.offset.saturating_add(extent.len));
    let start = extents.first().map_or(0, |extent| extent.offset);
    let mut border = start;
    for at in 0..regions.len() {
        let next = regions.get(at + 1).copied();
        let Some(region) = regions.get_mut(at) else {
            break;
        };
        let low = region.offset;
        region.offset = border.min(low);
        border = match next {
            None => end.max(region.end),
            Some(next) => {
                let middle = region.end + (next.offset.saturating_sub(region.end)) / 2;
                let address = middle.wrapping_add(region.delta);
                let at_page = middle.saturating_sub(address % PAGE);
                at_page.clamp(region.end, next.offset.max(region.end))
            }
        };
        region.end = border;
    }
    regions
}

impl AddressSpace for Learned<'_> {
    fn extents(&self) -> &[Extent] {
        self.image.extents()
    }

    fn bytes<'a>(&'a self, offset: u64, len: usize, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        self.image.bytes(offset, len, scratch)
    }

    fn find_virtual(&self, address: u64) -> Option<(u64, u64)> {
        if let Some(found) = self.image.find_virtual(address) {
            return Some(found);
        }
        let region = |at: &usize| self.regions.get(*at);
        let next = self
            .by_address
            .partition_point(|at| region(at).is_some_and(|region| region.address() <= address));
        let region = region(self.by_address.get(next.checked_sub(1)?)?)?;
        let offset = address.wrapping_sub(region.delta);
        (region.offset..region.end)
            .contains(&offset)
            .then(|| (offset, region.end - offset))
    }

    fn find_physical(&self, address: u64) -> Option<(u64, u64)> {
        self.image.find_physical(address)
    }

    fn virtual_of(&self, offset: u64) -> Option<u64> {
        self.image
            .virtual_of(offset)
            .or_else(|| Some(offset.wrapping_add(self.region(offset)?.delta)))
    }

    fn physical_of(&self, offset: u64) -> Option<u64> {
        self.image.physical_of(offset)
    }

    fn is_stable(&self, offset: u64, read: &[u8]) -> bool {
        self.image.is_stable(offset, read)
    }
}
