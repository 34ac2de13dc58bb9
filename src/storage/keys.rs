//! The name of every object that counts in the lake, formed and parsed here and nowhere else.
//!
//! Keys are relative to the lake's address. A part of a key is made of ASCII letters, digits, `_`,
//! `-` and `.` and does not start with `.`: such names survive every store, file system and URL,
//! and can never be read as a `key=value` folder. See docs/warehouse-layout.md for the layout.

use std::fmt;

use super::Error;
use crate::clock::Timestamp;

/// Longest part of a key, in bytes: the limit of common file systems for a name.
pub const PART_BYTES_MAX: usize = 255;

/// Digits of a batch number in a key, so that keys sort as the numbers do.
const NUMBER_DIGITS: usize = 20;

/// One part of a key: a schema, a table, an environment, a writer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part(String);

impl Part {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`Error::KeyPart`] if it is empty, too long, or holds a character that keys may not have.
    pub fn new(text: &str) -> Result<Self, Error> {
        let fits = (1..=PART_BYTES_MAX).contains(&text.len())
            && !text.starts_with('.')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if fits { Ok(Self(text.into())) } else { Err(Error::KeyPart { part: text.into() }) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a batch within its writer's chain; the first is 1.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Number(pub u64);

impl Number {
    /// The first of a chain.
    pub const FIRST: Self = Self(1);

    /// The one after.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$}", self.0, width = NUMBER_DIGITS)
    }
}

/// The folder of one table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableFolder {
    /// A table of a source's schema.
    Source {
        /// The schema.
        schema: Part,
        /// The table.
        table: Part,
    },
    /// A unified table of an environment.
    Unified {
        /// The environment.
        environment: Part,
        /// The table's name.
        name: Part,
        /// Which filling of it.
        generation: u32,
    },
}

impl TableFolder {
    /// What a manifest calls the schema of the folder's files.
    #[must_use]
    pub fn schema_name(&self) -> String {
        match self {
            Self::Source { schema, .. } => schema.0.clone(),
            Self::Unified { environment, .. } => format!("unified_{environment}"),
        }
    }

    /// What a manifest calls the table of the folder's files.
    #[must_use]
    pub fn table_name(&self) -> &str {
        match self {
            Self::Source { table, .. } => &table.0,
            Self::Unified { name, .. } => &name.0,
        }
    }

    /// Reads the key of a folder.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let parts: Vec<&str> = key.split('/').collect();
        match parts.as_slice() {
            ["rudder-datalake", schema, table] => Some(Self::Source {
                schema: Part::new(schema).ok()?,
                table: Part::new(table).ok()?,
            }),
            ["unified", environment, name, generation] => Some(Self::Unified {
                environment: Part::new(environment).ok()?,
                name: Part::new(name).ok()?,
                generation: canonical(generation.strip_prefix('v')?)?,
            }),
            _ => None,
        }
    }
}

impl fmt::Display for TableFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source { schema, table } => write!(f, "rudder-datalake/{schema}/{table}"),
            Self::Unified { environment, name, generation } => {
                write!(f, "unified/{environment}/{name}/v{generation}")
            }
        }
    }
}

/// A UTC hour of arrival, as hours since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub i64);

impl Hour {
    /// The hour that `at` lies in.
    #[must_use]
    pub const fn of(at: Timestamp) -> Self {
        Self(at.hour())
    }

    /// Its first moment.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        Timestamp::from_micros(self.0.saturating_mul(3_600_000_000))
    }

    /// Reads `YYYY/MM/DD/HH`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let shape = bytes.len() == 13
            && bytes.iter().enumerate().all(|(at, b)| match at {
                4 | 7 | 10 => *b == b'/',
                _ => b.is_ascii_digit(),
            });
        if !shape {
            return None;
        }
        let number = |from: usize, to: usize| text.get(from..to)?.parse::<i16>().ok();
        let (month, day) = (i8::try_from(number(5, 7)?).ok()?, i8::try_from(number(8, 10)?).ok()?);
        let date = jiff::civil::Date::new(number(0, 4)?, month, day).ok()?;
        let hour = i8::try_from(number(11, 13)?).ok()?;
        let time = jiff::civil::Time::new(hour, 0, 0, 0).ok()?;
        let moment = date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(Self(moment.timestamp().as_second().div_euclid(3_600)))
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.saturating_mul(3_600).clamp(0, 253_370_764_800);
        let moment = jiff::Timestamp::from_second(seconds).map_err(|_| fmt::Error)?;
        write!(f, "{}", moment.strftime("%Y/%m/%d/%H"))
    }
}

/// A data file: `<folder>/<YYYY>/<MM>/<DD>/<HH>/<writer>-<number>-<part>.parquet`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataFile {
    /// The table.
    pub folder: TableFolder,
    /// The hour of arrival of its batch.
    pub hour: Hour,
    /// Who wrote it.
    pub writer: Part,
    /// In which batch.
    pub number: Number,
    /// Which of the batch's files of this table, from 0.
    pub part: u32,
}

impl DataFile {
    /// Reads a key.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let (rest, file) = key.rsplit_once('/')?;
        let at = rest.len().checked_sub(14)?;
        let (folder, hour) = (rest.get(..at)?, rest.get(at..)?.strip_prefix('/')?);
        let (rest, part) = file.strip_suffix(".parquet")?.rsplit_once('-')?;
        let (writer, number) = rest.rsplit_once('-')?;
        Some(Self {
            folder: TableFolder::parse(folder)?,
            hour: Hour::parse(hour)?,
            writer: Part::new(writer).ok()?,
            number: padded(number)?,
            part: canonical(part)?,
        })
    }
}

