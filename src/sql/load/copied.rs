//! Snowflake and Databricks: COPY INTO, whose memory of files makes it safe to run twice.

use super::super::Dialect;
use super::super::ddl::STAGE;
use super::super::lake::{Batch, File, Lake, Table};
use super::super::script::{Out, Part};
use super::is_loaded;

/// Files that one statement may name, in both warehouses.
const FILES_MAX: usize = 1_000;

/// Adds the statements of all tables: a statement takes the files of many batches.
pub(super) fn tables(lake: &Lake, out: &mut Out<'_>) {
    for (at, table) in lake.tables.iter().enumerate() {
        if !is_loaded(table) || !out.wants(table) {
            continue;
        }
        let files: Vec<(&Batch, &File)> = lake
            .batches
            .iter()
            .flat_map(|batch| batch.files.iter().map(move |file| (batch, file)))
            .filter(|(_, file)| file.table == at)
            .collect();
        for files in files.chunks(FILES_MAX) {
            let [first, ..] = files else { continue };
            let last = files.last().unwrap_or(first);
            let note = match (&first.0.id, &last.0.id) {
                (first, last) if first == last => format!("batch {first}"),
                (first, last) => format!("batches {first} to {last}"),
            };
            let rows: u64 = files.iter().map(|(_, file)| file.rows).sum();
            let sql = match lake.dialect {
                Dialect::Databricks => databricks(lake, table, files),
                _ => snowflake(lake, table, files),
            };
            let place = out.at(&table.schema, &table.label);
            place.batch(&last.0.id).add(Part::Load, &format!("{note}, {rows} rows"), &sql);
        }
    }
}

fn paths(dialect: Dialect, files: &[(&Batch, &File)]) -> String {
    let paths = files.iter().map(|(_, file)| format!("  {}", dialect.literal(&file.path)));
    paths.collect::<Vec<_>>().join(",\n")
}

/// Without the logical types, times would be numbers of microseconds read as seconds.
fn snowflake(lake: &Lake, table: &Table, files: &[(&Batch, &File)]) -> String {
    let dialect = lake.dialect;
    format!(
        "copy into {} from @{}/\nfiles = (\n{}\n)\n\
         file_format = (type = parquet use_logical_type = true)\n\
         match_by_column_name = case_insensitive",
        dialect.table(&table.schema, &table.label),
        dialect.table(STAGE.0, STAGE.1),
        paths(dialect, files)
    )
}

/// The files' own columns are added to the table, whichever side is the wider.
fn databricks(lake: &Lake, table: &Table, files: &[(&Batch, &File)]) -> String {
    let dialect = lake.dialect;
    format!(
        "copy into {} from {}\nfileformat = parquet\nfiles = (\n{}\n)\n\
         format_options ('mergeSchema' = 'true')\ncopy_options ('mergeSchema' = 'true')",
        dialect.table(&table.schema, &table.label),
        dialect.literal(&lake.location.url(dialect, "")),
        paths(dialect, files)
    )
}
