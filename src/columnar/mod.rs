//! Rows to columns to Parquet: builders that take cells, and the files they write.
//!
//! Mechanism only: it knows columns, types, bytes and row groups, and nothing of what an event
//! means. The loader owns the open [`Tables`], drives them with the mapper's cells and decides when
//! a batch ends. The result is a function of the rows, the schema versions and the row counts of
//! the row groups alone, so that a batch written again from its plan has the same bytes: see
//! `builder`.

mod builder;
mod column;
mod constants;
mod draft;
mod encode;
mod familiar;
mod file;
mod footer;
mod ids;
mod opening;
mod overflow;
mod reader;
mod room;
mod schema;
mod settings;
mod shapes;
mod sink;
mod spare;
mod stage;
mod tables;
mod texts;
mod unified_rows;
mod values;

#[cfg(test)]
mod tests;

pub use builder::{Files, Part, Plan, PlannedPart};
pub use footer::{Footer, FooterError, read_footer};
pub use opening::{Finished, Home, Open};
pub use overflow::{EventLeaves, Leaves};
pub use reader::{Chunk, FileReader, ReadError};
pub use room::Room;
pub use schema::{Column, Schema, SchemaError, base_of_variant, type_name, type_of};
pub use settings::{Compression, Pin, Settings, Standard};
pub use sink::{Event, EventSink};
pub use tables::{RouteId, Tables};

use std::io;

/// Why rows could not become files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The local file could not be made or written.
    #[error("cannot {action} part {part} of table {table}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The table's name.
        table: String,
        /// Number of the part.
        part: u32,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The rows do not fit the plan: another program version or another journal made it.
    #[error("plan of table {table} does not fit its rows: {reason}")]
    Plan {
        /// The table's name.
        table: String,
        /// What differs; a stable label.
        reason: &'static str,
    },
    /// The loader could not open a table.
    #[error("cannot open table {table}")]
    Open {
        /// The table's name.
        table: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
