//! SQL for the warehouses: what makes the lake's tables, loads its batches and reads them.
//!
//! Text in, text out: the lake as its registry and manifests describe it becomes statements, which
//! are printed and never run here. It reads no store and connects to nothing; `cli::sql` gathers
//! the lake and prints. What each warehouse needs is told in docs/sql.md.

mod ddl;
mod dialect;
mod identity;
mod lake;
mod load;
mod location;
mod members;
mod script;
mod union;
mod users;
mod views;

#[cfg(test)]
mod tests;

pub use dialect::Dialect;
pub(crate) use lake::free_name;
pub use lake::{Batch, Column, File, Lake, Origin, Source, Table, label_tables};
pub use load::Manifest;
pub use location::Location;
pub(crate) use members::by_event;
pub use script::{Part, Statement, manifests, statements};
