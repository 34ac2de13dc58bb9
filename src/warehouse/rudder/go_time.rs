//! Reads a text by a layout of Go's package `time`, as far as [`super::moment`] needs it: digits,
//! offsets and fractions, no names.

use crate::event::time::{days_from_civil, days_in_month};

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Seconds since 1970 UTC, and nanoseconds.
    Moment(i64, i64),
    /// The text follows the layout, but its month has no such day.
    NoSuchDay,
    /// The text does not follow the layout.
    Nothing,
}

/// A field of a layout. Whether a number must have two digits is told where both spellings are
/// known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Year,
    ShortYear,
    Month { two: bool },
    Day { two: bool },
    DayOfYear,
    Hour,
    HalfDayHour { two: bool },
    Minute { two: bool },
    Second { two: bool },
    Fraction { digits: usize },
    AnyFraction,
    OffsetHours,
    Offset,
    OffsetWithColon,
}

impl Field {
    /// The field at the start of `layout`, and its length there.
    fn at_start(layout: &[u8]) -> Option<(Self, usize)> {
        Some(match layout {
            [b'0', b'0', b'2', ..] => (Self::DayOfYear, 3),
            [b'0', b'1', ..] => (Self::Month { two: true }, 2),
            [b'0', b'2', ..] => (Self::Day { two: true }, 2),
            [b'0', b'3', ..] => (Self::HalfDayHour { two: true }, 2),
            [b'0', b'4', ..] => (Self::Minute { two: true }, 2),
            [b'0', b'5', ..] => (Self::Second { two: true }, 2),
            [b'0', b'6', ..] => (Self::ShortYear, 2),
            [b'1', b'5', ..] => (Self::Hour, 2),
            [b'1', ..] => (Self::Month { two: false }, 1),
            [b'2', b'0', b'0', b'6', ..] => (Self::Year, 4),
            [b'2', ..] => (Self::Day { two: false }, 1),
            [b'3', ..] => (Self::HalfDayHour { two: false }, 1),
            [b'4', ..] => (Self::Minute { two: false }, 1),
            [b'5', ..] => (Self::Second { two: false }, 1),
            [b'-', b'0', b'7', b'0', b'0', ..] => (Self::Offset, 5),
            [b'-', b'0', b'7', b':', b'0', b'0', ..] => (Self::OffsetWithColon, 6),
            [b'-', b'0', b'7', ..] => (Self::OffsetHours, 3),
            [b'.', digits @ ..] => {
                let first = digits.first().filter(|first| matches!(first, b'0' | b'9'))?;
                let count = digits.iter().take_while(|digit| *digit == first).count();
                if digits.get(count).is_some_and(u8::is_ascii_digit) {
                    return None;
                }
                let exact = Self::Fraction { digits: count };
                (if *first == b'0' { exact } else { Self::AnyFraction }, 1 + count)
            }
            _ => return None,
        })
    }

    /// What stands before the first field, the field, and what follows it.
    fn next(layout: &[u8]) -> (&[u8], Option<(Self, &[u8])>) {
        for at in 0..layout.len() {
            let (before, rest) = layout.split_at(at);
            if let Some((field, len)) = Self::at_start(rest) {
                return (before, Some((field, rest.get(len..).unwrap_or_default())));
            }
        }
        (layout, None)
    }

    const fn is_fraction(self) -> bool {
        matches!(self, Self::Fraction { .. } | Self::AnyFraction)
    }
}

/// Reads `text` by `layout`.
pub(super) fn read(layout: &[u8], text: &[u8]) -> Read {
    let mut reader = Reader { text, ..Reader::default() };
    if reader.all(layout).is_none() {
        return Read::Nothing;
    }
    let (year, month, day) = (reader.year, reader.month, reader.day);
    if !(1..=days_in_month(year, month)).contains(&day) {
        return Read::NoSuchDay;
    }
    let time = (reader.hour * 60 + reader.minute) * 60 + reader.second;
    let second = days_from_civil(year, month, day) * 86_400 + time - reader.offset;
    Read::Moment(second, reader.nanos)
}

/// The fields read so far, and the text that is left.
#[derive(Debug)]
struct Reader<'t> {
    text: &'t [u8],
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
    /// Seconds east of UTC.
    offset: i64,
}

