//! The commands: each turns its options into one report, which `main` prints.

pub(crate) mod compare;
pub(crate) mod cost;
pub(crate) mod crash;
pub(crate) mod loader;
pub(crate) mod privacy;
pub(crate) mod run;
pub(crate) mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use crate::lake::manifest;
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

/// Median, lowest and highest of some figures.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Spread {
    /// The middle one; of an even number the lower middle.
    pub(crate) median: f64,
    /// The lowest.
    pub(crate) min: f64,
    /// The highest.
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of `values`; none of no values.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len().saturating_sub(1) / 2;
        Some(Self { median: *sorted.get(middle)?, min: *sorted.first()?, max: *sorted.last()? })
    }

    /// `median [min-max]`.
    pub(crate) fn text(&self, digits: usize) -> String {
        let Self { median, min, max } = self;
        format!("{median:.digits$} [{min:.digits$}-{max:.digits$}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_median_and_ends() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]).unwrap().text(1), "2.0 [1.0-3.0]");
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.0);
        assert!(Spread::of(&[]).is_none());
    }
}
