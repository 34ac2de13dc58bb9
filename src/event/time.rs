//! Times as clients spell them, and as we write them.
//!
//! Read: RFC 3339 and what is near it (a space for the `T`, no zone, no seconds, date only), RFC
//! 2822, and epochs of seconds, milliseconds, microseconds or nanoseconds with at least nine
//! digits. Written: UTC with `Z`, three fraction digits, six where the client sent more than three.

use std::fmt;

use crate::clock::Timestamp;

/// A moment and how finely it was spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// The client sent more than three fraction digits.
    pub fine: bool,
}

const MICROS: i64 = 1_000_000;
const DAY_MICROS: i64 = 86_400 * MICROS;
/// 0001-01-01T00:00:00Z, the first moment that four digits of year can spell.
const FIRST: i64 = -62_135_596_800 * MICROS;
/// 9999-12-31T23:59:59.999999Z, the last one.
const LAST: i64 = 253_402_300_800 * MICROS - 1;

impl Moment {
    /// A moment that we made: whole milliseconds.
    #[must_use]
    pub const fn coarse(at: Timestamp) -> Self {
        Self { at, fine: false }
    }

    /// Reads a time in any accepted spelling; `None` if there is none or it lies outside the years
    /// 0001 to 9999.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let bytes = text.as_bytes();
        let moment = match bytes {
            [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'-', ..] => near_rfc3339(bytes),
            [b'0'..=b'9' | b'-', ..] => epoch(text).or_else(|| rfc2822(text)),
            [b'A'..=b'Z' | b'a'..=b'z', ..] => rfc2822(text),
            _ => None,
        }?;
        (FIRST..=LAST).contains(&moment.at.micros()).then_some(moment)
    }

    /// The text that is stored for this moment.
    #[must_use]
    pub fn text(self) -> Text {
        Text::of(self)
    }
}

/// Days since 1970 of a day in the proleptic Gregorian calendar.
#[must_use]
pub const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y - era * 400;
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day counted from 1970.
#[must_use]
pub const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z - era * 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, doy - (153 * mp + 2) / 5 + 1)
}

/// How many days the month has.
#[must_use]
pub const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Takes fixed-width numbers and separators off the front of a text.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn number(&mut self, width: usize) -> Option<i64> {
        let (head, tail) = self.0.split_at_checked(width)?;
        let mut value = 0;
        for &byte in head {
            if !byte.is_ascii_digit() {
                return None;
            }
            value = value * 10 + i64::from(byte - b'0');
        }
        self.0 = tail;
        Some(value)
    }

    fn take(&mut self, set: &[u8]) -> Option<u8> {
        let (&first, tail) = self.0.split_first()?;
        set.contains(&first).then(|| {
            self.0 = tail;
            first
        })
    }

    /// Digits of a fraction: microseconds and whether there were more than three.
    fn fraction(&mut self) -> Option<(i64, bool)> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let mut micros = 0;
        for n in 0..6 {
            let digit = if n < digits { i64::from(self.0[n] - b'0') } else { 0 };
            micros = micros * 10 + digit;
        }
        self.0 = &self.0[digits..];
        Some((micros, digits > 3))
    }
}

fn near_rfc3339(bytes: &[u8]) -> Option<Moment> {
    let mut at = Cursor(bytes);
    let year = at.number(4)?;
    at.take(b"-")?;
    let month = at.number(2)?;
    at.take(b"-")?;
    let day = at.number(2)?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) || year == 0 {
        return None;
    }
    let mut micros = days_from_civil(year, month, day) * DAY_MICROS;
    let mut fine = false;
    if at.take(b"Tt ").is_some() {
        let hour = at.number(2)?;
        at.take(b":")?;
        let minute = at.number(2)?;
        let mut second = 0;
        if at.take(b":").is_some() {
            second = at.number(2)?;
            if at.take(b".,").is_some() {
                let (fraction, more) = at.fraction()?;
                micros += fraction;
                fine = more;
            }
        }
        // RFC 3339 allows 60 for a leap second; it is the first moment of the next minute.
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        micros += ((hour * 60 + minute) * 60 + second) * MICROS;
    }
    micros -= offset(&mut at)? * MICROS;
    at.0.is_empty().then_some(Moment { at: Timestamp::from_micros(micros), fine })
}

/// The zone at the end of a time, in seconds east of UTC; none means UTC.
fn offset(at: &mut Cursor<'_>) -> Option<i64> {
    let spaced = at.take(b" ").is_some();
    if at.0.is_empty() {
        return (!spaced).then_some(0);
    }
    if at.take(b"Zz").is_some() {
        return Some(0);
    }
    if let Some(rest) = at.0.strip_prefix(b"UTC") {
        at.0 = rest;
        return Some(0);
    }
    let sign = if at.take(b"+-")? == b'-' { -1 } else { 1 };
    let hours = at.number(2)?;
    let colon = at.take(b":").is_some();
    let minutes = if at.0.is_empty() && !colon { 0 } else { at.number(2)? };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * 60)
}

