//! The values of one column in the open row group.
//!
//! Values stand close together, numbers, times and booleans as 64-bit slots, strings in one growing
//! buffer with their ends; which rows they belong to is one bit a row. So a column that few rows
//! fill costs next to nothing until its array is made. A column whose type is not decided yet has
//! the type of its first value and turns from int to float, or from datetime to string, when a
//! value asks for it.

use crate::warehouse::{ColumnType, Scalar};

/// One column with what the open row group holds of it.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) required: bool,
    /// The type, or what it is so far where `birth` says so.
    pub(super) column_type: ColumnType,
    pub(super) birth: Birth,
    /// One more than the last row that gave a cell for the column, whether it fitted or not.
    pub(super) seen: u32,
    /// The same value in every row: `uuid_ts`.
    pub(super) constant: Option<i64>,
    /// The bound of the schema so far.
    pub(super) max_bytes: u64,
    pub(super) first_seen: crate::clock::Timestamp,
    pub(super) values: Values,
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

/// Where values of the open row group are.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// Slots of all types but strings; floats as bits.
    pub(super) fixed: Vec<i64>,
    /// Ends of the strings in `bytes`.
    pub(super) ends: Vec<i32>,
    pub(super) bytes: Vec<u8>,
    /// One bit a row, least significant first; may end early.
    pub(super) valid: Vec<u8>,
    /// How many bits are set.
    pub(super) count: u32,
    /// Longest string.
    longest: u64,
    /// One more than the last row pushed.
    next: u32,
    /// Values for rows below `next`, ascending by row.
    late: Vec<(u32, Late)>,
    /// What the last row group needed, to make room at once.
    capacity: Capacity,
}

#[derive(Debug)]
enum Late {
    Slot(i64),
    Text(String),
}

#[derive(Clone, Copy, Debug, Default)]
struct Capacity {
    values: usize,
    bytes: usize,
}

/// Bytes that a value adds to the builder's size; strings add their length as well.
pub(super) const VALUE_BYTES: u64 = 8;

impl Column {
    /// Puts the value of `row` where the type takes it exactly; false if it does not.
    ///
    /// `row` must be above all rows put before.
    #[inline]
    pub(super) fn put(&mut self, row: u32, value: Scalar<'_>, text: &str) -> bool {
        match (self.column_type, value) {
            (ColumnType::String, _) => self.values.push_text(row, text),
            (ColumnType::Datetime, Scalar::Datetime(value)) => {
                self.values.push_fixed(row, value);
                if self.birth == Birth::Tentative {
                    // Kept until no string can come any more that is no time.
                    self.values.push_string(text);
                }
            }
            (column_type, value) => match slot(column_type, value) {
                Some(slot) => self.values.push_fixed(row, slot),
                None if self.birth == Birth::Tentative => return self.turn(row, value, text),
                None => return false,
            },
        }
        true
    }

    /// Turns a tentative column to the type that takes `value` too, if there is one.
    #[cold]
    fn turn(&mut self, row: u32, value: Scalar<'_>, text: &str) -> bool {
        match (self.column_type, value) {
            (ColumnType::Int, Scalar::Float(float)) => {
                self.values.ints_to_floats();
                self.values.push_fixed(row, float.to_bits().cast_signed());
                self.column_type = ColumnType::Float;
            }
            (ColumnType::Datetime, Scalar::Text(_)) => {
                self.values.fixed = Vec::new();
                self.values.push_text(row, text);
                self.column_type = ColumnType::String;
            }
            _ => return false,
        }
        self.birth = Birth::Decided;
        true
    }

    /// True if the type takes the value exactly.
    pub(super) fn accepts(&self, value: Scalar<'_>) -> bool {
        self.column_type == ColumnType::String || slot(self.column_type, value).is_some()
    }

    /// Puts the value of a row that others may have passed; the type must accept it and the row
    /// must have none. Rows come in ascending order.
    pub(super) fn put_late(&mut self, row: u32, value: Scalar<'_>, text: &str) {
        if row >= self.values.next && self.values.late.is_empty() {
            self.put(row, value, text);
        } else if self.column_type == ColumnType::String {
            self.values.late.push((row, Late::Text(text.to_owned())));
        } else if let Some(slot) = slot(self.column_type, value) {
            self.values.late.push((row, Late::Slot(slot)));
        }
    }

    /// True if the row has a value. Late rows come in ascending order, so only the last can be asked
    /// for.
    pub(super) fn is_filled(&self, row: u32) -> bool {
        self.values.is_valid(row) || self.values.late.last().is_some_and(|&(late, _)| late == row)
    }

    /// Settles type and order of the values.
    pub(super) fn settle(&mut self) {
        self.values.merge_late();
        if self.column_type == ColumnType::String {
            self.max_bytes = self.max_bytes.max(super::schema::text_bound(self.values.longest));
        } else {
            self.values.ends = Vec::new();
            self.values.bytes = Vec::new();
        }
    }

