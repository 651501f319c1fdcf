//! The genuine crash dump and process cores, without symbols: everything that
//! their lists hold is found, and what is found besides is genuine too.

use crate::truth::{Found, IMAGES, Packet, Record, Saved, Truth, found, stored_core};
use std::collections::{BTreeMap, HashSet};

/// Bytes of an item of records: link, record and verbose part.
const ITEM: u64 = 408;
const RECORD: u64 = 328;
const VERBOSE: u64 = 72;

/// Records that no list holds, and packets likewise, by image: those in freed
/// items and in buffers of the device.
const OTHERS: [(usize, usize); 4] = [(1, 32), (19, 0), (515, 0), (0, 0)];

#[test]
fn everything_that_the_lists_hold() {
    for ((name, packets), (others, other_packets)) in IMAGES.into_iter().zip(OTHERS) {
        let truth = Truth::of(name);
        assert_eq!(truth.packets.len(), packets, "{name}");
        let found = found(&[stored_core(name)], &[]);
        assert_eq!(found.ran.status, 0, "{name}: {}", found.ran.stderr);
        let rest = records(name, &truth, &found);
        assert_eq!(rest.len(), others, "{name}");
        judge(name, &truth, &found, &rest);
        assert_eq!(saved(name, &truth, &found), other_packets, "{name}");
    }
}

/// Every record of the truth is there once and right. Gives the others.
fn records(name: &str, truth: &Truth, found: &Found) -> Vec<Record> {
    let mut by_item: BTreeMap<u64, &Record> = BTreeMap::new();
    for record in &found.records {
        let item = record.item.expect("containers tell addresses");
        assert!(by_item.insert(item, record).is_none(), "{name}: {item:#x}");
    }
    for (item, entry) in &truth.entries {
        let record = by_item
            .remove(item)
            .unwrap_or_else(|| panic!("{name}: lost {item:#x} {entry:?}"));
        let what = format!("{name} {item:#x}");
        assert_eq!(
            (record.sn, record.event, record.uptime_us),
            (entry.sn, entry.event, entry.uptime_us),
            "{what}"
        );
        assert_eq!(record.ends.as_ref(), Some(&entry.ends), "{what}");
        if entry.id.is_some() {
            assert_eq!(record.id, entry.id, "{what}");
        }
        // Before the SYN it is not yet set.
        if let Some(iss) = entry.iss {
            assert!([0, iss].contains(&record.iss), "{what}: {record:?}");
        }
        assert_eq!(record.life, "live", "{what}");
        assert!(record.confidence >= 75, "{what}: {}", record.confidence);
    }
    by_item.into_values().cloned().collect()
}

/// What no list holds is genuine all the same: it is a message that the queue
/// has, or it is of a connection that left further records, stands where only
/// records of a connection stand, and goes on with its neighbours.
fn judge(name: &str, truth: &Truth, found: &Found, rest: &[Record]) {
    let known: HashSet<u64> = truth.entries.keys().copied().collect();
    // All records of an image are of one boot: here of 1000 ticks a second.
    let start = |record: &Record| i64::from(record.ticks) - record.uptime_us / 1000;
    let held = found
        .records
        .iter()
        .find(|record| known.contains(&record.item.unwrap()));
    let places: HashSet<u64> = found
        .records
        .iter()
        .map(|record| record.item.unwrap())
        .collect();
    for record in rest {
        let what = format!("{name}: {record:?}");
        let drift = held.map(|held| (start(record) - start(held)) as i32);
        assert!(drift.is_some_and(|drift| drift.abs() < 50), "{what}");
        if let Some(ends) = &record.ends
            && truth.expanded.contains(ends)
        {
            assert_eq!(record.life, "live", "{what}");
            continue;
        }
        // Neighbours of its connection by serial number, in the order of time.
        let near = |other: &&Record| {
            (other.iss, other.starttime) == (record.iss, record.starttime)
                && other.sn.abs_diff(record.sn) == 1
        };
        let neighbours: Vec<&Record> = found.records.iter().filter(near).collect();
        assert!(record.iss != 0 && !neighbours.is_empty(), "{what}");
        for other in neighbours {
            let order =
                (other.uptime_us - record.uptime_us) * (i64::from(other.sn) - i64::from(record.sn));
            assert!(order >= 0, "{what} {other:?}");
        }
        // In a page of items, next to another record in a buffer, or, where the
        // one next to it was kept elsewhere, of a connection that lists hold.
        let is_held = |other: &&Record| {
            known.contains(&other.item.unwrap())
                && (other.iss, other.starttime) == (record.iss, record.starttime)
        };
        let of_known = found.records.iter().any(|other| is_held(&other));
        let item = record.item.unwrap();
        let in_page = (item % 4096).is_multiple_of(ITEM) && item % 4096 + ITEM <= 4096;
        let beside = [RECORD, RECORD + VERBOSE]
            .iter()
            .any(|len| places.contains(&(item + len)) || places.contains(&(item - len)));
        assert!(in_page || beside || of_known, "{what}");
    }
}

