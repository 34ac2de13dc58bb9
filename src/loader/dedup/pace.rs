//! How far the wall clock is believed when the table of repeats ages.
//!
//! What is too old leaves the table for good, so a clock that somebody sets ahead by days, and back,
//! must not empty it. The wall clock is believed while it goes on as the monotonic one does. Where it
//! jumps ahead, the time that was right before goes on alone, until the wall clock has stood to its
//! word for an hour, each start anew. Meanwhile more is remembered than the window asks for, never less.

use std::time::Duration;

use crate::clock::Timestamp;

/// The two clocks differ by less, from slewing and from short sleeps of the machine.
const SLACK: Duration = Duration::from_mins(5);

/// After so long a wall clock that jumped ahead is believed: time enough for whoever keeps it to set
/// it right, and short against the window.
const PATIENCE: Duration = Duration::from_hours(1);

/// Compares the wall clock with the monotonic one.
#[derive(Debug)]
pub struct Pace {
    /// What is believed: a time, and when on the monotonic clock it was.
    believed: (Timestamp, Duration),
    doubt: Option<Doubt>,
}

/// A jump ahead.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// By how much, in microseconds.
    ahead: i64,
    /// Since when on the monotonic clock.
    since: Duration,
}

impl Pace {
    /// Believes that it is `time`, at `elapsed` on the monotonic clock.
    #[must_use]
    pub const fn new(time: Timestamp, elapsed: Duration) -> Self {
        Self { believed: (time, elapsed), doubt: None }
    }

    /// The time it is, as far as the wall clock `now` can be believed.
    pub fn time(&mut self, now: Timestamp, elapsed: Duration) -> Timestamp {
        let (time, at) = self.believed;
        let expected = time.saturating_add(elapsed.saturating_sub(at));
        let ahead = now.micros().saturating_sub(expected.micros());
        let slack = i64::try_from(SLACK.as_micros()).unwrap_or(i64::MAX);
        if ahead > slack {
            let same = |doubt: &Doubt| ahead.abs_diff(doubt.ahead) <= slack.unsigned_abs();
            let doubt = self.doubt.filter(same).unwrap_or(Doubt { ahead, since: elapsed });
            self.doubt = Some(doubt);
            if elapsed.saturating_sub(doubt.since) < PATIENCE {
                return expected;
            }
        }
        // A clock that is set back ages nothing.
        (self.believed, self.doubt) = ((now, elapsed), None);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: u64) -> Duration {
        Duration::from_hours(hours)
    }

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_millis(hours * 3_600_000)
    }

    #[test]
    fn both_clocks_together_are_believed() {
        let mut pace = Pace::new(at(0), hours(7));
        assert_eq!(pace.time(at(100), hours(107)), at(100));
        assert_eq!(pace.time(at(90), hours(108)), at(90), "it was set back");
        let slewed = at(91).saturating_add(SLACK);
        assert_eq!(pace.time(slewed, hours(109)), slewed);
    }

    #[test]
    fn a_jump_is_believed_once_it_has_lasted() {
        let mut pace = Pace::new(at(0), hours(0));
        let minutes = |minutes| Duration::from_mins(minutes);
        let jumped = |passed: u64| at(72).saturating_add(minutes(passed));
        for passed in [10, 30, 69] {
            let right = at(0).saturating_add(minutes(passed));
            assert_eq!(pace.time(jumped(passed), minutes(passed)), right);
        }
        assert_eq!(pace.time(jumped(70), minutes(70)), jumped(70));
        // Another one begins anew, and one that is taken back leaves nothing.
        assert_eq!(pace.time(at(200), minutes(71)), jumped(71));
        assert_eq!(pace.time(at(300), minutes(140)), jumped(140));
        assert_eq!(pace.time(jumped(141), minutes(141)), jumped(141));
        assert_eq!(pace.time(at(300), minutes(142)), jumped(142));
    }
}
