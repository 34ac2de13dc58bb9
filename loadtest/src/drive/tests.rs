//! The driver against a server that answers as told.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use super::*;
use crate::ledger::Outcome as Known;

/// Answers the first `refusals` requests with 503, and stalls once for `stall`.
#[derive(Debug, Default)]
struct Stub {
    seen: AtomicU64,
    refusals: u64,
    stall_at: u64,
    stall: Duration,
}

async fn answer(State(stub): State<Arc<Stub>>, _body: axum::body::Bytes) -> Response {
    let number = stub.seen.fetch_add(1, Ordering::Relaxed);
    if number < stub.refusals {
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")], "busy").into_response();
    }
    if number == stub.stall_at && !stub.stall.is_zero() {
        // The whole server stands still, as one thread serves all connections.
        std::thread::sleep(stub.stall);
    }
    "ok".into_response()
}

/// Serves `stub` from a thread of its own until the process ends.
fn serve(stub: Arc<Stub>) -> Address {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = Address::loopback(listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let router = Router::new().fallback(any(answer)).with_state(stub);
            axum::serve(listener, router).await.unwrap();
        });
    });
    address
}

fn options(profile: &Profile, address: Address, pace: Pace) -> Options<'_> {
    let renderer = Renderer::new(profile, &address.target, 1).unwrap();
    Options {
        profile,
        address,
        feed: Feed::Live(Arc::new(renderer)),
        pace,
        warm_up: Duration::ZERO,
        duration: Duration::from_millis(600),
        drain: Duration::from_secs(5),
        seed: 1,
        ledger: None,
        pid: Some(std::process::id()),
        owed: Vec::new(),
        limit: None,
        title: String::new(),
    }
}

fn profile(connections: usize) -> Profile {
    let mut profile = Profile::open("single").unwrap();
    profile.connections = connections;
    profile.retry.base = "5ms".parse().unwrap();
    profile
}

#[tokio::test]
async fn refused_requests_are_retried_and_end_acknowledged_once() {
    let address = serve(Arc::new(Stub { refusals: 7, ..Stub::default() }));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let ledger = Arc::new(Mutex::new(ledger::Writer::create(&path).unwrap()));
    let mut profile = profile(4);
    profile.retry.tries = 20;
    let mut options = options(&profile, address.clone(), Pace::Open(100.0));
    options.ledger = Some(Arc::clone(&ledger));
    let outcome = run(options).await.unwrap();
    Arc::into_inner(ledger).unwrap().into_inner().unwrap().finish(ledger::End::Complete).unwrap();
    let counts = &outcome.counts;
    assert_eq!((counts.refused.get(&503), counts.retries), (Some(&7), 7), "{counts:?}");
    assert_eq!((counts.given_up, counts.unexpected, counts.broken), (0, 0, 0), "{counts:?}");
    assert!(outcome.owed.is_empty());
    // Seven refusals, and every request acknowledged once: each has its own figures.
    assert_eq!((outcome.refused.count, outcome.accepted.count), (7, counts.requests - 7));
    assert_eq!(outcome.latency.count, outcome.accepted.count);
    let mut ids = std::collections::BTreeSet::new();
    ledger::read(&path, |line| {
        assert_eq!(line.outcome, Known::Acknowledged);
        for id in line.ids {
            assert!(ids.insert(id), "an id was noted twice");
        }
    })
    .unwrap();
    assert_eq!(u64::try_from(ids.len()).unwrap(), counts.events_taken);
}

#[tokio::test]
async fn a_stall_shows_in_the_latency_of_an_open_loop() {
    let stall = Duration::from_millis(300);
    let address = serve(Arc::new(Stub { stall_at: 20, stall, ..Stub::default() }));
    let profile = profile(2);
    let outcome = run(options(&profile, address.clone(), Pace::Open(200.0))).await.unwrap();
    let (latency, wire) = (&outcome.latency, &outcome.accepted);
    assert!(latency.max >= 290_000, "{latency:?}");
    // About half of the run's requests were due while the server stood still.
    assert!(latency.p90 > 100_000, "{} of a stall", latency.p90);
    assert!(wire.count == latency.count && wire.p90 < latency.p90, "{} {}", wire.p90, latency.p90);
}

#[tokio::test]
async fn a_closed_loop_sends_ready_requests_until_each_is_taken_once() {
    let stub = Arc::new(Stub { refusals: 7, ..Stub::default() });
    let address = serve(Arc::clone(&stub));
    let mut profile = profile(3);
    profile.retry.tries = 20;
    let mut options = options(&profile, address.clone(), Pace::Closed);
    let mut renderer = Renderer::new(&profile, &address.target, 1).unwrap();
    let ready = (0..200).map(|_| renderer.request(0).unwrap()).collect();
    options.feed = Feed::Ready(Stack::new(ready));
    options.duration = Duration::from_secs(60);
    let outcome = run(options).await.unwrap();
    assert_eq!((outcome.counts.taken, stub.seen.load(Ordering::Relaxed)), (200, 207));
    assert_eq!((outcome.counts.retries, outcome.counts.given_up), (7, 0));
    assert!(outcome.owed.is_empty());
    assert!(outcome.seconds < 60.0 && outcome.events_per_second() > 1.0);
    assert!(!outcome.server.is_empty());
}

