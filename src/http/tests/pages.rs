//! Configuration calls, health, documents, the admin listener.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::Value;

use super::*;
use crate::config::Secret;
use crate::http::OPENAPI;
use crate::http::admin::Admin;
use crate::http::edge::Routes;
use crate::http::server::Handle;
use crate::metrics::Metrics;

/// True if all of `least` is in `value`: objects may have more, lists and scalars are equal.
fn satisfies(value: &Value, least: &Value) -> bool {
    match (value, least) {
        (Value::Object(value), Value::Object(least)) => least
            .iter()
            .all(|(key, least)| value.get(key).is_some_and(|value| satisfies(value, least))),
        _ => value == least,
    }
}

/// Takes out what is a gateway's own: ids, names, times.
fn without_own(least: &str) -> Value {
    let least =
        least.replace("WRITE_KEY", "wk-enabled").replace("GATEWAY_HOST:PORT", "e.example:81");
    let mut least: Value = serde_json::from_str(&least).unwrap();
    if let Some(source) = least.get_mut("source").and_then(Value::as_object_mut) {
        for key in ["id", "name", "workspaceId", "updatedAt", "sourceDefinition"] {
            source.remove(key);
        }
    }
    least.as_object_mut().unwrap().remove("updatedAt");
    least
}

#[tokio::test]
async fn source_config_has_what_every_sdk_needs() {
    let (edge, _) = edge("");
    for (path, key) in [
        ("/sourceConfig?writeKey=wk-enabled&p=npm&v=3.34.1", ""),
        ("/sourceConfig/?p=npm&writeKey=wk-enabled", ""),
        ("/sourceConfig?p=android", ENABLED),
    ] {
        let answer = get(&edge, path, &[("authorization", key)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        let value = answer.json();
        for least in [
            include_str!("../../../tests/golden/sdk/sourceConfig.all-sdks.json"),
            include_str!("../../../tests/golden/sdk/sourceConfig.web-minimum.json"),
        ] {
            let mut least = without_own(least);
            if let Some(config) =
                least["source"].get_mut("config").filter(|c| c == &&serde_json::json!({}))
            {
                *config = value["source"]["config"].clone();
            }
            assert!(satisfies(&value, &least), "{value}");
        }
        for key in ["id", "name", "workspaceId", "updatedAt"] {
            assert!(value["source"][key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
        }
    }
    let value = get(&edge, "/sourceConfig?writeKey=wk-disabled", &[]).await.json();
    assert_eq!(value["source"]["enabled"], false);
    for path in ["/sourceConfig?writeKey=nope", "/sourceConfig"] {
        let answer = get(&edge, path, &[]).await;
        let expected = (400, r#"{"message":"Invalid write key"}"#);
        assert_eq!((answer.status.as_u16(), answer.text()), expected);
    }
}

#[tokio::test]
async fn segment_settings_name_this_gateway() {
    let (plain, _) = edge("");
    let (public, _) = edge("[http]\npublic_url = \"https://events.example.com/track\"");
    let host = [("host", "e.example:81")];
    for path in ["/v1/projects/wk-enabled/settings", "/projects/wk%2Denabled/settings"] {
        let value = get(&plain, path, &host).await.json();
        let all = include_str!("../../../tests/golden/sdk/segment-settings.all-sdks.json");
        assert!(satisfies(&value, &without_own(all)), "{value}");
        let value = get(&public, path, &host).await.json();
        let segment = &value["integrations"]["Segment.io"];
        assert_eq!(segment["apiHost"], "events.example.com/track/v1");
        assert_eq!(
            (&segment["protocol"], &segment["apiKey"]),
            (&"https".into(), &"wk-enabled".into())
        );
    }
    let tls = [("host", "e.example:81"), ("x-forwarded-proto", "https")];
    let value = get(&plain, "/v1/projects/wk-enabled/settings", &tls).await.json();
    let least = include_str!("../../../tests/golden/sdk/segment-settings.minimum.json");
    assert!(satisfies(&value, &without_own(least)), "{value}");
    for (key, status) in [("nope", 401), ("wk-disabled", 404), ("%ff", 401)] {
        let answer = get(&plain, &format!("/v1/projects/{key}/settings"), &[]).await;
        assert_eq!(answer.status.as_u16(), status, "{key}");
    }
}

#[tokio::test]
async fn small_calls_have_their_answers() {
    let (edge, pipeline) = edge("");
    let answer = get(&edge, "/cluster-info", &[("authorization", ENABLED)]).await;
    assert_eq!(answer.text(), r#"{"nodeCount":1}"#);
    assert_eq!(get(&edge, "/cluster-info", &[]).await.status, StatusCode::UNAUTHORIZED);
    for path in ["/v1/m", "/rsaMetrics"] {
        let answer = post(&edge, path, &[], "anything").await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "ok"));
    }
    assert_eq!(pipeline.count(), 0);
    let answer = get(&edge, "/robots.txt", &[]).await;
    assert_eq!(answer.text(), "User-agent: * \nDisallow: / \n");
    assert_eq!(get(&edge, "/version", &[]).await.json()["version"], env!("CARGO_PKG_VERSION"));
    for path in ["/", "/health"] {
        let answer = get(&edge, path, &[]).await;
        let expected = r#"{"server":"UP","db":"UP","acceptingEvents":"TRUE","mode":"NORMAL","lastSync":"2026-01-02T03:04:05.678Z"}"#;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, expected));
    }
    pipeline.down.store(true, Ordering::SeqCst);
    for path in ["/", "/health"] {
        let answer = get(&edge, path, &[]).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.header("retry-after"), Some("10"));
        assert_eq!(answer.json()["acceptingEvents"], "FALSE");
    }
}

#[tokio::test]
async fn paths_are_exact() {
    let (edge, _) = edge("");
    for path in ["/V1/track", "/v1/track/", "//v1/track", "/v1", "/v1/nope", "/health/", "/metrics"]
    {
        let answer = get(&edge, path, &[]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (404, "404 page not found\n"),
            "{path}"
        );
    }
    for (method, path, allow) in [
        ("PUT", "/v1/track", "POST"),
        ("DELETE", "/health", "GET,HEAD"),
        ("POST", "/sourceConfig", "GET,HEAD"),
        ("PUT", "/v1/webhook", "GET,HEAD,POST"),
    ] {
        let answer = send(&edge, request(method, path, &[]).body(Body::empty()).unwrap()).await;
        let allowed = answer.header("allow").unwrap_or_default();
        let mut allowed: Vec<_> = allowed.split(',').collect();
        allowed.sort_unstable();
        assert_eq!((answer.status.as_u16(), answer.text()), (405, ""), "{path}");
        assert_eq!(allowed.join(","), allow);
    }
}

#[tokio::test]
async fn the_api_document_is_true() {
    let (edge, pipeline) = edge("");
    let api: Value = serde_json::from_str(OPENAPI).unwrap();
    assert_eq!(api["info"]["version"], env!("CARGO_PKG_VERSION"));
    let methods = ["get", "post", "put", "delete", "patch"];
    for (path, operations) in api["paths"].as_object().unwrap() {
        let path = path.replace("{key}", "wk-enabled");
        for method in methods {
            for key in [ENABLED, "Basic bm9wZTo=", "Basic d2stZGlzYWJsZWQ6"] {
                for body in ["", "{}", "[]", r#"{"userId":"u"}"#, r#"{"batch":[{"userId":"u"}]}"#] {
                    let asked = request(&method.to_uppercase(), &path, &[("authorization", key)]);
                    let answer = send(&edge, asked.body(Body::from(body)).unwrap()).await;
                    let status = answer.status.as_u16().to_string();
                    let Some(operation) = operations.get(method) else {
                        assert_eq!(status, "405", "{method} {path}");
                        continue;
                    };
                    let described = &operation["responses"][&status];
                    assert!(described.is_object(), "{method} {path} answers {status}");
                    let described = described["$ref"].as_str().map_or(described, |reference| {
                        api.pointer(reference.strip_prefix('#').unwrap()).unwrap()
                    });
                    let kind = answer.header("content-type").unwrap_or_default();
                    let kind = kind.split(';').next().unwrap();
                    let content = &described["content"][kind];
                    assert!(content.is_object(), "{method} {path} {status} as {kind}");
                    if let Some(texts) = content["schema"]["enum"].as_array() {
                        let text = Value::from(answer.text());
                        assert!(texts.contains(&text), "{method} {path} says {text}");
                    }
                }
            }
        }
    }
    assert!(pipeline.count() > 0);
    let documented: BTreeSet<_> = api["paths"].as_object().unwrap().keys().cloned().collect();
    let routes = Routes::<Fake>::new().paths.into_iter().map(str::to_owned).collect();
    assert_eq!(documented, routes);
}

#[tokio::test]
async fn the_page_shows_every_operation_and_runs_nothing() {
    let (edge, _) = edge("");
    let answer = get(&edge, "/docs", &[]).await;
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    let html = answer.text();
    let api: Value = serde_json::from_str(OPENAPI).unwrap();
    for path in api["paths"].as_object().unwrap().keys() {
        assert!(html.contains(&format!("<code>{path}</code>")), "{path}");
    }
    assert!(!html.contains("<script") && !html.contains("http://") && !html.contains("https://"));
    assert_eq!(get(&edge, "/openapi.json", &[]).await.json(), api);
}

#[tokio::test]
async fn the_admin_listener_wants_its_token() {
    let (_, pipeline) = edge("");
    let metrics = Metrics::new();
    metrics.collect(Stats::new());
    let token = Some(Secret::new("t0ken"));
    let open = Admin::new(Arc::clone(&pipeline), metrics.clone(), None);
    let closed = Admin::new(Arc::clone(&pipeline), metrics, token);
    for (admin, authorization, path, status) in [
        (&open, "", "/metrics", 200),
        (&open, "", "/health/live", 200),
        (&open, "", "/health/ready", 200),
        (&open, "", "/v1/track", 404),
        (&closed, "Bearer t0ken", "/metrics", 200),
        (&closed, "bearer  t0ken", "/metrics", 200),
        (&closed, "Bearer t0ke", "/metrics", 401),
        (&closed, "Bearer ", "/metrics", 401),
        (&closed, "Basic t0ken", "/metrics", 401),
        (&closed, "", "/health/live", 401),
        (&closed, "", "/nowhere", 401),
    ] {
        let asked = request("GET", path, &[("authorization", authorization)]);
        let response = admin.handle(asked.body(Body::empty()).unwrap(), PEER).await;
        assert_eq!(response.status().as_u16(), status, "{authorization} {path}");
    }
    pipeline.down.store(true, Ordering::SeqCst);
    let asked = request("GET", "/health/ready", &[]).body(Body::empty()).unwrap();
    let answer = open.handle(asked, PEER).await;
    assert_eq!(answer.status().as_u16(), 503);
    assert_eq!(answer.headers()["retry-after"], "10");
}

/// Fails as a fault of the program would.
#[derive(Debug)]
struct Faulty;

impl prometheus_client::collector::Collector for Faulty {
    fn encode(
        &self,
        _: prometheus_client::encoding::DescriptorEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        panic!("as a fault of the program would")
    }
}

#[tokio::test]
async fn a_panic_costs_one_request_and_is_counted_on_both_listeners() {
    let (edge, pipeline) = edge("");
    let panics = || pipeline.panics.load(Ordering::SeqCst);
    let event = "{\"userId\":\"u\"}";
    let page = [("authorization", ENABLED), ("origin", "https://a.example")];
    let paths =
        ["/v1/track", "/beacon/v1/batch?writeKey=wk-enabled", "/v1/webhook?writeKey=wk-hook"];
    for (n, path) in paths.into_iter().enumerate() {
        pipeline.faulty.store(true, Ordering::SeqCst);
        let answer = post(&edge, path, &page, event).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (500, "Internal Server Error\n"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example"));
        assert_eq!(panics(), n + 1, "{path}");
    }
    assert_eq!(post(&edge, "/v1/track", &page, event).await.status.as_u16(), 200);
    let metrics = Metrics::new();
    metrics.collect(Arc::clone(&edge.parts().stats));
    let text = metrics.render();
    let refused = "keelrow_http_refusals_total{reason=\"internal\",source=\"\"} 3\n";
    let answered = "keelrow_http_requests_total{endpoint=\"single\",status=\"500\"} 1\n";
    assert!(text.contains(refused) && text.contains(answered), "{text}");
    metrics.collect(Faulty);
    let admin = Admin::new(Arc::clone(&pipeline), metrics, None);
    let asked = request("GET", "/metrics", &[]).body(Body::empty()).unwrap();
    assert_eq!(admin.handle(asked, PEER).await.status().as_u16(), 500);
    assert_eq!(panics(), 4);
}

/// Notes on which thread it is asked.
#[derive(Debug)]
struct Noting(std::sync::mpsc::Sender<std::thread::ThreadId>);

impl prometheus_client::collector::Collector for Noting {
    fn encode(
        &self,
        _: prometheus_client::encoding::DescriptorEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        self.0.send(std::thread::current().id()).map_err(|_| std::fmt::Error)
    }
}

#[tokio::test]
async fn a_scrape_is_put_together_where_no_request_waits() {
    let (_, pipeline) = edge("");
    let (note, asked_on) = std::sync::mpsc::channel();
    let metrics = Metrics::new();
    metrics.collect(Noting(note));
    let admin = Admin::new(pipeline, metrics, None);
    let ask = || admin.handle(request("GET", "/metrics", &[]).body(Body::empty()).unwrap(), PEER);
    // Several wait for each other, and each has its answer.
    let (one, other) = tokio::join!(ask(), ask());
    assert_eq!((one.status().as_u16(), other.status().as_u16()), (200, 200));
    let asked_on: Vec<_> = asked_on.try_iter().collect();
    assert_eq!(asked_on.len(), 2);
    assert!(!asked_on.contains(&std::thread::current().id()));
}
