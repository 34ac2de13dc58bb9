//! The admin listener: metrics and health. Nothing of it is on the public port.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tower::Service;

use super::answer::{TEXT, not_found, typed, unready};
use super::error::caught;
use super::server::{Handle, Peer};
use crate::config::Secret;
use crate::ingest::{Pipeline, Refusal, aside};
use crate::metrics::{CONTENT_TYPE, Metrics};

/// The admin routes behind their token. Cheap to clone.
pub struct Admin<P> {
    pipeline: Arc<P>,
    token: Option<Secret>,
    router: Router,
}

impl<P> Clone for Admin<P> {
    fn clone(&self) -> Self {
        let (pipeline, token) = (Arc::clone(&self.pipeline), self.token.clone());
        Self { pipeline, token, router: self.router.clone() }
    }
}

impl<P> std::fmt::Debug for Admin<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Shared<P> {
    pipeline: Arc<P>,
    metrics: Metrics,
    /// For one scrape at a time.
    turn: Arc<Semaphore>,
}

impl<P: Pipeline> Admin<P> {
    /// `/metrics`, `/health/live` and `/health/ready`. With a token, every request must carry it as
    /// `Authorization: Bearer …`.
    #[must_use]
    pub fn new(pipeline: Arc<P>, metrics: Metrics, token: Option<Secret>) -> Self {
        let turn = Arc::new(Semaphore::new(1));
        let router = Router::new()
            .route("/metrics", get(scrape::<P>))
            .route("/health/live", get(live))
            .route("/health/ready", get(ready::<P>))
            .with_state(Arc::new(Shared { pipeline: Arc::clone(&pipeline), metrics, turn }))
            .fallback(not_found);
        Self { pipeline, token, router }
    }

    fn may_enter(&self, request: &Request) -> bool {
        let Some(token) = &self.token else { return true };
        let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.split_once(' '));
        let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let given = Sha256::digest(given.map_or("", |(_, token)| token.trim()));
        Sha256::digest(token.expose()).as_slice().ct_eq(given.as_slice()).into()
    }

    async fn route(&self, request: Request) -> Response {
        let answered: Result<_, std::convert::Infallible> = self.router.clone().call(request).await;
        answered.unwrap_or_else(|never| match never {})
    }

    async fn answer(&self, request: Request) -> Response {
        let mut response = if self.may_enter(&request) {
            let answered = caught(&*self.pipeline, self.route(request)).await;
            answered.unwrap_or_else(IntoResponse::into_response)
        } else {
            let mut response = typed(TEXT, "unauthorized\n");
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
            response
        };
        let nosniff = HeaderValue::from_static("nosniff");
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, nosniff);
        response
    }
}

impl<P: Pipeline> Handle for Admin<P> {
    fn handle(&self, request: Request, _peer: Peer) -> impl Future<Output = Response> + Send {
        self.answer(request)
    }

    fn panicked(&self) {
        self.pipeline.panicked();
    }
}

async fn scrape<P: Pipeline>(State(shared): State<Arc<Shared<P>>>) -> Response {
    // What is told may have to be read from the journal first, for which no request is to wait.
    let Ok(turn) = Arc::clone(&shared.turn).acquire_owned().await else {
        return Refusal::Internal.into_response();
    };
    let rendered = aside(move || {
        let text = shared.metrics.render();
        drop(turn);
        text
    });
    match rendered.await {
        Ok(text) => typed(HeaderValue::from_static(CONTENT_TYPE), Body::from(text)),
        Err(refusal) => refusal.into_response(),
    }
}

async fn live() -> Response {
    typed(TEXT, "live\n")
}

async fn ready<P: Pipeline>(State(shared): State<Arc<Shared<P>>>) -> Response {
    match shared.pipeline.health().trouble {
        None => typed(TEXT, "ready\n"),
        Some(trouble) => {
            let reason = Refusal::Unavailable(trouble).label();
            unready(typed(TEXT, format!("not ready: {reason}\n")))
        }
    }
}
