//! Damaged lines are named, and cost only themselves.

use super::{on, probes, show};
use serde_json::json;

const ACK: &str = "2651.767739453 cpu=1 pid=13136 role=sender sctp:cwnd:net:ack arg0=893724690 arg1=18446744072685848851 arg2=0x55fde55dfed0 arg3=4440 arg4=5456";

/// A line that is wrong, and what is said of it.
const WRONG: &[(&str, &str)] = &[
    ("nonsense", "no line of any form that is known"),
    (
        "2651.7677x9453 cpu=1 sctp:cwnd:net:ack",
        "the time cannot be read",
    ),
    ("wall=1 mono=2 cpu=1 pid=3", "no probe in it"),
    (
        "wall=1 mono=2 cpu=1 pid=3 sctp:cwnd:net:nak arg0=1",
        "\"sctp:cwnd:net:nak\" is no probe of the SCTP provider",
    ),
    (
        "wall=1 mono=2 cpu=1 sctp:cwnd:net:ack sctp:cwnd:net:fr arg0=1",
        "two probes in it",
    ),
    (
        "wall=1 mono=2 cpu=1 sctp:cwnd:net:ack arg0=1 arg1=2 arg2=3 arg3=4",
        "4 values where the probe has 5",
    ),
    (
        "wall=1 mono=2 cpu=1 sctp:cwnd:net:ack arg0=1 arg1=2 arg2=3 arg3=4 arg4=zz",
        "the value of \"arg4=zz\" cannot be read",
    ),
    (
        "wall=1 mono=2 cpu=1 sctp:cwnd:net:ack arg0=1 arg0=1 arg1=2 arg2=3 arg3=4 arg4=5",
        "\"arg0\" stands there twice",
    ),
    (
        "wall=1 mono=2 cpu=1 sctp:cwnd:net:ack agr0=1 arg1=2 arg2=3 arg3=4 arg4=5",
        "\"agr0\" is not known",
    ),
    (
        "wall=1 mono=2 cpu=1 sctp:::send cs_cid=0x1 sctp_sport=1",
        "sctp_dport is missing",
    ),
    (
        "wall=1 mono=2 cpu=1 sctp:::send ip_saddr=1.2.3 sctp_sport=1 sctp_dport=2",
        "the value of \"ip_saddr\" cannot be read",
    ),
    (
        "wall=1 mono=2 cpu=1 sctp:::state-change cs_cid=0x1 sctps_state=0x8",
        "old_state is missing",
    ),
    (
        "wall=1 mono=99999999999999999999 cpu=1 sctp:::send",
        "the value of \"mono=99999999999999999999\" cannot be read",
    ),
    (
        "   3        192.0.2.1:9899  ->     198.51.100.7:364120",
        "the value of \"198.51.100.7:364120\" cannot be read",
    ),
    (
        "   3        192.0.2.1:9899  ->     198.51.100.7:36412  ->",
        "no line of any form that is known",
    ),
    (
        "   0           12  state-closed              -> state-foo",
        "no state is called \"state-foo\"",
    ),
    (
        "   0           1z  state-closed              -> state-closed",
        "the value of \"1z\" cannot be read",
    ),
    (
        "  1  62114     net:ack    1 2 3",
        "3 values where the probe has 5",
    ),
    (
        "  1  62114     net:ack    1 2 3 4 five",
        "the value of \"five\" cannot be read",
    ),
    (
        "  1  62114     net:nak    1 2 3 4 5",
        "\"net:nak\" is no probe of the SCTP provider",
    ),
    (
        "  1  62114     assoc:val    1 2 3 4",
        "\"assoc:val\" may be several probes, as the module is not printed",
    ),
    ("CPU  LADDR  RADDR", "no line of any form that is known"),
    (
        "# fired sctp:cwnd:net:ack many",
        "the value of \"fired\" cannot be read",
    ),
    ("\u{1b}[2Jboo", "no line of any form that is known"),
];

#[test]
fn every_kind_of_damage_is_named_with_its_line() {
    for (line, why) in WRONG {
        let text = format!("{ACK}\n\n{line}\n{ACK}\n");
        let (objects, ran) = show(text.as_bytes(), &[]);
        let ran = ran.ended(1);
        let lines: Vec<_> = objects.iter().map(|o| o["line"].clone()).collect();
        assert_eq!(lines, [json!(1), json!(4)], "{line}");
        let wanted = format!("line 3: {why} ({} bytes lost)\n", line.len());
        let said = ran.stderr.replace("\\\\", "\\");
        assert!(said.ends_with(&wanted), "{line}:\n{said}{wanted}");
        assert!(!ran.stderr.contains('\u{1b}'));
        let strict = on(text.as_bytes(), &["show", "--strict"]);
        strict.ended(2);
    }
}

