//! The values of one column in the open row group.
//!
//! Values stand close together, numbers, times and booleans as 64-bit slots, strings in one growing
//! buffer with their ends; which rows they belong to is kept as runs of rows without a gap. So a
//! column that every row fills needs nothing for it, and one that few rows fill costs next to
//! nothing until its array is made. A column whose type is not decided yet has the type of its
//! first value and turns from int to float, or from datetime to string, when a value asks for it.

use super::schema;
use crate::warehouse::{ColumnType, Scalar};

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
    bytes: usize,
}

#[derive(Debug)]
enum Late {
    Slot(i64),
    Text(String),
}

/// The values and their rows.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Values {
    /// One more than the last row that has a value.
    next: u32,
    /// Slots of all types but strings; floats as bits.
    pub(super) fixed: Vec<i64>,
    /// Ends of the strings in `bytes`.
    pub(super) ends: Vec<i32>,
    pub(super) bytes: Vec<u8>,
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
            cold: Box::new(Cold { schema, constant: None, late: Vec::new(), values: 0, bytes: 0 }),
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
    pub(super) fn put(&mut self, row: u32, value: &Scalar<'_>, text: &str) -> bool {
        if self.column_type == ColumnType::String {
            self.push_text(row, text);
            return true;
        }
        let Some(slot) = slot(self.column_type, value) else {
            return self.birth == Birth::Tentative && self.turn(row, value, text);
        };
        self.push_fixed(row, slot);
        if self.birth == Birth::Tentative && self.column_type == ColumnType::Datetime {
            // Kept until no string can come any more that is no time.
            self.values.push_string(text.as_bytes());
        }
        true
    }

    /// Turns a tentative column to the type that takes `value` too, if there is one.
    #[cold]
    fn turn(&mut self, row: u32, value: &Scalar<'_>, text: &str) -> bool {
        match (self.column_type, value) {
            (ColumnType::Int, Scalar::Float(float)) => {
                self.values.ints_to_floats();
                self.push_fixed(row, float.to_bits().cast_signed());
                self.column_type = ColumnType::Float;
            }
            (ColumnType::Datetime, Scalar::Text(_)) => {
                self.values.fixed = Vec::new();
                self.push_text(row, text);
                self.column_type = ColumnType::String;
            }
            _ => return false,
        }
        self.birth = Birth::Decided;
        true
    }

    #[inline]
    fn push_fixed(&mut self, row: u32, value: i64) {
        if self.values.fixed.capacity() == 0 {
            self.values.fixed.reserve(self.cold.values);
        }
        self.values.push_fixed(row, value);
    }

    #[inline]
    fn push_text(&mut self, row: u32, text: &str) {
        if self.values.ends.capacity() == 0 {
            self.values.ends.reserve(self.cold.values);
            self.values.bytes.reserve(self.cold.bytes);
        }
        self.values.push_text(row, text.as_bytes());
    }

    /// True if the type takes the value exactly.
    pub(super) fn accepts(&self, value: &Scalar<'_>) -> bool {
        self.column_type == ColumnType::String || slot(self.column_type, value).is_some()
    }

    /// Puts the value of a row that others may have passed; the type must accept it and the row
    /// must have none. Rows come in ascending order.
    pub(super) fn put_late(&mut self, row: u32, value: &Scalar<'_>, text: &str) {
        let late = &mut self.cold.late;
        if row >= self.values.next && late.is_empty() {
            self.put(row, value, text);
        } else if self.column_type == ColumnType::String {
            late.push((row, Late::Text(text.to_owned())));
        } else if let Some(slot) = slot(self.column_type, value) {
            late.push((row, Late::Slot(slot)));
        }
    }

    /// True if the row has a value. Late rows come in ascending order, so only the last can be asked
    /// for.
    pub(super) fn is_filled(&self, row: u32) -> bool {
        self.values.is_filled(row) || self.cold.late.last().is_some_and(|&(late, _)| late == row)
    }

    /// Settles type and order of the values, and the bound of the strings.
    pub(super) fn settle(&mut self) {
        if !self.cold.late.is_empty() {
            let late = std::mem::take(&mut self.cold.late);
            self.values.merge(&late);
        }
        if self.column_type == ColumnType::String {
            let bound = schema::text_bound(self.values.longest());
            self.cold.schema.max_bytes = self.cold.schema.max_bytes.max(bound);
        } else {
            self.values.ends = Vec::new();
            self.values.bytes = Vec::new();
        }
    }

    /// Bytes of the values.
    pub(super) fn size(&self) -> usize {
        size_of_val(self.values.fixed.as_slice()) + self.values.bytes.len()
    }

    /// Takes the values out; the column stays and is known from now on.
    pub(super) fn take(&mut self) -> Values {
        self.birth = Birth::Known;
        if self.cold.constant.is_none() {
            self.seen = 0;
        }
        self.cold.values = self.values.count();
        self.cold.bytes = self.values.bytes.len();
        std::mem::take(&mut self.values)
    }
}

