//! The values of one column in the open row group.
//!
//! Values stand close together, numbers, times and booleans as 64-bit slots, strings as numbers of
//! the batch's texts; which rows they belong to is kept as runs of rows without a gap. So a column
//! that every row fills needs nothing for it, and one that few rows fill costs next to nothing until
//! it is encoded. A column whose type is not decided yet has the type of its
//! first value and turns from int to float, or from datetime to string, when a value asks for it.

use super::schema;
use super::spare::Spare;
use super::texts::{Renumbering, Texts, UNNUMBERED};
use crate::warehouse::{ColumnType, Scalar, double_of};

/// Bytes that a value adds to the builder's size; strings add their length as well.
pub(super) const VALUE_BYTES: u64 = 8;

/// One column with what the open row group holds of it.
///
/// A cell touches two cache lines of this and the ends of two buffers; a batch has thousands of
/// columns, so what a cell does not need is in `cold`.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Column {
    /// One more than the last row that gave a cell for the column, whether it fitted or not.
    pub(super) seen: u32,
    /// The type, or what it is so far where `birth` says so.
    pub(super) column_type: ColumnType,
    pub(super) birth: Birth,
    values: Values,
    cold: Box<Cold>,
}

/// How a column came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Birth {
    /// In the schema: the type is for ever.
    Known,
    /// Born in the open row group with a type that is for ever.
    Decided,
    /// Born in the open row group; the values decide.
    Tentative,
}

#[derive(Debug)]
struct Cold {
    schema: schema::Column,
    /// The same value in every row: `uuid_ts`.
    constant: Option<i64>,
    /// Values for rows that others have passed, ascending by row.
    late: Vec<(u32, Late)>,
    /// What the last row group needed, to make room at once.
    values: usize,
}

#[derive(Clone, Copy, Debug)]
enum Late {
    Slot(i64),
    Text(u32),
}

/// The text of a cell, numbered when the first string column asks for it.
#[derive(Debug)]
pub(super) struct Text<'t> {
    pub(super) text: &'t str,
    number: u32,
}

impl<'t> Text<'t> {
    /// Not numbered yet.
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, number: UNNUMBERED }
    }

    /// Of that number, or not numbered yet.
    pub(super) const fn numbered(text: &'t str, number: u32) -> Self {
        Self { text, number }
    }

    #[inline]
    fn number(&mut self, texts: &mut Texts) -> u32 {
        if self.number == UNNUMBERED {
            self.number = texts.number(self.text);
        }
        self.number
    }
}

/// The values and their rows.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Values {
    /// One more than the last row that has a value.
    next: u32,
    /// Slots of all types but strings; floats as bits.
    pub(super) fixed: Vec<i64>,
    /// Numbers of texts.
    pub(super) texts: Vec<u32>,
    /// Where rows go on after a gap: first row and number of the value.
    runs: Vec<(u32, u32)>,
}

