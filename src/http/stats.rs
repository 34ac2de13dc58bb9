//! Counts of the edge, as plain atomics; what a scrape asks for is put together then.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use axum::http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::ingest::{Form, Refusal};
use crate::limits::{Budget, Load};
use crate::metrics::{counter, counters, gauge};

/// Groups of routes that behave alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Single,
    Batch,
    Import,
    Beacon,
    Pixel,
    Webhook,
    Setup,
    Other,
}

impl Endpoint {
    const LABELS: [&str; 8] =
        ["single", "batch", "import", "beacon", "pixel", "webhook", "setup", "other"];

    /// Of a path, and what is taken there.
    pub(super) fn of(path: &str, takes: Option<Form>) -> Self {
        match takes {
            Some(Form::Single(_)) => return Self::Single,
            Some(Form::Batch) => return Self::Batch,
            Some(Form::Import) => return Self::Import,
            None => {}
        }
        match path {
            "/v1/webhook" => Self::Webhook,
            "/beacon/v1/batch" => Self::Beacon,
            "/pixel/v1/page" | "/pixel/v1/track" => Self::Pixel,
            "/sourceConfig" | "/sourceConfig/" | "/cluster-info" => Self::Setup,
            _ if is_settings(path) => Self::Setup,
            _ => Self::Other,
        }
    }
}

/// Segment's settings of a project.
fn is_settings(path: &str) -> bool {
    let path = path.strip_prefix("/v1").unwrap_or(path);
    path.starts_with("/projects/") && path.ends_with("/settings")
}

/// The statuses that the edge answers, and one for whatever else.
pub(super) const STATUSES: [u16; 14] =
    [200, 204, 400, 401, 403, 404, 405, 413, 429, 431, 500, 503, 504, 0];

/// Upper ends of the latency buckets in seconds: a sync takes milliseconds, the ack limit is 5 s.
const LATENCIES: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

type Reasons = BTreeMap<&'static str, u64>;

/// Counts of the edge.
#[derive(Debug, Default)]
pub struct Stats {
    answers: [[AtomicU64; STATUSES.len()]; Endpoint::LABELS.len()],
    latencies: [AtomicU64; LATENCIES.len() + 1],
    latency_micros: AtomicU64,
    body_bytes: AtomicU64,
    /// By source, then by reason: one source's flood waits for no other's.
    refusals: RwLock<BTreeMap<String, Mutex<Reasons>>>,
    in_flight: OnceLock<(Budget, Load)>,
    connections: OnceLock<Budget>,
    turned_away: AtomicU64,
}

impl Stats {
    /// All zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn answered(&self, endpoint: Endpoint, status: StatusCode, took: Duration) {
        self.count(endpoint, status);
        let seconds = took.as_secs_f64();
        let bucket = LATENCIES.iter().position(|end| seconds <= *end).unwrap_or(LATENCIES.len());
        self.latencies[bucket].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latency_micros.fetch_add(micros, Ordering::Relaxed);
    }

    fn count(&self, endpoint: Endpoint, status: StatusCode) {
        let status = STATUSES.iter().position(|known| *known == status.as_u16());
        let status = status.unwrap_or(STATUSES.len() - 1);
        self.answers[endpoint as usize][status].fetch_add(1, Ordering::Relaxed);
    }

    /// A request whose head was not understood, so that nobody knows where it went.
    pub(super) fn refused_head(&self, reason: &'static str, status: StatusCode) {
        self.count(Endpoint::Other, status);
        self.refused_for(reason, None);
    }

    pub(super) fn read(&self, bytes: usize) {
        self.body_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bounded: reasons and sources are.
    pub(super) fn refused(&self, refusal: Refusal, source: Option<&str>) {
        self.refused_for(refusal.label(), source);
    }

    fn refused_for(&self, reason: &'static str, source: Option<&str>) {
        let source = source.unwrap_or_default();
        let count = |reasons: &Mutex<Reasons>| {
            let mut reasons = reasons.lock().unwrap_or_else(PoisonError::into_inner);
            *reasons.entry(reason).or_default() += 1;
        };
        let refusals = self.refusals.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(reasons) = refusals.get(source) {
            return count(reasons);
        }
        drop(refusals);
        let mut refusals = self.refusals.write().unwrap_or_else(PoisonError::into_inner);
        count(refusals.entry(source.to_owned()).or_default());
    }

    pub(super) fn turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn watch(&self, in_flight: Budget, load: Load) {
        // A second edge on the same counts is a test's.
        self.in_flight.set((in_flight, load)).ok();
    }

    pub(super) fn watch_connections(&self, connections: Budget) {
        self.connections.set(connections).ok();
    }

    fn encode_latency(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts: Vec<u64> = self.latencies.iter().map(|n| n.load(Ordering::Relaxed)).collect();
        let ends = LATENCIES.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = ends.zip(counts.iter().copied()).collect();
        let micros = Duration::from_micros(self.latency_micros.load(Ordering::Relaxed));
        encoder
            .encode_descriptor(
                "keelrow_http_request_seconds",
                "Time from the headers of a request to its answer",
                None,
                MetricType::Histogram,
            )?
            .encode_histogram::<NoLabelSet>(
                micros.as_secs_f64(),
                counts.iter().sum(),
                &buckets,
                None,
            )
    }
}

