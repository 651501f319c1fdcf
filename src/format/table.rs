//! Names of numbers: events, flag bits and codes, each by release.
//!
//! A number can have had several names. Each entry of a table says for which
//! releases it holds; entries without `since` and `until` hold for all.

use super::release::{Release, ReleaseRange};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::fmt;

/// The event number of a record (`tlb_eventid`), known to this build or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub u8);

/// Numbers that this crate treats specially, under their newest names.
impl EventId {
    pub const IN: EventId = EventId(1);
    pub const OUT: EventId = EventId(2);
    /// A timer of the base stack; those of RACK and BBR are [`EventId::STACK_RTO`].
    pub const RTO: EventId = EventId(3);
    pub const SB_WAKE: EventId = EventId(4);
    pub const BBRSND: EventId = EventId(10);
    pub const TIMERSTAR: EventId = EventId(13);
    pub const TIMERCANC: EventId = EventId(14);
    pub const ENTREC: EventId = EventId(15);
    pub const EXITREC: EventId = EventId(16);
    pub const JUSTRET: EventId = EventId(21);
    pub const PERSIST: EventId = EventId(24);
    pub const FLOWEND: EventId = EventId(25);
    /// `BBR_LOG_RTO`, whose short name is also RTO.
    pub const STACK_RTO: EventId = EventId(26);
    pub const DOSEG_DONE: EventId = EventId(27);
    pub const USERSEND: EventId = EventId(31);
    pub const SOCKET_OPT: EventId = EventId(40);
    pub const ENOBUF_JMP: EventId = EventId(42);
    pub const HPTSI_CALC: EventId = EventId(43);
    pub const RTT: EventId = EventId(47);
    pub const REASS: EventId = EventId(50);
    pub const CONNEND: EventId = EventId(54);
    pub const SENDFILE: EventId = EventId(60);
    pub const REQ_T: EventId = EventId(61);
    pub const ACCOUNTING: EventId = EventId(62);
    pub const PRU: EventId = EventId(70);
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What one event number means in a range of releases.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Event {
    pub id: u8,
    /// Short name: the constant without its prefix, `TIMERSTAR`.
    pub name: String,
    /// The kernel's constant, `BBR_LOG_TIMERSTAR`.
    pub constant: String,
    /// What happened, as a phrase: `timer or pacer started`.
    pub says: String,
    #[serde(default, deserialize_with = "release")]
    pub since: Option<Release>,
    #[serde(default, deserialize_with = "release")]
    pub until: Option<Release>,
    /// The structure by which the stack specific bytes are cut.
    #[serde(default = "default_view")]
    pub view: String,
}

/// The view by which most events cut the stack specific bytes.
pub const DEFAULT_VIEW: &str = "tcp_log_bbr";

fn default_view() -> String {
    DEFAULT_VIEW.to_owned()
}

/// One flag, or a group of bits that is set as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bit {
    pub mask: u64,
    pub name: String,
    #[serde(default, deserialize_with = "release")]
    pub since: Option<Release>,
    #[serde(default, deserialize_with = "release")]
    pub until: Option<Release>,
}

/// One value of an enumeration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    pub value: i64,
    pub name: String,
    #[serde(default, deserialize_with = "release")]
    pub since: Option<Release>,
    #[serde(default, deserialize_with = "release")]
    pub until: Option<Release>,
}

macro_rules! range {
    ($($type:ident),*) => { $(
        impl $type {
            /// The releases for which this entry holds.
            pub fn range(&self) -> ReleaseRange {
                ReleaseRange { since: self.since, until: self.until }
            }
        }
    )* };
}

range!(Event, Bit, Code);

/// Names of the bits of one field.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct BitTable {
    pub name: String,
    #[serde(default)]
    pub doc: String,
    pub bit: Vec<Bit>,
}

/// Names of the values of one field, sorted by value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct CodeTable {
    pub name: String,
    #[serde(default)]
    pub doc: String,
    code: Vec<Code>,
}

pub(super) fn release<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Release>, D::Error> {
    let name = String::deserialize(from)?;
    match Release::from_name(&name) {
        Some(release) => Ok(Some(release)),
        None => {
            let known = Release::ALL.map(Release::name).join(", ");
            let unknown = format!("unknown release {name:?}; known are {known}");
            Err(D::Error::custom(unknown))
        }
    }
}

