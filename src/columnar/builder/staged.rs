//! Rows that wait, and how their cells find their columns beforehand.
//!
//! A row may wait if every cell of it is certain to be taken by a column whose type can change no
//! more for it: what [`TableBuilder::cell_at`] would do with each cell is then known without it. Any
//! other row is given cell by cell, after those that wait.

use super::grid::Grid;
use super::{Slot, TableBuilder};
use crate::columnar::Error;
use crate::columnar::builder::Shared;
use crate::columnar::column::{Birth, Column, VALUE_BYTES};
use crate::columnar::constants::Constants;
use crate::columnar::draft::{Draft, Kind};
use crate::columnar::overflow::ASIDE_BYTES;
use crate::columnar::stage::{To, Waiting, What};
use crate::columnar::texts::Texts;
use crate::warehouse::{ColumnId, ColumnType};

/// What an event of a shape puts among the values that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::columnar) enum Push {
    /// The 64 bits of the value at this place.
    Bits(usize),
    /// Those of the double that is equal to the integer at this place.
    IntAsFloat(usize),
    /// The number of the text of the value at this place.
    Text(usize),
    /// The day of arrival.
    Day,
    /// The number of the platform's name, told from the library and the user agent at these places.
    Platform(Option<usize>, Option<usize>),
}

/// The values of a shape, each once.
#[derive(Debug, Default)]
pub(in crate::columnar) struct Pushes {
    /// Those whose numbers of texts wait.
    pub(in crate::columnar) numbers: Vec<Push>,
    /// The others.
    pub(in crate::columnar) bits: Vec<Push>,
    /// Where the value at each place is in one of those, as it is taken: as text, by its bits, by those
    /// of a double.
    known: Vec<[u32; 3]>,
}

/// Not among the values yet.
const UNPLACED: [u32; 3] = [u32::MAX; 3];

impl Pushes {
    /// Forgets all values; there will be so many places.
    pub(in crate::columnar) fn clear(&mut self, places: usize) {
        self.numbers.clear();
        self.bits.clear();
        self.known.clear();
        self.known.resize(places, UNPLACED);
    }

    fn place(&mut self, push: Push) -> u32 {
        let (list, of_value) = match push {
            Push::Text(place) => (&mut self.numbers, Some((place, 0))),
            Push::Bits(place) => (&mut self.bits, Some((place, 1))),
            Push::IntAsFloat(place) => (&mut self.bits, Some((place, 2))),
            Push::Platform(..) => (&mut self.numbers, None),
            Push::Day => (&mut self.bits, None),
        };
        let known = of_value.and_then(|(place, how)| self.known.get_mut(place)?.get_mut(how));
        let at = match &known {
            Some(at) => (**at != u32::MAX).then_some(**at as usize),
            None => list.iter().position(|other| *other == push),
        };
        let at = at.unwrap_or_else(|| {
            list.push(push);
            list.len() - 1
        });
        // No more than the cells of a shape that is kept.
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        if let Some(known) = known {
            *known = at;
        }
        at
    }
}

/// What is known of a column within the row.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// A cell of its name goes to a variant.
    is_taken: bool,
    is_filled: bool,
    /// By a value whose own column does not take it: another that comes would be before it.
    is_late: bool,
}

/// A row of a shape while it is found where its cells go.
pub(in crate::columnar) struct Planning<'b> {
    builder: &'b TableBuilder,
    pushes: &'b mut Pushes,
    constants: &'b mut Constants,
    texts: &'b mut Texts,
    seen: Vec<Seen>,
    to: Vec<To>,
    bytes: u64,
    lengths: Vec<u32>,
}

/// Where the values of a row go.
#[derive(Debug)]
pub(in crate::columnar) struct Planned {
    /// Each value and its column.
    pub(in crate::columnar) to: Box<[To]>,
    /// Bytes of every row for [`TableBuilder::bytes`], texts of the event left out. A value that goes to a
    /// variant counts less than cell by cell, since it is not kept aside until the row group closes.
    pub(in crate::columnar) bytes: u64,
    /// Places of the values whose texts are added to that.
    pub(in crate::columnar) lengths: Box<[u32]>,
}

/// A row that has to be given cell by cell.
#[derive(Clone, Copy, Debug)]
pub(in crate::columnar) struct Uncertain;

impl<'b> Planning<'b> {
    /// Nothing is in the row yet; about so many values will be.
    pub(in crate::columnar) fn new(
        builder: &'b TableBuilder,
        pushes: &'b mut Pushes,
        (constants, texts): (&'b mut Constants, &'b mut Texts),
        values: usize,
    ) -> Self {
        let seen = vec![Seen::default(); builder.columns.len()];
        let (to, lengths) = (Vec::with_capacity(values), Vec::with_capacity(values));
        Self { builder, pushes, constants, texts, seen, to, bytes: 0, lengths }
    }

