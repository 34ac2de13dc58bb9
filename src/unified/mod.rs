//! Unified tables: one table per environment over the event tables of many sources.
pub mod glob;
