//! Who holds a list of records: a connection, the node of a closed one, or an
//! entry of the device's queue.
//!
//! A node and an entry have the endpoints right in front of the list's head and
//! the number of records right behind it, in every release. A connection is
//! told by the places of its fields, which differ between releases: each known
//! kernel's are tried, and what they give is held against the records.

use super::lists::List;
use super::pointers;
use super::pool::Pool;
use crate::bblog::endpoints::{AF_INET, AF_INET6};
use crate::bblog::header::ENDPOINTS;
use crate::bblog::until_nul;
use crate::format::Structures;
use crate::format::structures::Place;
use crate::memory::AddressSpace;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Pages are at least this large.
const PAGE: u64 = 4096;

/// Endpoints as the kernel has them, which is also how a header has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub bytes: [u8; ENDPOINTS],
    /// `AF_INET` or `AF_INET6`, FreeBSD's numbers.
    pub af: u8,
}

impl Ends {
    /// As the kernel writes them.
    pub fn of(local: SocketAddr, foreign: SocketAddr) -> Ends {
        let mut bytes = [0; ENDPOINTS];
        bytes[..2].copy_from_slice(&foreign.port().to_be_bytes());
        bytes[2..4].copy_from_slice(&local.port().to_be_bytes());
        for (at, address) in [(4, foreign.ip()), (20, local.ip())] {
            match address {
                IpAddr::V4(address) => bytes[at + 12..at + 16].copy_from_slice(&address.octets()),
                IpAddr::V6(address) => bytes[at..at + 16].copy_from_slice(&address.octets()),
            }
        }
        let af = if local.is_ipv6() { AF_INET6 } else { AF_INET };
        Ends { bytes, af }
    }

    /// Local and foreign end.
    pub fn endpoints(&self) -> (SocketAddr, SocketAddr) {
        let (local, foreign) = self.ports();
        let address = |at: usize| {
            let mut slot = [0; 16];
            let there = self.bytes.get(at..at + 16);
            there
                .into_iter()
                .for_each(|bytes| slot.copy_from_slice(bytes));
            let [.., a, b, c, d] = slot;
            match self.af {
                AF_INET6 => IpAddr::from(slot),
                _ => IpAddr::from([a, b, c, d]),
            }
        };
        (
            SocketAddr::new(address(20), local),
            SocketAddr::new(address(4), foreign),
        )
    }

    /// Local and foreign port.
    pub fn ports(&self) -> (u16, u16) {
        let [a, b, c, d, ..] = self.bytes;
        (u16::from_be_bytes([c, d]), u16::from_be_bytes([a, b]))
    }
}

/// What kind of structure holds a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// `t_logs` of a tcpcb.
    Connection,
    /// `tln_entries` of a connection that was closed and has a log ID.
    Node,
    /// An entry of the queue of `/dev/tcp_log`.
    Queue,
    /// Something; the records in it are live.
    Unknown,
}

/// A list's holder and what it says of the records.
#[derive(Clone, Debug)]
pub struct Owner {
    pub holder: Holder,
    pub ends: Option<Ends>,
    pub id: Option<Vec<u8>>,
    pub tag: Option<Vec<u8>>,
    pub reason: Option<Vec<u8>>,
    /// Of a connection: which of the known kernels fits, and where its tcpcb is.
    pub kernel: Option<usize>,
    pub tcpcb: Option<u64>,
    /// The kernel's own lists lead to it, from a symbol on.
    pub is_exact: bool,
}

impl Owner {
    pub fn new(holder: Holder) -> Owner {
        Owner {
            holder,
            ends: None,
            id: None,
            tag: None,
            reason: None,
            kernel: None,
            tcpcb: None,
            is_exact: false,
        }
    }
}

/// Reads structures at virtual addresses.
struct Reader<'a> {
    space: &'a dyn AddressSpace,
    long: usize,
    order: crate::format::Order,
}

