//! `loadtest compare`: CPU per event of keelrow and of a bare server, in interleaved rounds, so that
//! a neighbour who slows the machine slows both. Ratios are made round by round.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;
use serde::de::IgnoredAny;

use super::{Spread, Workplace};
use crate::cli::CompareArgs;
use crate::clock;
use crate::drive::{self, Feed, Options, Outcome, Pace, Stack};
use crate::lake::manifest;
use crate::output::Progress;
use crate::payload::{Renderer, Request, Target};
use crate::process::{self, Machine, Watch};
use crate::profile::{Profile, Send};
use crate::rng::Rng;
use crate::server::{Server, Setup, free_port};

/// What is compared: a profile, the bare server's work, and its share of the events.
const SHAPES: [Shape; 3] = [
    Shape { name: "single", bare: "read", times: 1 },
    Shape { name: "batch50", bare: "read", times: 5 },
    Shape { name: "batch50-gzip", bare: "gunzip", times: 5 },
];

/// Threads whose name begins so belong to the loader, not to taking events in.
const LOADER: &str = "loader";

#[derive(Clone, Copy, Debug)]
struct Shape {
    name: &'static str,
    bare: &'static str,
    times: usize,
}

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

/// One shape, over all rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// Its profile.
    pub(crate) shape: String,
    /// keelrow's CPU for an event without the loader's, microseconds.
    pub(crate) ingest_us: Option<Spread>,
    /// The loader's CPU for an event while it was sent, microseconds.
    pub(crate) loader_us: Option<Spread>,
    /// The bare server's CPU for an event, microseconds.
    pub(crate) bare_us: Option<Spread>,
    /// What the bare server does.
    pub(crate) bare_work: String,
    /// Events per CPU-second of keelrow divided by the bare server's.
    pub(crate) ratio: Option<Spread>,
    /// `serde_json`'s `IgnoredAny` over the same bodies, microseconds an event; plain bodies only.
    pub(crate) ignored_any_us: Option<Spread>,
    /// keelrow's CPU as a multiple of that.
    pub(crate) multiple_of_ignored_any: Option<Spread>,
    /// keelrow's events a second, closed loop, the sender beside it.
    pub(crate) events_per_second: Option<Spread>,
    /// Every round's figures.
    pub(crate) rounds: Vec<Round>,
}

/// One round of one shape.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Round {
    ingest_us: f64,
    loader_us: f64,
    bare_us: f64,
    ignored_any_us: f64,
    events_per_second: f64,
}

/// The loader at one size of load.
#[derive(Debug, Serialize)]
pub(crate) struct LoaderRow {
    /// Events sent.
    pub(crate) events: usize,
    /// Batches it made of them, in the last round.
    pub(crate) batches: usize,
    /// Tables it wrote, in the last round.
    pub(crate) tables: usize,
    /// Its CPU for an event, microseconds.
    pub(crate) us: Option<Spread>,
    /// Events a CPU-second.
    pub(crate) events_per_cpu_second: Option<Spread>,
}

struct Bench<'a> {
    args: &'a CompareArgs,
    keelrow: Server,
    bare: Vec<(&'static str, Server)>,
    seed: u64,
    memory: u64,
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
        bare.push((work, bare_server(workplace.path(), work, args.baseline_threads).await?));
    }
    let mut bench = Bench { args, keelrow, bare, seed: 1, memory: 0 };
    let mut rounds: [Vec<Round>; SHAPES.len()] = Default::default();
    for round in 0..args.rounds {
        for (shape, rounds) in SHAPES.iter().zip(&mut rounds) {
            progress.show(&format!("round {} of {}: {}", round + 1, args.rounds, shape.name));
            rounds.push(bench.round(*shape).await?);
        }
    }
    bench.keelrow.stop(Duration::from_secs(60)).await?;
    let memory = bench.memory;
    drop(bench);
    let mut start_ms = Vec::new();
    for round in 0..args.rounds {
        progress.show(&format!("start {} of {}", round + 1, args.rounds));
        start_ms.push(start_time(args, workplace.path(), round, &profile).await?);
    }
    let mut loader = Vec::new();
    for events in args.loader_events.iter().copied().filter(|events| *events > 0) {
        progress.show(&format!("loader, {events} events"));
        loader.push(loader_row(args, workplace.path(), events).await?);
    }
    progress.end();
    Ok(Compared {
        machine: Machine::read(),
        slow_build: cfg!(debug_assertions),
        rounds: args.rounds,
        shapes: SHAPES.iter().zip(rounds).map(|(shape, rounds)| row(*shape, rounds)).collect(),
        loader,
        start_ms: Spread::of(&start_ms),
        memory_mib: mib(memory),
    })
}

