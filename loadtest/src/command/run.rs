//! `loadtest run`: one profile against one server.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;

use super::Workplace;
use crate::cli::RunArgs;
use crate::client::{self, Address};
use crate::drive::{self, Feed, Ledger, Options, Outcome, Pace};
use crate::interrupt::Limit;
use crate::lake::manifest::{self, Books};
use crate::lake::verify::{self, Report};
use crate::misuse::misuse;
use crate::output::Progress;
use crate::payload::Renderer;
use crate::process::Machine;
use crate::profile::Profile;
use crate::ramp::{self, Search};
use crate::report::{RunReport, Settled, Step};
use crate::rng::Rng;
use crate::server::{self, Server, Setup};
use crate::{clock, ledger, metrics};

/// How long a server may take to answer a question about itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// What `run` found.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Ran {
    /// The figures.
    #[serde(flatten)]
    pub(crate) report: RunReport,
    /// The proof of conservation, if it was asked for.
    pub(crate) conservation: Option<Report>,
}

struct Place {
    setup: Setup,
    server: Server,
    _workplace: Workplace,
}

/// Runs the profile and writes the reports that were asked for. When a signal asks for an end, its
/// schedule ends and the rest goes on: what was sent is waited for, proven if asked, and reported.
///
/// # Errors
/// When the profile is wrong, or the server cannot be reached at all.
pub(crate) async fn run(args: &RunArgs, limit: &Limit) -> anyhow::Result<Ran> {
    let (profile, invented) = profile(args)?;
    let seed = args.seed.unwrap_or_else(|| clock::wall_millis().unsigned_abs());
    // Found out before the run, not after it.
    for path in [&args.html, &args.out].into_iter().flatten() {
        writable(path).map_err(misuse)?;
    }
    let mut place = match &args.keelrow {
        Some(program) => Some(start(args, program, &profile, &invented).await?),
        None => None,
    };
    let address = match (&place, &args.url) {
        (Some(place), _) => place.server.address.clone(),
        (None, Some(url)) => Address::resolve(url, &args.trust).await?,
        (None, None) => anyhow::bail!("--url or --keelrow is needed"),
    };
    let pid = args.pid.or_else(|| place.as_ref().map(|place| place.server.pid()));
    let ledger_path = args.ledger.clone().or_else(|| {
        place.as_ref().filter(|_| args.verify).map(|place| place.setup.folder.join("ledger.jsonl"))
    });
    let ledger: Option<Arc<Ledger>> = match &ledger_path {
        Some(path) => Some(Arc::new(Mutex::new(ledger::Writer::create(path)?))),
        None => None,
    };
    let admin = match &args.admin {
        Some(admin) => Some(Address::resolve(admin, &args.trust).await?),
        None => None,
    };
    let before = settled(admin.as_ref(), place.as_ref()).await;
    let stage = Stage { args, profile: &profile, address: &address, pid, limit, seed };
    let mut report = stage.measure(ledger.as_ref()).await?;
    if let Some(ledger) = ledger.and_then(Arc::into_inner) {
        let end = if report.cut_short { ledger::End::CutShort } else { ledger::End::Complete };
        ledger.into_inner().unwrap_or_else(PoisonError::into_inner).finish(end)?;
    }
    let mut conservation = None;
    let mut progress = Progress::new();
    if let Some(place) = &mut place {
        if args.verify {
            progress.show("waits until all is loaded");
            super::caught_up(
                &place.server,
                &place.setup.lake(),
                report.outcome.counts.events_taken,
            )
            .await;
        }
        progress.show("stops the server");
        place.server.stop().await?;
        progress.end();
        if let Some(path) = ledger_path.as_deref().filter(|_| args.verify) {
            conservation = Some(verify::verify(&place.setup.lake(), &[path], &args.without)?);
        }
    }
    let after = settled(admin.as_ref(), place.as_ref()).await;
    report.settled = before.zip(after).map(|(before, after)| after.since(before));
    write_reports(args, &report)?;
    Ok(Ran { report, conservation })
}

/// What became of events so far: by the lake's books for a server of our own, by its metrics for
/// another; none if nobody tells.
async fn settled(admin: Option<&Address>, place: Option<&Place>) -> Option<Settled> {
    if let Some(place) = place {
        let books = manifest::books(&place.setup.lake()).ok()?;
        let Books { duplicate: repeats, rejected, .. } = books;
        return Some(Settled { events: books.received + books.split, repeats, rejected });
    }
    let metrics = client::get(admin?, "/metrics", PATIENCE).await.ok()?;
    metrics::settled(&String::from_utf8_lossy(&metrics.body))
}

