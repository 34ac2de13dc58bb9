//! Connections that speak HTTP/2, by the HTTP library.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::body::Body;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Duration, Instant};
use tokio_util::task::TaskTracker;

use super::http1::wire::HEAD_BYTES_MAX;
use super::{End, Handle, Limits, Peer, Shared};

/// Requests at once on one connection.
const STREAMS_MAX: u32 = 100;
/// What a client may send ahead on a stream, before the body is being read.
const STREAM_WINDOW: u32 = 256 << 10;
/// The same for a connection.
const CONNECTION_WINDOW: u32 = 1 << 20;

impl Shared {
    pub(super) async fn serve_http2(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        handler: impl Handle,
    ) {
        let activity = Arc::new(Activity::start(self.limits));
        let service = {
            let activity = Arc::clone(&activity);
            service_fn(move |request: hyper::Request<Incoming>| {
                let handler = handler.clone();
                let busy = activity.begin();
                async move {
                    let response = handler.handle(request.map(Body::new), peer).await;
                    drop(busy);
                    Ok::<_, Infallible>(response)
                }
            })
        };
        let builder = builder(self.tasks.clone());
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut expired = pin!(activity.expired());
        let mut ends = FuturesUnordered::from_iter([self.end(true)]);
        loop {
            tokio::select! {
                biased;
                // Whatever ended it, the client knows as much as we do.
                _ = connection.as_mut() => break,
                () = expired.as_mut() => break,
                Some(end) = ends.next() => match end {
                    End::Now => break,
                    End::AfterAnswer => {
                        connection.as_mut().graceful_shutdown();
                        ends.push(self.end(false));
                    }
                },
            }
        }
    }
}

fn builder(tasks: TaskTracker) -> Builder<Tracked> {
    let mut builder = Builder::new(Tracked(tasks));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

/// Runs the streams of connections where a shutdown waits for them.
#[derive(Clone, Debug)]
struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// What a connection is doing, so that its time can be up. Times are milliseconds since its start.
#[derive(Debug)]
struct Activity {
    start: Instant,
    limits: Limits,
    /// Requests between the end of their headers and their answer.
    busy: AtomicUsize,
    /// When the last answer was ready; nothing before the first request.
    idle_since: AtomicU64,
}

/// No request has come yet.
const NEVER: u64 = u64::MAX;

impl Activity {
    /// A connection that has just been opened: its first headers are due. Later ones are not: there
    /// are frames that are no headers.
    fn start(limits: Limits) -> Self {
        let (start, idle_since) = (Instant::now(), AtomicU64::new(NEVER));
        Self { start, limits, busy: AtomicUsize::new(0), idle_since }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    /// A request's headers are complete. It is over when the guard is dropped.
    fn begin(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::SeqCst);
        Busy(Arc::clone(self))
    }

    /// When time will be up if nothing happens; none while a request is being answered, which has
    /// limits of its own.
    fn deadline(&self) -> Option<Instant> {
        if self.busy.load(Ordering::SeqCst) > 0 {
            return None;
        }
        Some(match self.idle_since.load(Ordering::SeqCst) {
            NEVER => self.start + self.limits.header_timeout,
            since => self.start + Duration::from_millis(since) + self.limits.idle_timeout,
        })
    }

    /// Waits until the connection's time is up.
    async fn expired(&self) {
        // A busy connection is looked at again as often as a short limit needs it.
        let pause = self.limits.idle_timeout.min(self.limits.header_timeout);
        loop {
            let now = Instant::now();
            match self.deadline() {
                Some(deadline) if deadline <= now => return,
                Some(deadline) => tokio::time::sleep_until(deadline.min(now + pause)).await,
                None => tokio::time::sleep(pause).await,
            }
        }
    }
}

/// A request is being answered.
#[derive(Debug)]
struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Ordering::SeqCst);
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}
