//! The warehouses we write for: what their names may look like.

use std::fmt;
use std::str::FromStr;

/// A kind of warehouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Snowflake, whose names are upper case.
    Snowflake,
    /// Google BigQuery.
    Bigquery,
    /// Amazon Redshift.
    Redshift,
    /// PostgreSQL, whose names have at most 63 bytes.
    Postgres,
    /// ClickHouse, which escapes no word.
    Clickhouse,
    /// Databricks, Delta Lake.
    Databricks,
    /// Files in an object store, read by Athena, DuckDB, Spark and others.
    Datalake,
}

/// Longest name RudderStack keeps in a warehouse other than Postgres and the data lakes.
const NAME_BYTES_MAX: usize = 127;
/// PostgreSQL's own limit (NAMEDATALEN - 1).
const POSTGRES_NAME_BYTES_MAX: usize = 63;
/// RudderStack never cuts a name in a data lake; Glue and Hive, which read ours, take 255.
const DATALAKE_NAME_BYTES_MAX: usize = 255;

impl Dialect {
    /// All dialects.
    pub const ALL: [Self; 7] = [
        Self::Snowflake,
        Self::Bigquery,
        Self::Redshift,
        Self::Postgres,
        Self::Clickhouse,
        Self::Databricks,
        Self::Datalake,
    ];

    /// The name in configuration and on the command line, also `context_destination_type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snowflake => "snowflake",
            Self::Bigquery => "bigquery",
            Self::Redshift => "redshift",
            Self::Postgres => "postgres",
            Self::Clickhouse => "clickhouse",
            Self::Databricks => "databricks",
            Self::Datalake => "datalake",
        }
    }

    /// RudderStack's name of the destination: the key of its options under `integrations`.
    #[must_use]
    pub const fn provider(self) -> &'static str {
        match self {
            Self::Snowflake => "SNOWFLAKE",
            Self::Bigquery => "BQ",
            Self::Redshift => "RS",
            Self::Postgres => "POSTGRES",
            Self::Clickhouse => "CLICKHOUSE",
            Self::Databricks => "DELTALAKE",
            Self::Datalake => "S3_DATALAKE",
        }
    }

    /// Longest name of a table or column, in bytes; longer ones are cut.
    #[must_use]
    pub const fn name_bytes_max(self) -> usize {
        match self {
            Self::Postgres => POSTGRES_NAME_BYTES_MAX,
            Self::Datalake => DATALAKE_NAME_BYTES_MAX,
            _ => NAME_BYTES_MAX,
        }
    }

    /// Columns a table may have (RudderStack's limits per table, `WH_MAX_COLUMNS`).
    #[must_use]
    pub const fn columns_max(self) -> usize {
        match self {
            Self::Bigquery | Self::Datalake => 10_000,
            Self::Clickhouse => 1_000,
            _ => 1_600,
        }
    }

    /// True where names are written in upper case. Names in files and in the mapper are lower case.
    #[must_use]
    pub const fn is_upper_case(self) -> bool {
        matches!(self, Self::Snowflake)
    }

    /// A name as the dialect writes it.
    #[must_use]
    pub fn cased(self, name: &str) -> String {
        if self.is_upper_case() { name.to_ascii_uppercase() } else { name.to_owned() }
    }

    /// True for files in an object store, which nobody merges: every row stays.
    #[must_use]
    pub const fn is_lake(self) -> bool {
        matches!(self, Self::Datalake)
    }

    /// True where the loader fills a `loaded_at` column beside `uuid_ts`.
    #[must_use]
    pub const fn has_loaded_at(self) -> bool {
        matches!(self, Self::Bigquery)
    }

    /// True where a destination's or event's `jsonPaths` are honoured.
    #[must_use]
    pub const fn takes_json_paths(self) -> bool {
        matches!(self, Self::Postgres | Self::Redshift | Self::Snowflake | Self::Bigquery)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no dialect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown dialect {given:?}: one of snowflake, bigquery, redshift, postgres, clickhouse, \
     databricks, datalake"
)]
pub struct UnknownDialect {
    /// What was given.
    pub given: String,
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    /// Takes our names and RudderStack's.
    fn from_str(text: &str) -> Result<Self, UnknownDialect> {
        let lower = text.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|dialect| {
                lower == dialect.name() || lower.eq_ignore_ascii_case(dialect.provider())
            })
            .ok_or_else(|| UnknownDialect { given: text.to_owned() })
    }
}
