//! How the tables of a batch are opened, and opened again in the next ones.

use std::collections::HashSet;
use std::sync::Arc;

use super::builder::{Files, Part, Plan, Shared, Table, TableBuilder};
use super::unified_rows::UnifiedRows;
use super::{Error, Settings};
use crate::clock::Timestamp;
use crate::unified;
use crate::warehouse::{ColumnType, OTHER_EVENTS, TableKind};

/// Which table, and so which folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Home {
    /// A table of a source's schema; names in lower case.
    Schema {
        /// The schema.
        schema: String,
        /// The table.
        table: String,
    },
    /// A unified table.
    Unified {
        /// The environment.
        environment: String,
        /// Name of the block.
        name: String,
        /// Its generation.
        generation: u32,
    },
}

impl Home {
    fn name(&self) -> &str {
        match self {
            Self::Schema { table, .. } => table,
            Self::Unified { name, .. } => name,
        }
    }
}

/// Opens tables: the loader's link to registry, plan and local disk.
pub trait Open {
    /// Gives the newest schema of the table, or its planned parts, and where its files go. Called
    /// once a table and batch, when its first row comes.
    ///
    /// # Errors
    /// Whatever kept the loader from it; the range is given up.
    fn open(
        &mut self,
        home: &Home,
    ) -> Result<(Plan, Box<dyn Files>), Box<dyn std::error::Error + Send + Sync>>;

    /// Whether the table of an event's name may be opened; if not, its rows go to
    /// [`OTHER_EVENTS`]. Asked once a table and batch, unless it was opened in a batch before.
    ///
    /// # Errors
    /// As [`Open::open`].
    fn admits(&mut self, _home: &Home) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        Ok(true)
    }
}

/// A table's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Which table.
    pub home: Home,
    /// Its parts in order; none if it got no row.
    pub parts: Vec<Part>,
}

/// A table that is open, or was in a batch before.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) home: Home,
    kind: TableKind,
    is_open: bool,
    pub(super) builder: TableBuilder,
    /// What the bytes of all tables hold of it.
    bytes: u64,
    /// Set for unified tables.
    pub(super) unified: Option<UnifiedRows>,
}

impl Opened {
    /// Closes the table and says what was written.
    pub(super) fn finish(&mut self, shared: &mut Shared) -> Result<Finished, Error> {
        (self.is_open, self.bytes) = (false, 0);
        Ok(Finished { home: self.home.clone(), parts: self.builder.finish(shared)? })
    }

    /// About the bytes that it takes between two batches.
    pub(super) fn kept_bytes(&self) -> usize {
        let unified = self.unified.as_ref().map_or(0, UnifiedRows::kept_bytes);
        self.builder.kept_bytes() + unified
    }

    /// Counts the builder's bytes anew.
    pub(super) fn recount(&mut self, total: &mut u64) {
        let now = self.builder.bytes();
        *total = *total - self.bytes + now;
        self.bytes = now;
    }
}

/// What the tables of one batch are opened with.
pub(super) struct Opening {
    settings: Arc<Settings>,
    open: Box<dyn Open + Send>,
    /// The open tables, by their numbers, in the order in which they were opened.
    pub(super) order: Vec<usize>,
    /// Event tables that were not admitted; it stays so for the batch.
    refused: HashSet<Home>,
}

impl Opening {
    pub(super) fn new(settings: Settings, open: Box<dyn Open + Send>) -> Self {
        Self { settings: Arc::new(settings), open, order: Vec::new(), refused: HashSet::new() }
    }

    /// Opens the table of that number, which was open in a batch before, unless it is open now.
    ///
    /// # Errors
    /// [`Error::Open`].
    #[inline]
    pub(super) fn wake(
        &mut self,
        at: usize,
        tables: &mut [Opened],
        bytes: &mut u64,
    ) -> Result<(), Error> {
        match tables.get_mut(at) {
            Some(table) if !table.is_open => self.reopen((at, table), bytes),
            _ => Ok(()),
        }
    }

