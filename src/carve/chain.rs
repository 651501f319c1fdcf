//! The bytes of one packet, along the mbufs that hold them.

use super::mbuf::{HEADER, Mbuf, Not};
use super::packet::Place;
use super::segment::Segment;
use crate::memory::AddressSpace;
use std::collections::{HashMap, HashSet};

const MOST_CHAIN: usize = 64;
const MOST_BYTES: usize = 70_000;

/// The bytes of a packet as they lie in its mbufs.
pub(super) struct Gathered {
    pub bytes: Vec<u8>,
    pub places: Vec<Place>,
    pub cut: Option<&'static str>,
    /// The bytes as they lay, where the IP header in `bytes` is a made one.
    pub beheaded: Option<Vec<u8>>,
}

/// Mbufs by their addresses.
pub(super) struct Mbufs<'a> {
    pub space: &'a dyn AddressSpace,
    /// What a scan found, where the image itself may have no addresses.
    pub by_address: HashMap<u64, Mbuf>,
}

impl Mbufs<'_> {
    /// The mbuf at an address, as the image or the scan has it.
    pub fn at(&self, address: u64) -> Result<Mbuf, &'static str> {
        if let Some(mbuf) = self.by_address.get(&address) {
            return Ok(*mbuf);
        }
        let mut bytes = [0; HEADER];
        let (offset, _) = (self.space.find_virtual(address)).ok_or("the next mbuf is not there")?;
        let len = self.space.read_virtual(address, &mut bytes);
        Mbuf::read(bytes.get(..len).unwrap_or(&[]), offset, Some(address)).map_err(
            |not| match not {
                Not::Poison => "the next mbuf was overwritten with 0xdeadc0de",
                Not::UnmappedPages => "the rest is in unmapped pages",
                Not::PacketHeader | Not::Other => "the next mbuf is another's now",
            },
        )
    }

    /// Collects a packet. `live`: nothing of it can be another's; `taken` are the
    /// offsets of mbufs of packets that were made.
    pub fn gather(&self, head: &Mbuf, live: bool, taken: &HashSet<u64>) -> Gathered {
        let mut all = Gathered {
            bytes: Vec::new(),
            places: Vec::new(),
            cut: None,
            beheaded: None,
        };
        let (mut mbuf, mut most) = (*head, MOST_BYTES);
        loop {
            let len = mbuf.len as usize;
            if all.bytes.len() + len > most {
                all.cut = Some(match live || all.places.is_empty() {
                    true => "longer than a packet can be",
                    false => "the next mbuf is another's now",
                });
                break;
            }
            let start = all.bytes.len();
            all.bytes.resize(start + len, 0);
            let there = self.data(&mbuf, all.bytes.get_mut(start..).unwrap_or(&mut []));
            all.bytes.truncate(start + there);
            let poison = 0xdead_c0de_u32.to_le_bytes().repeat(2);
            if all
                .bytes
                .get(start..)
                .is_some_and(|data| data.starts_with(&poison))
            {
                all.bytes.truncate(start);
                all.cut = Some("the rest was overwritten with 0xdeadc0de");
                break;
            }
            let (offset, address) = (mbuf.offset, mbuf.linked_address());
            all.places.push(Place {
                offset,
                address,
                len: there as u32,
            });
            if there < len {
                all.cut = Some("the rest is not in the image");
                break;
            }
            if all.places.len() == 1 && !live {
                let segment = Segment::find(&all.bytes);
                most = segment.map_or(len, |segment| segment.length as usize);
            }
            if mbuf.next == 0 {
                break;
            }
            match self.at(mbuf.next) {
                Err(why) => all.cut = Some(why),
                Ok(next) if all.places.iter().any(|place| place.offset == next.offset) => {
                    all.cut = Some("its mbufs go round in a circle");
                }
                Ok(next) if !live && taken.contains(&next.offset) => {
                    all.cut = Some("the next mbuf is another's now");
                }
                // It begins a packet of its own.
                Ok(next) if !live && self.begin(&next).is_some() => {
                    all.cut = Some("the next mbuf is another's now");
                }
                Ok(_) if all.places.len() == MOST_CHAIN => all.cut = Some("too many mbufs"),
                Ok(next) => {
                    mbuf = next;
                    continue;
                }
            }
            break;
        }
        all
    }

    /// The headers of a packet, when its first mbuf alone tells them.
    pub fn begin(&self, head: &Mbuf) -> Option<Segment> {
        let mut bytes = [0; 256];
        let len = bytes.len().min(head.len as usize);
        let there = self.data(head, bytes.get_mut(..len)?);
        Segment::find(bytes.get(..there)?)
    }

    /// Reads the data of an mbuf; how many bytes there were.
    fn data(&self, mbuf: &Mbuf, buffer: &mut [u8]) -> usize {
        let Some((offset, len)) = mbuf.own_data() else {
            return self.space.read_virtual(mbuf.data, buffer);
        };
        let mut scratch = Vec::new();
        let bytes = self
            .space
            .bytes(offset, len.min(buffer.len()), &mut scratch);
        if let Some(target) = buffer.get_mut(..bytes.len()) {
            target.copy_from_slice(bytes);
        }
        bytes.len()
    }
}
