//! Flows of the zero-copy sniffer's log: how many packets each recorder has.
//!
//! The log has neither times nor sequence numbers. So the packets of the
//! capture are added up over the capture's time, the log is a level without any
//! time, and two bars tell what is matched and what one of them misses: how
//! many packets, for which ones they are is not known.

use super::axis::Axis;
use super::marks::Kind;
use super::{MOST_PANELS, WIDTH, names, plain};
use crate::compare::comparison::Comparison;
use crate::compare::flow::{FlowCompared, Sniffed};
use crate::compare::report::MATCHED_BY;
use std::fmt::Write as _;

const LEFT: f64 = 80.0;
/// Where the plot ends and the bars begin.
const RIGHT: f64 = WIDTH - 200.0;
const BARS: [f64; 2] = [WIDTH - 150.0, WIDTH - 80.0];
const BAR: f64 = 40.0;
const PLOT: f64 = 140.0;
const TITLE: f64 = 26.0;
const FOOT: f64 = 46.0;
const HEAD: f64 = 76.0;

/// Of the log's packets: broken, for it is at no time.
const LEVEL: &str = "stroke:#1f4e79;stroke-width:1.8;stroke-dasharray:5 4;fill:none";

/// Draws all of it from `y` on; gives the height it takes.
pub fn draw(out: &mut String, comparison: &Comparison<'_>, sniffed: &Sniffed, y: f64) -> f64 {
    legend(out, comparison, sniffed, y);
    let mut height = HEAD;
    for flow in comparison.flows.iter().take(MOST_PANELS) {
        panel(out, flow, y + height);
        height += TITLE + PLOT + FOOT;
    }
    if let Some(more) = comparison
        .flows
        .len()
        .checked_sub(MOST_PANELS)
        .filter(|n| *n > 0)
    {
        let _ = writeln!(
            out,
            r#"<text x="20" y="{:.0}" class="s">{more} more flows are not drawn; select with --host or --port</text>"#,
            y + height
        );
        height += 24.0;
    }
    height
}

fn legend(out: &mut String, comparison: &Comparison<'_>, sniffed: &Sniffed, y: f64) {
    let logs = names(sniffed.logs.iter().map(|log| log.name.as_str()));
    let captures = comparison.wire.captures.iter();
    let captures = names(captures.map(|seen| seen.name.as_str()));
    let _ = writeln!(
        out,
        r#"<text x="20" y="{:.0}" class="t">{logs} and {captures}</text><text x="20" y="{:.0}" class="s">{}</text>"#,
        y + 22.0,
        y + 42.0,
        plain(MATCHED_BY)
    );
    let mut x = 20.0;
    for (kind, says) in [
        (Kind::Both, "matched"),
        (Kind::OnlyLog, Kind::OnlyLog.says()),
        (Kind::OnlyWire, Kind::OnlyWire.says()),
    ] {
        let _ = writeln!(
            out,
            r#"<rect x="{x:.0}" y="{:.0}" width="14" height="12" style="{}"/><text x="{:.0}" y="{:.0}">{says}</text>"#,
            y + 54.0,
            fill(kind),
            x + 20.0,
            y + 64.0
        );
        x += 44.0 + 5.6 * says.len() as f64;
    }
    let _ = writeln!(
        out,
        r#"<path class="a" d="M{x:.0} {line:.0}h16"/><text x="{:.0}" y="{words:.0}">packets on the wire, added up</text><path style="{LEVEL}" d="M{:.0} {line:.0}h16"/><text x="{:.0}" y="{words:.0}">packets in the log, whose times are not known</text>"#,
        x + 20.0,
        x + 190.0,
        x + 210.0,
        line = y + 60.0,
        words = y + 64.0,
    );
}

/// Dark and full, black and full, light with an edge.
fn fill(kind: Kind) -> &'static str {
    match kind {
        Kind::Both | Kind::Merged => "fill:#1f4e79;stroke:#1f4e79",
        Kind::OnlyLog => "fill:#5a0a3c;stroke:#5a0a3c;fill-opacity:0.75",
        Kind::OnlyWire => "fill:#ffffff;stroke:#d95f02;stroke-width:1.3",
    }
}

