//! The calls by which SDKs fetch their configuration, answered from ours: no vendor's cloud.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::json_answer;
use super::shared::{Shared, peer};
use super::{address, auth};
use crate::ingest::{Pipeline, Refusal};
use crate::source::{Kind, Platform, Source};

/// When the configuration last changed, as far as an SDK is concerned: it only compares.
const UPDATED_AT: &str = "2024-01-01T00:00:00.000Z";

/// What RudderStack's SDKs fetch before they send anything.
pub(super) async fn source_config<P: Pipeline>(
    State(shared): State<Arc<Shared<P>>>,
    request: Request,
) -> Response {
    let head = request.into_parts().0;
    let key = auth::in_query(&head).or_else(|| auth::basic(&head)).unwrap_or_default();
    let sources = shared.parts.sources.load();
    let Some(source) = sources.by_write_key(&key) else {
        shared.parts.stats.refused(Refusal::UnknownKey, None);
        let mut response = json_answer(&json!({"message": "Invalid write key"}));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    if !source.allows_origin(auth::origin(&head)) {
        return shared.refuse(Refusal::OriginNotAllowed, Some(source));
    }
    json_answer(&rudder(source, &key))
}

fn rudder(source: &Source, key: &str) -> Value {
    json!({
        "source": {
            "id": source.id,
            "name": source.name,
            "writeKey": key,
            // A phone takes an absent value for no.
            "enabled": source.enabled,
            "workspaceId": source.environment,
            "updatedAt": UPDATED_AT,
            "config": {
                // Android's first SDK fails without both.
                "statsCollection": {
                    "errors": {"enabled": false},
                    "metrics": {"enabled": false},
                },
            },
            "destinations": [],
            "connections": [],
            "dataplanes": {},
            "sourceDefinition": {
                "id": definition(source),
                "name": definition(source),
                "category": null,
            },
        },
        "updatedAt": UPDATED_AT,
        "isHosted": false,
        "consentManagementMetadata": {"providers": []},
    })
}

const fn definition(source: &Source) -> &'static str {
    match (source.kind, source.platform) {
        (Kind::Webhook, _) => "webhook",
        (Kind::Sdk, Some(Platform::Mobile)) => "Mobile",
        (Kind::Sdk, Some(Platform::Server)) => "HTTP",
        (Kind::Sdk, _) => "Javascript",
    }
}

/// What Segment's SDKs fetch. `apiHost` must be there, or events go to the vendor's cloud.
pub(super) async fn settings<P: Pipeline>(
    State(shared): State<Arc<Shared<P>>>,
    request: Request,
) -> Response {
    let head = request.into_parts().0;
    let key = key_in_path(head.uri.path());
    let known = auth::source_of(&shared.parts.sources.load(), &key, &head, false);
    if let Err(refusal) = known {
        return shared.refuse(refusal, None);
    }
    let url = address::public(&head, peer(&head.extensions), &shared.parts.options.load());
    json_answer(&json!({
        "integrations": {
            "Segment.io": {
                "apiKey": key,
                "apiHost": format!("{}{}/v1", url.authority, url.prefix),
                "protocol": url.scheme(),
                "addBundledMetadata": false,
                "unbundledIntegrations": [],
                "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]},
            },
        },
        "plan": {
            "track": {"__default": {"enabled": true, "integrations": {}}},
            "identify": {"__default": {"enabled": true}},
            "group": {"__default": {"enabled": true}},
        },
        "edgeFunction": {},
        "analyticsNextEnabled": true,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": {"sampleRate": 0},
        "legacyVideoPluginsEnabled": false,
        "remotePlugins": [],
    }))
}

/// The last segment but one.
fn key_in_path(path: &str) -> String {
    let key = path.rsplit('/').nth(1).unwrap_or_default();
    percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned()
}

/// What RudderStack's Go SDK asks: one address is all there is.
pub(super) async fn cluster_info<P: Pipeline>(
    State(shared): State<Arc<Shared<P>>>,
    request: Request,
) -> Response {
    let head = request.into_parts().0;
    let done = auth::basic(&head)
        .ok_or(Refusal::NoKeyInHeader)
        .and_then(|key| auth::source_of(&shared.parts.sources.load(), &key, &head, false));
    match done {
        Ok(_) => json_answer(&json!({"nodeCount": 1})),
        Err(refusal) => shared.refuse(refusal, None),
    }
}
