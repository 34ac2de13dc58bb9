//! Planted faults: what a wrong program or a lying machine would do. The simulation has to find
//! each of them, or it proves nothing.

use std::sync::Arc;
use std::time::Duration;

use keelrow::journal::disk::Log;
use keelrow::journal::{Append, Error, Group, Item, Journal, Position, Reader, State};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plant {
    /// Events are acknowledged before they are on the disk.
    AckBeforeSync,
    /// The journal gives up what the loader has read, not what is committed.
    TrimBeforeManifest,
    /// The manifest is put before the files it names.
    ManifestBeforeFiles,
    /// The table of repeats is not kept.
    RepeatsForgotten,
    /// A damaged record passes for a whole one.
    ChecksumSkipped,
    /// A put replaces what is there.
    StoreReplaces,
    /// A schema version lacks a column of the one before.
    SchemaNarrowed,
    /// The loader passes over a record.
    RecordSkipped,
    /// A request is booked twice.
    BookedTwice,
    /// An event is acknowledged although its sync failed.
    FailedSyncAcknowledged,
}

impl Plant {
    pub(super) const ALL: [Self; 10] = [
        Self::AckBeforeSync,
        Self::TrimBeforeManifest,
        Self::ManifestBeforeFiles,
        Self::RepeatsForgotten,
        Self::ChecksumSkipped,
        Self::StoreReplaces,
        Self::SchemaNarrowed,
        Self::RecordSkipped,
        Self::BookedTwice,
        Self::FailedSyncAcknowledged,
    ];
}

/// The journal as a loader sees it, with or without a fault in between.
#[derive(Debug)]
pub(super) struct Tap {
    pub(super) log: Arc<Log>,
    pub(super) plant: Option<Plant>,
}

impl Journal for Tap {
    fn append(&self, group: Group) -> Append {
        self.log.append(group)
    }

    fn reader(&self, from: Position) -> Result<Box<dyn Reader>, Error> {
        let inner = self.log.reader(from)?;
        Ok(match self.plant {
            Some(plant @ (Plant::TrimBeforeManifest | Plant::RecordSkipped)) => {
                Box::new(TapReader { inner, log: Arc::clone(&self.log), plant })
            }
            _ => inner,
        })
    }

    fn wait_past(&self, position: Position, timeout: Duration) -> Position {
        self.log.wait_past(position, timeout)
    }

    fn trim(&self, before: Position) {
        self.log.trim(before);
    }

    fn state(&self) -> State {
        self.log.state()
    }

    fn writer_id(&self) -> &str {
        self.log.writer_id()
    }

    fn close(&self) {
        self.log.close();
    }
}

#[derive(Debug)]
struct TapReader {
    inner: Box<dyn Reader>,
    log: Arc<Log>,
    plant: Plant,
}

impl Reader for TapReader {
    fn next(&mut self) -> Result<Option<Item<'_>>, Error> {
        let position = self.inner.position();
        match self.plant {
            Plant::TrimBeforeManifest => self.log.trim(position),
            Plant::RecordSkipped if position.get() % 37 == 36 => drop(self.inner.next()?),
            _ => {}
        }
        self.inner.next()
    }

    fn position(&self) -> Position {
        self.inner.position()
    }
}
