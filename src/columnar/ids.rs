//! A map from the mapper's column ids: an array for the first ids, a hash map for the rest, so that
//! neither a table of few columns nor a flood of ids takes much room.

use std::collections::HashMap;

use crate::warehouse::ColumnId;

/// Ids below this one are in the array: at most 16 KiB for a four-byte value.
const DENSE: usize = 4_096;

/// Values by column id.
#[derive(Debug)]
pub(super) struct Ids<T> {
    dense: Vec<Option<T>>,
    sparse: HashMap<u32, T, foldhash::fast::RandomState>,
}

impl<T> Default for Ids<T> {
    fn default() -> Self {
        Self { dense: Vec::new(), sparse: HashMap::default() }
    }
}

impl<T: Copy> Ids<T> {
    /// The value of `id`.
    #[inline]
    pub(super) fn get(&self, id: ColumnId) -> Option<T> {
        match self.dense.get(id.0 as usize) {
            Some(&value) => value,
            None if (id.0 as usize) < DENSE => None,
            None => self.sparse.get(&id.0).copied(),
        }
    }

    /// Keeps `value` for `id`.
    pub(super) fn set(&mut self, id: ColumnId, value: T) {
        let at = id.0 as usize;
        if at >= DENSE {
            self.sparse.insert(id.0, value);
            return;
        }
        if at >= self.dense.len() {
            self.dense.resize(at + 1, None);
        }
        self.dense[at] = Some(value);
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.dense.clear();
        self.sparse.clear();
    }
}
