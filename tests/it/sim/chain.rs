//! A writer's chain of batches, held against what its journal was seen to hold.
//!
//! Each new manifest is checked once, on its own and against the one before: the range, the verdicts
//! over repeats, the books, the files and every row in them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use bytes::Bytes;
use keelrow::loader::plan::Plan;
use keelrow::storage::keys::{Key, Number, Part};
use keelrow::storage::manifest::{Counts, Manifest, checksum, hex_sha256};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::lake::Lake;
use super::record::Known;

/// An entry of the table of repeats.
#[derive(Clone, Copy, Debug)]
struct Entry {
    generation: usize,
    content: u64,
    /// It has the identity for its own; others came with an identity that was taken.
    is_first: bool,
}

/// The entries of one batch.
#[derive(Clone, Copy, Debug)]
struct Generation {
    entries: usize,
    last_arrival: i64,
}

/// What became of a record, by the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    New,
    Repeat,
    Reused,
    Damaged,
}

/// What a loader was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) window: Duration,
    pub(super) keys_max: usize,
    pub(super) max_age: Duration,
    pub(super) max_bytes: u64,
    pub(super) memory: u64,
    pub(super) row_group_bytes: u64,
    pub(super) part_bytes: u64,
}

/// A writer's batches.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    writer: Part,
    options: Options,
    pub(super) batches: u64,
    previous: Option<String>,
    /// The first position that is in no batch.
    pub(super) to: u64,
    hour: String,
    generations: Vec<Generation>,
    entries: HashMap<u64, Vec<Entry>>,
    newest_arrival: i64,
    /// The books of all batches.
    pub(super) books: BTreeMap<String, Counts>,
    /// Numbers of the events that have left the journal, whatever became of them.
    pub(super) settled: BTreeSet<u64>,
    /// Positions that were booked as damaged.
    pub(super) damaged: BTreeSet<u64>,
}

impl Chain {
    pub(super) fn new(writer: &str, options: Options) -> Self {
        Self {
            writer: Part::new(writer).unwrap(),
            options,
            batches: 0,
            previous: None,
            to: 0,
            hour: String::new(),
            generations: Vec::new(),
            entries: HashMap::new(),
            newest_arrival: i64::MIN,
            books: BTreeMap::new(),
            settled: BTreeSet::new(),
            damaged: BTreeSet::new(),
        }
    }

    /// The end of a batch that is planned, not committed, and of which a file is in the lake.
    pub(super) fn seen_to(&self, lake: &Lake) -> Option<u64> {
        let key = Key::Plan(self.writer.clone(), Number(self.batches + 1));
        let plan = Plan::from_bytes(&key, &lake.get(&key.to_string())?).unwrap();
        let is_seen = plan.parts.iter().any(|part| lake.get(&part.path).is_some());
        is_seen.then_some(plan.journal.to)
    }

    /// Checks the next batch against the records of the journal it was made of.
    pub(super) fn take(
        &mut self,
        manifest: &Manifest,
        bytes: &Bytes,
        known: &[Known],
        lake: &Lake,
    ) {
        let number = self.batches + 1;
        assert_eq!(manifest.number, Number(number), "the chain has a gap");
        assert_eq!(manifest.previous, self.previous, "batch {number} is not chained");
        assert_eq!(manifest.journal.from, self.to, "batch {number} leaves records out");
        assert!(manifest.hour >= self.hour, "hours of a writer go back");
        let key = Key::Plan(self.writer.clone(), Number(number));
        let plan_bytes = lake.get(&key.to_string()).expect("a committed batch has a plan");
        assert_eq!(manifest.plan, checksum(&plan_bytes), "batch {number} has another plan");
        let plan = Plan::from_bytes(&key, &plan_bytes).unwrap();
        if manifest.journal.to == self.to {
            // Its plan lost a record before anything of it was seen.
            assert!(manifest.files.is_empty() && manifest.sources.is_empty());
            assert!(plan.parts.iter().all(|part| lake.get(&part.path).is_none()));
            self.generations.push(Generation { entries: 0, last_arrival: i64::MIN });
        } else {
            assert_eq!(plan.journal, manifest.journal);
            let verdicts = self.judge(&plan, known);
            self.check_books(manifest, &plan, known, &verdicts);
            self.check_files(manifest, known, &verdicts, lake);
        }
        self.batches = number;
        self.previous = Some(checksum(bytes));
        self.to = manifest.journal.to;
        self.hour.clone_from(&manifest.hour);
    }

