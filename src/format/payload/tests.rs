//! The embedded payloads as a whole: each can be chosen, and each speaks.

use super::*;
use crate::format::Formats;
use std::collections::BTreeMap;

fn embedded() -> &'static Payloads {
    Formats::builtin().payloads()
}

fn label(payload: &Payload) -> String {
    let when: Vec<String> = payload.when.iter().map(ToString::to_string).collect();
    format!(
        "{}.{} of event {} {:?} to {:?} when {when:?}",
        payload.stack_name(),
        payload.name,
        payload.event,
        payload.since,
        payload.until
    )
}

fn releases(payload: &Payload) -> impl Iterator<Item = Release> {
    let range = payload.range();
    Release::ALL.into_iter().filter(move |r| range.contains(*r))
}

/// True if `earlier` fits whatever `later` fits: its conditions, if any, are
/// no narrower.
fn covers(earlier: &Payload, later: &Payload) -> bool {
    earlier.when.iter().all(|wide| {
        later.when.iter().any(|narrow| {
            let inside =
                |(lo, hi): &(u64, u64)| wide.values.iter().any(|(a, b)| a <= lo && hi <= b);
            narrow.cell == wide.cell && narrow.values.iter().all(inside)
        })
    })
}

/// Payloads that are never chosen, since in each of their releases an earlier
/// one of the same event and stack fits.
fn hidden(payloads: &Payloads) -> Vec<String> {
    let all: Vec<&Payload> = payloads.iter().collect();
    let mut hidden = Vec::new();
    for (at, later) in all.iter().enumerate() {
        let before = |release| {
            all.iter().take(at).any(|earlier| {
                (earlier.event, earlier.stack) == (later.event, later.stack)
                    && earlier.range().contains(release)
                    && covers(earlier, later)
            })
        };
        if releases(later).all(before) {
            hidden.push(label(later));
        }
    }
    hidden
}

#[test]
fn the_embedded_tables_load() {
    for stack in [None, Some(Stack::Rack), Some(Stack::Bbr)] {
        let count = embedded().iter().filter(|p| p.stack == stack).count();
        assert!(count > 10, "{stack:?}: {count}");
    }
}

#[test]
fn every_payload_can_be_chosen() {
    assert_eq!(hidden(embedded()), Vec::<String>::new());
}

#[test]
fn hidden_payloads_are_found() {
    let all: Vec<Payload> = embedded().iter().cloned().collect();
    let of = |mut earlier: Payload, later: Payload| {
        earlier.event = later.event;
        earlier.stack = later.stack;
        hidden(&Payloads {
            entries: vec![earlier, later],
            ..Payloads::default()
        })
        .len()
    };
    let one = all.iter().find(|p| !p.when.is_empty()).expect("one");
    // Itself; one without a condition; one of other releases.
    assert_eq!(of(one.clone(), one.clone()), 1);
    let mut general = one.clone();
    general.when.clear();
    (general.since, general.until) = (None, None);
    assert_eq!(of(general.clone(), one.clone()), 1);
    assert_eq!(of(one.clone(), general.clone()), 0);
    let mut old = general.clone();
    old.until = Some(Release::R13_0);
    assert_eq!(of(old, general), 0);
}

#[test]
fn every_used_event_with_a_payload_says_what_happened() {
    let formats = Formats::builtin();
    for payload in embedded() {
        let used = |release| {
            let event = formats.events.get(payload.event, release);
            event.is_some_and(|e| e.range().contains(release) && !e.name.starts_with("UNUSED_"))
        };
        // Otherwise nothing would log it.
        assert!(releases(payload).any(used), "{}", label(payload));
        // For these the segment itself is written before the sentence.
        let segment = [EventId::IN, EventId::OUT].contains(&payload.event);
        assert!(segment || !payload.says.is_empty(), "{}", label(payload));
    }
}

#[test]
fn sentences_are_phrases_in_lower_case() {
    for payload in embedded() {
        let text = &payload.says.text;
        assert!(!text.ends_with('.'), "{}: {text}", label(payload));
        assert_eq!(text.trim(), text, "{}", label(payload));
        let mut first = text.chars().take(2);
        let starts = (first.next(), first.next());
        let word = matches!(starts, (Some(a), Some(b)) if a.is_uppercase() && b.is_lowercase());
        assert!(
            !word
                || ["Timely", "HyStart++"]
                    .iter()
                    .any(|name| text.starts_with(name)),
            "{}: {text}",
            label(payload)
        );
    }
}

#[test]
fn kernel_addresses_are_never_in_sentences() {
    fn names_pointer(parts: &[Part], payload: &Payload) -> bool {
        parts.iter().any(|part| match part {
            Part::Field(at) => payload
                .fields
                .get(*at)
                .is_some_and(|f| f.unit == Unit::Pointer),
            Part::Optional(parts) => names_pointer(parts, payload),
            // Only tells whether there is one.
            Part::Choice { .. } | Part::Text(_) => false,
        })
    }
    for payload in embedded() {
        assert!(
            !names_pointer(&payload.says.parts, payload),
            "{}",
            label(payload)
        );
    }
}

