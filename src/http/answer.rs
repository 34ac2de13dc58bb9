//! Answers of one line each: a text, a document, the one good answer.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::Value;

/// The content type of every text answer.
pub(super) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The one good answer.
pub(super) fn ok() -> Response {
    text("ok")
}

/// A text answer.
pub(super) fn text(text: &'static str) -> Response {
    typed(TEXT, text)
}

/// An answer with a content type.
pub(super) fn typed(kind: HeaderValue, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// A JSON answer that no cache keeps: it changes with a reload.
pub(super) fn json_answer(value: &Value) -> Response {
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    let mut response = typed(kind, value.to_string());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer to a path that is none.
pub(super) async fn not_found() -> Response {
    let mut response = Response::new(Body::from("404 page not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}