impl Reader<'_> {
    fn bytes<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        (self.space.read_virtual(address, &mut bytes) == N).then_some(bytes)
    }

    fn number(&self, address: u64, size: usize) -> Option<u64> {
        let bytes: [u8; 8] = {
            let mut bytes = [0; 8];
            let part = bytes.get_mut(..size)?;
            (self.space.read_virtual(address, part) == size).then_some(bytes)?
        };
        self.order.read(&bytes, 0, size)
    }

    fn pointer(&self, address: u64) -> Option<u64> {
        self.number(address, self.long)
    }

    fn field(&self, structure: u64, place: Place) -> Option<u64> {
        let value = self.number(
            structure.checked_add(place.offset.into())?,
            usize::try_from(place.size).ok()?,
        )?;
        Some(match place.bits {
            Some((low, width)) if width < 64 => (value >> low) & ((1 << width) - 1),
            _ => value,
        })
    }

    fn ends(&self, address: u64, af: u64) -> Option<Ends> {
        let bytes = self.bytes::<ENDPOINTS>(address)?;
        let af = u8::try_from(af).ok().filter(|af| matches!(af, 2 | 28))?;
        Some(Ends { bytes, af })
    }

    /// A string that fills its field or ends with NULs.
    fn text<const N: usize>(&self, address: u64) -> Option<Vec<u8>> {
        let bytes = self.bytes::<N>(address)?;
        let text = until_nul(&bytes);
        (text.len() < N).then(|| text.to_vec())
    }

    /// Log ID and tag of a bucket.
    fn bucket(&self, address: u64, version: u32) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let id = self.text::<64>(address).filter(|id| !id.is_empty())?;
        let tag = (version >= 7).then(|| self.text::<32>(address.checked_add(64)?));
        Some((id, tag.flatten()))
    }
}

/// Says who holds each of the lists. `None` if told to stop.
pub fn owners(
    pool: &Pool<'_>,
    lists: &[List],
    kernels: &[Structures],
    threads: usize,
    progress: &(dyn Fn(u64) -> bool + Sync),
) -> Option<Vec<Owner>> {
    let mut owners: Vec<Owner> = lists
        .iter()
        .map(|list| {
            let head = pool.space.virtual_of(list.offset);
            head.and_then(|head| owner(pool, list, head, kernels))
                .unwrap_or_else(|| Owner::new(Holder::Unknown))
        })
        .collect();
    // What a structure is told by may lie on its other page, which the direct
    // map does not have next to the head's.
    let open: HashMap<u64, usize> = (0..lists.len())
        .filter(|at| owners.get(*at).is_some_and(|owner| owner.ends.is_none()))
        .filter_map(|at| Some((lists.get(at)?.offset, at)))
        .collect();
    let fields = kernels
        .iter()
        .filter_map(|kernel| kernel.place("tcpcb", "t_logs.stqh_first"))
        .map(|place| place.offset.into());
    let heads = open.keys().copied();
    for (offset, head) in pointers::find(pool, heads, fields, threads, progress)? {
        let Some(at) = open.get(&offset) else {
            continue;
        };
        if let (Some(list), Some(known)) = (lists.get(*at), owners.get_mut(*at))
            && let Some(better) = owner(pool, list, head, kernels)
            && (better.ends.is_some() && known.ends.is_none() || known.holder == Holder::Unknown)
        {
            *known = better;
        }
    }
    Some(owners)
}

/// Says who holds a list whose head is at `head`.
fn owner(pool: &Pool<'_>, list: &List, head: u64, kernels: &[Structures]) -> Option<Owner> {
    let first = pool.found.get(*list.records.first()? as usize)?;
    let dialect = pool.dialect(first)?;
    let reader = Reader {
        space: pool.space,
        long: dialect.abi.long(),
        order: dialect.order,
    };
    let count = list.records.len() as u64;
    node(&reader, head, count, dialect.version)
        .or_else(|| entry(&reader, head, count, dialect.version))
        .or_else(|| connection(&reader, pool, list, head, kernels, dialect.version))
}

/// `struct tcp_log_id_node`: its endpoints, the list, the number of records,
/// whether it is closed, the address family.
fn node(reader: &Reader<'_>, head: u64, count: u64, version: u32) -> Option<Owner> {
    let behind = head.checked_add(2 * reader.long as u64)?;
    let closed = reader.number(behind.checked_add(4)?, 4)?;
    if reader.number(behind, 4)? != count || closed > 1 {
        return None;
    }
    let ends = head.checked_sub(ENDPOINTS as u64)?;
    let mut owner = Owner::new(Holder::Node);
    let af = reader.number(behind.checked_add(8)?, 1)?;
    owner.ends = Some(reader.ends(ends, af)?);
    let bucket = reader.pointer(ends.checked_sub(reader.long as u64)?)?;
    if let Some((id, tag)) = reader.bucket(bucket, version) {
        (owner.id, owner.tag) = (Some(id), tag);
    }
    Some(owner)
}

