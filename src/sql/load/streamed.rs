//! BigQuery, ClickHouse and DuckDB: the files straight into the table, by name.

use super::super::lake::File;
use super::super::script::{Out, Part};
use super::super::{Dialect, Location};
use super::{Load, labels, list, names};

/// Adds the statements of one batch and table.
pub(super) fn batch(load: &Load<'_>, out: &mut Out<'_>) {
    let (schema, table, batch) =
        (load.table.schema.clone(), load.table.label.clone(), load.batch.id.clone());
    let mut add = |note: &str, sql: &str| {
        out.at(&schema, &table).batch(&batch).add(Part::Load, note, sql);
    };
    match load.lake.dialect {
        Dialect::Bigquery => bigquery(load, &mut add),
        Dialect::Clickhouse => clickhouse(load, &mut add),
        _ => duckdb(load, &mut add),
    }
}

fn urls(load: &Load<'_>) -> Vec<String> {
    load.files.iter().map(|file| load.lake.location.url(load.lake.dialect, &file.path)).collect()
}

/// A load job with the batch in its id is safe to run twice; so is the statement, but for the
/// moment between its two halves.
fn bigquery(load: &Load<'_>, add: &mut dyn FnMut(&str, &str)) {
    let dialect = load.lake.dialect;
    let urls = urls(load);
    let job = format!("{}-{}-{}", load.batch.id, load.table.schema, load.table.label);
    let note = format!(
        "{}\nor: bq load --job_id={} --source_format=PARQUET \
         --schema_update_option=ALLOW_FIELD_ADDITION {}.{} {}",
        load.heading(),
        job.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-', "-"),
        load.table.schema,
        load.table.label,
        urls.join(",")
    );
    let uris = list(urls.iter().map(|url| dialect.literal(url)));
    let sql = format!(
        "if not exists ({}) then\n\
         load data into {}\nfrom files (format = 'PARQUET', uris = [{uris}]);\n{};\nend if",
        load.noted(),
        load.target(),
        load.note("")
    );
    add(&note, &sql);
}

/// The token makes a repeated insert of the same batch a matter of no consequence even if the note
/// was not written. The file's columns are those it has: with the columns of the target, the default,
/// a column `_time`, `_size` or `_path` is what ClickHouse knows of the file.
fn clickhouse(load: &Load<'_>, add: &mut dyn FnMut(&str, &str)) {
    let dialect = load.lake.dialect;
    for (at, (version, files)) in load.by_version().into_iter().enumerate() {
        let columns = load.table.columns_of(version);
        let part = if at == 0 { String::new() } else { format!("-{at}") };
        let sql = format!(
            "insert into {} ({})\nselect {} from {}\nwhere not exists ({})\n\
             settings insert_deduplicate = 1, insert_deduplication_token = {},\n  \
             use_structure_from_insertion_table_in_table_functions = 0",
            load.target(),
            labels(dialect, columns),
            names(dialect, columns),
            source(load, &files),
            load.noted(),
            dialect.literal(&format!("{}{part}", load.batch.id))
        );
        add(if at == 0 { load.heading() } else { String::new() }.as_str(), &sql);
    }
    add("", &load.note(&format!("\n  where not exists ({})", load.noted())));
}

fn source(load: &Load<'_>, files: &[&File]) -> String {
    let dialect = load.lake.dialect;
    // The files of a batch and table lie in one folder.
    let keys: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let glob = match keys.as_slice() {
        [one] => (*one).to_owned(),
        several => {
            let folder = several
                .first()
                .and_then(|key| key.rsplit_once('/'))
                .map_or("", |(folder, _)| folder);
            let names: Vec<&str> =
                several.iter().map(|key| key.rsplit('/').next().unwrap_or(key)).collect();
            format!("{folder}/{{{}}}", names.join(","))
        }
    };
    match &load.lake.location {
        Location::Folder(_) => {
            format!("file({}, 'Parquet')", dialect.literal(&load.lake.location.url(dialect, &glob)))
        }
        Location::Bucket { scheme, path } if scheme == "az" => {
            let (_, prefix) = path.split_once('/').unwrap_or((path, ""));
            let slash = if prefix.is_empty() { "" } else { "/" };
            let path = dialect.literal(&format!("{prefix}{slash}{glob}"));
            format!("azureBlobStorage(keelrow_lake, blob_path = {path}, format = 'Parquet')")
        }
        Location::Bucket { .. } => {
            format!("s3({}, 'Parquet')", dialect.literal(&load.lake.location.url(dialect, &glob)))
        }
    }
}

/// Without the union by name a file with other columns could be read wrongly and say nothing.
fn duckdb(load: &Load<'_>, add: &mut dyn FnMut(&str, &str)) {
    let dialect = load.lake.dialect;
    let urls = list(urls(load).iter().map(|url| dialect.literal(url)));
    let widest = load.files.iter().map(|file| file.version).max().unwrap_or_default();
    let columns = load.table.columns_of(widest);
    let named = list(columns.iter().map(|column| {
        let (name, label) = (dialect.quote(&column.name), dialect.quote(&column.label));
        if name == label { name } else { format!("{name} as {label}") }
    }));
    add(&load.heading(), "begin transaction");
    add(
        "",
        &format!(
            "insert into {} by name\n  select {named}\n  \
             from read_parquet([{urls}], union_by_name = true)\n  where not exists ({})",
            load.target(),
            load.noted()
        ),
    );
    add("", &load.note(&format!("\n  where not exists ({})", load.noted())));
    add("", "commit");
}
