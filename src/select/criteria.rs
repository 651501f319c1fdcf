//! From the words of `--id`, `--host`, `--event` and the like to a [`Select`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};

use super::time::{Rounding, TimeBound};
use super::{Edge, EventSet, Prefix, Select, Stack};

/// What was asked for, as typed; one field for each option, one item for each
/// time it was given.
///
/// Items of one field are alternatives; different fields must all hold; an
/// empty field asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criteria {
    /// Glob over the log ID.
    ///
    /// Globs are over bytes and case sensitive: `*` is any run of bytes, `?`
    /// any one byte (so a character beyond ASCII takes several), `[a-z]` and
    /// `[!a-z]` one byte of a set, `{a,b}` alternatives, `\` takes the next
    /// character literally. `/` is a byte like others.
    pub id: Vec<String>,
    /// Glob over the tag.
    pub tag: Vec<String>,
    /// Glob over the reason.
    pub reason: Vec<String>,
    /// `ADDR` or `ADDR/LEN`, IPv4 or IPv6, of either end. An IPv4-mapped IPv6
    /// address is the same as its IPv4 form.
    pub host: Vec<String>,
    /// Port of either end.
    pub port: Vec<u16>,
    /// Names or numbers of events, separated by commas.
    pub event: Vec<String>,
    /// Name of a TCP stack, in any case, or number of a stack id.
    pub stack: Vec<String>,
    /// Serial numbers: `LO..HI` with both ends included, `LO..`, `..HI`, `N`.
    pub sn: Vec<String>,
    /// Earliest time, included: RFC 3339 (UTC for want of a zone), Unix
    /// seconds, or `+seconds` from the first record of the input (see
    /// [`Select::set_origin`]).
    pub since: Vec<String>,
    /// Latest time, included; forms as with `since`. A date alone is its
    /// midnight.
    pub until: Vec<String>,
}

/// An option whose value means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CriteriaError {
    /// A glob that cannot be read.
    #[error("--{option} {value:?}: {problem}")]
    Glob {
        option: &'static str,
        value: String,
        problem: globset::ErrorKind,
    },
    /// An event name that no release has.
    #[error("--event {name:?}: no event has this name")]
    UnknownEvent { name: String },
    /// Any other value that cannot be read.
    #[error("--{option} {value:?}: {problem}")]
    Value {
        option: &'static str,
        value: String,
        problem: &'static str,
    },
}

impl Criteria {
    /// Builds the selection.
    ///
    /// `event_ids` gives the numbers that an event name has had over the
    /// releases; none says that there is no such event.
    ///
    /// # Errors
    ///
    /// The first value that cannot be read, with its option.
    pub fn select(&self, event_ids: &dyn Fn(&str) -> Vec<u8>) -> Result<Select, CriteriaError> {
        Ok(Select {
            ids: globs("id", &self.id)?,
            tags: globs("tag", &self.tag)?,
            reasons: globs("reason", &self.reason)?,
            hosts: values("host", &self.host, str::parse)?,
            ports: self.port.clone(),
            events: events(&self.event, event_ids)?,
            stacks: values("stack", &self.stack, str::parse)?,
            serials: values("sn", &self.sn, serials)?,
            since: edge("since", &self.since, Rounding::Up, i64::min)?,
            until: edge("until", &self.until, Rounding::Down, i64::max)?,
            origin: None,
        })
    }
}

fn values<T>(
    option: &'static str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<Vec<T>, CriteriaError> {
    texts
        .iter()
        .map(|text| {
            parse(text).map_err(|problem| CriteriaError::Value {
                option,
                value: text.clone(),
                problem,
            })
        })
        .collect()
}

fn globs(option: &'static str, texts: &[String]) -> Result<Vec<GlobMatcher>, CriteriaError> {
    values(option, texts, byte_glob)?
        .iter()
        .zip(texts)
        .map(|(pattern, text)| {
            GlobBuilder::new(pattern)
                .literal_separator(false)
                .backslash_escape(true)
                .empty_alternates(true)
                .build()
                .map(|glob| glob.compile_matcher())
                .map_err(|error| CriteriaError::Glob {
                    option,
                    value: text.clone(),
                    problem: error.kind().clone(),
                })
        })
        .collect()
}

