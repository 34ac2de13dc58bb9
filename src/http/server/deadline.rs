//! The one timer of a connection.
//!
//! Between two requests it costs nothing: a deadline that moves on leaves the timer as it is, and a
//! timer that goes off too early is set again then.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// When a connection's time is up.
#[derive(Debug)]
pub(super) struct Deadline {
    at: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    pub(super) fn at(at: Instant) -> Self {
        Self { at, sleep: Box::pin(sleep_until(at)) }
    }

    /// Time is up at `at` instead.
    pub(super) fn set(&mut self, at: Instant) {
        self.at = at;
        if at < self.sleep.deadline() {
            self.sleep.as_mut().reset(at);
        }
    }

    /// Ready when time is up.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            if self.sleep.deadline() >= self.at {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn time_is_up_when_it_was_set_last() {
        let start = Instant::now();
        let later = |millis| start + Duration::from_millis(millis);
        let mut deadline = Deadline::at(later(60_000));
        deadline.set(later(10));
        poll_fn(|cx| deadline.poll(cx)).await;
        assert!(start.elapsed() >= Duration::from_millis(10));
        // Put off while the timer still stands at the time before.
        let mut deadline = Deadline::at(later(20));
        deadline.set(later(60));
        poll_fn(|cx| deadline.poll(cx)).await;
        assert!(start.elapsed() >= Duration::from_millis(60));
    }
}
