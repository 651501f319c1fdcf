//! Every offset and size that is known of the format, against what the loaded
//! formats say; names by release; and loading a directory of formats.

mod support;

use std::collections::BTreeSet;
use std::fs;
use tcplog::format::layout::Layout;
use tcplog::format::listing::{self, ListingError};
use tcplog::format::{Abi, Dialect, EventId, FormatError, Formats, Order, Release, structures};

fn dialect(version: u32, abi: Abi, order: Order) -> &'static Dialect {
    Formats::builtin()
        .dialect(version, abi, order)
        .unwrap_or_else(|| panic!("no dialect v{version} {abi} {order}"))
}

/// `(offset, size, name)` of every field, in order.
fn places(layout: &Layout) -> Vec<(usize, usize, &str)> {
    layout
        .fields
        .iter()
        .map(|field| (field.offset, field.size, field.name.as_str()))
        .collect()
}

/// The same, without what lies inside `part`.
fn places_outside<'a>(layout: &'a Layout, part: &str) -> Vec<(usize, usize, &'a str)> {
    let mut places = places(layout);
    places.retain(|(_, _, name)| !name.starts_with(part));
    places
}

const HEADER_LP64: &[(usize, usize, &str)] = &[
    (0, 4, "tlh_version"),
    (4, 4, "tlh_type"),
    (8, 8, "tlh_length"),
    (16, 2, "tlh_ie.ie_fport"),
    (18, 2, "tlh_ie.ie_lport"),
    (20, 16, "tlh_ie.ie_faddr"),
    (36, 16, "tlh_ie.ie_laddr"),
    (52, 4, "tlh_ie.ie6_zoneid"),
    (56, 8, "tlh_offset.tv_sec"),
    (64, 8, "tlh_offset.tv_usec"),
    (72, 64, "tlh_id"),
    (136, 32, "tlh_reason"),
    (168, 32, "tlh_tag"),
    (200, 1, "tlh_af"),
    (201, 7, "_pad"),
];

const RECORD_V9_LP64: &[(usize, usize, &str)] = &[
    (0, 8, "tlb_tv.tv_sec"),
    (8, 8, "tlb_tv.tv_usec"),
    (16, 4, "tlb_ticks"),
    (20, 4, "tlb_sn"),
    (24, 1, "tlb_stackid"),
    (25, 1, "tlb_eventid"),
    (26, 2, "tlb_eventflags"),
    (28, 4, "tlb_errno"),
    (32, 4, "tlb_rxbuf.acc"),
    (36, 4, "tlb_rxbuf.ccc"),
    (40, 4, "tlb_rxbuf.spare"),
    (44, 4, "tlb_txbuf.acc"),
    (48, 4, "tlb_txbuf.ccc"),
    (52, 4, "tlb_txbuf.spare"),
    (56, 4, "tlb_state"),
    (60, 4, "tlb_starttime"),
    (64, 4, "tlb_iss"),
    (68, 4, "tlb_flags"),
    (72, 4, "tlb_snd_una"),
    (76, 4, "tlb_snd_max"),
    (80, 4, "tlb_snd_cwnd"),
    (84, 4, "tlb_snd_nxt"),
    (88, 4, "tlb_snd_recover"),
    (92, 4, "tlb_snd_wnd"),
    (96, 4, "tlb_snd_ssthresh"),
    (100, 4, "tlb_srtt"),
    (104, 4, "tlb_rttvar"),
    (108, 4, "tlb_rcv_up"),
    (112, 4, "tlb_rcv_adv"),
    (116, 4, "tlb_flags2"),
    (120, 4, "tlb_rcv_nxt"),
    (124, 4, "tlb_rcv_wnd"),
    (128, 4, "tlb_dupacks"),
    (132, 4, "tlb_segqlen"),
    (136, 4, "tlb_snd_numholes"),
    (140, 4, "tlb_flex1"),
    (144, 4, "tlb_flex2"),
    (148, 4, "tlb_fbyte_in"),
    (152, 4, "tlb_fbyte_out"),
    (156, 1, "tlb_snd_scale"),
    (156, 1, "tlb_rcv_scale"),
    (157, 3, "_pad"),
    (264, 4, "tlb_len"),
    (268, 20, "tlb_th"),
    (288, 40, "tlb_opts"),
];

/// Versions 6 to 8 from offset 116 on; before, they are as version 9.
const RECORD_V6_LP64_TAIL: &[(usize, usize, &str)] = &[
    (116, 4, "tlb_rcv_nxt"),
    (120, 4, "tlb_sack_newdata"),
    (124, 4, "tlb_rcv_wnd"),
    (128, 4, "tlb_dupacks"),
    (132, 4, "tlb_segqlen"),
    (136, 4, "tlb_snd_numholes"),
    (140, 4, "tlb_flex1"),
    (144, 4, "tlb_flex2"),
    (148, 1, "tlb_snd_scale"),
    (148, 1, "tlb_rcv_scale"),
    (149, 3, "_pad"),
    (256, 4, "tlb_len"),
    (260, 20, "tlb_th"),
    (280, 40, "tlb_opts"),
];

const RECORD_V9_I386: &[(usize, &str)] = &[
    (0, "tlb_tv.tv_sec"),
    (4, "tlb_tv.tv_usec"),
    (8, "tlb_ticks"),
    (12, "tlb_sn"),
    (16, "tlb_stackid"),
    (17, "tlb_eventid"),
    (18, "tlb_eventflags"),
    (20, "tlb_errno"),
    (24, "tlb_rxbuf.acc"),
    (36, "tlb_txbuf.acc"),
    (48, "tlb_state"),
    (52, "tlb_starttime"),
    (56, "tlb_iss"),
    (60, "tlb_flags"),
    (64, "tlb_snd_una"),
    (68, "tlb_snd_max"),
    (72, "tlb_snd_cwnd"),
    (76, "tlb_snd_nxt"),
    (80, "tlb_snd_recover"),
    (84, "tlb_snd_wnd"),
    (88, "tlb_snd_ssthresh"),
    (92, "tlb_srtt"),
    (96, "tlb_rttvar"),
    (100, "tlb_rcv_up"),
    (104, "tlb_rcv_adv"),
    (108, "tlb_flags2"),
    (112, "tlb_rcv_nxt"),
    (116, "tlb_rcv_wnd"),
    (120, "tlb_dupacks"),
    (124, "tlb_segqlen"),
    (128, "tlb_snd_numholes"),
    (132, "tlb_flex1"),
    (136, "tlb_flex2"),
    (140, "tlb_fbyte_in"),
    (144, "tlb_fbyte_out"),
    (148, "tlb_snd_scale"),
    (148, "tlb_rcv_scale"),
    (152, "tlb_stackinfo.cur_del_rate"),
    (256, "tlb_len"),
    (260, "tlb_th"),
    (280, "tlb_opts"),
];

/// Relative to the start of the union.
const BBR: &[(usize, usize, &str)] = &[
    (0, 8, "cur_del_rate"),
    (8, 8, "delRate"),
    (16, 8, "rttProp"),
    (24, 8, "bw_inuse"),
    (32, 4, "inflight"),
    (36, 4, "applimited"),
    (40, 4, "delivered"),
    (44, 4, "timeStamp"),
    (48, 4, "epoch"),
    (52, 4, "lt_epoch"),
    (56, 4, "pkts_out"),
    (60, 4, "flex1"),
    (64, 4, "flex2"),
    (68, 4, "flex3"),
    (72, 4, "flex4"),
    (76, 4, "flex5"),
    (80, 4, "flex6"),
    (84, 4, "lost"),
    (88, 2, "pacing_gain"),
    (90, 2, "cwnd_gain"),
    (92, 2, "flex7"),
    (94, 1, "bbr_state"),
    (95, 1, "bbr_substate"),
    (96, 1, "inhpts"),
    (97, 1, "ininput"),
    (98, 1, "use_lt_bw"),
    (99, 1, "flex8"),
    (100, 4, "pkt_epoch"),
];

