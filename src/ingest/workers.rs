//! Threads for requests of sources with scripts.
//!
//! A script may use a tenth of a second of CPU for each event, so it never runs where sockets are
//! served. Each thread has an engine of its own. One source holds at most all threads but one, so
//! that a slow script does not stop the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::request::{self, Prepared, Stop};
use super::scratch::Scratch;
use super::scripted::Scripts;
use super::seam::{Refusal, Submission};
use super::{Live, Services};
use crate::clock::Timestamp;
use crate::limits::{Budget, Permit, Share};
use crate::script::Runtime;
use crate::source::Source;

/// Requests that may wait for a thread, those of one source three quarters of it; past it the client
/// is told to come again.
const WAITING_MAX: usize = 256;

/// A request on its way to a thread.
struct Job {
    live: Arc<Live>,
    submission: Submission,
    now: Timestamp,
    answer: oneshot::Sender<Result<Prepared, Refusal>>,
    waits: Permit,
}

/// What a source has in hand here.
#[derive(Clone, Debug)]
struct Place {
    waiting: Arc<Share>,
    running: Arc<Semaphore>,
}

/// The threads. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Workers {
    jobs: mpsc::Sender<Job>,
    waiting: Budget,
    places: Mutex<HashMap<String, Place>>,
    share: usize,
}

impl Workers {
    /// Starts `threads` threads, at least two.
    pub(super) fn start(services: &Arc<Services>, threads: usize) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(WAITING_MAX);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..threads {
            let (services, queue) = (Arc::clone(services), Arc::clone(&queue));
            thread::Builder::new()
                .name(format!("script-{number}"))
                .spawn(move || work(&services, &queue))?;
        }
        Ok(Self::of(jobs, threads.saturating_sub(1).max(1)))
    }

    fn of(jobs: mpsc::Sender<Job>, share: usize) -> Self {
        Self { jobs, waiting: Budget::new(WAITING_MAX), places: Mutex::default(), share }
    }

    /// Prepares a request on one of the threads.
    pub(super) async fn prepare(
        &self,
        live: Arc<Live>,
        (submission, source): (Submission, &Source),
        now: Timestamp,
    ) -> Result<Prepared, Refusal> {
        let place = self.place_of(source.id.clone());
        let full = Refusal::Unavailable(super::Trouble::InFlight);
        let waits = self.waiting.take_of(&place.waiting, 1).ok_or(full)?;
        let _running = place.running.acquire().await.map_err(|_| Refusal::Internal)?;
        let (answer, answered) = oneshot::channel();
        let job = Job { live, submission, now, answer, waits };
        // The queue has room for all that may wait.
        self.jobs.try_send(job).map_err(|_| Refusal::Internal)?;
        answered.await.map_err(|_| Refusal::Internal)?
    }

    fn place_of(&self, source: String) -> Place {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let open =
            || Place { waiting: Arc::default(), running: Arc::new(Semaphore::new(self.share)) };
        places.entry(source).or_insert_with(open).clone()
    }
}

fn work(services: &Services, queue: &Mutex<mpsc::Receiver<Job>>) {
    let mut scratch = Scratch::default();
    let mut runtime = Runtime::new(services.scripts.clone());
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(Job { live, submission, now, answer, waits }) = next else { return };
        drop(waits);
        let stop = || answer.is_closed();
        if stop() {
            continue;
        }
        let scripts = Scripts { runtime: &mut runtime, stop: &stop };
        let prepared =
            request::prepare(services, &live, &mut scratch, &submission, now, Some(scripts));
        drop(submission);
        if matches!(prepared, Err(Stop::Panicked)) {
            runtime = Runtime::new(services.scripts.clone());
        }
        let prepared = prepared.map_err(|stop| match stop {
            Stop::Refused(refusal) => refusal,
            Stop::NeedsScripts(_) | Stop::Panicked => Refusal::Internal,
        });
        // The client has gone if this fails, and nothing was journaled.
        drop(answer.send(prepared));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::task::Poll;
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::event::enrich::EventType;
    use crate::ingest::{Credential, Form, Trouble};
    use crate::limits::Budget;
    use crate::source::Sources;
    use crate::transform::Suppression;

    #[tokio::test]
    async fn requests_that_wait_for_scripts_are_bounded() {
        const HOT_MAX: usize = WAITING_MAX / 4 * 3;
        let text: String = (0..=WAITING_MAX)
            .map(|n| {
                format!("[[source]]\nname = \"s{n}\"\nenvironment = \"qa\"\nwrite_key = \"k{n}\"\n")
            })
            .collect();
        let read = crate::config::parse(&text, "k.toml".as_ref(), &Default::default()).unwrap();
        let sources = Arc::new(Sources::new(&read.sources));
        let live = Arc::new(Live {
            sources: Arc::clone(&sources),
            chains: super::super::Chains::default(),
            suppression: Suppression::default(),
        });
        // Threads that never take anything.
        let (jobs, _queue) = mpsc::channel(WAITING_MAX);
        let workers = Workers::of(jobs, 1);
        let budget = Budget::new(1 << 20);
        let ask = |source: &Arc<Source>| {
            let submission = Submission {
                credential: Credential::Known(Arc::clone(source)),
                form: Form::Single(EventType::Track),
                body: Bytes::from_static(b"{}"),
                client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
                deadline: Duration::from_secs(5),
                permit: budget.take(2).unwrap(),
            };
            let (live, source) = (Arc::clone(&live), Arc::clone(source));
            let workers = &workers;
            Box::pin(async move {
                workers.prepare(live, (submission, &*source), Timestamp::default()).await
            })
        };
        let full = Refusal::Unavailable(Trouble::InFlight);
        let mut waiting = Vec::new();
        // One source takes three quarters, of which one request is in the queue; then the others come.
        let hot = std::iter::repeat_n(&sources.list()[0], HOT_MAX);
        for (number, source) in hot.chain(sources.list()).take(WAITING_MAX + 1).enumerate() {
            // Each poll of this test may do only so much before the runtime makes it wait.
            tokio::task::yield_now().await;
            let mut asked = ask(source);
            match futures_util::poll!(&mut asked) {
                Poll::Pending => waiting.push(asked),
                Poll::Ready(done) => {
                    assert_eq!((number, done.unwrap_err()), (HOT_MAX, full));
                }
            }
        }
        tokio::task::yield_now().await;
        assert_eq!(waiting.len(), WAITING_MAX);
        let refused = futures_util::poll!(ask(&sources.list()[WAITING_MAX]));
        assert!(matches!(refused, Poll::Ready(Err(refusal)) if refusal == full));
        assert_eq!(workers.waiting.used(), WAITING_MAX);
        drop(waiting);
        // What has come into the queue is there until a thread meets it.
        let queued = WAITING_MAX - HOT_MAX + 1;
        assert_eq!((workers.waiting.used(), budget.used()), (queued, 2 * queued));
    }
}
