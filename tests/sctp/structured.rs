//! dtrace's structured output, JSON and XML.

use super::{pick, show};
use serde_json::{Value, json};

/// One firing: timestamp, cpu, module, function, name, output in JSON and XML.
struct Firing(
    u64,
    u32,
    &'static str,
    &'static str,
    &'static str,
    Vec<(&'static str, String)>,
);

fn firings() -> Vec<Firing> {
    let values = |all: &[i64]| {
        all.iter()
            .map(|n| ("value", n.to_string()))
            .collect::<Vec<_>>()
    };
    let message = |text: &str, all: &[&str]| {
        let mut output = vec![("message", text.to_owned())];
        output.extend(all.iter().map(|v| ("value", v.to_string())));
        output
    };
    vec![
        // %lld: a sign-extended port comes out negative.
        Firing(
            100_000,
            1,
            "cwnd",
            "net",
            "ack",
            values(&[893724690, -1023702765, 94548963229392, 4440, 5456]),
        ),
        Firing(
            200_000,
            0,
            "",
            "",
            "send",
            message(
                "   0        192.0.2.1:9899  ->     198.51.100.7:36412\n",
                &["0", "192.0.2.1", "9899", "198.51.100.7", "36412"],
            ),
        ),
        Firing(
            300_000,
            3,
            "",
            "",
            "state-change",
            message(
                "   3            7  state-closed              -> state-cookie-wait        \n",
                &["3"],
            ),
        ),
        Firing(
            400_000,
            2,
            "cwnd",
            "net",
            "rttvar",
            values(&[
                2193324311496263955,
                743029342512,
                88510686351566,
                8128,
                40888089378819,
            ]),
        ),
        Firing(
            500_000,
            2,
            "cwnd",
            "net",
            "fr",
            message(
                "wall=1787307309000000000 mono=499000 cpu=2 pid=9 sctp:cwnd:net:fr arg0=0x35452812 arg1=0xc2fb8913 arg2=0x55fde55dfed0 arg3=0x1550 arg4=0xaa8\n",
                &["1", "0"],
            ),
        ),
    ]
}

fn json_text(pretty: bool) -> String {
    let probes = firings().into_iter().map(|f| {
        let output =
            f.5.into_iter()
                .map(|(key, text)| match text.parse::<i64>() {
                    Ok(n) => json!({key: n}),
                    Err(_) => json!({key: text}),
                });
        json!({"timestamp": f.0, "cpu": f.1, "id": 62114, "provider": "sctp", "module": f.2,
               "function": f.3, "name": f.4, "output": output.collect::<Vec<_>>()})
    });
    // The keys in dtrace's order.
    let ordered = probes.map(|p| {
        let keys = [
            "timestamp",
            "cpu",
            "id",
            "provider",
            "module",
            "function",
            "name",
            "output",
        ];
        let pairs = keys.map(|k| {
            format!(
                "{}: {}",
                json!(k),
                if pretty {
                    serde_json::to_string_pretty(&p[k])
                } else {
                    serde_json::to_string(&p[k])
                }
                .unwrap()
            )
        });
        format!("{{{}}}", pairs.join(if pretty { ",\n  " } else { "," }))
    });
    let list = ordered.collect::<Vec<_>>().join(", ");
    format!("{{\"dtrace\": {{\"probes\": [{list}]}}}}\n")
}

fn xml_text() -> String {
    let escape = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let tag = |name: &str, text: &str| match text {
        "" => format!("<{name}/>"),
        text => format!("<{name}>{}</{name}>", escape(text)),
    };
    let probes = firings().into_iter().map(|f| {
        let output =
            f.5.iter()
                .map(|(key, text)| format!("<output>{}</output>", tag(key, text)));
        let output: String = output.collect();
        let (timestamp, cpu) = (f.0.to_string(), f.1.to_string());
        let head = [
            ("timestamp", &*timestamp),
            ("cpu", &*cpu),
            ("id", "62114"),
            ("provider", "sctp"),
            ("module", f.2),
            ("function", f.3),
            ("name", f.4),
        ];
        let head: String = head.iter().map(|(name, text)| tag(name, text)).collect();
        format!("<probes>{head}{output}</probes>")
    });
    format!("<dtrace>{}</dtrace>\n", probes.collect::<String>())
}

fn check(objects: &[Value]) {
    let events: Vec<_> = objects
        .iter()
        .map(|o| o["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["ack", "send", "state-change", "rttvar", "fr"]);
    let times: Vec<_> = objects
        .iter()
        .map(|o| o["timestamp_ns"].as_u64().unwrap())
        .collect();
    // What a line says of its time counts.
    assert_eq!(times, [100_000, 200_000, 300_000, 400_000, 499_000]);
    let cpus: Vec<_> = objects.iter().map(|o| o["cpu"].as_u64().unwrap()).collect();
    assert_eq!(cpus, [1, 0, 3, 2, 2]);
    let keys = [
        "my_vtag",
        "local_port",
        "remote_port",
        "old_cwnd",
        "new_cwnd",
    ];
    let wanted = [
        json!("0x35452812"),
        json!(64450),
        json!(5001),
        json!(4440),
        json!(5456),
    ];
    assert_eq!(pick(&objects[0], &keys), wanted);
    assert_eq!(pick(&objects[4], &keys[..3]), wanted[..3]);
    let keys = ["direction", "local_addr", "remote_port"];
    assert_eq!(
        pick(&objects[1], &keys),
        [json!("out"), json!("192.0.2.1"), json!(36412)]
    );
    assert_eq!(
        pick(&objects[2], &["state_name", "lasted_us"]),
        [json!("state-cookie-wait"), json!(7)]
    );
    assert_eq!(
        pick(&objects[3], &["instant_bw", "flight"]),
        [json!(304), json!(8128)]
    );
    assert_eq!(objects[4]["time"], "2026-08-21T10:15:09.000000Z");
}

#[test]
fn json_and_xml_decode() {
    for text in [json_text(false), json_text(true), xml_text()] {
        let (objects, ran) = show(text.as_bytes(), &[]);
        ran.fine();
        check(&objects);
    }
}

#[test]
fn a_missing_end_is_no_damage_between_objects() {
    for text in [json_text(false), json_text(true), xml_text()] {
        let text = text.trim_end();
        let text = text
            .strip_suffix("]}}")
            .or(text.strip_suffix("</dtrace>"))
            .unwrap();
        let (objects, ran) = show(text.as_bytes(), &[]);
        ran.fine();
        check(&objects);
        // Inside an object it costs that one.
        let (objects, ran) = show(&text.as_bytes()[..text.len() - 30], &[]);
        assert_eq!(objects.len(), 4);
        let ran = ran.ended(1);
        assert!(
            ran.stderr.contains("the input ends inside an object"),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.contains("object 5 at byte "), "{}", ran.stderr);
    }
}

#[test]
fn damaged_objects_cost_themselves() {
    let json = json_text(false);
    for (from, to) in [
        ("\"cpu\":0,", "\"cpu\":,"),
        ("\"function\": \"\"", "\"function\": \""),
        ("\"name\": \"send\"", "\"name\": \"sent\""),
        ("\"timestamp\": 200000", "\"timestamp\": 2e5"),
        ("{\"timestamp\": 200000", "[{\"timestamp\": 200000"),
    ] {
        // The text has a blank behind each colon.
        let from = match json.contains(from) {
            true => from.to_owned(),
            false => from.replace("\":", "\": "),
        };
        assert!(json.contains(&from), "{from} in {json}");
        let text = json.replacen(&from, to, 1);
        let (objects, ran) = show(text.as_bytes(), &[]);
        let events: Vec<_> = objects
            .iter()
            .map(|o| o["event"].as_str().unwrap())
            .collect();
        let wanted = ["ack", "state-change", "rttvar", "fr"];
        assert_eq!(
            events.iter().filter(|e| wanted.contains(e)).count(),
            4,
            "{to}: {events:?}"
        );
        assert!(ran.ended(1).stderr.contains("object "), "{to}");
    }
    let xml = xml_text();
    for (from, to) in [
        ("<cpu>0</cpu>", "<cpu>0</cpv>"),
        ("<name>send</name>", "<name>sent</name>"),
        (
            "<timestamp>200000</timestamp>",
            "<timestamp>&nope;</timestamp>",
        ),
    ] {
        assert!(xml.contains(from));
        let (objects, ran) = show(xml.replacen(from, to, 1).as_bytes(), &[]);
        assert_eq!(objects.len(), 4, "{to}");
        assert!(ran.ended(1).stderr.contains("object 2 at byte "), "{to}");
    }
}

#[test]
fn drops_and_what_is_no_event_are_told_apart() {
    let drop = r#"{"cpu": 1, "id": -1, "provider": "dtrace", "module": "INTERNAL", "function": "INTERNAL", "name": "DROP", "timestamp": "1787307309.000123", "count": 17, "total": 40, "kind": "principal", "msg": "17 drops on CPU 1\n"}"#;
    let begin = r#"{"timestamp": 1, "cpu": 0, "id": 1, "provider": "dtrace", "module": "", "function": "", "name": "BEGIN", "output": [{"message": "hello\n"}, {"value": 0}]}"#;
    let other = r#"{"timestamp": 2, "cpu": 0, "id": 7, "provider": "tcp", "module": "", "function": "", "name": "send", "output": [{"value": 1}]}"#;
    let counted = r#"{"timestamp": 3, "cpu": 0, "id": 8, "provider": "sctp", "module": "cwnd", "function": "net", "name": "to", "output": [{"aggregation-data": [{"keys": [{"value": 3}], "count": 9}], "aggregation-name": "a"}]}"#;
    let text = format!("{{\"dtrace\": {{\"probes\": [{begin}, {drop}, {other}, {counted}]}}}}");
    let (objects, ran) = show(text.as_bytes(), &[]);
    assert_eq!(objects.len(), 1);
    assert_eq!(
        pick(&objects[0], &["kind", "count"]),
        [json!("sctp_lost"), json!(17)]
    );
    let ran = ran.ended(1);
    assert!(ran.stderr.contains("object 2 at byte"), "{}", ran.stderr);
    assert!(ran.stderr.contains("17 drops on CPU 1"), "{}", ran.stderr);
}

#[test]
fn printed_structures_decode_by_their_members() {
    let text = r#"{"dtrace": {"probes": [{"timestamp": 5, "cpu": 0, "id": 9, "provider": "sctp", "module": "", "function": "", "name": "receive",
      "output": [{"value": [{"sctp_sport": 36412, "sctp_dport": 9899, "sctp_verify": 2712847316, "sctp_checksum": 0, "sctp_hdr": "0x0", "padding": 3}]}]}]}}"#;
    let (objects, ran) = show(text.as_bytes(), &[]);
    ran.fine();
    let keys = ["local_port", "remote_port", "sctp_verify"];
    assert_eq!(
        pick(&objects[0], &keys),
        [json!(9899), json!(36412), json!("0xa1b2c3d4")]
    );
}
