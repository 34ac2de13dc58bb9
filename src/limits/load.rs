//! How much may be in work at once, by how late the program is.
//!
//! Beyond what its cores can do, a server that takes everything answers everything late. So what is
//! in work, counted in bytes since they are what costs time, has a limit that follows the delay of
//! the runtimes' own clocks: it falls while tasks wait too long for a core and rises while they do
//! not. Past it requests are refused at once. A source that has less in work than an even share is
//! let in all the same, so that a hot one only ever displaces itself.
//!
//! A queue that empties again is no overload: an SDK that comes back with all it has kept, or a
//! neighbour of the machine, makes a program late for some tenths of a second. Only who is late all
//! the time asks for more than can be done; from then on each look counts, until the limit is gone.

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

/// So long without one look in time is overload. What an SDK kept and sends at once, such as 64 bodies
/// of 500 KB, is 30,000 events: at 6 us each two cores work them off in less.
const PATIENCE: Duration = Duration::from_millis(250);

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

/// Watches how late one runtime is.
#[derive(Debug)]
pub struct Watch {
    load: Load,
    /// How long every look was late.
    late_for: Duration,
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

    /// A watch for one runtime.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch { load: self.clone(), late_for: Duration::ZERO }
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

impl Watch {
    /// Sets the limit anew after a look that came `delay` later than it should, `since` the last one.
    pub fn look(&mut self, since: Duration, delay: Duration) {
        let Load { shared } = &self.load;
        let peak = shared.peak.swap(self.load.held(), Ordering::Relaxed);
        let limit = self.load.limit();
        let next = if delay <= LATE {
            self.late_for = Duration::ZERO;
            limit.saturating_add(limit / 8)
        } else {
            self.late_for = self.late_for.saturating_add(since);
            if limit == shared.most && self.late_for < PATIENCE {
                return;
            }
            // What was asked for counts, not what would have been allowed.
            limit.min(peak) / 4 * 3
        };
        shared.limit.store(next.clamp(LEAST, shared.most), Ordering::Relaxed);
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
    const LOOK: Duration = Duration::from_millis(16);

    /// Looks until the patience is over, all late.
    fn press(watch: &mut Watch) {
        for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() + 1 {
            watch.look(LOOK, LATER);
        }
    }

    #[test]
    fn the_limit_follows_the_delay() {
        let load = Load::new(64 << 20);
        let (share, mut watch) = (Arc::default(), load.watch());
        watch.look(LOOK, LATE);
        assert_eq!((load.limit(), load.is_quiet()), (64 << 20, true));
        let work = load.begin(&share, 16 << 20);
        assert!(!load.is_quiet());
        press(&mut watch);
        assert_eq!(load.limit(), 12 << 20);
        assert!(!load.admits(&share, 1));
        watch.look(LOOK, LATER);
        assert_eq!(load.limit(), 9 << 20);
        drop(work);
        assert_eq!((load.held(), load.admits(&share, 9 << 20)), (0, true));
        for _ in 0..100 {
            watch.look(LOOK, LATER);
        }
        assert_eq!(load.limit(), LEAST);
        // In time again, then late: it falls at once, as the overload is not over.
        watch.look(LOOK, LATE);
        let work = load.begin(&share, 16 << 20);
        watch.look(LOOK, LATER);
        assert_eq!(load.limit(), LEAST);
        drop(work);
        for _ in 0..100 {
            watch.look(LOOK, Duration::ZERO);
        }
        assert_eq!(load.limit(), 64 << 20);
    }

    #[test]
    fn a_queue_that_empties_again_is_no_overload() {
        let load = Load::new(256 << 20);
        let (share, mut watch) = (Arc::default(), load.watch());
        // 64 bodies of 500 KB at once from one source, and again as soon as they are done: late all
        // the while, but for one look in between.
        for _ in 0..50 {
            let mut works = Vec::new();
            for _ in 0..64 {
                assert!(load.admits(&share, 500_000));
                works.push(load.begin(&share, 500_000));
            }
            let mut late = Duration::ZERO;
            while late + LOOK < PATIENCE {
                watch.look(LOOK, LATER);
                late += LOOK;
            }
            assert_eq!(load.limit(), 256 << 20);
            drop(works);
            watch.look(LOOK, Duration::ZERO);
        }
    }

    #[test]
    fn one_late_runtime_is_enough_and_one_in_time_does_not_hide_it() {
        let load = Load::new(64 << 20);
        let share = Arc::default();
        let (mut late, mut idle) = (load.watch(), load.watch());
        let _work = load.begin(&share, 32 << 20);
        for _ in 0..100 {
            late.look(LOOK, LATER);
            idle.look(LOOK, Duration::ZERO);
        }
        assert!(load.limit() < 32 << 20, "{}", load.limit());
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