    fn column(&self, slot: Slot) -> Result<&'b Column, Uncertain> {
        self.builder.columns.get(slot.0 as usize).ok_or(Uncertain)
    }

    fn seen(&mut self, slot: Slot) -> Result<&mut Seen, Uncertain> {
        self.seen.get_mut(slot.0 as usize).ok_or(Uncertain)
    }

    /// Adds the text at `place` to the row's bytes.
    fn count_text(&mut self, place: usize) {
        // A shape that is kept has far fewer values.
        self.lengths.push(u32::try_from(place).unwrap_or(u32::MAX));
    }

    /// The column `name`.
    pub(in crate::columnar) fn slot(&self, name: &str) -> Result<Slot, Uncertain> {
        self.builder.find(name).ok_or(Uncertain)
    }

    /// All cells of a row of a table of its own.
    pub(in crate::columnar) fn own_cells(
        &mut self,
        cells: impl Iterator<Item = (ColumnId, usize)>,
        draft: &Draft,
    ) -> Result<(), Uncertain> {
        for (column, place) in cells {
            let slot = self.builder.ids.get(column);
            self.cell(slot, place, draft)?;
        }
        Ok(())
    }

    /// As [`TableBuilder::claim`].
    pub(in crate::columnar) fn claim(&mut self, slot: Slot) -> Result<(), Uncertain> {
        self.seen(slot)?.is_taken = true;
        Ok(())
    }

    /// As [`TableBuilder::cell_at`].
    pub(in crate::columnar) fn cell(
        &mut self,
        slot: Slot,
        place: usize,
        draft: &Draft,
    ) -> Result<(), Uncertain> {
        let kind = draft.value(place).ok_or(Uncertain)?.kind;
        let column = self.column(slot)?;
        self.bytes += VALUE_BYTES;
        self.count_text(place);
        let seen = self.seen(slot)?;
        if seen.is_late {
            return Err(Uncertain);
        }
        let first = !std::mem::replace(&mut seen.is_taken, true);
        if first && column.constant().is_none() {
            match column.birth {
                Birth::Tentative if !stays(column.column_type, kind) => return Err(Uncertain),
                Birth::Known | Birth::Decided if !fits(column.column_type, kind) => {}
                _ => {
                    seen.is_filled = true;
                    self.put(slot, column, place, kind);
                    return Ok(());
                }
            }
        }
        self.variant(slot, place, kind)
    }

    /// A value that its own column does not take: its variant's, if that is there.
    fn variant(&mut self, base: Slot, place: usize, kind: Kind) -> Result<(), Uncertain> {
        let slot = self.builder.known_variant(base.0, natural(kind)).ok_or(Uncertain)?;
        let column = self.column(slot)?;
        let is_open = column.constant().is_none()
            && column.birth != Birth::Tentative
            && fits(column.column_type, kind);
        let seen = self.seen(slot)?;
        if !is_open || seen.is_taken || seen.is_filled {
            return Err(Uncertain);
        }
        *seen = Seen { is_taken: true, is_filled: true, is_late: true };
        self.bytes += ASIDE_BYTES;
        self.put(slot, column, place, kind);
        Ok(())
    }

    fn put(&mut self, slot: Slot, column: &Column, place: usize, kind: Kind) {
        let (push, what) = match (column.column_type, kind) {
            (ColumnType::String, _) => (Push::Text(place), What::Text),
            (ColumnType::Float, Kind::Int) => (Push::IntAsFloat(place), What::Bits),
            _ => (Push::Bits(place), What::Bits),
        };
        let from = self.pushes.place(push);
        self.to.push(To::new(slot, what, from));
    }

    /// Whether the column is to be filled now; its type must take what it is given for sure.
    fn fills(&mut self, slot: Slot, takes: ColumnType) -> Result<bool, Uncertain> {
        let column = self.column(slot)?;
        let seen = self.seen(slot)?;
        if seen.is_late || column.column_type != takes || column.birth == Birth::Tentative {
            return Err(Uncertain);
        }
        Ok(!std::mem::replace(&mut seen.is_filled, true))
    }

    /// As [`TableBuilder::fill`], with a text that is the same in every row.
    pub(in crate::columnar) fn fill(&mut self, slot: Slot, text: &str) -> Result<(), Uncertain> {
        if self.fills(slot, ColumnType::String)? {
            self.bytes += VALUE_BYTES + text.len() as u64;
            let from = self.constants.place(text, self.texts);
            self.to.push(To::new(slot, What::Constant, from));
        }
        Ok(())
    }

    /// As [`TableBuilder::fill`], with the text of the value at `place`.
    pub(in crate::columnar) fn fill_from(
        &mut self,
        slot: Slot,
        place: usize,
    ) -> Result<(), Uncertain> {
        if self.fills(slot, ColumnType::String)? {
            self.bytes += VALUE_BYTES;
            self.count_text(place);
            let from = self.pushes.place(Push::Text(place));
            self.to.push(To::new(slot, What::Text, from));
        }
        Ok(())
    }

    /// As [`TableBuilder::fill`], with what is made of the event.
    pub(in crate::columnar) fn fill_made(
        &mut self,
        slot: Slot,
        push: Push,
        (takes, what): (ColumnType, What),
    ) -> Result<(), Uncertain> {
        if self.fills(slot, takes)? {
            self.bytes += VALUE_BYTES;
            let from = self.pushes.place(push);
            self.to.push(To::new(slot, what, from));
        }
        Ok(())
    }

    /// Where the row's values go, if no column that must have one lacks it.
    pub(in crate::columnar) fn finish(self) -> Result<Planned, Uncertain> {
        let has = |at: &u32| self.seen.get(*at as usize).is_some_and(|seen| seen.is_filled);
        if self.builder.required.iter().all(has) {
            let (to, lengths) = (self.to.into(), self.lengths.into());
            Ok(Planned { to, bytes: self.bytes, lengths })
        } else {
            Err(Uncertain)
        }
    }
}

