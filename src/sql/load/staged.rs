//! Redshift and Postgres: a staging table of the file's own schema version, then an insert by name,
//! in one transaction with the note in `_keelrow_loads`.

use super::super::lake::{Column, File, Lake};
use super::super::script::{Out, Part};
use super::super::{Dialect, Location};
use super::{Load, labels};

/// The name of the staging table.
const STAGE: &str = "_keelrow_stage";
/// Where the manifests are meant to be, below the lake.
const FOLDER: &str = "_keelrow/redshift";

/// A manifest for Redshift's COPY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its path below the folder of manifests.
    pub name: String,
    /// Its JSON text.
    pub text: String,
}

/// Adds the transaction of one batch and table.
pub(super) fn batch(load: &Load<'_>, out: &mut Out<'_>) {
    let dialect = load.lake.dialect;
    let mut add = |note: &str, sql: &str| {
        let place = out.at(&load.table.schema, &load.table.label).batch(&load.batch.id);
        place.add(Part::Load, note, sql);
    };
    add(&load.heading(), "begin");
    for (version, files) in load.by_version() {
        let columns = load.table.columns_of(version);
        add("", &stage(dialect, columns));
        let (note, sql) = match dialect {
            Dialect::Redshift => redshift(load, version, &files),
            _ => (String::new(), postgres(load.lake, columns, &files)),
        };
        add(&note, &sql);
        let labels = labels(dialect, columns);
        let once = if dialect == Dialect::Postgres { "\n  on conflict do nothing" } else { "" };
        let sql = format!(
            "insert into {} ({labels})\n  select {labels} from {}\n  where not exists ({}){once}",
            load.target(),
            dialect.quote(STAGE),
            load.noted()
        );
        add("", &sql);
        add("", &format!("drop table {}", dialect.quote(STAGE)));
    }
    add("", &load.note(&format!("\n  where not exists ({})", load.noted())));
    add("", "commit");
}

/// Column for column as in the files: COPY goes by position.
fn stage(dialect: Dialect, columns: &[Column]) -> String {
    let define = |column: &Column| {
        let kind = dialect.column_type(&column.name, column.kind, false, column.max_bytes);
        // A compression is chosen for a table that stays.
        let kind = kind.replace(" encode runlength", "");
        format!("  {} {kind}", dialect.quote(&column.label))
    };
    let columns: Vec<String> = columns.iter().map(define).collect();
    format!("create temporary table {} (\n{}\n)", dialect.quote(STAGE), columns.join(",\n"))
}

fn redshift(load: &Load<'_>, version: u64, files: &[&File]) -> (String, String) {
    let dialect = load.lake.dialect;
    let manifest = manifest(load, version, files);
    let place = load.lake.location.url(dialect, &format!("{FOLDER}/{}", manifest.name));
    let sql = format!(
        "copy {} from {}\niam_role default format as parquet manifest",
        dialect.quote(STAGE),
        dialect.literal(&place)
    );
    (manifest.text, sql)
}

fn manifest(load: &Load<'_>, version: u64, files: &[&File]) -> Manifest {
    let entry = |file: &&File| {
        serde_json::json!({
            "url": load.lake.location.url(load.lake.dialect, &file.path),
            "mandatory": true,
            "meta": {"content_length": file.bytes},
        })
    };
    let entries: Vec<_> = files.iter().map(entry).collect();
    Manifest {
        name: format!(
            "{}/{}.{}.{version}.json",
            load.batch.id, load.table.schema, load.table.label
        ),
        text: serde_json::json!({ "entries": entries }).to_string(),
    }
}

/// All manifests that the statements name.
pub(in super::super) fn manifests(lake: &Lake) -> Vec<Manifest> {
    let mut found = Vec::new();
    for batch in &lake.batches {
        for (at, table) in lake.tables.iter().enumerate().filter(|(_, t)| super::is_loaded(t)) {
            let files = batch.files.iter().filter(|file| file.table == at).collect();
            let load = Load { lake, batch, table, files };
            for (version, files) in load.by_version() {
                found.push(manifest(&load, version, &files));
            }
        }
    }
    found
}

/// The server's shell runs duckdb, whose CSV tells null from an empty text.
fn postgres(lake: &Lake, columns: &[Column], files: &[&File]) -> String {
    let dialect = lake.dialect;
    let urls: Vec<String> = files
        .iter()
        .map(|file| Dialect::Duckdb.literal(&lake.location.url(Dialect::Duckdb, &file.path)))
        .collect();
    let remote = match lake.location {
        Location::Folder(_) => "",
        Location::Bucket { .. } => "install httpfs; load httpfs; ",
    };
    let query = format!(
        "{remote}copy (select * from read_parquet([{}], union_by_name = true)) \
         to '/dev/stdout' (format csv, header false)",
        urls.join(", ")
    );
    format!(
        "copy {} ({}) from program {} with (format csv)",
        dialect.quote(STAGE),
        labels(dialect, columns),
        dialect.literal(&format!("duckdb -c \"{query}\""))
    )
}
