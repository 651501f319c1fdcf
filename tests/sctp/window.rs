//! The congestion window, rebuilt per destination, against the bytes that the
//! run's capture shows in flight.
//!
//! What a sender promises is that it sends new data only while less than a
//! window is in flight; after a loss more than the new window may still be on
//! its way. So the test looks at each new DATA chunk that the capture shows at
//! the sender: the flight before it must be below the window that the trace has
//! at that moment.
//!
//! Flight is counted as the sender counts: chunks with their header, in whole
//! words, but for those that a SACK covers, and for those that three SACKs
//! reported missing, until they are sent again.
//!
//! Both clocks belong to one machine, but their distance was not recorded: it
//! is fitted, one number for a whole run.

use super::{probes, show, stored};
use std::collections::{BTreeMap, HashSet};

/// What one chunk with 1000 bytes of data takes.
const CHUNK: i64 = 1016;

enum Wire {
    Data {
        tsn: u32,
        len: i64,
    },
    Sack {
        cumulative: u32,
        gaps: Vec<(u32, u32)>,
    },
}

fn be(bytes: &[u8], at: usize, len: usize) -> u32 {
    bytes[at..at + len]
        .iter()
        .fold(0, |n, b| n << 8 | u32::from(*b))
}

fn le(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// DATA that the sender sends, and SACKs that reach it, in nanoseconds.
fn wire(run: &str) -> Vec<(i64, Wire)> {
    let file = stored(&format!("sctp/{run}.pcap.zst"));
    let mut all = Vec::new();
    let mut at = 24;
    while at < file.len() {
        let captured = le(&file, at + 8) as usize;
        let ns = i64::from(le(&file, at)) * 1_000_000_000 + i64::from(le(&file, at + 4)) * 1000;
        let frame = &file[at + 16..at + 16 + captured];
        at += 16 + captured;
        let ports = (be(frame, 34, 2), be(frame, 36, 2));
        // Ethernet, IPv4, UDP, SCTP's common header.
        let mut chunk = 14 + 20 + 8 + 12;
        while chunk + 16 <= frame.len() {
            let len = be(frame, chunk + 2, 2) as usize;
            if ports == (19801, 19901) && frame[chunk] == 0 {
                let (tsn, len) = (be(frame, chunk + 4, 4), len.next_multiple_of(4) as i64);
                all.push((ns, Wire::Data { tsn, len }));
            }
            if ports == (19901, 19801) && frame[chunk] == 3 {
                let gaps = (0..be(frame, chunk + 12, 2) as usize)
                    .map(|n| chunk + 16 + 4 * n)
                    .filter(|at| at + 4 <= frame.len())
                    .map(|at| (be(frame, at, 2), be(frame, at + 2, 2)));
                let cumulative = be(frame, chunk + 4, 4);
                let gaps = gaps.collect();
                all.push((ns, Wire::Sack { cumulative, gaps }));
            }
            chunk += len.next_multiple_of(4).max(4);
        }
    }
    all
}

#[derive(Default)]
struct Flight {
    chunks: BTreeMap<u32, i64>,
    missing: BTreeMap<u32, u32>,
    lost: HashSet<u32>,
}

impl Flight {
    fn bytes(&self) -> i64 {
        let there = self
            .chunks
            .iter()
            .filter(|(tsn, _)| !self.lost.contains(tsn));
        there.map(|(_, len)| len).sum()
    }

    fn sack(&mut self, cumulative: u32, gaps: &[(u32, u32)]) {
        let beyond = |tsn: u32| tsn.wrapping_sub(cumulative);
        let is_gap = |tsn: u32| {
            gaps.iter()
                .any(|(lo, hi)| (*lo..=*hi).contains(&beyond(tsn)))
        };
        self.chunks
            .retain(|tsn, _| beyond(*tsn) < 1 << 31 && *tsn != cumulative && !is_gap(*tsn));
        let highest = gaps.iter().map(|(_, hi)| *hi).max().unwrap_or(0);
        for tsn in self.chunks.keys().filter(|tsn| beyond(**tsn) < highest) {
            let strikes = self.missing.entry(*tsn).or_default();
            *strikes += 1;
            if *strikes >= 3 {
                self.lost.insert(*tsn);
            }
        }
    }
}

/// For each new DATA chunk, how far the flight before it is above the window;
/// `offset` is the trace's clock minus the capture's.
fn excess(windows: &[(i64, i64)], wire: &[(i64, Wire)], offset: i64) -> Vec<i64> {
    let mut all = Vec::new();
    let mut flight = Flight::default();
    let mut at = 0;
    for (ns, what) in wire {
        while windows
            .get(at + 1)
            .is_some_and(|(since, _)| *since <= ns + offset)
        {
            at += 1;
        }
        match what {
            Wire::Data { tsn, len } => {
                let is_new = !flight.chunks.contains_key(tsn);
                flight.lost.remove(tsn);
                flight.missing.remove(tsn);
                if is_new {
                    all.push(flight.bytes() - windows[at].1);
                }
                flight.chunks.insert(*tsn, *len);
            }
            Wire::Sack { cumulative, gaps } => flight.sack(*cumulative, gaps),
        }
    }
    all
}

/// Windows over time of the sender's only destination, as `show` gives them.
fn windows(run: &str) -> Vec<(i64, i64)> {
    let (objects, _) = show(&probes(run), &[]);
    let of_sender = objects.iter().filter(|o| o["role"] == "sender");
    let windows = of_sender.map(|o| {
        assert_eq!(
            (&o["association"], &o["destination"]),
            (&1.into(), &1.into())
        );
        (
            o["timestamp_ns"].as_i64().unwrap(),
            o["cwnd"].as_i64().unwrap(),
        )
    });
    windows.collect()
}

/// The offset that agrees best, within what the first SACKs allow: each of them
/// comes before the event that it causes.
fn fitted(windows: &[(i64, i64)], wire: &[(i64, Wire)]) -> Vec<i64> {
    let first_ack = windows.iter().find(|(_, cwnd)| *cwnd == 5456).unwrap().0;
    let sacks = wire.iter().filter(|(_, w)| matches!(w, Wire::Sack { .. }));
    let first_sack = sacks.map(|(ns, _)| *ns).next().unwrap();
    let latest = first_ack - first_sack;
    let offsets = (0..40).map(|step| latest - step * 5_000);
    let runs = offsets.map(|offset| excess(windows, wire, offset));
    runs.min_by_key(|run| run.iter().filter(|n| **n >= 0).count())
        .unwrap()
}

#[test]
fn new_data_is_sent_only_below_the_window() {
    for (run, chunks) in [("rfc2581", 1501), ("rtcc", 2000)] {
        let (windows, wire) = (windows(run), wire(run));
        let excess = fitted(&windows, &wire);
        assert_eq!(excess.len(), chunks, "{run}");
        // One chunk of each run comes right beside a change of the window.
        let above: Vec<_> = excess.iter().filter(|n| **n >= 0).collect();
        assert!(above.len() <= 2, "{run}: {above:?}");
        // With the chunk itself: never more than two above the window.
        assert!(above.iter().all(|n| **n < CHUNK), "{run}: {above:?}");
        // The window is what holds the sender back: many chunks are sent when
        // there is room for less than three more.
        let full = excess.iter().filter(|n| **n >= -3 * CHUNK).count();
        assert!(full * 4 > chunks, "{run}: {full}");
    }
}

#[test]
fn another_window_would_not_agree() {
    for run in ["rfc2581", "rtcc"] {
        let wire = wire(run);
        let mut windows = windows(run);
        windows
            .iter_mut()
            .skip(1)
            .for_each(|(_, cwnd)| *cwnd -= 2 * CHUNK);
        let first = windows.iter().map(|(ns, _)| *ns).nth(1).unwrap();
        let sack = wire
            .iter()
            .find(|(_, w)| matches!(w, Wire::Sack { .. }))
            .unwrap()
            .0;
        let above = excess(&windows, &wire, first - sack);
        assert!(above.iter().filter(|n| **n >= 0).count() > 100, "{run}");
    }
}

#[test]
fn the_kernel_s_own_flight_stays_below_the_window_too() {
    let (objects, _) = show(&probes("rtcc"), &["--event", "rttvar"]);
    let mut compared = 0;
    for o in &objects {
        let (flight, cwnd) = (o["flight"].as_i64().unwrap(), o["cwnd"].as_i64().unwrap());
        // After a loss the window shrinks below what is on its way.
        compared += i64::from(flight <= cwnd + CHUNK);
    }
    assert!(compared * 100 > 95 * objects.len() as i64, "{compared}");
}

#[test]
fn changes_without_a_probe_are_noticed() {
    let unseen = |run: &str| {
        let (objects, _) = show(&probes(run), &[]);
        let found = objects
            .iter()
            .filter(|o| o.get("unseen_cwnd_change").is_some());
        found.count()
    };
    // RTCC lowers the window by itself; the default module never does.
    assert_eq!(unseen("rfc2581"), 0);
    assert!(unseen("rtcc") > 0);
    // A lost line shows.
    let text = String::from_utf8(probes("rfc2581")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.remove(20);
    let (objects, _) = show((lines.join("\n") + "\n").as_bytes(), &[]);
    let found: Vec<_> = objects
        .iter()
        .filter_map(|o| o.get("unseen_cwnd_change"))
        .collect();
    assert_eq!(found, [&serde_json::json!(2032)]);
}
