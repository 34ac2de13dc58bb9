//! Conservation: what senders were told is what the lake holds. Every acknowledged event is there
//! exactly once, no refused one is there, and the lake agrees with itself: chain, checksums, row
//! counts, books.
//!
//! Ids are kept as 128-bit hashes, about 40 bytes each, so that millions of events fit.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::manifest::{self, Books, Committed};
use super::table;
use crate::ledger::{self, Outcome};
use crate::misuse::misuse;

/// Tables in which every event has its one row: one per kind of event, and the rejected.
const HOME_TABLES: [&str; 7] =
    ["tracks", "identifies", "pages", "screens", "groups", "aliases", "rejected"];

/// How many faults of one kind are spelled out.
const EXAMPLES_MAX: usize = 20;

/// What was found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Events the sender knows to be taken.
    pub(crate) acknowledged: u64,
    /// Events the sender knows to be refused.
    pub(crate) refused: u64,
    /// Events that may have been taken.
    pub(crate) unknown: u64,
    /// Acknowledged events found exactly once.
    pub(crate) loaded_once: u64,
    /// Acknowledged events that are nowhere.
    pub(crate) lost: u64,
    /// Events found more than once.
    pub(crate) loaded_twice: u64,
    /// Events found although they were refused.
    pub(crate) loaded_refused: u64,
    /// Events without a sure fate that were found once.
    pub(crate) unknown_loaded: u64,
    /// Rows with an id that is not in the ledger.
    pub(crate) strangers: u64,
    /// Rows of unified tables that repeat an id within their table.
    pub(crate) unified_twice: u64,
    /// Writers that committed any.
    #[serde(default)]
    pub(crate) writers: usize,
    /// Committed batches.
    pub(crate) batches: u64,
    /// Committed files.
    pub(crate) files: u64,
    /// Rows in them.
    pub(crate) rows: u64,
    /// Data files that no manifest names.
    pub(crate) orphans: u64,
    /// The books of all manifests.
    pub(crate) books: Option<Books>,
    /// Everything that is wrong, in words; long lists are cut.
    pub(crate) faults: Vec<String>,
}

impl Report {
    /// Whether conservation holds.
    pub(crate) fn holds(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, kind: &'static str, seen: u64, text: impl FnOnce() -> String) {
        match usize::try_from(seen) {
            Ok(seen) if seen <= EXAMPLES_MAX => self.faults.push(text()),
            Ok(seen) if seen == EXAMPLES_MAX + 1 => {
                self.faults.push(format!("{kind}: and more of the same"));
            }
            _ => {}
        }
    }

    /// The report for a person.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "acknowledged {}, loaded once {}, lost {}, loaded twice {}\n\
             refused {}, loaded all the same {}; without a sure answer {}, of them loaded {}\n\
             batches {}, files {}, rows {}, orphans {}, repeats in unified tables {}\n",
            self.acknowledged,
            self.loaded_once,
            self.lost,
            self.loaded_twice,
            self.refused,
            self.loaded_refused,
            self.unknown,
            self.unknown_loaded,
            self.batches,
            self.files,
            self.rows,
            self.orphans,
            self.unified_twice,
        );
        if let Some(books) = self.books {
            text.push_str(&format!("books: {books:?}\n"));
        }
        for fault in &self.faults {
            text.push_str(&format!("FAULT {fault}\n"));
        }
        text.push_str(if self.holds() { "conservation holds" } else { "conservation BROKEN" });
        text
    }
}

/// Hashes ids; two of them collide with a chance of n^2 / 2^129.
#[derive(Debug)]
struct Ids {
    low: RandomState,
    high: RandomState,
    fates: HashMap<u128, (Outcome, u32)>,
}

impl Ids {
    fn new() -> Self {
        Self { low: RandomState::new(), high: RandomState::new(), fates: HashMap::new() }
    }

    fn hash(&self, id: &str) -> u128 {
        (u128::from(self.high.hash_one(id)) << 64) | u128::from(self.low.hash_one(id))
    }

    /// The surest of all that the sender ever learnt of the id counts.
    fn know(&mut self, id: &str, outcome: Outcome) {
        let fate = self.fates.entry(self.hash(id)).or_insert((outcome, 0));
        fate.0 = fate.0.max(outcome);
    }