#[test]
fn header_lp64() {
    for version in [7, 8, 9] {
        let header = &dialect(version, Abi::Lp64, Order::Little).header;
        assert_eq!(places(header), HEADER_LP64, "v{version}");
        assert_eq!(header.size, 208, "v{version}");
    }
    let header = &dialect(6, Abi::Lp64, Order::Little).header;
    let mut without_tag = HEADER_LP64[..12].to_vec();
    without_tag.extend([(168, 1, "tlh_af"), (169, 7, "_pad")]);
    assert_eq!(places(header), without_tag);
    assert_eq!(header.size, 176);
}

#[test]
fn header_i386() {
    let head = [
        (56, 4, "tlh_offset.tv_sec"),
        (60, 4, "tlh_offset.tv_usec"),
        (64, 64, "tlh_id"),
        (128, 32, "tlh_reason"),
    ];
    let header = &dialect(9, Abi::I386, Order::Little).header;
    let mut v9 = HEADER_LP64[..8].to_vec();
    v9.extend(head);
    v9.extend([(160, 32, "tlh_tag"), (192, 1, "tlh_af"), (193, 7, "_pad")]);
    assert_eq!(places(header), v9);
    assert_eq!(header.size, 200);

    let header = &dialect(6, Abi::I386, Order::Little).header;
    let mut v6 = HEADER_LP64[..8].to_vec();
    v6.extend(head);
    v6.extend([(160, 1, "tlh_af"), (161, 7, "_pad")]);
    assert_eq!(places(header), v6);
    assert_eq!(header.size, 168);
}

#[test]
fn record_v9_lp64() {
    let record = &dialect(9, Abi::Lp64, Order::Little).record;
    assert_eq!(places_outside(record, "tlb_stackinfo"), RECORD_V9_LP64);
    assert_eq!(record.size, 328);
    for &(offset, size, name) in BBR {
        let field = record.field(&format!("tlb_stackinfo.{name}")).expect(name);
        assert_eq!((field.offset, field.size), (160 + offset, size), "{name}");
    }
}

#[test]
fn record_v6_to_v8_lp64() {
    for version in [6, 7, 8] {
        let record = &dialect(version, Abi::Lp64, Order::Little).record;
        let mut expected = RECORD_V9_LP64.to_vec();
        expected.retain(|(offset, ..)| *offset < 116);
        expected.extend(RECORD_V6_LP64_TAIL);
        if version == 8 {
            for place in &mut expected {
                if place.2 == "tlb_sack_newdata" {
                    place.2 = "tlb_flex3";
                }
            }
        }
        let places = places_outside(record, "tlb_stackinfo");
        assert_eq!(places, expected, "v{version}");
        assert_eq!(record.size, 320, "v{version}");
        for &(offset, size, name) in BBR {
            let field = record.field(&format!("tlb_stackinfo.{name}")).expect(name);
            assert_eq!((field.offset, field.size), (152 + offset, size), "{name}");
        }
    }
}

#[test]
fn record_i386() {
    let record = &dialect(9, Abi::I386, Order::Little).record;
    for &(offset, name) in RECORD_V9_I386 {
        assert_eq!(record.field(name).expect(name).offset, offset, "{name}");
    }
    assert_eq!(record.size, 320);
    // Everything after the time is 8 lower than on LP64, in every version.
    for (version, size) in [(6, 312), (7, 312), (8, 312), (9, 320)] {
        let record = &dialect(version, Abi::I386, Order::Little).record;
        let wide = &dialect(version, Abi::Lp64, Order::Little).record;
        assert_eq!(record.size, size, "v{version}");
        for field in wide.fields.iter().filter(|f| f.offset >= 16) {
            let narrow = record.field(&field.name).expect(&field.name);
            let place = (field.offset - 8, field.size);
            assert_eq!((narrow.offset, narrow.size), place, "{}", field.name);
        }
    }
}

#[test]
fn ilp32_with_64_bit_time_differs_from_lp64_in_the_microseconds_only() {
    for version in [6, 7, 8, 9] {
        let wide = dialect(version, Abi::Lp64, Order::Big);
        let narrow = dialect(version, Abi::Ilp32Time64, Order::Big);
        for (wide, narrow) in [
            (&wide.header, &narrow.header),
            (&wide.record, &narrow.record),
            (&wide.verbose, &narrow.verbose),
        ] {
            assert_eq!(wide.size, narrow.size);
            for (wide, narrow) in wide.fields.iter().zip(&narrow.fields) {
                assert_eq!(wide.name, narrow.name);
                assert_eq!(wide.offset, narrow.offset, "{}", wide.name);
                let size = if wide.name.ends_with("tv_usec") {
                    4
                } else {
                    wide.size
                };
                assert_eq!(narrow.size, size, "{}", wide.name);
            }
        }
    }
    // A big-endian machine keeps tv_usec in the first four of the eight bytes.
    let dialect = dialect(9, Abi::Ilp32Time64, Order::Big);
    let mut record = vec![0xff; dialect.record.size];
    record[8..12].copy_from_slice(&999_999u32.to_be_bytes());
    let usec = dialect.record_slots.tv_usec;
    assert_eq!(usec.read_signed(&record, Order::Big), 999_999);
}

#[test]
fn byte_order_moves_no_field() {
    for version in [6, 7, 8, 9] {
        for abi in Abi::ALL {
            let little = dialect(version, abi, Order::Little);
            let big = dialect(version, abi, Order::Big);
            assert_eq!(little.header, big.header);
            assert_eq!(little.record, big.record);
            assert_eq!(little.verbose, big.verbose);
        }
    }
}

#[test]
fn scales_are_nibbles_whose_order_is_that_of_the_machine() {
    for (version, abi, offset) in [
        (9, Abi::Lp64, 156),
        (9, Abi::I386, 148),
        (9, Abi::Ilp32Time64, 156),
        (6, Abi::Lp64, 148),
        (6, Abi::I386, 140),
    ] {
        for (order, snd, rcv) in [(Order::Little, 0x7, 0x9), (Order::Big, 0x9, 0x7)] {
            let dialect = dialect(version, abi, order);
            let mut record = vec![0; dialect.record.size];
            record[offset] = 0x97;
            let slots = &dialect.record_slots;
            assert_eq!(
                slots.snd_scale.read(&record, order),
                snd,
                "{}",
                dialect.name()
            );
            assert_eq!(
                slots.rcv_scale.read(&record, order),
                rcv,
                "{}",
                dialect.name()
            );
        }
    }
}

#[test]
fn slots_read_the_bytes_at_their_offsets() {
    // Each byte holds its own offset, so a value shows where it was read.
    let record: Vec<u8> = (0..328).map(|at| at as u8).collect();
    let little = dialect(9, Abi::Lp64, Order::Little);
    let big = dialect(9, Abi::Lp64, Order::Big);
    let (l, b) = (&little.record_slots, &big.record_slots);
    assert_eq!(l.sn.read(&record, Order::Little), 0x1716_1514);
    assert_eq!(b.sn.read(&record, Order::Big), 0x1415_1617);
    assert_eq!(l.eventflags.read(&record, Order::Little), 0x1b1a);
    assert_eq!(b.tv_usec.read(&record, Order::Big), 0x0809_0a0b_0c0d_0e0f);
    assert_eq!(l.stackid.read(&record, Order::Little), 24);
    assert_eq!(l.eventid.read(&record, Order::Little), 25);
    assert_eq!(l.th.bytes(&record), &record[268..288]);
    assert_eq!(l.opts.bytes(&record), &record[288..328]);
    // What lies past the end reads as nothing, never as a panic.
    assert_eq!(l.sn.read(&record[..23], Order::Little), 0);
    assert!(l.opts.bytes(&record[..300]).is_empty());
    // What a version does not have.
    let old = dialect(6, Abi::Lp64, Order::Little);
    assert!(!old.record_slots.flags2.exists());
    assert!(!old.record_slots.fbyte_in.exists());
    assert!(!old.record_slots.fbyte_out.exists());
    assert!(!old.header_slots.tag.exists());
    assert_eq!(old.record_slots.flags2.read(&record, Order::Little), 0);
}

