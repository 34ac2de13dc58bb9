//! What is accepted, what is refused, and with which words.

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::*;
use crate::event::enrich::EventType;
use crate::ingest::Form;

#[tokio::test]
async fn recorded_requests_get_recorded_answers() {
    recorded(&edge("").0).await;
}

#[tokio::test]
async fn recorded_requests_get_recorded_answers_of_the_real_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    recorded(&real_edge(folder.path())).await;
}

async fn recorded<P: Pipeline>(edge: &Edge<P>) {
    let text = include_str!("../../../tests/golden/http/http_cases.json");
    let file: Value = serde_json::from_str(text).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 61);
    for case in cases {
        let asked = &case["request"];
        let headers: Vec<_> = asked["headers"].as_object().unwrap().iter().collect();
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        let (method, path) = (asked["method"].as_str().unwrap(), asked["path"].as_str().unwrap());
        let body = Body::from(asked["body"].as_str().unwrap_or_default().to_owned());
        let answer = send(edge, request(method, path, &headers).body(body).unwrap()).await;
        let expected = &case["expect"];
        let name = case["name"].as_str().unwrap();
        assert_eq!(u64::from(answer.status.as_u16()), expected["status"], "{name}");
        let body = expected["body"].as_str().unwrap();
        match body.strip_prefix("hex:") {
            Some(hex) => {
                let got: String = answer.body.iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(got, hex, "{name}");
            }
            None => assert_eq!(answer.text(), body, "{name}"),
        }
        for (header, value) in expected["headers"].as_object().into_iter().flatten() {
            assert_eq!(answer.header(header), value.as_str(), "{name}");
        }
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{name}");
    }
}

