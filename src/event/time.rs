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
        if let Some(at) = text.as_bytes().as_array().and_then(usual) {
            return Some(Self::coarse(at));
        }
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

    /// True where `text` is the one that is stored for this moment, found without writing it. May be
    /// false where it is, too.
    #[must_use]
    pub fn is_written(self, text: &str) -> bool {
        !self.fine && text.as_bytes().as_array().and_then(usual) == Some(self.at)
    }
}

/// Eight bytes of the usual spelling, less what they are without their digits: the digits' values
/// and zeros, which are all there is in it.
const fn digits_of(eight: [u8; 8], blank: [u8; 8]) -> Option<u64> {
    let (mut six, mut high, mut at) = ([0; 8], [0xff; 8], 0);
    while at < 8 {
        if blank[at] == b'0' {
            (six[at], high[at]) = (6, 0xf0);
        }
        at += 1;
    }
    let values = u64::from_le_bytes(eight) ^ u64::from_le_bytes(blank);
    // A digit has four bits, and six more than it still has.
    let more = values.wrapping_add(u64::from_le_bytes(six));
    if (values | more) & u64::from_le_bytes(high) == 0 { Some(values) } else { None }
}

/// True for `0000-00-00T00:00:00.000Z` with any digits.
#[must_use]
pub fn has_usual_shape(bytes: &[u8; 24]) -> bool {
    values_of(bytes).is_some()
}

#[inline]
fn values_of(bytes: &[u8; 24]) -> Option<[u64; 3]> {
    let (parts, _) = bytes.as_chunks();
    let [date, middle, end] = *parts.as_array()?;
    Some([
        digits_of(date, *b"0000-00-")?,
        digits_of(middle, *b"00T00:00")?,
        digits_of(end, *b":00.000Z")?,
    ])
}

/// Reads what nearly all clients send and what we write. Leap seconds and days that there are not
/// are left to the long way.
#[inline]
fn usual(bytes: &[u8; 24]) -> Option<Timestamp> {
    let values = values_of(bytes)?;
    // In each byte ten times the digit there and the one behind it.
    let [date, middle, end] = values.map(|values| (values * 10 + (values >> 8)).to_le_bytes());
    let [century, _, years, _, _, month, ..] = date.map(u32::from);
    let [day, _, _, hour, _, _, minute, _] = middle.map(u32::from);
    let [_, second, _, _, hundredths, _, thousandths, _] = end.map(u32::from);
    let year = century * 100 + years;
    let days = days_in_month(i64::from(year), i64::from(month));
    let is_time = hour < 24 && minute < 60 && second < 60;
    let is_date = year > 0 && month.wrapping_sub(1) < 12 && day > 0 && i64::from(day) <= days;
    if !is_time || !is_date {
        return None;
    }
    // The year from March on; with divisors that are known and no signs these are multiplications.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leaps + (153 * month + 2) / 5 + day;
    let seconds = (hour * 60 + minute) * 60 + second;
    let millis = hundredths * 10 + thousandths / 10;
    let days = i64::from(days) - DAYS_BEFORE_1970;
    let in_day = i64::from(seconds) * MICROS + i64::from(millis) * 1_000;
    Some(Timestamp::from_micros(days * DAY_MICROS + in_day))
}

/// Days from the one before the March of a year 0 to 1970.
const DAYS_BEFORE_1970: i64 = 719_469;

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

/// Year, month and day of a day counted from the first of January of the year 1, which is 0.
///
/// Neri and Schneider, "Euclidean affine functions and their application to calendar algorithms":
/// no division but by what is known, and none waits for more than two others.
const fn civil_from_year_1(days: u32) -> (u32, u32, u32) {
    const DAYS_IN_400: u32 = 146_097;
    // From the March of the year 0 on.
    let quarters = 4 * (days + 306) + 3;
    let (century, in_century) = (quarters / DAYS_IN_400, quarters % DAYS_IN_400 / 4);
    let product = 2_939_745 * (4 * in_century as u64 + 3);
    let in_year = (product % (1 << 32)) / 2_939_745 / 4;
    let shifted = 2_141 * in_year + 197_913;
    let (month, day) = (shifted >> 16, shifted % (1 << 16) / 2_141 + 1);
    let after = in_year >= 306;
    let year = 100 * century as u64 + (product >> 32) + after as u64;
    let month = if after { month - 12 } else { month };
    (low(year), low(month), low(day))
}

