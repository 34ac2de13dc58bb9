//! `loadtest compare`: CPU per event of keelrow and of a bare server, in interleaved rounds, so that
//! a neighbour who slows the machine slows both. Ratios are made round by round.

mod ack;
mod marks;
mod page;
mod product;
pub(super) mod shapes;
mod start;
mod sync;

use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use tempfile::TempDir;

use self::ack::Acknowledged;
use self::product::Sustained;
use self::shapes::{Bench, Row, SHAPES};
use self::sync::Synced;
use super::Workplace;
use super::figures::{Spread, mib};
use super::loader::{self, LoaderRow};
use crate::cli::{CompareArgs, Measure};
use crate::clock;
use crate::misuse::misuse;
use crate::output::Progress;
use crate::process::Machine;
use crate::profile::Profile;
use crate::server::{Server, Setup};

/// What `compare` found.
#[derive(Debug, Serialize)]
pub(crate) struct Compared {
    /// The machine.
    pub(crate) machine: Machine,
    /// When it began.
    pub(crate) began: String,
    /// The commit of the working tree, if it ran in one.
    pub(crate) commit: Option<String>,
    /// The command line, as typed.
    pub(crate) command: String,
    /// Whether this harness was built without optimisation, which slows the sender only.
    pub(crate) slow_build: bool,
    /// Rounds.
    pub(crate) rounds: usize,
    /// One row a shape.
    pub(crate) shapes: Vec<Row>,
    /// What the disk's sync costs.
    pub(crate) synced: Option<Synced>,
    /// How long acknowledgements take.
    pub(crate) acknowledged: Option<Acknowledged>,
    /// Everything at once.
    pub(crate) sustained: Option<Sustained>,
    /// The loader's figures.
    pub(crate) loader: Vec<LoaderRow>,
    /// From the start of the process to the first accepted event, milliseconds.
    pub(crate) start_ms: Option<Spread>,
    /// Highest resident memory of keelrow while the shapes were sent, MiB.
    pub(crate) memory_mib: f64,
}

/// The figures of all rounds so far.
#[derive(Default)]
struct Rounds {
    shapes: [Vec<shapes::Round>; SHAPES.len()],
    sync: Vec<sync::Round>,
    ack: Vec<ack::Round>,
    product: Vec<product::Round>,
    start_ms: Vec<f64>,
}

/// What all rounds are made with.
struct Stage<'a> {
    args: &'a CompareArgs,
    folder: &'a Path,
    bench: Bench<'a>,
    /// The same program with its journal in memory.
    memory: Option<Server>,
    progress: Progress,
}

/// Runs all rounds.
///
/// # Errors
/// When the page for the tables is not one, a server does not start, or refuses what it is sent.
pub(crate) async fn run(args: &CompareArgs) -> anyhow::Result<Compared> {
    let began = clock::iso(clock::wall_millis());
    if let Some(path) = &args.markdown {
        page::check(path).map_err(misuse)?;
    }
    let workplace = Workplace::new(None)?;
    let elsewhere = args.journal.as_deref().map(journal_in).transpose()?;
    let in_memory = args.does(Measure::Sync).then(|| journal_in(&args.memory)).transpose()?;
    let keelrow = served(args, workplace.path(), "keelrow", elsewhere.as_ref()).await?;
    let memory = match &in_memory {
        Some(folder) => Some(served(args, workplace.path(), "memory", Some(folder)).await?),
        None => None,
    };
    let mut bare = Vec::new();
    for work in ["read", "gunzip"] {
        bare.push((
            work,
            shapes::bare_server(workplace.path(), work, args.baseline_threads).await?,
        ));
    }
    let bench = Bench { args, keelrow, bare, seed: 1, memory: 0 };
    let (folder, progress) = (workplace.path(), Progress::new());
    let mut stage = Stage { args, folder, bench, memory, progress };
    stage.warm_up().await?;
    let mut rounds = Rounds::default();
    for number in 0..args.rounds {
        stage.round(number, &mut rounds).await?;
    }
    stage.bench.keelrow.stop().await?;
    let (memory, mut progress) = (stage.bench.memory, stage.progress);
    drop((stage.bench, stage.memory));
    let mut loader = Vec::new();
    let sizes = args.loader_events.iter().copied().filter(|events| *events > 0);
    for events in sizes.filter(|_| args.does(Measure::Loader)) {
        for profile in loader::PROFILES {
            progress.show(&format!("loader, {profile}, batches of {events} events"));
            let work = loader::Work { keelrow: &args.keelrow, profile, events };
            loader.push(loader::row(&work, args.rounds, workplace.path()).await?);
        }
    }
    progress.end();
    let Rounds { shapes, sync, ack, product, start_ms } = rounds;
    let shapes = SHAPES.iter().zip(shapes).filter(|(_, rounds)| !rounds.is_empty());
    let compared = Compared {
        machine: Machine::read(),
        began,
        commit: page::commit(),
        command: std::env::args().collect::<Vec<_>>().join(" "),
        slow_build: cfg!(debug_assertions),
        rounds: args.rounds,
        shapes: shapes.map(|(shape, rounds)| shapes::row(*shape, rounds)).collect(),
        synced: (!sync.is_empty()).then(|| sync::conclude(&sync)),
        acknowledged: (!ack.is_empty()).then(|| ack::conclude(&ack)),
        sustained: (!product.is_empty()).then(|| product::conclude(args, &product)),
        loader,
        start_ms: Spread::of(&start_ms),
        memory_mib: mib(memory),
    };
    if let Some(path) = &args.markdown {
        page::put(path, &text(&compared))?;
    }
    Ok(compared)
}

