//! The open tables of a batch and the sink that fills them.
//!
//! The loader owns [`Tables`], gives it each event's [`Event`] and the mapper's cells, and closes it
//! when the range ends. A row goes to its own table and to every unified table that wants it; no
//! row objects in between.

use std::collections::HashMap;
use std::sync::Arc;

use super::builder::{Files, Part, Plan, Shared, Table, TableBuilder};
use super::sink::{Event, EventSink};
use super::unified_rows::UnifiedRows;
use super::{Error, Settings};
use crate::record::Route;
use crate::unified::{self, Unified};
use crate::warehouse::{ColumnType, Names, TableId, TableKind};

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
}

/// A source known to [`Tables`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteId(pub(super) u32);

/// A table's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Which table.
    pub home: Home,
    /// Its parts in order; none if it got no row.
    pub parts: Vec<Part>,
}

/// Bytes of texts that may stay beyond what the open row groups can hold.
const TEXT_BYTES_KEPT: u64 = 4 << 20;

/// The open tables of one batch.
pub struct Tables {
    settings: Arc<Settings>,
    pub(super) unified: Arc<Unified>,
    /// Rows go to unified tables only.
    only_unified: bool,
    open: Box<dyn Open + Send>,
    pub(super) routes: Vec<Route>,
    pub(super) tables: Vec<Opened>,
    by_home: HashMap<Home, usize>,
    targets: HashMap<(RouteId, TableId), Targets, foldhash::fast::RandomState>,
    pub(super) bytes: u64,
    pub(super) shared: Shared,
    /// Unified tables that have a row of the current event.
    pub(super) taken: Vec<usize>,
    /// Tables that the open row goes to: its own, then unified ones.
    pub(super) current: Vec<usize>,
}

/// One open table.
#[derive(Debug)]
pub(super) struct Opened {
    home: Home,
    pub(super) builder: TableBuilder,
    /// What [`Tables::bytes`] holds of it.
    bytes: u64,
    /// Set for unified tables.
    pub(super) unified: Option<UnifiedRows>,
}

impl Opened {
    /// Counts the builder's bytes anew.
    pub(super) fn recount(&mut self, total: &mut u64) {
        let now = self.builder.bytes();
        *total = *total - self.bytes + now;
        self.bytes = now;
    }
}

/// Where the rows of one source's table go.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    /// Its own table, unless only unified ones are filled.
    pub(super) table: Option<usize>,
    /// Unified tables and, for each, what the row says of where it came from.
    pub(super) unified: Arc<[UnifiedTarget]>,
}

