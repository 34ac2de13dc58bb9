//! One machine: its disk, its clock, and the process on it, if one runs.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use keelrow::app::books::Ledger;
use keelrow::clock::{Clock, IdSource};
use keelrow::ingest::{Accepted, Ingest, Refusal};
use keelrow::journal::disk::{self, BLOCK_BYTES, Log, Stepper, memory::Disk};
use keelrow::journal::{Journal, Position};
use keelrow::loader::{
    self, Error, Limits, Loader, Progress, Remedy, Services, Settings, Warehouse, dedup,
};
use keelrow::outcome::Books;
use keelrow::storage::{self, Backend, Store};

use super::chain::Options;
use super::clock::SimClock;
use super::gateway;
use super::lake::Link;
use super::plant::{Plant, Tap};
use super::record::Known;

/// A machine.
pub(super) struct Machine {
    pub(super) name: &'static str,
    pub(super) disk: Disk,
    pub(super) clock: Arc<SimClock>,
    pub(super) link: Arc<Link>,
    /// Where the loader keeps its local files.
    pub(super) folder: tempfile::TempDir,
    pub(super) options: Options,
    pub(super) plant: Option<Plant>,
    pub(super) process: Option<Process>,
    pub(super) writer: String,
    /// What its journal was seen to hold, by position.
    pub(super) known: Vec<Known>,
    /// Numbers of the events it has answered for with a 200.
    pub(super) acknowledged: Vec<u64>,
    /// Positions whose bytes were flipped.
    pub(super) flipped: Vec<u64>,
    /// Where the last records that were synced together begin: a flip there may pass for a torn
    /// tail.
    pub(super) last_run: u64,
    /// Why its loader stopped for good.
    pub(super) stopped: Option<String>,
}

/// A running process.
pub(super) struct Process {
    pub(super) loader: Loader,
    pub(super) ledger: Option<Ledger>,
    pub(super) books: Books,
    start: Position,
    pub(super) ingest: Ingest,
    pub(super) stepper: Stepper,
    pub(super) log: Arc<Log>,
}

/// A request on its way.
pub(super) type Request<'a> = Pin<Box<dyn Future<Output = Result<Accepted, Refusal>> + 'a>>;