    /// The verdict of every record of a batch; checks that each may be so.
    fn judge(&mut self, plan: &Plan, known: &[Known]) -> Vec<Verdict> {
        let generation = self.generations.len();
        self.generations.push(Generation { entries: 0, last_arrival: i64::MIN });
        let mut verdicts = Vec::new();
        let batch = plan.number.0;
        for position in plan.journal.from..plan.journal.to {
            let record = record(known, position);
            let lost = plan.left_out.damaged.iter();
            let verdict = if lost.into_iter().any(|lost| (lost.from..lost.to).contains(&position)) {
                self.damaged.insert(position);
                Verdict::Damaged
            } else if plan.left_out.duplicates.contains(position) {
                Verdict::Repeat
            } else if plan.left_out.reused.contains(position) {
                Verdict::Reused
            } else {
                Verdict::New
            };
            if record.serial.is_some() && self.generations[generation].entries == 0 {
                // What is too old leaves when a batch begins.
                self.newest_arrival = self.newest_arrival.max(record.received_at);
            }
            self.check_verdict(record, (position, batch), verdict);
            self.enter(record, verdict, generation);
            verdicts.push(verdict);
        }
        self.newest_arrival = self.newest_arrival.max(self.generations[generation].last_arrival);
        verdicts
    }

    /// Whether a batch's entries cannot have left the table of repeats.
    fn is_held(&self, generation: usize) -> bool {
        let window = i64::try_from(self.options.window.as_micros()).unwrap();
        let after: usize = self.generations[generation..].iter().map(|g| g.entries).sum();
        let last = self.generations[generation].last_arrival;
        generation + 1 == self.generations.len()
            || (last.saturating_add(window) >= self.newest_arrival
                && after <= self.options.keys_max)
    }

    fn check_verdict(&self, record: &Known, at: (u64, u64), verdict: Verdict) {
        let (position, batch) = at;
        let seen = self.entries.get(&record.key).map(Vec::as_slice).unwrap_or_default();
        let seen = if record.key == 0 { &[] } else { seen };
        let same = |entry: &&Entry| entry.content == record.content;
        let held = |entry: &&Entry| self.is_held(entry.generation);
        match verdict {
            Verdict::New if record.serial.is_some() => {
                let before = seen.iter().filter(held).find(|entry| entry.is_first);
                assert!(
                    before.is_none(),
                    "record {position} is loaded twice, by batch {batch}: {before:?}"
                );
            }
            Verdict::Repeat => {
                assert!(seen.iter().any(|e| same(&e)), "record {position} is no repeat");
            }
            Verdict::Reused => {
                let other = seen.iter().any(|entry| entry.is_first && !same(&entry));
                assert!(other, "record {position} has an id of its own");
                let repeat = seen.iter().filter(held).any(|entry| same(&entry) && entry.is_first);
                assert!(!repeat, "record {position} is a repeat");
            }
            Verdict::New | Verdict::Damaged => {}
        }
    }

    fn enter(&mut self, record: &Known, verdict: Verdict, generation: usize) {
        let enters = matches!(verdict, Verdict::New | Verdict::Reused);
        if record.serial.is_none() || record.key == 0 || !enters {
            return;
        }
        let is_first = verdict == Verdict::New;
        let entry = Entry { generation, content: record.content, is_first };
        self.entries.entry(record.key).or_default().push(entry);
        let batch = &mut self.generations[generation];
        batch.entries += 1;
        batch.last_arrival = batch.last_arrival.max(record.received_at);
    }

