//! What the pipeline notices on the way, for metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::event::Mended;
use crate::metrics::{counter, counters};

/// Counts of things mended or noticed that are no outcome of an event.
#[derive(Debug, Default)]
pub struct Counts {
    /// Lone surrogates and NULs.
    mended: Mutex<BTreeMap<String, [u64; 2]>>,
    failures: Mutex<BTreeMap<(String, &'static str), u64>>,
    panics: AtomicU64,
}

impl Counts {
    /// Characters of a source's events were replaced or left out.
    pub fn mended(&self, source_id: &str, mended: Mended) {
        let mut counts = self.mended.lock().unwrap_or_else(PoisonError::into_inner);
        let [surrogates, nuls] = counts.entry(source_id.to_owned()).or_default();
        *surrogates += u64::from(mended.surrogates);
        *nuls += u64::from(mended.nuls);
    }

    /// A transformation of a source failed on an event, which went to `rejected`.
    pub fn transformation_failed(&self, source_id: &str, reason: &'static str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures.entry((source_id.to_owned(), reason)).or_default() += 1;
    }

    /// The work on a request or a connection ended in a panic.
    pub(super) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }
}

impl Collector for Counts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mended = self.mended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (at, name, help) in [
            (
                0,
                "keelrow_surrogates_replaced",
                "Lone surrogates in strings, each replaced by U+FFFD, by source",
            ),
            (1, "keelrow_nuls_removed", "NUL characters left out of strings and keys, by source"),
        ] {
            let lines = mended.iter().filter(|(_, counts)| counts[at] > 0);
            let lines = lines.map(|(source, counts)| ([("source", source.as_str())], counts[at]));
            counters(&mut encoder, name, help, lines)?;
        }
        let help = "Requests refused and connections closed because of a fault of this program";
        let panics = self.panics.load(Ordering::Relaxed);
        counter(&mut encoder, "keelrow_request_panics", help, panics)?;
        counters(
            &mut encoder,
            "keelrow_transformation_failures",
            "Events that a transformation failed on, by source and reason",
            failures.iter().map(|((source, reason), count)| {
                (vec![("source", source.as_str()), ("reason", *reason)], *count)
            }),
        )
    }
}
