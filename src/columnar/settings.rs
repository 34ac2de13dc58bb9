//! What the loader decides once for a batch: limits, types from the configuration, codecs.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::unified::glob;
use crate::warehouse::{ColumnType, TableKind};

/// How column chunks are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// zstd, and snappy for chunks too small to repay a zstd compressor.
    #[default]
    Auto,
    /// zstd everywhere.
    Zstd,
    /// snappy everywhere.
    Snappy,
}

/// The type a column gets at birth, from `[[column]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Glob over table names.
    pub table: String,
    /// Glob over column names.
    pub name: String,
    /// The type.
    pub column_type: ColumnType,
}

/// The types that the layout fixes for columns of a kind of table; `None` where the first row group
/// decides.
#[derive(Clone, Default)]
pub struct Standard(Option<Arc<StandardFn>>);

type StandardFn = dyn Fn(TableKind, &str) -> Option<ColumnType> + Send + Sync;

impl Standard {
    /// Asks `decide` once for each new column of a table.
    pub fn new(
        decide: impl Fn(TableKind, &str) -> Option<ColumnType> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(decide)))
    }
}

impl std::fmt::Debug for Standard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Standard").field(&self.0.is_some()).finish()
    }
}

/// Limits and meaning shared by all tables of a batch.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Most columns of a table, `_overflow` included.
    pub columns_max: usize,
    /// Longest column name in bytes: where variant names are cut.
    pub identifier_bytes_max: usize,
    /// Builder bytes at which a row group closes; at most 1 GiB.
    pub row_group_bytes: u64,
    /// File bytes at which a part closes.
    pub part_bytes: u64,
    /// Codec of the column chunks.
    pub compression: Compression,
    /// Types from the configuration, first match wins, for what `standard` says nothing of.
    pub pins: Vec<Pin>,
    /// Types from the layout.
    pub standard: Standard,
    /// When the range was opened: `uuid_ts`, and `first_seen` of new columns.
    pub batch_time: Timestamp,
    /// True to add `loaded_at` (bigquery).
    pub loaded_at: bool,
    /// In every footer.
    pub product_version: String,
    /// In every footer: who writes.
    pub writer: String,
    /// In every footer: number of the batch.
    pub batch: u64,
    /// In every footer: first journal position of the batch.
    pub first_position: u64,
}

impl Settings {
    /// The defaults of the configuration for batch `batch` of `writer`.
    #[must_use]
    pub fn new(writer: &str, batch: u64, first_position: u64, batch_time: Timestamp) -> Self {
        Self {
            columns_max: 1_600,
            identifier_bytes_max: 127,
            row_group_bytes: 128 << 20,
            part_bytes: 128 << 20,
            compression: Compression::Auto,
            pins: Vec::new(),
            standard: Standard::default(),
            batch_time,
            loaded_at: false,
            product_version: env!("CARGO_PKG_VERSION").to_owned(),
            writer: writer.to_owned(),
            batch,
            first_position,
        }
    }

    /// The type decided before any value is seen.
    pub(super) fn type_at_birth(
        &self,
        table: &str,
        kind: TableKind,
        column: &str,
    ) -> Option<ColumnType> {
        let pinned = || {
            let is_its =
                |pin: &&Pin| glob::matches(&pin.table, table) && glob::matches(&pin.name, column);
            self.pins.iter().find(is_its).map(|pin| pin.column_type)
        };
        self.standard.0.as_ref().and_then(|decide| decide(kind, column)).or_else(pinned)
    }
}
