//! Moments as RudderStack's Go transformer reads them: the shape of the text is checked, a layout is
//! guessed from it, and the text is read by that layout.
//!
//! What the guess does not know it leaves in the layout as it stands, and Go takes some of it for
//! fields: the `01` of an offset `+01` behind a fraction becomes the month. Such values are in the
//! tables of whoever comes from RudderStack, so they are shown as they are there. Called for every
//! string of [`super`]; knows nothing of columns. How a layout is read is `go_time`.

use crate::event::time::days_from_civil;

use super::go_time::{self, Read};

/// 0001-01-01T00:00:00Z in seconds since 1970.
const FIRST_SECOND: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59.999Z, in seconds since 1970 and nanoseconds.
const LAST: (i64, i64) = (253_402_300_799, 999_000_000);
/// Longest string that is tried.
const BYTES_MAX: usize = 40;
/// Where the time starts, behind the separator.
const TIME_AT: usize = 11;

/// The moment in `text`, in microseconds since 1970 UTC: a day past the month's end becomes midnight
/// of the day it runs over to.
#[must_use]
pub fn read(text: &str) -> Option<i64> {
    if text.len() > BYTES_MAX || has_shape(text.as_bytes()).is_none() {
        return None;
    }
    let guess = Guess::of(text.as_bytes());
    let (second, nanos) = match go_time::read(&guess.layout, &guess.text) {
        Read::Moment(second, nanos) => (second, nanos),
        Read::NoSuchDay => {
            let number = |from: usize, to: usize| text.get(from..to)?.parse().ok();
            (days_from_civil(number(0, 4)?, number(5, 7)?, number(8, 10)?) * 86_400, 0)
        }
        Read::Nothing => return None,
    };
    let is_in_range = second >= FIRST_SECOND && (second, nanos) <= LAST;
    is_in_range.then_some(second * 1_000_000 + nanos / 1_000)
}

/// `YYYY-MM-DD`, then `T` or white space, `HH:MM`, `:S…`, `:MM` with a fraction, and an offset,
/// each optional.
fn has_shape(text: &[u8]) -> Option<()> {
    let (year, rest) = text.split_at_checked(4)?;
    let rest = two(rest.strip_prefix(b"-")?, 1, 12)?;
    let rest = two(rest.strip_prefix(b"-")?, 1, 31)?;
    let mut rest = match rest.split_first() {
        None => rest,
        Some((b'T' | b' ' | b'\t' | b'\n' | b'\x0c' | b'\r', rest)) => rest,
        Some(_) => return None,
    };
    if rest.first().is_some_and(u8::is_ascii_digit) {
        rest = two(two(rest, 0, 23)?.strip_prefix(b":")?, 0, 59)?;
        // As many digits as there are, unless a fraction follows: then they are what is below.
        if let Some(seconds) = rest.strip_prefix(b":") {
            let behind = behind_digits(seconds)?;
            rest = if behind.first() == Some(&b'.') { rest } else { behind };
        }
    }
    if let Some(last) = rest.strip_prefix(b":") {
        rest = two(last, 0, 59)?;
        if let Some(fraction) = rest.strip_prefix(b".") {
            rest = behind_digits(fraction)?;
        }
    }
    rest = match rest.split_first() {
        Some((b'z' | b'Z', rest)) => rest,
        Some((b'+' | b'-', offset)) => {
            let rest = two(offset, 0, 23)?;
            let minutes = rest.strip_prefix(b":").unwrap_or(rest);
            if minutes.is_empty() { minutes } else { two(minutes, 0, 59)? }
        }
        _ => rest,
    };
    (year.iter().all(u8::is_ascii_digit) && rest.is_empty()).then_some(())
}

/// What follows two digits whose number is within bounds.
fn two(text: &[u8], min: u8, max: u8) -> Option<&[u8]> {
    let (&[ten, one], rest) = text.split_first_chunk()?;
    let is_number = ten.is_ascii_digit() && one.is_ascii_digit();
    (is_number && (min..=max).contains(&((ten - b'0') * 10 + (one - b'0')))).then_some(rest)
}

/// What follows one digit or more.
fn behind_digits(text: &[u8]) -> Option<&[u8]> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > 0 { text.get(digits..) } else { None }
}

/// A run of the text; at zero there is none.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    at: usize,
    len: usize,
}

impl Run {
    const fn ends(&mut self, at: usize) {
        self.len = at - self.at;
    }

