//! TCPPCAP packets out of genuine memory, against what the lists of the same
//! memory hold, and out of memory that was made.

mod image;
mod made;

use image::{Image, decompressed};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tcplog::bblog::Life;
use tcplog::carve::tcppcap::{
    Direction, Found, Packet, Rejected, assemble, implied_address, phase, scan,
};
use tcplog::memory::AddressSpace;

/// Goes over an image in windows as a caller would.
pub fn scanned(image: &Image, window: usize) -> Found {
    let mut found = Found::default();
    for extent in image.extents() {
        let mut scratch = Vec::new();
        for start in (0..extent.len).step_by(window) {
            let offset = extent.offset + start;
            let bytes = image.bytes(offset, window, &mut scratch);
            scan(image, offset, bytes, phase(image, offset), &mut found);
        }
    }
    found
}

pub fn carved(image: &Image) -> (Vec<Packet>, Rejected) {
    assemble(image, scanned(image, 1 << 20))
}

/// A packet as the truth has it.
struct Saved {
    direction: Direction,
    local: String,
    foreign: String,
    bytes: Vec<u8>,
    /// Of each mbuf.
    addresses: Vec<u64>,
    index: u32,
    /// Address of the tcpcb.
    tp: u64,
    iss: u32,
    rcv_nxt: Option<u32>,
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn number(text: &Value) -> u64 {
    u64::from_str_radix(text.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

fn truth(name: &str) -> Vec<Saved> {
    let truth: Value = serde_json::from_slice(&decompressed(name)).unwrap();
    let mut saved = Vec::new();
    for pcb in truth["pcbs"].as_array().unwrap() {
        let end = |address: &str, port: &str| {
            let ip: std::net::IpAddr = pcb[address].as_str().unwrap().parse().unwrap();
            std::net::SocketAddr::new(ip, pcb[port].as_u64().unwrap() as u16).to_string()
        };
        for (queue, direction) in [("t_inpkts", Direction::In), ("t_outpkts", Direction::Out)] {
            let packets = pcb[queue]["pkts"].as_array();
            for (index, packet) in packets.into_iter().flatten().enumerate() {
                let chain = packet["chain"].as_array().unwrap();
                saved.push(Saved {
                    direction,
                    local: end("laddr", "lport"),
                    foreign: end("faddr", "fport"),
                    bytes: hex(packet["hex"].as_str().unwrap()),
                    addresses: chain.iter().map(|mbuf| number(&mbuf["m"])).collect(),
                    index: index as u32,
                    tp: number(&pcb["tp"]),
                    iss: pcb["iss"].as_u64().unwrap() as u32,
                    rcv_nxt: pcb["rcv_nxt"].as_u64().map(|number| number as u32),
                });
            }
        }
    }
    saved
}

/// The checksums, computed in another way than the library does.
fn checksums_hold(packet: &Packet) -> bool {
    let bytes = &packet.bytes;
    let words = |bytes: &[u8]| -> u64 {
        let value = |pair: &[u8]| u64::from(pair[0]) * 256 + u64::from(*pair.get(1).unwrap_or(&0));
        bytes.chunks(2).map(value).sum()
    };
    let (tcp, addresses) = match bytes[0] >> 4 {
        4 => (usize::from(bytes[0] & 15) * 4, &bytes[12..20]),
        _ => (40, &bytes[8..40]),
    };
    let header = bytes[0] >> 4 == 6 || words(&bytes[..tcp]).is_multiple_of(0xffff);
    let length = (bytes.len() - tcp) as u64;
    let whole = bytes.len() == packet.length as usize;
    header
        && (!whole || (words(addresses) + length + 6 + words(&bytes[tcp..])).is_multiple_of(0xffff))
}

fn near(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).min(b.wrapping_sub(a)) < 1 << 24
}

/// Every packet of the truth is found once, as it lay and in its place, and
/// repaired. Gives the others.
fn compare(name: &str, count: usize, packets: Vec<Packet>, saved: &[Saved]) -> Vec<Packet> {
    assert_eq!(saved.len(), count, "{name}");
    let mut by_place: BTreeMap<u64, Packet> = BTreeMap::new();
    for packet in packets {
        let first = packet.mbufs[0].address.unwrap();
        assert!(
            by_place.insert(first, packet).is_none(),
            "{name}: twice {first:#x}"
        );
    }
    // The queues stand at one place in every tcpcb, t_outpkts behind t_inpkts; of
    // a kernel's the direct map gives only the place in the page.
    let mut places = BTreeSet::new();
    for want in saved {
        let packet = by_place.remove(&want.addresses[0]);
        let packet = packet.unwrap_or_else(|| panic!("{name}: lost {:#x}", want.addresses[0]));
        assert_eq!(packet.raw(), want.bytes, "{name}");
        assert_eq!(packet.direction, Some(want.direction), "{name}");
        assert_eq!(packet.local().unwrap().to_string(), want.local, "{name}");
        assert_eq!(
            packet.foreign().unwrap().to_string(),
            want.foreign,
            "{name}"
        );
        let addresses: Vec<u64> = packet
            .mbufs
            .iter()
            .filter_map(|place| place.address)
            .collect();
        assert_eq!(addresses.len(), want.addresses.len(), "{name}");
        assert_eq!(packet.life, Life::Live, "{name}");
        assert_eq!(packet.confidence, 100, "{name}");
        let queue = packet.queue.unwrap();
        assert_eq!(queue.index, want.index, "{name}");
        let place = queue.address.unwrap().wrapping_sub(want.tp) & 0xfff;
        places.insert(match want.direction {
            Direction::In => place,
            Direction::Out => place - 24,
        });
        // A copy that one mbuf could not hold ends with it.
        if packet.bytes.len() < packet.length as usize {
            assert_eq!(packet.bytes.len(), 224, "{name}");
            assert_eq!(packet.cut, Some("saved as far as one mbuf holds"), "{name}");
        } else {
            assert_eq!(packet.cut, None, "{name}");
        }
        assert!(checksums_hold(&packet), "{name}: {packet:?}");
        let (own, others) = match want.direction {
            Direction::In => (packet.ack, packet.seq),
            Direction::Out => (packet.seq, packet.ack),
        };
        assert!(near(own, want.iss), "{name}: {own} {}", want.iss);
        if let Some(rcv_nxt) = want.rcv_nxt {
            assert!(near(others, rcv_nxt), "{name}: {others} {rcv_nxt}");
        }
    }
    assert_eq!(places.len(), 1, "{name}: {places:?}");
    by_place.into_values().collect()
}

#[test]
fn process_cores_hold_what_their_lists_say() {
    for (name, count) in [("live", 72), ("idle", 72), ("nolog", 13)] {
        let image = Image::genuine(&format!("{name}.elf"));
        let (packets, rejected) = carved(&image);
        let saved = truth(&format!("{name}.truth.json"));
        let others = compare(name, count, packets, &saved);
        judge(&format!("{name}.truth.json"), &others, 0, &image);
        assert_eq!(
            (rejected.unresolved, rejected.beyond),
            (0, 0),
            "{rejected:?}"
        );
    }
}

#[test]
fn a_kernel_dump_holds_what_its_lists_say() {
    let image = Image::genuine("kernel-vmcore");
    let (packets, rejected) = carved(&image);
    let saved = truth("kernel-vmcore.truth.json");
    let others = compare("kernel", 160, packets, &saved);
    judge("kernel-vmcore.truth.json", &others, 32, &image);
    assert_eq!(
        (rejected.unresolved, rejected.beyond),
        (0, 0),
        "{rejected:?}"
    );
}

/// Without addresses, what came in and fits one mbuf is found all the same, and
/// each mbuf tells its own address.
#[test]
fn a_kernel_dump_without_addresses() {
    let saved = truth("kernel-vmcore.truth.json");
    let image = Image::genuine("kernel-vmcore");
    let mut places = BTreeMap::new();
    for want in saved.iter().filter(|want| want.addresses.len() == 1) {
        let (offset, _) = image.find_virtual(want.addresses[0]).unwrap();
        places.insert(offset, want);
    }
    let blind = image.blind();
    let found = scanned(&blind, 1 << 20);
    for mbuf in &found.mbufs {
        if let Some(want) = places.get(&mbuf.offset) {
            assert_eq!(implied_address(mbuf), Some(want.addresses[0]));
        }
    }
    let (packets, _) = assemble(&blind, found);
    for (offset, want) in &places {
        let found = packets
            .iter()
            .find(|packet| packet.mbufs[0].offset == *offset);
        assert_eq!(found.unwrap().raw(), want.bytes);
        assert_eq!(found.unwrap().direction, Some(want.direction));
    }
}

/// What no list holds must be a freed copy: of a connection that the truth
/// knows, live or closed, and something else must confirm its numbers: a black
/// box record of the same end; the copy that the other end saved of the same
/// segment over the loopback interface, in the other byte order; or a segment
/// that goes on exactly where this one ends, or the other way round.
fn judge(name: &str, others: &[Packet], count: usize, image: &Image) {
    let truth: Value = serde_json::from_slice(&decompressed(name)).unwrap();
    let (mut known, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    let nodes = truth["buckets"].as_array().unwrap().iter();
    let nodes = nodes.flat_map(|bucket| bucket["nodes"].as_array().unwrap());
    for end in nodes.chain(truth["pcbs"].as_array().unwrap()) {
        let ports = (end["lport"].as_u64(), end["fport"].as_u64());
        known.insert(ports);
        for entry in end["log"]["entries"].as_array().into_iter().flatten() {
            // Of version 9: tlb_th stands at 268 in its record.
            let at = entry[8].as_u64().unwrap_or(u64::MAX - 400) + 268;
            let mut scratch = Vec::new();
            if let Some(&[a, b, c, d, e, f, g, h]) =
                image.bytes(at + 4, 8, &mut scratch).first_chunk()
            {
                let (seq, ack) = ([a, b, c, d], [e, f, g, h]);
                numbers.insert((ports, u32::from_be_bytes(seq), u32::from_be_bytes(ack)));
                numbers.insert((ports, u32::from_le_bytes(seq), u32::from_le_bytes(ack)));
            }
        }
    }
    assert_eq!(others.len(), count, "{name}");
    let mut confirmed = 0;
    for packet in others {
        let (local, foreign) = (packet.local().unwrap(), packet.foreign().unwrap());
        let ports = [local, foreign].map(|end| Some(u64::from(end.port())));
        assert!(known.contains(&(ports[0], ports[1])), "{name}: {packet:?}");
        assert_eq!(packet.life, Life::Dead, "{name}");
        assert!(packet.confidence < 95 && packet.queue.is_none());
        assert!(checksums_hold(packet), "{name}: {packet:?}");
        let twin = others.iter().find(|other| {
            other.direction != packet.direction
                && (other.source, other.seq, other.ack) == (packet.source, packet.seq, packet.ack)
        });
        let number = ((ports[0], ports[1]), packet.seq, packet.ack);
        let end = |packet: &Packet| {
            let payload = packet.length - packet.payload.start as u32;
            (packet.source, packet.seq.wrapping_add(payload))
        };
        let goes_on = others.iter().any(|other| {
            packet.seq != other.seq
                && (end(packet) == (other.source, other.seq)
                    || end(other) == (packet.source, packet.seq))
        });
        confirmed += usize::from(twin.is_some() || numbers.contains(&number) || goes_on);
        if let Some(twin) = twin {
            let shorter = packet.bytes.len().min(twin.bytes.len());
            let payload = packet.payload.start..shorter;
            assert_eq!(packet.bytes[payload.clone()], twin.bytes[payload], "{name}");
        }
    }
    assert_eq!(confirmed, count, "{name}");
}
