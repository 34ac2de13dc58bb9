//! How an event of a known shape goes to its tables, and how that is found.

use super::Event;
use crate::columnar::Error;
use crate::columnar::builder::{Planned, Planning, Push, Pushes, Shared, Uncertain};
use crate::columnar::draft::{Draft, Mark, Row};
use crate::columnar::opening::{Opened, Opening};
use crate::columnar::shapes::{Shapes, Way, WayRow};
use crate::columnar::stage::Waiting;
use crate::columnar::tables::Tables;
use crate::columnar::texts::Texts;
use crate::columnar::unified_rows::{self, Member};
use crate::columnar::values::Values;
use crate::unified::{self, Platform, of_library, of_user_agent};

/// What an event's values go to.
pub(super) struct Stores<'t> {
    pub(super) opening: &'t mut Opening,
    pub(super) tables: &'t mut [Opened],
    pub(super) shapes: &'t Shapes,
    pub(super) shared: &'t mut Shared,
    pub(super) bytes: &'t mut u64,
}

/// Leaves the values of an event to be given to their columns later; false if the way of its shape
/// does not hold any more.
///
/// # Errors
/// As [`Opening::wake`], and what a row group says that is full.
pub(super) fn leave(
    stores: Stores<'_>,
    event: &Event<'_>,
    values: &mut impl Values,
    shape: usize,
) -> Result<bool, Error> {
    let Stores { opening, tables, shapes, shared, bytes } = stores;
    let Some(way) = shapes.way(shape) else { return Ok(false) };
    for row in &way.rows {
        opening.wake(row.table, tables, bytes)?;
    }
    let holds = |row: &WayRow| {
        tables.get(row.table).is_some_and(|table| table.builder.turns() == row.turns)
    };
    if !way.rows.iter().all(holds) {
        return Ok(false);
    }
    let first = shared.stage.next(0);
    for push in &way.numbers {
        let number = number_of(*push, values, &mut shared.texts);
        shared.stage.numbers.push(number);
    }
    shared.stage.bits.extend(way.bits.iter().map(|push| bits_of(*push, event, values)));
    for row in &way.rows {
        let Some(table) = tables.get_mut(row.table) else { continue };
        let lengths = row.lengths.iter().map(|&place| values.len(place as usize));
        let size = row.bytes + lengths.sum::<u64>();
        let waiting = Waiting { plan: row.plan, ..first };
        table.builder.stage_row(waiting, (event.received_at, size), shared)?;
        table.recount(bytes);
    }
    Ok(true)
}

#[inline]
fn number_of(push: Push, values: &mut impl Values, texts: &mut Texts) -> u32 {
    match push {
        Push::Platform(library, user_agent) => {
            let text = |place: Option<usize>| values.text(place?, texts);
            let library = text(library).and_then(of_library);
            let user_agent = text(user_agent).and_then(of_user_agent);
            texts.number(Platform::name(Platform::of(library, user_agent)))
        }
        Push::Text(place) | Push::Bits(place) | Push::IntAsFloat(place) => {
            values.number(place, texts)
        }
        Push::Day => 0,
    }
}

#[inline]
#[expect(clippy::cast_precision_loss, reason = "only of integers that a double is equal to")]
fn bits_of(push: Push, event: &Event<'_>, values: &impl Values) -> i64 {
    match push {
        Push::Bits(place) => values.bits(place),
        Push::IntAsFloat(place) => (values.bits(place) as f64).to_bits().cast_signed(),
        Push::Day => unified_rows::day(event.received_at),
        Push::Text(_) | Push::Platform(..) => 0,
    }
}

/// Finds where the values of events of this shape go, if its tables and columns are there.
pub(super) fn find(tables: &mut Tables, event: &Event<'_>, draft: &Draft) -> Option<Way> {
    let mut pushes = std::mem::take(&mut tables.pushes);
    pushes.clear(draft.values().len());
    let (mut rows, mut taken) = (Vec::new(), Vec::new());
    let found = draft.rows().try_for_each(|(row, cells)| {
        find_row(tables, event, draft, (row, cells), (&mut pushes, &mut rows, &mut taken))
    });
    let Pushes { numbers, bits, .. } = &pushes;
    let taken = found.is_ok().then(|| (numbers.as_slice().into(), bits.as_slice().into()));
    tables.pushes = pushes;
    let (numbers, bits) = taken?;
    let rows = rows
        .into_iter()
        .map(|row| {
            let Found { table, turns, planned: Planned { to, bytes, lengths } } = row;
            WayRow { table, turns, plan: tables.shared.stage.add(to), bytes, lengths }
        })
        .collect();
    Some(Way { numbers, bits, rows })
}

/// A row of a way whose plan is not kept yet.
struct Found {
    table: usize,
    turns: u32,
    planned: Planned,
}

fn find_row(
    tables: &mut Tables,
    event: &Event<'_>,
    draft: &Draft,
    (row, cells): (Row, &[Mark]),
    (pushes, found, taken): (&mut Pushes, &mut Vec<Found>, &mut Vec<usize>),
) -> Result<(), Uncertain> {
    let row_of = tables.row_of(row.table, row.kind, draft.event_table());
    let targets = tables.known_targets(row_of, event.route).ok_or(Uncertain)?;
    if targets.discards.is_some() {
        // Each row of it is noted elsewhere.
        return Err(Uncertain);
    }
    let Tables { tables, shared, routes, unified: plan, .. } = tables;
    let route = routes.get(event.route.0 as usize).ok_or(Uncertain)?;
    let len = cells.len();
    let cells = || cells.iter().map(|mark| mark.of_cell());
    let Shared { texts, stage, .. } = shared;
    let mut keep = |table: usize, turns: u32, planning: Planning<'_>| {
        found.push(Found { table, turns, planned: planning.finish()? });
        Ok(())
    };
    if let Some(at) = targets.table {
        let builder = &tables.get(at).ok_or(Uncertain)?.builder;
        let constant = (&mut stage.constants, &mut *texts);
        let mut planning = Planning::new(builder, pushes, constant, len);
        planning.own_cells(cells(), draft)?;
        keep(at, builder.turns(), planning)?;
    }
    for target in targets.unified.iter() {
        if taken.contains(&target.table) {
            continue;
        }
        taken.push(target.table);
        let opened = tables.get(target.table).ok_or(Uncertain)?;
        let unified = opened.unified.as_ref().ok_or(Uncertain)?;
        let len = len + unified::CORE.len();
        let constant = (&mut stage.constants, &mut *texts);
        let mut planning = Planning::new(&opened.builder, pushes, constant, len);
        let member = Member { kind: row.kind, event_type: event.event_type, route, target };
        unified.plan_row(&mut planning, plan, member, (cells(), draft))?;
        keep(target.table, opened.builder.turns(), planning)?;
    }
    Ok(())
}