    const fn ends_unless_known(&mut self, at: usize) {
        if self.len == 0 {
            self.ends(at);
        }
    }
}

/// What stands where the guess has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Clock,
    Fraction,
    Offset { at: usize, has_colon: bool, behind_fraction: bool },
    Rest,
}

/// Where the parts of a time are.
#[derive(Clone, Copy, Debug)]
struct Clock {
    hour_len: usize,
    minute: Run,
    second: Run,
    fraction: Run,
    state: State,
}

/// A layout, and the text to read by it.
#[derive(Debug)]
struct Guess {
    layout: Vec<u8>,
    text: Vec<u8>,
}

impl Guess {
    /// The guess for a text of the right shape.
    fn of(text: &[u8]) -> Self {
        let mut guess = Self { layout: text.to_vec(), text: text.to_vec() };
        guess.set(0, b"2006");
        guess.set(5, b"01");
        match text.get(TIME_AT - 1) {
            None => guess.set(8, b"02"),
            Some(b'T' | b' ') => {
                guess.set(8, b"02");
                let clock = guess.clock();
                guess.set_time(clock);
            }
            // Behind other white space an offset is seen, but neither the time nor the day before.
            Some(_) => {
                let is_sign = |byte: &u8| matches!(byte, b'+' | b'-');
                if let Some(at) = text.iter().skip(TIME_AT).position(is_sign) {
                    let at = TIME_AT + at;
                    match text.len() - at {
                        5 => guess.set(at, b"-0700"),
                        6 => guess.set(at, b"-07:00"),
                        _ => {}
                    }
                }
            }
        }
        guess
    }

    /// Puts a field into the layout, if there is room for it.
    fn set(&mut self, at: usize, field: &[u8]) {
        if let Some(place) = self.layout.get_mut(at..at + field.len()) {
            place.copy_from_slice(field);
        }
    }

    /// Finds the parts of the time behind a `T` or a space.
    fn clock(&mut self) -> Clock {
        let (mut minute, mut second, mut fraction) = <(Run, Run, Run)>::default();
        let mut hour_len = 0;
        let mut state = State::Clock;
        for (at, byte) in self.text.clone().into_iter().enumerate().skip(TIME_AT) {
            match (&mut state, byte) {
                (State::Clock, b':') if minute.at == 0 => {
                    minute.at = at + 1;
                    hour_len = at - TIME_AT;
                }
                (State::Clock, b':') if second.at == 0 => {
                    second.at = at + 1;
                    minute.ends(at);
                }
                // A third colon stands for the point before a fraction.
                (State::Clock, b':') => {
                    second.ends(at);
                    self.set(second.at, b"05");
                    fraction.at = at + 1;
                    self.set(at, b".");
                    if let Some(colon) = self.text.get_mut(at) {
                        *colon = b'.';
                    }
                }
                (State::Clock, b'.') => {
                    second.ends(at);
                    fraction.at = at + 1;
                    state = State::Fraction;
                }
                (State::Clock, b'Z') => {
                    if second.at == 0 {
                        minute.ends(at)
                    } else {
                        second.ends(at)
                    }
                    state = State::Rest;
                }
                (State::Clock, b'+' | b'-') => {
                    if second.at == 0 {
                        minute.ends(at);
                    } else {
                        second.ends_unless_known(at);
                        fraction.ends_unless_known(at);
                    }
                    state = State::Offset { at, has_colon: false, behind_fraction: false };
                }
                (State::Fraction, b'+' | b'-') => {
                    fraction.ends(at);
                    state = State::Offset { at, has_colon: false, behind_fraction: true };
                }
                (State::Fraction, b'z' | b'Z') => {
                    fraction.ends(at);
                    state = State::Rest;
                }
                (State::Offset { has_colon, .. }, b':') => *has_colon = true,
                _ => {}
            }
        }
        Clock { hour_len, minute, second, fraction, state }
    }

