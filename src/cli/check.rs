//! `keelrow check`: everything that is wrong, at once.

use std::error::Error;
use std::io::{self, Write};
use std::iter::once;

use super::{ConfigFile, Failure, chain};
use crate::app::{chains, privacy_key, tls};
use crate::config::{self, Config};
use crate::unified::{DEFAULT_NAME, glob};
use crate::warehouse::{Dialect, Mapper, TableKind};

/// Arguments of `keelrow check`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Prints the effective configuration, secrets hidden.
    #[arg(long)]
    show: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (config, faults) = arguments.file.survey()?;
    let mut told: Vec<String> = Vec::new();
    if !faults.list().is_empty() {
        told.push(faults.to_string());
    }
    if let Err(faults) = chains::compile(&config) {
        told.extend(faults);
    }
    // What is wrong with the key itself is told already.
    let key_is_told = faults.list().iter().any(|fault| fault.key.starts_with("privacy.key"));
    told.extend(files(&config, key_is_told));
    if !told.is_empty() {
        return Err(Failure::input(told.join("\n")));
    }
    for warning in warnings(&config) {
        writeln!(io::stderr().lock(), "warning: {warning}")?;
    }
    let mut out = io::stdout().lock();
    if arguments.show {
        out.write_all(config::show(&config).as_bytes())?;
        return Ok(());
    }
    writeln!(out, "{}: {} sources, no faults", config.file.display(), config.sources.len())?;
    Ok(())
}

/// A line for each file that the configuration names and that is not there or of no use.
fn files(config: &Config, key_is_told: bool) -> Vec<String> {
    let mut told = tls::read(config).err().unwrap_or_default();
    let mut tell = |key: &str, error: &dyn Error| {
        told.push(format!("{}: {key}: {}", config.file.display(), chain(error)));
    };
    if !key_is_told && let Err(error) = privacy_key::check(config) {
        let key = if config.privacy.key_file.is_some() { "key_file" } else { "key" };
        tell(&format!("privacy.{key}"), &error);
    }
    if let Some(path) = &config.privacy.suppression_file
        && let Err(error) = std::fs::read_to_string(path)
    {
        tell(&format!("privacy.suppression_file {}", path.display()), &error);
    }
    told
}

/// A line for each key that is allowed and has no effect beside the others, with why.
fn warnings(config: &Config) -> Vec<String> {
    let mut told = unread_json_paths(config);
    told.extend(idle_blocks(config));
    told.extend(idle_pins(config));
    if config.journal_is_in_lake() {
        let told_of = "journal.path is in the folder of storage.url: who reads the lake meets files of \
                       open batches there, and the privacy key if one is made";
        told.push(told_of.to_owned());
    }
    told
}

/// Aliases that are no names of columns, and sources that there are not.
fn idle_blocks(config: &Config) -> Vec<String> {
    let mut told = Vec::new();
    for (n, block) in config.unified.iter().enumerate() {
        let spellings = block.aliases.iter().flat_map(|(name, others)| once(name).chain(others));
        for name in spellings.filter(|name| name.bytes().any(|byte| byte.is_ascii_uppercase())) {
            told.push(format!(
                "unified[{n}].aliases: no column is called {name:?}: names are in lower case, as \
                 `keelrow tables` shows them"
            ));
        }
        for glob in &block.sources {
            let is = |text: &str| glob::matches(glob, text);
            if !config.sources.iter().any(|source| is(&source.name) || is(&source.id)) {
                told.push(format!("unified[{n}].sources: no source is called {glob:?}"));
            }
        }
    }
    told
}

/// The tables of the layout whose columns may be pinned, beside those of events.
const TABLES: [&str; 7] =
    ["tracks", "identifies", "users", "pages", "screens", "groups", "aliases"];

