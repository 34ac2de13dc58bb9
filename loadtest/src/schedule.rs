//! When each request is due, decided before anything is sent. The schedule does not wait for
//! answers (open loop), so a slow server cannot slow down the load that shows it is slow.
//! Pure: it is given the seed and computes offsets from the start.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// How the requests of a rate are spread over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Arrivals {
    /// Independent clients: exponential gaps, so that short bursts happen as they do in life.
    #[default]
    Poisson,
    /// Equal gaps.
    Even,
}

/// An endless row of due times, each at or after the one before.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    arrivals: Arrivals,
    gap_seconds: f64,
    at_seconds: f64,
    number: u64,
    rng: Rng,
}

impl Schedule {
    /// The schedule of `requests_per_second`, which must be above zero, for `seed`.
    pub(crate) fn new(arrivals: Arrivals, requests_per_second: f64, seed: u64) -> Self {
        let gap_seconds = 1.0 / requests_per_second.max(f64::MIN_POSITIVE);
        Self { arrivals, gap_seconds, at_seconds: 0.0, number: 0, rng: Rng::lane(seed, 0x5C4E) }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let due = Duration::try_from_secs_f64(self.at_seconds).ok()?;
        self.number += 1;
        match self.arrivals {
            Arrivals::Poisson => {
                // 1 - unit() lies in (0, 1], so the logarithm is finite.
                self.at_seconds += -(1.0 - self.rng.unit()).ln() * self.gap_seconds;
            }
            Arrivals::Even => {
                #[expect(clippy::cast_precision_loss, reason = "2^53 requests are out of reach")]
                let number = self.number as f64;
                // Multiplied, not summed: a million roundings would drift off the stated rate.
                self.at_seconds = number * self.gap_seconds;
            }
        }
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_arrivals_do_not_drift() {
        let mut schedule = Schedule::new(Arrivals::Even, 3_000.0, 1);
        assert_eq!(schedule.next(), Some(Duration::ZERO));
        let last = schedule.nth(2_999_999 - 1).unwrap();
        assert!((last.as_secs_f64() - 2_999_999.0 / 3_000.0).abs() < 1e-6, "{last:?}");
    }

    #[test]
    fn poisson_arrivals_keep_the_rate_and_the_spread() {
        let due: Vec<f64> = Schedule::new(Arrivals::Poisson, 1_000.0, 42)
            .take(100_001)
            .map(|due| due.as_secs_f64())
            .collect();
        let gaps: Vec<f64> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap >= 0.0));
        let mean = gaps.iter().sum::<f64>() / 100_000.0;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / 100_000.0;
        assert!((mean * 1_000.0 - 1.0).abs() < 0.02, "mean gap {mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "an exponential's spread is its mean");
    }

    #[test]
    fn a_seed_is_a_schedule() {
        let take = |seed| Schedule::new(Arrivals::Poisson, 10.0, seed).take(5).collect::<Vec<_>>();
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }
}
