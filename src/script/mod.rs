//! Interim types until the engine joins.

/// A script.
#[derive(Debug)]
pub struct Script;
