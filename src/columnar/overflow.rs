//! Cells that did not go straight into their column, kept until the row group closes: those of
//! another type than the column's (for the variant column) and those past the cap on columns (for
//! the JSON text of `_overflow`).

use std::cell::OnceCell;
use std::ops::Range;

use crate::event;
pub(super) use crate::warehouse::OVERFLOW;
use crate::warehouse::{Cell, Scalar, raw_path_of};

/// Bytes that one cell kept aside adds to the builder's size besides its texts.
pub(super) const ASIDE_BYTES: u64 = 64;

/// Tells where a cell of the current event comes from; asked only for cells that are kept aside.
pub trait Leaves {
    /// Appends the raw path of the leaf at token `origin`, keys joined by dots, to `path`, and says
    /// whether the leaf is a JSON string, so that its text needs quotes to be JSON.
    fn describe(&self, origin: u32, path: &mut String) -> bool;
}

/// The leaves of one event. The way up from every token is worked out when it is first asked for, so
/// that any number of paths cost one pass over the event.
#[derive(Debug)]
pub struct EventLeaves<'e, 't> {
    tape: &'e event::Tape<'t>,
    /// For each token the container that it is in.
    parents: OnceCell<Vec<u32>>,
}

impl<'e, 't> EventLeaves<'e, 't> {
    /// The leaves of `tape`.
    #[must_use]
    pub const fn new(tape: &'e event::Tape<'t>) -> Self {
        Self { tape, parents: OnceCell::new() }
    }

    fn parents(&self) -> Vec<u32> {
        let tokens = self.tape.tokens();
        let (mut parents, mut open) = (Vec::with_capacity(tokens.len()), vec![(0, u32::MAX)]);
        for (index, token) in (0_u32..).zip(tokens) {
            while open.len() > 1 && open.last().is_some_and(|&(_, end)| end <= index) {
                open.pop();
            }
            parents.push(open.last().map_or(0, |&(parent, _)| parent));
            open.push((index, token.next));
        }
        parents
    }
}

impl Leaves for EventLeaves<'_, '_> {
    fn describe(&self, origin: u32, path: &mut String) -> bool {
        let parents = self.parents.get_or_init(|| self.parents());
        let up =
            |&token: &u32| parents.get(token as usize).copied().filter(|parent| *parent != token);
        let mut way: Vec<u32> = std::iter::successors(Some(origin), up).collect();
        // The event itself has no key.
        way.pop();
        let keys = way.iter().rev().map(|token| self.tape.node(*token).key());
        path.push_str(&raw_path_of(keys, origin));
        self.tape.node(origin).kind() == event::Kind::String
    }
}

/// A cell whose column may not take it.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) row: u32,
    /// The column it is named for.
    pub(super) base: u32,
    /// The row gave another cell for the column before.
    pub(super) duplicate: bool,
    value: Bare,
    text: Range<usize>,
    path: Range<usize>,
    is_string: bool,
}

/// A scalar without its text.
#[derive(Clone, Copy, Debug)]
enum Bare {
    Bool(bool),
    Int(i64),
    Float(f64),
    Datetime(i64),
    Text,
}

/// What a row group keeps aside.
#[derive(Debug, Default)]
pub(super) struct Aside {
    misfits: Vec<Misfit>,
    texts: String,
    pairs: Vec<Pair>,
    json: Vec<u8>,
    path: String,
}

/// A member of a row's overflow object.
#[derive(Debug)]
struct Pair {
    row: u32,
    /// JSON string.
    key: Range<usize>,
    /// JSON value.
    value: Range<usize>,
}

impl Aside {
    /// Keeps a cell until types are settled; returns the bytes it takes.
    pub(super) fn keep(
        &mut self,
        row: u32,
        (base, name, duplicate): (u32, &str, bool),
        cell: &Cell<'_>,
        leaves: &dyn Leaves,
    ) -> u64 {
        let from = self.texts.len();
        self.texts.push_str(cell.text);
        let path = self.texts.len();
        let is_string = describe(name, cell, leaves, &mut self.texts);
        let end = self.texts.len();
        let value = match cell.value {
            Scalar::Bool(value) => Bare::Bool(value),
            Scalar::Int(value) => Bare::Int(value),
            Scalar::Float(value) => Bare::Float(value),
            Scalar::Datetime(value) => Bare::Datetime(value),
            Scalar::Text(_) => Bare::Text,
        };
        let (text, path) = (from..path, path..end);
        self.misfits.push(Misfit { row, base, duplicate, value, text, path, is_string });
        (end - from) as u64 + ASIDE_BYTES
    }

