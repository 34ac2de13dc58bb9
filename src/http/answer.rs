//! Answers of one line each: a text, a document, the one good answer.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
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

/// When it is worth asking again whether a log accepts that is full or short of disk, in seconds.
pub(super) const LOG_SECONDS: u64 = 10;

/// An answer as that of a program whose log does not accept.
pub(super) fn unready(mut response: Response) -> Response {
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(LOG_SECONDS));
    response
}

/// The answer to a path that is none.
pub(super) async fn not_found() -> Response {
    let mut response = Response::new(Body::from("404 page not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}
