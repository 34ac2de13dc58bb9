//! The bare servers that figures are divided by: the same HTTP library, doing as little as it can.
//! Run as a child process, so that its processor time is its own and comes from the same minute.

use std::io::Write;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::any;
use clap::ValueEnum;
use flate2::write::GzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Largest body, plain or inflated.
const BODY_BYTES_MAX: usize = 32 << 20;

/// What the bare server does with a body before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Reads it.
    Read,
    /// Inflates it.
    Gunzip,
    /// Inflates it and reads each event's envelope with `serde_json`, the rest skipped.
    Envelopes,
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow, default)]
    batch: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "messageId")]
    message_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "userId")]
    user_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "anonymousId")]
    anonymous_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}

/// Serves on `port` of the loopback until the process ends.
///
/// # Errors
/// When the port is taken.
pub(crate) async fn serve(port: u16, work: Work) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.context("listen")?;
    axum::serve(listener, router(work)).await.context("serve")
}

fn router(work: Work) -> Router {
    Router::new()
        .fallback(any(handle))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(work)
}

async fn handle(State(work): State<Work>, headers: HeaderMap, body: Bytes) -> &'static str {
    let gzip = headers.get("content-encoding").is_some_and(|value| value == "gzip");
    let fine = match work {
        Work::Read => !body.is_empty(),
        Work::Gunzip => !gzip || inflate(&body).is_ok(),
        Work::Envelopes if gzip => inflate(&body).is_ok_and(|plain| envelopes(&plain)),
        Work::Envelopes => envelopes(&body),
    };
    if fine { "ok" } else { "no" }
}

fn inflate(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut decoder = GzDecoder::new(Vec::with_capacity(body.len() * 8));
    decoder.write_all(body)?;
    decoder.finish()
}

/// Splits a batch and reads each event's envelope; a single event is a batch of one.
fn envelopes(body: &[u8]) -> bool {
    let seen = |text: &str| {
        serde_json::from_str::<Envelope<'_>>(text).is_ok_and(|one| {
            one.message_id.or(one.user_id).or(one.anonymous_id).or(one.kind).is_some()
        })
    };
    let Ok(text) = std::str::from_utf8(body) else { return false };
    match serde_json::from_str::<Batch<'_>>(text) {
        Ok(batch) if !batch.batch.is_empty() => batch.batch.iter().all(|one| seen(one.get())),
        Ok(_) => seen(text),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_are_read_in_batches_and_alone() {
        assert!(envelopes(br#"{"batch":[{"messageId":"a"},{"type":"track","x":[1]}]}"#));
        assert!(envelopes(br#"{"messageId":"a","userId":5}"#));
        assert!(!envelopes(br#"{"batch":[5]}"#));
        assert!(!envelopes(b"no json"));
    }
}