/// An entry whose range is empty would never be found: a mistake in the file.
fn check_range<E: serde::de::Error>(name: &str, range: ReleaseRange) -> Result<(), E> {
    match (range.since, range.until) {
        (Some(since), Some(until)) if since > until => Err(E::custom(format!(
            "{name}: since {since} is later than until {until}"
        ))),
        _ => Ok(()),
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Event, D::Error> {
        let event = Event::deserialize(from)?;
        check_range(&event.name, event.range())?;
        Ok(event)
    }
}

impl<'de> Deserialize<'de> for BitTable {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<BitTable, D::Error> {
        let table = BitTable::deserialize(from)?;
        for bit in &table.bit {
            check_range(&bit.name, bit.range())?;
            if bit.mask == 0 {
                return Err(D::Error::custom(format!("{}: mask is zero", bit.name)));
            }
        }
        Ok(table)
    }
}

impl<'de> Deserialize<'de> for CodeTable {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<CodeTable, D::Error> {
        let mut table = CodeTable::deserialize(from)?;
        for code in &table.code {
            check_range(&code.name, code.range())?;
        }
        table.code.sort_by_key(|code| (code.value, code.since));
        Ok(table)
    }
}

/// All events, by number and release.
#[derive(Clone, Debug)]
pub struct Events {
    /// Sorted by number, then by first release.
    entries: Vec<Event>,
    /// For each number and release, a place in `entries`.
    index: Box<[[u32; Release::ALL.len()]; 256]>,
}

/// In [`Events::index`]: nothing is known of this number.
const NONE: u32 = u32::MAX;

impl Default for Events {
    fn default() -> Events {
        Events {
            entries: Vec::new(),
            index: Box::new([[NONE; Release::ALL.len()]; 256]),
        }
    }
}

impl Events {
    /// Adds entries; those of a number replace all older ones of that number.
    pub fn extend(&mut self, new: Vec<Event>) {
        let mut replaced = [false; 256];
        for event in &new {
            replaced[usize::from(event.id)] = true;
        }
        self.entries.retain(|old| !replaced[usize::from(old.id)]);
        self.entries.extend(new);
        self.entries.sort_by_key(|event| (event.id, event.since));
        self.reindex();
    }

    fn reindex(&mut self) {
        let mut base = 0;
        for group in self.entries.chunk_by(|a, b| a.id == b.id) {
            // The release is often only assumed, so a number that is too new
            // for it is better shown under its newest name than under none.
            let newest = (0..group.len()).max_by_key(|&at| {
                let range = group[at].range();
                (range.until.unwrap_or(Release::Main), range.since)
            });
            let row = &mut self.index[usize::from(group[0].id)];
            for release in Release::ALL {
                let holds = group.iter().rposition(|e| e.range().contains(release));
                let at = holds.or(newest).map(|at| base + at);
                row[release as usize] = at.and_then(|at| at.try_into().ok()).unwrap_or(NONE);
            }
            base += group.len();
        }
    }

    /// What event `id` means in `release`; where no entry holds for that
    /// release, the newest entry of that number. Where several hold, the one
    /// that begins latest.
    #[inline]
    pub fn get(&self, id: EventId, release: Release) -> Option<&Event> {
        let at = self.index[usize::from(id.0)][release as usize];
        self.entries.get(at as usize)
    }

    /// The short name of event `id` in `release`, or its number.
    pub fn name(&self, id: EventId, release: Release) -> EventName<'_> {
        EventName {
            id,
            name: self.get(id, release).map(|event| event.name.as_str()),
        }
    }

    /// All numbers that any release called by this name or constant (in any
    /// case), or the number itself if `text` is one, known or not.
    ///
    /// More than one number can answer: `RTO` is a timer of the base stack (3)
    /// and one of RACK or BBR (26).
    pub fn find(&self, text: &str) -> Vec<EventId> {
        if let Ok(number) = text.parse() {
            return vec![EventId(number)];
        }
        let mut found: Vec<EventId> = self
            .entries
            .iter()
            .filter(|event| {
                event.name.eq_ignore_ascii_case(text) || event.constant.eq_ignore_ascii_case(text)
            })
            .map(|event| EventId(event.id))
            .collect();
        found.dedup();
        found
    }

    /// All entries, by number, then by first release.
    pub fn iter(&self) -> std::slice::Iter<'_, Event> {
        self.entries.iter()
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a Event;
    type IntoIter = std::slice::Iter<'a, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Shows as the name of an event, or as its bare number where it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventName<'a> {
    id: EventId,
    name: Option<&'a str>,
}

impl<'a> EventName<'a> {
    /// `None` for an unknown number.
    pub fn as_str(self) -> Option<&'a str> {
        self.name
    }
}