/// The profile with every change of the command line, and environment variables that a
/// configuration of the user's own needs.
fn profile(args: &RunArgs) -> anyhow::Result<(Profile, Vec<(String, String)>)> {
    let mut profile = Profile::open(&args.profile)?;
    let mut invented = Vec::new();
    if let Some(config) = &args.config {
        (profile.sources, invented) = server::sources_of(config).map_err(misuse)?;
    }
    if let Some(key) = &args.write_key {
        for source in &mut profile.sources {
            source.write_key.clone_from(key);
        }
    }
    profile.rate = args.rate.unwrap_or(profile.rate);
    profile.duration = args.duration.unwrap_or(profile.duration);
    profile.warm_up = args.warm_up.unwrap_or(profile.warm_up);
    profile.connections = args.connections.unwrap_or(profile.connections);
    profile.check().map_err(misuse)?;
    Ok((profile, invented))
}

async fn start(
    args: &RunArgs,
    program: &Path,
    profile: &Profile,
    invented: &[(String, String)],
) -> anyhow::Result<Place> {
    let workplace = Workplace::new(args.data.as_deref())?;
    let mut setup = Setup::new(workplace.path(), &profile.sources);
    setup.journal.clone_from(&args.journal);
    setup.own.clone_from(&args.config);
    // Long enough for batches of a size worth loading, short enough that a run sees some.
    setup.max_age = "10s".to_owned();
    let mut server = Server::start(program, &setup, invented)?;
    server.ready().await?;
    Ok(Place { setup, server, _workplace: workplace })
}

/// What a run is made with.
struct Stage<'a> {
    args: &'a RunArgs,
    profile: &'a Profile,
    address: &'a Address,
    pid: Option<u32>,
    limit: &'a Limit,
    seed: u64,
}

impl Stage<'_> {
    async fn measure(&self, ledger: Option<&Arc<Ledger>>) -> anyhow::Result<RunReport> {
        let Stage { args, profile, address, seed, .. } = *self;
        let renderer = Arc::new(Renderer::new(profile, &address.target, seed)?);
        let began = clock::iso(clock::wall_millis());
        let version = client::get(address, "/version", PATIENCE).await.ok();
        let each = renderer.mean_events();
        let mut lap = Lap { stage: self, ledger, renderer, laps: 0, cut_short: false };
        let (outcome, rate, steps, pace) = if args.ramp {
            let (outcome, rate, steps) = climb(&mut lap, each).await?;
            (outcome, Some(rate), steps, "ramp")
        } else if args.closed {
            let duration = profile.duration.0;
            let outcome = lap.run(Pace::Closed, profile.warm_up.0, duration, "closed loop").await?;
            (outcome, None, Vec::new(), "closed loop")
        } else {
            let pace = Pace::Open(profile.rate / each);
            let outcome = lap.run(pace, profile.warm_up.0, profile.duration.0, "open loop").await?;
            (outcome, Some(profile.rate), Vec::new(), "open loop")
        };
        Ok(RunReport {
            loadtest: env!("CARGO_PKG_VERSION").to_owned(),
            began,
            command: command_line(std::env::args()),
            machine: Machine::read(),
            url: address.url(),
            server: version.and_then(|answer| serde_json::from_slice(&answer.body).ok()),
            name: args.profile.clone(),
            profile: profile.clone(),
            seed,
            pace: pace.to_owned(),
            cut_short: lap.cut_short,
            events_due_per_second: rate,
            events_per_second: outcome.events_per_second(),
            server_cpu_us_per_event: outcome.server_cpu_us_per_event(),
            outcome,
            settled: None,
            steps,
        })
    }
}

/// What every lap of a run shares.
struct Lap<'a> {
    stage: &'a Stage<'a>,
    ledger: Option<&'a Arc<Ledger>>,
    renderer: Arc<Renderer>,
    laps: u64,
    /// Whether the last one was ended before its time.
    cut_short: bool,
}

