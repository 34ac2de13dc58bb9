//! Reads a request's body within its limits of size, time and memory.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::{CONTENT_ENCODING, EXPECT};
use axum::http::request::Parts as Head;
use axum::http::{HeaderMap, Version};
use bytes::Bytes;
use futures_util::poll;
use http_body_util::BodyExt;
use tokio_util::task::TaskTracker;

use super::inflate::{Coding, codings, inflate};
use crate::ingest::{Refusal, Trouble};
use crate::limits::{Budget, Permit, Share};

/// What a request costs beside its body, so that a flood of empty ones is bounded too.
pub(super) const REQUEST_BYTES: usize = 4 << 10;

/// Limits of one body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes, as sent and as inflated.
    pub(super) bytes_max: usize,
    /// From the end of the headers to the end of the body.
    pub(super) timeout: Duration,
}

/// Why there is no body, and what is left of it to be read.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) refusal: Refusal,
    /// The unread rest, where the client goes on sending.
    pub(super) rest: Option<Body>,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, rest: None }
    }
}

/// What is known of a body before it is read.
#[derive(Debug)]
pub(super) struct Expected {
    codings: Vec<Coding>,
    /// Bytes that there will be to be worked on, by what is usual.
    pub(super) bytes: usize,
}

/// A body of unknown length has so many bytes.
const UNKNOWN_BYTES: usize = 32 << 10;
/// JSON of events has so many bytes for each one it is packed to.
const INFLATES_BY: usize = 8;

/// Looks at what is said of a body.
///
/// # Errors
/// It is too large, or packed in a way that nobody here can unpack.
pub(super) fn expect(
    headers: &HeaderMap,
    body: &Body,
    bytes_max: usize,
) -> Result<Expected, Refusal> {
    let encodings = headers.get_all(CONTENT_ENCODING).iter().map(|value| value.as_bytes());
    let codings = codings(encodings)?;
    let hint = body.size_hint();
    let announced = usize::try_from(hint.lower()).unwrap_or(usize::MAX);
    if announced > bytes_max {
        return Err(Refusal::TooLarge);
    }
    let announced = if hint.exact().is_some() { announced } else { announced.max(UNKNOWN_BYTES) };
    let by = if codings.is_empty() { 1 } else { INFLATES_BY };
    Ok(Expected { codings, bytes: announced.saturating_mul(by).min(bytes_max) })
}

/// Reads and inflates the body. Memory is taken as bytes arrive, not as they are announced, so that
/// a slow client holds no more than it has sent.
pub(super) async fn read(
    body: Body,
    Expected { codings, .. }: Expected,
    limits: Limits,
    (budget, share): (&Budget, &Arc<Share>),
) -> Result<(Bytes, Permit), Failure> {
    let in_flight = Refusal::Unavailable(Trouble::InFlight);
    let Some(mut permit) = budget.take_of(share, REQUEST_BYTES) else {
        return Err(Failure { refusal: in_flight, rest: Some(body) });
    };
    let packed = {
        let mut collected = pin!(collect(body, limits.bytes_max, &mut permit));
        match poll!(collected.as_mut()) {
            // It is here, as most are: no timer is needed.
            Poll::Ready(done) => done?,
            Poll::Pending => match tokio::time::timeout(limits.timeout, collected).await {
                Ok(done) => done?,
                // Nobody waits for a stalled sender: the connection is closed with the answer.
                Err(_) => return Err(Refusal::UnreadableBody.into()),
            },
        }
    };
    if codings.is_empty() {
        return Ok((packed, permit));
    }
    // On the heap: decoders take kilobytes, which a plain body's future would be moved with.
    let inflated = Box::pin(inflate(packed, &codings, limits.bytes_max, &mut permit));
    let bytes = inflated.await?;
    Ok((bytes, permit))
}

