//! JSON of all genuine streams against a second decoding: places of fields are
//! typed in here, as the kernel's structures have them (version 9, LP64).

mod support;

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use support::stream::{
    HDR, HEADER, Msg, RXBUF, Rec, STACKINFO, TXBUF, WITH_VERBOSE, messages, text, u16_at, u32_at,
    u64_at,
};
use support::{family, genuine, genuine_names, put, stack_name, stack_names, tcplog};

/// State fields: unsigned 32 bits each.
const STATE: [(&str, usize); 24] = [
    ("starttime", 60),
    ("iss", 64),
    ("t_flags", 68),
    ("snd_una", 72),
    ("snd_max", 76),
    ("snd_cwnd", 80),
    ("snd_nxt", 84),
    ("snd_recover", 88),
    ("snd_wnd", 92),
    ("snd_ssthresh", 96),
    ("srtt", 100),
    ("rttvar", 104),
    ("rcv_up", 108),
    ("rcv_adv", 112),
    ("t_flags2", 116),
    ("rcv_nxt", 120),
    ("rcv_wnd", 124),
    ("dupacks", 128),
    ("flex1", 140),
    ("flex2", 144),
    ("fbyte_in", 148),
    ("fbyte_out", 152),
    ("ticks", 16),
    ("len", 264),
];

/// State fields: signed 32 bits each.
const SIGNED: [(&str, usize); 4] = [
    ("errno", 28),
    ("state", 56),
    ("segqlen", 132),
    ("snd_numholes", 136),
];

const STATES: [&str; 11] = [
    "CLOSED",
    "LISTEN",
    "SYN_SENT",
    "SYN_RECEIVED",
    "ESTABLISHED",
    "CLOSE_WAIT",
    "FIN_WAIT_1",
    "CLOSING",
    "LAST_ACK",
    "FIN_WAIT_2",
    "TIME_WAIT",
];

/// The stack specific bytes begin here in a record.
const INFO_AT: usize = 160;
const INFO_LEN: usize = 104;

const TIMERSTAR: u8 = 13;
const CONNEND: u8 = 54;

/// The cells of the stack specific bytes: name, place in them, bytes.
const CELLS: [(&str, usize, usize); 29] = [
    ("cur_del_rate", 0, 8),
    ("delRate", 8, 8),
    ("rttProp", 16, 8),
    ("bw_inuse", 24, 8),
    ("inflight", 32, 4),
    ("applimited", 36, 4),
    ("delivered", 40, 4),
    ("timeStamp", 44, 4),
    ("epoch", 48, 4),
    ("lt_epoch", 52, 4),
    ("pkts_out", 56, 4),
    ("flex1", 60, 4),
    ("flex2", 64, 4),
    ("flex3", 68, 4),
    ("flex4", 72, 4),
    ("flex5", 76, 4),
    ("flex6", 80, 4),
    ("lost", 84, 4),
    ("pacing_gain", 88, 2),
    ("cwnd_gain", 90, 2),
    ("flex7", 92, 2),
    ("bbr_state", 94, 1),
    ("bbr_substate", 95, 1),
    ("inhpts", 96, 1),
    ("ininput", 97, 1),
    ("use_lt_bw", 98, 1),
    ("flex8", 99, 1),
    ("pkt_epoch", 100, 4),
    ("u64_flex", 0, 0),
];

/// The name of an event in the releases that wrote the streams.
fn event_name(id: u8, release: &str) -> &'static str {
    match id {
        1 => "IN",
        2 => "OUT",
        3 => "RTO",
        9 => "BBRUPD",
        10 => "BBRSND",
        13 => "TIMERSTAR",
        14 => "TIMERCANC",
        15 => "ENTREC",
        16 => "EXITREC",
        18 => "BWSAMP",
        20 => "BBRRTT",
        21 => "JUSTRET",
        22 => "STATE",
        23 => "PKT_EPOCH",
        25 => "FLOWEND",
        26 => "RTO",
        27 => "DOSEG_DONE",
        31 => "USERSEND",
        33 => "STATE_TARGET",
        35 => "TO_PROCESS",
        36 => "BBRTSO",
        40 => "SOCKET_OPT",
        43 => "HPTSI_CALC",
        44 => "RTT_SHRINKS",
        46 => "REDUCE",
        47 => "RTT",
        48 => "SETTINGS_CHG",
        51 if release == "13.0" => "HDWR_TLS",
        51 => "HDWR_PACE_SIZE",
        53 => "TSTMP_VAL",
        54 => "CONNEND",
        56 => "SACK_FILTER_RES",
        58 => "TIMELY_WORK",
        63 => "FSB",
        64 => "DSACK_HANDLING",
        65 => "HYSTART",
        66 => "CHG_QUERY",
        70 => "PRU",
        72 => "PCM_MEASURE",
        _ => panic!("event {id} was not known to be in the streams"),
    }
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    u32_at(bytes, at) as i32
}

