//! The memory of a batch, which the next one takes over.
//!
//! A batch needs tens of megabytes for the texts and values of its events. Memory that is given back
//! between two batches is cleared by the system page by page when the next one asks for it, which
//! can take as long as filling it.

use super::Error;
use super::builder::Shared;
use super::draft::Draft;
use super::tables::{Finished, Tables};

/// What the tables of a batch share, without anything of the batch itself.
#[derive(Debug, Default)]
pub struct Room {
    shared: Shared,
    draft: Draft,
}

impl Room {
    /// What `shared` and `draft` take up, within bounds.
    fn of(mut shared: Shared, mut draft: Draft) -> Self {
        shared.texts.clear();
        shared.stage.clear();
        shared.stage.forget_plans();
        shared.encoder.clear();
        draft.forget_texts();
        Self { shared, draft }
    }
}

impl Tables {
    /// The same tables, in the memory of an earlier batch; none may be open yet.
    #[must_use]
    pub fn in_room(mut self, room: Room) -> Self {
        Room { shared: self.shared, draft: self.draft } = room;
        self
    }

    /// As [`Tables::finish`]; leaves the room for the next batch.
    ///
    /// # Errors
    /// As [`Tables::finish`].
    pub fn finish_and_clear(self) -> Result<(Vec<Finished>, Room), Error> {
        let Self { tables, mut shared, draft, .. } = self;
        let finished = tables
            .into_iter()
            .map(|table| table.finish(&mut shared))
            .collect::<Result<Vec<Finished>, Error>>()?;
        Ok((finished, Room::of(shared, draft)))
    }
}
