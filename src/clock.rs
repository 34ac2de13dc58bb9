//! Time and ids as services, so that a test decides both.
//!
//! Nothing else in the program asks the operating system for the time or for randomness that ends
//! up in data; see `clippy.toml`. Times are [`Timestamp`]: microseconds since 1970 in UTC.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment in UTC, in microseconds since 1970-01-01T00:00:00Z; may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `micros` microseconds after 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The moment `millis` milliseconds after 1970.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Cuts the moment to whole milliseconds, towards the past.
    #[must_use]
    pub const fn floor_millis(self) -> Self {
        Self(self.0.div_euclid(1_000) * 1_000)
    }

    /// Hours since 1970, towards the past: two moments of one UTC hour share the number.
    #[must_use]
    pub const fn hour(self) -> i64 {
        self.0.div_euclid(3_600_000_000)
    }

    /// This moment and `by` more, at most the last representable one.
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

/// Tells the time: the wall clock for data, a monotonic one for waiting.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock, cut to milliseconds as every stored time of ours is.
    fn now(&self) -> Timestamp;
    /// Time since an arbitrary start; never goes back.
    fn elapsed(&self) -> Duration;
}

/// Makes the ids that clients did not send.
pub trait IdSource: Send + Sync + fmt::Debug {
    /// A fresh version 4 UUID.
    fn uuid(&self) -> uuid::Uuid;
}

/// The operating system's clock and randomness.
#[derive(Clone, Copy, Debug)]
pub struct System {
    start: Instant,
}

impl System {
    /// Starts the monotonic clock at zero.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the Clock that others are sent to")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for System {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock that others are sent to")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)).floor_millis()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

impl IdSource for System {
    #[expect(clippy::disallowed_methods, reason = "this is the IdSource that others are sent to")]
    fn uuid(&self) -> uuid::Uuid {
        uuid::Uuid::new_v4()
    }
}

/// A clock and id source that a test moves by hand; ids count up from one.
#[derive(Debug)]
pub struct Fixed {
    micros: AtomicI64,
    start_micros: i64,
    /// By how much the wall clock was set.
    set_micros: AtomicI64,
    ids: AtomicU64,
}

impl Fixed {
    /// Starts at `now`.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self {
            micros: AtomicI64::new(now.micros()),
            start_micros: now.micros(),
            set_micros: AtomicI64::new(0),
            ids: AtomicU64::new(0),
        }
    }

    /// Sets the wall clock by `millis` ahead, or back.
    pub fn set_forward(&self, millis: i64) {
        self.set_micros.fetch_add(millis.saturating_mul(1_000), Ordering::SeqCst);
    }

    /// Moves both clocks on by `by`.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.micros.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        let micros = self.micros.load(Ordering::SeqCst) + self.set_micros.load(Ordering::SeqCst);
        Timestamp::from_micros(micros).floor_millis()
    }

    fn elapsed(&self) -> Duration {
        let passed = self.micros.load(Ordering::SeqCst) - self.start_micros;
        Duration::from_micros(u64::try_from(passed).unwrap_or(0))
    }
}

impl IdSource for Fixed {
    fn uuid(&self) -> uuid::Uuid {
        let id = self.ids.fetch_add(1, Ordering::SeqCst) + 1;
        uuid::Builder::from_random_bytes(u128::from(id).to_be_bytes()).into_uuid()
    }
}
