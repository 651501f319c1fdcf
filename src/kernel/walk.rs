//! The kernel's lists of connections, log IDs and queued messages, in memory.
//!
//! Everything begins at symbols. Whatever cannot be read costs what depends on
//! it and is told in [`Walked::problems`]; memory that was live while it was
//! copied can be torn, so no link is trusted to end.

mod globals;
mod log;
mod pcbs;

pub use globals::Vnet;
pub use log::{Bucket, Node, Queued};
pub use pcbs::WalkedPcb;

use super::KernelFile;
use super::view::{Object, View};
use crate::format::structures::Structures;
use crate::memory::AddressSpace;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What was found. Addresses are virtual, of the kernel.
#[derive(Clone, Debug, Default)]
pub struct Walked {
    /// When the machine booted, µs since 1970: a record's uptime plus this is
    /// its wall clock.
    pub boot_us: Option<i64>,
    /// Ticks of a second.
    pub hz: Option<u32>,
    /// Ticks when the image was made, the lower 32 bits.
    pub ticks: Option<u32>,
    /// `version` in memory.
    pub version: Option<String>,
    /// TCP stacks by their id in records.
    pub stacks: Vec<(u8, String)>,
    pub vnets: Vec<Vnet>,
    pub pcbs: Vec<WalkedPcb>,
    /// Log IDs.
    pub buckets: Vec<Bucket>,
    /// Connections of log IDs, also those that are gone.
    pub nodes: Vec<Node>,
    /// Messages that wait for a reader of /dev/tcp_log.
    pub queue: Vec<Queued>,
    /// What could not be read, in words; not all of it where it is much.
    pub problems: Vec<String>,
}

/// A list of records: `struct tcp_log_mem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The oldest.
    pub first: u64,
    /// The newest.
    pub last: u64,
    /// How many there are, as the kernel counted.
    pub count: u32,
}

/// Both ends of a connection, host order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ends {
    pub local: SocketAddr,
    pub foreign: SocketAddr,
    /// IPv6 scope zone, mostly 0.
    pub zone: u32,
}

/// Entries that one list, or all lists of a kind, may have.
const MAX_ENTRIES: usize = 1 << 20;
/// Records of one list; the kernel's own limit for all is 5,000,000.
const MAX_RECORDS: usize = 5_000_000;
/// Problems that are told.
const MAX_PROBLEMS: usize = 100;

const AF_INET: u64 = 2;
const AF_INET6: u64 = 28;

/// Walks all lists. `structures` are those of the kernel file, or, if it has
/// none, those of a format file for the release.
pub fn walk(space: &dyn AddressSpace, kernel: &KernelFile, structures: &Structures) -> Walked {
    let mut walk = Walk {
        view: View::new(space, kernel, structures),
        kernel,
        walked: Walked::default(),
        unsaid: 0,
    };
    walk.globals();
    walk.stacks();
    walk.vnets();
    walk.pcbs();
    walk.log_ids();
    walk.queue();
    if walk.unsaid > 0 {
        let more = format!("and {} more", walk.unsaid);
        walk.walked.problems.push(more);
    }
    walk.walked
}

/// The addresses of the records of a chain, oldest first, and whether it ended
/// as it should: at its last record, after as many as were counted.
pub fn records(
    space: &dyn AddressSpace,
    kernel: &KernelFile,
    structures: &Structures,
    chain: Chain,
) -> (Vec<u64>, bool) {
    const RECORD: &str = "tcp_log_mem";
    let view = View::new(space, kernel, structures);
    let (mut at, mut all) = (chain.first, Vec::new());
    let mut seen = HashSet::new();
    let most = (chain.count as usize).min(MAX_RECORDS);
    while at != 0 && all.len() <= most && seen.insert(at) {
        let next = view.address(RECORD, at, "tlm_queue.stqe_next");
        let Some(next) = next.and_then(|next| view.pointer(next)) else {
            break;
        };
        all.push(at);
        at = next;
    }
    let whole = at == 0 && all.len() == chain.count as usize && all.last() == Some(&chain.last);
    (all, whole)
}

