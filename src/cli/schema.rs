//! `keelrow schema diff OLD NEW`: what a change of configuration or data does to columns, for each
//! warehouse. Either side is a configuration, a lake, or a saved answer of `keelrow tables --json`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{ConfigFile, Failure, WRONG_INPUT, serve, tables};
use crate::app;
use crate::columnar::{Schema, type_of};
use crate::config::Config;
use crate::source::Source;
use crate::storage::keys::{Key, Prefix, TableFolder};
use crate::storage::registry::Registry;
use crate::storage::{Store, parse_utc};
use crate::unified::forecast::{self, Against, Terms, forecast};
use crate::warehouse::Dialect;
use crate::warehouse::diff::{Change, Column, Difference, Table, Tables, diff};

/// Largest file that is read as saved tables.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Arguments of `keelrow schema`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Tells what a change of configuration or data does to columns; exit 2 if it breaks readers.
    Diff(DiffArguments),
}

#[derive(Debug, clap::Args)]
struct DiffArguments {
    /// A configuration (.toml), a lake (folder or URL), or saved tables (.json, as
    /// `keelrow tables --json` prints them).
    old: String,
    /// The same, afterwards.
    new: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// One side.
enum Side {
    /// What the lake or the file has.
    Tables(Tables),
    /// What a configuration makes of a lake; the lake it points at, if that is there.
    Config(Box<Config>, Option<Tables>),
}

#[derive(Serialize)]
struct Line<'d> {
    table: &'d str,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<&'d str>,
    change: &'static str,
    breaks: bool,
    /// By warehouse; those that it means nothing to are left out.
    warehouses: BTreeMap<&'static str, WarehouseEffect>,
}

#[derive(Serialize, PartialEq, Eq)]
struct WarehouseEffect {
    effect: String,
    breaks: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Command::Diff(arguments) = &arguments.command;
    let runtime = serve::runtime()?;
    let side = |text: &str| side(text, runtime.handle());
    let (old, new) = (side(&arguments.old)?, side(&arguments.new)?);
    check_dialects(&old, &new)?;
    let differences = differences(&old, &new)?;
    let mut out = io::stdout().lock();
    if arguments.json {
        let lines: Vec<Line<'_>> = differences.iter().map(line).collect();
        serde_json::to_writer_pretty(&mut out, &lines).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&differences, &mut out)?;
    }
    let broken = differences.iter().filter(|one| one.breaks()).count();
    if broken > 0 {
        let text = format!("{broken} of {} differences break readers", differences.len());
        return Err(Failure { code: WRONG_INPUT, text });
    }
    Ok(())
}

fn side(text: &str, runtime: &tokio::runtime::Handle) -> Result<Side, Failure> {
    let path = Path::new(text);
    let ends = |ending: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending));
    if !text.contains("://") && ends("toml") {
        let config = ConfigFile { config: path.into() }.load()?;
        let lake = tables::find(&config.storage.url, runtime)?;
        let lake = lake.map(|store| of_lake(&store)).transpose()?;
        return Ok(Side::Config(Box::new(config), lake));
    }
    if !text.contains("://") && ends("json") {
        return saved(path).map(Side::Tables);
    }
    Ok(Side::Tables(of_lake(&tables::open_existing(text, runtime)?)?))
}

/// A lake keeps its dialect for ever.
fn check_dialects(old: &Side, new: &Side) -> Result<(), Failure> {
    if let (Side::Config(old, _), Side::Config(new, _)) = (old, new)
        && old.load.dialect != new.load.dialect
    {
        let (old, new) = (old.load.dialect, new.load.dialect);
        return Err(Failure::input(format!(
            "load.dialect changes from {old} to {new}: names and types of all tables are other \
             ones, and a lake keeps its dialect; give the new one a new storage.url"
        )));
    }
    Ok(())
}

/// What differs. What the old configuration would have brought, and no lake has, is missed by no
/// reader.
fn differences(old: &Side, new: &Side) -> Result<Vec<Difference>, Failure> {
    let mut found = diff(&settled(old, new)?, &settled(new, old)?);
    let Side::Config(_, own) = old else { return Ok(found) };
    let (lake, new_is_config) = match new {
        Side::Config(_, lake) => (own.as_ref().or(lake.as_ref()), true),
        Side::Tables(tables) => (own.as_ref().or(Some(tables)), false),
    };
    let Some(lake) = lake else { return Ok(found) };
    let was_there = |one: &Difference| match (lake.get(&one.table), &one.column) {
        (Some(table), Some(name)) => table.columns.iter().any(|column| column.name == *name),
        (Some(_), None) => true,
        // A configuration that no more has a table is told of, born or not.
        (None, _) => new_is_config,
    };
    found.retain(|one| !matches!(one.change, Change::Gone | Change::TableGone) || was_there(one));
    Ok(found)
}

/// The tables of a side; a configuration without a lake of its own is asked about the other's.
fn settled(side: &Side, other: &Side) -> Result<Tables, Failure> {
    let (config, lake) = match side {
        Side::Tables(tables) => return Ok(tables.clone()),
        Side::Config(config, lake) => (config, lake.as_ref()),
    };
    let base = lake.or(match other {
        Side::Tables(tables) => Some(tables),
        Side::Config(_, lake) => lake.as_ref(),
    });
    let settings = app::load_settings(config);
    let plan = settings.unified().map_err(|error| Failure::other(&error))?;
    let dialect = settings.dialect().map_err(|error| Failure::other(&error))?;
    let sources = config.sources.iter().map(|source| forecast::Source {
        route: crate::record::Route::clone(&Source::new(source).route.route),
        is_enabled: source.enabled,
        skips_tracks: source.layout.skip_tracks_table,
        skips_users: source.layout.skip_users_table,
    });
    let sources: Vec<forecast::Source> = sources.collect();
    let against = match other {
        Side::Tables(_) => Against::Tables,
        Side::Config(..) => Against::Forecast,
    };
    let terms = Terms { against, dialect, columns_max: settings.columns_cap() };
    Ok(forecast(base.unwrap_or(&Tables::new()), &plan, &sources, terms))
}

