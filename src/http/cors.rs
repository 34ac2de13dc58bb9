//! Cross-origin requests: every answer may be read by the page that asked, errors included.

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;

/// How long a browser remembers a preflight: Chromium's limit is two hours, fifteen minutes let a
/// change of routes take effect.
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("900");

/// True for a preflight.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers a preflight: the asked method and the asked headers are fine. A fixed list of headers
/// would let first sends work and block every retry, which carries further ones.
pub(super) fn preflight(headers: &HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let out = response.headers_mut();
    let method = headers.get(ACCESS_CONTROL_REQUEST_METHOD);
    if let Some(method) = method.filter(|method| is_ours(method.as_bytes())) {
        out.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    }
    if let Some(asked) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        out.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    out.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS);
    out.append(VARY, HeaderValue::from_static("Access-Control-Request-Method"));
    out.append(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
    response
}

fn is_ours(method: &[u8]) -> bool {
    [&b"GET"[..], b"POST", b"HEAD"].contains(&method)
}

/// Lets the page at `origin` read the answer.
pub(super) fn reflect(origin: Option<HeaderValue>, out: &mut HeaderMap) {
    out.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin else { return };
    out.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    out.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    // Segment's browser SDK obeys Retry-After only where it may read it.
    out.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
}
