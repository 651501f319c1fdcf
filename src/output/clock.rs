//! Times as text, fast enough for every record.

use crate::bblog::{Message, Record};

/// Microseconds per day.
const DAY_US: i64 = 86_400_000_000;

/// Writes wall clock times in RFC 3339, UTC; remembers the last date, because
/// neighbouring records share it.
#[derive(Clone, Debug)]
pub struct Clock {
    day: i64,
    date: [u8; 10],
}

impl Default for Clock {
    fn default() -> Clock {
        Clock {
            day: 0,
            date: *b"1970-01-01",
        }
    }
}

impl Clock {
    /// Appends `2026-08-21T10:15:09.924100Z` for microseconds since the Unix
    /// epoch. False, and nothing appended, outside the years 0 to 9999: RFC
    /// 3339 has no form for those.
    #[inline]
    pub fn write(&mut self, out: &mut Vec<u8>, us: i64) -> bool {
        let Some(date) = self.date(us) else {
            return false;
        };
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        text[..10].copy_from_slice(&date);
        text[11..26].copy_from_slice(&time_of_day(us));
        out.extend_from_slice(&text);
        true
    }

    /// `2026-08-21`; `None` outside the years 0 to 9999.
    #[inline]
    pub fn date(&mut self, us: i64) -> Option<[u8; 10]> {
        let day = us.div_euclid(DAY_US);
        if day != self.day {
            self.date = date_of_day(day)?;
            self.day = day;
        }
        Some(self.date)
    }
}

/// When the record was written, microseconds since the Unix epoch; `None` if
/// the source has no wall clock or the record's time is garbage.
#[inline]
pub fn wall_clock(message: &Message<'_>, record: &Record<'_>) -> Option<i64> {
    let us = record.time_us().filter(|_| message.known.clock)?;
    Some(message.header.boot_us().saturating_add(us))
}

/// `10:15:09.924100`, UTC, for microseconds since the Unix epoch.
#[inline]
pub fn time_of_day(us: i64) -> [u8; 15] {
    // Less than a day, so nothing is lost.
    let us = us.rem_euclid(DAY_US) as u64;
    let (seconds, micros) = ((us / 1_000_000) as u32, (us % 1_000_000) as u32);
    let mut text = *b"00:00:00.000000";
    pair(&mut text, 0, seconds / 3600);
    pair(&mut text, 3, seconds / 60 % 60);
    pair(&mut text, 6, seconds % 60);
    pair(&mut text, 9, micros / 10_000);
    pair(&mut text, 11, micros / 100 % 100);
    pair(&mut text, 13, micros % 100);
    text
}

/// Puts two digits at `at`.
#[inline]
fn pair(text: &mut [u8], at: usize, n: u32) {
    if let Some([tens, ones]) = text.get_mut(at..at + 2) {
        *tens = b'0' + (n / 10 % 10) as u8;
        *ones = b'0' + (n % 10) as u8;
    }
}

/// The proleptic Gregorian date of a day number, 1970-01-01 being day 0.
fn date_of_day(day: i64) -> Option<[u8; 10]> {
    // Counted from 0000-03-01, so that the leap day ends its year; 400 years
    // have 146,097 days.
    let since_march = day + 719_468;
    let (era, day_of_era) = (
        since_march.div_euclid(146_097),
        since_march.rem_euclid(146_097),
    );
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March on repeat a pattern of 153 days in five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let year = u32::try_from(year).ok().filter(|year| *year <= 9999)?;
    let mut text = *b"0000-00-00";
    pair(&mut text, 0, year / 100);
    pair(&mut text, 2, year % 100);
    pair(&mut text, 5, month as u32);
    pair(&mut text, 8, day_of_month as u32);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(us: i64) -> Option<String> {
        let mut out = Vec::new();
        let written = Clock::default().write(&mut out, us);
        assert_eq!(written, !out.is_empty());
        written.then(|| String::from_utf8(out).expect("ASCII"))
    }

    #[test]
    fn known_instants() {
        let known = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_787_307_309_924_100, "2026-08-21T10:15:09.924100Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        ];
        for (us, expected) in known {
            assert_eq!(text(us).as_deref(), Some(expected));
        }
    }

    #[test]
    fn agrees_with_jiff() {
        // 13 and 400 years' 146,097 days have no divisor in common.
        for day in (-719_528..2_932_896).step_by(13) {
            let us = day * DAY_US + day.rem_euclid(DAY_US);
            let jiff = jiff::Timestamp::from_microsecond(us).expect("within jiff's years");
            let expected = jiff.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
            assert_eq!(text(us), Some(expected));
        }
    }

    #[test]
    fn years_end_where_rfc_3339_ends() {
        let first = -719_528 * DAY_US;
        assert_eq!(text(first).as_deref(), Some("0000-01-01T00:00:00.000000Z"));
        assert_eq!(text(first - 1), None);
        let last = 2_932_897 * DAY_US - 1;
        assert_eq!(text(last).as_deref(), Some("9999-12-31T23:59:59.999999Z"));
        assert_eq!(text(last + 1), None);
        assert_eq!(text(i64::MAX), None);
        assert_eq!(text(i64::MIN), None);
    }
}
