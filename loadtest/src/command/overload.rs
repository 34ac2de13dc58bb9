//! `loadtest overload`: what becomes of a server that is asked for more than it can do. One source
//! sends batches at a multiple of the highest rate, another a few single events beside it. Sender and
//! server share the machine: figures are also given per processor second of the server's threads that
//! take events in, which neither the sender's own share changes nor what the loader has left to do.

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use super::compare::shapes::quiet;
use super::figures::Spread;
use super::{Workplace, load};
use crate::cli::OverloadArgs;
use crate::drive::{Outcome, Pace};
use crate::output::Progress;
use crate::process::Watch;
use crate::profile::{Profile, Send};
use crate::rng::Rng;
use crate::server::{Server, Setup};

/// Events a second of the source that stays calm.
const CALM_RATE: f64 = 50.0;
/// Share of the highest rate that counts as no load.
const UNLOADED: f64 = 0.1;
/// Time of each run that is not measured: connections are made, and the server finds out that it is
/// too much.
const WARM_UP: Duration = Duration::from_secs(2);
/// What the defaults of the configuration let the server keep: bodies, open builders, finished parts,
/// groups that wait for the sync.
const BUFFERS_MIB: f64 = 256.0 + 128.0 + 16.0 + 64.0;
/// What it may take beside them, over what it takes at rest.
const BESIDE_MIB: f64 = 256.0;

/// One round.
#[derive(Clone, Copy, Debug, Serialize)]
struct Round {
    /// The highest rate, closed loop, events a second.
    highest: f64,
    /// Events a second that were acknowledged at the multiple of it.
    goodput: f64,
    /// The one divided by the other.
    goodput_ratio: f64,
    /// The same of events for each processor second of the server without its loader.
    goodput_ratio_by_cpu: f64,
    /// Acknowledged without load: 99 % took at most this, milliseconds.
    unloaded_p99_ms: f64,
    /// Acknowledged under overload.
    accepted_p99_ms: f64,
    /// The one divided by the other.
    p99_ratio: f64,
    /// Share of the requests that were refused.
    refused: f64,
    /// 99 % of the refusals took at most this, milliseconds.
    refused_p99_ms: f64,
    /// The calm source: 99 % of its acknowledgements took at most this without load.
    calm_unloaded_p99_ms: f64,
    /// The same under overload.
    calm_p99_ms: f64,
    /// Memory at rest, MiB.
    idle_mib: f64,
    /// The most memory, MiB.
    peak_mib: f64,
    /// Processors that the sender took at the highest rate.
    sender_highest: f64,
    /// The same under overload.
    sender_overload: f64,
}

/// What `overload` found.
#[derive(Debug, Serialize)]
pub(crate) struct Overloaded {
    /// What is asked for, in units of the highest rate.
    factor: f64,
    rounds: Vec<Round>,
    /// Requests of the calm source that were not acknowledged.
    calm_failed: u64,
    /// Refusals that did not say when to come again.
    without_pause: u64,
    /// Answers that no server should give.
    unexpected: u64,
}

impl Overloaded {
    /// Whether all holds that does not depend on the speed of the machine.
    pub(crate) fn holds(&self) -> bool {
        let fits = |round: &Round| round.peak_mib <= round.idle_mib + BUFFERS_MIB + BESIDE_MIB;
        self.calm_failed == 0
            && self.without_pause == 0
            && self.unexpected == 0
            && self.rounds.iter().all(|round| round.goodput > 0.0 && fits(round))
    }

    /// The report for a person.
    pub(crate) fn text(&self) -> String {
        let row = |name: &str, digits: usize, get: fn(&Round) -> f64| {
            let values: Vec<f64> = self.rounds.iter().map(get).collect();
            let text = Spread::of(&values).map_or_else(|| "-".to_owned(), |all| all.text(digits));
            format!("{name:<46}{text}\n")
        };
        let mut text = format!(
            "{} rounds at {} times the highest rate, median [min-max]\n",
            self.rounds.len(),
            self.factor
        );
        text.push_str(&row("highest rate, events/s", 0, |round| round.highest));
        text.push_str(&row("goodput, events/s", 0, |round| round.goodput));
        text.push_str(&row("  of the highest (mark 0.95)", 2, |round| round.goodput_ratio));
        text.push_str(&row("  the same by CPU of taking in", 2, |round| {
            round.goodput_ratio_by_cpu
        }));
        text.push_str(&row("p99 without load, ms", 1, |round| round.unloaded_p99_ms));
        text.push_str(&row("p99 of accepted, ms", 1, |round| round.accepted_p99_ms));
        text.push_str(&row("  times without load (mark 5)", 1, |round| round.p99_ratio));
        text.push_str(&row("share refused", 2, |round| round.refused));
        text.push_str(&row("p99 of refusals, ms", 1, |round| round.refused_p99_ms));
        text.push_str(&row("calm source, p99 without load, ms", 1, |r| r.calm_unloaded_p99_ms));
        text.push_str(&row("calm source, p99, ms", 1, |round| round.calm_p99_ms));
        text.push_str(&row("memory at rest, MiB", 0, |round| round.idle_mib));
        text.push_str(&row("memory at most, MiB", 0, |round| round.peak_mib));
        text.push_str(&row("sender's CPU at the highest rate", 2, |round| round.sender_highest));
        text.push_str(&row("sender's CPU under overload", 2, |round| round.sender_overload));
        text.push_str(&format!(
            "calm source not acknowledged {}, refusals without Retry-After {}, wrong answers {}",
            self.calm_failed, self.without_pause, self.unexpected
        ));
        text
    }
}

