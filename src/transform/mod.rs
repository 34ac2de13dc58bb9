//! Interim types until the rule packs join.
use crate::event::{Edits, Node};

/// A compiled pack.
#[derive(Debug)]
pub struct Pack;
/// Buffers.
#[derive(Debug, Default)]
pub struct Scratch;
/// Hashes.
#[derive(Debug)]
pub struct Pseudonyms;
/// What becomes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Keep,
    /// It goes.
    Drop {
        /// By which rule.
        rule: String,
    },
    /// It goes.
    Suppressed,
}
impl Pack {
    /// Name.
    #[must_use]
    pub fn name(&self) -> &str {
        ""
    }

    /// Applies.
    pub fn apply(&self, _: &mut Scratch, _: Node<'_>, _: &mut Edits, _: &Pseudonyms) -> Verdict {
        Verdict::Keep
    }
}
/// The shape.
#[must_use]
pub fn shape(_: Node<'_>) -> String {
    "{}".to_owned()
}
impl Pseudonyms {
    /// Key.
    #[must_use]
    pub fn new(_: &[u8], _: u32) -> Result<Self, std::fmt::Error> {
        Ok(Self)
    }
    /// Of.
    #[must_use]
    pub fn of(&self, _: &str) -> String {
        String::new()
    }
}