#[tokio::test]
async fn the_one_good_answer_is_two_bytes() {
    let (edge, pipeline) = edge("");
    for (path, kind) in [
        ("/v1/identify", EventType::Identify),
        ("/v1/track", EventType::Track),
        ("/v1/page", EventType::Page),
        ("/v1/screen", EventType::Screen),
        ("/v1/group", EventType::Group),
        ("/v1/alias", EventType::Alias),
        ("/v1/merge", EventType::Merge),
        ("/v1/i", EventType::Identify),
        ("/v1/t", EventType::Track),
        ("/v1/p", EventType::Page),
        ("/v1/s", EventType::Screen),
        ("/v1/g", EventType::Group),
        ("/v1/a", EventType::Alias),
    ] {
        let answer = post(&edge, path, &[("authorization", ENABLED)], r#"{"userId":"u"}"#).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "ok"), "{path}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(pipeline.last().form, Form::Single(kind), "{path}");
    }
    for (path, form) in
        [("/v1/b", Form::Batch), ("/v1/import", Form::Import), ("/v1/import/", Form::Import)]
    {
        let body = r#"{"batch":[{"userId":"u","type":"track"}]}"#;
        let answer = post(&edge, path, &[("authorization", ENABLED)], body).await;
        assert_eq!((answer.status, pipeline.last().form), (StatusCode::OK, form), "{path}");
    }
}

#[tokio::test]
async fn a_key_may_be_in_many_places() {
    let (edge, pipeline) = edge("");
    let without_colon = "Basic d2stZW5hYmxlZA==";
    let single = r#"{"userId":"u","writeKey":"wk-enabled"}"#;
    let batch = r#"{"batch":[{"userId":"u"}],"writeKey":"wk-enabled"}"#;
    for (path, authorization, body) in [
        ("/v1/track", without_colon, r#"{"userId":"u"}"#),
        ("/v1/track", "", single),
        ("/v1/b", "", batch),
        ("/v1/track", "Basic !!", single),
        ("/v1/track", ENABLED, r#"{"userId":"u","writeKey":"other"}"#),
        ("/beacon/v1/batch?writeKey=wk-enabled", "Basic bm9wZTo=", r#"{"batch":[{"userId":"u"}]}"#),
        ("/beacon/v1/batch", ENABLED, r#"{"batch":[{"userId":"u"}]}"#),
    ] {
        let headers = [("authorization", authorization), ("content-type", "text/plain")];
        let headers = if authorization.is_empty() { &headers[1..] } else { &headers };
        let answer = post(&edge, path, headers, body).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "ok"), "{path} {body}");
        assert_eq!(pipeline.last().source, "enabled_prod");
    }
    for (path, body, status, text) in [
        ("/v1/track", r#"{"writeKey":"nope"}"#, 401, "invalid write key\n"),
        ("/v1/track", r#"{"writeKey":7}"#, 401, "failed to read writekey from header\n"),
        ("/v1/b", r#"{"writeKey":"wk-disabled"}"#, 404, "source is disabled\n"),
        ("/beacon/v1/batch", batch, 401, "failed to read writekey from query params\n"),
        ("/beacon/v1/batch?writeKey=", batch, 401, "failed to read writekey from query params\n"),
        ("/v1/webhook", "{}", 401, "failed to read writekey from query params\n"),
    ] {
        let answer = post(&edge, path, &[], body).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (status, text), "{path} {body}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_before_the_body_is_read() {
    let (edge, _) = edge("");
    let endless =
        || Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    for (path, key) in [
        ("/v1/batch", "Basic bm9wZTo="),
        ("/v1/batch", "Basic d2stZGlzYWJsZWQ6"),
        ("/beacon/v1/batch?writeKey=nope", ""),
        ("/v1/webhook?writeKey=wk-enabled", ""),
    ] {
        let answer = post(&edge, path, &[("authorization", key)], endless()).await;
        assert!([401, 404].contains(&answer.status.as_u16()), "{path}");
    }
}

#[tokio::test]
async fn a_batch_is_judged_event_by_event() {
    let (edge, _) = edge("");
    for (body, status, text) in [
        (r#"{"batch":[{},{"userId":"u"},7]}"#, 200, "ok"),
        (r#"{"batch":[{},7]}"#, 400, "request neither has anonymousId nor userId\n"),
        (r#"{"batch":[7,{}]}"#, 400, "event is not a valid rudder event\n"),
        (r#"{"batch":null}"#, 400, "empty batch payload\n"),
    ] {
        let answer = post(&edge, "/v1/batch", &[("authorization", ENABLED)], body).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (status, text), "{body}");
    }
}

#[tokio::test]
async fn the_content_type_is_not_looked_at() {
    let (edge, _) = edge("");
    for kind in ["application/x-www-form-urlencoded", "text/plain", "image/png", "\u{1}"] {
        let headers = [("authorization", ENABLED), ("content-type", kind)];
        let headers = if kind == "\u{1}" { &headers[..1] } else { &headers };
        let answer = post(&edge, "/v1/track", headers, r#"{"userId":"u"}"#).await;
        assert_eq!(answer.status, StatusCode::OK, "{kind}");
    }
}

#[tokio::test]
async fn pixels_hand_in_an_event_and_show_a_picture() {
    let (edge, pipeline) = edge("");
    let query = "/pixel/v1/track?writeKey=wk-enabled&anonymousId=%22a%22&event=e&properties.n=1";
    let headers = [("user-agent", "UA"), ("x-forwarded-for", "198.51.100.7")];
    let answer = get(&edge, query, &headers).await;
    assert_eq!(answer.body.len(), 43);
    let seen = pipeline.last();
    assert_eq!(
        (seen.form, seen.client_ip.to_string().as_str()),
        (Form::Single(EventType::Track), "198.51.100.7")
    );
    let expected = json!({
        "channel": "web",
        "integrations": {"All": true},
        "originalTimestamp": "2026-01-02T03:04:05.678Z",
        "sentAt": "2026-01-02T03:04:05.678Z",
        "anonymousId": "a",
        "event": "e",
        "properties": {"n": "1"},
        "context": {"userAgent": "UA"},
    });
    assert_eq!(seen.body, expected);
    for (method, path) in [
        ("GET", "/pixel/v1/track?writeKey=wk-enabled&anonymousId=a&event="),
        ("GET", "/pixel/v1/page?writeKey=wk-disabled&anonymousId=a"),
        ("GET", "/pixel/v1/page?writeKey=wk-enabled"),
        ("HEAD", "/pixel/v1/page?writeKey=wk-enabled&anonymousId=a"),
    ] {
        let answer = send(&edge, request(method, path, &[]).body(Body::empty()).unwrap()).await;
        let kind = answer.header("content-type");
        assert_eq!((answer.status, kind), (StatusCode::OK, Some("image/gif")), "{method} {path}");
    }
    assert_eq!(pipeline.count(), 1);
}

#[tokio::test]
async fn webhooks_become_one_track_event() {
    let (edge, pipeline) = edge("");
    let path = "/v1/webhook?writeKey=wk-hook";
    let multipart = "--x1\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n\
                     --x1\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\ntwo\r\nlines\r\n\
                     --x1\r\nContent-Disposition: form-data; name=\"f\"; filename=\"n.bin\"\r\n\
                     Content-Type: application/octet-stream\r\n\r\n\x01\x02\x03\r\n--x1--\r\n";
    for (body, properties) in [
        (r#" {"a":1.10,"b":{"c":[2]}} "#, r#"{"a":1.10,"b":{"c":[2]}}"#),
        ("[1,2]", r#"{"payload":[1,2]}"#),
        ("null", r#"{"payload":null}"#),
        ("a=1&b=x+y&a=2", r#"{"a":["1","2"],"b":"x y"}"#),
        ("1=one two\n", r#"{"1":"one two"}"#),
        (multipart, r#"{"a":["one","two\r\nlines"],"f":"n.bin (3 bytes)"}"#),
    ] {
        let answer = post(&edge, path, &[], body).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "ok"), "{body}");
        let seen = pipeline.last();
        assert_eq!(seen.form, Form::Single(EventType::Track));
        assert_eq!(seen.body["event"], "webhook_source_event");
        assert_eq!(seen.body["properties"].to_string(), properties, "{body}");
        assert_eq!(seen.body["anonymousId"].as_str().unwrap().len(), 36);
    }
    let answer = get(&edge, &format!("{path}&a=1&b=2"), &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(pipeline.last().body["properties"], json!({"a": "1", "b": "2"}));
    for (path, body, status, text) in [
        (path, "", 400, "invalid json\n"),
        (path, "{\"a\":", 400, "invalid json\n"),
        (path, "some words = here", 400, "invalid json\n"),
        (path, "--x\r\nno end", 400, "invalid json\n"),
        ("/v1/webhook?writeKey=wk-enabled", "{}", 404, "source does not accept webhook events\n"),
        ("/v1/webhook?writeKey=nope", "{}", 401, "invalid write key\n"),
    ] {
        let answer = post(&edge, path, &[], body).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (status, text), "{path} {body}");
    }
    // A HEAD is told of its key what a GET is, and is no event.
    let before = pipeline.count();
    for (path, status) in [
        ("/v1/webhook?writeKey=wk-hook", 200),
        ("/v1/webhook?writeKey=wk-enabled", 404),
        ("/v1/webhook?writeKey=nope", 401),
        ("/v1/webhook", 401),
    ] {
        let asked = request("HEAD", path, &[]).body(Body::empty()).unwrap();
        assert_eq!(send(&edge, asked).await.status.as_u16(), status, "{path}");
    }
    assert_eq!(pipeline.count(), before);
}

#[tokio::test]
async fn every_answer_may_be_read_across_origins() {
    let (edge, _) = edge("");
    let origin = "https://shop.example.com";
    for (method, path, key) in [
        ("POST", "/v1/track", ENABLED),
        ("POST", "/v1/track", "Basic bm9wZTo="),
        ("GET", "/v1/track", ""),
        ("GET", "/nowhere", ""),
        ("GET", "/health", ""),
        ("GET", "/pixel/v1/page", ""),
        ("GET", "/sourceConfig?writeKey=nope", ""),
        ("OPTIONS", "/v1/track", ""),
    ] {
        let headers = [("origin", origin), ("authorization", key)];
        let asked = request(method, path, &headers).body(Body::from("{}")).unwrap();
        let answer = send(&edge, asked).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{method} {path}");
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("access-control-expose-headers"), Some("Retry-After"));
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
    let answer = get(&edge, "/health", &[]).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(answer.header("vary"), Some("Origin"));
}

#[tokio::test]
async fn preflights_allow_what_was_asked() {
    let (edge, _) = edge("");
    let headers = [
        ("origin", "https://shop.example.com"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,rsa-retry-attempt,x-retry-count"),
    ];
    for path in ["/v1/track", "/v1/b", "/sourceConfig/", "/anything"] {
        let answer =
            send(&edge, request("OPTIONS", path, &headers).body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (204, ""), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example.com"));
        assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
        assert_eq!(answer.header("access-control-allow-headers"), Some(headers[2].1));
        assert_eq!(answer.header("access-control-max-age"), Some("900"));
    }
    let headers = [("origin", "https://a.example"), ("access-control-request-method", "DELETE")];
    let asked = request("OPTIONS", "/v1/track", &headers).body(Body::empty()).unwrap();
    assert_eq!(send(&edge, asked).await.header("access-control-allow-methods"), None);
}

#[tokio::test]
async fn a_source_may_name_its_origins() {
    let (edge, pipeline) = edge("");
    let body = r#"{"userId":"u"}"#;
    let in_body = r#"{"userId":"u","writeKey":"wk-pages"}"#;
    let key = "Basic d2stcGFnZXM6";
    for (path, origin, key, body, status) in [
        ("/v1/track", "https://app.example.com", key, body, 200),
        ("/v1/track", "", key, body, 200),
        ("/v1/track", "https://evil.example.com", key, body, 403),
        ("/v1/track", "https://evil.example.com", "", in_body, 403),
        ("/v1/track", "https://app.example.com", "", in_body, 200),
    ] {
        let all = [("origin", origin), ("authorization", key)];
        let headers: Vec<_> = all.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let answer = post(&edge, path, &headers, body).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {origin}");
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed.is_some(), status == 200 && !origin.is_empty(), "{path} {origin}");
    }
    assert_eq!(pipeline.count(), 3);
    let path = "/sourceConfig?writeKey=wk-pages";
    let answer = get(&edge, path, &[("origin", "https://evil.example.com")]).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (403, "origin is not allowed\n"));
}

#[tokio::test]
async fn clients_are_found_behind_trusted_proxies() {
    let (edge, pipeline) = edge("[http]\ntrusted_proxies = [\"loopback\", \"192.0.2.0/24\"]");
    for (forwarded, expected) in [
        ("198.51.100.7", "198.51.100.7"),
        ("203.0.113.1, 198.51.100.7, 192.0.2.9", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.1"),
        ("nonsense", "127.0.0.1"),
    ] {
        let headers = [("authorization", ENABLED), ("x-forwarded-for", forwarded)];
        post(&edge, "/v1/track", &headers, r#"{"userId":"u"}"#).await;
        assert_eq!(pipeline.last().client_ip.to_string(), expected);
    }
}