#[test]
fn one_name_has_one_meaning_in_a_group() {
    let timer = embedded()
        .iter()
        .find(|p| p.name == "timer" && p.fields.iter().any(|f| f.unit == Unit::Microseconds))
        .expect("a timer");
    let mut other = timer.clone();
    for field in &mut other.fields {
        if field.unit == Unit::Microseconds {
            field.unit = Unit::Bytes;
            field.kind = "bytes".to_owned();
        }
    }
    let new = |entries| Payloads::new(entries, Vec::new(), Vec::new());
    let mut third = other.clone();
    let (at, mistake) = new(vec![timer.clone(), timer.clone(), other.clone()]).expect_err("two");
    assert_eq!(at, 2);
    let text = mistake.to_string();
    assert!(text.contains("is bytes here and us elsewhere"), "{text}");
    assert!(text.starts_with("payload timer of event "), "{text}");
    // In a group of its own it may mean something else.
    third.name = "another".to_owned();
    assert!(new(vec![timer.clone(), third]).is_ok());
    // Signed is not unsigned.
    let mut signed = timer.clone();
    for field in &mut signed.fields {
        field.signed = !field.signed;
    }
    assert!(new(vec![timer.clone(), signed]).is_err());
}

/// What a number is, whichever table its names are in and whether it may be
/// negative: what a name has to agree on everywhere.
fn quantity(field: &PayloadField) -> &str {
    let kind = field.kind.strip_prefix("signed ").unwrap_or(&field.kind);
    kind.split_once(' ').map_or(kind, |(kind, _)| kind)
}

/// Names that stand for numbers of different kinds, in whatever group.
fn ambiguous(payloads: &[Payload]) -> Vec<String> {
    let mut known: BTreeMap<&str, (&str, String)> = BTreeMap::new();
    let mut found = Vec::new();
    for payload in payloads {
        for field in &payload.fields {
            let (first, within) = known
                .entry(&field.name)
                .or_insert_with(|| (quantity(field), label(payload)));
            if *first != quantity(field) {
                found.push(format!("{}: {} and {within}", field.name, label(payload)));
            }
        }
    }
    found
}

/// Fields whose name promises another unit than they have, or hides theirs.
fn misnamed(payloads: &[Payload]) -> Vec<String> {
    const UNITS: [(&[&str], &[&str]); 9] = [
        (&["_us"], &["us", "clock_us"]),
        (&["_ms"], &["ms"]),
        (&["_ns"], &["ns"]),
        (&["_s"], &["seconds"]),
        (&["_ticks"], &["ticks"]),
        (&["_bw", "_rate"], &["bandwidth"]),
        (&["_percent"], &["percent"]),
        (&["_gain"], &["gain"]),
        // Counts of bytes are so many that they need no suffix.
        (&["_bytes"], &["bytes"]),
    ];
    let wrong = |field: &PayloadField| {
        let unit = quantity(field);
        // A cell of the kernel's by its own name says nothing of its unit.
        let raw = field.name == field.cell_text;
        UNITS.iter().any(|(suffixes, units)| {
            let named = suffixes.iter().any(|suffix| field.name.ends_with(suffix));
            let needed = units.contains(&unit) && unit != "bytes" && !raw;
            named && !units.contains(&unit) || needed && !named
        }) || field.name.ends_with("_seq") && !["seq", "rseq"].contains(&unit)
    };
    let fields = payloads.iter().flat_map(|payload| {
        let wrong = payload.fields.iter().filter(|field| wrong(field));
        wrong.map(|field| format!("{} ({}): {}", field.name, field.kind, label(payload)))
    });
    fields.collect()
}

#[test]
fn a_name_has_one_unit_in_all_groups_and_its_suffix_says_it() {
    let all: Vec<Payload> = embedded().iter().cloned().collect();
    assert_eq!(ambiguous(&all), Vec::<String>::new());
    assert_eq!(misnamed(&all), Vec::<String>::new());
}

#[test]
fn names_with_two_units_or_the_wrong_suffix_are_found() {
    let all: Vec<Payload> = embedded().iter().cloned().collect();
    let with = |from: &str, name: &str, kind: &str| {
        let mut all = all.clone();
        let mut fields = all.iter_mut().flat_map(|payload| &mut payload.fields);
        let field = fields.find(|field| field.name == from).expect(from);
        name.clone_into(&mut field.name);
        kind.clone_into(&mut field.kind);
        all
    };
    assert!(!ambiguous(&with("slot_us", "slot_us", "clock_us")).is_empty());
    assert!(!ambiguous(&with("maxseg", "maxseg", "count")).is_empty());
    // Another table, or a sign, is still the same kind of number.
    assert!(ambiguous(&with("reason", "reason", "code another")).is_empty());
    assert!(ambiguous(&with("maxseg", "maxseg", "signed bytes")).is_empty());
    for (name, kind) in [
        ("slot", "us"),
        ("slot_us", "ms"),
        ("slot_bw", "bytes"),
        ("slot", "bandwidth"),
        ("slot_bytes", "count"),
        ("slot_seq", "count"),
        ("slot_rate", "signed percent"),
    ] {
        let misnamed = misnamed(&with("slot_us", name, kind));
        assert_eq!(misnamed.len(), 1, "{name} {kind}: {misnamed:?}");
    }
    assert!(misnamed(&with("slot_us", "slot", "bytes")).is_empty());
}
