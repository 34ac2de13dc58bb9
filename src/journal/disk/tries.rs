//! What a journal's threads try again and again: how long they wait after a failure, and what is
//! worth a line in the log. A disk that fails for days must not fill another one with lines.

use std::time::Duration;

use super::super::Error;

/// How often one piece of work is tried.
#[derive(Debug)]
pub(super) struct Tries {
    usual: Duration,
    longest: Duration,
    wait: Duration,
}

impl Tries {
    /// Work that is done every `usual` while it succeeds, and every `longest` in the end while not.
    pub(super) const fn new(usual: Duration, longest: Duration) -> Self {
        Self { usual, longest, wait: usual }
    }

    /// From one try to the next.
    pub(super) const fn wait(&self) -> Duration {
        self.wait
    }

    /// Takes what became of a try; true where the last one went otherwise.
    pub(super) fn turned(&mut self, is_done: bool) -> bool {
        let was_done = self.wait == self.usual;
        self.wait = if is_done { self.usual } else { (self.wait * 2).min(self.longest) };
        is_done != was_done
    }
}

/// How often segments are cared for: missing space is looked for, those kept for replay are looked
/// at, and the folder is looked for.
pub(super) const CARE_INTERVAL: Duration = Duration::from_secs(1);
/// After each failure the wait doubles, up to this: whoever was told of a full log comes again then.
const FAILED_CARE_MAX: Duration = Duration::from_secs(10);

/// A piece of the keeper's work.
#[derive(Debug)]
pub(super) struct Task {
    tries: Tries,
    /// When it is to be tried next, by the clock's elapsed time.
    due: Duration,
    failure: &'static str,
}

impl Task {
    const fn new(failure: &'static str) -> Self {
        let tries = Tries::new(CARE_INTERVAL, FAILED_CARE_MAX);
        Self { tries, due: Duration::ZERO, failure }
    }

    /// Whether it is to be tried: always, unless it has failed not long ago.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        now >= self.due
    }

    /// Takes what became of it, and tells where that is new.
    pub(super) fn tried(&mut self, now: Duration, done: Result<(), Error>) {
        let turned = self.tries.turned(done.is_ok());
        self.due = if done.is_ok() { Duration::ZERO } else { now + self.tries.wait() };
        match done {
            Ok(()) if turned => tracing::info!(after = self.failure, "journal goes on"),
            Err(error) if turned => tracing::error!(%error, "{}", self.failure),
            _ => {}
        }
    }
}

/// The keeper's work.
#[derive(Debug)]
pub(super) struct Care {
    /// Giving back what was trimmed.
    pub(super) giving_back: Task,
    /// Preparing the next segment.
    pub(super) preparing: Task,
}

impl Default for Care {
    fn default() -> Self {
        Self {
            giving_back: Task::new("journal cannot give back storage"),
            preparing: Task::new("journal cannot prepare a segment"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_failing_is_told_once_and_tried_ever_less_often() {
        let (usual, longest) = (Duration::from_millis(50), Duration::from_secs(5));
        let mut tries = Tries::new(usual, longest);
        assert!(!tries.turned(true), "all is as it should be");
        let mut waited = Duration::ZERO;
        let told: Vec<bool> = (0..100)
            .map(|_| {
                waited += tries.wait();
                tries.turned(false)
            })
            .collect();
        assert_eq!(told.iter().position(|told| *told), Some(0));
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
        assert!(waited > Duration::from_mins(7), "{waited:?} for a hundred tries");
        assert_eq!(tries.wait(), longest);
        assert!(tries.turned(true), "it works again");
        assert_eq!(tries.wait(), usual);
    }

    #[test]
    fn the_keeper_leaves_what_failed_alone_for_a_while() {
        let mut task = Task::new("it cannot be done");
        let failed = || Err(Error::Closed);
        let hour = (0..3_600).map(Duration::from_secs);
        let mut tried = Vec::new();
        for now in hour {
            if task.is_due(now) {
                task.tried(now, failed());
                tried.push(now.as_secs());
            }
        }
        assert_eq!(tried.get(..6).unwrap(), [0, 2, 6, 14, 24, 34]);
        assert_eq!(tried.len(), 362);
        let now = Duration::from_hours(1);
        task.tried(now, Ok(()));
        assert!(task.is_due(now), "what succeeds is done whenever it is wanted");
    }
}