fn journal_in(folder: &Path) -> anyhow::Result<TempDir> {
    tempfile::tempdir_in(folder).context("make the journal's folder")
}

/// Starts keelrow with the source of single events.
async fn served(
    args: &CompareArgs,
    folder: &Path,
    name: &str,
    journal: Option<&TempDir>,
) -> anyhow::Result<Server> {
    let mut setup = Setup::new(&folder.join(name), &Profile::open("single")?.sources);
    setup.journal = journal.map(|folder| folder.path().join("journal"));
    let mut server = Server::start(&args.keelrow, &setup, &[])?;
    server.ready().await?;
    Ok(server)
}

impl Stage<'_> {
    async fn warm_up(&mut self) -> anyhow::Result<()> {
        self.progress.show("warming up");
        for shape in SHAPES {
            self.bench.round(shape, self.args.events.div_ceil(10)).await?;
        }
        Ok(())
    }

    async fn round(&mut self, number: usize, rounds: &mut Rounds) -> anyhow::Result<()> {
        let Self { args, folder, bench, memory, progress } = self;
        let title = format!("round {} of {}", number + 1, args.rounds);
        let seed = u64::try_from(number)?;
        if args.does(Measure::Shapes) {
            for (shape, rounds) in SHAPES.iter().zip(&mut rounds.shapes) {
                progress.show(&format!("{title}: {}", shape.name));
                rounds.push(bench.round(*shape, args.events).await?);
            }
        }
        if let Some(memory) = memory {
            progress.show(&format!("{title}: sync"));
            rounds.sync.push(sync::round(args, &bench.keelrow, memory, 1_000 + seed).await?);
        }
        if args.does(Measure::Ack) {
            progress.show(&format!("{title}: acknowledgements"));
            rounds.ack.push(ack::round(args, &bench.keelrow, folder, 2_000 + 2 * seed).await?);
        }
        if args.does(Measure::Start) {
            progress.show(&format!("{title}: start"));
            let profile = Profile::open("single")?;
            rounds.start_ms.push(start::measure(args, folder, number, &profile).await?);
        }
        if args.does(Measure::Product) {
            progress.show(&format!("{title}: whole product"));
            rounds.product.push(product::round(args, folder, number).await?);
        }
        Ok(())
    }
}

/// The comparison as markdown.
pub(crate) fn text(compared: &Compared) -> String {
    let machine = &compared.machine;
    let commit = compared.commit.as_deref().map(|commit| format!(", commit {commit}"));
    let mut text = format!(
        "`{}`\n\n{}: {} x {}, Linux {}{}; {} interleaved rounds, median [min-max].\n\n{}",
        compared.command,
        compared.began,
        machine.processors,
        machine.processor,
        machine.kernel,
        commit.unwrap_or_default(),
        compared.rounds,
        marks::table(compared),
    );
    let tables = [
        (!compared.shapes.is_empty()).then(|| shapes::table(&compared.shapes)),
        compared.synced.as_ref().map(sync::table),
        compared.acknowledged.as_ref().map(ack::table),
        compared.sustained.as_ref().map(|all| product::table(all, compared.rounds)),
        (!compared.loader.is_empty()).then(|| loader::table(&compared.loader)),
    ];
    for table in tables.into_iter().flatten() {
        text.push('\n');
        text.push_str(&table);
    }
    if compared.memory_mib > 0.0 {
        let memory = compared.memory_mib;
        text.push_str(&format!("\nResident memory while the shapes were sent: {memory:.0} MiB.\n"));
    }
    if compared.slow_build {
        text.push_str("\nThis harness was built without optimisation: build it with --release.\n");
    }
    text
}
