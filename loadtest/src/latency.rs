//! Latencies and counts, over the whole run and per slice of it.
//!
//! The main figure runs from the moment a request was *due* to its acknowledgement. A request that had
//! to wait for a connection, because the server stalled, is charged that wait: the error known as
//! coordinated omission would leave it out. Beside it the time on the wire alone, and how late the
//! generator itself was, which tells a slow server from a slow generator. What was refused or broke is
//! no acknowledgement and has figures of its own: a server that refuses fast is not a fast server.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest latency told apart; beyond it the histogram says this.
const LATENCY_MICROS_MAX: u64 = 600_000_000;

/// How one try of a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// 200.
    Taken,
    /// Refused with this status.
    Refused(u16),
    /// The connection broke.
    Broken,
    /// No answer in time.
    TimedOut,
    /// The sender went away on purpose.
    Cut,
}

/// Which try of a request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Try {
    /// The first, whose moment the schedule decided.
    First,
    /// A later one, after a refusal or a failure.
    Retry,
    /// One of a request that was acknowledged before.
    Duplicate,
}

/// The times of one try, as offsets from the start of the measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// When it should have been sent.
    pub(crate) due: Duration,
    /// When it was written.
    pub(crate) sent: Duration,
    /// When its fate was known.
    pub(crate) ended: Duration,
}

/// Counts of tries and events, of those tries that were sent in the measured time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Requests that got any answer or failed.
    pub(crate) requests: u64,
    /// Requests answered 200.
    pub(crate) taken: u64,
    /// Events inside a 200.
    pub(crate) events_taken: u64,
    /// Requests refused, by status.
    pub(crate) refused: std::collections::BTreeMap<u16, u64>,
    /// Events inside refusals.
    pub(crate) events_refused: u64,
    /// Broken connections.
    pub(crate) broken: u64,
    /// Requests without an answer in time.
    pub(crate) timed_out: u64,
    /// Requests cut short on purpose.
    pub(crate) cut: u64,
    /// Answers other than the right one for what was sent.
    pub(crate) unexpected: u64,
    /// Requests that were due and never sent, since the run ended first.
    pub(crate) abandoned: u64,
    /// Second and later tries.
    pub(crate) retries: u64,
    /// Requests given up after their last try, or because too many waited.
    pub(crate) given_up: u64,
    /// Acknowledged requests sent once more on purpose.
    pub(crate) duplicates: u64,
    /// Bytes written.
    pub(crate) bytes: u64,
    /// Answers 429 and 503 that did not say when to come again.
    #[serde(default)]
    pub(crate) without_pause: u64,
}

impl Counts {
    /// Refusals that nobody asked for, broken and timed out requests: what a ramp judges by.
    pub(crate) fn failed(&self) -> u64 {
        let refused = [429, 500, 502, 503, 504];
        refused.iter().filter_map(|status| self.refused.get(status)).sum::<u64>()
            + self.broken
            + self.timed_out
    }
}

/// Percentiles of one histogram, in microseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    /// Values in it.
    pub(crate) count: u64,
    /// Their mean.
    pub(crate) mean: f64,
    /// Median.
    pub(crate) p50: u64,
    /// 90 % are at most this.
    pub(crate) p90: u64,
    /// 99 %.
    pub(crate) p99: u64,
    /// 99.9 %.
    pub(crate) p999: u64,
    /// The highest.
    pub(crate) max: u64,
    /// The curve: share below (0 to 1) and microseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) curve: Vec<(f64, u64)>,
}

/// One slice of the run.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Slice {
    /// Its start in seconds.
    pub(crate) at: f64,
    /// Its length in seconds.
    pub(crate) seconds: f64,
    /// Events answered 200.
    pub(crate) events: u64,
    /// Requests refused or failed.
    pub(crate) failed: u64,
    /// Median latency in microseconds.
    pub(crate) p50: u64,
    /// 99 % of the latencies are at most this.
    pub(crate) p99: u64,
    /// The highest latency.
    pub(crate) max: u64,
}

/// Collects what happened.
#[derive(Debug)]
pub(crate) struct Recorder {
    latency: Histogram<u64>,
    lag: Histogram<u64>,
    accepted: Histogram<u64>,
    refused: Histogram<u64>,
    broken: Histogram<u64>,
    /// Counts since the start.
    pub(crate) counts: Counts,
    slices: Vec<Slice>,
    slice: Histogram<u64>,
    open: Slice,
    width: Duration,
}