/// Every packet of the truth is there once and right. Gives how many others.
fn saved(name: &str, truth: &Truth, found: &Found) -> usize {
    let mut by_place: BTreeMap<u64, &Packet> = BTreeMap::new();
    for packet in &found.packets {
        let address = packet.address.expect("containers tell addresses");
        assert!(
            by_place.insert(address, packet).is_none(),
            "{name}: {address:#x}"
        );
    }
    for (address, want) in &truth.packets {
        let what = format!("{name} {address:#x}");
        let packet = by_place
            .remove(address)
            .unwrap_or_else(|| panic!("{what}: lost"));
        assert_eq!(packet.ends.as_ref(), Some(&want.ends), "{what}");
        assert_eq!(
            packet.direction,
            if want.inbound { "in" } else { "out" },
            "{what}"
        );
        assert_eq!(packet.captured, want.bytes.len(), "{what}");
        assert_eq!(packet.bytes.len(), want.bytes.len(), "{what}");
        assert!(packet.length >= packet.captured, "{what}");
        assert_eq!(
            (packet.life.as_str(), packet.confidence),
            ("live", 100),
            "{what}"
        );
        same_but_for_repairs(&what, packet, want);
        assert!(checksums_hold(packet), "{what}");
    }
    for packet in by_place.values() {
        assert_eq!(packet.life, "dead", "{name}");
        assert!(checksums_hold(packet), "{name}: {packet:?}");
    }
    by_place.len()
}

/// The input path turned four fields of the TCP header to host order; the
/// checksums are those that are to be computed anew.
fn same_but_for_repairs(what: &str, packet: &Packet, want: &Saved) {
    let mut bytes = want.bytes.clone();
    let is_v4 = bytes[0] >> 4 == 4;
    let tcp = if is_v4 {
        usize::from(bytes[0] & 15) * 4
    } else {
        40
    };
    if want.inbound {
        for field in [4..8, 8..12, 14..16, 18..20] {
            bytes[tcp + field.start..tcp + field.end].reverse();
        }
    }
    let ip_sum = is_v4.then_some(10..12);
    for sum in ip_sum
        .into_iter()
        .chain(std::iter::once(tcp + 16..tcp + 18))
    {
        bytes[sum.clone()].copy_from_slice(&packet.bytes[sum]);
    }
    let differs = bytes.iter().zip(&packet.bytes).position(|(a, b)| a != b);
    assert_eq!(differs, None, "{what}");
}

/// RFC 1071, of the IP header and of what TCP's sum is over.
pub fn checksums_hold(packet: &Packet) -> bool {
    let bytes = &packet.bytes;
    let sum = |bytes: &[u8]| -> u64 {
        let value = |pair: &[u8]| u64::from(pair[0]) * 256 + u64::from(*pair.get(1).unwrap_or(&0));
        bytes.chunks(2).map(value).sum()
    };
    let is_v4 = bytes[0] >> 4 == 4;
    let (tcp, addresses) = match is_v4 {
        true => (usize::from(bytes[0] & 15) * 4, &bytes[12..20]),
        false => (40, &bytes[8..40]),
    };
    let is_whole = packet.captured == packet.length;
    let pseudo = sum(addresses) + (bytes.len() - tcp) as u64 + 6;
    (!is_v4 || sum(&bytes[..tcp]).is_multiple_of(0xffff))
        && (!is_whole || (pseudo + sum(&bytes[tcp..])).is_multiple_of(0xffff))
}
