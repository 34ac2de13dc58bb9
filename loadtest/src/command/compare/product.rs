//! The whole product: 14 sources, batches of 50, loaded while they are sent, the generator beside it.
//! Once at a fixed rate, for memory and for what is sustained; once as fast as it goes.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::super::figures::{Spread, cell, mib, spread};
use super::super::{caught_up, load};
use crate::cli::CompareArgs;
use crate::clock;
use crate::drive::Pace;
use crate::lake::manifest;
use crate::profile::{Faults, Profile, Ramp, Send};
use crate::ramp;
use crate::rng::Rng;
use crate::server::{Server, Setup};

/// The product under load.
#[derive(Debug, Serialize)]
pub(crate) struct Sustained {
    /// Events a second until the last one was in the lake, sent as fast as they were answered.
    pub(crate) highest: Option<Spread>,
    /// The fixed rate, events a second.
    pub(crate) rate: f64,
    /// Rounds in which it was sustained: all answered in time, and all loaded soon after.
    pub(crate) sustained: usize,
    /// Why not, where it was not.
    pub(crate) why_not: Vec<String>,
    /// Acknowledgements at the fixed rate, 99 %, from due, milliseconds.
    pub(crate) p99_ms: Option<Spread>,
    /// Highest resident memory at the fixed rate, MiB.
    pub(crate) memory_mib: Option<Spread>,
    /// All processor time of the server for an event at the fixed rate, microseconds.
    pub(crate) cpu_us: Option<Spread>,
    /// Tables written, in the last round.
    pub(crate) tables: usize,
}

/// One round.
#[derive(Clone, Debug)]
pub(super) struct Round {
    highest: f64,
    why_not: Option<String>,
    p99_ms: f64,
    memory_mib: f64,
    cpu_us: f64,
    tables: usize,
}

/// How long a batch stays open: long enough to be worth loading, short enough that waiting for the
/// last one weighs little.
const MAX_AGE: Duration = Duration::from_secs(2);
/// How much longer loading may take after the last event was sent.
const CATCH_UP: Duration = Duration::from_secs(5);

/// One round with a server of its own.
pub(super) async fn round(
    args: &CompareArgs,
    folder: &Path,
    number: usize,
) -> anyhow::Result<Round> {
    let mut profile = Profile::open("corpus")?;
    profile.traffic.send = Send::Batch;
    profile.traffic.gzip = Some(0.0);
    profile.traffic.duplicates = 0.0;
    profile.faults = Faults::default();
    profile.connections = args.connections.div_ceil(4);
    let mut setup = Setup::new(&folder.join(format!("product{number}")), &profile.sources);
    setup.max_age = format!("{}s", MAX_AGE.as_secs());
    let mut server = Server::start(&args.keelrow, &setup, &[])?;
    server.ready().await?;
    let seed = Rng::lane(11, u64::try_from(number)?).next();
    let (rate, times) = (args.product_rate, (Duration::ZERO, args.product_time.0));
    let fixed = load(&server, &profile, Pace::Open(rate), seed, times).await?;
    let began = clock::monotonic();
    caught_up(&server, &setup.lake(), fixed.counts.events_taken).await;
    let late = began.elapsed().saturating_sub(MAX_AGE + CATCH_UP);
    let began = clock::monotonic();
    let fast = load(&server, &profile, Pace::Closed, seed ^ 1, times).await?;
    let taken = fixed.counts.events_taken + fast.counts.events_taken;
    caught_up(&server, &setup.lake(), taken).await;
    let seconds = began.elapsed().as_secs_f64();
    let manifests = manifest::read_all(&setup.lake())?;
    let files = manifests.iter().flat_map(|committed| &committed.manifest.files);
    let tables: BTreeSet<_> = files.map(|file| (&file.schema, &file.table)).collect();
    let round = Round {
        highest: fast.events_per_second() * fast.seconds / seconds,
        why_not: ramp::verdict(&Ramp::default(), &fixed).or_else(|| {
            (!late.is_zero()).then(|| format!("loaded {:.1} s too late", late.as_secs_f64()))
        }),
        p99_ms: Duration::from_micros(fixed.latency.p99).as_secs_f64() * 1_000.0,
        memory_mib: mib(fixed.server.iter().map(|sample| sample.rss).max().unwrap_or(0)),
        cpu_us: fixed.server_cpu_us_per_event().unwrap_or(0.0),
        tables: tables.len(),
    };
    server.stop().await?;
    Ok(round)
}

/// All rounds.
pub(super) fn conclude(args: &CompareArgs, rounds: &[Round]) -> Sustained {
    let why_not: Vec<String> = rounds.iter().filter_map(|round| round.why_not.clone()).collect();
    Sustained {
        highest: spread(rounds, |round| round.highest),
        rate: args.product_rate,
        sustained: rounds.len() - why_not.len(),
        why_not,
        p99_ms: spread(rounds, |round| round.p99_ms),
        memory_mib: spread(rounds, |round| round.memory_mib),
        cpu_us: spread(rounds, |round| round.cpu_us),
        tables: rounds.last().map_or(0, |round| round.tables),
    }
}

/// The figures as markdown.
pub(super) fn table(sustained: &Sustained, rounds: usize) -> String {
    let mut text = format!(
        "| whole product, 14 sources, {} tables | |\n|---|---|\n\
         | events/s until loaded, as fast as it goes | {} |\n\
         | {:.0} events/s sustained | in {} of {rounds} rounds |\n\
         | ack p99 at that rate, ms | {} |\n\
         | CPU of all its threads, us/event | {} |\n\
         | resident memory, MiB | {} |\n",
        sustained.tables,
        cell(&sustained.highest, 0),
        sustained.rate,
        sustained.sustained,
        cell(&sustained.p99_ms, 1),
        cell(&sustained.cpu_us, 2),
        cell(&sustained.memory_mib, 0),
    );
    for reason in &sustained.why_not {
        text.push_str(&format!("| not sustained | {reason} |\n"));
    }
    text
}
