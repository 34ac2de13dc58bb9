//! The types of columns in each dialect's own words.

use super::{ColumnType, Dialect};

/// Longest string that a Redshift column takes, in bytes.
const REDSHIFT_STRING_BYTES_MAX: u32 = 65_535;
/// Strings of unknown length get at least this; the registry counts from here too.
const STRING_BYTES_MIN: u32 = 256;

/// Strings with few values over many rows: what the event is and where it came from.
const FEW: [&str; 10] = [
    "event",
    "event_text",
    "type",
    "environment",
    "platform",
    "source_name",
    "context_source_id",
    "context_source_type",
    "_source_schema",
    "_source_table",
];

/// What is known of a column when its table is made.
#[derive(Clone, Copy, Debug)]
pub struct Column<'c> {
    /// Its name, lower case.
    pub name: &'c str,
    /// Its logical type.
    pub kind: ColumnType,
    /// Bytes of the longest string so far; `None` if nobody knows.
    pub string_bytes: Option<u32>,
    /// It is never null.
    pub is_required: bool,
}

/// The type of `column` as `dialect` writes it in a `CREATE TABLE`, without constraints.
///
/// The names are RudderStack's, so that tables it made fit; but ClickHouse gets `DateTime64(6)`
/// where RudderStack has `DateTime`, which cannot hold a fraction of a second.
#[must_use]
pub fn type_name(dialect: Dialect, column: &Column<'_>) -> String {
    match dialect {
        Dialect::Clickhouse => clickhouse(column),
        Dialect::Redshift if column.kind == ColumnType::String => {
            let bytes = column.string_bytes.unwrap_or(REDSHIFT_STRING_BYTES_MAX);
            // A power of two, so that a slightly longer string is not another column; Redshift's
            // limit is one less than a power of two.
            let room = bytes.max(STRING_BYTES_MIN).checked_next_power_of_two();
            let room = room.unwrap_or(u32::MAX).min(REDSHIFT_STRING_BYTES_MAX);
            format!("varchar({room})")
        }
        _ => plain(dialect, column.kind).to_owned(),
    }
}

const fn plain(dialect: Dialect, kind: ColumnType) -> &'static str {
    use ColumnType as Type;
    match (dialect, kind) {
        (Dialect::Postgres | Dialect::Redshift | Dialect::Datalake, Type::Int) => "bigint",
        (Dialect::Snowflake, Type::Int) => "number",
        (Dialect::Bigquery, Type::Int) => "INTEGER",
        (Dialect::Databricks, Type::Int) => "BIGINT",
        (Dialect::Clickhouse, Type::Int) => "Int64",
        (Dialect::Postgres, Type::Float) => "numeric",
        (Dialect::Redshift | Dialect::Snowflake, Type::Float) => "double precision",
        (Dialect::Bigquery, Type::Float) => "FLOAT",
        (Dialect::Databricks, Type::Float) => "DOUBLE",
        (Dialect::Datalake, Type::Float) => "double",
        (Dialect::Clickhouse, Type::Float) => "Float64",
        (Dialect::Redshift, Type::Boolean) => "boolean encode runlength",
        (Dialect::Bigquery | Dialect::Databricks, Type::Boolean) => "BOOLEAN",
        (Dialect::Clickhouse, Type::Boolean) => "UInt8",
        (_, Type::Boolean) => "boolean",
        (Dialect::Postgres, Type::Datetime) => "timestamptz",
        (Dialect::Snowflake, Type::Datetime) => "timestamp_tz",
        (Dialect::Bigquery | Dialect::Databricks, Type::Datetime) => "TIMESTAMP",
        (Dialect::Redshift | Dialect::Datalake, Type::Datetime) => "timestamp",
        (Dialect::Clickhouse, Type::Datetime) => "DateTime64(6)",
        (Dialect::Postgres, Type::String) => "text",
        (Dialect::Bigquery | Dialect::Databricks, Type::String) => "STRING",
        (Dialect::Clickhouse, Type::String) => "String",
        (Dialect::Redshift | Dialect::Snowflake | Dialect::Datalake, Type::String) => "varchar",
        (Dialect::Bigquery | Dialect::Databricks, Type::Date) => "DATE",
        (Dialect::Clickhouse, Type::Date) => "Date32",
        (_, Type::Date) => "date",
    }
}

/// ClickHouse says in the type itself whether there may be nulls.
fn clickhouse(column: &Column<'_>) -> String {
    let kind = plain(Dialect::Clickhouse, column.kind);
    let few = column.kind == ColumnType::String && FEW.contains(&column.name);
    match (few, column.is_required) {
        (true, true) => "LowCardinality(String)".to_owned(),
        (true, false) => "LowCardinality(Nullable(String))".to_owned(),
        (false, true) => kind.to_owned(),
        (false, false) => format!("Nullable({kind})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(bytes: u32) -> Column<'static> {
        Column {
            name: "a",
            kind: ColumnType::String,
            string_bytes: Some(bytes),
            is_required: false,
        }
    }

    #[test]
    fn strings_get_the_room_they_need() {
        let room = |bytes| type_name(Dialect::Redshift, &string(bytes));
        assert_eq!(room(0), "varchar(256)");
        assert_eq!(room(257), "varchar(512)");
        assert_eq!(room(40_000), "varchar(65535)");
        assert_eq!(room(u32::MAX), "varchar(65535)");
        assert_eq!(type_name(Dialect::Postgres, &string(9)), "text");
    }

    #[test]
    fn clickhouse_says_what_may_be_null() {
        let event = Column { name: "event", is_required: false, ..string(1) };
        assert_eq!(type_name(Dialect::Clickhouse, &event), "LowCardinality(Nullable(String))");
        let id = Column { name: "id", is_required: true, ..string(1) };
        assert_eq!(type_name(Dialect::Clickhouse, &id), "String");
        let at = Column { kind: ColumnType::Datetime, ..string(1) };
        assert_eq!(type_name(Dialect::Clickhouse, &at), "Nullable(DateTime64(6))");
    }

    #[test]
    fn every_dialect_names_every_type() {
        let kinds = [
            ColumnType::Int,
            ColumnType::Float,
            ColumnType::Boolean,
            ColumnType::Datetime,
            ColumnType::String,
            ColumnType::Date,
        ];
        for dialect in Dialect::ALL {
            let mut names: Vec<String> = kinds
                .iter()
                .map(|kind| type_name(dialect, &Column { kind: *kind, ..string(1) }))
                .collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), kinds.len(), "{dialect}: {names:?}");
        }
    }
}
