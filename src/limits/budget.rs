//! Memory that bodies may take, and connections: counted by permits that give back when dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
        let mut permit = Permit { shared: Arc::clone(&self.shared), held: 0 };
        permit.grow(amount).then_some(permit)
    }
}

/// A share of a budget; gives it back when dropped.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    held: usize,
}

impl Permit {
    /// Takes `amount` more; false, and nothing is taken, where that is more than is left.
    #[must_use]
    pub fn grow(&mut self, amount: usize) -> bool {
        let limit = self.shared.limit;
        let add = |used: usize| used.checked_add(amount).filter(|sum| *sum <= limit);
        let taken =
            self.shared.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok();
        if taken {
            self.held += amount;
        }
        taken
    }

    /// Gives back all but `amount`.
    pub fn shrink_to(&mut self, amount: usize) {
        let back = self.held.saturating_sub(amount);
        self.shared.used.fetch_sub(back, Ordering::Relaxed);
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
}
