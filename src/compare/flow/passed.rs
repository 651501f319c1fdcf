//! The packets of captures, by flow.

use super::{Flow, MOST_FLOWS, Sniffed};
use crate::zcs::Ipv4;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// What the captures have of a flow.
#[derive(Clone, Debug, Default)]
pub struct PassedFlow {
    pub packets: u64,
    /// Of those packets that have a time, in the order of the capture:
    /// nanoseconds since the Unix epoch.
    pub times: Vec<i64>,
}

/// Counts the IPv4 packets of captures.
///
/// Memory grows by 8 bytes for each packet of a flow that the log has.
#[derive(Clone, Debug, Default)]
pub struct Passed {
    /// Flows of the log.
    flows: HashMap<Flow, PassedFlow>,
    /// Packets of flows that the log does not have.
    pub strangers: HashMap<Flow, u64>,
    /// Packets of still more of them.
    pub more_strangers: u64,
    /// Pieces of IPv4 packets that are not the first, and so without ports.
    pub fragments: u64,
    /// IPv4 packets of which too little was captured, or damaged ones.
    pub short: u64,
}

/// What is known of an IPv4 packet.
enum Known {
    Flow(Flow),
    Fragment,
    Short,
}

impl Passed {
    /// Wants the flows of a log.
    pub fn new(log: &Sniffed) -> Passed {
        let flows = log.flows.iter();
        Passed {
            flows: flows
                .map(|(flow, _)| (*flow, PassedFlow::default()))
                .collect(),
            ..Passed::default()
        }
    }

    /// Takes a packet from its IP header on; the log has no IPv6.
    pub fn packet(&mut self, ip: &[u8], time: Option<i64>) {
        if ip.first().is_none_or(|byte| byte >> 4 != 4) {
            return;
        }
        let flow = match known(ip) {
            Known::Flow(flow) => flow,
            Known::Fragment => {
                self.fragments += 1;
                return;
            }
            Known::Short => {
                self.short += 1;
                return;
            }
        };
        if let Some(passed) = self.flows.get_mut(&flow) {
            passed.packets += 1;
            passed.times.extend(time);
        } else if self.strangers.len() < MOST_FLOWS || self.strangers.contains_key(&flow) {
            *self.strangers.entry(flow).or_default() += 1;
        } else {
            self.more_strangers += 1;
        }
    }

    /// What there is of a flow of the log.
    pub fn find(&self, flow: &Flow) -> Option<&PassedFlow> {
        self.flows.get(flow)
    }

    /// Leaves out the flows that the log does not have, for whoever asked for
    /// others.
    pub fn forget_strangers(&mut self) {
        self.strangers.clear();
        self.more_strangers = 0;
    }

    /// Packets of flows that the log does not have.
    pub fn packets_not_in_log(&self) -> u64 {
        self.strangers.values().sum::<u64>() + self.more_strangers
    }

    /// Flows that the log does not have, those with the most packets first.
    pub fn strangers(&self) -> Vec<(Flow, u64)> {
        let all = self.strangers.iter();
        let mut all: Vec<(Flow, u64)> = all.map(|(flow, count)| (*flow, *count)).collect();
        all.sort_by_key(|(flow, count)| (std::cmp::Reverse(*count), *flow));
        all
    }
}

fn known(ip: &[u8]) -> Known {
    let Some(head) = ip.first_chunk::<20>() else {
        return Known::Short;
    };
    let header_len = usize::from(head[0] & 15) * 4;
    if header_len < 20 {
        return Known::Short;
    }
    let address = |at: usize| Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]);
    let (src, dst, protocol) = (address(12), address(16), head[9]);
    let has_ports = Ipv4 {
        src,
        dst,
        src_raw: 0,
        dst_raw: 0,
        protocol,
    }
    .has_ports();
    let ports = match has_ports {
        false => None,
        // An offset: the ports are in another piece.
        true if u16::from_be_bytes([head[6], head[7]]) & 0x1fff != 0 => return Known::Fragment,
        true => match ip
            .get(header_len..)
            .and_then(|rest| rest.first_chunk::<4>())
        {
            Some([a, b, c, d]) => {
                Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])))
            }
            None => return Known::Short,
        },
    };
    Known::Flow(Flow {
        src,
        dst,
        protocol,
        ports,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any packet from 192.0.2.1 to 192.0.2.2, with ports 80 and 8000 behind a
    /// header of so many words.
    fn packet(words: u8, fragment: u16, protocol: u8) -> Vec<u8> {
        let mut bytes = vec![0x40 | words, 0, 0, 60, 0, 0];
        bytes.extend(fragment.to_be_bytes());
        bytes.extend([64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        bytes.resize(usize::from(words) * 4, 0);
        bytes.extend([0, 80, 31, 64, 0, 0, 0, 0]);
        bytes
    }

    fn says(bytes: &[u8]) -> String {
        match known(bytes) {
            Known::Flow(flow) => flow.to_string(),
            Known::Fragment => "fragment".to_owned(),
            Known::Short => "short".to_owned(),
        }
    }

    #[test]
    fn what_flow_it_is() {
        let udp = "192.0.2.1:80 -> 192.0.2.2:8000 udp";
        assert_eq!(says(&packet(5, 0x4000, 17)), udp);
        // Behind options; the first of several pieces.
        assert_eq!(says(&packet(7, 0, 17)), udp);
        assert_eq!(says(&packet(5, 0x2000, 17)), udp);
        assert_eq!(says(&packet(5, 9, 17)), "fragment");
        assert_eq!(says(&packet(5, 0, 1)), "192.0.2.1 -> 192.0.2.2 icmp");
        assert_eq!(says(&packet(5, 9, 1)), "192.0.2.1 -> 192.0.2.2 icmp");
        assert_eq!(
            says(&packet(5, 0, 99)),
            "192.0.2.1 -> 192.0.2.2 protocol 99"
        );
        assert_eq!(says(&packet(5, 0, 6)[..23]), "short");
        assert_eq!(says(&packet(5, 0, 1)[..19]), "short");
        let mut bad = packet(5, 0, 6);
        bad[0] = 0x44;
        assert_eq!(says(&bad), "short");
    }
}
