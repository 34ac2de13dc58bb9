//! `keelrow columns suggest`: likely typos among the columns of the unified tables, with what the
//! rows say and the line to paste. Reads names from the registry and, of pairs that are alike, the
//! two columns from the files; shows counts, never values.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};

use serde::Serialize;

use super::progress::Progress;
use super::{ConfigFile, Failure, chain, serve, tables};
use crate::columnar::{Chunk, FileReader, Schema};
use crate::config::Config;
use crate::storage::keys::{DataFile, Key, TableFolder};
use crate::storage::registry::Registry;
use crate::storage::{self, Store};
use crate::unified::suggest::{self, Kind, Likeness, Seen};
use crate::unified::{self, MADE};
use crate::warehouse::Scalar;

/// Files of a table that are read, newest first.
const FILES_MAX: usize = 2_000;

/// Arguments of `keelrow columns`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lists likely typos among the columns of the unified tables, and the aliases to paste.
    Suggest(Suggest),
}

#[derive(Debug, clap::Args)]
struct Suggest {
    #[command(flatten)]
    file: ConfigFile,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Command::Suggest(arguments) = &arguments.command;
    let config = arguments.file.load()?;
    let runtime = serve::runtime()?;
    let store = tables::open_existing(&config.storage.url, runtime.handle())?;
    let report = report(&store, &config, &Progress::new(arguments.json))?;
    let mut out = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &report).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    print(&report, &mut out)?;
    Ok(())
}

/// What is suggested for one unified table, over all its environments.
#[derive(Debug, Serialize)]
struct Report {
    table: String,
    environments: BTreeSet<String>,
    suggestions: Vec<Suggestion>,
    /// The line for the block, with what it has already; none if nothing is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    aliases: Option<String>,
}

#[derive(Debug, Serialize)]
struct Suggestion {
    column: String,
    canonical: String,
    /// Letters to change; 0 if only separators differ.
    edits: usize,
    #[serde(rename = "type")]
    kind: &'static str,
    rows: u64,
    canonical_rows: u64,
    both_filled: u64,
    values: usize,
    /// Of the values, those that the canonical column has too.
    known_values: usize,
    score: f64,
    /// The configuration has this alias.
    configured: bool,
    alias: String,
}

/// A column of a unified table as people know it: with its variants, over all environments.
#[derive(Debug, Default)]
struct Family {
    kinds: BTreeSet<Kind>,
    /// Its columns in the files.
    members: BTreeSet<String>,
}

/// Two columns with like names and what their rows say.
#[derive(Debug)]
struct Pair {
    names: [String; 2],
    kind: Kind,
    likeness: Likeness,
    both: u64,
}

fn report(store: &Store, config: &Config, progress: &Progress) -> Result<Vec<Report>, Failure> {
    let failed = |error: storage::Error| Failure::storage(&error);
    let registry = Registry::new(store.clone());
    // One for the whole run, so that equal values have equal hashes.
    let hasher = RandomState::new();
    let mut reports = Vec::new();
    for (name, folders) in unified_tables(store).map_err(failed)? {
        let mut families = BTreeMap::new();
        for folder in folders.keys() {
            if let Some(schema) = registry.latest(folder).map_err(failed)? {
                add_families(&mut families, &schema);
            }
        }
        let mut pairs = alike(&families);
        let mut seen = BTreeMap::new();
        for files in folders.values() {
            read_files(store, (files, progress), &families, &mut pairs, &mut seen, &hasher)?;
        }
        let environments = folders.keys().map(environment).collect();
        let block = config.unified.iter().find(|block| block.name == name);
        let configured = block.map(|block| block.aliases.clone()).unwrap_or_default();
        let suggestions = judge(&pairs, &seen, &configured);
        let aliases = line(&suggestions, configured);
        reports.push(Report { table: name, environments, suggestions, aliases });
    }
    Ok(reports)
}

fn environment(folder: &TableFolder) -> String {
    match folder {
        TableFolder::Unified { environment, .. } => environment.to_string(),
        TableFolder::Source { .. } => String::new(),
    }
}

/// The files of each unified table, newest first: of each environment the newest generation.
fn unified_tables(
    store: &Store,
) -> Result<BTreeMap<String, BTreeMap<TableFolder, Vec<DataFile>>>, storage::Error> {
    let mut newest: BTreeMap<(String, String), BTreeMap<u32, Vec<DataFile>>> = BTreeMap::new();
    for file in tables::manifests(store)?.into_iter().flat_map(|manifest| manifest.files) {
        if let Some(key) = DataFile::parse(&file.path)
            && let TableFolder::Unified { environment, name, generation } = &key.folder
        {
            let table = newest.entry((name.to_string(), environment.to_string())).or_default();
            table.entry(*generation).or_default().push(key);
        }
    }
    let mut tables: BTreeMap<String, BTreeMap<TableFolder, Vec<DataFile>>> = BTreeMap::new();
    for ((name, _), mut generations) in newest {
        let Some((_, files)) = generations.pop_last() else { continue };
        let files = newest_first(files);
        if let Some(first) = files.first() {
            tables.entry(name).or_default().insert(first.folder.clone(), files);
        }
    }
    Ok(tables)
}

