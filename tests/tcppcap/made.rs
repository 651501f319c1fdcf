//! Memory that was made: what no genuine image at hand shows.

use super::image::Image;
use super::{carved, scanned};
use tcplog::bblog::Life;
use tcplog::carve::tcppcap::{Direction, Packet, assemble, implied_address};

const BASE: u64 = 0xffff_f800_0100_0000;

/// One page of memory, at `BASE` unless said otherwise.
struct Page(Vec<u8>);

impl Page {
    fn new() -> Page {
        Page(vec![0; 4096])
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn word(&mut self, at: usize, word: u64) {
        self.put(at, &word.to_le_bytes());
    }

    /// An mbuf with its data inside, `lead` bytes from their start.
    fn mbuf(&mut self, slot: usize, lead: usize, data: &[u8]) {
        let at = slot * 256;
        self.word(at + 16, BASE + (at + 32 + lead) as u64);
        self.put(at + 24, &(data.len() as u32).to_le_bytes());
        self.put(at + 28, &[1]);
        self.put(at + 32 + lead, data);
    }

    fn link(&mut self, slot: usize, next: Option<usize>, next_packet: Option<usize>) {
        for (field, to) in [(0, next), (8, next_packet)] {
            let word = to.map_or(0, |to| BASE + to as u64 * 256);
            self.word(slot * 256 + field, word);
        }
    }

    /// A queue head, and an empty one behind it.
    fn queues(&mut self, at: usize, first: usize, last: usize, len: u32) {
        self.word(at, BASE + first as u64 * 256);
        self.word(at + 8, BASE + last as u64 * 256 + 8);
        self.put(at + 16, &len.to_le_bytes());
        self.put(at + 20, &20u32.to_le_bytes());
        self.word(at + 32, BASE + at as u64 + 24);
        self.put(at + 44, &20u32.to_le_bytes());
    }

    fn image(self) -> Image {
        Image::flat(self.0, Some(BASE))
    }
}

/// An IPv4 packet as TCPPCAP saves one that came in, with software checksum.
fn came_in(payload: &[u8], release: u32) -> Vec<u8> {
    let tcp = 20 + payload.len() as u16;
    let first = if release == 11 { 0x40 } else { 0x45 };
    let mut bytes = vec![first, 0];
    bytes.extend((20 + tcp).to_be_bytes());
    let ttl = if release == 11 { 0 } else { 64 };
    bytes.extend([0, 0, 0, 0, ttl, 6]);
    bytes.extend(tcp.to_be_bytes());
    bytes.extend([192, 0, 2, 1, 198, 51, 100, 7, 0x30, 0x39, 0, 80]);
    bytes.extend(0x0102_0304u32.to_le_bytes());
    bytes.extend(0x0a0b_0c0du32.to_le_bytes());
    bytes.extend([0x50, 0x18]);
    bytes.extend(0x1000u16.to_le_bytes());
    bytes.extend([0, 0, 0, 0]);
    bytes.extend(payload);
    bytes
}

fn only(packets: Vec<Packet>) -> Packet {
    assert_eq!(packets.len(), 1, "{packets:?}");
    packets.into_iter().next().unwrap()
}

/// `hello` as it was on the wire.
fn check_hello(packet: &Packet, ttl: u8) {
    assert_eq!(packet.direction, Some(Direction::In));
    assert_eq!((packet.seq, packet.ack), (0x0102_0304, 0x0a0b_0c0d));
    assert_eq!(packet.local().unwrap().to_string(), "198.51.100.7:80");
    assert_eq!(packet.bytes[0], 0x45);
    assert_eq!(packet.bytes[8], ttl);
    assert_eq!(packet.bytes[34..36], [0x10, 0]);
    assert_eq!(&packet.bytes[packet.payload.clone()], b"hello");
    assert!(super::checksums_hold(packet), "{packet:?}");
}

#[test]
fn software_checksums_of_12_and_13() {
    let mut page = Page::new();
    page.mbuf(3, 16, &came_in(b"hello", 12));
    let (packets, rejected) = carved(&page.image());
    let packet = only(packets);
    check_hello(&packet, 64);
    assert_eq!(packet.life, Life::Dead);
    assert_eq!(packet.raw(), came_in(b"hello", 12));
    assert_eq!(
        packet.repaired,
        [
            "th_seq, th_ack, th_win, th_urp: from host order",
            "ip_id, ip_off: lost (0)",
            "ip_sum: computed",
            "th_sum: computed",
        ]
    );
    assert_eq!(rejected, Default::default());
}

#[test]
fn software_checksums_of_11_lose_more() {
    let mut page = Page::new();
    page.mbuf(3, 16, &came_in(b"hello", 11));
    let packet = only(carved(&page.image()).0);
    check_hello(&packet, 0);
    assert!(
        packet
            .repaired
            .contains(&"ip_hl: set; ip_tos, ip_ttl: lost (0)")
    );
}

#[test]
fn a_wrong_header_is_no_saved_packet() {
    let mut bytes = came_in(b"hello", 12);
    bytes[10] ^= 0x55;
    let mut page = Page::new();
    page.mbuf(3, 16, &bytes);
    let (packets, rejected) = carved(&page.image());
    assert!(packets.is_empty());
    assert_eq!(rejected.checksum, 1);
}

#[test]
fn what_freed_memory_was_overwritten_with_is_counted() {
    let image = Image::flat(0xdead_c0de_u32.to_le_bytes().repeat(1 << 18), Some(BASE));
    let (packets, rejected) = carved(&image);
    assert!(packets.is_empty());
    assert_eq!(rejected.poison, (1 << 20) / 256);
}

#[test]
fn nothing_is_found_in_noise() {
    // xorshift: the same bytes on every machine.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = Vec::with_capacity(64 << 20);
    for _ in 0..8 << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend(state.to_le_bytes());
    }
    for data in [noise, vec![0; 64 << 20]] {
        for address in [None, Some(BASE)] {
            let (packets, _) = carved(&Image::flat(data.clone(), address));
            assert!(packets.is_empty(), "{packets:?}");
        }
    }
}

