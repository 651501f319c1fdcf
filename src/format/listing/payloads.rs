//! Payloads as tables: all of them, or the fields of some.

use super::releases;
use super::table::{Cell, Table};
use crate::format::payload::Payload;
use crate::format::{EventId, Formats, Release};

/// The name of the table of all payloads.
pub const PAYLOADS: &str = "payloads";
pub const DOC: &str = "What the cells of each event mean, by stack: show one as \
                       STACK.NAME (tcp.NAME if for all), NAME, or by its event";

/// The name that shows a payload, and that its fields have in Wireshark.
pub fn full_name(payload: &Payload) -> String {
    format!("{}.{}", payload.stack_name(), payload.name)
}

/// Every payload, by event and stack, each in the order in which they are tried.
pub fn all(formats: &Formats) -> Table {
    let columns = &["id", "event", "stack", "name", "releases", "when", "says"];
    let mut table = Table::new(PAYLOADS, DOC, columns);
    let mut payloads: Vec<&Payload> = formats.payloads().iter().collect();
    payloads.sort_by_key(|payload| (payload.event, payload.stack));
    for payload in payloads {
        table.push([
            Cell::Number(payload.event.0.into()),
            event_name(formats, payload).into(),
            stack(payload).into(),
            payload.name.as_str().into(),
            releases(payload.range()).into(),
            when(payload).into(),
            payload.says.text.as_str().into(),
        ]);
    }
    table
}

/// The fields of every payload that `name` calls: `rack.timer` those of a
/// stack (`tcp.timer` those of all stacks), `timer` those of any, `TIMERSTAR`
/// or `13` those of an event, `rack.13` those of an event by one stack. Empty
/// if there are none.
pub fn named(formats: &Formats, name: &str) -> Vec<Table> {
    let (stack, base) = match name.split_once('.') {
        Some((stack, base)) => (Some(stack), base),
        None => (None, name),
    };
    let payloads = formats.payloads();
    let of_stack = |payload: &&Payload| stack.is_none_or(|stack| payload.stack_name() == stack);
    let mut found: Vec<&Payload> = payloads
        .iter()
        .filter(of_stack)
        .filter(|payload| payload.name == base)
        .collect();
    // Payloads are in lower case and constants in capitals, so `rtt` is a
    // payload and `RTT` is an event, while `timerstar` can only be the event.
    if found.is_empty() {
        let events = formats.events.find(base);
        found = payloads
            .iter()
            .filter(of_stack)
            .filter(|payload| events.contains(&payload.event))
            .collect();
    }
    found.sort_by_key(|payload| (payload.event, payload.stack));
    let variants = found.into_iter();
    variants.map(|payload| fields(formats, payload)).collect()
}

fn fields(formats: &Formats, payload: &Payload) -> Table {
    let event = formats.events.get(payload.event, newest(payload));
    let doc = event.map_or("", |event| event.says.as_str());
    let columns = &["name", "cell", "kind", "unit", "meaning"];
    let mut table = Table::new(&full_name(payload), doc, columns);
    let EventId(id) = payload.event;
    table.facts = vec![
        ("id", Cell::Number(id.into())),
        ("event", event_name(formats, payload).into()),
        ("stack", stack(payload).into()),
        ("releases", releases(payload.range()).into()),
        ("when", when(payload).into()),
        ("says", payload.says.text.as_str().into()),
    ];
    for field in &payload.fields {
        table.push([
            field.name.as_str().into(),
            field.cell_text.as_str().into(),
            field.kind.as_str().into(),
            field.unit.symbol().into(),
            field.doc.as_str().into(),
        ]);
    }
    table
}

/// The name that the event has where the payload holds, in its newest release.
fn event_name(formats: &Formats, payload: &Payload) -> String {
    let name = formats.events.name(payload.event, newest(payload));
    name.to_string()
}

fn newest(payload: &Payload) -> Release {
    payload.until.unwrap_or(Release::Main)
}

fn stack(payload: &Payload) -> &'static str {
    payload.stack.map_or("all", |stack| stack.name())
}

/// Its conditions, all of which must hold.
fn when(payload: &Payload) -> String {
    let conditions: Vec<String> = payload.when.iter().map(ToString::to_string).collect();
    conditions.join(" and ")
}
