//! What RudderStack's loader does with staged rows: schemas of an upload, values that do not fit.
//!
//! Kept as a record of what a migrant's existing tables went through, proved by vectors; `serve`
//! loses nothing and needs none of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::warehouse::Dialect;
use crate::warehouse::rules::MERGE_COLUMNS;

use super::go_time::{self, Read};
use super::quote::quoted;
use super::value::{Value, write_general};

/// Types of columns by name.
pub type Columns = BTreeMap<String, String>;
/// Columns of tables by name.
pub type Schema = BTreeMap<String, Columns>;

/// What becomes of a value whose type is not its column's.
#[derive(Clone, Debug, PartialEq)]
pub enum Converted {
    /// It is stored like this.
    Stored(Value),
    /// The cell stays empty and nobody is told.
    Empty,
    /// The cell stays empty and a row goes to `rudder_discards`.
    Discarded {
        /// `rudder_discards.reason`
        reason: String,
        /// `rudder_discards.column_value`
        value: String,
    },
}

/// Fits a value of `event_type` into a column of `schema_type`.
#[must_use]
pub fn convert(schema_type: &str, event_type: &str, value: &Value) -> Converted {
    let is_int = matches!(event_type, "int" | "bigint");
    let value = if is_int {
        match value {
            Value::Number(number) => Staged::Int(wrap(*number)),
            _ => return Converted::Empty,
        }
    } else {
        Staged::Other(value)
    };
    if schema_type == event_type {
        return Converted::Stored(value.json());
    }
    let stored = match (schema_type, event_type, value) {
        ("string" | "text", "string" | "text" | "json", _) => value.json(),
        ("string" | "text", ..) => Value::String(value.printed()),
        ("float", "int" | "bigint", _) => value.json(),
        #[expect(clippy::cast_precision_loss, reason = "it prints as the 64-bit integer it is")]
        ("int" | "bigint", "float", Staged::Other(Value::Number(number))) => {
            Value::Number(wrap(*number) as f64)
        }
        ("json", "int" | "float" | "boolean", _) => Value::String(value.printed()),
        ("json", _, Staged::Other(array @ Value::Array(_))) => array.clone(),
        ("json", ..) => Value::String(quoted(&value.printed())),
        _ => {
            return Converted::Discarded {
                reason: format!(
                    "incompatible schema conversion from {schema_type} to {event_type}"
                ),
                value: value.printed(),
            };
        }
    };
    Converted::Stored(stored)
}

/// A value as it was read from a staging file.
#[derive(Clone, Copy)]
enum Staged<'v> {
    Int(i64),
    Other(&'v Value),
}

impl Staged<'_> {
    fn json(self) -> Value {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "whole numbers come from doubles")]
            Self::Int(int) => Value::Number(int as f64),
            Self::Other(value) => value.clone(),
        }
    }

    fn printed(self) -> String {
        match self {
            Self::Int(int) => int.to_string(),
            Self::Other(Value::Number(number)) => {
                let mut out = String::new();
                write_general(*number, &mut out);
                out
            }
            Self::Other(value) => {
                let mut out = String::new();
                value.write_printed(&mut out);
                out
            }
        }
    }
}

/// The integer that a conversion of a double yields on 64-bit Intel machines: what is out of range
/// becomes the smallest.
fn wrap(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if !(-LIMIT..LIMIT).contains(&number) {
        return i64::MIN;
    }
    #[expect(clippy::cast_possible_truncation, reason = "within range, and the fraction is to go")]
    let whole = number.trunc() as i64;
    whole
}

/// The value a Parquet cell gets for one of a staging file, `None` for null: only the very kind of
/// the column's type is taken. `is_int` tells a whole number that was staged as an integer.
#[must_use]
pub fn parquet(column_type: &str, value: &Value, is_int: bool) -> Option<Value> {
    match (column_type, value) {
        ("int" | "bigint", Value::Number(_)) if is_int => Some(value.clone()),
        ("float", Value::Number(_)) if !is_int => Some(value.clone()),
        ("boolean", Value::Bool(_)) | ("string" | "text", Value::String(_)) => Some(value.clone()),
        ("datetime", Value::String(text)) => rfc3339(text).map(|micros| {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53 after the year 1")]
            let number = micros as f64;
            Value::Number(number)
        }),
        _ => None,
    }
}

/// The moment of a text that has all of RFC 3339's parts, in microseconds since 1970.
#[must_use]
pub fn rfc3339(text: &str) -> Option<i64> {
    let layout: &[u8] =
        if text.ends_with('Z') { b"2006-01-02T15:04:05Z" } else { b"2006-01-02T15:04:05-07:00" };
    match go_time::read(layout, text.as_bytes()) {
        Read::Moment(second, nanos) => Some(second * 1_000_000 + nanos / 1_000),
        Read::NoSuchDay | Read::Nothing => None,
    }
}

/// Tables and columns of `rudder_discards`, `users` and `identifies` in a dialect's case.
struct Names {
    dialect: Dialect,
}

