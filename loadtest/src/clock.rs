//! The two clocks of the harness: a monotonic one that is measured with, and the wall clock that
//! goes into payloads. Everything else is handed the times it needs, so that tests decide them.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The moment now on the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "the one place of the harness that reads the clock")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970 in UTC.
#[expect(clippy::disallowed_methods, reason = "the one place of the harness that reads the clock")]
pub(crate) fn wall_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Appends `millis` since 1970 as `YYYY-MM-DDTHH:MM:SS.mmmZ`, the form every SDK sends.
pub(crate) fn write_iso(out: &mut Vec<u8>, millis: i64) {
    let days = millis.div_euclid(86_400_000);
    let of_day = millis.rem_euclid(86_400_000);
    let (year, month, day) = civil(days);
    digits(out, year, 4);
    out.push(b'-');
    digits(out, month, 2);
    out.push(b'-');
    digits(out, day, 2);
    out.push(b'T');
    digits(out, of_day / 3_600_000, 2);
    out.push(b':');
    digits(out, of_day / 60_000 % 60, 2);
    out.push(b':');
    digits(out, of_day / 1_000 % 60, 2);
    out.push(b'.');
    digits(out, of_day % 1_000, 3);
    out.push(b'Z');
}

/// The same as text, for reports.
pub(crate) fn iso(millis: i64) -> String {
    let mut out = Vec::with_capacity(24);
    write_iso(&mut out, millis);
    String::from_utf8_lossy(&out).into_owned()
}

/// The Gregorian date of a day number; the era arithmetic is Howard Hinnant's `civil_from_days`.
const fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

fn digits(out: &mut Vec<u8>, value: i64, width: u32) {
    for place in (0..width).rev() {
        let digit = value / 10_i64.pow(place) % 10;
        out.push(b'0'.saturating_add(u8::try_from(digit).unwrap_or(0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_sdks_write_them() {
        let rows = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (1_782_000_000_999, "2026-06-21T00:00:00.999Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ];
        for (millis, expected) in rows {
            assert_eq!(iso(millis), expected);
        }
    }
}
