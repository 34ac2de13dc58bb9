//! A hash table from key to content that can give single keys up.
//!
//! Open addressing with linear probing over 16-byte slots: 2^23 of them hold the default of seven
//! million keys in 134 MB. Keys leave by shifting their followers back, so that a table which is
//! always nearly full and always losing keys neither slows down nor grows, as one with tombstones
//! does.

/// The hash of an event's identity, never 0, and of its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: u64,
    pub(super) content: u64,
}

/// Spreads keys over slots: the golden ratio's fraction, odd.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Slots of the smallest table.
const SLOTS_MIN: usize = 1 << 10;

#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Entry>,
    len: usize,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { slots: vec![Entry::default(); SLOTS_MIN], len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The content known for `key`.
    pub(super) fn get(&self, key: u64) -> Option<u64> {
        let mut at = self.home(key);
        loop {
            let slot = self.slots[at];
            if slot.key == key {
                return Some(slot.content);
            }
            if slot.key == 0 {
                return None;
            }
            at = self.after(at);
        }
    }

    /// Adds an entry whose key is new and not 0.
    pub(super) fn insert(&mut self, entry: Entry) {
        // 85 % full at most: an absent key then meets some 20 slots, in 5 cache lines.
        if (self.len + 1) * 20 > self.slots.len() * 17 {
            let larger = vec![Entry::default(); self.slots.len() * 2];
            let slots = std::mem::replace(&mut self.slots, larger);
            for slot in slots.into_iter().filter(|slot| slot.key != 0) {
                self.place(slot);
            }
        }
        self.place(entry);
        self.len += 1;
    }

    fn place(&mut self, entry: Entry) {
        let mut at = self.home(entry.key);
        while self.slots[at].key != 0 {
            at = self.after(at);
        }
        self.slots[at] = entry;
    }

    /// Gives `key` up; nothing happens if it is not there.
    pub(super) fn remove(&mut self, key: u64) {
        let mut hole = self.home(key);
        while self.slots[hole].key != key {
            if self.slots[hole].key == 0 {
                return;
            }
            hole = self.after(hole);
        }
        let mut at = hole;
        loop {
            at = self.after(at);
            let slot = self.slots[at];
            if slot.key == 0 {
                break;
            }
            // A follower may move into the hole unless its home lies between the two.
            let mask = self.slots.len() - 1;
            let from_home = at.wrapping_sub(self.home(slot.key)) & mask;
            let from_hole = at.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole] = Entry::default();
        self.len -= 1;
    }

    #[expect(clippy::cast_possible_truncation, reason = "shifted to the bits of an index")]
    fn home(&self, key: u64) -> usize {
        let bits = self.slots.len().trailing_zeros();
        (key.wrapping_mul(SPREAD) >> (64 - bits)) as usize
    }

    const fn after(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((any::<bool>(), 1_u64..700), 1..4_000)) {
            // Few distinct keys around the growth limit: clusters, wrap-around, holes.
            let mut table = Table::new();
            let mut model = HashMap::new();
            for (insert, key) in steps {
                let key = key * 3;
                if insert && !model.contains_key(&key) {
                    table.insert(Entry { key, content: key + 1 });
                    model.insert(key, key + 1);
                } else if !insert {
                    table.remove(key);
                    model.remove(&key);
                }
            }
            prop_assert_eq!(table.len(), model.len());
            for key in 1..2_200 {
                prop_assert_eq!(table.get(key), model.get(&key).copied());
            }
        }
    }

    #[test]
    fn a_full_table_that_always_loses_keys_does_not_grow() {
        let mut table = Table::new();
        for key in 1..=870 {
            table.insert(Entry { key, content: key });
        }
        let slots = table.slots.len();
        for key in 871..=50_000 {
            table.remove(key - 870);
            table.insert(Entry { key, content: key });
        }
        assert_eq!((table.len(), table.slots.len()), (870, slots));
        assert_eq!(table.get(49_131), Some(49_131));
        assert_eq!(table.get(49_130), None);
    }

    #[test]
    fn the_default_number_of_keys_takes_134_mb() {
        let slots = (7_000_000_usize * 20).div_ceil(17).next_power_of_two();
        assert_eq!(slots * size_of::<Entry>(), 134_217_728);
    }
}
