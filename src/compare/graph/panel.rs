//! One connection: the bytes of either direction over time, what the other end
//! acknowledged of them, and a lane for each recorder that shows what it has
//! and what it missed.

use super::axis::{Axis, bytes};
use super::marks::{Kind, Marks};
use super::{WIDTH, plain};
use crate::bblog::tcp::{ACK, FIN, SYN};
use crate::compare::cause::WireCause;
use crate::compare::comparison::{Compared, Comparison};
use crate::compare::matching::Fate;
use crate::compare::segment::{Direction, Segment};
use crate::output::escape::Escaped;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

const LEFT: f64 = 80.0;
const RIGHT: f64 = WIDTH - 20.0;
/// Height of a plot, of a lane, and of what stands around them.
const PLOT: f64 = 300.0;
const LANE: f64 = 18.0;
const TITLE: f64 = 26.0;
const FOOT: f64 = 46.0;

/// A direction is drawn if it has at least this share of the payload.
const WORTH: u64 = 20;

/// A segment, at its time by the capture's clock.
#[derive(Clone, Copy)]
struct Item<'a> {
    /// Nanoseconds.
    time: i64,
    kind: Kind,
    direction: Direction,
    segment: &'a Segment,
}

/// Draws a connection at `y`; gives the height it takes.
pub fn draw(
    out: &mut String,
    comparison: &Comparison<'_>,
    compared: &Compared,
    number: usize,
    y: f64,
) -> f64 {
    let items = items(comparison, compared);
    let (Some(first), Some(last)) = (items.first(), items.last()) else {
        return 0.0;
    };
    let took = last.time.saturating_sub(first.time) as f64 / 1e9;
    let start = first.time;
    let time = Axis::new(0.0, took, LEFT, RIGHT);
    let x = |ns: i64| time.at(ns.saturating_sub(start) as f64 / 1e9);
    let mut payload = [0_u64; 2];
    for item in &items {
        payload[item.direction.index()] += u64::from(item.segment.len);
    }
    let mut height = 0.0;
    for direction in [Direction::Out, Direction::In] {
        let here = payload[direction.index()];
        if here == 0 || here < (payload[0] + payload[1]) / WORTH {
            continue;
        }
        title(out, comparison, compared, number, direction, y + height);
        let top = y + height + TITLE;
        for (from, to) in gaps(comparison, compared) {
            let (from, to) = (x(from), x(to));
            let _ = writeln!(
                out,
                r#"<rect x="{from:.1}" y="{top:.1}" width="{:.1}" height="{PLOT}" fill="url(#gap)"/>"#,
                (to - from).max(1.0)
            );
        }
        plot(out, &items, direction, top, &x);
        let bottom = top + PLOT;
        let foot = bottom + 2.0 * LANE;
        time.draw_seconds(out, 10.0, top, foot);
        let _ = writeln!(
            out,
            r#"<rect class="a" x="{LEFT}" y="{top:.1}" width="{:.1}" height="{PLOT}"/><text class="s r" x="{RIGHT}" y="{:.1}">seconds from the first segment</text>"#,
            RIGHT - LEFT,
            foot + 28.0
        );
        lanes(out, &items, bottom, &x);
        height += TITLE + PLOT + 2.0 * LANE + FOOT;
    }
    height
}