/// `struct tcp_log_dev_log_queue`: log ID, reason, tag, endpoints, the list, the
/// number of records, the address family.
fn entry(reader: &Reader<'_>, head: u64, count: u64, version: u32) -> Option<Owner> {
    let behind = head.checked_add(2 * reader.long as u64)?;
    if reader.number(behind, 4)? != count {
        return None;
    }
    let ends = head.checked_sub(ENDPOINTS as u64)?;
    let af = reader.number(behind.checked_add(4)?, 1)?;
    let tag_len = if version >= 7 { 32 } else { 0 };
    let reason = ends.checked_sub(tag_len + 32)?;
    let mut owner = Owner::new(Holder::Queue);
    owner.ends = Some(reader.ends(ends, af)?);
    owner.reason = Some(reader.text::<32>(reason)?);
    owner.id = Some(reader.text::<64>(reason.checked_sub(64)?)?);
    if tag_len > 0 {
        owner.tag = Some(reader.text::<32>(ends.checked_sub(32)?)?);
    }
    Some(owner)
}

/// A tcpcb by the places that some kernel has its fields at.
fn connection(
    reader: &Reader<'_>,
    pool: &Pool<'_>,
    list: &List,
    head: u64,
    kernels: &[Structures],
    version: u32,
) -> Option<Owner> {
    let records = list.records.iter().rev();
    let newest = records.clone().next()?;
    let newest = pool.found.get(*newest as usize)?;
    let count = list.records.len() as u64;
    let mut best: Option<(u32, Owner)> = None;
    for (number, kernel) in kernels.iter().enumerate() {
        let place = |field| kernel.place("tcpcb", field);
        let Some(tcpcb) =
            place("t_logs.stqh_first").and_then(|place| head.checked_sub(place.offset.into()))
        else {
            continue;
        };
        let value = |field| reader.field(tcpcb, place(field)?);
        // Each of these agrees by chance once in 2^32.
        let agree = [
            value("t_lognum") == Some(count),
            value("iss") == Some(newest.iss.into()) && newest.iss != 0,
            value("t_logsn").is_some_and(|sn| (sn as u32).wrapping_sub(newest.sn) < 1 << 20),
            value("t_starttime") == Some(newest.starttime.into()) && newest.starttime != 0,
        ];
        let mut score = agree.iter().filter(|agree| **agree).count() as u32;
        if score < 2 {
            continue;
        }
        let mut owner = Owner::new(Holder::Connection);
        owner.kernel = Some(number);
        owner.tcpcb = Some(tcpcb);
        owner.ends = ends_of(reader, kernel, tcpcb);
        let ports = records
            .clone()
            .find_map(|at| pool.found.get(*at as usize)?.ports);
        match (&owner.ends, ports) {
            (Some(ends), Some(ports)) if ends.ports() == ports => score += 4,
            (Some(_), Some(_)) => owner.ends = None,
            (Some(_), None) => score += 2,
            (None, _) => {}
        }
        let bucket = place("t_lib").and_then(|place| reader.field(tcpcb, place));
        if let Some((id, tag)) = bucket.and_then(|bucket| reader.bucket(bucket, version)) {
            (owner.id, owner.tag) = (Some(id), tag);
        }
        if best.as_ref().is_none_or(|(top, _)| score > *top) {
            best = Some((score, owner));
        }
    }
    best.map(|(_, owner)| owner)
}

/// The endpoints of a tcpcb: of the inpcb that it points to, which points back,
/// or of the one inside it.
fn ends_of(reader: &Reader<'_>, kernel: &Structures, tcpcb: u64) -> Option<Ends> {
    let link = kernel.place("tcpcb", "t_inpcb")?;
    let field = |field| kernel.place("inpcb", field);
    let inpcb = match usize::try_from(link.size) {
        Ok(size) if size == reader.long => {
            let inpcb = reader.field(tcpcb, link)?;
            let back = reader.field(inpcb, field("inp_ppcb")?)?;
            // The tcpcb is known by an address of the direct map, and the
            // kernel by one of its own: both lead to the same bytes. Where the
            // image has no page tables, at least to the same place in a page.
            let place = |address| reader.space.find_virtual(address).map(|(offset, _)| offset);
            let is_same = match (place(back), place(tcpcb)) {
                (Some(back), Some(tcpcb)) => back == tcpcb,
                (None, Some(_)) => back != 0 && back % PAGE == tcpcb % PAGE,
                (_, None) => false,
            };
            is_same.then_some(inpcb)?
        }
        _ => tcpcb.checked_add(link.offset.into())?,
    };
    let af = match reader.field(inpcb, field("inp_vflag")?)? & 3 {
        2 => 28,
        1 => 2,
        // Both: a socket for IPv6 that speaks IPv4.
        3 => 2,
        _ => return None,
    };
    let ports = field("inp_inc.inc_ie.ie_fport")?;
    reader.ends(inpcb.checked_add(ports.offset.into())?, af)
}