/// True if a column of this type takes every value of this kind.
const fn fits(column_type: ColumnType, kind: Kind) -> bool {
    match column_type {
        ColumnType::String => true,
        ColumnType::Int | ColumnType::Date => matches!(kind, Kind::Int | Kind::LongInt),
        ColumnType::Float => matches!(kind, Kind::Float | Kind::Int),
        ColumnType::Boolean => matches!(kind, Kind::Bool),
        ColumnType::Datetime => matches!(kind, Kind::Datetime),
    }
}

/// The same where the values may still change the type: none of this kind does, and none has to
/// leave when it changes.
const fn stays(column_type: ColumnType, kind: Kind) -> bool {
    match (column_type, kind) {
        // Its texts are kept beside it.
        (ColumnType::Datetime, _) | (ColumnType::Int, Kind::LongInt) => false,
        _ => fits(column_type, kind),
    }
}

const fn natural(kind: Kind) -> ColumnType {
    match kind {
        Kind::Bool => ColumnType::Boolean,
        Kind::Int | Kind::LongInt => ColumnType::Int,
        Kind::Float => ColumnType::Float,
        Kind::Datetime => ColumnType::Datetime,
        Kind::Text => ColumnType::String,
    }
}

impl TableBuilder {
    /// How often a column has changed its type: what is known of rows holds until then.
    pub(in crate::columnar) const fn turns(&self) -> u32 {
        self.turns
    }

    /// Adds a whole row whose values wait, of an event that arrived at `received_at` (microseconds
    /// since 1970) and adds `bytes` to the builder's size.
    ///
    /// # Errors
    /// As [`TableBuilder::end_row`].
    pub(in crate::columnar) fn stage_row(
        &mut self,
        waiting: Waiting,
        (received_at, bytes): (i64, u64),
        shared: &mut Shared,
    ) -> Result<(), Error> {
        self.begin_row(received_at);
        self.staged.push(waiting);
        self.bytes += bytes;
        self.next_row(shared)
    }

    /// How many rows wait.
    #[cfg(test)]
    pub(in crate::columnar) const fn staged_len(&self) -> usize {
        self.staged.len()
    }

    /// Gives the values of the rows that wait to their columns.
    pub(in crate::columnar) fn unstage(&mut self, shared: &mut Shared) {
        if self.staged.is_empty() {
            return;
        }
        let Shared { stage, spare, .. } = shared;
        let mut places = stage.lend_places();
        let grid = Grid::new(stage, &self.staged, self.columns.len(), &mut places);
        // No column is to grow step by step.
        for (column, count) in self.columns.iter_mut().zip(grid.values()) {
            column.reserve(*count, spare);
        }
        let waiting = u32::try_from(self.staged.len()).unwrap_or(u32::MAX);
        grid.give(self.row - waiting, &mut self.columns);
        stage.return_places(places);
        self.staged.clear();
    }

    /// The column for values of `column_type` that the column at `base` does not take, if there is
    /// one.
    fn known_variant(&self, base: u32, column_type: ColumnType) -> Option<Slot> {
        self.slot(&self.variant_name(base, column_type)?)
    }
}
