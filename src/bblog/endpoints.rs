//! The two ends of a connection; "local" is the machine that logged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// FreeBSD's number for `AF_INET`.
pub const AF_INET: u8 = 2;
/// FreeBSD's number for `AF_INET6`.
pub const AF_INET6: u8 = 28;

/// Both ends of a connection, in host form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoints {
    pub local: SocketAddr,
    pub foreign: SocketAddr,
    /// IPv6 scope zone; 0 normally.
    pub zone: u32,
}

/// An address from its 16-byte slot: IPv4 lies in the last four bytes.
pub(super) fn address(slot: &[u8], af: u8) -> IpAddr {
    let mut bytes = [0u8; 16];
    if let Ok(slot) = <[u8; 16]>::try_from(slot) {
        bytes = slot;
    }
    if af == AF_INET6 {
        IpAddr::V6(Ipv6Addr::from(bytes))
    } else {
        let [.., a, b, c, d] = bytes;
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    }
}
