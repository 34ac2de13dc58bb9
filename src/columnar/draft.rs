//! The rows of the event at hand, kept until it ends.
//!
//! A value that goes to several rows is kept once. What is left of the rows without their values is
//! the event's shape: a list of marks by which `shapes` finds where every value goes. Knows nothing
//! of tables; filled by the sink.

use super::texts::{Texts, UNNUMBERED};
use crate::warehouse::{Cell, ColumnId, Scalar, TableId, TableKind, double_of};

/// What a value is, as far as columns tell values apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    /// An integer that a double is equal to.
    Int,
    /// An integer that no double is equal to.
    LongInt,
    Float,
    Datetime,
    Text,
}

/// A value of the event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) kind: Kind,
    /// What a column of its own type holds, unless it is text.
    pub(super) bits: i64,
    /// The number of a text; other values have none yet.
    pub(super) number: u32,
    origin: u32,
    /// Where the text of any other value starts in [`Draft::spelled`].
    start: usize,
    /// Bytes of the text.
    pub(super) len: usize,
}

/// A row or a cell of a shape, in one number. Two shapes are the same if their marks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mark(u64);

/// Set in the marks of rows.
const ROW: u64 = 1 << 63;

/// Bits of a value's place in a mark; an event has fewer values.
const PLACE_BITS: u32 = 28;

impl Mark {
    const fn row(table: TableId, kind: TableKind) -> Self {
        Self(ROW | (kind as u64) << 32 | table.0 as u64)
    }

    const fn cell(column: ColumnId, kind: Kind, place: usize) -> Self {
        let place = place as u64 & ((1 << PLACE_BITS) - 1);
        Self((kind as u64) << (32 + PLACE_BITS) | place << 32 | column.0 as u64)
    }

    /// The column of a cell and the place of its value.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    pub(super) const fn of_cell(self) -> (ColumnId, usize) {
        let place = (self.0 >> 32) & ((1 << PLACE_BITS) - 1);
        (ColumnId(self.0 as u32), place as usize)
    }
}

/// A row of the event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) table: TableId,
    pub(super) kind: TableKind,
    /// Its first cell among the marks.
    from: usize,
}

/// What a column had last, to find it again without looking for its text.
#[derive(Clone, Copy, Debug)]
struct Last {
    /// The event of the value.
    stamp: u32,
    /// Its place there.
    value: u32,
    /// Number of the column's last text.
    number: u32,
}

const NOTHING: Last = Last { stamp: 0, value: 0, number: UNNUMBERED };

/// Columns whose last value is remembered.
const LAST_MAX: usize = 4_096;

/// Room that is kept from event to event, in marks and in bytes of text.
const KEPT: usize = 1 << 16;

/// The rows of the event at hand.
#[derive(Debug, Default)]
pub(super) struct Draft {
    marks: Vec<Mark>,
    rows: Vec<Row>,
    values: Vec<Value>,
    /// Texts of all values but texts.
    spelled: String,
    /// By column.
    last: Vec<Last>,
    stamp: u32,
}