    /// Puts a cell that can have no column into the row's overflow; returns the bytes it takes.
    pub(super) fn overflow(
        &mut self,
        row: u32,
        name: &str,
        cell: &Cell<'_>,
        leaves: &dyn Leaves,
    ) -> u64 {
        let mut path = std::mem::take(&mut self.path);
        path.clear();
        let is_string = describe(name, cell, leaves, &mut path);
        let before = self.json.len();
        self.push_pair(row, &path, cell.text, is_string);
        self.path = path;
        (self.json.len() - before) as u64 + ASIDE_BYTES
    }

    /// The kept cells, in the order they came.
    pub(super) fn take_misfits(&mut self) -> Vec<Misfit> {
        std::mem::take(&mut self.misfits)
    }

    /// The cell's value and text.
    pub(super) fn cell(&self, misfit: &Misfit) -> (Scalar<'_>, &str) {
        let text = self.texts.get(misfit.text.clone()).unwrap_or_default();
        let value = match misfit.value {
            Bare::Bool(value) => Scalar::Bool(value),
            Bare::Int(value) => Scalar::Int(value),
            Bare::Float(value) => Scalar::Float(value),
            Bare::Datetime(value) => Scalar::Datetime(value),
            Bare::Text => Scalar::Text(text),
        };
        (value, text)
    }

    /// Gives a kept cell to the overflow of its row.
    pub(super) fn give_up(&mut self, misfit: &Misfit) {
        let texts = std::mem::take(&mut self.texts);
        let path = texts.get(misfit.path.clone()).unwrap_or_default();
        let text = texts.get(misfit.text.clone()).unwrap_or_default();
        self.push_pair(misfit.row, path, text, misfit.is_string);
        self.texts = texts;
    }

    /// True if a row has an overflow.
    pub(super) fn overflows(&self) -> bool {
        !self.pairs.is_empty()
    }

    /// Gives the overflow object of each row that has one, in order of rows.
    pub(super) fn drain_overflow(&mut self, mut row: impl FnMut(u32, &str)) {
        let mut pairs = std::mem::take(&mut self.pairs);
        pairs.sort_by_key(|pair| pair.row);
        let mut object = Vec::new();
        for of_row in pairs.chunk_by(|a, b| a.row == b.row) {
            object.clear();
            let mut keys = std::collections::HashSet::new();
            for pair in of_row {
                object.push(if object.is_empty() { b'{' } else { b',' });
                let key = self.json.get(pair.key.clone()).unwrap_or_default();
                object.extend_from_slice(key);
                if !keys.insert(key.to_vec()) {
                    // Two leaves with one path, as keys may hold dots: neither may be lost.
                    let mut n = 2;
                    let stem = key.strip_suffix(b"\"").unwrap_or(key);
                    let mut other = [stem, b"#2\""].concat();
                    while !keys.insert(other.clone()) {
                        n += 1;
                        other = [stem, format!("#{n}\"").as_bytes()].concat();
                    }
                    object.truncate(object.len() - key.len());
                    object.extend_from_slice(&other);
                }
                object.push(b':');
                object.extend_from_slice(self.json.get(pair.value.clone()).unwrap_or_default());
            }
            object.push(b'}');
            if let (Some(first), Ok(text)) = (of_row.first(), std::str::from_utf8(&object)) {
                row(first.row, text);
            }
        }
    }

    /// Forgets all, keeps the room.
    pub(super) fn clear(&mut self) {
        self.misfits.clear();
        self.pairs.clear();
        self.texts.clear();
        self.json.clear();
    }

    fn push_pair(&mut self, row: u32, path: &str, text: &str, is_string: bool) {
        let key = self.json.len();
        event::text::write_string(path, &mut self.json);
        let value = self.json.len();
        if is_string {
            event::text::write_string(text, &mut self.json);
        } else {
            self.json.extend_from_slice(text.as_bytes());
        }
        self.pairs.push(Pair { row, key: key..value, value: value..self.json.len() });
    }
}

fn describe(name: &str, cell: &Cell<'_>, leaves: &dyn Leaves, path: &mut String) -> bool {
    if cell.origin == u32::MAX {
        path.push_str(name);
        matches!(cell.value, Scalar::Text(_) | Scalar::Datetime(_))
    } else {
        leaves.describe(cell.origin, path)
    }
}
