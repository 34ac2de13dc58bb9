//! What became of the events of a range, source by source.

use std::collections::BTreeMap;

use crate::journal::{self, Item, Journal, Position};
use crate::outcome::UNKNOWN_SOURCE;
use crate::record::{self, FrameKind, Tally, View};
use crate::storage::manifest::Counts;

/// What an event became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Rows in data files.
    Loaded,
    /// Nothing: it was a repeat.
    Duplicate,
    /// A row of the table `rejected`.
    Rejected,
}

/// The books of some journal records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books(BTreeMap<String, Counts>);

impl Books {
    /// Books that were written before.
    #[must_use]
    pub const fn from_sources(sources: BTreeMap<String, Counts>) -> Self {
        Self(sources)
    }

    /// The counts of each source.
    #[must_use]
    pub const fn sources(&self) -> &BTreeMap<String, Counts> {
        &self.0
    }

    /// The counts of all sources.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.0.values().for_each(|counts| total += *counts);
        total
    }

    /// Adds other books to these.
    pub fn add(&mut self, other: &Self) {
        for (source, counts) in &other.0 {
            self.book(source, *counts);
        }
    }

    /// Books an event; `part` is its number among those split off, 0 for one that was received.
    pub fn event(&mut self, source: &str, part: u32, outcome: Outcome) {
        let mut counts = Counts {
            received: u64::from(part == 0),
            split: u64::from(part > 0),
            ..Counts::default()
        };
        match outcome {
            Outcome::Loaded => counts.loaded = 1,
            Outcome::Duplicate => counts.duplicate = 1,
            Outcome::Rejected => counts.rejected = 1,
        }
        self.book(source, counts);
    }

    /// Books events that left no row.
    pub fn tally(&mut self, tally: &Tally) {
        let source = tally.route.as_ref().map_or(UNKNOWN_SOURCE, |route| &route.source_id);
        let (dropped, suppressed) = (u64::from(tally.dropped), u64::from(tally.suppressed));
        let received = dropped + suppressed;
        self.book(source, Counts { received, dropped, suppressed, ..Counts::default() });
    }

    /// Books events that were acknowledged and cannot be read any more; `split` if a transformation
    /// made them, so that they were never received.
    pub fn damaged(&mut self, source: Option<&str>, events: u64, split: bool) {
        let (received, split) = if split { (0, events) } else { (events, 0) };
        let counts = Counts { received, split, damaged: events, ..Counts::default() };
        self.book(source.unwrap_or(UNKNOWN_SOURCE), counts);
    }

    /// Copies a source's name once, not for each of its events.
    fn book(&mut self, source: &str, counts: Counts) {
        match self.0.get_mut(source) {
            Some(known) => *known += counts,
            None => {
                self.0.insert(source.into(), counts);
            }
        }
    }
}

/// Whether a frame's kind says that a transformation made its event.
pub(super) fn is_part(kind: Option<u8>) -> bool {
    kind.and_then(FrameKind::from_byte) == Some(FrameKind::Part)
}

/// Counts the records of `journal` from `from` up to `to`: what waits, by source, as far as it was
/// received or split. For what was there at the start of the program, which nobody has counted yet.
///
/// # Errors
/// [`journal::Error`] if the journal cannot be read.
pub fn waiting(
    journal: &dyn Journal,
    from: Position,
    to: Position,
) -> Result<BTreeMap<String, Waiting>, journal::Error> {
    let mut found: BTreeMap<String, Waiting> = BTreeMap::new();
    if from >= to {
        return Ok(found);
    }
    let mut reader = journal.reader(from)?;
    while reader.position() < to {
        let Some(item) = reader.next()? else { break };
        let (source, count, split) = match item {
            Item::Damaged(damaged) => {
                let split = is_part(damaged.kind);
                (damaged.source, damaged.count, split)
            }
            Item::Frame(frame) => {
                let split = matches!(
                    record::read(frame.payload),
                    Ok(View::Event(event)) if event.part > 0
                );
                (Some(frame.source.to_owned()), u64::from(frame.count), split)
            }
        };
        let waiting = found.entry(source.unwrap_or_else(|| UNKNOWN_SOURCE.into())).or_default();
        if split {
            waiting.split += count;
        } else {
            waiting.received += count;
        }
    }
    Ok(found)
}

/// Events that are acknowledged and not in a committed batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Received ones.
    pub received: u64,
    /// Ones that a transformation made.
    pub split: u64,
}
