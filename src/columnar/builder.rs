//! One table's open row group and the parts it goes to.
//!
//! Two ways to the same bytes. A *cut* starts from the newest schema: a column met for the first
//! time joins the open row group, its type is settled when the group closes, and the schema gets
//! wider. A *rewrite* starts from a plan: the schema of each part and the row count of each row
//! group. Both must send every cell to the same place, so nothing depends on when a type became
//! known: a cell whose own column takes it goes there; every other one waits until the group closes
//! and is then placed, first come first, in the variant column of its type or in `_overflow`.

mod births;
mod grid;
mod part;
mod settle;
mod staged;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use super::column::{Birth, Column, Text, VALUE_BYTES, slot as exact_slot};
use super::encode::Encoder;
use super::file::PartWriter;
use super::ids::Ids;
use super::overflow::{Aside, Leaves};
use super::schema::Schema;
use super::spare::Spare;
use super::stage::{Stage, Waiting};
use super::texts::{Renumbering, Texts};
use super::{Error, Footer, Settings};
use crate::warehouse::{Cell, ColumnId, ColumnType, Names, Scalar};

/// Bytes that an open column or table adds to the builder's size, so that many small tables end a
/// range early: the structures themselves.
const COLUMN_BYTES: u64 = 320;

/// What a column without values takes, with its names.
const KEPT_COLUMN_BYTES: usize = 400;

pub(super) use part::Span;
pub(super) use part::Table;
pub use part::{Files, Part, Plan, PlannedPart};
pub(super) use staged::{Planned, Planning, Push, Pushes, Uncertain};

/// A column of one [`TableBuilder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(pub(super) u32);

impl Slot {
    /// No column: past the cap, or not looked up yet.
    pub(super) const NONE: Self = Self(u32::MAX);
}

/// What the tables of a batch share: texts, values that wait, and the encoder of column chunks.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) texts: Texts,
    pub(super) stage: Stage,
    pub(super) spare: Spare,
    pub(super) encoder: Encoder,
}

/// A cell on its way to one table or several.
#[derive(Debug)]
pub(super) struct Given<'c> {
    pub(super) cell: &'c Cell<'c>,
    text: Text<'c>,
}

impl<'c> Given<'c> {
    pub(super) const fn new(cell: &'c Cell<'c>) -> Self {
        Self { cell, text: Text::new(cell.text) }
    }

    /// With the number of its text, if that has one.
    pub(super) const fn numbered(cell: &'c Cell<'c>, number: u32) -> Self {
        Self { cell, text: Text::numbered(cell.text, number) }
    }
}

/// Takes rows of one table and writes its parts.
pub(super) struct TableBuilder {
    settings: Arc<Settings>,
    table: Table,
    columns: Vec<Column>,
    by_name: HashMap<String, u32, foldhash::fast::RandomState>,
    ids: Ids<Slot>,
    /// Row now open, counted from the start of the row group.
    row: u32,
    received_at: i64,
    span: Span,
    /// The last rows, whose values are not in their columns yet.
    staged: Vec<Waiting>,
    /// How often a column has changed its type.
    turns: u32,
    aside: Aside,
    bytes: u64,
    /// Columns that may not stay empty.
    required: Vec<u32>,
    overflow: Option<u32>,
    /// Schema of the row groups written last, or of the registry.
    schema: Arc<Schema>,
    /// Its version when the open part began.
    base_version: u64,
    rewrite: Option<VecDeque<PlannedPart>>,
    files: Box<dyn Files>,
    part: Option<PartWriter>,
    parts: Vec<Part>,
}

