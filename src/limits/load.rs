//! How much may be in work at once, by how late the program is.
//!
//! Beyond what its cores can do, a server that takes everything answers everything late. So what is
//! in work, counted in bytes since they are what costs time, has a limit that follows the delay of
//! the runtime's own clock: it falls while tasks wait too long for a core and rises while they do
//! not. Past it requests are refused at once. A source that has less in work than an even share is
//! let in all the same, so that a hot one only ever displaces itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::share::Share;

/// Tasks that wait longer for a core mean that more is asked than can be done: a few times the
/// scheduler's tick, and half of what a request may take then.
const LATE: Duration = Duration::from_millis(10);
/// The limit never falls below this: some sixty batches of fifty events, ten milliseconds of two
/// cores, which keeps the cores and the log's sync busy.
const LEAST: usize = 4 << 20;

/// What is in work. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Load {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit: AtomicUsize,
    most: usize,
    held: AtomicUsize,
    /// The most that was held since the limit was last looked at.
    peak: AtomicUsize,
    /// Shares with something in work.
    busy: AtomicUsize,
}

/// Something in work; it is over when this is dropped.
#[derive(Debug)]
pub struct Work {
    load: Load,
    share: Arc<Share>,
    bytes: usize,
}

impl Load {
    /// Nothing in work; the limit is `most` until the program is late.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let most = most.max(LEAST);
        let shared = Shared {
            limit: AtomicUsize::new(most),
            most,
            held: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Whether `bytes` more of a source may be worked on now.
    #[must_use]
    pub fn admits(&self, share: &Share, bytes: usize) -> bool {
        let limit = self.limit();
        if self.shared.held.load(Ordering::Relaxed).saturating_add(bytes) <= limit {
            return true;
        }
        let own = share.work.load(Ordering::Relaxed);
        let others = self.shared.busy.load(Ordering::Relaxed).saturating_sub(usize::from(own > 0));
        // A source with nothing in work is always let in, however large its request is.
        own == 0 || own.saturating_add(bytes) <= limit / (others + 1)
    }

    /// Counts `bytes` of a source as in work.
    #[must_use]
    pub fn begin(&self, share: &Arc<Share>, bytes: usize) -> Work {
        let held = self.shared.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.shared.peak.fetch_max(held, Ordering::Relaxed);
        if share.work.fetch_add(bytes, Ordering::Relaxed) == 0 {
            self.shared.busy.fetch_add(1, Ordering::Relaxed);
        }
        Work { load: self.clone(), share: Arc::clone(share), bytes }
    }

    /// Sets the limit anew after `delay`, how much later than it should a task was run just now.
    pub fn adjust(&self, delay: Duration) {
        let peak = self.shared.peak.swap(self.held(), Ordering::Relaxed);
        let limit = self.limit();
        let next = if delay > LATE {
            // What was asked for counts, not what would have been allowed.
            limit.min(peak) / 4 * 3
        } else {
            limit.saturating_add(limit / 8)
        };
        self.shared.limit.store(next.clamp(LEAST, self.shared.most), Ordering::Relaxed);
    }

    /// Whether so little is in work that it need not be watched closely.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.limit() == self.shared.most && self.held() < LEAST / 4
    }

    /// Bytes that may be in work.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.shared.limit.load(Ordering::Relaxed)
    }

    /// Bytes in work.
    #[must_use]
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::Relaxed)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.load.shared.held.fetch_sub(self.bytes, Ordering::Relaxed);
        if self.share.work.fetch_sub(self.bytes, Ordering::Relaxed) == self.bytes {
            self.load.shared.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_millis(11);

    #[test]
    fn the_limit_follows_the_delay() {
        let load = Load::new(64 << 20);
        let share = Arc::default();
        load.adjust(LATE);
        assert_eq!((load.limit(), load.is_quiet()), (64 << 20, true));
        let work = load.begin(&share, 16 << 20);
        assert!(!load.is_quiet());
        load.adjust(LATER);
        assert_eq!(load.limit(), 12 << 20);
        assert!(!load.admits(&share, 1));
        load.adjust(LATER);
        assert_eq!(load.limit(), 9 << 20);
        drop(work);
        assert_eq!((load.held(), load.admits(&share, 9 << 20)), (0, true));
        for _ in 0..100 {
            load.adjust(LATER);
        }
        assert_eq!(load.limit(), LEAST);
        for _ in 0..100 {
            load.adjust(Duration::ZERO);
        }
        assert_eq!(load.limit(), 64 << 20);
    }

    #[test]
    fn a_hot_source_displaces_only_itself() {
        let load = Load::new(LEAST);
        let (hot, other, third) = (Arc::default(), Arc::default(), Arc::default());
        let much = load.begin(&hot, LEAST);
        assert!(!load.admits(&hot, 1));
        // Nothing in work: let in at any size. Then up to an even share.
        assert!(load.admits(&other, LEAST * 2));
        let some = load.begin(&other, LEAST / 4);
        assert!(load.admits(&other, LEAST / 4));
        assert!(!load.admits(&other, LEAST / 4 + 1));
        let more = load.begin(&third, 1);
        assert!(!load.admits(&other, LEAST / 4));
        assert!(load.admits(&other, LEAST / 16));
        drop((some, more));
        assert!(!load.admits(&hot, 1));
        drop(much);
        assert!(load.admits(&hot, LEAST));
        assert_eq!(load.shared.busy.load(Ordering::Relaxed), 0);
    }
}