#[test]
fn packet_headers_and_unmapped_pages_are_left_out() {
    let mut page = Page::new();
    page.mbuf(2, 0, &came_in(b"hello", 12));
    page.put(2 * 256 + 29, &[2]);
    page.mbuf(4, 0, &came_in(b"hello", 12));
    page.put(4 * 256 + 29, &[1, 1]);
    let (packets, rejected) = carved(&page.image());
    assert!(packets.is_empty());
    assert_eq!((rejected.packet_headers, rejected.unmapped_pages), (1, 1));
}

/// A packet whose payload is in unmapped pages ends before it.
#[test]
fn unmapped_pages_end_a_packet() {
    let whole = came_in(b"hello", 12);
    let mut page = Page::new();
    page.mbuf(2, 0, &whole[..40]);
    page.mbuf(3, 0, &whole[40..]);
    page.put(3 * 256 + 29, &[1, 1]);
    page.link(2, Some(3), None);
    let packet = only(carved(&page.image()).0);
    assert_eq!((packet.bytes.len(), packet.length), (40, 45));
    assert_eq!(packet.cut, Some("the rest is in unmapped pages"));
    assert!(
        packet
            .repaired
            .contains(&"th_sum: left, not the whole segment is there")
    );
}

#[test]
fn circles_end() {
    let whole = came_in(b"hello", 12);
    let mut page = Page::new();
    // Mbufs of one packet in a circle, in a queue whose packets are in one.
    page.mbuf(2, 0, &whole[..42]);
    page.mbuf(3, 0, &whole[42..44]);
    page.link(2, Some(3), Some(4));
    page.link(3, Some(2), None);
    page.mbuf(4, 0, &whole);
    page.link(4, None, Some(2));
    page.queues(0x800, 2, 4, 2);
    let (packets, rejected) = carved(&page.image());
    assert_eq!(rejected.queues, 1);
    assert_eq!(packets.len(), 2);
    let around = packets.iter().find(|packet| packet.mbufs.len() == 2);
    assert_eq!(around.unwrap().cut, Some("its mbufs go round in a circle"));
}

#[test]
fn a_queue_tells_direction_and_its_own_address() {
    let mut page = Page::new();
    page.mbuf(2, 0, &came_in(b"hello", 12));
    page.mbuf(9, 16, &came_in(b"again", 12));
    page.link(2, None, Some(9));
    page.queues(0x508, 2, 9, 2);
    let (packets, _) = carved(&page.image());
    assert_eq!(packets.len(), 2);
    for (index, packet) in packets.iter().enumerate() {
        let queue = packet.queue.unwrap();
        assert_eq!(
            (queue.index, queue.len, queue.most),
            (index as u32, 2, Some(20))
        );
        assert_eq!(queue.offset, Some(0x508));
        assert_eq!(queue.address, Some(BASE + 0x508));
        assert_eq!((packet.life, packet.confidence), (Life::Live, 100));
        assert_eq!(packet.direction, Some(Direction::In));
    }
    check_hello(&packets[0], 64);
}

/// The end of the page cuts the lengths of a queue head off, or its second half.
#[test]
fn queues_across_pages() {
    for (at, whole) in [(4080, true), (4088, false)] {
        let mut page = Page::new();
        page.mbuf(2, 0, &came_in(b"hello", 12));
        page.mbuf(9, 16, &came_in(b"again", 12));
        page.link(2, None, Some(9));
        page.word(at, BASE + 0x200);
        if whole {
            page.word(at + 8, BASE + 0x908);
        }
        let (packets, _) = carved(&page.image());
        assert_eq!(packets.len(), 2);
        for packet in packets {
            assert_eq!(packet.life, Life::Live);
            assert_eq!(packet.queue.unwrap().offset, whole.then_some(4080));
            assert_eq!(packet.confidence, if whole { 100 } else { 95 });
        }
    }
}