#[tokio::test]
async fn what_is_refused_last_is_sent_again_all_the_same() {
    // More refusals than requests: when the first try of each is over, all of them are owed.
    let stub = Arc::new(Stub { refusals: 9, ..Stub::default() });
    let address = serve(Arc::clone(&stub));
    let mut profile = profile(2);
    profile.retry.tries = 20;
    let mut options = options(&profile, address.clone(), Pace::Closed);
    let mut renderer = Renderer::new(&profile, &address.target, 1).unwrap();
    options.feed = Feed::Ready(Stack::new((0..4).map(|_| renderer.request(0).unwrap()).collect()));
    options.duration = Duration::from_secs(60);
    let outcome = run(options).await.unwrap();
    assert_eq!((outcome.counts.taken, stub.seen.load(Ordering::Relaxed)), (4, 13));
    assert!(outcome.owed.is_empty() && outcome.counts.given_up == 0);
}

#[tokio::test]
async fn what_the_warm_up_did_is_in_no_figure() {
    let stub = Arc::new(Stub { refusals: 60, ..Stub::default() });
    let address = serve(Arc::clone(&stub));
    let mut profile = profile(4);
    profile.retry.tries = 2;
    profile.traffic.duplicates = 1.0;
    let (stop, stopped) = tokio::sync::watch::channel(Until::Planned);
    let mut options = options(&profile, address.clone(), Pace::Open(400.0));
    // It ends amid the warm-up, when all kinds of things have happened.
    options.warm_up = Duration::from_secs(3_600);
    options.limit = Some(stopped);
    let stopping = async {
        while stub.seen.load(Ordering::Relaxed) < 300 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stop.send_replace(Until::Now);
    };
    let (outcome, ()) = tokio::join!(run(options), stopping);
    let outcome = outcome.unwrap();
    let counts = &outcome.counts;
    assert_eq!((counts.requests, counts.taken, outcome.latency.count), (0, 0, 0), "{counts:?}");
    assert_eq!((counts.retries, counts.given_up, counts.duplicates), (0, 0, 0), "{counts:?}");
}

#[tokio::test]
async fn a_server_that_is_away_leaves_everything_owed_and_in_doubt() {
    // Bound and dropped: nobody listens there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = Address::loopback(nobody.port());
    let profile = profile(2);
    let (stop, stopped) = tokio::sync::watch::channel(Until::Planned);
    let mut options = options(&profile, address.clone(), Pace::Open(50.0));
    options.duration = Duration::from_secs(3_600);
    options.limit = Some(stopped);
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        stop.send_replace(Until::Now);
    };
    let (outcome, ()) = tokio::join!(run(options), stopping);
    let outcome = outcome.unwrap();
    assert_eq!(outcome.counts.taken, 0);
    assert!(outcome.counts.broken > 0 && !outcome.owed.is_empty());
    assert!(outcome.owed.iter().all(|attempt| attempt.last_known() == Known::Unknown));
}

#[tokio::test]
async fn a_schedule_that_is_ended_early_is_measured_as_far_as_it_went() {
    // What was sent before the end is refused first: it is still tried again.
    let stub = Arc::new(Stub { refusals: 30, ..Stub::default() });
    let address = serve(Arc::clone(&stub));
    let mut profile = profile(4);
    profile.retry.tries = 20;
    for pace in [Pace::Open(200.0), Pace::Closed] {
        let before = stub.seen.load(Ordering::Relaxed);
        let (ask, asked) = tokio::sync::watch::channel(Until::Planned);
        let mut options = options(&profile, address.clone(), pace);
        options.duration = Duration::from_secs(3_600);
        options.limit = Some(asked);
        let asking = async {
            while stub.seen.load(Ordering::Relaxed) < before + 20 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            ask.send_replace(Until::Early);
        };
        let (outcome, ()) = tokio::join!(run(options), asking);
        let outcome = outcome.unwrap();
        let counts = &outcome.counts;
        assert!(outcome.cut_short && outcome.seconds < 3_000.0, "{}", outcome.seconds);
        assert!(counts.taken > 0 && counts.abandoned == 0, "{counts:?}");
        if pace != Pace::Closed {
            assert!(outcome.owed.is_empty() && counts.given_up == 0, "{counts:?}");
            assert!(counts.retries > 0, "the first were refused");
        }
    }
}
