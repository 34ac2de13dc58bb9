//! The search for the highest rate that a server sustains: climb by a factor until one step fails,
//! then halve the interval a few times. Pure: it is told how each step went.

use crate::drive::Outcome;
use crate::profile::Ramp;

/// A search in progress.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    ramp: Ramp,
    good: Option<f64>,
    bad: Option<f64>,
    refined: u32,
    steps: u32,
}

/// A ramp ends after so many steps whatever happens.
const STEPS_MAX: u32 = 40;

impl Search {
    /// The search that `ramp` describes.
    pub(crate) const fn new(ramp: Ramp) -> Self {
        Self { ramp, good: None, bad: None, refined: 0, steps: 0 }
    }

    /// The rate to try next, in events a second; none when the search is over.
    pub(crate) fn next(&mut self) -> Option<f64> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return None;
        }
        match (self.good, self.bad) {
            (None, None) => Some(self.ramp.start),
            (Some(good), None) => Some(good * self.ramp.factor),
            // Even the first rate was too much: look below it.
            (None, Some(bad)) => (bad >= 1.0).then_some(bad / self.ramp.factor),
            (Some(good), Some(bad)) => {
                self.refined += 1;
                // The middle of a geometric climb is the geometric one.
                (self.refined <= self.ramp.refinements).then(|| (good * bad).sqrt())
            }
        }
    }

    /// Notes how the step at `rate` went.
    pub(crate) fn note(&mut self, rate: f64, sustained: bool) {
        if sustained {
            self.good = Some(self.good.map_or(rate, |good| good.max(rate)));
        } else {
            self.bad = Some(self.bad.map_or(rate, |bad| bad.min(rate)));
        }
    }

    /// The highest rate that was sustained.
    pub(crate) const fn best(&self) -> Option<f64> {
        self.good
    }
}

/// Why a step was not sustained; none if it was.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(crate) fn verdict(ramp: &Ramp, rate: f64, outcome: &Outcome) -> Option<String> {
    let counts = &outcome.counts;
    let failed = counts.failed() as f64 / (counts.requests as f64).max(1.0);
    if counts.abandoned > 0 {
        return Some(format!("{} requests never sent", counts.abandoned));
    }
    if failed > ramp.refused_max {
        return Some(format!("{:.2} % failed", failed * 100.0));
    }
    let p99 = outcome.latency.p99;
    if u128::from(p99) > ramp.p99_max.0.as_micros() {
        return Some(format!("p99 {} ms", p99 / 1_000));
    }
    // Poisson arrivals of a short step scatter by a few percent without any fault.
    if outcome.events_per_second() < rate * 0.95 {
        return Some("rate not reached".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(start: f64, limit: f64) -> (Option<f64>, u32) {
        let ramp = Ramp { start, factor: 2.0, refinements: 4, ..Ramp::default() };
        let mut search = Search::new(ramp);
        let mut steps = 0;
        while let Some(rate) = search.next() {
            search.note(rate, rate <= limit);
            steps += 1;
        }
        (search.best(), steps)
    }

    #[test]
    fn the_limit_is_found_from_below_and_from_above() {
        for (start, limit) in [(1_000.0, 37_000.0), (64_000.0, 37_000.0), (37_000.0, 37_000.0)] {
            let (best, steps) = search(start, limit);
            let best = best.unwrap();
            assert!(best <= limit && best > limit * 0.9, "{best} of {limit}");
            assert!(steps < 15, "{steps}");
        }
    }

    #[test]
    fn a_dead_server_ends_the_search() {
        let (best, steps) = search(1_000.0, 0.0);
        assert_eq!(best, None);
        assert!(steps < 15);
    }
}