impl Recorder {
    /// An empty recorder whose slices are `width` long.
    ///
    /// # Errors
    /// When the histograms cannot be made.
    pub(crate) fn new(width: Duration) -> anyhow::Result<Self> {
        let fine = || Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3);
        Ok(Self {
            latency: fine()?,
            lag: fine()?,
            accepted: fine()?,
            refused: fine()?,
            broken: fine()?,
            counts: Counts::default(),
            slices: Vec::new(),
            slice: Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 2)?,
            open: Slice::default(),
            width: width.max(Duration::from_millis(100)),
        })
    }

    /// Notes one try that got an answer or failed. A retry that is taken is charged from the moment
    /// its request was first due, pauses included; a duplicate was due at no moment.
    pub(crate) fn note(&mut self, times: Times, kind: Try, fate: Fate, events: u32) {
        self.close_slices(times.ended);
        if fate == Fate::Taken && kind != Try::Duplicate {
            let latency = micros(times.ended.saturating_sub(times.due));
            self.latency.saturating_record(latency);
            self.slice.saturating_record(latency);
        }
        let wire = micros(times.ended.saturating_sub(times.sent));
        match fate {
            Fate::Taken => self.accepted.saturating_record(wire),
            Fate::Refused(_) => self.refused.saturating_record(wire),
            Fate::Broken | Fate::TimedOut => self.broken.saturating_record(wire),
            Fate::Cut => {}
        }
        match kind {
            Try::First => self.lag.saturating_record(micros(times.sent.saturating_sub(times.due))),
            Try::Retry => self.counts.retries += 1,
            Try::Duplicate => self.counts.duplicates += 1,
        }
        self.count(fate, events);
    }

    fn count(&mut self, fate: Fate, events: u32) {
        self.counts.requests += 1;
        match fate {
            Fate::Taken => {
                self.counts.taken += 1;
                self.counts.events_taken += u64::from(events);
                self.open.events += u64::from(events);
            }
            Fate::Refused(status) => {
                *self.counts.refused.entry(status).or_default() += 1;
                self.counts.events_refused += u64::from(events);
                self.open.failed += u64::from(status == 429 || status >= 500);
            }
            Fate::Broken => {
                self.counts.broken += 1;
                self.open.failed += 1;
            }
            Fate::TimedOut => {
                self.counts.timed_out += 1;
                self.open.failed += 1;
            }
            Fate::Cut => self.counts.cut += 1,
        }
    }

    /// Notes a request that was due at `due` and not yet sent when the run ended at `end`. The
    /// wait so far is a lower bound of its latency; leaving it out would flatter the server.
    pub(crate) fn abandon(&mut self, due: Duration, end: Duration) {
        self.counts.abandoned += 1;
        self.latency.saturating_record(micros(end.saturating_sub(due)));
    }

    fn close_slices(&mut self, now: Duration) {
        let end = self.width * u32::try_from(self.slices.len() + 1).unwrap_or(u32::MAX);
        if now < end {
            return;
        }
        let index = now.as_nanos() / self.width.as_nanos();
        let index = usize::try_from(index).unwrap_or(usize::MAX).min(100_000);
        while self.slices.len() < index {
            self.close_slice();
        }
    }

    fn close_slice(&mut self) {
        let seconds = self.width.as_secs_f64();
        let number = u32::try_from(self.slices.len()).unwrap_or(u32::MAX);
        let slice = Slice {
            at: seconds * f64::from(number),
            seconds,
            p50: self.slice.value_at_quantile(0.5),
            p99: self.slice.value_at_quantile(0.99),
            max: self.slice.max(),
            ..std::mem::take(&mut self.open)
        };
        self.slices.push(slice);
        self.slice.reset();
    }

    /// The slices so far; the open one is closed.
    pub(crate) fn finish(&mut self) -> Vec<Slice> {
        if !self.slice.is_empty() || self.open.events + self.open.failed > 0 {
            self.close_slice();
        }
        self.slices.clone()
    }

    /// Median and 99th percentile of the latency so far, microseconds.
    pub(crate) fn glance(&self) -> (u64, u64) {
        (self.latency.value_at_quantile(0.5), self.latency.value_at_quantile(0.99))
    }

    /// Latency from due to 200.
    pub(crate) fn latency(&self) -> Percentiles {
        percentiles(&self.latency, true)
    }

    /// Latency from written to 200.
    pub(crate) fn accepted(&self) -> Percentiles {
        percentiles(&self.accepted, false)
    }

    /// Latency from written to a refusal.
    pub(crate) fn refused(&self) -> Percentiles {
        percentiles(&self.refused, false)
    }

    /// From written to the end of a connection that broke, or of the sender's patience.
    pub(crate) fn broken(&self) -> Percentiles {
        percentiles(&self.broken, false)
    }

    /// From due to written: the generator's own lateness and the wait for a connection.
    pub(crate) fn lag(&self) -> Percentiles {
        percentiles(&self.lag, false)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(1)
}

