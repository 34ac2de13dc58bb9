//! Sends a profile's traffic and measures what comes back. Open loop: requests are due by a
//! schedule that no answer can slow down. Closed loop: every connection sends as fast as it is
//! answered, for the cost of an event rather than for latency.
//!
//! [`run`] is called by the commands; [`gate`] decides who sends what when, [`worker`] sends.

mod gate;
mod worker;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::client::Address;
use crate::clock;
use crate::interrupt::{self, Limit, Until};
use crate::latency::{Counts, Percentiles, Recorder, Slice};
use crate::ledger;
use crate::output::Progress;
use crate::payload::{Renderer, Request};
use crate::process::{Sample, Watch};
use crate::profile::Profile;
use crate::schedule::Schedule;

pub(crate) use gate::Attempt;

/// How often a run is looked at.
const TICK: Duration = Duration::from_millis(250);

/// How fast requests come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// So many requests a second, whatever the answers.
    Open(f64),
    /// As fast as answers come.
    Closed,
}

/// Where requests come from.
#[derive(Clone, Debug)]
pub(crate) enum Feed {
    /// Made as they are needed.
    Live(Arc<Renderer>),
    /// Made before the run, so that making them costs nothing during it; ends when all are sent.
    Ready(Arc<Stack>),
}

/// Requests made ahead.
#[derive(Debug)]
pub(crate) struct Stack(Mutex<Vec<Request>>);

impl Stack {
    /// Holds `requests`; the last is sent first.
    pub(crate) fn new(requests: Vec<Request>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(requests)))
    }

    fn pop(&self) -> Option<Request> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// One run.
#[derive(Debug)]
pub(crate) struct Options<'a> {
    /// What is sent.
    pub(crate) profile: &'a Profile,
    /// Where.
    pub(crate) address: Address,
    /// Where requests come from.
    pub(crate) feed: Feed,
    /// How fast.
    pub(crate) pace: Pace,
    /// Time before anything is measured.
    pub(crate) warm_up: Duration,
    /// Time measured; a closed run over ready requests may end before.
    pub(crate) duration: Duration,
    /// How long retries may go on after the last request was due.
    pub(crate) drain: Duration,
    /// Seed of the schedule and of the retries.
    pub(crate) seed: u64,
    /// Where fates are noted.
    pub(crate) ledger: Option<Arc<Ledger>>,
    /// The server's process, if it is on this machine.
    pub(crate) pid: Option<u32>,
    /// Attempts of an earlier run that are still owed.
    pub(crate) owed: Vec<Attempt>,
    /// Ends the run early: its schedule, or all of it.
    pub(crate) limit: Option<Limit>,
    /// Words before the live figures.
    pub(crate) title: String,
}

/// A ledger that several workers write.
pub(crate) type Ledger = Mutex<ledger::Writer>;

/// What a run measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Seconds measured.
    pub(crate) seconds: f64,
    /// Requests due a second; none in a closed loop.
    pub(crate) requests_due_per_second: Option<f64>,
    /// Whether it was ended before its time.
    #[serde(default)]
    pub(crate) cut_short: bool,
    /// Counts of the measured time.
    pub(crate) counts: Counts,
    /// Due to answered 200, and what the abandoned had waited.
    pub(crate) latency: Percentiles,
    /// Due to written, first tries.
    pub(crate) lag: Percentiles,
    /// Written to answered 200.
    pub(crate) accepted: Percentiles,
    /// Written to refused.
    pub(crate) refused: Percentiles,
    /// Written to broken, or to the end of the wait for an answer.
    pub(crate) broken: Percentiles,
    /// The run by slices.
    pub(crate) slices: Vec<Slice>,
    /// The server's process over time.
    pub(crate) server: Vec<Sample>,
    /// Highest resident memory of the server, bytes.
    pub(crate) server_rss_peak: u64,
    /// The generator's own processor seconds a second.
    pub(crate) generator_cpu: f64,
    /// Attempts still owed when the run ended.
    #[serde(skip)]
    pub(crate) owed: Vec<Attempt>,
}

