//! Strings that spell a moment.
//!
//! The shape is nearly the one RudderStack takes for a datetime: `YYYY-MM-DD`, then a `T` or a space
//! with a time and an offset, each optional. What cannot be held exactly stays a string; what
//! RudderStack makes of such strings is in [`super::rudder`].

use crate::event::time::{civil_from_days, days_from_civil, days_in_month};

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// 0001-01-01T00:00:00Z in microseconds since 1970.
const FIRST: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999Z in microseconds since 1970.
const LAST: i64 = 253_402_300_799_999_000;
/// Longest string that RudderStack tries to read as a moment.
const BYTES_MAX: usize = 40;

/// A moment and what became of its spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    micros: i64,
    /// Digits of the fraction of a second.
    fraction_digits: usize,
}

/// The moment that `text` spells exactly, in microseconds since 1970 UTC: a real day, at most six
/// digits of a second.
#[must_use]
pub fn exact(text: &str) -> Option<i64> {
    if !may_be(text.as_bytes()) {
        return None;
    }
    let moment = read(text.as_bytes())?;
    (moment.fraction_digits <= 6).then_some(moment.micros)
}

/// Turns most strings away at the first bytes.
#[inline]
fn may_be(text: &[u8]) -> bool {
    text.len() >= 10
        && text.len() <= BYTES_MAX
        && text.get(4) == Some(&b'-')
        && text.first().is_some_and(u8::is_ascii_digit)
}

fn read(text: &[u8]) -> Option<Moment> {
    let mut at = Cursor { text, at: 0 };
    let year = at.digits(4)?;
    at.expect(b'-')?;
    let month = at.digits(2).filter(|month| (1..=12).contains(month))?;
    at.expect(b'-')?;
    let day = at.digits(2).filter(|day| (1..=days_in_month(year, month)).contains(day))?;
    let mut moment = Moment { micros: days_from_civil(year, month, day) * DAY, fraction_digits: 0 };
    match at.next() {
        None => {}
        Some(b'T' | b' ') => read_time(&mut at, &mut moment)?,
        // White space behind a bare day is let through, as it is there.
        Some(b'\n' | b'\t' | b'\r' | b'\x0c') if at.rest().is_empty() => {}
        Some(_) => return None,
    }
    (FIRST..=LAST).contains(&moment.micros).then_some(moment)
}

/// Reads `HH:MM[:SS[.fff]]` and an offset, both optional.
fn read_time(at: &mut Cursor<'_>, moment: &mut Moment) -> Option<()> {
    let has_time = at.peek().is_some_and(|byte| byte.is_ascii_digit());
    if has_time {
        let hour = at.digits(2).filter(|hour| *hour <= 23)?;
        at.expect(b':')?;
        let minute = at.digits(2).filter(|minute| *minute <= 59)?;
        moment.micros += (hour * 60 + minute) * 60_000_000;
        if at.peek() == Some(b':') {
            at.next();
            read_seconds(at, moment)?;
        }
    }
    match at.next() {
        None => {}
        Some(b'Z') => {}
        // RudderStack's parser takes it for a letter of the layout, but not behind whole seconds.
        Some(b'z') if !has_time || moment.fraction_digits > 0 => {}
        Some(sign @ (b'+' | b'-')) => {
            let hours = at.digits(2).filter(|hours| *hours <= 23)?;
            let colon = at.peek() == Some(b':');
            if colon {
                at.next();
            }
            let minutes = if colon || !at.rest().is_empty() {
                at.digits(2).filter(|minutes| *minutes <= 59)?
            } else {
                0
            };
            let offset = (hours * 60 + minutes) * 60_000_000;
            moment.micros += if sign == b'+' { -offset } else { offset };
        }
        Some(_) => return None,
    }
    at.rest().is_empty().then_some(())
}

/// Reads `S`, `SS` or `SS.fff`.
fn read_seconds(at: &mut Cursor<'_>, moment: &mut Moment) -> Option<()> {
    let from = at.at;
    let mut seconds = at.digits(1)?;
    if at.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        seconds = seconds * 10 + at.digits(1)?;
    }
    let two = at.at - from == 2;
    if seconds > 59 || at.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        return None;
    }
    moment.micros += seconds * 1_000_000;
    if at.peek() != Some(b'.') || !two {
        return Some(());
    }
    at.next();
    let mut unit = 100_000;
    while let Some(digit) = at.peek().filter(u8::is_ascii_digit) {
        moment.micros += i64::from(digit - b'0') * unit;
        unit /= 10;
        moment.fraction_digits += 1;
        at.next();
    }
    (moment.fraction_digits > 0).then_some(())
}

struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let mut value = 0;
        for _ in 0..count {
            let digit = self.next().filter(u8::is_ascii_digit)?;
            value = value * 10 + i64::from(digit - b'0');
        }
        Some(value)
    }
}