fn number(n: u64) -> Value {
    if n > 1 << 53 {
        json!(n.to_string())
    } else {
        json!(n)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn address(message: Msg<'_>, at: usize) -> String {
    let bytes = &message.bytes[at..at + 16];
    if message.is_ipv6() {
        std::net::Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap()).to_string()
    } else {
        std::net::Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[12..]).unwrap()).to_string()
    }
}

/// What all objects of a message have.
fn shared(message: Msg<'_>, source: &str) -> Map<String, Value> {
    let (foreign_port, local_port) = message.ports();
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let shared = json!({
        "schema": 1,
        "source": source,
        "log_id": utf8(message.id()),
        "tag": utf8(message.tag()),
        "reason": utf8(message.reason()),
        "local_addr": address(message, 36),
        "local_port": local_port,
        "foreign_addr": address(message, 20),
        "foreign_port": foreign_port,
    });
    assert_eq!(u32_at(message.bytes, 52), 0, "a zone would be shown");
    shared.as_object().unwrap().clone()
}

fn time(us: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(us).unwrap();
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// What a record's object has besides its payload and what it means.
fn expected(stream: &str, message: Msg<'_>, record: Rec<'_>, source: &str) -> Map<String, Value> {
    let bytes = record.0;
    let mut object = shared(message, source);
    let mut set = |key: &str, value: Value| object.insert(key.to_owned(), value);
    set("kind", json!("bblog"));
    set("time", json!(time(message.boot_us() + record.uptime_us())));
    set("uptime_us", json!(record.uptime_us()));
    set("sn", json!(u32_at(bytes, 20)));
    set("stack_id", json!(bytes[24]));
    set("stack", json!(stack_name(stream, bytes[24])));
    set("stack_sureness", json!("named"));
    set("event_id", json!(bytes[25]));
    set("event", json!(event_name(bytes[25], family(stream))));
    let flags = u16_at(bytes, 26);
    set("event_flags", json!(flags));
    for (key, at) in STATE {
        set(key, json!(u32_at(bytes, at)));
    }
    for (key, at) in SIGNED {
        set(key, json!(i32_at(bytes, at)));
    }
    let state = usize::try_from(i32_at(bytes, 56)).unwrap();
    set("state_name", json!(STATES[state]));
    // RACK keeps it in microseconds since 13.1; all others in 1/32 of a tick.
    let srtt = u64::from(u32_at(bytes, 100));
    let hz = if stream.contains("hz100") { 100 } else { 1000 };
    let srtt_us = match stack_name(stream, bytes[24]) {
        // While RACK takes over, it writes under the number of the stack before.
        "freebsd" if bytes[25] == TIMERSTAR && family(stream) != "13.0" => srtt,
        "rack" if family(stream) != "13.0" => srtt,
        _ => srtt * 1_000_000 / (32 * hz),
    };
    if srtt > 0 {
        set("srtt_us", json!(srtt_us));
    }
    set("snd_scale", json!(bytes[156] & 15));
    set("rcv_scale", json!(bytes[156] >> 4));
    for (flag, key, at) in [(RXBUF, "rxbuf", 32), (TXBUF, "txbuf", 44)] {
        if flags & flag != 0 {
            let (acc, ccc) = (u32_at(bytes, at), u32_at(bytes, at + 4));
            set(key, json!({"acc": acc, "ccc": ccc}));
        }
    }
    if flags & HDR != 0 {
        let be16 = |at: usize| u16::from_be_bytes([bytes[268 + at], bytes[269 + at]]);
        let be32 = |at: usize| u32::from(be16(at)) << 16 | u32::from(be16(at + 2));
        let options = usize::from(bytes[280] >> 4) * 4 - 20;
        set(
            "tcp",
            json!({
                "src_port": be16(0),
                "dst_port": be16(2),
                "seq": be32(4),
                "ack": be32(8),
                // With AE, which stands before the byte of flags.
                "flags": be16(12) & 0x1ff,
                "window": be16(14),
                "checksum": be16(16),
                "urgent": be16(18),
                "options": hex(&bytes[288..288 + options]),
            }),
        );
    }
    if flags & WITH_VERBOSE != 0 {
        let name = |at: usize| String::from_utf8(text(&bytes[at..at + 32]).to_vec()).unwrap();
        set(
            "verbose",
            json!({"caller": name(328), "function": name(360), "line": u32_at(bytes, 392)}),
        );
    }
    object
}

/// What `show --format json` writes about a stream.
fn shown(stream: &str, bytes: &[u8], more: &[&str]) -> (String, Vec<Value>) {
    let dir = tempfile::tempdir().unwrap();
    let input = put(dir.path(), "in", bytes);
    let mut args = vec!["show", "--format", "json", "--release", family(stream)];
    args.extend(stack_names(stream));
    args.extend(more);
    let args = args.into_iter().map(OsStr::new).chain([input.as_os_str()]);
    let text = String::from_utf8(tcplog(args).fine().stdout).unwrap();
    let objects = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (input.to_str().unwrap().to_owned(), objects.collect())
}

#[test]
fn every_field_of_every_genuine_record() {
    let mut seen = BTreeMap::new();
    for name in genuine_names() {
        let bytes = genuine(&name);
        let (source, objects) = shown(&name, &bytes, &[]);
        let mut objects = objects.into_iter();
        let mut last: HashMap<[u8; 40], u32> = HashMap::new();
        for (at, message) in messages(&bytes).into_iter().enumerate() {
            for record in message.records() {
                let what = format!("{name} message {at} sn {}", record.sn());
                let before = last.insert(message.connection(), record.sn());
                let gap = before.map_or(0, |sn| record.sn().wrapping_sub(sn).wrapping_sub(1));
                // A smaller number is that of another connection.
                if (1..1 << 31).contains(&gap) {
                    let mut skipped = shared(message, &source);
                    skipped.insert("kind".to_owned(), json!("skipped"));
                    skipped.insert("sn".to_owned(), json!(record.sn().wrapping_sub(gap)));
                    skipped.insert("count".to_owned(), json!(gap));
                    assert_eq!(objects.next(), Some(skipped.into()), "{what}");
                    *seen.entry("skipped").or_insert(0) += 1;
                }
                let mut object = objects.next().expect("a record is not shown");
                let object = object.as_object_mut().unwrap();
                let meaning = object.remove("meaning");
                assert!(meaning.is_some_and(|said| said != ""), "{what}");
                // Without stack specific bytes it has what the `flex` fields hold.
                let payload = object.remove("payload");
                if record.flags() & STACKINFO != 0 {
                    assert!(payload.is_some(), "{what}");
                }
                let expected = expected(&name, message, record, &source);
                if *object != expected {
                    let keys: BTreeSet<_> = object.keys().chain(expected.keys()).collect();
                    for key in keys {
                        let (got, wanted) = (object.get(key), expected.get(key));
                        assert_eq!(got, wanted, "{what}: {key}");
                    }
                }
                for key in ["rxbuf", "txbuf", "tcp", "verbose"] {
                    *seen.entry(key).or_insert(0) += usize::from(expected.contains_key(key));
                }
                *seen.entry("record").or_insert(0) += 1;
            }
        }
        assert_eq!(objects.next(), None, "{name}");
    }
    for part in ["skipped", "rxbuf", "txbuf", "tcp", "verbose"] {
        assert!(seen[part] > 0 && seen[part] < seen["record"], "{seen:?}");
    }
}

/// True for what may be an address of the kernel: the top 16 bits are set, and
/// it is no small negative number.
fn is_pointer(n: u64) -> bool {
    (n >> 48) as u16 == u16::MAX && (n as i64) < -(1 << 24)
}

fn numbers(value: &Value, found: &mut Vec<u64>) {
    match value {
        Value::Number(n) => found.extend(n.as_u64()),
        Value::String(text) => found.extend(match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }),
        Value::Array(all) => all.iter().for_each(|value| numbers(value, found)),
        Value::Object(all) => all.values().for_each(|value| numbers(value, found)),
        _ => {}
    }
}

