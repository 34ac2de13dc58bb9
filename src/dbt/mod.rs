//! A dbt project over the tables of a lake: sources with every column, staging models, the unified
//! models and the tests that tie them together.
//!
//! Text in, text out: it reads no lake and runs no dbt; `cli::dbt` gathers the tables and writes the
//! files. The unified model takes the gateway's own unified table in increments and writes no union
//! again: a new event is in it without a new project.

mod describe;
mod members;
mod models;
mod names;
mod sources;
#[cfg(test)]
mod tests;

use crate::columnar::Schema;
use crate::record::Route;
use crate::unified::Unified;
use crate::warehouse::Dialect;

/// The first line of every file, by which a project of ours is known.
pub const MARK: &str = "Written by keelrow dbt; a new run replaces it.";

/// Everything that a project is made of.
#[derive(Debug)]
pub struct Lake {
    /// Whose names and types.
    pub dialect: Dialect,
    /// Where DuckDB reads the files of a data lake.
    pub location: String,
    /// The tables.
    pub tables: Vec<Table>,
    /// The `[[unified]]` blocks.
    pub unified: Unified,
    /// The configured sources.
    pub routes: Vec<Route>,
}

/// A table of the lake.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its schema, lower case.
    pub schema: String,
    /// Its name in the lake, lower case.
    pub name: String,
    /// Its name in the warehouse, lower case.
    pub label: String,
    /// Its folder in the lake.
    pub folder: String,
    /// Of a unified table, environment and generation.
    pub unified: Option<(String, u32)>,
    /// Its columns, under the names that they have in the warehouse.
    pub columns: Schema,
}

/// A file of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Below the project's folder.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// The whole project.
#[must_use]
pub fn project(lake: &Lake) -> Vec<File> {
    let mut files = vec![settings(lake), readme()];
    if lake.dialect == Dialect::Datalake {
        files.push(profile());
    }
    let names = names::Names::new(lake);
    files.extend(sources::files(lake, &names));
    files.extend(models::files(lake, &names));
    files
}

fn settings(lake: &Lake) -> File {
    let location = yaml(&lake.location);
    let text = format!(
        "# {MARK}\n\
         name: keelrow\n\
         version: \"1.0.0\"\n\
         config-version: 2\n\
         profile: keelrow\n\
         model-paths: [models]\n\
         test-paths: [tests]\n\
         flags:\n  send_anonymous_usage_stats: false\n\
         vars:\n  \
           # Where the files of the lake are; used on DuckDB only.\n  \
           lake: {location}\n  \
           # How far behind the newest batch an increment starts: longer than a batch may be late.\n  \
           lookback_days: 3\n\
         models:\n  keelrow:\n    staging:\n      +materialized: view\n"
    );
    File { path: "dbt_project.yml".into(), text }
}

/// A profile for DuckDB; other warehouses have one of their own, called keelrow.
fn profile() -> File {
    let text = format!(
        "# {MARK}\n\
         keelrow:\n  target: duckdb\n  outputs:\n    duckdb:\n      \
         type: duckdb\n      path: keelrow.duckdb\n      threads: 2\n      \
         settings:\n        TimeZone: UTC\n"
    );
    File { path: "profiles.yml".into(), text }
}

fn readme() -> File {
    let text = format!(
        "<!-- {MARK} -->\n\
         # The tables of the lake in dbt\n\n\
         - `models/sources`: every table with every column; `dbt source freshness` tells what is late.\n\
         - `models/staging`: a view for each table of a source.\n\
         - `models/unified`: the unified tables, taken over in increments by the time of the batch.\n\
         - `tests`: every event of the staging models is in its unified table, once.\n\n\
         `dbt build` runs all of it. Run `keelrow dbt` again for tables and columns that are new;\n\
         the unified models take over new columns by themselves.\n"
    );
    File { path: "README.md".into(), text }
}

impl Lake {
    /// A column's name as the warehouse takes it.
    fn quoted(&self, name: &str) -> String {
        let name = self.dialect.cased(name);
        match self.dialect {
            Dialect::Bigquery | Dialect::Databricks | Dialect::Clickhouse => format!("`{name}`"),
            _ => format!("\"{name}\""),
        }
    }
}

/// A text as YAML takes it: JSON's strings are YAML's.
fn yaml(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
