//! Each limit of a request, and the answer past it.

use std::io::Write;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::http::shared::Shared;
use crate::ingest::INLINE_BYTES_MAX;
use crate::limits::{Keeper, Load, Work};
use crate::metrics::Metrics;

const EVENT: &str = r#"{"userId":"u"}"#;

fn event_of(bytes: usize) -> Vec<u8> {
    let mut body = br#"{"userId":"u","x":""#.to_vec();
    body.resize(bytes - 2, b'x');
    body.extend_from_slice(b"\"}");
    body
}

pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn chunks(body: &[u8], size: usize) -> Body {
    let parts: Vec<_> = body
        .chunks(size)
        .map(|part| Ok::<_, std::io::Error>(Bytes::copy_from_slice(part)))
        .collect();
    Body::from_stream(stream::iter(parts))
}

#[tokio::test]
async fn bodies_are_limited_as_sent_and_as_inflated() {
    let (edge, pipeline) = edge("[http]\nmax_body = \"64KiB\"");
    let (fits, over) = (event_of(64 << 10), event_of((64 << 10) + 1));
    let headers = [("authorization", ENABLED), ("content-encoding", "GZip")];
    for (body, coded, status) in [
        (Body::from(fits.clone()), false, 200),
        (chunks(&fits, 1_000), false, 200),
        (Body::from(gzip(&fits)), true, 200),
        (chunks(&gzip(&fits), 7), true, 200),
        (Body::from(over.clone()), false, 413),
        (chunks(&over, 1_000), false, 413),
        (Body::from(gzip(&over)), true, 413),
        (Body::from(gzip(&vec![b' '; 8 << 20])), true, 413),
        (Body::from("not gzip"), true, 400),
        (Body::from(""), true, 400),
    ] {
        let headers = if coded { &headers[..] } else { &headers[..1] };
        let answer = post(&edge, "/v1/track", headers, body).await;
        assert_eq!(answer.status.as_u16(), status);
        let text = match status {
            200 => "ok",
            413 => "request size exceeds max limit\n",
            _ => "failed to read body from request\n",
        };
        assert_eq!(answer.text(), text);
    }
    assert_eq!(pipeline.count(), 4);
}

#[tokio::test]
async fn every_encoding_is_taken() {
    let (edge, pipeline) = edge("");
    let mut br = Vec::new();
    let mut encoder = brotli::CompressorWriter::new(&mut br, 4096, 5, 22);
    encoder.write_all(EVENT.as_bytes()).unwrap();
    drop(encoder);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(EVENT.as_bytes()).unwrap();
    let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
    raw.write_all(EVENT.as_bytes()).unwrap();
    for (name, body) in [
        ("gzip", gzip(EVENT.as_bytes())),
        ("Deflate", zlib.finish().unwrap()),
        ("deflate", raw.finish().unwrap()),
        ("BR", br),
        ("zstd", zstd::encode_all(EVENT.as_bytes(), 3).unwrap()),
        ("identity", EVENT.as_bytes().to_vec()),
    ] {
        let headers = [("authorization", ENABLED), ("content-encoding", name)];
        let answer = post(&edge, "/v1/track", &headers, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}");
        assert_eq!(pipeline.last().body, serde_json::json!({"userId": "u"}), "{name}");
    }
    let headers = [("authorization", ENABLED), ("content-encoding", "snappy")];
    let answer = post(&edge, "/v1/track", &headers, EVENT).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (400, "failed to read body from request\n")
    );
}

