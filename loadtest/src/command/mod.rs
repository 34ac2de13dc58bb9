//! The commands: each turns its options into one report, which `main` prints.

pub(crate) mod compare;
pub(crate) mod cost;
pub(crate) mod crash;
pub(crate) mod figures;
pub(crate) mod loader;
pub(crate) mod overload;
pub(crate) mod privacy;
pub(crate) mod run;
pub(crate) mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use crate::drive::{self, Feed, Options, Outcome, Pace};
use crate::lake::manifest;
use crate::payload::Renderer;
use crate::profile::Profile;
use crate::server::Server;
use crate::{client, clock, metrics};

/// A folder to work in: the user's, kept, or a temporary one, removed at the end.
#[derive(Debug)]
pub(crate) enum Workplace {
    /// Given by the user.
    Kept(PathBuf),
    /// Made by us.
    Temporary(TempDir),
}

impl Workplace {
    /// Takes the user's folder, or makes a temporary one.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn new(data: Option<&Path>) -> anyhow::Result<Self> {
        match data {
            None => {
                let folder = tempfile::Builder::new().prefix("loadtest-").tempdir();
                Ok(Self::Temporary(folder.context("make a temporary folder")?))
            }
            Some(data) => {
                let data = std::path::absolute(data).context("find the data folder")?;
                std::fs::create_dir_all(&data)
                    .with_context(|| format!("create {}", data.display()))?;
                Ok(Self::Kept(data))
            }
        }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    /// Keeps even a temporary folder, as something in it must be looked at.
    pub(crate) fn keep(self) -> PathBuf {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.keep(),
        }
    }
}

/// How long a loader may make no progress before it is no longer waited for.
const STANDSTILL_MAX: Duration = Duration::from_secs(60);

/// Waits until the server has loaded all it acknowledged, `events` at least: its metrics say that
/// nothing waits, and the manifests account for the events. A loader that stands still is left to
/// the proof that follows.
pub(crate) async fn caught_up(server: &Server, lake: &Path, events: u64) {
    let mut last = None;
    let mut moved = clock::monotonic();
    while moved.elapsed() < STANDSTILL_MAX {
        let metrics = client::get(&server.admin, "/metrics", STANDSTILL_MAX).await;
        let metrics = metrics.map(|answer| answer.body).unwrap_or_default();
        let waiting = metrics::waiting(&String::from_utf8_lossy(&metrics));
        // A manifest that cannot be read yet counts as not there.
        let received = manifest::books(lake).map_or(0, |books| books.received);
        if waiting.unwrap_or(0) == 0 && received >= events {
            return;
        }
        let now = Some((waiting, received));
        if now != last {
            (last, moved) = (now, clock::monotonic());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Loads the server with a profile; `pace` counts events, `times` are the time that is not measured
/// and the time that is.
///
/// # Errors
/// When the profile cannot be sent.
pub(crate) async fn load(
    server: &Server,
    profile: &Profile,
    pace: Pace,
    seed: u64,
    times: (Duration, Duration),
) -> anyhow::Result<Outcome> {
    let renderer = Renderer::new(profile, &server.address.target, seed)?;
    let pace = match pace {
        Pace::Open(events) => Pace::Open(events / renderer.mean_events()),
        Pace::Closed => Pace::Closed,
    };
    let (warm_up, duration) = times;
    let outcome = drive::run(Options {
        profile,
        address: server.address.clone(),
        feed: Feed::Live(renderer.into()),
        pace,
        warm_up,
        duration,
        drain: DRAIN,
        seed,
        ledger: None,
        pid: Some(server.pid()),
        owed: Vec::new(),
        limit: None,
        title: String::new(),
    });
    outcome.await.context("load the server")
}

/// How long answers are waited for after the last request.
const DRAIN: Duration = Duration::from_secs(15);
