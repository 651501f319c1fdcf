//! Which records are wanted, and which belong together.
//!
//! [`Criteria`] is what a user typed; [`Criteria::select`] turns it into a
//! [`Select`], which answers two questions: is this message of interest
//! ([`Select::message`], asked once per message), and is this record
//! ([`Select::record`], asked for every record, so it allocates nothing).
//! Repeated criteria of one kind are alternatives; different kinds must all
//! hold.
//!
//! [`Grouping`] sorts messages by log ID, by connection or one by one.
//!
//! Nothing here knows how a record lies in memory: the caller hands over plain
//! values as [`MessageFacts`] and [`RecordFacts`], so one selection serves
//! streams, pcapng files and carved memory alike.

mod criteria;
mod group;
mod pick;
mod time;

use std::ffi::OsStr;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;

use globset::GlobMatcher;

pub use criteria::{Criteria, CriteriaError};
pub use group::{ConnectionKey, Group, GroupKey, Grouping, Split, UnknownSplit, log_id};

pub use pick::{Picked, Picker, Span};
use time::TimeBound;

/// What a message says about all of its records.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageFacts<'a> {
    /// Log ID without its NUL padding; need not be UTF-8.
    pub id: &'a [u8],
    /// Tag without its NUL padding; need not be UTF-8.
    pub tag: &'a [u8],
    /// Reason of the dump without its NUL padding; need not be UTF-8.
    pub reason: &'a [u8],
    pub local_addr: Option<IpAddr>,
    pub foreign_addr: Option<IpAddr>,
    /// In host byte order.
    pub local_port: Option<u16>,
    /// In host byte order.
    pub foreign_port: Option<u16>,
}

/// What a selection needs to know of one record.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordFacts<'a> {
    /// Serial number (`tlb_sn`).
    pub sn: u32,
    /// Event (`tlb_eventid`).
    pub event: u8,
    /// TCP stack (`tlb_stackid`).
    pub stack_id: u8,
    /// Name of that stack, where known.
    pub stack_name: Option<&'a str>,
    /// Wall clock in microseconds since the Unix epoch; `None` where the input
    /// has no wall clock (bare buffers).
    pub time_us: Option<i64>,
    /// Time since boot in microseconds (`tlb_tv`).
    pub uptime_us: i64,
}

/// A selection of messages and records; the default selects everything.
#[derive(Clone, Debug, Default)]
pub struct Select {
    ids: Vec<GlobMatcher>,
    tags: Vec<GlobMatcher>,
    reasons: Vec<GlobMatcher>,
    hosts: Vec<Prefix>,
    ports: Vec<u16>,
    events: Option<EventSet>,
    stacks: Vec<Stack>,
    serials: Vec<RangeInclusive<u32>>,
    since: Option<Edge>,
    until: Option<Edge>,
    origin: Option<Origin>,
}

impl Select {
    /// Whether nothing is left out, so that input may be passed on unread.
    pub fn is_everything(&self) -> bool {
        !self.needs_messages() && !self.needs_records()
    }

    /// Whether [`Select::message`] can say no.
    pub fn needs_messages(&self) -> bool {
        !(self.ids.is_empty()
            && self.tags.is_empty()
            && self.reasons.is_empty()
            && self.hosts.is_empty()
            && self.ports.is_empty())
    }

    /// Whether [`Select::record`] can say no, so that messages have to be
    /// opened.
    pub fn needs_records(&self) -> bool {
        self.events.is_some()
            || !self.stacks.is_empty()
            || !self.serials.is_empty()
            || self.since.is_some()
            || self.until.is_some()
    }

    /// Whether a `+seconds` bound still waits for [`Select::set_origin`].
    pub fn needs_origin(&self) -> bool {
        let relative = |edge: Option<Edge>| edge.is_some_and(|e| e.elapsed_us.is_some());
        self.origin.is_none() && (relative(self.since) || relative(self.until))
    }

