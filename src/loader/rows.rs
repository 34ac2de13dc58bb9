//! What the loop asks of whoever turns events into files: two implementations, the product's on
//! `warehouse`, `unified` and `columnar`, and a small one in the loop's own tests.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::Error;
use super::local::Content;
use super::plan::PlannedFile;
use crate::clock::Timestamp;
use crate::columnar::Schema;
use crate::record::{EventView, Route};
use crate::storage::keys::{Number, Part, TableFolder};
use crate::storage::registry::Registry;

/// What is one for all rows of a batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Whose.
    pub writer: Part,
    /// Which.
    pub number: Number,
    /// The first journal position.
    pub from: u64,
    /// When the range was opened.
    pub time: Timestamp,
    /// Where local files go: an empty folder, removed with all in it when the batch is over.
    pub folder: PathBuf,
}

/// An event on its way to rows.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The record.
    pub event: &'a EventView<'a>,
    /// Where it belongs.
    pub route: &'a Arc<Route>,
    /// Its place in the journal.
    pub position: u64,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// It has its rows.
    Loaded,
    /// It has a row in `rejected`.
    Rejected,
}

/// A finished file of a batch, not in the lake yet.
#[derive(Clone, Debug)]
pub struct LocalFile {
    /// The table.
    pub folder: TableFolder,
    /// Which of the batch's files of this table, from 0.
    pub part: u32,
    /// Its bytes.
    pub content: Content,
    /// Its columns; a version above the registry's if they are wider.
    pub schema: Arc<Schema>,
    /// Rows of each row group.
    pub row_groups: Vec<u64>,
    /// Earliest arrival of a row.
    pub min_received_at: Timestamp,
    /// Latest arrival of a row.
    pub max_received_at: Timestamp,
}

/// Where the tables of a batch came near a limit, or to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pressed {
    /// Tables that have at least 80 % of the columns they may have, by folder, with their number.
    pub columns: BTreeMap<String, u64>,
    /// Events in `other_events` for want of a table of their own, by source.
    pub without_table: BTreeMap<String, u64>,
}

/// Takes the events of one batch.
///
/// After an error the rows are void: the range is cut again.
pub trait Rows: Send + fmt::Debug {
    /// Adds the rows of an event, or its row of `rejected` if it was rejected before or cannot be
    /// mapped.
    ///
    /// # Errors
    /// The registry or a local file failed.
    fn event(&mut self, event: Incoming<'_>) -> Result<Mapped, Error>;

    /// Adds the row of `rejected` of an event whose messageId was used for another one.
    ///
    /// # Errors
    /// As [`Rows::event`].
    fn reused(&mut self, event: Incoming<'_>) -> Result<(), Error>;

    /// Puts the values of all events so far into column arrays, where some wait for that. Writes
    /// nothing.
    fn arrange(&mut self) {}

    /// Forgets what only closed row groups held. If the open ones together pass `memory` bytes,
    /// counted from rows, closes the largest to its local file. Whether they are over half of it
    /// even then, so that the range should end.
    ///
    /// # Errors
    /// The local file failed.
    fn relieve(&mut self, memory: u64) -> Result<bool, Error>;

    /// Where the tables are near a limit, or past it.
    fn pressed(&self) -> Pressed {
        Pressed::default()
    }

    /// Closes all files, in the order of their keys.
    ///
    /// # Errors
    /// A local file failed, or the rows are not those of the plan.
    fn finish(self: Box<Self>) -> Result<Vec<LocalFile>, Error>;
}

/// Makes [`Rows`].
pub trait Workshop: Send + fmt::Debug {
    /// The version of its rules: a plan made by other ones is not for it to finish.
    fn mapping(&self) -> u32;

    /// Starts the rows of a batch that is cut, and tells the load settings in full, as its plan
    /// keeps them.
    ///
    /// # Errors
    /// A local file failed.
    fn cut(&mut self, batch: &Batch, registry: &Registry) -> Result<(Box<dyn Rows>, Value), Error>;

    /// Starts the rows of a batch made again from its plan.
    ///
    /// # Errors
    /// The settings cannot be understood, the registry failed.
    fn rewrite(
        &mut self,
        batch: &Batch,
        settings: &Value,
        files: &[PlannedFile],
        registry: &Registry,
    ) -> Result<Box<dyn Rows>, Error>;
}
