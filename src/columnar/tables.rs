//! The open tables of a batch and the sink that fills them.
//!
//! The loader owns [`Tables`], gives it each event's [`Event`] and the mapper's cells, and closes it
//! when the range ends. A row goes to its own table and to every unified table that wants it; no
//! row objects in between.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::builder::{Files, Part, Plan, Pushes, Shared, Table, TableBuilder};
use super::draft::{Draft, Mark};
use super::familiar::Familiar;
use super::shapes::Shapes;
use super::sink::{self, Event, EventSink};
use super::unified_rows::UnifiedRows;
use super::{Error, Settings};
use crate::event::Tape;
use crate::record::Route;
use crate::unified::{self, Unified};
use crate::warehouse::{ColumnType, DISCARDS, Names, OTHER_EVENTS, Outline, TableId, TableKind};

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

    /// Whether the table of an event's name may be opened; if not, its rows go to
    /// [`OTHER_EVENTS`]. Asked once a table and batch.
    ///
    /// # Errors
    /// As [`Open::open`].
    fn admits(&mut self, _home: &Home) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        Ok(true)
    }
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

/// Tables of sources in one batch: a burst of event names ends the range, whether they get tables of
/// their own or not. Each takes some 200 bytes here and in the mapper.
const TARGETS_MAX: usize = 65_536;

/// Plans of rows that are kept: a few for each shape.
const PLANS_MAX: usize = 32_768;

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
    targets: HashMap<(RouteId, RowOf), Targets, foldhash::fast::RandomState>,
    /// Event tables that were not admitted; it stays so for the batch.
    refused: HashSet<Home>,
    /// Where rows of refused tables go besides, by the blocks that want them.
    others: HashMap<(RouteId, Vec<usize>), Arc<[UnifiedTarget]>>,
    /// Rows in [`OTHER_EVENTS`] for want of a table of their own, by source.
    pub(super) without_table: BTreeMap<String, u64>,
    pub(super) bytes: u64,
    pub(super) shared: Shared,
    pub(super) shapes: Shapes,
    pub(super) familiar: Familiar,
    pub(super) draft: Draft,
    /// Room for those of the shape that a way is looked for.
    pub(super) pushes: Pushes,
    /// Unified tables that have a row of the current event.
    pub(super) taken: Vec<usize>,
    /// Tables that the open row goes to: its own, then unified ones.
    pub(super) current: Vec<usize>,
    /// The text of the cell that is given to them.
    pub(super) given: String,
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
    /// Closes the table and says what was written.
    pub(super) fn finish(self, shared: &mut Shared) -> Result<Finished, Error> {
        Ok(Finished { home: self.home, parts: self.builder.finish(shared)? })
    }

    /// Counts the builder's bytes anew.
    pub(super) fn recount(&mut self, total: &mut u64) {
        let now = self.builder.bytes();
        *total = *total - self.bytes + now;
        self.bytes = now;
    }
}

/// What decides where a row goes, besides its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RowOf {
    /// Its table.
    table: TableId,
    /// Of `tracks` that of the event's own row, where a block leaves some events out.
    event: Option<TableId>,
}