#[test]
fn verbose_part_is_the_same_everywhere() {
    for dialect in &Formats::builtin().dialects {
        let expected = [
            (0, 32, "tlv_snd_frm"),
            (32, 32, "tlv_trace_func"),
            (64, 4, "tlv_trace_line"),
            (68, 4, "_pad"),
        ];
        assert_eq!(places(&dialect.verbose), expected, "{}", dialect.name());
        assert_eq!(dialect.verbose.size, 72);
        assert_eq!(dialect.record_len(0x17), dialect.record.size);
        assert_eq!(dialect.record_len(0x1f), dialect.record.size + 72);
    }
    assert_eq!(dialect(9, Abi::Lp64, Order::Little).record_len(0x08), 400);
}

#[test]
fn union_views() {
    let view_names = |version| -> Vec<&str> {
        let record = &dialect(version, Abi::Lp64, Order::Little).record;
        record
            .views
            .iter()
            .map(|v| v.layout.name.as_str())
            .collect()
    };
    assert_eq!(view_names(6), ["tcp_log_bbr", "tcp_log_rack"]);
    let all = [
        "tcp_log_bbr",
        "tcp_log_rack",
        "tcp_log_raw",
        "tcp_log_raw64",
        "tcp_log_sendfile",
    ];
    assert_eq!(view_names(9), all);

    for dialect in &Formats::builtin().dialects {
        let record = &dialect.record;
        let view = |name: &str| -> &Layout { &record.view(name).expect(name).layout };
        assert_eq!(places(view("tcp_log_bbr")), BBR, "{}", dialect.name());
        assert_eq!(view("tcp_log_bbr").size, 104);
        let rack = [(0, 4, "rtt"), (4, 1, "state")];
        assert_eq!(places(view("tcp_log_rack")), rack);
        let start = dialect.record_slots.stackinfo.offset;
        for view in &record.views {
            assert_eq!(view.offset, usize::from(start));
            assert_eq!(view.field, "tlb_stackinfo");
            assert!(view.layout.size <= 104);
        }
        if dialect.version != 9 {
            continue;
        }
        let raw = [
            (0, 32, "u64_flex"),
            (32, 56, "u32_flex"),
            (88, 6, "u16_flex"),
            (94, 6, "u8_flex"),
            (100, 4, "u32_flex2"),
        ];
        assert_eq!(places(view("tcp_log_raw")), raw);
        assert_eq!(places(view("tcp_log_raw64")), [(0, 104, "u64_flex")]);
        let sendfile = [(0, 8, "offset"), (8, 8, "length"), (16, 4, "flags")];
        assert_eq!(places(view("tcp_log_sendfile")), sendfile);
    }
}

#[test]
fn every_version_has_every_dialect() {
    let formats = Formats::builtin();
    let versions: Vec<u32> = formats.versions.iter().map(|v| v.number).collect();
    assert_eq!(versions, [6, 7, 8, 9]);
    assert_eq!(formats.dialects.len(), 4 * 3 * 2);
    assert!(Formats::canonical().is_canonical());
    let sizes = |version, abi| {
        let dialect = dialect(version, abi, Order::Little);
        (dialect.header.size, dialect.record.size)
    };
    assert_eq!(sizes(9, Abi::Lp64), (208, 328));
    assert_eq!(sizes(9, Abi::I386), (200, 320));
    assert_eq!(sizes(9, Abi::Ilp32Time64), (208, 328));
    assert_eq!(sizes(8, Abi::Lp64), (208, 320));
    assert_eq!(sizes(7, Abi::Lp64), (208, 320));
    assert_eq!(sizes(6, Abi::Lp64), (176, 320));
    assert_eq!(sizes(6, Abi::I386), (168, 312));
}

fn event_name(id: u8, release: Release) -> String {
    Formats::builtin()
        .events
        .name(EventId(id), release)
        .to_string()
}

#[test]
fn event_names_by_release() {
    // 12.0, 12, 13.0, 13, 14, 15, main
    let changed: [(u8, &str); 15] = [
        (4, "TF_ACK TF_ACK TF_ACK SB_WAKE SB_WAKE SB_WAKE SB_WAKE"),
        (
            5,
            "BAD_RETRAN BAD_RETRAN BAD_RETRAN BAD_RETRAN BAD_RETRAN UNUSED_5 UNUSED_5",
        ),
        (
            7,
            "REORDER REORDER REORDER REORDER REORDER UNUSED_7 UNUSED_7",
        ),
        (8, "PACER HPTS HPTS HPTS HPTS HPTS HPTS"),
        (
            12,
            "INQUEUE INQUEUE INQUEUE INQUEUE INQUEUE UNUSED_12 UNUSED_12",
        ),
        (
            30,
            "EXTRACWNDGAIN EXTRACWNDGAIN EXTRACWNDGAIN MAPCHG MAPCHG MAPCHG MAPCHG",
        ),
        (
            32,
            "UNUSED_32 RSM_CLEARED RSM_CLEARED RSM_CLEARED RSM_CLEARED RSM_CLEARED RSM_CLEARED",
        ),
        (
            33,
            "UNUSED_33 STATE_TARGET STATE_TARGET STATE_TARGET STATE_TARGET STATE_TARGET \
             STATE_TARGET",
        ),
        (
            37,
            "PACERDIAG HPTSDIAG HPTSDIAG HPTSDIAG HPTSDIAG HPTSDIAG HPTSDIAG",
        ),
        (
            43,
            "PACING_CALC HPTSI_CALC HPTSI_CALC HPTSI_CALC HPTSI_CALC HPTSI_CALC HPTSI_CALC",
        ),
        (
            49,
            "SRTT_GAIN_EVENT SRTT_GAIN_EVENT SRTT_GAIN_EVENT SRTT_GAIN_EVENT SRTT_GAIN_EVENT \
             UNUSED_49 UNUSED_49",
        ),
        // Where a release has no such number, the newest name is better than none.
        (
            51,
            "HDWR_PACE_SIZE HDWR_TLS HDWR_TLS HDWR_PACE_SIZE HDWR_PACE_SIZE HDWR_PACE_SIZE \
             HDWR_PACE_SIZE",
        ),
        (
            57,
            "UNUSED_57 SAD_DETECTION SAD_DETECTION SAD_DETECTION SAD_DETECT UNUSED_57 UNUSED_57",
        ),
        (
            59,
            "UNUSED_59 UNUSED_59 USER_EVENT USER_EVENT USER_EVENT UNUSED_59 UNUSED_59",
        ),
        (61, "REQ_T REQ_T HTTP_T HTTP_T REQ_T REQ_T REQ_T"),
    ];
    for (id, names) in changed {
        assert_eq!(names.split_whitespace().count(), Release::ALL.len());
        for (release, name) in Release::ALL.into_iter().zip(names.split_whitespace()) {
            assert_eq!(event_name(id, release), name, "{id} in {release}");
        }
    }
    // All others have one name.
    for id in (1..=72).filter(|id| !changed.iter().any(|(c, _)| c == id)) {
        let names: BTreeSet<String> = Release::ALL.map(|r| event_name(id, r)).into();
        assert_eq!(names.len(), 1, "{id}: {names:?}");
        assert!(!names.contains(&id.to_string()), "{id} has no name");
    }
    assert_eq!(event_name(1, Release::Main), "IN");
    assert_eq!(event_name(13, Release::R13_0), "TIMERSTAR");
    assert_eq!(event_name(67, Release::Main), "COLLAPSE");
    assert_eq!(event_name(72, Release::Main), "PCM_MEASURE");
    assert_eq!(event_name(0, Release::Main), "0");
    assert_eq!(event_name(73, Release::Main), "73");
    assert_eq!(event_name(203, Release::R13_0), "203");
}