impl Outcome {
    /// Events answered 200 a second.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(crate) fn events_per_second(&self) -> f64 {
        self.counts.events_taken as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// The server's processor time for each event it took, microseconds.
    pub(crate) fn server_cpu_us_per_event(&self) -> Option<f64> {
        self.cpu_us_per_event(|sample| sample.cpu_ns)
    }

    /// The same without its loader, which may be at work on what came before.
    pub(crate) fn serving_cpu_us_per_event(&self) -> Option<f64> {
        self.cpu_us_per_event(|sample| sample.cpu_ns.saturating_sub(sample.loader_ns))
    }

    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn cpu_us_per_event(&self, spent: impl Fn(&Sample) -> u64) -> Option<f64> {
        let (first, last) = (self.server.first()?, self.server.last()?);
        let spent = spent(last).saturating_sub(spent(first));
        let events = self.counts.events_taken;
        (events > 0 && spent > 0).then(|| spent as f64 / 1_000.0 / events as f64)
    }
}

/// Everything the workers of one run share.
#[derive(Debug)]
struct Shared {
    profile: Profile,
    address: Address,
    gate: Arc<gate::Gate>,
    recorder: Mutex<Recorder>,
    ledger: Option<Arc<Ledger>>,
    start: Instant,
    warm_up: Duration,
}

impl Shared {
    fn now(&self) -> Duration {
        clock::monotonic().saturating_duration_since(self.start)
    }

