//! What the handlers share, and what they all do with a request: find its source, read its body
//! within the limits, hand it to the pipeline, answer what became of it.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::http::request::Parts as Head;
use axum::http::{Extensions, Version};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio_util::task::TaskTracker;

use super::answer::ok;
use super::body::Drains;
use super::docs::Docs;
use super::server::Peer;
use super::stats::Stats;
use super::{address, auth, body};
use crate::clock::{Clock, IdSource};
use crate::config;
use crate::ingest::{Accepted, Credential, Form, Pipeline, Refusal, Submission, Trouble};
use crate::limits::{Budget, Entry, Load, Permit, Share, Shares};
use crate::source::{Source, Sources};

/// What an edge is made of. All of it is shared with others.
#[derive(Debug)]
pub struct Parts<P> {
    /// Takes the events.
    pub pipeline: Arc<P>,
    /// The sources, swapped as a whole on a reload.
    pub sources: Arc<ArcSwap<Sources>>,
    /// The limits, likewise. `max_in_flight` counts only at the start, and `max_event` stays what it
    /// was then: it is the pipeline's, too.
    pub options: Arc<ArcSwap<config::Http>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids for webhook events.
    pub ids: Arc<dyn IdSource>,
    /// Background work that a shutdown waits for.
    pub tasks: TaskTracker,
    /// Counts.
    pub stats: Arc<Stats>,
    /// The threads that serve.
    pub lanes: usize,
}

/// What handlers share.
#[derive(Debug)]
pub(super) struct Shared<P> {
    pub(super) parts: Parts<P>,
    pub(super) in_flight: Budget,
    pub(super) load: Load,
    pub(super) shares: Shares,
    pub(super) drains: Drains,
    pub(super) docs: Docs,
}

impl<P: Pipeline> Shared<P> {
    /// The source of a key that a header or the query gave.
    pub(super) fn known(
        &self,
        key: &str,
        head: &Head,
        webhook: bool,
    ) -> Result<Credential, Refusal> {
        let sources = self.parts.sources.load();
        auth::source_of(&sources, key, head, webhook).map(Credential::Known)
    }

    /// The source of the key in the query, else in the header.
    pub(super) fn in_query_or_header(
        &self,
        head: &Head,
        webhook: bool,
    ) -> Result<Credential, Refusal> {
        let key = auth::in_query(head).or_else(|| auth::basic(head));
        self.known(&key.ok_or(Refusal::NoKeyInQuery)?, head, webhook)
    }

    /// Reads the body and submits it as it is.
    pub(super) async fn receive(
        &self,
        head: &Head,
        peer: Peer,
        body: Body,
        credential: Result<Credential, Refusal>,
        form: Form,
    ) -> Response {
        let source = source_of(&credential);
        let done = match self.read(head, peer, body, credential).await {
            Ok((credential, body, permit)) => {
                self.submit(head, peer, credential, form, body, permit).await
            }
            Err(refusal) => Err(refusal),
        };
        self.conclude(done, source.as_deref())
    }

    /// Reads the body, unless the sender is refused already, or there is too much to do: that is
    /// decided before anything of it is read, since to refuse must cost little.
    pub(super) async fn read(
        &self,
        head: &Head,
        peer: Peer,
        body: Body,
        credential: Result<Credential, Refusal>,
    ) -> Result<(Credential, Bytes, Permit), Refusal> {
        let (bytes_max, timeout) = {
            let options = self.parts.options.load();
            (options.max_body, options.body_timeout)
        };
        let expected = body::expect(&head.headers, &body, bytes_max);
        let let_in = async {
            // What is refused for ever must not be told to come again.
            let (credential, expected) = (credential?, expected?);
            let share = self.let_in(&credential, head, peer, expected.bytes).await?;
            Ok((credential, expected, share))
        };
        let failure = match let_in.await {
            Ok((credential, expected, share)) => {
                let limits = body::Limits { bytes_max, timeout };
                match body::read(body, expected, limits, (&self.in_flight, &share)).await {
                    Ok((bytes, permit)) => {
                        self.parts.stats.read(bytes.len());
                        return Ok((credential, bytes, permit));
                    }
                    Err(failure) => failure,
                }
            }
            Err(refusal) => body::Failure { refusal, rest: Some(body) },
        };
        if let Some(rest) = failure.rest {
            self.drains.drain(head, rest, bytes_max);
        }
        Err(failure.refusal)
    }

