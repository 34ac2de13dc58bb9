//! Names as small numbers.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

/// A set of names, numbered in the order they came.
#[derive(Debug, Default)]
pub(super) struct Names {
    hasher: RandomState,
    table: HashTable<u32>,
    names: Vec<Box<str>>,
    bytes: usize,
}

impl Names {
    /// The number of `name`, new or known.
    pub(super) fn intern(&mut self, name: &str) -> u32 {
        let hash = self.hasher.hash_one(name);
        let names = &self.names;
        let known = |&id: &u32| names.get(id as usize).is_some_and(|known| &**known == name);
        if let Some(&id) = self.table.find(hash, known) {
            return id;
        }
        let id = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.bytes += name.len();
        self.names.push(name.into());
        let (names, hasher) = (&self.names, &self.hasher);
        self.table.insert_unique(hash, id, |&id| {
            hasher.hash_one(names.get(id as usize).map_or("", |name| &**name))
        });
        id
    }

    /// The name of a number; empty for one that was never given.
    pub(super) fn name(&self, id: u32) -> &str {
        self.names.get(id as usize).map_or("", |name| &**name)
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// How many bytes they have.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}
