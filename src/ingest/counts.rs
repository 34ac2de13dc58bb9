//! What the pipeline notices on the way, for metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::metrics::counters;

/// Counts of things mended or noticed that are no outcome of an event.
#[derive(Debug, Default)]
pub struct Counts {
    surrogates: Mutex<BTreeMap<String, u64>>,
    failures: Mutex<BTreeMap<(String, &'static str), u64>>,
}

impl Counts {
    /// Lone surrogates of a source's events became U+FFFD.
    pub fn surrogates_replaced(&self, source_id: &str, characters: u32) {
        let mut surrogates = self.surrogates.lock().unwrap_or_else(PoisonError::into_inner);
        *surrogates.entry(source_id.to_owned()).or_default() += u64::from(characters);
    }

    /// A transformation of a source failed on an event, which went to `rejected`.
    pub fn transformation_failed(&self, source_id: &str, reason: &'static str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures.entry((source_id.to_owned(), reason)).or_default() += 1;
    }
}

impl Collector for Counts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let surrogates = self.surrogates.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        counters(
            &mut encoder,
            "keelrow_surrogates_replaced",
            "Lone surrogates in strings, each replaced by U+FFFD, by source",
            surrogates.iter().map(|(source, count)| ([("source", source.as_str())], *count)),
        )?;
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