/// Takes out of a pattern what globset understands in terms of paths and
/// characters, where an ID is neither.
///
/// `**` beside a slash would mean whole directories, so a run of stars becomes
/// one. A set is matched byte by byte, so a character of several bytes in it
/// would silently match none of its own text: that is refused.
fn byte_glob(text: &str) -> Result<String, &'static str> {
    let mut pattern = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        pattern.push(c);
        match c {
            '\\' => pattern.extend(chars.next()),
            '*' => while chars.next_if_eq(&'*').is_some() {},
            '[' => {
                pattern.extend(chars.next_if(|&c| c == '!' || c == '^'));
                // A bracket in first place is a member, not the end.
                pattern.extend(chars.next_if_eq(&']'));
                for member in chars.by_ref() {
                    if !member.is_ascii() {
                        return Err("a set in [] can only hold ASCII; write {x,y} instead");
                    }
                    pattern.push(member);
                    if member == ']' {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(pattern)
}

fn events(
    texts: &[String],
    event_ids: &dyn Fn(&str) -> Vec<u8>,
) -> Result<Option<EventSet>, CriteriaError> {
    let mut set = None;
    for text in texts {
        for name in text.split(',').map(str::trim) {
            let set = set.get_or_insert_with(EventSet::default);
            let bad = |problem| CriteriaError::Value {
                option: "event",
                value: text.clone(),
                problem,
            };
            if name.is_empty() {
                return Err(bad("an event name is missing"));
            }
            if is_number(name) {
                set.insert(name.parse().map_err(|_| bad("event numbers end at 255"))?);
                continue;
            }
            let ids = event_ids(name);
            if ids.is_empty() {
                return Err(CriteriaError::UnknownEvent { name: name.into() });
            }
            ids.into_iter().for_each(|id| set.insert(id));
        }
    }
    Ok(set)
}

fn edge(
    option: &'static str,
    texts: &[String],
    rounding: Rounding,
    more_generous: fn(i64, i64) -> i64,
) -> Result<Option<Edge>, CriteriaError> {
    let bounds = values(option, texts, |text| TimeBound::parse(text, rounding))?;
    let mut edge = None;
    for bound in bounds {
        edge.get_or_insert_with(Edge::default)
            .add(bound, more_generous);
    }
    Ok(edge)
}

/// `LO..HI` with both ends included, `LO..`, `..HI` or a single number.
fn serials(text: &str) -> Result<RangeInclusive<u32>, &'static str> {
    let serial = |text: &str| {
        if !is_number(text) {
            return Err("not LO..HI, LO.., ..HI or a serial number");
        }
        text.parse::<u32>()
            .map_err(|_| "serial numbers end at 4294967295")
    };
    let (low, high) = match text.split_once("..") {
        None => {
            let only = serial(text)?;
            (only, only)
        }
        Some(("", high)) => (0, serial(high)?),
        Some((low, "")) => (serial(low)?, u32::MAX),
        Some((low, high)) => (serial(low)?, serial(high)?),
    };
    if low > high {
        return Err("the range ends before it starts");
    }
    Ok(low..=high)
}

/// Rust's own parsers would also take a leading `+`.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

impl FromStr for Prefix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Prefix, &'static str> {
        let (addr, len) = match text.split_once('/') {
            Some((addr, len)) => (addr, Some(len)),
            None => (text, None),
        };
        let addr = addr
            .parse::<IpAddr>()
            .map_err(|_| "not an IPv4 or IPv6 address, or ADDR/LEN")?;
        let len = match len {
            None => None,
            Some(len) if is_number(len) => Some(len.parse::<u32>().unwrap_or(u32::MAX)),
            Some(_) => return Err("the prefix length is not a number"),
        };
        match addr {
            IpAddr::V4(addr) => Prefix::v4(addr, len.unwrap_or(Ipv4Addr::BITS)),
            IpAddr::V6(addr) => Prefix::v6(addr, len.unwrap_or(Ipv6Addr::BITS)),
        }
    }
}

