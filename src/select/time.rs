//! The times that `--since` and `--until` take.

use jiff::civil::Time;
use jiff::fmt::temporal::Pieces;
use jiff::tz::Offset;

const US_PER_SECOND: i64 = 1_000_000;

/// One bound, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeBound {
    /// Since the Unix epoch.
    Absolute(i64),
    /// Since the first record of the input.
    FromFirst(i64),
}

/// What becomes of a bound that lies between two microseconds.
///
/// Records have whole microseconds, so rounding inwards keeps the bound exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// To the later one, for `--since`.
    Up,
    /// To the earlier one, for `--until`.
    Down,
}

impl TimeBound {
    /// Reads one of:
    ///
    /// * `2024-05-06T07:08:09.123+02:00`: RFC 3339;
    /// * `2024-05-06`, `2024-05-06T07:08`, `2024-05-06 07:08:09`: UTC for want
    ///   of a zone; a date alone is its midnight;
    /// * `1714979289.123`: Unix seconds, with or without a fraction; digits
    ///   alone are always this, never a date;
    /// * `+1.5`: seconds from the first record of the input.
    ///
    /// The error says what is wrong with the text, without repeating it.
    pub(super) fn parse(text: &str, rounding: Rounding) -> Result<TimeBound, &'static str> {
        if let Some(seconds) = text.strip_prefix('+') {
            return match decimal_us(seconds, rounding) {
                Some(Ok(us)) => Ok(TimeBound::FromFirst(us)),
                Some(Err(problem)) => Err(problem),
                None => Err("not a number of seconds"),
            };
        }
        match decimal_us(text, rounding) {
            Some(us) => us.map(TimeBound::Absolute),
            None => calendar_us(text, rounding).map(TimeBound::Absolute),
        }
    }
}

/// Microseconds of decimal seconds; `None` if the text is no such number.
fn decimal_us(text: &str, rounding: Rounding) -> Option<Result<i64, &'static str>> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let mut us = 0_i64;
    let mut place = US_PER_SECOND / 10;
    let mut is_between = false;
    for digit in fraction.bytes().map(|b| i64::from(b - b'0')) {
        us += digit * place;
        is_between |= place == 0 && digit != 0;
        place /= 10;
    }
    us += i64::from(is_between && rounding == Rounding::Up);
    let whole_us = whole
        .parse::<i64>()
        .ok()
        .and_then(|s| s.checked_mul(US_PER_SECOND));
    Some(
        whole_us
            .and_then(|w| w.checked_add(us))
            .ok_or("more seconds than a time can have"),
    )
}

fn calendar_us(text: &str, rounding: Rounding) -> Result<i64, &'static str> {
    let pieces = Pieces::parse(text)
        .map_err(|_| "not RFC 3339 (2024-05-06T07:08:09Z), Unix seconds, or +seconds")?;
    if pieces.time_zone_annotation().is_some() {
        return Err("a zone is given as an offset (Z, +02:00), not by name");
    }
    let ns = pieces
        .to_numeric_offset()
        .unwrap_or(Offset::UTC)
        .to_timestamp(
            pieces
                .date()
                .to_datetime(pieces.time().unwrap_or(Time::midnight())),
        )
        .map_err(|_| "outside the range of times")?
        .as_nanosecond();
    let up = i128::from(rounding == Rounding::Up && ns.rem_euclid(1000) != 0);
    i64::try_from(ns.div_euclid(1000) + up).map_err(|_| "outside the range of times")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn absolute(text: &str) -> i64 {
        match TimeBound::parse(text, Rounding::Down) {
            Ok(TimeBound::Absolute(us)) => us,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn one_instant_in_many_words() {
        let us = 1_714_979_289_000_000;
        for text in [
            "2024-05-06T07:08:09Z",
            "2024-05-06t07:08:09z",
            "2024-05-06 07:08:09Z",
            "2024-05-06T09:08:09+02:00",
            "2024-05-06T00:08:09-07:00",
            "2024-05-06T07:08:09-00:00",
            "2024-05-06T07:08:09",
            "2024-05-06 07:08:09.000000",
            "1714979289",
            "1714979289.0",
        ] {
            assert_eq!(absolute(text), us, "{text}");
        }
        assert_eq!(absolute("2024-05-06T07:08"), us - 9_000_000);
        assert_eq!(absolute("2024-05-06"), 1_714_953_600_000_000);
        assert_eq!(absolute("2024-05-06T07:08:09.25Z"), us + 250_000);
        assert_eq!(absolute("1714979289.25"), us + 250_000);
        assert_eq!(absolute("20240506"), 20_240_506_000_000);
    }

    #[test]
    fn seconds_from_the_first_record() {
        for (text, us) in [
            ("+0", 0),
            ("+1", 1_000_000),
            ("+1.5", 1_500_000),
            ("+0.000001", 1),
            ("+007", 7_000_000),
        ] {
            assert_eq!(
                TimeBound::parse(text, Rounding::Down),
                Ok(TimeBound::FromFirst(us)),
                "{text}"
            );
        }
    }

    #[test]
    fn between_two_microseconds_rounds_inwards() {
        for text in [
            "1.0000011",
            "1.00000100000000000000000000001",
            "1970-01-01T00:00:01.000001001Z",
        ] {
            for (rounding, us) in [(Rounding::Down, 1_000_001), (Rounding::Up, 1_000_002)] {
                assert_eq!(
                    TimeBound::parse(text, rounding),
                    Ok(TimeBound::Absolute(us)),
                    "{text}"
                );
            }
        }
        for (rounding, us) in [(Rounding::Down, -1), (Rounding::Up, 0)] {
            assert_eq!(
                TimeBound::parse("1969-12-31T23:59:59.9999995Z", rounding),
                Ok(TimeBound::Absolute(us))
            );
        }
        assert_eq!(
            TimeBound::parse("0.9999999", Rounding::Up),
            Ok(TimeBound::Absolute(1_000_000))
        );
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "+",
            "+-1",
            "++1",
            "+1s",
            "+2024-05-06",
            "-1",
            "1.",
            ".5",
            "1.2.3",
            "1e9",
            "now",
            "yesterday",
            "2024-13-01",
            "2024-02-30",
            "2024-05-06T25:00",
            "2024-05-06T07:08:09 CET",
            "2024-05-06T07:08[Europe/Berlin]",
            "2024-05-06T07:08+02:00[Europe/Berlin]",
            "07:08",
            "9223372036855",
            "+99999999999999999999",
        ] {
            assert!(TimeBound::parse(text, Rounding::Up).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*", digits in "[0-9T:.Z+\\- \\[\\]]{0,40}") {
            for text in [&text, &digits] {
                let _ = TimeBound::parse(text, Rounding::Up);
                let _ = TimeBound::parse(text, Rounding::Down);
            }
        }

        #[test]
        fn reads_back_microseconds(us in 0_i64..=i64::MAX, up in any::<bool>()) {
            let rounding = if up { Rounding::Up } else { Rounding::Down };
            let text = format!("+{}.{:06}", us / US_PER_SECOND, us % US_PER_SECOND);
            prop_assert_eq!(TimeBound::parse(&text, rounding), Ok(TimeBound::FromFirst(us)));
        }

        #[test]
        fn reads_back_rfc3339(us in -62_135_596_800_000_000_i64..=253_402_207_200_999_999) {
            let text = jiff::Timestamp::from_microsecond(us).expect("in range").to_string();
            prop_assert_eq!(
                TimeBound::parse(&text, Rounding::Up),
                Ok(TimeBound::Absolute(us))
            );
        }
    }
}
