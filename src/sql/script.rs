//! The script: which statements, in which order.

use super::lake::{Lake, Table};
use super::{ddl, identity, load, union, users, views};

/// A part of the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Part {
    /// Schemas, tables, columns that came later.
    Ddl,
    /// Every batch, in order.
    Load,
    /// `users`: the last value of each column for each user.
    Users,
    /// `rudder_identity_mappings`: which ids are one person.
    Identity,
    /// A narrow view for each event of a unified table.
    Views,
    /// The unified tables again, as a view over the tables of the events.
    Union,
    /// `DuckDB` macros that read the lake where it lies.
    Macros,
}

impl Part {
    /// All parts in the order of the script.
    pub const ALL: [Self; 7] = [
        Self::Ddl,
        Self::Load,
        Self::Users,
        Self::Identity,
        Self::Views,
        Self::Union,
        Self::Macros,
    ];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ddl => "ddl",
            Self::Load => "load",
            Self::Users => "users",
            Self::Identity => "identity",
            Self::Views => "views",
            Self::Union => "union",
            Self::Macros => "macros",
        }
    }
}

/// One statement, without the semicolon at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Which part of the script it belongs to.
    pub part: Part,
    /// The schema it works on, empty for none.
    pub schema: String,
    /// The table it works on, empty for none.
    pub table: String,
    /// The batch it loads, empty for none.
    pub batch: String,
    /// What a reader should know, lines without the comment sign; often empty.
    pub note: String,
    /// The statement.
    pub sql: String,
}

/// What is wanted, and where statements go.
pub(super) struct Out<'o> {
    parts: &'o [Part],
    schema: Option<&'o str>,
    table: Option<&'o str>,
    sink: &'o mut dyn FnMut(Statement),
    place: (String, String, String),
}

impl std::fmt::Debug for Out<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Out").field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl Out<'_> {
    /// True if statements for the table are wanted.
    pub(super) fn wants(&self, table: &Table) -> bool {
        self.schema.is_none_or(|schema| schema == table.schema)
            && self.table.is_none_or(|name| name == table.label || name == table.name)
    }

    /// The place of the next statement.
    pub(super) fn at(&mut self, schema: &str, table: &str) -> &mut Self {
        schema.clone_into(&mut self.place.0);
        table.clone_into(&mut self.place.1);
        self
    }

    /// The batch of the next statement.
    pub(super) fn batch(&mut self, batch: &str) -> &mut Self {
        batch.clone_into(&mut self.place.2);
        self
    }

    /// Adds a statement if its part is wanted.
    pub(super) fn add(&mut self, part: Part, note: &str, sql: &str) {
        let (schema, table, batch) = std::mem::take(&mut self.place);
        if self.parts.contains(&part) {
            let (note, sql) = (note.to_owned(), sql.to_owned());
            (self.sink)(Statement { part, schema, table, batch, note, sql });
        }
    }
}

/// Gives every wanted statement to `sink`, in the order in which they run.
pub fn statements(
    lake: &Lake,
    parts: &[Part],
    (schema, table): (Option<&str>, Option<&str>),
    sink: &mut dyn FnMut(Statement),
) {
    let place = Default::default();
    let mut out = Out { parts, schema, table, sink, place };
    for part in Part::ALL.into_iter().filter(|part| parts.contains(part)) {
        match part {
            Part::Ddl => {
                ddl::schemas(lake, &mut out);
                ddl::tables(lake, &mut out);
            }
            Part::Load => load::batches(lake, &mut out),
            Part::Users => users::upserts(lake, &mut out),
            Part::Identity => identity::mappings(lake, &mut out),
            Part::Views => views::of_events(lake, &mut out),
            Part::Union => union::views(lake, &mut out),
            Part::Macros => views::macros(lake, &mut out),
        }
    }
}

/// The manifests by which Redshift reads the lake's files: name and content.
#[must_use]
pub fn manifests(lake: &Lake) -> Vec<load::Manifest> {
    load::manifests(lake)
}