impl Prefix {
    fn v4(addr: Ipv4Addr, len: u32) -> Result<Prefix, &'static str> {
        let host_bits = Ipv4Addr::BITS
            .checked_sub(len)
            .ok_or("an IPv4 prefix has at most 32 bits")?;
        // Shifting out every bit is an overflow to Rust, and no mask to us.
        let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
        let bits = addr.to_bits() & mask;
        Ok(Prefix::V4 { bits, mask })
    }

    fn v6(addr: Ipv6Addr, len: u32) -> Result<Prefix, &'static str> {
        let host_bits = Ipv6Addr::BITS
            .checked_sub(len)
            .ok_or("an IPv6 prefix has at most 128 bits")?;
        if let (Some(addr), Some(len)) = (addr.to_ipv4_mapped(), len.checked_sub(96)) {
            return Prefix::v4(addr, len);
        }
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        let bits = addr.to_bits() & mask;
        Ok(Prefix::V6 { bits, mask })
    }
}

impl FromStr for Stack {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Stack, &'static str> {
        if text.is_empty() {
            return Err("a stack name is missing");
        }
        let id = match is_number(text) {
            true => Some(text.parse().map_err(|_| "stack ids end at 255")?),
            false => None,
        };
        let name = text.into();
        Ok(Stack { name, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(fill: impl FnOnce(&mut Criteria)) -> String {
        let mut criteria = Criteria::default();
        fill(&mut criteria);
        criteria
            .select(&|_| Vec::new())
            .expect_err("a bad value")
            .to_string()
    }

    #[test]
    fn errors_name_the_option_and_the_value() {
        assert_eq!(
            error(|c| c.tag = vec!["ok".into(), "a[".into()]),
            "--tag \"a[\": unclosed character class; missing ']'"
        );
        assert_eq!(
            error(|c| c.event = vec!["7,NOPE".into()]),
            "--event \"NOPE\": no event has this name"
        );
        assert_eq!(
            error(|c| c.host = vec!["192.0.2.0/33".into()]),
            "--host \"192.0.2.0/33\": an IPv4 prefix has at most 32 bits"
        );
        assert_eq!(
            error(|c| c.until = vec!["soon".into()]),
            "--until \"soon\": not RFC 3339 (2024-05-06T07:08:09Z), Unix seconds, or +seconds"
        );
        assert_eq!(
            error(|c| c.since = vec!["+soon".into()]),
            "--since \"+soon\": not a number of seconds"
        );
    }

    #[test]
    fn refuses_sets_that_would_match_half_a_character() {
        assert_eq!(
            error(|c| c.id = vec!["[!]\u{e9}]".into()]),
            "--id \"[!]\u{e9}]\": a set in [] can only hold ASCII; write {x,y} instead"
        );
        for fine in ["\\[\u{e9}]", "[a]\u{e9}", "[]]\u{e9}", "[\\]\u{e9}"] {
            assert_eq!(byte_glob(fine).as_deref(), Ok(fine));
        }
    }

    #[test]
    fn stars_run_together_outside_sets() {
        assert_eq!(byte_glob("a***/**b").as_deref(), Ok("a*/*b"));
        assert_eq!(byte_glob(r"\***[**]").as_deref(), Ok(r"\**[**]"));
    }

    #[test]
    fn refuses_bad_hosts() {
        for text in [
            "",
            "/8",
            "host",
            "192.0.2",
            "192.0.2.1/",
            "192.0.2.1/+8",
            "192.0.2.1/8/8",
            "192.0.2.1/99999999999",
            "::1/129",
            "[::1]",
            "fe80::1%em0",
        ] {
            assert!(text.parse::<Prefix>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn refuses_bad_serials_stacks_and_events() {
        for text in [
            "",
            "..",
            "...",
            "5..1",
            "1...2",
            "+1",
            "-1",
            "1..2..3",
            "a..",
            "4294967296",
        ] {
            assert!(serials(text).is_err(), "{text:?}");
        }
        assert_eq!(
            error(|c| c.stack = vec!["256".into()]),
            "--stack \"256\": stack ids end at 255"
        );
        assert_eq!(
            error(|c| c.stack = vec![String::new()]),
            "--stack \"\": a stack name is missing"
        );
        assert_eq!(
            error(|c| c.event = vec!["1,,2".into()]),
            "--event \"1,,2\": an event name is missing"
        );
        assert_eq!(
            error(|c| c.event = vec!["1,256".into()]),
            "--event \"1,256\": event numbers end at 255"
        );
    }

    proptest! {
        #[test]
        fn never_panics(
            any in "\\PC*",
            glob in "[a\u{e9}*?\\[\\]!^{},/\\\\-]{0,16}",
            host in "[0-9a-f.:/]{0,24}",
            sn in "[0-9.]{0,14}",
            id in proptest::collection::vec(any::<u8>(), 0..24),
        ) {
            for text in [any, glob, host, sn] {
                let _ = text.parse::<Prefix>();
                let _ = serials(&text);
                let criteria = Criteria { id: vec![text], ..Criteria::default() };
                if let Ok(select) = criteria.select(&|_| Vec::new()) {
                    let facts = super::super::MessageFacts { id: &id, ..Default::default() };
                    let _ = select.message(&facts);
                }
            }
        }

        #[test]
        fn a_prefix_holds_what_shares_its_bits(
            addr in any::<u128>(),
            other in any::<u128>(),
            len in 0_u32..=128,
        ) {
            // Random addresses share no long prefix, so half of the cases get one.
            let other = match other % 2 {
                0 => other,
                _ => addr ^ other.checked_shr(len).unwrap_or(0),
            };
            let shared = (addr ^ other).leading_zeros() >= len;
            let prefix: Prefix = format!("{}/{len}", Ipv6Addr::from_bits(addr)).parse().unwrap();
            prop_assert_eq!(prefix.contains(Ipv6Addr::from_bits(other).into()), shared);
        }

        #[test]
        fn an_ipv4_prefix_holds_what_shares_its_bits(
            addr in any::<u32>(),
            flip in any::<u32>(),
            shift in 0_u32..=32,
            len in 0_u32..=32,
        ) {
            let other = addr ^ flip.checked_shr(shift).unwrap_or(0);
            let shared = (addr ^ other).leading_zeros() >= len;
            let (addr, other) = (Ipv4Addr::from_bits(addr), Ipv4Addr::from_bits(other));
            let prefix: Prefix = format!("{addr}/{len}").parse().unwrap();
            prop_assert_eq!(prefix.contains(other.into()), shared);
            prop_assert_eq!(prefix.contains(other.to_ipv6_mapped().into()), shared);
        }

        #[test]
        fn serials_read_back(low in any::<u32>(), high in any::<u32>()) {
            let range = serials(&format!("{low}..{high}"));
            if low <= high {
                prop_assert_eq!(range, Ok(low..=high));
            } else {
                prop_assert!(range.is_err());
            }
            prop_assert_eq!(serials(&low.to_string()), Ok(low..=low));
        }

        #[test]
        fn a_literal_glob_matches_itself(id in "[a-z/. \u{e9}-]{0,16}") {
            let criteria = Criteria { id: vec![id.clone()], ..Criteria::default() };
            let select = criteria.select(&|_| Vec::new()).unwrap();
            let is_match = |id: &[u8]| {
                select.message(&super::super::MessageFacts { id, ..Default::default() })
            };
            prop_assert!(is_match(id.as_bytes()));
            prop_assert!(!is_match(&[id.as_bytes(), b"\xff"].concat()));
        }
    }
}
