//! Whatever is fed in: nothing panics, a line or object of any damage leaves
//! those around it whole, and how the input is cut into reads changes nothing.

use proptest::prelude::*;
use std::io::Read;
use tcplog::sctp::write::{Form, csv::Csv, json::Json, pcapng::Pcapng};
use tcplog::sctp::{Associations, Event, Field, Found, Trace};

/// Reads so many bytes at once.
struct Slow<R>(R, usize);

impl<R: Read> Read for Slow<R> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let most = room.len().min(self.1.max(1));
        self.0.read(&mut room[..most])
    }
}

/// Everything that a trace comes to: events, and places of damage.
fn read(text: &[u8], step: usize) -> (Vec<Event>, Vec<String>, Vec<u8>) {
    let (mut events, mut said, mut out) = (Vec::new(), Vec::new(), Vec::new());
    let mut associations = Associations::default();
    let mut forms: [Box<dyn Form>; 3] = [
        Box::new(Json::new(true)),
        Box::new(Csv::new(true)),
        Box::new(Pcapng::new(true)),
    ];
    let mut trace = Trace::new(Slow(text, step));
    let mut take = |found: Found<'_>| {
        match found {
            Found::Event(event) => {
                let member = associations.take(event, |_| true, &mut |_| {}).unwrap();
                forms
                    .iter_mut()
                    .for_each(|f| f.event(event, &member, &mut out));
                events.push(event.clone());
            }
            Found::Lost(lost) => said.push(lost.to_string()),
            Found::Damage(damage) => said.push(damage.to_string()),
        }
        Ok(())
    };
    while trace.advance(&mut take).unwrap() {}
    (events, said, out)
}

const KEYED: &str =
    "wall=7 mono=5 cpu=1 sctp:cwnd:net:ack arg0=0x1 arg1=0x2 arg2=0x3 arg3=0x4 arg4=0x5";
const PACKET: &str = "   3        192.0.2.1:9899  ->     198.51.100.7:36412";
const STATE: &str = "   0           12  state-closed              -> state-cookie-wait";
const PLAIN: &str = "  1  62114                          net:ack  1 2 3 4 5";
const JSON: &str = r#"{"timestamp": 5, "cpu": 1, "id": 9, "provider": "sctp", "module": "cwnd", "function": "net", "name": "ack", "output": [{"value": 1}, {"value": 2}, {"value": 3}, {"value": 4}, {"value": 5}]}"#;
const XML: &str = "<probes><timestamp>5</timestamp><cpu>1</cpu><provider>sctp</provider><module>cwnd</module><function>net</function><name>ack</name><output><value>1</value></output><output><value>2</value></output><output><value>3</value></output><output><value>4</value></output><output><value>5</value></output></probes>";

/// A line with a few bytes changed, removed or put in.
fn mutated(line: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let edits =
        proptest::collection::vec((any::<prop::sample::Index>(), 0..3u8, any::<u8>()), 0..4);
    edits.prop_map(move |edits| {
        let mut line = line.as_bytes().to_vec();
        for (at, how, byte) in edits {
            let at = at.index(line.len().max(1));
            match how {
                0 if at < line.len() => line[at] = byte,
                1 if at < line.len() => {
                    line.remove(at);
                }
                _ => line.insert(at.min(line.len()), byte),
            }
        }
        line
    })
}

fn any_line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        mutated(KEYED),
        mutated(PACKET),
        mutated(STATE),
        mutated(PLAIN)
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for begin in ["", "{\"dtrace\": {\"probes\": [", "<dtrace><probes>"] {
            let text = [begin.as_bytes(), &bytes].concat();
            prop_assert_eq!(read(&text, usize::MAX), read(&text, 3));
        }
    }

    #[test]
    fn damaged_lines_cost_themselves(mut line in any_line(), step in 1..90usize) {
        line.retain(|b| *b != b'\n');
        let good = [KEYED, PACKET, STATE, PLAIN].map(|l| format!("{l}\n")).concat();
        let text = [good.as_bytes(), &line, b"\n", good.as_bytes()].concat();
        let (events, said, out) = read(&text, usize::MAX);
        prop_assert_eq!((&events, &said, &out), {
            let (e, s, o) = &read(&text, step);
            (&e.clone(), &s.clone(), &o.clone())
        });
        let lines: Vec<u64> = events.iter().map(|e| e.line).filter(|l| *l != 5).collect();
        prop_assert_eq!(lines, [1, 2, 3, 4, 6, 7, 8, 9]);
        prop_assert!(said.len() <= 1);
        prop_assert!(said.iter().all(|s| s.starts_with("line 5: ")));
    }

    #[test]
    fn damaged_objects_cost_themselves(object in prop_oneof![mutated(JSON)], step in 1..90usize) {
        let text = [b"{\"dtrace\": {\"probes\": [", JSON.as_bytes(), b", ", &object, b", ", JSON.as_bytes(), b", ", JSON.as_bytes()].concat();
        let (events, said, out) = read(&text, usize::MAX);
        let slow = read(&text, step);
        prop_assert_eq!(&events, &slow.0);
        prop_assert_eq!(&said, &slow.1);
        prop_assert_eq!(&out, &slow.2);
        // A brace too many may take the object behind it along, no more.
        let good = events.iter().filter(|e| e.values.get(Field::NewCwnd) == Some(5)).count();
        prop_assert!(good >= 2, "{good} {said:?}");
        prop_assert!(good >= 3 || !said.is_empty());
    }

    #[test]
    fn damaged_elements_cost_themselves(element in mutated(XML), step in 1..90usize) {
        let text = [b"<dtrace>", XML.as_bytes(), &element, XML.as_bytes(), XML.as_bytes(), b"</dtrace>"].concat();
        let (events, said, _) = read(&text, usize::MAX);
        let slow = read(&text, step);
        prop_assert_eq!((&events, &said), (&slow.0, &slow.1));
        let good = events.iter().filter(|e| e.values.get(Field::NewCwnd) == Some(5)).count();
        prop_assert!(good >= 2, "{good} {said:?}");
    }

    #[test]
    fn any_values_read_back(args in any::<[u64; 5]>(), mono in any::<u64>(), signed in any::<bool>()) {
        let shown = |n: u64| if signed { format!("{}", n as i64) } else { format!("{n:#x}") };
        let values = args.map(shown);
        let keyed: String = (0..5).map(|n| format!(" arg{n}={}", values[n])).collect();
        let plain = format!("  1  62114 net:ack {}\n", values.join(" "));
        let keyed = format!("mono={mono} sctp:cwnd:net:ack{keyed}\n");
        for text in [&plain, &keyed] {
            let (events, said, _) = read(text.as_bytes(), usize::MAX);
            prop_assert!(said.is_empty(), "{said:?}");
            let v = &events[0].values;
            prop_assert_eq!(v.get(Field::MyVtag), Some(args[0] & 0xffff_ffff));
            let lport = ((args[1] >> 16) as u16).swap_bytes();
            let rport = (args[1] as u16).swap_bytes();
            prop_assert_eq!(v.get(Field::LocalPort), Some(lport.into()));
            prop_assert_eq!(v.get(Field::RemotePort), Some(rport.into()));
            prop_assert_eq!(v.get(Field::Net), Some(args[2]));
            prop_assert_eq!(v.signed(Field::OldCwnd), Some((args[3] as i32).into()));
            prop_assert_eq!(v.signed(Field::NewCwnd), Some((args[4] as i32).into()));
        }
    }
}
