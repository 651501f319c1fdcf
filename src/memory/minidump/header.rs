//! The headers of minidumps, one form for each machine.

use super::super::Machine;
use super::super::bits::Endian;
use super::super::tables::Entry;
use super::super::translate::DirectMap;
use super::MAGIC;

/// A header, whatever its machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub machine: Machine,
    pub endian: Endian,
    pub version: u32,
    pub page: u64,
    pub msgbuf: u64,
    pub dump_avail: u64,
    pub bitmap: u64,
    pub tables: u64,
    pub kernbase: u64,
    pub direct: Option<DirectMap>,
    /// Entries of the page tables, where their form is known.
    pub entry: Option<Entry>,
    /// Versions that this program knows go up to here.
    pub newest: u32,
}

/// The header at the start of `head`; `Err` names a machine that is not known.
pub(super) fn header(head: &[u8]) -> Result<Header, String> {
    let name: String = head
        .get(MAGIC.len()..)
        .unwrap_or(&[])
        .iter()
        .take(15)
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .map(|byte| char::from(*byte))
        .collect();
    let read = match name.as_str() {
        "amd64" => amd64(head),
        "arm64" => with_direct_map(head, Machine::Arm64),
        "riscv" => with_direct_map(head, Machine::Riscv64),
        "i386" => i386(head),
        "arm" => arm(head),
        "powerpc64" => powerpc64(head),
        _ => None,
    };
    read.ok_or(name)
}

fn amd64(head: &[u8]) -> Option<Header> {
    let long = |at| Endian::Little.u64(head, at);
    let header = sections(head, Machine::Amd64, 3)?;
    Some(Header {
        dump_avail: match header.version {
            0..3 => 0,
            _ => word(head, 64)?,
        },
        kernbase: long(40)?,
        direct: direct(long(48)?, long(56)?, 0),
        entry: Some(Entry::Amd64),
        ..header
    })
}

/// arm64 and riscv: the same but for flags.
fn with_direct_map(head: &[u8], machine: Machine) -> Option<Header> {
    let long = |at| Endian::Little.u64(head, at);
    let newest = if machine == Machine::Arm64 { 3 } else { 2 };
    let header = sections(head, machine, newest)?;
    let flags = match (machine, header.version) {
        (Machine::Arm64, 3..) => word(head, 76)?,
        _ => 0,
    };
    Some(Header {
        page: match flags & 3 {
            0 => 4096,
            1 => 16384,
            _ => 65536,
        },
        dump_avail: match header.version {
            0..2 => 0,
            _ => word(head, 72)?,
        },
        kernbase: long(40)?,
        direct: direct(long(56)?, long(64)?, long(48)?),
        entry: Some(match machine {
            Machine::Arm64 => Entry::Arm64,
            _ => Entry::Riscv,
        }),
        ..header
    })
}

fn i386(head: &[u8]) -> Option<Header> {
    let header = sections(head, Machine::I386, 2)?;
    Some(Header {
        dump_avail: match header.version {
            0..2 => 0,
            _ => word(head, 48)?,
        },
        kernbase: word(head, 40)?,
        // With PAE the entries are those of amd64.
        entry: Some(match word(head, 44)? {
            0 => Entry::I386,
            _ => Entry::Amd64,
        }),
        ..header
    })
}

fn arm(head: &[u8]) -> Option<Header> {
    let header = sections(head, Machine::Arm, 2)?;
    Some(Header {
        dump_avail: match header.version {
            0..2 => 0,
            _ => word(head, 52)?,
        },
        kernbase: word(head, 40)?,
        // 3: the long descriptors of LPAE, which no release dumps.
        entry: (word(head, 48)? != 3).then_some(Entry::Arm),
        ..header
    })
}

/// Big endian, with longer names; its page tables are hashed, so that only
/// the direct map leads to physical memory.
fn powerpc64(head: &[u8]) -> Option<Header> {
    let endian = Endian::Big;
    let word = |at| endian.u32(head, at).map(u64::from);
    let long = |at| endian.u64(head, at);
    let version = endian.u32(head, 64)?;
    Some(Header {
        endian,
        version,
        newest: 2,
        machine: Machine::Powerpc64,
        page: 4096,
        msgbuf: word(68)?,
        bitmap: word(72)?,
        tables: word(76)?,
        dump_avail: match version {
            0..2 => 0,
            _ => word(136)?,
        },
        kernbase: long(80)?,
        direct: match word(112)? {
            0 => None,
            _ => direct(long(96)?, long(104)?, 0),
        },
        entry: None,
    })
}

/// What the little endian headers have at the same places.
fn sections(head: &[u8], machine: Machine, newest: u32) -> Option<Header> {
    Some(Header {
        machine,
        endian: Endian::Little,
        version: Endian::Little.u32(head, 24)?,
        page: 4096,
        msgbuf: word(head, 28)?,
        dump_avail: 0,
        bitmap: word(head, 32)?,
        tables: word(head, 36)?,
        kernbase: 0,
        direct: None,
        entry: None,
        newest,
    })
}

fn word(head: &[u8], at: usize) -> Option<u64> {
    Endian::Little.u32(head, at).map(u64::from)
}

fn direct(base: u64, end: u64, physical: u64) -> Option<DirectMap> {
    (base < end).then_some(DirectMap {
        base,
        end,
        physical,
    })
}
