//! Listeners and connections: how many there may be, and how long each may take for what.
//!
//! Knows bytes and time, not routes. A connection that sends nothing, or its headers too slowly, or
//! that stays idle, costs one file descriptor until its time is up. HTTP/1 is read and written here
//! ([`http1`]), since all but all events come that way; HTTP/2 is left to the library (`http2`).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::http::Method;
use axum::response::Response;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::http1::wire::Headers;
use self::http1::{Connection, Over};
use self::stream::Stream;
use super::stats::Stats;
use super::tls::Acceptor;
use crate::clock::Clock;
use crate::limits::{Budget, Permit};

mod deadline;
pub mod http1;
mod http2;
mod lanes;
mod stream;
#[cfg(test)]
mod tests;

pub use lanes::Lanes;

/// The other end of a connection, and this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address, which may be a proxy's.
    pub ip: IpAddr,
    /// The connection is encrypted.
    pub tls: bool,
    /// Which thread serves the connection, counted from 0.
    pub lane: usize,
}

/// Answers requests.
pub trait Handle: Clone + Send + Sync + 'static {
    /// Answers one request of `peer`.
    fn handle(&self, request: Request, peer: Peer) -> impl Future<Output = Response> + Send;

    /// The headers of such a request that the answer may hang on.
    fn headers(&self, _method: &Method, _path: &str) -> Headers {
        Headers::All
    }

    /// Counts a connection that ended in a panic, a fault of this program, outside of
    /// [`Handle::handle`]: nobody is left to be answered.
    fn panicked(&self);
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
    /// Bytes of a body that nobody wants that are read on, so that its client gets the answer.
    pub rest_bytes_max: u64,
}

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
    pub tls: Option<Acceptor>,
    /// Their limits.
    pub limits: Limits,
    /// The threads that serve them; shared, since work of theirs may outlast the server.
    pub lanes: Arc<Lanes>,
    /// Dates the answers.
    pub clock: Arc<dyn Clock>,
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
    tls: Option<Acceptor>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    tasks: TaskTracker,
    stats: Arc<Stats>,
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
            clock: self.clock,
            tasks: TaskTracker::new(),
            stats: Arc::clone(&self.stats),
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
                    self.lanes.spawn(
                        &shared.tasks.clone(),
                        stream,
                        move |stream, lane| async move {
                            let open = shared.open(stream, (address, lane), handler.clone());
                            if AssertUnwindSafe(open).catch_unwind().await.is_err() {
                                handler.panicked();
                            }
                            drop(permit);
                        },
                    );
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
    async fn open(
        &self,
        stream: TcpStream,
        (address, lane): (SocketAddr, usize),
        handler: impl Handle,
    ) {
        let peer = Peer { ip: address.ip().to_canonical(), tls: self.tls.is_some(), lane };
        match self.tls.clone() {
            None => self.serve(stream, peer, handler).await,
            Some(acceptor) => {
                let time = self.limits.header_timeout;
                let handshake = tokio::time::timeout(time, acceptor.accept(stream));
                // Who has not even said hello is not waited for at the end.
                let handshake = self.closing.run_until_cancelled(handshake);
                // A failed handshake is the client's affair: there is nobody to answer.
                if let Some(Ok(Ok(stream))) = handshake.await {
                    self.serve(stream, peer, handler).await;
                }
            }
        }
    }

    async fn serve(&self, stream: impl Stream, peer: Peer, handler: impl Handle) {
        let closing = AtomicBool::new(false);
        let mut connection = Connection::new(stream, peer, self, &handler, &closing);
        let over = {
            let mut run = pin!(connection.run());
            // In a set, since that polls what has been woken and nothing else: a connection is polled
            // several times for each request, its end but once.
            let mut ends = FuturesUnordered::from_iter([self.end(true)]);
            loop {
                tokio::select! {
                    biased;
                    over = run.as_mut() => break over,
                    Some(end) = ends.next() => match end {
                        End::Now => break Over::Ended,
                        End::AfterAnswer => {
                            closing.store(true, Ordering::Relaxed);
                            ends.push(self.end(false));
                        }
                    },
                }
            }
        };
        if matches!(over, Over::Http2) {
            let (start, stream) = connection.into_parts();
            let stream = stream::Rewound::new(start, stream);
            // On the heap: most connections never need it.
            Box::pin(self.serve_http2(stream, peer, handler.clone())).await;
        }
    }

    /// Waits until a connection has to end.
    async fn end(&self, open: bool) -> End {
        tokio::select! {
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
