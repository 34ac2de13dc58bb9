//! The writing pipeline: a request's events, judged one by one, enriched, transformed and made
//! durable before anyone is told so.
//!
//! It meets the loader only at the journal, and knows nothing of HTTP: the edge hands it a
//! [`Submission`] and turns a [`Refusal`] into a status. Nothing of an event is written anywhere
//! before its source's transformations have run.

mod aside;
mod chain;
mod copies;
mod counts;
mod desk;
mod judge;
mod request;
mod scratch;
mod scripted;
mod seam;
mod workers;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use tokio_util::task::TaskTracker;

pub use aside::aside;
pub use chain::{Chain, Stage};
pub use counts::Counts;
pub use seam::{Accepted, Credential, Form, Health, Pipeline, Refusal, Submission, Trouble, admit};

use self::request::{Prepared, Stop};
use self::workers::Workers;
use crate::clock::{Clock, IdSource, Timestamp};
use crate::event::Mended;
use crate::event::enrich::ClockGuard;
use crate::journal::{self, Journal};
use crate::limits::RateLimits;
use crate::outcome::{Book, Books, Entry};
use crate::script;
use crate::source::{Source, Sources};
use crate::transform::{Pseudonyms, Suppression};

/// How much a request may hold and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one event.
    pub event_bytes_max: usize,
    /// Events of one batch.
    pub batch_events_max: u32,
    /// Bytes of a rejected event's payload; past it only its shape is kept.
    pub rejected_bytes_max: usize,
    /// Bytes of journal that one request may become.
    pub group_bytes_max: usize,
    /// Which times are believed.
    pub clock_guard: ClockGuard,
}

/// Payload of a row in `rejected`, at most; contract of the table.
pub const REJECTED_BYTES_MAX: usize = 64 * 1024;
/// What one request may become in the journal: below a default segment of 64 MiB, three times the
/// default body limit.
pub const GROUP_BYTES_MAX: usize = 48 * 1024 * 1024;
/// A longer body is worked on beside the thread that serves its connection: a hundred events take
/// half a millisecond, and the worst that so many bytes can ask for a few hundred, in which all other
/// connections of the thread wait.
pub const INLINE_BYTES_MAX: usize = 128 * 1024;

/// What the pipeline works with, the same for all requests.
#[derive(Debug)]
pub struct Services {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub ids: Arc<dyn IdSource>,
    /// Where events become durable.
    pub journal: Arc<dyn Journal>,
    /// Makes hashes of personal data.
    pub pseudonyms: Pseudonyms,
    /// Limits of requests.
    pub limits: Limits,
    /// Limits of scripts.
    pub scripts: script::Limits,
    /// Limits of sources.
    pub rates: RateLimits,
    /// Counts every event's fate.
    pub books: Books,
    /// Counts what was mended or noticed on the way.
    pub counts: Arc<Counts>,
}

/// Transformations by source id. The ids are the operator's, so no client can aim at the table.
pub type Chains = HashMap<String, Arc<Chain>, RandomState>;

/// The sources and their transformations: swapped as one on reload.
#[derive(Debug)]
pub struct Live {
    /// The sources.
    pub sources: Arc<Sources>,
    /// Their transformations, by source id.
    pub chains: Chains,
    /// Users whose events are dropped.
    pub suppression: Suppression,
}

impl Live {
    fn chain(&self, source: &Source) -> Option<Arc<Chain>> {
        self.chains.get(&*source.id).map(Arc::clone)
    }
}

/// The service.
#[derive(Debug)]
pub struct Ingest {
    services: Arc<Services>,
    scripts: Workers,
    live: ArcSwap<Live>,
    scratch: Arc<scratch::Pool>,
    late: TaskTracker,
}

impl Ingest {
    /// A pipeline for `workers` requests at once, and as many threads for scripts.
    ///
    /// # Errors
    /// The operating system has no thread to give.
    pub fn new(services: Services, live: Live, workers: usize) -> io::Result<Self> {
        let services = Arc::new(services);
        let scripts = Workers::start(&services, workers.max(2))?;
        Ok(Self {
            services,
            scripts,
            live: ArcSwap::from_pointee(live),
            scratch: Arc::new(scratch::Pool::new(workers)),
            late: TaskTracker::new(),
        })
    }

    /// The sources and transformations in force.
    #[must_use]
    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Puts other sources and transformations in force; requests in work end with the old ones.
    pub fn reload(&self, live: Live) {
        self.services.rates.replace(live.sources.list());
        self.live.store(Arc::new(live));
    }

    /// Makes hashes of personal data.
    #[must_use]
    pub fn pseudonyms(&self) -> &Pseudonyms {
        &self.services.pseudonyms
    }

    /// Waits for what is queued in the journal on behalf of clients that have gone.
    pub async fn drain(&self) {
        self.late.close();
        self.late.wait().await;
    }

