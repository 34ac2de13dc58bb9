//! The seven warehouses: how they quote, which types they have, what they call common functions.

use crate::warehouse::{self, ColumnType, ddl};

/// Integers up to here are doubles exactly.
const EXACT_MAX: i64 = 9_007_199_254_740_992;

/// Beginnings of names that BigQuery takes for no column, by its manual.
const BIGQUERY_PREFIXES: [&str; 9] = [
    "_table_",
    "_file_",
    "_partition",
    "_row_timestamp",
    "__root__",
    "_colidentifier",
    "_change_sequence_number",
    "_change_type",
    "_change_timestamp",
];

/// A warehouse that statements are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Dialect {
    /// Snowflake, whose names are upper case.
    Snowflake,
    /// Google BigQuery.
    Bigquery,
    /// Amazon Redshift.
    Redshift,
    /// PostgreSQL.
    Postgres,
    /// ClickHouse.
    Clickhouse,
    /// DuckDB.
    Duckdb,
    /// Databricks, Delta Lake.
    Databricks,
}

impl Dialect {
    /// The warehouse that a lake of this dialect is made for; `None` for a data lake.
    #[must_use]
    pub const fn of_lake(dialect: warehouse::Dialect) -> Option<Self> {
        Some(match dialect {
            warehouse::Dialect::Snowflake => Self::Snowflake,
            warehouse::Dialect::Bigquery => Self::Bigquery,
            warehouse::Dialect::Redshift => Self::Redshift,
            warehouse::Dialect::Postgres => Self::Postgres,
            warehouse::Dialect::Clickhouse => Self::Clickhouse,
            warehouse::Dialect::Databricks => Self::Databricks,
            warehouse::Dialect::Datalake => return None,
        })
    }

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snowflake => "snowflake",
            Self::Bigquery => "bigquery",
            Self::Redshift => "redshift",
            Self::Postgres => "postgres",
            Self::Clickhouse => "clickhouse",
            Self::Duckdb => "duckdb",
            Self::Databricks => "databricks",
        }
    }

    /// Longest name of a column or table, in characters, by the warehouse's own manual.
    pub(super) const fn name_max(self) -> usize {
        match self {
            Self::Postgres => 63,
            Self::Redshift => 127,
            Self::Bigquery => 300,
            // DuckDB and ClickHouse have no limit; files never have more than 255 anyway.
            Self::Snowflake | Self::Databricks | Self::Clickhouse | Self::Duckdb => 255,
        }
    }

    /// Columns that a table takes, by the warehouse's own manual; none where it sets no limit.
    pub(super) const fn columns_max(self) -> Option<usize> {
        match self {
            Self::Redshift | Self::Postgres => Some(1_600),
            Self::Bigquery => Some(10_000),
            Self::Snowflake => Some(2_000),
            Self::Clickhouse | Self::Duckdb | Self::Databricks => None,
        }
    }

    /// Columns that the warehouse itself has in every table, or keeps for itself.
    pub(super) const fn own_columns(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"],
            Self::Redshift => &[
                "oid",
                "tableoid",
                "xmin",
                "cmin",
                "xmax",
                "cmax",
                "ctid",
                "insertxid",
                "deletexid",
            ],
            Self::Clickhouse => &["_row_exists", "_block_number", "_block_offset"],
            Self::Snowflake | Self::Bigquery | Self::Duckdb | Self::Databricks => &[],
        }
    }

    /// A column's name without a beginning that the warehouse keeps for itself.
    pub(super) fn without_prefix(self, name: &str) -> &str {
        let lower = name.to_ascii_lowercase();
        if self == Self::Bigquery && BIGQUERY_PREFIXES.iter().any(|own| lower.starts_with(own)) {
            return name.trim_start_matches('_');
        }
        name
    }

    /// True where files are loaded under the names that they have, so that a column with another
    /// name in the warehouse is not.
    pub(super) const fn loads_by_name(self) -> bool {
        matches!(self, Self::Snowflake | Self::Bigquery | Self::Databricks)
    }

    /// A name as the warehouse has it, in its own case and always in quotes: a column may be called
    /// like any word.
    pub(super) fn quote(self, name: &str) -> String {
        match self {
            Self::Snowflake => format!("\"{}\"", name.to_ascii_uppercase()),
            Self::Bigquery | Self::Databricks => format!("`{name}`"),
            _ => format!("\"{name}\""),
        }
    }

    /// A table with its schema.
    pub(super) fn table(self, schema: &str, table: &str) -> String {
        format!("{}.{}", self.quote(schema), self.quote(table))
    }

    /// A text in quotes.
    pub(crate) fn literal(self, text: &str) -> String {
        match self {
            Self::Bigquery | Self::Databricks | Self::Clickhouse => {
                format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
            }
            _ => format!("'{}'", text.replace('\'', "''")),
        }
    }

    /// The type of a column in its table.
    pub(super) fn column_type(
        self,
        name: &str,
        kind: ColumnType,
        required: bool,
        bytes: u64,
    ) -> String {
        let theirs = match self {
            Self::Snowflake => warehouse::Dialect::Snowflake,
            Self::Redshift => warehouse::Dialect::Redshift,
            Self::Postgres => warehouse::Dialect::Postgres,
            Self::Clickhouse => warehouse::Dialect::Clickhouse,
            Self::Databricks => warehouse::Dialect::Databricks,
            Self::Bigquery => return bigquery(kind).to_owned(),
            Self::Duckdb => return duckdb(kind).to_owned(),
        };
        let string_bytes = Some(u32::try_from(bytes).unwrap_or(u32::MAX));
        ddl::type_name(theirs, &ddl::Column { name, kind, string_bytes, is_required: required })
    }

    /// The type in a cast; null stays null.
    pub(super) fn cast_type(self, kind: ColumnType) -> String {
        match (self, kind) {
            (Self::Redshift, ColumnType::Boolean) => "boolean".to_owned(),
            (Self::Redshift, ColumnType::String) => "varchar(65535)".to_owned(),
            _ => self.column_type("", kind, false, 0),
        }
    }

    /// `expression` as another type.
    pub(super) fn cast(self, expression: &str, kind: ColumnType) -> String {
        format!("cast({expression} as {})", self.cast_type(kind))
    }

    /// A value as text, as a text column of the gateway has it.
    pub(super) fn text_of(self, expression: &str, kind: ColumnType) -> String {
        match kind {
            ColumnType::String => expression.to_owned(),
            ColumnType::Boolean => {
                format!("case when {expression} then 'true' when not {expression} then 'false' end")
            }
            // Without a point, as clients write what is whole.
            ColumnType::Float => format!(
                "case when {} then {} else {} end",
                whole(expression),
                self.cast(&self.cast(expression, ColumnType::Int), ColumnType::String),
                self.cast(expression, ColumnType::String)
            ),
            _ => self.cast(expression, ColumnType::String),
        }
    }

    /// The UTC day of a moment.
    pub(super) fn day_of(self, expression: &str) -> String {
        match self {
            Self::Snowflake => format!("to_date(convert_timezone('UTC', {expression}))"),
            Self::Bigquery => format!("date({expression})"),
            Self::Redshift | Self::Databricks => format!("cast({expression} as date)"),
            Self::Postgres | Self::Duckdb => {
                format!("cast({expression} at time zone 'UTC' as date)")
            }
            Self::Clickhouse => format!("toDate32({expression}, 'UTC')"),
        }
    }

    /// True where `expression`, a text, has a match of the pattern, which uses only what all
    /// dialects of regular expressions share.
    pub(super) fn matches(self, expression: &str, pattern: &str) -> String {
        let pattern = self.literal(pattern);
        match self {
            Self::Snowflake => format!("regexp_instr({expression}, {pattern}) > 0"),
            Self::Bigquery => format!("regexp_contains({expression}, {pattern})"),
            Self::Redshift | Self::Postgres => format!("{expression} ~ {pattern}"),
            Self::Clickhouse => format!("match({expression}, {pattern})"),
            Self::Duckdb => format!("regexp_matches({expression}, {pattern})"),
            Self::Databricks => format!("{expression} rlike {pattern}"),
        }
    }

    /// The moment of the statement.
    pub(super) const fn now(self) -> &'static str {
        match self {
            Self::Bigquery | Self::Databricks | Self::Snowflake => "current_timestamp()",
            Self::Redshift => "getdate()",
            Self::Postgres | Self::Duckdb => "now()",
            Self::Clickhouse => "now64(6)",
        }
    }

    /// A new random id as text.
    pub(super) const fn new_id(self) -> &'static str {
        match self {
            Self::Snowflake => "uuid_string()",
            Self::Bigquery => "generate_uuid()",
            // Redshift has no function for it: 128 bits of two random numbers and the row's label.
            Self::Redshift => "md5(random()::varchar || random()::varchar || label)",
            Self::Postgres => "cast(gen_random_uuid() as text)",
            Self::Clickhouse => "toString(generateUUIDv4())",
            Self::Duckdb => "cast(uuid() as varchar)",
            Self::Databricks => "uuid()",
        }
    }

    /// The type of the columns of tables that the scripts themselves keep.
    pub(super) fn plain_type(self, kind: ColumnType) -> String {
        match (self, kind) {
            (Self::Redshift, ColumnType::String) => "varchar(1024)".to_owned(),
            (Self::Clickhouse, ColumnType::String) => "String".to_owned(),
            (Self::Clickhouse, ColumnType::Int) => "Int64".to_owned(),
            (Self::Clickhouse, ColumnType::Datetime) => "DateTime64(6)".to_owned(),
            _ => self.cast_type(kind),
        }
    }

    /// How a schema is made.
    pub(super) fn create_schema(self, schema: &str) -> String {
        let word = if self == Self::Clickhouse { "database" } else { "schema" };
        format!("create {word} if not exists {}", self.quote(schema))
    }
}

/// The condition that a float is a whole number that an integer column has, too.
pub(super) fn whole(expression: &str) -> String {
    format!("({expression} = floor({expression}) and {})", exact(expression))
}

/// The condition that an integer is the same as a float.
pub(super) fn exact(expression: &str) -> String {
    format!("{expression} between -{EXACT_MAX} and {EXACT_MAX}")
}

const fn bigquery(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Int => "INT64",
        ColumnType::Float => "FLOAT64",
        ColumnType::Boolean => "BOOL",
        ColumnType::Datetime => "TIMESTAMP",
        ColumnType::String => "STRING",
        ColumnType::Date => "DATE",
    }
}

const fn duckdb(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Int => "bigint",
        ColumnType::Float => "double",
        ColumnType::Boolean => "boolean",
        ColumnType::Datetime => "timestamptz",
        ColumnType::String => "varchar",
        ColumnType::Date => "date",
    }
}
