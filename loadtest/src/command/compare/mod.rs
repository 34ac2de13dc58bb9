//! `loadtest compare`: CPU per event of keelrow and of a bare server, in interleaved rounds, so that
//! a neighbour who slows the machine slows both. Ratios are made round by round.

mod loader;
mod shapes;
mod start;

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use self::loader::LoaderRow;
use self::shapes::{Bench, Round, Row, SHAPES};
use super::{Spread, Workplace};
use crate::cli::CompareArgs;
use crate::output::Progress;
use crate::process::Machine;
use crate::profile::Profile;
use crate::server::{Server, Setup};

/// Threads whose name begins so belong to the loader, not to taking events in.
const LOADER: &str = "loader";

/// What `compare` found.
#[derive(Debug, Serialize)]
pub(crate) struct Compared {
    /// The machine.
    pub(crate) machine: Machine,
    /// Whether this harness was built without optimisation, which slows the sender only.
    pub(crate) slow_build: bool,
    /// Rounds.
    pub(crate) rounds: usize,
    /// One row a shape.
    pub(crate) shapes: Vec<Row>,
    /// The loader's figures.
    pub(crate) loader: Vec<LoaderRow>,
    /// From the start of the process to the first accepted event, milliseconds.
    pub(crate) start_ms: Option<Spread>,
    /// Highest resident memory of keelrow, MiB.
    pub(crate) memory_mib: f64,
}

/// Runs all rounds.
///
/// # Errors
/// When a server does not start, or refuses what it is sent.
pub(crate) async fn run(args: &CompareArgs) -> anyhow::Result<Compared> {
    let workplace = Workplace::new(None)?;
    let profile = Profile::open("single")?;
    let mut progress = Progress::new();
    let mut setup = Setup::new(&workplace.path().join("keelrow"), &profile.sources);
    let elsewhere = match &args.journal {
        Some(folder) => Some(tempfile::tempdir_in(folder).context("make the journal's folder")?),
        None => None,
    };
    setup.journal = elsewhere.as_ref().map(|folder| folder.path().join("journal"));
    let mut keelrow = Server::start(&args.keelrow, &setup, &[]).await?;
    keelrow.ready().await?;
    let mut bare = Vec::new();
    for work in ["read", "gunzip"] {
        bare.push((
            work,
            shapes::bare_server(workplace.path(), work, args.baseline_threads).await?,
        ));
    }
    let mut bench = Bench { args, keelrow, bare, seed: 1, memory: 0 };
    progress.show("warming up");
    for shape in SHAPES {
        bench.round(shape, args.events.div_ceil(10)).await?;
    }
    let mut rounds: [Vec<Round>; SHAPES.len()] = Default::default();
    for round in 0..args.rounds {
        for (shape, rounds) in SHAPES.iter().zip(&mut rounds) {
            progress.show(&format!("round {} of {}: {}", round + 1, args.rounds, shape.name));
            rounds.push(bench.round(*shape, args.events).await?);
        }
    }
    bench.keelrow.stop(Duration::from_secs(60)).await?;
    let memory = bench.memory;
    drop(bench);
    let mut start_ms = Vec::new();
    for round in 0..args.rounds {
        progress.show(&format!("start {} of {}", round + 1, args.rounds));
        start_ms.push(start::measure(args, workplace.path(), round, &profile).await?);
    }
    let mut loader = Vec::new();
    for events in args.loader_events.iter().copied().filter(|events| *events > 0) {
        progress.show(&format!("loader, {events} events"));
        loader.push(loader::measure(args, workplace.path(), events).await?);
    }
    progress.end();
    Ok(Compared {
        machine: Machine::read(),
        slow_build: cfg!(debug_assertions),
        rounds: args.rounds,
        shapes: SHAPES
            .iter()
            .zip(rounds)
            .map(|(shape, rounds)| shapes::row(*shape, rounds))
            .collect(),
        loader,
        start_ms: Spread::of(&start_ms),
        memory_mib: mib(memory),
    })
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a round stay below 2^53")]
fn us_each(ns: u64, events: u64) -> f64 {
    ns as f64 / 1_000.0 / events.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// A figure's cell in a table.
fn cell(spread: &Option<Spread>, digits: usize) -> String {
    spread.as_ref().map_or_else(|| "-".to_owned(), |spread| spread.text(digits))
}

/// The comparison as markdown.
pub(crate) fn text(compared: &Compared) -> String {
    let machine = &compared.machine;
    let mut text = format!(
        "{} x {}, Linux {}; {} interleaved rounds, median [min-max]\n\n{}\n{}\n\
         start to first accepted event: {} ms; resident memory at load: {:.0} MiB\n",
        machine.processors,
        machine.processor,
        machine.kernel,
        compared.rounds,
        shapes::table(&compared.shapes),
        loader::table(&compared.loader),
        cell(&compared.start_ms, 1),
        compared.memory_mib
    );
    if compared.slow_build {
        text.push_str("this harness was built without optimisation: build it with --release\n");
    }
    text
}
