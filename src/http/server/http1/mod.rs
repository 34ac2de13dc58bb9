//! Connections that speak HTTP/1: one request after the other, each answered before the next.
//!
//! All of it happens in one task, which knows by itself what the connection is doing; so one timer
//! does for all its limits. A connection that waits holds no buffer. A request whose body has come
//! with its head is handed on whole; what comes later is read as the handler asks for it. [`wire`]
//! and [`chunks`] read, `answer` writes, this part moves the bytes.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, Version};
use axum::response::Response;
use bytes::BytesMut;
use http_body_util::BodyExt;
use tokio::time::{Duration, Instant};

use self::answer::{Asked, Date, Frames};
use self::incoming::{Feed, Rest};
use self::wire::{Framing, Head, Heads};
use super::deadline::Deadline;
use super::stream::{Stream, poll_more};
use super::{Handle, Peer, Shared};

mod answer;
pub mod chunks;
mod incoming;
pub mod wire;

/// What an HTTP/2 client says first.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An answer grows so far before it is written.
const WRITE_BYTES: usize = 64 << 10;
/// Room for an answer that a connection keeps from one to the next.
const KEPT_BYTES: usize = 1 << 10;
/// Larger parts of an answer are written from where they are.
const COPIED_BYTES_MAX: usize = 8 << 10;
/// How long the next byte of a refused body is waited for, so that a client that is still sending
/// gets its answer: a connection closed over unread bytes is reset, and the SDK sends everything again.
const REST_TIME: Duration = Duration::from_secs(5);
/// The same for all of it. The connection holds no more meanwhile than one that rests.
const REST_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a connection that rests is kept at the end: a request may be on its way.
const LEAVE_TIME: Duration = Duration::from_millis(250);
/// The same behind a head that is none, of a client that is no SDK.
const LINGER_TIME: Duration = Duration::from_secs(1);
/// Bytes that are read meanwhile.
const LINGER_BYTES: u64 = 1 << 20;

/// Why a connection is over.
#[derive(Debug)]
pub(super) enum Over {
    /// It has ended, as it should or not.
    Ended,
    /// It speaks HTTP/2; nothing of that has been read yet.
    Http2,
}

/// A connection.
pub(super) struct Connection<'a, S, H> {
    stream: S,
    /// Received and not read yet.
    buffer: BytesMut,
    heads: Heads,
    /// Said and not sent yet.
    out: Vec<u8>,
    deadline: Deadline,
    /// The deadline is that of a head, not of an idle connection.
    head_is_due: bool,
    /// The program ends, and so does the connection soon.
    leaving: bool,
    date: Date,
    shared: &'a Shared,
    handler: &'a H,
    peer: Peer,
    /// No further request is taken.
    closing: &'a AtomicBool,
}

