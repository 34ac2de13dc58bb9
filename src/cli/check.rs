//! `keelrow check`: everything that is wrong, at once.

use std::error::Error;
use std::io::{self, Write};
use std::iter::once;
use std::path::Path;

use serde::Serialize;

use super::{ConfigFile, Failure, chain};
use crate::app::{chains, privacy_key, suppression, tls};
use crate::config::{self, Config, Finding};
use crate::unified::{DEFAULT_NAME, glob};
use crate::warehouse::{Dialect, LAYOUT_TABLES, Mapper, TableKind};

/// Arguments of `keelrow check`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Prints the effective configuration, secrets hidden.
    #[arg(long, conflicts_with = "json")]
    show: bool,
    /// Prints faults and warnings as JSON.
    #[arg(long)]
    json: bool,
}

/// A finding as programs read it.
#[derive(Serialize)]
struct Line<'f> {
    /// `fault` or `warning`; with a fault the gateway does not start.
    severity: &'static str,
    #[serde(flatten)]
    finding: &'f Finding,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (config, faults) = survey(&arguments.file.config);
    let warnings = config.iter().filter(|_| faults.is_empty()).flat_map(warnings);
    let warnings: Vec<Finding> = warnings.collect();
    if arguments.json {
        print_json(&faults, &warnings, &mut io::stdout().lock())?;
        let told = || Failure::input(format!("{} faults", faults.len()));
        return if faults.is_empty() { Ok(()) } else { Err(told()) };
    }
    let Some(config) = config.filter(|_| faults.is_empty()) else {
        return Err(Failure::input(Finding::lines(&faults).join("\n")));
    };
    for warning in warnings {
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

/// The configuration, unless nothing of it can be read, and everything that is wrong.
fn survey(file: &Path) -> (Option<Config>, Vec<Finding>) {
    let (config, faults) = match config::survey(file, &config::environment()) {
        Ok(surveyed) => surveyed,
        Err(faults) => return (None, faults.findings().collect()),
    };
    let mut found: Vec<Finding> = faults.findings().collect();
    found.extend(chains::compile(&config).err().unwrap_or_default());
    // What is wrong with the key itself is told already.
    let key_is_told = faults.list().iter().any(|fault| fault.key.starts_with("privacy.key"));
    found.extend(files(&config, key_is_told));
    (Some(config), found)
}

fn print_json(faults: &[Finding], warnings: &[Finding], out: &mut impl Write) -> io::Result<()> {
    let line = |severity| move |finding| Line { severity, finding };
    let faults = faults.iter().map(line("fault"));
    let lines: Vec<Line<'_>> = faults.chain(warnings.iter().map(line("warning"))).collect();
    serde_json::to_writer_pretty(&mut *out, &lines)?;
    writeln!(out)
}

/// Files that the configuration names and that are not there or of no use.
fn files(config: &Config, key_is_told: bool) -> Vec<Finding> {
    let mut told = tls::read(config).err().unwrap_or_default();
    let finding = |key: &str, error: &dyn Error| Finding::of_key(&config.file, key, chain(error));
    if !key_is_told && let Err(error) = privacy_key::check(config) {
        let key = if config.privacy.key_file.is_some() { "key_file" } else { "key" };
        told.push(finding(&format!("privacy.{key}"), &error));
    }
    if let Some(path) = &config.privacy.suppression_file
        && let Err(error) = suppression::read(path)
    {
        let value = Some(format!("{:?}", path.display().to_string()));
        told.push(Finding { value, ..finding("privacy.suppression_file", &error) });
    }
    told
}

/// Keys that are allowed and have no effect beside the others, with why.
fn warnings(config: &Config) -> Vec<Finding> {
    let mut told = unread_json_paths(config);
    told.extend(idle_blocks(config));
    told.extend(idle_pins(config));
    if config.journal_is_in_lake() {
        let reason = "is in the folder of storage.url: who reads the lake meets files of open batches \
                      there, and the privacy key if one is made";
        told.push(("journal.path".to_owned(), reason.to_owned()));
    }
    told.into_iter().map(|(key, reason)| Finding::of_key(&config.file, &key, reason)).collect()
}

/// Aliases that are no names of columns, and sources that there are not.
fn idle_blocks(config: &Config) -> Vec<(String, String)> {
    let mut told = Vec::new();
    for (n, block) in config.unified.iter().enumerate() {
        let spellings = block.aliases.iter().flat_map(|(name, others)| once(name).chain(others));
        for name in spellings.filter(|name| name.bytes().any(|byte| byte.is_ascii_uppercase())) {
            let reason = format!(
                "no column is called {name:?}: names are in lower case, as `keelrow tables` shows \
                 them"
            );
            told.push((format!("unified[{n}].aliases"), reason));
        }
        for glob in &block.sources {
            let is = |text: &str| glob::matches(glob, text);
            if !config.sources.iter().any(|source| is(&source.name) || is(&source.id)) {
                let reason = format!("no source is called {glob:?}");
                told.push((format!("unified[{n}].sources"), reason));
            }
        }
    }
    told
}

/// Pins of columns to which the layout gives another type.
fn idle_pins(config: &Config) -> Vec<(String, String)> {
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
        let mut tables: Vec<&str> = LAYOUT_TABLES
            .into_iter()
            .filter(|table| {
                glob::matches(&pin.table, table) && others(TableKind::of(table)).is_some()
            })
            .collect();
        if TableKind::of(&pin.table) == TableKind::Event && others(TableKind::Event).is_some() {
            tables.push("tables of events");
        }
        if !tables.is_empty() {
            let (name, tables) = (&pin.name, tables.join(", "));
            let reason = format!(
                "{name:?} has its type from the layout in {tables}, where this has no effect"
            );
            told.push((format!("column[{n}]"), reason));
        }
    }
    told
}

