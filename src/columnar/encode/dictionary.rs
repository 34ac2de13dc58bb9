//! The distinct values of a chunk, in the order in which they come, and whether a dictionary pays.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::columnar::texts::{SHARED_BYTES_MAX, Texts, UNNUMBERED};

use super::PAGE_BYTES;
use super::bits::width_of;

/// Distinct texts.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// The place of each text of the batch among the distinct ones; all unset between chunks.
    by_text: Vec<u32>,
    distinct: Vec<u32>,
    /// The places of distinct texts that may have several numbers.
    long: HashTable<u32>,
    hasher: RandomState,
    /// Further numbers of such texts.
    again: Vec<u32>,
    /// How often each is there.
    counts: Vec<u32>,
    /// The place of each value.
    pub(super) places: Vec<u32>,
}

impl Words {
    /// Finds the distinct texts; whether a dictionary makes the chunk smaller.
    pub(super) fn collect(&mut self, values: &[u32], texts: &Texts) -> bool {
        self.distinct.clear();
        self.long.clear();
        self.again.clear();
        self.counts.clear();
        self.places.clear();
        if self.by_text.len() < texts.len() {
            self.by_text.resize(texts.len(), UNNUMBERED);
        }
        for &text in values {
            let Some(&known) = self.by_text.get(text as usize) else { continue };
            let place = if known == UNNUMBERED { self.add(text, texts) } else { known };
            if let Some(count) = self.counts.get_mut(place as usize) {
                *count += 1;
            }
            self.places.push(place);
        }
        let (mut once, mut all) = (0, 0);
        for (&text, &count) in self.distinct.iter().zip(&self.counts) {
            let bytes = 4 + texts.get(text).len();
            once += bytes;
            all += bytes * count as usize;
        }
        for &text in self.distinct.iter().chain(&self.again) {
            if let Some(place) = self.by_text.get_mut(text as usize) {
                *place = UNNUMBERED;
            }
        }
        once <= PAGE_BYTES && once + places_bytes(values.len(), self.distinct.len()) < all
    }

    /// The place of a text whose number is met for the first time. Which numbers a long text has
    /// hangs on the way its rows went; what is written must not.
    fn add(&mut self, text: u32, texts: &Texts) -> u32 {
        // No more than values.
        let next = u32::try_from(self.distinct.len()).unwrap_or(UNNUMBERED);
        let bytes = texts.get(text);
        let place = if bytes.len() > SHARED_BYTES_MAX {
            let Self { long, hasher, distinct, .. } = self;
            let text_at =
                |place: u32| distinct.get(place as usize).map_or(&b""[..], |&text| texts.get(text));
            let is = |&place: &u32| text_at(place) == bytes;
            let hash_of = |&place: &u32| hasher.hash_one(text_at(place));
            *long.entry(hasher.hash_one(bytes), is, hash_of).or_insert(next).get()
        } else {
            next
        };
        if place == next {
            self.distinct.push(text);
            self.counts.push(0);
        } else {
            self.again.push(text);
        }
        if let Some(known) = self.by_text.get_mut(text as usize) {
            *known = place;
        }
        place
    }

    /// Bytes of all lists.
    pub(super) fn size(&self) -> usize {
        let lists = [&self.by_text, &self.distinct, &self.again, &self.counts, &self.places];
        let all: usize = lists.iter().map(|list| list.capacity()).sum();
        (all + self.long.capacity()) * size_of::<u32>()
    }

    /// The distinct texts.
    pub(super) fn distinct(&self) -> &[u32] {
        &self.distinct
    }
}

/// A chunk of numbers with more distinct ones has no dictionary.
const NUMBERS_MAX: usize = 2_048;

/// Places of the table by which they are found: a power of two.
const TABLE: usize = 4 * NUMBERS_MAX;

/// Distinct numbers.
#[derive(Debug)]
pub(super) struct Numbers {
    /// One more than a place among the distinct ones; all 0 between chunks.
    table: Vec<u16>,
    distinct: Vec<i64>,
    /// The place of each value.
    pub(super) places: Vec<u32>,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { table: vec![0; TABLE], distinct: Vec::new(), places: Vec::new() }
    }
}

impl Numbers {
    /// Bytes of the lists that grow.
    pub(super) fn size(&self) -> usize {
        self.distinct.capacity() * size_of::<i64>() + self.places.capacity() * size_of::<u32>()
    }

    /// Finds the distinct numbers, if they are few; whether a dictionary makes the chunk smaller than
    /// `width` bytes for each.
    pub(super) fn collect(&mut self, values: &[i64], width: usize) -> bool {
        self.distinct.clear();
        self.places.clear();
        let mut are_few = true;
        for &value in values {
            let Some(place) = self.place(value) else {
                are_few = false;
                break;
            };
            self.places.push(place);
        }
        for at in 0..self.distinct.len() {
            self.forget(at);
        }
        let distinct = self.distinct.len();
        are_few && distinct * width + places_bytes(values.len(), distinct) < values.len() * width
    }

    /// The distinct numbers.
    pub(super) fn distinct(&self) -> &[i64] {
        &self.distinct
    }

    fn place(&mut self, value: i64) -> Option<u32> {
        let mut at = start(value);
        loop {
            let found = *self.table.get(at)?;
            if found == 0 {
                break;
            }
            if self.distinct.get(usize::from(found) - 1) == Some(&value) {
                return Some(u32::from(found) - 1);
            }
            at = (at + 1) % TABLE;
        }
        if self.distinct.len() >= NUMBERS_MAX {
            return None;
        }
        self.distinct.push(value);
        let place = u16::try_from(self.distinct.len()).ok()?;
        *self.table.get_mut(at)? = place;
        Some(u32::from(place) - 1)
    }

    /// Empties the places that a number may have taken. All of them are emptied one after the other,
    /// so none has to be found past an emptied one.
    fn forget(&mut self, number: usize) {
        let Some(&value) = self.distinct.get(number) else { return };
        let mut at = start(value);
        while let Some(place) = self.table.get_mut(at).filter(|place| **place != 0) {
            *place = 0;
            at = (at + 1) % TABLE;
        }
    }
}

/// Where the search for a number starts.
const fn start(value: i64) -> usize {
    let mixed =
        (value.cast_unsigned() ^ value.cast_unsigned() >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The highest bits, which are the best mixed ones, as many as the table has places for.
    ((mixed >> 32) as u32 >> (u32::BITS - TABLE.ilog2())) as usize
}

/// About the bytes of as many places in a dictionary.
const fn places_bytes(values: usize, distinct: usize) -> usize {
    values * width_of(distinct.saturating_sub(1) as u64) as usize / 8
}
