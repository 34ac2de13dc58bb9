//! Every refusal's status and text. SDKs match on these texts, so they stand to the letter.

use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::answer::{LOG_SECONDS, TEXT};
use crate::ingest::{Pipeline, Refusal, Trouble};

/// Marks the answer to a page that may not use the key: it gets no CORS headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForeignOrigin;

const fn answer(refusal: Refusal) -> (StatusCode, &'static str) {
    match refusal {
        Refusal::NoKeyInHeader => {
            (StatusCode::UNAUTHORIZED, "failed to read writekey from header\n")
        }
        Refusal::NoKeyInQuery => {
            (StatusCode::UNAUTHORIZED, "failed to read writekey from query params\n")
        }
        Refusal::UnknownKey => (StatusCode::UNAUTHORIZED, "invalid write key\n"),
        Refusal::SourceDisabled => (StatusCode::NOT_FOUND, "source is disabled\n"),
        Refusal::NotWebhook => (StatusCode::NOT_FOUND, "source does not accept webhook events\n"),
        Refusal::OriginNotAllowed => (StatusCode::FORBIDDEN, "origin is not allowed\n"),
        Refusal::InvalidJson => (StatusCode::BAD_REQUEST, "invalid json\n"),
        Refusal::NotAnObject => (StatusCode::BAD_REQUEST, "event is not a valid rudder event\n"),
        Refusal::NoIds => (StatusCode::BAD_REQUEST, "request neither has anonymousId nor userId\n"),
        Refusal::EmptyBatch => (StatusCode::BAD_REQUEST, "empty batch payload\n"),
        Refusal::TooLarge | Refusal::TooManyEvents => {
            (StatusCode::PAYLOAD_TOO_LARGE, "request size exceeds max limit\n")
        }
        Refusal::RateLimited { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "max requests limit reached\n")
        }
        Refusal::UnreadableBody => (StatusCode::BAD_REQUEST, "failed to read body from request\n"),
        Refusal::AckTimeout => (StatusCode::GATEWAY_TIMEOUT, "gateway timeout\n"),
        Refusal::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable\n"),
        Refusal::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error\n"),
    }
}

/// When it is worth trying again, in seconds.
fn retry_after(refusal: Refusal) -> Option<u64> {
    match refusal {
        // Never zero: several SDKs take that for no wait at all.
        Refusal::RateLimited { retry_after } => {
            Some(retry_after.as_millis().div_ceil(1_000).max(1).try_into().unwrap_or(u64::MAX))
        }
        Refusal::Unavailable(trouble) => Some(match trouble {
            Trouble::InFlight | Trouble::Overloaded => 1,
            Trouble::ShuttingDown => 5,
            Trouble::LogFull | Trouble::DiskLow => LOG_SECONDS,
            Trouble::LogFailed | Trouble::LogGone => 30,
        }),
        _ => None,
    }
}

/// What `work` answers. A panic in it, which is a fault of this program, costs that request alone and
/// is counted.
///
/// # Errors
/// [`Refusal::Internal`] after a panic.
pub(super) async fn caught<P: Pipeline>(
    pipeline: &P,
    work: impl Future<Output = Response>,
) -> Result<Response, Refusal> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| {
        pipeline.panicked();
        Refusal::Internal
    })
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, text) = answer(self);
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, TEXT);
        if let Some(seconds) = retry_after(self) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self == Self::OriginNotAllowed {
            response.extensions_mut().insert(ForeignOrigin);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_status_is_one_that_sdks_disagree_about() {
        let troubles = [
            Trouble::LogFull,
            Trouble::DiskLow,
            Trouble::LogFailed,
            Trouble::LogGone,
            Trouble::InFlight,
        ];
        let refusals = [
            Refusal::NoKeyInHeader,
            Refusal::TooLarge,
            Refusal::AckTimeout,
            Refusal::Internal,
            Refusal::RateLimited { retry_after: Duration::from_millis(1) },
        ];
        for refusal in refusals.into_iter().chain(troubles.map(Refusal::Unavailable)) {
            let (status, text) = answer(refusal);
            assert!(![408, 410, 501, 511].contains(&status.as_u16()), "{status}");
            assert!(crate::http::stats::STATUSES.contains(&status.as_u16()), "{status}");
            assert!(text.ends_with('\n') && text.lines().count() == 1, "{text}");
            let retry = [429, 503].contains(&status.as_u16());
            assert_eq!(refusal.into_response().headers().contains_key("retry-after"), retry);
        }
    }

    #[test]
    fn waiting_is_whole_seconds_and_never_none() {
        for (millis, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_500, 60)] {
            let retry_after = Duration::from_millis(millis);
            assert_eq!(super::retry_after(Refusal::RateLimited { retry_after }), Some(seconds));
        }
    }
}