impl fmt::Display for EventName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => f.pad(name),
            None => self.id.fmt(f),
        }
    }
}

impl BitTable {
    /// The named bits of `value` that are set, in the table's order.
    pub fn set(&self, value: u64, release: Release) -> impl Iterator<Item = &Bit> {
        self.bit
            .iter()
            .filter(move |bit| value & bit.mask == bit.mask && bit.range().contains(release))
    }

    /// Writes the names of the set bits, joined by `|`; bits that have no name
    /// in `release` come last, together, in hexadecimal. Zero writes nothing.
    pub fn write<W>(&self, value: u64, release: Release, out: &mut W) -> fmt::Result
    where
        W: fmt::Write + ?Sized,
    {
        let mut rest = value;
        let mut first = true;
        for bit in self.set(value, release) {
            if !std::mem::take(&mut first) {
                out.write_char('|')?;
            }
            out.write_str(&bit.name)?;
            rest &= !bit.mask;
        }
        if rest != 0 {
            if !first {
                out.write_char('|')?;
            }
            write!(out, "{rest:#x}")?;
        }
        Ok(())
    }

    /// As [`BitTable::write`], for use as an argument of `write!`.
    pub fn names(&self, value: u64, release: Release) -> BitNames<'_> {
        BitNames {
            table: self,
            value,
            release,
        }
    }
}

/// Shows as the names of the set bits of a value.
#[derive(Clone, Copy, Debug)]
pub struct BitNames<'a> {
    table: &'a BitTable,
    value: u64,
    release: Release,
}

impl fmt::Display for BitNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.write(self.value, self.release, f)
    }
}

impl CodeTable {
    /// The name of `value`; `None` where `release` has none.
    pub fn get(&self, value: i64, release: Release) -> Option<&str> {
        let start = self.code.partition_point(|code| code.value < value);
        self.code
            .get(start..)?
            .iter()
            .take_while(|code| code.value == value)
            .find(|code| code.range().contains(release))
            .map(|code| code.name.as_str())
    }

    /// All entries, by value, then by first release.
    pub fn iter(&self) -> std::slice::Iter<'_, Code> {
        self.code.iter()
    }
}

