//! In which byte order ports were printed.

use super::Entry;
use std::collections::BTreeSet;

/// How the log's port numbers are to be understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortOrder {
    /// Network byte order, printed as a number of a little-endian host: 5632 is
    /// port 22. So it is in the log that was published.
    #[default]
    Swapped,
    /// Printed as they are.
    Printed,
}

impl PortOrder {
    /// The port that `raw` stands for.
    #[inline]
    pub fn port(self, raw: u16) -> u16 {
        match self {
            PortOrder::Swapped => raw.swap_bytes(),
            PortOrder::Printed => raw,
        }
    }

    /// The order in which more of the ports are well known ones; the default if
    /// that does not say. Each port counts once, so that no long flow decides.
    pub fn of(entries: &[Entry]) -> PortOrder {
        let raw: BTreeSet<u16> = entries
            .iter()
            .filter(|entry| !entry.is_freed())
            .filter_map(|entry| entry.ipv4.filter(|ip| ip.has_ports()))
            .flat_map(|ip| [ip.src_raw, ip.dst_raw])
            .collect();
        let score = |order: PortOrder| {
            let ports = raw.iter().map(|raw| order.port(*raw));
            ports
                .filter(|port| WELL_KNOWN.binary_search(port).is_ok())
                .count()
        };
        if score(PortOrder::Printed) > score(PortOrder::Swapped) {
            PortOrder::Printed
        } else {
            PortOrder::Swapped
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            PortOrder::Swapped => "swapped",
            PortOrder::Printed => "printed",
        }
    }
}

/// Ports of services that hosts of that time talked to, ascending.
const WELL_KNOWN: [u16; 58] = [
    7, 9, 13, 19, 20, 21, 22, 23, 25, 37, 42, 53, 67, 68, 69, 79, 80, 88, 109, 110, 111, 113, 119,
    123, 135, 137, 138, 139, 143, 161, 162, 179, 194, 389, 427, 443, 445, 500, 513, 514, 515, 520,
    554, 587, 631, 636, 873, 993, 995, 1080, 1194, 1433, 2049, 3128, 3306, 5060, 5432, 8080,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_ports_can_be_searched() {
        assert!(WELL_KNOWN.is_sorted_by(|a, b| a < b));
    }
}
