//! The grammar of an entry.
//!
//! ```text
//! dump N.M: ptr: 0xH, start: 0xH, size: U, off: U: entry: U, cpu: D:
//!         MAC -> MAC, type: HHHH, IPv4:PORT -> IPv4:PORT, proto: U,
//! ```
//!
//! What follows the type is there for 0800 only. The comma at the end of a line
//! may be missing.

use super::entry::{ETHERTYPE_IP, Entry, Ipv4};
use super::text::Text;
use super::tokens::{Parsed, Stop, Tokens};
use std::io::Read;
use std::net::Ipv4Addr;

/// Reads an entry; `name` becomes its index and batch size once they are
/// sure to be that.
pub fn entry<R: Read>(text: &mut Text<R>, name: &mut Option<(u32, u32)>) -> Parsed<Entry> {
    let line = text.line();
    let t = &mut Tokens::new(text);
    t.word("dump")?;
    let index = t.number("the index")?;
    t.mark(b'.')?;
    let batch_size = t.number("the batch size")?;
    t.mark(b':')?;
    *name = Some((index, batch_size));
    t.label("ptr")?;
    let ptr = t.pointer("ptr")?;
    t.mark(b',')?;
    t.label("start")?;
    let start = t.pointer("start")?;
    t.mark(b',')?;
    t.label("size")?;
    let size = t.number("the allocation size")?;
    t.mark(b',')?;
    t.label("off")?;
    let off = t.number("the offset")?;
    t.mark(b':')?;
    t.label("entry")?;
    let entry = t.number("the number of the mapping")?;
    t.mark(b',')?;
    t.label("cpu")?;
    let cpu = t.signed("the number of the CPU")?;
    t.mark(b':')?;
    let src_mac = mac(t)?;
    t.word("->")?;
    let dst_mac = mac(t)?;
    t.mark(b',')?;
    t.label("type")?;
    t.gap()?;
    let high = t.hex_byte("a type of four digits")?;
    let low = t.hex_byte("a type of four digits")?;
    let ethertype = u16::from_be_bytes([high, low]);
    t.end("the end of the type")?;
    let ipv4 = match ethertype {
        ETHERTYPE_IP => Some(ipv4(t)?),
        _ => None,
    };
    Ok(Entry {
        line,
        index,
        batch_size,
        ptr,
        start,
        size,
        off,
        entry,
        cpu,
        src_mac,
        dst_mac,
        ethertype,
        ipv4,
    })
}

fn ipv4<R: Read>(t: &mut Tokens<'_, R>) -> Parsed<Ipv4> {
    let src = address(t)?;
    t.mark(b':')?;
    let src_raw = t.number("the source port")?;
    t.word("->")?;
    let dst = address(t)?;
    t.mark(b':')?;
    let dst_raw = t.number("the destination port")?;
    t.mark(b',')?;
    t.label("proto")?;
    let protocol = t.number("the protocol")?;
    // Where the input was cut, there may have been another digit.
    if t.is_over()? {
        return Err(Stop::Missing("the end of the protocol"));
    }
    t.end("the end of the protocol")?;
    Ok(Ipv4 {
        src,
        dst,
        src_raw,
        dst_raw,
        protocol,
    })
}

fn address<R: Read>(t: &mut Tokens<'_, R>) -> Parsed<Ipv4Addr> {
    let mut octets = [0; 4];
    for (at, octet) in octets.iter_mut().enumerate() {
        if at > 0 {
            t.mark(b'.')?;
        }
        *octet = t.number("an IPv4 address")?;
    }
    Ok(octets.into())
}

fn mac<R: Read>(t: &mut Tokens<'_, R>) -> Parsed<[u8; 6]> {
    let mut mac = [0; 6];
    t.gap()?;
    for (at, byte) in mac.iter_mut().enumerate() {
        if at > 0 {
            t.mark(b':')?;
        }
        *byte = t.hex_byte("a MAC address")?;
    }
    Ok(mac)
}
