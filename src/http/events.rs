//! The endpoints that take events: where each has its key, and what it hands in.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use super::answer::ok;
use super::auth;
use super::server::Peer;
use super::shared::{Shared, peer};
use crate::ingest::{Credential, Form, Pipeline};

/// The headers that [`take`] looks at, here and in what it calls; over HTTP/2 others come, too.
pub(super) const HEADERS: &[&str] =
    &["authorization", "content-encoding", "origin", "x-forwarded-for"];

/// Takes one event or a batch: the key is in the Authorization header, else in the body.
pub(super) async fn take<P: Pipeline>(
    shared: &Shared<P>,
    request: Request,
    peer: Peer,
    form: Form,
) -> Response {
    let (head, body) = request.into_parts();
    let credential = match auth::basic(&head) {
        Some(key) => shared.known(&key, &head, false),
        None => Ok(Credential::InBody { origin: auth::origin(&head).map(str::to_owned) }),
    };
    shared.receive(&head, peer, body, credential, form).await
}

/// Takes a batch of `navigator.sendBeacon`, which can set no header: the key is in the query, and
/// wins over a header there may be.
pub(super) async fn beacon<P: Pipeline>(
    State(shared): State<Arc<Shared<P>>>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let credential = shared.in_query_or_header(&head, false);
    shared.receive(&head, peer(&head.extensions), body, credential, Form::Batch).await
}

/// Takes an SDK's report on itself and forgets it.
pub(super) async fn drop_it<P: Pipeline>(
    State(shared): State<Arc<Shared<P>>>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    shared.drains.drain(&head, body, shared.parts.options.load().max_body);
    ok()
}
