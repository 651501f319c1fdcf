//! What somebody may have meant who gave a name that is not known.

use super::payloads::{PAYLOADS, full_name};
use super::{EVENTS, newest, structures_of};
use crate::format::{Abi, Formats, Order};

/// Names that are spelled like `name`, then names that contain it, those that
/// begin with it first; each the most alike first.
pub(super) fn near(formats: &Formats, name: &str) -> Vec<String> {
    let wanted = name.to_lowercase();
    let enough = 1 + wanted.chars().count() / 3;
    let mut near: Vec<(Likeness, usize, usize, String)> = known(formats, wanted.contains('.'))
        .into_iter()
        .filter_map(|known| {
            let distance = edit_distance(&wanted, &known.to_lowercase());
            let likeness = if distance <= enough {
                Likeness::Spelled
            } else if wanted.len() > 1 && known.starts_with(&wanted) {
                Likeness::Begins
            } else if wanted.len() > 1 && known.contains(&wanted) {
                Likeness::Contains
            } else {
                return None;
            };
            // `rtt` is a payload and `RTT` an event.
            let in_case = edit_distance(name, &known);
            Some((likeness, distance, in_case, known))
        })
        .collect();
    near.sort();
    near.dedup();
    if near.first().is_some_and(|(_, distance, ..)| *distance == 0) {
        // The right name in the wrong case, or with a suffix that it cannot have.
        near.truncate(1);
    }
    near.truncate(5);
    near.into_iter().map(|(.., known)| known).collect()
}

/// How a known name is like the wanted one, the most alike first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    Spelled,
    Begins,
    Contains,
}

/// Every name that shows something; payloads with or without their stacks.
fn known(formats: &Formats, with_stack: bool) -> Vec<String> {
    let payloads = formats.payloads();
    let versions = formats.versions.iter().map(|v| format!("v{}", v.number));
    let structures = newest(formats, Abi::Lp64, Order::Little)
        .map(structures_of)
        .unwrap_or_default();
    let mut all: Vec<String> = versions.collect();
    all.extend([EVENTS.to_owned(), PAYLOADS.to_owned()]);
    all.extend(formats.structures().iter().map(super::kernels::full_name));
    all.extend(structures.into_iter().map(|layout| layout.name.clone()));
    all.extend(payloads.bits.iter().map(|table| table.name.clone()));
    all.extend(payloads.codes.iter().map(|table| table.name.clone()));
    all.extend(payloads.iter().map(|payload| match with_stack {
        true => full_name(payload),
        false => payload.name.clone(),
    }));
    let named = |name: &String| !name.starts_with("UNUSED_");
    all.extend(formats.events.iter().map(|e| e.name.clone()).filter(named));
    all
}

/// How many letters must be added, dropped or changed (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        // What stood diagonally above, and to the left, of the next cell.
        let (mut diagonal, mut left) = (i, i + 1);
        for (cell, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let changed = diagonal + usize::from(from != to);
            diagonal = *cell;
            left = changed.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
