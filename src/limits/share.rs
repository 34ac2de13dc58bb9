//! What each source has in hand of the limits that all share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use foldhash::fast::RandomState;

/// What one source has in hand.
#[derive(Debug, Default)]
pub struct Share {
    /// Bytes in work, see [`super::Load`].
    pub(super) work: AtomicUsize,
    /// Bytes that were let in under overload.
    pub(super) lately: Lately,
    /// Bytes of bodies in memory, see [`super::Budget::take_of`].
    pub(super) bodies: AtomicUsize,
}

/// Bytes of the last tenths of a second: half of what there is is forgotten with each [`EPOCH`].
#[derive(Debug, Default)]
pub(super) struct Lately(AtomicU64);

/// In milliseconds, a power of two.
const EPOCH: u64 = 128;
/// Bits for the bytes; the others are the epoch's, which comes again after 24 days.
const BYTES_BITS: u32 = 40;
const BYTES_MAX: u64 = (1 << BYTES_BITS) - 1;
const EPOCH_MAX: u64 = u64::MAX >> BYTES_BITS;
/// Epochs by which a thread may be behind another one.
const LATE_MAX: u64 = 8;

impl Lately {
    /// The bytes at `now`.
    pub(super) fn at(&self, now: Duration) -> u64 {
        Self::bytes(self.0.load(Ordering::Relaxed), epoch(now))
    }

    /// Adds `bytes` at `now`.
    pub(super) fn add(&self, bytes: usize, now: Duration) {
        let (bytes, epoch) = (bytes as u64, epoch(now));
        let add = |packed: u64| {
            let sum = Self::bytes(packed, epoch).saturating_add(bytes).min(BYTES_MAX);
            // Another thread may have looked at the clock later, and come first.
            let epoch = if is_before(epoch, packed) { packed >> BYTES_BITS } else { epoch };
            Some(epoch << BYTES_BITS | sum)
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok();
    }

    const fn bytes(packed: u64, epoch: u64) -> u64 {
        let bytes = packed & BYTES_MAX;
        let passed = passed(epoch, packed);
        if is_before(epoch, packed) {
            bytes
        } else if passed > BYTES_BITS as u64 {
            0
        } else {
            bytes >> passed
        }
    }
}

/// Epochs since the one that is packed.
const fn passed(epoch: u64, packed: u64) -> u64 {
    epoch.wrapping_sub(packed >> BYTES_BITS) & EPOCH_MAX
}

const fn is_before(epoch: u64, packed: u64) -> bool {
    passed(epoch, packed) > EPOCH_MAX - LATE_MAX
}

fn epoch(now: Duration) -> u64 {
    let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    (millis / EPOCH) & EPOCH_MAX
}

/// Who was let in with how much under overload.
#[derive(Debug, Default)]
pub(super) struct Evenness {
    /// Of all sources.
    lately: Lately,
    /// Sources with something in work.
    pub(super) busy: AtomicUsize,
}

impl Evenness {
    /// Whether a source had less than an even share lately, `bytes` more included. One alone never has.
    pub(super) fn is_below(&self, share: &Share, bytes: usize, now: Duration) -> bool {
        let sources = self.busy.load(Ordering::Relaxed).max(2) as u64;
        share.lately.at(now).saturating_add(bytes as u64) <= self.lately.at(now) / sources
    }

    /// Counts `bytes` of a source that was let in.
    pub(super) fn note(&self, share: &Share, bytes: usize, now: Duration) {
        share.lately.add(bytes, now);
        self.lately.add(bytes, now);
    }
}

/// A share for each source id, kept for good: as many as configurations have named.
#[derive(Debug, Default)]
pub struct Shares {
    shares: RwLock<HashMap<String, Arc<Share>, RandomState>>,
}

impl Shares {
    /// The share of a source, opened now if it is new.
    #[must_use]
    pub fn of(&self, source_id: &str) -> Arc<Share> {
        let shares = self.shares.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(source_id) {
            return Arc::clone(share);
        }
        drop(shares);
        let mut shares = self.shares.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shares.entry(source_id.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lately_is_forgotten_by_halves() {
        let lately = Lately::default();
        let at = |millis| lately.at(Duration::from_millis(millis));
        lately.add(1_000, Duration::from_millis(EPOCH * 7));
        lately.add(24, Duration::from_millis(EPOCH * 8 - 1));
        assert_eq!((at(EPOCH * 8 - 1), at(EPOCH * 8), at(EPOCH * 10 - 1)), (1_024, 512, 256));
        lately.add(44, Duration::from_millis(EPOCH * 10));
        assert_eq!((at(EPOCH * 10), at(EPOCH * 11), at(EPOCH * 1_000)), (172, 86, 0));
        // Who looked at the clock before another, and comes after it, forgets nothing.
        assert_eq!(at(EPOCH * 9), 172);
        lately.add(28, Duration::from_millis(EPOCH * 9));
        assert_eq!((at(EPOCH * 10), at(EPOCH * 11)), (200, 100));
        lately.add(usize::MAX, Duration::from_millis(EPOCH * 11));
        assert_eq!(at(EPOCH * 11), BYTES_MAX);
        // The epochs' numbers come again, and the time goes on.
        lately.add(8, Duration::from_millis(EPOCH * EPOCH_MAX));
        assert_eq!((at(EPOCH * EPOCH_MAX), at(EPOCH * (EPOCH_MAX + 1))), (8, 4));
    }
}
