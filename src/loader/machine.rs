//! The loader as a state machine: each call of [`Loader::advance`] does a bounded piece of work.
//!
//! States: not recovered yet; reading (with or without an open range); committing a batch that is
//! cut; a batch whose local files are lost. An error leaves the state such that the next call goes
//! on: a range that failed is thrown away and cut again, a batch that is cut keeps what it has done
//! and is made again from the journal where its files were removed under it. A crash at any point
//! leads back to "not recovered yet".

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::batch::{Committed, Link, Pending};
use super::chain::Chain;
use super::dedup::{self, Dedup, Pace};
use super::local::make_empty;
use super::note;
use super::plan::Plan;
use super::planned::{self, Found};
use super::range::{Desk, Range, Taken};
use super::rows::{Batch, Pressed, Workshop};
use super::status::Report;
use super::unnoted;
use crate::clock::Clock;
use crate::journal::{Journal, Position, Reader};
use crate::storage::keys::{Key, Part};
use crate::storage::manifest::Manifest;
use crate::storage::registry::Registry;
use crate::storage::{Store, lake};
use crate::warehouse::OTHER_EVENTS;

/// Records taken in one call, so that a stop is heard within milliseconds.
const RECORDS_AT_ONCE: usize = 2_048;

/// When a range ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Age since it was opened.
    pub max_age: Duration,
    /// Bytes of journal records.
    pub max_bytes: u64,
    /// Bytes of open row groups, counted from rows.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_age: Duration::from_secs(300), max_bytes: 1 << 30, memory: 128 << 20 }
    }
}

/// How a loader is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder beside the journal for the table of repeats, the note of the last batch, and the
    /// local files of the open one.
    pub folder: PathBuf,
    /// The lake's dialect.
    pub dialect: String,
    /// When a range ends.
    pub limits: Limits,
    /// How much of the past is remembered.
    pub dedup: dedup::Options,
}

/// What a loader works with.
#[derive(Debug)]
pub struct Services {
    /// Where the records come from.
    pub journal: Arc<dyn Journal>,
    /// Where the files go.
    pub store: Store,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes rows of events.
    pub workshop: Box<dyn Workshop>,
}

/// What a call of [`Loader::advance`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Something; there may be more at once.
    More,
    /// A batch was committed.
    Committed,
    /// All records are taken; nothing to do until there are more, or this time is over.
    Waiting(Duration),
}

/// The loader; see the module's text.
#[derive(Debug)]
pub struct Loader {
    options: Options,
    services: Services,
    recovered: Option<Recovered>,
}

#[derive(Debug)]
struct Recovered {
    chain: Chain,
    desk: Desk,
    pace: Pace,
    reader: Option<Box<dyn Reader>>,
    state: State,
    /// Over the batches of this run.
    pressed: Pressed,
}

#[derive(Debug)]
enum State {
    Reading(Option<Box<Range>>),
    Committing(Box<Pending>),
    /// The local files of a batch are lost; its plan may be in the lake.
    Lost,
}

impl Recovered {
    /// Tells the table of repeats what time it is.
    fn tell_time(&mut self, clock: &dyn Clock) {
        let time = self.pace.time(clock.now(), clock.elapsed());
        self.desk.dedup.tell_time(time);
    }

    /// Notes where the tables of a committed batch came near a limit, and warns of what is new.
    fn press(&mut self, batch: Pressed) {
        for (table, columns) in batch.columns {
            let before = self.pressed.columns.insert(table.clone(), columns);
            if before.is_none() {
                tracing::warn!(table, columns, "a table nears the most columns it may have");
            }
        }
        for (source, events) in batch.without_table {
            let count = self.pressed.without_table.entry(source.clone()).or_default();
            if *count == 0 {
                let table = OTHER_EVENTS;
                tracing::warn!(source, table, "a schema has all the event tables it may have");
            }
            *count += events;
        }
    }
}

impl Loader {
    /// Makes a loader; nothing is read or written yet.
    #[must_use]
    pub const fn new(options: Options, services: Services) -> Self {
        Self { options, services, recovered: None }
    }

    /// Does a bounded piece of work. With `flush` the open range ends when all records are taken.
    ///
    /// # Errors
    /// Any of [`Error`]; see [`Error::remedy`] for whether to call again.
    pub fn advance(&mut self, flush: bool) -> Result<Progress, Error> {
        if self.recovered.is_none() {
            self.recovered = Some(self.recover()?);
            return Ok(Progress::More);
        }
        let Some(recovered) = &mut self.recovered else { return Ok(Progress::More) };
        match std::mem::replace(&mut recovered.state, State::Reading(None)) {
            State::Committing(mut pending) => match self.commit(&mut pending) {
                Ok(progress) => Ok(progress),
                Err(error @ Error::Local { .. }) => {
                    self.throw_away();
                    self.set(State::Lost);
                    Err(error)
                }
                Err(error) => {
                    self.set(State::Committing(pending));
                    Err(error)
                }
            },
            State::Lost => {
                self.set(State::Lost);
                self.make_again()?;
                Ok(Progress::More)
            }
            State::Reading(range) => {
                let read = self.read(range, flush);
                if read.is_err() {
                    self.throw_away();
                }
                read
            }
        }
    }

