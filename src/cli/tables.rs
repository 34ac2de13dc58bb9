//! `keelrow tables`: what the lake holds, from its manifests and its registry.

use std::collections::BTreeMap;
use std::io::ErrorKind::{NotADirectory, NotFound};
use std::io::{self, Write};
use std::path::Path;

use parquet::file::metadata::ParquetMetaDataReader;
use serde::Serialize;

use super::{ConfigFile, Failure, WRONG_INPUT, serve};
use crate::app::load_settings;
use crate::columnar::{Column, Schema, type_name};
use crate::storage::keys::{DataFile, Hour, Key, Prefix, TableFolder};
use crate::storage::manifest::Manifest;
use crate::storage::registry::Registry;
use crate::storage::{self, Store, utc_text};
use crate::warehouse::{OTHER_EVENTS, TableKind};

/// Hours that count as recent.
const RECENT_HOURS: i64 = 24;

/// Files of a table that are read for the share of variants, newest first.
const SAMPLED_FILES_MAX: usize = 20;

/// Manifests read at once.
const READERS: usize = 16;

/// Arguments of `keelrow tables`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A schema, or a schema and a table.
    #[arg(value_name = "SCHEMA[.TABLE]")]
    which: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.file.load()?;
    let runtime = serve::runtime()?;
    let store = open_existing(&config.storage.url, runtime.handle())?;
    let which =
        arguments.which.as_deref().map(|which| which.split_once('.').unwrap_or((which, "")));
    let tables = census(&store, which).map_err(|error| Failure::storage(&error))?;
    if tables.is_empty() && which.is_some() {
        return Err(Failure { code: WRONG_INPUT, text: "no such table in the lake".into() });
    }
    let settings = load_settings(&config);
    for warning in warnings(&tables, settings.columns_cap(), settings.tables_max) {
        writeln!(io::stderr().lock(), "warning: {warning}")?;
    }
    let mut out = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &tables).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    print_tables(&tables, &mut out)?;
    if which.is_some() {
        tables.iter().try_for_each(|table| print_columns(table, &mut out))?;
    }
    Ok(())
}

/// A line for each table with 80 % of the columns it may have, and for each schema with 80 % of the
/// event tables it may have.
fn warnings(tables: &[Table], columns_max: usize, tables_max: u32) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut schemas: BTreeMap<&str, usize> = BTreeMap::new();
    for table in tables {
        let (schema, name, columns) = (&table.schema, &table.table, table.columns.len());
        if columns * 5 >= columns_max * 4 {
            warnings.push(format!(
                "{schema}.{name} has {columns} of {columns_max} columns; what has no column goes \
                 to _overflow"
            ));
        }
        if table.folder.starts_with("unified/") {
            continue;
        }
        *schemas.entry(schema).or_default() += usize::from(TableKind::is_counted(name));
    }
    let tables_max = usize::try_from(tables_max).unwrap_or(usize::MAX);
    for (schema, events) in schemas.into_iter().filter(|(_, n)| n * 5 >= tables_max * 4) {
        warnings.push(format!(
            "{schema} has {events} of {tables_max} event tables (load.max_tables); events of \
             further names go to {OTHER_EVENTS}"
        ));
    }
    warnings
}

/// Opens a lake that is there: looking does not make one.
pub(super) fn open_existing(url: &str, runtime: &tokio::runtime::Handle) -> Result<Store, Failure> {
    let none = || Failure::input(format!("there is no lake at {url}"));
    find(url, runtime)?.ok_or_else(none)
}

/// The lake, if there is one.
pub(super) fn find(url: &str, runtime: &tokio::runtime::Handle) -> Result<Option<Store>, Failure> {
    let folder = url.strip_prefix("file://").or_else(|| (!url.contains("://")).then_some(url));
    if let Some(folder) = folder {
        match Path::new(folder).join(Key::Lake.to_string()).metadata() {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => return Ok(None),
            // What cannot be looked at may be there.
            Err(error) => return Err(Failure::away(url, &error)),
        }
    }
    let store = Store::open(url, runtime).map_err(|error| Failure::storage(&error))?;
    let is_lake = store.get(&Key::Lake).map_err(|error| Failure::storage(&error))?.is_some();
    Ok(is_lake.then_some(store))
}

/// A table of the lake.
#[derive(Debug, Serialize)]
struct Table {
    schema: String,
    table: String,
    folder: String,
    schema_version: u64,
    files: u64,
    rows: u64,
    bytes: u64,
    /// Of the last 24 hours in which anything arrived.
    rows_last_day: u64,
    columns: Vec<TableColumn>,
    #[serde(skip)]
    newest: Vec<String>,
}

#[derive(Debug, Serialize)]
struct TableColumn {
    name: String,
    #[serde(rename = "type")]
    column_type: &'static str,
    required: bool,
    first_seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<u64>,
    /// The column whose type these values do not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    variant_of: Option<String>,
    /// Of the values of a column and its variants in the newest files, the share that is here.
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
}