/// Starts this program as the bare server.
async fn bare_server(folder: &Path, work: &str, threads: usize) -> anyhow::Result<Server> {
    let port = free_port()?;
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    command.args(["--threads", &threads.to_string(), "baseline", "--port", &port.to_string()]);
    command.args(["--work", work]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Server::spawn(command, port, port, folder.join("bare.log")).await?;
    server.ready().await?;
    Ok(server)
}

impl Bench<'_> {
    async fn round(&mut self, shape: Shape) -> anyhow::Result<Round> {
        let mut profile = Profile::open(shape.name)?;
        profile.connections = match profile.traffic.send {
            Send::Single => self.args.connections,
            _ => self.args.connections.div_ceil(4),
        };
        let events = self.args.events * shape.times;
        self.seed += 1;
        let made = requests(&profile, events, self.seed, &self.keelrow.address.target)?;
        let ignored_any_us = ignored_any(&made);
        let stack = made.clone();
        let mut round = Round { ignored_any_us, ..Round::default() };
        let mut watch = Watch::new(self.keelrow.pid());
        watch.sample(0.0).context("read keelrow's CPU from /proc")?;
        let before = (watch.cpu_ns(""), watch.cpu_ns(LOADER));
        let outcome = send(&profile, &self.keelrow, stack).await?;
        let sample = watch.sample(0.0).context("read keelrow's CPU from /proc")?;
        self.memory = self.memory.max(sample.rss);
        let loader = watch.cpu_ns(LOADER) - before.1;
        let taken = outcome.counts.events_taken;
        round.ingest_us = us_each((watch.cpu_ns("") - before.0).saturating_sub(loader), taken);
        round.loader_us = us_each(loader, taken);
        round.events_per_second = outcome.events_per_second();
        quiet(&mut watch).await?;
        let bare = self.bare.iter().find(|(work, _)| *work == shape.bare);
        let (_, bare) = bare.context("no such bare server")?;
        let mut watch = Watch::new(bare.pid());
        watch.sample(0.0).context("read the bare server's CPU from /proc")?;
        let before = watch.cpu_ns("");
        let outcome = send(&profile, bare, made).await?;
        watch.sample(0.0).context("read the bare server's CPU from /proc")?;
        round.bare_us = us_each(watch.cpu_ns("") - before, outcome.counts.events_taken);
        Ok(round)
    }
}

fn requests(
    profile: &Profile,
    events: usize,
    seed: u64,
    target: &Target,
) -> anyhow::Result<Vec<Request>> {
    let mut renderer = Renderer::new(profile, target, seed)?;
    let now = clock::wall_millis();
    let mut made = Vec::new();
    let mut total = 0;
    while total < events {
        let request = renderer.request(now)?;
        total += usize::try_from(request.events)?;
        made.push(request);
    }
    Ok(made)
}

/// Sends all of `requests` as fast as they are answered; anything but 200 ends the comparison.
async fn send(
    profile: &Profile,
    server: &Server,
    requests: Vec<Request>,
) -> anyhow::Result<Outcome> {
    let count = u64::try_from(requests.len())?;
    let outcome = drive::run(Options {
        profile,
        socket: server.address.socket,
        feed: Feed::Ready(Stack::new(requests)),
        pace: Pace::Closed,
        warm_up: Duration::ZERO,
        duration: Duration::from_secs(600),
        drain: Duration::ZERO,
        seed: 1,
        ledger: None,
        pid: None,
        owed: Vec::new(),
        stop: None,
        title: String::new(),
    })
    .await?;
    let counts = &outcome.counts;
    ensure!(counts.taken == count, "{count} requests were sent, the answers were {counts:?}");
    Ok(outcome)
}