#[test]
fn highest_event_of_each_release() {
    let highest = [50, 57, 61, 70, 70, 72, 72];
    for (release, highest) in Release::ALL.into_iter().zip(highest) {
        let events = Formats::builtin().events.iter();
        let known = events.filter(|e| e.range().contains(release));
        let ids: Vec<u8> = known.map(|e| e.id).collect();
        // Each number once: ranges neither overlap nor leave holes.
        assert_eq!(ids, (1..=highest).collect::<Vec<u8>>(), "{release}");
    }
}

#[test]
fn events_are_found_by_any_name_they_had() {
    let events = &Formats::builtin().events;
    let find = |text| -> Vec<u8> { events.find(text).iter().map(|id| id.0).collect() };
    assert_eq!(find("TIMERSTAR"), [13]);
    assert_eq!(find("timerstar"), [13]);
    assert_eq!(find("BBR_LOG_TIMERSTAR"), [13]);
    assert_eq!(find("EXTRACWNDGAIN"), [30]);
    assert_eq!(find("mapchg"), [30]);
    assert_eq!(find("HTTP_T"), [61]);
    assert_eq!(find("RTO"), [3, 26]);
    assert_eq!(find("TCP_LOG_RTO"), [3]);
    assert_eq!(find("BBR_LOG_RTO"), [26]);
    assert_eq!(find("203"), [203]);
    assert!(find("256").is_empty());
    assert!(find("").is_empty());
}

#[test]
fn event_constants_and_views() {
    let formats = Formats::builtin();
    let get = |id, release| formats.events.get(EventId(id), release).expect("known");
    assert_eq!(get(3, Release::R13).says, "retransmission timeout");
    assert_eq!(
        get(3, Release::R14).says,
        "TCP timer started, stopped or fired"
    );
    assert_eq!(get(64, Release::Main).constant, "RACK_DSACK_HANDLING");
    assert_eq!(get(62, Release::Main).view, "tcp_log_raw64");
    assert_eq!(get(60, Release::Main).view, "tcp_log_sendfile");
    let record = &Formats::canonical().record;
    for event in &formats.events {
        assert!(
            record.view(&event.view).is_some(),
            "{}: {}",
            event.name,
            event.view
        );
        assert!(event.constant.ends_with(&event.name), "{}", event.constant);
        let first = event.says.chars().next().expect("says something");
        let acronym = event.says.chars().take(2).all(char::is_uppercase);
        let name = ["Timely", "HyStart++"]
            .iter()
            .any(|n| event.says.starts_with(n));
        assert!(first.is_lowercase() || acronym || name, "{}", event.says);
    }
    assert_eq!(
        get(EventId::STACK_RTO.0, Release::Main).constant,
        "BBR_LOG_RTO"
    );
    for (id, name) in [
        (EventId::IN, "IN"),
        (EventId::OUT, "OUT"),
        (EventId::RTO, "RTO"),
        (EventId::SB_WAKE, "SB_WAKE"),
        (EventId::BBRSND, "BBRSND"),
        (EventId::TIMERSTAR, "TIMERSTAR"),
        (EventId::TIMERCANC, "TIMERCANC"),
        (EventId::FLOWEND, "FLOWEND"),
        (EventId::USERSEND, "USERSEND"),
        (EventId::SOCKET_OPT, "SOCKET_OPT"),
        (EventId::HPTSI_CALC, "HPTSI_CALC"),
        (EventId::REASS, "REASS"),
        (EventId::CONNEND, "CONNEND"),
        (EventId::SENDFILE, "SENDFILE"),
        (EventId::REQ_T, "REQ_T"),
        (EventId::ACCOUNTING, "ACCOUNTING"),
        (EventId::PRU, "PRU"),
    ] {
        assert_eq!(get(id.0, Release::Main).name, name);
    }
}

fn bits(table: &str, value: u64, release: Release) -> String {
    let table = Formats::builtin().bits(table).expect(table);
    table.names(value, release).to_string()
}

#[test]
fn flag_names_by_release() {
    let t_flags = |value, release| bits("tlb_flags", value, release);
    for (release, w, x, y, z) in [
        (
            Release::R12_0,
            "LQ_OVERFLOW",
            "ECN_PERMIT",
            "ECN_SND_CWR",
            "ECN_SND_ECE",
        ),
        (
            Release::R12,
            "LQ_OVERFLOW",
            "ECN_PERMIT",
            "ECN_SND_CWR",
            "ECN_SND_ECE",
        ),
        (
            Release::R13_0,
            "LQ_OVERFLOW",
            "WAKESOW",
            "0x8000000",
            "0x10000000",
        ),
        (Release::R13, "LQ_OVERFLOW", "WAKESOW", "0x8000000", "LRD"),
        (Release::R14, "SONOTCONN", "CLOSED", "0x8000000", "LRD"),
        (Release::Main, "SONOTCONN", "CLOSED", "SENTSYN", "LRD"),
    ] {
        assert_eq!(t_flags(0x0002_0000, release), w, "{release}");
        assert_eq!(t_flags(0x0400_0000, release), x, "{release}");
        assert_eq!(t_flags(0x0800_0000, release), y, "{release}");
        assert_eq!(t_flags(0x1000_0000, release), z, "{release}");
    }
    assert_eq!(
        t_flags(0x0100_03e4, Release::Main),
        "NODELAY|REQ_SCALE|RCVD_SCALE|REQ_TSTMP|RCVD_TSTMP|SACK_PERMIT|TSO"
    );
    let t_flags2 = |value, release| bits("tlb_flags2", value, release);
    assert_eq!(
        t_flags2(0x402, Release::R13_0),
        "PLPMTU_PMTUD|FBYTES_COMPLETE"
    );
    assert_eq!(t_flags2(0x200, Release::R13_0), "0x200");
    assert_eq!(
        t_flags2(0x40_0200, Release::Main),
        "HPTS_CPU_SET|NO_ISS_CHECK"
    );
    assert_eq!(
        t_flags2(0x8000_0001, Release::Main),
        "PLPMTU_BLACKHOLE|0x80000000"
    );
    let flags = |value| bits("tlb_eventflags", value, Release::Main);
    assert_eq!(flags(0x1f), "RXBUF|TXBUF|HDR|VERBOSE|STACKINFO");
    assert_eq!(flags(0x20), "0x20");
    assert_eq!(
        bits("pacer_timer_mask", 0x48, Release::Main),
        "RXT|PKT_OUTPUT"
    );
    assert_eq!(bits("req_track_flags", 0x21, Release::Main), "USED|LSND");
}

