//! A map from the mapper's column ids: an array for the first ids, a hash map for the rest, so that
//! neither a table of few columns nor a flood of ids takes much room.

use std::collections::HashMap;

use crate::warehouse::ColumnId;

/// Ids below this one are in the array: at most 32 KiB for values of eight bytes.
const DENSE: usize = 4_096;

/// Values by column id.
#[derive(Debug)]
pub(super) struct Ids<T> {
    /// What stands for no value.
    none: T,
    dense: Vec<T>,
    sparse: HashMap<u32, T, foldhash::fast::RandomState>,
}

impl<T: Copy> Ids<T> {
    /// Without values; `none` stands for them.
    pub(super) fn new(none: T) -> Self {
        Self { none, dense: Vec::new(), sparse: HashMap::default() }
    }

    /// The bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        let sparse = self.sparse.capacity() * size_of::<(u32, T)>();
        self.dense.capacity() * size_of::<T>() + sparse
    }

    /// The value of `id`, or what stands for none.
    #[inline]
    pub(super) fn get(&self, id: ColumnId) -> T {
        match self.dense.get(id.0 as usize) {
            Some(&value) => value,
            None if (id.0 as usize) < DENSE => self.none,
            None => self.sparse.get(&id.0).copied().unwrap_or(self.none),
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
            self.dense.resize(at + 1, self.none);
        }
        self.dense[at] = value;
    }
}
