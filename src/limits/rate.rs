//! Events per source in a time, by the generic cell rate algorithm (GCRA).
//!
//! One number per source says when its bucket would be full again. A request of more events than
//! the bucket holds passes when the bucket is full and leaves it in debt, so the rate holds in the
//! long run and no batch is refused for ever; a library that refuses such a request outright would
//! make a phone send it again without end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock::Clock;
use crate::source::Source;
use crate::units::Rate;

/// The rate is used up; it is worth trying again after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub Duration);

/// The limits of all sources. One entry for each source with a limit, so the memory is bounded by
/// the configuration.
#[derive(Debug)]
pub struct RateLimits {
    clock: Arc<dyn Clock>,
    buckets: ArcSwap<HashMap<String, Arc<Bucket>>>,
}

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// When it will be full again, in nanoseconds of the clock.
    full_at: AtomicU64,
}

impl RateLimits {
    /// The limits of `sources`, all buckets full.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, sources: &[Arc<Source>]) -> Self {
        let limits = Self { clock, buckets: ArcSwap::default() };
        limits.replace(sources);
        limits
    }

    /// Takes over the limits of a reloaded configuration; a bucket whose rate stays goes on.
    pub fn replace(&self, sources: &[Arc<Source>]) {
        let old = self.buckets.load();
        let mut buckets = HashMap::new();
        for source in sources {
            let Some(rate) = source.rate_limit else { continue };
            let kept = old.get(&source.id).filter(|bucket| bucket.rate == rate);
            let bucket = kept
                .cloned()
                .unwrap_or_else(|| Arc::new(Bucket { rate, full_at: AtomicU64::new(0) }));
            buckets.insert(source.id.clone(), bucket);
        }
        self.buckets.store(Arc::new(buckets));
    }

    /// Takes `events` from the source's bucket. Always fine for a source without a limit.
    ///
    /// # Errors
    /// [`RetryAfter`] when the bucket holds too little; nothing is taken then.
    pub fn check(&self, source: &Source, events: u32) -> Result<(), RetryAfter> {
        if source.rate_limit.is_none() {
            return Ok(());
        }
        match self.buckets.load().get(&source.id) {
            Some(bucket) => bucket.take(self.clock.elapsed(), events),
            None => Ok(()),
        }
    }
}

impl Bucket {
    /// The bucket holds what the rate allows in its time, a second for `1000/s`.
    fn take(&self, now: Duration, events: u32) -> Result<(), RetryAfter> {
        let now = nanos(now);
        let per = nanos(self.rate.per);
        let cost = cost(per, events, self.rate.events);
        let needed = cost.min(per);
        let mut refused_for = 0;
        let next = |full_at: u64| {
            let from = full_at.max(now);
            refused_for = (from - now).saturating_add(needed).saturating_sub(per);
            (refused_for == 0).then(|| from.saturating_add(cost))
        };
        match self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(_) => Ok(()),
            Err(_) => Err(RetryAfter(Duration::from_nanos(refused_for))),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The time in which `events` flow back in.
fn cost(per: u64, events: u32, rate: u32) -> u64 {
    let cost = u128::from(per) * u128::from(events) / u128::from(rate.max(1));
    u64::try_from(cost).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Fixed, Timestamp};
    use crate::config;
    use crate::source::Sources;

    fn set_up(rate: &str) -> (Arc<Fixed>, RateLimits, Arc<Source>) {
        let text = format!(
            "[[source]]\nname = \"a\"\nenvironment = \"qa\"\nwrite_key = \"k\"\nrate_limit = \"{rate}\""
        );
        let config = config::parse(&text, "k.toml".as_ref(), &config::Environment::new()).unwrap();
        let sources = Sources::new(&config.sources);
        let clock = Arc::new(Fixed::at(Timestamp::from_millis(0)));
        let limits = RateLimits::new(Arc::<Fixed>::clone(&clock), sources.list());
        (clock, limits, Arc::clone(&sources.list()[0]))
    }

    #[test]
    fn a_second_of_events_passes_and_then_the_rate() {
        let (clock, limits, source) = set_up("10/s");
        assert_eq!(limits.check(&source, 10), Ok(()));
        assert_eq!(limits.check(&source, 1), Err(RetryAfter(Duration::from_millis(100))));
        clock.advance(Duration::from_millis(100));
        assert_eq!(limits.check(&source, 1), Ok(()));
        assert_eq!(limits.check(&source, 5), Err(RetryAfter(Duration::from_millis(500))));
        clock.advance(Duration::from_secs(60));
        assert_eq!(limits.check(&source, 10), Ok(()));
        assert!(limits.check(&source, 1).is_err());
    }

    #[test]
    fn a_batch_larger_than_the_bucket_passes_and_is_paid_for() {
        let (clock, limits, source) = set_up("10/s");
        assert_eq!(limits.check(&source, 50), Ok(()));
        assert_eq!(limits.check(&source, 1), Err(RetryAfter(Duration::from_millis(4_100))));
        clock.advance(Duration::from_millis(4_100));
        assert_eq!(limits.check(&source, 1), Ok(()));
        assert!(limits.check(&source, 50).is_err());
        clock.advance(Duration::from_secs(1));
        assert_eq!(limits.check(&source, 50), Ok(()));
    }

    #[test]
    fn a_reload_keeps_the_bucket_unless_the_rate_changes() {
        let (_, limits, source) = set_up("10/s");
        assert_eq!(limits.check(&source, 10), Ok(()));
        limits.replace(&[Arc::clone(&source)]);
        assert!(limits.check(&source, 1).is_err());
        let (_, _, faster) = set_up("20/s");
        limits.replace(&[faster]);
        assert_eq!(limits.check(&source, 20), Ok(()));
        limits.replace(&[]);
        assert_eq!(limits.check(&source, 1_000), Ok(()));
    }
}
