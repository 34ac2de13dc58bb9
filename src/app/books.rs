//! The books of all sources since the journal began: what earlier runs left, what this run took in,
//! and what the loader has settled.
//!
//! received + split = loaded + duplicate + rejected + dropped + suppressed + damaged + waiting.
//! What is settled comes from the manifests, what was received from them and a count over the
//! journal's tail at the start; this run's own counts go on top.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::DescriptorEncoder;

use crate::journal::{self, Journal, Position};
use crate::loader::{self, Report, books::Waiting, books::waiting};
use crate::metrics::{counters, gauges};
use crate::outcome::{Books, Entry, UNKNOWN_SOURCE};
use crate::storage::manifest::Counts;

/// How often a count is tried again when the loader trims the journal under it.
const TRIES: usize = 10;
/// How often damage without a header is looked for again: a look that meets events between their
/// sync and their booking finds less of it.
const LOOKS: u32 = 8;
/// The longest tail of the journal that such a look reads: a tenth of a second.
const LOOK_RECORDS_MAX: u64 = 100_000;

/// The books of a run.
#[derive(Debug)]
pub struct Ledger {
    /// Received and split of each source before this run took anything in.
    base: BTreeMap<String, Waiting>,
    /// Damage without a header that the base knows of.
    known_losses: u64,
    /// Damage without a header that was looked for, or is.
    looked_for: u64,
    looks_left: u32,
    /// Of each source, events whose records lost their headers while this run knew the source.
    lost: BTreeMap<String, u64>,
}

/// What stands in the books of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Received and split; the outcomes of what is settled.
    pub counts: Counts,
    /// Acknowledged and in no committed batch.
    pub waiting: u64,
}

impl Ledger {
    /// Counts what earlier runs received, up to position `start` of the journal, where this run
    /// began.
    ///
    /// # Errors
    /// [`journal::Error`] if the journal cannot be read from where the loader stands; `Trimmed` if
    /// that has changed.
    pub fn open(
        report: &Report,
        journal: &dyn Journal,
        start: Position,
    ) -> Result<Self, journal::Error> {
        let mut base = waiting(journal, Position::new(report.committed_to), start)?;
        for (source, counts) in &report.books {
            let entry = base.entry(source.clone()).or_default();
            entry.received += counts.received;
            entry.split += counts.split;
        }
        let known_losses = base.get(UNKNOWN_SOURCE).map_or(0, |unknown| unknown.received);
        let (looked_for, looks_left, lost) = (known_losses, 0, BTreeMap::new());
        Ok(Self { base, known_losses, looked_for, looks_left, lost })
    }

    /// The books of each source. `report` is read before `live`: an event between the two counts
    /// as waiting.
    pub fn lines(
        &mut self,
        report: &Report,
        live: &Books,
        journal: &dyn Journal,
    ) -> BTreeMap<String, Line> {
        let mut come = self.base.clone();
        for (source, balance) in live.balances() {
            let entry = come.entry(source).or_default();
            entry.received += balance.get(Entry::Received);
            entry.split += balance.get(Entry::Split);
        }
        self.look_for_losses(report, &come, journal);
        for source in report.books.keys() {
            come.entry(source.clone()).or_default();
        }
        let lines = come.into_iter().map(|(source, come)| {
            let settled = report.books.get(&source).copied().unwrap_or_default();
            let line = self.line(&source, come, settled);
            (source, line)
        });
        lines.collect()
    }

    fn line(&self, source: &str, come: Waiting, settled: Counts) -> Line {
        let mut counts = Counts { received: come.received, split: come.split, ..settled };
        if source == UNKNOWN_SOURCE {
            // Until a restart these stand in the books of the sources that received them.
            let elsewhere: u64 = self.lost.values().sum();
            counts.damaged = settled.damaged.saturating_sub(elsewhere).max(
                // The base has counted these before anything was received.
                settled.damaged.min(self.known_losses),
            );
            counts.received = counts.received.max(counts.damaged);
        } else {
            counts.damaged += self.lost.get(source).copied().unwrap_or(0);
        }
        let gone = counts.loaded
            + counts.duplicate
            + counts.rejected
            + counts.dropped
            + counts.suppressed
            + counts.damaged;
        Line { counts, waiting: (counts.received + counts.split).saturating_sub(gone) }
    }