    fn set(&mut self, state: State) {
        if let Some(recovered) = &mut self.recovered {
            recovered.state = state;
        }
    }

    /// Forgets the open range; its records are still in the journal.
    fn throw_away(&mut self) {
        if let Some(recovered) = &mut self.recovered {
            recovered.state = State::Reading(None);
            recovered.desk.dedup.discard();
            recovered.reader = None;
        }
        self.clear_work();
    }

    /// The first position that is in no committed batch; `None` before recovery.
    #[must_use]
    pub fn committed_to(&self) -> Option<Position> {
        let recovered = self.recovered.as_ref()?;
        Some(Position::new(self.first_position(&recovered.chain)))
    }

    /// The first position that was not taken yet.
    #[must_use]
    pub fn taken_to(&self) -> Option<Position> {
        let recovered = self.recovered.as_ref()?;
        Some(Position::new(match &recovered.state {
            State::Reading(Some(range)) => range.next(),
            State::Reading(None) | State::Lost => self.first_position(&recovered.chain),
            State::Committing(pending) => pending.cut.to,
        }))
    }

    /// The journal's oldest record is where a writer without batches starts.
    fn first_position(&self, chain: &Chain) -> u64 {
        chain
            .last
            .as_ref()
            .map_or_else(|| self.services.journal.state().first.get(), |last| last.to)
    }

