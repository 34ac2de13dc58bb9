//! How long an acknowledgement takes at half of the highest rate, in units of the disk's own sync.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::super::figures::{Spread, cell, spread};
use super::shapes::{requests, send};
use super::sync::raw_sync_us;
use crate::cli::CompareArgs;
use crate::drive::{self, Feed, Options, Pace, Stack};
use crate::profile::Profile;
use crate::server::Server;

/// Acknowledgements of single events, open loop.
#[derive(Debug, Serialize)]
pub(crate) struct Acknowledged {
    /// The highest rate, closed loop, events a second.
    pub(crate) highest: Option<Spread>,
    /// From due to answered at half of it, median, milliseconds.
    pub(crate) p50_ms: Option<Spread>,
    /// The same, 99 %.
    pub(crate) p99_ms: Option<Spread>,
    /// From written to answered, 99 %: the rest of `p99_ms` was the wait for a free connection, and
    /// the sender's own lateness.
    pub(crate) wire_p99_ms: Option<Spread>,
    /// A bare sync of 64 KiB in the same minute, median, milliseconds.
    pub(crate) raw_sync_ms: Option<Spread>,
    /// `p99_ms` divided by that, round by round.
    pub(crate) ratio: Option<Spread>,
    /// Requests of all rounds that were not acknowledged.
    pub(crate) failed: u64,
}

/// One round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    highest: f64,
    p50_ms: f64,
    p99_ms: f64,
    wire_p99_ms: f64,
    raw_sync_ms: f64,
    failed: u64,
}

/// How long the half rate is held.
const HELD: Duration = Duration::from_secs(5);
/// Part of it that is not measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// One round; `folder` lies on the journal's disk.
pub(super) async fn round(
    args: &CompareArgs,
    server: &Server,
    folder: &Path,
    seed: u64,
) -> anyhow::Result<Round> {
    let mut profile = Profile::open("single")?;
    profile.connections = args.connections;
    let target = &server.address.target;
    let made = requests(&profile, args.events, seed, target)?;
    let highest = send(&profile, server, made).await?.events_per_second();
    let rate = highest / 2.0;
    let time = (WARM_UP + HELD).as_secs_f64();
    // A tenth more, since the schedule is random.
    let due = whole(rate * time * 1.1);
    let made = requests(&profile, due, seed ^ 1, target)?;
    let before = raw_sync_us(folder)?;
    let outcome = drive::run(Options {
        profile: &profile,
        address: server.address.clone(),
        feed: Feed::Ready(Stack::new(made)),
        pace: Pace::Open(rate),
        warm_up: WARM_UP,
        duration: HELD,
        drain: Duration::from_secs(5),
        seed,
        ledger: None,
        pid: None,
        owed: Vec::new(),
        limit: None,
        title: String::new(),
    })
    .await?;
    Ok(Round {
        highest,
        failed: outcome.counts.failed(),
        p50_ms: ms(outcome.latency.p50),
        p99_ms: ms(outcome.latency.p99),
        wire_p99_ms: ms(outcome.accepted.p99),
        raw_sync_ms: (before + raw_sync_us(folder)?) / 2_000.0,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of requests; a float is cut to the range"
)]
const fn whole(count: f64) -> usize {
    count as usize
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of minutes stay below 2^53")]
fn ms(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// All rounds.
pub(super) fn conclude(rounds: &[Round]) -> Acknowledged {
    Acknowledged {
        highest: spread(rounds, |round| round.highest),
        p50_ms: spread(rounds, |round| round.p50_ms),
        p99_ms: spread(rounds, |round| round.p99_ms),
        wire_p99_ms: spread(rounds, |round| round.wire_p99_ms),
        raw_sync_ms: spread(rounds, |round| round.raw_sync_ms),
        ratio: spread(rounds, |round| round.p99_ms / round.raw_sync_ms),
        failed: rounds.iter().map(|round| round.failed).sum(),
    }
}

/// The comparison as markdown.
pub(super) fn table(acknowledged: &Acknowledged) -> String {
    format!(
        "| highest rate, events/s | at half of it: p50 ms | p99 ms | p99 on the wire, ms | bare sync of 64 KiB, ms | p99 / sync | failed |\n\
         |---|---|---|---|---|---|---|\n| {} | {} | {} | {} | {} | {} | {} |\n",
        cell(&acknowledged.highest, 0),
        cell(&acknowledged.p50_ms, 2),
        cell(&acknowledged.p99_ms, 2),
        cell(&acknowledged.wire_p99_ms, 2),
        cell(&acknowledged.raw_sync_ms, 3),
        cell(&acknowledged.ratio, 1),
        acknowledged.failed,
    )
}
