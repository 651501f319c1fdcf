//! Words and numbers of a line.

use std::net::IpAddr;

/// Words of a line between blanks.
pub struct Words<'a>(pub &'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|b| !is_blank(*b))?;
        let rest = self.0.get(start..)?;
        let end = rest.iter().position(|b| is_blank(*b)).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.0 = rest;
        Some(word)
    }
}

#[inline]
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// A number as D prints it: decimal, negative as two's complement, or 0x and
/// hexadecimal digits.
#[inline]
pub fn number(word: &[u8]) -> Option<u64> {
    match word {
        [b'0', b'x' | b'X', digits @ ..] => hexadecimal(digits),
        [b'-', digits @ ..] => {
            let n = decimal(digits)?;
            (n <= 1 << 63).then(|| n.wrapping_neg())
        }
        digits => decimal(digits),
    }
}

/// Digits only.
#[inline]
pub fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    // Nineteen digits always fit.
    let short = digits.len() < 20;
    let mut n = 0u64;
    for digit in digits {
        let digit = u64::from(digit.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        n = match short {
            true => n * 10 + digit,
            false => n.checked_mul(10)?.checked_add(digit)?,
        };
    }
    Some(n)
}

#[inline]
fn hexadecimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    let mut n = 0;
    for digit in digits {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' => digit - b'A' + 10,
            _ => return None,
        };
        n = n << 4 | u64::from(digit);
    }
    Some(n)
}

/// `SECONDS.FRACTION` in nanoseconds; at most nine digits of fraction.
#[inline]
pub fn seconds_ns(word: &[u8]) -> Option<u64> {
    let dot = memchr::memchr(b'.', word)?;
    let (whole, fraction) = (word.get(..dot)?, word.get(dot + 1..)?);
    let places = u32::try_from(fraction.len()).ok().filter(|n| *n <= 9)?;
    let fraction = decimal(fraction)? * 10u64.pow(9 - places);
    decimal(whole)?
        .checked_mul(1_000_000_000)?
        .checked_add(fraction)
}

/// An address as the translators print it; `Some(None)` where they had none.
#[inline]
pub fn address(word: &[u8]) -> Option<Option<IpAddr>> {
    if word == super::probes::UNKNOWN.as_bytes() {
        return Some(None);
    }
    let text = std::str::from_utf8(word).ok()?;
    text.parse().ok().map(Some)
}

/// `ADDRESS:PORT`, the port behind the last colon.
pub fn end(word: &[u8]) -> Option<(Option<IpAddr>, u16)> {
    let colon = memchr::memrchr(b':', word)?;
    let addr = address(word.get(..colon)?)?;
    let port = decimal(word.get(colon + 1..)?)?;
    Some((addr, u16::try_from(port).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers() {
        assert_eq!(number(b"-1"), Some(u64::MAX));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(number(b"-9223372036854775808"), Some(1 << 63));
        assert_eq!(number(b"0xFFffffffffffffff"), Some(u64::MAX));
        for bad in [
            "",
            "-",
            "0x",
            "1x",
            "18446744073709551616",
            "+1",
            "0x10000000000000000",
            "-9223372036854775809",
        ] {
            assert_eq!(number(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn ends_split_at_the_last_colon() {
        let (addr, port) = end(b"2001:db8::1:9899").expect("an end");
        assert_eq!(addr, "2001:db8::1".parse().ok());
        assert_eq!(port, 9899);
        assert_eq!(end(b"<unknown>:7"), Some((None, 7)));
        assert_eq!(end(b"192.0.2.1:65536"), None);
        assert_eq!(end(b"192.0.2.1:"), None);
    }

    proptest! {
        #[test]
        fn any_number_reads_back(n in any::<u64>(), signed in any::<i64>()) {
            prop_assert_eq!(number(n.to_string().as_bytes()), Some(n));
            prop_assert_eq!(number(format!("{n:#x}").as_bytes()), Some(n));
            prop_assert_eq!(number(signed.to_string().as_bytes()), Some(signed as u64));
        }

        #[test]
        fn any_time_reads_back(s in 0u64..10_000_000_000, ns in 0u64..1_000_000_000) {
            let text = format!("{s}.{ns:09}");
            prop_assert_eq!(seconds_ns(text.as_bytes()), Some(s * 1_000_000_000 + ns));
        }

        #[test]
        fn nothing_panics(word in any::<Vec<u8>>(), near in "[-0-9x.:a-f<>unkow]{0,24}") {
            for word in [&word[..], near.as_bytes()] {
                let _ = (number(word), seconds_ns(word), end(word), Words(word).count());
            }
        }
    }
}