#[derive(Debug)]
pub(super) struct UnifiedTarget {
    pub(super) table: usize,
    pub(super) table_name: String,
    pub(super) relation: String,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables")
            .field("tables", &self.tables.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Tables {
    /// No table is open yet.
    #[must_use]
    pub fn new(settings: Settings, unified: Arc<Unified>, open: Box<dyn Open + Send>) -> Self {
        Self {
            settings: Arc::new(settings),
            unified,
            only_unified: false,
            open,
            routes: Vec::new(),
            tables: Vec::new(),
            by_home: HashMap::new(),
            targets: HashMap::default(),
            bytes: 0,
            shared: Shared::default(),
            taken: Vec::new(),
            current: Vec::new(),
        }
    }

    /// As [`Tables::new`], for rows that are in their own tables already.
    #[must_use]
    pub fn only_unified(
        settings: Settings,
        unified: Arc<Unified>,
        open: Box<dyn Open + Send>,
    ) -> Self {
        Self { only_unified: true, ..Self::new(settings, unified, open) }
    }

    /// Makes a source known. The caller keeps the id: a route is looked up once, not per event.
    pub fn route(&mut self, route: &Route) -> RouteId {
        let at = self.routes.iter().position(|known| known == route).unwrap_or_else(|| {
            self.routes.push(route.clone());
            self.routes.len() - 1
        });
        RouteId(u32::try_from(at).unwrap_or(u32::MAX))
    }

    /// The sink for the rows of `event`; end it with [`EventSink::finish`].
    pub fn event<'t>(&'t mut self, event: Event<'t>) -> EventSink<'t> {
        self.taken.clear();
        self.current.clear();
        EventSink::new(self, event)
    }

    /// Bytes of all open row groups, counted from rows, and of the structures around them.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// If the tables together pass `memory` bytes, closes the largest row group. True if they are
    /// over half of it even then: many tables, the range should end.
    ///
    /// # Errors
    /// What the open file says; the batch is void then.
    pub fn relieve(&mut self, memory: u64) -> Result<bool, Error> {
        if self.bytes <= memory {
            return Ok(false);
        }
        // The first of equals, so that the choice depends on the rows alone.
        let largest = self
            .tables
            .iter_mut()
            .filter(|table| table.builder.open_rows() > 0)
            .rev()
            .max_by_key(|table| table.builder.bytes());
        if let Some(table) = largest {
            table.builder.close_row_group(&mut self.shared)?;
            table.recount(&mut self.bytes);
            self.drop_texts();
        }
        Ok(self.bytes > memory / 2)
    }

    /// Forgets the texts that only closed row groups held, once they may be half of all.
    pub(super) fn drop_texts(&mut self) {
        // What the open row groups hold is no more than what is counted for them.
        if self.shared.texts.size() <= self.bytes.saturating_mul(2) + TEXT_BYTES_KEPT {
            return;
        }
        let texts = &mut self.shared.texts;
        let mut renumbering = texts.renumber();
        for table in &mut self.tables {
            table.builder.renumber(&mut renumbering, texts);
        }
    }

    /// Tables that have reached 80 % of the cap on columns, with their number of columns.
    pub fn near_cap(&self) -> impl Iterator<Item = (&Home, usize)> {
        self.tables.iter().filter_map(|table| Some((&table.home, table.builder.near_cap()?)))
    }

    /// Forgets the mapper's ids, when it gives them anew.
    pub fn forget_ids(&mut self) {
        self.targets.clear();
        for table in &mut self.tables {
            table.builder.forget_ids();
            if let Some(unified) = &mut table.unified {
                unified.forget_ids();
            }
        }
    }

    /// Closes all tables, in the order in which they were opened.
    ///
    /// # Errors
    /// A file that cannot be written, or rows that are not those of the plan.
    pub fn finish(self) -> Result<Vec<Finished>, Error> {
        let Self { tables, mut shared, .. } = self;
        let finished = |Opened { home, builder, .. }: Opened| {
            Ok(Finished { home, parts: builder.finish(&mut shared)? })
        };
        tables.into_iter().map(finished).collect()
    }

    pub(super) fn targets(
        &mut self,
        id: TableId,
        kind: TableKind,
        names: &dyn Names,
        route_id: RouteId,
    ) -> Result<Targets, Error> {
        if let Some(targets) = self.targets.get(&(route_id, id)) {
            return Ok(targets.clone());
        }
        let route = self.routes.get(route_id.0 as usize).cloned().unwrap_or_default();
        let name = names.table(id).to_ascii_lowercase();
        let home = Home::Schema { schema: route.schema.clone(), table: name.clone() };
        let table = if self.only_unified { None } else { Some(self.opened(home, kind, None)?) };
        let plan = Arc::clone(&self.unified);
        let mut unified = Vec::new();
        for (at, block) in plan.blocks.iter().enumerate() {
            if block.wants(&route, kind, &name) {
                let home = Home::Unified {
                    environment: route.environment.clone(),
                    name: block.name.clone(),
                    generation: block.generation,
                };
                unified.push(UnifiedTarget {
                    table: self.opened(home, TableKind::Event, Some(at))?,
                    table_name: name.clone(),
                    relation: unified::relation(&route.schema, &name),
                });
            }
        }
        let targets = Targets { table, unified: unified.into() };
        self.targets.insert((route_id, id), targets.clone());
        Ok(targets)
    }

    fn opened(
        &mut self,
        home: Home,
        kind: TableKind,
        block: Option<usize>,
    ) -> Result<usize, Error> {
        if let Some(&at) = self.by_home.get(&home) {
            return Ok(at);
        }
        let name = match &home {
            Home::Schema { table, .. } => table.clone(),
            Home::Unified { name, .. } => name.clone(),
        };
        let (plan, files) =
            self.open.open(&home).map_err(|source| Error::Open { table: name.clone(), source })?;
        let mut constants = Vec::new();
        if kind != TableKind::MergeRules {
            constants.push(("uuid_ts".to_owned(), self.settings.batch_time));
            if self.settings.loaded_at {
                constants.push(("loaded_at".to_owned(), self.settings.batch_time));
            }
        }
        let initial = if block.is_some() {
            unified::CORE
                .iter()
                .map(|&(name, column_type, required)| (name.to_owned(), column_type, required))
                .collect()
        } else {
            first_columns(kind)
        };
        let table = Table { name, kind, initial, constants };
        let builder = TableBuilder::open(Arc::clone(&self.settings), table, plan, files);
        let unified = block.map(|block| UnifiedRows::new(&builder, block));
        let bytes = builder.bytes();
        self.bytes += bytes;
        self.tables.push(Opened { home: home.clone(), builder, bytes, unified });
        self.by_home.insert(home, self.tables.len() - 1);
        Ok(self.tables.len() - 1)
    }
}

/// The columns that every file of such a table has, and none of them empty.
fn first_columns(kind: TableKind) -> Vec<(String, ColumnType, bool)> {
    let id = ("id".to_owned(), ColumnType::String, true);
    let received_at = ("received_at".to_owned(), ColumnType::Datetime, true);
    match kind {
        TableKind::MergeRules => Vec::new(),
        TableKind::Discards => vec![received_at],
        _ => vec![id, received_at],
    }
}
