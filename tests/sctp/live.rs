//! Lines that come one by one go out one by one.

use super::probes;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Nothing here takes so long.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn each_line_is_shown_as_it_comes() {
    let text = String::from_utf8(probes("rfc2581")).unwrap();
    for form in ["json", "text", "csv"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tcplog"))
            .args(["show", "-", "--format", form, "--event", "ack"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (give, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                if give.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        if form == "csv" {
            // The header comes with the first line, whatever that is.
            stdin
                .write_all(text.lines().nth(1).unwrap().as_bytes())
                .unwrap();
            stdin.write_all(b"\n").unwrap();
            assert!(
                lines
                    .recv_timeout(LONG)
                    .unwrap()
                    .starts_with("schema,kind,")
            );
        }
        let mut shown = 0;
        for line in text.lines().filter(|l| l.contains(":ack ")).take(20) {
            // In two writes, so that a line arrives in parts.
            let (a, b) = line.split_at(line.len() / 2);
            stdin.write_all(a.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(2));
            stdin.write_all(b.as_bytes()).unwrap();
            stdin.write_all(b"\n").unwrap();
            let got = lines.recv_timeout(LONG).unwrap();
            let got = match got.starts_with("association") {
                true => lines.recv_timeout(LONG).unwrap(),
                false => got,
            };
            assert!(got.contains("ack"), "{got}");
            shown += 1;
        }
        assert_eq!(shown, 20);
        drop(stdin);
        assert!(child.wait().unwrap().success());
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(said, "");
    }
}