/// Where the rows of one source's table go.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    /// Its own table, unless only unified ones are filled.
    pub(super) table: Option<usize>,
    /// Unified tables and, for each, what the row says of where it came from.
    pub(super) unified: Arc<[UnifiedTarget]>,
    /// Where to note that the table was not admitted.
    pub(super) discards: Option<usize>,
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
            refused: HashSet::new(),
            others: HashMap::new(),
            without_table: BTreeMap::new(),
            bytes: 0,
            shared: Shared::default(),
            shapes: Shapes::default(),
            familiar: Familiar::default(),
            draft: Draft::default(),
            pushes: Pushes::default(),
            taken: Vec::new(),
            current: Vec::new(),
            given: String::new(),
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
        self.draft.begin();
        EventSink::new(self, event)
    }

    /// Gives the rows of `event`, if its outline is that of one whose rows were given with
    /// [`EventSink::finish_like`]; false if they have to be made.
    ///
    /// # Errors
    /// As [`EventSink::finish`].
    pub fn give_familiar(
        &mut self,
        event: &Event<'_>,
        outline: &Outline,
        tape: &Tape<'_>,
    ) -> Result<bool, Error> {
        sink::give_familiar(self, event, outline, tape)
    }

    /// Bytes of all open row groups, counted from rows, and of the structures around them.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// If the tables together pass `memory` bytes, closes the largest row group. True if they are
    /// over half of it even then, or if events came with very many names: the range should end.
    ///
    /// # Errors
    /// What the open file says; the batch is void then.
    pub fn relieve(&mut self, memory: u64) -> Result<bool, Error> {
        let many = self.targets.len() >= TARGETS_MAX;
        self.drop_texts();
        if self.bytes <= memory {
            return Ok(many);
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
        Ok(many || self.bytes > memory / 2)
    }

    /// Forgets the texts that only closed row groups held, once they may be half of all.
    pub(super) fn drop_texts(&mut self) {
        // What the open row groups hold is no more than what is counted for them.
        if self.shared.texts.size() <= self.bytes.saturating_mul(2) + TEXT_BYTES_KEPT {
            return;
        }
        self.unstage();
        // Plans hold numbers of texts as well.
        self.shared.stage.forget_plans();
        self.forget_shapes();
        self.draft.forget_texts();
        let texts = &mut self.shared.texts;
        let mut renumbering = texts.renumber();
        for table in &mut self.tables {
            table.builder.renumber(&mut renumbering, texts);
        }
    }

    /// Gives the values of all rows that wait to their columns.
    pub fn unstage(&mut self) {
        for table in &mut self.tables {
            table.builder.unstage(&mut self.shared);
        }
        self.shared.stage.clear();
    }

    /// Rows of all tables whose values wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.tables.iter().map(|table| table.builder.staged_len()).sum()
    }

    /// Forgets what is known of events that came before.
    fn forget_shapes(&mut self) {
        self.shapes.clear();
        self.familiar.clear();
    }

    /// Makes room for the next event's values where too many wait.
    pub(super) fn bound_stage(&mut self) {
        self.shared.stage.make_room();
        if self.shared.stage.is_full() {
            self.unstage();
        }
        if self.shared.stage.plans_len() > PLANS_MAX {
            self.unstage();
            self.shared.stage.forget_plans();
            self.forget_shapes();
        }
    }

    /// Tables that have reached 80 % of the cap on columns, with their number of columns.
    pub fn near_cap(&self) -> impl Iterator<Item = (&Home, usize)> {
        self.tables.iter().filter_map(|table| Some((&table.home, table.builder.near_cap()?)))
    }

    /// Events so far that are in [`OTHER_EVENTS`] for want of a table of their own, by source.
    #[must_use]
    pub const fn without_table(&self) -> &BTreeMap<String, u64> {
        &self.without_table
    }

    /// Forgets the mapper's ids, when it gives them anew.
    pub fn forget_ids(&mut self) {
        self.targets.clear();
        self.forget_shapes();
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
        self.finish_and_clear().map(|(finished, _)| finished)
    }

    /// What decides where a row of `table` goes, of an event whose own row is in the table `event`.
    pub(super) fn row_of(&self, table: TableId, kind: TableKind, event: Option<TableId>) -> RowOf {
        let asks = kind == TableKind::Tracks
            && self.unified.blocks.iter().any(|block| !block.exclude_events.is_empty());
        RowOf { table, event: event.filter(|_| asks) }
    }

    pub(super) fn targets(
        &mut self,
        row: RowOf,
        kind: TableKind,
        names: &dyn Names,
        route_id: RouteId,
    ) -> Result<Targets, Error> {
        if let Some(targets) = self.targets.get(&(route_id, row)) {
            return Ok(targets.clone());
        }
        let id = row.table;
        let route = self.routes.get(route_id.0 as usize).cloned().unwrap_or_default();
        let name = names.table(id).to_ascii_lowercase();
        let home = Home::Schema { schema: route.schema.clone(), table: name.clone() };
        let refused = kind == TableKind::Event && !self.admits(&home)?;
        let (table, discards) = if self.only_unified {
            (None, None)
        } else if refused {
            let home = |table: &str| Home::Schema {
                schema: route.schema.clone(),
                table: table.to_owned(),
            };
            let discards = self.opened(home(DISCARDS), TableKind::Discards, None)?;
            (Some(self.opened(home(OTHER_EVENTS), kind, None)?), Some(discards))
        } else {
            (Some(self.opened(home, kind, None)?), None)
        };
        let blocks = self.unified.blocks.iter().enumerate();
        // Of events without a table of their own the caller knows the names, and judged them.
        let is_judged = self.only_unified && name == OTHER_EVENTS;
        let event = row.event.map(|event| names.table(event).to_ascii_lowercase());
        let wants = blocks.filter(|(_, block)| {
            is_judged
                || block.wants(&route, kind, &name)
                    && !event.as_ref().is_some_and(|event| block.excludes_event(event))
        });
        let wanted: Vec<usize> = wants.map(|(at, _)| at).collect();
        let unified = if refused {
            match self.others.get(&(route_id, wanted.clone())) {
                Some(known) => Arc::clone(known),
                None => {
                    let made = self.unified_targets(&route, &wanted, OTHER_EVENTS)?;
                    self.others.insert((route_id, wanted), Arc::clone(&made));
                    made
                }
            }
        } else {
            self.unified_targets(&route, &wanted, &name)?
        };
        let targets = Targets { table, unified, discards };
        self.targets.insert((route_id, row), targets.clone());
        Ok(targets)
    }

    /// Looks up where the columns of these cells are, as far as they are there.
    pub(super) fn look_up(&mut self, targets: &Targets, cells: &[Mark], names: &dyn Names) {
        let Self { tables, unified: plan, .. } = self;
        let columns = || cells.iter().map(|mark| mark.of_cell().0);
        if let Some(own) = targets.table.and_then(|at| tables.get_mut(at)) {
            own.builder.look_up(columns(), names);
        }
        for target in targets.unified.iter() {
            let Some(Opened { builder, unified: Some(unified), .. }) = tables.get_mut(target.table)
            else {
                continue;
            };
            for column in columns() {
                unified.look_up(builder, plan, column, names);
            }
        }
    }

    /// Whether the table of an event's name is open, or may be.
    fn admits(&mut self, home: &Home) -> Result<bool, Error> {
        let Home::Schema { table, .. } = home else { return Ok(true) };
        if self.only_unified || table == OTHER_EVENTS || self.by_home.contains_key(home) {
            return Ok(true);
        }
        if self.refused.contains(home) {
            return Ok(false);
        }
        let admitted = self.open.admits(home);
        let admitted = admitted.map_err(|source| Error::Open { table: table.clone(), source })?;
        if !admitted {
            self.refused.insert(home.clone());
        }
        Ok(admitted)
    }

    /// The unified tables of these blocks, for rows that are in `table` of their schema.
    fn unified_targets(
        &mut self,
        route: &Route,
        blocks: &[usize],
        table: &str,
    ) -> Result<Arc<[UnifiedTarget]>, Error> {
        let plan = Arc::clone(&self.unified);
        let mut targets = Vec::with_capacity(blocks.len());
        for &at in blocks {
            let Some(block) = plan.blocks.get(at) else { continue };
            let home = Home::Unified {
                environment: route.environment.clone(),
                name: block.name.clone(),
                generation: block.generation,
            };
            targets.push(UnifiedTarget {
                table: self.opened(home, TableKind::Event, Some(at))?,
                table_name: table.to_owned(),
                relation: unified::relation(&route.schema, table),
            });
        }
        Ok(targets.into())
    }

    /// The targets that were asked for before.
    pub(super) fn known_targets(&self, row: RowOf, route: RouteId) -> Option<Targets> {
        self.targets.get(&(route, row)).cloned()
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
