//! The values of an event as the columns of its tables ask for them: by their places in its shape.

use super::draft::Draft;
use super::texts::Texts;

/// Values by their places; a place that there is not has nothing.
pub(super) trait Values {
    /// Bytes of the text.
    fn len(&self, place: usize) -> u64;

    /// The number of the text.
    fn number(&mut self, place: usize, texts: &mut Texts) -> u32;

    /// What a column of the value's own type holds.
    fn bits(&self, place: usize) -> i64;

    /// The text.
    fn text<'t>(&'t self, place: usize, texts: &'t Texts) -> Option<&'t str>;
}

impl Values for &Draft {
    fn len(&self, place: usize) -> u64 {
        self.value(place).map_or(0, |value| value.len as u64)
    }

    fn number(&mut self, place: usize, texts: &mut Texts) -> u32 {
        self.value(place).map_or(0, |value| Draft::number(self, value, texts))
    }

    fn bits(&self, place: usize) -> i64 {
        self.value(place).map_or(0, |value| value.bits)
    }

    fn text<'t>(&'t self, place: usize, texts: &'t Texts) -> Option<&'t str> {
        std::str::from_utf8(Draft::text(self, self.value(place)?, texts)).ok()
    }
}
