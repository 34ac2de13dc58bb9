//! How much a request may have its batch's own context copied into its events.
//!
//! A context is written into each event of its batch that lacks it, and read again there. Without a
//! limit a megabyte could ask for minutes of work: ten thousand events of a few bytes, and a context
//! of the rest.

use super::seam::Refusal;
use crate::event::{self, Node};

/// What any batch may spend; an event whose copy cannot be read costs as much.
const LEAST: usize = 300_000;

/// What a request may still spend: in values written, where 32 bytes of text count as one more.
#[derive(Debug)]
pub(super) struct Copies {
    left: usize,
}

impl Copies {
    /// Four for each byte of the body are more than the smallest events of an SDK with a large
    /// context take.
    pub(super) fn of(body_bytes: usize) -> Self {
        Self { left: body_bytes.saturating_mul(4).clamp(LEAST, event::VALUES_MAX) }
    }

    /// Pays for a copy.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] when it is more than is left.
    pub(super) fn spend(&mut self, copy: Option<Node<'_>>) -> Result<(), Refusal> {
        let cost = copy.map_or(LEAST, |copy| copy.tape().tokens().len() + copy.raw().len() / 32);
        self.left = self.left.checked_sub(cost).ok_or(Refusal::TooLarge)?;
        Ok(())
    }
}
