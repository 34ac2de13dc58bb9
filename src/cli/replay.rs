//! `keelrow replay`: makes the files of committed batches again from the journal.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Serialize;

use super::{ConfigFile, Failure, TRY_AGAIN, WRONG_INPUT, chain, serve, tables};
use crate::app::loaded_to;
use crate::journal::disk::{self, Log};
use crate::journal::{self, Journal};
use crate::loader::replay::{Fate, Replay};
use crate::loader::{Error, Remedy, Services, Settings, Warehouse};
use crate::storage::keys::{Number, Part};

/// Arguments of `keelrow replay`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Number of the first batch.
    #[arg(long, value_name = "NUMBER")]
    from: u64,
    /// Number of the last batch.
    #[arg(long, value_name = "NUMBER")]
    to: u64,
    /// Whose batches; the journal's own writer unless it is a copy of another's.
    #[arg(long, value_name = "ID")]
    writer: Option<String>,
    /// Writes the files below this folder and leaves the lake as it is.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Prints JSON, one line for each file.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    batch: u64,
    path: &'a str,
    fate: &'static str,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.file.load()?;
    if arguments.from == 0 || arguments.from > arguments.to {
        return Err(Failure::input("--from and --to are batch numbers, the first is 1"));
    }
    let folder = &config.journal.path;
    if !folder.is_dir() {
        return Err(Failure::input(format!("there is no journal at {}", folder.display())));
    }
    let runtime = serve::runtime()?;
    let store = tables::open_existing(&config.storage.url, runtime.handle())?;
    let world = serve::world();
    let options = disk::Options {
        keep: config.journal.keep,
        loaded: loaded_to(folder),
        ..disk::Options::new(folder.clone(), config.node.name.clone())
            .within(config.journal.max_bytes)
    };
    let log = Log::open(options, Arc::clone(&world.clock), Arc::clone(&world.ids));
    let log = Arc::new(log.map_err(|error| journal_failure(&error))?);
    let writer = arguments.writer.as_deref().unwrap_or_else(|| log.writer_id()).to_owned();
    let writer = Part::new(&writer).map_err(|error| Failure::other(&error))?;
    // A batch is made again with the settings of its plan: these are never asked.
    let settings = Arc::new(ArcSwap::from_pointee(Settings::default()));
    let workshop = Warehouse::new(settings).map_err(|error| Failure::other(&error))?;
    let services =
        Services { journal: log, store, clock: world.clock, workshop: Box::new(workshop) };
    let replay = Replay::new(services, folder.join("replay"));
    let mut replay = replay.map_err(|error| failure(&error))?;
    replay_all(arguments, &mut replay, &writer)
}

fn replay_all(arguments: &Arguments, replay: &mut Replay, writer: &Part) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let progress = io::stderr().is_terminal() && !arguments.json;
    let (mut files, mut bad) = (0_u64, 0_u64);
    for number in arguments.from..=arguments.to {
        if progress {
            write!(io::stderr(), "\rbatch {number} of {} ", arguments.to)?;
        }
        let outcomes = replay.batch(writer, Number(number), arguments.out.as_deref());
        let Some(outcomes) = outcomes.map_err(|error| failure(&error))? else {
            let text = format!("writer {writer} has no batch {number}");
            return Err(Failure { code: WRONG_INPUT, text });
        };
        for outcome in &outcomes {
            files += 1;
            bad += u64::from(outcome.fate.is_bad());
            let (path, fate) = (outcome.path.as_str(), outcome.fate.name());
            if arguments.json {
                serde_json::to_writer(&mut out, &Line { batch: number, path, fate })
                    .map_err(io::Error::from)?;
                writeln!(out)?;
            } else if outcome.fate != Fate::Verified {
                writeln!(out, "{fate}: {path}")?;
            }
        }
    }
    if progress {
        writeln!(io::stderr())?;
    }
    if !arguments.json {
        writeln!(out, "{files} files, {bad} of them need a look")?;
    }
    if bad > 0 {
        return Err(Failure { code: 1, text: format!("{bad} files are damaged or lost") });
    }
    Ok(())
}

fn journal_failure(error: &journal::Error) -> Failure {
    let code = if matches!(error, journal::Error::Locked { .. }) { TRY_AGAIN } else { 1 };
    Failure { code, text: chain(error) }
}

fn failure(error: &Error) -> Failure {
    let code = if error.remedy() == Remedy::Retry { TRY_AGAIN } else { 1 };
    Failure { code, text: error.chain() }
}
