//! The public edge: one request in, one answer out, whatever the connection it came on.
//!
//! Owns the route table. Cross-origin and security headers are put on every answer here, so that
//! no handler can forget them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ORIGIN, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::answer::not_found;
use super::body::Drains;
use super::docs::Docs;
use super::error::{ForeignOrigin, caught};
use super::server::{Handle, Headers, Peer};
use super::shared::{Parts, Shared, peer};
use super::{cors, events, pages, pixel, setup, webhook};
use crate::event::enrich::EventType;
use crate::ingest::{Form, Pipeline};
use crate::limits::{Budget, Load, Shares};

/// The public routes, ready to answer. Cheap to clone.
#[derive(Debug)]
pub struct Edge<P> {
    pub(super) shared: Arc<Shared<P>>,
    router: Router,
}

impl<P> Clone for Edge<P> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), router: self.router.clone() }
    }
}

impl<P: Pipeline> Edge<P> {
    /// Puts the edge together.
    #[must_use]
    pub fn new(parts: Parts<P>) -> Self {
        let in_flight = Budget::new(parts.options.load().max_in_flight);
        let load = Load::new(parts.lanes);
        parts.stats.watch(in_flight.clone(), load.clone());
        let drains = Drains::new(parts.tasks.clone());
        let docs = Docs::new(pages::OPENAPI);
        let shared =
            Arc::new(Shared { parts, in_flight, load, shares: Shares::default(), drains, docs });
        let router = Routes::new().router.fallback(not_found).with_state(Arc::clone(&shared));
        Self { shared, router }
    }

    /// What it was made of.
    #[must_use]
    pub fn parts(&self) -> &Parts<P> {
        &self.shared.parts
    }

    /// Keeps the gate of the thread that this runs on, `lane`, until `shutdown`.
    pub async fn keep_in_time(&self, lane: usize, shutdown: CancellationToken) {
        let mut keeper = self.shared.load.keeper(lane);
        let mut looked = Instant::now();
        let mut due = looked;
        let mut goes_on = false;
        while !shutdown.is_cancelled() {
            if !goes_on {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = keeper.news() => {}
                    () = shutdown.cancelled() => return,
                }
            }
            // What a timer wakes may be run before what waits already; from here it stands in line,
            // behind all that has come meanwhile.
            tokio::task::yield_now().await;
            let now = Instant::now();
            if now >= due {
                keeper.look(now - looked, now - due);
                looked = now;
                due = now + if keeper.is_quiet() { LOOK_WHEN_QUIET } else { LOOK_EVERY };
            }
            goes_on = keeper.turn(self.shared.parts.clock.elapsed());
        }
    }

    /// Answers one request.
    pub async fn answer(&self, request: Request, peer: Peer) -> Response {
        let started = self.shared.parts.clock.elapsed();
        let origin = request.headers().get(ORIGIN).cloned();
        let path = request.uri().path();
        let takes = form(path);
        let endpoint = super::stats::Endpoint::of(path, takes);
        let answered = caught(&*self.shared.parts.pipeline, self.route(request, peer, takes)).await;
        let mut response = answered.unwrap_or_else(|refusal| self.shared.refuse(refusal, None));
        let foreign = response.extensions().get::<ForeignOrigin>().is_some();
        let headers = response.headers_mut();
        cors::reflect(origin.filter(|_| !foreign), headers);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let took = self.shared.parts.clock.elapsed().saturating_sub(started);
        self.shared.parts.stats.answered(endpoint, response.status(), took);
        response
    }

    async fn route(&self, mut request: Request, peer: Peer, takes: Option<Form>) -> Response {
        if cors::is_preflight(request.method(), request.headers()) {
            return cors::preflight(request.headers());
        }
        if let Some(form) = takes.filter(|_| request.method() == Method::POST) {
            // All but all of the traffic; the router would cost it a microsecond.
            return events::take(&self.shared, request, peer, form).await;
        }
        request.extensions_mut().insert(peer);
        let answered: Result<Response, Infallible> = self.router.clone().call(request).await;
        answered.unwrap_or_else(|never| match never {})
    }
}

