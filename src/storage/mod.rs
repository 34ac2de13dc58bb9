//! The lake: every object the product leaves for others, and the names they have.
//!
//! Owns the one place that forms and parses keys ([`keys`]), the put that never replaces
//! ([`Store::put_new`]), retries, the registry of schema versions ([`registry`]) and the manifests
//! ([`manifest`]). It must not know what an event is or when a batch ends; the loader and the
//! commands that look into the lake call it. All calls block: never make them on an async worker.

mod error;
mod folder;
pub mod keys;
pub mod lake;
pub mod manifest;
pub mod memory;
pub mod registry;
mod remote;
mod store;
mod time;

pub use error::{Class, Error};
pub use folder::Folder;
pub use remote::Remote;
pub use store::{Backend, Options, Put, Store};
pub use time::{parse_utc, utc_text};