async fn collect(mut body: Body, most: usize, permit: &mut Permit) -> Result<Bytes, Failure> {
    let mut first = Bytes::new();
    let mut all = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::UnreadableBody)?;
        // Trailers say nothing to us.
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        let refusal = if length > most {
            Some(Refusal::TooLarge)
        } else {
            (!permit.grow(data.len())).then_some(Refusal::Unavailable(Trouble::InFlight))
        };
        if let Some(refusal) = refusal {
            return Err(Failure { refusal, rest: Some(body) });
        }
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        let rest = body.size_hint().upper().and_then(|rest| usize::try_from(rest).ok());
        if all.is_empty() {
            make_room(&mut all, length, rest);
            all.extend_from_slice(&first);
            first = Bytes::new();
        }
        make_room(&mut all, data.len(), rest);
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

/// Makes room for `bytes` more where they do not fit, and for as much again as there is then, since
/// nobody pays for what was only announced; but for no more than `rest` behind them, if that is known.
fn make_room(all: &mut Vec<u8>, bytes: usize, rest: Option<usize>) {
    let length = all.len().saturating_add(bytes);
    if length > all.capacity() {
        all.reserve_exact(bytes.saturating_add(length.min(rest.unwrap_or(length))));
    }
}

/// Reads on after a refusal where a body is one of many on its connection, so that a client that is
/// still sending gets its answer in place of a reset.
#[derive(Clone, Debug)]
pub(super) struct Drains {
    tasks: TaskTracker,
    running: Budget,
}

/// How many refused bodies are read on at a time; further ones are cut off.
const DRAINS_MAX: usize = 1024;
/// How long a refused body is read on.
const DRAIN_TIME: Duration = Duration::from_secs(5);

impl Drains {
    pub(super) fn new(tasks: TaskTracker) -> Self {
        Self { tasks, running: Budget::new(DRAINS_MAX) }
    }

    /// Reads what is left of `body` beside the answer, at most `bytes_max` of it.
    pub(super) fn drain(&self, head: &Head, mut body: Body, bytes_max: usize) {
        // A connection of HTTP/1 sees to it by itself, and whoever asked whether to send has its
        // answer already.
        let is_stream = head.version == Version::HTTP_2 && !head.headers.contains_key(EXPECT);
        if body.is_end_stream() || !is_stream {
            return;
        }
        let Some(permit) = self.running.take(1) else { return };
        self.tasks.spawn(async move {
            let discard = async {
                let mut left = bytes_max;
                while let Some(Ok(frame)) = body.frame().await {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    let Some(rest) = left.checked_sub(length) else { break };
                    left = rest;
                }
            };
            // Whichever way it ends, the connection is the client's concern from here.
            tokio::time::timeout(DRAIN_TIME, discard).await.ok();
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a body that comes in such pieces is copied, and the room it has after each.
    fn rooms(pieces: usize, piece: usize, announced: Option<usize>) -> (usize, Vec<usize>) {
        let (mut all, mut copies, mut rooms) = (Vec::new(), 0, Vec::new());
        for number in 1..=pieces {
            let before = all.capacity();
            make_room(&mut all, piece, announced.map(|announced| announced - number * piece));
            copies += usize::from(all.capacity() != before);
            all.resize(number * piece, b'x');
            rooms.push(all.capacity());
        }
        (copies, rooms)
    }

    #[test]
    fn room_is_made_for_what_has_come() {
        for announced in [Some(16 << 20), None] {
            for (number, room) in rooms(1_000, 100, announced).1.into_iter().enumerate() {
                assert!(room <= 2 * 100 * (number + 1), "{room} after {}", number + 1);
            }
        }
        // A batch of 300 KB in the pieces of a usual socket.
        let (copies, room) = rooms(19, 16_000, Some(304_000));
        assert_eq!((copies, room.last()), (4, Some(&304_000)));
        let (copies, room) = rooms(3, 100_000, Some(300_000));
        assert_eq!((copies, room), (2, vec![200_000, 200_000, 300_000]));
        assert!(rooms(1_000, 16_000, None).0 <= 11);
    }
}
