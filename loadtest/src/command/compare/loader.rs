//! The loader: CPU of its threads from the first event sent until all are in the lake.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use super::super::{Spread, caught_up};
use super::shapes::{requests, send};
use super::{LOADER, cell, us_each};
use crate::cli::CompareArgs;
use crate::lake::manifest;
use crate::process::Watch;
use crate::profile::{Profile, Send};
use crate::rng::Rng;
use crate::server::{Server, Setup};

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

/// Loads `events` of the corpus mix and measures the loader's threads until all are in the lake.
pub(super) async fn measure(
    args: &CompareArgs,
    folder: &Path,
    events: usize,
) -> anyhow::Result<LoaderRow> {
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
        caught_up(&server, &setup.lake(), taken).await;
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

/// All sizes as markdown.
pub(super) fn table(rows: &[LoaderRow]) -> String {
    let mut text = String::from(
        "| loader, events | batches | tables | CPU us/event | events per CPU-second |\n|---|---|---|---|---|\n",
    );
    for row in rows {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} |\n",
            row.events,
            row.batches,
            row.tables,
            cell(&row.us, 2),
            cell(&row.events_per_cpu_second, 0),
        ));
    }
    text
}
