//! The mapping of `serve`: one event to the cells of its rows, exactly.
//!
//! [`Mapper`] is kept by whoever loads events: it remembers names, paths and event tables, so that
//! an event of a known shape costs no allocation and no work on text beyond its values. It must be
//! fed from one parser, whose key ids it relies on. How an event is taken apart is in `walk`, how
//! rows are put together in `rows`, who loses a column to whom in `discards`.

mod discards;
mod full_event;
mod identity;
mod intern;
mod options;
mod outline;
mod paths;
mod rejected;
mod rows;
mod shape;
mod standard;
mod value;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use foldhash::quality::RandomState;

use crate::event::{Node, Tape};

use super::names::{NameMode, Namer};
use super::rules::EventKind;
use super::{
    self as warehouse, ColumnId, ColumnType, Dialect, JsonPaths, Layout, Sink, TableId, TableKind,
};

use discards::Loser;
use intern::Names;
use options::EventOptions;
use paths::{Columns, Paths};
use standard::{Members, StandardColumns};
use value::{Made, Value};

pub use discards::{DiscardReason, RawPaths, raw_path, raw_path_of};
pub use outline::Outline;
pub use rejected::Rejected;

/// What is known of an event beside its text.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'o> {
    /// `context_source_id`: the source's id, by default its name.
    pub source_id: &'o str,
    /// `context_source_type`: the platform as configured.
    pub source_type: &'o str,
    /// `context_destination_id`.
    pub destination_id: &'o str,
    /// `context_destination_type`.
    pub destination_type: &'o str,
    /// The moment of arrival in microseconds since 1970, for an event without a `receivedAt`.
    pub received_at: i64,
    /// The id of an event without a messageId.
    pub minted_id: &'o str,
}

/// Why an event makes no rows; it belongs into `rejected`, and nothing was given to the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Unmappable {
    /// The label of `rejected.reason`.
    pub reason: &'static str,
    /// For a person; no content of the event.
    pub detail: &'static str,
}

impl Unmappable {
    pub(super) const NOT_AN_OBJECT: Self =
        Self { reason: "not_an_object", detail: "the event is not an object" };
    pub(super) const UNKNOWN_TYPE: Self =
        Self { reason: "unknown_type", detail: "the event's type is none that makes rows" };

    const fn because(detail: &'static str) -> Self {
        Self { reason: "unmappable", detail }
    }
}

/// Names kept between batches; a warehouse with more columns than this in use is unheard of.
const KEPT_NAMES_MAX: usize = if cfg!(test) { 4_096 } else { 262_144 };
/// Bytes of names kept between batches.
const KEPT_NAME_BYTES_MAX: usize = 16 << 20;

/// The table and the `event` value of an event's name.
#[derive(Debug)]
struct EventTable {
    /// `None` where no table can be named.
    table: Option<TableId>,
    event: Box<str>,
}

/// A leaf that has a column, until another takes it.
#[derive(Clone, Copy, Debug)]
struct Slot {
    column: u32,
    path: u32,
    value: Value,
    /// The part it came from, by its place in [`EventKind::parts`].
    order: u8,
    in_context: bool,
    /// The layout fills this column in some table.
    standard: bool,
    /// Another column has the same leaf.
    copy: bool,
    /// Another leaf has the column.
    lost: bool,
    /// It is in some row.
    written: bool,
}

/// A value that has no column for itself, beside the one that its standard column holds. If their texts
/// are the same it needs none, as the name that `page` calls have twice; else it is discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The token of the value.
    pub token: u32,
    /// That of the value in the standard column.
    pub of: u32,
    /// Their texts are the same.
    pub are_same: bool,
}

/// A standard column's value; without one the column is taken out of the row.
#[derive(Clone, Copy, Debug)]
struct Fixed {
    column: u32,
    value: Option<Value>,
}