impl Column {
    /// A column without values.
    pub(super) fn new(schema: schema::Column, birth: Birth) -> Self {
        Self {
            seen: 0,
            column_type: schema.column_type,
            birth,
            values: Values::default(),
            cold: Box::new(Cold { schema, constant: None, late: Vec::new(), values: 0 }),
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.cold.schema.name
    }

    /// True if no row may lack a value.
    pub(super) fn is_required(&self) -> bool {
        self.cold.schema.required
    }

    /// The value of every row, where it is one for all.
    pub(super) fn constant(&self) -> Option<i64> {
        self.cold.constant
    }

    /// Gives every row this value; cells of the name go elsewhere.
    pub(super) fn set_constant(&mut self, value: i64) {
        self.cold.constant = Some(value);
        // No row is the next one: each counts as seen.
        self.seen = u32::MAX;
    }

    /// The column as the registry keeps it, after [`Column::settle`].
    pub(super) fn schema(&self) -> schema::Column {
        schema::Column { column_type: self.column_type, ..self.cold.schema.clone() }
    }

    /// Bound of its strings.
    pub(super) fn max_bytes(&self) -> u64 {
        self.cold.schema.max_bytes
    }

    /// Raises the bound for a string of `bytes` bytes.
    pub(super) fn raise_bound(&mut self, bytes: u64) {
        let bound = schema::text_bound(bytes);
        self.cold.schema.max_bytes = self.cold.schema.max_bytes.max(bound);
    }

    /// What it holds.
    pub(super) const fn values(&self) -> &Values {
        &self.values
    }

    /// Notes that `row` gives a cell; false if it gave one before.
    #[inline]
    pub(super) fn see(&mut self, row: u32) -> bool {
        let first = self.seen <= row;
        if first {
            self.seen = row + 1;
        }
        first
    }

    /// Puts the value of `row` where the type takes it exactly; false if it does not.
    ///
    /// `row` must be above all rows put before. The value is read where it stands: a copy of the
    /// whole enum right after it was made stalls on its parts (a third of the time of a cell).
    #[inline]
    pub(super) fn put(
        &mut self,
        row: u32,
        value: &Scalar<'_>,
        text: &mut Text<'_>,
        texts: &mut Texts,
    ) -> bool {
        if self.column_type == ColumnType::String {
            let number = text.number(texts);
            self.push_text(row, number);
            return true;
        }
        let Some(slot) = slot(self.column_type, value) else {
            return self.birth == Birth::Tentative && self.turn(row, value, text, texts);
        };
        self.push_fixed(row, slot);
        if self.birth == Birth::Tentative && self.column_type == ColumnType::Datetime {
            // Kept until no string can come any more that is no time.
            self.values.texts.push(text.number(texts));
        }
        true
    }

    /// Turns a tentative column to the type that takes `value` too, if there is one.
    #[cold]
    fn turn(
        &mut self,
        row: u32,
        value: &Scalar<'_>,
        text: &mut Text<'_>,
        texts: &mut Texts,
    ) -> bool {
        match (self.column_type, value) {
            (ColumnType::Int, Scalar::Float(float)) => {
                self.values.ints_to_floats();
                self.push_fixed(row, float.to_bits().cast_signed());
                self.column_type = ColumnType::Float;
            }
            (ColumnType::Datetime, Scalar::Text(_)) => {
                self.values.fixed = Vec::new();
                let number = text.number(texts);
                self.push_text(row, number);
                self.column_type = ColumnType::String;
            }
            _ => return false,
        }
        self.birth = Birth::Decided;
        true
    }

    /// Puts 64 bits that the type takes; `row` must be above all rows put before.
    #[inline]
    pub(super) fn push_fixed(&mut self, row: u32, value: i64) {
        if self.values.fixed.capacity() == 0 {
            self.values.fixed.reserve(self.cold.values);
        }
        self.values.push_fixed(row, value);
    }

    /// Puts a text into a string column; `row` must be above all rows put before.
    #[inline]
    pub(super) fn push_text(&mut self, row: u32, number: u32) {
        if self.values.texts.capacity() == 0 {
            self.values.texts.reserve(self.cold.values);
        }
        self.values.push_text(row, number);
    }

    /// Puts a text for each row from `row` on; it must be above all rows put before.
    pub(super) fn push_texts(&mut self, row: u32, numbers: impl ExactSizeIterator<Item = u32>) {
        self.values.note_rows(row, self.values.texts.len(), numbers.len());
        self.values.texts.extend(numbers);
    }

    /// As [`Column::push_texts`], 64 bits each.
    pub(super) fn push_all_fixed(&mut self, row: u32, bits: impl ExactSizeIterator<Item = i64>) {
        self.values.note_rows(row, self.values.fixed.len(), bits.len());
        self.values.fixed.extend(bits);
    }

    /// Makes room for so many values more, out of `spare` if the column has none yet.
    pub(super) fn reserve(&mut self, more: usize, spare: &mut Spare) {
        let Values { texts, fixed, .. } = &mut self.values;
        match self.column_type {
            _ if more == 0 => {}
            ColumnType::String if texts.capacity() == 0 => *texts = spare.numbers(more),
            ColumnType::String => texts.reserve(more),
            _ if fixed.capacity() == 0 => *fixed = spare.bits(more),
            _ => fixed.reserve(more),
        }
    }

    /// True if the type takes the value exactly.
    pub(super) fn accepts(&self, value: &Scalar<'_>) -> bool {
        self.column_type == ColumnType::String || slot(self.column_type, value).is_some()
    }

    /// Puts the value of a row that others may have passed; the type must accept it and the row
    /// must have none. Rows come in ascending order.
    pub(super) fn put_late(&mut self, row: u32, value: &Scalar<'_>, text: &str, texts: &mut Texts) {
        let text = &mut Text::new(text);
        let late = &mut self.cold.late;
        if row >= self.values.next && late.is_empty() {
            self.put(row, value, text, texts);
        } else if self.column_type == ColumnType::String {
            late.push((row, Late::Text(text.number(texts))));
        } else if let Some(slot) = slot(self.column_type, value) {
            late.push((row, Late::Slot(slot)));
        }
    }

    /// True if the row has a value. Late rows come in ascending order, so only the last can be asked
    /// for.
    pub(super) fn is_filled(&self, row: u32) -> bool {
        self.values.is_filled(row) || self.cold.late.last().is_some_and(|&(late, _)| late == row)
    }

    /// The number of the text of `row`, the last one, in a string column.
    pub(super) fn last_text(&self, row: u32) -> Option<u32> {
        let is_text = self.column_type == ColumnType::String && self.values.is_filled(row);
        self.values.texts.last().copied().filter(|_| is_text)
    }

    /// Settles type and order of the values.
    pub(super) fn settle(&mut self) {
        if !self.cold.late.is_empty() {
            let late = std::mem::take(&mut self.cold.late);
            self.values.merge(&late);
        }
        if self.column_type != ColumnType::String {
            self.values.texts = Vec::new();
        }
    }

    /// Drops the values; the column stays and is known from now on.
    pub(super) fn clear(&mut self, spare: &mut Spare) {
        self.birth = Birth::Known;
        if self.cold.constant.is_none() {
            self.seen = 0;
        }
        self.cold.values = self.values.count();
        let Values { texts, fixed, .. } = std::mem::take(&mut self.values);
        spare.keep(texts, fixed);
    }

    /// Gives its texts their new numbers.
    pub(super) fn renumber(&mut self, renumbering: &mut Renumbering, texts: &mut Texts) {
        for number in &mut self.values.texts {
            *number = renumbering.keep(*number, texts);
        }
    }
}

/// The 64-bit slot of a value in a column of this type, if the type takes it exactly.
#[inline]
pub(super) fn slot(column_type: ColumnType, value: &Scalar<'_>) -> Option<i64> {
    match (column_type, value) {
        (ColumnType::Int | ColumnType::Date, Scalar::Int(value))
        | (ColumnType::Datetime, Scalar::Datetime(value)) => Some(*value),
        (ColumnType::Boolean, Scalar::Bool(value)) => Some(i64::from(*value)),
        (ColumnType::Float, Scalar::Float(value)) => Some(value.to_bits().cast_signed()),
        (ColumnType::Float, Scalar::Int(value)) => {
            double_of(*value).map(|float| float.to_bits().cast_signed())
        }
        _ => None,
    }
}

impl Values {
    #[inline]
    fn push_fixed(&mut self, row: u32, value: i64) {
        self.note_row(row, self.fixed.len());
        self.fixed.push(value);
    }

