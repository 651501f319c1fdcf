//! What the manual's scripts and dtrace itself print.

use super::{on, pick, show};
use serde_json::{Value, json};

/// The packet script's printf formats, as a second implementation.
fn packet_rows(rows: &[(u32, &str, u16, &str, &str, u16)]) -> String {
    let mut text = format!(
        " {:>3} {:>15}:{:<5}      {:>15}:{:<5}\n",
        "CPU", "LADDR", "LPORT", "RADDR", "RPORT"
    );
    for (cpu, local, lport, arrow, remote, rport) in rows {
        text += &format!(" {cpu:>3} {local:>16}:{lport:<5} {arrow} {remote:>16}:{rport:<5}\n");
    }
    text
}

#[test]
fn the_manual_s_picture_of_the_packet_script_decodes() {
    let rows = [
        (3, "192.0.2.1", 9899, "->", "198.51.100.7", 36412),
        (0, "192.0.2.1", 9899, "<-", "198.51.100.7", 36412),
        (1, "2001:db8::1", 7, "->", "2001:db8::a:b", 65535),
        (1, "2001:db8::1", 7, "<-", "2001:db8::a:b", 65535),
        (11, "<unknown>", 9, "<-", "192.0.2.77", 5001),
    ];
    let text = packet_rows(&rows);
    assert!(text.starts_with(
        " CPU           LADDR:LPORT                RADDR:RPORT\n   3        192.0.2.1:9899  ->     198.51.100.7:36412\n"
    ));
    let (objects, ran) = show(text.as_bytes(), &[]);
    ran.fine();
    assert_eq!(objects.len(), rows.len());
    let keys = [
        "line",
        "cpu",
        "direction",
        "local_addr",
        "local_port",
        "remote_addr",
        "remote_port",
    ];
    for (at, (object, row)) in objects.iter().zip(rows).enumerate() {
        let (cpu, local, lport, arrow, remote, rport) = row;
        let local = if local == "<unknown>" {
            Value::Null
        } else {
            json!(local)
        };
        let direction = if arrow == "->" { "out" } else { "in" };
        let wanted = [
            json!(at + 2),
            json!(cpu),
            json!(direction),
            local,
            json!(lport),
            json!(remote),
            json!(rport),
        ];
        assert_eq!(pick(object, &keys), wanted);
        assert!(object.get("time").is_none() && object.get("timestamp_ns").is_none());
    }
    // Addresses and ports tell the associations apart.
    let numbers: Vec<_> = objects.iter().map(|o| o["association"].as_u64()).collect();
    assert_eq!(numbers, [Some(1), Some(1), Some(2), Some(2), None]);
    // Source and destination are those of the packet.
    assert_eq!(objects[1]["ip_saddr"], "198.51.100.7");
    assert_eq!(
        (&objects[1]["sctp_sport"], &objects[1]["sctp_dport"]),
        (&json!(36412), &json!(9899))
    );
}

#[test]
fn the_manual_s_picture_of_the_state_script_decodes_in_both_widths() {
    for width in [25, 20] {
        let mut text = format!(
            " {:>3} {:>12}  {:<width$}    {:<width$}\n",
            "CPU", "DELTA(us)", "OLD", "NEW"
        );
        let rows = [
            (0, "-", "state-closed", "state-cookie-wait"),
            (0, "20187", "state-cookie-wait", "state-cookie-echoed"),
            (1, "4999", "state-cookie-echoed", "state-established"),
            (1, "5000000", "state-established", "state-shutdown-pending"),
            (2, "1", "state-shutdown-pending", "state-shutdown-sent"),
            (3, "12", "state-shutdown-ack-sent", "<unknown>"),
        ];
        for (cpu, delta, old, new) in rows {
            text += &format!(" {cpu:>3} {delta:>12}  {old:<width$} -> {new:<width$}\n");
        }
        let (objects, ran) = show(text.as_bytes(), &[]);
        ran.fine();
        assert_eq!(objects.len(), rows.len());
        for (object, (cpu, delta, old, new)) in objects.iter().zip(rows) {
            let delta = delta.parse::<u64>().map_or(Value::Null, |n| json!(n));
            let wanted = [json!(cpu), delta.clone(), delta, json!(old), json!(new)];
            let keys = [
                "cpu",
                "delta_us",
                "lasted_us",
                "old_state_name",
                "state_name",
            ];
            assert_eq!(pick(object, &keys), wanted);
        }
    }
}

/// dtrace's own columns.
fn plain(rows: &[(u32, u32, &str, &[i64])]) -> String {
    let mut text = "dtrace: description 'sctp:cwnd:net: ' matched 9 probes\n".to_owned();
    text += &format!("{:>3} {:>6} {:>32}\n", "CPU", "ID", "FUNCTION:NAME");
    for (cpu, id, name, values) in rows {
        text += &format!("{cpu:>3} {id:>6} {name:>32} ");
        for value in *values {
            text += &format!(" {value:>16}");
        }
        text.push('\n');
    }
    text + "^C\n\n"
}

#[test]
fn what_dtrace_prints_by_itself_decodes() {
    // The first association of a genuine run: its ports are sign-extended.
    let ports = 18446744072685848851u64 as i64;
    let net = 0x55fde55dfed0;
    let rtt = [
        2193324311496263955,
        743029342512,
        88510686351566,
        8128,
        40888089378819,
    ];
    let text = plain(&[
        (0, 1, ":BEGIN", &[]),
        (1, 62114, "net:ack", &[893724690, ports, net, 4440, 5456]),
        (1, 62118, "net:rttvar", &rtt),
        (2, 62121, "none:send", &[]),
        (2, 62122, ":receive", &[]),
        (2, 62113, "net:init", &[]),
    ]);
    let (objects, ran) = show(text.as_bytes(), &[]);
    ran.fine();
    let events: Vec<_> = objects
        .iter()
        .map(|o| o["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["ack", "rttvar", "send", "receive", "init"]);
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
    let keys = ["new_bw", "instant_bw", "verdict", "cwnd", "point_name"];
    let wanted = [
        json!(173),
        json!(304),
        json!("gaining"),
        json!(9520),
        json!("instant_bw"),
    ];
    assert_eq!(pick(&objects[1], &keys), wanted);
    assert!(objects[4].get("new_cwnd").is_none());
}

#[test]
fn unsigned_and_narrow_values_are_the_same_numbers() {
    let text = "  1  62114                          net:ack  893724690 18446744072685848851 94548963229392 4440 5456\n\
                \x20 1  62114                          net:ack  0x35452812 0xc2fb8913 0x55fde55dfed0 0x1158 0x1550\n";
    let (objects, ran) = show(text.as_bytes(), &["--show-pointers"]);
    ran.fine();
    let keys = [
        "my_vtag",
        "local_port",
        "remote_port",
        "net",
        "old_cwnd",
        "new_cwnd",
    ];
    assert_eq!(pick(&objects[0], &keys), pick(&objects[1], &keys));
    assert_eq!(objects[0]["net"], "0x55fde55dfed0");
}

#[test]
fn text_has_a_line_for_each_event() {
    let text = packet_rows(&[(3, "192.0.2.1", 9899, "->", "198.51.100.7", 36412)]);
    let ran = on(text.as_bytes(), &["show"]).fine();
    assert_eq!(
        String::from_utf8(ran.stdout).unwrap(),
        "association 1: 192.0.2.1:9899 <-> 198.51.100.7:36412\n              -   3      1  send         packet sent\n"
    );
}
