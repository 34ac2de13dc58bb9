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
pub mod local;
mod machine;
mod note;
mod opener;
pub mod plan;
mod planned;
mod range;
pub mod rebuild;
pub mod replay;
pub mod rows;
mod settings;
mod spans;
mod status;
mod unnoted;
mod worker;
mod workshop;

pub use books::Books;
pub use error::{Error, Remedy};
pub use machine::{Limits, Loader, Options, Progress, Services};
pub use note::{loaded_to, noted};
pub use settings::{BlockSettings, LayoutSettings, PinSettings, SettingError, Settings};
pub use spans::Spans;
pub use status::{Report, Status};
pub use worker::{Handle, spawn};
pub use workshop::{MAPPING_VERSION, Warehouse};

/// Load settings that a reload may exchange; a batch keeps those it was opened with.
pub type SharedSettings = std::sync::Arc<arc_swap::ArcSwap<Settings>>;

#[cfg(test)]
mod tests;
