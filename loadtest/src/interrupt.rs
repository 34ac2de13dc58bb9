//! Signals that ask the harness to end. The first ends what a command still means to do: what was sent is
//! waited for and reported. The second ends everything at once.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Exit code of a command that a signal cut short, as shells have it for Ctrl-C.
pub(crate) const CUT_SHORT: u8 = 130;

/// How long leaving at once may take: servers are killed, temporary folders removed.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// How far a command may still go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Until {
    /// To its own end.
    #[default]
    Planned,
    /// Nothing new is begun; what was begun is finished.
    Early,
    /// Not a step further.
    Now,
}

/// Tells how far a command may go.
pub(crate) type Limit = watch::Receiver<Until>;

/// Listens for SIGINT and SIGTERM from now on. A thread of its own does, since a command may be amid
/// work that nothing interrupts: then the program ends under its hands, and its servers with it.
///
/// # Errors
/// When the signals cannot be taken over.
pub(crate) fn listen() -> anyhow::Result<Limit> {
    let (asked, limit) = watch::channel(Until::Planned);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        let taken = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        (taken.0.context("take over SIGINT")?, taken.1.context("take over SIGTERM")?)
    };
    let follow = async move {
        for until in [Until::Early, Until::Now] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            asked.send_replace(until);
        }
        tokio::time::sleep(LEAVE_MAX).await;
        std::process::exit(i32::from(CUT_SHORT));
    };
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || runtime.block_on(follow)).context("start the thread for signals")?;
    Ok(limit)
}

/// Waits until the limit is beyond `seen`, and answers where it is; for ever if nobody sets it any more.
pub(crate) async fn beyond(limit: &mut Limit, seen: Until) -> Until {
    let reached = limit.wait_for(|until| *until > seen).await.ok().map(|until| *until);
    match reached {
        Some(until) => until,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_limit_that_was_set_before_is_seen_and_an_abandoned_one_is_not_waited_out() {
        let (asked, mut limit) = watch::channel(Until::Planned);
        asked.send_replace(Until::Early);
        assert_eq!(beyond(&mut limit, Until::Planned).await, Until::Early);
        drop(asked);
        assert_eq!(beyond(&mut limit, Until::Planned).await, Until::Early, "it stays set");
        let never = beyond(&mut limit, Until::Early);
        assert!(tokio::time::timeout(Duration::from_millis(1), never).await.is_err());
    }
}