    /// Sets the instant that `+seconds` bounds count from: the first record of
    /// the input, whether or not the selection wants that record.
    ///
    /// Both clocks are in microseconds: `time_us` since the Unix epoch (`None`
    /// where the input has no wall clock), `uptime_us` since boot. Distances
    /// are taken on the wall clock if both records have one, as uptimes of
    /// different machines say nothing about each other; otherwise on uptime.
    ///
    /// Only the first call counts. Until it, records fail every `+seconds`
    /// bound.
    pub fn set_origin(&mut self, time_us: Option<i64>, uptime_us: i64) {
        self.origin.get_or_insert(Origin { time_us, uptime_us });
    }

    /// Whether the message is of interest. Its records still have to pass
    /// [`Select::record`].
    ///
    /// A message whose address or port is unknown fails `--host` or `--port`.
    /// The two match either end each, not necessarily the same one.
    pub fn message(&self, facts: &MessageFacts<'_>) -> bool {
        any_glob(&self.ids, facts.id)
            && any_glob(&self.tags, facts.tag)
            && any_glob(&self.reasons, facts.reason)
            && any_end(&self.hosts, facts.local_addr, facts.foreign_addr, |p, a| {
                p.contains(a)
            })
            && any_end(&self.ports, facts.local_port, facts.foreign_port, |p, a| {
                *p == a
            })
    }

    /// Whether the record, of a message that is of interest, is wanted.
    ///
    /// A record without a wall clock fails every absolute `--since` and
    /// `--until`.
    pub fn record(&self, facts: &RecordFacts<'_>) -> bool {
        self.events.is_none_or(|set| set.contains(facts.event))
            && (self.stacks.is_empty() || self.stacks.iter().any(|s| s.matches(facts)))
            && (self.serials.is_empty() || self.serials.iter().any(|r| r.contains(&facts.sn)))
            && self.is_in_time(facts)
    }

    fn is_in_time(&self, facts: &RecordFacts<'_>) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let elapsed_us = self.origin.and_then(|o| o.elapsed_us(facts));
        self.since
            .is_none_or(|e| e.holds(facts.time_us, elapsed_us, |at, bound| at >= bound))
            && self
                .until
                .is_none_or(|e| e.holds(facts.time_us, elapsed_us, |at, bound| at <= bound))
    }
}

fn any_glob(globs: &[GlobMatcher], bytes: &[u8]) -> bool {
    // A path is the only door into globset that takes bytes as they are.
    globs.is_empty() || globs.iter().any(|g| g.is_match(OsStr::from_bytes(bytes)))
}

fn any_end<T, V: Copy>(
    wanted: &[T],
    local: Option<V>,
    foreign: Option<V>,
    matches: impl Fn(&T, V) -> bool,
) -> bool {
    wanted.is_empty()
        || wanted
            .iter()
            .any(|w| local.is_some_and(|v| matches(w, v)) || foreign.is_some_and(|v| matches(w, v)))
}

/// An address prefix of one family.
///
/// A prefix within `::ffff:0:0/96` is held as the IPv4 prefix that it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prefix {
    V4 { bits: u32, mask: u32 },
    V6 { bits: u128, mask: u128 },
}

impl Prefix {
    fn contains(&self, addr: IpAddr) -> bool {
        match (*self, addr) {
            (Prefix::V4 { bits, mask }, IpAddr::V4(a)) => a.to_bits() & mask == bits,
            // A dual-stack socket logs its IPv4 peers as mapped addresses.
            (Prefix::V4 { bits, mask }, IpAddr::V6(a)) => a
                .to_ipv4_mapped()
                .is_some_and(|a| a.to_bits() & mask == bits),
            (Prefix::V6 { bits, mask }, IpAddr::V6(a)) => a.to_bits() & mask == bits,
            (Prefix::V6 { .. }, IpAddr::V4(_)) => false,
        }
    }
}

/// One bit for each event number, so that a lookup costs the same however many
/// are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct EventSet([u128; 2]);

impl EventSet {
    fn insert(&mut self, event: u8) {
        let [low, high] = &mut self.0;
        let word = if event < 128 { low } else { high };
        *word |= 1 << (event & 127);
    }

    fn contains(self, event: u8) -> bool {
        let [low, high] = self.0;
        let word = if event < 128 { low } else { high };
        word >> (event & 127) & 1 != 0
    }
}

/// A TCP stack as a user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stack {
    name: Box<str>,
    /// The stack id, if the name reads as a number.
    id: Option<u8>,
}

