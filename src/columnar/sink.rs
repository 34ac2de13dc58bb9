//! The sink that sends an event's cells to its own tables and to the unified ones.
//!
//! The rows are kept until the event ends. If all columns of its shape are there and certain to take
//! them, its values are left to be given to their columns later, all of a table at once; any other event is
//! given to its tables cell by cell.

mod ways;

use self::ways::Stores;
use super::Error;
use super::builder::Given;
use super::draft::{Draft, Mark, Row};
use super::opening::Opened;
use super::overflow::Leaves;
use super::shapes::Known;
use super::tables::{RouteId, Tables, Targets, UnifiedTarget};
use crate::event::Tape;
use crate::warehouse::{
    Cell, ColumnId, Compared, Names, Outline, Scalar, Sink, TABLE_LIMIT, TableId, TableKind,
};

/// An event whose rows come next.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    /// Its source.
    pub route: RouteId,
    /// Its type in lower case, for the core column `type`.
    pub event_type: &'a str,
    /// Arrival in microseconds since 1970.
    pub received_at: i64,
    /// Where its cells come from: usually its tape.
    pub leaves: &'a dyn Leaves,
}

impl std::fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event").field("route", &self.route).finish_non_exhaustive()
    }
}

/// What other events may be like: an outline with its tape, and which texts are the same or not.
type Like<'l> = ((&'l Outline, &'l Tape<'l>), &'l [Compared]);

/// Takes the rows of one event.
pub struct EventSink<'t> {
    tables: &'t mut Tables,
    event: Event<'t>,
}

impl std::fmt::Debug for EventSink<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventSink").field("event", &self.event).finish_non_exhaustive()
    }
}

impl Sink for EventSink<'_> {
    fn row(&mut self, _: &dyn Names, table: TableId, kind: TableKind) {
        self.tables.draft.row(table, kind);
    }

    #[inline]
    fn cell(&mut self, _: &dyn Names, column: ColumnId, cell: Cell<'_>) {
        let Tables { draft, shared, .. } = &mut *self.tables;
        draft.cell(column, &cell, &mut shared.texts);
    }
}

impl<'t> EventSink<'t> {
    pub(super) const fn new(tables: &'t mut Tables, event: Event<'t>) -> Self {
        Self { tables, event }
    }

    /// Ends the event; `names` are those that its rows were given with.
    ///
    /// # Errors
    /// The first fault of any row of the event: nothing of the range may be kept then.
    pub fn finish(self, names: &dyn Names) -> Result<(), Error> {
        self.end(names, None)
    }

