//! What the summary finds out about a connection, as lines of text.

use super::SummarySink;
use super::findings::{RecoveryView, SpreadView, StateTime, limits};
use super::text::{counted, rows, seconds};
use crate::output::connections::Connection;
use crate::output::connections::limits::Limit;
use crate::output::connections::progress::Progress;
use std::io::Write;

impl<W: Write> SummarySink<W> {
    /// Lines for what there is; nothing is said of what did not happen.
    pub(super) fn findings(&self, text: &mut String, connection: &Connection) {
        let goodput = &connection.goodput;
        let sent = moved(&goodput.sent, "acknowledged");
        let again = connection.sent_again;
        let again = (again.segments > 0).then(|| {
            let share = again.segments as f64 / connection.sent.segments.max(1) as f64;
            format!(
                "{} bytes in {} segments sent again ({:.1} % of segments)",
                again.bytes,
                again.segments,
                share * 100.0
            )
        });
        let sent: Vec<String> = sent.into_iter().chain(again).collect();
        rows(text, "out", &sent);
        rows(
            text,
            "in",
            Vec::from_iter(moved(&goodput.received, "in order")).as_slice(),
        );
        let rtts = [
            ("measured", &connection.rtts.measured),
            ("by stack", &connection.rtts.reported),
        ];
        let mut rtts: Vec<String> = rtts
            .into_iter()
            .filter_map(|(what, spread)| Some(spread_line(what, &SpreadView::of(spread)?)))
            .collect();
        let negative = connection.rtts.negative;
        if negative > 0 {
            let samples = counted(negative, "negative sample");
            rtts.push(format!("by stack: {samples} left out"));
        }
        rows(text, "RTT", &rtts);
        let losses = losses(&RecoveryView::of(connection));
        if !losses.is_empty() {
            rows(text, "losses", &[losses.join(", ")]);
        }
        let spent = connection.limits.spent_us();
        let shares: Vec<String> = limits(connection)
            .iter()
            .zip(&spent)
            .map(|(view, (limit, _)): (_, &(Limit, u64))| {
                format!("{} {:.1} %", limit.name(), view.share * 100.0)
            })
            .collect();
        if !shares.is_empty() {
            let all: u64 = spent.iter().fold(0, |sum, (_, us)| sum.saturating_add(*us));
            let all = seconds(i64::try_from(all).unwrap_or(i64::MAX));
            rows(
                text,
                "limits",
                &[format!("{} of {all} s", shares.join(", "))],
            );
        }
        times(text, "spent", &self.state_times(connection));
        times(text, "BBR", &self.bbr_state_times(connection));
    }
}

fn times(text: &mut String, label: &str, times: &[StateTime]) {
    let times: Vec<String> = times
        .iter()
        .map(|time| {
            let us = i64::try_from(time.us).unwrap_or(i64::MAX);
            format!("{} {} s", time.state_name, seconds(us))
        })
        .collect();
    if !times.is_empty() {
        rows(text, label, &[times.join(", ")]);
    }
}

fn moved(progress: &Progress, how: &str) -> Option<String> {
    if progress.bytes == 0 {
        return None;
    }
    let rate = match (progress.took_us(), progress.bytes_per_s()) {
        (Some(us), Some(rate)) => {
            let took = seconds(i64::try_from(us).unwrap_or(i64::MAX));
            format!(" in {took} s, {rate} bytes/s")
        }
        _ => String::new(),
    };
    Some(format!("{} bytes {how}{rate}", progress.bytes))
}

fn spread_line(what: &str, spread: &SpreadView) -> String {
    let ms = |us: u32| format!("{}.{:03}", us / 1000, us % 1000);
    let median = ms(spread.median_us);
    // Zeros behind it are no digits of an estimate.
    let median = median.trim_end_matches('0').trim_end_matches('.');
    format!(
        "{what}: min {}, median {median}, max {} ms, {}",
        ms(spread.min_us),
        ms(spread.max_us),
        counted(spread.samples, "sample")
    )
}

fn losses(counts: &RecoveryView) -> Vec<String> {
    let counts = [
        (counts.retransmission_timeouts, "retransmission timeouts"),
        (counts.tail_loss_probes, "tail loss probes"),
        (counts.rack_timeouts, "RACK timeouts"),
        (counts.fast_recoveries, "fast recoveries"),
        (counts.persists, "times in persist"),
        (counts.persist_timeouts, "window probes"),
        (counts.keepalive_timeouts, "keepalive timeouts"),
        (counts.zero_windows, "closed windows"),
        (counts.enobufs, "sends without buffers"),
    ];
    let came = counts.into_iter().filter(|(n, _)| *n > 0);
    came.map(|(n, what)| format!("{what}: {n}")).collect()
}