struct Walk<'a> {
    view: View<'a>,
    kernel: &'a KernelFile,
    walked: Walked,
    /// Problems beyond those that are told.
    unsaid: usize,
}

impl<'a> Walk<'a> {
    fn problem(&mut self, what: impl Into<String>) {
        if self.walked.problems.len() < MAX_PROBLEMS {
            self.walked.problems.push(what.into());
        } else {
            self.unsaid += 1;
        }
    }

    fn symbol(&mut self, name: &str) -> Option<u64> {
        let found = self.kernel.symbols.get(name).copied();
        if found.is_none() {
            self.problem(format!("the kernel file has no symbol {name}"));
        }
        found
    }

    /// Whether the offsets of a structure are known; tells if not.
    fn knows(&mut self, structure: &str) -> bool {
        let known = self.view.structures.size(structure).is_some();
        if !known {
            self.problem(format!("the offsets of struct {structure} are not known"));
        }
        known
    }

    /// The pointer in a variable.
    fn pointer(&mut self, what: &str, address: u64) -> Option<u64> {
        let found = self.view.pointer(address);
        if found.is_none() {
            self.problem(format!("{what} at {address:#x} is not in the image"));
        }
        found
    }

    /// Follows a list of `structure` from `first` on; the entry's `link` begins
    /// with the pointer to the next. `visit` says whether to go on.
    fn list(
        &mut self,
        structure: &'static str,
        first: u64,
        link: &str,
        mut visit: impl FnMut(&mut Self, &Object<'a>) -> bool,
    ) {
        let mut seen = HashSet::new();
        let mut at = first;
        while at != 0 {
            if !seen.insert(at) {
                return self.problem(format!(
                    "a list of struct {structure} comes back to {at:#x}"
                ));
            }
            if seen.len() > MAX_ENTRIES {
                return self.problem(format!("a list of struct {structure} is too long"));
            }
            let Some(object) = self.view.object(structure, at) else {
                return self.problem(format!("struct {structure} at {at:#x} is not in the image"));
            };
            if !visit(self, &object) {
                return;
            }
            let Some(next) = object.first_word(link) else {
                return self.problem(format!("{link} of the {structure} at {at:#x} is not there"));
            };
            at = next;
        }
    }
}

/// The list of records whose head is the field `entries` of an object: an
/// empty one gives `None`.
fn chain(object: &Object<'_>, entries: &str, count: &str) -> Option<Chain> {
    let first = object.get(&format!("{entries}.stqh_first"))?;
    let last = object.get(&format!("{entries}.stqh_last"))?;
    // The tail of a list points to the link of its last entry, with which a
    // record begins.
    (first != 0).then_some(Chain {
        first,
        last,
        count: object.get32(count).unwrap_or(0),
    })
}

/// The endpoints in the fields `prefix`.ie_* of an object.
fn ends(object: &Object<'_>, prefix: &str, af: u64) -> Option<Ends> {
    let field = |name: &str| object.bytes(&format!("{prefix}.{name}"));
    let port = |name| Some(u16::from_be_bytes(field(name)?.try_into().ok()?));
    let address = |name| {
        let slot: [u8; 16] = field(name)?.try_into().ok()?;
        let [.., a, b, c, d] = slot;
        match af {
            AF_INET => Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d))),
            AF_INET6 => Some(IpAddr::V6(Ipv6Addr::from(slot))),
            _ => None,
        }
    };
    Some(Ends {
        local: SocketAddr::new(address("ie_dependladdr")?, port("ie_lport")?),
        foreign: SocketAddr::new(address("ie_dependfaddr")?, port("ie_fport")?),
        zone: object.get32(&format!("{prefix}.ie6_zoneid")).unwrap_or(0),
    })
}
