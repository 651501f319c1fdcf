//! One `struct mbuf` of a 64-bit little-endian FreeBSD, told from its bytes.
//!
//! The first 32 bytes are the same from 11 to 15: m_next, m_nextpkt, m_data
//! (8 bytes each), m_len (4), m_type (1) and m_flags (3). Behind them lie the
//! data, or a packet header and the place of external storage, which moved
//! from release to release (`EXTERNAL`).

use super::segment::{u32_at, u64_at};

/// Size of an mbuf, and what its address is a multiple of.
pub const MSIZE: u64 = 256;
/// Where the data of an mbuf without packet header begins (`m_dat`).
pub const M_DAT: u64 = 32;
/// How much data it holds (`MLEN`).
pub const MLEN: u64 = MSIZE - M_DAT;
/// How many bytes of an mbuf tell what it is: up to the last field that is read.
pub const HEADER: usize = 120;

const MT_DATA: u8 = 1;
const M_EXT: u32 = 0x1;
const M_PKTHDR: u32 = 0x2;
/// Data in unmapped pages, from 13.0 on (sendfile, kernel TLS).
const M_EXTPG: u32 = 0x100;
/// The flags that the first mbuf of a saved packet may have: the copy begins
/// with none, sharing storage adds M_EXT, M_RDONLY; what comes along is M_EOR
/// and how the frame was addressed.
const SAVED: u32 = M_EXT | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x200;

/// Where struct m_ext keeps its members, from the start of the mbuf.
struct External {
    buf: usize,
    size: usize,
    kind: usize,
}

/// 13.0 to 13.x, 14 and 15, 11 and 12: no two of them make sense of the same
/// mbuf, as the pointer of one is a number in the other.
const EXTERNAL: [External; 3] = [
    External {
        buf: 104,
        size: 96,
        kind: 100,
    },
    External {
        buf: 112,
        size: 104,
        kind: 108,
    },
    External {
        buf: 96,
        size: 104,
        kind: 108,
    },
];

/// Storage outside of the mbuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ext {
    /// Virtual address of its first byte (`ext_buf`).
    pub buf: u64,
    /// Its size in bytes.
    pub size: u32,
    /// What kind it is: `EXT_CLUSTER` 1 and so on.
    pub kind: u8,
}

/// An mbuf without a packet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mbuf {
    /// Where it stands in the image.
    pub offset: u64,
    /// Its virtual address, where the address space knows one.
    pub address: Option<u64>,
    /// Virtual address of the next mbuf of the packet, or 0.
    pub next: u64,
    /// Virtual address of the next packet of a queue, or 0.
    pub next_packet: u64,
    /// Virtual address of the first byte of data.
    pub data: u64,
    pub len: u32,
    /// 24 bits.
    pub flags: u32,
    /// None: the data are in the mbuf itself.
    pub ext: Option<Ext>,
}

/// What bytes are that are no such mbuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Not {
    /// Freed under INVARIANTS, which overwrites with 0xdeadc0de.
    Poison,
    /// It begins an ordinary packet (M_PKTHDR), which TCPPCAP never saves.
    PacketHeader,
    /// Its data are in unmapped pages.
    UnmappedPages,
    /// Nothing like an mbuf.
    Other,
}

impl Mbuf {
    /// Tells an mbuf from its bytes, of which there should be [`HEADER`].
    pub fn read(bytes: &[u8], offset: u64, address: Option<u64>) -> Result<Mbuf, Not> {
        let word = u32_at(bytes, 28).ok_or(Not::Other)?;
        if word == 0xdead_c0de {
            return Err(Not::Poison);
        }
        if word.to_le_bytes()[0] != MT_DATA {
            return Err(Not::Other);
        }
        let quad = |at| u64_at(bytes, at).ok_or(Not::Other);
        let mut mbuf = Mbuf {
            offset,
            address,
            next: quad(0)?,
            next_packet: quad(8)?,
            data: quad(16)?,
            len: u32_at(bytes, 24).ok_or(Not::Other)?,
            flags: word >> 8,
            ext: None,
        };
        if !is_link(mbuf.next)
            || !is_link(mbuf.next_packet)
            || !(1..1 << 26).contains(&mbuf.len)
            || !is_pointer(mbuf.data)
        {
            return Err(Not::Other);
        }
        if mbuf.flags & M_PKTHDR != 0 {
            return Err(Not::PacketHeader);
        }
        if mbuf.flags & M_EXT == 0 {
            return mbuf.holds_its_data().then_some(mbuf).ok_or(Not::Other);
        }
        if mbuf.flags & M_EXTPG != 0 {
            return Err(Not::UnmappedPages);
        }
        mbuf.ext = EXTERNAL
            .iter()
            .find_map(|layout| mbuf.external(bytes, layout));
        mbuf.ext.is_some().then_some(mbuf).ok_or(Not::Other)
    }

    /// Whether the data lie inside of an mbuf that may stand where this one does.
    fn holds_its_data(&self) -> bool {
        let start = self.data & !(MSIZE - 1);
        let within = self.data - start;
        within >= M_DAT
            && within + u64::from(self.len) <= MSIZE
            // An address space may know the page by another address.
            && self
                .address
                .is_none_or(|address| address & 0xfff == start & 0xfff)
    }

    fn external(&self, bytes: &[u8], layout: &External) -> Option<Ext> {
        let ext = Ext {
            buf: u64_at(bytes, layout.buf)?,
            size: u32_at(bytes, layout.size)?,
            kind: *bytes.get(layout.kind)?,
        };
        let fits = match ext.kind {
            1 | 6 => ext.size == 2048,
            2 | 3 => matches!(ext.size, 4096 | 8192 | 16384),
            4 => ext.size == 9216,
            5 => ext.size == 16384,
            // Storage of a driver, of a module, of another user.
            7..=9 | 252..=255 => (1..1 << 26).contains(&ext.size),
            _ => false,
        };
        let end = self.data.checked_add(u64::from(self.len))?;
        (fits
            && is_pointer(ext.buf)
            && ext.buf <= self.data
            && end <= ext.buf.checked_add(u64::from(ext.size))?)
        .then_some(ext)
    }

    /// Whether it may begin a packet that TCPPCAP saved.
    pub fn may_begin_saved(&self) -> bool {
        self.flags & !SAVED == 0
    }

    /// Where its data stand in the image when they are in the mbuf itself.
    pub fn own_data(&self) -> Option<(u64, usize)> {
        let within = self.data & (MSIZE - 1);
        match self.ext {
            None => Some((self.offset.checked_add(within)?, self.len as usize)),
            Some(_) => None,
        }
    }

    /// The address by which others point to it.
    pub fn linked_address(&self) -> Option<u64> {
        implied_address(self).or(self.address)
    }
}

/// The virtual address that an mbuf itself tells: its data lie inside of it.
/// None of one with external storage.
pub fn implied_address(mbuf: &Mbuf) -> Option<u64> {
    mbuf.ext.is_none().then_some(mbuf.data & !(MSIZE - 1))
}

/// Whether a word may be a pointer into mapped memory of a kernel or a process.
fn is_pointer(word: u64) -> bool {
    word >= 0x1000 && matches!(word >> 56, 0 | 0xff)
}

/// Whether a word may be a link to an mbuf, or the end of a list.
pub fn is_link(word: u64) -> bool {
    word == 0 || word & (MSIZE - 1) == 0 && is_pointer(word)
}