#[tokio::test]
async fn bodies_in_memory_have_a_limit_and_give_it_back() {
    let (edge, pipeline) = edge("[http]\nmax_body = \"32KiB\"\nmax_in_flight = \"64KiB\"");
    // The first request waits in the pipeline with its body.
    pipeline.gate.forget_permits(usize::MAX);
    let first = spawn({
        let edge = edge.clone();
        async move { post(&edge, "/v1/track", &[("authorization", ENABLED)], event_of(32 << 10)).await }
    });
    pipeline.waiting.acquire().await.unwrap().forget();
    let answer = post(&edge, "/v1/track", &[("authorization", ENABLED)], event_of(32 << 10)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, "Service Unavailable\n"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    pipeline.gate.add_permits(2);
    assert_eq!(first.await.unwrap().status, StatusCode::OK);
    let answer = post(&edge, "/v1/track", &[("authorization", ENABLED)], event_of(32 << 10)).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_stalled_body_ends_at_its_time() {
    let (edge, _) = edge("[http]\nbody_timeout = \"60ms\"");
    let start = tokio::time::Instant::now();
    let part = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{\"userId"))]);
    let stalled = Body::from_stream(futures_util::StreamExt::chain(part, stream::pending()));
    let answer = post(&edge, "/v1/track", &[("authorization", ENABLED)], stalled).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (400, "failed to read body from request\n")
    );
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_unreadable() {
    let (edge, _) = edge("");
    let parts = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("reset"))];
    let broken = Body::from_stream(stream::iter(parts));
    let answer = post(&edge, "/v1/track", &[("authorization", ENABLED)], broken).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (400, "failed to read body from request\n")
    );
}

#[tokio::test]
async fn a_slow_log_is_a_timeout() {
    let (edge, pipeline) = edge("[http]\nack_timeout = \"60ms\"");
    pipeline.gate.forget_permits(usize::MAX);
    let start = tokio::time::Instant::now();
    let answer = post(&edge, "/v1/track", &[("authorization", ENABLED)], EVENT).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (504, "gateway timeout\n"));
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn a_log_that_is_full_asks_to_come_back() {
    let (edge, pipeline) = edge("");
    pipeline.down.store(true, std::sync::atomic::Ordering::SeqCst);
    let answer = post(&edge, "/v1/track", &[("authorization", ENABLED)], EVENT).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("10")));
    let answer = get(&edge, "/pixel/v1/page?writeKey=wk-enabled&anonymousId=a", &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
    let metrics = Metrics::new();
    metrics.collect(Arc::clone(&edge.parts().stats));
    let text = metrics.render();
    for line in [
        "keelrow_http_refusals_total{reason=\"log_full\",source=\"enabled_prod\"} 2\n",
        "keelrow_http_requests_total{endpoint=\"single\",status=\"503\"} 1\n",
        "keelrow_http_requests_total{endpoint=\"pixel\",status=\"200\"} 1\n",
        "keelrow_http_request_seconds_count 2\n",
        "keelrow_http_in_flight_bytes 0\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

#[tokio::test]
async fn a_form_has_a_limit_of_fields() {
    let (edge, pipeline) = edge("");
    let path = "/v1/webhook?writeKey=wk-hook";
    let part = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n";
    for (fields, status) in [(10_000, 200), (10_001, 413)] {
        let form = vec!["a=1"; fields].join("&");
        let parts = part.repeat(fields) + "--x--\r\n";
        for body in [form, parts] {
            assert_eq!(post(&edge, path, &[], body).await.status.as_u16(), status);
        }
    }
    assert_eq!(pipeline.count(), 2);
    // None is kept past it: the end is not looked for.
    assert_eq!(post(&edge, path, &[], part.repeat(10_002)).await.status.as_u16(), 413);
}

#[tokio::test]
async fn a_webhook_becomes_no_more_than_an_event_may_be() {
    let (edge, pipeline) = edge("[http]\nmax_event = \"64KiB\"");
    let path = "/v1/webhook?writeKey=wk-hook";
    // Each becomes six characters.
    let text = |bytes: usize| "\u{1}".repeat(bytes);
    let part = |text: String| {
        format!("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{text}\r\n--x--\r\n")
    };
    for (bytes, status) in [(10_000, 200), (11_000, 413)] {
        for body in [format!("a={}", text(bytes)), part(text(bytes))] {
            assert_eq!(post(&edge, path, &[], body).await.status.as_u16(), status);
        }
    }
    let json = format!("[{}1]", "1,".repeat(40_000));
    assert_eq!(post(&edge, path, &[], json).await.status.as_u16(), 413);
    assert_eq!(pipeline.count(), 2);
    assert_eq!(edge.shared.in_flight.used(), 0);
}

#[tokio::test]
async fn a_pixel_has_the_limits_of_a_body() {
    let (edge, pipeline) = edge("[http]\nmax_body = \"64KiB\"\nmax_in_flight = \"1MiB\"");
    let path = "/pixel/v1/page?writeKey=wk-enabled&anonymousId=a&x";
    for (query, taken) in [
        (format!("={}", "y".repeat(50_000)), 1),
        // Each becomes six characters.
        (format!("={}", "%01".repeat(15_000)), 1),
        (".999=y".to_owned(), 2),
        (".999.999.999.999=y".to_owned(), 2),
    ] {
        assert_eq!(get(&edge, &format!("{path}{query}"), &[]).await.body.len(), 43);
        assert_eq!(pipeline.count(), taken, "{} bytes", query.len());
    }
    assert_eq!(edge.shared.in_flight.used(), 0);
    let metrics = Metrics::new();
    metrics.collect(Arc::clone(&edge.parts().stats));
    let text = metrics.render();
    for reason in ["too_large", "in_flight"] {
        let line = format!("{{reason=\"{reason}\",source=\"enabled_prod\"}} 1\n");
        assert!(text.contains(&line), "{text}");
    }
}

#[test]
fn a_large_webhook_is_worked_on_beside_the_thread_that_serves() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let (edge, pipeline) = edge("");
        let path = "/v1/webhook?writeKey=wk-hook";
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || wait.recv());
        let body = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes));
        let mut large = Box::pin(post(&edge, path, &[], body(INLINE_BYTES_MAX)));
        assert!(futures_util::poll!(&mut large).is_pending());
        assert_eq!(post(&edge, path, &[], body(100)).await.status, StatusCode::OK);
        assert_eq!(pipeline.count(), 1);
        go.send(()).unwrap();
        assert_eq!(large.await.status, StatusCode::OK);
        assert_eq!(pipeline.count(), 2);
        busy.await.unwrap().unwrap();
        // Nobody waits for this one: its body is there, and paid for, until it has been converted.
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || wait.recv());
        let mut left = Box::pin(post(&edge, path, &[], body(INLINE_BYTES_MAX)));
        assert!(futures_util::poll!(&mut left).is_pending());
        drop(left);
        assert!(edge.shared.in_flight.used() > INLINE_BYTES_MAX);
        go.send(()).unwrap();
        busy.await.unwrap().unwrap();
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert_eq!(edge.shared.in_flight.used(), 0);
    });
}

