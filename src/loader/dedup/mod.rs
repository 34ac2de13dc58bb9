//! Which events were seen before: two hashes an event, in memory, bounded, kept across restarts.
//!
//! The hash of an event's identity (source, messageId, part) finds the entry, the hash of its
//! content (type, name, original time) confirms it. An entry waits with its batch until the batch
//! commits; a batch that is thrown away takes its entries along. The entries of each batch lie in a
//! file beside the journal, written before its commit, from which the table is built at start and
//! by which the oldest batches leave. The loader calls it for each record.

mod file;
mod pace;
mod table;

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::pace::Pace;
use self::table::{Entry, Table};
use crate::clock::Timestamp;
use crate::storage::keys::Number;

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// For how long, in arrival time; zero finds no repeats.
    pub window: Duration,
    /// Most keys; the oldest batches leave before there are more. Zero finds no repeats.
    pub keys_max: usize,
}

impl Options {
    /// True if repeats are not looked for.
    const fn is_off(&self) -> bool {
        self.window.is_zero() || self.keys_max == 0
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { window: Duration::from_hours(24), keys_max: 7_000_000 }
    }
}

/// Why the table could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct Error {
    /// What was tried.
    action: &'static str,
    /// On which file or folder.
    path: PathBuf,
    /// How it failed.
    #[source]
    source: io::Error,
}

/// What an event is to the events before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not seen within the window.
    New,
    /// Seen: leave it out.
    Repeat,
    /// Its messageId was seen with another event: reject it.
    Reused,
}

/// Earliest and latest arrival of some events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// The earliest.
    pub first: Timestamp,
    /// The latest.
    pub last: Timestamp,
}