#[test]
fn every_bit_of_the_state_flags_has_one_name_in_main() {
    let table = Formats::builtin().bits("tlb_flags").expect("tlb_flags");
    let set: Vec<u64> = table.set(u64::MAX, Release::Main).map(|b| b.mask).collect();
    assert_eq!(set, (0..32).map(|bit| 1 << bit).collect::<Vec<u64>>());
    let table = Formats::builtin().bits("tlb_flags2").expect("tlb_flags2");
    let set: Vec<u64> = table.set(u64::MAX, Release::Main).map(|b| b.mask).collect();
    assert_eq!(set, (0..23).map(|bit| 1 << bit).collect::<Vec<u64>>());
}

#[test]
fn code_tables() {
    let formats = Formats::builtin();
    let code = |table: &str, value| {
        let table = formats
            .codes(table)
            .unwrap_or_else(|| panic!("no table {table}"));
        table.get(value, Release::Main)
    };
    // Name, first value and its name, last value and its name, entries.
    let tables = [
        ("address_families", (2, "INET"), (28, "INET6"), 2),
        ("tcp_states", (0, "CLOSED"), (10, "TIME_WAIT"), 11),
        ("log_states", (-2, "RATIO_OFF"), (6, "VIA_BBPOINTS"), 9),
        ("pru_requests", (0, "ATTACH"), (25, "FLUSH"), 26),
        ("timers", (0, "REXMT"), (4, "DELACK"), 5),
        ("timer_actions", (0, "PROCESSING"), (3, "STOPPING"), 4),
        ("just_return_reasons", (0, "PACING"), (6, "PRR"), 7),
        ("stack_timers", (1, "RTO"), (255, "USER_CLOSE"), 7),
        ("bbr_states", (1, "STARTUP"), (5, "IDLE_EXIT"), 5),
        ("bbr_substates", (0, "GAIN"), (7, "LEVEL6"), 8),
        ("bbr_rtt_reasons", (0, "INIT"), (11, "RESETS_VALUES"), 12),
        ("reass_actions", (1, "ADD"), (11, "TRIM"), 11),
        ("req_actions", (1, "NEW"), (8, "SEARCH"), 8),
        ("end_info", (1, "CLIENT_FIN"), (11, "2MSL"), 11),
        ("hybrid_pacing", (0, "NO_ROOM"), (15, "SENT_LOST"), 16),
        ("hardware_pacing", (0, "ACQUIRED"), (99, "QUEUE"), 8),
        ("trace_points", (1, "HWENOBUF"), (11, "PACED_BOTTOM"), 10),
    ];
    for (name, (low, first), (high, last), entries) in tables {
        assert_eq!(code(name, low), Some(first), "{name}");
        assert_eq!(code(name, high), Some(last), "{name}");
        assert_eq!(code(name, low - 1), None, "{name}");
        assert_eq!(code(name, high + 1), None, "{name}");
        let count = formats.codes(name).map(|table| table.iter().count());
        assert_eq!(count, Some(entries), "{name}");
    }
    assert_eq!(formats.codes.len(), tables.len());
    assert_eq!(code("tcp_states", 4), Some("ESTABLISHED"));
    assert_eq!(code("pru_requests", 18), Some("FASTTIMO"));
    assert_eq!(code("trace_points", 9), None);
    let log_states = formats.codes("log_states").expect("log_states");
    assert_eq!(log_states.get(-2, Release::R13), None);
    assert_eq!(log_states.get(-2, Release::R14), Some("RATIO_OFF"));
}

#[test]
fn a_directory_adds_to_the_embedded_formats_and_replaces() {
    let dir = tempfile::tempdir().expect("temporary directory");
    fs::write(
        dir.path().join("local.toml"),
        r#"
        event = [
            { id = 57, name = "LOCAL", constant = "TCP_LOCAL", says = "something local" },
            { id = 200, name = "TWO_HUNDRED", constant = "TCP_TWO_HUNDRED", says = "new", view = "tcp_log_raw" },
        ]
        [[bits]]
        name = "tlb_eventflags"
        bit = [{ mask = 0x20, name = "NEW" }]
        [[codes]]
        name = "tcp_states"
        code = [{ value = 11, name = "ELEVEN" }]
        [[codes]]
        name = "local_codes"
        code = [{ value = 1, name = "ONE" }]
        "#,
    )
    .expect("written");
    // A version that is new: as version 9, with one field more at the end.
    let v9 = include_str!("../formats/v9.toml")
        .replace("version = 9", "version = 10")
        .replace(
            r#"["u8[40]", "tlb_opts", "TCP options"],"#,
            r#"["u8[40]", "tlb_opts", "TCP options"], ["u64", "tlb_more", "more"],"#,
        );
    fs::write(dir.path().join("v10.toml"), v9).expect("written");
    fs::write(dir.path().join("README"), "not a format file").expect("written");

    let formats = Formats::load(Some(dir.path())).expect("loads");
    for release in Release::ALL {
        assert_eq!(
            formats.events.name(EventId(57), release).as_str(),
            Some("LOCAL")
        );
    }
    assert_eq!(formats.events.find("SAD_DETECT"), []);
    assert_eq!(formats.events.find("two_hundred"), [EventId(200)]);
    assert_eq!(
        formats.events.name(EventId(1), Release::Main).as_str(),
        Some("IN")
    );
    let flags = formats.bits("tlb_eventflags").expect("replaced");
    assert_eq!(flags.names(0x21, Release::Main).to_string(), "NEW|0x1");
    let states = formats.codes("tcp_states").expect("replaced");
    assert_eq!(states.get(4, Release::Main), None);
    assert_eq!(states.get(11, Release::Main), Some("ELEVEN"));
    assert!(formats.codes("local_codes").is_some());
    assert!(formats.codes("timers").is_some());
    let new = formats
        .dialect(10, Abi::I386, Order::Big)
        .expect("version 10");
    assert_eq!(new.record.size, 328);
    assert_eq!(formats.dialects.len(), 5 * 3 * 2);
    assert!(Formats::canonical().is_canonical());
    assert!(listing::named(&formats, "v10").is_ok());
}

#[test]
fn a_mistake_in_a_format_file_names_the_file() {
    let v9 = include_str!("../formats/v9.toml");
    let mistakes = [
        ("event = [{ id = 1, name = ", "expected"),
        ("[[event]]\nid = 1\nname = \"A\"\nconstant = \"A\"", "says"),
        (
            "[[event]]\nid = 256\nname = \"A\"\nconstant = \"A\"\nsays = \"a\"",
            "256",
        ),
        (
            "[[event]]\nid = 1\nname = \"A\"\nconstant = \"A\"\nsays = \"a\"\nsince = \"13.7\"",
            "unknown release \"13.7\"",
        ),
        ("[[event]]\nid = 1\nnaem = \"A\"", "naem"),
        ("evnet = []", "evnet"),
        ("version = 11", "needs [header] and [record]"),
        (
            &v9.replace("\"u32\", \"tlb_sn\"", "\"u33\", \"tlb_sn\""),
            "unknown type u33",
        ),
        (&v9.replace("\"tlb_sn\"", "\"tlb_serial\""), "lacks a field"),
        (
            &v9.replace("[\"tcp_log_bbr\"", "[\"tcp_log_bbq\""),
            "tcp_log_bbq",
        ),
        (
            "[[bits]]\nname = \"t\"\nbit = [{ mask = 0, name = \"A\" }]",
            "mask is zero",
        ),
        (
            "[[struct]]\nname = \"tcp_log_bbr\"\nfields = [[\"u7\", \"flex1\", \"\"]]",
            "unknown type u7",
        ),
    ];
    for (text, says) in mistakes {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::write(dir.path().join("local.toml"), text).expect("written");
        let error = Formats::load(Some(dir.path())).expect_err(text).to_string();
        assert!(error.contains("local.toml"), "{error}");
        assert!(error.contains(says), "{says}: {error}");
    }
}