/// All segments of a connection, in the order of time.
fn items<'a>(comparison: &Comparison<'a>, compared: &Compared) -> Vec<Item<'a>> {
    let sides = comparison.sides(compared.ends);
    let Some(matches) = comparison.matches.get(compared.ends) else {
        return Vec::new();
    };
    let clock = comparison.clock_of(compared);
    let run = comparison.log.runs.get(compared.run as usize);
    let is_wall = run.is_some_and(|run| run.wall_clock);
    let mut items = Vec::new();
    let mut put = |time: Option<i64>, kind, direction, segment: &'a Segment| {
        if let Some(time) = time {
            items.push(Item {
                time,
                kind,
                direction,
                segment,
            });
        }
    };
    let on_wire = |at: &u32| sides.wire.get(*at as usize);
    for (segment, fate) in sides.log.iter().zip(&matches.log) {
        if segment.connection != compared.run || !segment.selected {
            continue;
        }
        let (kind, there) = match fate {
            Fate::Alone => (Kind::OnlyLog, None),
            Fate::Is(wire) => (Kind::Both, on_wire(wire)),
            Fate::Part(merged) => {
                let merged = matches.merged.get(*merged as usize);
                let first = merged.and_then(|merged| merged.wire.first());
                (Kind::Merged, first.and_then(on_wire))
            }
        };
        let expected = segment.time.and_then(|time| match clock {
            Some(clock) => Some(clock.expected(time, segment.direction)),
            // Uptimes have no place among times of the wire.
            None => (is_wall || sides.wire.is_empty()).then_some(time),
        });
        let time = there.and_then(|there| there.time).or(expected);
        put(time, kind, segment.direction, segment);
    }
    for (at, _) in &compared.only_wire {
        if let Some(segment) = sides.wire.get(*at as usize) {
            let direction = sides.wire_direction(segment);
            put(segment.time, Kind::OnlyWire, direction, segment);
        }
    }
    items.sort_by_key(|item| item.time);
    items
}

fn title(
    out: &mut String,
    comparison: &Comparison<'_>,
    compared: &Compared,
    number: usize,
    direction: Direction,
    y: f64,
) {
    let ends = comparison.log.ends.get(compared.ends);
    let end = |address: Option<std::net::IpAddr>, port: Option<u16>| {
        let port = port.unwrap_or(0);
        match address {
            Some(address) => std::net::SocketAddr::new(address, port).to_string(),
            None => format!("?:{port}"),
        }
    };
    let ends = ends.map_or(String::new(), |ends| {
        let local = end(ends.local, ends.local_port);
        let foreign = end(ends.foreign, ends.foreign_port);
        match direction {
            Direction::Out => format!("{local} sends to {foreign}"),
            Direction::In => format!("{local} receives from {foreign}"),
        }
    });
    let run = comparison.log.runs.get(compared.run as usize);
    let id = run.and_then(|run| run.log_id.as_deref());
    let id = id.map_or(String::new(), |id| format!(" ({})", Escaped(id)));
    let counts = &compared.counts[direction.index()];
    let mut says = vec![format!("{} matched", counts.matched)];
    if counts.merged_records > 0 {
        let (records, segments) = (counts.merged_records, counts.merged_segments);
        says.push(format!("{records} records are {segments} segments"));
    }
    says.push(format!("{} only in the log", counts.only_log));
    says.push(format!("{} only on the wire", counts.only_wire));
    let _ = writeln!(
        out,
        r#"<text x="20" y="{:.1}"><tspan font-weight="bold">connection {number}: {}</tspan><tspan class="s">{}: {}</tspan></text>"#,
        y + 16.0,
        plain(&ends),
        plain(&id),
        says.join(", ")
    );
}

/// Sequence numbers as numbers that go on past 2^32.
#[derive(Default)]
struct Unwrapped {
    last: Option<i64>,
}

impl Unwrapped {
    fn next(&mut self, seq: u32) -> i64 {
        let next = match self.last {
            None => i64::from(seq),
            Some(last) => last + i64::from(seq.wrapping_sub(last as u32) as i32),
        };
        self.last = Some(next);
        next
    }
}