    /// Finds out which source's events are those whose record lost its header: the ones that came,
    /// are not settled, and wait nowhere in the journal.
    fn look_for_losses(
        &mut self,
        report: &Report,
        come: &BTreeMap<String, Waiting>,
        journal: &dyn Journal,
    ) {
        let met = report.books.get(UNKNOWN_SOURCE).map_or(0, |unknown| unknown.damaged);
        if met > self.looked_for {
            (self.looked_for, self.looks_left) = (met, LOOKS);
        }
        if self.looks_left == 0 {
            return;
        }
        // All that is in `come` is durable, so the tail has it.
        let (from, to) = (Position::new(report.committed_to), journal.state().durable);
        if to.since(from) > LOOK_RECORDS_MAX {
            return;
        }
        let Ok(tail) = waiting(journal, from, to) else { return };
        self.looks_left -= 1;
        for (source, come) in come.iter().filter(|(source, _)| *source != UNKNOWN_SOURCE) {
            let settled = report.books.get(source).copied().unwrap_or_default();
            let tail = tail.get(source).copied().unwrap_or_default();
            let there = settled.received + settled.split + tail.received + tail.split;
            let lost = (come.received + come.split).saturating_sub(there);
            if lost > 0 {
                let known = self.lost.entry(source.clone()).or_default();
                *known = lost.max(*known);
            }
        }
    }
}

/// Writes the books at each scrape.
#[derive(Debug)]
pub(super) struct Collector {
    live: Books,
    loader: loader::Handle,
    journal: Arc<dyn Journal>,
    ledger: Arc<Mutex<Option<Ledger>>>,
}

/// The ledger of a run that began at `start`; `None` as long as nothing tells where the loader
/// stands.
pub(super) fn open(
    loader: &loader::Handle,
    journal: &dyn Journal,
    start: Position,
) -> Option<Ledger> {
    for _ in 0..TRIES {
        match Ledger::open(&loader.standing()?, journal, start) {
            Ok(ledger) => return Some(ledger),
            Err(journal::Error::Trimmed { .. }) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot count what the journal holds");
                return None;
            }
        }
    }
    None
}

impl Collector {
    pub(super) fn new(
        live: Books,
        loader: loader::Handle,
        journal: Arc<dyn Journal>,
        ledger: Option<Ledger>,
    ) -> Self {
        Self { live, loader, journal, ledger: Arc::new(Mutex::new(ledger)) }
    }

    /// Gives the count of earlier runs once it can be had.
    pub(super) fn late(&self) -> impl Fn(Ledger) + Send + use<> {
        let slot = Arc::clone(&self.ledger);
        move |ledger| *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(ledger)
    }
}

/// The counters of one source.
fn outcomes(counts: Counts) -> [(&'static str, u64); 8] {
    [
        (Entry::Received.label(), counts.received),
        (Entry::Split.label(), counts.split),
        (Entry::Loaded.label(), counts.loaded),
        (Entry::Duplicate.label(), counts.duplicate),
        (Entry::Rejected.label(), counts.rejected),
        (Entry::Dropped.label(), counts.dropped),
        (Entry::Suppressed.label(), counts.suppressed),
        (Entry::Damaged.label(), counts.damaged),
    ]
}

impl prometheus_client::collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ledger) = &mut *ledger else { return Ok(()) };
        let report = self.loader.standing().unwrap_or_default();
        let lines = ledger.lines(&report, &self.live, &*self.journal);
        let counted = lines.iter().flat_map(|(source, line)| {
            outcomes(line.counts).map(|(outcome, events)| {
                ([("source", source.as_str()), ("outcome", outcome)], events)
            })
        });
        let help = "Events of each source by what became of them, since the journal began";
        counters(&mut encoder, "keelrow_events", help, counted)?;
        let waiting =
            lines.iter().map(|(source, line)| ([("source", source.as_str())], line.waiting));
        let help = "Events acknowledged and in no committed batch";
        gauges(&mut encoder, "keelrow_events_waiting", help, waiting)
    }
}