/// So much in work that a thread that is late closes its gate.
fn much(edge: &Edge<Fake>) -> Vec<Work> {
    let Shared { load, shares, parts, .. } = &*edge.shared;
    let (share, now) = (shares.of("enabled_prod"), parts.clock.elapsed());
    (0..100).map(|_| load.begin(0, &share, 1 << 20, now)).collect()
}

/// Closes the gate of `edge`, as if its thread were late all the time with much at hand, and has
/// what room there is taken.
async fn press<'a>(load: &'a Load, edge: &Edge<Fake>) -> Keeper<'a> {
    let mut keeper = load.keeper(0);
    let much = much(edge);
    (0..5).for_each(|_| keeper.look(Duration::from_secs(1), Duration::from_secs(1)));
    drop(much);
    keeper.turn(edge.parts().clock.elapsed());
    let large = format!("{EVENT}{}", " ".repeat(3 << 20));
    let headers = [("authorization", ENABLED)];
    assert_eq!(post(edge, "/v1/track", &headers, large).await.status, StatusCode::OK);
    assert_eq!(load.overloaded(), 1);
    keeper
}

#[tokio::test]
async fn past_capacity_the_newest_is_taken_and_the_others_are_refused() {
    let (edge, pipeline, clock) = edge_and_clock("");
    let load = edge.shared.load.clone();
    let mut keeper = press(&load, &edge).await;
    let mut turn = |passed| {
        clock.advance(Duration::from_millis(passed));
        keeper.turn(clock.elapsed())
    };
    let headers = [("authorization", ENABLED)];
    let path = "/pixel/v1/page?writeKey=wk-enabled&anonymousId=a";
    let large = || format!("{EVENT}{}", " ".repeat(256 << 10));
    let mut asked: [Pin<Box<dyn Future<Output = Answer>>>; 7] = [
        Box::pin(post(&edge, "/v1/track", &headers, EVENT)),
        Box::pin(get(&edge, path, &[])),
        Box::pin(get(&edge, "/v1/webhook?writeKey=wk-hook&a=1", &[])),
        Box::pin(post(&edge, "/v1/track", &headers, large())),
        Box::pin(post(&edge, "/v1/track", &headers, large())),
        Box::pin(post(&edge, "/v1/track", &headers, large())),
        Box::pin(post(&edge, "/v1/track", &headers, large())),
    ];
    for asked in &mut asked {
        assert!(futures_util::poll!(asked).is_pending());
    }
    assert_eq!((pipeline.count(), load.waiting()), (1, 7));
    let [track, pixel, hook, newest @ ..] = asked;
    // The webhook's source has had nothing lately: it goes first. Four large ones have overtaken two.
    assert!(turn(150));
    assert_eq!(hook.await.status, StatusCode::OK);
    assert_eq!((pipeline.count(), load.waiting()), (2, 5));
    while turn(0) {}
    for large in newest {
        assert_eq!(large.await.status, StatusCode::OK);
    }
    assert_eq!((pipeline.count(), load.waiting()), (6, 2));
    assert!(!turn(50));
    // What is refused for ever is told so at once.
    let gone = [("authorization", ENABLED), ("content-encoding", "rar")];
    assert_eq!(post(&edge, "/v1/track", &gone, EVENT).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(load.waiting(), 2);
    assert!(turn(1));
    let answer = track.await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, "Service Unavailable\n"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(pixel.await.body.len(), 43);
    assert!(!turn(0));
    assert_eq!(post(&edge, "/v1/track", &headers, EVENT).await.status, StatusCode::OK);
    assert_eq!(pipeline.count(), 7);
    let metrics = Metrics::new();
    metrics.collect(Arc::clone(&edge.parts().stats));
    let text = metrics.render();
    for line in [
        "keelrow_http_refusals_total{reason=\"overloaded\",source=\"enabled_prod\"} 2\n",
        "keelrow_http_work_bytes 0\n",
        "keelrow_http_waiting 0\n",
        "keelrow_http_overloaded_threads 1\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

#[tokio::test]
async fn a_thread_sees_to_its_gate_until_it_ends() {
    let (edge, pipeline) = edge("");
    let load = edge.shared.load.clone();
    let shutdown = CancellationToken::new();
    let keeps = spawn({
        let (edge, shutdown) = (edge.clone(), shutdown.clone());
        async move { edge.keep_in_time(0, shutdown).await }
    });
    let keeper = press(&load, &edge).await;
    let ask = || {
        let edge = edge.clone();
        spawn(async move { post(&edge, "/v1/track", &[("authorization", ENABLED)], EVENT).await })
    };
    let asked: Vec<_> = std::iter::repeat_with(ask).take(40).collect();
    for asked in asked {
        assert_eq!(asked.await.unwrap().status, StatusCode::OK);
    }
    assert_eq!((pipeline.count(), load.waiting()), (41, 0));
    // It is open for as long as nobody is late, then closed by who is.
    drop(keeper);
    let much = much(&edge);
    let busy = |time: Duration| {
        let start = tokio::time::Instant::now();
        while start.elapsed() < time {}
    };
    while load.overloaded() == 0 {
        busy(Duration::from_millis(20));
        tokio::task::yield_now().await;
    }
    drop(much);
    while load.overloaded() == 1 {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    keeps.await.unwrap();
}
