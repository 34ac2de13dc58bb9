//! `keelrow transform` on the configuration's sources: finds chains, runs scripts, runs the cases.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::transform::{self, Chain, Chains, PackStage, Sender, Stage, Unresolved};
use super::{Failure, cases, chain};
use crate::app::{chains, privacy_key, script_limits};
use crate::config::{self, Config, Finding};
use crate::event::enrich::Fields;
use crate::event::{Node, Parser, known};
use crate::ingest;
use crate::script::{self, Input, Limits, Metadata, Outcome, Runtime, Script};
use crate::source::{LookupError, Platform, Source, Sources};
use crate::transform::{Pack, Pseudonyms};

/// Arguments of `keelrow transform`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file; without one there are no sources but the default pack.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The source whose transformations bare events get.
    #[arg(long, value_name = "ID_OR_NAME")]
    source: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Runs the cases of files or folders; without any, transforms/cases.
    Test {
        /// Files of cases, or folders with such files.
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
}

/// The configuration file that is taken when there is one.
const USUAL_FILE: &str = "keelrow.toml";
/// What a bare event without a source gets.
const DEFAULT_TRANSFORMS: &str = "pii";

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = configuration(arguments.config.as_deref())?;
    if let Some(Command::Test { paths }) = &arguments.command {
        return test(&config, paths);
    }
    let pseudonyms = Arc::new(pseudonyms(&config)?);
    let sources = Sources::new(&config.sources);
    let wrong = |faults: Vec<Finding>| Failure::input(Finding::lines(&faults).join("\n"));
    let compiled = chains::compile(&config).map_err(wrong)?;
    let nobody = chains::compile_names(&config, &[DEFAULT_TRANSFORMS.to_owned()]).map_err(wrong)?;
    let limits = script_limits(&config);
    let mut found = Found { sources, compiled, nobody, pseudonyms, limits, made: HashMap::new() };
    let (mut input, mut output) = (io::stdin().lock(), io::BufWriter::new(io::stdout().lock()));
    let source = arguments.source.as_deref();
    transform::run(&mut input, &mut output, &mut io::stderr().lock(), source, &mut found)
        .map_err(|error| Failure { code: error.exit_code(), text: chain(&error) })?;
    Ok(())
}

fn configuration(file: Option<&Path>) -> Result<Config, Failure> {
    let environment = config::environment();
    let usual = Path::new(USUAL_FILE);
    let loaded = match file {
        Some(file) => config::load(file, &environment),
        None if usual.try_exists()? => config::load(usual, &environment),
        None => config::parse("", usual, &environment),
    };
    loaded.map_err(|faults| Failure::input(faults.to_string()))
}

/// The key of the configuration, or the one that was made for it, so that hashes are those of
/// `serve`; a key for this run only where there is none yet, since nothing is written here.
fn pseudonyms(config: &Config) -> Result<Pseudonyms, Failure> {
    match privacy_key::load_existing(config) {
        Ok(Some(pseudonyms)) => Ok(pseudonyms),
        Ok(None) => {
            writeln!(io::stderr(), "keelrow: no privacy key yet, so hashes are of this run only")?;
            privacy_key::of_this_run(config, &crate::clock::System::new())
                .map_err(|error| Failure::input(chain(&error)))
        }
        Err(error) => Err(Failure::input(chain(&error))),
    }
}

/// The chains of the sources, put together when they are first asked for.
struct Found {
    sources: Sources,
    compiled: ingest::Chains,
    nobody: ingest::Chain,
    pseudonyms: Arc<Pseudonyms>,
    limits: Limits,
    made: HashMap<String, Chain>,
}

impl Chains for Found {
    fn chain(&mut self, sender: Sender<'_>) -> Result<&mut Chain, Unresolved> {
        let source = match sender {
            Sender::WriteKey(key) => {
                Some(self.sources.by_write_key(key).ok_or(Unresolved::UnknownKey)?)
            }
            Sender::Source(text) => {
                Some(self.sources.by_id_or_name(text).map_err(|error| match error {
                    LookupError::Unknown => Unresolved::UnknownSource,
                    LookupError::Ambiguous => Unresolved::Ambiguous,
                })?)
            }
            Sender::Nobody => None,
        };
        let id = source.map(|source| source.id.clone()).unwrap_or_default();
        let chain = match self.compiled.get(&id) {
            Some(chain) => chain,
            None => &self.nobody,
        };
        let (pseudonyms, limits) = (&self.pseudonyms, &self.limits);
        let told = source.map(|source| Told::of(source)).unwrap_or_default();
        let make = || stages(chain, pseudonyms, limits, &told);
        Ok(self.made.entry(id).or_insert_with(make))
    }
}

/// What scripts are told of the source.
#[derive(Clone, Default)]
struct Told {
    id: Option<String>,
    name: Option<String>,
    kind: Option<&'static str>,
}

impl Told {
    fn of(source: &Source) -> Self {
        Self {
            id: Some(source.id.clone()),
            name: Some(source.name.clone()),
            kind: source.platform.map(Platform::as_str),
        }
    }
}