impl Stack {
    fn matches(&self, facts: &RecordFacts<'_>) -> bool {
        self.id == Some(facts.stack_id)
            || facts
                .stack_name
                .is_some_and(|name| name.eq_ignore_ascii_case(&self.name))
    }
}

/// The alternatives of one end of the wanted time, in microseconds.
///
/// Of several bounds of one form only the most generous matters, so one value
/// for each form is enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Edge {
    /// Since the Unix epoch.
    time_us: Option<i64>,
    /// Since the first record of the input.
    elapsed_us: Option<i64>,
}

impl Edge {
    /// `more_generous` is `min` for the early end and `max` for the late one.
    fn add(&mut self, bound: TimeBound, more_generous: fn(i64, i64) -> i64) {
        let (slot, us) = match bound {
            TimeBound::Absolute(us) => (&mut self.time_us, us),
            TimeBound::FromFirst(us) => (&mut self.elapsed_us, us),
        };
        *slot = Some(slot.map_or(us, |old| more_generous(old, us)));
    }

    fn holds(
        self,
        time_us: Option<i64>,
        elapsed_us: Option<i64>,
        within: impl Fn(i64, i64) -> bool,
    ) -> bool {
        let met = |at: Option<i64>, bound: Option<i64>| match (at, bound) {
            (Some(at), Some(bound)) => within(at, bound),
            _ => false,
        };
        met(time_us, self.time_us) || met(elapsed_us, self.elapsed_us)
    }
}

/// The first record of the input, on both clocks.
#[derive(Clone, Copy, Debug)]
struct Origin {
    time_us: Option<i64>,
    uptime_us: i64,
}

