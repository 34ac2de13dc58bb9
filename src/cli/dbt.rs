//! `keelrow dbt --out DIR`: writes a dbt project over the tables of the lake.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{ConfigFile, Failure, serve, tables, write_file};
use crate::app;
use crate::dbt::{self, Lake, MARK, Table};
use crate::record::Route;
use crate::source::Source;
use crate::sql;
use crate::storage::keys::{Key, Prefix, TableFolder};
use crate::storage::registry::Registry;
use crate::storage::{self, Store};
use crate::warehouse::Dialect;

/// Arguments of `keelrow dbt`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The project's folder; it is made, or a project of ours in it is replaced.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    file: ConfigFile,
    /// The warehouse that dbt runs on; that of `load.dialect` unless given. `datalake` is DuckDB on
    /// the files themselves.
    #[arg(long, value_name = "DIALECT")]
    dialect: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.file.load()?;
    let name = arguments.dialect.as_deref().unwrap_or(config.load.dialect);
    // DuckDB reads the lake; so it is called by some.
    let name = if name == "duckdb" { "datalake" } else { name };
    let dialect = Dialect::ALL.into_iter().find(|dialect| dialect.name() == name);
    let dialect = dialect.ok_or_else(|| Failure::input(format!("there is no dialect {name}")))?;
    let runtime = serve::runtime()?;
    let store = tables::open_existing(&config.storage.url, runtime.handle())?;
    let unified = app::load_settings(&config).unified().map_err(|error| Failure::other(&error))?;
    let routes = config.sources.iter().map(|source| Route::clone(&Source::new(source).route.route));
    let lake = Lake {
        dialect,
        location: location(&config.storage.url)?,
        tables: gather(&store, dialect).map_err(|error| Failure::storage(&error))?,
        unified,
        routes: routes.collect(),
    };
    check_folder(&arguments.out)?;
    let files = dbt::project(&lake);
    for file in &files {
        write_file(&arguments.out.join(&file.path), &file.text)?;
    }
    let tables = lake.tables.len();
    let out = arguments.out.display();
    writeln!(io::stdout(), "{} files over {tables} tables in {out}", files.len())?;
    writeln!(io::stdout(), "next: cd {out} && dbt build --profiles-dir .")?;
    Ok(())
}

/// Where dbt's process finds the files, wherever it runs.
fn location(url: &str) -> Result<String, Failure> {
    let path = match url.split_once("://") {
        None => url,
        Some(("file", path)) => path,
        Some(_) => return Ok(url.trim_end_matches('/').to_owned()),
    };
    Ok(fs::canonicalize(path)?.display().to_string())
}

/// The newest columns of every table.
fn gather(store: &Store, dialect: Dialect) -> Result<Vec<Table>, storage::Error> {
    let mut latest = BTreeMap::<TableFolder, u64>::new();
    for key in store.list(&Prefix::Schemas)? {
        if let Key::Schema(folder, version) = key {
            let known = latest.entry(folder).or_default();
            *known = version.max(*known);
        }
    }
    let registry = Registry::new(store.clone());
    // An older generation of a unified table has the same name as the newest.
    let mut tables = BTreeMap::new();
    for (folder, version) in latest {
        let unified = match &folder {
            TableFolder::Unified { environment, generation, .. } => {
                Some((environment.to_string(), *generation))
            }
            TableFolder::Source { .. } => None,
        };
        let (schema, name) = (folder.schema_name(), folder.table_name().to_owned());
        let columns = registry.version(&folder, version)?.as_ref().clone();
        let (folder, label) = (folder.to_string(), name.clone());
        let table =
            Table { schema: schema.clone(), name: name.clone(), label, folder, unified, columns };
        tables.insert((schema, name), table);
    }
    let mut tables: Vec<Table> = tables.into_values().collect();
    label(dialect, &mut tables);
    Ok(tables)
}

/// Tables and columns have the names that `keelrow sql` gives them; DuckDB reads the files.
fn label(dialect: Dialect, tables: &mut [Table]) {
    let Some(dialect) = sql::Dialect::of_lake(dialect) else { return };
    let of_sql = |table: &Table| {
        let origin = match &table.unified {
            None => sql::Origin::Source,
            Some((environment, generation)) => sql::Origin::Unified {
                environment: environment.clone(),
                block: table.name.clone(),
                generation: *generation,
            },
        };
        sql::Table::new(dialect, (&table.schema, &table.name), origin, &table.columns)
    };
    let mut labelled: Vec<sql::Table> = tables.iter().map(of_sql).collect();
    sql::label_tables(dialect, &mut labelled);
    for (table, of_sql) in tables.iter_mut().zip(labelled) {
        table.label = of_sql.label;
        for (column, of_sql) in table.columns.columns.iter_mut().zip(of_sql.columns) {
            column.name = of_sql.label;
        }
    }
}

/// Nobody else's project is replaced.
fn check_folder(out: &Path) -> Result<(), Failure> {
    match fs::read_to_string(out.join("dbt_project.yml")) {
        Ok(text) if !text.contains(MARK) => {
            Err(Failure::input(format!("{} has a dbt project of another kind", out.display())))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::unwritable(out, &error))
        }
        _ => Ok(()),
    }
}