/// Waits until keelrow's threads rest, so that its loader does not run into the other's round.
async fn quiet(watch: &mut Watch) -> anyhow::Result<()> {
    let began = clock::monotonic();
    let mut last = watch.cpu_ns("");
    while began.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        watch.sample(0.0).context("read keelrow's CPU from /proc")?;
        let now = watch.cpu_ns("");
        // Two percent of a core is the idle ticking of timers.
        if now - last < 2_000_000 {
            break;
        }
        last = now;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a round stay below 2^53")]
fn us_each(ns: u64, events: u64) -> f64 {
    ns as f64 / 1_000.0 / events.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// What reading the bodies and keeping nothing costs, on this thread; 0 for compressed ones.
fn ignored_any(requests: &[Request]) -> f64 {
    let before = process::own_thread_ns();
    let mut events = 0;
    for request in requests {
        let body = request.bytes.get(request.body_at..).unwrap_or_default();
        if serde_json::from_slice::<IgnoredAny>(std::hint::black_box(body)).is_ok() {
            events += u64::from(request.events);
        }
    }
    if events == 0 { 0.0 } else { us_each(process::own_thread_ns() - before, events) }
}

/// A fresh folder's time from the start of the process to its first accepted event.
async fn start_time(
    args: &CompareArgs,
    folder: &Path,
    round: usize,
    profile: &Profile,
) -> anyhow::Result<f64> {
    let setup = Setup::new(&folder.join(format!("start{round}")), &profile.sources);
    let target = Target { authority: "127.0.0.1".to_owned(), prefix: String::new() };
    let request = Renderer::new(profile, &target, 9)?.request(clock::wall_millis())?;
    let mut server = Server::start(&args.keelrow, &setup, &[]).await?;
    let took = server.accepted(&request.bytes).await?;
    server.stop(Duration::from_secs(60)).await?;
    Ok(took.as_secs_f64() * 1_000.0)
}

/// Loads `events` of the corpus mix and measures the loader's threads until all are in the lake.
async fn loader_row(args: &CompareArgs, folder: &Path, events: usize) -> anyhow::Result<LoaderRow> {
    let mut profile = Profile::open("corpus")?;
    profile.traffic.send = Send::Batch;
    profile.traffic.gzip = Some(0.0);
    profile.traffic.duplicates = 0.0;
    profile.faults = crate::profile::Faults::default();
    let mut row =
        LoaderRow { events, batches: 0, tables: 0, us: None, events_per_cpu_second: None };
    let mut each = Vec::new();
    for round in 0..args.rounds {
        let mut setup = Setup::new(&folder.join(format!("load{events}-{round}")), &profile.sources);
        // Longer than sending takes, so that one batch holds what was sent.
        setup.max_age = "3s".to_owned();
        let mut server = Server::start(&args.keelrow, &setup, &[]).await?;
        server.ready().await?;
        let mut watch = Watch::new(server.pid());
        watch.sample(0.0).context("read keelrow's CPU from /proc")?;
        let before = watch.cpu_ns(LOADER);
        let seed = Rng::lane(7, u64::try_from(round)?).next();
        let made = requests(&profile, events, seed, &server.address.target)?;
        let taken = send(&profile, &server, made).await?.counts.events_taken;
        super::crash::catch_up(&setup.lake(), taken).await?;
        watch.sample(0.0).context("read keelrow's CPU from /proc")?;
        each.push(us_each(watch.cpu_ns(LOADER) - before, taken));
        let manifests = manifest::read_all(&setup.lake())?;
        let files = manifests.iter().flat_map(|committed| &committed.manifest.files);
        let tables: std::collections::BTreeSet<_> =
            files.map(|file| (&file.schema, &file.table)).collect();
        (row.batches, row.tables) = (manifests.len(), tables.len());
        server.stop(Duration::from_secs(60)).await?;
    }
    row.us = Spread::of(&each);
    let rates: Vec<f64> = each.iter().filter(|us| **us > 0.0).map(|us| 1e6 / us).collect();
    row.events_per_cpu_second = Spread::of(&rates);
    Ok(row)
}

fn row(shape: Shape, rounds: Vec<Round>) -> Row {
    let spread = |each: &dyn Fn(&Round) -> f64| {
        let values: Vec<f64> = rounds.iter().map(each).filter(|value| *value > 0.0).collect();
        Spread::of(&values)
    };
    let divided = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
    Row {
        shape: shape.name.to_owned(),
        ingest_us: spread(&|round| round.ingest_us),
        loader_us: spread(&|round| round.loader_us),
        bare_us: spread(&|round| round.bare_us),
        bare_work: shape.bare.to_owned(),
        ratio: spread(&|round| divided(round.bare_us, round.ingest_us)),
        ignored_any_us: spread(&|round| round.ignored_any_us),
        multiple_of_ignored_any: spread(&|round| divided(round.ingest_us, round.ignored_any_us)),
        events_per_second: spread(&|round| round.events_per_second),
        rounds,
    }
}

/// The comparison as markdown.
pub(crate) fn text(compared: &Compared) -> String {
    let cell = |spread: &Option<Spread>, digits: usize| {
        spread.as_ref().map_or_else(|| "-".to_owned(), |spread| spread.text(digits))
    };
    let machine = &compared.machine;
    let mut text = format!(
        "{} x {}, Linux {}; {} interleaved rounds, median [min-max]\n\n\
         | shape | keelrow CPU us/event | loader beside it | bare axum | ratio | IgnoredAny | multiple | events/s |\n\
         |---|---|---|---|---|---|---|---|\n",
        machine.processors, machine.processor, machine.kernel, compared.rounds
    );
    for row in &compared.shapes {
        text.push_str(&format!(
            "| {} | {} | {} | {} ({}) | {} | {} | {} | {} |\n",
            row.shape,
            cell(&row.ingest_us, 2),
            cell(&row.loader_us, 2),
            cell(&row.bare_us, 2),
            row.bare_work,
            cell(&row.ratio, 2),
            cell(&row.ignored_any_us, 2),
            cell(&row.multiple_of_ignored_any, 1),
            cell(&row.events_per_second, 0),
        ));
    }
    text.push_str("\n| loader, events | batches | tables | CPU us/event | events per CPU-second |\n|---|---|---|---|---|\n");
    for row in &compared.loader {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} |\n",
            row.events,
            row.batches,
            row.tables,
            cell(&row.us, 2),
            cell(&row.events_per_cpu_second, 0),
        ));
    }
    text.push_str(&format!(
        "\nstart to first accepted event: {} ms; resident memory at load: {:.0} MiB\n",
        cell(&compared.start_ms, 1),
        compared.memory_mib
    ));
    if compared.slow_build {
        text.push_str("this harness was built without optimisation: build it with --release\n");
    }
    text
}