/// Runs all rounds, each with a server of its own.
///
/// # Errors
/// When a server does not start.
pub(crate) async fn run(args: &OverloadArgs) -> anyhow::Result<Overloaded> {
    let mut progress = Progress::new();
    let mut found = Overloaded {
        factor: args.factor,
        rounds: Vec::new(),
        calm_failed: 0,
        without_pause: 0,
        unexpected: 0,
    };
    for number in 0..args.rounds {
        progress.show(&format!("round {} of {}", number + 1, args.rounds));
        let round = round(args, u64::try_from(number)?, &mut found).await?;
        found.rounds.push(round);
    }
    progress.end();
    Ok(found)
}

/// Who sends what to whom.
struct Stage<'a> {
    args: &'a OverloadArgs,
    server: &'a Server,
    hot: Profile,
    calm: Profile,
    rng: Rng,
}

async fn round(args: &OverloadArgs, number: u64, found: &mut Overloaded) -> anyhow::Result<Round> {
    let workplace = Workplace::new(None)?;
    let hot = Profile::open("overload")?;
    let setup = Setup::new(workplace.path(), &hot.sources);
    let mut server = Server::start(&args.keelrow, &setup, &[])?;
    server.ready().await?;
    let mut calm = hot.clone();
    calm.sources.retain(|source| source.weight == 0);
    calm.sources.iter_mut().for_each(|source| source.weight = 1);
    calm.traffic.send = Send::Single;
    calm.connections = 4;
    let mut watch = Watch::new(server.pid());
    let idle = watch.sample(0.0).context("read keelrow's memory from /proc")?.rss;
    let rng = Rng::lane(number, 0x10AD);
    let mut stage = Stage { args, server: &server, hot, calm, rng };
    let closed = Profile { connections: args.connections, ..stage.hot.clone() };
    let fastest = stage.send(&closed, Pace::Closed).await?;
    let highest = fastest.events_per_second();
    // Without load is without what is left of the load before.
    quiet(&mut watch).await?;
    let (rested, calm_rested) = stage.both(highest * UNLOADED).await?;
    let (pressed, calm_pressed) = stage.both(highest * args.factor).await?;
    let peak = watch.rss_peak();
    server.stop().await?;
    for outcome in [&calm_rested, &calm_pressed] {
        found.calm_failed += outcome.counts.failed() + outcome.counts.abandoned;
    }
    for outcome in [&fastest, &rested, &calm_rested, &pressed, &calm_pressed] {
        found.without_pause += outcome.counts.without_pause;
        found.unexpected += outcome.counts.unexpected + outcome.counts.timed_out;
    }
    Ok(figures(&fastest, (&rested, &calm_rested), (&pressed, &calm_pressed), (idle, peak)))
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn figures(
    fastest: &Outcome,
    (rested, calm_rested): (&Outcome, &Outcome),
    (pressed, calm_pressed): (&Outcome, &Outcome),
    (idle, peak): (u64, u64),
) -> Round {
    let ms = |micros: u64| Duration::from_micros(micros).as_secs_f64() * 1_000.0;
    let cost = |outcome: &Outcome| outcome.serving_cpu_us_per_event().unwrap_or(f64::NAN);
    let refused: u64 = pressed.counts.refused.values().sum();
    let (highest, goodput) = (fastest.events_per_second(), pressed.events_per_second());
    let (unloaded, accepted) = (ms(rested.accepted.p99), ms(pressed.accepted.p99));
    Round {
        highest,
        goodput,
        goodput_ratio: goodput / highest,
        goodput_ratio_by_cpu: cost(fastest) / cost(pressed),
        unloaded_p99_ms: unloaded,
        accepted_p99_ms: accepted,
        p99_ratio: accepted / unloaded,
        refused: refused as f64 / (pressed.counts.requests as f64).max(1.0),
        refused_p99_ms: ms(pressed.refused.p99),
        calm_unloaded_p99_ms: ms(calm_rested.accepted.p99),
        calm_p99_ms: ms(calm_pressed.accepted.p99),
        idle_mib: idle as f64 / 1_048_576.0,
        peak_mib: peak as f64 / 1_048_576.0,
        sender_highest: fastest.generator_cpu,
        sender_overload: pressed.generator_cpu,
    }
}

impl Stage<'_> {
    /// Batches of the hot source at so many events a second, and the calm one beside them.
    async fn both(&mut self, rate: f64) -> anyhow::Result<(Outcome, Outcome)> {
        let (hot, calm) = (self.hot.clone(), self.calm.clone());
        let seed = self.rng.next();
        let times = (WARM_UP, self.args.duration.0);
        let hot = load(self.server, &hot, Pace::Open(rate), seed, times);
        let calm = load(self.server, &calm, Pace::Open(CALM_RATE), seed ^ 1, times);
        let (hot, calm) = tokio::join!(hot, calm);
        Ok((hot?, calm?))
    }

    async fn send(&mut self, profile: &Profile, pace: Pace) -> anyhow::Result<Outcome> {
        load(self.server, profile, pace, self.rng.next(), (WARM_UP, self.args.duration.0)).await
    }
}
