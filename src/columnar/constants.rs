//! Texts that are the same in every event of a shape or an outline, kept from batch to batch.
//!
//! The texts of a batch are numbered anew in the next one; what is known of events must not be. It names
//! its constant texts by their places here, whose numbers are those of the batch that is open.

use std::collections::HashMap;

use super::texts::Texts;

/// What a constant takes beside its text, in the list and in the table.
const ENTRY_BYTES: usize = 64;

/// What a text takes beside itself among those of a batch.
const TEXT_ENTRY_BYTES: usize = 20;

/// Constant texts by their places.
#[derive(Default)]
pub(super) struct Constants {
    list: Vec<Constant>,
    places: HashMap<Box<str>, u32, foldhash::fast::RandomState>,
    /// Of all texts, each once.
    text_bytes: usize,
}

struct Constant {
    text: Box<str>,
    /// In the batch that is open.
    number: u32,
}

impl std::fmt::Debug for Constants {
    /// Shows how many there are, never content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Constants").field("texts", &self.list.len()).finish_non_exhaustive()
    }
}

impl Constants {
    /// The place of `text`, which is numbered in `texts`.
    pub(super) fn place(&mut self, text: &str, texts: &mut Texts) -> u32 {
        if let Some(&place) = self.places.get(text) {
            return place;
        }
        // Bounded by those who keep them: outlines ask for the bytes; those of plans are names.
        self.text_bytes += text.len();
        let place = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(Constant { text: text.into(), number: texts.number(text) });
        self.places.insert(text.into(), place);
        place
    }

    /// The number of the text at this place.
    #[inline]
    pub(super) fn number(&self, place: u32) -> u32 {
        self.list.get(place as usize).map_or(0, |constant| constant.number)
    }

    /// The text at this place.
    pub(super) fn text(&self, place: u32) -> &str {
        self.list.get(place as usize).map_or("", |constant| &constant.text)
    }

    /// About the bytes that they take here, where each text is there twice.
    pub(super) fn bytes(&self) -> usize {
        2 * self.text_bytes + self.list.len() * ENTRY_BYTES
    }

    /// About the bytes that they take among the texts of a batch.
    pub(super) fn bytes_in_texts(&self) -> u64 {
        (self.text_bytes + self.list.len() * TEXT_ENTRY_BYTES) as u64
    }

    /// Numbers all of them in `texts`, which knows other texts than before.
    pub(super) fn renumber(&mut self, texts: &mut Texts) {
        for constant in &mut self.list {
            constant.number = texts.number(&constant.text);
        }
    }

    /// Forgets all; their places are void.
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.places.clear();
        self.text_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_keeps_its_place_and_has_the_number_of_the_batch() {
        let (mut constants, mut texts) = (Constants::default(), Texts::default());
        let [a, b, again] = ["a", "", "a"].map(|text| constants.place(text, &mut texts));
        assert_eq!((a, b, again), (0, 1, 0));
        let texts_before = texts.size();
        assert_eq!(constants.bytes_in_texts(), texts_before);
        assert_eq!(constants.bytes(), 2 + 2 * ENTRY_BYTES);
        texts.clear();
        texts.number("of another batch");
        constants.renumber(&mut texts);
        for place in [a, b] {
            let number = constants.number(place);
            assert_eq!(texts.get(number), constants.text(place).as_bytes());
        }
        assert_eq!(constants.number(a), 1);
        constants.clear();
        assert_eq!(constants.bytes(), 0);
        assert_eq!(constants.place("c", &mut texts), 0);
    }
}
