//! `loadtest loader`: what loading an event costs, from the journal to the committed batch, by the
//! size of batches and the number of tables. A fresh server each round; its tables are known and its
//! memory is its own from batches that do not count, as they are in a server that runs.

use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::compare::shapes::{requests, send};
use super::figures::{LOADER, Spread, cell, us_each};
use super::{Workplace, caught_up};
use crate::cli::LoaderArgs;
use crate::lake::manifest::{self, Manifest};
use crate::output::Progress;
use crate::process::{Machine, Watch};
use crate::profile::{Faults, Profile, Send};
use crate::rng::Rng;
use crate::server::{Server, Setup};

/// Profiles that are loaded unless others are asked for.
pub(super) const PROFILES: [&str; 2] = ["event-tables", "corpus"];

/// Events of the batch that makes the tables known.
const FIRST_EVENTS: usize = 1_650;

/// Batches below this size are measured several at a time: the kernel counts in steps of 10 ms.
const SMALL_EVENTS: usize = 5_000;

/// How many of them.
const SMALL_BATCHES: usize = 4;

/// How many of the others.
const LARGE_BATCHES: usize = 2;

/// One figure to find.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work<'a> {
    /// The keelrow program.
    pub(super) keelrow: &'a Path,
    /// Whose events are loaded.
    pub(super) profile: &'a str,
    /// Events of a batch.
    pub(super) events: usize,
}

/// The loader at one size of batches.
#[derive(Debug, Serialize)]
pub(crate) struct LoaderRow {
    /// Whose events.
    pub(crate) profile: String,
    /// Events of a batch as it was made: the median.
    pub(crate) events: f64,
    /// Batches measured.
    pub(crate) batches: usize,
    /// Tables of the last batch.
    pub(crate) tables: usize,
    /// Bytes of file for each event, all tables together.
    pub(crate) bytes: Option<Spread>,
    /// CPU for an event, microseconds.
    pub(crate) us: Option<Spread>,
    /// Events a CPU-second.
    pub(crate) events_per_cpu_second: Option<Spread>,
}

/// What `loader` found.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    /// The machine.
    pub(crate) machine: Machine,
    /// Rounds.
    pub(crate) rounds: usize,
    /// One row for each profile and size.
    pub(crate) rows: Vec<LoaderRow>,
}

/// Measures all that was asked for.
///
/// # Errors
/// When a server does not start, or refuses what it is sent.
pub(crate) async fn run(args: &LoaderArgs) -> anyhow::Result<Measured> {
    let workplace = Workplace::new(None)?;
    let mut progress = Progress::new();
    let mut rows = Vec::new();
    for profile in &args.profiles {
        for &events in &args.events {
            progress.show(&format!("{profile}, batches of {events} events"));
            let work = Work { keelrow: &args.keelrow, profile, events };
            rows.push(row(&work, args.rounds, workplace.path()).await?);
        }
    }
    progress.end();
    Ok(Measured { machine: Machine::read(), rounds: args.rounds, rows })
}

/// One figure, over all rounds. What they leave stays until the end: some file systems pass over
/// what was deleted in the last minutes, entry by entry, whenever a file is made.
pub(super) async fn row(
    work: &Work<'_>,
    rounds: usize,
    folder: &Path,
) -> anyhow::Result<LoaderRow> {
    let mut each = Vec::new();
    for number in 0..rounds {
        let name = format!("load-{}-{}-{number}", work.profile, work.events);
        each.push(round(work, number, &folder.join(name)).await?);
    }
    let spread = |of: &dyn Fn(&Round) -> f64| {
        let values: Vec<f64> = each.iter().map(of).filter(|value| *value > 0.0).collect();
        Spread::of(&values)
    };
    Ok(LoaderRow {
        profile: work.profile.to_owned(),
        events: spread(&|round| round.events).map_or(0.0, |events| events.median),
        batches: each.iter().map(|round| round.batches).sum(),
        tables: each.last().map_or(0, |round| round.tables),
        bytes: spread(&|round| round.bytes),
        us: spread(&|round| round.us),
        events_per_cpu_second: spread(&|round| if round.us > 0.0 { 1e6 / round.us } else { 0.0 }),
    })
}