/// Counts the files of all manifests by table, and adds each table's columns.
fn census(store: &Store, which: Option<(&str, &str)>) -> Result<Vec<Table>, storage::Error> {
    let mut tables: BTreeMap<TableFolder, Table> = BTreeMap::new();
    let mut files: Vec<(Hour, TableFolder, storage::manifest::File)> = Vec::new();
    for manifest in manifests(store)? {
        for file in manifest.files {
            if let Some(key) = DataFile::parse(&file.path) {
                files.push((key.hour, key.folder, file));
            }
        }
    }
    // Newest first.
    files.sort_by(|a, b| (b.0, &b.2.path).cmp(&(a.0, &a.2.path)));
    let last_hour = files.first().map_or(Hour(0), |(hour, ..)| *hour);
    for (hour, folder, file) in files {
        let wanted = which.is_none_or(|(schema, table)| {
            schema == file.schema && (table.is_empty() || table == file.table)
        });
        if !wanted {
            continue;
        }
        let entry = tables.entry(folder.clone()).or_insert_with(|| Table {
            schema: file.schema,
            table: file.table,
            folder: folder.to_string(),
            schema_version: 0,
            files: 0,
            rows: 0,
            bytes: 0,
            rows_last_day: 0,
            columns: Vec::new(),
            newest: Vec::new(),
        });
        entry.files += 1;
        entry.rows += file.rows;
        entry.bytes += file.bytes;
        if hour.0 > last_hour.0 - RECENT_HOURS {
            entry.rows_last_day += file.rows;
        }
        if entry.newest.len() < SAMPLED_FILES_MAX {
            entry.newest.push(file.path);
        }
    }
    let registry = Registry::new(store.clone());
    for (folder, table) in &mut tables {
        let Some(schema) = registry.latest(folder)? else { continue };
        table.schema_version = schema.version;
        table.columns = schema.columns.iter().map(|column| describe(column, &schema)).collect();
        if which.is_some() {
            add_shares(store, table)?;
        }
    }
    Ok(tables.into_values().collect())
}

/// Reads all manifests, several at a time.
pub(super) fn manifests(store: &Store) -> Result<Vec<Manifest>, storage::Error> {
    let keys = store.list(&Prefix::Manifests)?;
    let share = keys.len().div_ceil(READERS).max(1);
    std::thread::scope(|scope| {
        let read = |keys: &[Key]| -> Result<Vec<Manifest>, storage::Error> {
            let mut found = Vec::with_capacity(keys.len());
            for key in keys {
                let Key::Manifest(writer, number) = key else { continue };
                found.extend(Manifest::read(store, writer, *number)?.map(|(manifest, _)| manifest));
            }
            Ok(found)
        };
        let readers: Vec<_> =
            keys.chunks(share).map(|keys| scope.spawn(move || read(keys))).collect();
        let mut all = Vec::with_capacity(keys.len());
        for reader in readers {
            // A reader that panicked has nothing to say that its panic did not.
            all.extend(reader.join().unwrap_or_else(|_| Ok(Vec::new()))?);
        }
        Ok(all)
    })
}

fn describe(column: &Column, schema: &Schema) -> TableColumn {
    TableColumn {
        name: column.name.clone(),
        column_type: type_name(column.column_type),
        required: column.required,
        first_seen: utc_text(column.first_seen),
        max_bytes: (column.max_bytes > 0).then_some(column.max_bytes),
        variant_of: schema.base_of_variant(&column.name).map(|other| other.name.clone()),
        share: None,
    }
}

