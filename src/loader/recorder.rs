//! The cells of one event, kept between the mapper and the tables.
//!
//! The tables ask the mapper for names of columns they meet for the first time, which they cannot
//! while the mapper is at work; so its cells are noted here first, texts in one buffer.

use std::ops::Range;

use crate::warehouse::{Cell, ColumnId, Scalar, Sink, TableId, TableKind};

#[derive(Debug)]
enum Noted {
    Row(TableId, TableKind),
    Cell { column: ColumnId, value: Bare, text: Range<usize>, origin: u32 },
}

/// A scalar without its text, which is the cell's.
#[derive(Clone, Copy, Debug)]
enum Bare {
    Bool(bool),
    Int(i64),
    Float(f64),
    Datetime(i64),
    Text,
}

/// Notes rows and cells, and gives them on.
#[derive(Default)]
pub(super) struct Recorder {
    noted: Vec<Noted>,
    texts: String,
}

impl std::fmt::Debug for Recorder {
    /// Shows sizes, never content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("noted", &self.noted.len()).finish_non_exhaustive()
    }
}

/// Room for texts that is kept from one event to the next.
const TEXT_BYTES_KEPT: usize = 1 << 20;

impl Recorder {
    /// Forgets the event.
    pub(super) fn clear(&mut self) {
        self.noted.clear();
        self.texts.clear();
        self.texts.shrink_to(TEXT_BYTES_KEPT);
    }

    /// Gives all that was noted to `sink`.
    pub(super) fn give(&self, sink: &mut impl Sink) {
        for noted in &self.noted {
            match noted {
                Noted::Row(table, kind) => sink.row(*table, *kind),
                Noted::Cell { column, value, text, origin } => {
                    // The range was made of this very text.
                    let text = self.texts.get(text.clone()).unwrap_or_default();
                    let value = match *value {
                        Bare::Bool(value) => Scalar::Bool(value),
                        Bare::Int(value) => Scalar::Int(value),
                        Bare::Float(value) => Scalar::Float(value),
                        Bare::Datetime(value) => Scalar::Datetime(value),
                        Bare::Text => Scalar::Text(text),
                    };
                    sink.cell(*column, Cell { value, text, origin: *origin });
                }
            }
        }
    }
}

impl Sink for Recorder {
    fn row(&mut self, table: TableId, kind: TableKind) {
        self.noted.push(Noted::Row(table, kind));
    }

    fn cell(&mut self, column: ColumnId, cell: Cell<'_>) {
        let start = self.texts.len();
        let (value, text) = match cell.value {
            Scalar::Bool(value) => (Bare::Bool(value), cell.text),
            Scalar::Int(value) => (Bare::Int(value), cell.text),
            Scalar::Float(value) => (Bare::Float(value), cell.text),
            Scalar::Datetime(value) => (Bare::Datetime(value), cell.text),
            Scalar::Text(text) => (Bare::Text, text),
        };
        self.texts.push_str(text);
        let text = start..self.texts.len();
        self.noted.push(Noted::Cell { column, value, text, origin: cell.origin });
    }
}
