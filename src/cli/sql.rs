//! `keelrow sql`: what a warehouse runs to have the lake's tables, rows, users and views.
//!
//! Reads the lake's registry and manifests and prints; connects to no warehouse and writes nothing
//! into the lake. The statements themselves are [`crate::sql`].

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{ConfigFile, Failure, WRONG_INPUT, serve, tables, write_file};
use crate::app;
use crate::config::Config;
use crate::sql::{Batch, Dialect, File, Lake, Location, Origin, Part, Source, Statement, Table};
use crate::storage::keys::{DataFile, TableFolder};
use crate::storage::manifest::Manifest;
use crate::storage::registry::Registry;
use crate::storage::{self, Store};

/// Arguments of `keelrow sql`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The warehouse that is to run it.
    #[arg(long, value_enum)]
    dialect: Dialect,
    #[command(flatten)]
    file: ConfigFile,
    /// Only this schema, such as `web_prod` or `unified_prod`.
    #[arg(long)]
    schema: Option<String>,
    /// Only tables of this name.
    #[arg(long)]
    table: Option<String>,
    /// Only batches from this one on, of its writer: the number, or writer and number as in the
    /// names of files. May be given for several writers.
    #[arg(long, value_name = "BATCH")]
    from: Vec<String>,
    /// Only batches that were opened at this moment or later.
    #[arg(long, value_name = "TIME")]
    since: Option<jiff::Timestamp>,
    /// Only these parts of the script.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    only: Vec<Part>,
    /// Where the warehouse reads the lake, if not at `storage.url`.
    #[arg(long, value_name = "URL")]
    location: Option<String>,
    /// Writes the manifests that Redshift's COPY reads below this folder.
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,
    /// Prints JSON, one statement a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.file.load()?;
    let runtime = serve::runtime()?;
    let store = tables::open_existing(&config.storage.url, runtime.handle())?;
    let from = arguments.from.iter().map(|text| start(text)).collect::<Result<Vec<_>, _>>()?;
    let lake = gather(arguments, &config, &store, &from)?;
    let which = (arguments.schema.as_deref(), arguments.table.as_deref());
    let is_there = |table: &Table| {
        which.0.is_none_or(|schema| schema == table.schema)
            && which.1.is_none_or(|name| name == table.label || name == table.name)
    };
    if !lake.tables.iter().any(is_there) {
        return Err(Failure { code: WRONG_INPUT, text: "no such table in the lake".into() });
    }
    if let Some(folder) = &arguments.manifests {
        return write_manifests(arguments.dialect, &lake, folder);
    }
    let parts = if arguments.only.is_empty() { &Part::ALL[..] } else { &arguments.only };
    let mut out = io::BufWriter::new(io::stdout().lock());
    if !arguments.json {
        heading(&lake, &mut out)?;
    }
    let (mut result, mut before) = (Ok(()), None);
    crate::sql::statements(&lake, parts, which, &mut |statement| {
        if result.is_ok() {
            result = if arguments.json {
                print_json(&statement, &mut out)
            } else {
                print(&statement, before, &mut out)
            };
            before = Some(statement.part);
        }
    });
    result?;
    out.flush()?;
    Ok(())
}

/// The first batch that is wanted, of one writer or of all.
struct Start {
    writer: Option<String>,
    number: u64,
}

fn start(text: &str) -> Result<Start, Failure> {
    let (writer, number) = match text.rsplit_once('-') {
        Some((writer, number)) => (Some(writer.to_owned()), number),
        None => (None, text),
    };
    let wrong = |_| Failure::input(format!("--from {text:?} is no number and no WRITER-NUMBER"));
    Ok(Start { writer, number: number.parse().map_err(wrong)? })
}

/// True if the batch is one of those asked for.
fn wants(arguments: &Arguments, from: &[Start], manifest: &Manifest) -> bool {
    let opened = manifest.batch_time.parse::<jiff::Timestamp>().ok();
    let late = arguments.since.is_none_or(|since| opened.is_none_or(|opened| opened >= since));
    let behind = |start: &Start| {
        start.writer.as_ref().is_none_or(|writer| *writer == manifest.writer)
            && manifest.number.0 < start.number
    };
    late && !from.iter().any(behind)
}

fn gather(
    arguments: &Arguments,
    config: &Config,
    store: &Store,
    from: &[Start],
) -> Result<Lake, Failure> {
    let failed = |error: storage::Error| Failure::storage(&error);
    let settings = app::load_settings(config);
    let unified = settings.unified().map_err(|error| Failure::other(&error))?;
    let mut manifests = tables::manifests(store).map_err(failed)?;
    manifests.sort_by(|a, b| {
        (&a.batch_time, &a.writer, a.number).cmp(&(&b.batch_time, &b.writer, b.number))
    });
    let (mut tables, places) = found(arguments.dialect, store, &manifests).map_err(failed)?;
    let (mut batches, mut since) = (Vec::new(), None);
    for manifest in manifests.into_iter().filter(|manifest| wants(arguments, from, manifest)) {
        if since.is_none() && (arguments.since.is_some() || !from.is_empty()) {
            since = Some(manifest.batch_time.clone());
        }
        batches.push(batch(manifest, &places));
    }
    let registry = Registry::new(store.clone());
    for (folder, &at) in &places {
        let Some(table) = tables.get_mut(at) else { continue };
        for version in versions(&batches, at) {
            let schema = registry.version(folder, version).map_err(failed)?;
            table.versions.insert(version, schema.columns.len());
        }
    }
    let url = arguments.location.clone().unwrap_or_else(|| absolute(&config.storage.url));
    Ok(Lake {
        dialect: arguments.dialect,
        location: Location::parse(&url),
        tables,
        batches,
        sources: config.sources.iter().map(source).collect(),
        unified,
        since,
    })
}