impl Arrivals {
    /// Takes one more event in.
    #[must_use]
    pub fn with(arrivals: Option<Self>, at: Timestamp) -> Self {
        arrivals.map_or(Self { first: at, last: at }, |seen| Self {
            first: seen.first.min(at),
            last: seen.last.max(at),
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Generation {
    number: Number,
    entries: usize,
    arrivals: Option<Arrivals>,
}

/// What was seen, in committed batches and in the open one.
#[derive(Debug)]
pub struct Dedup {
    folder: PathBuf,
    options: Options,
    table: Table,
    /// Committed batches that are in the table, oldest first.
    generations: VecDeque<Generation>,
    /// Batches that left since the last commit.
    left: Vec<Number>,
    /// Entries of the open batch.
    open: HashMap<u64, u64, foldhash::fast::FixedState>,
    open_arrivals: Option<Arrivals>,
    /// The time by which batches are too old, see [`Pace`]; arrivals may be later.
    time: Timestamp,
}

impl Dedup {
    /// Reads back what the batches up to `last` left in `folder`, which is made if missing; files
    /// of later batches are removed, since those never committed. It is `now`.
    ///
    /// A damaged file costs its batch's part of the window, and is said so.
    ///
    /// # Errors
    /// [`Error`] if the folder cannot be made or read.
    pub fn open(
        folder: PathBuf,
        options: Options,
        last: Option<Number>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let failed = |action, path: &Path, source| Error { action, path: path.into(), source };
        make(&folder).map_err(|e| failed("make folder", &folder, e))?;
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&folder).map_err(|e| failed("list", &folder, e))? {
            let entry = entry.map_err(|e| failed("list", &folder, e))?;
            match entry.file_name().to_str().and_then(file::number) {
                Some(number) if Some(number) <= last => numbers.push(number),
                _ => {
                    fs::remove_file(entry.path()).map_err(|e| failed("remove", &entry.path(), e))?
                }
            }
        }
        numbers.sort_unstable();
        let mut dedup = Self {
            folder,
            options,
            table: Table::new(),
            generations: VecDeque::new(),
            left: Vec::new(),
            open: HashMap::default(),
            open_arrivals: None,
            time: now,
        };
        // Newest first, so that nothing is read only to leave again.
        for number in numbers.into_iter().rev() {
            dedup.read_back(number)?;
        }
        Ok(dedup)
    }

    /// Puts a batch older than all in the table before them, or removes its file if it is too old.
    fn read_back(&mut self, number: Number) -> Result<(), Error> {
        let fits = self.table.len() < self.options.keys_max && !self.options.is_off();
        let batch =
            if fits { file::read(&self.folder, number) } else { return self.forget(number) };
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                let batch = number.0;
                tracing::warn!(%error, batch, "repeats of the events of a batch will not be seen");
                return self.forget(number);
            }
        };
        let newest = self.newest().or_else(|| batch.arrivals.map(|arrivals| arrivals.last));
        let newest = newest.min(Some(self.time));
        if self.table.len() + batch.entries.len() > self.options.keys_max
            || is_past(batch.arrivals, newest, self.options.window)
        {
            return self.forget(number);
        }
        let entries = batch.entries.len();
        batch.entries.into_iter().for_each(|entry| self.add(entry));
        self.generations.push_front(Generation { number, entries, arrivals: batch.arrivals });
        Ok(())
    }

    fn add(&mut self, entry: Entry) {
        if entry.key != 0 && self.table.get(entry.key).is_none() {
            self.table.insert(entry);
        }
    }

    /// Judges an event and remembers it with the open batch if it is not a repeat.
    ///
    /// A `key` of 0 is a minted id: such an event is always new.
    pub fn judge(&mut self, key: u64, content: u64, at: Timestamp) -> Verdict {
        if key == 0 || self.options.is_off() {
            return Verdict::New;
        }
        self.expire(at);
        match self.seen(key) {
            None => self.enter(key, content, at, Verdict::New),
            Some(known) if known == content => Verdict::Repeat,
            // The other event that has this messageId is remembered as well, or each repeat of it
            // would be one more rejected row.
            Some(_) => match self.seen(other_key(key, content)) {
                Some(known) if known == content => Verdict::Repeat,
                _ => self.enter(other_key(key, content), content, at, Verdict::Reused),
            },
        }
    }

    /// Remembers an event whose verdict is known from a plan.
    pub fn replay(&mut self, key: u64, content: u64, at: Timestamp, verdict: Verdict) {
        match verdict {
            Verdict::New if key != 0 => self.enter(key, content, at, verdict),
            Verdict::Reused => self.enter(other_key(key, content), content, at, verdict),
            Verdict::New | Verdict::Repeat => verdict,
        };
    }

    /// Tells the time, which no batch leaves before.
    pub const fn tell_time(&mut self, time: Timestamp) {
        self.time = time;
    }

    /// The time that was told last.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// Lets the batches leave whose window is over when the open batch begins, at `at`: the last commit,
    /// which lets them leave otherwise, may be long ago.
    fn expire(&mut self, at: Timestamp) {
        if self.open_arrivals.is_some() {
            return;
        }
        let (window, at) = (self.options.window, at.min(self.time));
        let is_over = |oldest: &&Generation| is_past(oldest.arrivals, Some(at), window);
        while let Some(number) = self.generations.front().filter(is_over).map(|g| g.number) {
            self.left.push(number);
            self.leave();
        }
    }

    fn seen(&self, key: u64) -> Option<u64> {
        self.open.get(&key).copied().or_else(|| self.table.get(key))
    }

    fn enter(&mut self, key: u64, content: u64, at: Timestamp, verdict: Verdict) -> Verdict {
        if !self.options.is_off() {
            self.open.insert(key, content);
        }
        self.open_arrivals = Some(Arrivals::with(self.open_arrivals, at));
        verdict
    }

    /// True once the open batch has as many entries as there may be in all.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !self.options.is_off() && self.open.len() >= self.options.keys_max
    }

    /// Forgets the open batch.
    pub fn discard(&mut self) {
        self.open.clear();
        self.open_arrivals = None;
    }

