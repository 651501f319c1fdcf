//! What the summary finds out about a connection beyond counts, as numbers.

use super::SummarySink;
use super::document::{Exact, exact};
use crate::output::connections::Connection;
use crate::output::connections::limits::Limit;
use crate::output::connections::progress::Progress;
use crate::output::connections::rtt::Spread;
use crate::output::connections::states::Durations;
use serde::Serialize;
use std::io::Write;

/// How the connection ended; serial numbers of the first record of a kind.
#[derive(Serialize)]
pub(super) struct EndingView {
    /// In words.
    pub verdict: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fin_sent_sn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fin_received_sn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rst_sent_sn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rst_received_sn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connend_sn: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct GoodputView {
    #[serde(serialize_with = "exact")]
    pub acked_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acked_in_us: Option<Exact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acked_bytes_per_s: Option<Exact>,
    #[serde(serialize_with = "exact")]
    pub in_order_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_order_in_us: Option<Exact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_order_bytes_per_s: Option<Exact>,
}

impl GoodputView {
    pub fn of(connection: &Connection) -> GoodputView {
        let per_s = Progress::bytes_per_s;
        let (sent, received) = (&connection.goodput.sent, &connection.goodput.received);
        GoodputView {
            acked_bytes: sent.bytes,
            acked_in_us: sent.took_us().map(Exact::from),
            acked_bytes_per_s: per_s(sent).map(Exact::from),
            in_order_bytes: received.bytes,
            in_order_in_us: received.took_us().map(Exact::from),
            in_order_bytes_per_s: per_s(received).map(Exact::from),
        }
    }
}

#[derive(Serialize)]
pub(super) struct RttView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<SpreadView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported: Option<SpreadView>,
    /// Samples of the stack that are not in `reported`.
    #[serde(skip_serializing_if = "is_none")]
    pub reported_negative: u64,
}

fn is_none(n: &u64) -> bool {
    *n == 0
}

#[derive(Serialize)]
pub(super) struct SpreadView {
    pub samples: u64,
    pub min_us: u32,
    pub median_us: u32,
    pub max_us: u32,
}

impl SpreadView {
    pub fn of(spread: &Spread) -> Option<SpreadView> {
        Some(SpreadView {
            samples: spread.samples,
            min_us: spread.min_us,
            median_us: spread.median_us()?,
            max_us: spread.max_us,
        })
    }
}

#[derive(Serialize)]
pub(super) struct RecoveryView {
    pub retransmission_timeouts: u64,
    pub tail_loss_probes: u64,
    pub rack_timeouts: u64,
    pub fast_recoveries: u64,
    pub persists: u64,
    pub persist_timeouts: u64,
    pub keepalive_timeouts: u64,
    pub zero_windows: u64,
    pub enobufs: u64,
}

impl RecoveryView {
    pub fn of(connection: &Connection) -> RecoveryView {
        let counts = &connection.recovery;
        RecoveryView {
            retransmission_timeouts: counts.rtos,
            tail_loss_probes: counts.tlps,
            rack_timeouts: counts.rack_timeouts,
            fast_recoveries: counts.fast_recoveries,
            persists: counts.persists,
            persist_timeouts: counts.persist_timeouts,
            keepalive_timeouts: counts.keepalive_timeouts,
            zero_windows: counts.zero_windows,
            enobufs: counts.enobufs,
        }
    }
}

#[derive(Serialize)]
pub(super) struct StateTime {
    pub state: i32,
    pub state_name: String,
    #[serde(serialize_with = "exact")]
    pub us: u64,
}

#[derive(Serialize)]
pub(super) struct LimitView {
    pub limit: &'static str,
    #[serde(serialize_with = "exact")]
    pub us: u64,
    /// Of the time that counts, 0 to 1.
    pub share: f64,
}

/// By what the sender was limited.
pub(super) fn limits(connection: &Connection) -> Vec<LimitView> {
    let spent = connection.limits.spent_us();
    let all: f64 = spent.iter().map(|(_, us)| *us as f64).sum();
    let view = |(limit, us): &(Limit, u64)| LimitView {
        limit: match limit {
            Limit::Cwnd => "cwnd",
            Limit::PeerWindow => "peer_window",
            Limit::Application => "application",
            Limit::Nagle => "nagle",
            Limit::Pacing => "pacing",
            Limit::Recovery => "recovery",
            Limit::Other => "other",
            Limit::Unknown => "unknown",
        },
        us: *us,
        // No more digits than microseconds are worth.
        share: (*us as f64 / all * 1e6).round() / 1e6,
    };
    spent.iter().map(view).collect()
}

impl<W: Write> SummarySink<W> {
    pub(super) fn ending(&self, c: &Connection) -> EndingView {
        let table = self.context.formats.codes("end_info");
        let codes: Vec<String> = c
            .ending
            .codes
            .iter()
            .take_while(|code| **code != 0)
            .map(|code| {
                let name = table.and_then(|table| table.get(i64::from(*code), c.release));
                name.map_or_else(|| code.to_string(), str::to_owned)
            })
            .collect();
        EndingView {
            verdict: verdict(c),
            codes,
            fin_sent_sn: c.ending.fin_sent_sn,
            fin_received_sn: c.ending.fin_received_sn,
            rst_sent_sn: c.ending.rst_sent_sn,
            rst_received_sn: c.ending.rst_received_sn,
            connend_sn: c.ending.connend_sn,
        }
    }

    pub(super) fn state_times(&self, c: &Connection) -> Vec<StateTime> {
        let formats = self.context.formats;
        times(&c.states, |state| formats.state_name(state, c.release))
    }

    pub(super) fn bbr_state_times(&self, c: &Connection) -> Vec<StateTime> {
        let table = self.context.formats.codes("bbr_states");
        times(&c.bbr_states, |state| {
            table?.get(i64::from(state), c.release)
        })
    }
}

fn times<'a>(spent: &Durations, name: impl Fn(i32) -> Option<&'a str>) -> Vec<StateTime> {
    let view = |(state, us): &(i32, u64)| StateTime {
        state: *state,
        state_name: name(*state).map_or_else(|| state.to_string(), str::to_owned),
        us: *us,
    };
    spent
        .spent_us
        .iter()
        .filter(|(_, us)| *us > 0)
        .map(view)
        .collect()
}

/// Who ended it, and how.
fn verdict(c: &Connection) -> String {
    let e = &c.ending;
    let timeouts = match c.recovery.rtos_in_a_row {
        0 => String::new(),
        1 => " after a timeout that nothing answered".to_owned(),
        n => format!(" after {n} timeouts that nothing answered"),
    };
    let how = match (e.rst_received_sn, e.rst_sent_sn) {
        (Some(_), _) => "reset by the peer".to_owned(),
        (None, Some(_)) => format!("reset sent{timeouts}"),
        (None, None) => match (e.fin_sent_sn, e.fin_received_sn) {
            (Some(sent), Some(received)) if (received.wrapping_sub(sent) as i32) < 0 => {
                "closed, by the peer first".to_owned()
            }
            (Some(_), Some(_)) => "closed, by this end first".to_owned(),
            (Some(_), None) => format!("FIN sent, none received{timeouts}"),
            (None, Some(_)) => format!("FIN received, none sent{timeouts}"),
            (None, None) if c.has_ended() => format!("ended without FIN or RST{timeouts}"),
            (None, None) => return format!("end not seen{timeouts}"),
        },
    };
    if c.has_ended() {
        format!("{how}; connection ended")
    } else {
        format!("{how}; end not seen")
    }
}