    fn check_books(
        &mut self,
        manifest: &Manifest,
        plan: &Plan,
        known: &[Known],
        verdicts: &[Verdict],
    ) {
        let mut books: BTreeMap<String, Counts> = BTreeMap::new();
        for lost in &plan.left_out.damaged {
            let source = lost.source.clone().unwrap_or_else(|| "unknown".into());
            let counts =
                Counts { received: lost.events, damaged: lost.events, ..Counts::default() };
            *books.entry(source).or_default() += counts;
        }
        for (position, verdict) in (plan.journal.from..).zip(verdicts) {
            let record = record(known, position);
            self.settled.extend(record.serial);
            let Known { dropped, suppressed, .. } = *record;
            let mut counts = Counts { received: record.events(), ..Counts::default() };
            match (record.serial, verdict) {
                (_, Verdict::Damaged) => continue,
                (None, _) => (counts.dropped, counts.suppressed) = (dropped, suppressed),
                (_, Verdict::Repeat) => counts.duplicate = 1,
                (_, Verdict::Reused) => counts.rejected = 1,
                (_, Verdict::New) if record.rejected => counts.rejected = 1,
                (_, Verdict::New) => counts.loaded = 1,
            }
            *books.entry(record.source.clone()).or_default() += counts;
        }
        assert_eq!(manifest.sources, books, "the books of batch {}", manifest.number.0);
        let mut total = Counts::default();
        for (source, counts) in books {
            assert!(counts.balance(), "{source}: {counts:?}");
            total += counts;
            *self.books.entry(source).or_default() += counts;
        }
        assert_eq!(manifest.events, total);
    }

    /// Every row that must be there is there once, and no other.
    fn check_files(&self, manifest: &Manifest, known: &[Known], verdicts: &[Verdict], lake: &Lake) {
        let mut wanted: BTreeMap<(String, String), Vec<i64>> = BTreeMap::new();
        let mut counted: BTreeMap<(String, String), u64> = BTreeMap::new();
        for (position, verdict) in (manifest.journal.from..).zip(verdicts) {
            let record = record(known, position);
            let Some(serial) = record.serial else { continue };
            let schema = record.source.clone();
            match verdict {
                Verdict::New if !record.rejected => {
                    let table = (schema.clone(), record.table.clone());
                    wanted.entry(table).or_default().push(i64::try_from(serial).unwrap());
                    *counted.entry((schema, "tracks".into())).or_default() += 1;
                    *counted.entry(("unified_prod".into(), "user_events".into())).or_default() += 1;
                }
                Verdict::New | Verdict::Reused => {
                    *counted.entry((schema, "rejected".into())).or_default() += 1;
                }
                Verdict::Repeat | Verdict::Damaged => {}
            }
        }
        let mut found: BTreeMap<(String, String), Vec<i64>> = BTreeMap::new();
        let mut rows: BTreeMap<(String, String), u64> = BTreeMap::new();
        for file in &manifest.files {
            let bytes = lake.get(&file.path);
            let bytes = bytes.unwrap_or_else(|| panic!("{} is not in the lake", file.path));
            assert_eq!(file.sha256, hex_sha256(&bytes), "{} has other bytes", file.path);
            let table = (file.schema.clone(), file.table.clone());
            if wanted.contains_key(&table) {
                found.entry(table).or_default().extend(serials(&bytes));
            } else {
                *rows.entry(table).or_default() += file.rows;
            }
        }
        found.values_mut().for_each(|serials| serials.sort_unstable());
        wanted.values_mut().for_each(|serials| serials.sort_unstable());
        assert_eq!(found, wanted, "rows of batch {}", manifest.number.0);
        assert_eq!(rows, counted, "rows of batch {}", manifest.number.0);
    }
}

fn record(known: &[Known], position: u64) -> &Known {
    let at = usize::try_from(position).unwrap();
    known.get(at).unwrap_or_else(|| panic!("record {position} was never acknowledged"))
}

/// The column `n` of a file.
fn serials(file: &Bytes) -> Vec<i64> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap();
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["n"]);
    let mut found = Vec::new();
    for batch in builder.with_projection(mask).build().unwrap() {
        let batch = batch.unwrap();
        let column = batch.column(0).as_primitive::<Int64Type>();
        found.extend(column.iter().map(Option::unwrap));
    }
    found
}
