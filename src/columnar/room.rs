//! What a batch leaves to the next one: its memory, and what is known of events.
//!
//! A batch needs tens of megabytes for the texts and values of its events. Memory that is given back
//! between two batches is cleared by the system page by page when the next one asks for it, which
//! can take as long as filling it. And the events of the next batch are like those of the last: where
//! their values go is known, as long as neither settings nor ids have changed.

use std::collections::HashMap;

use super::Error;
use super::builder::Shared;
use super::draft::Draft;
use super::familiar::Familiar;
use super::opening::{Finished, Home, Opened};
use super::shapes::Shapes;
use super::tables::{AllTargets, Others, Tables};
use crate::record::Route;

/// Bytes of tables that are kept without their rows: their columns, and where those are found.
const TABLE_BYTES_MAX: usize = if cfg!(test) { 256 << 10 } else { 64 << 20 };

/// Where rows go is kept of so many tables of sources: a range ends at four times as many.
const TARGETS_MAX: usize = if cfg!(test) { 32 } else { 16 << 10 };

/// Sources that are kept, with where rows of theirs go for want of a table of their own.
const ROUTES_MAX: usize = if cfg!(test) { 3 } else { 1_024 };

/// What the tables of a batch share, without any row of it.
#[derive(Default)]
pub struct Room {
    shared: Shared,
    draft: Draft,
    known: Known,
}

impl std::fmt::Debug for Room {
    /// Shows how many tables are known, never the texts of events.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").field("tables", &self.known.tables.len()).finish_non_exhaustive()
    }
}

/// What is known of tables and events.
#[derive(Default)]
struct Known {
    routes: Vec<Route>,
    tables: Vec<Opened>,
    by_home: HashMap<Home, usize>,
    targets: AllTargets,
    others: Others,
    shapes: Shapes,
    familiar: Familiar,
}

impl Known {
    fn is_crowded(&self) -> bool {
        self.tables.iter().map(Opened::kept_bytes).sum::<usize>() > TABLE_BYTES_MAX
            || self.targets.len() > TARGETS_MAX
            || self.routes.len() > ROUTES_MAX
            || self.others.len() > ROUTES_MAX
    }
}

impl Room {
    /// Keeps the memory, and forgets what is known: settings or ids have changed.
    pub fn forget(&mut self) {
        self.known = Known::default();
        self.shared.stage.forget_plans();
    }

    /// Bytes of texts that stand in every event of an outline that is known.
    #[cfg(test)]
    pub(crate) fn constant_bytes(&self) -> u64 {
        self.known.familiar.bytes_in_texts()
    }

    /// Keeps what is to be kept, within bounds.
    fn bound(&mut self) {
        let Self { shared, draft, known } = &mut *self;
        shared.texts.clear();
        shared.stage.clear();
        shared.encoder.clear();
        draft.forget_texts();
        // What has no table of its own may have one in the next batch.
        known.targets.retain(|_, targets| targets.discards.is_none());
        if known.is_crowded() {
            self.forget();
            return;
        }
        let Known { shapes, familiar, .. } = known;
        if shared.stage.is_crowded() || shapes.is_crowded() || familiar.is_crowded() {
            shapes.clear();
            familiar.clear();
            shared.stage.forget_plans();
        }
    }
}

impl Tables {
    /// The same tables, in the memory of an earlier batch and with what was known in it. None may be
    /// open yet.
    #[must_use]
    pub fn in_room(mut self, room: Room) -> Self {
        let Room { mut shared, draft, known } = room;
        let Known { routes, tables, by_home, targets, others, mut shapes, mut familiar } = known;
        shared.stage.constants.renumber(&mut shared.texts);
        familiar.renumber(&mut shared.texts);
        shapes.begin_batch();
        (self.shared, self.draft) = (shared, draft);
        (self.routes, self.tables, self.by_home) = (routes, tables, by_home);
        (self.targets, self.others) = (targets, others);
        (self.shapes, self.familiar) = (shapes, familiar);
        self
    }

    /// As [`Tables::finish`]; leaves the room for the next batch.
    ///
    /// # Errors
    /// As [`Tables::finish`].
    pub fn finish_and_clear(self) -> Result<(Vec<Finished>, Room), Error> {
        let Self { opening, routes, mut tables, by_home, targets, others, .. } = self;
        let Self { mut shared, shapes, familiar, draft, .. } = self;
        let mut finished = Vec::with_capacity(opening.order.len());
        for at in opening.order {
            if let Some(table) = tables.get_mut(at) {
                finished.push(table.finish(&mut shared)?);
            }
        }
        let known = Known { routes, tables, by_home, targets, others, shapes, familiar };
        let mut room = Room { shared, draft, known };
        room.bound();
        Ok((finished, room))
    }
}
