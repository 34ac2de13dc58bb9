//! `keelrow unified rebuild NAME`: fills a unified table from what the lake already holds, beside
//! a running gateway or without one.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::progress::Progress;
use super::{ConfigFile, Failure, TRY_AGAIN, WRONG_INPUT, chain, serve, tables};
use crate::app;
use crate::loader::Remedy;
use crate::loader::rebuild::{Chain, Error, Rebuild};
use crate::record::Route;
use crate::source::Source;
use crate::storage::keys::Number;
use crate::storage::lake;

/// Arguments of `keelrow unified`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Fills a unified table from the batches that were committed before it was declared.
    Rebuild(RebuildArguments),
}

#[derive(Debug, clap::Args)]
struct RebuildArguments {
    /// Name of the table.
    name: String,
    #[command(flatten)]
    file: ConfigFile,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    table: String,
    generation: u32,
    /// Batches and rows of this run.
    batches: u64,
    rows: u64,
    chains: Vec<ChainReport>,
}

#[derive(Debug, Serialize)]
struct ChainReport {
    environment: String,
    writer: String,
    /// Batches that are in the table, this run's included.
    batches: u64,
    /// The first one that the gateway filled itself; none while it does not know the table yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_live: Option<u64>,
    /// First and last of the batches behind that one in which the gateway did not know the table
    /// again; they are not filled.
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<(u64, u64)>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Command::Rebuild(arguments) = &arguments.command;
    let config = arguments.file.load()?;
    let runtime = serve::runtime()?;
    let store = tables::open_existing(&config.storage.url, runtime.handle())?;
    lake::claim_dialect(&store, config.load.dialect).map_err(|error| Failure::storage(&error))?;
    let work = Work::take(&config.journal.path.join("rebuild"), &arguments.name)?;
    let settings = app::load_settings(&config);
    let routes = config.sources.iter().map(|source| Route::clone(&Source::new(source).route.route));
    let routes = routes.collect();
    let mut rebuild =
        Rebuild::new(store, &settings, &arguments.name, routes, work.folder.join("files"))
            .map_err(|error| failure(&error))?;
    let chains = rebuild.survey().map_err(|error| failure(&error))?;
    refuse(&arguments.name, rebuild.generation(), &chains)?;
    let report = fill(arguments, &mut rebuild, chains)?;
    let mut out = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &report).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    tell(&report, &mut out)?;
    Ok(())
}

/// Says so if there is nothing to fill and nothing was ever filled.
fn refuse(name: &str, generation: u32, chains: &[Chain]) -> Result<(), Failure> {
    if chains.is_empty() {
        return Err(Failure::input("the lake has no batches yet: there is nothing to fill"));
    }
    let nothing = chains.iter().all(|chain| chain.todo() == 0 && chain.done() == 0);
    if !nothing {
        return Ok(());
    }
    let next = generation.saturating_add(1);
    Err(Failure::input(format!(
        "there is nothing to fill: {name} (generation {generation}) has had its rows since the \
         first batch of the lake; to have it made anew, say generation = {next} in its [[unified]] \
         block, let the gateway take that over, and run this again"
    )))
}

fn fill(
    arguments: &RebuildArguments,
    rebuild: &mut Rebuild,
    mut chains: Vec<Chain>,
) -> Result<Report, Failure> {
    let progress = Progress::new(arguments.json);
    let all = chains.iter().map(Chain::todo).sum();
    let (mut batches, mut rows) = (0, 0);
    let show = |batches, rows| {
        progress.show(batches, all, format_args!("batch {batches} of {all}, {rows} rows"));
    };
    let mut gaps = Vec::with_capacity(chains.len());
    for chain in &mut chains {
        let expected = chain.first_live;
        show(batches, rows);
        while let Some(filled) = rebuild.step(chain).map_err(|error| failure(&error))? {
            batches += 1;
            rows += filled;
            show(batches, rows);
        }
        gaps.push(gap(expected, chain));
    }
    let reports = chains.iter().zip(gaps).map(|(chain, gap)| ChainReport {
        environment: chain.environment.clone(),
        writer: chain.source.to_string(),
        batches: chain.done(),
        first_live: chain.first_live.map(|number| number.0),
        gap,
    });
    Ok(Report {
        table: arguments.name.clone(),
        generation: rebuild.generation(),
        batches,
        rows,
        chains: reports.collect(),
    })
}

/// The batches between the first live one and the one that seemed to be it: the table was live, was
/// out of the configuration and came back, and a chain ends at its first live batch.
fn gap(expected: Option<Number>, chain: &Chain) -> Option<(u64, u64)> {
    let live = chain.first_live?.0;
    let end = expected.map_or(chain.newest.0, |expected| expected.0.saturating_sub(1));
    (live < end).then(|| (live.saturating_add(1), end))
}

fn tell(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let Report { table, generation, batches, rows, chains } = report;
    let is_whole = chains.iter().all(|chain| chain.gap.is_none());
    if *batches == 0 && !is_whole {
        writeln!(out, "{table} v{generation}: nothing was filled, and batches are missing")?;
    } else if *batches == 0 {
        writeln!(out, "{table} v{generation} has all batches already, nothing was left to do")?;
    } else {
        writeln!(out, "{table} v{generation}: {rows} rows of {batches} batches")?;
    }
    for chain in chains {
        let ChainReport { environment, writer, batches, first_live, gap } = chain;
        match first_live {
            Some(live) => writeln!(
                out,
                "  {environment}: {batches} batches of {writer}, live from batch {live} on"
            )?,
            None => writeln!(
                out,
                "  {environment}: {batches} batches of {writer}, which does not fill the table yet: \
                 run this again once it does"
            )?,
        }
        if let Some((first, last)) = gap {
            let next = generation.saturating_add(1);
            writeln!(
                out,
                "  {environment}: batches {first} to {last} of {writer} are not all in the table, \
                 which was out of the configuration in between: generation = {next} in its \
                 [[unified]] block has it made anew"
            )?;
        }
    }
    Ok(())
}

/// The local folder of one run, locked.
struct Work {
    folder: PathBuf,
    /// Unlocks when it is closed.
    _lock: File,
}

impl Work {
    fn take(below: &Path, name: &str) -> Result<Self, Failure> {
        let bad = name.is_empty() || name.contains(['/', '\\', '.']);
        if bad {
            return Err(Failure::input(format!("{name:?} is no table's name")));
        }
        let folder = below.join(name);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                let text = format!("another rebuild of {name} runs here");
                Err(Failure { code: TRY_AGAIN, text })
            }
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

fn failure(error: &Error) -> Failure {
    let code = match error {
        Error::NoTable { .. } | Error::NoSource { .. } => WRONG_INPUT,
        Error::Loader(error) if error.remedy() == Remedy::Retry => TRY_AGAIN,
        Error::Beaten { .. } => TRY_AGAIN,
        _ => 1,
    };
    Failure { code, text: chain(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_that_are_missing_are_named() {
        let chain = |gap| ChainReport {
            environment: "prod".into(),
            writer: "w".into(),
            batches: 0,
            first_live: Some(1),
            gap,
        };
        let told = |gap| {
            let chains = vec![chain(gap)];
            let report = Report { table: "u2".into(), generation: 1, batches: 0, rows: 0, chains };
            let mut out = Vec::new();
            tell(&report, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(told(None).contains("has all batches already"));
        let gap = told(Some((2, 4)));
        assert!(gap.contains("batches 2 to 4 of w are not all in the table"), "{gap}");
        assert!(gap.contains("generation = 2") && !gap.contains("all batches already"), "{gap}");
    }
}
