//! What a builder is opened with and what it leaves: tables, plans, parts.

use std::io;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::columnar::Schema;
use crate::warehouse::{ColumnType, TableKind};

/// What a table is and which columns it has from the start.
#[derive(Clone, Debug)]
pub(in crate::columnar) struct Table {
    /// Its name, for pins and errors.
    pub(in crate::columnar) name: String,
    /// Its kind, for the layout's types.
    pub(in crate::columnar) kind: TableKind,
    /// Columns of every file, in order: name, type, required.
    pub(in crate::columnar) initial: Vec<(String, ColumnType, bool)>,
    /// Columns with the same time in every row.
    pub(in crate::columnar) constants: Vec<(&'static str, Timestamp)>,
}

/// Makes the files of one table.
pub trait Files: Send {
    /// Makes an empty file, readable by its owner only, for part `part`.
    ///
    /// # Errors
    /// Any fault of the disk.
    fn create(&mut self, part: u32) -> io::Result<Box<dyn io::Write + Send>>;
}

/// Where the files of a table go between two batches: it has none.
pub(super) struct NoFiles;

impl Files for NoFiles {
    fn create(&mut self, _: u32) -> io::Result<Box<dyn io::Write + Send>> {
        Err(io::Error::other("the table is not open"))
    }
}

/// Where the schemas and the ends of row groups come from.
#[derive(Clone, Debug)]
pub enum Plan {
    /// From the rows; the newest schema is given, [`Schema::empty`] for a new table.
    Cut(Arc<Schema>),
    /// From a plan made before.
    Rewrite(Vec<PlannedPart>),
}

/// A part as planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPart {
    /// Its schema, as registered.
    pub schema: Schema,
    /// Rows of each row group.
    pub row_groups: Vec<u64>,
}

/// A finished part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number within table and batch, from 0.
    pub number: u32,
    /// Its schema; of a cut, one version above the last if anything is wider.
    pub schema: Arc<Schema>,
    /// Rows of each row group.
    pub row_groups: Vec<u64>,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Earliest arrival of a row.
    pub min_received_at: Timestamp,
    /// Latest arrival of a row.
    pub max_received_at: Timestamp,
}

impl Part {
    /// All rows of the part.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.row_groups.iter().sum()
    }
}

/// Earliest and latest arrival.
#[derive(Clone, Copy, Debug)]
pub(in crate::columnar) struct Span {
    pub(in crate::columnar) min: i64,
    pub(in crate::columnar) max: i64,
}

impl Span {
    pub(in crate::columnar) const NONE: Self = Self { min: i64::MAX, max: i64::MIN };

    pub(in crate::columnar) fn join(&mut self, other: Self) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}