impl Default for Reader<'_> {
    fn default() -> Self {
        Self {
            text: &[],
            year: 0,
            month: 1,
            day: 1,
            hour: 0,
            minute: 0,
            second: 0,
            nanos: 0,
            offset: 0,
        }
    }
}

impl Reader<'_> {
    fn all(&mut self, mut layout: &[u8]) -> Option<()> {
        loop {
            let (before, next) = Field::next(layout);
            self.skip(before)?;
            let Some((field, rest)) = next else { break };
            layout = rest;
            self.field(field)?;
            let is_second = matches!(field, Field::Second { .. });
            if is_second && !Field::next(layout).1.is_some_and(|(next, _)| next.is_fraction()) {
                // A fraction that the layout lacks is read with the second.
                self.fraction();
            }
        }
        self.text.is_empty().then_some(())
    }

    /// Skips what stands in the layout as it is.
    fn skip(&mut self, literal: &[u8]) -> Option<()> {
        self.text = self.text.strip_prefix(literal)?;
        Some(())
    }

    fn field(&mut self, field: Field) -> Option<()> {
        match field {
            Field::Year => {
                let century = self.number(true)?;
                self.year = century * 100 + self.number(true)?;
            }
            Field::ShortYear => {
                let year = self.number(true)?;
                self.year = if year >= 69 { 1_900 + year } else { 2_000 + year };
            }
            Field::Month { two } => {
                self.month = self.number(two).filter(|month| (1..=12).contains(month))?;
            }
            Field::Day { two } => self.day = self.number(two)?,
            // It would have to be the day that was read already; nobody spells it so.
            Field::DayOfYear => return None,
            Field::Hour => self.hour = self.number(false).filter(|hour| *hour < 24)?,
            Field::HalfDayHour { two } => {
                self.hour = self.number(two).filter(|hour| *hour <= 12)?;
            }
            Field::Minute { two } => {
                self.minute = self.number(two).filter(|minute| *minute < 60)?;
            }
            Field::Second { two } => {
                self.second = self.number(two).filter(|second| *second < 60)?;
            }
            Field::Fraction { digits } => {
                let (fraction, rest) = self.text.split_at_checked(1 + digits)?;
                self.nanos = nanos(behind_point(fraction)?)?;
                self.text = rest;
            }
            Field::AnyFraction => self.fraction(),
            Field::OffsetHours | Field::Offset | Field::OffsetWithColon => {
                let sign = self.sign()?;
                let hours = self.number(true).filter(|hours| *hours <= 24)?;
                if field == Field::OffsetWithColon {
                    self.skip(b":")?;
                }
                let minutes = if field == Field::OffsetHours { 0 } else { self.number(true)? };
                self.offset = sign * (hours * 60 + minutes) * 60;
                if minutes > 60 {
                    return None;
                }
            }
        }
        Some(())
    }

    /// Reads a number of two digits, or of one where that is enough.
    fn number(&mut self, two: bool) -> Option<i64> {
        let digits = self.text.iter().take(2).take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.text.split_at_checked(digits)?;
        self.text = rest;
        let enough = if two { 2 } else { 1 };
        (digits >= enough).then(|| number.iter().fold(0, |sum, d| sum * 10 + i64::from(*d - b'0')))
    }

    fn sign(&mut self) -> Option<i64> {
        let (sign, rest) = self.text.split_first()?;
        self.text = rest;
        match sign {
            b'+' => Some(1),
            b'-' => Some(-1),
            _ => None,
        }
    }

    /// Reads a point and the digits behind it, if they are there.
    fn fraction(&mut self) {
        let Some(behind) = behind_point(self.text) else { return };
        let count = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if let Some((digits, rest)) = behind.split_at_checked(count).filter(|_| count > 0) {
            self.nanos = nanos(digits).unwrap_or(0);
            self.text = rest;
        }
    }
}

/// What follows the point of a fraction, or the comma.
fn behind_point(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b".").or_else(|| text.strip_prefix(b","))
}

/// The nanoseconds of a fraction; what is below them is cut.
fn nanos(digits: &[u8]) -> Option<i64> {
    let mut sum = 0;
    for place in 0..9 {
        let digit = digits.get(place).copied().unwrap_or(b'0');
        sum = sum * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    Some(sum)
}