    #[cold]
    fn reopen(&mut self, (at, table): (usize, &mut Opened), bytes: &mut u64) -> Result<(), Error> {
        let (plan, files) = self.ask(&table.home)?;
        let Opened { home, kind, builder, unified, .. } = &mut *table;
        let as_it_was = match &plan {
            Plan::Cut(schema) => {
                let constants = constants(*kind, &self.settings);
                builder.reopen(Arc::clone(&self.settings), (&constants, schema), files)
            }
            Plan::Rewrite(_) => Some(files),
        };
        if let Some(files) = as_it_was {
            let described = describe(home, *kind, &self.settings);
            builder.open_anew(Arc::clone(&self.settings), described, plan, files);
            *unified = unified.take().map(|unified| UnifiedRows::new(builder, unified.block()));
        }
        table.is_open = true;
        table.recount(bytes);
        self.order.push(at);
        Ok(())
    }

    /// Opens a table that was in no batch before, as number `at`; `block` is that of a unified one.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub(super) fn first(
        &mut self,
        at: usize,
        (home, kind, block): (&Home, TableKind, Option<usize>),
        bytes: &mut u64,
    ) -> Result<Opened, Error> {
        let (plan, files) = self.ask(home)?;
        let described = describe(home, kind, &self.settings);
        let builder = TableBuilder::open(Arc::clone(&self.settings), described, plan, files);
        let unified = block.map(|block| UnifiedRows::new(&builder, block));
        let home = home.clone();
        let mut table = Opened { home, kind, is_open: true, builder, bytes: 0, unified };
        table.recount(bytes);
        self.order.push(at);
        Ok(table)
    }

    /// Whether the table of an event's name, which is not open, may be.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub(super) fn admits(&mut self, home: &Home) -> Result<bool, Error> {
        if home.name() == OTHER_EVENTS {
            return Ok(true);
        }
        if self.refused.contains(home) {
            return Ok(false);
        }
        let admitted = self.open.admits(home);
        let admitted =
            admitted.map_err(|source| Error::Open { table: home.name().to_owned(), source })?;
        if !admitted {
            self.refused.insert(home.clone());
        }
        Ok(admitted)
    }

    fn ask(&mut self, home: &Home) -> Result<(Plan, Box<dyn Files>), Error> {
        let asked = self.open.open(home);
        asked.map_err(|source| Error::Open { table: home.name().to_owned(), source })
    }
}

fn describe(home: &Home, kind: TableKind, settings: &Settings) -> Table {
    let initial = match home {
        Home::Schema { .. } => first_columns(kind),
        Home::Unified { .. } => {
            let core = unified::CORE.iter();
            core.map(|&(name, column_type, required)| (name.to_owned(), column_type, required))
                .collect()
        }
    };
    let constants = constants(kind, settings);
    Table { name: home.name().to_owned(), kind, initial, constants }
}

/// The columns that have the same time in every row of the batch.
fn constants(kind: TableKind, settings: &Settings) -> Vec<(&'static str, Timestamp)> {
    let names = match kind {
        TableKind::MergeRules => &[][..],
        _ if settings.loaded_at => &["uuid_ts", "loaded_at"],
        _ => &["uuid_ts"],
    };
    names.iter().map(|&name| (name, settings.batch_time)).collect()
}

/// The columns that every file of such a table has, whether a value comes or not, and which of them
/// are never empty.
fn first_columns(kind: TableKind) -> Vec<(String, ColumnType, bool)> {
    let id = ("id".to_owned(), ColumnType::String, true);
    let received_at = ("received_at".to_owned(), ColumnType::Datetime, true);
    let texts = |names: &[&str]| -> Vec<_> {
        names.iter().map(|name| ((*name).to_owned(), ColumnType::String, false)).collect()
    };
    match kind {
        TableKind::MergeRules => texts(&[
            "merge_property_1_type",
            "merge_property_1_value",
            "merge_property_2_type",
            "merge_property_2_value",
        ]),
        TableKind::Discards => vec![received_at],
        TableKind::Rejected => {
            let names = ["reason", "detail", "type", "event", "user_id", "anonymous_id", "payload"];
            [vec![id, received_at], texts(&names)].concat()
        }
        _ => vec![id, received_at],
    }
}