fn unread_json_paths(config: &Config) -> Vec<(String, String)> {
    let dialect = config.load.dialect;
    let reads = |known: &Dialect| known.name() == dialect && known.takes_json_paths();
    let read = Dialect::ALL.iter().any(reads);
    let sources = config.sources.iter().enumerate();
    sources
        .filter(|(_, source)| !read && !source.layout.json_paths.is_empty())
        .map(|(n, _)| {
            let reason = format!(
                "is not read with load.dialect = {dialect:?}, as RudderStack does not read it there: \
                 objects are flattened"
            );
            (format!("source[{n}].layout.json_paths"), reason)
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
        let file = Path::new("keelrow.toml");
        let config = config::parse(text, file, &Environment::default()).unwrap();
        let told = Finding::lines(&warnings(&config));
        let starts = [
            "keelrow.toml: unified[0].aliases: no column is called \"aB\"",
            "keelrow.toml: unified[0].sources: no source is called \"nope\"",
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
        let file = Path::new("keelrow.toml");
        let config = config::parse(&text, file, &Environment::default()).unwrap();
        let told = Finding::lines(&warnings(&config));
        let tables = "tracks, identifies, users, pages, screens, groups, aliases, tables of events";
        let expected = [(1, "received_at", tables), (3, "event", "tables of events")];
        let expected = expected.map(|(n, name, tables)| {
            format!(
                "keelrow.toml: column[{n}]: {name:?} has its type from the layout in {tables}, where this has no \
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
            let file = Path::new("keelrow.toml");
            let config = config::parse(&text, file, &Environment::default()).unwrap();
            let told = Finding::lines(&warnings(&config));
            if ["postgres", "redshift", "snowflake", "bigquery"].contains(&dialect) {
                assert!(told.is_empty(), "{dialect}: {told:?}");
            } else {
                assert_eq!(told.len(), 1, "{dialect}");
                let start = "keelrow.toml: source[1].layout.json_paths: is not read";
                assert!(told[0].starts_with(start), "{told:?}");
            }
        }
    }
}