/// The newest files, no more than are read.
fn newest_first(mut files: Vec<DataFile>) -> Vec<DataFile> {
    files.sort_unstable_by(|a, b| (b.hour, b).cmp(&(a.hour, a)));
    files.truncate(FILES_MAX);
    files
}

/// Columns that no event fills: a property of such a name is in a variant.
fn is_filled_by_us(name: &str) -> bool {
    // The session is the SDK's, and may well be misspelled in another one.
    MADE.contains(&name) && name != "session_id"
        || matches!(name, "received_at" | "uuid_ts" | "loaded_at" | "_overflow")
}

fn add_families(families: &mut BTreeMap<String, Family>, schema: &Schema) {
    for column in &schema.columns {
        let base = schema.base_of_variant(&column.name);
        let name = base.map_or(&column.name, |base| &base.name);
        if base.is_none() && is_filled_by_us(name) {
            continue;
        }
        let family = families.entry(name.clone()).or_default();
        family.kinds.insert(Kind::of(column.column_type));
        family.members.insert(column.name.clone());
    }
}

fn alike(families: &BTreeMap<String, Family>) -> Vec<Pair> {
    let all: Vec<(&String, &Family)> = families.iter().collect();
    let mut pairs = Vec::new();
    for (at, (a, of_a)) in all.iter().enumerate() {
        for (b, of_b) in all.iter().skip(at + 1) {
            if let Some(kind) = of_a.kinds.intersection(&of_b.kinds).next()
                && let Some(likeness) = suggest::likeness(a, b)
            {
                let names = [(*a).clone(), (*b).clone()];
                pairs.push(Pair { names, kind: *kind, likeness, both: 0 });
            }
        }
    }
    pairs
}

/// Reads the columns of the pairs from the files of one environment.
fn read_files(
    store: &Store,
    (files, progress): (&[DataFile], &Progress),
    families: &BTreeMap<String, Family>,
    pairs: &mut [Pair],
    seen: &mut BTreeMap<String, Seen>,
    hasher: &RandomState,
) -> Result<(), Failure> {
    let names: BTreeSet<String> = pairs.iter().flat_map(|pair| pair.names.clone()).collect();
    let all = files.len() as u64;
    for (done, file) in (0..).zip(files).filter(|_| !names.is_empty()) {
        let table = file.folder.to_string();
        progress.show(done, all, format_args!("file {done} of {all} of {table}"));
        let key = Key::Data(file.clone());
        let Some(bytes) = store.get(&key).map_err(|error| Failure::storage(&error))? else {
            continue;
        };
        let of = |name: &str| families.get(name).map(|family| &family.members);
        let wanted =
            |column: &str| names.iter().any(|name| of(name).is_some_and(|m| m.contains(column)));
        let failed = |error| Failure { code: 1, text: format!("{key}: {}", chain(&error)) };
        let mut reader = FileReader::open(bytes, wanted).map_err(failed)?;
        let columns: BTreeMap<&String, Vec<usize>> = names
            .iter()
            .map(|name| {
                let ours = |column: &str| of(name).is_some_and(|m| m.contains(column));
                let at = reader.columns().iter().enumerate();
                (name, at.filter(|(_, (column, _))| ours(column)).map(|(at, _)| at).collect())
            })
            .collect();
        while let Some(chunk) = reader.next_chunk().map_err(failed)? {
            note_chunk(&chunk, &columns, pairs, seen, hasher);
        }
    }
    Ok(())
}

fn note_chunk(
    chunk: &Chunk,
    columns: &BTreeMap<&String, Vec<usize>>,
    pairs: &mut [Pair],
    seen: &mut BTreeMap<String, Seen>,
    hasher: &RandomState,
) {
    for row in 0..chunk.rows() {
        for (name, at) in columns {
            if let Some(value) = at.iter().find_map(|column| chunk.value(*column, row)) {
                let seen = seen.entry((*name).clone()).or_default();
                match value {
                    Scalar::Text(text) => seen.note(hasher.hash_one(text), Some(text)),
                    Scalar::Int(number) => seen.note(hasher.hash_one(number.to_string()), None),
                    Scalar::Float(number) => seen.note(hasher.hash_one(number.to_string()), None),
                    Scalar::Bool(truth) => seen.note(hasher.hash_one(truth), None),
                    Scalar::Datetime(at) => seen.note(hasher.hash_one(at), None),
                }
            }
        }
        let is_filled = |name: &String| {
            columns.get(name).is_some_and(|at| at.iter().any(|&at| chunk.is_filled(at, row)))
        };
        for pair in pairs.iter_mut() {
            pair.both += u64::from(pair.names.iter().all(is_filled));
        }
    }
}