/// The groups of an event's payloads, with their stacks.
fn groups(formats: &Formats, event: u8) -> Vec<String> {
    let payloads = formats.payloads().iter();
    let of_event = payloads.filter(|payload| payload.event == EventId(event));
    let mut groups: Vec<String> = of_event
        .map(|payload| format!("{}.{}", payload.stack_name(), payload.name))
        .collect();
    groups.dedup();
    groups
}

#[test]
fn payloads_of_a_directory_replace_those_of_their_event_and_stack() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = r#"
        [[codes]]
        name = "local_reasons"
        code = [{ value = 1, name = "LOCAL" }]
        [[bits]]
        name = "local_bits"
        bit = [{ mask = 1, name = "ONE" }]
        [[codes]]
        name = "rack_send_kinds"
        code = [{ value = 0, name = "REPLACED" }]
        [[cells]]
        name = "local"
        fields = [["local_bits", "flex2", "flags local_bits", "some bits"]]
        [[payload]]
        event = 13
        name = "local"
        stack = "rack"
        with = ["rack", "local"]
        says = "local {reason}"
        fields = [["reason", "flex1", "code local_reasons", "why"]]
        [[payload]]
        event = 200
        name = "two_hundred"
        says = "new"
    "#;
    fs::write(dir.path().join("local.toml"), file).expect("written");
    let builtin = Formats::builtin();
    let formats = Formats::load(Some(dir.path())).expect("loads");
    // All variants of RACK's 13 are gone; BBR's 13 and RACK's 14 are not.
    assert_eq!(groups(builtin, 13), ["rack.timer", "bbr.timer"]);
    assert_eq!(groups(&formats, 13), ["bbr.timer", "rack.local"]);
    assert_eq!(groups(&formats, 14), groups(builtin, 14));
    assert_eq!(groups(&formats, 200), ["tcp.two_hundred"]);
    let local = text(&listing::named(&formats, "rack.local").expect("rack.local"));
    assert!(local.contains("code local_reasons"), "{local}");
    assert!(local.contains("flags local_bits"), "{local}");
    // What the embedded set of cells has besides.
    assert!(local.contains("time_us"), "{local}");
    let codes = &formats.payloads().codes;
    let code = |table: &str, value| {
        let table = codes.iter().find(|t| t.name == table).expect("a table");
        table.get(value, Release::Main).map(str::to_owned)
    };
    assert_eq!(code("local_reasons", 1).as_deref(), Some("LOCAL"));
    assert_eq!(code("rack_send_kinds", 0).as_deref(), Some("REPLACED"));
    assert_eq!(code("rack_send_kinds", 1), None);
    assert!(code("rack_map_changes", 1).is_some());

    // Of two files, the later one has the event.
    let later = "[[payload]]\nevent = 13\nname = \"later\"\nstack = \"rack\"\nsays = \"\"";
    fs::write(dir.path().join("zz.toml"), later).expect("written");
    let formats = Formats::load(Some(dir.path())).expect("loads");
    assert_eq!(groups(&formats, 13), ["bbr.timer", "rack.later"]);
    // Without its stack it is another payload, tried after those of the stack.
    let shared = later.replace("stack = \"rack\"\n", "");
    fs::write(dir.path().join("zz.toml"), shared).expect("written");
    let formats = Formats::load(Some(dir.path())).expect("loads");
    assert_eq!(
        groups(&formats, 13),
        ["bbr.timer", "rack.local", "tcp.later"]
    );
    let tried = formats.payloads().of(
        EventId(13),
        Some(tcplog::format::Stack::Rack),
        Release::Main,
    );
    let tried: Vec<&str> = tried.map(|payload| payload.name.as_str()).collect();
    assert_eq!(tried, ["local", "later"]);
}

#[test]
fn a_mistake_in_a_payload_names_its_own_file() {
    let payload = |event: u8, kind: &str| {
        format!(
            "[[payload]]\nevent = {event}\nname = \"local\"\nsays = \"\"\n\
             fields = [[\"a\", \"flex1\", \"{kind}\", \"\"]]\n"
        )
    };
    // Between two files without one.
    let around = [
        ("a.toml", payload(200, "us")),
        ("z.toml", payload(203, "us")),
    ];
    let set = "[[cells]]\nname = \"local\"\nfields = [[\"a\", \"flex1\", \"hours\", \"\"]]";
    let other_kind =
        "[[cells]]\nname = \"rack\"\nfields = [[\"time_us\", \"timeStamp\", \"us\", \"\"]]";
    let v9 = include_str!("../formats/stackinfo.toml").replace("\"flex8\"", "\"flex9\"");
    for (text, within, cause) in [
        (
            payload(201, "hours"),
            "payload local of event 201",
            "a: unknown kind \"hours\"",
        ),
        // It contradicts a.toml.
        (
            payload(201, "bytes"),
            "payload local of event 201",
            "a is bytes here and us elsewhere",
        ),
        // Of an embedded group.
        (
            payload(201, "us")
                .replace("\"a\"", "\"timers\"")
                .replace("name = \"local\"", "name = \"timer\"\nstack = \"rack\""),
            "payload timer of event 201",
            "timers is us here and flags pacer_timer_mask elsewhere",
        ),
        (set.to_owned(), "cells local", "a: unknown kind \"hours\""),
        // What embedded payloads use.
        (other_kind.to_owned(), "payload ", "time_us is"),
        (v9, "payload ", "\"flex8\" is no cell"),
    ] {
        let dir = tempfile::tempdir().expect("temporary directory");
        for (name, text) in &around {
            fs::write(dir.path().join(name), text).expect("written");
        }
        fs::write(dir.path().join("wrong.toml"), &text).expect("written");
        let error = Formats::load(Some(dir.path()))
            .expect_err(&text)
            .to_string();
        let file = dir.path().join("wrong.toml");
        let start = format!("{}: {within}", file.display());
        assert!(error.starts_with(&start), "{start}: {error}");
        assert!(error.contains(cause), "{cause}: {error}");
    }
}

#[test]
fn a_directory_without_formats_is_an_error() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let empty = Formats::load(Some(dir.path())).expect_err("nothing there");
    assert!(matches!(empty, FormatError::Content { .. }), "{empty}");
    let missing = Formats::load(Some(&dir.path().join("missing"))).expect_err("missing");
    assert!(matches!(missing, FormatError::Read { .. }), "{missing}");
    assert!(missing.to_string().contains("missing"), "{missing}");
}

