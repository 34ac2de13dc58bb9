//! One connection's life: take work, send it, judge the answer, note it, again.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::gate::{Attempt, Work};
use super::{Feed, Shared};
use crate::client::{Answer, Connection};
use crate::clock;
use crate::latency::{Fate, Times, Try};
use crate::ledger::Outcome;
use crate::payload::{Expect, Renderer, Request};
use crate::rng::Rng;

/// Pause after a connection could not be opened, so that a server that is down is not hammered.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

enum Own {
    Live(Renderer),
    Ready(Arc<super::Stack>),
}

impl Own {
    fn next(&mut self) -> anyhow::Result<Option<Request>> {
        match self {
            Self::Live(renderer) => renderer.request(clock::wall_millis()).map(Some),
            Self::Ready(stack) => Ok(stack.pop()),
        }
    }
}

/// Sends until the gate closes, or the ready requests are used up and nothing of them is owed.
pub(super) async fn run(shared: Arc<Shared>, feed: Feed, lane: u64) -> anyhow::Result<()> {
    let mut own = match feed {
        Feed::Live(renderer) => Own::Live(renderer.lane(lane)),
        Feed::Ready(stack) => Own::Ready(stack),
    };
    let mut rng = Rng::lane(lane, 0x0D0B);
    let mut connection = None;
    // Made before it is due, so that making it is not part of its latency.
    let mut prepared = own.next()?;
    loop {
        let work = match prepared {
            Some(_) => shared.gate.next().await,
            None => shared.gate.next_owed().await,
        };
        let Some(work) = work else { return Ok(()) };
        let attempt = match work {
            Work::Again(attempt) => attempt,
            Work::Due(due) => match prepared.take() {
                Some(request) => Attempt::first(request, due),
                None => return Ok(()),
            },
        };
        let result = send(&shared, &mut connection, attempt, &mut rng).await;
        shared.gate.done();
        result?;
        if prepared.is_none() {
            prepared = own.next()?;
        }
    }
}

