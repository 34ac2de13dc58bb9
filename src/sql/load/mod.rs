//! Batches into tables: one statement or transaction for each batch and table, in order.
//!
//! A batch can be loaded again by mistake: Snowflake and Databricks know the files they have read,
//! elsewhere the batch is noted in `_keelrow_loads` and left out when it is there. Columns are
//! always matched by name; only a staging table of a file's own schema version is filled by
//! position, since Redshift and CSV know no other way.

mod copied;
mod staged;
mod streamed;

use std::collections::BTreeMap;

use super::Dialect;
use super::ddl::LOADS;
use super::lake::{Batch, Column, File, Lake, Table};
use super::script::Out;
use crate::warehouse::TableKind;

pub use staged::Manifest;
pub(super) use staged::manifests;

/// Adds the statements of all batches.
pub(super) fn batches(lake: &Lake, out: &mut Out<'_>) {
    match lake.dialect {
        Dialect::Snowflake | Dialect::Databricks => copied::tables(lake, out),
        Dialect::Redshift | Dialect::Postgres => each(lake, out, staged::batch),
        Dialect::Bigquery | Dialect::Clickhouse | Dialect::Duckdb => {
            each(lake, out, streamed::batch);
        }
    }
}

/// The files of one batch for one table.
struct Load<'l> {
    lake: &'l Lake,
    batch: &'l Batch,
    table: &'l Table,
    files: Vec<&'l File>,
}

impl Load<'_> {
    /// The table with its schema.
    fn target(&self) -> String {
        self.lake.dialect.table(&self.table.schema, &self.table.label)
    }

    fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// The condition under which nothing is loaded.
    fn noted(&self) -> String {
        let dialect = self.lake.dialect;
        format!(
            "select 1 from {} where {} = {} and {} = {}",
            dialect.table(&self.table.schema, LOADS),
            dialect.quote("batch"),
            dialect.literal(&self.batch.id),
            dialect.quote("table_name"),
            dialect.literal(&self.table.label)
        )
    }

    /// Notes the batch.
    fn note(&self, ending: &str) -> String {
        let dialect = self.lake.dialect;
        let names =
            ["batch", "table_name", "row_count", "loaded_at"].map(|name| dialect.quote(name));
        format!(
            "insert into {} ({})\n  select {}, {}, {}, {}{ending}",
            dialect.table(&self.table.schema, LOADS),
            names.join(", "),
            dialect.literal(&self.batch.id),
            dialect.literal(&self.table.label),
            self.rows(),
            dialect.now()
        )
    }

    /// The files by their schema version, in order.
    fn by_version(&self) -> BTreeMap<u64, Vec<&File>> {
        let mut versions: BTreeMap<u64, Vec<&File>> = BTreeMap::new();
        for &file in &self.files {
            versions.entry(file.version).or_default().push(file);
        }
        versions
    }

    /// What stands above the first statement.
    fn heading(&self) -> String {
        format!("batch {}, {}, {} rows", self.batch.id, self.batch.time, self.rows())
    }
}

fn each(lake: &Lake, out: &mut Out<'_>, add: fn(&Load<'_>, &mut Out<'_>)) {
    for batch in &lake.batches {
        let mut by_table: BTreeMap<usize, Vec<&File>> = BTreeMap::new();
        for file in &batch.files {
            by_table.entry(file.table).or_default().push(file);
        }
        for (at, files) in by_table {
            let Some(table) = lake.tables.get(at) else { continue };
            if is_loaded(table) && out.wants(table) {
                add(&Load { lake, batch, table, files }, out);
            }
        }
    }
}

/// `users` is made of `identifies`.
fn is_loaded(table: &Table) -> bool {
    table.kind != TableKind::Users
}

/// The names of columns as the warehouse has them, in one line.
fn labels(dialect: Dialect, columns: &[Column]) -> String {
    list(columns.iter().map(|column| dialect.quote(&column.label)))
}

/// The names of columns as the files have them.
fn names(dialect: Dialect, columns: &[Column]) -> String {
    list(columns.iter().map(|column| dialect.quote(&column.name)))
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
