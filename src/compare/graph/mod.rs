//! The comparison as a graph: sequence numbers over time, and what each
//! recorder missed, as SVG; for the zero-copy sniffer's log packets by flow.
//!
//! Every kind of mark has its own colour, its own lightness and its own shape,
//! so that the graph can be read in colour, in grey, and by those who see some
//! colours alike.

mod axis;
mod flows;
mod marks;
mod panel;

use super::comparison::Comparison;
use crate::output::escape::Escaped;
use marks::Kind;
use std::fmt::Write as _;

/// Width of the whole, in pixels.
const WIDTH: f64 = 1000.0;

/// Height of what stands above the first panel.
const HEAD: f64 = 58.0;

/// Connections, and flows, that are drawn, at most: the first ones.
const MOST_PANELS: usize = 12;

/// The graph; one panel per connection and direction that has payload, and per
/// flow of a sniffer's log.
pub fn svg(comparison: &Comparison<'_>) -> String {
    let mut panels = String::new();
    let sniffed = comparison.log.sniffed.as_ref();
    let flows_only = sniffed.is_some() && comparison.log.inputs.is_empty();
    let mut y = if flows_only { 0.0 } else { HEAD };
    let mut drawn = 0;
    for (number, compared) in (1..).zip(&comparison.compared) {
        if drawn == MOST_PANELS {
            break;
        }
        let height = panel::draw(&mut panels, comparison, compared, number, y);
        drawn += usize::from(height > 0.0);
        y += height;
    }
    let more = comparison.compared.len().saturating_sub(MOST_PANELS);
    if more > 0 {
        let _ = writeln!(
            panels,
            r#"<text x="20" y="{y:.0}" class="s">{more} more connections are not drawn; select with --host, --port or --id</text>"#
        );
        y += 24.0;
    }
    if let Some(sniffed) = sniffed {
        y += flows::draw(&mut panels, comparison, sniffed, y);
    }
    let title = match flows_only {
        true => "Sniffer's log and wire capture compared",
        false => "Black box log and wire capture compared",
    };
    let mut out = String::new();
    let _ = write!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y:.0}" viewBox="0 0 {WIDTH} {y:.0}" font-family="Helvetica, Arial, sans-serif" font-size="11">
<title>{title}</title>
<defs><pattern id="gap" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="6" height="6" fill="#f1f1f1"/><rect width="1.5" height="6" fill="#bbbbbb"/></pattern></defs>
<style>.t{{font-size:14px;font-weight:bold}}.s{{fill:#444444}}.r{{text-anchor:end}}.m{{text-anchor:middle}}.g{{stroke:#dddddd;fill:none}}.a{{stroke:#333333;fill:none}}.k{{stroke:#808080;stroke-width:1;fill:none}}
"##
    );
    for kind in Kind::ALL {
        let _ = writeln!(out, ".{}{{{}}}", kind.class(), kind.style());
    }
    out.push_str("</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
    if !flows_only {
        legend(&mut out, comparison);
    }
    out.push_str(&panels);
    out.push_str("</svg>\n");
    out
}

/// What the marks mean.
fn legend(out: &mut String, comparison: &Comparison<'_>) {
    let logs = names(comparison.log.inputs.iter().map(|i| i.name.as_str()));
    let captures = comparison.wire.captures.iter();
    let captures = names(captures.map(|seen| seen.name.as_str()));
    let _ = writeln!(
        out,
        r#"<text x="20" y="22" class="t">{logs} and {captures}</text>"#
    );
    let mut x = 20.0;
    for kind in Kind::ALL {
        let mut mark = String::new();
        kind.mark(&mut mark, x + 8.0, 36.0, 48.0);
        let _ = writeln!(
            out,
            r#"<path class="{}" d="{mark}"/><text x="{:.0}" y="46">{}</text>"#,
            kind.class(),
            x + 20.0,
            kind.says()
        );
        x += 44.0 + 5.6 * kind.says().len() as f64;
    }
    let _ = writeln!(
        out,
        r#"<path class="k" d="M{:.0} 42h16"/><text x="{:.0}" y="46">acknowledged</text><rect x="{:.0}" y="35" width="16" height="14" fill="url(#gap)"/><text x="{:.0}" y="46">serials missing</text>"#,
        x,
        x + 20.0,
        x + 106.0,
        x + 126.0
    );
}

/// The last parts of paths.
fn names<'a>(paths: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = paths
        .map(|name| {
            let name = name.rsplit('/').next().unwrap_or(name);
            plain(&Escaped(name.as_bytes()).to_string())
        })
        .collect();
    names.join(", ")
}

/// Text that can stand in XML.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_text() {
        assert_eq!(
            plain("</text><script>&\""),
            "&lt;/text&gt;&lt;script&gt;&amp;&quot;"
        );
    }
}