impl fmt::Display for DataFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, hour, writer, number, part } = self;
        write!(f, "{folder}/{hour}/{writer}-{number}-{part}.parquet")
    }
}

/// What every object of ours is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A data file.
    Data(DataFile),
    /// What the lake is: format and dialect.
    Lake,
    /// What a batch will be, written before anything of it is visible.
    Plan(Part, Number),
    /// What a batch is: the commit point.
    Manifest(Part, Number),
    /// A version of a table's columns.
    Schema(TableFolder, u64),
    /// What tells one privacy key from another.
    PrivacyKey(u32),
}

impl Key {
    /// Reads a key.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let Some(own) = key.strip_prefix("_keelrow/") else {
            return DataFile::parse(key).map(Self::Data);
        };
        if own == "lake.json" {
            return Some(Self::Lake);
        }
        let (kind, rest) = own.strip_suffix(".json")?.split_once('/')?;
        if kind == "keys" {
            return canonical(rest).map(Self::PrivacyKey);
        }
        let (middle, last) = rest.rsplit_once('/')?;
        match kind {
            "plans" => Some(Self::Plan(Part::new(middle).ok()?, padded(last)?)),
            "batches" => Some(Self::Manifest(Part::new(middle).ok()?, padded(last)?)),
            "schemas" => Some(Self::Schema(TableFolder::parse(middle)?, canonical(last)?)),
            _ => None,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(file) => file.fmt(f),
            Self::Lake => f.write_str("_keelrow/lake.json"),
            Self::Plan(writer, number) => write!(f, "_keelrow/plans/{writer}/{number}.json"),
            Self::Manifest(writer, number) => write!(f, "_keelrow/batches/{writer}/{number}.json"),
            Self::Schema(folder, version) => write!(f, "_keelrow/schemas/{folder}/{version}.json"),
            Self::PrivacyKey(id) => write!(f, "_keelrow/keys/{id}.json"),
        }
    }
}

/// Folders to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// The manifests of every writer.
    Manifests,
    /// The schema versions of every table.
    Schemas,
    /// The schema versions of the tables of a source's schema.
    SchemasOf(Part),
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifests => f.write_str("_keelrow/batches/"),
            Self::Schemas => f.write_str("_keelrow/schemas/"),
            Self::SchemasOf(schema) => write!(f, "_keelrow/schemas/rudder-datalake/{schema}/"),
        }
    }
}

/// A number spelled in one way only: no sign, no leading zero.
fn canonical<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    let number: T = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn padded(text: &str) -> Option<Number> {
    let number = Number(text.parse().ok()?);
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Part {
        Part::new(text).unwrap()
    }

    fn event_file() -> DataFile {
        DataFile {
            folder: TableFolder::Source { schema: part("mm_prod"), table: part("tracks") },
            hour: Hour::parse("2026/11/21/10").unwrap(),
            writer: part("node-1"),
            number: Number(42),
            part: 0,
        }
    }

    #[test]
    fn every_key_is_read_back_as_it_was_formed() {
        let unified = TableFolder::Unified {
            environment: part("prod"),
            name: part("user_events"),
            generation: 2,
        };
        let cases = [
            (
                Key::Data(event_file()),
                "rudder-datalake/mm_prod/tracks/2026/11/21/10/node-1-00000000000000000042-0.parquet",
            ),
            (
                Key::Data(DataFile { folder: unified.clone(), part: 12, ..event_file() }),
                "unified/prod/user_events/v2/2026/11/21/10/node-1-00000000000000000042-12.parquet",
            ),
            (Key::Lake, "_keelrow/lake.json"),
            (Key::Plan(part("n"), Number(1)), "_keelrow/plans/n/00000000000000000001.json"),
            (
                Key::Manifest(part("n"), Number(u64::MAX)),
                "_keelrow/batches/n/18446744073709551615.json",
            ),
            (Key::Schema(unified, 7), "_keelrow/schemas/unified/prod/user_events/v2/7.json"),
            (Key::PrivacyKey(1), "_keelrow/keys/1.json"),
        ];
        for (key, text) in cases {
            assert_eq!(key.to_string(), text);
            assert_eq!(Key::parse(text), Some(key), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_key_of_ours_is_refused() {
        for text in [
            "",
            "_keelrow/plans/n/1.json",
            "_keelrow/schemas/unified/prod/x/v2/07.json",
            "_keelrow/schemas/unified/prod/x/v+2/7.json",
            "rudder-datalake/a/b/2026/11/31/10/n-00000000000000000001-0.parquet",
            "rudder-datalake/a/b/2026/11/21/24/n-00000000000000000001-0.parquet",
            "rudder-datalake/a/b/2026/11/21/10/n-00000000000000000001.parquet",
            "rudder-datalake/a/b/2026/11/21/10/-00000000000000000001-0.parquet",
            "rudder-datalake/a/é/2026/11/21/10/n-00000000000000000001-0.parquet",
            "rudder-datalake/a/../2026/11/21/10/n-00000000000000000001-0.parquet",
        ] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }

    #[test]
    fn parts_that_stores_disagree_about_are_refused() {
        for text in ["", ".", "..", ".x", "a/b", "a=b", "a b", "a%2F", "é", "\0"] {
            assert!(Part::new(text).is_err(), "{text:?}");
        }
        assert!(Part::new(&"a".repeat(256)).is_err());
        assert!(Part::new(&"a".repeat(255)).is_ok());
    }
}