    /// What there is to tell, once recovered.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        let recovered = self.recovered.as_ref()?;
        Some(Report {
            number: recovered.chain.last.as_ref().map(|last| last.number),
            committed_to: self.first_position(&recovered.chain),
            books: recovered.chain.books.sources().clone(),
            dedup_keys: recovered.desk.dedup.keys(),
            dedup_window: recovered.desk.dedup.window_held(),
            pressed: recovered.pressed.clone(),
        })
    }

    fn read(&mut self, range: Option<Box<Range>>, flush: bool) -> Result<Progress, Error> {
        let limits = self.options.limits;
        if let Some(recovered) = &mut self.recovered {
            recovered.tell_time(&*self.services.clock);
        }
        let mut range = range;
        let mut reader = self.take_reader(range.as_deref())?;
        let mut turned = false;
        let mut taken = 0;
        while taken < RECORDS_AT_ONCE && !turned {
            let Some(item) = reader.next().map_err(Error::Journal)? else { break };
            let open = match &mut range {
                Some(open) => open,
                none => none.insert(Box::new(self.open_range()?)),
            };
            let Some(recovered) = &mut self.recovered else { break };
            turned = open.take(item, &limits, &mut recovered.desk)? == Taken::HourTurned;
            taken += 1;
            if open.is_due(&limits, self.services.clock.elapsed()) {
                break;
            }
        }
        // After the turn of the hour the reader is one record ahead.
        self.keep_reader((!turned).then_some(reader));
        let Some(open) = range else { return Ok(Progress::Waiting(limits.max_age)) };
        let elapsed = self.services.clock.elapsed();
        let at_end = taken < RECORDS_AT_ONCE;
        if turned || open.is_due(&limits, elapsed) || (flush && at_end) {
            let cut = open.end()?;
            let link = self.link();
            self.set(State::Committing(Box::new(Pending::new(cut, link))));
            return Ok(Progress::More);
        }
        let wait = open.time_left(&limits, elapsed);
        self.set(State::Reading(Some(open)));
        Ok(if at_end { Progress::Waiting(wait) } else { Progress::More })
    }

    /// The reader from the last call, if it stands at the right place.
    fn take_reader(&mut self, range: Option<&Range>) -> Result<Box<dyn Reader>, Error> {
        let committed = self.committed_to().unwrap_or(Position::ZERO);
        let from = range.map_or(committed, |range| Position::new(range.next()));
        let kept = self.recovered.as_mut().and_then(|recovered| recovered.reader.take());
        match kept.filter(|reader| reader.position() == from) {
            Some(reader) => Ok(reader),
            None => self.services.journal.reader(from).map_err(Error::Journal),
        }
    }

    fn keep_reader(&mut self, reader: Option<Box<dyn Reader>>) {
        if let Some(recovered) = &mut self.recovered {
            recovered.reader = reader;
        }
    }

    fn open_range(&mut self) -> Result<Range, Error> {
        let from = self.committed_to().unwrap_or(Position::ZERO).get();
        let Some(recovered) = &self.recovered else {
            return Err(Error::JournalBehind { durable: from, committed: from });
        };
        let batch = Batch {
            writer: recovered.chain.writer.clone(),
            number: recovered.chain.next_number(),
            from,
            time: self.services.clock.now(),
            folder: self.work_folder(),
        };
        let hour_floor = recovered.chain.last.as_ref().and_then(|last| last.hour);
        self.make_work()?;
        let (rows, settings) = self.services.workshop.cut(&batch, &recovered.desk.registry)?;
        Ok(Range::open(batch, self.services.clock.elapsed(), hour_floor, rows, settings))
    }

    fn link(&self) -> Link {
        let last = self.recovered.as_ref().and_then(|recovered| recovered.chain.last.as_ref());
        Link {
            previous: last.map(|last| last.checksum.clone()),
            mapping: self.services.workshop.mapping(),
        }
    }

    fn commit(&mut self, pending: &mut Pending) -> Result<Progress, Error> {
        let Some(recovered) = &mut self.recovered else { return Ok(Progress::More) };
        match pending.commit(&self.services.store, &mut recovered.desk)? {
            Committed::LostRace => {
                tracing::info!(
                    batch = pending.cut.batch.number.0,
                    "another writer widened a table first, the range is cut again"
                );
                self.throw_away();
                Ok(Progress::More)
            }
            Committed::Yes(manifest, bytes) => {
                recovered.press(std::mem::take(&mut pending.cut.pressed));
                self.committed(&manifest, &bytes);
                Ok(Progress::Committed)
            }
        }
    }

    /// All that follows from a commit; none of it can undo it.
    fn committed(&mut self, manifest: &Manifest, bytes: &[u8]) {
        let Some(recovered) = &mut self.recovered else { return };
        if let Err(error) = recovered.desk.dedup.commit(manifest.number) {
            tracing::warn!(%error, "entries of old batches stay on disk");
        }
        recovered.chain.advance(manifest, bytes, recovered.desk.dedup.time());
        self.services.journal.trim(Position::new(manifest.journal.to));
        self.clear_work();
        tracing::info!(
            batch = manifest.number.0,
            records = manifest.journal.to - manifest.journal.from,
            loaded = manifest.events.loaded,
            duplicate = manifest.events.duplicate,
            rejected = manifest.events.rejected,
            files = manifest.files.len(),
            "batch committed"
        );
    }

    fn recover(&mut self) -> Result<Recovered, Error> {
        let store = &self.services.store;
        lake::claim_dialect(store, &self.options.dialect)
            .map_err(Error::storage("check the lake's dialect"))?;
        let writer = Part::new(self.services.journal.writer_id())
            .map_err(|source| Error::Key { what: "the journal's writer id", source })?;
        let chain = Chain::find(store, writer, note::path(&self.options.folder))?;
        let last = chain.last.as_ref().map(|last| last.number);
        let (now, elapsed) = (self.services.clock.now(), self.services.clock.elapsed());
        // How long nothing ran is told by the wall clock alone, which is doubted as while it ran.
        let mut pace = Pace::new(chain.time.unwrap_or(now).min(now), elapsed);
        let time = pace.time(now, elapsed);
        let folder = self.options.folder.join("dedup");
        let dedup = Dedup::open(folder, self.options.dedup, last, time).map_err(Error::Dedup)?;
        if chain.time.is_none() {
            // Without a note, what came last tells what time it was.
            pace = Pace::new(dedup.newest().map_or(now, |newest| newest.min(now)), elapsed);
        }
        let registry = Registry::new(store.clone());
        let mut desk = Desk { dedup, registry, routes: HashMap::default() };
        self.clear_work();
        unnoted::check(&self.services, &mut desk, &chain)?;
        if let Some(last) = &chain.last {
            let durable = self.services.journal.state().durable.get();
            if durable < last.to {
                return Err(Error::JournalBehind { durable, committed: last.to });
            }
            self.services.journal.trim(Position::new(last.to));
        }
        let state = self.planned(&chain, &mut desk)?;
        let pressed = Pressed::default();
        Ok(Recovered { chain, desk, pace, reader: None, state, pressed })
    }

    /// The state behind the last batch of `chain`: a batch whose plan is in the lake is made again.
    fn planned(&mut self, chain: &Chain, desk: &mut Desk) -> Result<State, Error> {
        let key = Key::Plan(chain.writer.clone(), chain.next_number());
        let action = "look for an open plan";
        let found = self.services.store.get(&key).map_err(Error::storage(action))?;
        let Some(bytes) = found else { return Ok(State::Reading(None)) };
        let plan = Plan::from_bytes(&key, &bytes).map_err(Error::storage(action))?;
        tracing::info!(batch = plan.number.0, "a planned batch is made again");
        self.make_work()?;
        let (from, folder) = (self.first_position(chain), self.work_folder());
        let found = Found { plan, bytes };
        let pending = planned::pending(&mut self.services, desk, (chain, from), folder, found)?;
        Ok(State::Committing(Box::new(pending)))
    }

    /// Goes on where the local files of a batch were removed: by its plan if it has one, else by
    /// cutting its range again.
    fn make_again(&mut self) -> Result<(), Error> {
        let Some(mut recovered) = self.recovered.take() else { return Ok(()) };
        let state = self.planned(&recovered.chain, &mut recovered.desk);
        let state = state
            .map(|state| recovered.state = state)
            .inspect_err(|_| recovered.desk.dedup.discard());
        self.recovered = Some(recovered);
        state
    }

    fn work_folder(&self) -> PathBuf {
        self.options.folder.join("open")
    }

    fn make_work(&self) -> Result<(), Error> {
        make_empty(&self.work_folder())
    }

    fn clear_work(&self) {
        let path = self.work_folder();
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "cannot remove local files");
            }
            _ => {}
        }
    }
}
