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
use crate::loader::{self, books::Waiting, books::waiting};
use crate::metrics::{counters, gauges};
use crate::outcome::{Books, Entry};
use crate::storage::manifest::Counts;

/// Received and split of each source before this run took anything in.
type Base = BTreeMap<String, Waiting>;

/// Writes the books at each scrape.
#[derive(Debug)]
pub(super) struct Collector {
    live: Books,
    loader: loader::Handle,
    base: Arc<Mutex<Option<Base>>>,
}

/// How often a count is tried again when the loader trims the journal under it.
const TRIES: usize = 10;

/// Counts what earlier runs received, up to position `start` of the journal, where this run began;
/// `None` until the loader has found its place in the lake.
pub(super) fn base(
    loader: &loader::Handle,
    journal: &dyn Journal,
    start: Position,
) -> Option<Base> {
    for _ in 0..TRIES {
        let report = loader.status().report?;
        match waiting(journal, Position::new(report.committed_to), start) {
            Ok(mut base) => {
                for (source, counts) in report.books {
                    let entry = base.entry(source).or_default();
                    entry.received += counts.received;
                    entry.split += counts.split;
                }
                return Some(base);
            }
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
    pub(super) fn new(live: Books, loader: loader::Handle, base: Option<Base>) -> Self {
        Self { live, loader, base: Arc::new(Mutex::new(base)) }
    }

    /// Gives the count of earlier runs once it can be had.
    pub(super) fn late(&self) -> impl Fn(Base) + Send + use<> {
        let slot = Arc::clone(&self.base);
        move |base| *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(base)
    }
}

/// The lines of one source.
fn lines(come: Waiting, settled: Counts) -> [(&'static str, u64); 8] {
    [
        (Entry::Received.label(), come.received),
        (Entry::Split.label(), come.split),
        (Entry::Loaded.label(), settled.loaded),
        (Entry::Duplicate.label(), settled.duplicate),
        (Entry::Rejected.label(), settled.rejected),
        (Entry::Dropped.label(), settled.dropped),
        (Entry::Suppressed.label(), settled.suppressed),
        (Entry::Damaged.label(), settled.damaged),
    ]
}

impl prometheus_client::collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let base = self.base.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(mut come) = base else { return Ok(()) };
        // Settled first: an event between the two reads counts as waiting.
        let settled = self.loader.status().report.map(|report| report.books).unwrap_or_default();
        for (source, balance) in self.live.balances() {
            let entry = come.entry(source).or_default();
            entry.received += balance.get(Entry::Received);
            entry.split += balance.get(Entry::Split);
        }
        let of = |source: &str| settled.get(source).copied().unwrap_or_default();
        let outcomes = come.iter().flat_map(|(source, come)| {
            lines(*come, of(source)).map(|(outcome, events)| {
                ([("source", source.as_str()), ("outcome", outcome)], events)
            })
        });
        let help = "Events of each source by what became of them, since the journal began";
        counters(&mut encoder, "keelrow_events", help, outcomes)?;
        let waiting = come.iter().map(|(source, come)| {
            let lines = lines(*come, of(source));
            let gone: u64 = lines.iter().skip(2).map(|(_, events)| events).sum();
            let waiting = (come.received + come.split).saturating_sub(gone);
            ([("source", source.as_str())], waiting)
        });
        let help = "Events acknowledged and in no committed batch";
        gauges(&mut encoder, "keelrow_events_waiting", help, waiting)
    }
}
