//! What a request needs to be worked on, kept for the next one.

use std::sync::{Mutex, PoisonError};

use crate::event::id::RudderIds;
use crate::event::{Edits, Parser};
use crate::transform;

/// The buffers of one request in work.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Reads request bodies.
    pub(super) body: Parser,
    /// For the events in them.
    pub(super) work: Work,
}

/// What each event in turn uses.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) edits: Edits,
    pub(super) rules: transform::Scratch,
    pub(super) merged: Vec<u8>,
    pub(super) merged_parser: Parser,
    pub(super) payload: Vec<u8>,
    pub(super) rudder_ids: RudderIds,
}

/// A buffer that grew past this is given back; a usual request needs a hundredth.
const KEPT_BYTES: usize = 1 << 20;

/// Sets of buffers that wait for requests. Never more than were in work at once, and at most
/// `kept` of them.
#[derive(Debug)]
#[expect(
    clippy::vec_box,
    reason = "a set is moved out and in for each request: a word, not a kilobyte"
)]
pub(super) struct Pool {
    waiting: Mutex<Vec<Box<Scratch>>>,
    kept: usize,
}

impl Pool {
    pub(super) const fn new(kept: usize) -> Self {
        Self { waiting: Mutex::new(Vec::new()), kept }
    }

    /// Lends a set of buffers to `work`.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scratch = waiting.unwrap_or_default();
        let result = work(&mut scratch);
        for buffer in [&mut scratch.work.merged, &mut scratch.work.payload] {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < self.kept {
            waiting.push(scratch);
        }
        result
    }
}
