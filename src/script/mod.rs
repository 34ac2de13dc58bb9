//! The JavaScript engine: `RudderStack` user transformations, unmodified, in QuickJS.
//!
//! Mechanism: source and JSON in, JSON out, within limits of CPU time, memory and size. It knows
//! neither configuration nor HTTP nor the journal, and of an event only what the transformations'
//! own interface names (`messageId`, by which `transformBatch` results are matched). `crate::ingest`
//! and `keelrow transform` call it; a [`Script`] is shared, a [`Runtime`] belongs to one thread.
//!
//! An event whose call fails has no result but the [`Error`], so that nothing raw can pass.

mod call;
mod cpu;
mod instance;
mod load;
mod numbers;
mod runtime;
mod shared;
mod terms;

#[cfg(test)]
mod tests;

pub use load::{Fault, Kind, LIBRARIES_MAX, SOURCES_BYTES_MAX, Script};
pub use runtime::{BATCH_MAX, Counts, INSTANCES_MAX, Runtime};
pub use terms::{Bad, Error, Input, Limits, Metadata, Outcome, Stopped};