/// Counts the values of columns with variants in the newest files, from their footers.
fn add_shares(store: &Store, table: &mut Table) -> Result<(), storage::Error> {
    if table.columns.iter().all(|column| column.variant_of.is_none()) {
        return Ok(());
    }
    let mut values: BTreeMap<String, u64> = BTreeMap::new();
    for path in &table.newest {
        let Some(key) = Key::parse(path) else { continue };
        let Some(bytes) = store.get(&key)? else { continue };
        let Ok(metadata) = ParquetMetaDataReader::new().parse_and_finish(&bytes) else { continue };
        for chunk in metadata.row_groups().iter().flat_map(|group| group.columns()) {
            let nulls = chunk.statistics().and_then(|found| found.null_count_opt()).unwrap_or(0);
            let all = u64::try_from(chunk.num_values()).unwrap_or(0);
            *values.entry(chunk.column_path().string()).or_default() += all.saturating_sub(nulls);
        }
    }
    let count = |name: &str| values.get(name).copied().unwrap_or(0);
    let mut family: BTreeMap<String, u64> = BTreeMap::new();
    for column in &table.columns {
        if let Some(base) = &column.variant_of {
            *family.entry(base.clone()).or_insert_with(|| count(base)) += count(&column.name);
        }
    }
    for column in &mut table.columns {
        let all = family.get(column.variant_of.as_ref().unwrap_or(&column.name)).copied();
        column.share = all.filter(|all| *all > 0).map(|all| part(count(&column.name), all));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a share for the eye")]
fn part(of: u64, all: u64) -> f64 {
    of as f64 / all as f64
}

fn print_tables(tables: &[Table], out: &mut impl Write) -> io::Result<()> {
    let mut lines = vec![
        ["schema", "table", "rows", "last 24 h", "files", "bytes", "columns", "variants"]
            .map(str::to_owned),
    ];
    for table in tables {
        let variants = table.columns.iter().filter(|column| column.variant_of.is_some()).count();
        lines.push([
            table.schema.clone(),
            table.table.clone(),
            table.rows.to_string(),
            format!("+{}", table.rows_last_day),
            table.files.to_string(),
            table.bytes.to_string(),
            table.columns.len().to_string(),
            variants.to_string(),
        ]);
    }
    print_aligned(&lines, 2, out)
}

fn print_columns(table: &Table, out: &mut impl Write) -> io::Result<()> {
    let (schema, name, version) = (&table.schema, &table.table, table.schema_version);
    writeln!(out, "\n{schema}.{name}, schema version {version}, {}", table.folder)?;
    let mut lines = vec![["column", "type", "longest", "share", "first seen"].map(str::to_owned)];
    for column in &table.columns {
        lines.push([
            column.name.clone(),
            column.column_type.to_owned(),
            column.max_bytes.map_or_else(String::new, |bytes| format!("<= {bytes}")),
            column.share.map_or_else(String::new, |share| format!("{:.1} %", share * 100.0)),
            column.first_seen.clone(),
        ]);
    }
    print_aligned(&lines, 2, out)
}

/// Prints columns of text, the first `left` of them to the left, others to the right.
fn print_aligned<const N: usize>(
    lines: &[[String; N]],
    left: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    for line in lines {
        let mut text = String::new();
        for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
            if at > 0 {
                text.push_str("  ");
            }
            if at < left {
                text.push_str(cell);
                text.push_str(&gap);
            } else {
                text.push_str(&gap);
                text.push_str(cell);
            }
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::sync::Arc;

    use crate::storage::memory::Memory;

    /// The lake of the first format, see `loader::tests::formats`.
    fn golden() -> Store {
        let root: PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "tests/golden/formats/v1/lake"].iter().collect();
        let memory = Memory::default();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let key = path.strip_prefix(&root).unwrap().to_str().unwrap();
                    memory.replace(key, std::fs::read(&path).unwrap().into());
                }
            }
        }
        Store::new(Arc::new(memory), storage::Options::default())
    }

    #[test]
    fn tables_are_counted_over_all_batches() {
        let tables = census(&golden(), None).unwrap();
        let rows: Vec<(&str, &str, u64, u64)> = tables
            .iter()
            .map(|table| (table.schema.as_str(), table.table.as_str(), table.rows, table.files))
            .collect();
        assert_eq!(
            rows,
            [
                ("web_prod", "identifies", 1, 1),
                ("web_prod", "order_completed", 31, 2),
                ("web_prod", "pages", 1, 1),
                ("web_prod", "rejected", 3, 1),
                ("web_prod", "tracks", 31, 2),
                ("web_prod", "users", 1, 1),
                ("unified_prod", "user_events", 32, 2),
            ]
        );
        assert!(tables.iter().all(|table| table.rows == table.rows_last_day));
        let mut out = Vec::new();
        print_tables(&tables, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 8);
    }

    #[test]
    fn what_nears_a_limit_is_told() {
        let tables = census(&golden(), None).unwrap();
        assert!(warnings(&tables, 1_600, 4_000).is_empty());
        let most = |name: &str| {
            let table = tables.iter().find(|table| table.table == name).unwrap();
            table.columns.len()
        };
        // 80 % of the cap to the column, and one less.
        let (columns, unified) = (most("order_completed"), most("user_events"));
        let told = warnings(&tables, columns * 5 / 4, 4_000);
        let of = |name: &str| told.iter().any(|line| line.starts_with(&format!("{name} has ")));
        assert!(of("web_prod.order_completed") && of("unified_prod.user_events"), "{told:?}");
        assert!(!of("web_prod.rejected"), "{told:?}");
        assert!(warnings(&tables, unified.max(columns) * 5 / 4 + 2, 4_000).is_empty());
        let told = warnings(&tables, 1_600, 1);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("web_prod has 1 of 1 event tables"), "{told:?}");
    }

    #[test]
    fn one_table_shows_its_columns_and_the_share_of_variants() {
        let tables = census(&golden(), Some(("web_prod", "order_completed"))).unwrap();
        let [table] = tables.as_slice() else { panic!("one table") };
        let column = |name: &str| table.columns.iter().find(|column| column.name == name).unwrap();
        assert_eq!(column("price").column_type, "float");
        let variant = column("price__string");
        assert_eq!(variant.variant_of.as_deref(), Some("price"));
        // 29 prices and one that is none.
        assert!((variant.share.unwrap() - 1.0 / 30.0).abs() < 1e-9, "{:?}", variant.share);
        assert!((column("price").share.unwrap() - 29.0 / 30.0).abs() < 1e-9);
        assert_eq!(column("id").share, None);
        assert_eq!(table.schema_version, 2);
    }

    #[test]
    fn a_lake_that_is_not_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lake");
        let runtime = serve::runtime().unwrap();
        assert!(open_existing(path.to_str().unwrap(), runtime.handle()).is_err());
        assert!(!path.try_exists().unwrap());
    }
}
