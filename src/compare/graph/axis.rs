//! Axes: where ticks stand, and what they say.

use std::fmt::Write as _;

/// A range of values on a range of pixels.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    first: f64,
    last: f64,
    start: f64,
    end: f64,
}

impl Axis {
    /// `start` and `end` are where the first and the last value stand.
    pub fn new(first: f64, last: f64, start: f64, end: f64) -> Axis {
        let last = if last > first { last } else { first + 1.0 };
        Axis {
            first,
            last,
            start,
            end,
        }
    }

    pub fn at(&self, value: f64) -> f64 {
        let share = (value - self.first) / (self.last - self.first);
        self.start + share * (self.end - self.start)
    }

    /// Round values, about `count` of them, and how far they are apart.
    pub fn ticks(&self, count: f64) -> (Vec<f64>, f64) {
        let step = round((self.last - self.first) / count);
        let mut ticks = Vec::new();
        let mut tick = (self.first / step).ceil() * step;
        // No range needs more, whatever rounding does to its numbers.
        while tick <= self.last && ticks.len() < 50 {
            ticks.push(tick);
            tick += step;
        }
        (ticks, step)
    }

    /// Draws about `count` lines from `top` to `bottom`, with their seconds below.
    pub fn draw_seconds(&self, out: &mut String, count: f64, top: f64, bottom: f64) {
        let (ticks, step) = self.ticks(count);
        for tick in ticks {
            let at = self.at(tick);
            let _ = writeln!(
                out,
                r#"<path class="g" d="M{at:.1} {top:.1}V{bottom:.1}"/><text class="s m" x="{at:.1}" y="{:.1}">{}</text>"#,
                bottom + 14.0,
                seconds(tick, step)
            );
        }
    }
}

/// The next of 1, 2, 5, 10, 20…
fn round(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let share = step / power;
    let nice = if share <= 1.0 {
        1.0
    } else if share <= 2.0 {
        2.0
    } else if share <= 5.0 {
        5.0
    } else {
        10.0
    };
    nice * power
}

/// Seconds; `step` says how many decimals are needed.
fn seconds(value: f64, step: f64) -> String {
    let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{value:.decimals$}")
}

/// Bytes with a unit; `step` says how many decimals are needed.
pub fn bytes(value: f64, step: f64) -> String {
    let (unit, name) = match step {
        step if step >= 1e9 => (1e9, " GB"),
        step if step >= 1e6 => (1e6, " MB"),
        step if step >= 1e3 => (1e3, " kB"),
        _ => (1.0, ""),
    };
    format!("{:.0}{name}", value / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let ticks = |first, last| Axis::new(first, last, 0.0, 1.0).ticks(5.0);
        assert_eq!(ticks(0.0, 10.0), (vec![0.0, 2.0, 4.0, 6.0, 8.0, 10.0], 2.0));
        assert_eq!(ticks(3.0, 3.0).1, 0.2);
        assert_eq!(seconds(0.25, 0.05), "0.25");
        assert_eq!(bytes(250_000.0, 50_000.0), "250 kB");
        assert_eq!(bytes(20.0, 10.0), "20");
    }

    #[test]
    fn values_stand_where_they_belong() {
        let axis = Axis::new(10.0, 20.0, 100.0, 0.0);
        assert_eq!(
            (axis.at(10.0), axis.at(15.0), axis.at(20.0)),
            (100.0, 50.0, 0.0)
        );
    }
}
