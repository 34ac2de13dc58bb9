//! What a person or a probe looks at: health, version, the API document and its page.

use std::fmt::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::edge::Shared;
use super::events::{text, typed};
use super::setup::json_answer;
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
    let mut response = json_answer(&json!({
        "server": "UP",
        "db": if health.accepting { "UP" } else { "DOWN" },
        "acceptingEvents": if health.accepting { "TRUE" } else { "FALSE" },
        "mode": "NORMAL",
        "lastSync": last_sync.unwrap_or_default(),
    }));
    if !health.accepting {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
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

/// The page, made once.
#[derive(Debug)]
pub(super) struct Docs(bytes::Bytes);

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;\
    padding:0 1rem;color:#1c2733;background:#fff}h2{margin-top:2.5rem;border-bottom:1px solid #d5dde5}\
    h3{font-size:1rem;margin:1.5rem 0 .3rem}code{font-family:ui-monospace,monospace}\
    .m{display:inline-block;min-width:4rem;font-weight:700;color:#0b6bcb}\
    table{border-collapse:collapse;margin:.4rem 0}td,th{border:1px solid #d5dde5;padding:.2rem .6rem;\
    text-align:left;vertical-align:top}\
    @media(prefers-color-scheme:dark){body{color:#dce3ea;background:#11161c}\
    h2,td,th{border-color:#33404d}.m{color:#6db3f8}}";

impl Docs {
    pub(super) fn new() -> Self {
        let api: Value = serde_json::from_str(OPENAPI).unwrap_or_default();
        let mut page = Page(String::with_capacity(64 << 10));
        page.write(&api);
        Self(page.0.into())
    }
}

struct Page(String);

impl Page {
    fn write(&mut self, api: &Value) {
        let title = string(&api["info"]["title"]);
        self.raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
        self.raw("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>");
        self.text(title);
        self.raw("</title><style>");
        self.raw(STYLE);
        self.raw("</style></head><body><h1>");
        self.text(title);
        self.raw("</h1><p>");
        self.text(string(&api["info"]["description"]));
        self.raw("</p><p><a href=\"openapi.json\">openapi.json</a></p>");
        for tag in list(&api["tags"]) {
            self.raw("<h2>");
            self.text(string(&tag["description"]));
            self.raw("</h2>");
            for (path, methods) in members(&api["paths"]) {
                for (method, operation) in members(methods) {
                    if list(&operation["tags"]).contains(&tag["name"]) {
                        self.operation(api, path, method, operation);
                    }
                }
            }
        }
        self.raw("</body></html>");
    }

    fn operation(&mut self, api: &Value, path: &str, method: &str, operation: &Value) {
        self.raw("<h3><span class=\"m\">");
        self.text(&method.to_uppercase());
        self.raw("</span> <code>");
        self.text(path);
        self.raw("</code></h3><p>");
        self.text(string(&operation["summary"]));
        self.raw("</p><table>");
        for (status, response) in members(&operation["responses"]) {
            let response = resolved(api, response);
            self.raw("<tr><th>");
            self.text(status);
            self.raw("</th><td>");
            self.text(string(&response["description"]));
            self.raw("</td></tr>");
        }
        self.raw("</table>");
    }

    fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '<' | '>' | '&' | '"' | '\'' => {
                    // Writing to a String cannot fail.
                    write!(self.0, "&#{};", u32::from(c)).ok();
                }
                _ => self.0.push(c),
            }
        }
    }
}

/// Follows a `$ref` into the components.
fn resolved<'a>(api: &'a Value, value: &'a Value) -> &'a Value {
    let pointer = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| api.pointer(pointer)).unwrap_or(value)
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
