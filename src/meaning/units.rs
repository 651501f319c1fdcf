//! Numbers with their units, for people.

use crate::format::{BitTable, Release, Unit};

/// Appends a number.
#[inline]
pub fn number(out: &mut Vec<u8>, n: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// Appends an amount with its unit: `12.5 ms`, `1448 bytes`, `1.25 MB/s`.
pub fn amount(out: &mut Vec<u8>, unit: &Unit, n: u64) {
    match unit {
        Unit::Microseconds | Unit::Moment => duration_us(out, n),
        Unit::Nanoseconds if n >= 1000 => {
            decimal(out, n / 1000, n % 1000, 3);
            out.extend_from_slice(" µs".as_bytes());
        }
        Unit::Nanoseconds => plain(out, n, b" ns"),
        Unit::Milliseconds if n >= 1000 => {
            decimal(out, n / 1000, n % 1000, 3);
            out.extend_from_slice(b" s");
        }
        Unit::Milliseconds => plain(out, n, b" ms"),
        Unit::Seconds => plain(out, n, b" s"),
        Unit::Ticks => plain(out, n, b" ticks"),
        Unit::Bytes if n == 1 => plain(out, n, b" byte"),
        Unit::Bytes => plain(out, n, b" bytes"),
        Unit::Bandwidth => bandwidth(out, n),
        Unit::Percent => plain(out, n, b"%"),
        Unit::Gain => rounded(out, n, 256, 3),
        Unit::Bool => out.extend_from_slice(if n == 0 { b"no" } else { b"yes" }),
        Unit::Hex | Unit::Pointer => hex(out, n),
        _ => number(out, n),
    }
}

fn plain(out: &mut Vec<u8>, n: u64, unit: &[u8]) {
    number(out, n);
    out.extend_from_slice(unit);
}

/// Appends microseconds as the unit that suits them.
pub fn duration_us(out: &mut Vec<u8>, us: u64) {
    match us {
        0..1000 => plain(out, us, " µs".as_bytes()),
        1000..1_000_000 => {
            decimal(out, us / 1000, us % 1000, 3);
            out.extend_from_slice(b" ms");
        }
        _ => {
            rounded(out, us, 1_000_000, 3);
            out.extend_from_slice(b" s");
        }
    }
}

/// Appends bytes per second.
pub fn bandwidth(out: &mut Vec<u8>, n: u64) {
    let (scale, unit): (u64, &[u8]) = match n {
        0..1000 => return plain(out, n, b" B/s"),
        1000..1_000_000 => (1000, b" kB/s"),
        1_000_000..1_000_000_000 => (1_000_000, b" MB/s"),
        _ => (1_000_000_000, b" GB/s"),
    };
    rounded(out, n, scale, 2);
    out.extend_from_slice(unit);
}

/// Appends `n / scale` to the nearest of `digits` digits behind the point;
/// `scale` is at most a milliard.
fn rounded(out: &mut Vec<u8>, n: u64, scale: u64, digits: usize) {
    let steps = 10u64.pow(digits as u32);
    let fraction = (n % scale * steps + scale / 2) / scale;
    if fraction == steps {
        number(out, n / scale + 1);
    } else {
        decimal(out, n / scale, fraction, digits);
    }
}

/// Appends `whole.fraction`, the fraction of `digits` digits without the zeros
/// at its end.
fn decimal(out: &mut Vec<u8>, whole: u64, fraction: u64, digits: usize) {
    number(out, whole);
    if fraction == 0 {
        return;
    }
    out.push(b'.');
    let mut digit = fraction;
    let mut text = [b'0'; 20];
    let text = &mut text[..digits.min(20)];
    for place in text.iter_mut().rev() {
        *place = b'0' + (digit % 10) as u8;
        digit /= 10;
    }
    let used = text
        .iter()
        .rposition(|digit| *digit != b'0')
        .map_or(0, |at| at + 1);
    out.extend_from_slice(&text[..used]);
}

/// Appends `0x1f`.
pub fn hex(out: &mut Vec<u8>, n: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"0x");
    let digits = (16 - n.leading_zeros() / 4).max(1);
    for at in (0..digits).rev() {
        out.push(DIGITS[(n >> (4 * at)) as usize & 15]);
    }
}

/// Appends the names of the bits that are set.
pub fn flags(out: &mut Vec<u8>, table: &BitTable, value: u64, release: Release) {
    use std::io::Write;
    // Writing to a vector does not fail.
    let _ = write!(out, "{}", table.names(value, release));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(unit: Unit, n: u64) -> String {
        let mut out = Vec::new();
        amount(&mut out, &unit, n);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn amounts_as_people_write_them() {
        let known = [
            (Unit::Microseconds, 999, "999 µs"),
            (Unit::Microseconds, 1_000, "1 ms"),
            (Unit::Microseconds, 12_345, "12.345 ms"),
            (Unit::Microseconds, 1_200_400, "1.2 s"),
            (Unit::Microseconds, 1_999_600, "2 s"),
            (Unit::Milliseconds, 230, "230 ms"),
            (Unit::Milliseconds, 1_500, "1.5 s"),
            (Unit::Nanoseconds, 1_050, "1.05 µs"),
            (Unit::Bandwidth, 999, "999 B/s"),
            (Unit::Bandwidth, 1_254_999, "1.25 MB/s"),
            (Unit::Bandwidth, 16_169_737, "16.17 MB/s"),
            (Unit::Bandwidth, 999_999, "1000 kB/s"),
            (Unit::Bandwidth, u64::MAX, "18446744073.71 GB/s"),
            (Unit::Bandwidth, 1_000_000_000, "1 GB/s"),
            (Unit::Gain, 320, "1.25"),
            (Unit::Gain, 739, "2.887"),
            (Unit::Bytes, 1, "1 byte"),
            (Unit::Hex, 0, "0x0"),
            (Unit::Hex, 0x1f0, "0x1f0"),
            (Unit::Hex, u64::MAX, "0xffffffffffffffff"),
            (Unit::Bool, 1, "yes"),
        ];
        for (unit, n, expected) in known {
            assert_eq!(text(unit, n), expected);
        }
    }
}
