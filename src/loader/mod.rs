//! The read side: journal records become committed batches of files, each event once.
//!
//! Owns the loop that cuts a range of the journal, plans, writes, commits and trims
//! (docs/decisions/0002-exactly-once.md), the table of repeats and the books. It decides what a
//! batch is; how rows become columns, where objects lie and how bytes survive belongs to
//! `columnar`, `storage` and `journal`. `app` starts it on a thread of its own.

mod batch;
pub mod books;
mod chain;
pub mod dedup;
mod error;
mod machine;
mod opener;
pub mod plan;
mod range;
pub mod rows;
mod spans;
mod status;
mod worker;

pub use books::Books;
pub use error::{Error, Remedy};
pub use machine::{Limits, Loader, Options, Progress, Services};
pub use spans::Spans;
pub use status::{Report, Status};
pub use worker::{Handle, spawn};

#[cfg(test)]
mod tests;