fn panel(out: &mut String, flow: &FlowCompared<'_>, y: f64) {
    let counts = &flow.counts;
    let _ = writeln!(
        out,
        r#"<text x="20" y="{:.1}"><tspan font-weight="bold">{}</tspan><tspan class="s">: {} matched, {} only in the log, {} only on the wire</tspan></text>"#,
        y + 16.0,
        plain(&flow.flow.to_string()),
        counts.matched,
        counts.only_log(),
        counts.only_wire()
    );
    let (top, bottom) = (y + TITLE, y + TITLE + PLOT);
    let packets = Axis::new(0.0, counts.log.max(counts.wire) as f64, bottom, top + 8.0);
    let (ticks, _) = packets.ticks(5.0);
    // There is no half a packet.
    for tick in ticks.into_iter().filter(|tick| tick.fract() == 0.0) {
        let at = packets.at(tick);
        let _ = writeln!(
            out,
            r#"<path class="g" d="M{LEFT} {at:.1}H{RIGHT}"/><text class="s r" x="{:.1}" y="{:.1}">{tick:.0}</text>"#,
            LEFT - 6.0,
            at + 4.0
        );
    }
    curve(out, flow, &packets, top, bottom);
    let level = packets.at(counts.log as f64);
    let _ = writeln!(
        out,
        r#"<text class="s m" transform="translate(16 {:.1}) rotate(-90)">packets</text><path style="{LEVEL}" d="M{LEFT} {level:.1}H{RIGHT}"/>"#,
        top + PLOT / 2.0
    );
    let _ = writeln!(
        out,
        r#"<rect class="a" x="{LEFT}" y="{top:.1}" width="{:.1}" height="{PLOT}"/>"#,
        RIGHT - LEFT
    );
    for (x, name, alone, kind) in [
        (BARS[0], "log", counts.only_log(), Kind::OnlyLog),
        (BARS[1], "capture", counts.only_wire(), Kind::OnlyWire),
    ] {
        let mut bar = |from: u64, packets_in: u64, kind| {
            let (low, high) = (
                packets.at(from as f64),
                packets.at((from + packets_in) as f64),
            );
            if packets_in > 0 {
                let _ = writeln!(
                    out,
                    r#"<rect x="{x:.1}" y="{high:.1}" width="{BAR}" height="{:.1}" style="{}"/>"#,
                    low - high,
                    fill(kind)
                );
            }
        };
        bar(0, counts.matched, Kind::Both);
        bar(counts.matched, alone, kind);
        let _ = writeln!(
            out,
            r#"<text class="s m" x="{:.1}" y="{:.1}">{name}</text>"#,
            x + BAR / 2.0,
            bottom + 14.0
        );
    }
    let _ = writeln!(
        out,
        r#"<path class="a" d="M{:.1} {bottom:.1}H{:.1}"/>"#,
        BARS[0] - 10.0,
        BARS[1] + BAR + 10.0
    );
}

/// The packets on the wire, added up over time.
fn curve(out: &mut String, flow: &FlowCompared<'_>, packets: &Axis, top: f64, bottom: f64) {
    let Some((first, last)) = flow.span() else {
        let _ = writeln!(
            out,
            r#"<text class="s m" x="{:.1}" y="{:.1}">no packet with a time on the wire</text>"#,
            (LEFT + RIGHT) / 2.0,
            top + PLOT / 2.0
        );
        return;
    };
    // Captures need not be in the order of time.
    let mut times = flow.times.to_vec();
    times.sort_unstable();
    let took = last.saturating_sub(first) as f64 / 1e9;
    let time = Axis::new(0.0, took, LEFT, RIGHT);
    let mut line = format!("M{LEFT} {bottom:.1}");
    // Steps that cannot be seen are drawn with those behind them, so that the
    // size depends on the picture and not on the number of packets.
    let mut drawn = (LEFT, bottom);
    let mut count = 0_u64;
    let mut times = times.into_iter().peekable();
    while let Some(ns) = times.next() {
        count += 1;
        let x = time.at(ns.saturating_sub(first) as f64 / 1e9);
        let y = packets.at(count as f64);
        if times.peek().is_none() || (x - drawn.0).abs() >= 0.5 || (y - drawn.1).abs() >= 0.5 {
            let _ = write!(line, "H{x:.1}V{y:.1}");
            drawn = (x, y);
        }
    }
    time.draw_seconds(out, 8.0, top, bottom);
    let _ = writeln!(out, r#"<path class="a" d="{line}H{RIGHT}"/>"#);
    let _ = writeln!(
        out,
        r#"<text class="s r" x="{RIGHT}" y="{:.1}">seconds from the first packet, by the capture's clock</text>"#,
        bottom + 28.0
    );
}