    /// Does all the work of a request up to the journal.
    async fn prepare(&self, submission: Submission) -> Result<Prepared, Refusal> {
        let now = self.services.clock.now();
        let live = self.live.load();
        // What is rare is boxed, so that the future of what is not stays small to move.
        let (prepared, submission) = if submission.body.len() > INLINE_BYTES_MAX {
            Box::pin(self.prepare_aside(submission, Arc::clone(&live), now)).await?
        } else {
            let prepared = self.scratch.with(|scratch| {
                request::prepare(&self.services, &live, scratch, &submission, now, None)
            });
            (prepared, submission)
        };
        match prepared {
            Ok(prepared) => Ok(prepared),
            Err(Stop::Refused(refusal)) => Err(refusal),
            Err(Stop::Panicked) => Err(Refusal::Internal),
            Err(Stop::NeedsScripts(source)) => {
                let asked = (submission, &*source);
                Box::pin(self.scripts.prepare(Arc::clone(&live), asked, now)).await
            }
        }
    }

    /// The same for a large body, on a thread that no other connection waits for.
    async fn prepare_aside(
        &self,
        submission: Submission,
        live: Arc<Live>,
        now: Timestamp,
    ) -> Result<(Result<Prepared, Stop>, Submission), Refusal> {
        let (services, scratch) = (Arc::clone(&self.services), Arc::clone(&self.scratch));
        let work = move || {
            let prepared = scratch.with(|scratch| {
                request::prepare(&services, &live, scratch, &submission, now, None)
            });
            (prepared, submission)
        };
        aside(work).await
    }
}

impl Pipeline for Ingest {
    async fn submit(&self, submission: Submission) -> Result<Accepted, Refusal> {
        // The body is dropped with its permit in there: its memory is free while the journal works.
        let prepared = self.prepare(submission).await?;
        let Prepared { source, group, received, split, mended } = prepared;
        if group.is_empty() {
            return Ok(Accepted { source, events: 0 });
        }
        let entry = Booking { book: self.services.books.of(&source.id), received, split };
        let append = self.services.journal.gather(group);
        let leads = append.leads();
        let waiting = Waiting { append: Some(append), booking: entry, late: &self.late };
        if leads {
            waiting.gather(&*self.services.journal).await;
        }
        waiting.await.map_err(|error| refusal_of(&error))?;
        if mended != Mended::default() {
            self.services.counts.mended(&source.id, mended);
        }
        Ok(Accepted { source, events: received })
    }

    fn health(&self) -> Health {
        let state = self.services.journal.state();
        let trouble = match state.health {
            journal::Health::Accepting => None,
            journal::Health::Full(journal::Space::Disk) => Some(Trouble::DiskLow),
            journal::Health::Full(journal::Space::Budget) => Some(Trouble::LogFull),
            journal::Health::Poisoned { .. } => Some(Trouble::LogFailed),
            journal::Health::Gone => Some(Trouble::LogGone),
            journal::Health::Closed => Some(Trouble::ShuttingDown),
        };
        Health { trouble, last_sync: state.last_sync }
    }

    fn panicked(&self) {
        self.services.counts.panicked();
    }
}

/// What to book once a group is durable.
#[derive(Debug)]
struct Booking {
    book: Arc<Book>,
    received: u32,
    split: u32,
}

impl Booking {
    fn book(&self) {
        self.book.add(Entry::Received, u64::from(self.received));
        self.book.add(Entry::Split, u64::from(self.split));
    }
}

/// Waits for the journal and books what became durable, even when the client's patience ends
/// first: its events are in the journal then and will be loaded.
struct Waiting<'a> {
    append: Option<journal::Append>,
    booking: Booking,
    late: &'a TaskTracker,
}

impl Waiting<'_> {
    /// Lets other requests that are here come first, for as long as there are any, so that one sync
    /// carries them all: half of what a sync costs is waking threads, whatever it writes.
    async fn gather(&self, journal: &dyn Journal) {
        let _hurry = Hurry(journal);
        let company = || self.append.as_ref().map(journal::Append::company);
        let mut seen = company();
        loop {
            tokio::task::yield_now().await;
            let now = company();
            if std::mem::replace(&mut seen, now) == now {
                return;
            }
        }
    }
}

/// Ends the gathering, also where whoever began it has gone.
struct Hurry<'a>(&'a dyn Journal);

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.hurry();
    }
}

impl Future for Waiting<'_> {
    type Output = Result<(), journal::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(append) = &mut self.append else { return Poll::Ready(Ok(())) };
        let outcome = std::task::ready!(Pin::new(append).poll(context));
        self.append = None;
        if outcome.is_ok() {
            self.booking.book();
        }
        Poll::Ready(outcome.map(|_| ()))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(append) = self.append.take() else { return };
        let booking = Booking { book: Arc::clone(&self.booking.book), ..self.booking };
        self.late.spawn(async move {
            if append.await.is_ok() {
                booking.book();
            }
        });
    }
}

fn refusal_of(error: &journal::Error) -> Refusal {
    match error {
        journal::Error::TooLarge { .. } | journal::Error::SourceTooLong { .. } => Refusal::TooLarge,
        journal::Error::Full { space: journal::Space::Disk, .. } => {
            Refusal::Unavailable(Trouble::DiskLow)
        }
        journal::Error::Full { .. } => Refusal::Unavailable(Trouble::LogFull),
        journal::Error::Busy { .. } => Refusal::Unavailable(Trouble::InFlight),
        journal::Error::Closed => Refusal::Unavailable(Trouble::ShuttingDown),
        journal::Error::Gone { .. } => Refusal::Unavailable(Trouble::LogGone),
        _ => Refusal::Unavailable(Trouble::LogFailed),
    }
}
