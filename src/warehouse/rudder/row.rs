//! A row as RudderStack stages it.

use std::collections::BTreeMap;

use crate::warehouse::{Dialect, datetime};

use super::moment;
use super::value::{Object, Value};

/// Longest string that is not `text` in Redshift, in UTF-16 units.
const REDSHIFT_STRING_UNITS: usize = 512;
/// The type of JSON columns.
const JSON: &str = "json";

/// The ids a merge rule row brings along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// The first id.
    pub one: String,
    /// The second, if there is one.
    pub two: Option<String>,
}

/// One row.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Its table.
    pub table: String,
    /// Names and types of its columns, those of the load time included.
    pub columns: BTreeMap<String, &'static str>,
    /// When the event arrived, as it was spelled.
    pub received_at: String,
    /// Set for merge rules only.
    pub merge: Option<Merge>,
    /// Its values.
    pub data: Object,
}

impl Row {
    /// Appends the row as JSON.
    pub fn write_json(&self, out: &mut String) {
        let text = |text: &str| Value::String(text.to_owned());
        let columns = self.columns.iter().map(|(name, kind)| (name.clone(), text(kind))).collect();
        let mut metadata = Object::from([
            ("table".to_owned(), text(&self.table)),
            ("columns".to_owned(), Value::Object(columns)),
            ("receivedAt".to_owned(), text(&self.received_at)),
        ]);
        if let Some(merge) = &self.merge {
            metadata.insert("isMergeRule".to_owned(), Value::Bool(true));
            metadata.insert("mergePropOne".to_owned(), text(&merge.one));
            if let Some(two) = &merge.two {
                metadata.insert("mergePropTwo".to_owned(), text(two));
            }
        }
        let row = Object::from([
            ("metadata".to_owned(), Value::Object(metadata)),
            ("data".to_owned(), Value::Object(self.data.clone())),
        ]);
        Value::Object(row).write_json(out);
    }
}

/// Values and types that a row is put together from.
#[derive(Clone, Debug, Default)]
pub(super) struct Cells {
    pub(super) data: Object,
    pub(super) types: BTreeMap<String, &'static str>,
}

impl Cells {
    pub(super) fn put(&mut self, column: &str, value: Value, kind: &'static str) {
        self.data.insert(column.to_owned(), in_type(value, kind));
        self.types.insert(column.to_owned(), kind);
    }

    pub(super) fn remove(&mut self, column: &str) {
        self.data.remove(column);
        self.types.remove(column);
    }

    /// These cells, and `over` where both have a column.
    pub(super) fn with(&self, over: &Self) -> Self {
        let mut both = self.clone();
        both.data.extend(over.data.clone());
        both.types.extend(over.types.iter().map(|(name, kind)| (name.clone(), *kind)));
        both
    }
}

/// A value of a datetime column is written as the moment it is.
fn in_type(value: Value, kind: &str) -> Value {
    let moment = value.as_str().filter(|_| kind == "datetime").and_then(moment::read);
    let Some(moment) = moment else { return value };
    let mut out = String::new();
    datetime::write_millis(moment, &mut out);
    Value::String(out)
}

/// The type of a value. `is_json` says that a `jsonPaths` entry names it.
pub(super) fn type_of(dialect: Dialect, value: &Value, is_json: bool) -> &'static str {
    match value {
        Value::Number(number) if number.fract() == 0.0 => "int",
        Value::Number(_) => "float",
        Value::Bool(_) => "boolean",
        Value::String(text) if moment::read(text).is_some() => "datetime",
        _ => match dialect {
            Dialect::Postgres | Dialect::Snowflake | Dialect::Redshift if is_json => JSON,
            Dialect::Redshift if is_long(value) => "text",
            _ => "string",
        },
    }
}

fn is_long(value: &Value) -> bool {
    let units = |text: &str| text.encode_utf16().count();
    match value {
        Value::String(text) => units(text) > REDSHIFT_STRING_UNITS,
        Value::Array(_) | Value::Object(_) => units(&value.to_json()) > REDSHIFT_STRING_UNITS,
        _ => false,
    }
}

/// The type of the whole event's column.
pub(super) const fn full_event_type(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres | Dialect::Snowflake => JSON,
        Dialect::Redshift => "text",
        _ => "string",
    }
}