/// The tables that files of any batch belong to, and where each folder's table is among them. Of a
/// unified table only the latest generation counts.
fn found(
    dialect: Dialect,
    store: &Store,
    manifests: &[Manifest],
) -> Result<(Vec<Table>, BTreeMap<TableFolder, usize>), storage::Error> {
    let mut folders: BTreeMap<TableFolder, ()> = BTreeMap::new();
    for file in manifests.iter().flat_map(|manifest| &manifest.files) {
        folders.extend(DataFile::parse(&file.path).map(|key| (key.folder, ())));
    }
    let mut latest: HashMap<(String, String), u32> = HashMap::new();
    for folder in folders.keys() {
        if let TableFolder::Unified { generation, .. } = folder {
            let name = (folder.schema_name(), folder.table_name().to_owned());
            let newest = latest.entry(name).or_default();
            *newest = (*newest).max(*generation);
        }
    }
    let registry = Registry::new(store.clone());
    let (mut tables, mut places) = (Vec::new(), BTreeMap::new());
    for folder in folders.into_keys() {
        let (schema_name, name) = (folder.schema_name(), folder.table_name().to_owned());
        let origin = match &folder {
            TableFolder::Source { .. } => Origin::Source,
            TableFolder::Unified { environment, generation, .. } => {
                if latest.get(&(schema_name.clone(), name.clone())) != Some(generation) {
                    continue;
                }
                Origin::Unified {
                    environment: environment.to_string(),
                    block: name.clone(),
                    generation: *generation,
                }
            }
        };
        let Some(schema) = registry.latest(&folder)? else { continue };
        places.insert(folder, tables.len());
        tables.push(Table::new(dialect, (&schema_name, &name), origin, &schema));
    }
    crate::sql::label_tables(dialect, &mut tables);
    Ok((tables, places))
}

fn batch(manifest: Manifest, places: &BTreeMap<TableFolder, usize>) -> Batch {
    let file = |file: storage::manifest::File| {
        let table = *places.get(&DataFile::parse(&file.path)?.folder)?;
        let (path, rows, bytes) = (file.path, file.rows, file.bytes);
        Some(File { path, table, rows, bytes, version: file.schema_version })
    };
    Batch {
        id: format!("{}-{}", manifest.writer, manifest.number),
        time: manifest.batch_time,
        files: manifest.files.into_iter().filter_map(file).collect(),
    }
}

fn versions(batches: &[Batch], table: usize) -> std::collections::BTreeSet<u64> {
    let files = batches.iter().flat_map(|batch| &batch.files);
    files.filter(|file| file.table == table).map(|file| file.version).collect()
}

fn source(source: &crate::config::Source) -> Source {
    Source {
        id: source.id.clone(),
        name: source.name.clone(),
        environment: source.environment.clone(),
        schema: source.schema.clone(),
        platform: source.platform.map(|platform| platform.as_str().to_owned()).unwrap_or_default(),
        keep_received_at: source.keep_received_at,
    }
}

/// A folder by its whole path: the script runs elsewhere.
fn absolute(url: &str) -> String {
    let folder = url.strip_prefix("file://").or_else(|| (!url.contains("://")).then_some(url));
    let whole = folder.and_then(|folder| Path::new(folder).canonicalize().ok());
    whole.map_or_else(|| url.to_owned(), |whole| whole.display().to_string())
}

fn write_manifests(dialect: Dialect, lake: &Lake, folder: &Path) -> Result<(), Failure> {
    if dialect != Dialect::Redshift {
        return Err(Failure::input("--manifests is for --dialect redshift"));
    }
    let manifests = crate::sql::manifests(lake);
    for manifest in &manifests {
        write_file(&folder.join(&manifest.name), &manifest.text)?;
    }
    writeln!(io::stdout().lock(), "{} manifests below {}", manifests.len(), folder.display())?;
    Ok(())
}

fn heading(lake: &Lake, out: &mut impl Write) -> io::Result<()> {
    let files: usize = lake.batches.iter().map(|batch| batch.files.len()).sum();
    writeln!(out, "-- keelrow {} for {}", env!("CARGO_PKG_VERSION"), lake.dialect.name())?;
    writeln!(
        out,
        "-- {} tables, {} batches, {files} files. It may run again at any time.",
        lake.tables.len(),
        lake.batches.len()
    )?;
    for remark in lake.location.remarks(lake.dialect) {
        writeln!(out, "-- {remark}")?;
    }
    Ok(())
}

fn print(statement: &Statement, before: Option<Part>, out: &mut impl Write) -> io::Result<()> {
    if before != Some(statement.part) {
        writeln!(out, "\n-- == {} ==", statement.part.name())?;
    }
    if !statement.note.is_empty() {
        writeln!(out)?;
    }
    for line in statement.note.lines() {
        writeln!(out, "-- {line}")?;
    }
    writeln!(out, "{};", statement.sql)
}

fn print_json(statement: &Statement, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'s> {
        part: &'static str,
        schema: &'s str,
        table: &'s str,
        batch: &'s str,
        sql: &'s str,
    }
    let Statement { part, schema, table, batch, sql, .. } = statement;
    let line = Line { part: part.name(), schema, table, batch, sql };
    serde_json::to_writer(&mut *out, &line).map_err(io::Error::from)?;
    writeln!(out)
}
