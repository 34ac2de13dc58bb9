//! The edge from outside: requests in, answers out, a pipeline that only judges in between.

mod cases;
mod fake;
mod limits;
mod pages;
mod sockets;

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio_util::task::TaskTracker;

use self::fake::Fake;
use super::{Edge, Parts, Peer, Stats};
use crate::clock::{Clock, Fixed, IdSource, Timestamp};
use crate::event::enrich::ClockGuard;
use crate::ingest::{self, Ingest, Pipeline};
use crate::journal::disk::{Log, Options};
use crate::limits::RateLimits;
use crate::outcome::Books;
use crate::source::Sources;
use crate::transform::{Pseudonyms, Suppression};
use crate::{config, script};

/// 2026-01-02T03:04:05.678Z.
const NOW_MS: i64 = 1_767_323_045_678;

const SOURCES: &str = r#"
[[source]]
name = "enabled"
environment = "prod"
write_key = "wk-enabled"
[[source]]
name = "disabled"
environment = "prod"
write_key = "wk-disabled"
enabled = false
[[source]]
name = "hook"
environment = "prod"
write_key = "wk-hook"
kind = "webhook"
[[source]]
name = "pages"
environment = "prod"
write_key = "wk-pages"
origins = ["https://app.example.com"]
"#;

/// `Basic` with `wk-enabled:`.
const ENABLED: &str = "Basic d2stZW5hYmxlZDo=";
const PEER: Peer =
    Peer { ip: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), tls: false, lane: 0 };

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn config(text: &str) -> config::Config {
    let text = format!("{text}\n{SOURCES}");
    config::parse(&text, "keelrow.toml".as_ref(), &config::Environment::new())
        .unwrap_or_else(|faults| panic!("{faults}"))
}

/// An edge with the given `[http]` section, and its pipeline.
fn edge(text: &str) -> (Edge<Fake>, Arc<Fake>) {
    let (edge, pipeline, _) = edge_and_clock(text);
    (edge, pipeline)
}

/// The same, and the clock of both.
fn edge_and_clock(text: &str) -> (Edge<Fake>, Arc<Fake>, Arc<Fixed>) {
    let config = config(text);
    let sources = Arc::new(ArcSwap::from_pointee(Sources::new(&config.sources)));
    let pipeline = Arc::new(Fake::new(Arc::clone(&sources)));
    let clock = Arc::new(Fixed::at(Timestamp::from_millis(NOW_MS)));
    (assemble(config, sources, Arc::clone(&clock), Arc::clone(&pipeline)), pipeline, clock)
}

fn assemble<P: Pipeline>(
    config: config::Config,
    sources: Arc<ArcSwap<Sources>>,
    clock: Arc<Fixed>,
    pipeline: Arc<P>,
) -> Edge<P> {
    Edge::new(Parts {
        pipeline,
        sources,
        options: Arc::new(ArcSwap::from_pointee(config.http)),
        clock: Arc::<Fixed>::clone(&clock) as Arc<dyn Clock>,
        ids: clock,
        tasks: TaskTracker::new(),
        stats: Arc::new(Stats::new()),
        lanes: 2,
    })
}

/// An edge on the real pipeline and a journal in `folder`.
fn real_edge(folder: &Path) -> Edge<Ingest> {
    let config = config("");
    let sources = Arc::new(Sources::new(&config.sources));
    let clock = Arc::new(Fixed::at(Timestamp::from_millis(NOW_MS)));
    let time = Arc::<Fixed>::clone(&clock) as Arc<dyn Clock>;
    let ids = Arc::<Fixed>::clone(&clock) as Arc<dyn IdSource>;
    let options = Options {
        segment_bytes: 1 << 20,
        max_bytes: 16 << 20,
        ..Options::new(folder.join("journal"), "node")
    };
    let services = ingest::Services {
        clock: Arc::clone(&time),
        ids: Arc::clone(&ids),
        journal: Arc::new(Log::open(options, Arc::clone(&time), ids).unwrap()),
        pseudonyms: Pseudonyms::new(b"0123456789abcdef0123456789abcdef", 1).unwrap(),
        limits: ingest::Limits {
            event_bytes_max: config.http.max_event,
            batch_events_max: config.http.max_batch_events,
            rejected_bytes_max: ingest::REJECTED_BYTES_MAX,
            group_bytes_max: 256 << 10,
            clock_guard: ClockGuard { max_future: config.clock.max_future, min: config.clock.min },
        },
        scripts: script::Limits::default(),
        rates: RateLimits::new(time, sources.list()),
        books: Books::new(),
        counts: Arc::default(),
    };
    let chains = sources.list().iter().map(|s| (s.id.clone(), Arc::default())).collect();
    let suppression = Suppression::default();
    let live = ingest::Live { sources: Arc::clone(&sources), chains, suppression };
    let pipeline = Arc::new(Ingest::new(services, live, 2).unwrap());
    assemble(config, Arc::new(ArcSwap::new(sources)), clock, pipeline)
}

/// Runs `task` beside the test.
fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    TaskTracker::new().spawn(task)
}

async fn send<P: Pipeline>(edge: &Edge<P>, request: Request<Body>) -> Answer {
    let (head, body) = edge.answer(request, PEER).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> axum::http::request::Builder {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request
}

async fn post(
    edge: &Edge<Fake>,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    send(edge, request("POST", path, headers).body(body.into()).unwrap()).await
}

async fn get(edge: &Edge<Fake>, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(edge, request("GET", path, headers).body(Body::empty()).unwrap()).await
}