/// An epoch: the number of digits before the point tells its unit.
fn epoch(text: &str) -> Option<Moment> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let value: i128 = whole.parse().ok()?;
    // Seconds reach eleven digits in the year 5138; each finer unit has three more.
    let (micros, fine) = match whole.len() {
        9..=11 => {
            let mut cursor = Cursor(fraction.as_bytes());
            let (part, fine) = cursor.fraction().unwrap_or((0, false));
            (value * 1_000_000 + i128::from(part), fine)
        }
        12..=14 => (value * 1_000, false),
        15..=17 => (value, value % 1_000 != 0),
        18..=20 => (value / 1_000, value % 1_000_000 != 0),
        _ => return None,
    };
    let micros = i64::try_from(micros).ok()?;
    Some(Moment { at: Timestamp::from_micros(sign * micros), fine })
}

fn rfc2822(text: &str) -> Option<Moment> {
    let zoned = jiff::fmt::rfc2822::DateTimeParser::new().parse_zoned(text).ok()?;
    Some(Moment::coarse(Timestamp::from_micros(zoned.timestamp().as_microsecond())))
}

/// A written time, without the heap. Dereferences to its text.
#[derive(Clone, Copy)]
pub struct Text {
    bytes: [u8; 27],
    len: u8,
}

impl Text {
    fn of(moment: Moment) -> Self {
        let micros = moment.at.micros().clamp(FIRST, LAST);
        let (days, in_day) = (micros.div_euclid(DAY_MICROS), micros.rem_euclid(DAY_MICROS));
        let (year, month, day) = civil_from_days(days);
        let small = |value: i64| u32::try_from(value).unwrap_or_default();
        let (year, seconds, fraction) =
            (small(year), small(in_day / MICROS), small(in_day % MICROS));
        let mut text = Self { bytes: *b"0000-00-00T00:00:00.000000Z", len: 27 };
        text.put(0, year / 100);
        text.put(2, year % 100);
        text.put(5, small(month));
        text.put(8, small(day));
        text.put(11, seconds / 3_600);
        text.put(14, seconds / 60 % 60);
        text.put(17, seconds % 60);
        text.put(20, fraction / 10_000);
        text.put(22, fraction / 100 % 100);
        text.put(24, fraction % 100);
        if !moment.fine {
            text.bytes[23] = b'Z';
            text.len = 24;
        }
        text
    }

    /// Two digits.
    fn put(&mut self, at: usize, value: u32) {
        let digit = |value: u32| b'0' + u8::try_from(value % 10).unwrap_or(0);
        if let Some(slot) = self.bytes.get_mut(at..at + 2) {
            slot.copy_from_slice(&[digit(value / 10), digit(value)]);
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl std::ops::Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<String> {
        Moment::parse(text).map(|moment| moment.text().to_string())
    }

    #[test]
    fn accepted_spellings() {
        let cases = [
            ("2025-03-14T09:26:53.589Z", "2025-03-14T09:26:53.589Z"),
            ("2000-01-02 01:23", "2000-01-02T01:23:00.000Z"),
            ("2000-01-02", "2000-01-02T00:00:00.000Z"),
            ("2023-12-31T23:00:00+05:30", "2023-12-31T17:30:00.000Z"),
            ("2023-12-31T23:00:00-0800", "2024-01-01T07:00:00.000Z"),
            ("2024-05-01T10:00:00.123456+00:00", "2024-05-01T10:00:00.123456Z"),
            ("2024-05-01T10:00:00.123456789Z", "2024-05-01T10:00:00.123456Z"),
            ("2024-05-01t10:00:00z", "2024-05-01T10:00:00.000Z"),
            ("2024-05-01 10:00:00 UTC", "2024-05-01T10:00:00.000Z"),
            ("Thu, 15 Jun 2023 10:20:30 +0200", "2023-06-15T08:20:30.000Z"),
            ("15 Jun 2023 10:20:30 GMT", "2023-06-15T10:20:30.000Z"),
            ("1741944413", "2025-03-14T09:26:53.000Z"),
            ("1741944413.5", "2025-03-14T09:26:53.500Z"),
            ("1741944413589", "2025-03-14T09:26:53.589Z"),
            ("1741944413589123", "2025-03-14T09:26:53.589123Z"),
            ("1741944413589123456", "2025-03-14T09:26:53.589123Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ];
        for (text, written) in cases {
            assert_eq!(read(text).as_deref(), Some(written), "{text}");
        }
    }

    #[test]
    fn refused_spellings() {
        let wrong = [
            "",
            "malformed timestamp",
            "2023-02-29",
            "2023-13-01",
            "2023-1-1",
            "12345678",
            "2024",
            "2024-05-01T25:00:00Z",
            "2024-05-01T10",
            "0000-01-01",
            "2024-05-01T10:00:00+25:00",
            "0001-01-01T00:00:00+01:00",
            "1e12",
            "--1",
            "2024-05-01x",
        ];
        for text in wrong {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn calendar_agrees_with_jiff(micros in FIRST..LAST) {
            let at = jiff::Timestamp::from_microsecond(micros).unwrap();
            let ours = Moment { at: Timestamp::from_micros(micros), fine: true }.text();
            prop_assert_eq!(format!("{at:.6}"), ours.to_string());
            prop_assert_eq!(Moment::parse(&ours).map(|m| m.at.micros()), Some(micros));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}|[0-9:. TZ+-]{0,32}") {
            if let Some(moment) = Moment::parse(&text) {
                prop_assert_eq!(Moment::parse(&moment.text()), Some(moment));
            }
        }
    }
}
