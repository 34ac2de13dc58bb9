//! The texts of a batch, each kept once however many rows, columns and tables hold it.
//!
//! A cell of a string column is the number of its text. Equal texts have equal numbers unless they
//! are long, so that building a dictionary for a column chunk compares numbers, not texts, and an
//! event's value that goes to its own table, to `tracks` and to a unified table is hashed and copied
//! once. Numbers say nothing about files: the order in which texts are met does not depend on them,
//! so a batch that is made again may number its texts in another way.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// A longer text may be kept at each place it comes from, so may have several numbers: looking for it
/// costs more than it saves.
pub(super) const SHARED_BYTES_MAX: usize = 1_024;

/// Bytes of texts whose memory is kept for the next batch.
const KEPT_BYTES_MAX: u64 = 32 << 20;

/// Numbered texts.
#[derive(Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    /// Where each text ends in `bytes`.
    ends: Vec<usize>,
    /// Hash and number.
    table: HashTable<(u32, u32)>,
    hasher: RandomState,
}

impl std::fmt::Debug for Texts {
    /// Shows sizes, never content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Texts").field("texts", &self.ends.len()).finish_non_exhaustive()
    }
}

/// The old numbers of texts that are kept, with their new ones.
#[derive(Debug)]
pub(super) struct Renumbering {
    old: Texts,
    new: Vec<u32>,
}

/// No number yet.
pub(super) const UNNUMBERED: u32 = u32::MAX;

impl Texts {
    /// The number of `text`.
    #[inline]
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if text.len() > SHARED_BYTES_MAX {
            return self.push(text.as_bytes());
        }
        // Half of the hash is enough for a table that holds below 2^32 entries.
        let hash = (self.hasher.hash_one(text.as_bytes()) >> 32) as u32;
        let Self { bytes, ends, table, .. } = self;
        let is = |&(known, number): &(u32, u32)| {
            known == hash && get(bytes, ends, number) == text.as_bytes()
        };
        if let Some(&(_, number)) = table.find(spread(hash), is) {
            return number;
        }
        let number = self.push(text.as_bytes());
        self.table.insert_unique(spread(hash), (hash, number), |&(hash, _)| spread(hash));
        number
    }

    fn push(&mut self, text: &[u8]) -> u32 {
        // Each takes eight bytes and more of a memory that is bounded far below 2^35 bytes.
        let number = u32::try_from(self.ends.len()).unwrap_or(UNNUMBERED);
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
        number
    }

    /// The number of `text`, which `last` may be; it may also be none, or one of another batch.
    #[inline]
    pub(super) fn number_again(&mut self, last: u32, text: &str) -> u32 {
        if (last as usize) < self.ends.len() && self.get(last) == text.as_bytes() {
            last
        } else {
            self.number(text)
        }
    }

    /// The text of that number.
    #[inline]
    pub(super) fn get(&self, number: u32) -> &[u8] {
        get(&self.bytes, &self.ends, number)
    }

    /// How many there are; numbers are below it.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes in use.
    pub(super) fn size(&self) -> u64 {
        (self.bytes.len() + self.ends.len() * 8 + self.table.len() * 12) as u64
    }

    /// Forgets all texts; keeps the memory that they had, unless it was very much.
    pub(super) fn clear(&mut self) {
        if self.size() > KEPT_BYTES_MAX {
            *self = Self { hasher: self.hasher.clone(), ..Self::default() };
        }
        self.bytes.clear();
        self.ends.clear();
        self.table.clear();
    }

    /// Forgets all texts but those that are then asked for by [`Renumbering::keep`].
    pub(super) fn renumber(&mut self) -> Renumbering {
        let old = std::mem::take(self);
        self.hasher = old.hasher.clone();
        let new = vec![UNNUMBERED; old.len()];
        Renumbering { old, new }
    }
}

impl Renumbering {
    /// The new number of a text, which is kept in `texts`.
    pub(super) fn keep(&mut self, number: u32, texts: &mut Texts) -> u32 {
        let Some(new) = self.new.get_mut(number as usize) else { return number };
        if *new == UNNUMBERED {
            // What was text before still is; that of one text only is found again by its number.
            let text = self.old.get(number);
            *new = match std::str::from_utf8(text) {
                Ok(text) => texts.number(text),
                Err(_) => texts.push(text),
            };
        }
        *new
    }
}

#[inline]
fn get<'t>(bytes: &'t [u8], ends: &[usize], number: u32) -> &'t [u8] {
    let at = number as usize;
    let start = at.checked_sub(1).map_or(0, |before| ends.get(before).copied().unwrap_or(0));
    let end = ends.get(at).copied().unwrap_or(0);
    bytes.get(start..end).unwrap_or_default()
}

/// The table takes its place from the low bits and its tag from the high ones.
const fn spread(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_one_number() {
        let mut texts = Texts::default();
        let words = ["", "a", "b", "", "a", "ab", "b"];
        let numbers = words.map(|word| texts.number(word));
        assert_eq!(numbers, [0, 1, 2, 0, 1, 3, 2]);
        for (word, number) in words.into_iter().zip(numbers) {
            assert_eq!(texts.get(number), word.as_bytes());
        }
        assert_eq!(texts.get(9), b"");
        let long = "x".repeat(SHARED_BYTES_MAX + 1);
        assert_ne!(texts.number(&long), texts.number(&long));
    }

    #[test]
    fn the_memory_of_very_many_texts_is_given_up() {
        let mut texts = Texts::default();
        let long = "x".repeat(1 << 20);
        for _ in 0..8 {
            texts.number(&long);
        }
        texts.clear();
        assert_eq!((texts.len(), texts.size()), (0, 0));
        assert!(texts.bytes.capacity() >= 8 << 20);
        for _ in 0..33 {
            texts.number(&long);
        }
        texts.clear();
        assert_eq!(texts.bytes.capacity(), 0);
        assert_eq!(texts.number("a"), 0);
    }

    #[test]
    fn what_is_kept_has_a_new_number_and_the_rest_is_gone() {
        let mut texts = Texts::default();
        let all: Vec<u32> = (0..500).map(|n| texts.number(&format!("text {n}"))).collect();
        let mut renumbering = texts.renumber();
        assert_eq!((texts.len(), texts.size()), (0, 0));
        let kept = [300, 7, 300].map(|n| renumbering.keep(all[n], &mut texts));
        assert_eq!(kept, [0, 1, 0]);
        assert_eq!(texts.number("text 7"), 1);
        assert_eq!(texts.number("text 8"), 2);
    }
}
