//! A request's body that has not been received yet, as the handler sees it and as the connection does.
//!
//! The body asks, the connection reads: whoever polls the [`Body`] leaves word in a slot, the
//! connection sees to it after each poll of the handler and puts there what came. Nothing is read
//! that was not asked for, so a slow handler holds its client back.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use axum::body::HttpBody;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use super::super::stream::{Stream, poll_more};
use super::chunks::{Chunks, Malformed, Step};
use super::wire::Framing;

/// Largest piece of a body that is read before it is handed on.
const PIECE_BYTES_MAX: usize = 128 << 10;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The client is gone, or ended its side amid the body.
    #[error("the body breaks off")]
    Off,
    /// The connection failed.
    #[error("cannot read the body")]
    Io(#[source] io::Error),
    /// Its chunks are not as they must be.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// What the body and the connection tell each other.
#[derive(Debug, Default)]
struct Slot {
    /// The body was asked for a part that is not there yet.
    asked: bool,
    part: Option<Result<Option<Bytes>, Broken>>,
    /// The connection reads no further.
    closed: bool,
    waker: Option<Waker>,
}

fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The handler's side.
#[derive(Debug)]
pub(super) struct Body {
    slot: Arc<Mutex<Slot>>,
    /// Bytes that are still to come, where that is known.
    left: Option<u64>,
    over: bool,
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        let mut slot = lock(&self.slot);
        let part = match slot.part.take() {
            Some(part) => part,
            None if slot.closed => Err(Broken::Off),
            None => {
                slot.asked = true;
                match &mut slot.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                return Poll::Pending;
            }
        };
        drop(slot);
        match part {
            Ok(Some(data)) => {
                self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Ok(None) => {
                self.over = true;
                Poll::Ready(None)
            }
            Err(broken) => {
                self.over = true;
                Poll::Ready(Some(Err(broken)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// What is still to be read of a body.
#[derive(Debug)]
pub(super) enum Rest {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunks(Chunks),
}

impl Rest {
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunks(chunks) => chunks.is_over(),
        }
    }

    /// False where it is known to have more than `most` bytes.
    pub(super) const fn is_within(&self, most: u64) -> bool {
        !matches!(self, Self::Length(left) if *left > most)
    }

    /// Reads the next part; `None` at the body's end. Takes nothing behind it from a known length.
    pub(super) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut impl Stream,
        buffer: &mut BytesMut,
    ) -> Poll<Result<Option<Bytes>, Broken>> {
        match self {
            Self::Length(0) => Poll::Ready(Ok(None)),
            Self::Length(left) => {
                let piece = ready!(poll_piece(*left, cx, stream, buffer))?;
                *left -= piece.len() as u64;
                Poll::Ready(Ok(Some(piece)))
            }
            Self::Chunks(chunks) => loop {
                match chunks.next(buffer)? {
                    Step::Data(data) => return Poll::Ready(Ok(Some(data))),
                    Step::End => return Poll::Ready(Ok(None)),
                    Step::More => {
                        if ready!(poll_more(stream, cx, buffer)).map_err(Broken::Io)? == 0 {
                            return Poll::Ready(Err(Broken::Off));
                        }
                    }
                }
            },
        }
    }
}

impl Rest {
    /// Throws away what comes next, about `most` bytes at most; how many of the body there were.
    pub(super) fn poll_skip(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut impl Stream,
        buffer: &mut BytesMut,
        most: u64,
    ) -> Poll<io::Result<u64>> {
        let skipped = match self {
            Self::Length(left) => {
                let skipped = if buffer.is_empty() {
                    ready!(stream.poll_discard(cx, most.min(*left)))?
                } else {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                    buffer.advance(here);
                    here
                };
                // More than was asked for would be the next request's.
                let after = left.checked_sub(skipped as u64);
                *left = after.ok_or(io::ErrorKind::InvalidData)?;
                skipped
            }
            Self::Chunks(_) => {
                let part = ready!(self.poll_part(cx, stream, buffer));
                let part = part.map_err(io::Error::other)?;
                return Poll::Ready(Ok(part.map_or(0, |part| part.len() as u64)));
            }
        };
        if skipped == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Poll::Ready(Ok(skipped as u64))
    }
}

/// Reads what there is of the next `left` bytes, in one piece if it is not large: what has come with
/// the head is put before the rest, and nothing is copied again.
fn poll_piece(
    left: u64,
    cx: &mut Context<'_>,
    stream: &mut impl Stream,
    buffer: &mut BytesMut,
) -> Poll<Result<Bytes, Broken>> {
    let most = usize::try_from(left).unwrap_or(PIECE_BYTES_MAX).min(PIECE_BYTES_MAX);
    if buffer.len() >= most {
        return Poll::Ready(Ok(buffer.split_to(most).freeze()));
    }
    let mut piece = BytesMut::with_capacity(most);
    piece.extend_from_slice(&buffer.split());
    while piece.len() < most {
        let room = most - piece.len();
        let read = poll_read_buf(Pin::new(&mut *stream), cx, &mut (&mut piece).limit(room));
        match read.map_err(Broken::Io)? {
            Poll::Ready(0) if piece.is_empty() => return Poll::Ready(Err(Broken::Off)),
            Poll::Pending if piece.is_empty() => return Poll::Pending,
            // The end is seen again at the next look.
            Poll::Ready(0) | Poll::Pending => break,
            Poll::Ready(_) => {}
        }
    }
    // A slow client's bytes take no more room than they are.
    let piece =
        if piece.len() < most / 2 { Bytes::copy_from_slice(&piece) } else { piece.freeze() };
    Poll::Ready(Ok(piece))
}

/// The connection's side.
#[derive(Debug)]
pub(super) struct Feed {
    slot: Arc<Mutex<Slot>>,
    rest: Rest,
    /// What is left to be said before the client sends.
    owed: &'static [u8],
    /// It is said, and may not be on its way yet.
    unflushed: bool,
    failed: bool,
}

/// A body that is still to be read, and who reads it.
pub(super) fn pair(framing: Framing, expects_continue: bool) -> (Body, Feed) {
    let slot = Arc::<Mutex<Slot>>::default();
    let (rest, left) = match framing {
        Framing::Length(length) => (Rest::Length(length), Some(length)),
        Framing::Chunked => (Rest::Chunks(Chunks::default()), None),
    };
    let owed = if expects_continue { CONTINUE } else { b"" };
    let feed = Feed { slot: Arc::clone(&slot), rest, owed, unflushed: false, failed: false };
    (Body { slot, left, over: false }, feed)
}

impl Feed {
    /// Puts the next part in the slot once it is asked for and has come; then the handler is to be
    /// polled again.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut impl Stream,
        buffer: &mut BytesMut,
    ) -> Poll<()> {
        if !lock(&self.slot).asked {
            return Poll::Pending;
        }
        let part = match ready!(self.poll_promise(cx, stream)) {
            Ok(()) => ready!(self.rest.poll_part(cx, stream, buffer)),
            Err(error) => Err(Broken::Io(error)),
        };
        self.failed = part.is_err();
        let mut slot = lock(&self.slot);
        slot.asked = false;
        slot.part = Some(part);
        // Within the connection's own task the handler is polled next anyway.
        if let Some(waker) = slot.waker.take().filter(|waker| !waker.will_wake(cx.waker())) {
            waker.wake();
        }
        Poll::Ready(())
    }

    /// Lets a client send that waits to be told.
    fn poll_promise(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while !self.owed.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, self.owed))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.owed = self.owed.get(written..).unwrap_or_default();
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// What is left of a promise that was begun; it has to be kept before anything else is said.
    pub(super) const fn begun(&self) -> &'static [u8] {
        if self.owed.len() < CONTINUE.len() { self.owed } else { b"" }
    }

    /// Ends it when the request is answered: what the client goes on to send, or `None` where the
    /// connection cannot go on. A body that was waited for until then has stalled, and a client that
    /// was never told to send need not.
    pub(super) fn end(self) -> Option<Rest> {
        let mut slot = lock(&self.slot);
        slot.closed = true;
        // Whoever still holds the body somewhere is told.
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
        let lost = slot.asked || self.failed || self.owed.len() == CONTINUE.len();
        drop(slot);
        (self.rest.is_over() || !lost).then_some(self.rest)
    }
}