#[expect(clippy::cast_possible_truncation, reason = "years, months and days")]
const fn low(value: u64) -> u32 {
    value as u32
}

/// Two digits of a number below 100.
#[inline]
fn two_digits(value: u32) -> [u8; 2] {
    const PAIRS: [[u8; 2]; 100] = {
        let (mut pairs, mut at) = ([[b'0'; 2]; 100], 0_u8);
        while at < 100 {
            pairs[at as usize] = [b'0' + at / 10, b'0' + at % 10];
            at += 1;
        }
        pairs
    };
    PAIRS.get(value as usize).copied().unwrap_or(*b"00")
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
        // From the year 1 on, so that nothing has a sign.
        let micros = (moment.at.micros().clamp(FIRST, LAST) - FIRST).unsigned_abs();
        let day_micros = DAY_MICROS.unsigned_abs();
        let small = |value: u64| u32::try_from(value).unwrap_or_default();
        let (days, in_day) = (small(micros / day_micros), micros % day_micros);
        let (year, month, day) = civil_from_year_1(days);
        let (seconds, fraction) = (small(in_day / 1_000_000), small(in_day % 1_000_000));
        let [y, y2] = two_digits(year / 100);
        let [y3, y4] = two_digits(year % 100);
        let [m, m2] = two_digits(month);
        let [d, d2] = two_digits(day);
        let [h, h2] = two_digits(seconds / 3_600);
        let [i, i2] = two_digits(seconds / 60 % 60);
        let [s, s2] = two_digits(seconds % 60);
        let [f, f2] = two_digits(fraction / 10_000);
        let [f3, f4] = two_digits(fraction / 100 % 100);
        let [f5, f6] = two_digits(fraction % 100);
        let (f4, len) = if moment.fine { (f4, 27) } else { (b'Z', 24) };
        let bytes = [
            y, y2, y3, y4, b'-', m, m2, b'-', d, d2, b'T', h, h2, b':', i, i2, b':', s, s2, b'.',
            f, f2, f3, f4, f5, f6, b'Z',
        ];
        Self { bytes, len }
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

    #[test]
    fn the_usual_spelling_is_read_as_all_others_are() {
        let usual = "2024-02-29T23:59:59.999Z";
        let long_way = |text: &str| near_rfc3339(text.as_bytes());
        for at in 0..usual.len() {
            for byte in 0..=255 {
                let mut bytes = usual.as_bytes().to_vec();
                bytes[at] = byte;
                let Ok(text) = std::str::from_utf8(&bytes) else { continue };
                let trimmed = text.trim_ascii().len() == text.len();
                if trimmed {
                    assert_eq!(Moment::parse(text), long_way(text), "{text}");
                }
                let shape = usual.bytes().zip(text.bytes()).all(|(usual, byte)| {
                    if usual.is_ascii_digit() { byte.is_ascii_digit() } else { usual == byte }
                });
                assert_eq!(has_usual_shape(bytes.as_array().unwrap()), shape, "{text}");
            }
        }
        for (year, month) in
            [(0, 1), (1, 1), (1900, 2), (2000, 2), (2023, 2), (2024, 13), (9999, 12)]
        {
            for day in 0..=32 {
                let text = format!("{year:04}-{month:02}-{day:02}T00:00:00.000Z");
                assert_eq!(Moment::parse(&text), long_way(&text), "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn usual_times_are_read_as_they_are_written(millis in FIRST / 1_000..LAST / 1_000) {
            let moment = Moment::coarse(Timestamp::from_millis(millis));
            let text = moment.text();
            prop_assert!(moment.is_written(&text));
            prop_assert_eq!(near_rfc3339(text.as_bytes()), Some(moment));
            let other = Moment { at: Timestamp::from_millis(millis + 1), ..moment };
            let fine = Moment { fine: true, ..moment };
            prop_assert!(!other.is_written(&text) && !fine.is_written(&text));
        }

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