impl Origin {
    fn elapsed_us(self, facts: &RecordFacts<'_>) -> Option<i64> {
        match (facts.time_us, self.time_us) {
            (Some(at), Some(origin)) => at.checked_sub(origin),
            _ => facts.uptime_us.checked_sub(self.uptime_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(name: &str) -> Vec<u8> {
        match name {
            "TCP_LOG_IN" => vec![1],
            "MOVED" => vec![60, 203],
            _ => Vec::new(),
        }
    }

    fn select(fill: impl FnOnce(&mut Criteria)) -> Select {
        let mut criteria = Criteria::default();
        fill(&mut criteria);
        criteria.select(&events).expect("valid criteria")
    }

    fn id(select: &Select, id: &[u8]) -> bool {
        select.message(&MessageFacts {
            id,
            ..MessageFacts::default()
        })
    }

    fn ids(pattern: &str) -> Select {
        select(|c| c.id = vec![pattern.into()])
    }

    fn host(pattern: &str, addr: &str) -> bool {
        select(|c| c.host = vec![pattern.into()]).message(&MessageFacts {
            foreign_addr: Some(addr.parse().expect("address")),
            ..MessageFacts::default()
        })
    }

    #[test]
    fn nothing_asked_is_everything() {
        let s = select(|_| ());
        assert!(s.is_everything() && !s.needs_records() && !s.needs_origin());
        assert!(s.message(&MessageFacts::default()));
        assert!(s.record(&RecordFacts::default()));
    }

    #[test]
    fn knows_which_level_it_needs() {
        let s = select(|c| c.port = vec![80]);
        assert!(!s.is_everything() && s.needs_messages() && !s.needs_records());
        let s = select(|c| c.sn = vec!["1".into()]);
        assert!(!s.is_everything() && !s.needs_messages() && s.needs_records());
    }

    #[test]
    fn star_crosses_slashes() {
        assert!(id(&ids("edge/*"), b"edge/a/b"));
        assert!(id(&ids("*b"), b"edge/a/b"));
        assert!(id(&ids("edge?a"), b"edge/a"));
        assert!(id(&ids("*"), b""));
        assert!(id(&ids("*"), b"/"));
        assert!(!id(&ids("edge"), b"edge/a"));
        assert!(!id(&ids("a"), b"edge/a"));
        assert!(!id(&ids("edge"), b"edge/"));
    }

    #[test]
    fn two_stars_are_one() {
        assert!(id(&ids("**"), b"edge/a"));
        assert!(id(&ids("**/a"), b"edge-1/a"));
        assert!(id(&ids("x**/a"), b"xy/a"));
        assert!(!id(&ids("**/a"), b"a"));
        assert!(!id(&ids("edge/**/a"), b"edge/a"));
        assert!(id(&ids(r"\**"), b"*/a"));
        assert!(!id(&ids(r"\**"), b"a"));
    }

    #[test]
    fn globs_take_bytes_that_are_not_text() {
        assert!(id(&ids("a*z"), b"a\xff\xfe\nz"));
        assert!(id(&ids("a?z"), b"a\xffz"));
        assert!(id(&ids("a?z"), b"a\nz"));
        assert!(!id(&ids("a?z"), b"a\xff\xfez"));
        assert!(id(&ids("caf\u{e9}*"), "caf\u{e9}/1".as_bytes()));
        // One `?` is one byte.
        assert!(id(&ids("caf??"), "caf\u{e9}".as_bytes()));
        assert!(id(&ids("a[!b]z"), b"a\xffz"));
    }

    #[test]
    fn globs_are_case_sensitive_and_know_sets() {
        assert!(!id(&ids("Edge"), b"edge"));
        assert!(id(&ids("{web,db}-[0-9]"), b"db-7"));
        assert!(!id(&ids("{web,db}-[0-9]"), b"db-x"));
        assert!(id(&ids(r"a\*"), b"a*"));
        assert!(!id(&ids(r"a\*"), b"ab"));
        assert!(id(&ids(""), b"") && !id(&ids(""), b"a"));
    }

    #[test]
    fn same_kind_is_or_other_kind_is_and() {
        let s = select(|c| {
            c.id = vec!["a".into(), "b".into()];
            c.tag = vec!["t*".into()];
            c.reason = vec!["*drain".into()];
        });
        let facts = MessageFacts {
            id: b"b",
            tag: b"tag",
            reason: b"auto-dumped from head at drain",
            ..MessageFacts::default()
        };
        assert!(s.message(&facts));
        assert!(!s.message(&MessageFacts { id: b"c", ..facts }));
        assert!(!s.message(&MessageFacts { tag: b"x", ..facts }));
        assert!(!s.message(&MessageFacts {
            reason: b"error",
            ..facts
        }));
    }

    #[test]
    fn hosts_match_by_prefix() {
        assert!(host("192.0.2.1", "192.0.2.1"));
        assert!(!host("192.0.2.1", "192.0.2.2"));
        assert!(host("192.0.2.200/25", "192.0.2.128"));
        assert!(!host("192.0.2.200/25", "192.0.2.127"));
        assert!(host("0.0.0.0/0", "203.0.113.9"));
        assert!(!host("0.0.0.0/0", "2001:db8::1"));
        assert!(host("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!host("2001:db8::/32", "2001:db9::1"));
        assert!(host("::/0", "fe80::1"));
        assert!(!host("::/0", "192.0.2.1"));
    }

    #[test]
    fn mapped_addresses_are_their_ipv4_selves() {
        assert!(host("192.0.2.0/24", "::ffff:192.0.2.1"));
        assert!(host("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(host("::ffff:192.0.2.0/120", "192.0.2.9"));
        assert!(host("::ffff:192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!host("::ffff:192.0.2.0/120", "192.0.3.9"));
        assert!(host("::/0", "::ffff:192.0.2.1"));
    }

    #[test]
    fn either_end_will_do() {
        let s = select(|c| {
            c.host = vec!["192.0.2.1".into()];
            c.port = vec![443, 80];
        });
        let facts = MessageFacts {
            local_addr: "192.0.2.1".parse().ok(),
            foreign_addr: "198.51.100.1".parse().ok(),
            local_port: Some(50_000),
            foreign_port: Some(80),
            ..MessageFacts::default()
        };
        assert!(s.message(&facts));
        assert!(!s.message(&MessageFacts {
            foreign_port: None,
            ..facts
        }));
        assert!(!s.message(&MessageFacts {
            local_addr: None,
            ..facts
        }));
    }

    #[test]
    fn events_by_name_and_number() {
        let s = select(|c| c.event = vec!["MOVED,1".into(), "255".into()]);
        let wanted: Vec<u8> = (0..=255)
            .filter(|&event| {
                s.record(&RecordFacts {
                    event,
                    ..RecordFacts::default()
                })
            })
            .collect();
        assert_eq!(wanted, [1, 60, 203, 255]);
    }

    #[test]
    fn stacks_by_name_and_number() {
        let s = select(|c| c.stack = vec!["RACK".into(), "7".into()]);
        let stack = |stack_id, stack_name| {
            s.record(&RecordFacts {
                stack_id,
                stack_name,
                ..RecordFacts::default()
            })
        };
        assert!(stack(2, Some("rack")));
        assert!(stack(7, None));
        assert!(stack(7, Some("bbr")));
        assert!(!stack(2, Some("rack_1")));
        assert!(!stack(2, None));
    }

    #[test]
    fn serial_ranges_hold_both_ends() {
        let s = select(|c| c.sn = vec!["..2".into(), "5".into(), "8..9".into()]);
        let wanted: Vec<u32> = (0..12)
            .filter(|&sn| {
                s.record(&RecordFacts {
                    sn,
                    ..RecordFacts::default()
                })
            })
            .collect();
        assert_eq!(wanted, [0, 1, 2, 5, 8, 9]);
        let open = select(|c| c.sn = vec!["4294967295..".into()]);
        assert!(open.record(&RecordFacts {
            sn: u32::MAX,
            ..RecordFacts::default()
        }));
    }

    fn at(s: &Select, time_us: Option<i64>, uptime_us: i64) -> bool {
        s.record(&RecordFacts {
            time_us,
            uptime_us,
            ..RecordFacts::default()
        })
    }

    #[test]
    fn absolute_bounds_are_inclusive_and_need_a_wall_clock() {
        let s = select(|c| {
            c.since = vec!["10".into()];
            c.until = vec!["1970-01-01T00:00:20Z".into()];
        });
        assert!(!s.needs_origin());
        assert!(!at(&s, Some(9_999_999), 15_000_000));
        assert!(at(&s, Some(10_000_000), 0));
        assert!(at(&s, Some(20_000_000), 0));
        assert!(!at(&s, Some(20_000_001), 0));
        assert!(!at(&s, None, 15_000_000));
    }

    #[test]
    fn relative_bounds_count_from_the_first_record() {
        let mut s = select(|c| {
            c.since = vec!["+1".into()];
            c.until = vec!["+2.5".into()];
        });
        assert!(s.needs_origin());
        assert!(!at(&s, Some(1_000_000), 1_000_000));
        s.set_origin(Some(100_000_000), 7_000_000);
        s.set_origin(Some(0), 0);
        assert!(!s.needs_origin());
        assert!(!at(&s, Some(100_999_999), 8_500_000));
        assert!(at(&s, Some(101_000_000), 0));
        assert!(at(&s, Some(102_500_000), 0));
        assert!(!at(&s, Some(102_500_001), 8_500_000));
        // Without a wall clock, uptime counts.
        assert!(at(&s, None, 8_000_000));
        assert!(at(&s, None, 9_500_000));
        assert!(!at(&s, None, 9_500_001));
    }

    #[test]
    fn an_origin_without_wall_clock_leaves_uptime() {
        let mut s = select(|c| c.until = vec!["+1".into()]);
        s.set_origin(None, 50);
        assert!(at(&s, None, 1_000_050));
        assert!(at(&s, Some(i64::MAX), 1_000_050));
        assert!(!at(&s, None, 1_000_051));
        // A distance beyond the numbers is met by no bound.
        assert!(!at(&s, None, i64::MIN));
    }

    #[test]
    fn repeated_bounds_are_alternatives() {
        let mut s = select(|c| c.since = vec!["20".into(), "+5".into(), "30".into(), "+7".into()]);
        s.set_origin(Some(0), 0);
        assert!(at(&s, Some(5_000_000), 0));
        assert!(!at(&s, Some(4_999_999), 0));
        let s = select(|c| c.until = vec!["20".into(), "30".into()]);
        assert!(at(&s, Some(30_000_000), 0));
        assert!(!at(&s, Some(30_000_001), 0));
    }
}
