//! What the lines of a connection before told, so that a line says what
//! changed.

use crate::bblog::Record;
use crate::bblog::tcp::SYN;
use crate::format::{EventId, Formats, Release};
use crate::meaning::SequenceBase;
use crate::meaning::units::{duration_us, number};
use crate::output::words;

/// The last shown record of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Track {
    last: Option<State>,
    base: SequenceBase,
    /// Uptime of the last record, µs.
    pub last_us: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    tcp: i32,
    cwnd: u32,
    ssthresh: u32,
    flight: u32,
    srtt_us: Option<u64>,
}

impl Track {
    /// Initial sequence numbers: this end's stands in every record; the
    /// peer's is that of its SYN, else one before the first byte that the
    /// first record expects.
    pub fn base(&mut self, record: &Record<'_>) -> SequenceBase {
        if record.iss() != 0 {
            self.base.local = Some(record.iss());
        }
        let tcp = record.tcp().filter(|_| record.event() == EventId::IN);
        if let Some(syn) = tcp.filter(|tcp| tcp.flags() & SYN != 0) {
            self.base.peer = Some(syn.seq());
        } else if self.base.peer.is_none() && record.rcv_nxt() != 0 {
            self.base.peer = Some(record.rcv_nxt().wrapping_sub(1));
        }
        self.base
    }

    /// Appends `  {cwnd 14480 -> 28960, flight 1448}`, if something changed.
    pub fn changes(
        &mut self,
        out: &mut Vec<u8>,
        record: &Record<'_>,
        srtt_us: Option<u64>,
        formats: &Formats,
        release: Release,
    ) {
        let now = State {
            tcp: record.state(),
            cwnd: record.snd_cwnd(),
            ssthresh: record.snd_ssthresh(),
            flight: record.snd_max().wrapping_sub(record.snd_una()),
            srtt_us,
        };
        let before = self.last.replace(now);
        if before == Some(now) {
            return;
        }
        out.extend_from_slice(b"  {");
        let start = out.len();
        let next = |out: &mut Vec<u8>| {
            if out.len() > start {
                out.extend_from_slice(b", ");
            }
        };
        if before.is_none_or(|before| before.tcp != now.tcp) {
            if let Some(before) = before {
                words::state(out, before.tcp, formats, release);
                out.extend_from_slice(b" -> ");
            }
            words::state(out, now.tcp, formats, release);
        }
        let amounts = [
            ("cwnd ", before.map(|before| before.cwnd), now.cwnd),
            (
                "ssthresh ",
                before.map(|before| before.ssthresh),
                now.ssthresh,
            ),
        ];
        for (name, before, now) in amounts {
            if before != Some(now) {
                next(out);
                out.extend_from_slice(name.as_bytes());
                if let Some(before) = before {
                    window(out, before);
                    out.extend_from_slice(b" -> ");
                }
                window(out, now);
            }
        }
        if before.is_none_or(|before| before.flight != now.flight) {
            next(out);
            out.extend_from_slice(b"flight ");
            number(out, now.flight);
        }
        let srtt_before = before.map(|before| before.srtt_us);
        if srtt_us != srtt_before.flatten() {
            next(out);
            out.extend_from_slice(b"srtt ");
            if let Some(before) = srtt_before.flatten() {
                duration_us(out, before);
                out.extend_from_slice(b" -> ");
            }
            match srtt_us {
                Some(srtt) => duration_us(out, srtt),
                None => out.extend_from_slice(b"unknown"),
            }
        }
        out.push(b'}');
    }
}

/// Appends a window; the largest that TCP can have, and more, means that there
/// is no limit.
fn window(out: &mut Vec<u8>, n: u32) {
    if n >= 65_535 << 14 {
        out.extend_from_slice(b"unlimited");
    } else {
        number(out, n);
    }
}
