//! What a person or a probe looks at: health, version, the API document and its page.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::Response;
use serde_json::json;

use super::answer::{json_answer, text, typed, unready};
use super::shared::Shared;
use crate::event::time::Moment;
use crate::ingest::Pipeline;

/// The API document, written by hand and checked against the running program by a test.
pub const OPENAPI: &str = include_str!("../../proto/openapi.json");

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Whether events are taken, in RudderStack's words.
pub(super) async fn health<P: Pipeline>(State(shared): State<Arc<Shared<P>>>) -> Response {
    let health = shared.parts.pipeline.health();
    let last_sync = health.last_sync.map(|at| Moment::coarse(at).text().as_str().to_owned());
    let response = json_answer(&json!({
        "server": "UP",
        "db": if health.accepting() { "UP" } else { "DOWN" },
        "acceptingEvents": if health.accepting() { "TRUE" } else { "FALSE" },
        "mode": "NORMAL",
        "lastSync": last_sync.unwrap_or_default(),
    }));
    if health.accepting() { response } else { unready(response) }
}

/// Which program this is.
pub(super) async fn version() -> Response {
    json_answer(&json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

/// The API document.
pub(super) async fn openapi() -> Response {
    typed(JSON, OPENAPI)
}

/// Nothing here is for search engines.
pub(super) async fn robots() -> Response {
    text("User-agent: * \nDisallow: / \n")
}

/// The API document as a page without scripts.
pub(super) async fn docs<P: Pipeline>(State(shared): State<Arc<Shared<P>>>) -> Response {
    let mut response = typed(HTML, Body::from(shared.docs.0.clone()));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    let policy = HeaderValue::from_static(policy);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    response
}