impl Lap<'_> {
    async fn run(
        &mut self,
        pace: Pace,
        warm_up: Duration,
        duration: Duration,
        title: &str,
    ) -> anyhow::Result<Outcome> {
        // Each lap has its own events, so that no message id comes twice within a ramp.
        let seed = Rng::lane(self.stage.seed, self.laps).next();
        self.laps += 1;
        let outcome = drive::run(Options {
            profile: self.stage.profile,
            address: self.stage.address.clone(),
            feed: Feed::Live(Arc::new(self.renderer.reseeded(seed))),
            pace,
            warm_up,
            duration,
            drain: Duration::from_secs(15),
            seed,
            ledger: self.ledger.map(Arc::clone),
            pid: self.stage.pid,
            owed: Vec::new(),
            limit: Some(self.stage.limit.clone()),
            title: title.to_owned(),
        })
        .await?;
        self.cut_short = outcome.cut_short;
        if let Some(ledger) = self.ledger {
            drive::settle(ledger, &outcome.owed)?;
        }
        Ok(outcome)
    }
}

/// Climbs; answers with the best step's outcome and rate, or the last one's if none was sustained.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
async fn climb(lap: &mut Lap<'_>, each: f64) -> anyhow::Result<(Outcome, f64, Vec<Step>)> {
    let rules = lap.stage.profile.ramp;
    let mut search = Search::new(rules);
    let mut steps = Vec::new();
    let mut best: Option<(Outcome, f64, bool)> = None;
    while let Some(rate) = search.next() {
        let so_far = search.best().map(|best| format!(" (sustained {best:.0})"));
        let title = format!("ramp: {rate:.0} events/s{}", so_far.unwrap_or_default());
        let warm_up = Duration::from_secs(1);
        let outcome = lap.run(Pace::Open(rate / each), warm_up, rules.step.0, &title).await?;
        if lap.cut_short {
            // Half a step says nothing about its rate.
            best = best.or(Some((outcome, rate, false)));
            break;
        }
        let why_not = ramp::verdict(&rules, &outcome);
        let sustained = why_not.is_none();
        search.note(rate, sustained);
        steps.push(Step {
            rate,
            reached: outcome.events_per_second(),
            p50: outcome.latency.p50,
            p99: outcome.latency.p99,
            failed: outcome.counts.failed() as f64 / (outcome.counts.requests as f64).max(1.0),
            server_cpu_us_per_event: outcome.server_cpu_us_per_event(),
            why_not,
        });
        let better =
            best.as_ref().is_none_or(|(_, known, good)| !good || (sustained && rate > *known));
        if better {
            best = Some((outcome, rate, sustained));
        }
    }
    steps.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let (outcome, rate, _) = best.context("the ramp made no step")?;
    Ok((outcome, search.best().unwrap_or(rate), steps))
}

fn write_reports(args: &RunArgs, report: &RunReport) -> anyhow::Result<()> {
    if let Some(path) = &args.html {
        std::fs::write(path, crate::report::page(report)?)
            .with_context(|| format!("write {}", path.display()))?;
    }
    if let Some(path) = &args.out {
        std::fs::write(path, serde_json::to_vec_pretty(report)?)
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// Whether a report can be put there, as far as its folder tells.
fn writable(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let there = folder.is_none_or(Path::is_dir) && !path.is_dir();
    anyhow::ensure!(there, "cannot write {}: its folder is not there", path.display());
    Ok(())
}

/// The run for a person.
pub(crate) fn text(ran: &Ran) -> String {
    let mut text = crate::report::run_text(&ran.report);
    if let Some(conservation) = &ran.conservation {
        text.push('\n');
        text.push_str(&conservation.text());
    }
    text
}

/// The command as reports show it: without the write key.
fn command_line(arguments: impl Iterator<Item = String>) -> String {
    let mut shown = Vec::new();
    let mut is_key = false;
    for argument in arguments {
        if std::mem::take(&mut is_key) {
            shown.push("(hidden)".to_owned());
        } else if argument.starts_with("--write-key=") {
            shown.push("--write-key=(hidden)".to_owned());
        } else {
            is_key = argument == "--write-key";
            shown.push(argument);
        }
    }
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_key_is_in_no_report() {
        let shown = |line: &str| command_line(line.split(' ').map(str::to_owned));
        assert_eq!(shown("run x --write-key k --json"), "run x --write-key (hidden) --json");
        assert_eq!(shown("run --write-key=k --url u"), "run --write-key=(hidden) --url u");
        let profile = Profile::open("single").unwrap();
        let json = serde_json::to_string(&profile).unwrap();
        assert!(!json.contains(&profile.sources[0].write_key));
    }
}