    /// Puts the fields of the time into the layout.
    fn set_time(&mut self, clock: Clock) {
        let Clock { hour_len, minute, second, mut fraction, state } = clock;
        let end = self.text.len();
        match state {
            State::Fraction => fraction.ends(end),
            State::Offset { at, has_colon: true, .. } => self.set(at, b"-07:00"),
            State::Offset { at, behind_fraction: false, .. } if end - at == 3 => {
                self.set(at, b"-07");
            }
            State::Offset { at, .. } => self.set(at, b"-0700"),
            State::Clock | State::Rest => {}
        }
        if hour_len == 2 {
            self.set(TIME_AT, b"15");
        }
        for (mut run, two, one) in [(minute, b"04", b"4"), (second, b"05", b"5")] {
            run.ends_unless_known(end);
            if run.at > 0 {
                self.set(run.at, if run.len == 2 { two } else { one });
            }
        }
        if fraction.at > 0
            && let Some(digits) = self.layout.get_mut(fraction.at..fraction.at + fraction.len)
        {
            digits.fill(b'0');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::datetime;
    use crate::warehouse::datetime::examples::{MOMENTS, NO_MOMENTS};

    fn written(text: &str) -> Option<String> {
        let mut out = String::new();
        datetime::write_millis(read(text)?, &mut out);
        Some(out)
    }

    #[test]
    fn moments_are_read() {
        let more = [
            ("2024-01-01\n", "2024-01-01T00:00:00.000Z"),
            ("2024-01-01T10:20:30.123456789Z", "2024-01-01T10:20:30.123Z"),
            ("2024-01-01T10:20:30.1234567890123456789Z", "2024-01-01T10:20:30.123Z"),
        ];
        for (text, moment) in MOMENTS.into_iter().chain(more) {
            assert_eq!(written(text).as_deref(), Some(moment), "{text}");
        }
    }

    #[test]
    fn days_that_do_not_exist_run_over_without_their_time() {
        for (text, moment) in [
            ("2023-02-29", "2023-03-01T00:00:00.000Z"),
            ("2021-06-31T10:00:00Z", "2021-07-01T00:00:00.000Z"),
            ("9999-04-31T09:45:24:33+01:43", "9999-05-01T00:00:00.000Z"),
            ("0001-09-31T:18", "0001-10-01T00:00:00.000Z"),
        ] {
            assert_eq!(written(text).as_deref(), Some(moment), "{text}");
        }
        assert_eq!(written("2100-11-31\t"), None, "the day stays in the layout");
    }

    /// Recorded with the Go transformer of rudder-server.
    #[test]
    fn digits_that_stay_in_the_layout_are_read_as_fields() {
        for (text, moment) in [
            ("2024-03-22T04:55:36.750203613+01", "2024-01-22T04:55:36.750Z"),
            ("1123-09-31T01:03:20.741+02", "1123-09-02T01:03:20.741Z"),
            ("2024-11-07 17:53:55.097727101+04", "2024-11-07T17:04:55.097Z"),
            ("2000-07-29 01:41:39.291315+05", "2000-07-29T01:41:05.291Z"),
            ("1900-08-31T03:22:27.6+06", "2006-08-31T03:22:27.600Z"),
            ("1900-04-28T23:43:22.191054+07", "1900-04-28T23:43:22.191Z"),
            ("2023-11-29T15:23:14.062-09", "2023-11-29T15:23:14.062Z"),
            ("2023-09-15\n", "2023-09-01T15:00:00.000Z"),
            ("2000-02-09\n+01:43", "2000-01-31T22:17:00.000Z"),
            ("2024-04-06\rZ", "2006-04-01T00:00:00.000Z"),
            ("1313-09-04\t+00:00", "1313-09-01T00:04:00.000Z"),
            ("2024-01-01T:30", "2024-01-01T00:30:00.000Z"),
            ("0481-01-31T:30-02", "0481-01-31T02:30:00.000Z"),
            ("1900-01-29T01:47:00-00:", "1900-01-29T01:47:00.000Z"),
            ("2408-07-31T-04:", "2408-07-31T00:04:00.000Z"),
            ("2023-10-28 01:06:45:40+23:51", "2023-10-27T01:15:45.400Z"),
            ("4571-02-13T00:24:1:35+00:00", "4571-02-13T00:24:01.350Z"),
            ("3264-05-14T21:41:40:04+20", "3264-05-14T01:41:40.040Z"),
        ] {
            assert_eq!(written(text).as_deref(), Some(moment), "{text}");
        }
    }

    #[test]
    fn strings_of_another_shape_are_strings() {
        let more = [
            "2024-01-01T10:20:300",
            "2024-01-01T10:20:30:40Z",
            "2024-06-30\n",
            "2024-01-01T10:20:30.123+11",
            "2024-01-01T10:20:3\u{e9}",
        ];
        for text in NO_MOMENTS.into_iter().chain(more) {
            assert_eq!(written(text), None, "{text}");
        }
    }
}
