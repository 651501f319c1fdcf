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
    /// As the format file writes it.
    pub text: String,
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
            if inside.contains('[') {
                return Err(format!("{text:?}: brackets within brackets"));
            }
            let mut optional = Vec::new();
            plain(inside, &field, &mut optional)?;
            if optional.iter().all(|part| matches!(part, Part::Text(_))) {
                return Err(format!("{text:?}: [{inside}] has no field"));
            }
            parts.push(Part::Optional(optional));
            rest = after;
        }
        plain(rest, &field, &mut parts)?;
        Ok(Sentence {
            parts,
            text: text.to_owned(),
        })
    }

    /// The fields whose values it tells.
    pub(super) fn fields(&self) -> Vec<usize> {
        let told = |part: &Part| match part {
            Part::Field(at) => vec![*at],
            Part::Optional(parts) => parts
                .iter()
                .filter_map(|part| match part {
                    Part::Field(at) => Some(*at),
                    _ => None,
                })
                .collect(),
            Part::Text(_) | Part::Choice { .. } => Vec::new(),
        };
        self.parts.iter().flat_map(told).collect()
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
    let outside = |text: &str| format!("{text:?}: | outside of braces");
    let find = |name: &str| field(name).ok_or_else(|| format!("says: no field named {name:?}"));
    while let Some(at) = rest.find(['{', '}']) {
        let (before, after) = rest.split_at(at);
        if before.contains('|') {
            return Err(outside(text));
        }
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
                if nonzero.contains('{') || zero.contains(['{', '|']) {
                    return Err(format!("{text:?}: {{{inside}}} is no choice of two texts"));
                }
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
        return Err(outside(text));
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Sentence, String> {
        let names = ["timeout_us", "slot_us", "is_timer"];
        Sentence::parse(text, |name| names.iter().position(|known| *known == name))
    }

    fn words(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    #[test]
    fn text_fields_choices_and_optional_parts() {
        let text = "{is_timer?timer|pacer} starts, {timeout_us}[, paced by {slot_us}] in all";
        let sentence = parse(text).expect(text);
        assert_eq!(sentence.text, text);
        let expected = [
            Part::Choice {
                field: 2,
                nonzero: "timer".to_owned(),
                zero: "pacer".to_owned(),
            },
            words(" starts, "),
            Part::Field(0),
            Part::Optional(vec![words(", paced by "), Part::Field(1)]),
            words(" in all"),
        ];
        assert_eq!(sentence.parts, expected);
    }

    #[test]
    fn either_side_of_a_choice_may_be_empty() {
        let choice = |text| match parse(text).expect(text).parts.pop() {
            Some(Part::Choice { nonzero, zero, .. }) => (nonzero, zero),
            other => panic!("{text}: {other:?}"),
        };
        let of = |nonzero: &str, zero: &str| (nonzero.to_owned(), zero.to_owned());
        assert_eq!(choice("{is_timer?timer}"), of("timer", ""));
        assert_eq!(choice("{is_timer?timer|}"), of("timer", ""));
        assert_eq!(choice("{is_timer?|pacer}"), of("", "pacer"));
    }

    #[test]
    fn an_empty_sentence_says_nothing() {
        assert!(parse("").expect("allowed").is_empty());
        assert!(!parse("a").expect("allowed").is_empty());
    }

    #[test]
    fn mistakes_are_refused() {
        for (text, cause) in [
            ("a {timeout_us", "braces do not match"),
            ("a timeout_us}", "braces do not match"),
            ("a }timeout_us{", "braces do not match"),
            ("a [{timeout_us}", "brackets do not match"),
            ("a {timeout_us}]", "brackets do not match"),
            ("a ]{timeout_us}[", "brackets do not match"),
            ("[a [{timeout_us}] b]", "brackets within brackets"),
            ("{is_timer?a [b]|c}", "braces do not match"),
            ("[just text]", "[just text] has no field"),
            ("[]", "[] has no field"),
            ("a | b", "| outside of braces"),
            ("[{slot_us} | b]", "| outside of braces"),
            ("| {slot_us}", "| outside of braces"),
            ("{is_timer?a|b|c}", "no choice of two texts"),
            ("{is_timer?{slot_us|c}", "no choice of two texts"),
            ("{speed}", "no field named \"speed\""),
            ("{}", "no field named \"\""),
            ("{speed?a|b}", "no field named \"speed\""),
            ("[{speed}]", "no field named \"speed\""),
        ] {
            let what = parse(text).expect_err(text);
            assert!(what.contains(cause), "{text}: {what}");
        }
    }
}