    fn recorder(&self) -> std::sync::MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `options` to its end.
///
/// # Errors
/// When requests cannot be made or the ledger cannot be written. What the server does wrong is
/// counted, never an error.
pub(crate) async fn run(options: Options<'_>) -> anyhow::Result<Outcome> {
    let end = options.warm_up + options.duration;
    let start = clock::monotonic();
    let rules = gate::Rules {
        schedule: match options.pace {
            Pace::Open(rate) => Some(Schedule::new(options.profile.arrivals, rate, options.seed)),
            Pace::Closed => None,
        },
        start,
        end,
        drain: options.drain,
        retry: options.profile.retry,
        seed: options.seed,
    };
    let gate = Arc::new(gate::Gate::new(rules));
    gate.owe(options.owed);
    let width = (options.duration / 300).max(Duration::from_millis(500));
    let shared = Arc::new(Shared {
        profile: options.profile.clone(),
        address: options.address,
        gate: Arc::clone(&gate),
        recorder: Mutex::new(Recorder::new(width)?),
        ledger: options.ledger,
        start,
        warm_up: options.warm_up,
    });
    let mut workers = JoinSet::new();
    for lane in 0..options.profile.connections {
        let (shared, feed) = (Arc::clone(&shared), options.feed.clone());
        workers.spawn(worker::run(shared, feed, u64::try_from(lane)?));
    }
    let pacer = gate::Pacer::start(Arc::clone(&gate))?;
    let mut view = View::new(options.pid, options.title);
    let worked = attend(&shared, &mut workers, options.limit, &mut view).await;
    let (last, cut_short) = gate.end();
    let ended = shared.now().min(last);
    gate.close();
    pacer.join()?;
    worked?;
    view.sample(&shared);
    Ok(Outcome { cut_short, ..conclude(&shared, options.pace, ended, view) })
}

/// Watches over the workers until the last has ended.
async fn attend(
    shared: &Shared,
    workers: &mut JoinSet<anyhow::Result<()>>,
    mut limit: Option<Limit>,
    view: &mut View,
) -> anyhow::Result<()> {
    // So that one falls on the end of the warm-up, from which on is measured.
    let early = shared.warm_up.as_millis() % TICK.as_millis();
    let first = shared.start + Duration::from_millis(u64::try_from(early)?);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::from_std(first), TICK);
    if shared.warm_up.is_zero() {
        view.sample(shared);
    }
    let mut until = Until::Planned;
    loop {
        let moved = async {
            match &mut limit {
                Some(limit) => interrupt::beyond(limit, until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            joined = workers.join_next() => match joined {
                Some(result) => result.context("a connection's task failed")??,
                None => return Ok(()),
            },
            _ = ticks.tick() => {
                if shared.now() >= shared.warm_up {
                    view.sample(shared);
                }
                view.show(shared);
            }
            moved = moved => {
                until = moved;
                match until {
                    Until::Planned => {}
                    Until::Early => shared.gate.end_now(),
                    Until::Now => {
                        shared.gate.end_now();
                        shared.gate.close();
                    }
                }
            }
        }
    }
}

fn conclude(shared: &Shared, pace: Pace, ended: Duration, mut view: View) -> Outcome {
    let measured = ended.saturating_sub(shared.warm_up);
    let owed = shared.gate.take_owed();
    let mut recorder = shared.recorder();
    shared.gate.abandoned(|due| {
        if let Some(due) = due.checked_sub(shared.warm_up) {
            recorder.abandon(due, measured);
        }
    });
    let seconds = measured.as_secs_f64();
    Outcome {
        seconds,
        cut_short: false,
        requests_due_per_second: match pace {
            Pace::Open(rate) => Some(rate),
            Pace::Closed => None,
        },
        slices: recorder.finish(),
        counts: recorder.counts.clone(),
        latency: recorder.latency(),
        lag: recorder.lag(),
        accepted: recorder.accepted(),
        refused: recorder.refused(),
        broken: recorder.broken(),
        server_rss_peak: view.server.as_ref().map_or(0, Watch::rss_peak),
        generator_cpu: view.generator_cpu(),
        server: std::mem::take(&mut view.samples),
        owed,
    }
}

/// Notes attempts that nobody will make any more.
///
/// # Errors
/// When the ledger cannot be written.
pub(crate) fn settle(ledger: &Ledger, owed: &[Attempt]) -> anyhow::Result<()> {
    let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    for attempt in owed.iter().filter(|attempt| !attempt.duplicate) {
        ledger.note(attempt.last_known(), &attempt.request.ids)?;
    }
    Ok(())
}

/// What is looked at while a run goes on.
#[derive(Debug)]
struct View {
    server: Option<Watch>,
    generator: Watch,
    samples: Vec<Sample>,
    own: Vec<Sample>,
    progress: Progress,
    title: String,
}

impl View {
    fn new(pid: Option<u32>, title: String) -> Self {
        Self {
            server: pid.map(Watch::new),
            generator: Watch::new(std::process::id()),
            samples: Vec::new(),
            own: Vec::new(),
            progress: Progress::new(),
            title,
        }
    }

    fn sample(&mut self, shared: &Shared) {
        let at = shared.now().saturating_sub(shared.warm_up).as_secs_f64();
        self.samples.extend(self.server.as_mut().and_then(|watch| watch.sample(at)));
        let own = self.generator.sample(at);
        self.own.truncate(1);
        self.own.extend(own);
    }

    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a run stay below 2^53")]
    fn generator_cpu(&self) -> f64 {
        let (Some(first), Some(last)) = (self.own.first(), self.own.last()) else { return 0.0 };
        let spent = last.cpu_ns.saturating_sub(first.cpu_ns) as f64 / 1e9;
        spent / (last.at - first.at).max(f64::MIN_POSITIVE)
    }

    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    fn show(&mut self, shared: &Shared) {
        let now = shared.now();
        if now < shared.warm_up {
            let left = (shared.warm_up - now).as_secs_f64();
            return self.progress.show(&format!("{} warms up, {left:.0} s left", self.title));
        }
        let (end, cut_short) = shared.gate.end();
        let whole = end.saturating_sub(shared.warm_up).as_secs_f64();
        let phase = match (now > end, cut_short) {
            (false, _) => "",
            (true, false) => " waits for answers",
            (true, true) => " ends early, waits for answers",
        };
        let recorder = shared.recorder();
        let counts = &recorder.counts;
        let seconds = (now.min(end)).saturating_sub(shared.warm_up).as_secs_f64().max(0.001);
        let (p50, p99) = recorder.glance();
        let memory = self.samples.last().map_or(0, |sample| sample.rss) / (1 << 20);
        let text = format!(
            "{}{phase} {seconds:.0} of {whole:.0} s  {:.0} events/s  p50 {:.2} ms  p99 {:.2} ms  failed {}  {memory} MiB",
            self.title,
            counts.events_taken as f64 / seconds,
            p50 as f64 / 1_000.0,
            p99 as f64 / 1_000.0,
            counts.failed(),
        );
        drop(recorder);
        self.progress.show(&text);
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.progress.end();
    }
}

#[cfg(test)]
mod tests;