/// Who has a column, in the event and in the row that the stamps name.
#[derive(Clone, Copy, Debug, Default)]
struct Owner {
    event: u32,
    slot: u32,
    row: u32,
}

/// The names of a mapper, for the sink it gives cells to.
struct Named<'m> {
    columns: &'m Names,
    tables: &'m Names,
}

impl warehouse::Names for Named<'_> {
    fn table(&self, id: TableId) -> &str {
        self.tables.name(id.0)
    }

    fn column(&self, id: ColumnId) -> &str {
        self.columns.name(id.0)
    }
}

/// Maps events to cells.
#[derive(Debug)]
pub struct Mapper {
    dialect: Dialect,
    columns: Columns,
    tables: Names,
    paths: Paths,
    standard: StandardColumns,
    events: [HashMap<Box<str>, EventTable, RandomState>; 8],
    generation: u64,
    // What follows belongs to the event at hand.
    slots: Vec<Slot>,
    owners: Vec<Owner>,
    losers: Vec<Loser>,
    compared: Vec<Compared>,
    /// The rows hang on more than the event's outline and what was compared.
    hangs_on_more: bool,
    fixed: Vec<Fixed>,
    written: Vec<Fixed>,
    event_paths: JsonPaths,
    made: Made,
    trail: String,
    event_stamp: u32,
    row_stamp: u32,
}

/// The event at hand.
#[derive(Clone, Copy)]
struct Event<'e> {
    node: Node<'e>,
    tape: Tape<'e>,
    /// The text that spans point into.
    text: &'e str,
    kind: EventKind,
    members: Members,
    mode: NameMode,
    options: EventOptions,
    layout: &'e Layout,
    origin: &'e Origin<'e>,
}