fn text(listing: &listing::Listing) -> String {
    let mut out = Vec::new();
    listing.write_text(&mut out).expect("memory");
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn every_listed_name_can_be_shown() {
    let formats = Formats::builtin();
    let index = listing::index(formats);
    let json = index.to_json();
    let text_form = text(&index);
    let mut names = 0;
    for table in json["tables"].as_array().expect("tables") {
        for row in table["rows"].as_array().expect("rows") {
            let name = row["name"].as_str().expect("a name");
            assert!(text_form.contains(name), "{name}");
            let shown = listing::named(formats, name).unwrap_or_else(|e| panic!("{e}"));
            assert!(!text(&shown).is_empty(), "{name}");
            names += 1;
        }
    }
    // Versions, versions by ABI, structures, tables: events and payloads, those
    // of every event, and those that only payloads name; kernels.
    let payloads = formats.payloads();
    let tables = payloads.bits.len() + payloads.codes.len();
    assert!(tables > formats.bits.len() + formats.codes.len());
    assert_eq!((formats.bits.len(), formats.codes.len()), (5, 17));
    assert_eq!(names, 4 + 12 + 8 + 2 + tables + formats.structures().len());
    assert!(text_form.contains("rack_map_changes"), "{text_form}");
}

fn json(name: &str) -> serde_json::Value {
    let shown = listing::named(Formats::builtin(), name).unwrap_or_else(|e| panic!("{e}"));
    shown.to_json()
}

/// The names of the tables that `name` shows, each once.
fn shown(name: &str) -> Vec<String> {
    let json = json(name);
    let tables = json["tables"].as_array().expect("tables").iter();
    let mut names: Vec<String> = tables
        .map(|table| table["name"].as_str().expect("a name").to_owned())
        .collect();
    names.dedup();
    names
}

#[test]
fn every_payload_is_listed_and_can_be_shown() {
    let formats = Formats::builtin();
    let json = json("payloads");
    let rows = json["tables"][0]["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), formats.payloads().iter().count());
    let index = listing::index(formats).to_json();
    let entry = index["tables"][3]["rows"].as_array().expect("rows").iter();
    let entry: Vec<_> = entry.filter(|row| row["name"] == "payloads").collect();
    assert_eq!(entry.len(), 1);
    assert_eq!(entry[0]["entries"], rows.len());

    let ids: Vec<u64> = rows.iter().filter_map(|row| row["id"].as_u64()).collect();
    assert!(ids.is_sorted());
    let mut fields = 0;
    for row in rows {
        let stack = row["stack"].as_str().expect("a stack");
        let stack = if stack == "all" { "tcp" } else { stack };
        let name = format!("{stack}.{}", row["name"].as_str().expect("a name"));
        let shown = self::json(&name);
        let variants = shown["tables"].as_array().expect("tables");
        // The same, and only once.
        let same = variants.iter().filter(|table| {
            let keys = ["id", "event", "stack", "releases", "when", "says"];
            keys.iter().all(|key| table[*key] == row[*key]) && table["name"] == name.as_str()
        });
        let same: Vec<_> = same.collect();
        assert_eq!(same.len(), 1, "{row}");
        fields += same[0]["rows"].as_array().expect("fields").len();
    }
    let all: usize = formats.payloads().iter().map(|p| p.fields.len()).sum();
    assert_eq!(fields, all);
}

#[test]
fn a_payload_is_shown_as_the_file_writes_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = r#"
        [[payload]]
        event = 13
        name = "alarm"
        stack = "rack"
        until = "13.0"
        when = { flex8 = [0, "3..5"], tlb_flex1 = [7] }
        says = "rings[ after {wait_us}]"
        fields = [["wait_us", "flex3:flex4", "signed us", "how long"],
                  ["on", "flex7[2]", "bool", "whether it rings"]]
        [[payload]]
        event = 13
        name = "alarm"
        says = ""
    "#;
    fs::write(dir.path().join("local.toml"), file).expect("written");
    let formats = Formats::load(Some(dir.path())).expect("loads");
    let alarm = listing::named(&formats, "rack.alarm").expect("rack.alarm");
    let doc = "timer or pacer started";
    assert_eq!(
        alarm.to_json(),
        serde_json::json!({ "schema": 1, "tables": [{
            "name": "rack.alarm", "doc": doc, "id": 13, "event": "TIMERSTAR", "stack": "rack",
            "releases": "up to 13.0", "when": "flex8 = 0, 3..5 and tlb_flex1 = 7",
            "says": "rings[ after {wait_us}]",
            "rows": [
                { "name": "wait_us", "cell": "flex3:flex4", "kind": "signed us", "unit": "µs",
                  "meaning": "how long" },
                { "name": "on", "cell": "flex7[2]", "kind": "bool", "unit": "",
                  "meaning": "whether it rings" },
            ],
        }] })
    );
    assert_eq!(
        text(&alarm),
        "rack.alarm: timer or pacer started\n\
         \x20 id        13\n\
         \x20 event     TIMERSTAR\n\
         \x20 stack     rack\n\
         \x20 releases  up to 13.0\n\
         \x20 when      flex8 = 0, 3..5 and tlb_flex1 = 7\n\
         \x20 says      rings[ after {wait_us}]\n\
         \x20 NAME     CELL         KIND       UNIT  MEANING\n\
         \x20 wait_us  flex3:flex4  signed us  µs    how long\n\
         \x20 on       flex7[2]     bool             whether it rings\n"
    );
    // Without stack, condition, sentence and fields; and both by the bare name.
    let all = text(&listing::named(&formats, "tcp.alarm").expect("tcp.alarm"));
    assert_eq!(
        all,
        "tcp.alarm: timer or pacer started\n\
         \x20 id        13\n\
         \x20 event     TIMERSTAR\n\
         \x20 stack     all\n\
         \x20 releases  all\n"
    );
    let both = text(&listing::named(&formats, "alarm").expect("alarm"));
    assert_eq!(both, format!("{all}\n{}", text(&alarm)));
}

#[test]
fn payloads_are_found_by_name_stack_and_event() {
    assert_eq!(shown("rack.timer"), ["rack.timer"]);
    assert_eq!(shown("tcp.timer"), ["tcp.timer"]);
    // By event, then by stack: 3, then 13 of RACK and of BBR.
    assert_eq!(shown("timer"), ["tcp.timer", "rack.timer", "bbr.timer"]);
    let timerstar = json("TIMERSTAR");
    assert_eq!(shown("TIMERSTAR"), ["rack.timer", "bbr.timer"]);
    for same in ["13", "timerstar", "BBR_LOG_TIMERSTAR"] {
        assert_eq!(json(same), timerstar, "{same}");
    }
    assert_eq!(json("rack.13"), json("rack.timer"));
    assert_eq!(shown("bbr.TIMERSTAR"), ["bbr.timer"]);
    // Every event of a name, and a payload before an event of its name.
    assert_eq!(shown("RTO")[0], "tcp.timer");
    assert!(shown("RTO").contains(&"rack.rto".to_owned()));
    assert!(shown("rto").iter().all(|name| name.ends_with(".rto")));
    // Nothing is known of the cells of event 71, but what it is.
    let unused = json("71");
    assert_eq!(unused["tables"][0]["name"], "events");
    assert_eq!(unused["tables"][0]["rows"][0]["name"], "UNUSED_71");
    let formats = Formats::builtin();
    for name in [
        "203",
        "rack.203",
        "freebsd.timer",
        "tahoe.timer",
        "rack.",
        ".timer",
        "timer/i386",
    ] {
        let error = listing::named(formats, name).expect_err(name);
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn a_version_is_shown_with_its_offsets() {
    let formats = Formats::builtin();
    let v9 = text(&listing::named(formats, "v9").expect("v9"));
    let has = |text: &str, words: &str| {
        let squeezed: Vec<String> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert!(
            squeezed.iter().any(|line| line.starts_with(words)),
            "{words}\n{text}"
        );
    };
    has(&v9, "tcp_log_header, 208 bytes:");
    has(&v9, "tcp_log_buffer, 328 bytes:");
    has(&v9, "tcp_log_verbose, 72 bytes:");
    has(&v9, "OFFSET SIZE TYPE FIELD MEANING");
    has(&v9, "72 64 char[64] tlh_id log ID");
    has(
        &v9,
        "156 1 u8:4 tlb_snd_scale send window scale (bits 0 to 3",
    );
    assert_eq!(
        text(&listing::named(formats, "v9/lp64/little").expect("same")),
        v9
    );
    let i386 = text(&listing::named(formats, "v9/i386/big").expect("v9/i386/big"));
    has(&i386, "tcp_log_buffer, 320 bytes:");
    has(
        &i386,
        "148 1 u8:4 tlb_snd_scale send window scale (bits 4 to 7",
    );

    let json = listing::named(formats, "v9").expect("v9").to_json();
    let record = &json["tables"][1];
    assert_eq!(json["schema"], 1);
    assert_eq!(record["size"], 328);
    assert_eq!(record["rows"][3]["offset"], 20);
    assert_eq!(record["rows"][3]["field"], "tlb_sn");
    assert_eq!(record["rows"][3]["type"], "u32");
    let sendfile = listing::named(formats, "tcp_log_sendfile")
        .expect("a view")
        .to_json();
    assert_eq!(sendfile["tables"][0]["rows"][1]["offset"], 8);
}

#[test]
fn tables_are_shown_with_their_releases() {
    let formats = Formats::builtin();
    let row = |name: &str, at: usize| {
        listing::named(formats, name).expect(name).to_json()["tables"][0]["rows"][at].clone()
    };
    let sb_wake = row("events", 5);
    assert_eq!(sb_wake["id"], 4, "{sb_wake}");
    assert_eq!(sb_wake["constant"], "TCP_LOG_SB_WAKE");
    assert_eq!(sb_wake["releases"], "13 and later");
    assert_eq!(row("events", 4)["releases"], "up to 13.0");
    assert_eq!(row("tlb_flags", 0)["mask"], 1);
    assert_eq!(row("tcp_states", 4)["name"], "ESTABLISHED");
    let flags = text(&listing::named(formats, "tlb_flags").expect("tlb_flags"));
    assert!(
        flags.contains("\n   0x4000000  WAKESOW       13.0 to 13\n"),
        "{flags}"
    );
    assert!(flags.lines().all(|line| line.trim_end() == line));
}

#[test]
fn an_unknown_name_suggests_near_ones() {
    let formats = Formats::builtin();
    let near = |name: &str| match listing::named(formats, name) {
        Err(ListingError::UnknownName { near, .. }) => near,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(near("event")[0], "events");
    assert!(near("event").len() <= 5);
    assert_eq!(near("tlb_flag")[0], "tlb_flags");
    assert!(near("v5").contains(&"v9".to_owned()));
    assert_eq!(near("TCP_STATES"), ["tcp_states"]);
    assert_eq!(near("zzzzzzzzzz"), Vec::<String>::new());
    let says = |name: &str| listing::named(formats, name).expect_err(name).to_string();
    assert_eq!(
        says("tlb_eventflag"),
        "no format named \"tlb_eventflag\"; did you mean tlb_eventflags?"
    );
    // What is spelled alike comes before what begins with it, and that before
    // what contains it.
    let flags = near("flags");
    assert!(flags.iter().all(|name| name.contains("flags")), "{flags:?}");
    let rtt = near("rtt_");
    assert_eq!(rtt[0], "rtt", "{rtt:?}");
    assert!(
        rtt[1..].iter().any(|name| name.starts_with("rtt_")),
        "{rtt:?}"
    );
    assert_eq!(near("events/i386"), ["events"]);
    assert_eq!(near("payload")[0], "payloads");
    assert_eq!(near("rack.timr")[0], "rack.timer");
    assert_eq!(near("rak.timer")[0], "rack.timer");
    assert_eq!(near("Rack.Timer"), ["rack.timer"]);
    assert_eq!(near("rack.timer/i386"), ["rack.timer"]);
    assert_eq!(near("just_retrn")[0], "just_return");
    assert_eq!(near("TIMERSTRA")[0], "TIMERSTAR");
    assert!(says("v9/vax").contains("lp64, i386, ilp32-time64"));
    assert!(says("v9/lp64/middle").contains("little, big"));
    assert!(says("").contains("no format named"));
}

#[test]
fn offsets_of_kernels_are_listed() {
    let shown = json("kernel/13.2-amd64");
    let tables = shown["tables"].as_array().expect("tables");
    assert_eq!(tables.len(), 16);
    let tcpcb = tables.iter().find(|table| table["name"] == "tcpcb");
    let tcpcb = tcpcb.expect("a table");
    assert_eq!(tcpcb["size"], 728);
    let rows = tcpcb["rows"].as_array().expect("rows");
    let row = |name: &str| rows.iter().find(|row| row["field"] == name).expect("a row");
    assert_eq!(
        (&row("t_logsn")["offset"], &row("t_logsn")["bits"]),
        (&584.into(), &"".into())
    );
    assert_eq!(
        (&row("t_state")["offset"], &row("t_state")["bits"]),
        (&30.into(), &"0..3".into())
    );
    assert!(rows.is_sorted_by_key(|row| row["offset"].as_u64()));
    let missed = listing::named(Formats::builtin(), "kernel/13.3-amd64").expect_err("no such");
    assert!(missed.to_string().contains("kernel/13.2-amd64"), "{missed}");
}

/// The data of the process are checked against what its compiler said.
#[test]
fn offsets_of_the_process_are_those_of_its_debug_information() {
    let layouts = support::stored("cores/process.layouts.json.zst");
    let layouts: serde_json::Value = serde_json::from_slice(&layouts).expect("JSON");
    let kernels = Formats::builtin().structures().iter();
    let mut compared = 0;
    for kernel in kernels.filter(|kernel| kernel.name == "13.0-userland") {
        for structure in kernel.iter() {
            let truth = &layouts[&structure.name];
            assert_eq!(truth["size"], structure.size, "{}", structure.name);
            for field in &structure.fields {
                let name = format!("{}.{}", structure.name, field.name);
                let bits = &truth["bitfields"][&field.name];
                if let (Some(start), Some(width)) =
                    (bits["bit_offset"].as_u64(), bits["bits"].as_u64())
                {
                    let place = structures::Place::from_bits(start, width, false);
                    assert_eq!(place, Some(field.place), "{name}");
                } else {
                    let member = &truth["members"][&field.name];
                    assert_eq!(member["offset"], field.place.offset, "{name}");
                    assert_eq!(member["size"], field.place.size, "{name}");
                }
                compared += 1;
            }
        }
    }
    assert!(compared > 90, "{compared}");
}

#[test]
fn offsets_of_a_directory_add_to_the_embedded_ones() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let kernels = dir.path().join("kernel");
    fs::create_dir(&kernels).expect("made");
    let text = "releases = \"14.3\"\nstatus = \"mine\"\n[[struct]]\nname = \"vnet\"\nsize = 64\nfields = [[\"vnet_le\", 0, 16, \"next\"]]\n";
    fs::write(kernels.join("14.3-mine.toml"), text).expect("written");
    fs::write(kernels.join("15-amd64.toml"), text).expect("written");
    let formats = Formats::load(Some(dir.path())).expect("loads");
    let find = |name: &str| formats.structures().iter().find(|k| k.name == name);
    assert_eq!(find("14.3-mine").and_then(|k| k.size("vnet")), Some(64));
    assert_eq!(find("14.3-mine").map(|k| k.status.as_str()), Some("mine"));
    // One of the same name is replaced, the others stay.
    assert_eq!(find("15-amd64").and_then(|k| k.size("tcpcb")), None);
    assert_eq!(find("13.2-amd64").and_then(|k| k.size("tcpcb")), Some(728));
    for (wrong, said) in [
        (
            text.replace("64", "8"),
            "line 6: vnet: field vnet_le ends outside the structure",
        ),
        (text.replace("mine", "\\u001b[2J"), "control character in"),
        (text.replace("size", "bytes"), "line "),
    ] {
        let file = kernels.join("wrong.toml");
        fs::write(&file, wrong).expect("written");
        let error = Formats::load(Some(dir.path())).expect_err(said).to_string();
        let start = format!("{}: {said}", file.display());
        assert!(error.starts_with(&start), "{start}: {error}");
    }
}