/// The 64-bit slot of a value in a column of this type, if the type takes it exactly.
#[inline]
#[expect(clippy::cast_precision_loss, reason = "taken only if the way back gives the same integer")]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float made of 64 bits has no more than that"
)]
pub(super) fn slot(column_type: ColumnType, value: &Scalar<'_>) -> Option<i64> {
    match (column_type, value) {
        (ColumnType::Int | ColumnType::Date, Scalar::Int(value))
        | (ColumnType::Datetime, Scalar::Datetime(value)) => Some(*value),
        (ColumnType::Boolean, Scalar::Bool(value)) => Some(i64::from(*value)),
        (ColumnType::Float, Scalar::Float(value)) => Some(value.to_bits().cast_signed()),
        (ColumnType::Float, Scalar::Int(value)) => {
            let float = *value as f64;
            (float as i128 == i128::from(*value)).then(|| float.to_bits().cast_signed())
        }
        _ => None,
    }
}

/// The type a column is born with when `value` is its first.
pub(super) const fn natural_type(value: &Scalar<'_>) -> ColumnType {
    match value {
        Scalar::Bool(_) => ColumnType::Boolean,
        Scalar::Int(_) => ColumnType::Int,
        Scalar::Float(_) => ColumnType::Float,
        Scalar::Datetime(_) => ColumnType::Datetime,
        Scalar::Text(_) => ColumnType::String,
    }
}

impl Values {
    #[inline]
    fn push_fixed(&mut self, row: u32, value: i64) {
        self.note_row(row, self.fixed.len());
        self.fixed.push(value);
    }

    #[inline]
    fn push_text(&mut self, row: u32, text: &[u8]) {
        self.note_row(row, self.ends.len());
        self.push_string(text);
    }

    #[inline]
    fn push_string(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        // A row group holds at most 1 GiB and one event more, so the end always fits; one that did
        // not would be refused as not ascending when the array is made.
        self.ends.push(i32::try_from(self.bytes.len()).unwrap_or(i32::MIN));
    }

    #[inline]
    fn note_row(&mut self, row: u32, count: usize) {
        if row != self.next {
            // No more values than rows.
            self.runs.push((row, u32::try_from(count).unwrap_or(u32::MAX)));
        }
        self.next = row + 1;
    }

    /// Number of values.
    pub(super) fn count(&self) -> usize {
        self.fixed.len().max(self.ends.len())
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

    /// The n-th string.
    fn string(&self, n: usize) -> &[u8] {
        let end = |n: usize| usize::try_from(self.ends.get(n).copied().unwrap_or(0)).unwrap_or(0);
        let start = n.checked_sub(1).map_or(0, end);
        self.bytes.get(start..end(n)).unwrap_or_default()
    }

    fn longest(&self) -> u64 {
        let mut start = 0;
        let mut longest = 0;
        for &end in &self.ends {
            longest = longest.max(end - start);
            start = end;
        }
        u64::try_from(longest).unwrap_or(0)
    }

    /// Builds the values anew with those that came late.
    fn merge(&mut self, late: &[(u32, Late)]) {
        let old = std::mem::take(self);
        let mut late = late.iter().peekable();
        let push_late = |values: &mut Self, (row, late): &(u32, Late)| match late {
            Late::Slot(slot) => values.push_fixed(*row, *slot),
            Late::Text(text) => values.push_text(*row, text.as_bytes()),
        };
        for (n, row) in old.rows().enumerate() {
            while let Some(late) = late.next_if(|(at, _)| *at < row) {
                push_late(self, late);
            }
            match old.fixed.get(n) {
                Some(&slot) => self.push_fixed(row, slot),
                None => self.push_text(row, old.string(n)),
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
        for (row, text) in [(1, "one"), (2, "two"), (6, "six")] {
            values.push_text(row, text.as_bytes());
        }
        let late = [(0, "zero"), (4, "four"), (7, "seven")];
        values.merge(&late.map(|(row, text)| (row, Late::Text(text.to_owned()))));
        assert_eq!(values.rows().collect::<Vec<_>>(), [0, 1, 2, 4, 6, 7]);
        let texts: Vec<&[u8]> = (0..6).map(|n| values.string(n)).collect();
        assert_eq!(texts.concat(), b"zeroonetwofoursixseven");
    }

    #[test]
    fn a_column_is_two_cache_lines() {
        assert_eq!(size_of::<Column>(), 128);
    }
}
