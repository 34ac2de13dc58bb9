//! Sizes, spans of time and rates as the configuration spells them: text with a unit.
//!
//! Knows nothing of where the text stands; `crate::config` adds that to a fault.

use std::time::Duration;

/// The text is not a whole number followed by a unit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {wanted}")]
pub struct Error {
    /// What it should have been, with an example.
    pub wanted: &'static str,
}

const BYTES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Units of time in microseconds.
const TIMES: &[(&str, u64)] = &[
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// Reads a size such as `16MiB`.
///
/// # Errors
/// [`Error`] for anything but a whole number with one of B, KB, MB, GB, TB, KiB, MiB, GiB, TiB.
pub fn parse_bytes(text: &str) -> Result<u64, Error> {
    parse(text, BYTES).ok_or(Error { wanted: "a size with a unit, such as \"16MiB\"" })
}

/// Reads a span of time such as `250ms`.
///
/// # Errors
/// [`Error`] for anything but a whole number with one of us, ms, s, m, h, d.
pub fn parse_duration(text: &str) -> Result<Duration, Error> {
    parse(text, TIMES)
        .map(Duration::from_micros)
        .ok_or(Error { wanted: "a time with a unit, such as \"250ms\" or \"24h\"" })
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'_').count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.replace('_', "").parse().ok()?;
    let (_, size) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.checked_mul(*size)
}

/// Spells a size with the largest unit that divides it.
#[must_use]
pub fn show_bytes(bytes: u64) -> String {
    let unit = BYTES
        .iter()
        .filter(|(name, size)| name.len() != 2 && bytes >= *size && bytes.is_multiple_of(*size))
        .max_by_key(|(_, size)| size);
    unit.map_or_else(|| format!("{bytes}B"), |(name, size)| format!("{}{name}", bytes / size))
}

/// Spells a span of time with the largest unit that divides it, at best `us`.
#[must_use]
pub fn show_duration(time: Duration) -> String {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    if micros == 0 {
        return "0s".to_owned();
    }
    let unit = TIMES.iter().rev().find(|(_, size)| micros.is_multiple_of(*size));
    unit.map_or_else(|| format!("{micros}us"), |(name, size)| format!("{}{name}", micros / size))
}

/// So many events in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; at least one.
    pub events: u32,
    /// In which time; a second, a minute or an hour.
    pub per: Duration,
}

impl Rate {
    /// Reads a rate such as `1000/s`, `500/m`, `100/h`.
    ///
    /// # Errors
    /// [`Error`] for anything else, and for zero.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let error = Error { wanted: "a rate such as \"1000/s\", \"500/m\" or \"100/h\"" };
        let Some((events, per)) = text.trim().split_once('/') else { return Err(error) };
        let per = match per.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return Err(error),
        };
        let Ok(events) = events.trim().replace('_', "").parse::<u32>() else { return Err(error) };
        if events == 0 {
            return Err(error);
        }
        Ok(Self { events, per: Duration::from_secs(per) })
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let per = match self.per.as_secs() {
            60 => "m",
            3_600 => "h",
            _ => "s",
        };
        write!(f, "{}/{per}", self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print_back() {
        for (text, bytes) in [
            ("16MiB", 16 << 20),
            ("20GiB", 20 << 30),
            ("0B", 0),
            ("1KB", 1_000),
            ("1_024 B", 1_024),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
            assert_eq!(parse_bytes(&show_bytes(bytes)), Ok(bytes), "{text}");
        }
        assert_eq!(show_bytes(16 << 20), "16MiB");
        for text in ["", "16", "MiB", "-1B", "1.5MiB", "16mib", "99999999TiB", "16MiBs"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_read_and_print_back() {
        for (text, micros) in [
            ("0s", 0),
            ("0ms", 0),
            ("250ms", 250_000),
            ("24h", 86_400_000_000),
            ("5m", 300_000_000),
        ] {
            let time = parse_duration(text).unwrap();
            assert_eq!(time, Duration::from_micros(micros), "{text}");
            assert_eq!(parse_duration(&show_duration(time)), Ok(time), "{text}");
        }
        assert_eq!(show_duration(Duration::from_secs(75)), "75s");
        for text in ["", "5", "s", "1h30m", "-1s", "5 min", "1.5s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_read_and_print_back() {
        let rate = Rate::parse("1_000/s").unwrap();
        assert_eq!((rate.events, rate.per), (1_000, Duration::from_secs(1)));
        for text in ["1000/s", "5/m", "7/h"] {
            assert_eq!(Rate::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "1000", "0/s", "1/d", "/s", "x/s", "-1/s"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }
}