impl Machine {
    pub(super) fn new(
        (name, number): (&'static str, u64),
        disk: Disk,
        clock: Arc<SimClock>,
        link: Link,
        (options, plant): (Options, Option<Plant>),
    ) -> Self {
        assert!(clock.elapsed().is_zero() || number > 0);
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        Self {
            name,
            disk,
            clock,
            link: Arc::new(link),
            folder,
            options,
            plant,
            process: None,
            writer: String::new(),
            known: Vec::new(),
            acknowledged: Vec::new(),
            flipped: Vec::new(),
            last_run: 0,
            stopped: None,
        }
    }

    /// Starts the process; false if the disk does not let it.
    pub(super) fn start(&mut self) -> bool {
        assert!(self.process.is_none());
        if self.plant == Some(Plant::RepeatsForgotten) {
            drop(std::fs::remove_dir_all(self.folder.path().join("load/dedup")));
        }
        let options = disk::Options {
            segment_bytes: 4 * BLOCK_BYTES,
            max_bytes: 64 * BLOCK_BYTES,
            ..disk::Options::new("/journal", self.name.trim_end_matches('\''))
        };
        let clock: Arc<dyn Clock> = Arc::<SimClock>::clone(&self.clock);
        let ids: Arc<dyn IdSource> = Arc::<SimClock>::clone(&self.clock);
        let files = Arc::new(self.disk.clone());
        let Ok((log, stepper)) = Log::open_stepped(files, options, clock, ids) else {
            return false;
        };
        let log = Arc::new(log);
        let books = Books::new();
        let journal: Arc<dyn Journal> = Arc::<Log>::clone(&log);
        let ingest = gateway::ingest(journal, &self.clock, &books);
        let (loader, ledger, start) = (self.loader(&log), None, log.state().durable);
        log.writer_id().clone_into(&mut self.writer);
        self.process = Some(Process { loader, ledger, books, start, ingest, stepper, log });
        self.check_durable();
        true
    }

    fn loader(&self, log: &Arc<Log>) -> Loader {
        let Options { window, keys_max, max_age, max_bytes, memory, .. } = self.options;
        let options = loader::Options {
            folder: self.folder.path().join("load"),
            dialect: "datalake".into(),
            limits: Limits { max_age, max_bytes, memory },
            dedup: dedup::Options { window, keys_max },
        };
        let Options { row_group_bytes, part_bytes, .. } = self.options;
        let settings = Settings { row_group_bytes, part_bytes, ..Settings::default() };
        let settings = Arc::new(arc_swap::ArcSwap::from_pointee(settings));
        let services = Services {
            journal: Arc::new(Tap { log: Arc::clone(log), plant: self.plant }),
            store: self.store(),
            clock: Arc::<SimClock>::clone(&self.clock),
            workshop: Box::new(Warehouse::new(settings).unwrap()),
        };
        Loader::new(options, services)
    }

    fn store(&self) -> Store {
        let options = storage::Options {
            tries: 2,
            backoff: Duration::ZERO,
            backoff_max: Duration::ZERO,
            uploads: 1,
        };
        Store::new(Arc::<Link>::clone(&self.link) as Arc<dyn Backend>, options)
    }

    /// All that was acknowledged is there, and nothing that was read is another record now.
    fn check_durable(&mut self) {
        let Some(process) = &self.process else { return };
        let state = process.log.state();
        let (first, durable) = (state.first.get(), state.durable.get());
        assert!(
            durable >= self.known.len() as u64,
            "{}: {} records were durable, {durable} are",
            self.name,
            self.known.len()
        );
        for (position, found) in self.read(first) {
            let Some(known) = self.known.get(usize::try_from(position).unwrap()) else { break };
            match found {
                Some(found) => {
                    assert_eq!(&found, known, "record {position} is another one now");
                    assert!(!self.flipped.contains(&position), "record {position} is damaged");
                }
                None => {
                    let flipped = self.flipped.contains(&position);
                    assert!(flipped, "{}: record {position} is damaged by itself", self.name);
                }
            }
        }
        self.learn();
        // The start has noted how far it found the journal durable.
        self.last_run = self.known.len() as u64;
    }

    /// The records from a position on; `None` for one that is damaged.
    fn read(&self, from: u64) -> Vec<(u64, Option<Known>)> {
        let Some(process) = &self.process else { return Vec::new() };
        let mut reader = process.log.reader(Position::new(from)).unwrap();
        let mut all = Vec::new();
        loop {
            let at = reader.position().get();
            // The disk may have stopped: what is durable can be read when it is back.
            let Some(item) = reader.next().unwrap() else { return all };
            let known = Known::read(&item);
            let to = if known.is_some() { at + 1 } else { reader.position().get() };
            all.extend((at..to).map(|position| (position, known.clone())));
        }
    }

    /// Takes note of records that have become durable.
    pub(super) fn learn(&mut self) {
        let from = self.known.len() as u64;
        for (position, found) in self.read(from) {
            let found = found.unwrap_or_else(|| panic!("record {position} is damaged by itself"));
            self.known.push(found);
        }
        if self.known.len() as u64 > from {
            self.last_run = from;
        }
    }

    /// Posts a batch; the request has been queued in the journal, or refused, when this returns.
    pub(super) fn request<'a>(ingest: &'a Ingest, key: &'static str, body: String) -> Request<'a> {
        let request = gateway::submit(ingest, key, body, Duration::MAX);
        let mut request: Request<'_> = Box::pin(request);
        match poll(&mut request) {
            Some(answer) => Box::pin(std::future::ready(answer)),
            None => request,
        }
    }

    /// Lets the loader do some work; false when there is none, or it failed.
    pub(super) fn load(&mut self, flush: bool) -> bool {
        let Some(process) = self.process.as_mut().filter(|_| self.stopped.is_none()) else {
            return false;
        };
        let more = match process.loader.advance(flush) {
            Ok(Progress::Waiting(_)) => false,
            Ok(_) => true,
            Err(error) if error.remedy() == Remedy::Stop => {
                self.stopped = Some(told(&error));
                false
            }
            Err(_) => false,
        };
        if process.ledger.is_none()
            && let Some(report) = process.loader.report()
        {
            let opened = Ledger::open(&report, &*process.log, process.start);
            process.ledger = opened.ok();
        }
        more
    }

    /// Ends the process: in good order, or as a kill does.
    pub(super) fn end(&mut self, in_order: bool) {
        let Some(mut process) = self.process.take() else { return };
        if in_order {
            for _ in 0..20 {
                if process.loader.advance(true).map_or(true, |p| p != Progress::More) {
                    break;
                }
            }
            drop(process.loader);
            drop(process.ingest);
            drop(process.stepper.finish());
        }
    }
}

fn told(error: &Error) -> String {
    let name = match error {
        Error::OtherLoader { .. } => "other loader",
        Error::Plan { .. } => "plan",
        Error::JournalBehind { .. } => "journal behind",
        _ => "",
    };
    format!("{name}: {}", error.chain())
}

/// The answer of a request, if there is one yet.
pub(super) fn poll(request: &mut Request<'_>) -> Option<Result<Accepted, Refusal>> {
    // It lets other requests go first until a look finds no more of them.
    (0..3).find_map(|_| match request.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    })
}
