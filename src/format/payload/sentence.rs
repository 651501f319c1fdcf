//! The sentence of a payload: text with places for its fields.

/// A piece of a sentence. Fields are indices into the payload's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Field(usize),
    /// One text or the other, by whether the field is zero.
    Choice {
        field: usize,
        nonzero: String,
        zero: String,
    },
    /// Left out when all of its fields are zero.
    Optional(Vec<Part>),
}

/// A phrase that says what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentence {
    pub parts: Vec<Part>,
}

impl Sentence {
    /// Reads `timer started, {timeout_us}[, paced by {slot_us}]` and
    /// `{is_timer?timer|pacer} started`.
    pub(super) fn parse(
        text: &str,
        field: impl Fn(&str) -> Option<usize>,
    ) -> Result<Sentence, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['[', ']']) {
            let (before, after) = rest.split_at(at);
            plain(before, &field, &mut parts)?;
            let inside = after
                .strip_prefix('[')
                .and_then(|after| after.split_once(']'));
            let (inside, after) =
                inside.ok_or_else(|| format!("{text:?}: brackets do not match"))?;
            let mut optional = Vec::new();
            plain(inside, &field, &mut optional)?;
            if optional.iter().all(|part| matches!(part, Part::Text(_))) {
                return Err(format!("{text:?}: [{inside}] has no field"));
            }
            parts.push(Part::Optional(optional));
            rest = after;
        }
        plain(rest, &field, &mut parts)?;
        Ok(Sentence { parts })
    }

    /// True if it says nothing.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

fn plain(
    text: &str,
    field: &impl Fn(&str) -> Option<usize>,
    parts: &mut Vec<Part>,
) -> Result<(), String> {
    let mut rest = text;
    let find = |name: &str| field(name).ok_or_else(|| format!("says: no field named {name:?}"));
    while let Some(at) = rest.find(['{', '}']) {
        let (before, after) = rest.split_at(at);
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        let inside = after
            .strip_prefix('{')
            .and_then(|after| after.split_once('}'));
        let (inside, after) = inside.ok_or_else(|| format!("{text:?}: braces do not match"))?;
        parts.push(match inside.split_once('?') {
            None => Part::Field(find(inside)?),
            Some((name, choice)) => {
                let (nonzero, zero) = choice.split_once('|').unwrap_or((choice, ""));
                Part::Choice {
                    field: find(name)?,
                    nonzero: nonzero.to_owned(),
                    zero: zero.to_owned(),
                }
            }
        });
        rest = after;
    }
    if rest.contains('|') {
        return Err(format!("{text:?}: | outside of braces"));
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(())
}
