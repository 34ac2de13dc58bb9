//! How journal, loader and reloads stand, for metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::ingest::{Ingest, Stage};
use crate::journal::{self, Health};
use crate::loader;
use crate::metrics::{counters, gauges};
use crate::transform::Pack;

/// Tables near their cap on columns that are shown at most.
const TABLES_SHOWN: usize = 100;

const NO_LABELS: [(&str, &str); 0] = [];

/// The journal's state.
#[derive(Debug)]
pub(super) struct Journal(pub(super) Arc<dyn journal::Journal>);

impl Collector for Journal {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let state = self.0.state();
        let accepting = u64::from(state.health == Health::Accepting);
        for (name, help, value) in [
            (
                "keelrow_journal_bytes",
                "Bytes of records, of those that are loaded only what journal.keep keeps",
                state.used_bytes,
            ),
            ("keelrow_journal_bytes_max", "The journal's budget", state.limit_bytes),
            ("keelrow_journal_waiting_bytes", "Bytes waiting for the disk", state.waiting_bytes),
            ("keelrow_journal_segments", "Segments that hold records", state.segments),
            (
                "keelrow_journal_position",
                "Position behind the last durable record",
                state.durable.get(),
            ),
            ("keelrow_journal_accepting", "1 if appends are taken", accepting),
            (
                "keelrow_journal_gone",
                "1 if its folder or open file was removed or replaced, until a restart",
                u64::from(state.health == Health::Gone),
            ),
        ] {
            gauges(&mut encoder, name, help, [(NO_LABELS, value)])?;
        }
        for (name, help, value) in [
            ("keelrow_journal_syncs", "Syncs of the disk", state.syncs),
            (
                "keelrow_journal_damaged_records",
                "Damaged records met that were in no batch yet: these are lost",
                state.damaged_records,
            ),
            (
                "keelrow_journal_damaged_loaded_records",
                "Damaged records met that were loaded before: nothing is lost",
                state.damaged_loaded_records,
            ),
        ] {
            counters(&mut encoder, name, help, [(NO_LABELS, value)])?;
        }
        Ok(())
    }
}

/// The loader's state.
#[derive(Debug)]
pub(super) struct Loader(pub(super) loader::Handle);

impl Collector for Loader {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let status = self.0.status();
        let report = status.report.clone().unwrap_or_default();
        let committed_at = status.committed_at.map_or(0, |at| at.micros() / 1_000_000);
        for (name, help, value) in [
            (
                "keelrow_loader_stopped",
                "1 if loading needs a person",
                u64::from(status.stopped.is_some()),
            ),
            (
                "keelrow_loader_troubled",
                "1 while the last try failed",
                u64::from(status.trouble.is_some()),
            ),
            (
                "keelrow_loader_last_commit_seconds",
                "When the last batch of this run was committed, seconds since 1970",
                u64::try_from(committed_at).unwrap_or(0),
            ),
            ("keelrow_dedup_keys", "Keys that repeats are told by", report.dedup_keys as u64),
            (
                "keelrow_dedup_window_seconds",
                "Arrival time over which repeats are told",
                report.dedup_window.as_secs(),
            ),
        ] {
            gauges(&mut encoder, name, help, [(NO_LABELS, value)])?;
        }
        let help = "Journal records in no batch yet";
        let lag = self.0.lag_records().map(|records| (NO_LABELS, records));
        gauges(&mut encoder, "keelrow_loader_lag_records", help, lag)?;
        let help = "Columns of tables that have 80 % of those they may have, or more";
        let columns = report.pressed.columns.iter().take(TABLES_SHOWN);
        let lines = columns.map(|(table, columns)| ([("table", table.as_str())], *columns));
        gauges(&mut encoder, "keelrow_table_columns_near_cap", help, lines)?;
        let help = "Events in other_events because their schema has all the tables it may have";
        let events = report.pressed.without_table.iter();
        let lines = events.map(|(source, events)| ([("source", source.as_str())], *events));
        counters(&mut encoder, "keelrow_events_without_table", help, lines)?;
        let help = "Batches committed by this run";
        counters(&mut encoder, "keelrow_batches", help, [(NO_LABELS, status.batches)])
    }
}

/// How often the configuration was taken over, and refused.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    pub(super) done: AtomicU64,
    pub(super) failed: AtomicU64,
}

impl Collector for Reloads {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let lines = [
            ([("result", "done")], self.done.load(Ordering::Relaxed)),
            ([("result", "failed")], self.failed.load(Ordering::Relaxed)),
        ];
        counters(&mut encoder, "keelrow_config_reloads", "Reloads of the configuration", lines)
    }
}

/// How often each rule of each pack hit in each source. As many lines as sources name rules, at
/// most: those that never hit are left out.
#[derive(Debug)]
pub(super) struct Rules(pub(super) Arc<Ingest>);

impl Collector for Rules {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let live = self.0.live();
        let mut hits = BTreeMap::new();
        for (source, chain) in &live.chains {
            for stage in chain.stages() {
                let Stage::Pack(pack) = stage else { continue };
                count(&mut hits, source, &pack);
                pack.linked().for_each(|pack| count(&mut hits, source, pack));
            }
        }
        let lines = hits.iter().map(|((source, pack, rule), hits)| {
            ([("source", source.as_str()), ("pack", pack.as_str()), ("rule", rule.as_str())], *hits)
        });
        let help = "Values that a rule of a source found, since the configuration was taken over";
        counters(&mut encoder, "keelrow_rule_hits", help, lines)
    }
}

/// Adds what the rules of a pack found in a source, where they found anything.
fn count(hits: &mut BTreeMap<(String, String, String), u64>, source: &str, pack: &Pack) {
    for (rule, found) in pack.hits().filter(|&(_, found)| found > 0) {
        let labels = (source.to_owned(), pack.name().to_owned(), rule.to_owned());
        *hits.entry(labels).or_default() += found;
    }
}