    /// Takes the values out; the column stays and is known from now on.
    pub(super) fn take(&mut self) -> Values {
        self.birth = Birth::Known;
        self.seen = 0;
        let capacity =
            Capacity { values: self.values.count as usize, bytes: self.values.bytes.len() };
        std::mem::replace(&mut self.values, Values { capacity, ..Values::default() })
    }
}

/// The 64-bit slot of a value in a column of this type, if the type takes it exactly.
#[inline]
#[expect(clippy::cast_precision_loss, reason = "taken only if the way back gives the same integer")]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float made of 64 bits has no more than that"
)]
pub(super) fn slot(column_type: ColumnType, value: Scalar<'_>) -> Option<i64> {
    match (column_type, value) {
        (ColumnType::Int | ColumnType::Date, Scalar::Int(value))
        | (ColumnType::Datetime, Scalar::Datetime(value)) => Some(value),
        (ColumnType::Boolean, Scalar::Bool(value)) => Some(i64::from(value)),
        (ColumnType::Float, Scalar::Float(value)) => Some(value.to_bits().cast_signed()),
        (ColumnType::Float, Scalar::Int(value)) => {
            let float = value as f64;
            (float as i128 == i128::from(value)).then(|| float.to_bits().cast_signed())
        }
        _ => None,
    }
}

/// The type a column is born with when `value` is its first.
pub(super) const fn natural_type(value: Scalar<'_>) -> ColumnType {
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
        if self.fixed.capacity() == 0 {
            self.fixed.reserve(self.capacity.values);
        }
        self.fixed.push(value);
        self.set_valid(row);
    }

    #[inline]
    fn push_text(&mut self, row: u32, text: &str) {
        self.push_string(text);
        self.set_valid(row);
    }

    #[inline]
    fn push_string(&mut self, text: &str) {
        if self.ends.capacity() == 0 {
            self.ends.reserve(self.capacity.values);
            self.bytes.reserve(self.capacity.bytes);
        }
        self.bytes.extend_from_slice(text.as_bytes());
        self.longest = self.longest.max(text.len() as u64);
        // A row group holds at most 1 GiB and one event more, so the end always fits; one that did
        // not would be refused as not ascending when the array is made.
        self.ends.push(i32::try_from(self.bytes.len()).unwrap_or(i32::MIN));
    }

    #[inline]
    fn set_valid(&mut self, row: u32) {
        let byte = (row / 8) as usize;
        if byte >= self.valid.len() {
            self.valid.resize(byte + 1, 0);
        }
        self.valid[byte] |= 1 << (row % 8);
        self.count += 1;
        self.next = row + 1;
    }

    fn is_valid(&self, row: u32) -> bool {
        self.valid.get((row / 8) as usize).is_some_and(|byte| byte & (1 << (row % 8)) != 0)
    }

    /// Bytes of the values.
    pub(super) fn size(&self) -> usize {
        self.fixed.len() * size_of::<i64>() + self.bytes.len()
    }

    /// The rows that have a value, ascending.
    pub(super) fn rows(&self) -> impl Iterator<Item = u32> + '_ {
        (0_u32..).zip(&self.valid).flat_map(|(at, &byte)| {
            (0..8).filter(move |bit| byte & (1 << bit) != 0).map(move |bit| at * 8 + bit)
        })
    }

    /// The n-th string.
    pub(super) fn string(&self, n: usize) -> &[u8] {
        let end = |n: usize| usize::try_from(self.ends.get(n).copied().unwrap_or(0)).unwrap_or(0);
        let start = n.checked_sub(1).map_or(0, end);
        self.bytes.get(start..end(n)).unwrap_or_default()
    }

    /// Builds the values anew with those that came late.
    fn merge_late(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let mut late = std::mem::take(&mut self.late);
        late.sort_by_key(|&(row, _)| row);
        let old = std::mem::take(self);
        self.longest = old.longest;
        self.capacity = old.capacity;
        let mut late = late.into_iter().peekable();
        for (n, row) in old.rows().enumerate() {
            while let Some((row, late)) = late.next_if(|&(at, _)| at < row) {
                self.push_late(row, &late);
            }
            if let Some(&slot) = old.fixed.get(n) {
                self.push_fixed(row, slot);
            } else {
                self.bytes.extend_from_slice(old.string(n));
                self.ends.push(i32::try_from(self.bytes.len()).unwrap_or(i32::MIN));
                self.set_valid(row);
            }
        }
        for (row, late) in late {
            self.push_late(row, &late);
        }
    }

    fn push_late(&mut self, row: u32, late: &Late) {
        match late {
            Late::Slot(slot) => self.push_fixed(row, *slot),
            Late::Text(text) => self.push_text(row, text),
        }
    }

    /// Integers that are no doubles leave: they go to the variant column.
    fn ints_to_floats(&mut self) {
        let old = std::mem::take(self);
        self.capacity = old.capacity;
        for (row, &value) in old.rows().zip(&old.fixed) {
            if let Some(slot) = slot(ColumnType::Float, Scalar::Int(value)) {
                self.push_fixed(row, slot);
            }
        }
    }
}
