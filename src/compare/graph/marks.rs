//! Marks: which recorders have a segment.

use std::collections::HashSet;
use std::fmt::Write as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Both,
    Merged,
    OnlyLog,
    OnlyWire,
}

impl Kind {
    /// Later ones are drawn over earlier ones.
    pub const ALL: [Kind; 4] = [Kind::Merged, Kind::Both, Kind::OnlyWire, Kind::OnlyLog];

    pub fn says(self) -> &'static str {
        match self {
            Kind::Both => "in both",
            Kind::Merged => "in both, in other pieces",
            Kind::OnlyLog => "missed by the capture",
            Kind::OnlyWire => "missed by the log",
        }
    }

    pub fn class(self) -> &'static str {
        match self {
            Kind::Both => "b",
            Kind::Merged => "p",
            Kind::OnlyLog => "l",
            Kind::OnlyWire => "w",
        }
    }

    /// Dark and thin, light and broad, black and filled, middle and open.
    pub fn style(self) -> &'static str {
        match self {
            Kind::Both => "stroke:#1f4e79;stroke-width:1.4;fill:none",
            Kind::Merged => "stroke:#8ec1e8;stroke-width:3.2;fill:none",
            Kind::OnlyLog => "stroke:#5a0a3c;stroke-width:1;fill:#5a0a3c",
            Kind::OnlyWire => "stroke:#d95f02;stroke-width:1.3;fill:#ffffff;fill-opacity:0.7",
        }
    }

    /// Whether the log, and whether the capture has it.
    pub fn recorders(self) -> [bool; 2] {
        match self {
            Kind::Both | Kind::Merged => [true; 2],
            Kind::OnlyLog => [true, false],
            Kind::OnlyWire => [false, true],
        }
    }

    /// Appends the outline of a mark between two heights.
    pub fn mark(self, path: &mut String, x: f64, top: f64, bottom: f64) {
        // A thin line of few bytes must still be seen.
        let bottom = bottom.max(top + 2.0);
        let middle = (top + bottom) / 2.0;
        let _ = match self {
            Kind::Both | Kind::Merged => write!(path, "M{x:.1} {bottom:.1}V{top:.1}"),
            // A triangle on its base.
            Kind::OnlyLog => write!(path, "M{x:.1} {:.1}l4 7h-8z", middle - 4.0),
            // A diamond.
            Kind::OnlyWire => write!(path, "M{x:.1} {:.1}l4 4l-4 4l-4 -4z", middle - 4.0),
        };
    }
}

/// Outlines by kind. What would cover what is drawn already is left out, so
/// that the size depends on the picture and not on the number of segments.
#[derive(Default)]
pub struct Marks {
    paths: [String; 4],
    drawn: HashSet<(Kind, i32, i32, i32)>,
}

impl Marks {
    pub fn add(&mut self, kind: Kind, x: f64, top: f64, bottom: f64) {
        let grid = match kind {
            Kind::Both | Kind::Merged => 2.0,
            Kind::OnlyLog | Kind::OnlyWire => 0.5,
        };
        let cell = |value: f64| (value * grid).round() as i32;
        let place = (kind, cell(x), cell(top), cell(bottom));
        if self.drawn.insert(place)
            && let Some(path) = self.paths.get_mut(kind as usize)
        {
            kind.mark(path, x, top, bottom);
        }
    }

    pub fn write(&self, out: &mut String) {
        for kind in Kind::ALL {
            if let Some(path) = self.paths.get(kind as usize).filter(|p| !p.is_empty()) {
                let _ = writeln!(out, r#"<path class="{}" d="{path}"/>"#, kind.class());
            }
        }
    }
}
