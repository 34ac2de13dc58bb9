//! The open tables of a batch and the sink that fills them.
//!
//! The loader owns [`Tables`], gives it each event's [`Event`] and the mapper's cells, and closes it
//! when the range ends. A row goes to its own table and to every unified table that wants it; no
//! row objects in between.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::builder::{Pushes, Shared};
use super::draft::{Draft, Mark};
use super::familiar::Familiar;
use super::opening::{Finished, Home, Open, Opened, Opening};
use super::shapes::Shapes;
use super::sink::{self, Event, EventSink};
use super::{Error, Settings};
use crate::event::Tape;
use crate::record::Route;
use crate::unified::{self, Unified};
use crate::warehouse::{DISCARDS, Names, OTHER_EVENTS, Outline, TableId, TableKind};

/// A source known to [`Tables`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteId(pub(super) u32);

/// Tables of sources in one batch: a burst of event names ends the range, whether they get tables of
/// their own or not. Each takes some 200 bytes here and in the mapper.
const TARGETS_MAX: usize = 65_536;

/// Bytes of texts that may stay beyond what the open row groups can hold.
const TEXT_BYTES_KEPT: u64 = if cfg!(test) { 1 << 10 } else { 4 << 20 };

/// The tables of one batch.
pub struct Tables {
    pub(super) opening: Opening,
    pub(super) unified: Arc<Unified>,
    /// Rows go to unified tables only.
    only_unified: bool,
    pub(super) routes: Vec<Route>,
    /// Those that are open, and those of batches before.
    pub(super) tables: Vec<Opened>,
    pub(super) by_home: HashMap<Home, usize>,
    pub(super) targets: AllTargets,
    pub(super) others: Others,
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

/// Where the rows of all sources' tables go.
pub(super) type AllTargets = HashMap<(RouteId, RowOf), Targets, foldhash::fast::RandomState>;

/// Where those without a table of their own go besides, by the blocks that want them.
pub(super) type Others = HashMap<(RouteId, Vec<usize>), Arc<[UnifiedTarget]>>;

/// What decides where a row goes, besides its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RowOf {
    /// Its table, and what the row is there: events may be in a table of another kind, too.
    table: TableId,
    kind: TableKind,
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
            opening: Opening::new(settings, open),
            unified,
            only_unified: false,
            routes: Vec::new(),
            tables: Vec::new(),
            by_home: HashMap::new(),
            targets: HashMap::default(),
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
        let of_open = |at: &usize| {
            let builder = &self.tables.get(*at)?.builder;
            (builder.open_rows() > 0).then(|| (builder.bytes(), *at))
        };
        let open = self.opening.order.iter().rev().filter_map(of_open);
        let largest = open.max_by_key(|(bytes, _)| *bytes);
        if let Some(table) = largest.and_then(|(_, at)| self.tables.get_mut(at)) {
            table.builder.close_row_group(&mut self.shared)?;
            table.recount(&mut self.bytes);
            self.drop_texts();
        }
        Ok(many || self.bytes > memory / 2)
    }

    /// Forgets the texts that only closed row groups held, once they may be half of all.
    pub(super) fn drop_texts(&mut self) {
        // What the open row groups hold is no more than what is counted for them, and what is known
        // of events stays.
        let Shared { texts, stage, .. } = &self.shared;
        let kept = stage.constants.bytes_in_texts() + self.familiar.bytes_in_texts();
        if texts.size() <= self.bytes.saturating_mul(2) + kept + TEXT_BYTES_KEPT {
            return;
        }
        self.unstage();
        self.draft.forget_texts();
        let Shared { texts, stage, .. } = &mut self.shared;
        let mut renumbering = texts.renumber();
        for table in &mut self.tables {
            table.builder.renumber(&mut renumbering, texts);
        }
        stage.constants.renumber(texts);
        self.familiar.renumber(texts);
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
        if self.shared.stage.has_many_plans() {
            self.unstage();
            self.shared.stage.forget_plans();
            self.forget_shapes();
        }
    }

    /// Tables that have reached 80 % of the cap on columns, with their number of columns.
    pub fn near_cap(&self) -> impl Iterator<Item = (&Home, usize)> {
        let open = self.opening.order.iter().filter_map(|&at| self.tables.get(at));
        open.filter_map(|table| Some((&table.home, table.builder.near_cap()?)))
    }

    /// Events so far that are in [`OTHER_EVENTS`] for want of a table of their own, by source.
    #[must_use]
    pub const fn without_table(&self) -> &BTreeMap<String, u64> {
        &self.without_table
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
        RowOf { table, kind, event: event.filter(|_| asks) }
    }

    pub(super) fn targets(
        &mut self,
        row: RowOf,
        names: &dyn Names,
        route_id: RouteId,
    ) -> Result<Targets, Error> {
        let targets = match self.targets.get(&(route_id, row)) {
            Some(known) => known.clone(),
            None => {
                let new = self.new_targets(row, names, route_id)?;
                self.targets.insert((route_id, row), new.clone());
                new
            }
        };
        // What is known, also of those without a table of their own, may be of a batch before.
        self.wake(&targets)?;
        Ok(targets)
    }

    fn new_targets(
        &mut self,
        row: RowOf,
        names: &dyn Names,
        route_id: RouteId,
    ) -> Result<Targets, Error> {
        let RowOf { table: id, kind, .. } = row;
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
        Ok(Targets { table, unified, discards })
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
        Ok(self.only_unified || self.by_home.contains_key(home) || self.opening.admits(home)?)
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

    /// Opens the tables that were open in a batch before only, in the order of the first time.
    fn wake(&mut self, targets: &Targets) -> Result<(), Error> {
        let Self { opening, tables, bytes, .. } = self;
        let unified = targets.unified.iter().map(|target| target.table);
        let all = targets.discards.into_iter().chain(targets.table).chain(unified);
        all.into_iter().try_for_each(|at| opening.wake(at, tables, bytes))
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
        let Self { opening, tables, bytes, .. } = self;
        if let Some(&at) = self.by_home.get(&home) {
            opening.wake(at, tables, bytes)?;
            return Ok(at);
        }
        let at = tables.len();
        tables.push(opening.first(at, (&home, kind, block), bytes)?);
        self.by_home.insert(home, at);
        Ok(at)
    }
}
