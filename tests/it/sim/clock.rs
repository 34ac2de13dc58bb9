//! A clock that jumps, and ids that count.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use keelrow::clock::{Clock, IdSource, Timestamp};

/// The clock of one machine: the wall clock may be set, the monotonic one only goes on.
#[derive(Debug)]
pub(super) struct SimClock {
    wall_millis: AtomicI64,
    elapsed_millis: AtomicU64,
    ids: AtomicU64,
}

/// 2026-11-21T10:00:00Z.
const START_MILLIS: i64 = 1_795_255_200_000;

impl SimClock {
    /// `machine` keeps the ids of machines apart.
    pub(super) const fn new(machine: u64) -> Self {
        Self {
            wall_millis: AtomicI64::new(START_MILLIS),
            elapsed_millis: AtomicU64::new(0),
            ids: AtomicU64::new((machine + 1) << 16),
        }
    }

    /// Another machine's clock that shows the same.
    pub(super) fn copy(&self, machine: u64) -> Self {
        let copy = Self::new(machine);
        copy.wall_millis.store(self.wall_millis.load(Ordering::Relaxed), Ordering::Relaxed);
        copy
    }

    pub(super) fn advance(&self, millis: u64) {
        self.elapsed_millis.fetch_add(millis, Ordering::Relaxed);
        self.set_forward(i64::try_from(millis).unwrap());
    }

    /// Somebody sets the wall clock.
    pub(super) fn set_forward(&self, millis: i64) {
        self.wall_millis.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall_millis.load(Ordering::Relaxed))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.elapsed_millis.load(Ordering::Relaxed))
    }
}

impl IdSource for SimClock {
    fn uuid(&self) -> uuid::Uuid {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        uuid::Builder::from_random_bytes(u128::from(id).to_be_bytes()).into_uuid()
    }
}