    #[inline]
    fn push_text(&mut self, row: u32, number: u32) {
        self.note_row(row, self.texts.len());
        self.texts.push(number);
    }

    #[inline]
    fn note_row(&mut self, row: u32, count: usize) {
        if row != self.next {
            // No more values than rows.
            self.runs.push((row, u32::try_from(count).unwrap_or(u32::MAX)));
        }
        self.next = row + 1;
    }

    /// As [`Values::note_row`], of so many rows one after the other.
    fn note_rows(&mut self, row: u32, count: usize, rows: usize) {
        if rows > 0 {
            self.note_row(row, count);
            self.next = row + u32::try_from(rows).unwrap_or(u32::MAX);
        }
    }

    /// Number of values.
    pub(super) fn count(&self) -> usize {
        self.fixed.len().max(self.texts.len())
    }

    /// Rows without a gap, as first row, number of the first value and number of values.
    pub(super) fn runs(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let count = self.count();
        // The first run starts at row 0 unless a gap is noted before any value.
        let first = self.runs.first().is_none_or(|&(_, value)| value > 0).then_some((0, 0));
        let starts = first.into_iter().chain(self.runs.iter().copied());
        let ends = self.runs.iter().map(|&(_, value)| value as usize);
        let ends = ends.skip(usize::from(first.is_none())).chain([count]);
        starts
            .zip(ends)
            .map(|((row, value), end)| (row as usize, value as usize, end - value as usize))
    }