impl Collector for Stats {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let answers = self.answers.iter().zip(Endpoint::LABELS).flat_map(|(row, endpoint)| {
            row.iter().zip(STATUSES).filter_map(move |(count, status)| {
                let count = count.load(Ordering::Relaxed);
                let status = if status == 0 { "other".to_owned() } else { status.to_string() };
                let labels = [("endpoint", endpoint.to_owned()), ("status", status)];
                (count > 0).then_some((labels, count))
            })
        });
        counters(&mut encoder, "keelrow_http_requests", "Requests by what was answered", answers)?;
        self.encode_latency(&mut encoder)?;
        let bytes = self.body_bytes.load(Ordering::Relaxed);
        counter(&mut encoder, "keelrow_http_body_bytes", "Bytes of bodies, inflated", bytes)?;
        let refusals = self.refusals.read().unwrap_or_else(PoisonError::into_inner);
        let refusals = refusals.iter().flat_map(|(source, reasons)| {
            let reasons = reasons.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let labels = |reason| [("reason", reason), ("source", source.as_str())];
            reasons.into_iter().map(move |(reason, n)| (labels(reason), n))
        });
        counters(
            &mut encoder,
            "keelrow_http_refusals",
            "Requests of which nothing was accepted",
            refusals,
        )?;
        let away = self.turned_away.load(Ordering::Relaxed);
        let help = "Connections over the limit";
        counter(&mut encoder, "keelrow_http_connections_refused", help, away)?;
        let bodies = self.in_flight.get();
        let bytes = bodies.map_or(0, |(bodies, _)| bodies.used()) as u64;
        gauge(&mut encoder, "keelrow_http_in_flight_bytes", "Bodies in memory", bytes)?;
        let held = bodies.map_or(0, |(_, load)| load.held()) as u64;
        gauge(&mut encoder, "keelrow_http_work_bytes", "Bodies in work", held)?;
        let waiting = bodies.map_or(0, |(_, load)| load.waiting()) as u64;
        let help = "Requests that wait to be let in, unread";
        gauge(&mut encoder, "keelrow_http_waiting", help, waiting)?;
        let overloaded = bodies.map_or(0, |(_, load)| load.overloaded()) as u64;
        let help = "Threads that are asked for more than they can do, and refuse the rest";
        gauge(&mut encoder, "keelrow_http_overloaded_threads", help, overloaded)?;
        let open = self.connections.get().map_or(0, Budget::used) as u64;
        gauge(&mut encoder, "keelrow_http_connections", "Open connections", open)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::enrich::EventType;
    use crate::metrics::Metrics;

    #[test]
    fn only_paths_that_there_are_have_an_endpoint() {
        for (path, takes, endpoint) in [
            ("/v1/t", Some(Form::Single(EventType::Track)), Endpoint::Single),
            ("/v1/b", Some(Form::Batch), Endpoint::Batch),
            ("/v1/import/", Some(Form::Import), Endpoint::Import),
            ("/v1/webhook", None, Endpoint::Webhook),
            ("/pixel/v1/page", None, Endpoint::Pixel),
            ("/pixel/v1/x", None, Endpoint::Other),
            ("/projects/k/settings", None, Endpoint::Setup),
            ("/v1/projects/k/settings", None, Endpoint::Setup),
            ("/x/projects/k/settings", None, Endpoint::Other),
            ("/v1/settings", None, Endpoint::Other),
            ("/v1/m", None, Endpoint::Other),
            ("/v1/x", None, Endpoint::Other),
        ] {
            assert_eq!(Endpoint::of(path, takes), endpoint, "{path}");
        }
    }

    #[test]
    fn refusals_are_counted_by_reason_and_source() {
        let stats = Arc::new(Stats::new());
        for (refusal, source, times) in [
            (Refusal::NoIds, Some("a"), 2),
            (Refusal::NoIds, Some("b"), 1),
            (Refusal::InvalidJson, Some("a"), 3),
            (Refusal::UnknownKey, None, 4),
        ] {
            (0..times).for_each(|_| stats.refused(refusal, source));
        }
        let metrics = Metrics::new();
        metrics.collect(Arc::clone(&stats));
        let text = metrics.render();
        for (reason, source, count) in [
            ("no_ids", "a", 2),
            ("no_ids", "b", 1),
            ("invalid_json", "a", 3),
            ("unknown_key", "", 4),
        ] {
            let labels = format!("{{reason=\"{reason}\",source=\"{source}\"}}");
            assert!(
                text.contains(&format!("keelrow_http_refusals_total{labels} {count}\n")),
                "{text}"
            );
        }
    }
}