/// Cells that keep their name, and addresses of the kernel.
#[test]
fn raw_cells_have_their_values_and_addresses_are_masked() {
    let (mut raw, mut masked) = (0, 0);
    for name in genuine_names() {
        let bytes = genuine(&name);
        let of_records = |more: &[&str]| {
            let (_, objects) = shown(&name, &bytes, more);
            let objects = objects.into_iter().filter(|o| o["kind"] == "bblog");
            objects.collect::<Vec<_>>()
        };
        let plain = of_records(&[]);
        let open = of_records(&["--show-pointers"]);
        let all = messages(&bytes);
        let records = all.iter().flat_map(|message| message.records());
        for ((record, plain), open) in records.zip(&plain).zip(&open) {
            let what = format!("{name} event {} sn {}", record.event(), record.sn());
            let (mut hidden, mut visible) = (Vec::new(), Vec::new());
            numbers(plain, &mut hidden);
            numbers(open, &mut visible);
            assert!(!hidden.iter().any(|n| is_pointer(*n)), "{what}: {plain}");
            if record.flags() & STACKINFO == 0 {
                continue;
            }
            let info = &record.0[INFO_AT..INFO_AT + INFO_LEN];
            // Only these cells have 64 bits; what a closed connection leaves
            // unset is masked whole.
            let wide = if record.event() == CONNEND {
                INFO_LEN
            } else {
                32
            };
            for at in (0..wide).step_by(8) {
                let n = u64_at(info, at);
                if is_pointer(n) {
                    assert!(visible.contains(&n), "{what}: {n:#x} at {at} in {open}");
                    masked += 1;
                }
            }
            for (cell, at, size) in CELLS {
                let Some(value) = plain["payload"].get(cell) else {
                    continue;
                };
                let n = match size {
                    8 => u64_at(info, at),
                    4 => u64::from(u32_at(info, at)),
                    2 => u64::from(u16_at(info, at)),
                    1 => u64::from(info[at]),
                    _ => panic!("{what}: {cell} is not how these records are cut"),
                };
                let wanted = if is_pointer(n) {
                    json!("masked")
                } else {
                    number(n)
                };
                assert_eq!(*value, wanted, "{what}: {cell}");
                raw += 1;
            }
        }
    }
    assert!(raw > 100_000 && masked > 20, "{raw} raw, {masked} masked");
}

