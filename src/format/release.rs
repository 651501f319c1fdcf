//! FreeBSD releases, as far as they change what a record means.

use std::fmt;

/// A release range within which numbers and meanings are the same.
///
/// The record carries only `TCP_LOG_BUF_VER`; which release wrote a version 9
/// record has to be told (`--release`) or assumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Release {
    /// 12.0 (record version 6).
    R12_0,
    /// 12-STABLE (record version 6).
    R12,
    /// 13.0 (record version 9).
    R13_0,
    /// 13.1 to 13-STABLE.
    R13,
    /// 14.
    R14,
    /// 15.
    R15,
    /// What came after.
    Main,
}

impl Release {
    pub const ALL: [Release; 7] = [
        Release::R12_0,
        Release::R12,
        Release::R13_0,
        Release::R13,
        Release::R14,
        Release::R15,
        Release::Main,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Release::R12_0 => "12.0",
            Release::R12 => "12",
            Release::R13_0 => "13.0",
            Release::R13 => "13",
            Release::R14 => "14",
            Release::R15 => "15",
            Release::Main => "main",
        }
    }

    pub fn from_name(name: &str) -> Option<Release> {
        Release::ALL.into_iter().find(|r| r.name() == name)
    }

    /// The newest release that writes records of `version`.
    pub fn newest_of_version(version: u32) -> Release {
        if version <= 6 {
            Release::R12
        } else {
            Release::Main
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The releases for which a format entry holds, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReleaseRange {
    /// `None`: from the beginning.
    pub since: Option<Release>,
    /// `None`: to the newest.
    pub until: Option<Release>,
}

impl ReleaseRange {
    pub fn contains(self, release: Release) -> bool {
        self.since.is_none_or(|since| since <= release)
            && self.until.is_none_or(|until| release <= until)
    }
}
