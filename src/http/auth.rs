//! Finds the write key of a request.

use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, ORIGIN};
use axum::http::request::Parts;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::query;
use crate::ingest::{Refusal, admit};
use crate::source::{Source, Sources};

/// A longer Authorization header holds no key of ours.
const HEADER_BYTES_MAX: usize = 1024;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The user of a Basic header; the password is of no interest and the colon may be missing.
pub(super) fn basic(head: &Parts) -> Option<String> {
    let value = head.headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, credentials) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || value.len() > HEADER_BYTES_MAX {
        return None;
    }
    let mut user = BASE64.decode(credentials.trim()).ok()?;
    if let Some(colon) = memchr::memchr(b':', &user) {
        user.truncate(colon);
    }
    String::from_utf8(user).ok().filter(|user| !user.is_empty())
}

/// The key in the query.
pub(super) fn in_query(head: &Parts) -> Option<String> {
    let key = query::first(head.uri.query().unwrap_or_default(), "writeKey")?;
    Some(key.into_owned()).filter(|key| !key.is_empty())
}

/// The page that sends, if a browser said so.
pub(super) fn origin(head: &Parts) -> Option<&str> {
    head.headers.get(ORIGIN)?.to_str().ok()
}

/// The source of a key, if it takes events from this sender.
pub(super) fn source_of(
    sources: &Sources,
    key: &str,
    head: &Parts,
    webhook: bool,
) -> Result<Arc<Source>, Refusal> {
    let source = sources.by_write_key(key).ok_or(Refusal::UnknownKey)?;
    admit(source, origin(head), webhook)?;
    Ok(Arc::clone(source))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn user(value: &str) -> Option<String> {
        let request = Request::builder().header(AUTHORIZATION, value).body(()).unwrap();
        basic(&request.into_parts().0)
    }

    #[test]
    fn basic_headers_give_their_user() {
        for (value, expected) in [
            ("Basic d2stZW5hYmxlZDo=", Some("wk-enabled")),
            ("bAsIc d2stZW5hYmxlZDo", Some("wk-enabled")),
            ("Basic d2stZW5hYmxlZA==", Some("wk-enabled")),
            ("Basic  d2stZW5hYmxlZDpwYXNzOndvcmQ= ", Some("wk-enabled")),
            ("Basic Og==", None),
            ("Basic ", None),
            ("Basic", None),
            ("Basic !!!", None),
            ("Basic /w==", None),
            ("Bearer d2stZW5hYmxlZDo=", None),
            ("", None),
        ] {
            assert_eq!(user(value).as_deref(), expected, "{value}");
        }
        assert_eq!(user(&format!("Basic {}", "QUFB".repeat(400))), None);
    }
}
