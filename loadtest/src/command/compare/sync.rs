//! What the disk's sync costs: the same single events to a journal on the disk and to one in memory, in
//! turn, and how long the disk takes for a bare one.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::super::figures::{Spread, cell, spread};
use super::shapes::{quiet, requests, send};
use crate::cli::CompareArgs;
use crate::clock;
use crate::process::Watch;
use crate::profile::Profile;
use crate::server::Server;

/// A journal on the disk against one in memory.
#[derive(Debug, Serialize)]
pub(crate) struct Synced {
    /// Events a second, synced to the disk.
    pub(crate) disk: Option<Spread>,
    /// Events a second, where a sync costs nothing.
    pub(crate) memory: Option<Spread>,
    /// The first divided by the second, round by round.
    pub(crate) ratio: Option<Spread>,
}

/// Events a second of one round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    disk: f64,
    memory: f64,
}

/// One round, closed loop.
pub(super) async fn round(
    args: &CompareArgs,
    disk: &Server,
    memory: &Server,
    seed: u64,
) -> anyhow::Result<Round> {
    let mut profile = Profile::open("single")?;
    profile.connections = args.connections;
    let made = requests(&profile, args.events, seed, &disk.address.target)?;
    let mut rates = [0.0; 2];
    for (server, rate) in [disk, memory].into_iter().zip(&mut rates) {
        *rate = send(&profile, server, made.clone()).await?.events_per_second();
        let mut watch = Watch::new(server.pid());
        watch.sample(0.0).context("read keelrow's CPU from /proc")?;
        quiet(&mut watch).await?;
    }
    let [disk, memory] = rates;
    Ok(Round { disk, memory })
}

/// All rounds.
pub(super) fn conclude(rounds: &[Round]) -> Synced {
    Synced {
        disk: spread(rounds, |round| round.disk),
        memory: spread(rounds, |round| round.memory),
        ratio: spread(rounds, |round| round.disk / round.memory.max(1.0)),
    }
}

/// How often the disk is asked for a bare sync.
const SYNCS: usize = 200;
/// What is written before each.
const BLOCK: usize = 64 << 10;

/// The median time, in microseconds, of writing 64 KiB into zeros and syncing them, in `folder`.
///
/// # Errors
/// As the operating system's.
pub(super) fn raw_sync_us(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("sync.probe");
    let open = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
    let file = open.context("open a file to sync")?;
    let mut times = Vec::with_capacity(SYNCS);
    for number in 0..2 * SYNCS {
        let at = u64::try_from(number % SYNCS * BLOCK)?;
        let began = clock::monotonic();
        file.write_all_at(&[u8::from(number >= SYNCS); BLOCK], at).context("write 64 KiB")?;
        // The first round lays the zeros.
        if number == SYNCS - 1 {
            file.sync_all().context("sync a file")?;
        }
        if number >= SYNCS {
            file.sync_data().context("sync 64 KiB")?;
            times.push(began.elapsed().as_secs_f64() * 1e6);
        }
    }
    drop(file);
    std::fs::remove_file(&path).context("remove the file that was synced")?;
    times.sort_by(f64::total_cmp);
    times.get(SYNCS / 2).copied().context("nothing was synced")
}

/// The comparison as markdown.
pub(super) fn table(synced: &Synced) -> String {
    format!(
        "| single events, 64 clients | events/s |\n|---|---|\n\
         | journal on the disk, synced | {} |\n| journal in memory | {} |\n\
         | the first, of the second | {} |\n",
        cell(&synced.disk, 0),
        cell(&synced.memory, 0),
        cell(&synced.ratio, 2),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_sync_takes_time_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(raw_sync_us(folder.path()).unwrap() > 0.0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
