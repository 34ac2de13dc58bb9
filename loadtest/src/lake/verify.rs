//! Conservation: what senders were told is what the lake holds. Every acknowledged event is there
//! exactly once in each table it belongs to, no refused one is there, and the lake agrees with itself:
//! chain, checksums, row counts, books, and its tables with each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::manifest::{self, Books, Committed};
use super::places::{Breach, Places};
use super::table;
use crate::ledger::{self, End, Outcome};
use crate::misuse::misuse;

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
    /// Rows in the tables of events' names.
    #[serde(default)]
    pub(crate) event_rows: u64,
    /// Rows in unified tables.
    #[serde(default)]
    pub(crate) unified_rows: u64,
    /// Tables that lack rows of their events, have some twice, or others' too.
    #[serde(default)]
    pub(crate) breaches: BTreeMap<String, Breach>,
    /// What a reader should know and is no fault.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
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
             batches {}, files {}, rows {} ({} in event tables, {} in unified ones), orphans {}\n",
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
            self.event_rows,
            self.unified_rows,
            self.orphans,
        );
        if let Some(books) = self.books {
            text.push_str(&format!("books: {books:?}\n"));
        }
        for note in &self.notes {
            text.push_str(&format!("note: {note}\n"));
        }
        for fault in &self.faults {
            text.push_str(&format!("FAULT {fault}\n"));
        }
        text.push_str(if self.holds() { "conservation holds" } else { "conservation BROKEN" });
        text
    }
}

/// Checks the lake against the ledgers; without a ledger, only against itself. `without` names tables
/// that the configuration leaves out.
///
/// # Errors
/// When something cannot be read; what can be read and is wrong is in the report.
pub(crate) fn verify(lake: &Path, ledgers: &[&Path], without: &[String]) -> anyhow::Result<Report> {
    let ours = lake.join("_keelrow");
    if !ours.is_dir() {
        let fault = anyhow!("{} is no lake: it has no folder _keelrow", lake.display());
        return Err(misuse(fault));
    }
    let mut report = Report::default();
    let manifests = manifest::read_all(lake)?;
    let mut rows = Places::new(lake, &manifests, without);
    for path in ledgers {
        let end = ledger::read(path, |line| {
            for id in &line.ids {
                rows.know(id, line.outcome);
            }
        })?;
        report.notes.extend(end_in_words(end).map(|text| format!("{}: {text}", path.display())));
    }
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
    places(&mut report, &mut rows, !ledgers.is_empty());
    fates(&mut report, &rows, ledgers)?;
    Ok(report)
}

/// What a ledger's end means for the proof; nothing if it is as planned.
const fn end_in_words(end: Option<End>) -> Option<&'static str> {
    match end {
        Some(End::Complete) => None,
        Some(End::CutShort) => Some("the run was cut short; all that was sent is noted"),
        None => Some("it has no end: its writer died, or is at work; what it sent last is missing"),
    }
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

/// Looks for every event's rows in all tables.
fn places(report: &mut Report, places: &mut Places<'_>, judged: bool) {
    let mut strangers = 0;
    let mut named = Vec::new();
    places.read(|id| {
        strangers += 1;
        if strangers <= EXAMPLES_MAX + 1 {
            named.push(id.to_owned());
        }
    });
    report.strangers = u64::try_from(strangers).unwrap_or(u64::MAX);
    for (seen, id) in (1..).zip(named).filter(|_| judged) {
        report.fault("strangers", seen, || format!("{id} was loaded and never sent"));
    }
    report.faults.append(&mut places.faults);
    let books = report.books.unwrap_or_default();
    let rows = places.homes;
    if rows != books.loaded + books.rejected {
        report.faults.push(format!(
            "the tables hold {rows} events, the books {} loaded and {} rejected",
            books.loaded, books.rejected
        ));
    }
    (report.event_rows, report.unified_rows) = (places.events, places.unified);
    report.breaches = std::mem::take(&mut places.breaches);
    let texts: Vec<String> =
        report.breaches.iter().map(|(table, breach)| breach.text(table)).collect();
    for (seen, text) in (1..).zip(texts) {
        report.fault("tables", seen, || text);
    }
}

/// Judges each id by what its sender was told.
fn fates(report: &mut Report, places: &Places<'_>, ledgers: &[&Path]) -> anyhow::Result<()> {
    for rows in places.all() {
        let Some(outcome) = rows.outcome else { continue };
        match outcome {
            Outcome::Acknowledged => report.acknowledged += 1,
            Outcome::Refused => report.refused += 1,
            Outcome::Unknown => report.unknown += 1,
        }
        match (outcome, rows.homes) {
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
                let rows = places.of(id);
                let what = match (rows.outcome, rows.homes) {
                    (Some(Outcome::Acknowledged), 0) => "was acknowledged and is lost",
                    (Some(Outcome::Refused), 1) => "was refused and is loaded",
                    (Some(_), homes) if homes > 1 => "is loaded more than once",
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