/// Whatever a record's stack specific bytes hold shows: by a name, or raw.
#[test]
fn no_byte_of_the_stack_specific_ones_is_lost() {
    for name in genuine_names() {
        let bytes = genuine(&name);
        let mut kinds = BTreeSet::new();
        let (mut stream, mut bases) = (Vec::new(), Vec::new());
        for message in messages(&bytes) {
            for record in message.records() {
                let kind = (record.event(), record.stack(), record.0[INFO_AT + 99]);
                if record.flags() & STACKINFO == 0 || !kinds.insert(kind) {
                    continue;
                }
                // The record, and one more for each byte, with that one turned.
                let mut variants = vec![record.0.to_vec()];
                for at in INFO_AT..INFO_AT + INFO_LEN {
                    let mut variant = record.0.to_vec();
                    variant[at] ^= 0xff;
                    variants.push(variant);
                }
                for (sn, variant) in (0u32..).zip(&mut variants) {
                    variant[20..24].copy_from_slice(&sn.to_le_bytes());
                }
                let records = variants.iter().map(|bytes| Rec(bytes));
                stream.extend(message.with_records(records));
                bases.push(kind);
            }
        }
        if stream.is_empty() {
            continue;
        }
        assert!(stream.len() > HEADER);
        let (_, objects) = shown(&name, &stream, &["--show-pointers"]);
        let objects: Vec<_> = objects.iter().filter(|o| o["kind"] == "bblog").collect();
        assert_eq!(objects.len(), bases.len() * (INFO_LEN + 1), "{name}");
        for (kind, objects) in bases.iter().zip(objects.chunks(INFO_LEN + 1)) {
            for (at, object) in objects[1..].iter().enumerate() {
                let (base, turned) = (&objects[0]["payload"], &object["payload"]);
                assert_ne!(base, turned, "{name}: {kind:?} hides the byte at {at}");
            }
        }
    }
}
