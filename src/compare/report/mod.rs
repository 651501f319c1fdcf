//! What a comparison says, as text and as JSON.

mod document;
mod text;

use super::comparison::Comparison;
use crate::output::clock::Clock;
use crate::output::json_text;
use std::io;

/// What can be known of a zero-copy sniffer's log beside a capture.
pub(super) const MATCHED_BY: &str = "matched by flow and count only, in the order of both, for such a log knows neither times \
     nor sequence numbers nor lengths; which packets are missing is not known";

/// How a comparison is shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    pub form: Form,
    /// Segments of each kind that are named one by one, per connection.
    pub most: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    /// One document.
    Json,
}

/// The whole report.
pub fn report(comparison: &Comparison<'_>, shown: Shown) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    match shown.form {
        Form::Text => text::write(&mut out, comparison, shown.most),
        Form::Json => {
            let document = document::document(comparison, shown.most);
            let json = serde_json::to_string_pretty(&document)?;
            json_text::harmless(&mut out, &json);
            out.push(b'\n');
        }
    }
    Ok(out)
}

/// A time of the wall clock in RFC 3339, from nanoseconds; `None` outside its
/// years.
fn rfc3339(clock: &mut Clock, ns: i64) -> Option<String> {
    let mut out = Vec::new();
    let written = clock.write(&mut out, ns.div_euclid(1000));
    written.then(|| String::from_utf8_lossy(&out).into_owned())
}
