//! The ABI rule: sizes and alignments of C types on the machine that logged.

use std::fmt;

/// Byte order of the machine that logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    Little,
    Big,
}

/// Data model of the machine that logged.
///
/// Three are enough for every FreeBSD platform: they differ in `long`, in
/// `time_t`, and in how a 64-bit integer is aligned inside a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Abi {
    /// amd64, arm64, riscv64, powerpc64: everything 64 bits wide.
    Lp64,
    /// i386: 32-bit `time_t`, and 64-bit integers aligned to 4.
    I386,
    /// armv7, powerpc: 32-bit `long`, 64-bit `time_t`, 64-bit integers aligned to 8.
    Ilp32Time64,
}

impl Abi {
    pub const ALL: [Abi; 3] = [Abi::Lp64, Abi::I386, Abi::Ilp32Time64];

    /// Size of `time_t` in bytes.
    pub fn time_t(self) -> usize {
        match self {
            Abi::I386 => 4,
            Abi::Lp64 | Abi::Ilp32Time64 => 8,
        }
    }

    /// Size of `long`, which is also that of `suseconds_t` and of a pointer.
    pub fn long(self) -> usize {
        match self {
            Abi::Lp64 => 8,
            Abi::I386 | Abi::Ilp32Time64 => 4,
        }
    }

    /// Alignment inside a structure of an integer of `size` bytes.
    pub fn align(self, size: usize) -> usize {
        match self {
            Abi::I386 => size.min(4),
            Abi::Lp64 | Abi::Ilp32Time64 => size,
        }
    }

    /// The name used on the command line and in listings.
    pub fn name(self) -> &'static str {
        match self {
            Abi::Lp64 => "lp64",
            Abi::I386 => "i386",
            Abi::Ilp32Time64 => "ilp32-time64",
        }
    }

    pub fn from_name(name: &str) -> Option<Abi> {
        Abi::ALL.into_iter().find(|abi| abi.name() == name)
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Order {
    /// How far the `width` bits of a byte-sized bit field lie above the lowest:
    /// compilers give the first bit field (`low` = 0) the low bits on
    /// little-endian machines, and the high bits on big-endian ones.
    pub fn bit_shift(self, low: u8, width: u8) -> u8 {
        match self {
            Order::Little => low,
            Order::Big => 8u8.saturating_sub(low.saturating_add(width)),
        }
    }

    pub const ALL: [Order; 2] = [Order::Little, Order::Big];

    pub fn name(self) -> &'static str {
        match self {
            Order::Little => "little",
            Order::Big => "big",
        }
    }

    pub fn from_name(name: &str) -> Option<Order> {
        Order::ALL.into_iter().find(|order| order.name() == name)
    }

    /// Reads an unsigned integer of 1, 2, 4 or 8 bytes; `None` past the end.
    #[inline]
    pub fn read(self, bytes: &[u8], offset: usize, size: usize) -> Option<u64> {
        let field = bytes.get(offset..offset.checked_add(size)?)?;
        // Sizes that occur are spelled out: a copy of variable length would
        // cost a call for each integer.
        Some(match (self, field) {
            (_, &[a]) => u64::from(a),
            (Order::Little, &[a, b]) => u64::from(u16::from_le_bytes([a, b])),
            (Order::Big, &[a, b]) => u64::from(u16::from_be_bytes([a, b])),
            (Order::Little, &[a, b, c, d]) => u64::from(u32::from_le_bytes([a, b, c, d])),
            (Order::Big, &[a, b, c, d]) => u64::from(u32::from_be_bytes([a, b, c, d])),
            (Order::Little, eight) => u64::from_le_bytes(eight.try_into().ok()?),
            (Order::Big, eight) => u64::from_be_bytes(eight.try_into().ok()?),
        })
    }

    /// Writes the low `size` bytes of `value`, at most 8; false past the end.
    pub fn write(self, bytes: &mut [u8], offset: usize, size: usize, value: u64) -> bool {
        let Some(field) = offset
            .checked_add(size)
            .filter(|_| size <= 8)
            .and_then(|end| bytes.get_mut(offset..end))
        else {
            return false;
        };
        match self {
            Order::Little => field.copy_from_slice(&value.to_le_bytes()[..size]),
            Order::Big => field.copy_from_slice(&value.to_be_bytes()[8 - size..]),
        }
        true
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
