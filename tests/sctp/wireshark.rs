//! tshark reads what convert writes of genuine lines.

use super::support::wireshark::rows;
use super::{converted, probes, show, support};

#[test]
fn every_event_is_a_row_with_its_text() {
    for run in ["rfc2581", "rtcc"] {
        let text = probes(run);
        let (objects, _) = show(&text, &[]);
        let (_dir, path, ran) = converted(&text, &[]);
        ran.fine();
        let fields = [
            "frame.time_epoch",
            "_ws.col.Info",
            "exported_pdu.src_port",
            "exported_pdu.dst_port",
            "exported_pdu.ipv4_src",
        ];
        let rows = rows(&path, &fields, &[]);
        assert_eq!(rows.len(), objects.len());
        for (row, object) in rows.iter().zip(&objects) {
            let ns = object["timestamp_ns"].as_u64().unwrap();
            let epoch = format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
            assert_eq!(row.get("frame.time_epoch"), epoch);
            let event = object["event"].as_str().unwrap();
            let text = object["text"].as_str().unwrap();
            let info = row.get("_ws.col.Info");
            assert!(info.starts_with(&format!("{event}: {text}")), "{info}");
            assert_eq!(
                row.get("exported_pdu.src_port"),
                object["local_port"].to_string()
            );
            assert_eq!(
                row.get("exported_pdu.dst_port"),
                object["remote_port"].to_string()
            );
            // No address was printed, so none is shown.
            assert_eq!(row.get("exported_pdu.ipv4_src"), "");
        }
    }
}

#[test]
fn packets_of_the_manual_s_script_become_headers() {
    let text = "   3        192.0.2.1:9899  ->     198.51.100.7:36412\n   0      2001:db8::1:7     <-      2001:db8::a:5001 \n   1        <unknown>:7     <-       192.0.2.9:5001 \n";
    let (_dir, path, ran) = converted(text.as_bytes(), &[]);
    ran.fine();
    let fields = [
        "ip.src",
        "ipv6.src",
        "ipv6.dst",
        "sctp.srcport",
        "frame.len",
        "frame.comment",
        "_ws.col.Info",
    ];
    let found = rows(&path, &fields, &[]);
    let row = |n: usize| {
        fields[..5]
            .iter()
            .map(|f| found[n].get(f))
            .collect::<Vec<_>>()
    };
    assert_eq!(row(0), ["192.0.2.1", "", "", "9899", "32"]);
    assert_eq!(row(1), ["", "2001:db8::a", "2001:db8::1", "5001", "52"]);
    assert_eq!(
        found[0].get("frame.comment"),
        "packet sent; association 1; its length, tag and checksum were not printed; no time was printed"
    );
    assert!(
        found[2]
            .get("_ws.col.Info")
            .starts_with("receive: packet received")
    );
    let (_dir, path, ran) = converted(text.as_bytes(), &["--no-comments"]);
    ran.fine();
    assert!(
        rows(&path, &["frame.comment"], &[])
            .iter()
            .all(|r| r.get("frame.comment").is_empty())
    );
}

#[test]
fn nothing_wanted_writes_nothing_and_other_forms_refuse() {
    let text = probes("rfc2581");
    let (_dir, path, ran) = converted(&text, &["--event", "to"]);
    ran.ended(1);
    assert!(!path.exists());
    for options in [&["--merge"][..], &["--format", "stream"]] {
        let (_dir, path, ran) = converted(&text, options);
        let ran = ran.ended(2);
        assert!(ran.stderr.contains("dtrace-sctp"), "{}", ran.stderr);
        assert!(!path.exists());
    }
}

#[test]
fn records_and_probes_share_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let trace = support::put(dir.path(), "trace", &probes("rfc2581"));
    let out = dir.path().join("out.pcapng");
    let stream = support::testdata("demo.bin");
    for jobs in ["1", "3"] {
        let args = [
            "convert",
            "-j",
            jobs,
            stream.to_str().unwrap(),
            trace.to_str().unwrap(),
            stream.to_str().unwrap(),
            "-o",
            out.to_str().unwrap(),
        ];
        support::tcplog(args).fine();
        let alone = dir.path().join("alone.pcapng");
        support::tcplog([
            "convert",
            stream.to_str().unwrap(),
            "-o",
            alone.to_str().unwrap(),
        ])
        .fine();
        let count = |path| rows(path, &["frame.number"], &[]).len();
        assert_eq!(count(&out), 2 * count(&alone) + 121);
    }
}
