//! Where a writer stands in its chain of batches, across restarts.
//!
//! The truth is in the lake: the last manifest, found by reading upwards from where the note beside
//! the journal says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Error;
use super::books::Books;
use super::note::{self, Note};
use crate::clock::Timestamp;
use crate::storage::Store;
use crate::storage::keys::{Hour, Number, Part};
use crate::storage::manifest::{Manifest, checksum};

/// Manifests that are read for the books where there is no note, at most: a longer chain's books
/// start anew.
const READ_MAX: u64 = 1_000;

/// The last committed batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) number: Number,
    pub(super) checksum: String,
    /// The first journal position after it.
    pub(super) to: u64,
    pub(super) hour: Option<Hour>,
}

impl Last {
    pub(super) fn of(manifest: &Manifest, bytes: &[u8]) -> Self {
        Self {
            number: manifest.number,
            checksum: checksum(bytes),
            to: manifest.journal.to,
            hour: Hour::parse(&manifest.hour),
        }
    }
}

/// A writer's place in its chain.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) writer: Part,
    pub(super) last: Option<Last>,
    /// The books of all batches, as far back as they are known.
    pub(super) books: Books,
    /// The last batch that was noted; 0 where there was no note.
    noted: Number,
    /// By which the table of repeats had aged, as far as it was noted.
    pub(super) time: Option<Timestamp>,
    note: PathBuf,
}

impl Chain {
    /// Finds the last batch of `writer`.
    pub(super) fn find(store: &Store, writer: Part, path: PathBuf) -> Result<Self, Error> {
        let action = "find the last batch";
        let noted = note::read(&path, writer.as_str())?;
        let from = noted.as_ref().map_or(Number(0), |noted| noted.number);
        let found = Manifest::last(store, &writer, from).map_err(Error::storage(action))?;
        let Some((manifest, bytes)) = found else {
            if let Some(noted) = noted {
                let (writer, number) = (writer.to_string(), noted.number.0);
                return Err(Error::ChainMissing { writer, number });
            }
            let (books, noted) = (Books::default(), Number(0));
            return Ok(Self { writer, last: None, books, noted, time: None, note: path });
        };
        let noted_number = noted.as_ref().map_or(Number(0), |noted| noted.number);
        let time = noted.as_ref().and_then(Note::time);
        let mut books = Books::default();
        // The first batch may be committed and its note not written yet.
        let nothing = || (manifest.number.0 <= READ_MAX).then(|| (Number(0), BTreeMap::new()));
        if let Some((from, sources)) = noted.map(|n| (n.number, n.sources)).or_else(nothing) {
            books = Books::from_sources(sources);
            // At most the batch whose note was not written; more after a note was put back or lost.
            let mut number = from.next();
            while number < manifest.number {
                let read = Manifest::read(store, &writer, number);
                if let Some((between, _)) = read.map_err(Error::storage(action))? {
                    books.add(&Books::from_sources(between.sources));
                }
                number = number.next();
            }
            if from < manifest.number {
                books.add(&Books::from_sources(manifest.sources.clone()));
            }
        }
        let last = Some(Last::of(&manifest, &bytes));
        Ok(Self { writer, last, books, noted: noted_number, time, note: path })
    }

    /// The batches that were committed and, at the start, not noted here, the last one first.
    pub(super) fn unnoted(&self) -> impl Iterator<Item = Number> + use<> {
        let last = self.last.as_ref().map_or(0, |last| last.number.0);
        (self.noted.0 + 1..=last).rev().map(Number)
    }

    /// The number of the next batch.
    pub(super) fn next_number(&self) -> Number {
        self.last.as_ref().map_or(Number::FIRST, |last| last.number.next())
    }

    /// Goes on to a batch that was just committed, and notes it with the `time` that is believed.
    pub(super) fn advance(&mut self, manifest: &Manifest, bytes: &[u8], time: Timestamp) {
        self.last = Some(Last::of(manifest, bytes));
        self.books.add(&Books::from_sources(manifest.sources.clone()));
        let at = (manifest.number, manifest.journal.to);
        let note = Note::new(self.writer.to_string(), at, self.books.sources().clone(), time);
        // Without the note the next start reads a few manifests more.
        if let Err(error) = note::write(&self.note, &note) {
            tracing::warn!(%error, path = %self.note.display(), "cannot note the last batch");
        }
    }
}