fn stages(
    chain: &ingest::Chain,
    pseudonyms: &Arc<Pseudonyms>,
    limits: &Limits,
    told: &Told,
) -> Chain {
    let stage = |stage: ingest::Stage| -> Box<dyn Stage> {
        match stage {
            ingest::Stage::Pack(pack) => Box::new(PackStage::new(pack, Arc::clone(pseudonyms))),
            ingest::Stage::Script(script) => {
                let (runtime, told) = (Runtime::new(limits.clone()), told.clone());
                Box::new(ScriptStage { script, runtime, told })
            }
        }
    };
    chain.stages().map(stage).collect()
}

/// A script as a stage.
struct ScriptStage {
    script: Arc<Script>,
    runtime: Runtime,
    told: Told,
}

impl Stage for ScriptStage {
    fn run(&mut self, events: &[String]) -> Vec<Result<Vec<String>, String>> {
        let mut parser = Parser::new();
        let names: Vec<[String; 4]> =
            events.iter().map(|event| names(&mut parser, event)).collect();
        let inputs: Vec<Input<'_>> = events
            .iter()
            .zip(&names)
            .map(|(event, [message_id, name, kind, received_at])| Input {
                event,
                metadata: Metadata {
                    source_id: self.told.id.as_deref(),
                    source_name: self.told.name.as_deref(),
                    source_type: self.told.kind,
                    message_id: some(message_id),
                    event_name: some(name),
                    event_type: some(kind),
                    received_at: some(received_at),
                    ..Metadata::default()
                },
            })
            .collect();
        match self.runtime.run(&self.script, &inputs, &|| false) {
            Ok(outcomes) => outcomes.into_iter().map(parts).collect(),
            Err(script::Stopped) => Vec::new(),
        }
    }
}

/// What an event does not have, scripts are not told of.
fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn names(parser: &mut Parser, event: &str) -> [String; 4] {
    let Ok(tape) = parser.parse(event.as_bytes()) else { return Default::default() };
    let fields = Fields::of(tape.root());
    [known::MESSAGE_ID, known::EVENT, known::TYPE, known::RECEIVED_AT]
        .map(|key| fields.get(key).and_then(Node::text).unwrap_or_default().into_owned())
}

fn parts(outcome: Result<Outcome, script::Error>) -> Result<Vec<String>, String> {
    match outcome {
        Ok(Outcome::Keep(event)) => Ok(vec![event]),
        Ok(Outcome::Drop) => Ok(Vec::new()),
        Ok(Outcome::Split(parts)) => Ok(parts),
        Err(error) => Err(error.to_string()),
    }
}

fn test(config: &Config, paths: &[PathBuf]) -> Result<(), Failure> {
    // Beside the configuration, as the transformations are.
    let folder = config.file.parent().unwrap_or_else(|| Path::new(""));
    let usual = [folder.join("transforms/cases")];
    let files = case_files(if paths.is_empty() { &usual } else { paths })?;
    let key = Pseudonyms::new(cases::CASE_KEY, 1).map_err(|error| Failure::other(&error))?;
    let (key, limits) = (Arc::new(key), script_limits(config));
    let (mut passed, mut failures) = (0, Vec::new());
    for file in &files {
        let mut chain = |names: &[String], metadata: &Value| {
            let wrong = |faults: Vec<Finding>| Finding::lines(&faults).join("; ");
            let chain = chains::compile_names(config, names).map_err(wrong)?;
            let text = |key| metadata.get(key).and_then(Value::as_str).map(str::to_owned);
            let told = Told { id: text("sourceId"), name: text("sourceName"), kind: None };
            Ok(stages(&chain, &key, &limits, &told))
        };
        let (name, text) = (file.display().to_string(), fs::read_to_string(file)?);
        let report = cases::run(&name, &text, &usual_for(file), &mut chain);
        passed += report.passed;
        failures.extend(report.failures);
    }
    let mut out = io::stdout().lock();
    for failure in &failures {
        writeln!(out, "{failure}")?;
    }
    writeln!(out, "cases: {passed} passed, {} failed", failures.len())?;
    if !failures.is_empty() || passed == 0 {
        return Err(Failure { code: 1, text: format!("{} of the cases failed", failures.len()) });
    }
    Ok(())
}

/// What the cases of a file are for: the transformation or the sample of its name in the folder
/// above, else the built-in pack of its name, else the default pack.
fn usual_for(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default();
    let folder = file.parent().and_then(Path::parent).unwrap_or_else(|| Path::new(""));
    let own =
        [("", "toml"), ("", "js"), ("samples", "js")].into_iter().find_map(|(below, ending)| {
            folder.join(below).join(stem).with_extension(ending).canonicalize().ok()
        });
    let stem = stem.to_string_lossy();
    match own {
        Some(own) => own.display().to_string(),
        None if Pack::builtin_names().any(|name| name == stem) => stem.into_owned(),
        None => DEFAULT_TRANSFORMS.to_owned(),
    }
}

/// The files named, and those of the folders named, in order.
fn case_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        let unreadable = |error| Failure::input(format!("{}: {error}", path.display()));
        if fs::metadata(path).map_err(unreadable)?.is_dir() {
            for entry in fs::read_dir(path).map_err(unreadable)? {
                let path = entry?.path();
                if path.extension().is_some_and(|ending| ending == "jsonl") {
                    files.push(path);
                }
            }
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    Ok(files)
}