/// The newest columns of every table of a lake; of unified tables the newest generation.
fn of_lake(store: &Store) -> Result<Tables, Failure> {
    let failed = |error| Failure::storage(&error);
    let mut latest = BTreeMap::<TableFolder, u64>::new();
    for key in store.list(&Prefix::Schemas).map_err(failed)? {
        if let Key::Schema(folder, version) = key {
            let known = latest.entry(folder).or_default();
            *known = version.max(*known);
        }
    }
    let registry = Registry::new(store.clone());
    let mut tables = Tables::new();
    // Generations ascend, so that the newest stays.
    for (folder, version) in latest {
        let schema = registry.version(&folder, version).map_err(failed)?;
        let name = format!("{}.{}", folder.schema_name(), folder.table_name());
        let generation = match folder {
            TableFolder::Unified { generation, .. } => generation,
            TableFolder::Source { .. } => 0,
        };
        tables.insert(name, of_schema(generation, &schema));
    }
    Ok(tables)
}

fn of_schema(generation: u32, schema: &Schema) -> Table {
    let columns = schema.columns.iter().map(|column| Column {
        name: column.name.clone(),
        kind: column.column_type,
        string_bytes: column.max_bytes,
        is_required: column.required,
        is_fed: true,
        first_seen: column.first_seen,
    });
    Table { generation, is_fed: true, columns: columns.collect() }
}

/// What `keelrow tables --json` prints, as far as it is read here.
#[derive(Deserialize)]
struct SavedTable {
    schema: String,
    table: String,
    folder: String,
    columns: Vec<SavedColumn>,
}

#[derive(Deserialize)]
struct SavedColumn {
    name: String,
    #[serde(rename = "type")]
    column_type: String,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    max_bytes: u64,
    #[serde(default)]
    first_seen: String,
}

fn saved(path: &Path) -> Result<Tables, Failure> {
    let wrong = |what: String| Failure::input(format!("{}: {what}", path.display()));
    let bytes = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(wrong(format!("{bytes} bytes are more than {FILE_BYTES_MAX}")));
    }
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let found: Vec<SavedTable> = serde_json::from_slice(&text)
        .map_err(|error| wrong(format!("not what `keelrow tables --json` prints: {error}")))?;
    let mut tables = Tables::new();
    for table in found {
        let generation = match TableFolder::parse(&table.folder) {
            Some(TableFolder::Unified { generation, .. }) => generation,
            Some(TableFolder::Source { .. }) => 0,
            None => return Err(wrong(format!("{:?} is no table's folder", table.folder))),
        };
        let mut columns = Vec::with_capacity(table.columns.len());
        for column in table.columns {
            let kind = type_of(&column.column_type)
                .ok_or_else(|| wrong(format!("{:?} is no type", column.column_type)))?;
            columns.push(Column {
                name: column.name,
                kind,
                string_bytes: column.max_bytes,
                is_required: column.required,
                is_fed: true,
                first_seen: parse_utc(&column.first_seen).unwrap_or_default(),
            });
        }
        let name = format!("{}.{}", table.schema, table.table);
        let is_newer = |known: &Table| known.generation < generation;
        if tables.get(&name).is_none_or(is_newer) {
            tables.insert(name, Table { generation, is_fed: true, columns });
        }
    }
    Ok(tables)
}

fn line(difference: &Difference) -> Line<'_> {
    let effect = |dialect: &Dialect| {
        let effect = difference.effect(*dialect)?;
        let effect = WarehouseEffect { effect: effect.text, breaks: effect.breaks };
        Some((dialect.name(), effect))
    };
    Line {
        table: &difference.table,
        column: difference.column.as_deref(),
        change: difference.change.label(),
        breaks: difference.breaks(),
        warehouses: Dialect::ALL.iter().filter_map(effect).collect(),
    }
}

/// One line for a difference and, where warehouses differ, one for each kind of effect.
fn print(differences: &[Difference], out: &mut impl Write) -> io::Result<()> {
    if differences.is_empty() {
        return writeln!(out, "no difference");
    }
    for difference in differences {
        let Line { table, column, warehouses, .. } = line(difference);
        let name = column.map_or_else(|| table.to_owned(), |column| format!("{table}.{column}"));
        let mut groups: Vec<(&WarehouseEffect, Vec<&str>)> = Vec::new();
        for (warehouse, effect) in &warehouses {
            match groups.iter_mut().find(|(known, _)| *known == effect) {
                Some((_, of)) => of.push(warehouse),
                None => groups.push((effect, vec![warehouse])),
            }
        }
        for (effect, of) in groups {
            let sign = if effect.breaks { "!" } else { " " };
            let of = if of.len() == Dialect::ALL.len() {
                String::new()
            } else {
                format!(" ({})", of.join(", "))
            };
            writeln!(out, "{sign} {name}: {}{of}", effect.effect)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_tables_have_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tables.json");
        std::fs::write(&path, "[]").unwrap();
        assert!(saved(&path).unwrap().is_empty());
        // Sparse: it takes no room.
        std::fs::File::create(&path).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        let failure = saved(&path).unwrap_err();
        assert!(failure.text.contains("are more than"), "{}", failure.text);
    }
}
