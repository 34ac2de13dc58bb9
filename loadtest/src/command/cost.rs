//! `loadtest cost`: what the default transformations add to taking events in. Two servers, one with
//! and one without, take the same batches in turns; ratios are made round by round, so that a
//! neighbour who slows the machine slows both.

use anyhow::Context;
use serde::Serialize;

use super::Workplace;
use super::compare::shapes::{quiet, requests, send};
use super::figures::{LOADER, Spread, us_each};
use crate::cli::CostArgs;
use crate::output::Progress;
use crate::payload::Request;
use crate::process::Watch;
use crate::profile::Profile;
use crate::server::{Server, Setup};

/// Batches of 50 events, as servers send them.
const PROFILE: &str = "batch50";
/// The most that transformations may cost: half of what taking events in costs without them.
const RATIO_MAX: f64 = 1.5;

/// What `cost` found.
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    /// Rounds.
    pub(crate) rounds: usize,
    /// CPU for an event with the default transformations, without the loader's, microseconds.
    pub(crate) on_us: Option<Spread>,
    /// The same without them.
    pub(crate) off_us: Option<Spread>,
    /// The one divided by the other, round by round.
    pub(crate) ratio: Option<Spread>,
    /// Whether the median ratio is within the mark.
    pub(crate) holds: bool,
}

impl Cost {
    /// The report for a person.
    pub(crate) fn text(&self) -> String {
        let cell = |spread: &Option<Spread>| {
            spread.as_ref().map_or_else(|| "-".to_owned(), |spread| spread.text(2))
        };
        format!(
            "batches of 50, {} interleaved rounds, CPU us/event, median [min-max]\n\
             transformations on {}, off {}, ratio {} (mark {RATIO_MAX})",
            self.rounds,
            cell(&self.on_us),
            cell(&self.off_us),
            cell(&self.ratio),
        )
    }
}

/// Runs all rounds.
///
/// # Errors
/// When a server does not start, or refuses what it is sent.
pub(crate) async fn run(args: &CostArgs) -> anyhow::Result<Cost> {
    let workplace = Workplace::new(None)?;
    let mut profile = Profile::open(PROFILE)?;
    profile.connections = args.connections;
    let mut progress = Progress::new();
    let mut servers = Vec::new();
    for on in [true, false] {
        let folder = workplace.path().join(if on { "on" } else { "off" });
        let mut setup = Setup::new(&folder, &profile.sources);
        setup.transforms = on;
        let mut server = Server::start(&args.keelrow, &setup, &[])?;
        server.ready().await?;
        servers.push(server);
    }
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for round in 0..=args.rounds {
        progress.show(&format!("round {round} of {}", args.rounds));
        let target = &servers.first().context("two servers")?.address.target;
        let made = requests(&profile, args.events, u64::try_from(round)? + 1, target)?;
        for (server, figures) in servers.iter().zip([&mut on, &mut off]) {
            let us = once(&profile, server, made.clone()).await?;
            // The first round warms up.
            if round > 0 {
                figures.push(us);
            }
        }
    }
    for mut server in servers {
        server.stop().await?;
    }
    progress.end();
    let ratios: Vec<f64> =
        on.iter().zip(&off).filter(|(_, off)| **off > 0.0).map(|(on, off)| on / off).collect();
    let ratio = Spread::of(&ratios);
    Ok(Cost {
        rounds: args.rounds,
        on_us: Spread::of(&on),
        off_us: Spread::of(&off),
        holds: ratio.is_some_and(|ratio| ratio.median <= RATIO_MAX),
        ratio,
    })
}

/// CPU of the server for an event, its loader's left out.
async fn once(profile: &Profile, server: &Server, made: Vec<Request>) -> anyhow::Result<f64> {
    let mut watch = Watch::new(server.pid());
    watch.sample(0.0).context("read keelrow's CPU from /proc")?;
    let before = (watch.cpu_ns(""), watch.cpu_ns(LOADER));
    let outcome = send(profile, server, made).await?;
    watch.sample(0.0).context("read keelrow's CPU from /proc")?;
    let loader = watch.cpu_ns(LOADER) - before.1;
    let us =
        us_each((watch.cpu_ns("") - before.0).saturating_sub(loader), outcome.counts.events_taken);
    quiet(&mut watch).await?;
    Ok(us)
}