impl Names {
    fn of(&self, name: &str) -> String {
        self.dialect.cased(name)
    }
}

/// The schema of an upload: what its staging files bring, under what the warehouse already has. With
/// `has_identities` ids are resolved, where they can be.
#[must_use]
pub fn merge_schemas(
    dialect: Dialect,
    staging: &[Schema],
    warehouse: &Schema,
    has_identities: bool,
) -> Schema {
    let names = Names { dialect };
    let mut merged = Schema::new();
    for file in staging {
        for (table, columns) in file {
            let into = merged.entry(table.clone()).or_default();
            for (column, kind) in columns {
                let first = into.entry(column.clone()).or_insert_with(|| kind.clone());
                if kind == "text" {
                    kind.clone_into(first);
                }
            }
        }
    }
    for (table, columns) in &mut merged {
        let existing = warehouse.get(table);
        for (column, kind) in columns.iter_mut() {
            let Some(there) = existing.and_then(|existing| existing.get(column)) else { continue };
            if !(kind == "text" && there == "string") {
                there.clone_into(kind);
            }
        }
    }
    merge_users(&names, &mut merged, warehouse);
    merged.insert(names.of("rudder_discards"), discards(&names));
    if has_identities && matches!(dialect, Dialect::Snowflake | Dialect::Bigquery) {
        merge_identities(&names, &mut merged);
    }
    merged
}

/// Fixes the columns of the merge rules, if there are any, and adds the mappings made of them.
fn merge_identities(names: &Names, merged: &mut Schema) {
    let column = |name: &str, kind: &str| (names.of(name), kind.to_owned());
    let Some(rules) = merged.get_mut(&names.of("rudder_identity_merge_rules")) else { return };
    *rules = MERGE_COLUMNS.iter().map(|name| column(name, "string")).collect();
    let mappings = [
        column("merge_property_type", "string"),
        column("merge_property_value", "string"),
        column("rudder_id", "string"),
        column("updated_at", "datetime"),
    ];
    merged.insert(names.of("rudder_identity_mappings"), mappings.into());
}

/// Gives `users` all columns of `identifies`, and both those that only `users` has had until now.
fn merge_users(names: &Names, merged: &mut Schema, warehouse: &Schema) {
    let [users, identifies] = ["users", "identifies"].map(|name| names.of(name));
    let [id, user_id] = ["id", "user_id"].map(|name| names.of(name));
    let (Some(mut of_users), Some(mut of_identifies)) =
        (merged.get(&users).cloned(), merged.get(&identifies).cloned())
    else {
        return;
    };
    of_users.extend(of_identifies.clone());
    let known = warehouse.get(&identifies);
    for (column, kind) in warehouse.get(&users).into_iter().flatten() {
        if !known.is_some_and(|known| known.contains_key(column)) {
            of_users.insert(column.clone(), kind.clone());
            of_identifies.insert(column.clone(), kind.clone());
        }
    }
    // Without a user_id the id is left without a type there, too.
    of_users.insert(id, of_identifies.get(&user_id).cloned().unwrap_or_default());
    of_users.remove(&user_id);
    merged.insert(users, of_users);
    merged.insert(identifies, of_identifies);
}

fn discards(names: &Names) -> Columns {
    let mut columns: Columns = crate::warehouse::rules::DISCARD_COLUMNS
        .iter()
        .map(|name| {
            let kind = if *name == "received_at" { "datetime" } else { "string" };
            (names.of(name), kind.to_owned())
        })
        .collect();
    columns.insert(names.of("uuid_ts"), "datetime".to_owned());
    if names.dialect.has_loaded_at() {
        columns.insert("loaded_at".to_owned(), "datetime".to_owned());
    }
    columns
}

/// What must be done to one table of the warehouse before an upload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableDiff {
    /// It is not there yet.
    pub create: bool,
    /// Columns it lacks.
    pub add: Columns,
    /// Strings that are to take long texts.
    pub alter: Columns,
}

/// What must be done to each table of an upload.
#[must_use]
pub fn diff(upload: &Schema, warehouse: &Schema) -> BTreeMap<String, TableDiff> {
    let tables: BTreeSet<&String> = upload.keys().collect();
    let mut all = BTreeMap::new();
    for table in tables {
        let (Some(columns), existing) = (upload.get(table), warehouse.get(table)) else { continue };
        let create = existing.is_none() && !columns.is_empty();
        let mut diff = TableDiff { create, ..TableDiff::default() };
        for (column, kind) in columns {
            match existing.and_then(|existing| existing.get(column)) {
                None => {
                    diff.add.insert(column.clone(), kind.clone());
                }
                Some(there) if there == "string" && kind == "text" => {
                    diff.alter.insert(column.clone(), kind.clone());
                }
                Some(_) => {}
            }
        }
        if diff.create || !diff.add.is_empty() || !diff.alter.is_empty() {
            all.insert(table.clone(), diff);
        }
    }
    all
}
