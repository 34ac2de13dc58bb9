//! How an event becomes rows of warehouse tables.
//!
//! Pure: (event, dialect, options) -> cells given to a [`Sink`]. One sink prints the rows for
//! `keelrow map`, another fills column builders, so there is one mapping and no row objects on the
//! hot path. The rules are explained in docs/warehouse-layout.md.

pub mod datetime;
pub mod ddl;
mod dialect;
pub mod diff;
#[cfg(test)]
mod golden;
mod layout;
mod mapper;
pub mod names;
pub mod namespace;
mod number;
pub mod print;
pub mod reserved;
pub mod rudder;
pub mod rules;

pub use dialect::{Dialect, UnknownDialect};
pub use layout::{JsonPaths, Layout};
pub use mapper::{
    Compared, DiscardReason, Mapper, Origin, Outline, RawPaths, Rejected, Unmappable, raw_path,
    raw_path_of,
};
pub(crate) use number::double_of;

/// The table of events whose own table would be one more than a schema may have.
pub const OTHER_EVENTS: &str = "other_events";

/// The column that takes what has no column of its own: JSON text, raw path to raw value.
pub const OVERFLOW: &str = "_overflow";

/// The tables of the layout whose rows are events', beside those that are named for an event.
pub const LAYOUT_TABLES: [&str; 7] =
    ["tracks", "identifies", "users", "pages", "screens", "groups", "aliases"];

/// `reason` of the row in `rudder_discards` that such an event has besides.
pub const TABLE_LIMIT: &str = "table_limit";

/// The table of discarded values.
pub const DISCARDS: &str = "rudder_discards";

/// A table's name, interned by the mapper that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

/// A column's name, interned by the mapper that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnId(pub u32);

/// What a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableKind {
    /// `tracks`: one row for each track event, without its properties.
    Tracks,
    /// The table of one event name.
    Event,
    /// `identifies`
    Identifies,
    /// `users`
    Users,
    /// `pages`
    Pages,
    /// `screens`
    Screens,
    /// `groups`
    Groups,
    /// `aliases`
    Aliases,
    /// `rudder_identity_merge_rules`
    MergeRules,
    /// `rudder_discards`
    Discards,
    /// `rejected`
    Rejected,
}

impl TableKind {
    /// What the table `name` (lower case) of a source's schema holds: an event whose table would be
    /// called like one of the others gets an underscore.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            "tracks" => Self::Tracks,
            "identifies" => Self::Identifies,
            "users" => Self::Users,
            "pages" => Self::Pages,
            "screens" => Self::Screens,
            "groups" => Self::Groups,
            "aliases" => Self::Aliases,
            "rudder_identity_merge_rules" => Self::MergeRules,
            DISCARDS => Self::Discards,
            "rejected" => Self::Rejected,
            _ => Self::Event,
        }
    }

    /// As [`TableKind::of`], where events may be in a table of another kind: a dialect that escapes the
    /// name of a table of the layout, as BigQuery does that of `groups`, has the events of that name in
    /// the same one. `has_event` tells whether the table has a column `event`.
    #[must_use]
    pub fn of_table(name: &str, has_event: bool) -> Self {
        Self::escaped(name).filter(|_| !has_event).unwrap_or_else(|| Self::of(name))
    }

    /// What else a table may hold besides events, if its name is that of a table of the layout with an
    /// underscore before it.
    #[must_use]
    pub fn escaped(name: &str) -> Option<Self> {
        name.strip_prefix('_').filter(|name| LAYOUT_TABLES.contains(name)).map(Self::of)
    }

    /// Whether the table `name` is that of an event's name and of nothing else: such tables are counted,
    /// and a schema has so many of them at most.
    #[must_use]
    pub fn is_counted(name: &str) -> bool {
        Self::of(name) == Self::Event && Self::escaped(name).is_none() && name != OTHER_EVENTS
    }
}

/// The logical type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// 64-bit integer.
    Int,
    /// Double.
    Float,
    /// Boolean.
    Boolean,
    /// Moment in UTC, microseconds.
    Datetime,
    /// Text.
    String,
    /// Day, for `event_date` only.
    Date,
}

impl ColumnType {
    /// The name in schemas, in variants and in what `keelrow map` prints.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Datetime => "datetime",
            Self::String => "string",
            Self::Date => "date",
        }
    }
}

/// The value of a cell, exactly as sent.
#[derive(Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// An integral number within 64 bits.
    Int(i64),
    /// A number whose nearest double prints back to the same decimal.
    Float(f64),
    /// A string that spells a moment, in microseconds since 1970 UTC.
    Datetime(i64),
    /// A string's text, or the spelling of a number that fits neither type, or JSON text.
    Text(&'a str),
}

impl Scalar<'_> {
    /// The type a value has by itself: a column that it is the first of is born with it.
    #[must_use]
    pub const fn own_type(&self) -> ColumnType {
        match self {
            Self::Bool(_) => ColumnType::Boolean,
            Self::Int(_) => ColumnType::Int,
            Self::Float(_) => ColumnType::Float,
            Self::Datetime(_) => ColumnType::Datetime,
            Self::Text(_) => ColumnType::String,
        }
    }
}

impl std::fmt::Debug for Scalar<'_> {
    /// Shows the type, never the value.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bool(_) => "Bool",
            Self::Int(_) => "Int",
            Self::Float(_) => "Float",
            Self::Datetime(_) => "Datetime",
            Self::Text(_) => "Text",
        })
    }
}

/// One value for one column.
#[derive(Clone, Copy)]
pub struct Cell<'a> {
    /// The value by its own type.
    pub value: Scalar<'a>,
    /// What a text column takes: the string itself, or the JSON spelling of anything else.
    pub text: &'a str,
    /// The token of the event's tape it came from; `u32::MAX` where the gateway made it.
    pub origin: u32,
}

impl std::fmt::Debug for Cell<'_> {
    /// Shows the length, never the value.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cell of {} bytes", self.text.len())
    }
}

/// What the numbers of tables and columns stand for.
pub trait Names {
    /// Name of a table.
    fn table(&self, id: TableId) -> &str;
    /// Name of a column.
    fn column(&self, id: ColumnId) -> &str;
}

/// Takes the rows of events, cell by cell, with the names that the ids stand for at the time.
pub trait Sink {
    /// Starts a row; the cells up to the next call are its own. No column comes twice in a row.
    fn row(&mut self, names: &dyn Names, table: TableId, kind: TableKind);
    /// Adds a cell to the row.
    fn cell(&mut self, names: &dyn Names, column: ColumnId, cell: Cell<'_>);
    /// Adds a cell whose text is JSON because the source asked for it (`jsonPaths`); a cell like
    /// any other where nobody needs to know.
    fn json(&mut self, names: &dyn Names, column: ColumnId, cell: Cell<'_>) {
        self.cell(names, column, cell);
    }
}
