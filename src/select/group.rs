//! Which messages belong together, and in which order their groups appeared.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// What makes messages one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Split {
    /// The log ID, which joins connections; without one, the connection.
    #[default]
    LogId,
    /// The connection.
    Connection,
    /// Nothing: each message is alone.
    Message,
}

impl Split {
    pub const ALL: [Split; 3] = [Split::LogId, Split::Connection, Split::Message];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Split::LogId => "log-id",
            Split::Connection => "connection",
            Split::Message => "message",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Split {
    type Err = UnknownSplit;

    fn from_str(name: &str) -> Result<Split, UnknownSplit> {
        Split::ALL
            .into_iter()
            .find(|split| split.name() == name)
            .ok_or_else(|| UnknownSplit(name.into()))
    }
}

/// A name that is none of [`Split::ALL`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a way to split: log-id, connection or message")]
pub struct UnknownSplit(pub String);

/// What tells one connection from another, as far as a message says it.
///
/// A later connection between the same endpoints has the same key: that its
/// serial numbers start over shows in the records, not in the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey {
    pub local: Option<IpAddr>,
    pub foreign: Option<IpAddr>,
    /// In host byte order.
    pub local_port: Option<u16>,
    /// In host byte order.
    pub foreign_port: Option<u16>,
    /// IPv6 zone (scope) of link-local addresses (`ie6_zoneid`), else 0.
    pub zone: u32,
}

/// What the messages of one group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupKey<'a> {
    /// The log ID, as [`log_id`] gives it.
    LogId(&'a [u8]),
    Connection(ConnectionKey),
    /// The running number of the message, from 0.
    Message(usize),
}

/// The log ID of a message, if it has one.
///
/// `id` is `tlh_id` without its NUL padding. The kernel writes "UNKNOWN" for a
/// connection that has none, so that counts as none, as does an empty one.
pub fn log_id(id: &[u8]) -> Option<&[u8]> {
    (!id.is_empty() && id != b"UNKNOWN").then_some(id)
}

/// The group of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// Groups are numbered from 0, without gaps, in order of first appearance.
    pub index: usize,
    /// Whether this message is the first of its group.
    pub is_new: bool,
    pub key: GroupKey<'a>,
}

/// Numbers the groups of an input.
#[derive(Clone, Debug, Default)]
pub struct Grouping {
    split: Split,
    len: usize,
    log_ids: HashMap<Box<[u8]>, usize>,
    connections: HashMap<ConnectionKey, usize>,
}

impl Grouping {
    pub fn new(split: Split) -> Grouping {
        Grouping {
            split,
            ..Grouping::default()
        }
    }

    /// How many groups there are so far.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Finds the group of the next message, or opens a new one.
    ///
    /// `id` is the log ID without its NUL padding, `connection` what is known
    /// of the endpoints. Memory grows with the number of groups; with
    /// [`Split::Message`] not at all.
    pub fn place<'a>(&mut self, id: &'a [u8], connection: &ConnectionKey) -> Group<'a> {
        let key = match (self.split, log_id(id)) {
            (Split::LogId, Some(id)) => GroupKey::LogId(id),
            (Split::LogId, None) | (Split::Connection, _) => GroupKey::Connection(*connection),
            (Split::Message, _) => GroupKey::Message(self.len),
        };
        let next = self.len;
        let index = match key {
            // Not the entry API: it wants an owned ID even for a known one.
            GroupKey::LogId(id) => match self.log_ids.get(id) {
                Some(&index) => index,
                None => *self.log_ids.entry(id.into()).or_insert(next),
            },
            GroupKey::Connection(connection) => *self.connections.entry(connection).or_insert(next),
            GroupKey::Message(number) => number,
        };
        let is_new = index == next;
        self.len += usize::from(is_new);
        Group { index, is_new, key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(foreign_port: u16) -> ConnectionKey {
        ConnectionKey {
            local: "192.0.2.1".parse().ok(),
            foreign: "198.51.100.1".parse().ok(),
            local_port: Some(80),
            foreign_port: Some(foreign_port),
            zone: 0,
        }
    }

    fn indices(split: Split, messages: &[(&[u8], u16)]) -> (Vec<usize>, usize) {
        let mut grouping = Grouping::new(split);
        let mut seen = 0;
        let indices = messages
            .iter()
            .map(|&(id, port)| {
                let group = grouping.place(id, &connection(port));
                assert_eq!(group.is_new, group.index == seen);
                seen += usize::from(group.is_new);
                group.index
            })
            .collect();
        (indices, grouping.len())
    }

    const MESSAGES: &[(&[u8], u16)] = &[
        (b"b", 1),
        (b"UNKNOWN", 1),
        (b"a", 2),
        (b"b", 3),
        (b"", 1),
        (b"UNKNOWN", 2),
        (b"a\xff", 2),
        (b"unknown", 1),
        (b"b", 1),
    ];

    #[test]
    fn by_log_id_else_by_connection() {
        let (indices, len) = indices(Split::LogId, MESSAGES);
        assert_eq!(indices, [0, 1, 2, 0, 1, 3, 4, 5, 0]);
        assert_eq!(len, 6);
    }

    #[test]
    fn by_connection() {
        let (indices, len) = indices(Split::Connection, MESSAGES);
        assert_eq!(indices, [0, 0, 1, 2, 0, 1, 1, 0, 0]);
        assert_eq!(len, 3);
    }

    #[test]
    fn each_message_alone() {
        let (indices, len) = indices(Split::Message, MESSAGES);
        assert_eq!(indices, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(len, 9);
    }

    #[test]
    fn keys_say_what_is_shared() {
        let mut grouping = Grouping::new(Split::LogId);
        assert!(grouping.is_empty());
        let one = connection(1);
        assert_eq!(grouping.place(b"x", &one).key, GroupKey::LogId(b"x"));
        assert_eq!(grouping.place(b"", &one).key, GroupKey::Connection(one));
        let elsewhere = ConnectionKey { zone: 2, ..one };
        assert_eq!(grouping.place(b"", &elsewhere).index, 2);
        let mut grouping = Grouping::new(Split::Message);
        assert_eq!(grouping.place(b"x", &one).key, GroupKey::Message(0));
        assert_eq!(grouping.place(b"x", &one).key, GroupKey::Message(1));
    }

    #[test]
    fn names_read_back() {
        for split in Split::ALL {
            assert_eq!(split.to_string().parse(), Ok(split));
        }
        assert_eq!(
            "id".parse::<Split>().map_err(|e| e.to_string()),
            Err("\"id\" is not a way to split: log-id, connection or message".into())
        );
    }
}
