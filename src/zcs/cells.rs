//! What the JSON and the CSV form of an entry are made of.

use super::Row;
use crate::meaning::units;
use crate::output::words::{hex, number};
use std::io::Write;
use std::net::Ipv4Addr;

/// A value.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    Number(i64),
    Flag(bool),
    Name(&'static str),
    /// A kernel address.
    Address(u64),
    Mac([u8; 6]),
    Ipv4(Ipv4Addr),
    Bytes([u8; 4]),
}

impl Cell {
    /// Whether it stands between quotes in JSON.
    pub fn is_text(self) -> bool {
        !matches!(self, Cell::Number(_) | Cell::Flag(_))
    }

    /// Appends the value; no form of it holds what JSON or CSV must escape.
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Cell::Number(n) => number(out, n),
            Cell::Flag(true) => out.extend_from_slice(b"true"),
            Cell::Flag(false) => out.extend_from_slice(b"false"),
            Cell::Name(name) => out.extend_from_slice(name.as_bytes()),
            Cell::Address(address) => units::hex(out, address),
            Cell::Mac(mac) => put_mac(out, mac),
            Cell::Ipv4(address) => {
                // Writing to a vector does not fail.
                let _ = write!(out, "{address}");
            }
            Cell::Bytes(bytes) => hex(out, &bytes),
        }
    }
}

/// Appends `02:00:63:1f:2d:81`.
pub fn put_mac(out: &mut Vec<u8>, mac: [u8; 6]) {
    for (at, byte) in mac.into_iter().enumerate() {
        if at > 0 {
            out.push(b':');
        }
        hex(out, &[byte]);
    }
}

/// The values of an entry by name; `None` for what it has not.
pub fn of(row: &Row<'_>) -> [(&'static str, Option<Cell>); 20] {
    let entry = row.entry;
    let is_freed = entry.is_freed();
    let ip = entry.ipv4.filter(|_| !is_freed);
    let ends = row.ends();
    let (src_port, dst_port) = ends.map_or((None, None), |(src, dst)| (src.1, dst.1));
    let n = |n: u32| Some(Cell::Number(n.into()));
    let port = |port: Option<u16>| port.map(|port| Cell::Number(port.into()));
    let no_ports = ends.is_some() && src_port.is_none();
    [
        ("cpu", Some(Cell::Number(entry.cpu.into()))),
        ("index", n(entry.index)),
        ("batch_size", n(entry.batch_size)),
        ("ptr", Some(Cell::Address(entry.ptr))),
        ("start", Some(Cell::Address(entry.start))),
        ("size", n(entry.size)),
        ("off", n(entry.off)),
        ("entry", n(entry.entry)),
        ("freed", Some(Cell::Flag(is_freed))),
        ("src_mac", Some(Cell::Mac(entry.src_mac))),
        ("dst_mac", Some(Cell::Mac(entry.dst_mac))),
        ("ethertype", n(entry.ethertype.into())),
        ("src_addr", ip.map(|ip| Cell::Ipv4(ip.src))),
        ("src_port", port(src_port)),
        ("dst_addr", ip.map(|ip| Cell::Ipv4(ip.dst))),
        ("dst_port", port(dst_port)),
        ("protocol", ip.map(|ip| Cell::Number(ip.protocol.into()))),
        (
            "protocol_name",
            ip.and_then(|ip| ip.protocol_name()).map(Cell::Name),
        ),
        (
            "first_bytes",
            row.first_bytes().filter(|_| no_ports).map(Cell::Bytes),
        ),
        ("port_order", src_port.map(|_| Cell::Name(row.order.name()))),
    ]
}
