//! What the loader tells the rest of the program, and what it is asked.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::rows::Pressed;
use crate::clock::Timestamp;
use crate::storage::keys::Number;
use crate::storage::manifest::Counts;

/// What a loader knows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The last committed batch.
    pub number: Option<Number>,
    /// The first journal position that is in no committed batch.
    pub committed_to: u64,
    /// The books of all committed batches, by source.
    pub books: BTreeMap<String, Counts>,
    /// Keys in the table of repeats.
    pub dedup_keys: usize,
    /// How far back in arrival time repeats are seen.
    pub dedup_window: Duration,
    /// Where the tables of this run's batches came near a limit.
    pub pressed: Pressed,
}

/// How the loader stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What it has done; `None` until it found its place in the lake.
    pub report: Option<Report>,
    /// When the last batch of this run was committed.
    pub committed_at: Option<Timestamp>,
    /// Batches committed by this run.
    pub batches: u64,
    /// Why the last try failed, while it is tried again.
    pub trouble: Option<String>,
    /// Why it stopped for good, until the program is started again.
    pub stopped: Option<String>,
    /// Whether its thread is gone.
    pub ended: bool,
}

/// What is asked of the loader's thread.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    /// End after the open batch.
    pub(super) stop: bool,
    /// Commit what lies before this position.
    pub(super) flush_to: u64,
}

/// Shared by the loader's thread and its handles.
#[derive(Debug, Default)]
pub(super) struct Shared {
    inner: Mutex<(Asked, Status)>,
    changed: Condvar,
}

impl Shared {
    pub(super) fn asked(&self) -> Asked {
        self.lock().0
    }

    pub(super) fn ask(&self, change: impl FnOnce(&mut Asked)) {
        change(&mut self.lock().0);
        self.changed.notify_all();
    }

    pub(super) fn status(&self) -> Status {
        self.lock().1.clone()
    }

    pub(super) fn tell(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.lock().1);
        self.changed.notify_all();
    }

    /// Waits until `done` says so or `timeout` is over; returns what it said last.
    pub(super) fn wait(&self, timeout: Duration, done: impl Fn(&Asked, &Status) -> bool) -> bool {
        let pending = |(asked, status): &mut (Asked, Status)| !done(asked, status);
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, pending);
        let (guard, _) = waited.unwrap_or_else(PoisonError::into_inner);
        done(&guard.0, &guard.1)
    }

    fn lock(&self) -> MutexGuard<'_, (Asked, Status)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