/// Headers longer than one mbuf: the copy begins inside of the IP header.
#[test]
fn a_copy_that_begins_inside_of_its_header() {
    let tcp = [
        [0x30, 0x39, 0, 80].as_slice(),
        &0x0102_0304u32.to_le_bytes(),
        &0x0a0b_0c0du32.to_le_bytes(),
        &[0x50, 0x10, 0, 0x10, 0, 0, 0, 0],
    ]
    .concat();
    let mut short = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
    for last in [1, 2] {
        let mut address = [0; 16];
        address[..2].copy_from_slice(&[0xfd, 0]);
        address[15] = last;
        short.extend(address);
    }
    short.extend(&tcp);
    let long = [vec![0xaa; 204], tcp].concat();
    let mut page = Page::new();
    page.mbuf(2, 0, &short);
    page.mbuf(3, 0, &long);
    page.link(2, None, Some(3));
    page.queues(0x808, 2, 3, 2);
    let (packets, _) = carved(&page.image());
    assert_eq!(packets.len(), 2);
    assert!(super::checksums_hold(&packets[0]));
    let made = &packets[1];
    assert_eq!(made.raw(), long);
    assert_eq!(
        (made.bytes.len(), made.seq, made.ack),
        (60, 0x0102_0304, 0x0a0b_0c0d)
    );
    assert!(made.cut.is_some());
    assert!(made.repaired[0].starts_with("IP header: made of others"));
}

/// An image without addresses: mbufs tell their own, which is enough for what
/// they hold and for links to each other.
#[test]
fn without_addresses() {
    let whole = came_in(b"hello", 12);
    let mut page = Page::new();
    page.mbuf(2, 0, &whole[..42]);
    page.mbuf(3, 0, &whole[42..]);
    page.link(2, Some(3), None);
    let image = page.image().blind();
    let found = scanned(&image, 4096);
    let implied: Vec<_> = found.mbufs.iter().map(implied_address).collect();
    assert_eq!(implied, [Some(BASE + 0x200), Some(BASE + 0x300)]);
    let packet = only(assemble(&image, found).0);
    check_hello(&packet, 64);
}

/// Hostile links cost no more than the bounds allow.
#[test]
fn long_chains_and_many_links_are_bounded() {
    let whole = came_in(b"hello", 12);
    let mut page = Page::new();
    page.0.resize(256 * 200, 0);
    page.mbuf(0, 0, &whole[..40]);
    for slot in 1..200 {
        page.mbuf(slot, 0, b"x");
        page.link(slot - 1, Some(slot), None);
    }
    page.put(32 + 2, &239u16.to_be_bytes());
    page.put(32 + 10, &219u16.to_be_bytes());
    let packet = only(carved(&page.image()).0);
    assert_eq!(packet.mbufs.len(), 64);
    assert_eq!(packet.cut, Some("too many mbufs"));
}

#[test]
fn zones_of_link_local_addresses_are_taken_out() {
    let mut bytes = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
    for last in [1, 2] {
        let mut address = [0; 16];
        address[..4].copy_from_slice(&[0xfe, 0x80, 0, 3]);
        address[15] = last;
        bytes.extend(address);
    }
    bytes.extend([0x30, 0x39, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x10, 1, 0]);
    // fe80 + 1 + fe80 + 2 + 20 + 6 = 1fd1d, folded.
    bytes.extend([0xfd, 0x1e, 0, 0]);
    let mut page = Page::new();
    page.mbuf(2, 0, &bytes);
    let packet = only(carved(&page.image()).0);
    assert_eq!(packet.direction, Some(Direction::Out));
    assert_eq!(packet.bytes[10..12], [0, 0]);
    assert!(super::checksums_hold(&packet));
    assert_eq!(
        packet.repaired,
        ["link-local address: zone taken out", "th_sum: computed"]
    );
}

/// Damage of any kind costs packets, not the program.
#[test]
fn damage_is_survived() {
    let whole = came_in(b"hello", 12);
    let mut page = Page::new();
    page.mbuf(2, 0, &whole[..42]);
    page.mbuf(3, 0, &whole[42..]);
    page.link(2, Some(3), Some(4));
    page.mbuf(4, 16, &whole);
    page.queues(0x808, 2, 4, 2);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut found = [0; 3];
    for _ in 0..20_000 {
        let mut data = page.0.clone();
        for _ in 0..4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = 0x200 + (state >> 16) as usize % 0x640;
            data[at] = state as u8;
        }
        let (packets, _) = carved(&Image::flat(data, Some(BASE)));
        for packet in &packets {
            assert!(packet.bytes.len() <= 70_000 && packet.payload.end == packet.bytes.len());
        }
        found[packets.len()] += 1;
    }
    assert!(found.iter().all(|&count| count > 0), "{found:?}");
}

/// A freed mbuf may point to one that has begun another packet since.
#[test]
fn a_freed_chain_ends_where_another_packet_begins() {
    let whole = came_in(&[b'x'; 100], 12);
    let mut page = Page::new();
    page.mbuf(2, 0, &whole[..40]);
    page.mbuf(3, 16, &came_in(b"hello", 12));
    page.link(2, Some(3), None);
    let (packets, _) = carved(&page.image());
    assert_eq!(packets.len(), 2);
    assert_eq!(packets[0].bytes.len(), 40);
    assert_eq!(packets[0].cut, Some("the next mbuf is another's now"));
    check_hello(&packets[1], 64);
}