/// The connection cannot go on: its time is up, or the other side is gone. Nobody is left to be told.
#[derive(Debug)]
struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl<'a, S: Stream, H: Handle> Connection<'a, S, H> {
    /// A connection that has just been opened: its first head is due.
    pub(super) fn new(
        stream: S,
        peer: Peer,
        shared: &'a Shared,
        handler: &'a H,
        closing: &'a AtomicBool,
    ) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            heads: Heads::default(),
            out: Vec::new(),
            deadline: Deadline::at(Instant::now() + shared.limits.header_timeout),
            head_is_due: true,
            leaving: false,
            date: Date::new(),
            shared,
            handler,
            peer,
            closing,
        }
    }

    /// What was received and has not been looked at, and where more comes from.
    pub(super) fn into_parts(self) -> (BytesMut, S) {
        (self.buffer, self.stream)
    }

    /// Serves requests until the connection is over.
    pub(super) async fn run(&mut self) -> Over {
        let served = match self.speaks_http2().await {
            Ok(true) => return Over::Http2,
            Ok(false) => self.serve().await,
            Err(gone) => Err(gone),
        };
        if served.is_ok() {
            self.end_sending().await;
        }
        Over::Ended
    }

    /// Waits for as many bytes as it takes to tell.
    async fn speaks_http2(&mut self) -> Result<bool, Gone> {
        loop {
            if self.buffer.starts_with(HTTP2) {
                return Ok(true);
            }
            if !HTTP2.starts_with(&self.buffer) {
                return Ok(false);
            }
            if !self.more().await? {
                return Err(Gone);
            }
        }
    }

    /// Answers one request after the other, as long as another may follow.
    async fn serve(&mut self) -> Result<(), Gone> {
        loop {
            let asks = |method: &Method, path: &str| self.handler.headers(method, path);
            let head = match self.heads.take(&mut self.buffer, asks) {
                Ok(Some(head)) => head,
                Ok(None) => {
                    if !self.more().await? {
                        return Ok(());
                    }
                    continue;
                }
                Err(error) => {
                    let date = self.date.at(Instant::now(), &*self.shared.clock);
                    let status = answer::write_refusal(&mut self.out, error, date);
                    self.shared.stats.refused_head(error.label(), status);
                    self.flush().await?;
                    return self.linger().await;
                }
            };
            let (response, asked, rest) = self.ask(head).await;
            self.answer(response, asked).await?;
            let Some(rest) = rest else { return self.linger().await };
            if !self.discard(rest).await? {
                return self.linger().await;
            }
            if !asked.keep_alive {
                return Ok(());
            }
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new();
            }
        }
    }

    /// Waits for more of a head as long as it may take; false at the end of the connection.
    async fn more(&mut self) -> Result<bool, Gone> {
        let idle = self.buffer.is_empty();
        if !idle && !self.head_is_due {
            self.head_is_due = true;
            self.deadline.set(Instant::now() + self.shared.limits.header_timeout);
        }
        let read = poll_fn(|cx| {
            // A request that has begun to come is answered, and so is one that is on its way.
            if idle && !self.leaving && self.closing.load(Ordering::Relaxed) {
                self.leaving = true;
                self.deadline.set(Instant::now() + LEAVE_TIME);
            }
            let read = poll_more(&mut self.stream, cx, &mut self.buffer);
            self.in_time(cx, read).map_ok(|bytes| bytes > 0)
        });
        match read.await {
            // Nobody has begun to say anything: the end of this connection is an orderly one.
            Err(Gone) if idle => Ok(false),
            read => read,
        }
    }

    /// Has a request answered. What is left of its body comes back with the answer; `None` where it
    /// cannot be told any more where the next request begins.
    async fn ask(&mut self, head: Head) -> (Response, Asked, Option<Rest>) {
        let (body, mut feed) = self.body(head.framing, head.expects_continue);
        let is_head = head.method == Method::HEAD;
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = head.uri;
        *request.version_mut() = if head.is_11 { Version::HTTP_11 } else { Version::HTTP_10 };
        *request.headers_mut() = head.headers;
        let response = {
            let mut answer = pin!(self.handler.handle(request, self.peer));
            poll_fn(|cx| {
                loop {
                    if let Poll::Ready(response) = answer.as_mut().poll(cx) {
                        return Poll::Ready(response);
                    }
                    let Some(feed) = &mut feed else { return Poll::Pending };
                    ready!(feed.poll(cx, &mut self.stream, &mut self.buffer));
                }
            })
            .await
        };
        let rest = match feed {
            None => Some(Rest::Length(0)),
            Some(feed) => {
                self.out.extend_from_slice(feed.begun());
                feed.end()
            }
        };
        let most = self.shared.limits.rest_bytes_max;
        let goes_on = rest.as_ref().is_some_and(|rest| rest.is_within(most))
            && !self.closing.load(Ordering::Relaxed);
        let keep_alive = head.keep_alive && goes_on;
        (response, Asked { is_11: head.is_11, is_head, keep_alive }, rest)
    }

    /// The body of a request, whole where it is here already.
    fn body(&mut self, framing: Framing, expects_continue: bool) -> (Body, Option<Feed>) {
        match framing {
            Framing::Length(0) => (Body::empty(), None),
            Framing::Length(length) if length <= self.buffer.len() as u64 => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                (Body::from(self.buffer.split_to(length.min(self.buffer.len())).freeze()), None)
            }
            framing => {
                let (body, feed) = incoming::pair(framing, expects_continue);
                (Body::new(body), Some(feed))
            }
        }
    }

    /// Sends an answer. From here on the connection is idle.
    async fn answer(&mut self, response: Response, mut asked: Asked) -> Result<(), Gone> {
        let now = Instant::now();
        self.deadline.set(now + self.shared.limits.idle_timeout);
        self.head_is_due = false;
        let (head, mut body) = response.into_parts();
        let frames = asked.frames(head.status, &body);
        asked.keep_alive &= frames != Frames::Close;
        let date = self.date.at(now, &*self.shared.clock);
        asked.write(&mut self.out, (head.status, &head.headers), frames, date);
        let mut length = 0;
        if !asked.is_head && frames != Frames::Nothing {
            while let Some(frame) = body.frame().await {
                // An answer that breaks off must not look as if it were whole.
                let Ok(data) = frame.map_err(|_| Gone)?.into_data() else { continue };
                length += data.len() as u64;
                if data.len() > COPIED_BYTES_MAX && matches!(frames, Frames::Length(_)) {
                    // Whoever never reads it holds no copy of it.
                    self.flush().await?;
                    self.send(&data).await?;
                    continue;
                }
                answer::write_part(&mut self.out, &data, frames);
                if self.out.len() > WRITE_BYTES || !matches!(frames, Frames::Length(_)) {
                    self.flush().await?;
                }
            }
            if matches!(frames, Frames::Length(said) if said != length) {
                return Err(Gone);
            }
            answer::write_end(&mut self.out, frames);
        }
        self.flush().await?;
        if frames == Frames::Close { Err(Gone) } else { Ok(()) }
    }

    /// Sends what was said.
    async fn flush(&mut self) -> Result<(), Gone> {
        let mut out = std::mem::take(&mut self.out);
        self.send(&out).await?;
        out.clear();
        if out.capacity() <= KEPT_BYTES {
            self.out = out;
        }
        Ok(())
    }

    /// Sends all of `bytes`.
    async fn send(&mut self, mut bytes: &[u8]) -> Result<(), Gone> {
        poll_fn(|cx| {
            let done = loop {
                if bytes.is_empty() {
                    break Pin::new(&mut self.stream).poll_flush(cx);
                }
                match Pin::new(&mut self.stream).poll_write(cx, bytes) {
                    Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(sent)) => bytes = bytes.get(sent..).unwrap_or_default(),
                    Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                    Poll::Pending => break Poll::Pending,
                }
            };
            self.in_time(cx, done)
        })
        .await
    }

    /// Throws away what is left of a body; false where that is too much, or takes too long.
    async fn discard(&mut self, mut rest: Rest) -> Result<bool, Gone> {
        let mut left = self.shared.limits.rest_bytes_max;
        let mut until = None;
        while !rest.is_over() {
            let skipped = poll_fn(|cx| {
                let skip = rest.poll_skip(cx, &mut self.stream, &mut self.buffer, left);
                if skip.is_pending() {
                    let now = Instant::now();
                    let until = *until.get_or_insert(now + REST_TIME_MAX);
                    self.deadline.set(until.min(now + REST_TIME));
                }
                self.in_time(cx, skip)
            });
            left = left.saturating_sub(skipped.await?);
            if left == 0 && !rest.is_over() {
                return Ok(false);
            }
        }
        if until.is_some() {
            self.deadline.set(Instant::now() + self.shared.limits.idle_timeout);
        }
        Ok(true)
    }

    /// Ends a connection that cannot go on, so that the client gets what was said: over bytes that it
    /// sends meanwhile the connection would be reset, and the answer lost.
    async fn linger(&mut self) -> Result<(), Gone> {
        self.end_sending().await;
        self.deadline.set(Instant::now() + LINGER_TIME);
        let mut left = LINGER_BYTES;
        while left > 0 {
            let discarded = poll_fn(|cx| {
                let discarded = self.stream.poll_discard(cx, left);
                self.in_time(cx, discarded)
            });
            match discarded.await? {
                0 => break,
                bytes => left = left.saturating_sub(bytes as u64),
            }
        }
        Ok(())
    }

    /// Says that nothing more will be said; whoever does not listen is not waited for.
    async fn end_sending(&mut self) {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut self.stream).poll_shutdown(cx).is_ready())).await;
    }

    /// What was polled, unless time is up before it is ready.
    fn in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<Result<T, Gone>> {
        match polled {
            Poll::Ready(done) => Poll::Ready(Ok(done?)),
            Poll::Pending => {
                ready!(self.deadline.poll(cx));
                Poll::Ready(Err(Gone))
            }
        }
    }
}