impl std::fmt::Debug for TableBuilder {
    /// Shows sizes, never values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableBuilder")
            .field("table", &self.table.name)
            .field("columns", &self.columns.len())
            .field("rows", &self.row)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl TableBuilder {
    /// Opens the builder of one table for one batch.
    pub(super) fn open(
        settings: Arc<Settings>,
        table: Table,
        plan: Plan,
        files: Box<dyn Files>,
    ) -> Self {
        let (schema, rewrite) = match plan {
            Plan::Cut(schema) => (schema, None),
            Plan::Rewrite(parts) => {
                let first = parts.first().map_or_else(Schema::empty, |part| part.schema.clone());
                (Arc::new(first), Some(parts.into()))
            }
        };
        let mut builder = Self {
            settings,
            table,
            columns: Vec::new(),
            by_name: HashMap::default(),
            ids: Ids::new(Slot::NONE),
            row: 0,
            received_at: 0,
            span: Span::NONE,
            staged: Vec::new(),
            turns: 0,
            aside: Aside::default(),
            bytes: 0,
            required: Vec::new(),
            overflow: None,
            schema: Arc::new(Schema::empty()),
            base_version: 0,
            rewrite,
            files,
            part: None,
            parts: Vec::new(),
        };
        builder.adopt(schema);
        if builder.rewrite.is_none() {
            for (name, column_type, required) in std::mem::take(&mut builder.table.initial) {
                if !builder.by_name.contains_key(&name) {
                    builder.bear(&name, column_type, Birth::Decided, required);
                }
            }
        }
        for (name, time) in std::mem::take(&mut builder.table.constants) {
            builder.add_constant(name, time);
        }
        builder
    }

    /// About the bytes that it takes while no row is open: its columns, their names, and where they are
    /// found.
    pub(super) fn kept_bytes(&self) -> usize {
        self.columns.len() * KEPT_COLUMN_BYTES + self.ids.bytes()
    }

    /// Starts a row of an event that arrived at `received_at` (microseconds since 1970); no row may
    /// wait if its cells are given to the columns.
    pub(super) fn begin_row(&mut self, received_at: i64) {
        self.received_at = received_at;
        self.span.join(Span { min: received_at, max: received_at });
    }

    /// Adds a cell to the row, by the id of its column; `name` is asked once for an id.
    #[inline]
    pub(super) fn cell<'n>(
        &mut self,
        id: ColumnId,
        name: impl FnOnce() -> &'n str,
        given: &mut Given<'_>,
        texts: &mut Texts,
        leaves: &dyn Leaves,
    ) {
        let known = self.ids.get(id);
        if known != Slot::NONE {
            self.cell_at(known, given, texts, leaves);
            return;
        }
        let slot = self.cell_named(name(), given, texts, leaves);
        if slot != Slot::NONE {
            self.ids.set(id, slot);
        }
    }

    /// Keeps where these columns are, as far as they are there.
    pub(super) fn look_up(&mut self, columns: impl Iterator<Item = ColumnId>, names: &dyn Names) {
        for id in columns {
            if self.ids.get(id) == Slot::NONE
                && let Some(slot) = self.find(names.column(id))
            {
                self.ids.set(id, slot);
            }
        }
    }

    /// Adds a cell to the row, by the name of its column; returns where that is.
    pub(super) fn cell_named(
        &mut self,
        name: &str,
        given: &mut Given<'_>,
        texts: &mut Texts,
        leaves: &dyn Leaves,
    ) -> Slot {
        let slot = self.find_or_bear(name, &given.cell.value);
        if slot == Slot::NONE {
            self.bytes += self.aside.overflow(self.row, name, given.cell, leaves);
        } else {
            self.cell_at(slot, given, texts, leaves);
        }
        slot
    }

    /// Adds a cell to the row, in a column found before.
    #[inline]
    pub(super) fn cell_at(
        &mut self,
        slot: Slot,
        given: &mut Given<'_>,
        texts: &mut Texts,
        leaves: &dyn Leaves,
    ) {
        let Given { cell, text } = given;
        let Some(column) = self.columns.get_mut(slot.0 as usize) else { return };
        let row = self.row;
        let first = column.see(row);
        self.bytes += VALUE_BYTES + cell.text.len() as u64;
        let before = column.column_type;
        let is_put = first && column.put(row, &cell.value, text, texts);
        if column.column_type != before {
            self.turns += 1;
        }
        // Should a tentative column become float, not every integer can stay.
        if is_put
            && (column.birth != Birth::Tentative || !may_leave(column.column_type, &cell.value))
        {
            return;
        }
        let base = (slot.0, column.name(), !first);
        self.bytes += self.aside.keep(row, base, cell, leaves);
    }

    /// Takes the column for this row, so that a cell of that name goes to a variant; the value, if
    /// there is one, is given by [`TableBuilder::fill`].
    pub(super) fn claim(&mut self, slot: Slot) {
        if let Some(column) = self.columns.get_mut(slot.0 as usize) {
            column.see(self.row);
        }
    }

