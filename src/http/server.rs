//! Listeners and connections: how many there may be, and how long each may take for what.
//!
//! Knows bytes and time, not routes. A connection that sends nothing, or its headers too slowly, or
//! that stays idle, costs one file descriptor until its time is up. Times are watched here and not
//! by the HTTP library, whose one timer cannot tell slow headers from an idle connection.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::activity::{Activity, Watched};
use super::stats::Stats;
use crate::limits::{Budget, Permit};

mod activity;
mod lanes;

pub use lanes::Lanes;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address, which may be a proxy's.
    pub ip: IpAddr,
    /// The connection is encrypted.
    pub tls: bool,
}

/// Answers requests.
pub trait Handle: Clone + Send + Sync + 'static {
    /// Answers one request of `peer`.
    fn handle(&self, request: Request, peer: Peer) -> impl Future<Output = Response> + Send;
}

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections_max: usize,
    /// From a connection's start or a request's first byte to the end of the headers.
    pub header_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// How long open requests are waited for at the end.
    pub drain: Duration,
}

/// Largest header block; beacons carry cookies. Past it the answer is 431.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 100;
/// What an HTTP/2 client may send ahead on a stream, before the body is being read.
const STREAM_WINDOW: u32 = 256 << 10;
/// The same for a connection.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Wait after a failed accept: the process has run out of file descriptors, or the like.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections over the limit that are answered at a time; further ones are closed at once.
const TURNED_AWAY_MAX: usize = 256;
/// How long such a connection is kept for its answer.
const TURNED_AWAY_TIME: Duration = Duration::from_secs(1);

/// A listener and what it needs.
pub struct Server {
    /// Where connections come in.
    pub listener: TcpListener,
    /// Encrypts them.
    pub tls: Option<TlsAcceptor>,
    /// Their limits.
    pub limits: Limits,
    /// The threads that serve them; shared, since work of theirs may outlast the server.
    pub lanes: Arc<Lanes>,
    /// Counts.
    pub stats: Arc<Stats>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

/// What all connections of a listener share.
#[derive(Clone)]
struct Shared {
    tls: Option<TlsAcceptor>,
    limits: Limits,
    tasks: TaskTracker,
    /// No further requests.
    closing: CancellationToken,
    /// No further anything.
    ended: CancellationToken,
}

impl Server {
    /// Serves until `shutdown`, then lets open requests end, at most for `limits.drain`. When this
    /// returns, no connection is left.
    pub async fn run(self, handler: impl Handle, shutdown: CancellationToken) {
        let connections = Budget::new(self.limits.connections_max);
        self.stats.watch_connections(connections.clone());
        let turned_away = Budget::new(TURNED_AWAY_MAX);
        let shared = Shared {
            tls: self.tls,
            limits: self.limits,
            tasks: TaskTracker::new(),
            closing: shutdown.clone(),
            ended: CancellationToken::new(),
        };
        let mut failing = false;
        loop {
            let (stream, address) = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        if !failing {
                            tracing::warn!(kind = %error.kind(), "cannot accept connections");
                        }
                        failing = true;
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
                () = shutdown.cancelled() => break,
            };
            failing = false;
            match connections.take(1) {
                Some(permit) => {
                    // Answers are a few bytes; without this they wait for acknowledgements.
                    stream.set_nodelay(true).ok();
                    let (shared, handler) = (shared.clone(), handler.clone());
                    self.lanes.spawn(&shared.tasks.clone(), stream, move |stream| async move {
                        shared.open(stream, address, handler).await;
                        drop(permit);
                    });
                }
                None => {
                    self.stats.turned_away();
                    // There is no word for it before a TLS handshake.
                    if let Some(permit) = turned_away.take(1).filter(|_| shared.tls.is_none()) {
                        shared.tasks.spawn(turn_away(stream, permit));
                    }
                }
            }
        }
        drop(self.listener);
        shared.tasks.close();
        if tokio::time::timeout(shared.limits.drain, shared.tasks.wait()).await.is_err() {
            shared.ended.cancel();
            shared.tasks.wait().await;
        }
    }
}

impl Shared {
    async fn open(&self, stream: TcpStream, address: SocketAddr, handler: impl Handle) {
        let ip = address.ip().to_canonical();
        match self.tls.clone() {
            None => self.serve(stream, Peer { ip, tls: false }, handler).await,
            Some(acceptor) => {
                let handshake = acceptor.accept(stream);
                let time = self.limits.header_timeout;
                // A failed handshake is the client's affair: there is nobody to answer.
                if let Ok(Ok(stream)) = tokio::time::timeout(time, handshake).await {
                    self.serve(stream, Peer { ip, tls: true }, handler).await;
                }
            }
        }
    }

    async fn serve<I>(&self, stream: I, peer: Peer, handler: impl Handle)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::start(self.limits));
        let io = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
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
        let mut connection = pin!(builder.serve_connection(io, service));
        // In a set, since that polls what has been woken and nothing else: a connection is polled
        // several times for each request, its end but once.
        let mut ends = FuturesUnordered::from_iter([self.end(&activity, true)]);
        loop {
            tokio::select! {
                biased;
                // Whatever ended it, the client knows as much as we do.
                _ = connection.as_mut() => break,
                Some(end) = ends.next() => match end {
                    End::Now => break,
                    End::AfterAnswer => {
                        connection.as_mut().graceful_shutdown();
                        ends.push(self.end(&activity, false));
                    }
                },
            }
        }
    }

    /// Waits until a connection has to end.
    async fn end(&self, activity: &Activity, open: bool) -> End {
        tokio::select! {
            () = activity.expired() => End::Now,
            () = self.ended.cancelled() => End::Now,
            () = self.closing.cancelled(), if open => End::AfterAnswer,
        }
    }
}

/// How a connection has to end.
enum End {
    Now,
    AfterAnswer,
}

fn builder(tasks: TaskTracker) -> auto::Builder<Tracked> {
    let mut builder = auto::Builder::new(Tracked(tasks));
    // A client that ends its sending side still wants its answer. Answers are a few bytes: copied
    // behind their headers they take a plain write.
    builder
        .http1()
        .half_close(true)
        .max_buf_size(HEADER_BYTES_MAX)
        .header_read_timeout(None)
        .writev(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

/// Runs the streams of HTTP/2 connections where a shutdown waits for them.
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

/// Tells a client over the limit to come back, without reading what it wants.
async fn turn_away(mut stream: TcpStream, permit: Permit) {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
        content-type: text/plain; charset=utf-8\r\n\
        x-content-type-options: nosniff\r\n\
        retry-after: 1\r\n\
        connection: close\r\n\
        content-length: 20\r\n\r\n\
        Service Unavailable\n";
    let answer = async {
        stream.write_all(ANSWER).await?;
        stream.shutdown().await?;
        // Closed over unread bytes, the connection would be reset and the answer lost.
        let mut unread = [0; 4096];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    // It was told, or it was too slow to be.
    tokio::time::timeout(TURNED_AWAY_TIME, answer).await.ok();
    drop(permit);
}
