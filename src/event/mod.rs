//! Events as they arrive: reading, ids, times, what is wrong with them and what is added.
//!
//! Pure: no IO, no clock of its own, no HTTP. The pipeline in `crate::ingest` calls it for each
//! request, the loader for each record.

mod edit;
pub mod enrich;
mod foretold;
pub mod id;
mod keys;
mod md5;
mod parse;
mod runs;
mod simd;
mod tape;
pub mod text;
pub mod time;

#[cfg(test)]
mod tests;

pub use edit::{Edits, IDENTITY, Inserted, Value};
pub use keys::{KeyId, Keys, known};
pub use parse::{DEPTH_MAX, Duplicates, Error, Parser, VALUES_MAX};
pub use tape::{Children, Kind, Mended, Node, Tape, Token};
