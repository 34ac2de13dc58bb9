//! What a connection is doing, so that its time can be up.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Duration, Instant};

use super::Limits;

/// States of one connection. Times are milliseconds since its start, plus one; zero is never.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    limits: Limits,
    /// Requests between the end of their headers and their answer.
    busy: AtomicUsize,
    /// When the headers that are being read began.
    head_since: AtomicU64,
    /// When the last answer was ready.
    idle_since: AtomicU64,
    /// HTTP/2 sends frames that are no headers; only its first request has a limit of its own.
    many_streams: AtomicBool,
}

impl Activity {
    /// A connection that has just been opened: its first headers are due.
    pub(super) fn start(limits: Limits) -> Self {
        Self {
            start: Instant::now(),
            limits,
            busy: AtomicUsize::new(0),
            head_since: AtomicU64::new(1),
            idle_since: AtomicU64::new(1),
            many_streams: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// A request's headers are complete. It is over when the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::SeqCst);
        self.head_since.store(0, Ordering::SeqCst);
        Busy(Arc::clone(self))
    }

    fn read(&self, bytes: &[u8]) {
        if bytes.starts_with(b"PRI ") && self.idle_since.load(Ordering::SeqCst) == 1 {
            self.many_streams.store(true, Ordering::SeqCst);
        }
        let waits = self.busy.load(Ordering::SeqCst) == 0;
        if waits && !bytes.is_empty() && !self.many_streams.load(Ordering::SeqCst) {
            let now = self.now();
            self.head_since.compare_exchange(0, now, Ordering::SeqCst, Ordering::SeqCst).ok();
        }
    }

    /// When time will be up if nothing happens; none while a request is being answered, which has
    /// limits of its own.
    fn deadline(&self) -> Option<Instant> {
        if self.busy.load(Ordering::SeqCst) > 0 {
            return None;
        }
        let (since, limit) = match self.head_since.load(Ordering::SeqCst) {
            0 => (self.idle_since.load(Ordering::SeqCst), self.limits.idle_timeout),
            since => (since, self.limits.header_timeout),
        };
        Some(self.start + Duration::from_millis(since - 1) + limit)
    }

    /// Waits until the connection's time is up.
    pub(super) async fn expired(&self) {
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
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Ordering::SeqCst);
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A stream that tells what is read from it.
#[derive(Debug)]
pub(super) struct Watched<I> {
    inner: I,
    activity: Arc<Activity>,
}

impl<I> Watched<I> {
    pub(super) const fn new(inner: I, activity: Arc<Activity>) -> Self {
        Self { inner, activity }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if polled.is_ready() {
            self.activity.read(buffer.filled().get(before..).unwrap_or_default());
        }
        polled
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
