//! The loader's thread, and the handle by which the program asks it things.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::status::Shared;
use super::{Error, Loader, Options, Progress, Remedy, Report, Services, Status, noted};
use crate::clock::Clock;
use crate::journal::{Health, Journal, Position};

/// Longest wait on the journal, after which a stop or flush is heard.
const TICK: Duration = Duration::from_millis(50);

/// How far the loader's thread stands behind those that clients wait for. Beside one of them on the
/// same processor it gets a quarter of it, where an equal would get half: enough never to stand still.
/// Half of the processors serve no connections, so that it has one of its own where there are two.
const BEHIND: i32 = 5;

/// First and longest wait after a failed try.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// Talks to a running loader; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    journal: Arc<dyn Journal>,
    /// What an earlier run noted.
    noted: Option<Report>,
}

/// Starts a loader on a thread of its own, which ends when the returned handle is asked to shut
/// down, or when the loader must stop.
///
/// # Errors
/// The operating system has no thread to give.
pub fn spawn(options: Options, services: Services) -> io::Result<(Handle, JoinHandle<()>)> {
    let shared = Arc::new(Shared::default());
    let journal = Arc::clone(&services.journal);
    let clock = Arc::clone(&services.clock);
    let noted = noted(&options.folder, journal.writer_id());
    let handle = Handle { shared: Arc::clone(&shared), journal: Arc::clone(&journal), noted };
    let loader = Loader::new(options, services);
    let thread = std::thread::Builder::new().name("loader".into()).spawn(move || {
        // Where it is refused, acknowledgements wait a little longer.
        rustix::process::nice(BEHIND).ok();
        Worker { loader, shared: &shared, journal, clock }.run();
    })?;
    Ok((handle, thread))
}

impl Handle {
    /// How the loader stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// What it has done, by its own report or, before it has found its place in the lake, by the
    /// note of an earlier run. `None` where there is no note and it may still find its place; where
    /// it stopped without, all that the journal holds is in no batch, as far as is known.
    #[must_use]
    pub fn standing(&self) -> Option<Report> {
        let Status { report, ended, .. } = self.status();
        if report.is_some() {
            return report;
        }
        let first = self.journal.state().first.get();
        let noted = self.noted.clone().or_else(|| ended.then(Report::default))?;
        Some(Report { committed_to: noted.committed_to.max(first), ..noted })
    }

    /// Acknowledged records that are in no committed batch yet, as far as that is known.
    #[must_use]
    pub fn lag_records(&self) -> Option<u64> {
        let committed = self.standing()?.committed_to;
        Some(self.journal.state().durable.since(Position::new(committed)))
    }

    /// Waits at most `timeout` for the loader to find its place in the lake; whether it has. Blocks.
    #[must_use]
    pub fn wait_recovered(&self, timeout: Duration) -> bool {
        self.shared.wait(timeout, |_, status| status.report.is_some() || status.ended)
            && self.status().report.is_some()
    }

    /// Commits all that is acknowledged now and waits for it, at most `timeout`; whether it is
    /// committed. Blocks.
    #[must_use]
    pub fn flush(&self, timeout: Duration) -> bool {
        let to = self.journal.state().durable.get();
        self.shared.ask(|asked| asked.flush_to = asked.flush_to.max(to));
        let committed = |status: &Status| {
            status.report.as_ref().is_some_and(|report| report.committed_to >= to)
        };
        self.shared.wait(timeout, |_, status| committed(status) || status.ended)
            && committed(&self.status())
    }

    /// Ends the loader once all that is acknowledged is committed, also what came while a batch was
    /// being written, and waits for that at most `deadline`; whether it ended. What is left then is for the next start, as after a crash. Blocks.
    #[must_use]
    pub fn shutdown(&self, deadline: Duration) -> bool {
        self.shared.ask(|asked| asked.stop = true);
        self.shared.wait(deadline, |_, status| status.ended)
    }
}

struct Worker<'a> {
    loader: Loader,
    shared: &'a Shared,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
}

impl Worker<'_> {
    fn run(mut self) {
        // Also when this thread panics: nobody may wait for it then.
        let _ended = Ended(self.shared);
        let mut backoff = BACKOFF.0;
        let mut told = false;
        loop {
            let stop = self.shared.asked().stop;
            match self.loader.advance(stop || self.must_flush()) {
                // The first piece of work is to find its place.
                Ok(Progress::More) if !told => {
                    told = true;
                    self.report_once();
                }
                Ok(Progress::More) => {}
                Ok(Progress::Committed) => {
                    self.committed();
                    backoff = BACKOFF.0;
                }
                Ok(Progress::Waiting(longest)) => {
                    self.shared.tell(|status| status.trouble = None);
                    if stop {
                        return;
                    }
                    self.report_once();
                    let next = self.loader.taken_to().unwrap_or(Position::ZERO);
                    let wait = longest.min(TICK);
                    // A journal that takes no more does not wait.
                    if self.journal.wait_past(next, wait) <= next && self.is_at_its_end() {
                        self.shared.wait(wait, |asked, _| asked.stop);
                    }
                }
                Err(error) => {
                    if self.fails(&error) || stop {
                        return;
                    }
                    self.shared.wait(backoff, |asked, _| asked.stop);
                    backoff = backoff.saturating_mul(2).min(BACKOFF.1);
                }
            }
        }
    }

    /// Whether the journal takes no more until a restart.
    fn is_at_its_end(&self) -> bool {
        matches!(
            self.journal.state().health,
            Health::Poisoned { .. } | Health::Gone | Health::Closed
        )
    }

    fn must_flush(&self) -> bool {
        let committed = self.loader.committed_to().map_or(0, Position::get);
        self.shared.asked().flush_to > committed
    }

    fn committed(&self) {
        let (report, now) = (self.loader.report(), self.clock.now());
        self.shared.tell(|status| {
            status.report = report;
            status.committed_at = Some(now);
            status.batches += 1;
            status.trouble = None;
        });
    }

    /// Tells where the loader stands as soon as it knows.
    fn report_once(&self) {
        if self.shared.status().report.is_none() {
            let report = self.loader.report();
            self.shared.tell(|status| status.report = report);
        }
    }

    /// Tells of an error; whether the loader has to stop.
    fn fails(&self, error: &Error) -> bool {
        let text = error.chain();
        match error.remedy() {
            Remedy::Retry => {
                tracing::warn!(error = text, "loading failed, trying again");
                self.shared.tell(|status| status.trouble = Some(text));
                false
            }
            Remedy::Stop => {
                tracing::error!(error = text, "loading stopped; events are still taken");
                self.shared.tell(|status| status.stopped = Some(text));
                true
            }
        }
    }
}

struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.tell(|status| status.ended = true);
    }
}
