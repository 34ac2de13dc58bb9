//! The columns of a table, version by version, as the registry keeps them.
//!
//! A schema only widens: columns are added at the end, never retyped, reordered or dropped, and the
//! longest string of a column only grows. The JSON form is the content of
//! `_keelrow/schemas/<folder>/<version>.json`.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::warehouse::ColumnType;

/// Smallest bound of a string column in bytes, so that short values do not make many versions.
const TEXT_BYTES_MIN: u64 = 256;

/// The version of the JSON form.
const FORMAT: u32 = 1;

/// One version of a table's columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Json", into = "Json")]
pub struct Schema {
    /// Counts from 1; 0 is a table that was never written.
    pub version: u64,
    /// The columns in their order in every file.
    pub columns: Vec<Column>,
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Lower-case name, unique in the table.
    pub name: String,
    /// Its type, for ever.
    pub column_type: ColumnType,
    /// True if no file has a null in it.
    pub required: bool,
    /// The batch time of the first batch that held it.
    pub first_seen: Timestamp,
    /// For strings, a power of two, at least 256, that no value passes, in bytes; else 0.
    pub max_bytes: u64,
}

/// The JSON form says something that no schema can be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A later program wrote it.
    #[error("schema has format {format}, this program knows {FORMAT}")]
    Format {
        /// The format it has.
        format: u32,
    },
    /// No such type.
    #[error("column {column} has the unknown type {column_type}")]
    Type {
        /// The column.
        column: String,
        /// Its type as written.
        column_type: String,
    },
    /// A name comes twice.
    #[error("column {column} comes twice")]
    Twice {
        /// The column.
        column: String,
    },
    /// A time that is none.
    #[error("column {column} has a first_seen that is no time")]
    Time {
        /// The column.
        column: String,
    },
}

impl Schema {
    /// The schema of a table that does not exist yet.
    #[must_use]
    pub const fn empty() -> Self {
        Self { version: 0, columns: Vec::new() }
    }

    /// The column `name`, exactly as spelled.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column whose values of another type the variant column `name` holds; `None` if it is
    /// none. The base of a long name was cut to make room for the type.
    #[must_use]
    pub fn base_of_variant(&self, name: &str) -> Option<&Column> {
        let base = base_of_variant(self.columns.iter().map(|column| column.name.as_str()), name)?;
        self.column(base)
    }

    /// True if every file of `older` can be read by this schema: the same columns in the same
    /// places with the same types, perhaps wider, perhaps with more behind them.
    #[must_use]
    pub fn widens(&self, older: &Self) -> bool {
        self.version >= older.version
            && self.columns.len() >= older.columns.len()
            && self.columns.iter().zip(&older.columns).all(|(new, old)| {
                new.name == old.name
                    && new.column_type == old.column_type
                    && new.required == old.required
                    && new.first_seen == old.first_seen
                    && new.max_bytes >= old.max_bytes
            })
    }
}

/// As [`Schema::base_of_variant`], among the names of a table's columns.
pub fn base_of_variant<'c>(
    mut columns: impl Iterator<Item = &'c str> + Clone,
    name: &str,
) -> Option<&'c str> {
    let (base, of) = name.rsplit_once("__")?;
    // Only leading underscores are doubled in names that come from keys.
    if type_of(of).is_none() || base.bytes().all(|byte| byte == b'_') {
        return None;
    }
    let mut exact = columns.clone();
    let cut = || columns.find(|column| column.starts_with(base));
    exact.find(|column| *column == base).or_else(cut).filter(|column| *column != name)
}

/// The bound that is kept for a string of `bytes` bytes.
pub(super) const fn text_bound(bytes: u64) -> u64 {
    if bytes <= TEXT_BYTES_MIN { TEXT_BYTES_MIN } else { bytes.next_power_of_two() }
}

/// The name of a type: in variant columns, in the registry, in `[[column]]`.
#[must_use]
pub const fn type_name(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Int => "int",
        ColumnType::Float => "float",
        ColumnType::Boolean => "boolean",
        ColumnType::Datetime => "datetime",
        ColumnType::String => "string",
        ColumnType::Date => "date",
    }
}

/// The type of that name.
#[must_use]
pub fn type_of(name: &str) -> Option<ColumnType> {
    Some(match name {
        "int" => ColumnType::Int,
        "float" => ColumnType::Float,
        "boolean" => ColumnType::Boolean,
        "datetime" => ColumnType::Datetime,
        "string" => ColumnType::String,
        "date" => ColumnType::Date,
        _ => return None,
    })
}

#[derive(Clone, Serialize, Deserialize)]
struct Json {
    format: u32,
    version: u64,
    columns: Vec<JsonColumn>,
}

