//! Memory that bodies may take, and connections: counted by permits that give back when dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Share;

/// A budget of bytes, or of anything that is counted.
#[derive(Clone, Debug)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    /// A budget of `limit`.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { shared: Arc::new(Shared { used: AtomicUsize::new(0), limit }) }
    }

    /// How much is taken.
    #[must_use]
    pub fn used(&self) -> usize {
        self.shared.used.load(Ordering::Relaxed)
    }

    /// Takes `amount`, or nothing where that is more than is left.
    #[must_use]
    pub fn take(&self, amount: usize) -> Option<Permit> {
        self.open(amount, None)
    }

    /// As [`Budget::take`], for a source. Of several requests, those of one source get three
    /// quarters together at most, so that a source that sends much leaves room for the others.
    #[must_use]
    pub fn take_of(&self, share: &Arc<Share>, amount: usize) -> Option<Permit> {
        self.open(amount, Some(Arc::clone(share)))
    }

    fn open(&self, amount: usize, share: Option<Arc<Share>>) -> Option<Permit> {
        let mut permit = Permit { shared: Arc::clone(&self.shared), share, held: 0 };
        permit.grow(amount).then_some(permit)
    }
}

/// A share of a budget; gives it back when dropped.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    share: Option<Arc<Share>>,
    held: usize,
}

impl Permit {
    /// Takes `amount` more; false, and nothing is taken, where that is more than is left.
    #[must_use]
    pub fn grow(&mut self, amount: usize) -> bool {
        let limit = self.shared.limit;
        if let Some(share) = &self.share {
            let before = share.bodies.fetch_add(amount, Ordering::Relaxed);
            let most = limit - limit / 4;
            // One request by itself may take all there is.
            if before > self.held && before.saturating_add(amount) > most {
                share.bodies.fetch_sub(amount, Ordering::Relaxed);
                return false;
            }
        }
        let add = |used: usize| used.checked_add(amount).filter(|sum| *sum <= limit);
        let taken =
            self.shared.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok();
        if taken {
            self.held += amount;
        } else if let Some(share) = &self.share {
            share.bodies.fetch_sub(amount, Ordering::Relaxed);
        }
        taken
    }

    /// Gives back all but `amount`.
    pub fn shrink_to(&mut self, amount: usize) {
        let back = self.held.saturating_sub(amount);
        self.shared.used.fetch_sub(back, Ordering::Relaxed);
        if let Some(share) = &self.share {
            share.bodies.fetch_sub(back, Ordering::Relaxed);
        }
        self.held -= back;
    }

    /// How much it holds.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_add_up_to_the_limit_and_give_back() {
        let budget = Budget::new(10);
        let mut first = budget.take(4).unwrap();
        let second = budget.take(5).unwrap();
        assert!(budget.take(2).is_none());
        assert!(first.grow(1));
        assert!(!first.grow(1));
        assert!(!first.grow(usize::MAX));
        assert_eq!((budget.used(), first.held()), (10, 5));
        drop(second);
        first.shrink_to(2);
        assert_eq!(budget.used(), 2);
        drop(first);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_source_leaves_a_quarter_to_the_others() {
        let budget = Budget::new(100);
        let (hot, other) = (Arc::<Share>::default(), Arc::<Share>::default());
        let alone = budget.take_of(&hot, 100).unwrap();
        drop(alone);
        let mut held: Vec<_> = (0..7).map(|_| budget.take_of(&hot, 10).unwrap()).collect();
        assert!(budget.take_of(&hot, 10).is_none());
        assert!(held[0].grow(5) && !held[0].grow(1));
        held.push(budget.take_of(&other, 25).unwrap());
        assert!(budget.take_of(&other, 1).is_none());
        drop(held);
        assert_eq!(budget.used() + hot.bodies.load(Ordering::Relaxed), 0);
        assert_eq!(other.bodies.load(Ordering::Relaxed), 0);
        assert!(budget.take_of(&hot, usize::MAX).is_none());
        assert_eq!(hot.bodies.load(Ordering::Relaxed), 0);
    }
}