    /// Gives the value of a claimed column, once a row; its type must take it.
    pub(super) fn fill(&mut self, slot: Slot, value: Scalar<'_>, text: &str, texts: &mut Texts) {
        if let Some(column) = self.columns.get_mut(slot.0 as usize) {
            if column.is_filled(self.row) {
                return;
            }
            self.bytes += VALUE_BYTES + text.len() as u64;
            column.put(self.row, &value, &mut Text::new(text), texts);
        }
    }

    /// The text that the open row has in the string column `name`; empty if it has none.
    pub(super) fn text<'t>(&self, name: &str, texts: &'t Texts) -> &'t str {
        let column = self.by_name.get(name).and_then(|&at| self.columns.get(at as usize));
        let text = column.and_then(|column| column.last_text(self.row));
        let text = text.map_or(&b""[..], |number| texts.get(number));
        std::str::from_utf8(text).unwrap_or_default()
    }

    /// The column `name`, if there is one.
    pub(super) fn slot(&self, name: &str) -> Option<Slot> {
        self.by_name.get(name).copied().map(Slot)
    }

    /// Ends the row; closes the row group where size or plan say so.
    ///
    /// # Errors
    /// [`Error::Plan`] for a row more than planned, else as [`TableBuilder::close_row_group`].
    pub(super) fn end_row(&mut self, shared: &mut Shared) -> Result<(), Error> {
        for n in 0..self.required.len() {
            let Some(column) =
                self.required.get(n).and_then(|&at| self.columns.get_mut(at as usize))
            else {
                continue;
            };
            if !column.is_filled(self.row) {
                // The layout gives these in every row; a row without must not cost its batch.
                let arrival = Scalar::Datetime(self.received_at);
                column.put(self.row, &arrival, &mut Text::new(""), &mut shared.texts);
            }
        }
        self.next_row(shared)
    }

    /// Goes on to the next row; closes the row group where size or plan say so.
    fn next_row(&mut self, shared: &mut Shared) -> Result<(), Error> {
        self.row += 1;
        match &self.rewrite {
            None if self.bytes >= self.settings.row_group_bytes || self.row == u32::MAX => {
                self.close_row_group(shared)
            }
            None => Ok(()),
            Some(parts) => {
                let planned = parts.front().and_then(|part| {
                    let done = self.part.as_ref().map_or(0, |part| part.row_groups().len());
                    part.row_groups.get(done).copied()
                });
                match planned {
                    None => Err(self.plan_error("more rows than planned")),
                    Some(rows) if rows == u64::from(self.row) => self.close_row_group(shared),
                    Some(_) => Ok(()),
                }
            }
        }
    }

    /// Bytes of the open row group, counted from its rows, and of the builder's own structures.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes + self.columns.len() as u64 * COLUMN_BYTES
    }

    /// Rows of the open row group.
    pub(super) const fn open_rows(&self) -> u32 {
        self.row
    }

    /// Number of columns if it has reached 80 % of the cap, for a warning.
    pub(super) fn near_cap(&self) -> Option<usize> {
        let count = self.columns.len();
        (count * 5 >= self.settings.columns_max * 4).then_some(count)
    }

    /// Writes the open row group to its part; does nothing without rows.
    ///
    /// # Errors
    /// [`Error::Io`] from the file; the builder is of no use afterwards.
    pub(super) fn close_row_group(&mut self, shared: &mut Shared) -> Result<(), Error> {
        if self.row == 0 {
            return Ok(());
        }
        self.unstage(shared);
        self.settle(&mut shared.texts)?;
        let widened = self.columns.iter().any(|column| column.birth != Birth::Known);
        if widened && self.part.is_some() {
            self.close_part()?;
        }
        self.write_group(shared)?;
        let closes = match &self.rewrite {
            None => self.part.as_ref().is_some_and(|part| part.bytes() >= self.settings.part_bytes),
            Some(parts) => {
                let planned = parts.front().map_or(0, |part| part.row_groups.len());
                self.part.as_ref().is_some_and(|part| part.row_groups().len() >= planned)
            }
        };
        if closes {
            self.close_part()?;
        }
        Ok(())
    }

    /// Closes what is open and says what was written; the table is then closed itself.
    ///
    /// # Errors
    /// As [`TableBuilder::close_row_group`]; [`Error::Plan`] if planned rows did not come.
    pub(super) fn finish(&mut self, shared: &mut Shared) -> Result<Vec<Part>, Error> {
        if self.rewrite.is_some() && self.row > 0 {
            return Err(self.plan_error("a row group has fewer rows than planned"));
        }
        self.close_row_group(shared)?;
        if self.part.is_some() && self.rewrite.is_none() {
            self.close_part()?;
        }
        if self.rewrite.as_ref().is_some_and(|parts| !parts.is_empty()) {
            return Err(self.plan_error("fewer rows than planned"));
        }
        self.files = Box::new(part::NoFiles);
        Ok(std::mem::take(&mut self.parts))
    }

    /// Gives the texts of the open row group their new numbers; no row may wait.
    pub(super) fn renumber(&mut self, renumbering: &mut Renumbering, texts: &mut Texts) {
        for column in &mut self.columns {
            column.renumber(renumbering, texts);
        }
    }

    fn plan_error(&self, reason: &'static str) -> Error {
        Error::Plan { table: self.table.name.clone(), reason }
    }

    fn write_group(&mut self, shared: &mut Shared) -> Result<(), Error> {
        for column in &mut self.columns {
            column.settle();
        }
        let span = self.received().unwrap_or(self.span);
        let number = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        let part = match &mut self.part {
            Some(part) => part,
            none => {
                let sink = self.files.create(number).map_err(|source| Error::Io {
                    action: "create",
                    table: self.table.name.clone(),
                    part: number,
                    source,
                })?;
                let part = PartWriter::open(sink, &self.columns)
                    .map_err(|source| write_error(&self.table.name, number, source))?;
                none.insert(part)
            }
        };
        let compression = self.settings.compression;
        part.write_group(&mut self.columns, (self.row, span), compression, shared)
            .map_err(|source| write_error(&self.table.name, number, source))?;
        if self.rewrite.is_none() {
            self.widen_schema();
        }
        self.row = 0;
        self.span = Span::NONE;
        self.bytes = 0;
        Ok(())
    }

    /// Earliest and latest of the open row group's `received_at`, if the table has that column: a source
    /// may say itself when its events arrived.
    fn received(&self) -> Option<Span> {
        let Slot(at) = self.slot("received_at")?;
        let column = self.columns.get(at as usize)?;
        let moments = || column.values().fixed.iter().copied();
        let is_time = column.column_type == ColumnType::Datetime;
        let (min, max) = (moments().min()?, moments().max()?);
        is_time.then_some(Span { min, max })
    }

    /// Notes what the row group that was written made wider.
    fn widen_schema(&mut self) {
        let old = &self.schema;
        let same = self.columns.len() == old.columns.len()
            && self
                .columns
                .iter()
                .zip(&old.columns)
                .all(|(new, old)| new.max_bytes() <= old.max_bytes);
        if same {
            return;
        }
        // One version a part, however many of its row groups make it wider.
        let version = self.base_version + 1;
        let columns = self.columns.iter().map(Column::schema);
        self.schema = Arc::new(Schema { version, columns: columns.collect() });
    }

    fn close_part(&mut self) -> Result<(), Error> {
        let Some(part) = self.part.take() else { return Ok(()) };
        let number = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        let footer = Footer {
            product_version: self.settings.product_version.clone(),
            writer: self.settings.writer.clone(),
            batch: self.settings.batch,
            part: number,
            first_position: self.settings.first_position,
            schema_version: self.schema.version,
        };
        let schema = Arc::clone(&self.schema);
        let part = part
            .finish(number, schema, &footer)
            .map_err(|source| write_error(&self.table.name, number, source))?;
        self.parts.push(part);
        self.base_version = self.schema.version;
        if let Some(parts) = &mut self.rewrite {
            parts.pop_front();
            if let Some(schema) = parts.front().map(|part| part.schema.clone()) {
                self.adopt(Arc::new(schema));
            }
        }
        Ok(())
    }
}

fn write_error(table: &str, part: u32, source: io::Error) -> Error {
    Error::Io { action: "write", table: table.to_owned(), part, source }
}

/// True for an integer that a float column would not take, in a column that may become one.
fn may_leave(column_type: ColumnType, value: &Scalar<'_>) -> bool {
    column_type == ColumnType::Int && exact_slot(ColumnType::Float, value).is_none()
}