#[derive(Clone, Serialize, Deserialize)]
struct JsonColumn {
    name: String,
    #[serde(rename = "type")]
    column_type: String,
    #[serde(default, skip_serializing_if = "is_false")]
    required: bool,
    first_seen: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    max_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl From<Schema> for Json {
    fn from(schema: Schema) -> Self {
        let columns = schema.columns.into_iter().map(|column| JsonColumn {
            name: column.name,
            column_type: type_name(column.column_type).to_owned(),
            required: column.required,
            first_seen: spell(column.first_seen),
            max_bytes: column.max_bytes,
        });
        Self { format: FORMAT, version: schema.version, columns: columns.collect() }
    }
}

impl TryFrom<Json> for Schema {
    type Error = SchemaError;

    fn try_from(json: Json) -> Result<Self, SchemaError> {
        if json.format != FORMAT {
            return Err(SchemaError::Format { format: json.format });
        }
        let mut names = std::collections::HashSet::new();
        let mut columns = Vec::with_capacity(json.columns.len());
        for column in json.columns {
            if !names.insert(column.name.clone()) {
                return Err(SchemaError::Twice { column: column.name });
            }
            let Some(column_type) = type_of(&column.column_type) else {
                let JsonColumn { name, column_type, .. } = column;
                return Err(SchemaError::Type { column: name, column_type });
            };
            let Some(first_seen) = read_time(&column.first_seen) else {
                return Err(SchemaError::Time { column: column.name });
            };
            columns.push(Column {
                name: column.name,
                column_type,
                required: column.required,
                first_seen,
                max_bytes: column.max_bytes,
            });
        }
        Ok(Self { version: json.version, columns })
    }
}

/// RFC 3339 with as many fraction digits as needed.
fn spell(time: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(time.micros()).unwrap_or_default().to_string()
}

fn read_time(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|time| Timestamp::from_micros(time.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, column_type: ColumnType) -> Column {
        Column {
            name: name.to_owned(),
            column_type,
            required: name == "id",
            first_seen: Timestamp::from_millis(1_763_719_200_123),
            max_bytes: if column_type == ColumnType::String { 256 } else { 0 },
        }
    }

    #[test]
    fn json_says_all_and_reads_back() {
        let schema = Schema {
            version: 7,
            columns: vec![column("id", ColumnType::String), column("price", ColumnType::Float)],
        };
        let json = serde_json::to_string(&schema).unwrap();
        assert_eq!(
            json,
            r#"{"format":1,"version":7,"columns":[{"name":"id","type":"string","required":true,"first_seen":"2025-11-21T10:00:00.123Z","max_bytes":256},{"name":"price","type":"float","first_seen":"2025-11-21T10:00:00.123Z"}]}"#
        );
        assert_eq!(serde_json::from_str::<Schema>(&json).unwrap(), schema);
    }

    #[test]
    fn wrong_json_says_what_is_wrong() {
        for (json, text) in [
            (r#"{"format":2,"version":1,"columns":[]}"#, "format 2"),
            (
                r#"{"format":1,"version":1,"columns":[{"name":"a","type":"text","first_seen":"2025-11-21T10:00:00Z"}]}"#,
                "unknown type text",
            ),
            (
                r#"{"format":1,"version":1,"columns":[{"name":"a","type":"int","first_seen":"then"}]}"#,
                "no time",
            ),
            (
                r#"{"format":1,"version":1,"columns":[{"name":"a","type":"int","first_seen":"2025-11-21T10:00:00Z"},{"name":"a","type":"int","first_seen":"2025-11-21T10:00:00Z"}]}"#,
                "twice",
            ),
        ] {
            let error = serde_json::from_str::<Schema>(json).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn schema_only_widens() {
        let old = Schema { version: 1, columns: vec![column("id", ColumnType::String)] };
        let mut new = old.clone();
        new.version = 2;
        new.columns.push(column("price", ColumnType::Int));
        new.columns[0].max_bytes = 512;
        assert!(new.widens(&old) && old.widens(&Schema::empty()));
        assert!(!old.widens(&new));
        let mut retyped = new.clone();
        retyped.columns[1].column_type = ColumnType::Float;
        assert!(!retyped.widens(&new));
        let mut reordered = new.clone();
        reordered.columns.swap(0, 1);
        assert!(!reordered.widens(&new));
        let mut narrower = new.clone();
        narrower.columns[0].max_bytes = 256;
        assert!(!narrower.widens(&new));
    }

    #[test]
    fn text_bounds_are_powers_of_two() {
        for (bytes, bound) in [(0, 256), (256, 256), (257, 512), (512, 512), (3_000_000, 4_194_304)]
        {
            assert_eq!(text_bound(bytes), bound);
        }
    }
}