#[test]
fn the_end_of_a_line_may_be_missing() {
    let text = format!("{ACK}\n{}", &ACK[..ACK.len() - 2]);
    let (objects, ran) = show(text.as_bytes(), &[]);
    assert_eq!(objects.len(), 1);
    // Read as it stands, its last value would be 54.
    assert!(
        ran.ended(1)
            .stderr
            .contains("line 2: the input ends inside the line")
    );
}

#[test]
fn a_line_without_end_costs_no_memory_and_only_itself() {
    let mut text = format!("{ACK}\n").into_bytes();
    text.resize(text.len() + 3_000_000, b'x');
    text.extend_from_slice(format!("\n{ACK}\n").as_bytes());
    let (objects, ran) = show(&text, &[]);
    assert_eq!(objects.len(), 2);
    assert!(
        ran.ended(1)
            .stderr
            .contains("line 2: longer than a line can be (3000000 bytes lost)")
    );
}

#[test]
fn drops_are_said() {
    let text = format!(
        "{ACK}\ndtrace: 12 drops on CPU 1\ndtrace: 3 dynamic variable drops\ndtrace: description 'x' matched 9 probes\n{ACK}\n"
    );
    let (objects, ran) = show(text.as_bytes(), &[]);
    let ran = ran.ended(1);
    let kinds: Vec<_> = objects
        .iter()
        .map(|o| o["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["sctp", "sctp_lost", "sctp_lost", "sctp"]);
    assert_eq!(
        (&objects[1]["count"], &objects[2]["count"]),
        (&json!(12), &json!(3))
    );
    assert!(
        ran.stderr
            .contains("line 2: DTrace lost firings: dtrace: 12 drops on CPU 1")
    );
    let ran = on(text.as_bytes(), &["info"]).ended(1);
    assert!(
        String::from_utf8(ran.stdout)
            .unwrap()
            .contains("15 firings lost by DTrace")
    );
}

#[test]
fn cut_compression_keeps_what_came_before() {
    let text = probes("rtcc").repeat(40);
    let whole = zstd::stream::encode_all(&*text, 1).unwrap();
    let (objects, ran) = show(&whole[..whole.len() * 9 / 10], &["--event", "init"]);
    let ran = ran.ended(1);
    assert!(
        !objects.is_empty() && objects.len() < 80,
        "{}",
        objects.len()
    );
    assert!(ran.stderr.contains("reading failed here"), "{}", ran.stderr);
}

#[test]
fn other_commands_and_texts_are_refused() {
    let text = probes("rfc2581");
    let ran = on(&text, &["filter", "-o", "/dev/null"]).ended(2);
    assert!(ran.stderr.contains("dtrace-sctp"), "{}", ran.stderr);
    let ran = on(b"some text\nof another kind\n", &["show"]).ended(2);
    assert!(ran.stderr.contains("not black box data"), "{}", ran.stderr);
    // What is given is believed.
    let (objects, ran) = show(b"some text\n", &["--input-format", "dtrace-sctp"]);
    assert!(objects.is_empty());
    assert!(ran.ended(1).stderr.contains("line 1: no line of any form"));
}

#[test]
fn many_associations_cost_bounded_memory() {
    use tcplog::sctp::associations::MOST_LIVE;
    use tcplog::sctp::{Associations, Found, Trace};
    let mut text = String::new();
    for n in 0..MOST_LIVE as u64 * 2 {
        let ports = n & 0xffff_ffff;
        text += &format!(
            "1.000000000 sctp:cwnd:net:init arg0={n} arg1={ports} arg2=1 arg3=0 arg4=4440\n"
        );
    }
    let mut associations = Associations::default();
    let mut done = 0;
    let mut trace = Trace::new(text.as_bytes());
    let mut take = |found: Found<'_>| {
        if let Found::Event(event) = found {
            associations.take(event, |_| true, &mut |_| done += 1);
        }
        Ok(())
    };
    while trace.advance(&mut take).unwrap() {}
    let (let_go, left) = (associations.let_go, associations.finish().len());
    assert_eq!(done, let_go);
    assert_eq!(let_go as usize + left, 2 * MOST_LIVE);
    assert!(left <= MOST_LIVE + 256, "{left}");
}
