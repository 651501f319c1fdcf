//! Carving: how fast memory is looked through that holds little or nothing.
//!
//! `memchr` over the same bytes says what the machine can read at most. The
//! bytes are in memory; what a disk adds is not measured.

use divan::Bencher;
use divan::counter::BytesCount;
use std::path::Path;
use std::sync::OnceLock;
use tcplog::carve::lists::{Words, find_pairs};
use tcplog::carve::pool::Pool;
use tcplog::carve::scan::{For, Haul, Kinds, scan};
use tcplog::carve::sieve::Sieve;
use tcplog::carve::tcppcap;
use tcplog::format::Formats;
use tcplog::memory::{AddressSpace, Extent};

/// Larger than any cache.
const SIZE: usize = 128 << 20;

/// Where the flat memory begins: in the direct map of amd64.
const BASE: u64 = 0xffff_f800_0000_0000;

fn main() {
    divan::main();
}

/// What memory is full of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    Random,
    Zeros,
    /// 0xdeadc0de, as INVARIANTS leaves what was freed.
    Poison,
    /// A genuine kernel's pages; there are records in it.
    Kernel,
    /// A genuine process with a few records.
    Process,
}

const FILLS: [Fill; 5] = [
    Fill::Random,
    Fill::Zeros,
    Fill::Poison,
    Fill::Kernel,
    Fill::Process,
];

/// Made once for all benches.
fn memory(fill: Fill) -> &'static [u8] {
    static MADE: [OnceLock<Vec<u8>>; 5] = [const { OnceLock::new() }; 5];
    MADE[fill as usize].get_or_init(|| match fill {
        Fill::Random => random(),
        Fill::Zeros => vec![0; SIZE],
        Fill::Poison => 0xdead_c0de_u32.to_le_bytes().repeat(SIZE / 4),
        Fill::Kernel => core("kernel-vmcore.zst"),
        Fill::Process => core("nolog.elf.zst"),
    })
}

/// Numbers of a xorshift generator, the same in each run.
fn random() -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(SIZE);
    while bytes.len() < SIZE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes
}

fn core(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/cores")
        .join(name);
    let file = std::fs::File::open(path).expect("testdata/cores is there");
    let mut decoder = zstd::stream::read::Decoder::new(file).expect("a decoder");
    decoder.window_log_max(27).expect("a window");
    let mut bytes = Vec::new();
    std::io::copy(&mut decoder, &mut bytes).expect("genuine cores decompress");
    bytes
}

/// Memory in one piece.
struct Flat {
    bytes: &'static [u8],
    extents: [Extent; 1],
}

impl Flat {
    fn new(fill: Fill) -> Flat {
        let bytes = memory(fill);
        let extent = Extent {
            offset: 0,
            len: bytes.len() as u64,
            physical: None,
            virtual_: Some(BASE),
        };
        Flat {
            bytes,
            extents: [extent],
        }
    }
}

impl AddressSpace for Flat {
    fn extents(&self) -> &[Extent] {
        &self.extents
    }

    fn bytes<'a>(&'a self, offset: u64, len: usize, _: &'a mut Vec<u8>) -> &'a [u8] {
        let rest = self.bytes.get(offset as usize..).unwrap_or(&[]);
        rest.get(..len).unwrap_or(rest)
    }

    fn find_virtual(&self, address: u64) -> Option<(u64, u64)> {
        let offset = address.checked_sub(BASE)?;
        let there = (self.bytes.len() as u64).checked_sub(offset)?;
        (there > 0).then_some((offset, there))
    }

    fn find_physical(&self, _: u64) -> Option<(u64, u64)> {
        None
    }

    fn virtual_of(&self, offset: u64) -> Option<u64> {
        BASE.checked_add(offset)
    }

    fn physical_of(&self, _: u64) -> Option<u64> {
        None
    }
}

/// As a yardstick: what the machine counts of one byte value. Every hit is
/// counted, so random bytes also pay for one in 256.
#[divan::bench(args = FILLS)]
fn memchr(bencher: Bencher, fill: Fill) {
    let bytes = memory(fill);
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench(|| ::memchr::memchr_iter(0xa7, bytes).count());
}

#[divan::bench(args = FILLS)]
fn sieve(bencher: Bencher, fill: Fill) {
    let bytes = memory(fill);
    let sieve = Sieve::of(Formats::canonical()).expect("version 9 has one");
    bencher.counter(BytesCount::new(bytes.len())).bench(|| {
        let mut hits = 0;
        sieve.each(bytes, |_| hits += 1);
        hits
    });
}

/// Records and packets, as `tcplog carve` looks for them first.
#[divan::bench(args = FILLS, consts = [1, 2])]
fn whole<const THREADS: usize>(bencher: Bencher, fill: Fill) {
    let space = Flat::new(fill);
    let kinds = Kinds::of(Formats::builtin(), None);
    let look = For {
        records: true,
        packets: true,
        phase: None,
    };
    bencher
        .counter(BytesCount::new(space.bytes.len()))
        .bench(|| scan(&space, &kinds, look, THREADS, &|_| true, &|_| ()).map(found));
}

fn found(haul: Haul) -> usize {
    haul.records.len() + haul.packets.mbufs.len()
}

/// Heads of lists, which are looked for in a second pass: those of the genuine
/// kernel's records, in any memory.
#[divan::bench(args = FILLS)]
fn pairs(bencher: Bencher, fill: Fill) {
    let kernel = Flat::new(Fill::Kernel);
    let kinds = Kinds::of(Formats::builtin(), None);
    let look = For {
        records: true,
        packets: false,
        phase: None,
    };
    let haul = scan(&kernel, &kinds, look, 2, &|_| true, &|_| ()).expect("nobody stops it");
    let words = Words::new(Pool::new(&kernel, &kinds, haul.records).items());
    let has = |word| words.has(word);
    let space = Flat::new(fill);
    let pool = Pool::new(&space, &kinds, Vec::new());
    bencher
        .counter(BytesCount::new(space.bytes.len()))
        .bench(|| find_pairs(&pool, 1, &|_| true, &has, &has));
}

/// Saved packets alone.
#[divan::bench(args = FILLS)]
fn packets(bencher: Bencher, fill: Fill) {
    let space = Flat::new(fill);
    bencher
        .counter(BytesCount::new(space.bytes.len()))
        .bench(|| {
            let mut found = tcppcap::Found::default();
            tcppcap::scan(&space, 0, space.bytes, 0, &mut found);
            found.mbufs.len()
        });
}