/// The bytes of one direction, and what the other end acknowledged of them.
fn plot(
    out: &mut String,
    items: &[Item<'_>],
    direction: Direction,
    top: f64,
    x: &dyn Fn(i64) -> f64,
) {
    let mut numbers = Unwrapped::default();
    let (mut sent, mut acked) = (Vec::new(), Vec::new());
    for item in items {
        let Some(tcp) = item.segment.tcp else {
            continue;
        };
        if item.direction == direction {
            if item.segment.len > 0 || tcp.flags & (SYN | FIN) != 0 {
                let seq = numbers.next(tcp.seq);
                sent.push((item, seq, seq + i64::from(item.segment.len.max(1))));
            }
        } else if tcp.flags & ACK != 0 && numbers.last.is_some() {
            acked.push((item, numbers.next(tcp.ack)));
        }
    }
    let low = sent.iter().map(|(_, seq, _)| *seq).min().unwrap_or(0);
    let high = sent.iter().map(|(_, _, end)| *end).max().unwrap_or(0);
    let bottom = top + PLOT;
    let axis = Axis::new(0.0, (high - low) as f64, bottom - 4.0, top + 6.0);
    let y = |seq: i64| axis.at((seq - low) as f64);
    let (ticks, step) = axis.ticks(6.0);
    for tick in ticks {
        let at = axis.at(tick);
        let _ = writeln!(
            out,
            r#"<path class="g" d="M{LEFT} {at:.1}H{RIGHT}"/><text class="s r" x="{:.1}" y="{:.1}">{}</text>"#,
            LEFT - 6.0,
            at + 4.0,
            bytes(tick, step)
        );
    }
    let _ = writeln!(
        out,
        r#"<text class="s m" transform="translate(16 {:.1}) rotate(-90)">sequence number</text>"#,
        top + PLOT / 2.0
    );
    let mut line = String::new();
    let mut last: Option<(f64, f64)> = None;
    let mut marks = Marks::default();
    for (item, ack) in acked {
        let (at, height) = (x(item.time), y(ack.clamp(low, high)));
        if matches!(item.kind, Kind::OnlyLog | Kind::OnlyWire) {
            marks.add(item.kind, at, height, height);
        }
        match last {
            None => {
                let _ = write!(line, "M{at:.1} {height:.1}");
            }
            Some((before, low)) if (low - height).abs() >= 0.5 || at - before > 50.0 => {
                let _ = write!(line, "H{at:.1}V{height:.1}");
            }
            Some(_) => continue,
        }
        last = Some((at, height));
    }
    if !line.is_empty() {
        let _ = writeln!(out, r#"<path class="k" d="{line}"/>"#);
    }
    for (item, seq, end) in sent {
        marks.add(item.kind, x(item.time), y(end), y(seq));
    }
    marks.write(out);
}

/// What each recorder has of either direction, and what it missed.
fn lanes(out: &mut String, items: &[Item<'_>], y: f64, x: &dyn Fn(i64) -> f64) {
    for (recorder, name) in ["log", "capture"].into_iter().enumerate() {
        let top = y + LANE * recorder as f64;
        let (mut has, mut missed) = (String::new(), Marks::default());
        let mut drawn = HashSet::new();
        for item in items {
            let at = x(item.time);
            if item.kind.recorders().get(recorder) == Some(&true) {
                if drawn.insert((at * 2.0) as i32) {
                    let _ = write!(has, "M{at:.1} {:.1}v8", top + 5.0);
                }
            } else {
                missed.add(
                    item.kind,
                    at,
                    top + LANE / 2.0 - 1.0,
                    top + LANE / 2.0 + 1.0,
                );
            }
        }
        let _ = writeln!(
            out,
            r#"<rect class="a" x="{LEFT}" y="{top:.1}" width="{:.1}" height="{LANE}"/><text class="s r" x="{:.1}" y="{:.1}">{name}</text><path class="k" d="{has}"/>"#,
            RIGHT - LEFT,
            LEFT - 6.0,
            top + 13.0
        );
        missed.write(out);
    }
}

/// From when to when serial numbers are missing, as far as the wire has
/// segments of those that are.
fn gaps(comparison: &Comparison<'_>, compared: &Compared) -> Vec<(i64, i64)> {
    let sides = comparison.sides(compared.ends);
    let mut spans: BTreeMap<usize, (i64, i64)> = BTreeMap::new();
    for (at, cause) in &compared.only_wire {
        let time = sides.wire.get(*at as usize).and_then(|s| s.time);
        if let (WireCause::SerialGap(gap), Some(time)) = (cause, time) {
            let span = spans.entry(*gap).or_insert((time, time));
            *span = (span.0.min(time), span.1.max(time));
        }
    }
    spans.into_values().collect()
}
