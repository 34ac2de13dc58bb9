//! The line between the HTTP edge and the write pipeline, as types.
//!
//! The edge knows HTTP, keys and bytes; the pipeline knows events. A [`Submission`] is a body that
//! is inflated and within its limits, with who sent it; a [`Refusal`] is every reason for which
//! nothing of a request was accepted.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::event::enrich::EventType;
use crate::limits::Permit;
use crate::source::{Kind, Source};

/// A request's body and all the pipeline must know of the request.
pub struct Submission {
    /// Who sends.
    pub credential: Credential,
    /// What the body is.
    pub form: Form,
    /// JSON, or what should be: inflated, at most `http.max_body`.
    pub body: Bytes,
    /// The client behind the trusted proxies.
    pub client_ip: IpAddr,
    /// When the client's patience ends, by [`crate::clock::Clock::elapsed`]. Nothing may be
    /// journaled later; the edge answers 504 then and drops the call.
    pub deadline: Duration,
    /// The body's share of the memory for bodies; drop it with the body.
    pub permit: Permit,
}

impl std::fmt::Debug for Submission {
    /// Shows the form and the size, never content or address.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submission")
            .field("form", &self.form)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Who sends.
#[derive(Debug)]
pub enum Credential {
    /// The key was in a header or the query; the source has passed [`admit`].
    Known(Arc<Source>),
    /// The key is `writeKey` in the body; the pipeline finds the source and calls [`admit`].
    /// Without one there the request is [`Refusal::NoKeyInHeader`].
    InBody {
        /// The page that sends, if a browser said so.
        origin: Option<String>,
    },
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One event of this type, whatever its own `type` says.
    Single(EventType),
    /// `{"batch": [...]}`.
    Batch,
    /// The same; an empty one is right.
    Import,
}

/// The good end of a submission: durable.
#[derive(Debug)]
pub struct Accepted {
    /// The source it went to.
    pub source: Arc<Source>,
    /// Events in the books as received.
    pub events: u32,
}

/// Why the gateway cannot take events for the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The log has spent its budget.
    LogFull,
    /// The disk has too little room.
    DiskLow,
    /// The log failed and wants a restart.
    LogFailed,
    /// The log's folder was removed or replaced, and wants a restart.
    LogGone,
    /// Bodies in memory have reached their limit.
    InFlight,
    /// There is more to do than can be done in time.
    Overloaded,
    /// The program is stopping.
    ShuttingDown,
}

/// Why nothing of a request was accepted. Status and text of each stand in `crate::http`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Neither a usable Authorization header nor a key in the body.
    NoKeyInHeader,
    /// No key in the query.
    NoKeyInQuery,
    /// No source has this key.
    UnknownKey,
    /// The source is switched off.
    SourceDisabled,
    /// The source is not of kind webhook.
    NotWebhook,
    /// The page's origin is not on the source's list.
    OriginNotAllowed,
    /// The body is empty, not JSON, or nested too deep.
    InvalidJson,
    /// A single event, or every one of a batch, is not an object.
    NotAnObject,
    /// A single event, or every one of a batch, has neither userId nor anonymousId.
    NoIds,
    /// There is no event in the batch.
    EmptyBatch,
    /// The body or a single event is over its limit.
    TooLarge,
    /// The batch has more events than `http.max_batch_events`.
    TooManyEvents,
    /// The source's rate is used up.
    RateLimited {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The body broke off or cannot be inflated.
    UnreadableBody,
    /// The log did not confirm in time.
    AckTimeout,
    /// Passing trouble of ours.
    Unavailable(Trouble),
    /// A fault of this program.
    Internal,
}

impl Refusal {
    /// A stable label for metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoKeyInHeader => "no_key_in_header",
            Self::NoKeyInQuery => "no_key_in_query",
            Self::UnknownKey => "unknown_key",
            Self::SourceDisabled => "source_disabled",
            Self::NotWebhook => "not_webhook",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::NoIds => "no_ids",
            Self::EmptyBatch => "empty_batch",
            Self::TooLarge => "too_large",
            Self::TooManyEvents => "too_many_events",
            Self::RateLimited { .. } => "rate_limited",
            Self::UnreadableBody => "unreadable_body",
            Self::AckTimeout => "ack_timeout",
            Self::Unavailable(Trouble::LogFull) => "log_full",
            Self::Unavailable(Trouble::DiskLow) => "disk_low",
            Self::Unavailable(Trouble::LogFailed) => "log_failed",
            Self::Unavailable(Trouble::LogGone) => "log_gone",
            Self::Unavailable(Trouble::InFlight) => "in_flight",
            Self::Unavailable(Trouble::Overloaded) => "overloaded",
            Self::Unavailable(Trouble::ShuttingDown) => "shutting_down",
            Self::Internal => "internal",
        }
    }
}

/// Decides whether `source` takes events now, of a page of `origin`, as a webhook or not.
///
/// # Errors
/// [`Refusal::SourceDisabled`], [`Refusal::NotWebhook`], [`Refusal::OriginNotAllowed`].
pub fn admit(source: &Source, origin: Option<&str>, webhook: bool) -> Result<(), Refusal> {
    if !source.enabled {
        return Err(Refusal::SourceDisabled);
    }
    if webhook && source.kind != Kind::Webhook {
        return Err(Refusal::NotWebhook);
    }
    if !source.allows_origin(origin) {
        return Err(Refusal::OriginNotAllowed);
    }
    Ok(())
}

/// Whether events are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Why the log accepts no events, if it does not.
    pub trouble: Option<Trouble>,
    /// The end of the last sync, if there was any.
    pub last_sync: Option<Timestamp>,
}

impl Health {
    /// The log accepts events.
    #[must_use]
    pub const fn accepting(&self) -> bool {
        self.trouble.is_none()
    }
}

/// Takes submissions. The program has one; tests have their own.
pub trait Pipeline: Send + Sync + 'static {
    /// Judges the events of `submission` and makes the good ones durable.
    ///
    /// When this returns `Ok`, all accepted events survive power loss. Dropped before that, it may
    /// have accepted them or not.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was accepted.
    fn submit(
        &self,
        submission: Submission,
    ) -> impl Future<Output = Result<Accepted, Refusal>> + Send;

    /// Whether events are taken, without waiting.
    fn health(&self) -> Health;

    /// Counts a request that ended in a panic on its way here or back, with those that ended so here.
    fn panicked(&self);
}