async fn send(
    shared: &Shared,
    connection: &mut Option<Connection>,
    mut attempt: Attempt,
    rng: &mut Rng,
) -> anyhow::Result<()> {
    let sent = shared.now();
    attempt.tries += 1;
    let request = Arc::clone(&attempt.request);
    let exchange = exchange(shared, connection, &request);
    let result = tokio::time::timeout(shared.profile.request_timeout.0, exchange).await;
    let ended = shared.now();
    if connection.as_ref().is_some_and(|connection| !connection.usable()) {
        *connection = None;
    }
    let (fate, answer) = match result {
        Err(_) => (Fate::TimedOut, None),
        Ok(Err(_)) => (Fate::Broken, None),
        Ok(Ok(None)) => (Fate::Cut, None),
        Ok(Ok(Some(answer))) if answer.status == 200 => (Fate::Taken, Some(answer)),
        Ok(Ok(Some(answer))) => (Fate::Refused(answer.status), Some(answer)),
    };
    let retry_after = answer.and_then(|answer| answer.retry_after);
    let measured = note(shared, &attempt, Times { due: attempt.due, sent, ended }, fate);
    if measured && matches!(fate, Fate::Refused(429 | 503)) && retry_after.is_none() {
        shared.recorder().counts.without_pause += 1;
    }
    let refused_to_connect = fate == Fate::Broken && connection.is_none();
    if settle(shared, attempt, fate, retry_after, rng)? && measured {
        shared.recorder().counts.given_up += 1;
    }
    if refused_to_connect {
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
    Ok(())
}

/// Sends one request; no answer when the sender goes away on purpose.
async fn exchange(
    shared: &Shared,
    connection: &mut Option<Connection>,
    request: &Request,
) -> anyhow::Result<Option<Answer>> {
    let mut own = match connection.take() {
        Some(connection) => connection,
        None => Connection::open(&shared.address).await?,
    };
    if let Some(at) = request.cut_at {
        own.cut(request.bytes.get(..at).unwrap_or_default()).await?;
        return Ok(None);
    }
    let answer = own.exchange(&request.bytes).await?;
    *connection = own.usable().then_some(own);
    Ok(Some(answer))
}

/// Records a try; answers whether it belongs to the measured time, which it does by when it was sent.
fn note(shared: &Shared, attempt: &Attempt, times: Times, fate: Fate) -> bool {
    let Some(sent) = times.sent.checked_sub(shared.warm_up) else { return false };
    let events = attempt.request.events;
    let mut recorder = shared.recorder();
    recorder.counts.bytes += u64::try_from(attempt.request.bytes.len()).unwrap_or(0);
    let kind = match attempt {
        Attempt { duplicate: true, .. } => Try::Duplicate,
        Attempt { tries: 1, .. } => Try::First,
        Attempt { .. } => Try::Retry,
    };
    // What was due in the warm-up and had to wait until now is charged from the start.
    let due = times.due.saturating_sub(shared.warm_up);
    let ended = times.ended.saturating_sub(shared.warm_up);
    recorder.note(Times { due, sent, ended }, kind, fate, events);
    if !expected(attempt.request.expect, fate) {
        recorder.counts.unexpected += 1;
    }
    true
}

/// Whether `fate` is what a right server may do; being overloaded or away is judged elsewhere.
const fn expected(expect: Expect, fate: Fate) -> bool {
    match (expect, fate) {
        (Expect::Refused(wanted), Fate::Refused(status)) if wanted == status => true,
        (_, Fate::Refused(429 | 503 | 504) | Fate::Broken | Fate::TimedOut)
        | (Expect::Taken, Fate::Taken)
        | (Expect::Nothing, Fate::Cut) => true,
        _ => false,
    }
}

/// Decides what follows from a try; answers whether its request is given up.
fn settle(
    shared: &Shared,
    mut attempt: Attempt,
    fate: Fate,
    retry_after: Option<Duration>,
    rng: &mut Rng,
) -> anyhow::Result<bool> {
    let mut given_up = false;
    let outcome = match fate {
        Fate::Taken => Outcome::Acknowledged,
        // Nobody tries again what was cut short on purpose, and nothing of it may be taken.
        Fate::Cut => Outcome::Refused,
        Fate::Refused(status) if status < 500 && status != 429 => attempt.last_known(),
        Fate::Refused(_) | Fate::Broken | Fate::TimedOut => {
            // 429 and 503 say that nothing was kept; any other failure leaves it open.
            attempt.uncertain |= !matches!(fate, Fate::Refused(429 | 503));
            match shared.gate.retry(attempt, retry_after) {
                Ok(()) => return Ok(false),
                Err(back) => {
                    (attempt, given_up) = (back, true);
                    attempt.last_known()
                }
            }
        }
    };
    if attempt.duplicate {
        return Ok(given_up);
    }
    if let Some(ledger) = &shared.ledger {
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.note(outcome, &attempt.request.ids)?;
    }
    if fate == Fate::Taken && rng.chance(shared.profile.traffic.duplicates) {
        shared.gate.repeat(attempt);
    }
    Ok(given_up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wrong_answer_is_unexpected() {
        let rows = [
            (Expect::Taken, Fate::Taken, true),
            (Expect::Taken, Fate::Refused(503), true),
            (Expect::Taken, Fate::Refused(400), false),
            (Expect::Taken, Fate::Refused(500), false),
            (Expect::Refused(400), Fate::Refused(400), true),
            (Expect::Refused(400), Fate::Refused(401), false),
            (Expect::Refused(401), Fate::Taken, false),
            (Expect::Nothing, Fate::Cut, true),
        ];
        for (expect, fate, right) in rows {
            assert_eq!(expected(expect, fate), right, "{expect:?} {fate:?}");
        }
    }
}