impl<'a> IntoIterator for &'a CodeTable {
    type Item = &'a Code;
    type IntoIter = std::slice::Iter<'a, Code>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Words of constants that stay as they are.
const ACRONYMS: [&str; 19] = [
    "2MSL", "ACK", "ACKS", "BBR", "ENOBUFS", "FIN", "HW", "MSS", "PRR", "RACK", "RST", "RTO",
    "RTT", "SACK", "SACKS", "SYN", "TLP", "TLS", "TSO",
];

/// Appends the name of a constant as words: `cwnd limited` for `CWND_LIMITED`,
/// `TLP retransmission` for `TLP_RETRANSMISSION`.
pub fn in_words(out: &mut Vec<u8>, name: &str) {
    for (at, word) in name.split('_').enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        if ACRONYMS.contains(&word) {
            out.extend_from_slice(word.as_bytes());
        } else {
            out.extend(word.bytes().map(|b| b.to_ascii_lowercase()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Events {
        #[derive(Deserialize)]
        struct File {
            event: Vec<Event>,
        }
        let mut events = Events::default();
        events.extend(toml::from_str::<File>(text).expect(text).event);
        events
    }

    #[test]
    fn names_follow_the_release_and_fall_back_to_the_newest() {
        let events = events(
            r#"event = [
                { id = 4, name = "NEW", constant = "C_NEW", says = "s", since = "14" },
                { id = 4, name = "OLD", constant = "C_OLD", says = "s", until = "13.0" },
            ]"#,
        );
        let name = |release| events.name(EventId(4), release).to_string();
        assert_eq!(name(Release::R12_0), "OLD");
        assert_eq!(name(Release::R13_0), "OLD");
        assert_eq!(name(Release::R13), "NEW");
        assert_eq!(name(Release::Main), "NEW");
        assert_eq!(events.name(EventId(5), Release::Main).to_string(), "5");
        assert_eq!(events.find("old"), [EventId(4)]);
        assert_eq!(events.find("c_new"), [EventId(4)]);
        assert_eq!(events.find("200"), [EventId(200)]);
        assert_eq!(events.find("256"), []);
        assert_eq!(
            format!("[{:>4}]", events.name(EventId(4), Release::Main)),
            "[ NEW]"
        );
        assert_eq!(
            format!("[{:>4}]", events.name(EventId(5), Release::Main)),
            "[   5]"
        );
    }

    #[test]
    fn new_entries_of_a_number_replace_all_old_ones() {
        let mut events = events(
            r#"event = [
                { id = 4, name = "A", constant = "C_A", says = "s", until = "13" },
                { id = 4, name = "B", constant = "C_B", says = "s", since = "14" },
                { id = 5, name = "C", constant = "C_C", says = "s" },
            ]"#,
        );
        let mut new = events.get(EventId(4), Release::Main).cloned().unwrap();
        new.name = "D".to_owned();
        events.extend(vec![new]);
        assert_eq!(events.find("A"), []);
        assert_eq!(events.name(EventId(4), Release::R12_0).as_str(), Some("D"));
        assert_eq!(events.name(EventId(5), Release::Main).as_str(), Some("C"));
        assert_eq!(events.iter().count(), 2);
    }

    #[test]
    fn bits_without_a_name_are_kept_as_hexadecimal() {
        let table: BitTable = toml::from_str(
            r#"
            name = "t"
            bit = [
                { mask = 0x1, name = "ONE" },
                { mask = 0x2, name = "TWO", since = "14" },
                { mask = 0xc, name = "BOTH" },
            ]"#,
        )
        .unwrap();
        let names = |value, release| table.names(value, release).to_string();
        assert_eq!(names(0, Release::Main), "");
        assert_eq!(names(3, Release::Main), "ONE|TWO");
        assert_eq!(names(3, Release::R13), "ONE|0x2");
        assert_eq!(names(0x8000_0005, Release::Main), "ONE|0x80000004");
        assert_eq!(names(0xd, Release::Main), "ONE|BOTH");
        assert_eq!(names(1 << 63, Release::Main), "0x8000000000000000");
    }

    #[test]
    fn codes_are_found_in_any_order_of_the_file() {
        let table: CodeTable = toml::from_str(
            r#"
            name = "t"
            code = [
                { value = 9, name = "NINE" },
                { value = -2, name = "NEW", since = "14" },
                { value = -2, name = "OLD", until = "13.0" },
            ]"#,
        )
        .unwrap();
        assert_eq!(table.get(9, Release::R12), Some("NINE"));
        assert_eq!(table.get(-2, Release::R12), Some("OLD"));
        assert_eq!(table.get(-2, Release::R13), None);
        assert_eq!(table.get(-2, Release::Main), Some("NEW"));
        assert_eq!(table.get(0, Release::Main), None);
        assert_eq!(table.get(i64::MAX, Release::Main), None);
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = [
            (r#"{ value = 1, name = "A", since = "13.1" }"#, "\"13.1\""),
            (
                r#"{ value = 1, name = "A", since = "14", until = "13" }"#,
                "since 14 is later than until 13",
            ),
            (r#"{ value = 1, name = "A", sinec = "14" }"#, "sinec"),
        ];
        for (code, says) in wrong {
            let text = format!("name = \"t\"\ncode = [{code}]");
            let error = toml::from_str::<CodeTable>(&text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let zero = "name = \"t\"\nbit = [{ mask = 0, name = \"A\" }]";
        assert!(toml::from_str::<BitTable>(zero).is_err());
    }

    #[test]
    fn constants_as_words() {
        for (name, expected) in [
            ("CWND_LIMITED", "cwnd limited"),
            ("TLP_RETRANSMISSION", "TLP retransmission"),
            ("2MSL", "2MSL"),
        ] {
            let mut out = Vec::new();
            in_words(&mut out, name);
            assert_eq!(String::from_utf8(out).expect("ASCII"), expected);
        }
    }
}