fn percentiles(histogram: &Histogram<u64>, curve: bool) -> Percentiles {
    let at = |quantile| histogram.value_at_quantile(quantile);
    let mut points = Vec::new();
    if curve && !histogram.is_empty() {
        // Five points per halving of what is left: even steps on the usual "nines" axis.
        for step in 0..=85_u32 {
            let quantile = 1.0 - 0.5_f64.powf(f64::from(step) / 5.0);
            points.push((quantile, at(quantile)));
        }
    }
    Percentiles {
        count: histogram.len(),
        mean: histogram.mean(),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: histogram.max(),
        curve: points,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A server that answers in 1 ms but stalls for one second of ten, one connection, 100
    /// requests a second due: the stall must show in the latency, though the wire saw one slow
    /// answer only.
    #[test]
    fn a_stall_is_charged_to_every_request_that_had_to_wait() {
        let mut recorder = Recorder::new(ms(1_000)).unwrap();
        let mut free_at = ms(0);
        for number in 0..1_000 {
            let due = ms(number * 10);
            let sent = free_at.max(due);
            let ended = if number == 500 { sent + ms(1_000) } else { sent + ms(1) };
            free_at = ended;
            recorder.note(Times { due, sent, ended }, Try::First, Fate::Taken, 1);
        }
        let (latency, wire) = (recorder.latency(), recorder.accepted());
        assert!(wire.p99 < 2_000, "the wire saw one slow answer: {}", wire.p99);
        assert!(latency.p99 > 850_000, "{}", latency.p99);
        assert!(latency.p90 > 100_000 && latency.p50 < 2_000);
        let slices = recorder.finish();
        assert_eq!(slices.iter().map(|slice| slice.events).sum::<u64>(), 1_000);
        assert!(slices.len() >= 10 && slices[2].max < 2_000);
        assert!(slices.iter().any(|slice| slice.p99 > 900_000));
    }

    #[test]
    fn a_request_never_sent_still_counts_its_wait() {
        let mut recorder = Recorder::new(ms(1_000)).unwrap();
        let times = Times { due: ms(0), sent: ms(0), ended: ms(1) };
        recorder.note(times, Try::First, Fate::Taken, 1);
        recorder.abandon(ms(100), ms(5_100));
        assert_eq!(recorder.counts.abandoned, 1);
        assert!(recorder.latency().max >= 5_000_000);
    }

    #[test]
    fn fates_are_counted_apart() {
        let mut recorder = Recorder::new(ms(1_000)).unwrap();
        for fate in [Fate::Taken, Fate::Refused(503), Fate::Refused(400), Fate::Broken] {
            recorder.count(fate, 10);
        }
        let counts = &recorder.counts;
        assert_eq!((counts.events_taken, counts.events_refused, counts.broken), (10, 20, 1));
        assert_eq!(counts.failed(), 2);
    }

    #[test]
    fn only_acknowledgements_are_in_their_latency() {
        let mut recorder = Recorder::new(ms(1_000)).unwrap();
        let at = |due, sent, ended| Times { due: ms(due), sent: ms(sent), ended: ms(ended) };
        for number in 0..100 {
            let fast = at(number, number, number + 1);
            recorder.note(fast, Try::First, Fate::Refused(503), 1);
            recorder.note(fast, Try::First, Fate::Broken, 1);
        }
        recorder.note(at(0, 0, 5_000), Try::First, Fate::TimedOut, 1);
        recorder.note(at(0, 10, 50), Try::First, Fate::Taken, 1);
        recorder.note(at(0, 180, 200), Try::Retry, Fate::Taken, 1);
        recorder.note(at(0, 300, 301), Try::Duplicate, Fate::Taken, 1);
        let (latency, accepted) = (recorder.latency(), recorder.accepted());
        assert_eq!((latency.count, accepted.count), (2, 3));
        assert!((49_000..51_000).contains(&latency.p50), "{}", latency.p50);
        assert!((199_000..201_000).contains(&latency.max), "its pause is charged: {}", latency.max);
        let (refused, broken) = (recorder.refused(), recorder.broken());
        assert!(refused.count == 100 && refused.max < 1_100, "{refused:?}");
        assert!(broken.count == 101 && broken.max > 4_900_000, "{broken:?}");
        assert_eq!((recorder.counts.retries, recorder.counts.duplicates), (1, 1));
        let slices = recorder.finish();
        assert_eq!(slices.iter().map(|slice| slice.failed).sum::<u64>(), 201, "{slices:?}");
    }
}
