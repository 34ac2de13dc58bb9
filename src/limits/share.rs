//! What each source has in hand of the limits that all share.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;

/// What one source has in hand.
#[derive(Debug, Default)]
pub struct Share {
    /// Bytes in work, see [`super::Load`].
    pub(super) work: AtomicUsize,
    /// Bytes of bodies in memory, see [`super::Budget::take_of`].
    pub(super) bodies: AtomicUsize,
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
