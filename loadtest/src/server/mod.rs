//! A keelrow of our own: its configuration, its process, its end. Knows the public interface only
//! (configuration file, environment, ports, signals), so any build can be driven.
//!
//! [`Setup`] says how it is configured, [`Server`] is one running process.

mod config;
mod process;
pub(crate) mod tied;

pub(crate) use config::{Setup, sources_of};
pub(crate) use process::{Server, free_ports};
