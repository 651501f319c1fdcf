//! From a captured frame to the IP header in it.

/// LINKTYPE_ values, from the registry of tcpdump.org.
const NULL: u16 = 0;
const ETHERNET: u16 = 1;
const RAW: u16 = 101;
/// What some systems write for [`RAW`].
const DLT_RAW: [u16; 2] = [12, 14];
const LOOP: u16 = 108;
const LINUX_SLL: u16 = 113;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
const LINUX_SLL2: u16 = 276;

/// VLAN tags that a frame may have.
const MOST_TAGS: usize = 8;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// An IP header begins so many bytes behind the frame's start.
    Ip(usize),
    Other,
    /// Frames of this link type cannot be read.
    UnknownLink,
}

/// The name of a link type that can be read.
pub fn name(link: u16) -> Option<&'static str> {
    Some(match link {
        NULL => "NULL",
        ETHERNET => "Ethernet",
        RAW | IPV4 | IPV6 => "raw IP",
        link if DLT_RAW.contains(&link) => "raw IP",
        LOOP => "LOOP",
        LINUX_SLL => "Linux SLL",
        LINUX_SLL2 => "Linux SLL2",
        _ => return None,
    })
}

/// Finds the IP header of a frame.
pub fn network(link: u16, frame: &[u8]) -> Network {
    let be16 = |at: usize| {
        let bytes = frame.get(at..at + 2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    };
    match link {
        ETHERNET => ethernet(be16, 12),
        LINUX_SLL => ethernet(be16, 14),
        LINUX_SLL2 => match be16(0) {
            Some(kind) if is_ip(kind) => Network::Ip(20),
            Some(kind) if is_tag(kind) => tagged(be16, 20),
            _ => Network::Other,
        },
        // The address family is in the byte order of who captured (NULL) or
        // of the network (LOOP); numbers for IPv6 differ between systems.
        NULL | LOOP => match frame.get(..4) {
            Some([family, 0, 0, 0] | [0, 0, 0, family])
                if matches!(family, 2 | 10 | 24 | 28 | 30) =>
            {
                Network::Ip(4)
            }
            _ => Network::Other,
        },
        RAW | IPV4 | IPV6 => Network::Ip(0),
        link if DLT_RAW.contains(&link) => Network::Ip(0),
        _ => Network::UnknownLink,
    }
}

/// A type of Ethernet at `at`, with what it is the type of behind it.
fn ethernet(be16: impl Fn(usize) -> Option<u16>, at: usize) -> Network {
    match be16(at) {
        Some(kind) if is_ip(kind) => Network::Ip(at + 2),
        Some(kind) if is_tag(kind) => tagged(be16, at + 2),
        _ => Network::Other,
    }
}

/// A VLAN tag at `at`: two bytes, then the next type.
fn tagged(be16: impl Fn(usize) -> Option<u16>, at: usize) -> Network {
    for tag in 0..MOST_TAGS {
        let at = at + 2 + 4 * tag;
        match be16(at) {
            Some(kind) if is_ip(kind) => return Network::Ip(at + 2),
            Some(kind) if is_tag(kind) => {}
            _ => break,
        }
    }
    Network::Other
}

fn is_ip(kind: u16) -> bool {
    matches!(kind, 0x0800 | 0x86dd)
}

fn is_tag(kind: u16) -> bool {
    matches!(kind, 0x8100 | 0x88a8 | 0x9100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_ip_begins() {
        let ethernet = |types: &[u8]| [&[0; 12], types].concat();
        assert_eq!(network(1, &ethernet(&[8, 0])), Network::Ip(14));
        assert_eq!(
            network(1, &ethernet(&[0x81, 0, 0, 7, 0x86, 0xdd])),
            Network::Ip(18)
        );
        let twice = [0x88, 0xa8, 0, 7, 0x81, 0, 0, 8, 8, 0];
        assert_eq!(network(1, &ethernet(&twice)), Network::Ip(22));
        assert_eq!(network(1, &ethernet(&[8, 6])), Network::Other);
        assert_eq!(network(1, &ethernet(&[8])), Network::Other);
        assert_eq!(
            network(1, &ethernet(&[0x81, 0, 0, 0].repeat(20))),
            Network::Other
        );
        assert_eq!(network(0, &[28, 0, 0, 0]), Network::Ip(4));
        assert_eq!(network(0, &[0, 0, 0, 2]), Network::Ip(4));
        assert_eq!(network(108, &[0, 0, 0, 24]), Network::Ip(4));
        assert_eq!(network(0, &[7, 0, 0, 0]), Network::Other);
        assert_eq!(
            network(113, &[&[0; 14][..], &[8, 0]].concat()),
            Network::Ip(16)
        );
        assert_eq!(network(276, &[8, 0]), Network::Ip(20));
        assert_eq!(
            network(276, &[&[0x81, 0][..], &[0; 18], &[0, 1, 8, 0]].concat()),
            Network::Ip(24)
        );
        assert_eq!(network(101, &[]), Network::Ip(0));
        assert_eq!(network(105, &[0; 99]), Network::UnknownLink);
        for link in [0, 1, 12, 14, 101, 108, 113, 228, 229, 276] {
            assert!(name(link).is_some() && network(link, &[]) != Network::UnknownLink);
        }
    }
}