    /// Another row of the id; answers how many there are now, none for an unknown id.
    fn see(&mut self, id: &str) -> Option<(Outcome, u32)> {
        let fate = self.fates.get_mut(&self.hash(id))?;
        fate.1 += 1;
        Some(*fate)
    }
}

/// Checks the lake against the ledgers; without a ledger, only against itself.
///
/// # Errors
/// When something cannot be read; what can be read and is wrong is in the report.
pub(crate) fn verify(lake: &Path, ledgers: &[&Path]) -> anyhow::Result<Report> {
    let ours = lake.join("_keelrow");
    if !ours.is_dir() {
        let fault = anyhow!("{} is no lake: it has no folder _keelrow", lake.display());
        return Err(misuse(fault));
    }
    let mut report = Report::default();
    let mut ids = Ids::new();
    for path in ledgers {
        ledger::read(path, |line| {
            for id in &line.ids {
                ids.know(id, line.outcome);
            }
        })?;
    }
    let manifests = manifest::read_all(lake)?;
    chains(&mut report, lake, &manifests)?;
    let mut named = BTreeSet::new();
    for committed in &manifests {
        for file in &committed.manifest.files {
            if !named.insert(file.path.clone()) {
                report.faults.push(format!("{} is in two manifests", file.path));
            }
            data_file(&mut report, lake, file)?;
        }
    }
    orphans(&mut report, lake, &named)?;
    homes(&mut report, lake, &manifests, &mut ids, !ledgers.is_empty())?;
    unified(&mut report, lake, &manifests);
    fates(&mut report, &ids, ledgers)?;
    Ok(report)
}

fn chains(report: &mut Report, lake: &Path, manifests: &[Committed]) -> anyhow::Result<()> {
    let mut books = Books::default();
    for chain in manifests.chunk_by(|a, b| a.manifest.writer == b.manifest.writer) {
        report.writers += 1;
        report.faults.extend(manifest::faults_of_chain(chain));
        for committed in chain {
            books.add(&committed.manifest.events);
            plan(report, lake, committed)?;
        }
    }
    report.batches = u64::try_from(manifests.len())?;
    report.books = Some(books);
    Ok(())
}

/// A plan that is still there must be the one the manifest names.
fn plan(report: &mut Report, lake: &Path, committed: &Committed) -> anyhow::Result<()> {
    let Some(named) = &committed.manifest.plan else { return Ok(()) };
    let Some(name) = committed.path.file_name() else { return Ok(()) };
    let path = lake.join("_keelrow/plans").join(&committed.manifest.writer).join(name);
    if path.try_exists()? {
        let sum = sha256(&path)?;
        if named.strip_prefix("sha256:").unwrap_or(named) != sum {
            report.faults.push(format!("{} is not the plan its manifest names", path.display()));
        }
    }
    Ok(())
}

fn data_file(report: &mut Report, lake: &Path, file: &manifest::File) -> anyhow::Result<()> {
    report.files += 1;
    report.rows += file.rows;
    let path = lake.join(&file.path);
    let Ok(found) = path.metadata() else {
        report.faults.push(format!("{} is committed and not there", file.path));
        return Ok(());
    };
    if found.len() != file.bytes {
        report.faults.push(format!("{} has {} bytes, not {}", file.path, found.len(), file.bytes));
    }
    if sha256(&path)? != file.sha256.strip_prefix("sha256:").unwrap_or(&file.sha256) {
        report.faults.push(format!("{} has another checksum than its manifest says", file.path));
    }
    match table::shape(&path) {
        Ok(shape) if shape.rows != file.rows => {
            report.faults.push(format!("{} has {} rows, not {}", file.path, shape.rows, file.rows));
        }
        Ok(_) => {}
        Err(fault) => report.faults.push(format!("{fault:#}")),
    }
    Ok(())
}

fn orphans(report: &mut Report, lake: &Path, named: &BTreeSet<String>) -> anyhow::Result<()> {
    for path in manifest::files_under(lake)? {
        let Some(relative) = path.strip_prefix(lake).ok().and_then(Path::to_str) else { continue };
        let relative = relative.replace('\\', "/");
        if relative.ends_with(".parquet") && !named.contains(&relative) {
            report.orphans += 1;
            let seen = report.orphans;
            report.fault("orphans", seen, || format!("{relative} is in no manifest"));
        }
    }
    Ok(())
}