/// One server's life.
#[derive(Clone, Copy, Debug)]
struct Round {
    events: f64,
    batches: usize,
    tables: usize,
    bytes: f64,
    us: f64,
}

async fn round(work: &Work<'_>, number: usize, folder: &Path) -> anyhow::Result<Round> {
    let profile = plain(work.profile)?;
    let mut setup = Setup::new(folder, &profile.sources);
    // Longer than sending takes, so that one batch holds what was sent.
    let (batches, age) =
        if work.events < SMALL_EVENTS { (SMALL_BATCHES, 1) } else { (LARGE_BATCHES, 6) };
    setup.max_age = format!("{age}s");
    let mut server = Server::start(work.keelrow, &setup, &[])?;
    server.ready().await?;
    // The second makes the room that a batch of this size takes.
    let mut sizes = vec![FIRST_EVENTS, work.events];
    let uncounted = sizes.len();
    sizes.extend(std::iter::repeat_n(work.events, batches));
    let mut seeds = Rng::lane(7, u64::try_from(number)?);
    let mut watch = Watch::new(server.pid());
    let (mut before, mut taken, mut first) = (0, 0, 0);
    for (at, events) in sizes.into_iter().enumerate() {
        let made = requests(&profile, events, seeds.next(), &server.address.target)?;
        taken += send(&profile, &server, made).await?.counts.events_taken;
        caught_up(&server, &setup.lake(), taken).await;
        if at + 1 == uncounted {
            (before, first) = (loader_ns(&mut watch)?, taken);
        }
    }
    let spent = loader_ns(&mut watch)?.saturating_sub(before);
    let us = us_each(spent, taken - first);
    let manifests = manifest::read_all(&setup.lake())?;
    server.stop().await?;
    let counted = |manifest: &Manifest| manifest.journal.from >= first;
    let measured: Vec<&Manifest> =
        manifests.iter().map(|one| &one.manifest).filter(|manifest| counted(manifest)).collect();
    let bytes: u64 = measured.iter().flat_map(|one| &one.files).map(|file| file.bytes).sum();
    let sizes: Vec<f64> = measured.iter().map(|one| as_f64(one.events.received)).collect();
    Ok(Round {
        events: Spread::of(&sizes).map_or(0.0, |sizes| sizes.median),
        batches: measured.len(),
        tables: measured.last().map_or(0, |one| one.files.len()),
        bytes: as_f64(bytes) / as_f64((taken - first).max(1)),
        us,
    })
}

/// The profile's events in plain batches without faults.
fn plain(name: &str) -> anyhow::Result<Profile> {
    let mut profile = Profile::open(name)?;
    profile.traffic.send = Send::Batch;
    profile.traffic.gzip = Some(0.0);
    profile.traffic.duplicates = 0.0;
    profile.faults = Faults::default();
    Ok(profile)
}

/// CPU time of the loader so far: of the process, less that of the threads that are not the
/// loader's. Its helpers live for a moment only, so their own figures cannot be read.
fn loader_ns(watch: &mut Watch) -> anyhow::Result<u64> {
    watch.sample(0.0).context("read keelrow's CPU from /proc")?;
    let others = watch.cpu_ns("") - watch.cpu_ns(LOADER);
    Ok(watch.process_ns().saturating_sub(others))
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

/// The rows as markdown.
pub(super) fn table(rows: &[LoaderRow]) -> String {
    let mut text = String::from(
        "| loader | events a batch | tables | CPU us/event | events per CPU-second | file bytes/event |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        text.push_str(&format!(
            "| {} | {:.0} ({} batches) | {} | {} | {} | {} |\n",
            row.profile,
            row.events,
            row.batches,
            row.tables,
            cell(&row.us, 2),
            cell(&row.events_per_cpu_second, 0),
            cell(&row.bytes, 0),
        ));
    }
    text
}

/// The answer for people.
pub(crate) fn text(measured: &Measured) -> String {
    let machine = &measured.machine;
    format!(
        "{} x {}, Linux {}; {} rounds, median [min-max]\n\n{}",
        machine.processors,
        machine.processor,
        machine.kernel,
        measured.rounds,
        table(&measured.rows)
    )
}
