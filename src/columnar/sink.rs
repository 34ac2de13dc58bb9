//! The sink that sends an event's cells to its own tables and to the unified ones.

use super::Error;
use super::builder::Given;
use super::overflow::Leaves;
use super::tables::{Opened, RouteId, Tables};
use crate::warehouse::{Cell, ColumnId, Names, Scalar, Sink, TABLE_LIMIT, TableId, TableKind};

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

/// Takes the rows of one event.
pub struct EventSink<'t> {
    tables: &'t mut Tables,
    event: Event<'t>,
    error: Option<Error>,
    /// The open row is one of a table that was not admitted.
    refused: Option<Refused>,
}

/// What is noted of a table that was not admitted.
struct Refused {
    /// Where its row is.
    table: usize,
    /// Where that is noted.
    discards: usize,
    /// Its name.
    name: String,
}

impl std::fmt::Debug for EventSink<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventSink").field("event", &self.event).finish_non_exhaustive()
    }
}

impl<'t> EventSink<'t> {
    pub(super) const fn new(tables: &'t mut Tables, event: Event<'t>) -> Self {
        Self { tables, event, error: None, refused: None }
    }

    /// Ends the last row.
    ///
    /// # Errors
    /// The first fault of any row of the event: nothing of the range may be kept then.
    pub fn finish(mut self) -> Result<(), Error> {
        self.end_row();
        self.error.map_or(Ok(()), Err)
    }

    fn begin_row(&mut self, names: &dyn Names, id: TableId, kind: TableKind) -> Result<(), Error> {
        let targets = self.tables.targets(id, kind, names, self.event.route)?;
        let tables = &mut *self.tables;
        if let Some(at) = targets.table
            && let Some(own) = tables.tables.get_mut(at)
        {
            own.builder.begin_row(self.event.received_at);
            tables.current.push(at);
            self.refused = targets.discards.map(|discards| {
                let name = names.table(id).to_ascii_lowercase();
                Refused { table: at, discards, name }
            });
        }
        for target in targets.unified.iter() {
            if tables.taken.contains(&target.table) {
                continue;
            }
            let route = tables.routes.get(self.event.route.0 as usize);
            let opened = tables.tables.get_mut(target.table);
            if let (Some(route), Some(Opened { builder, unified: Some(unified), .. })) =
                (route, opened)
            {
                let texts = &mut tables.shared.texts;
                unified.begin_row((builder, texts), &self.event, kind, route);
                let lineage = [&route.schema, &target.table_name, &target.relation];
                unified.fill_lineage((builder, texts), lineage.map(String::as_str));
                tables.taken.push(target.table);
                tables.current.push(target.table);
            }
        }
        Ok(())
    }

    fn end_row(&mut self) {
        if let Some(refused) = self.refused.take()
            && let (Err(error), None) = (self.note_refused(&refused), &self.error)
        {
            self.error = Some(error);
        }
        let tables = &mut *self.tables;
        for at in tables.current.drain(..) {
            let Some(table) = tables.tables.get_mut(at) else { continue };
            if let Some(unified) = &mut table.unified {
                let to = (&mut table.builder, &mut tables.shared.texts);
                unified.end_row(to, &tables.unified, self.event.leaves);
            }
            let ended = table.builder.end_row(&mut tables.shared);
            table.recount(&mut tables.bytes);
            if let (Err(error), None) = (ended, &self.error) {
                self.error = Some(error);
            }
        }
    }
}

impl EventSink<'_> {
    /// Says in `rudder_discards` that the open row's event has no table of its own.
    #[cold]
    fn note_refused(&mut self, refused: &Refused) -> Result<(), Error> {
        let tables = &mut *self.tables;
        let Some(row) = tables.tables.get(refused.table) else { return Ok(()) };
        let text = |column| row.builder.text(column, &tables.shared.texts).to_owned();
        let (id, event) = (text("id"), text("event"));
        if let Some(route) = tables.routes.get(self.event.route.0 as usize) {
            match tables.without_table.get_mut(&route.source_id) {
                Some(count) => *count += 1,
                None => drop(tables.without_table.insert(route.source_id.clone(), 1)),
            }
        }
        let Some(discards) = tables.tables.get_mut(refused.discards) else { return Ok(()) };
        discards.builder.begin_row(self.event.received_at);
        for (column, text) in [
            ("column_name", "event"),
            ("column_value", &event),
            ("reason", TABLE_LIMIT),
            ("row_id", &id),
            ("table_name", &refused.name),
        ] {
            let cell = Cell { value: Scalar::Text(text), text, origin: u32::MAX };
            let given = &mut Given::new(&cell);
            let texts = &mut tables.shared.texts;
            discards.builder.cell_named(column, given, texts, self.event.leaves);
        }
        let ended = discards.builder.end_row(&mut tables.shared);
        discards.recount(&mut tables.bytes);
        ended
    }
}

impl Sink for EventSink<'_> {
    fn row(&mut self, names: &dyn Names, table: TableId, kind: TableKind) {
        self.end_row();
        if self.error.is_none()
            && let Err(error) = self.begin_row(names, table, kind)
        {
            self.error = Some(error);
        }
    }

    #[inline]
    fn cell(&mut self, names: &dyn Names, column: ColumnId, cell: Cell<'_>) {
        let tables = &mut *self.tables;
        let leaves = self.event.leaves;
        let (given, texts) = (&mut Given::new(&cell), &mut tables.shared.texts);
        for &at in &tables.current {
            let Some(table) = tables.tables.get_mut(at) else { continue };
            match &mut table.unified {
                None => {
                    table.builder.cell(column, || names.column(column), given, texts, leaves);
                }
                Some(unified) => unified.cell(
                    (&mut table.builder, texts),
                    &tables.unified,
                    (column, names),
                    given,
                    leaves,
                ),
            }
        }
    }
}