    /// Writes the entries of the open batch, which is `number`; on return they survive power loss.
    /// The batch stays open.
    ///
    /// # Errors
    /// [`Error`]; the call may be repeated.
    pub fn save(&self, number: Number) -> Result<(), Error> {
        let entry = |(&key, &content)| Entry { key, content };
        let mut entries: Vec<Entry> = self.open.iter().map(entry).collect();
        entries.sort_unstable_by_key(|entry| entry.key);
        let batch = file::Batch { number, arrivals: self.open_arrivals, entries };
        // It may have been removed since the start.
        let written = make(&self.folder).and_then(|()| file::write(&self.folder, &batch));
        written.map_err(|source| Error {
            action: "write",
            path: file::path(&self.folder, number),
            source,
        })
    }

    /// Makes the open batch, which is `number` and has been saved, part of the past; what is too
    /// old or too much leaves.
    ///
    /// # Errors
    /// [`Error`] if the file of a batch that left cannot be removed; the table is right all the
    /// same.
    pub fn commit(&mut self, number: Number) -> Result<(), Error> {
        let arrivals = self.open_arrivals.take();
        let open = std::mem::take(&mut self.open);
        let newest = self.newest().max(arrivals.map(|arrivals| arrivals.last));
        let newest = newest.min(Some(self.time));
        let mut left = std::mem::take(&mut self.left);
        while let Some(oldest) = self.generations.front() {
            let full = self.table.len() + open.len() > self.options.keys_max;
            if !full && !is_past(oldest.arrivals, newest, self.options.window) {
                break;
            }
            left.push(oldest.number);
            self.leave();
        }
        self.generations.push_back(Generation { number, entries: open.len(), arrivals });
        for (key, content) in open {
            self.add(Entry { key, content });
        }
        left.into_iter().try_for_each(|number| self.forget(number))
    }

    /// Takes the oldest batch out of the table.
    fn leave(&mut self) {
        let Some(oldest) = self.generations.pop_front() else { return };
        if oldest.entries == 0 {
            return;
        }
        match file::read(&self.folder, oldest.number) {
            Ok(batch) => batch.entries.iter().for_each(|entry| self.table.remove(entry.key)),
            Err(error) => {
                let batch = oldest.number.0;
                tracing::warn!(%error, batch, "the table of repeats is built again");
                self.rebuild();
            }
        }
    }

    /// Builds the table from the files of the batches that stay.
    fn rebuild(&mut self) {
        self.table = Table::new();
        for generation in std::mem::take(&mut self.generations) {
            let Ok(batch) = file::read(&self.folder, generation.number) else { continue };
            batch.entries.into_iter().for_each(|entry| self.add(entry));
            self.generations.push_back(generation);
        }
    }

    fn forget(&self, number: Number) -> Result<(), Error> {
        let path = file::path(&self.folder, number);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error { action: "remove", path, source: error })
            }
            _ => Ok(()),
        }
    }

    /// The latest arrival in the batches that are in the table.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        self.generations.iter().filter_map(|g| g.arrivals.map(|arrivals| arrivals.last)).max()
    }

    /// Whether the entries of a committed batch are in the table.
    #[must_use]
    pub fn has(&self, number: Number) -> bool {
        self.generations.iter().any(|generation| generation.number == number)
    }

    /// Keys of committed batches.
    #[must_use]
    pub const fn keys(&self) -> usize {
        self.table.len()
    }

    /// How far back in arrival time repeats are seen now.
    #[must_use]
    pub fn window_held(&self) -> Duration {
        let oldest =
            self.generations.iter().find_map(|g| g.arrivals.map(|arrivals| arrivals.first));
        let micros = match (oldest, self.newest().min(Some(self.time))) {
            (Some(oldest), Some(newest)) => newest.micros().saturating_sub(oldest.micros()),
            _ => 0,
        };
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

fn make(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Where the other event with a messageId is found.
fn other_key(key: u64, content: u64) -> u64 {
    let mixed = (key.rotate_left(32) ^ content).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed ^ (mixed >> 32)).max(1)
}

fn is_past(arrivals: Option<Arrivals>, newest: Option<Timestamp>, window: Duration) -> bool {
    match (arrivals, newest) {
        (Some(arrivals), Some(newest)) => arrivals.last.saturating_add(window) < newest,
        // A batch without entries has nothing to keep.
        _ => arrivals.is_none(),
    }
}

#[cfg(test)]
mod tests;