/// Appends a moment as `YYYY-MM-DDTHH:MM:SS.mmmZ`, with six digits where three would cut.
pub fn write(micros: i64, out: &mut String) {
    write_digits(micros, micros.rem_euclid(1_000) != 0, out);
}

/// Appends a moment cut to milliseconds, as RudderStack writes it.
pub fn write_millis(micros: i64, out: &mut String) {
    write_digits(micros, false, out);
}

fn write_digits(micros: i64, six: bool, out: &mut String) {
    let (year, month, day) = civil_from_days(micros.div_euclid(DAY));
    let time = micros.rem_euclid(DAY);
    let mut push = |value: i64, width: u32, behind: char| {
        for place in (0..width).rev() {
            let digit = value / 10_i64.pow(place) % 10;
            out.push(char::from(b'0' + u8::try_from(digit).unwrap_or(0)));
        }
        out.push(behind);
    };
    push(year, 4, '-');
    push(month, 2, '-');
    push(day, 2, 'T');
    push(time / 3_600_000_000, 2, ':');
    push(time / 60_000_000 % 60, 2, ':');
    push(time / 1_000_000 % 60, 2, '.');
    let fraction = time % 1_000_000;
    if six {
        push(fraction, 6, 'Z');
    } else {
        push(fraction / 1_000, 3, 'Z');
    }
}

/// Texts that this reader and that of [`super::rudder`] take for the same.
#[cfg(test)]
pub(super) mod examples {
    /// Moments, and how they are written.
    pub(in crate::warehouse) const MOMENTS: [(&str, &str); 12] = [
        ("2024-01-01", "2024-01-01T00:00:00.000Z"),
        ("2024-01-01T", "2024-01-01T00:00:00.000Z"),
        ("2024-01-01 ", "2024-01-01T00:00:00.000Z"),
        ("2024-01-01T10:20Z", "2024-01-01T10:20:00.000Z"),
        ("2024-01-01 10:20:3", "2024-01-01T10:20:03.000Z"),
        ("2024-01-01T10:20:30+05", "2024-01-01T05:20:30.000Z"),
        ("2024-01-01T10:20:30.123z", "2024-01-01T10:20:30.123Z"),
        ("2024-01-01Tz", "2024-01-01T00:00:00.000Z"),
        ("2024-01-01T10:20:30.1-0830", "2024-01-01T18:50:30.100Z"),
        ("0000-12-31T23:59:59-23:59", "0001-01-01T23:58:59.000Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ("1600-02-29", "1600-02-29T00:00:00.000Z"),
    ];
    /// No moments.
    pub(in crate::warehouse) const NO_MOMENTS: [&str; 21] = [
        "",
        "2024-1-1",
        "2024-01",
        "2024-13-01",
        "2024-00-10",
        "2024-01-01T24:00",
        "+2024-01-01",
        "2024-01-01T10",
        "2024-01-01T10:2",
        "2024-01-01T10:20:60",
        "2024-01-01T10:20:30.Z",
        "2024-01-01T10:20:30 +05:30",
        "2024-01-01T10:20:30+053",
        "2024-01-01\t10:20",
        "2024-01-01T10:20:30z",
        " 2024-01-01",
        "9999-12-31T23:59:59-01:00",
        "9999-12-31T23:59:59.9995Z",
        "0000-12-31",
        "2024-01-01T10:20z",
        "2024-01-01T10:20:30.12345678901234567890Z",
    ];
}

#[cfg(test)]
mod tests {
    use super::examples::{MOMENTS, NO_MOMENTS};
    use super::*;

    fn ours(text: &str) -> Option<String> {
        let mut out = String::new();
        write(exact(text)?, &mut out);
        Some(out)
    }

    #[test]
    fn moments_are_read() {
        for (text, moment) in MOMENTS {
            assert_eq!(ours(text).as_deref(), Some(moment), "{text}");
        }
    }

    #[test]
    fn strings_of_another_shape_are_strings() {
        for text in NO_MOMENTS {
            assert_eq!(ours(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_held_exactly_stays_a_string_with_us() {
        for text in [
            "2023-02-29",
            "2021-06-31T10:00:00Z",
            "2024-01-01T10:20:30.1234567Z",
            "2024-01-01T10:20:30.1234567890123456789Z",
        ] {
            assert_eq!(ours(text), None, "{text}");
        }
        let micros = ours("2024-01-01T10:20:30.123456+02:00");
        assert_eq!(micros.as_deref(), Some("2024-01-01T08:20:30.123456Z"));
    }

    #[test]
    fn days_go_both_ways() {
        for days in (-719_162..=2_932_896).step_by(97) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
            assert!((1..=days_in_month(year, month)).contains(&day));
        }
    }
}