    /// As [`EventSink::finish`], of an event with this outline on this tape: the rows of others like
    /// it, for which `compared` is so as well, need not be made. To be asked only if the rows hang on
    /// nothing else.
    ///
    /// # Errors
    /// As [`EventSink::finish`].
    pub fn finish_like(
        self,
        names: &dyn Names,
        outline: (&Outline, &Tape<'_>),
        compared: &[Compared],
    ) -> Result<(), Error> {
        self.end(names, Some((outline, compared)))
    }

    fn end(self, names: &dyn Names, like: Option<Like<'_>>) -> Result<(), Error> {
        let Self { tables, event } = self;
        let draft = std::mem::take(&mut tables.draft);
        let finished = finish(tables, &event, &draft, names);
        if let (Ok(Some(shape)), Some((outline, compared))) = (&finished, like) {
            let Tables { familiar, shared, .. } = tables;
            familiar.keep(event.route, outline, (*shape, &draft), (compared, &mut shared.texts));
        }
        tables.draft = draft;
        finished.map(drop)
    }
}

/// As [`Tables::give_familiar`].
pub(super) fn give_familiar(
    tables: &mut Tables,
    event: &Event<'_>,
    outline: &Outline,
    tape: &Tape<'_>,
) -> Result<bool, Error> {
    tables.bound_stage();
    let Tables { opening, tables, shapes, shared, bytes, familiar, .. } = tables;
    let Some((shape, mut found)) = familiar.find(event.route, outline, tape) else {
        return Ok(false);
    };
    ways::leave(Stores { opening, tables, shapes, shared, bytes }, event, &mut found, shape)
}

/// Gives the rows to their tables; returns the number of their shape, if they were left by its way.
fn finish(
    tables: &mut Tables,
    event: &Event<'_>,
    draft: &Draft,
    names: &dyn Names,
) -> Result<Option<usize>, Error> {
    let known = tables.shapes.find(event.route, event.event_type, draft.marks());
    let left = match known {
        Known::Way(at) => {
            tables.bound_stage();
            if leave(tables, event, draft, at)? {
                return Ok(Some(at));
            }
            tables.shapes.drop_way(at);
            foresee(tables, event, draft, names)?
        }
        Known::Untried => foresee(tables, event, draft, names)?,
        Known::NoWay => None,
    };
    if left.is_some() {
        return Ok(left);
    }
    tables.taken.clear();
    for (row, cells) in draft.rows() {
        let row_of = tables.row_of(row.table, row.kind, draft.event_table());
        let targets = tables.targets(row_of, names, event.route)?;
        begin_row(tables, event, row, &targets);
        for mark in cells {
            give(tables, event, draft, *mark, names);
        }
        if let (Some(own), Some(discards)) = (targets.table, targets.discards) {
            let name = names.table(row.table).to_ascii_lowercase();
            note_refused(tables, event, &name, (own, discards))?;
        }
        end_row(tables, event)?;
    }
    if known != Known::NoWay {
        let way = ways::find(tables, event, draft);
        tables.shapes.keep(event.route, event.event_type, draft.marks(), way);
        tables.bound_stage();
    }
    Ok(None)
}

/// Leaves the values of an event of a new shape, if all its columns are there and certain to take them:
/// those of batches before are. Returns the number of the shape then.
fn foresee(
    tables: &mut Tables,
    event: &Event<'_>,
    draft: &Draft,
    names: &dyn Names,
) -> Result<Option<usize>, Error> {
    for (row, cells) in draft.rows() {
        let row_of = tables.row_of(row.table, row.kind, draft.event_table());
        let targets = tables.targets(row_of, names, event.route)?;
        tables.look_up(&targets, cells, names);
    }
    tables.bound_stage();
    let Some(way) = ways::find(tables, event, draft) else { return Ok(None) };
    let at = tables.shapes.keep(event.route, event.event_type, draft.marks(), Some(way));
    Ok(leave(tables, event, draft, at)?.then_some(at))
}

/// As [`ways::leave`].
fn leave(
    tables: &mut Tables,
    event: &Event<'_>,
    draft: &Draft,
    shape: usize,
) -> Result<bool, Error> {
    let Tables { opening, tables, shapes, shared, bytes, .. } = tables;
    ways::leave(Stores { opening, tables, shapes, shared, bytes }, event, &mut &*draft, shape)
}

/// Starts a row in its own table and in the unified ones that have none of the event yet.
fn begin_row(tables: &mut Tables, event: &Event<'_>, row: Row, targets: &Targets) {
    let Tables { tables, taken, current, routes, shared, .. } = tables;
    current.clear();
    if let Some(at) = targets.table
        && let Some(own) = tables.get_mut(at)
    {
        own.builder.unstage(shared);
        own.builder.begin_row(event.received_at);
        current.push(at);
    }
    let Some(route) = routes.get(event.route.0 as usize) else { return };
    for UnifiedTarget { table, table_name, relation } in targets.unified.iter() {
        if taken.contains(table) {
            continue;
        }
        if let Some(Opened { builder, unified: Some(unified), .. }) = tables.get_mut(*table) {
            builder.unstage(shared);
            let texts = &mut shared.texts;
            unified.begin_row((builder, texts), event, row.kind, route);
            unified.fill_lineage((builder, texts), [&route.schema, table_name, relation]);
            taken.push(*table);
            current.push(*table);
        }
    }
}

/// Gives a cell of the row to its tables.
fn give(tables: &mut Tables, event: &Event<'_>, draft: &Draft, mark: Mark, names: &dyn Names) {
    let Tables { tables, current, shared, unified: plan, given: text, .. } = tables;
    let (column, place) = mark.of_cell();
    let Some(value) = draft.value(place) else { return };
    // The text stands where the tables may add more of them.
    text.clear();
    text.push_str(std::str::from_utf8(draft.text(value, &shared.texts)).unwrap_or_default());
    let cell = value.cell(text);
    let given = &mut Given::numbered(&cell, value.number);
    for &at in &*current {
        let Some(table) = tables.get_mut(at) else { continue };
        let (builder, texts) = (&mut table.builder, &mut shared.texts);
        match &mut table.unified {
            None => builder.cell(column, || names.column(column), given, texts, event.leaves),
            Some(unified) => {
                unified.cell((builder, texts), plan, (column, names), given, event.leaves);
            }
        }
    }
}

/// Says in `rudder_discards` that the event of the open row has no table of its own, called `name`:
/// its row is in the first of these tables, and that is noted in the second.
#[cold]
fn note_refused(
    tables: &mut Tables,
    event: &Event<'_>,
    name: &str,
    (own, discards): (usize, usize),
) -> Result<(), Error> {
    let Tables { tables, routes, without_table, shared, bytes, .. } = tables;
    let Some(row) = tables.get(own) else { return Ok(()) };
    let text = |column| row.builder.text(column, &shared.texts).to_owned();
    let (id, of_event) = (text("id"), text("event"));
    if let Some(route) = routes.get(event.route.0 as usize) {
        match without_table.get_mut(&route.source_id) {
            Some(count) => *count += 1,
            None => drop(without_table.insert(route.source_id.clone(), 1)),
        }
    }
    let Some(noted) = tables.get_mut(discards) else { return Ok(()) };
    noted.builder.unstage(shared);
    noted.builder.begin_row(event.received_at);
    for (column, text) in [
        ("column_name", "event"),
        ("column_value", &of_event),
        ("reason", TABLE_LIMIT),
        ("row_id", &id),
        ("table_name", name),
    ] {
        let cell = Cell { value: Scalar::Text(text), text, origin: u32::MAX };
        noted.builder.cell_named(column, &mut Given::new(&cell), &mut shared.texts, event.leaves);
    }
    noted.builder.end_row(shared)?;
    noted.recount(bytes);
    Ok(())
}

fn end_row(tables: &mut Tables, event: &Event<'_>) -> Result<(), Error> {
    let Tables { tables, current, shared, unified: plan, bytes, .. } = tables;
    for at in current.drain(..) {
        let Some(table) = tables.get_mut(at) else { continue };
        if let Some(unified) = &mut table.unified {
            unified.end_row((&mut table.builder, &mut shared.texts), plan, event.leaves);
        }
        table.builder.end_row(shared)?;
        table.recount(bytes);
    }
    Ok(())
}