    /// The share of who sends, once so many bytes more are let in.
    async fn let_in(
        &self,
        credential: &Credential,
        head: &Head,
        peer: Peer,
        bytes: usize,
    ) -> Result<Arc<Share>, Refusal> {
        let share = self.share_of(credential);
        let (bytes, now) = (bytes + body::REQUEST_BYTES, self.parts.clock.elapsed());
        // Unread bodies of streams hold back the others of their connection.
        let may_wait = head.version != Version::HTTP_2;
        let entry = Entry { bytes, now, may_wait };
        let is_let_in = self.load.enter(peer.lane, &share, entry).await;
        is_let_in.then_some(share).ok_or(Refusal::Unavailable(Trouble::Overloaded))
    }

    /// Where a request is counted; all whose key is in the body share one place.
    fn share_of(&self, credential: &Credential) -> Arc<Share> {
        self.shares.of(match credential {
            Credential::Known(source) => &source.id,
            Credential::InBody { .. } => "",
        })
    }

    /// Hands a body to the pipeline and waits for it as long as the client may be let wait.
    pub(super) async fn submit(
        &self,
        head: &Head,
        peer: Peer,
        credential: Credential,
        form: Form,
        body: Bytes,
        permit: Permit,
    ) -> Result<Accepted, Refusal> {
        let (client_ip, patience) = {
            let options = self.parts.options.load();
            (address::client(head, peer.ip, &options.trusted_proxies), options.ack_timeout)
        };
        let now = self.parts.clock.elapsed();
        let deadline = now.saturating_add(patience);
        let share = self.share_of(&credential);
        let _work = self.load.begin(peer.lane, &share, body.len() + body::REQUEST_BYTES, now);
        let submission = Submission { credential, form, body, client_ip, deadline, permit };
        let confirmed = tokio::time::timeout(patience, self.parts.pipeline.submit(submission));
        confirmed.await.unwrap_or(Err(Refusal::AckTimeout))
    }

    /// Room for a body that the edge itself makes of a query of so many bytes, once that is let in.
    pub(super) async fn room(
        &self,
        credential: &Credential,
        head: &Head,
        bytes: usize,
    ) -> Result<Permit, Refusal> {
        let share = self.let_in(credential, head, peer(&head.extensions), bytes).await?;
        let permit = self.in_flight.take_of(&share, bytes + body::REQUEST_BYTES);
        permit.ok_or(Refusal::Unavailable(Trouble::InFlight))
    }

    /// Answers what became of a request.
    pub(super) fn conclude(
        &self,
        done: Result<Accepted, Refusal>,
        source: Option<&Source>,
    ) -> Response {
        done.map_or_else(|refusal| self.refuse(refusal, source), |_| ok())
    }

    /// Counts a refusal and answers it.
    pub(super) fn refuse(&self, refusal: Refusal, source: Option<&Source>) -> Response {
        self.parts.stats.refused(refusal, source.map(|source| source.id.as_str()));
        refusal.into_response()
    }
}

/// The source in a credential, for the counts.
pub(super) fn source_of(credential: &Result<Credential, Refusal>) -> Option<Arc<Source>> {
    match credential {
        Ok(Credential::Known(source)) => Some(Arc::clone(source)),
        _ => None,
    }
}

/// The other end of the connection; an edge that is called without one is called by itself.
pub(super) fn peer(extensions: &Extensions) -> Peer {
    let local = Peer { ip: IpAddr::from([127, 0, 0, 1]), tls: false, lane: 0 };
    extensions.get::<Peer>().copied().unwrap_or(local)
}