impl Mapper {
    /// A mapper that knows the names of the layout itself.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        let mut load_time = vec!["uuid_ts", "_overflow"];
        if dialect.has_loaded_at() {
            load_time.push("loaded_at");
        }
        let mut columns = Columns::new(Namer::new(dialect), load_time);
        let mut tables = Names::default();
        let standard = StandardColumns::new(&mut columns, &mut tables);
        Self {
            dialect,
            columns,
            tables,
            paths: Paths::default(),
            standard,
            events: Default::default(),
            generation: 0,
            slots: Vec::new(),
            owners: Vec::new(),
            losers: Vec::new(),
            compared: Vec::new(),
            hangs_on_more: false,
            fixed: Vec::new(),
            written: Vec::new(),
            event_paths: JsonPaths::default(),
            made: Made::default(),
            trail: String::new(),
            event_stamp: 0,
            row_stamp: 0,
        }
    }

    /// The dialect.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// To be called where a batch starts: forgets all names when there are too many. Ids given
    /// earlier are void when [`Mapper::generation`] has changed; within a batch they never are.
    pub fn begin_batch(&mut self) {
        if self.is_crowded() {
            let generation = self.generation + 1;
            *self = Self { generation, ..Self::new(self.dialect) };
        }
    }

    /// True when so many names are known that the next batch should begin soon.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        let names = self.columns.names.len() + self.tables.len();
        let bytes = self.columns.names.bytes() + self.tables.bytes();
        names > KEPT_NAMES_MAX || bytes > KEPT_NAME_BYTES_MAX
    }

    /// Counts how often all ids became void.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// A column's name: lower case, within the dialect's length.
    #[must_use]
    pub fn column_name(&self, column: ColumnId) -> &str {
        self.columns.names.name(column.0)
    }

    /// A table's name: lower case, within the dialect's length.
    #[must_use]
    pub fn table_name(&self, table: TableId) -> &str {
        self.tables.name(table.0)
    }

    /// How many columns have been named; ids are below it.
    #[must_use]
    pub fn columns_len(&self) -> usize {
        self.columns.names.len()
    }

    /// How many tables have been named; ids are below it.
    #[must_use]
    pub fn tables_len(&self) -> usize {
        self.tables.len()
    }

    /// The number of a column, which is made if it is new: for the loader's own columns, variants
    /// and `_overflow`.
    pub fn column(&mut self, name: &str) -> ColumnId {
        ColumnId(self.columns.intern(name))
    }

    /// The type that the layout fixes for a column of a table of this kind; `None` where the first
    /// values decide.
    #[must_use]
    pub fn standard_type(&self, kind: TableKind, column: ColumnId) -> Option<ColumnType> {
        self.standard.column_type(kind, column)
    }

    /// True for `id` and `received_at` in the tables that have them: the only columns that are
    /// never null.
    #[must_use]
    pub fn is_required(&self, kind: TableKind, column: ColumnId) -> bool {
        self.standard.is_required(kind, column)
    }

    /// The columns that the loader fills in every table of this kind, all of them moments.
    #[must_use]
    pub fn load_time_columns(&self, kind: TableKind) -> &[ColumnId] {
        match kind {
            TableKind::MergeRules => &[],
            _ => self.standard.load_time(),
        }
    }

    /// Gives the rows of `event` to `sink`: its own in the order of contract, then those of
    /// `rudder_discards`.
    ///
    /// # Errors
    /// When the event makes no rows; `sink` has then been given nothing.
    pub fn map(
        &mut self,
        event: Node<'_>,
        origin: &Origin<'_>,
        layout: &Layout,
        sink: &mut impl Sink,
    ) -> Result<(), Unmappable> {
        self.begin_event(event);
        let event = self.read(event, origin, layout)?;
        self.walk(&event);
        if self.paths.are_too_many() {
            return Err(Unmappable::because("the event has too many distinct paths"));
        }
        self.write_rows(&event, sink)
    }

    /// The values of the event that was mapped last whose texts decide which rows it has, beside its
    /// outline; `None` if more does.
    #[must_use]
    pub fn compared(&self) -> Option<&[Compared]> {
        (!self.hangs_on_more).then_some(&*self.compared)
    }

    /// The names that all ids stand for.
    #[must_use]
    pub fn names(&self) -> impl warehouse::Names + '_ {
        self.named()
    }

    const fn named(&self) -> Named<'_> {
        Named { columns: &self.columns.names, tables: &self.tables }
    }

    fn begin_event(&mut self, event: Node<'_>) {
        self.paths.begin_event(event.tape().keys());
        self.made.begin_event();
        self.slots.clear();
        self.losers.clear();
        self.compared.clear();
        self.hangs_on_more = false;
        self.fixed.clear();
        self.written.clear();
        self.event_stamp = self.event_stamp.wrapping_add(1);
        if self.event_stamp == 0 {
            self.owners.clear();
            self.event_stamp = 1;
        }
    }

    fn read<'e>(
        &mut self,
        node: Node<'e>,
        origin: &'e Origin<'e>,
        layout: &'e Layout,
    ) -> Result<Event<'e>, Unmappable> {
        let members = Members::read(node).ok_or(Unmappable::NOT_AN_OBJECT)?;
        let kind = members
            .get(node, crate::event::known::TYPE)
            .and_then(Node::text)
            .and_then(|text| EventKind::of(&text))
            .ok_or(Unmappable::UNKNOWN_TYPE)?;
        let options = options::read(node, &members, self.dialect, &mut self.event_paths);
        let mode = NameMode {
            divide_numbers: layout.underscore_divide_numbers,
            blendo: options.blendo,
            skip_reserved: options.skip_reserved,
        };
        let text = node.tape().text();
        Ok(Event { node, tape: node.tape(), text, kind, members, mode, options, layout, origin })
    }

    fn owner(&mut self, column: u32) -> &mut Owner {
        let at = column as usize;
        if at >= self.owners.len() {
            self.owners.resize(self.columns.names.len().max(at + 1), Owner::default());
        }
        &mut self.owners[at]
    }
}