    /// The rows that have a value, ascending.
    fn rows(&self) -> impl Iterator<Item = u32> + '_ {
        self.runs().flat_map(|(row, _, len)| {
            (row..row + len).map(|row| u32::try_from(row).unwrap_or(u32::MAX))
        })
    }

    fn is_filled(&self, row: u32) -> bool {
        if row >= self.next {
            return false;
        }
        let run = self.runs.partition_point(|&(first, _)| first <= row);
        let (first, value) = match run.checked_sub(1).and_then(|at| self.runs.get(at)) {
            Some(&run) => run,
            None => (0, 0),
        };
        let end = self.runs.get(run).map_or_else(|| self.count(), |&(_, value)| value as usize);
        ((row - first) as usize) < end - value as usize
    }

    /// Builds the values anew with those that came late.
    fn merge(&mut self, late: &[(u32, Late)]) {
        let old = std::mem::take(self);
        let mut late = late.iter().peekable();
        let push_late = |values: &mut Self, &(row, late): &(u32, Late)| match late {
            Late::Slot(slot) => values.push_fixed(row, slot),
            Late::Text(number) => values.push_text(row, number),
        };
        for (n, row) in old.rows().enumerate() {
            while let Some(late) = late.next_if(|(at, _)| *at < row) {
                push_late(self, late);
            }
            match (old.fixed.get(n), old.texts.get(n)) {
                (Some(&slot), _) => self.push_fixed(row, slot),
                (None, Some(&number)) => self.push_text(row, number),
                (None, None) => {}
            }
        }
        for late in late {
            push_late(self, late);
        }
    }

    /// Integers that are no doubles leave: they go to the variant column.
    fn ints_to_floats(&mut self) {
        let old = std::mem::take(self);
        for (row, &value) in old.rows().zip(&old.fixed) {
            if let Some(slot) = slot(ColumnType::Float, &Scalar::Int(value)) {
                self.push_fixed(row, slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_gaps_are_found_again() {
        for rows in [&[][..], &[0], &[3], &[0, 1, 2], &[0, 2, 3, 9], &[5, 6, 8]] {
            let mut values = Values::default();
            for &row in rows {
                values.push_fixed(row, i64::from(row));
            }
            assert_eq!(values.rows().collect::<Vec<_>>(), rows);
            for row in 0..12 {
                assert_eq!(values.is_filled(row), rows.contains(&row), "{row} in {rows:?}");
            }
        }
    }

    #[test]
    fn late_values_find_their_place() {
        let mut values = Values::default();
        for row in [1, 2, 6] {
            values.push_text(row, row);
        }
        values.merge(&[0, 4, 7].map(|row| (row, Late::Text(row))));
        assert_eq!(values.rows().collect::<Vec<_>>(), [0, 1, 2, 4, 6, 7]);
        assert_eq!(values.texts, [0, 1, 2, 4, 6, 7]);
    }

    #[test]
    fn a_column_is_two_cache_lines() {
        assert_eq!(size_of::<Column>(), 128);
    }
}
