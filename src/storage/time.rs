//! Moments as our objects spell them.

use crate::clock::Timestamp;

/// Spells `at` in UTC with three fraction digits, six where it has more than milliseconds.
#[must_use]
pub fn utc_text(at: Timestamp) -> String {
    let Ok(moment) = jiff::Timestamp::from_microsecond(at.micros()) else {
        // Outside the years -9999 to 9999, where no clock is.
        return String::from(if at.micros() < 0 {
            "-009999-01-02T00:00:00.000Z"
        } else {
            "9999-12-30T00:00:00.000Z"
        });
    };
    let format = if at.micros().rem_euclid(1_000) == 0 {
        "%Y-%m-%dT%H:%M:%S.%3fZ"
    } else {
        "%Y-%m-%dT%H:%M:%S.%6fZ"
    };
    moment.strftime(format).to_string()
}

/// Reads what [`utc_text`] wrote.
#[must_use]
pub fn parse_utc(text: &str) -> Option<Timestamp> {
    let moment: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_micros(moment.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_back() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_305_599_999_000, "2026-11-21T23:59:59.999Z"),
            (1_001, "1970-01-01T00:00:00.001001Z"),
            (-1_000, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(utc_text(Timestamp::from_micros(micros)), text);
            assert_eq!(parse_utc(text), Some(Timestamp::from_micros(micros)));
        }
    }

    #[test]
    fn absurd_moments_do_not_panic() {
        for micros in [i64::MIN, i64::MAX] {
            assert!(utc_text(Timestamp::from_micros(micros)).ends_with('Z'));
        }
    }
}
