//! Seeded traffic in the shapes of real SDKs: which client sends what, how it is put into requests,
//! and what goes wrong on purpose. Makes bytes; knows nothing of connections or time.
//!
//! [`Renderer`] is what the drivers call; [`template`] compiles `payloads/*.json`.

mod client;
mod render;
mod template;

pub(crate) use client::Client;
pub(crate) use render::{Expect, Renderer, Request, Target};
