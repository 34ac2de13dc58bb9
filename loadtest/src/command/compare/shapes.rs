//! The shapes of requests: rounds of each against keelrow and against the bare server in turn.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;
use serde::de::IgnoredAny;

use super::super::figures::{LOADER, Spread, cell, us_each};
use crate::cli::CompareArgs;
use crate::clock;
use crate::drive::{self, Feed, Options, Outcome, Pace, Stack};
use crate::payload::{Renderer, Request, Target};
use crate::process::{self, Watch};
use crate::profile::{Profile, Send};
use crate::server::{Server, free_ports, tied};

/// What is compared: a profile, the bare server's work, and its share of the events.
pub(super) const SHAPES: [Shape; 3] = [
    Shape { name: "single", bare: "read", times: 1 },
    Shape { name: "batch50", bare: "read", times: 5 },
    Shape { name: "batch50-gzip", bare: "gunzip", times: 5 },
];

#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) bare: &'static str,
    pub(super) times: usize,
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

/// The servers of all rounds.
pub(super) struct Bench<'a> {
    pub(super) args: &'a CompareArgs,
    pub(super) keelrow: Server,
    pub(super) bare: Vec<(&'static str, Server)>,
    pub(super) seed: u64,
    pub(super) memory: u64,
}

/// Starts this program as the bare server.
pub(super) async fn bare_server(
    folder: &Path,
    work: &str,
    threads: usize,
) -> anyhow::Result<Server> {
    let [port] = free_ports()?;
    let this = std::env::current_exe().context("find this program")?;
    let mut command = tied::command(&this, true);
    command.args(["--threads", &threads.to_string(), "baseline", "--port", &port.to_string()]);
    command.args(["--work", work]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Server::spawn(command, port, port, folder.join("bare.log"))?;
    server.ready().await?;
    Ok(server)
}

impl Bench<'_> {
    /// One round of one shape, `events` single ones or a multiple in batches.
    pub(super) async fn round(&mut self, shape: Shape, events: usize) -> anyhow::Result<Round> {
        let mut profile = Profile::open(shape.name)?;
        profile.connections = match profile.traffic.send {
            Send::Single => self.args.connections,
            _ => self.args.connections.div_ceil(4),
        };
        let events = events * shape.times;
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

/// Requests of `profile` with `events` events in all.
pub(in crate::command) fn requests(
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

/// Sends all of `requests` as fast as they are answered, those that are refused for now again when
/// their pause is over, as SDKs do; the comparison ends if one is not taken in the end.
pub(in crate::command) async fn send(
    profile: &Profile,
    server: &Server,
    requests: Vec<Request>,
) -> anyhow::Result<Outcome> {
    let count = u64::try_from(requests.len())?;
    let outcome = drive::run(Options {
        profile,
        address: server.address.clone(),
        feed: Feed::Ready(Stack::new(requests)),
        pace: Pace::Closed,
        warm_up: Duration::ZERO,
        duration: Duration::from_secs(600),
        drain: Duration::ZERO,
        seed: 1,
        ledger: None,
        pid: None,
        owed: Vec::new(),
        limit: None,
        title: String::new(),
    })
    .await?;
    let counts = &outcome.counts;
    ensure!(counts.taken == count, "of {count} requests some were not taken: {counts:?}");
    Ok(outcome)
}

/// Waits until keelrow's threads rest, so that its loader does not run into the other's round.
pub(in crate::command) async fn quiet(watch: &mut Watch) -> anyhow::Result<()> {
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

/// The figures of a shape.
pub(super) fn row(shape: Shape, rounds: Vec<Round>) -> Row {
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

/// All shapes as markdown.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| shape | keelrow CPU us/event | loader beside it | bare axum | ratio | IgnoredAny | multiple | events/s |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
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
    text
}