impl Draft {
    /// Forgets the event before.
    pub(super) fn begin(&mut self) {
        if self.marks.capacity() > KEPT || self.spelled.capacity() > KEPT {
            (self.marks, self.values, self.spelled) = Default::default();
        }
        self.marks.clear();
        self.rows.clear();
        self.values.clear();
        self.spelled.clear();
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.last.clear();
            self.stamp = 1;
        }
    }

    /// Forgets the numbers of texts, which are others from now on.
    pub(super) fn forget_texts(&mut self) {
        self.last.clear();
    }

    /// Starts a row.
    pub(super) fn row(&mut self, table: TableId, kind: TableKind) {
        self.marks.push(Mark::row(table, kind));
        self.rows.push(Row { table, kind, from: self.marks.len() });
    }

    /// Adds a cell to the row.
    #[inline]
    pub(super) fn cell(&mut self, column: ColumnId, cell: &Cell<'_>, texts: &mut Texts) {
        let (kind, bits) = classify(&cell.value);
        let last = self.last.get(column.0 as usize).copied().unwrap_or(NOTHING);
        let place = if last.stamp == self.stamp && self.is(last.value, kind, bits, cell, texts) {
            last.value as usize
        } else {
            self.add(column, last.number, (kind, bits), cell, texts)
        };
        self.marks.push(Mark::cell(column, kind, place));
    }

    /// True if the value at `place` is the cell's.
    #[inline]
    fn is(&self, place: u32, kind: Kind, bits: i64, cell: &Cell<'_>, texts: &Texts) -> bool {
        self.values.get(place as usize).is_some_and(|value| {
            value.kind == kind
                && value.bits == bits
                && value.origin == cell.origin
                && self.text(value, texts) == cell.text.as_bytes()
        })
    }

    fn add(
        &mut self,
        column: ColumnId,
        last: u32,
        (kind, bits): (Kind, i64),
        cell: &Cell<'_>,
        texts: &mut Texts,
    ) -> usize {
        let place = self.values.len();
        let (start, len) = (self.spelled.len(), cell.text.len());
        let number = if kind == Kind::Text {
            texts.number_again(last, cell.text)
        } else {
            self.spelled.push_str(cell.text);
            UNNUMBERED
        };
        self.values.push(Value { kind, bits, number, origin: cell.origin, start, len });
        let at = column.0 as usize;
        if at < LAST_MAX {
            if at >= self.last.len() {
                self.last.resize(at + 1, NOTHING);
            }
            // Places beyond 28 bits do not occur.
            let value = u32::try_from(place).unwrap_or(u32::MAX);
            let number = if kind == Kind::Text { number } else { last };
            self.last[at] = Last { stamp: self.stamp, value, number };
        }
        place
    }

    /// All values.
    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    /// The event's shape.
    pub(super) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The event's rows, each with its cells.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Row, &[Mark])> {
        let ends = self.rows.iter().skip(1).map(|next| next.from - 1).chain([self.marks.len()]);
        self.rows.iter().zip(ends).map(|(row, end)| {
            let cells = self.marks.get(row.from..end).unwrap_or_default();
            (*row, cells)
        })
    }

    /// The table of the event's own row, if it has one.
    pub(super) fn event_table(&self) -> Option<TableId> {
        self.rows.iter().find(|row| row.kind == TableKind::Event).map(|row| row.table)
    }

    /// The value at `place`.
    pub(super) fn value(&self, place: usize) -> Option<&Value> {
        self.values.get(place)
    }

    /// The text of a value.
    pub(super) fn text<'t>(&'t self, value: &Value, texts: &'t Texts) -> &'t [u8] {
        if value.kind == Kind::Text {
            texts.get(value.number)
        } else {
            self.spelled.as_bytes().get(value.start..value.start + value.len).unwrap_or_default()
        }
    }

    /// The number of a value's text.
    #[inline]
    pub(super) fn number(&self, value: &Value, texts: &mut Texts) -> u32 {
        if value.kind == Kind::Text {
            return value.number;
        }
        texts.number(self.spelled.get(value.start..value.start + value.len).unwrap_or_default())
    }
}

impl Value {
    /// The token that it came from.
    pub(super) const fn token(&self) -> Option<u32> {
        if self.origin == u32::MAX { None } else { Some(self.origin) }
    }

    /// True if a value of that kind has these bits.
    pub(super) fn is(&self, value: &Scalar<'_>) -> bool {
        (self.kind, self.bits) == classify(value)
    }

    /// The value as a cell whose text is `text`.
    pub(super) const fn cell<'t>(&self, text: &'t str) -> Cell<'t> {
        let value = match self.kind {
            Kind::Bool => Scalar::Bool(self.bits != 0),
            Kind::Int | Kind::LongInt => Scalar::Int(self.bits),
            Kind::Float => Scalar::Float(f64::from_bits(self.bits.cast_unsigned())),
            Kind::Datetime => Scalar::Datetime(self.bits),
            Kind::Text => Scalar::Text(text),
        };
        Cell { value, text, origin: self.origin }
    }
}

#[inline]
const fn classify(value: &Scalar<'_>) -> (Kind, i64) {
    match *value {
        Scalar::Bool(value) => (Kind::Bool, value as i64),
        Scalar::Int(value) if double_of(value).is_some() => (Kind::Int, value),
        Scalar::Int(value) => (Kind::LongInt, value),
        Scalar::Float(value) => (Kind::Float, value.to_bits().cast_signed()),
        Scalar::Datetime(value) => (Kind::Datetime, value),
        Scalar::Text(_) => (Kind::Text, 0),
    }
}