/// Of each rare column the best pair.
fn judge(
    pairs: &[Pair],
    seen: &BTreeMap<String, Seen>,
    configured: &BTreeMap<String, Vec<String>>,
) -> Vec<Suggestion> {
    let mut best: BTreeMap<&String, Suggestion> = BTreeMap::new();
    for pair in pairs {
        let [Some(a), Some(b)] = pair.names.each_ref().map(|name| seen.get(name)) else { continue };
        let [name_a, name_b] = &pair.names;
        // Of equals the longer name: the one with its separators.
        let a_is_rare = (a.rows, name_a.len()) < (b.rows, name_b.len());
        let (column, rare, canonical, frequent) =
            if a_is_rare { (name_a, a, name_b, b) } else { (name_b, b, name_a, a) };
        let configured = configured.get(canonical).is_some_and(|of| of.contains(column));
        // An alias fills the canonical column itself: then both say nothing.
        let both = if configured { 0 } else { pair.both };
        let score = suggest::score(pair.likeness, pair.kind, rare, frequent, both);
        let is_better = best
            .get(column)
            .is_none_or(|known| (score, frequent.rows) > (known.score, known.canonical_rows));
        if score < suggest::SCORE_MIN || !is_better {
            continue;
        }
        let suggestion = Suggestion {
            column: column.clone(),
            canonical: canonical.clone(),
            edits: pair.likeness.edits,
            kind: pair.kind.name(),
            rows: rare.rows,
            canonical_rows: frequent.rows,
            both_filled: pair.both,
            values: rare.values(),
            known_values: rare.shared(frequent),
            score: (score * 100.0).round() / 100.0,
            configured,
            alias: format!("{canonical} = [\"{column}\"]"),
        };
        best.insert(column, suggestion);
    }
    let typos: BTreeSet<String> = best.keys().map(|name| (*name).clone()).collect();
    // A spelling of a spelling: the configuration takes canonical columns only.
    let mut all: Vec<Suggestion> =
        best.into_values().filter(|one| !typos.contains(&one.canonical)).collect();
    all.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.column.cmp(&b.column)));
    all
}

/// The `aliases` line with what is configured and what is new.
fn line(suggestions: &[Suggestion], mut aliases: BTreeMap<String, Vec<String>>) -> Option<String> {
    let new: Vec<&Suggestion> = suggestions.iter().filter(|one| !one.configured).collect();
    for one in &new {
        let spellings = aliases.entry(one.canonical.clone()).or_default();
        spellings.push(one.column.clone());
    }
    let entry = |(canonical, of): (&String, &Vec<String>)| {
        let quoted: Vec<String> = of.iter().map(|name| format!("\"{name}\"")).collect();
        format!("{canonical} = [{}]", quoted.join(", "))
    };
    let entries: Vec<String> = aliases.iter().map(entry).collect();
    (!new.is_empty()).then(|| format!("aliases = {{ {} }}", entries.join(", ")))
}

fn print(reports: &[Report], out: &mut impl Write) -> io::Result<()> {
    for report in reports {
        let Report { table, environments, suggestions, aliases } = report;
        let environments: Vec<&str> = environments.iter().map(String::as_str).collect();
        writeln!(out, "{table} ({})", environments.join(", "))?;
        if suggestions.is_empty() {
            writeln!(out, "  no likely typos")?;
        }
        for one in suggestions {
            let how = match one.edits {
                0 => "the same without separators".to_owned(),
                1 => "one letter apart".to_owned(),
                edits => format!("{edits} letters apart"),
            };
            let known = if one.configured { ", already an alias" } else { "" };
            writeln!(
                out,
                "  {} -> {}: {how}, both {}{known}",
                one.column, one.canonical, one.kind
            )?;
            writeln!(
                out,
                "      {} rows beside {}, both filled in {}; {} of {} values are known there",
                one.rows, one.canonical_rows, one.both_filled, one.known_values, one.values
            )?;
        }
        if let Some(line) = aliases {
            writeln!(out, "\n  to paste into [[unified]] name = \"{table}\":\n  {line}\n")?;
        }
    }
    if reports.is_empty() {
        writeln!(out, "the lake has no unified table yet ({} comes first)", unified::DEFAULT_NAME)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_newest_files_are_read() {
        let file = |batch: usize| {
            let hour = batch % 24;
            let path = format!(
                "unified/prod/user_events/v1/2026/11/21/{hour:02}/node-1-00000002-{batch:020}-0.parquet"
            );
            DataFile::parse(&path).unwrap()
        };
        let files = newest_first((1..=FILES_MAX + 24).map(file).collect());
        assert_eq!(files.len(), FILES_MAX);
        assert_eq!(files.first().unwrap().hour, file(23).hour);
        assert!(files.iter().all(|kept| kept.hour > file(24).hour || *kept > file(24)));
    }
}
