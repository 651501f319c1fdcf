//! The relatives of the black box through the commands that read them.

mod support;

use support::{tcplog, tcplog_with_input, testdata};

fn sniffed(args: &[&str]) -> String {
    let log = testdata("zcs/2006-09-01.txt");
    let args = [&["show", "--format", "json", log.to_str().unwrap()], args].concat();
    String::from_utf8(tcplog(args).fine().stdout).unwrap()
}

fn ports(shown: &str) -> Vec<u64> {
    shown
        .lines()
        .filter_map(|line| {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(object["kind"], "zcs");
            object["dst_port"].as_u64()
        })
        .collect()
}

#[test]
fn ports_of_the_sniffer_are_read_as_asked() {
    let swapped = [22, 22, 22, 22, 4521, 4521, 4521];
    assert_eq!(ports(&sniffed(&[])), swapped);
    assert_eq!(ports(&sniffed(&["--zcs-ports", "swapped"])), swapped);
    let printed = [5632, 5632, 5632, 5632, 43281, 43281, 43281];
    assert_eq!(ports(&sniffed(&["--zcs-ports", "printed"])), printed);
    assert_eq!(ports(&sniffed(&["--port", "22"])).len(), 4);
}

#[test]
fn all_commands_take_the_sniffers_log() {
    let log = std::fs::read(testdata("zcs/2006-09-01.txt")).unwrap();
    let text = |args: &[&str]| {
        let ran = tcplog_with_input(args, Some(&log)).fine();
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    assert!(text(&["info", "-"]).contains("8 entries (7 with a packet, 1 freed"));
    // pcapng begins with its section header.
    assert!(text(&["convert", "-", "-o", "-"]).starts_with("\n\r\r\n"));
    let refused = tcplog_with_input(["filter", "-", "-o", "-"], Some(&log)).ended(2);
    assert!(refused.stderr.contains("zcs"), "{}", refused.stderr);
}

#[test]
fn the_script_for_sctp_is_printed_as_it_is() {
    let printed = tcplog(["formats", "--dtrace"]).fine().stdout;
    let path = testdata("../formats/dtrace/tcplog-sctp.d");
    assert_eq!(printed, std::fs::read(path).unwrap());
}

/// The second script of dtrace_sctp(4) names no association.
#[test]
fn changes_of_state_are_summed_up_without_associations() {
    let log = " CPU    DELTA(us)  OLD                          NEW                      \n\
               \x20  3            -  state-closed              -> state-cookie-wait        \n\
               \x20  3          120  state-cookie-wait         -> state-cookie-echoed      \n\
               \x20  1          180  state-cookie-wait         -> state-cookie-echoed      \n";
    let ran = tcplog_with_input(["info", "--format", "json", "-"], Some(log.as_bytes())).fine();
    let summary: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    let changes = serde_json::json!([
        { "old_state_name": "state-closed", "state_name": "state-cookie-wait", "count": 1 },
        {
            "old_state_name": "state-cookie-wait", "state_name": "state-cookie-echoed",
            "count": 2, "timed": 2, "lasted_us": 300, "longest_us": 180,
        },
    ]);
    assert_eq!(summary["total"]["state_changes"], changes);
    let text = tcplog_with_input(["info", "-"], Some(log.as_bytes()))
        .fine()
        .stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("before it 150 \u{b5}s on average, 180 \u{b5}s at most"),
        "{text}"
    );
}