impl<P: Pipeline> Handle for Edge<P> {
    fn handle(&self, request: Request, peer: Peer) -> impl Future<Output = Response> + Send {
        self.answer(request, peer)
    }

    fn headers(&self, method: &Method, path: &str) -> Headers {
        match form(path).filter(|_| method == Method::POST) {
            Some(_) => Headers::Only(events::HEADERS),
            None => Headers::All,
        }
    }

    fn panicked(&self) {
        self.shared.parts.pipeline.panicked();
    }
}

/// In what form a path takes events, if it is one of [`TAKES`].
fn form(path: &str) -> Option<Form> {
    TAKES.iter().find(|(known, _)| *known == path).map(|(_, form)| *form)
}

/// How often the delay of the runtime is looked at: a few times for each delay that matters.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The same while there is little to do: an idle program should sleep.
const LOOK_WHEN_QUIET: Duration = Duration::from_millis(50);

/// The paths that take events, by POST: RudderStack's, and Segment's short ones.
const TAKES: [(&str, Form); 17] = [
    ("/v1/batch", Form::Batch),
    ("/v1/track", Form::Single(EventType::Track)),
    ("/v1/page", Form::Single(EventType::Page)),
    ("/v1/identify", Form::Single(EventType::Identify)),
    ("/v1/screen", Form::Single(EventType::Screen)),
    ("/v1/group", Form::Single(EventType::Group)),
    ("/v1/alias", Form::Single(EventType::Alias)),
    ("/v1/merge", Form::Single(EventType::Merge)),
    ("/v1/i", Form::Single(EventType::Identify)),
    ("/v1/t", Form::Single(EventType::Track)),
    ("/v1/p", Form::Single(EventType::Page)),
    ("/v1/s", Form::Single(EventType::Screen)),
    ("/v1/g", Form::Single(EventType::Group)),
    ("/v1/a", Form::Single(EventType::Alias)),
    ("/v1/b", Form::Batch),
    ("/v1/import", Form::Import),
    // Segment's Java SDK adds the slash.
    ("/v1/import/", Form::Import),
];

/// Routes, and the paths that they have: the API document must have the same.
pub(super) struct Routes<P> {
    router: Router<Arc<Shared<P>>>,
    pub(super) paths: Vec<&'static str>,
}

impl<P: Pipeline> Routes<P> {
    fn at(mut self, path: &'static str, methods: MethodRouter<Arc<Shared<P>>>) -> Self {
        self.paths.push(path);
        Self { router: self.router.route(path, methods), ..self }
    }

    pub(super) fn new() -> Self {
        let mut routes = Self { router: Router::new(), paths: Vec::new() };
        // Answered before they are routed; here they are known, and other methods refused.
        for (path, form) in TAKES {
            let take = move |State(shared): State<Arc<Shared<P>>>, request: Request| async move {
                let peer = peer(request.extensions());
                events::take(&shared, request, peer, form).await
            };
            routes = routes.at(path, post(take));
        }
        routes
            .at("/beacon/v1/batch", post(events::beacon::<P>))
            .at("/pixel/v1/page", get(pixel::page::<P>))
            .at("/pixel/v1/track", get(pixel::track::<P>))
            .at("/v1/webhook", post(webhook::post::<P>).get(webhook::get::<P>))
            .at("/sourceConfig", get(setup::source_config::<P>))
            .at("/sourceConfig/", get(setup::source_config::<P>))
            .at("/v1/projects/{key}/settings", get(setup::settings::<P>))
            .at("/projects/{key}/settings", get(setup::settings::<P>))
            .at("/cluster-info", get(setup::cluster_info::<P>))
            .at("/v1/m", post(events::drop_it::<P>))
            .at("/rsaMetrics", post(events::drop_it::<P>))
            .at("/", get(pages::health::<P>))
            .at("/health", get(pages::health::<P>))
            .at("/version", get(pages::version))
            .at("/docs", get(pages::docs::<P>))
            .at("/openapi.json", get(pages::openapi))
            .at("/robots.txt", get(pages::robots))
    }
}
