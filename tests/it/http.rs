//! The recorded requests and answers of a RudderStack gateway, against the whole program.

use serde_json::Value;

use crate::gateway::{Gateway, golden};

const SOURCES: &str = r#"
[[source]]
name = "enabled"
environment = "prod"
write_key = "wk-enabled"
[[source]]
name = "disabled"
environment = "prod"
write_key = "wk-disabled"
enabled = false
"#;

#[tokio::test(flavor = "multi_thread")]
async fn recorded_requests_get_their_recorded_answers() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), SOURCES).await;
    let vectors: Value = serde_json::from_str(&golden("http/http_cases.json")).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 50, "{} cases", cases.len());
    for case in cases {
        let (asked, expected) = (&case["request"], &case["expect"]);
        let headers: Vec<(&str, &str)> = asked["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let body = asked["body"].as_str().unwrap_or_default().as_bytes().to_vec();
        let (method, path) = (asked["method"].as_str().unwrap(), asked["path"].as_str().unwrap());
        let answer = gateway.send(method, path, &headers, body).await;
        assert_eq!(answer.status, expected["status"], "{case}");
        match expected["body"].as_str().unwrap().strip_prefix("hex:") {
            Some(hex) => {
                let got: String = answer.body.iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(got, hex, "{case}");
            }
            None => assert_eq!(answer.text(), expected["body"].as_str().unwrap(), "{case}"),
        }
        for (name, value) in expected["headers"].as_object().into_iter().flatten() {
            assert_eq!(answer.headers[name.as_str()], value.as_str().unwrap(), "{case}");
        }
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), SOURCES).await;
    for (path, body, status) in [
        ("/v1/track", r#"{"event":"no ids"}"#, 400),
        ("/v1/batch", r#"{"batch":[{"type":"track"},7]}"#, 400),
        ("/v1/batch", r#"{"batch":[{"userId":"u"}"#, 400),
        ("/v1/track", &"[".repeat(200_000), 400),
        ("/v1/track", r#"{"userId":"u\ud800"#, 400),
    ] {
        assert_eq!(gateway.try_post(path, "wk-enabled", body).await.status, status, "{path}");
    }
    let good = r#"{"userId":"u","event":"good"}"#;
    gateway.post("/v1/track", "wk-enabled", good).await;
    gateway.flush().await;
    assert_eq!(gateway.book("enabled_prod", "received").await, 1);
    assert_eq!(gateway.book("enabled_prod", "loaded").await, 1);
    gateway.stop().await;
}