/// Counts every event's row in its home table.
fn homes(
    report: &mut Report,
    lake: &Path,
    manifests: &[Committed],
    ids: &mut Ids,
    judged: bool,
) -> anyhow::Result<()> {
    let mut rows = 0;
    for file in manifests.iter().flat_map(|committed| &committed.manifest.files) {
        let unified = file.path.starts_with("unified/");
        if unified || !HOME_TABLES.contains(&file.table.as_str()) {
            continue;
        }
        rows += file.rows;
        let path = lake.join(&file.path);
        if !path.try_exists()? {
            continue;
        }
        let mut strange = Vec::new();
        let read = table::each_text_of(&path, "id", |id| {
            if ids.see(id).is_none() {
                strange.push(id.to_owned());
            }
        });
        match read {
            Ok(true) => {}
            Ok(false) => report.faults.push(format!("{} has no column id", file.path)),
            Err(fault) => report.faults.push(format!("{fault:#}")),
        }
        for id in strange {
            report.strangers += 1;
            let seen = report.strangers;
            if judged {
                report.fault("strangers", seen, || format!("{id} was loaded and never sent"));
            }
        }
    }
    let books = report.books.unwrap_or_default();
    if rows != books.loaded + books.rejected {
        report.faults.push(format!(
            "the tables hold {rows} events, the books {} loaded and {} rejected",
            books.loaded, books.rejected
        ));
    }
    Ok(())
}

/// An event has at most one row in each unified table.
fn unified(report: &mut Report, lake: &Path, manifests: &[Committed]) {
    let mut tables: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    for file in manifests.iter().flat_map(|committed| &committed.manifest.files) {
        // The generation is part of the folder: a rebuilt table holds every event once again.
        if file.path.starts_with("unified/") {
            let generation = file.path.split('/').nth(3).unwrap_or_default().to_owned();
            let table = format!("{}/{}", file.schema, file.table);
            tables.entry((table, generation)).or_default().push(&file.path);
        }
    }
    let hasher = Ids::new();
    for ((table, generation), files) in tables {
        let mut seen = std::collections::HashSet::new();
        let mut twice = 0;
        for file in files {
            let path = lake.join(file);
            // A file that is missing or cannot be read was named already.
            drop(table::each_text_of(&path, "id", |id| {
                twice += u64::from(!seen.insert(hasher.hash(id)));
            }));
        }
        report.unified_twice += twice;
        if twice > 0 {
            report.faults.push(format!("{table} {generation} repeats {twice} ids"));
        }
    }
}

/// Judges each id by what its sender was told.
fn fates(report: &mut Report, ids: &Ids, ledgers: &[&Path]) -> anyhow::Result<()> {
    for (outcome, rows) in ids.fates.values() {
        match outcome {
            Outcome::Acknowledged => report.acknowledged += 1,
            Outcome::Refused => report.refused += 1,
            Outcome::Unknown => report.unknown += 1,
        }
        match (outcome, rows) {
            (Outcome::Acknowledged, 0) => report.lost += 1,
            (Outcome::Acknowledged, 1) => report.loaded_once += 1,
            (Outcome::Refused, 1) => report.loaded_refused += 1,
            (Outcome::Unknown, 1) => report.unknown_loaded += 1,
            (_, 0) => {}
            _ => report.loaded_twice += 1,
        }
    }
    if report.lost + report.loaded_twice + report.loaded_refused == 0 {
        return Ok(());
    }
    // Only now are the ids themselves needed: the ledgers are read again for the wrong ones.
    let mut named = 0;
    for path in ledgers {
        ledger::read(path, |line| {
            for id in &line.ids {
                let fate = ids.fates.get(&ids.hash(id)).copied();
                let what = match fate {
                    Some((Outcome::Acknowledged, 0)) => "was acknowledged and is lost",
                    Some((Outcome::Refused, 1)) => "was refused and is loaded",
                    Some((_, rows)) if rows > 1 => "is loaded more than once",
                    _ => continue,
                };
                named += 1;
                report.fault("events", named, || format!("{id} {what}"));
            }
        })?;
    }
    Ok(())
}

fn sha256(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 18];
    loop {
        let count = file.read(&mut buffer).with_context(|| format!("read {}", path.display()))?;
        if count == 0 {
            return Ok(manifest::hex(&hasher.finalize()));
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