/// Pins of columns to which the layout gives another type.
fn idle_pins(config: &Config) -> Vec<String> {
    let named = |dialect: &&Dialect| dialect.name() == config.load.dialect;
    let Some(dialect) = Dialect::ALL.iter().find(named) else { return Vec::new() };
    let mut mapper = Mapper::new(*dialect);
    let mut told = Vec::new();
    for (n, pin) in config.columns.iter().enumerate() {
        // A unified table has a layout of its own.
        if pin.table == DEFAULT_NAME || config.unified.iter().any(|own| own.name == pin.table) {
            continue;
        }
        let column = mapper.column(&pin.name);
        let others = |kind| {
            let fixed = mapper.standard_type(kind, column);
            fixed.filter(|fixed| fixed.label() != pin.r#type.as_str())
        };
        let mut tables: Vec<&str> = TABLES
            .into_iter()
            .filter(|table| {
                glob::matches(&pin.table, table) && others(TableKind::of(table)).is_some()
            })
            .collect();
        if TableKind::of(&pin.table) == TableKind::Event && others(TableKind::Event).is_some() {
            tables.push("tables of events");
        }
        if !tables.is_empty() {
            told.push(format!(
                "column[{n}]: {:?} has its type from the layout in {}, where this has no effect",
                pin.name,
                tables.join(", ")
            ));
        }
    }
    told
}

fn unread_json_paths(config: &Config) -> Vec<String> {
    let dialect = config.load.dialect;
    let reads = |known: &Dialect| known.name() == dialect && known.takes_json_paths();
    let read = Dialect::ALL.iter().any(reads);
    let sources = config.sources.iter().enumerate();
    sources
        .filter(|(_, source)| !read && !source.layout.json_paths.is_empty())
        .map(|(n, _)| {
            format!(
                "source[{n}].layout.json_paths is not read with load.dialect = {dialect:?}, as \
                 RudderStack does not read it there: objects are flattened"
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DIALECTS, Environment};

    #[test]
    fn blocks_that_can_take_nothing_are_told() {
        let text = "[[source]]\nname = \"web\"\nwrite_key = \"k\"\nenvironment = \"prod\"\n\
                    [[unified]]\nname = \"u\"\nsources = [\"we*\", \"nope\"]\n\
                    aliases = { a_b = [\"aB\", \"ab\"] }\n";
        let file = std::path::Path::new("keelrow.toml");
        let config = config::parse(text, file, &Environment::default()).unwrap();
        let told = warnings(&config);
        let starts = [
            "unified[0].aliases: no column is called \"aB\"",
            "unified[0].sources: no source is called \"nope\"",
        ];
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().zip(starts).all(|(told, start)| told.starts_with(start)), "{told:?}");
    }

    #[test]
    fn pins_of_columns_with_a_type_of_their_own_are_told() {
        let pin = |table: &str, name: &str, kind: &str| {
            format!("[[column]]\ntable = \"{table}\"\nname = \"{name}\"\ntype = \"{kind}\"\n")
        };
        let text = pin("*", "price", "float")
            + &pin("*", "received_at", "string")
            + &pin("tracks", "received_at", "datetime")
            + &pin("order_done", "event", "int")
            + &pin("pages", "event", "int")
            + &pin("user_events", "received_at", "string");
        let file = std::path::Path::new("keelrow.toml");
        let config = config::parse(&text, file, &Environment::default()).unwrap();
        let told = warnings(&config);
        let tables = "tracks, identifies, users, pages, screens, groups, aliases, tables of events";
        let expected = [(1, "received_at", tables), (3, "event", "tables of events")];
        let expected = expected.map(|(n, name, tables)| {
            format!(
                "column[{n}]: {name:?} has its type from the layout in {tables}, where this has no \
                 effect"
            )
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn json_paths_that_are_not_read_are_told() {
        for dialect in DIALECTS {
            let text = format!(
                "[load]\ndialect = \"{dialect}\"\n\
                 [[source]]\nname = \"a\"\nwrite_key = \"k1\"\nenvironment = \"prod\"\n\
                 [[source]]\nname = \"b\"\nwrite_key = \"k2\"\nenvironment = \"prod\"\n\
                 layout = {{ json_paths = [\"track.properties.a\"] }}\n"
            );
            let file = std::path::Path::new("keelrow.toml");
            let config = config::parse(&text, file, &Environment::default()).unwrap();
            let told = warnings(&config);
            if ["postgres", "redshift", "snowflake", "bigquery"].contains(&dialect) {
                assert!(told.is_empty(), "{dialect}: {told:?}");
            } else {
                assert_eq!(told.len(), 1, "{dialect}");
                assert!(told[0].starts_with("source[1].layout.json_paths is not read"));
            }
        }
    }
}
