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
use super::seam::{Credential, Refusal, Submission};
use super::{Live, Services};
use crate::clock::Timestamp;
use crate::script::Runtime;

/// Requests that may wait for a thread; past it the client is told to come again.
const WAITING_MAX: usize = 256;

/// A request on its way to a thread.
struct Job {
    live: Arc<Live>,
    submission: Submission,
    now: Timestamp,
    answer: oneshot::Sender<Result<Prepared, Refusal>>,
}

/// The threads. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Workers {
    jobs: mpsc::Sender<Job>,
    shares: Mutex<HashMap<String, Arc<Semaphore>>>,
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
        Ok(Self { jobs, shares: Mutex::default(), share: threads.saturating_sub(1).max(1) })
    }

    /// Prepares a request on one of the threads.
    pub(super) async fn prepare(
        &self,
        live: Arc<Live>,
        submission: Submission,
        now: Timestamp,
    ) -> Result<Prepared, Refusal> {
        // A key that only the body tells shares with the others of that kind.
        let source = match &submission.credential {
            Credential::Known(source) => source.id.clone(),
            Credential::InBody { .. } => String::new(),
        };
        let share = self.share_of(source);
        let _permit = share.acquire().await.map_err(|_| Refusal::Internal)?;
        let (answer, answered) = oneshot::channel();
        let job = Job { live, submission, now, answer };
        let full = Refusal::Unavailable(super::Trouble::InFlight);
        self.jobs.try_send(job).map_err(|_| full)?;
        answered.await.map_err(|_| Refusal::Internal)?
    }

    fn share_of(&self, source: String) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let share = shares.entry(source).or_insert_with(|| Arc::new(Semaphore::new(self.share)));
        Arc::clone(share)
    }
}

fn work(services: &Services, queue: &Mutex<mpsc::Receiver<Job>>) {
    let mut scratch = Scratch::default();
    let mut runtime = Runtime::new(services.scripts.clone());
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(Job { live, submission, now, answer }) = next else { return };
        let stop = || answer.is_closed();
        if stop() {
            continue;
        }
        let scripts = Scripts { runtime: &mut runtime, stop: &stop };
        let prepared =
            request::prepare(services, &live, &mut scratch, &submission, now, Some(scripts));
        drop(submission);
        let prepared = prepared.map_err(|stop| match stop {
            Stop::Refused(refusal) => refusal,
            Stop::NeedsScripts => Refusal::Internal,
        });
        // The client has gone if this fails, and nothing was journaled.
        drop(answer.send(prepared));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::event::enrich::EventType;
    use crate::ingest::{Form, Trouble};
    use crate::limits::Budget;
    use crate::source::Sources;
    use crate::transform::Suppression;

    #[tokio::test]
    async fn requests_that_wait_for_scripts_are_bounded() {
        let text: String = (0..=WAITING_MAX)
            .map(|n| {
                format!("[[source]]\nname = \"s{n}\"\nenvironment = \"qa\"\nwrite_key = \"k{n}\"\n")
            })
            .collect();
        let read = crate::config::parse(&text, "k.toml".as_ref(), &Default::default()).unwrap();
        let sources = Arc::new(Sources::new(&read.sources));
        let live = Arc::new(Live {
            sources: Arc::clone(&sources),
            chains: HashMap::new(),
            suppression: Suppression::default(),
        });
        // Threads that never take anything.
        let (jobs, _queue) = mpsc::channel(WAITING_MAX);
        let workers = Workers { jobs, shares: Mutex::default(), share: 1 };
        let budget = Budget::new(1 << 20);
        let ask = |source: &Arc<crate::source::Source>| {
            let submission = Submission {
                credential: Credential::Known(Arc::clone(source)),
                form: Form::Single(EventType::Track),
                body: Bytes::from_static(b"{}"),
                client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
                deadline: Duration::from_secs(5),
                permit: budget.take(2).unwrap(),
            };
            Box::pin(workers.prepare(Arc::clone(&live), submission, Timestamp::default()))
        };
        let mut waiting = Vec::new();
        for source in sources.list().iter().take(WAITING_MAX) {
            // Each poll of this test may do only so much before the runtime makes it wait.
            tokio::task::yield_now().await;
            let mut asked = ask(source);
            assert!(futures_util::poll!(&mut asked).is_pending());
            waiting.push(asked);
        }
        tokio::task::yield_now().await;
        let refused = ask(&sources.list()[WAITING_MAX]).await;
        assert_eq!(refused.unwrap_err(), Refusal::Unavailable(Trouble::InFlight));
        tokio::task::yield_now().await;
        // Another request of a source that waits already does not come into the queue.
        let mut second = ask(&sources.list()[0]);
        assert!(futures_util::poll!(&mut second).is_pending());
        drop((waiting, second));
        assert_eq!(budget.used(), 2 * WAITING_MAX);
    }
}
