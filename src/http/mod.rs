//! The HTTP edge: routes, keys, bodies and answers.
//!
//! What a client may send and gets back is told in docs/api.md. A request comes in at
//! [`server`], which knows connections and their time limits; [`Edge`] finds the route, the write
//! key and the body and hands a [`crate::ingest::Submission`] to the pipeline. No axum type leaves
//! this module, and nothing here knows what an event means.

mod address;
pub mod admin;
mod answer;
mod auth;
mod body;
mod cors;
mod docs;
mod edge;
mod error;
mod events;
mod inflate;
mod pages;
mod pixel;
mod query;
pub mod server;
mod setup;
mod shared;
mod stats;
pub mod tls;
mod webhook;

#[cfg(test)]
mod tests;

pub use edge::Edge;
pub use pages::OPENAPI;
pub use server::{Handle, Peer};
pub use shared::Parts;
pub use stats::Stats;
